#!/usr/bin/env python3
"""Caltech Faces 1999 → a set of photos for `evaluate.py identification`.

python datasets/caltech_faces.py caltech_faces caltech.json

The archive holds image_0001.jpg to image_0450.jpg and ImageData.mat with a box of each, drawn by hand. Who
is in them it does not say: sort the photos into a folder a person first, as the seed did, and leave the file
of boxes beside these folders. A photo that stays outside belongs to nobody and is left out.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from oneshot.errors import OneShotError
from oneshot.evaluation.people import Box, Photo, run_converter
from oneshot.media.images import natural_order, pictures_in

BOXES = "ImageData.mat"
NAME = re.compile(r"image_(\d+)")


def convert(folder: Path) -> list[Photo]:
    """The photos that lie in a person's folder, with boxes if ImageData.mat is there.

    Raises:
        OneShotError: the folder is missing or not sorted by person, or ImageData.mat is another file.
    """
    if not folder.is_dir():
        raise OneShotError(f"{folder}: no such folder; name the one that was unpacked")
    boxes = read_boxes(folder / BOXES) if (folder / BOXES).is_file() else {}
    photos = []
    for person in sorted((p for p in folder.iterdir() if p.is_dir()), key=natural_order):
        for path in pictures_in(person):
            if match := NAME.fullmatch(path.stem):
                photos.append(
                    Photo(path.relative_to(folder).as_posix(), person.name, boxes.get(int(match[1])))
                )
    if not photos:
        raise OneShotError(f"{folder}: no folder a person in it; sort the photos by person first")
    return photos


def read_boxes(path: Path) -> dict[int, Box]:
    """By the photo's number: the box around its corners in `SubDir_Data` (8, photos), x and y in turns."""
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise OneShotError(f"{path}: needs {error.name}; pip install 'oneshot-face[peers]'") from None
    try:
        corners: Any = np.asarray(loadmat(str(path))["SubDir_Data"], np.float64).reshape(4, 2, -1)
    except Exception as error:  # SciPy raises what it likes on other files
        raise OneShotError(
            f"{path}: not Caltech Faces' boxes ({type(error).__name__}); fetch it again"
        ) from None
    low, high = corners.min(0).T, corners.max(0).T
    return {i + 1: (*low[i].tolist(), *high[i].tolist()) for i in range(len(low))}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="a folder of photos a person, and ImageData.mat")
    parser.add_argument("out", type=Path, help="the .json to write")
    args = parser.parse_args(argv)
    return run_converter(lambda: convert(args.folder), args.out, args.folder)


if __name__ == "__main__":
    sys.exit(main())
