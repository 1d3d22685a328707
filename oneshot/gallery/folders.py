"""Photos sorted by person into folders, and what in folders of photos is none."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from oneshot.errors import OneShotError
from oneshot.media.images import natural_order, pictures_in
from oneshot.media.search import search

EXCLUDED = (
    "@eadir",
    "#recycle",
    "#snapshot",
    "$recycle.bin",
    "system volume information",
    "lost+found",
    "__macosx",
    "thumbs",
    "thumbnails",
)
"""Folders, in small letters, that network stores, systems and viewers make: waste and small copies."""


@dataclass(frozen=True, slots=True)
class People:
    """Who a folder is of.

    Attributes:
        photos: names and their photos.
        left_out: people without a photo, and files and folders that cannot be read, and why.
    """

    photos: dict[str, list[Path]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def excluded(path: Path, patterns: Sequence[str] = ()) -> bool:
    """Whether a file or folder, by its path below the one that was given, is to be left out.

    Hidden ones and EXCLUDED are, and what a pattern (with * and ?) names: one of its parts, or the path.
    """
    hidden = any(part.startswith(".") or part.lower() in EXCLUDED for part in path.parts)
    named = (*path.parts, *(parent.as_posix() for parent in (path, *path.parents)))
    return hidden or any(fnmatch(name, pattern.rstrip("/")) for name in named for pattern in patterns)


def people_in(folder: Path | str, exclude: Sequence[str] = ()) -> People:
    """Each folder in `folder` is a person, with the folders in it, and so is each photo directly in it.

    Args:
        exclude: patterns of names or paths to be left out besides; see `excluded`.

    Raises:
        OneShotError: there is no such folder, or nobody in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise OneShotError(
            f"{folder}: no such folder; give one with a photo, or a folder of photos, per person"
        )
    people = People()
    for photo in pictures_in(folder):
        if not excluded(photo.relative_to(folder), exclude):
            people.photos.setdefault(photo.stem, []).append(photo)
    for person in sorted((p for p in folder.iterdir() if p.is_dir()), key=natural_order):
        if not excluded(person.relative_to(folder), exclude):
            _add(people, person, exclude)
    if not people.photos:
        empty = f" ({'; '.join(people.left_out.values())})" if people.left_out else ""
        raise OneShotError(
            f"{folder}: no photos in it{empty}; put a photo, or a folder of photos, per person there"
        )
    return people


def _add(people: People, person: Path, exclude: Sequence[str]) -> None:
    """The photos in a person's folder; what cannot be read there keeps nobody else out."""
    try:
        found = search(person, lambda path: excluded(person.name / path, exclude))
    except OneShotError as error:
        people.left_out[person.name] = str(error)
        return
    # What needs a package is among them, so that whoever reads it is told.
    photos = [*found.pictures, *(path for path, why in found.skipped.items() if why.startswith("pip"))]
    if photos:
        people.photos.setdefault(person.name, []).extend(photos)
    elif not found.unreadable:
        people.left_out[person.name] = f"{person}: no photo in this person's folder"
    for path, why in found.unreadable.items():
        people.left_out[path.relative_to(person.parent).as_posix()] = why
