"""Videos, cameras and streams: who is seen when."""

import csv
import json
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import click
import cv2
from rich.console import Console
from rich.table import Table

from oneshot import Faces, Gallery, OneShot, OneShotError
from oneshot.cli.common import (
    ERR,
    FILE,
    INTERRUPTED,
    OUT,
    counted,
    listed,
    open_gallery,
    open_model,
    progress,
    threshold_from,
    with_gallery,
    with_model,
    with_threshold,
)
from oneshot.files import check_writable, is_stdout, replacing, writing
from oneshot.media.draw import draw
from oneshot.media.sound import add_sound
from oneshot.media.video import Frame, VideoSink, frames
from oneshot.watch.following import Follower
from oneshot.watch.records import records
from oneshot.watch.sheet import clock, contact_sheet
from oneshot.watch.tracking import Track, Tracker


@click.command()
@click.argument("source")
@click.option("--out", type=FILE, metavar="VIDEO", help="Write the annotated video here, with its sound.")
@click.option("--json", "json_path", type=FILE, metavar="FILE", help="Write a line of JSON a face a frame.")
@click.option("--csv", "csv_path", type=FILE, metavar="FILE", help="Write a line a track: who, from, to.")
@click.option("--sheet", type=FILE, metavar="PNG", help="Write a picture of who was seen when.")
@click.option("--every", type=click.IntRange(1), default=1, metavar="N", help="Look at each N-th frame only.")
@click.option("--start", type=click.FloatRange(0), default=0.0, metavar="SECONDS", help="Begin there.")
@click.option("--end", type=click.FloatRange(0), metavar="SECONDS", help="Stop there.")
@click.option(
    "--reconnect",
    type=click.FloatRange(0),
    default=60.0,
    metavar="SECONDS",
    help="Go on trying for so long when a stream is interrupted (60).",
)
@click.option(
    "--skip-known",
    is_flag=True,
    help="Look who it is once a second only, while it is clear who is in view: faster.",
)
@with_gallery
@with_threshold
@with_model
def watch(
    source: str,
    out: Path | None,
    json_path: Path | None,
    csv_path: Path | None,
    sheet: Path | None,
    every: int,
    start: float,
    end: float | None,
    reconnect: float,
    skip_known: bool,
    **options: Any,
) -> int:
    """Follow the faces in a SOURCE (video, folder of frames, camera number, stream) and name them.

    A face that is followed has one name, from the mean of its best looks. Ctrl-C ends it and keeps what was
    done until then.

    \b
    oneshot watch party.mp4 --out named.mp4 --sheet who.png
    oneshot watch 0 --csv seen.csv                              the first camera
    oneshot watch rtsp://door/stream --every 3 --json faces.jsonl
    """
    _check_outputs(source, [path for path in (out, json_path, csv_path, sheet) if path])
    model = open_model(options)
    threshold = threshold_from(options, model)
    with _known(options, model) as gallery:
        taken = frames(source, every, start, end, reconnect)
        tracker = Tracker(gallery, threshold, model.side)
        follow = Follower(model, tracker, skip_known)
        seen = _Seen()
        with ExitStack() as stack:
            sink = stack.enter_context(VideoSink(out, taken.fps or 25.0)) if out else None
            if sink and sink.picture and not taken.still:
                raise OneShotError(f"{out}: a picture cannot hold {taken.name}; end the name in .mp4")
            lines = _text(stack, json_path)
            step = stack.enter_context(progress(taken.total, "frames"))
            try:
                for frame in listed(taken, step):
                    faces, tracks = follow(frame.seconds, frame.image)
                    if lines:
                        _write_lines(lines, frame, faces, tracks)
                    if sink:
                        sink.write(draw(frame.image, faces, [track.match for track in tracks]))
                    seen.add(frame.seconds)
            except KeyboardInterrupt:
                seen.interrupted = True
        tracks = tracker.tracks
    first, last = (start, start) if seen.first is None else (seen.first, seen.last)
    if out and not taken.live and Path(source).is_file() and not taken.still:
        _keep_sound(out, Path(source), first, last + 1 / (taken.fps or 25.0))
    if csv_path:
        _write_csv(csv_path, tracks)
    if sheet:
        with replacing(sheet) as partial:
            if not cv2.imwrite(str(partial), contact_sheet(tracks, first, last, taken.name)):
                raise OneShotError(f"{sheet}: cannot be written; end the name in .png or .jpg")
    _print_tracks(ERR if is_stdout(json_path) or is_stdout(csv_path) else OUT, taken.name, tracks)
    full = f", {follow.described:,} of them in full" if skip_known else ""
    ERR.print(f"{counted(seen.count, 'frame')} in {time.perf_counter() - seen.begun:.1f} s{full}")
    # Nothing but Ctrl-C ends a camera.
    return INTERRUPTED if seen.interrupted and not taken.live else 0


class _Seen:
    """How far it has come."""

    def __init__(self) -> None:
        self.count, self.begun, self.interrupted = 0, time.perf_counter(), False
        self.first: float | None = None
        self.last = 0.0

    def add(self, seconds: float) -> None:
        self.count += 1
        self.first = seconds if self.first is None else self.first
        self.last = seconds


def _known(options: dict[str, Any], model: OneShot) -> Gallery:
    """The gallery; an empty one where none is named and there is none at the usual place."""
    context = click.get_current_context()
    usual = context.get_parameter_source("gallery") is click.core.ParameterSource.DEFAULT
    if usual and not Path(options["gallery"]).exists():
        ERR.print(f"note: {options['gallery']}: no such gallery; everybody is unknown")
        return Gallery(model)
    return open_gallery(options, model)


def _check_outputs(source: str, outputs: Sequence[Path]) -> None:
    """Before any work: what is wrong with a name must not turn up after an hour of video."""
    for path in outputs:
        check_writable(path)
        if path.resolve() == Path(source).resolve():
            raise OneShotError(f"{path}: is the input itself; give the output another name")
    if len({path.resolve() for path in outputs}) < len(outputs):
        raise OneShotError(f"{outputs[0]}: two outputs have the same name; give them different ones")


def _text(stack: ExitStack, path: Path | None) -> IO[str] | None:
    if path is None:
        return None
    return stack.enter_context(writing(path))


def _write_lines(lines: IO[str], frame: Frame, faces: Faces, tracks: Sequence[Track]) -> None:
    for record, track in zip(records(frame, faces, [t.match for t in tracks]), tracks, strict=True):
        lines.write(json.dumps(record | {"track": track.number}, ensure_ascii=False) + "\n")


def _keep_sound(out: Path, source: Path, start: float, end: float) -> None:
    try:
        add_sound(out, source, start, end)
    except OneShotError as error:  # the pictures are there, and worth keeping
        ERR.print(f"note: {error}", soft_wrap=True)


def _write_csv(path: Path, tracks: Sequence[Track]) -> None:
    with writing(path) as file:
        writer = csv.writer(file)
        writer.writerow(("track", "name", "similarity", "start", "end", "frames"))
        for t in tracks:
            similarity = f"{t.match.similarity:.4f}"
            writer.writerow(
                (t.number, t.match.name or "", similarity, f"{t.start:.3f}", f"{t.end:.3f}", t.frames)
            )


def _print_tracks(say: Console, name: str, tracks: Sequence[Track]) -> None:
    table = Table(title=f"Seen in {name}", title_justify="left")
    for column in ("track", "name", "from", "to", "frames", "similarity"):
        table.add_column(column, justify="left" if column == "name" else "right")
    for t in tracks:
        similarity = f"{t.match.similarity:.2f}" if t.match.similarity > -1 else "-"
        who = t.match.name or "unknown"
        table.add_row(str(t.number), who, clock(t.start), clock(t.end), str(t.frames), similarity)
    say.print(table if tracks else f"No face seen in {name}", soft_wrap=not tracks)
