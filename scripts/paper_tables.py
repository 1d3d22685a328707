#!/usr/bin/env python3
"""The tables of SqueezeFacePoseNet's paper, with our own measurements beside them.

python scripts/paper_tables.py 1                            # sizes; time on this machine's CPU
python scripts/paper_tables.py 4 pose.json                  # EER across poses, from evaluate.py pose
python scripts/paper_tables.py 5 ms1m.json vggface2.json    # the same, a row a training set
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from oneshot.errors import OneShotError, explained
from oneshot.evaluation import paper
from oneshot.files import check_writable, write_json

TIMM = {"ResNet50ft": "resnet50", "SENet50ft": "seresnet50"}
"""Architectures of the two large networks; untrained, which is all that size and time need."""

FORMS = {"SqueezeFacePoseNet": "plain", "+GDC": "gdc", "+DWC": "dwc", "+DWC+GDC": "dwc+gdc"}
SIZES = ("1", "5")


@explained
def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", choices=("1", "4", "5"))
    parser.add_argument("results", type=Path, nargs="*", help="files of evaluate.py pose or vggface2-pose")
    parser.add_argument("--threads", type=int, choices=range(1, 65), default=1, metavar="N")
    parser.add_argument("--rounds", type=int, choices=range(1, 1001), default=30, metavar="N")
    parser.add_argument("--json", type=Path, help="write our figures here")
    args = parser.parse_args(argv)
    if args.json:
        check_writable(args.json)
    if args.table == "1":
        ours: Mapping[str, Any] = sizes_and_times(args.threads, args.rounds)
        Console().print(table_1(ours, args.threads))
    else:
        ours = {name: figures for path in args.results for name, figures in rows(path, args.table)}
        published = paper.TABLE_4 if args.table == "4" else paper.TABLE_5
        Console().print(error_table(f"Table {args.table}: EER (%)", published, ours))
    if args.json:
        write_json(args.json, ours)
    return 0


def sizes_and_times(threads: int, rounds: int) -> dict[str, dict[str, float]]:
    """Parameters and the median ms of one face, in ONNX Runtime; the networks take turns."""
    try:
        import timm
        import torch

        from oneshot.evaluation.peers.files import session
        from oneshot.inference.torch import as_onnx
        from oneshot.models.squeezefaceposenet import FORMS as NETWORKS
        from oneshot.models.squeezefaceposenet import SqueezeFacePoseNet
    except ImportError as error:
        raise OneShotError(f"table 1 needs {error.name}; pip install 'oneshot-face[train]'") from None
    sessions, inputs = {}, {}
    ours: dict[str, dict[str, float]] = {}
    for name, row in paper.TABLE_1.items():
        net = SqueezeFacePoseNet(NETWORKS[FORMS[name]]) if name in FORMS else timm.create_model(TIMM[name])
        faces = torch.zeros(1, 3, row.side, row.side)
        ours[name] = {"parameters": sum(p.numel() for p in net.parameters())}
        sessions[name] = session(as_onnx(net.eval(), faces), threads)
        inputs[name] = {"crops": np.random.default_rng(0).random(faces.shape, np.float32)}
    times: dict[str, list[float]] = {name: [] for name in sessions}
    for _ in range(rounds + 2):
        for name, net in sessions.items():
            start = time.perf_counter()
            net.run(None, inputs[name])
            times[name].append(1000 * (time.perf_counter() - start))
    for name, ms in times.items():
        ours[name]["ms"] = statistics.median(ms[2:])  # the first two warm it up
    return ours


def table_1(ours: Mapping[str, Mapping[str, float]], threads: int) -> Table:
    """Ours without the paper's classifier, 4 bytes a parameter; the large two with one of 1000 classes."""
    title = f"Table 1: ours on {threads} CPU thread{'s' * (threads > 1)} (the paper's)"
    table = _table(title, ("input", "out", "M parameters", "MB, fp32", "ms"))
    for name, row in paper.TABLE_1.items():
        count, ms = ours[name]["parameters"], ours[name]["ms"]
        sizes = (f"{count / 1e6:.2f} ({row.parameters:g})", f"{4 * count / 1e6:.2f} ({row.size:g})")
        shape = (f"{row.side}x{row.side}", str(row.descriptor))
        table.add_row(name, *shape, *sizes, f"{ms:.1f} ({row.ms:g})")
    return table


def _table(title: str, headings: Iterable[str]) -> Table:
    """A row a network; narrow enough for 80 columns, where a long name takes two lines."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("network", overflow="fold")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def rows(path: Path, table: str) -> Iterator[tuple[str, list[float | None]]]:
    """Name and twelve EERs of each network in a result; for Table 5 a row is named by its file as well.

    Raises:
        OneShotError: the file is missing or no such result.
    """
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        for name, figures in result.items():
            if isinstance(figures, dict) and "1" in figures:
                errors = [figures[size][pair]["eer"] for size in SIZES for pair in paper.COLUMNS]
                yield (f"{path.stem}: {name}" if table == "5" else name), errors
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise OneShotError(
            f"{path}: not a result of scripts/evaluate.py pose --json; make one first"
        ) from None


def error_table(
    title: str, published: Mapping[str, Sequence[float]], ours: Mapping[str, Sequence[float | None]]
) -> Table:
    """For templates of one and of five images: the paper's rows, then ours; columns as in the paper."""
    initials = {"frontal": "F", "three_quarter": "3/4", "profile": "P"}
    table = _table(title, ("\n".join(initials[pose] for pose in pair.split("/")) for pair in paper.COLUMNS))
    pairs = len(paper.COLUMNS)
    for i, size in enumerate(SIZES):
        here = slice(i * pairs, (i + 1) * pairs)
        table.add_section()
        table.add_row(f"[bold]{size} image{'s' * (size != '1')} a template")
        for name, figures in published.items():
            table.add_row(f"{name} (paper)", *(f"{value:g}" for value in figures[here]))
        for name, errors in ours.items():
            table.add_row(name, *("–" if value is None else f"{value:.2f}" for value in errors[here]))
    return table


if __name__ == "__main__":
    sys.exit(main())
