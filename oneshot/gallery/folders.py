"""Photos sorted by person into folders."""

from pathlib import Path

from oneshot.errors import OneShotError
from oneshot.media.images import natural_order, pictures_in


def people_in(folder: Path | str) -> dict[str, list[Path]]:
    """Names and their photos: each folder in `folder` is a person, and so is each photo directly in it.

    Raises:
        OneShotError: there is no such folder, nobody in it, or an empty folder of a person.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise OneShotError(
            f"{folder}: no such folder; give one with a photo, or a folder of photos, per person"
        )
    people: dict[str, list[Path]] = {}
    for photo in pictures_in(folder):
        people.setdefault(photo.stem, []).append(photo)
    for person in sorted((p for p in folder.iterdir() if p.is_dir()), key=natural_order):
        if not person.name.startswith("."):
            photos = pictures_in(person)
            if not photos:
                raise OneShotError(
                    f"{person}: no photo in this person's folder; add one, or remove the folder"
                )
            people.setdefault(person.name, []).extend(photos)
    if not people:
        raise OneShotError(f"{folder}: no photos in it; put a photo, or a folder of photos, per person there")
    return people
