"""Train SqueezeFacePoseNet as its paper does, on folders with one folder of face photos a person.

python scripts/train_squeezefaceposenet.py scripts/configs/squeezefaceposenet.toml 'data=["a", "b"]' form=dwc
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from oneshot.errors import explained


@explained
def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", type=Path, help="a TOML file: scripts/configs/squeezefaceposenet.toml")
    parser.add_argument("--out", type=Path, help="folder of the run (default: runs/<name of the config>)")
    parser.add_argument("--resume", type=Path, metavar="DIR", help="go on with the run in this folder")
    parser.add_argument("changes", nargs="*", metavar="key=value", help="settings to change, e.g. form=dwc")
    args = parser.parse_intermixed_args(argv)

    from oneshot.training.config import change, checked, read_table
    from oneshot.training.stages.softmax import SoftmaxConfig, train

    config = checked(SoftmaxConfig, change(read_table(args.config), args.changes))
    out = args.resume or args.out or Path("runs") / args.config.stem
    console = Console(highlight=False)
    console.print(f"weights: {train(config, out, args.resume is not None, console)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
