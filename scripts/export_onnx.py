"""Write a trained network as the two files that are shipped: safetensors for torch, and one ONNX graph.

python scripts/export_onnx.py --weights runs/joint/weights.safetensors --lfw lfw.json --out weights
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from oneshot import __version__
from oneshot.errors import explained
from oneshot.evaluation.report import thresholds
from oneshot.inference.backend import weights_file

FACTS: dict[str, Any] = {
    "version": __version__,
    "licence": "code MIT; weights for research: see NOTICE",
    "data": "public research photos of faces, see weights/README.md; no LFW image or person",
    "input": "RGB uint8, sides multiples of 32",
    "side": 640,
}


@explained
def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--weights", type=Path, required=True, help="a .safetensors that training wrote, or a shipped network"
    )
    parser.add_argument("--out", type=Path, default=Path("weights"), help="folder (default: weights)")
    parser.add_argument("--name", default="oneshot", help="the files' name without suffix")
    parser.add_argument(
        "--lfw", type=Path, help="result of scripts/evaluate.py lfw, whose thresholds to carry"
    )
    parser.add_argument("--score-threshold", type=float, default=0.5)
    parser.add_argument("--iou-threshold", type=float, default=0.45)
    parser.add_argument(
        "--refinements",
        type=int,
        help="times that landmarks are corrected, instead of the weights' own number",
    )
    args = parser.parse_args()

    from oneshot.convert.to_onnx import export_onnx
    from oneshot.models.weights import load_network, save_weights

    net, trained = load_network(weights_file(args.weights, suffix=".safetensors"))
    if args.refinements is not None:
        net.config = replace(net.config, refinements=args.refinements)
    teacher = f"EdgeFace-{net.config.identity.recogniser.upper()}"
    info = {
        "name": args.name,
        **FACTS,
        "teacher": f"{teacher} (Idiap, BSD-3); its deep half is where ours starts from",
        "stage": trained.get("stage"),
        "step": trained.get("step"),
        "score_threshold": args.score_threshold,
        "iou_threshold": args.iou_threshold,
        "thresholds": thresholds(args.lfw) if args.lfw else trained.get("thresholds", {}),
    }
    args.out.mkdir(parents=True, exist_ok=True)
    tensors, graph = (args.out / f"{args.name}{suffix}" for suffix in (".safetensors", ".onnx"))
    sha = save_weights(tensors, net, info)
    # Exported from the fp16 file, so that both hold the very same numbers.
    net, info = load_network(tensors)
    export_onnx(net, graph, info)
    console = Console(highlight=False)
    for path in (tensors, graph):
        console.print(f"{path}  {path.stat().st_size / 1e6:.2f} MB")
    console.print(f"sha256 of the weights: {sha}")


if __name__ == "__main__":
    sys.exit(main())
