"""The sound of a video, carried over to its annotated copy as it is, without decoding."""

import heapq
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from oneshot.errors import OneShotError
from oneshot.files import replacing


def add_sound(video: Path, source: Path, start: float = 0.0, end: float | None = None) -> bool:
    """Put the sound of `source`, from `start` to `end` seconds, to the pictures of `video`, replacing it.

    Returns:
        Whether `source` has sound; if not, `video` stays as it is.

    Raises:
        OneShotError: PyAV is missing, or the sound does not fit this kind of file; `video` stays as it is.
    """
    try:
        import av
    except ModuleNotFoundError:
        raise OneShotError(f"{video}: sound needs PyAV; pip install 'oneshot-face[video]'") from None
    try:
        with av.open(str(source)) as sounds, av.open(str(video)) as pictures:
            if not sounds.streams.audio:
                return False
            heard, seen = sounds.streams.audio[0], pictures.streams.video[0]
            with replacing(video) as partial:
                try:
                    with av.open(str(partial), "w") as target:
                        streams = {kind: target.add_stream_from_template(kind) for kind in (seen, heard)}
                        # By time, since players want sound and pictures side by side in the file.
                        both = heapq.merge(
                            _packets(pictures, seen, 0.0, None),
                            _packets(sounds, heard, start, end),
                            key=lambda timed: timed[0],
                        )
                        for _, packet, stream in both:
                            packet.stream = streams[stream]
                            target.mux(packet)
                except BaseException:
                    partial.unlink(missing_ok=True)
                    raise
    except (av.FFmpegError, ValueError, OSError) as error:
        raise OneShotError(f"{video}: the sound of {source} cannot be kept ({error}); try .mkv") from None
    return True


def _packets(
    container: Any, stream: Any, start: float, end: float | None
) -> Iterator[tuple[float, Any, Any]]:
    """A stream's packets between two times, with their time, moved so that `start` becomes 0."""
    shift = round(start / stream.time_base)
    for packet in container.demux(stream):
        if packet.dts is None or packet.pts is None:  # the last one only says that there are no more
            continue
        seconds = float(packet.pts * stream.time_base)
        if seconds < start or (end is not None and seconds >= end):
            continue
        packet.pts -= shift
        packet.dts -= shift
        yield float(packet.dts * stream.time_base), packet, stream
