"""Streams from a server of the test's own: the newest frame, and back after an interruption."""

import socket
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest

from oneshot import OneShotError, OneShotWarning
from oneshot.media.sink import VideoSink
from oneshot.media.video import frames


class Server(ThreadingHTTPServer):
    """Motion JPEG; connection k sends `counts[k]` frames, and there are no more connections than counts.

    The first `refuse` requests are refused; with `stall` a connection stays when its frames are sent.
    A frame's grey value tells its connection, and the position of its white column its number.
    """

    daemon_threads = True
    sent = connections = 0
    counts: tuple[int, ...] = ()
    pause = 0.02
    refuse = 0
    stall = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/stream.mjpg"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        if self.server.refuse:
            self.server.refuse -= 1
            self.send_error(503)
            return
        turn, self.server.connections = self.server.connections, self.server.connections + 1
        if turn >= len(self.server.counts):
            self.send_error(503)
            return
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        for i in range(self.server.counts[turn]):
            data = cv2.imencode(".jpg", self.picture(turn, i))[1].tobytes()
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
            try:
                self.wfile.write(head.encode() + data + b"\r\n")
            except OSError:
                return
            self.server.sent += 1
            time.sleep(self.server.pause)
        while self.server.stall:  # the connection stays, and nothing comes
            time.sleep(0.05)

    def picture(self, turn: int, number: int) -> np.ndarray:
        image = np.full((32, 400, 3), 40 + 60 * turn, np.uint8)
        image[:, number % 400] = 255
        return image

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.stall = False
        running.shutdown()


def column(image: np.ndarray) -> int:
    return int(image[16, :, 0].argmax())


def test_who_is_slow_gets_the_newest_frame(server: Server) -> None:
    server.counts = (300,)
    source = frames(server.url)
    assert source.live and source.total is None
    behind, numbers = [], []
    for frame in source:
        behind.append(server.sent - column(frame.image))
        numbers.append(frame.number)
        time.sleep(0.2)  # ten times slower than the stream
        if len(numbers) == 12:
            break
    assert numbers == sorted(set(numbers)) and numbers[-1] > 50  # most were passed over
    # What the decoder holds back at the start stays the same: it does not fall behind further.
    assert behind[-1] <= behind[0] + 40


def test_it_ends_where_the_stream_does(server: Server) -> None:
    server.counts = (20, 20)
    got = list(frames(server.url))
    assert got and {round(float(f.image.min()), -1) for f in got} == {40.0}
    assert server.connections <= 2  # the second at most for looking what it is


def test_after_an_interruption_it_goes_on(server: Server) -> None:
    server.counts = (30, 30, 30, 30)
    levels, seconds = set(), []
    with pytest.warns(OneShotWarning, match="lost, and not back within 2 s"):
        for frame in frames(server.url, reconnect=2.0):
            levels.add(round(float(frame.image.min()), -1))
            seconds.append(frame.seconds)
    assert len(levels) >= 3  # several connections
    assert seconds == sorted(seconds)


def test_every_and_end(server: Server) -> None:
    server.counts = (300,)
    got = list(frames(server.url, every=5, end=1.0))
    assert got and all(f.number % 5 == 0 and f.seconds < 1 for f in got)


def test_nobody_sends(server: Server) -> None:
    server.counts = ()
    with pytest.raises(OneShotError, match=r"stream\.mjpg: cannot be opened; is the address right"):
        frames(server.url)


def test_a_camera_that_is_off_at_the_start_is_waited_for(server: Server) -> None:
    server.counts, server.refuse = (60,) * 5, 2
    with pytest.warns(OneShotWarning, match="cannot be opened; going on trying for 5 s"):
        source = frames(server.url, reconnect=5.0)
    assert next(iter(source)).image.shape == (32, 400, 3) and server.refuse == 0


def test_a_stream_that_falls_silent_is_interrupted_after_the_timeout(server: Server) -> None:
    server.counts, server.stall = (40, 40), True
    begun = time.monotonic()
    got = list(frames(server.url, timeout=1.0))
    assert got and time.monotonic() - begun < 8
    server.counts = (40,) * 6
    with pytest.warns(OneShotWarning, match="interrupted; going on trying for 3 s"):
        levels = set()
        for frame in frames(server.url, timeout=1.0, reconnect=3.0):
            levels.add(round(float(frame.image.min()), -1))
            if len(levels) == 2:
                break


def test_a_server_that_never_answers_is_given_up_after_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        begun = time.monotonic()
        with pytest.raises(OneShotError, match="cannot be opened; is the address right"):
            frames(f"http://127.0.0.1:{silent.getsockname()[1]}/x.mjpg", timeout=1.0)
        assert time.monotonic() - begun < 5


def test_a_file_on_a_server_is_read_whole_however_slow_the_reader(server: Server, tmp_path: Path) -> None:
    with VideoSink(tmp_path / "v.mp4", 20) as sink:
        for i in range(30):
            sink.write(np.full((48, 64, 3), 8 * i, np.uint8))
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as files:
        threading.Thread(target=files.serve_forever, daemon=True).start()
        source = frames(f"http://127.0.0.1:{files.server_port}/v.mp4", every=2)
        assert not source.live and source.total == 15
        got = []
        for frame in source:
            got.append(frame.number)
            time.sleep(0.01)
        files.shutdown()
    assert got == [*range(0, 30, 2)]
