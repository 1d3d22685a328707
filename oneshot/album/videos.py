"""Videos of a collection: of each face that is followed through one, its best look."""

import math
from collections.abc import Sequence
from pathlib import Path

from oneshot.album.rows import Row, row_of
from oneshot.gallery.gallery import Gallery
from oneshot.gallery.thresholds import FAR
from oneshot.media.kinds import VIDEO_SUFFIXES
from oneshot.media.video import frames
from oneshot.types import Faces, Frame, Image, Model
from oneshot.watch.following import Follower
from oneshot.watch.run import run
from oneshot.watch.sinks import Sink
from oneshot.watch.tracking import Track, Tracker

RATE = 5.0
"""Frames a second that are looked at: whoever is seen for a second is in five, as many as a track needs."""


def is_video(path: Path) -> bool:
    """Whether a file's name is a video's."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def describe_video(path: Path, model: Model) -> list[Row]:
    """A row for each face that is followed, at the time of its best look.

    The embedding is the mean of its best looks. Tracks that may be noise are left out.

    Raises:
        OneShotError: the video cannot be read.
    """
    with frames(path) as video:
        every = max(1, round((video.fps or RATE) / RATE))
    rows: dict[int, Row] = {}
    best: dict[int, float] = {}

    def look(frame: Frame, faces: Faces, tracks: Sequence[Track]) -> None:
        for i, track in enumerate(tracks):
            if track.best > best.get(track.number, -math.inf):
                best[track.number] = track.best
                rows[track.number] = row_of(frame.image, faces, i, model) | {"seconds": frame.seconds}
            rows[track.number]["embedding"] = track.template

    tracker = Tracker(Gallery(model), model.thresholds.get(FAR, math.inf))
    with frames(path, every) as video:
        seen = run(video, Follower(model, tracker), [Sink(frame=look)])
    if seen.interrupted:
        raise KeyboardInterrupt
    return [rows[track.number] | {"face": number} for number, track in enumerate(seen.tracks)]


def frame_at(path: Path, seconds: float) -> Image:
    """The frame of a video that is shown at that time, (H, W, 3) BGR.

    Raises:
        OneShotError: the video cannot be read, or is shorter.
    """
    with frames(path, start=seconds) as video:
        return next(iter(video)).image
