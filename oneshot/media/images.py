"""Reading pictures, and fitting them into the network's input."""

import re
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray

from oneshot.errors import OneShotError
from oneshot.media.decode import MAX_PIXELS as MAX_PIXELS
from oneshot.media.decode import decode
from oneshot.media.kinds import SUFFIXES, is_picture
from oneshot.types import Image

IMAGE_SUFFIXES = SUFFIXES
"""By which a picture may be written."""

STRIDE = 32
"""The network's largest stride: inputs are multiples of it."""

MIN_SIDE = 256
"""Pixels to which smaller pictures are enlarged: LFW's photos at 64 pixels gain 1.2 points by it."""


Readable = Path | str | bytes | BinaryIO
"""Where a picture may come from."""


def read_image(source: Readable, max_pixels: int = MAX_PIXELS) -> Image:
    """A picture as (H, W, 3) BGR uint8, turned upright by its EXIF note.

    Grey pictures are repeated over the channels, 16-bit ones scaled to 8, transparency dropped. What kind it
    is, its first bytes say. HEIC and raw photos need `pip install 'oneshot-face[formats]'`.

    Args:
        source: a file's name, its bytes, or a file open for reading bytes.
        max_pixels: more are refused before they are decoded.

    Raises:
        OneShotError: no such file, an empty one, not a picture, a damaged one, or one of over max_pixels. Of
            a JPEG that is mostly whole the rest is grey, and a OneShotWarning says so.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        data, name = bytes(source), "the picture"
    elif isinstance(source, (str, Path)):
        data, name = read_bytes(source), str(source)
    elif callable(getattr(source, "read", None)):
        data, name = source.read(), str(getattr(source, "name", "the picture"))
        if not isinstance(data, bytes):
            raise OneShotError(f"{name}: is open for reading text; open it in binary mode (rb)")
    else:
        raise OneShotError(f"want a picture's file name, bytes or open file, got {type(source).__name__}")
    if not data:
        raise OneShotError(f"{name}: the file is empty; fetch it again")
    return decode(data, name, max_pixels)


def read_bytes(source: Path | str) -> bytes:
    """A picture's file as it is.

    Raises:
        OneShotError: it cannot be read.
    """
    if re.match(r"[a-z]{2,}:/", str(source)):  # a Path has lost one of the two strokes
        raise OneShotError(f"{source}: is an address; fetch it first, and give the file or its bytes")
    path = Path(source)
    try:
        if path.is_dir():
            raise OneShotError(f"{path}: is a folder, not a picture; give a file")
        # cv2.imread cannot open every name on every system, and says nothing about why it failed.
        return path.read_bytes()
    except FileNotFoundError:
        home = "~ stands for your home only in the shell" if str(source).startswith("~") else "check the name"
        raise OneShotError(f"{path}: no such picture; {home}") from None
    except OSError as error:
        raise OneShotError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None
    except ValueError:
        raise OneShotError(f"{source!r}: cannot be a file's name; check it") from None


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
    """The pictures in a folder, by their first bytes, in natural order; hidden files left out.

    Raises:
        OneShotError: the folder cannot be read.
    """
    try:
        found = [path for path in folder.iterdir() if not path.name.startswith(".") and is_picture(path)]
    except OSError as error:
        raise OneShotError(
            f"{error.filename or folder}: cannot be read ({error.strerror}); check its permissions"
        ) from None
    return sorted(found, key=natural_order)
