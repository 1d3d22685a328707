"""Reading pictures, and fitting them into the network's input."""

import re
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from oneshot.errors import OneShotError
from oneshot.media.headers import cut_short, header_size
from oneshot.types import Image

MAX_PIXELS = 1 << 27
"""134 million: larger than any camera's picture. A few kilobytes can claim to be billions of pixels."""

IMAGE_SUFFIXES = {".avif", ".bmp", ".gif", ".jp2", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}

STRIDE = 32
"""The network's largest stride: inputs are multiples of it."""

MIN_SIDE = 256
"""Pixels to which smaller pictures are enlarged: LFW's photos at 64 pixels gain 1.2 points by it."""


def read_image(path: Path | str) -> Image:
    """A picture as (H, W, 3) BGR uint8, turned upright by its EXIF note.

    Grey pictures are repeated over the channels, 16-bit ones scaled to 8, transparency dropped.

    Raises:
        OneShotError: no such file, an empty one, not a picture, a damaged one, or one of over MAX_PIXELS.
    """
    path = Path(path)
    if path.is_dir():
        raise OneShotError(f"{path}: is a folder, not a picture; give a file")
    try:
        # cv2.imread cannot open every name on every system, and says nothing about why it failed.
        data = path.read_bytes()
    except FileNotFoundError:
        raise OneShotError(f"{path}: no such picture; check the name") from None
    except OSError as error:
        raise OneShotError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None
    if not data:
        raise OneShotError(f"{path}: the file is empty; fetch it again")
    damaged = OneShotError(
        f"{path}: not a picture that OpenCV can read, or a damaged one; convert or fetch it again"
    )
    size = header_size(data)
    if size is None or min(size) < 1:
        raise damaged  # of what does not state its size nobody knows how much memory it would take
    if size[0] * size[1] > MAX_PIXELS:
        raise OneShotError(
            f"{path}: {size[0]}x{size[1]} pixels are more than {MAX_PIXELS:,}; make it smaller first"
        )
    if cut_short(data):
        raise damaged
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        raise damaged from None
    if image is None or image.dtype != np.uint8 or image.ndim != 3 or 0 in image.shape:
        raise damaged
    return np.asarray(image, np.uint8)


def check_image(image: object) -> Image:
    """`image`, if it is a picture as everything here takes it.

    Raises:
        OneShotError: it is not a (H, W, 3) uint8 array.
    """
    if not isinstance(image, np.ndarray):
        raise OneShotError(
            f"want a picture as a NumPy array, got {type(image).__name__}; use oneshot.read_image"
        )
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise OneShotError(
            f"want a BGR picture (H, W, 3) of uint8, got {image.shape} of {image.dtype}; see cv2.cvtColor"
        )
    return image


def least_side(min_side: int | None, side: int) -> int:
    """To what smaller pictures are enlarged: MIN_SIDE where nothing else is asked for, and `side` at most."""
    return min(MIN_SIDE, side) if min_side is None else min_side


def letterbox(image: Image, side: int, min_side: int = 0) -> tuple[Image, NDArray[np.float64]]:
    """Fit a picture to the network's input.

    The longest side is scaled down to `side` if larger, up to `min_side` if smaller, else kept; black fills
    it up to multiples of 32 at the right and at the bottom.

    Returns:
        The (H', W', 3) picture, and the scale (x, y) as it came out after rounding to whole pixels: dividing
        coordinates by it is the exact inverse.
    """
    height, width = image.shape[:2]
    longest = max(height, width)
    factor = side / longest if longest > side else max(1.0, min_side / longest)
    new_width, new_height = max(1, round(width * factor)), max(1, round(height * factor))
    if (new_width, new_height) != (width, height):
        how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
        image = np.asarray(cv2.resize(image, (new_width, new_height), interpolation=how), np.uint8)
    padded = np.zeros((_rounded_up(new_height), _rounded_up(new_width), 3), np.uint8)
    padded[:new_height, :new_width] = image
    return padded, np.array([new_width / width, new_height / height])


def _rounded_up(size: int) -> int:
    return -(-size // STRIDE) * STRIDE


def natural_order(path: Path) -> list[str | int]:
    """A sort key by which photo2 comes before photo10."""
    parts = re.split(r"([0-9]+)", path.name)  # text and digits take turns
    return [int(part) if i % 2 else part.casefold() for i, part in enumerate(parts)]


def pictures_in(folder: Path) -> list[Path]:
    """The pictures in a folder by their suffix, in natural order; hidden files left out."""
    found = (p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith("."))
    return sorted((p for p in found if p.is_file()), key=natural_order)
