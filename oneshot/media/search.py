"""Which files below a folder are pictures, and which are not looked at, and why."""

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from oneshot import extras
from oneshot.errors import OneShotError
from oneshot.media.images import natural_order
from oneshot.media.kinds import HEAD, PACKAGES, SUFFIXES, VIDEO_SUFFIXES, kind_of


@dataclass(slots=True)
class Found:
    """What is below a folder.

    Attributes:
        pictures, videos: in natural order, folder by folder; videos by their names.
        skipped: for each file that is no picture, or cannot be looked at, the reason; "" where there is none.
        unreadable: folders and files that may not be read, with the reason.
    """

    pictures: list[Path] = field(default_factory=list)
    videos: list[Path] = field(default_factory=list)
    skipped: dict[Path, str] = field(default_factory=dict)
    unreadable: dict[Path, str] = field(default_factory=dict)

    def kept(self, path: Path) -> bool:
        """Whether nobody can say that this is gone: it is in a folder, or is a file, that cannot be read."""
        return any(place in self.unreadable for place in (path, *path.parents))


def search(folder: Path, left_out: Callable[[Path], bool] = lambda path: path.name.startswith(".")) -> Found:
    """The pictures in a folder and the folders in it, those that are linked too, by their first bytes.

    Args:
        left_out: files and folders to pass over without a word, by their path below `folder`.

    Raises:
        OneShotError: there is no such folder, or it cannot be read.
    """
    if not folder.is_dir():
        raise OneShotError(f"{folder}: no such folder; give one with photos")
    found = Found()
    been: set[tuple[int, int]] = set()  # a link may lead back to where one comes from
    why_not = {kind: _lacking(kind) for kind in PACKAGES}

    def cannot(error: OSError, path: Path) -> None:
        found.unreadable[path] = f"{path}: cannot be read ({error.strerror}); check its permissions"

    def enter(place: Path) -> None:
        try:
            stat = place.stat()
            if (stat.st_dev, stat.st_ino) in been:
                return
            been.add((stat.st_dev, stat.st_ino))
            inside = sorted((Path(entry) for entry in os.scandir(place)), key=natural_order)
        except OSError as error:
            cannot(error, place)
            return
        folders = []
        for path in inside:
            if left_out(path.relative_to(folder)):
                continue
            try:
                if path.is_dir():
                    folders.append(path)
                elif path.is_file():
                    _sort(path, found, why_not)
            except OSError as error:
                cannot(error, path)
        for path in folders:
            enter(path)

    enter(folder)
    if folder in found.unreadable:
        raise OneShotError(found.unreadable[folder])
    return found


def _sort(path: Path, found: Found, why_not: dict[str, str]) -> None:
    with path.open("rb") as file:
        kind = kind_of(file.read(HEAD))
    if kind is None and path.suffix.lower() in VIDEO_SUFFIXES:
        found.videos.append(path)
        found.skipped[path] = "a video"
    elif kind is None and path.suffix.lower() not in SUFFIXES:
        found.skipped[path] = ""
    elif why_not.get(kind or ""):
        found.skipped[path] = why_not[kind or ""]
    else:
        found.pictures.append(path)


def _lacking(kind: str) -> str:
    """The command that installs what a kind of picture needs; "" if it is there."""
    try:
        extras.load(PACKAGES[kind], "", "formats")
    except OneShotError as error:
        return str(error).partition("; ")[2]
    return ""


def summary(found: Found, damaged: int = 0) -> str:
    """One line: "8 files skipped: 5 .heic (pip install …), 2 .txt, 1 damaged"; "" if there is none.

    Args:
        damaged: pictures that could not be read.
    """
    kinds = Counter((path.suffix.lower() or "without a suffix", why) for path, why in found.skipped.items())
    parts = [f"{n:,} {suffix}{f' ({why})' if why else ''}" for (suffix, why), n in kinds.most_common()]
    parts += [
        f"{n:,} {what}" for n, what in ((len(found.unreadable), "unreadable"), (damaged, "damaged")) if n
    ]
    total = len(found.skipped) + len(found.unreadable) + damaged
    return f"{total:,} file{'s' * (total != 1)} skipped: {', '.join(parts)}" if total else ""
