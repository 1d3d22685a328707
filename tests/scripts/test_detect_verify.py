"""The script from end to end with the fake network, and everything that a user can get wrong."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import ROOT
from fake import INFO, photo, picture, write_model

from oneshot import Gallery, OneShot
from oneshot.files import PARTIAL
from oneshot.media.sink import VideoSink
from oneshot.media.video import frames

SCRIPT = ROOT / "scripts" / "detect_verify.py"
KEYS = {"frame", "time", "box", "score", "landmarks", "name", "similarity", "margin", "reason", "track"}


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A folder with a video, photos and people: Rhea and Gus are known, Bo is a stranger.

    Of 40 frames (10 a second) Rhea is in all but 10..29, Gus in 0..4, Bo in 20..24.
    """
    with VideoSink(tmp_path / "party.mp4", 10) as sink:
        for i in range(40):
            rhea = {} if 10 <= i < 30 else {"Rhea": (20 + i, 20, 80 + i, 80)}
            gus = {"Gus": (200, 40, 280, 120)} if i < 5 else {}
            bo = {"Bo": (120, 120, 200, 200)} if 20 <= i < 25 else {}
            sink.write(picture(**rhea, **gus, **bo))
    people = tmp_path / "people"
    (people / "Gus").mkdir(parents=True)
    cv2.imwrite(str(people / "Rhea.png"), photo("Rhea"))
    cv2.imwrite(str(people / "Gus" / "a.png"), photo("Gus"))
    cv2.imwrite(str(tmp_path / "wall.png"), picture())
    cv2.imwrite(str(tmp_path / "photo.png"), picture(Rhea=(30, 40, 130, 160), Bo=(200, 50, 260, 110)))
    return tmp_path


@pytest.fixture
def run(
    desk: Path, detect_verify: ModuleType, fake_weights: Path, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Calls the script within this process, in `desk`; gives its exit code, stdout and stderr."""

    def call(*args: Any, weights: Path | None = fake_weights) -> tuple[int, str, str]:
        os.chdir(desk)
        chosen = ["--weights", str(weights)] if weights else []
        threads = [] if any(str(a).startswith("--threads") for a in args) else ["--threads", "1"]
        code = detect_verify.main([*map(str, args), *chosen, *threads])
        return (code, *capfd.readouterr())

    return call


@pytest.fixture(autouse=True)
def back_home() -> Any:
    here = Path.cwd()
    yield
    os.chdir(here)


def rows(table: str) -> list[list[str]]:
    """The cells of a table's rows."""
    lines = (line for line in table.splitlines() if line.startswith("│"))
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]


def test_names_on_a_video(run: Callable[..., tuple[int, str, str]], desk: Path) -> None:
    code, out, err = run("--video", "party.mp4", "--gallery", "people", "--out", "o.mp4", "--json", "o.jsonl")
    assert code == 0, err
    assert [row[1:5] for row in rows(out)] == [
        ["Rhea", "0:00.00", "0:00.90", "10"],
        ["Gus", "0:00.00", "0:00.40", "5"],
        ["unknown", "0:02.00", "0:02.40", "5"],
        ["Rhea", "0:03.00", "0:03.90", "10"],
    ]
    assert "40 frames in" in err

    lines = [json.loads(line) for line in (desk / "o.jsonl").read_text().splitlines()]
    assert len(lines) == 20 + 5 + 5 and all(set(line) == KEYS for line in lines)
    assert {(line["frame"], line["name"]) for line in lines if line["frame"] in (4, 5, 22)} == {
        (4, "Rhea"),
        (4, "Gus"),
        (5, "Rhea"),
        (22, None),
    }
    rhea = next(line for line in lines if line["frame"] == 33)
    assert rhea["time"] == pytest.approx(3.3, abs=2e-3) and rhea["similarity"] == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(rhea["box"], (53, 20, 113, 80), atol=3)
    assert np.array(rhea["landmarks"]).shape == (5, 2) and 0.5 < rhea["score"] <= 1

    drawn = list(frames(desk / "o.mp4"))
    before = list(frames(desk / "party.mp4"))
    assert len(drawn) == 40 and frames(desk / "o.mp4").fps == 10
    differ = [np.abs(a.image.astype(int) - b.image).mean() for a, b in zip(drawn, before, strict=True)]
    assert min(differ[:5]) > 3 * max(differ[10:20])  # drawn where there are faces, untouched where not
    assert not list(desk.glob(".*partial*"))


def test_without_anybody_enrolled_it_only_detects(
    run: Callable[..., tuple[int, str, str]], desk: Path
) -> None:
    code, out, _ = run("--video", "photo.png", "--json", "o.jsonl", "--out", "o.png")
    assert code == 0
    assert [row[1:] for row in rows(out)] == [["unknown", "0:00.00", "0:00.00", "1", "-", "-"]] * 2
    lines = [json.loads(line) for line in (desk / "o.jsonl").read_text().splitlines()]
    assert [(line["name"], line["similarity"]) for line in lines] == [(None, None)] * 2
    assert (cv2.imread(str(desk / "o.png")) != cv2.imread(str(desk / "photo.png"))).any()


def test_nobody_in_view(run: Callable[..., tuple[int, str, str]], desk: Path) -> None:
    code, out, _ = run("--video", "wall.png", "--gallery", "people", "--json", "o.jsonl")
    assert code == 0 and "No face seen in wall.png" in out
    assert (desk / "o.jsonl").read_text() == ""


def test_a_folder_of_photos_and_enroll(run: Callable[..., tuple[int, str, str]], desk: Path) -> None:
    enroll = ("--enroll", "Bo=people/Gus/a.png", "--enroll", "Rhea=people/Rhea.png")
    code, out, _ = run("--video", "people", *enroll)
    assert code == 0 and [row[1] for row in rows(out)] == ["Rhea"]
    code, out, _ = run("--video", "people/Gus", *enroll)
    assert code == 0 and [row[1] for row in rows(out)] == ["Bo"]


def test_a_saved_gallery(run: Callable[..., tuple[int, str, str]], desk: Path, model: OneShot) -> None:
    Gallery.from_folder(desk / "people", model).save(desk / "g.npz")
    code, out, _ = run("--video", "photo.png", "--gallery", "g.npz")
    assert code == 0 and sorted(row[1] for row in rows(out)) == ["Rhea", "unknown"]


def test_every_and_side(run: Callable[..., tuple[int, str, str]], desk: Path) -> None:
    code, _, err = run(
        "--video", "party.mp4", "--every", 4, "--out", "o.avi", "--json", "o.jsonl", "--side", 160
    )
    assert code == 0 and "10 frames in" in err
    assert len(list(frames(desk / "o.avi"))) == 10 and frames(desk / "o.avi").fps == 2.5
    numbers = {json.loads(line)["frame"] for line in (desk / "o.jsonl").read_text().splitlines()}
    assert numbers == {0, 4, 8, 20, 24, 32, 36}


def test_far_and_threshold_decide(run: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    def names(*args: Any, **info: Any) -> list[str]:
        code, out, err = run("--video", "photo.png", "--gallery", "people", *args, weights=write(**info))
        assert code == 0, err
        return sorted(row[1] for row in rows(out))

    def write(**info: Any) -> Path:
        return write_model(tmp_path / "other.onnx", **info)

    never = {"thresholds": {"1e-2": -1.0, "1e-3": 2.0}}
    assert names(**never) == ["unknown"] * 2
    assert names("--far", "0.01", **never) == ["Rhea", "unknown"]  # nobody is in a picture twice
    assert names("--threshold", "0.9", **never) == ["Rhea", "unknown"]
    assert names("--threshold", "0.9", thresholds=None) == ["Rhea", "unknown"]


def test_the_largest_face_is_enrolled_with_a_note(run: Callable[..., tuple[int, str, str]]) -> None:
    code, out, err = run("--video", "photo.png", "--enroll", "Rhea=photo.png")
    assert code == 0 and sorted(row[1] for row in rows(out)) == ["Rhea", "unknown"]
    assert "note: photo.png: 2 faces found, the largest is enrolled" in err


def test_an_error_half_way_keeps_what_was_written(
    run: Callable[..., tuple[int, str, str]], desk: Path
) -> None:
    album = desk / "album"
    album.mkdir()
    for i in range(3):
        cv2.imwrite(str(album / f"{i}.png"), picture(Rhea=(30, 40, 130, 160)))
    (album / "2.png").write_text("no picture")
    code, _, err = run("--video", "album", "--out", "o.mp4", "--json", "o.jsonl")
    assert code == 2 and "2.png" in err and len(err.splitlines()) == 1
    assert len(list(frames(desk / "o.mp4"))) == 2
    assert len((desk / "o.jsonl").read_text().splitlines()) == 2


def test_an_error_before_the_first_frame_leaves_older_files(
    run: Callable[..., tuple[int, str, str]], desk: Path
) -> None:
    (desk / "broken.png").write_text("no picture")
    (desk / "o.jsonl").write_text("older")
    (desk / "o.jpg").write_text("older")
    assert run("--video", "broken.png", "--out", "o.jpg", "--json", "o.jsonl")[0] == 2
    assert (desk / "o.jsonl").read_text() == (desk / "o.jpg").read_text() == "older"
    assert not list(desk.glob(".*partial*"))


VIDEO = ("--video", "party.mp4")
PHOTO = ("--video", "photo.png")

BAD: dict[str, tuple[tuple[Any, ...], str]] = {
    "no source": ((), "--video"),
    "missing video": (("--video", "none.mp4"), "none.mp4: no such"),
    "empty video": (("--video", "bad/empty.mp4"), "empty.mp4: the file is empty"),
    "no video": (("--video", "bad/noise.mp4"), "noise.mp4: cannot be opened"),
    "cut video": (("--video", "bad/cut.mp4"), "cut.mp4: no frame can be read"),
    "text": (("--video", "bad/notes.txt"), "notes.txt: cannot be opened"),
    "damaged photo": (("--video", "bad/cut.png"), "cut.png: not a picture"),
    "huge photo": (("--video", "bad/bomb.bmp"), "pixels are more than"),
    "empty folder": (("--video", "bad/empty"), "no pictures in this folder"),
    "no camera": (("--video", "97", "--reconnect", "0"), "camera 97: cannot be opened"),
    "missing gallery": ((*PHOTO, "--gallery", "none"), "none: no such folder"),
    "missing saved gallery": ((*PHOTO, "--gallery", "none.npz"), "none.npz: no such gallery"),
    "photo as gallery": ((*PHOTO, "--gallery", "photo.png"), "photo.png: no such folder"),
    "empty gallery": ((*PHOTO, "--gallery", "bad/empty"), "no photos in it"),
    "person without photos": ((*PHOTO, "--gallery", "bad/nobody"), "Ada: no photo"),
    "gallery photo without a face": ((*PHOTO, "--gallery", "bad/faceless"), "wall.png: no face found"),
    "damaged saved gallery": ((*PHOTO, "--gallery", "bad/g.npz"), "g.npz: not a gallery"),
    "saved gallery of other weights": ((*PHOTO, "--gallery", "bad/other.npz"), "other.npz: made with other"),
    "enroll without a name": ((*PHOTO, "--enroll", "photo.png"), "NAME=PHOTO"),
    "enroll with an empty name": ((*PHOTO, "--enroll", "=photo.png"), "NAME=PHOTO"),
    "enroll a missing photo": ((*PHOTO, "--enroll", "Ada=none.jpg"), "none.jpg: no such picture"),
    "enroll without a face": ((*PHOTO, "--enroll", "Ada=wall.png"), "wall.png: no face found"),
    "enroll a video": ((*PHOTO, "--enroll", "Ada=party.mp4"), "party.mp4: not a picture"),
    "unknown rate": ((*PHOTO, "--far", "1e-7"), "choose from 1e-2, 1e-3, 1e-4"),
    "rate that is no number": ((*PHOTO, "--far", "often"), "far=often"),
    "threshold that is no number": ((*PHOTO, "--threshold", "high"), "'--threshold': 'high' is not a valid"),
    "threshold out of range": ((*PHOTO, "--threshold", "1.5"), "-1<=x<=1"),
    "threshold nan": ((*PHOTO, "--threshold", "nan"), "nan is no number"),
    "side 0": ((*PHOTO, "--side", "0"), "32<=x<=16384"),
    "side too small for min-side": ((*PHOTO, "--side", "64", "--min-side", "320"), "min_side=320"),
    "every 0": ((*PHOTO, "--every", "0"), "'--every': 0 is not in the range"),
    "threads -1": ((*PHOTO, "--threads=-1"), "'--threads': -1 is not in the range"),
    "unknown option": ((*PHOTO, "--thresold", "0.4"), "--thresold"),
    "missing weights": ((*PHOTO, "--weights", "none.onnx"), "none.onnx: no such weights file"),
    "damaged weights": ((*PHOTO, "--weights", "bad/bad.onnx"), "bad.onnx: ONNX Runtime cannot load"),
    "weights of another kind": ((*PHOTO, "--weights", "model.pt"), "model.pt: weights end in"),
    "out of an unknown kind": ((*VIDEO, "--out", "o.xyz"), "o.xyz: cannot write this kind"),
    "out in a missing folder": ((*VIDEO, "--out", "none/o.mp4"), "the folder none does not exist"),
    "out is a folder": ((*VIDEO, "--out", "people"), "people: is a folder"),
    "out is the input": ((*VIDEO, "--out", "party.mp4"), "is the input itself"),
    "a picture of a video": ((*VIDEO, "--out", "o.png"), "a picture cannot hold party.mp4"),
    "json in a missing folder": ((*VIDEO, "--json", "none/o.jsonl"), "the folder none does not exist"),
    "json is out": ((*VIDEO, "--out", "o.mp4", "--json", "o.mp4"), "two outputs have the same name"),
}


@pytest.fixture
def bad(desk: Path) -> Path:
    """Everything that is wrong, in desk/bad."""
    folder = desk / "bad"
    for name in ("empty", "nobody/Ada", "faceless"):
        (folder / name).mkdir(parents=True)
    (folder / "empty.mp4").touch()
    (folder / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(5000))
    (folder / "cut.mp4").write_bytes((desk / "party.mp4").read_bytes()[:2000])
    (folder / "notes.txt").write_text("just words")
    (folder / "cut.png").write_bytes((desk / "photo.png").read_bytes()[:-40])
    cv2.imwrite(str(folder / "bomb.bmp"), np.zeros((4, 4, 3), np.uint8))
    header = bytearray((folder / "bomb.bmp").read_bytes())
    header[18:26] = (100_000).to_bytes(4, "little") * 2
    (folder / "bomb.bmp").write_bytes(header)
    cv2.imwrite(str(folder / "faceless" / "wall.png"), picture())
    (folder / "g.npz").write_bytes(b"PK\x03\x04 nothing")
    (folder / "bad.onnx").write_bytes(b"no network")
    other = OneShot(write_model(folder / "other.onnx", weights_sha256="0" * 64))
    Gallery.from_folder(desk / "people", other).save(folder / "other.npz")
    return folder


@pytest.mark.usefixtures("bad")
@pytest.mark.parametrize(("args", "message"), BAD.values(), ids=BAD.keys())
def test_what_is_wrong_is_said_in_one_line(
    run: Callable[..., tuple[int, str, str]],
    desk: Path,
    fake_weights: Path,
    args: tuple[Any, ...],
    message: str,
) -> None:
    before = {p: p.stat().st_mtime_ns for p in desk.rglob("*") if p.is_file()}
    code, out, err = run(*args, weights=None if "--weights" in args else fake_weights)
    assert code == 2, out
    assert message in err
    assert err.startswith("error: ") and len(err.splitlines()) == 1 and "Traceback" not in err
    assert {
        p: p.stat().st_mtime_ns for p in desk.rglob("*") if p.is_file()
    } == before  # nothing is written or lost


def start(*args: Any, cwd: Path) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), *map(str, args)],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a shell that runs the tests in the background has told them, and so their children, to ignore it
        preexec_fn=_heed_ctrl_c,
    )


def _heed_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.mark.usefixtures("bad")
@pytest.mark.parametrize(
    "case", ["no video", "damaged photo", "no camera", "damaged weights", "unknown option"]
)
def test_as_a_command_it_says_one_line_and_exits_with_2(desk: Path, fake_weights: Path, case: str) -> None:
    """In a process of its own, where libraries write to stderr past Python."""
    args, message = BAD[case]
    process = start(*args, *([] if "--weights" in args else ["--weights", fake_weights]), cwd=desk)
    out, err = process.communicate(timeout=600)
    assert (process.returncode, out) == (2, "")
    assert message in err and len(err.splitlines()) == 1


def test_help_is_no_error(desk: Path) -> None:
    process = start("--help", cwd=desk)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0 and "--gallery" in out and err == ""


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent the POSIX way")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_finishes_the_files(desk: Path, fake_weights: Path, sent: signal.Signals) -> None:
    with VideoSink(desk / "long.avi", 10) as sink:
        for _ in range(1500):
            sink.write(picture(Rhea=(20, 20, 80, 80)))
    args = (
        "--video",
        "long.avi",
        "--out",
        "o.avi",
        "--json",
        "o.jsonl",
        "--weights",
        fake_weights,
        "--threads",
        1,
    )
    process = start(*args, "--gallery", "people", cwd=desk)
    deadline = time.monotonic() + 600

    def begun() -> bool:
        with contextlib.suppress(FileNotFoundError):  # one that is tried for writing comes and goes
            return any(p.stat().st_size for p in desk.glob(f"{PARTIAL}*.avi"))
        return False

    while not begun() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(sent)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 130, err
    written = len(list(frames(desk / "o.avi")))
    lines = [json.loads(line) for line in (desk / "o.jsonl").read_text().splitlines()]
    assert 1 <= written < 1500 and abs(len(lines) - written) <= 1
    assert "Rhea" in out and "Traceback" not in err
    assert not list(desk.glob(".*partial*"))


def test_the_thresholds_by_rate_are_those_of_the_weights() -> None:
    assert set(INFO["thresholds"]) == {"1e-2", "1e-3", "1e-4"}
