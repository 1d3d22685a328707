#!/usr/bin/env python3
"""Compose a short video from two public-domain photos that come inside well-known wheels.

NASA's portrait of Eileen Collins (in scikit-image) and the US Navy's of Grace Hopper (in matplotlib) hang on
a wall, and a camera moves over it: both in view, each alone, and for a while nobody.
Writes OUT/wall.mp4, a still of it OUT/wall.png and, to enroll from, OUT/people/*.png.
"""

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np
import skimage.data
from matplotlib import cbook
from numpy.typing import NDArray

from oneshot import read_image
from oneshot.errors import explained
from oneshot.media.sink import VideoSink
from oneshot.types import Image

FPS, SIZE = 25, (640, 360)
WALL = (2600, 1000)

# Second, centre of the view on the wall, zoom (screen pixels per wall pixel), degrees.
PATH = np.array(
    [
        (0.0, 876, 500, 0.48, 0),
        (0.6, 876, 490, 0.52, 2),
        (1.2, 560, 420, 0.95, -5),
        (1.7, 600, 430, 1.05, 4),
        (2.3, 1160, 430, 0.80, 6),
        (2.7, 1190, 440, 0.62, -4),
        (3.1, 2200, 500, 0.60, 0),
        (3.6, 2230, 500, 0.60, 2),
        (4.2, 876, 490, 0.52, -2),
        (4.6, 876, 500, 0.48, 0),
    ]
)
BOTH = 0.6
"""The second of the still picture."""


def photos() -> dict[str, Image]:
    """Name -> BGR photo."""
    hopper = cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    collins = np.ascontiguousarray(skimage.data.astronaut()[..., ::-1])
    return {"Eileen Collins": collins, "Grace Hopper": read_image(str(hopper))}


def hang(pictures: dict[str, Image]) -> Image:
    """The photos, framed in white, on a brick wall."""
    brick = cv2.cvtColor(skimage.data.brick(), cv2.COLOR_GRAY2BGR)
    tiles = np.tile(brick, (2, 6, 1))[: WALL[1], : WALL[0]]
    wall = np.asarray(tiles * (0.55, 0.62, 0.75), np.uint8)
    left = 300
    for picture in pictures.values():
        height, width = picture.shape[:2]
        framed = cv2.copyMakeBorder(picture, 14, 14, 14, 14, cv2.BORDER_CONSTANT, value=(245, 245, 245))
        top = (WALL[1] - height) // 2
        wall[top : top + height + 28, left : left + width + 28] = framed
        left += width + 100
    return wall


def view(wall: Image, second: float) -> Image:
    """What the camera sees at a time, at twice SIZE."""
    x, y, zoom, angle = camera(second)
    width, height = 2 * SIZE[0], 2 * SIZE[1]
    matrix = cv2.getRotationMatrix2D((x, y), angle, 2 * zoom)
    matrix[:, 2] += (width / 2 - x, height / 2 - y)
    size = (width, height)
    seen = cv2.warpAffine(wall, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(seen, np.uint8)


def camera(second: float) -> NDArray[np.float64]:
    """Centre x, y, zoom, angle: from one key to the next, softly."""
    i = int(np.clip(np.searchsorted(PATH[:, 0], second, "right") - 1, 0, len(PATH) - 2))
    t = np.clip((second - PATH[i, 0]) / (PATH[i + 1, 0] - PATH[i, 0]), 0, 1)
    return PATH[i, 1:] + (PATH[i + 1, 1:] - PATH[i, 1:]) * (t * t * (3 - 2 * t))


def make(out: Path) -> None:
    pictures = photos()
    people = out / "people"
    people.mkdir(parents=True, exist_ok=True)
    for name, picture in pictures.items():
        cv2.imwrite(str(people / f"{name}.png"), picture)
    wall = hang(pictures)
    with VideoSink(out / "wall.mp4", FPS) as sink:
        for i in range(round(PATH[-1, 0] * FPS)):
            # Scaled down from twice the size, or the bricks would flicker.
            sink.write(
                np.asarray(cv2.resize(view(wall, i / FPS), SIZE, interpolation=cv2.INTER_AREA), np.uint8)
            )
    cv2.imwrite(str(out / "wall.png"), view(wall, BOTH))


@explained
def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder to write to (demo)")
    make(parser.parse_args().out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
