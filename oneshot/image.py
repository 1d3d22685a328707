"""Reading pictures, and fitting them into the network's input."""

import re
import struct
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from oneshot.errors import OneShotError
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
    if _cut_short(data):
        raise damaged
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        raise damaged from None
    if image is None or image.dtype != np.uint8 or image.ndim != 3 or 0 in image.shape:
        raise damaged
    return np.asarray(image, np.uint8)


def header_size(data: bytes) -> tuple[int, int] | None:
    """Width and height as a picture's first bytes state them; None for other formats and broken headers.

    Knows PNG, JPEG, GIF, BMP, WebP, TIFF, JPEG 2000, AVIF and PNM.
    """
    try:
        if data.startswith(b"\x89PNG\r\n\x1a\n"):
            return struct.unpack_from(">II", data, 16)
        if data.startswith((b"GIF87a", b"GIF89a")):
            return struct.unpack_from("<HH", data, 6)
        if data.startswith(b"BM"):
            if data[14:18] == b"\x0c\0\0\0":  # the oldest form
                return struct.unpack_from("<HH", data, 18)
            width, height = struct.unpack_from("<ii", data, 18)
            return abs(width), abs(height)  # rows from the top down have a negative height
        if data.startswith(b"\xff\xd8"):
            frame = _jpeg_segment(data, frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC})
            height, width = struct.unpack_from(">HH", data, frame + 5)
            return width, height
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _webp_size(data)
        if data[:4] in (b"II*\0", b"MM\0*"):
            return _tiff_size(data)
        if data.startswith(b"\xff\x4f\xff\x51"):  # a bare JPEG 2000 codestream
            return struct.unpack_from(">II", data, 8)
        if data[4:8] == b"jP  ":
            height, width = struct.unpack_from(">II", data, data.index(b"ihdr") + 4)
            return width, height
        if data[4:8] == b"ftyp":
            return _largest_part(data)
        if pnm := re.match(rb"P[1-6]\s+(?:#[^\n]*\n\s*)*(\d{1,9})\s+(?:#[^\n]*\n\s*)*(\d{1,9})\s", data):
            return int(pnm[1]), int(pnm[2])
    except (struct.error, ValueError):
        pass
    return None


def _jpeg_segment(data: bytes, markers: frozenset[int]) -> int:
    """Where the first segment with one of these markers begins; ValueError or struct.error if none does."""
    at = 2
    while data[at : at + 1] == b"\xff":
        marker, length = struct.unpack_from(">xBH", data, at)
        if marker in markers:
            return at
        at += 1 if marker == 0xFF else 2 + length  # a marker may be preceded by filling 0xFF
    raise ValueError("no such segment")


def _webp_size(data: bytes) -> tuple[int, int] | None:
    if data[12:16] == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if data[12:16] == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if data[12:16] == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None


def _tiff_size(data: bytes) -> tuple[int, int] | None:
    """Of a TIFF's first picture: tags 256 and 257 of its directory, as short or long numbers."""
    order = "<" if data.startswith(b"II") else ">"
    (at,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, at)
    sides = {}
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        tag, kind = struct.unpack_from(f"{order}HH", data, entry)
        if tag in (256, 257):
            (sides[tag],) = struct.unpack_from(f"{order}{'H' if kind == 3 else 'I'}", data, entry + 8)
    return (sides[256], sides[257]) if len(sides) == 2 else None


def _largest_part(data: bytes) -> tuple[int, int] | None:
    """Of an AVIF's pictures, thumbnails and tiles, the size of the largest."""
    parts = [struct.unpack_from(">II", data, found.end() + 4) for found in re.finditer(b"ispe", data)]
    return max(parts, key=lambda part: part[0] * part[1], default=None)


def _cut_short(data: bytes) -> bool:
    """Whether a PNG or JPEG lacks its end: some decoders fill the rest with grey and say nothing."""
    if data.startswith(b"\x89PNG"):
        return b"IEND" not in data
    if data.startswith(b"\xff\xd8"):
        try:
            # Thumbnails in the header have ends of their own; within the scan this pair cannot occur.
            return data.find(b"\xff\xd9", _jpeg_segment(data, frozenset({0xDA}))) < 0
        except (struct.error, ValueError):
            return True
    return False


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
