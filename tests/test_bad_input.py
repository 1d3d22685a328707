"""Everything that users hand over by mistake: one clear sentence, exit code 2, nothing written, nothing lost.

And what is odd but right: it is taken.
"""

import os
import sqlite3
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from fake import photo, picture, write_model

from oneshot import Gallery, OneShot
from oneshot.cli import main
from oneshot.media.sink import VideoSink

RHEA = picture(Rhea=(20, 20, 120, 120))
Make = Callable[[Path], object]
USUAL = ("identify", "{}", "-g", "good.db")


def raw(data: bytes) -> Make:
    return lambda path: path.write_bytes(data)


def encoded(suffix: str, image: np.ndarray = RHEA) -> bytes:
    return cv2.imencode(suffix, image)[1].tobytes()


def image(content: np.ndarray) -> Make:
    return lambda path: path.write_bytes(encoded(path.suffix, content))


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int) -> bytes:
    """A few bytes that claim to be so large."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")


def tiff(width: int, height: int) -> bytes:
    entries = [(256, 4, width), (257, 4, height)]
    body = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + body + b"\0" * 4


def avif(width: int, height: int) -> bytes:
    return b"\0\0\0\x20ftypavif" + b"\0" * 20 + struct.pack(">I4sIII", 20, b"ispe", 0, width, height)


def cut(data: bytes, keep: float) -> bytes:
    return data[: int(keep * len(data))]


NOISY = np.random.default_rng(1).integers(0, 256, (240, 320, 3), np.uint8)
NOISE = np.random.default_rng(0).bytes(4000)
BOMB = "pixels are more than 134,217,728; make it smaller first"
NO_PICTURE = "not a picture that can be read, or a damaged one"

PICTURES: dict[str, tuple[str, Make, str]] = {
    "missing": ("a.jpg", lambda path: None, "a.jpg: no such picture; check the name"),
    "empty": ("a.jpg", raw(b""), "a.jpg: the file is empty; fetch it again"),
    "a folder": ("a.jpg", lambda path: path.mkdir(), "a.jpg: is a folder, not a picture"),
    "words": ("a.jpg", raw(b"just words, and no picture"), NO_PICTURE),
    "random bytes": ("a.png", raw(NOISE), NO_PICTURE),
    "PDF": ("a.jpg", raw(b"%PDF-1.7\n" + NOISE), NO_PICTURE),
    "HTML, as servers send it for errors": ("a.jpg", raw(b"<!doctype html><p>404"), NO_PICTURE),
    "truncated JPEG": ("a.jpg", raw(cut(encoded(".jpg"), 0.6)), NO_PICTURE),
    "truncated PNG": ("a.png", raw(cut(encoded(".png"), 0.8)), NO_PICTURE),
    "only a header": ("a.png", raw(encoded(".png")[:16]), NO_PICTURE),
    "JPEG without pictures": ("a.jpg", raw(b"\xff\xd8\xff\xd9"), NO_PICTURE),
    "no pixels": ("a.png", raw(png(0, 0)), NO_PICTURE),
    "PNG bomb": ("a.png", raw(png(100_000, 100_000)), f"a.png: 100000x100000 {BOMB}"),
    "GIF bomb": ("a.gif", raw(b"GIF89a" + struct.pack("<HH", 65535, 65535) + b"\0" * 50), BOMB),
    "TIFF bomb": ("a.tif", raw(tiff(60_000, 60_000)), f"60000x60000 {BOMB}"),
    "AVIF bomb": ("a.avif", raw(avif(50_000, 50_000)), f"50000x50000 {BOMB}"),
    "PNM bomb": ("a.ppm", raw(b"P6\n# so large\n99999 99999\n255\n" + b"\0" * 50), f"99999x99999 {BOMB}"),
    "JPEG 2000 bomb": (
        "a.jp2",
        raw(b"\xff\x4f\xff\x51" + struct.pack(">HHII", 47, 0, 1 << 20, 1 << 20)),
        BOMB,
    ),
    "JPEG of which most is missing": ("a.jpg", raw(cut(encoded(".jpg", NOISY), 0.4)), NO_PICTURE),
    "an address": ("https://example.com/a.jpg", lambda path: None, "a.jpg: is an address; fetch it first"),
    "a home that no shell replaced": (
        "~/a.jpg",
        lambda path: None,
        "~ stands for your home only in the shell",
    ),
    "a name that is not UTF-8": (os.fsdecode(b"m\xfcller.jpg"), raw(NOISE), NO_PICTURE),
    "a video as photo": ("a.avi", lambda path: video(path), NO_PICTURE),
    "a name with a line break": ("a\nb.jpg", raw(NOISE), NO_PICTURE),
}

GALLERIES: dict[str, tuple[str, Make, str]] = {
    "missing gallery": ("g.db", lambda path: None, "g.db: no such gallery; make one with oneshot enroll"),
    "empty gallery": ("g.db", raw(b""), "g.db: the file is empty"),
    "corrupt gallery": ("g.db", raw(NOISE), "g.db: not a gallery, or a damaged one"),
    "truncated gallery": ("g.db", lambda path: path.write_bytes(cut(saved(), 0.4)), "a damaged one"),
    "another program's SQLite file": ("g.db", lambda path: foreign(path), "g.db: not a gallery; give a file"),
    "gallery of other weights": (
        "g.db",
        lambda path: others(path),
        "g.db: made with other weights (000000000000)",
    ),
    "missing export": ("g.npz", lambda path: None, "g.npz: no such gallery"),
    "corrupt export": ("g.npz", raw(b"PK\x03\x04 nothing"), "g.npz: not a gallery, or a damaged one"),
    "pickle as export": (
        "g.npz",
        lambda path: np.savez(path, names=np.array([{}], object)),
        "g.npz: not a gallery, or a damaged one",
    ),
    "a photo as gallery": ("g.png", image(RHEA), "g.png: no such folder"),
    "a gallery folder without photos": ("g", lambda path: path.mkdir(), "g: no photos in it"),
    "a person's folder without photos": (
        "g",
        lambda path: (path / "Ada").mkdir(parents=True),
        "Ada: no photo",
    ),
    "a faceless gallery photo": (
        "g",
        lambda path: (path.mkdir(), (path / "wall.png").write_bytes(encoded(".png", picture()))),
        "wall.png: no face found",
    ),
}

WEIGHTS: dict[str, tuple[str, Make, str]] = {
    "missing weights": ("w.onnx", lambda path: None, "w.onnx: no such weights file"),
    "random bytes as weights": ("w.onnx", raw(NOISE), "w.onnx: ONNX Runtime cannot load it"),
    "empty weights": ("w.onnx", raw(b""), "w.onnx: ONNX Runtime cannot load it"),
    "pickled weights": ("w.pt", raw(b"\x80\x04K\x01."), "w.pt: weights end in .onnx, .ort or .safetensors"),
}

VIDEOS: dict[str, tuple[str, Make, str]] = {
    "missing video": ("v.mp4", lambda path: None, "v.mp4: no such picture, video or folder"),
    "empty video": ("v.mp4", raw(b""), "v.mp4: the file is empty"),
    "random bytes as video": ("v.mp4", raw(NOISE), "v.mp4: cannot be opened; not a video"),
    "truncated video": (
        "v.mp4",
        lambda path: path.write_bytes(cut(video_bytes(".mp4"), 0.5)),
        "v.mp4: no frame can be read",
    ),
    "video without frames": ("v.avi", lambda path: frameless(path), "v.avi"),
    "folder without frames": ("v", lambda path: path.mkdir(), "v: no pictures in this folder"),
    "a folder with a damaged frame": (
        "v",
        lambda path: (path.mkdir(), raw(NOISE)(path / "1.png")),
        "1.png: not a",
    ),
    "camera absent": ("97", lambda path: None, "camera 97: cannot be opened; is it connected"),
    "stream that nobody sends": (
        "rtsp://127.0.0.1:9/x",
        lambda path: None,
        "cannot be opened; is the address",
    ),
}

OUTPUTS: dict[str, tuple[str, Make, str]] = {
    "output into a folder that is not there": ("no/o.jsonl", lambda path: None, "no does not exist; create"),
    "output that is a folder": ("o", lambda path: path.mkdir(), "o: is a folder; give a file name"),
    "output where nothing can be made": (
        "/proc/o.jsonl",
        lambda path: None,
        "/proc/o.jsonl: cannot be written",
    ),
    "output of too long a name": ("o" * 300, lambda path: None, "cannot be written (File name too long)"),
    "output that is a link to itself": ("o", lambda path: path.symlink_to(path.name), "o: cannot be written"),
    "output to a full device": ("/dev/full", lambda path: None, "/dev/full: cannot be written (No space"),
}

ENROLMENTS: dict[str, tuple[str, Make, str]] = {
    "no face": ("a.png", image(picture()), "a.png: no face found in it"),
    "two faces where one is wanted": (
        "a.png",
        image(picture(Rhea=(10, 10, 90, 90), Gus=(120, 10, 200, 90))),
        "a.png: 2 faces found; crop it to the one meant",
    ),
    "a tiny face": (
        "a.png",
        image(picture(Rhea=(10, 10, 30, 30))),
        "a.png: the face is too small (20 pixels",
    ),
    "a blurred face": ("a.png", image(RHEA), "a.png: the face is blurred"),
}

CASES = (
    [(kind, USUAL, *case) for kind, case in PICTURES.items()]
    + [(kind, ("identify", "rhea.png", "-g", "{}"), *case) for kind, case in GALLERIES.items()]
    + [
        (kind, ("identify", "rhea.png", "-g", "good.db", "--weights", "{}"), *case)
        for kind, case in WEIGHTS.items()
    ]
    + [
        (kind, ("watch", "{}", "-g", "good.db", "--json", "o.jsonl", "--reconnect", "0"), *case)
        for kind, case in VIDEOS.items()
    ]
    + [
        (kind, ("identify", "rhea.png", "-g", "good.db", "--json", "{}"), *case)
        for kind, case in OUTPUTS.items()
    ]
    + [(kind, ("enroll", "Zoe", "{}", "-g", "good.db"), *case) for kind, case in ENROLMENTS.items()]
)


def video(path: Path) -> None:
    with VideoSink(path, 10) as sink:
        for _ in range(5):
            sink.write(RHEA)


def video_bytes(suffix: str) -> bytes:
    path = Path(f"whole{suffix}")
    video(path)
    data = path.read_bytes()
    path.unlink()
    return data


def frameless(path: Path) -> None:
    data = video_bytes(".avi")
    path.write_bytes(data[: data.index(b"movi") + 4])


def saved() -> bytes:
    return Path("good.db").read_bytes()


def foreign(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE invoices (id)")


def others(path: Path) -> None:
    other = OneShot(write_model(path.with_suffix(".onnx"), weights_sha256="0" * 64), threads=1)
    with Gallery(other, path) as gallery:
        gallery.enroll("Rhea", [RHEA])


@pytest.fixture
def desk(tmp_path: Path, model: OneShot, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A gallery that knows Rhea, and a photo of her."""
    monkeypatch.chdir(tmp_path)
    for variable in ("ONESHOT_GALLERY", "ONESHOT_KEY", "ONESHOT_KEY_FILE"):
        monkeypatch.delenv(variable, raising=False)
    Path("rhea.png").write_bytes(encoded(".png"))
    with Gallery(model, "good.db") as gallery:
        gallery.enroll("Rhea", [photo("Rhea")])
    return tmp_path


def run(arguments: tuple[str, ...], weights: Path) -> int:
    chosen = () if "--weights" in arguments else ("--weights", str(weights))
    return main([*arguments, *chosen, "--threads", "1"])


def test_there_are_forty_kinds() -> None:
    assert len({kind for kind, *_ in CASES}) == len(CASES) >= 40


@pytest.mark.parametrize(
    ("kind", "command", "name", "make", "message"), CASES, ids=[case[0] for case in CASES]
)
def test_bad_input_is_one_sentence(
    desk: Path,
    fake_weights: Path,
    capfd: pytest.CaptureFixture[str],
    kind: str,
    command: tuple[str, ...],
    name: str,
    make: Make,
    message: str,
) -> None:
    make(Path(name))
    before = {path: path.read_bytes() for path in desk.rglob("*") if path.is_file()}
    capfd.readouterr()
    code = run(tuple(part.format(name) for part in command), fake_weights)
    out, err = capfd.readouterr()
    assert code == 2 and out == ""
    assert err.startswith("error: ") and len(err.splitlines()) == 1 and "Traceback" not in err
    assert message in err
    after = {path: path.read_bytes() for path in desk.rglob("*") if path.is_file()}
    assert {path: after.get(path) for path in before} == before  # nothing is lost
    assert {path.name for path in after.keys() - before.keys()} <= {"o.jsonl"}  # of a folder's good frames


def oriented(jpeg: bytes, orientation: int) -> bytes:
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0" + bytes([orientation]) + b"\0\0\0\0\0\0"
    return jpeg[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + jpeg[2:]


def cmyk(path: Path) -> None:
    from PIL import Image as Pillow

    Pillow.fromarray(RHEA[..., ::-1]).convert("CMYK").save(path, quality=95)


def animated(path: Path) -> None:
    from PIL import Image as Pillow

    first, second = (Pillow.fromarray(i[..., ::-1]) for i in (RHEA, picture()))
    first.save(path, save_all=True, append_images=[second])


WIDE = np.full((10, 30_000, 3), 15, np.uint8)

ODD: dict[str, tuple[str, Make, bool]] = {
    "Unicode and blanks in the name": ("Jos\u00e9 \u674e \U0001f600 [bold].png", image(RHEA), True),
    "EXIF-rotated": ("a.jpg", lambda path: path.write_bytes(oriented(encoded(".jpg"), 6)), True),
    "RGBA": ("a.png", image(np.dstack((RHEA, np.full(RHEA.shape[:2], 128, np.uint8)))), True),
    "16 bits": ("a.png", image(RHEA.astype(np.uint16) * 257), True),
    "CMYK": ("a.jpg", cmyk, True),
    "animated": ("a.gif", animated, True),
    "a name that is not UTF-8": (os.fsdecode(b"m\xfcller.png"), image(RHEA), True),
    "no suffix": ("photo", lambda path: path.write_bytes(encoded(".png")), True),
    "JFIF": ("a.jfif", lambda path: path.write_bytes(encoded(".jpg")), True),
    "JPEG without its last two bytes": ("a.jpg", lambda path: path.write_bytes(encoded(".jpg")[:-2]), True),
    "the wrong suffix": ("a.jpg", lambda path: path.write_bytes(encoded(".png")), True),
    "grey": ("a.png", image(RHEA[..., 0]), False),
    "1x1": ("a.png", image(RHEA[:1, :1]), False),
    "30,000x10": ("a.png", image(WIDE), False),
    "10x30,000": ("a.png", image(np.ascontiguousarray(WIDE.transpose(1, 0, 2))), False),
}


@pytest.mark.usefixtures("desk")
@pytest.mark.parametrize(("name", "make", "known"), ODD.values(), ids=ODD.keys())
def test_odd_but_right_pictures_are_taken(
    fake_weights: Path, capfd: pytest.CaptureFixture[str], name: str, make: Make, known: bool
) -> None:
    make(Path(name))
    assert run(("identify", name, "-g", "good.db"), fake_weights) == 0
    out, err = capfd.readouterr()
    assert "cannot tell" in out if known else "no face found" in out  # her square is as blurred as can be
    assert "error" not in err and "note" not in err
