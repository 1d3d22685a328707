"""Moving pictures in and out: one kind of source for picture, folder, video, camera, stream; and one sink."""

import math
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import cv2
import numpy as np

from oneshot.errors import OneShotError, OneShotWarning
from oneshot.files import check_writable, replacing
from oneshot.media.images import IMAGE_SUFFIXES, MAX_PIXELS, pictures_in, read_image
from oneshot.media.kinds import is_picture
from oneshot.media.live import Latest
from oneshot.types import Image

FOLDER_FPS = 1.0
"""A folder's pictures are taken to be a second apart."""

CODECS = {".mp4": "mp4v", ".mov": "mp4v", ".mkv": "mp4v", ".avi": "MJPG"}
"""What every OpenCV wheel can write."""


class Frame(NamedTuple):
    """One picture of a source: its number from 0, its time in seconds, and the (H, W, 3) BGR uint8 array."""

    number: int
    seconds: float
    image: Image


@dataclass(frozen=True)
class Source:
    """Where frames come from; iterate over it to get them. Made by `frames`.

    Attributes:
        name: what to call it in messages.
        total: how many frames it will give, None where nobody knows; a video's own count may be a bit off.
        fps: frames a second, not counting those left out by `every`; None where there is no such rate.
        live: it has no end of its own (a camera, a stream).
        still: it is a single picture.
    """

    name: str
    total: int | None
    fps: float | None
    live: bool
    still: bool
    _read: Callable[[], Iterator[Frame]]

    def __iter__(self) -> Iterator[Frame]:
        return self._read()


def frames(
    source: str | Path | int,
    every: int = 1,
    start: float = 0.0,
    end: float | None = None,
    reconnect: float = 0.0,
) -> Source:
    """Open a picture, a folder of pictures, a video file, a camera by its number, or a stream by its address.

    Of all frames only each `every`-th is decoded and given; indices and times stay those of the source. Of a
    camera or a stream always the newest is given: whoever is too slow for all of them misses some.

    Args:
        start, end: seconds; frames before and after are left out. Of what is live only `end` counts.
        reconnect: seconds to go on trying when a camera or a stream is interrupted; 0 ends there.

    Raises:
        OneShotError: there is no such thing, or it holds no frame; and while iterating: a damaged picture, or
            a video of which nothing can be decoded.
    """
    if every < 1:
        raise OneShotError(f"every={every} is out of range; give 1 for every frame, 2 for every other ...")
    if start < 0 or (end is not None and end <= start):
        raise OneShotError(f"from {start} to {end} s there is nothing; give an end after the start")
    span = (start, math.inf if end is None else end)
    text = str(source)
    path = Path(text)
    if isinstance(source, int) or (text.isdecimal() and not path.exists()):
        return _capture(
            int(text), f"camera {text}", "is it connected, and free?", every, span, reconnect, live=True
        )
    if "://" in text:
        return _capture(
            text, text, "is the address right, and the sender on?", every, span, reconnect, live=True
        )
    if path.is_dir():
        return _folder(path, every, span)
    if not path.exists():
        raise OneShotError(f"{text}: no such picture, video or folder; check the name")
    if path.stat().st_size == 0:
        raise OneShotError(f"{text}: the file is empty; fetch it again")
    if is_picture(path):
        return Source(text, 1, None, False, True, lambda: iter([Frame(0, 0.0, read_image(path))]))
    return _capture(
        text,
        text,
        "not a video that OpenCV can read, or a damaged one; convert or fetch it again",
        every,
        span,
    )


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

    return Source(str(path), len(pictures), FOLDER_FPS / every, False, False, read)


def _capture(
    where: str | int,
    name: str,
    remedy: str,
    every: int,
    span: tuple[float, float],
    reconnect: float = 0.0,
    live: bool = False,
) -> Source:
    def connect() -> cv2.VideoCapture:
        # Of OpenCV's other readers some take broken files for good ones, and write to the terminal.
        return cv2.VideoCapture(where, cv2.CAP_ANY if isinstance(where, int) else cv2.CAP_FFMPEG)

    capture = connect()
    if not capture.isOpened():
        raise OneShotError(f"{name}: cannot be opened; {remedy}")
    width, height = (capture.get(side) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    if width * height > MAX_PIXELS:
        capture.release()
        raise OneShotError(
            f"{name}: {width:.0f}x{height:.0f} pixels are more than {MAX_PIXELS:,}; make it smaller first"
        )
    stated = capture.get(cv2.CAP_PROP_FPS)
    fps = stated if 0 < stated < 1000 else None  # streams may say 0, or their clock's 90,000
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    live = live and count <= 0  # a file on a server has an end, and all of it is wanted
    first = 0
    if span[0] and not live:
        capture.set(cv2.CAP_PROP_POS_MSEC, 1000 * span[0])
        first = max(0, round(capture.get(cv2.CAP_PROP_POS_FRAMES)))
    last = min(float(count), span[1] * fps) if fps else count
    total = max(1, math.ceil((last - first) / every)) if count > 0 and not live else None
    if live:
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # a queue of old frames is what makes cameras lag

    def newest() -> Iterator[Frame]:
        shot = None
        for shot in Latest(name, capture, connect, every, reconnect):
            if shot.seconds >= span[1]:
                return
            yield Frame(*shot)
        if shot is None:
            raise OneShotError(f"{name}: no frame can be read from it; {remedy}")

    def read() -> Iterator[Frame]:
        index, seconds, given = first, -1.0, False
        try:
            while capture.grab():
                now = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
                # Some containers state no times, or the same for all frames.
                seconds = now if now > seconds else index / fps if fps else seconds
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
        if index == 0:
            raise OneShotError(f"{name}: no frame can be read from it; {remedy}")
        if index < 0.9 * count:
            note = f"{name}: ended after {index} of the {count} frames it announces; it may be damaged"
            warnings.warn(note, OneShotWarning, stacklevel=2)

    return Source(name, total, fps and fps / every, live, False, newest if live else read)


class VideoSink:
    """Writes frames to a video, or the only one to a picture; the file appears when the block is left.

        with VideoSink("out.mp4", fps=25) as sink:
            sink.write(frame)

    Frames of another size than the first are fitted into it, with black around them.

    Args:
        path: ends in .mp4, .mov, .mkv or .avi, or as a picture does.
        fps: frames a second.

    Raises:
        OneShotError: the file cannot be written, its kind is not known, or a picture gets a second frame.
    """

    def __init__(self, path: Path | str, fps: float = 25.0):
        self.path, self.fps = Path(path), fps
        suffix = self.path.suffix.lower()
        self.picture = suffix in IMAGE_SUFFIXES
        if not self.picture and suffix not in CODECS:
            raise OneShotError(
                f"{path}: cannot write this kind of file; end its name in {', '.join(CODECS)} or .jpg"
            )
        check_writable(self.path)
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)
        self._replacing: AbstractContextManager[Path] | None = None

    def __enter__(self) -> "VideoSink":
        self._replacing = replacing(self.path, unfinished=True)
        self._partial = self._replacing.__enter__()
        return self

    def write(self, image: Image) -> None:
        """Add a frame, (H, W, 3) BGR uint8."""
        if self._size == (0, 0):
            self._open(image)
        elif self.picture:
            raise OneShotError(f"{self.path}: a picture holds one frame; end the name in {', '.join(CODECS)}")
        if self._writer is not None:
            self._writer.write(_fitted(image, self._size))

    def _open(self, image: Image) -> None:
        height, width = image.shape[:2]
        self._size = (width, height)
        if self.picture:
            if not cv2.imwrite(str(self._partial), image):
                raise OneShotError(f"{self.path}: cannot be written; end the name in .jpg or .png")
            return
        # Codecs halve the colours' resolution, which wants even sides.
        self._size = (width + width % 2, height + height % 2)
        codec = cv2.VideoWriter.fourcc(*CODECS[self.path.suffix.lower()])
        self._writer = cv2.VideoWriter(str(self._partial), codec, self.fps, self._size)
        if not self._writer.isOpened():
            raise OneShotError(f"{self.path}: OpenCV has no codec for it here; end the name in .avi")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.release()
        if self._replacing is not None:
            self._replacing.__exit__(kind, error, trace)


def _fitted(image: Image, size: tuple[int, int]) -> Image:
    """`image` in a (width, height) frame: as it is if it fits to the pixel, else scaled and centred."""
    height, width = image.shape[:2]
    if not (0 <= size[0] - width <= 1 and 0 <= size[1] - height <= 1):
        scale = min(size[0] / width, size[1] / height)
        width, height = max(1, int(width * scale)), max(1, int(height * scale))
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        image = np.asarray(cv2.resize(image, (width, height), interpolation=how), np.uint8)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    frame = np.zeros((size[1], size[0], 3), np.uint8)
    frame[top : top + height, left : left + width] = image
    return frame


def silence_libraries() -> None:
    """Keep OpenCV and FFmpeg from writing to the terminal; call it before the first video is opened."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    logging: Any = cv2 if hasattr(cv2, "setLogLevel") else cv2.utils.logging  # OpenCV 4 and 5
    logging.setLogLevel(0)
