"""A picture's bytes become pixels: by OpenCV, and by Pillow, libheif and LibRaw where it is not enough."""

import io
import struct
import warnings
from collections.abc import Callable

import cv2
import numpy as np
import simplejpeg
from PIL import ExifTags, ImageOps
from PIL import Image as Pillow

from oneshot import extras
from oneshot.errors import OneShotError, OneShotWarning
from oneshot.media.headers import cut_short, header_size, raw_tiff
from oneshot.media.kinds import HEAD, PACKAGES, kind_of
from oneshot.types import Image

MAX_PIXELS = 1 << 27
"""134 million: larger than any camera's picture. A few kilobytes can claim to be billions of pixels."""

MISSING = 0.25
"""The share of a JPEG's rows that may lack before it is refused."""

EMPTY = 128
"""The grey that libjpeg fills lacking rows with."""

TURNS: dict[int, Callable[[Image], Image]] = {
    2: np.fliplr,
    3: lambda image: np.rot90(image, 2),
    4: np.flipud,
    5: lambda image: image.transpose(1, 0, 2),
    6: lambda image: np.rot90(image, -1),
    7: lambda image: np.rot90(image, 2).transpose(1, 0, 2),
    8: np.rot90,
}
"""By EXIF's number for the orientation."""

DAMAGED = "not a picture that can be read, or a damaged one; convert or fetch it again"


class _DamageError(Exception):
    """The bytes are no whole picture."""


def decode(data: bytes, name: str, max_pixels: int = MAX_PIXELS) -> Image:
    """An upright (H, W, 3) BGR uint8 picture.

    Args:
        name: what to call it in messages.
        max_pixels: more are refused before they are decoded.

    Raises:
        OneShotError: not a picture, a damaged one, one of over max_pixels, or a package is missing for it.
    """
    kind = kind_of(data[:HEAD])
    if kind == "tiff" and raw_tiff(data):
        kind = "raw"
    if kind is None:
        raise OneShotError(f"{name}: {DAMAGED}")
    try:
        if kind != "raw":  # LibRaw says it itself
            size = header_size(data)
            if size is None or min(size) < 1:  # then nobody knows how much memory it would take
                raise _DamageError
            _check_size(size, name, max_pixels)
        return _upright(kind, data, name, max_pixels)
    except _DamageError:
        raise OneShotError(f"{name}: {DAMAGED}") from None


def _upright(kind: str, data: bytes, name: str, max_pixels: int) -> Image:
    by_kind: dict[str, Callable[[bytes, str, int], Image]] = {
        "jpeg": _jpeg,
        "heif": _heif,
        "raw": _raw,
        "avif": _pillow,  # OpenCV knows nothing of its rotation,
        "webp": _pillow,  # OpenCV 4.9 nothing of this one's, and GIF it cannot read
        "gif": _pillow,
    }
    return by_kind.get(kind, _opencv)(data, name, max_pixels)


def _check_size(size: tuple[int, int], name: str, max_pixels: int) -> None:
    if size[0] * size[1] > max_pixels:
        raise OneShotError(
            f"{name}: {size[0]}x{size[1]} pixels are more than {max_pixels:,}; make it smaller first"
        )


def _opencv(data: bytes, name: str, max_pixels: int) -> Image:
    if cut_short(data):
        raise _DamageError
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        raise _DamageError from None
    if image is None or image.dtype != np.uint8 or image.ndim != 3 or 0 in image.shape:
        raise _DamageError
    return np.asarray(image, np.uint8)


def _pillow(data: bytes, name: str, max_pixels: int) -> Image:
    """By Pillow, which turns pictures as EXIF, or AVIF's and HEIF's own boxes, say."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large pictures it warns; here they have a limit
            with Pillow.open(io.BytesIO(data)) as picture:
                _check_size(picture.size, name, max_pixels)
                pixels = np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
    except (OSError, ValueError, SyntaxError, EOFError, LookupError, RuntimeError, struct.error, TypeError):
        raise _DamageError from None
    return np.ascontiguousarray(pixels[..., ::-1])


def _jpeg(data: bytes, name: str, max_pixels: int) -> Image:
    """By libjpeg-turbo's own interface, which tells whether anything was damaged; OpenCV keeps that back."""
    data += b"\xff\xd9"  # viewers show what lacks no more than this, and so does this
    if cut_short(data):  # it ends within its header
        raise _DamageError
    try:
        if "CMYK" in (colours := simplejpeg.decode_jpeg_header(data)[2]) or "YCCK" in colours:
            return _opencv(data, name, max_pixels)
        try:
            return _turned(simplejpeg.decode_jpeg(data, "BGR", strict=True), data)
        except ValueError as error:
            fault = str(error).split(": ")[-1].strip()
            image = simplejpeg.decode_jpeg(data, "BGR", strict=False)
    except ValueError:
        raise _DamageError from None
    empty = (image == EMPTY).all((1, 2))
    lost = len(empty) - 1 - int(np.flatnonzero(~empty).max(initial=-1))
    if lost > MISSING * len(empty):
        raise _DamageError
    note = f"{name}: damaged ({fault}), and read as far as it goes; fetch it again"
    warnings.warn(note, OneShotWarning, stacklevel=2)
    return _turned(image, data)


def _turned(image: Image, data: bytes) -> Image:
    """A picture turned as the EXIF note in its file says; a damaged note is none."""
    try:
        with Pillow.open(io.BytesIO(data)) as picture:
            orientation = picture.getexif().get(ExifTags.Base.Orientation, 1)
    except (OSError, ValueError, SyntaxError, LookupError, struct.error, TypeError):
        orientation = 1
    turn = TURNS.get(orientation)
    return image if turn is None else np.ascontiguousarray(turn(image))


def _heif(data: bytes, name: str, max_pixels: int) -> Image:
    extras.load(PACKAGES["heif"], f"{name}: a HEIC photo", "formats").register_heif_opener()
    return _pillow(data, name, max_pixels)


def _raw(data: bytes, name: str, max_pixels: int) -> Image:
    rawpy = extras.load(PACKAGES["raw"], f"{name}: a raw photo", "formats")
    try:
        with rawpy.imread(io.BytesIO(data)) as raw:
            _check_size((raw.sizes.width, raw.sizes.height), name, max_pixels)
            pixels = raw.postprocess(use_camera_wb=True, output_bps=8)
    except (rawpy.LibRawError, ValueError, OSError):
        raise _DamageError from None
    return np.ascontiguousarray(pixels[..., ::-1])
