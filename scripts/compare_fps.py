#!/usr/bin/env python3
"""How long a picture takes: one pass against detector + recogniser, on the same pictures, in turns.

The pictures are composed of real faces, of a known number each; with --data also whole photos of LFW and
scenes of several people; with --video its frames. By default every pipeline takes what it finds at its own
threshold (`found`); --exact gives all of them the same number of faces to recognise, the best ones, where
that number is known. A pipeline whose files are not there is listed as absent.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

from oneshot.errors import OneShotError, explained
from oneshot.evaluation import accuracy, pipelines, plots, timing
from oneshot.evaluation.verification import cosine
from oneshot.files import check_writable, write_json

ERRORS = Console(stderr=True)


@explained
def main(argv: Sequence[str] | None = None) -> int:
    args = _parser().parse_args(argv)
    cv2.utils.logging.setLogLevel(
        cv2.utils.logging.LOG_LEVEL_ERROR
    )  # OpenCV 5 warns at each network it loads
    if args.json:
        check_writable(args.json)  # now, not after half an hour
    result = compare(args)
    _print(result)
    if args.json:
        write_json(args.json, result)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--faces", type=_numbers, default=[1, 2, 5, 10, 20], help="faces in view (1,2,5,10,20)"
    )
    parser.add_argument("--sides", type=_numbers, default=[320, 640], help="sides of the pictures (320,640)")
    parser.add_argument("--threads", type=int, choices=range(1, 65), default=1, metavar="N")
    parser.add_argument("--rounds", type=int, choices=range(1, 1001), default=20, metavar="N")
    parser.add_argument(
        "--images", type=int, choices=range(1, 101), default=4, metavar="N", help="composed pictures each"
    )
    parser.add_argument(
        "--photos",
        type=int,
        choices=range(101),
        default=8,
        metavar="N",
        help="photos, scenes and frames each (8)",
    )
    parser.add_argument("--video", metavar="FILE", help="time frames of this video too")
    parser.add_argument(
        "--exact", action="store_true", help="exactly the faces in view, the best, for everyone"
    )
    parser.add_argument("--pipelines", type=lambda text: text.split(","), default=list(pipelines.PIPELINES))
    parser.add_argument("--data", type=Path, help="folder with lfw.tar (default: two photos out of wheels)")
    parser.add_argument("--weights", type=Path, help="oneshot's: a file, or a shipped network (oneshot)")
    parser.add_argument(
        "--peers", type=Path, default=pipelines.PEERS, help="folder of get_peers.py's files (peers)"
    )
    parser.add_argument("--models", type=Path, default=pipelines.MODELS, help="folder of EdgeFace's weights")
    parser.add_argument(
        "--squeezefaceposenet", type=Path, metavar="FILE", help="the two-stage path's weights"
    )
    parser.add_argument(
        "--reference",
        default=pipelines.REFERENCE,
        choices=list(pipelines.PIPELINES),
        help=f"the pipeline whose times ratios are over ({pipelines.REFERENCE})",
    )
    parser.add_argument("--accuracy", action="store_true", help="measure accuracy too, on --data's sets")
    parser.add_argument(
        "--every", type=int, choices=range(1, 1001), default=1, metavar="N", help="accuracy: each N-th only"
    )
    parser.add_argument("--plots", type=Path, metavar="DIR", help="write plots into this folder")
    parser.add_argument("--json", type=Path, help="write the rows here")
    return parser


def _numbers(text: str) -> list[int]:
    parts = text.split(",")
    if not all(part.isdigit() and int(part) > 0 for part in parts):
        raise argparse.ArgumentTypeError(f"{text} is not a list of whole numbers above 0, like 1,2,5")
    return [int(part) for part in parts]


def compare(args: argparse.Namespace) -> dict[str, Any]:
    if args.accuracy and args.data is None:
        raise OneShotError("--accuracy: is measured on the evaluation sets; name their folder with --data")
    if args.plots and not args.plots.is_dir():
        raise OneShotError(f"{args.plots}: no such folder; create it first")
    rows: list[dict[str, Any]] = []
    absent: dict[str, str] = {}
    for work in track(list(_work(args)), "timing", console=ERRORS):
        settings = pipelines.Settings(
            side=work.side,
            threads=args.threads,
            keep=work.faces if args.exact else None,
            weights=args.weights,
            squeezefaceposenet=args.squeezefaceposenet,
            peers=args.peers,
            models=args.models,
        )
        built, missing = pipelines.build(args.pipelines, settings)
        absent |= missing
        done = timing.timed(built, work.images, args.rounds) if built else {}
        rows += timing.rows(done, work, args.threads, args.reference)
    for name, why in absent.items():
        print(f"{name} is absent: {why}", file=sys.stderr)
    result: dict[str, Any] = {
        "rows": rows,
        "accuracy": {},
        "absent": list(absent),
        "reference": args.reference,
    }
    if args.accuracy:
        # At the pictures' larger side, and with every face that a pipeline finds by itself.
        at_its_own = replace(settings, side=max(args.sides), keep=None)
        for name, pipeline in pipelines.build(args.pipelines, at_its_own)[0].items():
            if args.json:  # a pipeline can take an hour; what is known so far is not to be lost
                write_json(args.json, result)
            result["accuracy"][name] = _accuracy(name, pipeline, at_its_own.side, args)
    if args.plots:
        _plot(args.plots, result)
    return result


def _work(args: argparse.Namespace) -> Iterator[timing.Work]:
    """What is timed, the same for every pipeline."""
    faces = timing.portraits(args.data, args.images * max(args.faces))
    found = {}
    if args.data and args.photos:
        found = {
            "photos": timing.photos(args.data, args.photos),
            "scenes": timing.scenes(args.data, args.photos),
        }
    if args.video and args.photos:
        found["video"] = timing.video_frames(args.video, args.photos)
    for side in args.sides:
        for count in args.faces:
            shares = (faces[i * count : (i + 1) * count] for i in range(args.images))
            yield timing.Work("composed", side, count, [timing.canvas(share, side) for share in shares])
        for pictures, images in found.items():
            yield timing.Work(pictures, side, None, images)


def _accuracy(name: str, pipeline: pipelines.Pipeline, side: int, args: argparse.Namespace) -> dict[str, Any]:
    """What the pipeline's speed is worth; the photos and scenes are the same for all."""

    def progress(photos: Iterable[Any], count: int) -> Iterable[Any]:
        return track(photos, name, count, console=ERRORS)

    network, measure = pipelines.network(pipeline), accuracy.MEASURES.get(name, cosine)
    who, photos = accuracy.lfw_people(args.data, args.every)
    people = accuracy.identification(network, who, photos, progress, measure)
    return {
        "side": side,
        "every": args.every,
        **accuracy.verification(network, args.data, args.every, progress, measure),
        **{f"closed_set_{n}": figures["closed_set"] for n, figures in people["enrolled"].items()},
        **accuracy.boxes(network, args.data, side, args.every, progress),
    }


def _plot(folder: Path, result: dict[str, Any]) -> None:
    for side in dict.fromkeys(row["side"] for row in result["rows"]):
        rows = [row for row in result["rows"] if row["side"] == side and row["faces"]]
        plots.plot_times(folder / f"ms-{side}.png", rows, f"pictures of {side} x {side}")
    if result["accuracy"]:
        points = {name: (row["lfw_ms"], row["lfw"]) for name, row in result["accuracy"].items()}
        plots.plot_accuracy(folder / "accuracy.png", points, "LFW photos of 250 x 250")


def _print(result: dict[str, Any]) -> None:
    headings = ("found", "ms", "fps", "ratio", "detect +\ncrop + embed")
    table = _table(f"medians; ratio to {result['reference']}", headings)
    last = ""
    for row in result["rows"]:
        work = str(timing.Work(row["pictures"], row["side"], row["faces"], ()))
        if work != last:
            table.add_section()
            table.add_row(f"[bold]{work}")
        last = work
        ratio = "–" if row["ratio"] is None else f"{row['ratio']:.2f}"
        numbers = (f"{row['found']:.3g}", f"{row['ms']:.1f}", f"{row['fps']:.1f}", ratio)
        stages = " + ".join(f"{ms:.0f}" if ms >= 10 else f"{ms:.1f}" for ms in row["stages"].values())
        table.add_row(row["pipeline"], *numbers, stages)
    Console().print(table)
    if result["accuracy"]:
        _print_accuracy(result["accuracy"])
    if result["absent"]:
        Console().print("absent:", ", ".join(result["absent"]))


def _table(title: str, headings: Iterable[str]) -> Table:
    """A row a pipeline; narrow enough for 80 columns."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("pipeline", no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _print_accuracy(figures: dict[str, Any]) -> None:
    headings = {
        "lfw": "LFW",
        "missed": "missed",
        "closed_set_1": "who,\nof 1",
        "closed_set_3": "who,\nof 3",
        "recall": "recall",
        "mean_iou": "mean\nIoU",
        "lfw_ms": "ms",
    }
    table = _table("accuracy, end to end (%)", headings.values())
    for name, row in figures.items():
        table.add_row(name, *(f"{row[column]:.4g}" for column in headings))
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
