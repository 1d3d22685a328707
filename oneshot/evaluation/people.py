"""A set of photos with one person in each: what the converters in datasets/ write and identification reads.

A JSON file: `root`, the folder that the photos lie in, and `photos`, a list of `file` (within it), `person`
and `box` (x0 y0 x1 y1 in pixels, drawn by people, or null where nobody drew one).
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from oneshot.errors import OneShotError, explained
from oneshot.evaluation.data import require
from oneshot.files import writing

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Photo:
    """One photo; `file` is relative to the set's root."""

    file: str
    person: str
    box: Box | None = None


def write_index(path: Path, root: Path, photos: Sequence[Photo]) -> None:
    """Write the set's JSON.

    Raises:
        OneShotError: there are no photos, or the file cannot be written.
    """
    if not photos:
        raise OneShotError(
            f"{root}: no photos of the set's layout in it; name the folder that it was unpacked to"
        )
    record = {"root": str(root.resolve()), "photos": [asdict(photo) for photo in photos]}
    with writing(path) as file:
        file.write(json.dumps(record, indent=1) + "\n")


@explained
def run_converter(convert: Callable[[], list[Photo]], out: Path, root: Path) -> int:
    """A converter's main: write the set and say what is in it; the exit code, 2 after an error's sentence."""
    photos = convert()
    write_index(out, root, photos)
    print(f"{len(photos)} photos of {len({photo.person for photo in photos})} people in {out}")
    return 0


def read_index(path: Path) -> tuple[Path, list[Photo]]:
    """The root, and the photos in the file's order.

    Raises:
        OneShotError: the file is missing, or is no such set.
    """
    try:
        record = json.loads(require(path).read_text(encoding="utf-8"))
        photos = [
            Photo(str(p["file"]), str(p["person"]), None if p["box"] is None else _box(p["box"]))
            for p in record["photos"]
        ]
        return Path(record["root"]), photos
    except (ValueError, KeyError, TypeError) as error:
        raise OneShotError(
            f"{path}: not a set of photos ({type(error).__name__}); make one with a converter of datasets/"
        ) from None


def _box(numbers: Sequence[float]) -> Box:
    x0, y0, x1, y1 = map(float, numbers)
    return x0, y0, x1, y1
