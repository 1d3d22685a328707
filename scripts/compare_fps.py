#!/usr/bin/env python3
"""How long a picture takes: one pass against detector + recogniser, on the same pictures, in turns.

Each picture holds a known number of real faces. By default every pipeline takes what it finds at its own
threshold (`found`); --exact gives all of them the same number of faces to recognise, the best ones. A
pipeline whose files are not there is listed as absent.
"""

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
from rich.console import Console
from rich.progress import track
from rich.table import Table

from oneshot.errors import OneShotError, explained
from oneshot.evaluation import accuracy, pipelines, plots, references, report, timing
from oneshot.evaluation.verification import cosine
from oneshot.files import check_writable

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
        report.write_json(args.json, result)
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
        "--images", type=int, choices=range(1, 101), default=4, metavar="N", help="pictures each"
    )
    parser.add_argument(
        "--exact", action="store_true", help="exactly the faces in view, the best, for everyone"
    )
    parser.add_argument("--pipelines", type=lambda text: text.split(","), default=list(pipelines.PIPELINES))
    parser.add_argument("--data", type=Path, help="folder with lfw.tar (default: two photos out of wheels)")
    parser.add_argument("--weights", type=Path, help="oneshot's: a file, or a shipped network (oneshot)")
    parser.add_argument(
        "--peers", type=Path, help="folder of get_peers.py's files (default: where they are found)"
    )
    parser.add_argument(
        "--models", type=Path, default=Path("../shared/models"), help="folder of EdgeFace's weights"
    )
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
    faces = timing.portraits(args.data, args.images * max(args.faces))
    rows: list[dict[str, Any]] = []
    absent: dict[str, str] = {}
    work = [(side, count) for side in args.sides for count in args.faces]
    for side, count in track(work, "timing", console=ERRORS):
        settings = pipelines.Settings(
            side=side,
            threads=args.threads,
            keep=count if args.exact else None,
            weights=args.weights,
            squeezefaceposenet=args.squeezefaceposenet,
            peers=references.peers_folder(args.peers),
            models=args.models,
        )
        built, missing = pipelines.build(args.pipelines, settings)
        absent |= missing
        pictures = [timing.canvas(faces[i * count : (i + 1) * count], side) for i in range(args.images)]
        done = timing.timed(built, pictures, args.rounds) if built else {}
        rows += timing.rows(done, side, count, args.threads, args.reference)
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
                report.write_json(args.json, result)
            result["accuracy"][name] = _accuracy(name, pipeline, at_its_own.side, args)
    if args.plots:
        _plot(args.plots, result)
    return result


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
        rows = [row for row in result["rows"] if row["side"] == side]
        plots.plot_times(folder / f"ms-{side}.png", rows, f"pictures of {side} x {side}")
    if result["accuracy"]:
        points = {name: (row["lfw_ms"], row["lfw"]) for name, row in result["accuracy"].items()}
        plots.plot_accuracy(folder / "accuracy.png", points, "LFW photos of 250 x 250")


def _print(result: dict[str, Any]) -> None:
    table = Table(title=f"medians; ratio to {result['reference']}", title_justify="left")
    for column in ("side", "faces", "pipeline", "found", "ms", "fps", "ratio", "stages (ms)"):
        words = column in ("pipeline", "stages (ms)")
        table.add_column(column, justify="left" if words else "right", no_wrap=column == "pipeline")
    for row in result["rows"]:
        stages = "  ".join(f"{name} {ms:.1f}" for name, ms in row["stages"].items())
        ratio = "–" if row["ratio"] is None else f"{row['ratio']:.2f}"
        numbers = (f"{row['found']:.3g}", f"{row['ms']:.1f}", f"{row['fps']:.1f}", ratio)
        table.add_row(str(row["side"]), str(row["faces"]), row["pipeline"], *numbers, stages)
    Console().print(table)
    if result["accuracy"]:
        _print_accuracy(result["accuracy"])
    if result["absent"]:
        Console().print("absent:", ", ".join(result["absent"]))


def _print_accuracy(figures: dict[str, Any]) -> None:
    table = Table(title="accuracy, end to end (%)", title_justify="left")
    columns = ("lfw", "missed", "closed_set_1", "closed_set_3", "recall", "mean_iou", "lfw_ms")
    for column in ("pipeline", *columns):
        table.add_column(column, justify="left" if column == "pipeline" else "right")
    for name, row in figures.items():
        table.add_row(name, *(f"{row[column]:.4g}" for column in columns))
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
