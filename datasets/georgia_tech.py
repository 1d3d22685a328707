#!/usr/bin/env python3
"""The Georgia Tech face database → a set of photos for `evaluate.py identification`.

python datasets/georgia_tech.py gt_db gt_db.json --labels labels

gt_db holds s01 to s50, each with 01.jpg to 15.jpg. The labels are the database's own, drawn by hand:
lab001.txt to lab750.txt, in the order of the photos, each with left, top, right, bottom and person.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from oneshot.errors import OneShotError
from oneshot.evaluation.people import Box, Photo, run_converter
from oneshot.media.images import natural_order, pictures_in

EACH = 15
"""Photos of a person, by which the labels are counted."""


def convert(folder: Path, labels: Path | None) -> list[Photo]:
    """The photos, with boxes where there are labels.

    Raises:
        OneShotError: a folder is missing, or a label does not belong to its photo.
    """
    for path in (folder, labels):
        if path is not None and not path.is_dir():
            raise OneShotError(f"{path}: no such folder; name the one that was unpacked")
    photos = []
    for person in sorted((p for p in folder.iterdir() if p.is_dir()), key=natural_order):
        if not person.name.lstrip("s").isdigit():
            continue
        number = int(person.name.lstrip("s"))
        for path in pictures_in(person):
            if path.stem.isdigit():
                label = labels / f"lab{EACH * (number - 1) + int(path.stem):03d}.txt" if labels else None
                file = path.relative_to(folder).as_posix()
                photos.append(Photo(file, person.name, read_label(label, number) if label else None))
    return photos


def read_label(path: Path, person: int) -> Box:
    """The box in a label file, which must name the person that it is asked for."""
    try:
        numbers = [float(word) for word in path.read_text(encoding="utf-8").split()]
        x0, y0, x1, y1, who = (*numbers, person)[:5]
    except (OSError, ValueError):
        raise OneShotError(
            f"{path}: not a label (left, top, right, bottom, person); fetch the labels again"
        ) from None
    if who != person:
        raise OneShotError(f"{path}: labels person {who:g}, not {person}; fetch the photos and labels again")
    return x0, y0, x1, y1


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="gt_db")
    parser.add_argument("out", type=Path, help="the .json to write")
    parser.add_argument("--labels", type=Path, help="folder of lab001.txt …; without it there are no boxes")
    args = parser.parse_args(argv)
    return run_converter(lambda: convert(args.folder, args.labels), args.out, args.folder)


if __name__ == "__main__":
    sys.exit(main())
