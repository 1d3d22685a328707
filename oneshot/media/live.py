"""Cameras and streams: always the newest frame, and back again after an interruption."""

import threading
import time
import warnings
from collections.abc import Callable, Iterator
from typing import NamedTuple

import cv2
import numpy as np

from oneshot.errors import OneShotWarning
from oneshot.types import Image

FIRST_WAIT, LONGEST_WAIT = 0.25, 8.0
"""Seconds before the first and, twice as long each time, the later attempts to connect again."""

Open = Callable[[], cv2.VideoCapture]


class Shot(NamedTuple):
    """A frame's number since the start, the seconds since then, and the picture (H, W, 3) BGR uint8."""

    number: int
    seconds: float
    image: Image


class Latest:
    """Reads a live source in a thread of its own and keeps only the newest frame: who is slow misses some.

    Args:
        name: what to call it in messages.
        capture: the source, opened.
        reopen: opens it again.
        every: only each such frame is given.
        reconnect: seconds to go on trying after an interruption; 0 ends there.
    """

    def __init__(self, name: str, capture: cv2.VideoCapture, reopen: Open, every: int, reconnect: float):
        self.name, self.every, self.reconnect = name, every, reconnect
        self._capture, self._reopen = capture, reopen
        self._changed = threading.Condition()
        self._shot: Shot | None = None
        self._stop = threading.Event()
        self._ended = False

    def __iter__(self) -> Iterator[Shot]:
        reader = threading.Thread(target=self._read, name=f"reader of {self.name}", daemon=True)
        reader.start()
        given = -1
        try:
            while True:
                with self._changed:
                    while not self._ended and (self._shot is None or self._shot.number == given):
                        self._changed.wait(0.5)  # Ctrl-C is not seen in a wait without end
                    shot = self._shot
                if shot is None or shot.number == given:
                    break
                given = shot.number
                yield shot
        finally:
            self._stop.set()
            reader.join()
        if self.reconnect:
            note = f"{self.name}: lost, and not back within {self.reconnect:g} s"
            warnings.warn(note, OneShotWarning, stacklevel=2)

    def _read(self) -> None:
        start, number = time.monotonic(), 0
        try:
            while not self._stop.is_set():
                if not self._capture.grab():
                    if not self._connected_again():
                        return
                    continue
                if number % self.every == 0:
                    ok, image = self._capture.retrieve()
                    if ok:
                        with self._changed:
                            picture = np.asarray(image, np.uint8)
                            self._shot = Shot(number, time.monotonic() - start, picture)
                            self._changed.notify_all()
                number += 1
        finally:
            self._capture.release()
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _connected_again(self) -> bool:
        self._capture.release()
        deadline, wait = time.monotonic() + self.reconnect, FIRST_WAIT
        while time.monotonic() < deadline and not self._stop.wait(wait):
            self._capture = self._reopen()
            if self._capture.isOpened():
                return True
            wait = min(2 * wait, LONGEST_WAIT)
        return False
