"""A training from its file: one stage, or a recipe of several that go on from one another."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from oneshot.errors import OneShotError
from oneshot.models.network import OneShotNet
from oneshot.models.squeezefaceposenet import FORMS
from oneshot.models.weights import read_info
from oneshot.training.checkpoint import NAME
from oneshot.training.config import TrainConfig, change, complete, merged, read_table
from oneshot.training.loop import Stage, train
from oneshot.training.precision import faster
from oneshot.training.stages.detection import DetectionStage
from oneshot.training.stages.distil import DistilStage
from oneshot.training.stages.first_fit import fit_stem_bridge
from oneshot.training.stages.identity import IdentityStage
from oneshot.training.stages.joint import JointStage
from oneshot.training.start import start_network, start_squeezefaceposenet

STAGES: dict[str, Callable[[TrainConfig], Stage[OneShotNet]]] = {
    "identity": IdentityStage,
    "detection": DetectionStage,
    "joint": JointStage,
}


def run(path: Path, changes: list[str], out: Path, resume: bool, console: Console) -> Path:
    """Train what a file says, in `out` (a recipe: each stage in a folder of its own there).

    Args:
        path: a config, or a recipe (`recipe`).
        changes: key=value, of every stage.
        resume: go on where a run in `out` was cut off.

    Returns:
        The trained weights.

    Raises:
        OneShotError: what `load_config`, `recipe` and `train` say.
    """
    stages = recipe(path, changes)
    if stages is None:
        return run_stage(complete(change(read_table(path), changes)), out, resume, console)
    trained: dict[str, str] = {}
    before: str | None = None
    for name, table in stages:
        start = table.get("start")
        table["start"] = trained.get(start, start) if start else before
        detection = table.get("detection", {})
        if detection.get("teacher") in trained:
            detection["teacher"] = trained[detection["teacher"]]
        config, folder = complete(table), out / name
        weights = folder / "weights.safetensors"
        console.rule(name)
        if not (resume and weights.is_file() and read_info(weights)["step"] == config.steps):
            run_stage(config, folder, resume and (folder / NAME).is_file(), console)
        before = trained[name] = str(weights)
    return Path(str(before))


def recipe(path: Path, changes: list[str]) -> list[tuple[str, dict[str, Any]]] | None:
    """The stages of a recipe in order, by name; None where the file is one stage's config.

    A recipe has `[[stages]]`, each a config's file (`config`, beside the recipe) and what is changed in it.
    Each starts from the one before, or from the one that `start` names; `name` is `config` without suffix if
    it is left out. `after` names another recipe, whose stages come first.

    Raises:
        OneShotError: a name twice, or a stage without a config.
    """
    table = read_table(path)
    if "stages" not in table:
        return None
    stages = (recipe(path.parent / table["after"], changes) or []) if "after" in table else []
    for said in table["stages"]:
        if "config" not in said:
            raise OneShotError(f"{path}: a stage without a config; say config = one of the files beside it")
        file = path.parent / said.pop("config")
        name = said.pop("name", file.stem)
        if name in dict(stages):
            raise OneShotError(f"{path}: two stages are called {name}; give one of them another name")
        own = {key: value for key, value in read_table(file).items() if key != "start"}
        stages.append((name, change(merged(own, said), changes)))
    return stages


def run_stage(config: TrainConfig, out: Path, resume: bool, console: Console) -> Path:
    """Train one stage in the folder `out`; returns the trained weights."""
    torch.manual_seed(config.seed)
    start = Path(config.start) if config.start else None
    models = Path(config.models)
    if config.precision == "auto":
        console.print(f"precision: {faster(config.device)}, the faster one here")
    if config.stage == "distil":
        student = start_squeezefaceposenet(FORMS[config.distil.form], models, start, dropout=0.0)
        return train(config, DistilStage(config), student, out, resume, console)
    net = start_network(config.network, models, start)
    stage = STAGES[config.stage](config)
    identity = stage.identity if isinstance(stage, JointStage) else stage
    if isinstance(identity, IdentityStage) and not resume:
        fitted = fit_stem_bridge(net, identity)
        if fitted is not None:
            console.print(f"bridge: least squares explain {fitted:.3f} of the teacher's features")
    return train(config, stage, net, out, resume, console)
