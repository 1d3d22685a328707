"""What writes a video's frames: H.264, each at its own time, where PyAV is; else what OpenCV has."""

import warnings
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import cv2

from oneshot.errors import OneShotError, OneShotWarning
from oneshot.media.sound import Sound
from oneshot.types import Image

CODECS = {".mp4": "mp4v", ".mov": "mp4v", ".mkv": "mp4v", ".avi": "MJPG"}
"""What every OpenCV wheel can write."""

FORMATS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}
"""FFmpeg's names of what holds H.264 and a time for each frame."""

FRAGMENTS = {
    "movflags": "frag_keyframe+empty_moov+default_base_moof",
    "frag_duration": "1000000",  # microseconds
    "flush_packets": "1",
}
GROWING = {
    "mp4": FRAGMENTS,
    "mov": FRAGMENTS,
    "matroska": {"cluster_time_limit": "1000", "flush_packets": "1"},  # milliseconds
}
WHOLE = {"mp4": {"movflags": "faststart"}, "mov": {"movflags": "faststart"}, "matroska": {}}
"""FFmpeg's options for what can be played while it grows, and for what is finished."""

ENCODERS = ("libx264", "libopenh264")

TICKS = 90_000
"""A second."""

KEYS = 2.0
"""Seconds from one frame that needs no other to the next: where a player can jump to."""


class Encoder(Protocol):
    """Writes frames of one size to a file."""

    def write(self, image: Image, seconds: float) -> None:
        """Add a frame (H, W, 3) BGR that is seen from `seconds` after the first on."""
        ...

    def close(self) -> None:
        """Write what is left."""
        ...


def h264() -> str | None:
    """The H.264 encoder to be had here; None without PyAV, or where it has none."""
    try:
        import av
    except ModuleNotFoundError:
        return None
    for name in ENCODERS:
        try:
            return str(av.codec.Codec(name, "w").name)
        except ValueError:
            continue
    return None


class TimedEncoder:
    """H.264, and sound as it was, by PyAV.

    Args:
        path: where it is written; `name` is what it is called in messages.
        size: width and height in pixels, both even.
        fps: about so many frames a second; each has its own time.
        sound: what is heard from the first frame on.
        grows: in fragments that can be played before it is finished, or was never; else players and browsers
            find the index of an .mp4 at its beginning.

    Raises:
        OneShotError: it cannot be written.
    """

    def __init__(
        self, path: Path, name: Path, size: tuple[int, int], fps: float, sound: Sound | None, grows: bool
    ):
        import av

        self._av, self.name, self.fps = av, name, fps
        self._last = -1
        self._sound = sound if sound is not None and sound.stream is not None else None
        try:
            try:
                self._open(path, size, grows)
            except (av.FFmpegError, ValueError):
                if self._sound is None:
                    raise
                self._sound = None
                self._container.close()
                self._open(path, size, grows)
                note = f"{name}: this kind of file cannot hold the sound, and has none; end the name in .mkv"
                warnings.warn(note, OneShotWarning, stacklevel=2)
        except (av.FFmpegError, ValueError) as error:
            raise self._failed(error) from None

    def _open(self, path: Path, size: tuple[int, int], grows: bool) -> None:
        kind = FORMATS[self.name.suffix.lower()]
        options = (GROWING if grows else WHOLE)[kind]
        self._container = self._av.open(str(path), "w", format=kind, options=options)
        encoder = h264() or ENCODERS[0]
        rate = Fraction(self.fps).limit_denominator(1001)
        stream: Any = self._container.add_stream(encoder, rate=rate)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"  # of H.264's kinds the one that all players know
        stream.time_base = stream.codec_context.time_base = Fraction(1, TICKS)
        stream.codec_context.gop_size = max(1, round(KEYS * self.fps))
        if encoder == "libx264":
            stream.options = {"preset": "veryfast", "crf": "20"} | ({"tune": "zerolatency"} if grows else {})
        self._stream = stream
        self._heard = self._sound and self._container.add_stream_from_template(self._sound.stream)
        self._container.start_encoding()

    def write(self, image: Image, seconds: float) -> None:
        """Add a frame; see Encoder."""
        frame = self._av.VideoFrame.from_ndarray(image, format="bgr24")
        self._last = max(self._last + 1, round(seconds * TICKS))
        frame.pts, frame.time_base = self._last, Fraction(1, TICKS)
        frame.duration = round(TICKS / self.fps)
        try:
            self._hear(seconds)
            self._container.mux(self._stream.encode(frame))
        except self._av.FFmpegError as error:
            raise self._failed(error) from None

    def _hear(self, until: float) -> None:
        if self._sound is not None:
            for packet in self._sound.until(until):
                packet.stream = self._heard
                self._container.mux(packet)

    def close(self) -> None:
        """Write what is left."""
        try:
            self._hear(self._last / TICKS + 1 / self.fps)
            self._container.mux(self._stream.encode(None))
            self._container.close()
        except self._av.FFmpegError as error:
            raise self._failed(error) from None

    def _failed(self, error: Exception) -> OneShotError:
        why = getattr(error, "strerror", None) or error
        return OneShotError(f"{self.name}: cannot be written ({why}); choose another place")


class SteadyEncoder:
    """What OpenCV writes: so many frames a second, without sound.

    A frame that is seen for longer is repeated, and of those that are seen for less one is taken, so that the
    video lasts as long as what it shows.

    Raises:
        OneShotError: it cannot be written.
    """

    def __init__(self, path: Path, name: Path, size: tuple[int, int], fps: float):
        self.fps = fps
        self._waiting: Image | None = None
        self._written = 0
        codec = cv2.VideoWriter.fourcc(*CODECS[name.suffix.lower()])
        self._writer = cv2.VideoWriter(str(path), codec, fps, size)
        if not self._writer.isOpened():
            raise OneShotError(f"{name}: OpenCV has no codec for it here; end the name in .avi")

    def write(self, image: Image, seconds: float) -> None:
        """Add a frame; see Encoder."""
        self._fill(round(seconds * self.fps))
        self._waiting = image

    def _fill(self, until: int) -> None:
        while self._waiting is not None and self._written < until:
            self._writer.write(self._waiting)
            self._written += 1

    def close(self) -> None:
        """Write what is left."""
        self._fill(self._written + 1)
        self._writer.release()


def open_encoder(
    stack: ExitStack,
    path: Path,
    name: Path,
    size: tuple[int, int],
    fps: float,
    source: Path | None,
    start: float,
    grows: bool,
) -> Encoder:
    """The best encoder for the name's kind of file, with a note on what it cannot do; see TimedEncoder.

    Args:
        stack: closes what is opened beside it.
        source: the video whose sound from `start` seconds on is to be kept.
    """
    timed = name.suffix.lower() in FORMATS
    if timed and h264():
        sound = None if source is None else stack.enter_context(Sound(source, start))
        return TimedEncoder(path, name, size, fps, sound, grows)
    if timed:
        note = f"{name}: MPEG-4 part 2, which browsers and phones do not play, and without sound; "
        note += "pip install 'oneshot-face[video]' for H.264"
        warnings.warn(note, OneShotWarning, stacklevel=2)
    elif source is not None:
        note = f"{name}: without sound, which .avi does not get here; end the name in .mp4"
        warnings.warn(note, OneShotWarning, stacklevel=2)
    return SteadyEncoder(path, name, size, fps)
