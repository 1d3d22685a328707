"""The sound of a video, packet by packet, carried over to its annotated copy without decoding."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from oneshot.errors import OneShotWarning


class Sound:
    """The sound that goes with a video's pictures; needs PyAV. A context manager.

    Args:
        source: a video, its times counted from its first picture, as `oneshot.media.video.frames` does.
        start: seconds that become 0.

    Attributes:
        stream: PyAV's, to make one like it; None where there is no sound.
    """

    def __init__(self, source: Path | str, start: float = 0.0):
        import av

        self.source = source
        self.stream: Any = None
        self._failure = av.FFmpegError
        try:
            self._container = av.open(str(source))
        except (av.FFmpegError, OSError, ValueError):  # OpenCV reads it, and this does not
            self._lost()
            return
        streams = self._container.streams
        if streams.audio:
            self.stream = streams.audio[0]
            pictures: Any = streams.video[0] if streams.video else None
            first = pictures.start_time * pictures.time_base if pictures and pictures.start_time else 0
            self._shift = round((float(first) + start) / self.stream.time_base)
            if start:
                self._container.seek(self._shift, stream=self.stream)
            self._packets = self._timed()
            self._next = next(self._packets, None)

    def until(self, seconds: float) -> Iterator[Any]:
        """The packets that begin before a time and were not given yet, their times counted from `start`."""
        while self.stream is not None and self._next is not None and self._next[0] < seconds:
            yield self._next[1]
            self._next = next(self._packets, None)

    def _timed(self) -> Iterator[tuple[float, Any]]:
        try:
            for packet in self._container.demux(self.stream):
                if packet.pts is None or packet.dts is None:  # the last one only says that there are no more
                    continue
                packet.pts -= self._shift
                packet.dts -= self._shift
                seconds = float(packet.pts * self.stream.time_base)
                if seconds >= 0:
                    yield seconds, packet
        except self._failure:
            self._lost()

    def _lost(self) -> None:
        note = f"{self.source}: its sound cannot be read to its end, and is lost there"
        warnings.warn(note, OneShotWarning, stacklevel=2)

    def __enter__(self) -> "Sound":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.stream is not None:
            self._container.close()
