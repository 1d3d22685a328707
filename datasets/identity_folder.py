#!/usr/bin/env python3
"""A folder with one folder of photos a person → the crops that stage 1 trains on (see datasets/README.md).

python datasets/identity_folder.py people crops
"""

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track

from oneshot import OneShot, OneShotError, read_image
from oneshot.errors import explained
from oneshot.files import replacing
from oneshot.geometry import ARCFACE_TEMPLATE, similarity
from oneshot.media.images import pictures_in
from oneshot.types import Floats, Image

SIDE = 128
PLACE = (ARCFACE_TEMPLATE - 56) * (88 / 112) + SIDE / 2
"""Where a crop's landmarks come to lie, in its pixels."""

ERRORS = Console(stderr=True, highlight=False)


def crop(image: Image, landmarks: Floats) -> tuple[Image, Floats, float]:
    """The crop (128, 128, 3), its landmarks (5, 2), and the photo's pixels a template pixel."""
    matrix = similarity(landmarks, PLACE)
    points = landmarks @ matrix[:, :2].T + matrix[:, 2]
    scale = float(np.sqrt(np.linalg.det(matrix[:, :2])))
    # OpenCV counts from pixel centres.
    matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
    if scale < 0.5:  # bilinear sampling would skip pixels
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), 0.4 / scale), np.uint8)
    face = np.asarray(cv2.warpAffine(image, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR), np.uint8)
    return face, points.astype(np.float32), 88 / 112 / scale


def convert(people: Path, out: Path, model: OneShot) -> int:
    """Write OUT/faces.npz and OUT/faces-0.webps; returns how many. The largest face of a photo counts.

    Raises:
        OneShotError: there is no such folder, or no face in it at all.
    """
    if not people.is_dir():
        raise OneShotError(f"{people}: no such folder; give one with a folder of photos a person")
    persons = sorted(p for p in people.iterdir() if p.is_dir())
    rows: list[tuple[Floats, float, int]] = []
    encoded: list[bytes] = []
    photos = [(number, photo) for number, person in enumerate(persons) for photo in pictures_in(person)]
    for number, photo in track(photos, "cutting", console=ERRORS, disable=not ERRORS.is_terminal):
        image = read_image(photo)
        faces = model(image)
        if not len(faces):
            ERRORS.print(f"note: {photo}: no face found, left out", markup=False)
            continue
        face, points, native = crop(image, faces.landmarks[int(faces.areas.argmax())])
        encoded.append(cv2.imencode(".webp", face, [cv2.IMWRITE_WEBP_QUALITY, 90])[1].tobytes())
        rows.append((points, native, number))
    if not rows:
        raise OneShotError(f"{people}: no face found in any photo; give photos that show faces clearly")
    out.mkdir(parents=True, exist_ok=True)
    lengths = np.array([len(data) for data in encoded])
    with replacing(out / "faces-0.webps") as partial:
        partial.write_bytes(b"".join(encoded))
    with replacing(out / "faces.npz") as partial:
        np.savez(
            partial,
            kps=np.stack([points for points, _, _ in rows]).astype(np.float16),
            native=np.array([native for _, native, _ in rows], np.float16),
            identity=np.array([number for _, _, number in rows], np.int32),
            source=np.zeros(len(rows), np.uint8),
            source_names=np.array([people.name]),
            part=np.zeros(len(rows), np.uint8),
            offset=(np.cumsum(lengths) - lengths).astype(np.uint32),
            length=lengths.astype(np.uint16),
        )
    return len(rows)


@explained
def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("people", type=Path, help="a folder with one folder of photos a person")
    parser.add_argument("out", type=Path, help="folder to write the crops to")
    parser.add_argument("--weights", type=Path, help=".onnx or .safetensors (default: the shipped ones)")
    args = parser.parse_args()
    count = convert(args.people, args.out, OneShot(args.weights))
    print(f"{count} crops in {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
