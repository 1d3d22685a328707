#!/usr/bin/env python3
"""Where the time of one pass goes: each node of the graph as ONNX Runtime runs it, grouped by operator.

python scripts/profile_onnx.py                     # the shipped network, 320 x 320, five faces, one thread
python scripts/profile_onnx.py --nodes 20 --weights int8/oneshot.onnx

Says the share of the time that is neither a convolution nor a matrix product. Nodes are those that ONNX
Runtime makes of the file's: some are fused, some (ReorderInput, ReorderOutput) are its own.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from rich.console import Console
from rich.table import Table

from oneshot.errors import OneShotError, explained
from oneshot.evaluation import timing
from oneshot.files import check_writable, write_json
from oneshot.inference.backend import weights_file
from oneshot.inference.onnx import OUTPUTS, QUIET, OnnxBackend
from oneshot.inference.predictor import SCORE_THRESHOLD
from oneshot.types import Image

CONVOLUTIONS = {"Conv", "FusedConv", "ConvInteger", "QLinearConv", "NhwcFusedConv"}
PRODUCTS = {
    "DynamicQuantizeMatMul",
    "FusedGemm",
    "FusedMatMul",
    "Gemm",
    "MatMul",
    "MatMulInteger",
    "MatMulIntegerToFloat",
    "QGemm",
    "QLinearMatMul",
}
WARM = 5
"""Runs at the beginning that are not counted."""


@dataclass(frozen=True)
class Node:
    """One node of the graph that was run: its operator, and its median time in milliseconds."""

    name: str
    operator: str
    ms: float


def profile(weights: Path, image: Image, faces: int, rounds: int) -> tuple[list[Node], int]:
    """The nodes of one pass over a BGR picture, the slowest first, and how many faces it found.

    Raises:
        OneShotError: the file is no network of oneshot.
    """
    info = OnnxBackend(weights, threads=1).info  # says what is wrong with a bad file
    options = ort.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = QUIET, 1
    options.enable_profiling = True
    inputs = {
        "image": np.ascontiguousarray(image[None, ..., ::-1]),
        "score_threshold": np.array(info.get("score_threshold", SCORE_THRESHOLD), np.float32),
        "max_faces": np.array(faces, np.int64),
    }
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = ort.InferenceSession(weights, options, providers=["CPUExecutionProvider"])
        for _ in range(WARM + rounds):
            _, scores, *_ = session.run(OUTPUTS, inputs)
        events = json.loads(Path(session.end_profiling()).read_text())
    return medians(events, WARM), len(scores)


def medians(events: Sequence[dict[str, Any]], warm: int) -> list[Node]:
    """Each node's median time over the runs after the first `warm`, the slowest first.

    `events` are ONNX Runtime's: a node's own have the category "Node" and end in _kernel_time.
    """
    times: dict[tuple[str, str], list[float]] = defaultdict(list)
    for event in sorted(events, key=lambda event: event["ts"]):
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            name = event["name"].removesuffix("_kernel_time")
            times[name, event["args"]["op_name"]].append(event["dur"] / 1000)
    nodes = [
        Node(name, kind, statistics.median(ms[warm:])) for (name, kind), ms in times.items() if ms[warm:]
    ]
    return sorted(nodes, key=lambda node: -node.ms)


def by_operator(nodes: Sequence[Node]) -> dict[str, tuple[int, float]]:
    """Number of nodes and milliseconds of each operator, the slowest first."""
    sums: dict[str, tuple[int, float]] = {}
    for node in nodes:
        count, ms = sums.get(node.operator, (0, 0.0))
        sums[node.operator] = count + 1, ms + node.ms
    return dict(sorted(sums.items(), key=lambda item: -item[1][1]))


def other_share(nodes: Sequence[Node]) -> float:
    """The share of the time, 0 to 1, that is neither a convolution nor a matrix product."""
    other = sum(node.ms for node in nodes if node.operator not in CONVOLUTIONS | PRODUCTS)
    return other / max(sum(node.ms for node in nodes), 1e-9)


@explained
def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", type=Path, help="an .onnx file, or a shipped network (oneshot)")
    parser.add_argument("--side", type=int, default=320, help="of the picture, a multiple of 32 (320)")
    parser.add_argument("--faces", type=int, choices=range(1, 101), default=5, metavar="N", help="in it (5)")
    parser.add_argument("--rounds", type=int, choices=range(1, 10_001), default=50, metavar="N", help="(50)")
    parser.add_argument("--nodes", type=int, default=0, metavar="N", help="list the N slowest nodes too")
    parser.add_argument("--data", type=Path, help="folder with lfw.tar (default: two photos out of wheels)")
    parser.add_argument("--json", type=Path, help="write the figures here")
    args = parser.parse_args(argv)
    if args.side < 32 or args.side % 32:
        raise OneShotError(f"--side {args.side}: the network takes multiples of 32; give one, such as 320")
    if args.json:
        check_writable(args.json)
    image = timing.canvas(timing.portraits(args.data, args.faces), args.side)
    nodes, found = profile(weights_file(args.weights), image, args.faces, args.rounds)
    total, kinds, share = sum(node.ms for node in nodes), by_operator(nodes), other_share(nodes)
    console = Console()
    title = f"{args.side} x {args.side}, {found} faces, one thread: {len(nodes)} nodes, {total:.2f} ms"
    table = Table("operator", "nodes", "ms", "%", title=title, title_justify="left")
    for kind, (count, ms) in kinds.items():
        table.add_row(kind, str(count), f"{ms:.3f}", f"{100 * ms / total:.1f}")
    console.print(table)
    if args.nodes:
        slowest = Table("node", "operator", "ms", "%")
        for node in nodes[: args.nodes]:
            slowest.add_row(node.name, node.operator, f"{node.ms:.3f}", f"{100 * node.ms / total:.1f}")
        console.print(slowest)
    console.print(f"neither convolution nor matrix product: {100 * share:.1f} %")
    if args.json:
        write_json(
            args.json,
            {
                "side": args.side,
                "faces": found,
                "ms": total,
                "other_share": share,
                "operators": {kind: {"nodes": n, "ms": ms} for kind, (n, ms) in kinds.items()},
                "nodes": [vars(node) for node in nodes],
            },
        )


if __name__ == "__main__":
    sys.exit(main())
