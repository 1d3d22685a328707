"""Every format, turned every way, damaged or not."""

import base64
import io
import struct
import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from oneshot import OneShotError, OneShotWarning, extras, read_image
from oneshot.media.kinds import kind_of

# Top left blue, top right green, bottom left red, bottom right white, in BGR; wider than high.
CORNERS = np.zeros((48, 64, 3), np.uint8)
CORNERS[:24, :32], CORNERS[:24, 32:], CORNERS[24:, :32], CORNERS[24:, 32:] = (
    (255, 0, 0),
    (0, 255, 0),
    (0, 0, 255),
    (255, 255, 255),
)
STORED = {
    1: None,
    2: Pillow.Transpose.FLIP_LEFT_RIGHT,
    3: Pillow.Transpose.ROTATE_180,
    4: Pillow.Transpose.FLIP_TOP_BOTTOM,
    5: Pillow.Transpose.TRANSPOSE,
    6: Pillow.Transpose.ROTATE_90,
    7: Pillow.Transpose.TRANSVERSE,
    8: Pillow.Transpose.ROTATE_270,
}
"""How a picture is stored that EXIF's number turns upright."""

FORMATS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95},
    "PNG": {},
    "WEBP": {"quality": 95},
    "TIFF": {},
    "AVIF": {"quality": 95},
    "MPO": {"quality": 95},
}

# A 64 x 48 picture of four colours, as a phone stores it: by itself, and turned by the format's own box.
HEIC = {
    1: (
        "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAX1tZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAA"
        "AAAAACJpbG9jAAAAAERAAAEAAQAAAAABoQABAAAAAAAAANcAAAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAABAABodmMxAAAA"
        "AA5waXRtAAAAAAABAAAA/WlwcnAAAADdaXBjbwAAAHZodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNw"
        "AAADAJAAAAMAAAMAHroCQGEAAQAqQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbq5Ka5uAhoMCAAAAMDIAAAAwAhYgABAAZEAcFz"
        "wIkAAAATY29scm5jbHgAAQANAAaAAAAAFGlzcGUAAAAAAAAAQAAAAEAAAAAoY2xhcAAAAEAAAAABAAAAMAAAAAEAAAAAAAAA"
        "Av////AAAAACAAAAEHBpeGkAAAAAAwgICAAAABhpcG1hAAAAAAAAAAEAAQWBAgMFhAAAAN9tZGF0AAAA0ygBrwngIzUt//cm"
        "/vfoXP/40BHTu79ShW2Jkv+A22/qvbX36O9N/+gKO/6Iqb/HrpqoElN1//JanS6LyxxADOi6670CeESzmzG0Ffyif2IieYD+"
        "BmifA2Y4AArgUjSzvN/2jXrANALffoaBAKYfKFr+qIsjiZwEJW4uAUwXwAONq/x4cR+5kq/UR/zhVkkADjav8eHEfuZKv1Ef"
        "84U1Ou3FZtRZtkUIusTVYfoLWf/6Mx28sIaC4zamNOun0/d9YK/a+i35qkZXnxzfEdX4dffz35Q="
    ),
    6: (
        "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAchtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAA"
        "AAAAADRpbG9jAAAAAERAAAIAAQAAAAAB7AABAAAAAAAAAFsAAgAAAAACRwABAAAAAAAAACQAAAA4aWluZgAAAAAAAgAAABVp"
        "bmZlAgAAAAABAABodmMxAAAAABVpbmZlAgAAAQACAABFeGlmAAAAAA5waXRtAAAAAAABAAABB2lwcnAAAADmaXBjbwAAAHZo"
        "dmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQAqQgEBA3AAAAMAkAAA"
        "AwAAAwAeoCCBBZbq5Ka5uAhoMCAAAAMDIAAAAwAhYgABAAZEAcFzwIkAAAATY29scm5jbHgAAQANAAaAAAAAFGlzcGUAAAAA"
        "AAAAQAAAAEAAAAAoY2xhcAAAADAAAAABAAAAQAAAAAH////wAAAAAgAAAAAAAAACAAAAEHBpeGkAAAAAAwgICAAAAAlpcm90"
        "AwAAABlpcG1hAAAAAAAAAAEAAQaBAgMFhIYAAAAaaXJlZgAAAAAAAAAOY2RzYwACAAEAAQAAAIdtZGF0AAAAVygBrwng48Ca"
        "lq/ss//+/EP/9FVTG74rdv1t3fqLfwupCocYwHNAgcLejr3t/WPz4q9aN//Be2x8bv63W+RA7lTsKIFn8dB+QLX1Bw/XWjMP"
        "UPGc7ZNIfAAAAAZFeGlmAABNTQAqAAAACAABARIAAwAAAAEABgAAAAAAAA=="
    ),
}


def upright(image: np.ndarray) -> bool:
    """Whether this is CORNERS, but for a lossy codec and the size."""
    height, width = image.shape[:2]
    middles = np.ix_((height // 4, height * 3 // 4), (width // 4, width * 3 // 4))
    want = CORNERS[np.ix_((12, 36), (16, 48))]
    return (
        image.dtype == np.uint8
        and width > height
        and bool((abs(image[middles] - want.astype(int)) < 30).all())
    )


def stored(kind: str, orientation: int, **options: Any) -> bytes:
    picture = Pillow.fromarray(CORNERS[..., ::-1])
    turn, exif, file = STORED[orientation], Pillow.Exif(), io.BytesIO()
    exif[0x112] = orientation
    (picture if turn is None else picture.transpose(turn)).save(file, kind, exif=exif, **options)
    return file.getvalue()


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_is_turned_upright(kind: str, orientation: int) -> None:
    assert upright(read_image(stored(kind, orientation, **FORMATS[kind])))


@pytest.mark.parametrize("orientation", HEIC)
def test_heic_is_turned_upright(orientation: int) -> None:
    data = base64.b64decode(HEIC[orientation])
    assert kind_of(data) == "heif" and upright(read_image(data))


def raw_photo(bgr: np.ndarray) -> bytes:
    """A raw photo in Adobe's form (DNG): one colour a pixel, red green above green blue."""
    height, width = bgr.shape[:2]
    one = np.empty((height, width), "<u2")
    for y, x in ((0, 0), (0, 1), (1, 0), (1, 1)):
        one[y::2, x::2] = bgr[y::2, x::2, 2 - x - y].astype(np.uint16) * 257
    thousandths = (3241, -1537, -499, -969, 1876, 42, 56, -204, 1057)
    tags = [(254, "I", [0]), (256, "I", [width]), (257, "I", [height]), (258, "H", [16]), (259, "H", [1])]
    tags += [(262, "H", [32803]), (273, "I", [8]), (277, "H", [1]), (278, "I", [height])]
    tags += [(279, "I", [one.nbytes]), (33421, "H", [2, 2]), (33422, "B", [0, 1, 1, 2])]
    tags += [(50706, "B", [1, 4, 0, 0]), (50717, "I", [65535])]
    tags += [(50721, "i", [part for value in thousandths for part in (value, 1000)])]
    kinds = {"B": 1, "H": 3, "I": 4, "i": 10}
    at = 8 + one.nbytes
    end = at + 2 + 12 * len(tags) + 4
    entries, more = struct.pack("<H", len(tags)), b""
    for tag, kind, values in tags:
        data = struct.pack(f"<{len(values)}{kind}", *values)
        count = len(values) // (2 if kind == "i" else 1)
        place = data.ljust(4, b"\0") if len(data) <= 4 else struct.pack("<I", end + len(more))
        entries += struct.pack("<HHI", tag, kinds[kind], count) + place
        more += data if len(data) > 4 else b""
    return b"II*\0" + struct.pack("<I", at) + one.tobytes() + entries + b"\0" * 4 + more


def test_raw_photos_are_developed(tmp_path: Path) -> None:
    path = tmp_path / "a.dng"
    path.write_bytes(raw_photo(CORNERS.repeat(4, 0).repeat(4, 1)))
    assert upright(read_image(path)) and upright(read_image(path.read_bytes()))
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(OneShotError, match=r"a\.dng: not a picture"):
        read_image(path)


@pytest.mark.parametrize(("module", "data"), [("pi_heif", base64.b64decode(HEIC[1])), ("rawpy", b"")])
@pytest.mark.parametrize("state", ["missing", "broken"])
def test_a_missing_extra_is_a_sentence(
    module: str, data: bytes, state: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fails(name: str) -> None:
        if state == "missing":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        raise ImportError("numpy.core.multiarray failed to import")

    monkeypatch.setattr(extras.importlib, "import_module", fails)
    path = tmp_path / "a.dng"
    path.write_bytes(data or raw_photo(CORNERS))
    wanted = f"needs {module}" + (", which does not load" if state == "broken" else ";")
    with pytest.raises(OneShotError, match=rf"a\.dng: .*{wanted}.*pip install 'oneshot-face\[formats\]'"):
        read_image(path)


def jpeg(progressive: bool = False) -> bytes:
    """A JPEG with detail everywhere."""
    noise = np.random.default_rng(0).integers(0, 255, (24, 32, 3), np.uint8)
    file = io.BytesIO()
    Pillow.fromarray(cv2.resize(noise, (640, 480))).save(file, "JPEG", quality=95, progressive=progressive)
    return file.getvalue()


def hole(data: bytes) -> bytes:
    return data[: len(data) // 2] + b"\0" * 2000 + data[len(data) // 2 + 2000 :]


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize(
    ("damage", "answer"),
    [
        (lambda data: data, "whole"),
        (lambda data: data[:-2], "whole"),  # viewers show it
        (lambda data: data + b"\0" * 999, "whole"),
        (lambda data: data[: int(0.97 * len(data))], "note"),
        (hole, "note"),
        (lambda data: data[: len(data) // 4], "refused or note"),
        (lambda data: data[:300], "refused"),
    ],
)
def test_damaged_jpegs_are_taken_with_a_note_or_refused(damage: Any, answer: str, progressive: bool) -> None:
    data = damage(jpeg(progressive))
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        try:
            image = read_image(data)
        except OneShotError as error:
            assert "damaged" in str(error) and (
                "refused" in answer and not (progressive and "note" in answer)
            )
            return
    if answer == "whole":
        assert not notes and (image == read_image(jpeg(progressive))).all()
    else:
        assert [note.category for note in notes] == [OneShotWarning] and "damaged" in str(notes[0].message)
        assert answer == "note" or progressive  # a coarse picture of all of it is there


def test_the_pixels_are_opencvs() -> None:
    assert (read_image(jpeg()) == cv2.imdecode(np.frombuffer(jpeg(), np.uint8), cv2.IMREAD_COLOR)).all()


@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview, io.BytesIO])
def test_bytes_and_open_files_are_read(wrap: Any) -> None:
    assert upright(read_image(wrap(stored("PNG", 1))))


def test_an_open_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"words")
    with path.open("rb") as file, pytest.raises(OneShotError, match=r"a\.jpg: not a picture"):
        read_image(file)
    with path.open() as text, pytest.raises(OneShotError, match=r"a\.jpg: is open for reading text"):
        read_image(text)  # type: ignore[arg-type]
