#!/usr/bin/env python3
"""The FEI face database → a set of photos for `evaluate.py identification`.

python datasets/fei.py fei fei.json

The folder holds the original photos, 1-01.jpg to 200-14.jpg, as the four archives unpack: person, then photo.
Nobody drew boxes on them, and none are made up here: these photos count for who is who and for faces that are
not found, not for overlap.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from oneshot.errors import OneShotError
from oneshot.evaluation.people import Photo, run_converter
from oneshot.media.images import natural_order, pictures_in

NAME = re.compile(r"(\d+)-(\d+)")


def convert(folder: Path) -> list[Photo]:
    """The photos by person, also those in folders of the archives' names.

    Raises:
        OneShotError: there is no such folder.
    """
    if not folder.is_dir():
        raise OneShotError(f"{folder}: no such folder; name the one that was unpacked")
    places = [folder, *(p for p in folder.iterdir() if p.is_dir())]
    found = sorted((path for place in places for path in pictures_in(place)), key=natural_order)
    return [
        Photo(path.relative_to(folder).as_posix(), match[1])
        for path in found
        if (match := NAME.fullmatch(path.stem))
    ]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="where 1-01.jpg … lie")
    parser.add_argument("out", type=Path, help="the .json to write")
    args = parser.parse_args(argv)
    return run_converter(lambda: convert(args.folder), args.out, args.folder)


if __name__ == "__main__":
    sys.exit(main())
