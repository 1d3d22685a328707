"""Videos, cameras and streams: who is seen when."""

import math
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from oneshot import Gallery, OneShotError
from oneshot.cli.common import (
    ERR,
    FILE,
    INTERRUPTED,
    OUT,
    Number,
    counted,
    explained,
    none_at_the_usual_place,
    open_gallery,
    open_model,
    options,
    progress,
    threshold_from,
    with_gallery,
    with_model,
    with_threshold,
)
from oneshot.files import check_writable, is_stdout
from oneshot.media.video import TIMEOUT, frames
from oneshot.types import Model
from oneshot.watch import sinks
from oneshot.watch.following import Follower
from oneshot.watch.run import Seen, run
from oneshot.watch.sheet import clock
from oneshot.watch.tracking import LEAST_FRAMES, Tracker

with_watching = options(
    click.option("--out", type=FILE, metavar="VIDEO", help="Write the annotated video here, with its sound."),
    click.option("--json", type=FILE, metavar="FILE", help="Write a line of JSON a face a frame."),
    click.option("--csv", type=FILE, metavar="FILE", help="Write a line a track: who, from, to."),
    click.option("--sheet", type=FILE, metavar="PNG", help="Write a picture of who was seen when."),
    click.option(
        "--every", type=click.IntRange(1), default=1, metavar="N", help="Look at each N-th frame only."
    ),
    click.option("--start", type=Number(0), default=0.0, metavar="SECONDS", help="Begin there."),
    click.option("--end", type=Number(0), metavar="SECONDS", help="Stop there."),
    click.option(
        "--reconnect",
        type=Number(0),
        default=60.0,
        metavar="SECONDS",
        help="Go on trying for so long when a camera or stream is interrupted, or off at the start (60).",
    ),
    click.option(
        "--timeout",
        type=Number(0.1),
        default=TIMEOUT,
        metavar="SECONDS",
        help=f"Take a stream that sends nothing for so long to be interrupted ({TIMEOUT:g}).",
    ),
    click.option(
        "--skip-known",
        is_flag=True,
        help="Look who it is once a second only, while it is clear who is in view: faster.",
    ),
    click.option(
        "--all-tracks",
        is_flag=True,
        help=f"List unknown faces that were seen badly or in fewer than {LEAST_FRAMES} frames, too.",
    ),
)


@click.command()
@click.argument("source")
@with_watching
@with_gallery
@with_threshold
@with_model
def watch(source: str, **options: Any) -> int:
    """Follow the faces in a SOURCE (video, folder of frames, camera number, stream) and name them.

    A face that is followed has one name, from the mean of its best looks. Ctrl-C ends it and keeps what was
    done until then. What a camera or a stream shows is written as it happens: lines to be followed, and a
    video that plays even where the program is killed.

    \b
    oneshot watch party.mp4 --out named.mp4 --sheet who.png
    oneshot watch 0 --csv seen.csv                              the first camera
    oneshot watch rtsp://door/stream --every 3 --json faces.jsonl
    """
    check_outputs(source, options)
    model = open_model(options)
    if none_at_the_usual_place(options):
        ERR.print(f"note: {options['gallery']}: no such gallery; everybody is unknown")
        gallery = Gallery(model)
    else:
        gallery = open_gallery(options, model)
    with gallery:
        return follow(source, model, gallery, options)


def check_outputs(source: str, options: Mapping[str, Any]) -> None:
    """Before any work: what is wrong with a name must not turn up after an hour of video."""
    outputs: list[Path] = [options[name] for name in ("out", "json", "csv", "sheet") if options[name]]
    for path in outputs:
        check_writable(path)
        if path.resolve() == Path(source).resolve():
            raise OneShotError(f"{path}: is the input itself; give the output another name")
    if len({path.resolve() for path in outputs}) < len(outputs):
        raise OneShotError(f"{outputs[0]}: two outputs have the same name; give them different ones")


def follow(where: str, model: Model, gallery: Gallery, options: Mapping[str, Any]) -> int:
    """Do what the options of `with_watching` and `with_threshold` say, and print who was seen; the exit code.

    Raises:
        OneShotError: as sources, sinks and thresholds do.
    """
    named = len(gallery) > 0
    asked = any(options[name] is not None for name in ("far", "threshold", "calibration"))
    # Where nobody is known, a network needs no threshold.
    threshold = threshold_from(options, model, gallery) if named or asked else math.inf
    span = (options["start"], options["end"])
    with ExitStack() as stack:
        source = stack.enter_context(
            frames(where, options["every"], *span, options["reconnect"], options["timeout"])
        )
        outputs = []
        if options["out"]:
            sound = None if source.live or source.photos or not Path(where).is_file() else Path(where)
            outputs.append(sinks.annotated(options["out"], source, named, sound))
        if options["json"]:
            outputs.append(sinks.json_lines(options["json"], source, named))
        if options["csv"]:
            outputs.append(sinks.csv_lines(options["csv"], source))
        if options["sheet"]:
            outputs.append(sinks.sheet(options["sheet"], source))
        follower = Follower(model, Tracker(gallery, threshold), options["skip_known"])
        entered = [stack.enter_context(output) for output in outputs]
        step = stack.enter_context(progress(source.total, "frames"))
        seen = run(source, follower, entered, options["all_tracks"] or source.photos, step)
    say = ERR if is_stdout(options["json"]) or is_stdout(options["csv"]) else OUT
    _print_tracks(say, source.name, seen)
    full = f", {follower.described:,} of them in full" if options["skip_known"] else ""
    rate = seen.frames / max(seen.took, 1e-9)
    ERR.print(f"{counted(seen.frames, 'frame')} in {seen.took:.1f} s: {rate:.1f} frames a second{full}")
    if named:
        ERR.print(explained(threshold, options, gallery))
    if seen.unclear:
        ERR.print(f"{counted(seen.unclear, 'unknown track')} too short or unclear; --all-tracks for all")
    # Nothing but Ctrl-C ends a camera.
    return INTERRUPTED if seen.interrupted and not source.live else 0


def _print_tracks(say: Console, name: str, seen: Seen) -> None:
    table = Table(title=f"Seen in {name}", title_justify="left")
    for column in ("track", "name", "from", "to", "frames", "similarity", "margin"):
        table.add_column(column, justify="left" if column == "name" else "right")
    for t in seen.tracks:
        similarity = f"{t.match.similarity:.2f}" if t.match.similarity > -1 else "-"
        who = t.match.name or "unknown"
        margin = "-" if t.match.margin is None else f"{t.match.margin:.2f}"
        table.add_row(str(t.number), who, clock(t.start), clock(t.end), str(t.frames), similarity, margin)
    say.print(table if seen.tracks else f"No face seen in {name}", soft_wrap=not seen.tracks)
