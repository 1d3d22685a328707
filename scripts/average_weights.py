"""Average networks of one family, say before and after a further training ("model soups", arXiv:2203.05482).

python scripts/average_weights.py before.safetensors after.safetensors --shares 0.4,0.6 --out mean.safetensors
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor

from oneshot.errors import OneShotError, explained
from oneshot.files import check_writable
from oneshot.models.weights import load_network, save_weights


@explained
def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", type=Path, nargs="+", help=".safetensors; the last one's facts are kept")
    parser.add_argument("--shares", help="one a file, separated by commas (default: equal ones)")
    parser.add_argument("--out", type=Path, required=True, help="the .safetensors to write")
    args = parser.parse_args(argv)
    shares = read_shares(args.shares, len(args.weights))
    check_writable(args.out)
    loaded = [load_network(path) for path in args.weights]
    states = [net.state_dict() for net, _ in loaded]
    last, info = loaded[-1]
    for path, state in zip(args.weights, states, strict=True):
        if {k: v.shape for k, v in state.items()} != {k: v.shape for k, v in states[-1].items()}:
            raise OneShotError(
                f"{path}: not of the shape of {args.weights[-1]}; average networks of one config"
            )
    last.load_state_dict(mean(states, shares))
    sha = save_weights(args.out, last, info)
    Console().print(f"{args.out}\nweights_sha256 {sha}", soft_wrap=True)


def read_shares(text: str | None, files: int) -> list[float]:
    """Shares that sum to one; OneShotError where they are not one positive number a file."""
    try:
        shares = [float(share) for share in text.split(",")] if text else [1.0] * files
    except ValueError:
        shares = []
    if len(shares) != files or min(shares) <= 0:
        raise OneShotError(f"--shares {text}: give {files} positive numbers, one a file, such as 0.4,0.6")
    return [share / sum(shares) for share in shares]


def mean(states: Sequence[dict[str, Tensor]], shares: Sequence[float]) -> dict[str, Tensor]:
    """The weighted mean of each floating-point tensor; counters are the last one's."""

    def joined(key: str) -> Tensor:
        tensors = [state[key] for state in states]
        if not tensors[-1].is_floating_point():
            return tensors[-1]
        return torch.stack([share * t for share, t in zip(shares, tensors, strict=True)]).sum(0)

    return {key: joined(key) for key in states[-1]}


if __name__ == "__main__":
    sys.exit(main())
