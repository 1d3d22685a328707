"""Where what is seen in a video goes: lines of JSON and of CSV, the annotated video, the contact sheet."""

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2

from oneshot.errors import OneShotError
from oneshot.files import replacing, writing
from oneshot.media.draw import draw
from oneshot.media.sink import VideoSink
from oneshot.media.video import Source
from oneshot.types import Faces, Frame, Match
from oneshot.watch.records import records
from oneshot.watch.sheet import contact_sheet
from oneshot.watch.tracking import Track


def _nothing(*_: object) -> None:
    pass


@dataclass(frozen=True)
class Sink:
    """What is to be done with what is seen, as it happens.

    Attributes:
        frame: called with a frame, its faces and, row by row, whose tracks they continue.
        track: called with a track that has ended.
    """

    frame: Callable[[Frame, Faces, Sequence[Track]], None] = _nothing
    track: Callable[[Track], None] = _nothing


def matches_of(tracks: Sequence[Track], named: bool) -> list[Match] | None:
    """Who they are; None where nobody is enrolled, and so nobody could be named."""
    return [track.match for track in tracks] if named else None


@contextmanager
def json_lines(path: Path, source: Source, named: bool) -> Iterator[Sink]:
    """A line a face a frame."""
    with writing(path, grows=source.live) as lines:

        def frame(frame: Frame, faces: Faces, tracks: Sequence[Track]) -> None:
            faces_records = records(frame, faces, matches_of(tracks, named))
            for record, track in zip(faces_records, tracks, strict=True):
                lines.write(json.dumps(record | {"track": track.number}, ensure_ascii=False) + "\n")

        yield Sink(frame=frame)


@contextmanager
def csv_lines(path: Path, source: Source) -> Iterator[Sink]:
    """A line a track, when it ends."""
    with writing(path, grows=source.live) as lines:
        writer = csv.writer(lines)
        writer.writerow(("track", "name", "similarity", "start", "end", "frames"))

        def track(t: Track) -> None:
            similarity = f"{t.match.similarity:.4f}"
            times = (f"{t.start:.3f}", f"{t.end:.3f}")
            writer.writerow((t.number, t.match.name or "", similarity, *times, t.frames))

        yield Sink(track=track)


@contextmanager
def annotated(path: Path, source: Source, named: bool, sound: Path | None) -> Iterator[Sink]:
    """The video with its faces drawn in, at its own times, with the sound of a file."""
    with VideoSink(path, source.fps or 25.0, sound=sound, grows=source.live) as sink:
        if sink.picture and not (source.photos and source.total == 1):
            raise OneShotError(f"{path}: a picture cannot hold {source.name}; end the name in .mp4")

        def frame(frame: Frame, faces: Faces, tracks: Sequence[Track]) -> None:
            sink.write(draw(frame.image, faces, matches_of(tracks, named)), frame.seconds)

        yield Sink(frame=frame)


@contextmanager
def sheet(path: Path, source: Source) -> Iterator[Sink]:
    """A picture of who was seen when, written at the end."""
    tracks: list[Track] = []
    times: list[float] = []

    def frame(frame: Frame, *_: object) -> None:
        times[1:] = [frame.seconds]  # the first and the last

    yield Sink(frame=frame, track=tracks.append)
    tracks.sort(key=lambda track: track.number)
    first, last = (times[0], times[-1]) if times else (0.0, 0.0)
    with replacing(path) as partial:
        if not cv2.imwrite(str(partial), contact_sheet(tracks, first, last, source.name)):
            raise OneShotError(f"{path}: cannot be written; end the name in .png or .jpg")
