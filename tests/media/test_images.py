"""Reading pictures of every sort, and the letterbox."""

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from oneshot import OneShotError, read_image
from oneshot.media.headers import header_size
from oneshot.media.images import MAX_PIXELS, check_image, letterbox, pictures_in

# Top left blue, top right green, bottom left red, bottom right white; wider than high.
CORNERS = np.zeros((48, 64, 3), np.uint8)
CORNERS[:24, :32], CORNERS[:24, 32:], CORNERS[24:, :32], CORNERS[24:, 32:] = (
    (255, 0, 0),
    (0, 255, 0),
    (0, 0, 255),
    (255, 255, 255),
)


def encode(suffix: str, image: np.ndarray) -> bytes:
    return cv2.imencode(suffix, image)[1].tobytes()


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims to be of this size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(b"\0" * 99)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".webp", ".jpg"])
def test_reads_bgr(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"ümlaut photo{suffix}"
    path.write_bytes(encode(suffix, CORNERS))
    image = read_image(path)
    assert image.shape == (48, 64, 3) and image.dtype == np.uint8
    assert np.abs(image[12:36:23, 16:48:31].astype(int) - CORNERS[12:36:23, 16:48:31]).max() < 12


@pytest.mark.parametrize(
    ("stored", "value"),
    [
        (np.full((9, 7), 99, np.uint8), 99),
        (np.full((9, 7), 25700, np.uint16), 100),
        (np.full((9, 7, 3), 25700, np.uint16), 100),
        (np.full((9, 7, 4), 80, np.uint8), 80),
    ],
    ids=["grey", "16 bit grey", "16 bit colour", "transparent"],
)
def test_other_pixel_formats_become_bgr_uint8(tmp_path: Path, stored: np.ndarray, value: int) -> None:
    (tmp_path / "a.png").write_bytes(encode(".png", stored))
    image = read_image(str(tmp_path / "a.png"))
    assert image.shape == (9, 7, 3) and image.dtype == np.uint8
    assert np.abs(image.astype(int) - value).max() <= 1


def exif_jpeg(orientation: int) -> bytes:
    tiff = b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIHH", 0x112, 3, 1, orientation, 0) + b"\0\0\0\0"
    body = b"Exif\0\0" + tiff
    jpeg = encode(".jpg", CORNERS)
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, -1), (8, 1)])
def test_exif_turns_the_picture_upright(tmp_path: Path, orientation: int, turns: int) -> None:
    (tmp_path / "a.jpg").write_bytes(exif_jpeg(orientation))
    image, want = read_image(tmp_path / "a.jpg"), np.rot90(CORNERS, turns)
    assert image.shape == want.shape
    middles = np.ix_(*([side // 4, side * 3 // 4] for side in want.shape[:2]))  # of the four fields
    assert np.abs(image[middles].astype(int) - want[middles]).max() < 8


BAD = {
    "empty": (b"", "empty"),
    "text": (b"this is no picture", "not a picture"),
    "cut png": (encode(".png", CORNERS)[:-30], "damaged"),
    "cut jpeg": (encode(".jpg", CORNERS)[:-40], "damaged"),
    "jpeg that ends in its thumbnail": (exif_jpeg(1)[:60] + b"\xff\xd9", "damaged"),
    "head of a jpeg": (b"\xff\xd8\xff\xe0", "damaged"),
    "webp": (encode(".webp", CORNERS)[:40], "damaged"),
    "bomb": (bomb(60_000, 60_000), "60000x60000 pixels are more than"),
    "no size": (bomb(0, 10), "damaged"),
}


@pytest.mark.parametrize(("data", "message"), BAD.values(), ids=BAD.keys())
def test_bad_pictures_are_named(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "bad.jpg"
    path.write_bytes(data)
    with pytest.raises(OneShotError, match=message) as caught:
        read_image(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_missing_file_and_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(OneShotError, match="no such picture"):
        read_image(tmp_path / "none.jpg")
    with pytest.raises(OneShotError, match="is a folder"):
        read_image(tmp_path)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp"])
@pytest.mark.parametrize("size", [(64, 48), (333, 21)])
def test_header_size_is_what_decoding_gives(suffix: str, size: tuple[int, int]) -> None:
    assert header_size(encode(suffix, np.zeros((size[1], size[0], 3), np.uint8))) == size


def test_header_size_of_gifs_and_of_what_is_none() -> None:
    assert header_size(b"GIF89a" + struct.pack("<HH", 333, 21)) == (333, 21)
    assert [
        header_size(d) for d in (b"", b"GIF89a", b"BM", b"\xff\xd8\xff", b"II*\0", b"RIFF----WEBPVP8?")
    ] == [None] * 6


def test_header_size_of_a_lossless_and_a_transparent_webp() -> None:
    flat = np.full((48, 65, 4), 128, np.uint8)
    lossless = cv2.imencode(".webp", flat[..., :3], [cv2.IMWRITE_WEBP_QUALITY, 101])[1].tobytes()
    assert header_size(lossless) == (65, 48)
    assert header_size(encode(".webp", flat)) == (65, 48)


def test_the_limit_lets_large_cameras_pass() -> None:
    assert 100_000_000 < MAX_PIXELS < 1 << 28


def test_pictures_come_in_natural_order_without_hidden_ones(tmp_path: Path) -> None:
    for name in ("p10.jpg", "p2.JPG", "p1.png", ".p0.png", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert [p.name for p in pictures_in(tmp_path)] == ["p1.png", "p2.JPG", "p10.jpg"]


@pytest.mark.parametrize(
    ("size", "side", "min_side", "resized", "padded"),
    [
        ((640, 480), 640, 0, (640, 480), (640, 480)),
        ((641, 480), 640, 0, (640, 479), (640, 480)),
        ((1280, 721), 640, 0, (640, 360), (640, 384)),
        ((480, 1001), 640, 0, (307, 640), (320, 640)),
        ((100, 50), 640, 0, (100, 50), (128, 64)),
        ((100, 50), 640, 320, (320, 160), (320, 160)),
        ((400, 50), 640, 320, (400, 50), (416, 64)),
        ((1, 1), 640, 0, (1, 1), (32, 32)),
        ((9000, 3), 640, 0, (640, 1), (640, 32)),
    ],
)
def test_letterbox_sizes_and_scale(
    size: tuple[int, int], side: int, min_side: int, resized: tuple[int, int], padded: tuple[int, int]
) -> None:
    image = np.full((size[1], size[0], 3), 200, np.uint8)
    out, scale = letterbox(image, side, min_side)
    assert out.shape == (padded[1], padded[0], 3)
    np.testing.assert_allclose(scale * size, resized, rtol=1e-12)
    assert (out[: resized[1], : resized[0]] == 200).all()
    assert out.sum() == 200 * 3 * resized[0] * resized[1]  # all else is black


def test_letterbox_leaves_a_fitting_picture_untouched() -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    out, scale = letterbox(image, 640)
    assert (out == image).all() and scale.tolist() == [1, 1]


def test_letterbox_maps_positions_where_it_says() -> None:
    image = np.zeros((1500, 2001, 3), np.uint8)
    image[700:900, 1000:1300] = 255
    out, scale = letterbox(image, 640)
    rows, columns = out[..., 0].sum(1) / 255, out[..., 0].sum(0) / 255
    # The sums over a square's rows are its exact width, parts of pixels included.
    centre = np.array([columns @ (np.arange(len(columns)) + 0.5), rows @ (np.arange(len(rows)) + 0.5)])
    np.testing.assert_allclose(centre / rows.sum() / scale, (1150, 800), atol=0.1)


@pytest.mark.parametrize(
    "image", ["a.jpg", None, np.zeros((4, 4)), np.zeros((4, 4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8)]
)
def test_what_is_no_bgr_picture_is_refused(image: object) -> None:
    with pytest.raises(OneShotError, match="want a"):
        check_image(image)
