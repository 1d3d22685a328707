"""Train the network: `python scripts/train.py CONFIG [--out DIR] [--resume DIR] [key=value …]`."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from oneshot.errors import explained


@explained
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, help="a TOML file, for example scripts/configs/identity.toml")
    parser.add_argument("--out", type=Path, help="folder of the run (default: runs/<name of the config>)")
    parser.add_argument("--resume", type=Path, metavar="DIR", help="go on with the run in this folder")
    parser.add_argument("changes", nargs="*", metavar="key=value", help="settings to change, e.g. steps=1000")
    args = parser.parse_intermixed_args()

    import torch

    from oneshot.models.network import OneShotNet
    from oneshot.models.squeezefaceposenet import FORMS
    from oneshot.training.config import TrainConfig, load_config
    from oneshot.training.loop import Stage, train
    from oneshot.training.precision import sooner
    from oneshot.training.stages.detection import DetectionStage
    from oneshot.training.stages.distil import DistilStage
    from oneshot.training.stages.first_fit import fit_stem_bridge
    from oneshot.training.stages.identity import IdentityStage
    from oneshot.training.stages.joint import JointStage
    from oneshot.training.start import start_network, start_squeezefaceposenet

    config = load_config(args.config, args.changes)
    torch.manual_seed(config.seed)
    out = args.resume or args.out or Path("runs") / args.config.stem
    start = Path(config.start) if config.start else None
    models, resume, console = Path(config.models), args.resume is not None, Console()
    if config.precision == "auto":
        console.print(f"precision: {sooner(config.device)}, the faster one here")
    if config.stage == "distil":
        student = start_squeezefaceposenet(FORMS[config.squeezefaceposenet], models, start, dropout=0.0)
        written = train(config, DistilStage(config), student, out, resume, console)
    else:
        stages: dict[str, Callable[[TrainConfig], Stage[OneShotNet]]] = {
            "identity": IdentityStage,
            "detection": DetectionStage,
            "joint": JointStage,
        }
        net = start_network(config.network, models, start)
        stage = stages[config.stage](config)
        identity = stage.identity if isinstance(stage, JointStage) else stage
        if isinstance(identity, IdentityStage) and not resume:
            fitted = fit_stem_bridge(net, identity)
            if fitted is not None:
                console.print(f"bridge: least squares explain {fitted:.3f} of the teacher's features")
        written = train(config, stage, net, out, resume, console)
    console.print(f"weights: {written}")


if __name__ == "__main__":
    sys.exit(main())
