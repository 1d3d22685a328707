"""What OpenCV opens and reads: video files, cameras, streams."""

import warnings
from collections.abc import Generator

import cv2
import numpy as np

from oneshot.errors import OneShotError, OneShotWarning
from oneshot.media.images import MAX_PIXELS
from oneshot.types import Frame

FASTEST = 240.0
"""Frames a second; who states more states the ticks of a clock (1,000 in WebM, 90,000 in streams)."""


def connect(where: str | int, timeout: float) -> cv2.VideoCapture:
    """Open a video, a stream by its address, or a camera by its number.

    Args:
        timeout: seconds after which opening, and later the wait for a frame, is given up. Of a camera's
            number OpenCV takes none.
    """
    if isinstance(where, int):
        return cv2.VideoCapture(where, cv2.CAP_ANY)
    milliseconds = round(1000 * timeout)
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, milliseconds, cv2.CAP_PROP_READ_TIMEOUT_MSEC, milliseconds]
    # Of OpenCV's other readers some take broken files for good ones, and write to the terminal.
    return cv2.VideoCapture(where, cv2.CAP_FFMPEG, limits)


def check_size(name: str, capture: cv2.VideoCapture) -> None:
    """Raise OneShotError, and release it, where its frames have more than MAX_PIXELS."""
    width, height = (capture.get(side) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    if width * height > MAX_PIXELS:
        capture.release()
        raise OneShotError(
            f"{name}: {width:.0f}x{height:.0f} pixels are more than {MAX_PIXELS:,}; make it smaller first"
        )


def rate(capture: cv2.VideoCapture) -> float | None:
    """Frames a second, None where nobody knows."""
    stated = capture.get(cv2.CAP_PROP_FPS)
    return stated if 0 < stated <= FASTEST else None


def recorded(
    name: str, remedy: str, capture: cv2.VideoCapture, every: int, span: tuple[float, float]
) -> Generator[Frame, None, None]:
    """Each `every`-th frame of a video within a span of seconds, at its own time; releases it at the end.

    Raises:
        OneShotError: nothing can be decoded.
    """
    fps = capture.get(cv2.CAP_PROP_FPS)
    length = max(0.0, capture.get(cv2.CAP_PROP_FRAME_COUNT) / fps if fps > 0 else 0.0)
    try:
        index = first = max(0, round(capture.get(cv2.CAP_PROP_POS_FRAMES))) if span[0] else 0
        seconds, given = -1.0, False
        while capture.grab():
            now = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            # Some containers state no times, or the same for all frames.
            seconds = now if now > seconds else index / fps if fps > 0 else seconds
            if seconds >= span[1]:
                return
            # A jump may land a little before the time asked for.
            if index % every == 0 and seconds >= span[0] - 1e-3:
                ok, image = capture.retrieve()
                if not ok:
                    break
                given = True
                yield Frame(index, seconds, np.asarray(image, np.uint8))
            index += 1
    finally:
        capture.release()
    if span[0] and not given:
        raise OneShotError(f"{name}: ends before {span[0]:g} s; give an earlier start")
    if index == first:
        raise OneShotError(f"{name}: no frame can be read from it; {remedy}")
    if length and seconds + 1 / fps < 0.9 * length:
        note = f"{name}: ended after {seconds:.1f} of the {length:.1f} s it announces; it may be damaged"
        warnings.warn(note, OneShotWarning, stacklevel=2)


def jump(capture: cv2.VideoCapture, seconds: float) -> None:
    """Go to the frame at that time, to an earlier one, or to the first.

    OpenCV jumps by counting frames, and lands too late, or beyond the end, where their rate varies.
    """

    def go() -> None:
        capture.set(cv2.CAP_PROP_POS_MSEC, 1000 * seconds)

    go()
    if capture.grab() and capture.get(cv2.CAP_PROP_POS_MSEC) <= 1000 * seconds + 1:
        go()
    else:
        capture.set(cv2.CAP_PROP_POS_FRAMES, 0)
