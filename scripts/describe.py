"""Parameters, multiply-adds and output shapes of every part of the network."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from oneshot.errors import explained
from oneshot.inference.backend import weights_file
from oneshot.models.config import SIZES, CellIdentity
from oneshot.models.network import OneShotNet
from oneshot.models.weights import load_network

PARTS = [f"backbone.{part}" for part in ("stem", "linear", *(f"fire{i}" for i in range(2, 10)))]
PARTS += ["head", "thin4", "refinement"]
PARTS += [f"identity.{part}" for part in ("thin2", "bridge", "deep", "cell")]


def shape_of(output: object) -> str:
    """Tensor shapes in an output, written as 1x64x160x160."""
    tensors = [output] if isinstance(output, Tensor) else list(output)  # type: ignore[call-overload]
    return ", ".join("x".join(map(str, t.shape)) for t in tensors)


def measure(net: OneShotNet, side: int, faces: int) -> tuple[dict[str, str], dict[str, float]]:
    """Output shape and millions of multiply-adds of each part, for one picture with some faces."""
    shapes: dict[str, str] = {}
    macs: dict[str, float] = dict.fromkeys(PARTS, 0.0)
    counter = FlopCounterMode(display=False)

    def watch(name: str, module: nn.Module) -> None:
        def before(*_: object) -> None:
            macs[name] -= counter.get_total_flops() / 2e6

        def after(module: nn.Module, inputs: object, output: object) -> None:
            macs[name] += counter.get_total_flops() / 2e6
            shapes[name] = shape_of(output)

        module.register_forward_pre_hook(before)
        module.register_forward_hook(after)

    for name, module in net.named_modules():
        if name in PARTS:
            watch(name, module)
    with torch.no_grad(), counter:
        _, sampled = net.dense(torch.zeros(1, 3, side, side))
        landmarks = net.refinement.grid.landmarks.repeat(faces, 1, 1) * (side / 224) + side / 8
        net.identity(sampled, net.corrected(sampled.coarse, landmarks))
    return shapes, macs


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@explained
def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--weights",
        metavar="FILE",
        help=".safetensors, or a shipped network (oneshot); default: a fresh network of --size",
    )
    parser.add_argument(
        "--side", type=int, default=320, help="pixels of the square picture, a multiple of 32"
    )
    parser.add_argument("--faces", type=int, default=1, help="faces in it")
    sizes = SIZES | {"cell": replace(SIZES["base"], identity=CellIdentity())}
    parser.add_argument("--size", choices=sizes, default="base")
    args = parser.parse_args(argv)
    if args.weights:
        net, _ = load_network(weights_file(args.weights, suffix=".safetensors"))
    else:
        net = OneShotNet(sizes[args.size]).eval()
    shapes, macs = measure(net, args.side, args.faces)
    table = Table(title=f"one picture of {args.side}x{args.side} with {args.faces} face(s)")
    for title in ("part", "parameters", "million multiply-adds", "output"):
        table.add_column(title, justify="left" if title in ("part", "output") else "right")
    for name, shape in shapes.items():
        count = parameters(net.get_submodule(name))
        if count:
            table.add_row(name, f"{count:,}", f"{macs[name]:.1f}", shape)
    table.add_section()
    table.add_row("all", f"{parameters(net):,}", f"{sum(macs.values()):.1f}", "")
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
