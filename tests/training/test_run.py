"""Configs and recipes as files: those in scripts/configs/ are what they say, and a recipe's stages follow."""

from dataclasses import replace
from pathlib import Path

import pytest
from conftest import ROOT
from tiny_training import QUIET, folders

from oneshot.errors import OneShotError
from oneshot.models.config import BASE, FAST, LARGE, NANO, NetworkConfig
from oneshot.models.weights import load_network
from oneshot.training import run as runs
from oneshot.training.config import complete, load_config
from oneshot.training.run import recipe, run

__all__ = ["folders"]  # a fixture, used by its name

CONFIGS = ROOT / "scripts" / "configs"
SINGLE = ("identity", "again", "detection", "joint", "smaller", "turned", "distil")


@pytest.mark.parametrize("name", SINGLE)
def test_a_config_is_one_stage(name: str) -> None:
    path = CONFIGS / f"{name}.toml"
    assert recipe(path, []) is None
    start = str(ROOT / "weights" / "oneshot.safetensors")
    config = load_config(path, [f"start={start}"])
    assert config.steps > 0 and (config.network.direction or name != "turned")


@pytest.mark.parametrize(("name", "shape"), [("base", BASE), ("large", LARGE), ("nano", NANO)])
def test_a_recipe_begins_with_nothing_and_ends_with_the_shipped_kind(name: str, shape: NetworkConfig) -> None:
    stages = recipe(CONFIGS / f"{name}.toml", ["device=cuda"])
    assert stages is not None and stages[0][0] == "identity"
    reached, known = BASE, set()
    for stage, table in stages:
        assert "start" not in table and table["device"] == "cuda"
        assert table.get("detection", {}).get("teacher") in {None, *known}
        config = complete(table)
        reached = config.network if "network" in table else reached
        known.add(stage)
    assert reached == shape


def test_the_fast_recipe_cuts_its_shape_out_of_the_shipped_base() -> None:
    stages = recipe(CONFIGS / "fast.toml", [f"start={ROOT / 'weights' / 'oneshot.safetensors'}"])
    assert stages is not None
    shapes = [complete(table).network for _, table in stages]
    shipped = replace(BASE, direction=True)
    assert shapes == [FAST, shipped, shipped]  # what comes first sets the shape; the others go on from it


def test_stages_go_on_from_one_another_and_what_is_done_is_not_done_again(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one.toml").write_text(
        'stage = "identity"\nsteps = 2\n[network]\nstem = 16\n[identity]\nbatch = 8\n'
        "canvases = [64]\nscales = [[0.4, 0.5]]\n"
    )
    (tmp_path / "all.toml").write_text(
        '[[stages]]\nconfig = "one.toml"\n[[stages]]\nname = "two"\nconfig = "one.toml"\nsteps = 1\n'
    )
    changes = [f"data={folders[0]}", f"models={folders[1]}", "precision=fp32"]
    started: list[str | None] = []
    run_stage = runs.run_stage
    monkeypatch.setattr(
        runs, "run_stage", lambda config, *rest: started.append(config.start) or run_stage(config, *rest)
    )
    out = tmp_path / "out"
    last = run(tmp_path / "all.toml", changes, out, False, QUIET)
    first = out / "one" / "weights.safetensors"
    assert last == out / "two" / "weights.safetensors" and started == [None, str(first)]
    assert load_network(last)[1]["step"] == 1 and load_network(last)[0].config.stem == 16
    assert run(tmp_path / "all.toml", changes, out, True, QUIET) == last and len(started) == 2


def test_a_recipe_that_cannot_be_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "all.toml"
    (tmp_path / "one.toml").write_text("steps = 1")
    path.write_text('[[stages]]\nconfig = "one.toml"\n[[stages]]\nconfig = "one.toml"\n')
    with pytest.raises(OneShotError, match="two stages are called one"):
        recipe(path, [])
    path.write_text("[[stages]]\nsteps = 1\n")
    with pytest.raises(OneShotError, match="a stage without a config"):
        recipe(path, [])
