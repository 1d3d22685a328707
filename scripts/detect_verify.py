#!/usr/bin/env python3
"""Put names on the faces in a video, a camera's picture, a folder of photos or a photo.

python scripts/detect_verify.py --video party.mp4 --gallery people --out named.mp4 --json faces.jsonl

Prints who was seen from when to when. Ctrl-C ends it and keeps what was done until then.
"""

import argparse
import json
import signal
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn, TypeVar

import cv2
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from oneshot import Gallery, Match, OneShot, OneShotError, OneShotWarning, TwoStage
from oneshot.files import check_writable, writing
from oneshot.gallery.cipher import secret_from
from oneshot.gallery.gallery import is_kept
from oneshot.gallery.thresholds import FAR, threshold_at
from oneshot.media.draw import draw
from oneshot.media.video import Source, VideoSink, frames, silence_libraries
from oneshot.types import Model
from oneshot.watch.records import GAP, Sightings, records
from oneshot.watch.sheet import clock

Number = TypeVar("Number", int, float)
ERRORS = Console(stderr=True, highlight=False)
"""Progress and notes go there: what is printed is the table."""

INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    silence_libraries()
    with warnings.catch_warnings():
        warnings.simplefilter("always", OneShotWarning)
        warnings.showwarning = lambda message, *_: print(f"note: {message}", file=sys.stderr)
        try:
            return run(_parser().parse_args(argv))
        except (OneShotError, OSError) as error:  # the latter: a full disk, a folder that may not be read
            print(f"error: {error}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:  # before the first frame
            return INTERRUPTED


def run(args: argparse.Namespace) -> int:
    _check_outputs(args)
    if args.threads:
        cv2.setNumThreads(args.threads)
    pipeline = TwoStage if args.pipeline == "two-stage" else OneShot
    model: Model = pipeline(args.weights, side=args.side, min_side=args.min_side, threads=args.threads)
    threshold = args.threshold
    if threshold is None and (args.far or args.gallery or args.enroll):
        threshold = threshold_at(args.far or FAR, model.thresholds)
    gallery = _gallery(args, model)
    source = frames(args.video, args.every)
    seen = Sightings(max(GAP, 1.5 / source.fps) if source.fps else GAP)
    count, seconds, interrupted = annotate(source, model, gallery, threshold, seen, args.out, args.json)
    _print_table(source, seen)
    rate = count / max(seconds, 1e-9)
    ERRORS.print(f"{count} frame{'s' * (count != 1)} in {seconds:.1f} s: {rate:.1f} frames a second")
    # Nothing but Ctrl-C ends a camera.
    return INTERRUPTED if interrupted and not source.live else 0


def annotate(
    source: Source,
    model: Model,
    gallery: Gallery,
    threshold: float | None,
    seen: Sightings,
    out: Path | None,
    json_path: Path | None,
) -> tuple[int, float, bool]:
    """Run the model over a source and write what was asked for; (frames, seconds, ended by Ctrl-C)."""
    count, start = 0, time.perf_counter()
    with ExitStack() as stack:
        sink = stack.enter_context(VideoSink(out, source.fps or 25.0)) if out else None
        if sink and sink.picture and not source.still:
            raise OneShotError(f"{out}: a picture cannot hold {source.name}; end the name in .mp4")
        lines = stack.enter_context(writing(json_path)) if json_path else None
        advance = _progress(stack, source.total)
        try:
            for frame in source:
                faces = model(frame.image)
                matches = gallery.identify(faces.embeddings, threshold) if len(gallery) else None
                seen.add(frame.seconds, matches or [Match(None, -1.0)] * len(faces))
                if lines:
                    lines.writelines(
                        json.dumps(r, ensure_ascii=False) + "\n" for r in records(frame, faces, matches)
                    )
                if sink:
                    sink.write(draw(frame.image, faces, matches))
                count += 1
                advance(count / (time.perf_counter() - start))
        except KeyboardInterrupt:
            return count, time.perf_counter() - start, True
    return count, time.perf_counter() - start, False


def _gallery(args: argparse.Namespace, model: Model) -> Gallery:
    path: str | None = args.gallery
    if path is None:
        gallery = Gallery(model)
    elif is_kept(path) and args.enroll:  # whom one names for a single run does not stay in the file
        gallery = Gallery(model)
        gallery.merge(path, key=secret_from())
    else:
        gallery = Gallery.load(path, model, key=secret_from() if is_kept(path) else None)
    for name, photo in args.enroll:
        gallery.enroll(name, [photo])
    return gallery


def _check_outputs(args: argparse.Namespace) -> None:
    """Before any work: what is wrong with a name must not turn up after an hour of video."""
    outputs = [path for path in (args.out, args.json) if path]
    for path in outputs:
        check_writable(path)
        if path.resolve() == Path(args.video).resolve():
            raise OneShotError(f"{path}: is the input itself; give the output another name")
    if len({path.resolve() for path in outputs}) < len(outputs):
        raise OneShotError(f"{args.out}: --out and --json are the same file; give them different names")


def _progress(stack: ExitStack, total: int | None) -> Callable[[float], None]:
    """A bar on the terminal, if there is one; the function returned moves it on by a frame."""
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[fps]:.1f} FPS"),
        TimeRemainingColumn(),
    )
    bar = stack.enter_context(
        Progress(*columns, console=ERRORS, disable=not ERRORS.is_terminal, transient=True)
    )
    task = bar.add_task("", total=total, fps=0.0)
    return lambda fps: bar.update(task, advance=1, fps=fps)


def _print_table(source: Source, seen: Sightings) -> None:
    table = Table(title=f"Seen in {source.name}", title_justify="left")
    for column in ("name", "from", "to", "frames", "best similarity"):
        table.add_column(column, justify="left" if column == "name" else "right")
    for stay in seen.intervals():
        name = stay.name or "unknown"
        similarity = f"{stay.similarity:.2f}" if stay.similarity > -1 else "-"
        table.add_row(name, clock(stay.start), clock(stay.end), str(stay.frames), similarity)
    Console(highlight=False, markup=False).print(
        table if table.row_count else f"No face seen in {source.name}"
    )


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One sentence instead of the usage and a sentence."""
        raise OneShotError(f"{message}; see {self.prog} --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    add = parser.add_argument
    add(
        "--video",
        required=True,
        metavar="SOURCE",
        help="video, photo, folder of photos, camera number or stream URL",
    )
    add(
        "--gallery",
        metavar="DIR|DB|NPZ",
        help="a folder of photos, or one photo, a person; or a gallery's file, or milvus:http://HOST:19530",
    )
    add(
        "--enroll",
        type=_person,
        action="append",
        default=[],
        metavar="NAME=PHOTO",
        help="one person; repeatable",
    )
    add("--far", help=f"false accept rate that sets the threshold, as measured with the weights ({FAR})")
    add(
        "--threshold",
        type=_in_range(float, -1, 1),
        metavar="COSINE",
        help="least similarity; overrides --far",
    )
    add("--out", type=Path, metavar="VIDEO", help="write the annotated video (of a photo: picture) here")
    add("--json", type=Path, metavar="FILE", help="write one line of JSON a face a frame here")
    add(
        "--pipeline",
        choices=("one-pass", "two-stage"),
        default="one-pass",
        help="the one pass, or MTCNN + SqueezeFacePoseNet, which it replaces",
    )
    add("--weights", type=Path, metavar="FILE", help=".onnx or .safetensors, or a shipped network (oneshot)")
    add(
        "--side", type=_in_range(int, 32, 1 << 14), default=640, help="scale larger frames to this side (640)"
    )
    add(
        "--min-side",
        type=_in_range(int, 0, 1 << 14),
        help="enlarge smaller frames to this side (256; 0: never)",
    )
    add("--threads", type=_in_range(int, 1, 1024), metavar="N", help="CPU threads (all)")
    add(
        "--every",
        type=_in_range(int, 1, 1 << 30),
        default=1,
        metavar="N",
        help="look at each N-th frame only",
    )
    return parser


def _person(text: str) -> tuple[str, Path]:
    name, equals, photo = text.partition("=")
    if not (name.strip() and equals and photo):
        raise argparse.ArgumentTypeError(f"want NAME=PHOTO, got {text!r}")
    return name, Path(photo)


def _in_range(kind: Callable[[str], Number], low: Number, high: Number) -> Callable[[str], Number]:
    def parse(text: str) -> Number:
        try:
            value = kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"want a number, got {text!r}") from None
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"want a number from {low} to {high}, got {text}")
        return value

    return parse


def _terminate(*_: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _terminate)  # a service that is stopped keeps its files too
    sys.exit(main())
