"""Cameras and streams: read in a thread nobody waits for long, and back again after an interruption."""

import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterator

import cv2
import numpy as np

from oneshot.errors import OneShotWarning
from oneshot.types import Frame

FIRST_WAIT, LONGEST_WAIT = 0.25, 8.0
"""Seconds before the first and, twice as long each time, the later attempts to connect again."""

GLANCE = 0.2
"""Seconds that a wait takes at a time: Ctrl-C is not seen in one without end."""

PARTING = 0.5
"""Seconds that the reading thread has to let go; one that hangs in a driver is left behind."""

_threads: set[threading.Thread] = set()
"""Those that open and read, while they do."""

Open = Callable[[], cv2.VideoCapture]
Frames = Generator[Frame, None, None]


def first_connection(name: str, connect: Open, patience: float, timeout: float) -> cv2.VideoCapture | None:
    """The source, opened in a thread of its own; None where that fails, again and again for `patience` s.

    Args:
        timeout: seconds that a single attempt may take.
    """
    given_up = threading.Event()
    done = threading.Event()
    found: list[cv2.VideoCapture] = []

    def work() -> None:
        try:
            capture = connect()
            if not capture.isOpened() and patience:
                note = f"{name}: cannot be opened; going on trying for {patience:g} s"
                warnings.warn(note, OneShotWarning, stacklevel=2)
                capture = _again(connect, patience, given_up) or capture
            if given_up.is_set() or not capture.isOpened():
                capture.release()
            else:
                found.append(capture)
        finally:
            done.set()

    _start(work, f"opener of {name}")
    deadline = time.monotonic() + patience + timeout + 1
    try:
        while not done.wait(GLANCE) and time.monotonic() < deadline:
            pass
    finally:
        given_up.set()
    return found[0] if found else None


def _again(connect: Open, patience: float, stop: threading.Event) -> cv2.VideoCapture | None:
    deadline, wait = time.monotonic() + patience, FIRST_WAIT
    while time.monotonic() < deadline and not stop.wait(wait):
        capture = connect()
        if capture.isOpened():
            return capture
        capture.release()
        wait = min(2 * wait, LONGEST_WAIT)
    return None


def live(
    name: str,
    capture: cv2.VideoCapture,
    connect: Open,
    every: int,
    patience: float,
    stop: threading.Event,
) -> Frames:
    """Each `every`-th frame of a camera or stream, by its number and the time at which it came.

    Args:
        capture: the source, opened; `connect` opens it again.
        patience: seconds to go on trying after an interruption; 0 ends there.
        stop: ends it.
    """
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # a queue of old frames is what makes cameras lag
    start, number = time.monotonic(), 0
    try:
        while not stop.is_set():
            if not capture.grab():
                capture.release()
                if not patience or stop.is_set():
                    return
                note = f"{name}: interrupted; going on trying for {patience:g} s"
                warnings.warn(note, OneShotWarning, stacklevel=2)
                again = _again(connect, patience, stop)
                if again is None:
                    if not stop.is_set():
                        note = f"{name}: lost, and not back within {patience:g} s"
                        warnings.warn(note, OneShotWarning, stacklevel=2)
                    return
                capture = again
                continue
            if number % every == 0:
                ok, image = capture.retrieve()
                if ok:
                    yield Frame(number, time.monotonic() - start, np.asarray(image, np.uint8))
            number += 1
    finally:
        capture.release()


def in_background(
    name: str, read: Callable[[threading.Event], Frames], newest: bool, longest: float
) -> Iterator[Frame]:
    """What `read` gives, read in a thread of its own, so that a wait for a frame can be interrupted.

    Args:
        read: makes the frames; it is given what asks it to stop.
        newest: give the newest frame only, and pass over those that came while nobody asked; else all.
        longest: seconds without a frame after which a thread is taken to hang.

    Raises:
        what `read` raises.
    """
    changed = threading.Condition()
    stop = threading.Event()
    waiting: list[Frame] = []
    failed: list[BaseException] = []
    ended = False

    def work() -> None:
        nonlocal ended
        reading = read(stop)
        try:
            for frame in reading:
                with changed:
                    while waiting and not newest and not stop.is_set():
                        changed.wait(GLANCE)
                    waiting[:] = [frame]
                    changed.notify_all()
                if stop.is_set():
                    break
        except BaseException as error:
            failed.append(error)
        finally:
            reading.close()  # which releases the source
            with changed:
                ended = True
                changed.notify_all()

    reader = _start(work, f"reader of {name}")
    try:
        while True:
            deadline = time.monotonic() + longest
            with changed:
                while not waiting and not ended and time.monotonic() < deadline:
                    changed.wait(GLANCE)
                frame = waiting.pop() if waiting else None
                changed.notify_all()
            if frame is None:
                break
            yield frame
    finally:
        stop.set()
        reader.join(PARTING)
    if failed:
        raise failed[0]
    if not ended:
        note = f"{name}: nothing came for {longest:.0f} s; given up"
        warnings.warn(note, OneShotWarning, stacklevel=2)


def left_behind() -> bool:
    """Whether a thread still hangs in a driver or on the network; Python cannot end in good order then.

    It would stop the thread within OpenCV, which aborts the process.
    """
    _threads.difference_update([thread for thread in _threads if not thread.is_alive()])
    return bool(_threads)


def _start(work: Callable[[], None], name: str) -> threading.Thread:
    thread = threading.Thread(target=work, name=name, daemon=True)
    thread.start()
    left_behind()  # forget those that have ended
    _threads.add(thread)
    return thread
