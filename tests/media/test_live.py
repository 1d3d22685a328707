"""Streams from a server of the test's own: the newest frame, and back after an interruption."""

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np
import pytest

from oneshot import OneShotError, OneShotWarning
from oneshot.media.video import frames


class Server(ThreadingHTTPServer):
    """Motion JPEG; connection k sends `counts[k]` frames, and there are no more connections than counts.

    A frame's grey value tells its connection, and the position of its white column its number.
    """

    daemon_threads = True
    sent = connections = 0
    counts: tuple[int, ...] = ()
    pause = 0.02

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/stream.mjpg"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        turn, self.server.connections = self.server.connections, self.server.connections + 1
        if turn >= len(self.server.counts):
            self.send_error(503)
            return
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        for i in range(self.server.counts[turn]):
            image = np.full((32, 400, 3), 40 + 60 * turn, np.uint8)
            image[:, i % 400] = 255
            data = cv2.imencode(".jpg", image)[1].tobytes()
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
            try:
                self.wfile.write(head.encode() + data + b"\r\n")
            except OSError:
                return
            self.server.sent += 1
            time.sleep(self.server.pause)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
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
