"""One kind of source for a picture, a folder of them, a video, a camera and a stream."""

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2

from oneshot.errors import OneShotError
from oneshot.media import capture
from oneshot.media.images import pictures_in, read_image
from oneshot.media.kinds import is_picture
from oneshot.media.live import first_connection, in_background, live
from oneshot.types import Frame

FOLDER_FPS = 1.0
"""A folder's pictures are taken to be a second apart."""

TIMEOUT = 10.0
"""Seconds without an answer after which a camera or a stream is taken to be interrupted."""

NO_VIDEO = "not a video that OpenCV can read, or a damaged one; convert or fetch it again"


@dataclass(frozen=True)
class Source:
    """Where frames come from; iterate over it to get them, once. Made by `frames`.

    Leaving it as a context manager lets go of what was opened; so does coming to the end.

    Attributes:
        name: what to call it in messages.
        total: how many frames it will give, None where nobody knows; a video's own count may be a bit off.
        fps: frames a second, not counting those left out by `every`; None where there is no such rate.
        live: it has no end of its own (a camera, a stream).
        photos: it is a picture or a folder of them, not the moments of one scene.
    """

    name: str
    total: int | None
    fps: float | None
    live: bool
    photos: bool
    _read: Callable[[], Iterator[Frame]]
    _close: Callable[[], None] = lambda: None

    def __iter__(self) -> Iterator[Frame]:
        return self._read()

    def __enter__(self) -> "Source":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()


def frames(
    source: str | Path | int,
    every: int = 1,
    start: float = 0.0,
    end: float | None = None,
    reconnect: float = 0.0,
    timeout: float = TIMEOUT,
) -> Source:
    """Open a picture, a folder of pictures, a video file, a camera by its number, or a stream by its address.

    Of all frames only each `every`-th is decoded and given; numbers and times stay those of the source (after
    `start`, the numbers of a video whose rate varies are estimates). Of a camera or a stream always the
    newest is given, with the time at which it came: whoever is too slow for all of them misses some.

    Args:
        start, end: seconds; frames before and after are left out. Of what is live only `end` counts.
        reconnect: seconds to go on trying when a camera or a stream is interrupted, or off at the start; 0
            gives up at once.
        timeout: seconds without an answer after which a camera or a stream is taken to be interrupted.

    Raises:
        OneShotError: there is no such thing, or it holds no frame; and while iterating: a damaged picture, or
            a video of which nothing can be decoded.
    """
    if every < 1:
        raise OneShotError(f"every={every} is out of range; give 1 for every frame, 2 for every other ...")
    if start < 0 or (end is not None and end <= start):
        raise OneShotError(f"from {start} to {end} s there is nothing; give an end after the start")
    if timeout <= 0:
        raise OneShotError(f"timeout={timeout} is out of range; give seconds above 0")
    span = (start, math.inf if end is None else end)
    text = str(source)
    path = Path(text)
    if isinstance(source, int) or (text.isdecimal() and not path.exists()):
        remedy = "is it connected, and free?"
        return _remote(int(text), f"camera {text}", remedy, every, span, reconnect, timeout)
    if "://" in text:
        remedy = "is the address right, and the sender on?"
        return _remote(text, text, remedy, every, span, reconnect, timeout)
    if path.is_dir():
        return _folder(path, every, span)
    if not path.exists():
        raise OneShotError(f"{text}: no such picture, video or folder; check the name")
    if path.stat().st_size == 0:
        raise OneShotError(f"{text}: the file is empty; fetch it again")
    if is_picture(path):
        return Source(text, 1, None, False, True, lambda: iter([Frame(0, 0.0, read_image(path))]))
    return _file(text, every, span)


def _folder(path: Path, every: int, span: tuple[float, float]) -> Source:
    everything = pictures_in(path)
    if not everything:
        raise OneShotError(f"{path}: no pictures in this folder; give one that has some")
    pictures = [
        (i, picture)
        for i, picture in enumerate(everything)
        if i % every == 0 and span[0] <= i / FOLDER_FPS < span[1]
    ]
    if not pictures:
        raise OneShotError(f"{path}: ends before {span[0]:g} s; give an earlier start")

    def read() -> Iterator[Frame]:
        for i, picture in pictures:
            yield Frame(i, i / FOLDER_FPS, read_image(picture))

    return Source(str(path), len(pictures), FOLDER_FPS / every, False, True, read)


def _file(name: str, every: int, span: tuple[float, float]) -> Source:
    video = capture.connect(name, TIMEOUT)
    if not video.isOpened():
        raise OneShotError(f"{name}: cannot be opened; {NO_VIDEO}")
    capture.check_size(name, video)
    fps, total = _facts(video, every, span)
    if span[0]:
        capture.jump(video, span[0])
    return Source(
        name,
        total,
        fps,
        live=False,
        photos=False,
        _read=lambda: capture.recorded(name, NO_VIDEO, video, every, span),
        _close=video.release,
    )


def _remote(
    where: str | int,
    name: str,
    remedy: str,
    every: int,
    span: tuple[float, float],
    reconnect: float,
    timeout: float,
) -> Source:
    def connect() -> cv2.VideoCapture:
        video = capture.connect(where, timeout)
        if span[0] and video.get(cv2.CAP_PROP_FRAME_COUNT) > 0:  # here, since the thread may wait for it
            capture.jump(video, span[0])
        return video

    video = first_connection(name, connect, reconnect, timeout)
    if video is None:
        raise OneShotError(f"{name}: cannot be opened; {remedy}")
    capture.check_size(name, video)
    fps, total = _facts(video, every, span)
    endless = total is None  # a file on a server has an end, and all of it is wanted

    def read() -> Iterator[Frame]:
        frame = None
        for frame in in_background(
            name,
            lambda stop: (
                live(name, video, connect, every, reconnect, stop)
                if endless
                else capture.recorded(name, remedy, video, every, span)
            ),
            newest=endless,
            longest=timeout + reconnect + 1,
        ):
            if frame.seconds >= span[1]:
                return
            yield frame
        if frame is None:
            raise OneShotError(f"{name}: no frame can be read from it; {remedy}")

    return Source(name, total, fps, live=endless, photos=False, _read=read)


def _facts(video: cv2.VideoCapture, every: int, span: tuple[float, float]) -> tuple[float | None, int | None]:
    """Frames a second and in all that will be given, as far as anybody knows."""
    fps, count = capture.rate(video), video.get(cv2.CAP_PROP_FRAME_COUNT)
    if count <= 0:
        return fps and fps / every, None
    first, last = (span[0] * fps, min(count, span[1] * fps)) if fps else (0, count)
    return fps and fps / every, max(1, math.ceil((last - round(first)) / every))


def silence_libraries() -> None:
    """Keep OpenCV and FFmpeg from writing to the terminal; call it before the first video is opened."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    logging: Any = cv2 if hasattr(cv2, "setLogLevel") else cv2.utils.logging  # OpenCV 4 and 5
    logging.setLogLevel(0)
