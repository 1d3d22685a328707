"""Train a network, by one stage's config or by a recipe of several.

python scripts/train.py scripts/configs/identity.toml data=DIR models=DIR   # stage 1
python scripts/train.py scripts/configs/nano.toml data=DIR models=DIR       # all stages of a nano
"""

import argparse
import sys
from pathlib import Path

from rich.console import Console

from oneshot.errors import explained


@explained
def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", type=Path, help="a TOML file of scripts/configs/")
    parser.add_argument("--out", type=Path, help="folder of the run (default: runs/<name of the config>)")
    parser.add_argument("--resume", type=Path, metavar="DIR", help="go on with the run in this folder")
    parser.add_argument("changes", nargs="*", metavar="key=value", help="settings to change, e.g. steps=1000")
    args = parser.parse_intermixed_args()

    from oneshot.training.run import run

    out = args.resume or args.out or Path("runs") / args.config.stem
    console = Console()
    console.print(f"weights: {run(args.config, args.changes, out, args.resume is not None, console)}")


if __name__ == "__main__":
    sys.exit(main())
