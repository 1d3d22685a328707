"""The one loop over frames: source → faces → tracks → names → sinks."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from oneshot.types import Frame
from oneshot.watch.following import Follower
from oneshot.watch.sinks import Sink
from oneshot.watch.tracking import Track


@dataclass
class Seen:
    """What a run has come to.

    Attributes:
        frames: how many.
        took: seconds of work.
        interrupted: Ctrl-C ended it.
        tracks: those that are told of, in the order of appearance.
        unclear: how many others there are.
    """

    frames: int = 0
    took: float = 0.0
    interrupted: bool = False
    tracks: list[Track] = field(default_factory=list)
    unclear: int = 0


def run(
    source: Iterable[Frame],
    follow: Follower,
    sinks: Sequence[Sink],
    all_tracks: bool = False,
    step: Callable[[], None] = lambda: None,
) -> Seen:
    """Follow the faces of a source's frames, and give what is seen to the sinks at once; Ctrl-C ends it.

    Args:
        all_tracks: tell of tracks that may be noise, too; see Track.clear.
        step: called after each frame.

    Raises:
        OneShotError: as source and sinks do. What was seen until then is with the sinks.
    """
    seen, begun = Seen(), time.perf_counter()

    def tell() -> None:
        for track in follow.tracker.ended():
            if not (all_tracks or track.clear):
                seen.unclear += 1
                continue
            seen.tracks.append(track)
            for sink in sinks:
                sink.track(track)

    try:
        for frame in source:
            faces, tracks = follow(frame.seconds, frame.image)
            for sink in sinks:
                sink.frame(frame, faces, tracks)
            tell()
            seen.frames += 1
            step()
    except KeyboardInterrupt:
        seen.interrupted = True
    finally:
        follow.tracker.finish()
        tell()
    seen.tracks.sort(key=lambda track: track.number)
    seen.took = time.perf_counter() - begun
    return seen
