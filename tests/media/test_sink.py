"""Videos that are written: their codec, their times, their sound, what is left of them after a kill."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import ROOT
from fake import photo, picture, write_sound
from test_live import Handler, Server

from oneshot import OneShotWarning
from oneshot.media.sink import VideoSink
from oneshot.media.video import frames

av = pytest.importorskip("av")

RATE = 16_000
BEEP = 0.1
"""Seconds that a beep lasts; one begins with each whole second."""

TIMES = [*(i / 30 for i in range(60)), *(2 + i / 10 for i in range(40))]
"""Six seconds: 30 frames a second at first, 10 later, as of a telephone in the dark."""


def flash(time: float) -> np.ndarray:
    """White while it beeps."""
    return np.full((48, 64, 3), 255 if time % 1 < BEEP else 0, np.uint8)


def beeps(path: Path, seconds: float, codec: str = "aac") -> Path:
    times = np.arange(round(seconds * RATE)) / RATE
    wave = 0.5 * np.sin(2 * np.pi * 880 * times) * (times % 1 < BEEP)
    return write_sound(path, wave, RATE, codec)


@pytest.fixture
def varying(tmp_path: Path) -> Path:
    """A video of a varying rate that flashes and beeps."""
    sound = beeps(tmp_path / "beeps.m4a", 6)
    with VideoSink(tmp_path / "v.mp4", 20, sound=sound) as sink:
        for time_ in TIMES:
            sink.write(flash(time_), time_)
    return tmp_path / "v.mp4"


def begins(path: Path) -> tuple[list[float], list[float]]:
    """When each flash and each beep begins, in seconds, as they are decoded."""
    flashes, heard = [], []
    with av.open(str(path)) as source:
        before = 0.0
        for frame in source.decode(video=0):
            bright = float(frame.to_ndarray(format="gray8").mean())
            if bright > 128 > before:
                flashes.append(float(frame.time))
            before = bright
    with av.open(str(path)) as source:
        quiet_since = -1.0
        for frame in source.decode(audio=0):
            wave = np.abs(frame.to_ndarray()[0])
            for i in np.flatnonzero(wave > 0.1):
                at = float(frame.time) + i / frame.sample_rate
                if at - quiet_since > 0.3:
                    heard.append(at)
                quiet_since = at
    return flashes, heard


def copied(source: Path, out: Path, **span: float) -> None:
    taken = frames(source, **span)  # type: ignore[arg-type]
    with VideoSink(out, taken.fps or 25, sound=source) as sink:
        for frame in taken:
            sink.write(frame.image, frame.seconds)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_pictures_and_sound_stay_together_where_the_rate_varies(
    varying: Path, tmp_path: Path, suffix: str
) -> None:
    out = tmp_path / f"o{suffix}"
    copied(varying, out)
    flashes, heard = begins(out)
    np.testing.assert_allclose(flashes, range(6), atol=0.02)
    np.testing.assert_allclose(heard, range(6), atol=0.08)  # one packet of sound
    with av.open(str(out)) as written:
        assert written.streams.video[0].codec_context.name == "h264"
        times = [float(p.pts * p.time_base) for p in written.demux(video=0) if p.pts is not None]
    np.testing.assert_allclose(sorted(times), TIMES, atol=2e-3)


@pytest.mark.parametrize("start", [0.5, 2.5])
def test_a_part_of_it_too(varying: Path, tmp_path: Path, start: float) -> None:
    copied(varying, tmp_path / "o.mp4", start=start, end=5.5)
    flashes, heard = begins(tmp_path / "o.mp4")
    expected = np.arange(np.ceil(start), 5.5) - start
    np.testing.assert_allclose(flashes, expected, atol=0.11)
    np.testing.assert_allclose(heard, expected, atol=0.11)


def test_times_of_a_part_are_right_where_opencv_would_land_elsewhere(varying: Path, tmp_path: Path) -> None:
    copied(varying, tmp_path / "v.mkv")
    got = list(frames(tmp_path / "v.mkv", start=3.0))
    np.testing.assert_allclose([f.seconds for f in got], [t for t in TIMES if t >= 3], atol=2e-3)


def test_browsers_find_the_index_of_an_mp4_at_its_beginning(varying: Path) -> None:
    data = varying.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_without_pyav_a_note_tells_what_is_missing_and_the_length_is_right(
    varying: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.warns(OneShotWarning, match=r"o\.mp4: MPEG-4 part 2, .*pip install 'oneshot-face\[video\]'"):
        copied(varying, tmp_path / "o.mp4")
    monkeypatch.undo()
    with av.open(str(tmp_path / "o.mp4")) as written:
        times = [float(f.time) for f in written.decode(video=0) if f.to_ndarray(format="gray8").mean() > 128]
    for second in range(6):  # a constant rate, and yet each flash at its time
        assert min(abs(t - second) for t in times) < 0.06


def test_an_avi_is_written_without_sound_and_that_is_said(varying: Path, tmp_path: Path) -> None:
    with pytest.warns(OneShotWarning, match=r"o\.avi: without sound"):
        copied(varying, tmp_path / "o.avi")
    assert list(frames(tmp_path / "o.avi"))[-1].seconds == pytest.approx(5.9, abs=0.06)


@pytest.fixture
def camera() -> Iterator[Server]:
    """Sends fifty pictures of Rhea, then nothing more; the connection stays."""

    class Rhea(Handler):
        def picture(self, turn: int, number: int) -> np.ndarray:
            return picture(Rhea=(20 + number % 50, 20, 80 + number % 50, 80))

    with Server(("127.0.0.1", 0), Rhea) as running:
        running.counts, running.stall, running.pause = (50,) * 9, True, 0.1
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.stall = False
        running.shutdown()


def watching(folder: Path, weights: Path, url: str) -> subprocess.Popen[str]:
    code = "import sys; from oneshot.cli import main; sys.exit(main())"
    files = ("--out", "o.mp4", "--json", "o.jsonl", "--csv", "o.csv", "--reconnect", "60")
    return subprocess.Popen(
        [sys.executable, "-c", code, "watch", url, *files, "--weights", str(weights), "--threads", "1"],
        cwd=folder,
        env={k: v for k, v in os.environ.items() if k != "ONESHOT_GALLERY"} | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent the POSIX way")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_camera_that_fell_silent_is_left_at_once_with_what_it_showed(
    tmp_path: Path, fake_weights: Path, camera: Server, sent: signal.Signals
) -> None:
    cv2.imwrite(str(tmp_path / "Rhea.png"), photo("Rhea"))
    process = watching(tmp_path, fake_weights, camera.url)
    deadline = time.monotonic() + 60
    while camera.sent < 50 and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1)
    begun = time.monotonic()
    process.send_signal(sent)
    out, err = process.communicate(timeout=60)
    assert time.monotonic() - begun < 2
    lines = [json.loads(line) for line in (tmp_path / "o.jsonl").read_text().splitlines()]
    assert len(lines) > 5 and (tmp_path / "o.csv").read_text().startswith("track,name")
    with av.open(str(tmp_path / "o.mp4")) as written:
        times = [float(frame.time) for frame in written.decode(video=0)]
    assert times == sorted(times) and times[-1] > 1
    assert times[-1] - times[0] == pytest.approx(lines[-1]["time"] - lines[0]["time"], abs=1.5)
    if sent != signal.SIGKILL:
        assert process.returncode == 0 and "unknown" in out and "Traceback" not in err
        assert len(times) == len(lines)


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent the POSIX way")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_camera_that_never_answers_is_left_at_once(
    tmp_path: Path, fake_weights: Path, sent: signal.Signals
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(60)
        process = watching(tmp_path, fake_weights, f"http://127.0.0.1:{silent.getsockname()[1]}/x.mjpg")
        connection, _ = silent.accept()
        begun = time.monotonic()
        process.send_signal(sent)
        _, err = process.communicate(timeout=60)
        connection.close()
    assert time.monotonic() - begun < 2
    assert process.returncode == 130 and "Traceback" not in err
    assert not list(tmp_path.iterdir())
