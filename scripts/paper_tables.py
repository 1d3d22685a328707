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
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from oneshot.errors import OneShotError, explained
from oneshot.evaluation import paper, report
from oneshot.files import check_writable

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
        report.write_json(args.json, ours)
    return 0


def sizes_and_times(threads: int, rounds: int) -> dict[str, dict[str, float]]:
    """Parameters and the median ms of one face, in ONNX Runtime; the networks take turns."""
    try:
        import timm
        import torch

        from oneshot.evaluation.peers import session
        from oneshot.models.squeezefaceposenet import FORMS as NETWORKS
        from oneshot.models.squeezefaceposenet import SqueezeFacePoseNet
        from oneshot.runtime.torch import as_onnx
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
    table = Table(title=f"Table 1; ours on {threads} CPU thread{'s' * (threads > 1)}", title_justify="left")
    for column in (
        "network",
        "input",
        "descriptor",
        "M parameters",
        "paper",
        "MB, fp32",
        "paper",
        "ms",
        "paper",
    ):
        table.add_column(column, justify="left" if column == "network" else "right")
    for name, row in paper.TABLE_1.items():
        count, ms = ours[name]["parameters"], ours[name]["ms"]
        sizes = (f"{count / 1e6:.2f}", f"{row.parameters:g}", f"{4 * count / 1e6:.2f}", f"{row.size:g}")
        table.add_row(name, f"{row.side}x{row.side}", str(row.descriptor), *sizes, f"{ms:.1f}", f"{row.ms:g}")
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
    """The paper's rows, then ours; columns as in the paper."""
    table = Table(title=title, title_justify="left")
    table.add_column("network")
    initials = {"frontal": "F", "three_quarter": "3/4", "profile": "P"}
    for size in SIZES:
        for pair in paper.COLUMNS:
            poses = "-".join(initials[pose] for pose in pair.split("/"))
            table.add_column(f"{poses}\n{size} image{'s' * (size != '1')}", justify="right")
    for name, figures in {f"{name} (paper)": row for name, row in published.items()}.items():
        table.add_row(name, *(f"{value:g}" for value in figures))
    table.add_section()
    for name, errors in ours.items():
        table.add_row(name, *("–" if value is None else f"{value:.2f}" for value in errors))
    return table


if __name__ == "__main__":
    sys.exit(main())
