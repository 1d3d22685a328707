"""The paper's recipe on a tiny folder of people with flat colours for faces, and a stand-in network."""

import csv
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import torch
from conftest import ROOT, load_script
from rich.console import Console
from torch import nn

from oneshot.errors import OneShotError
from oneshot.models.squeezefaceposenet import FORMS
from oneshot.training.config import checked, read_table
from oneshot.training.stages import softmax
from oneshot.training.stages.softmax import Plateau, SoftmaxConfig, batches, load_people, train

QUIET = Console(quiet=True)
COLOURS = {"Ann": (200, 30, 30), "Bob": (30, 200, 30), "Cem": (30, 30, 200)}


class Tiny(nn.Module):
    """The mean colour and one layer: enough to tell three colours apart."""

    config = FORMS["dwc"]

    def __init__(self) -> None:
        super().__init__()
        self.old, self.new = nn.Linear(3, 8), nn.Linear(8, 1000)

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.new(torch.relu(self.old(faces.mean((2, 3)) / 255))))


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Three people with eight photos, and Dee with three only."""
    rng = np.random.default_rng(0)
    for name, count in (("Ann", 8), ("Bob", 8), ("Cem", 8), ("Dee", 3)):
        (tmp_path / "people" / name).mkdir(parents=True)
        for i in range(count):
            image = np.full((40, 30, 3), COLOURS.get(name, (9, 9, 9)), np.uint8)
            image += rng.integers(0, 20, image.shape, np.uint8)
            cv2.imwrite(str(tmp_path / "people" / name / f"{i}.png"), image)
    return tmp_path / "people"


@pytest.fixture
def config(people: Path, monkeypatch: pytest.MonkeyPatch) -> SoftmaxConfig:
    def start(config: SoftmaxConfig) -> tuple[Tiny, set[str]]:
        return Tiny(), {"new.weight", "new.bias"}

    monkeypatch.setattr(softmax, "start", start)
    return SoftmaxConfig(
        data=(str(people), str(people)), batch=6, least=4, validation=0.25, patience=2, epochs=4, dropout=0.1
    )


def test_people_with_few_photos_are_dropped_and_some_photos_kept_apart(people: Path) -> None:
    known, held, count = load_people(people, least=4, validation=0.25, seed=0)
    assert count == 3 and len(known) == 18 and len(held) == 6
    assert not set(known.paths) & set(held.paths)
    for part, each in ((known, 6), (held, 2)):
        assert [part.people.count(who) for who in range(3)] == [each] * 3
        names = sorted(COLOURS)
        assert all(path.parent.name == names[who] for path, who in zip(part.paths, part.people, strict=True))
    assert len(load_people(people, least=2, validation=0.02, seed=0)[1]) == 4  # at least one of each
    with pytest.raises(OneShotError, match="0 people with 70 photos"):
        load_people(people, least=70, validation=0.02, seed=0)
    with pytest.raises(OneShotError, match="no such folder"):
        load_people(people / "none", least=2, validation=0.02, seed=0)


def test_batches_are_rgb_faces_with_their_people(people: Path) -> None:
    known, _, _ = load_people(people, least=4, validation=0.25, seed=0)
    for random_window in (True, False):
        parts = list(batches(known, 6, random_window, np.random.default_rng(0)))
        faces, labels = (torch.cat(p) for p in zip(*parts, strict=True))
        assert faces.shape == (18, 3, 113, 113)
        order = {"Ann": 2, "Bob": 1, "Cem": 0}  # whose colour is strongest in which channel of RGB
        channels = [order[sorted(COLOURS)[who]] for who in labels.tolist()]
        assert faces.mean((2, 3)).argmax(1).tolist() == channels
    sizes = [len(labels) for _, labels in batches(known, 17, False, np.random.default_rng(0))]
    assert sizes == [17]  # one alone would break batch-norm
    assert [len(labels) for _, labels in batches(known, 17, False, None)] == [17, 1]


def test_rates_fall_when_the_loss_does_not() -> None:
    plateau = Plateau(patience=2, epochs=5)
    seen = []
    for loss in (3.0, 2.0, 2.5, 2.1, 1.0, 1.1, 1.2, 0.9, 0.8, 0.7, 0.6, 0.5):
        plateau.update(loss)
        seen.append(plateau.rate)
    assert seen == [0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 2, 3]  # the last by its number of epochs


def test_new_layers_learn_ten_times_faster_at_the_first_rate_only(config: SoftmaxConfig) -> None:
    net = Tiny()
    classifier = softmax.Classifier(3, 0.5)
    optimiser = softmax._optimiser(net, classifier, {"new.weight", "new.bias"}, config)
    old, new = optimiser.param_groups
    assert {id(p) for p in old["params"]} == {id(p) for p in net.old.parameters()}
    assert {id(p) for p in new["params"]} == {
        id(p) for p in (*net.new.parameters(), *classifier.parameters())
    }
    for rate, expected in ((0, (0.01, 0.1)), (1, (0.005, 0.005)), (3, (0.0001, 0.0001))):
        softmax._set_rates(optimiser, config, rate)
        assert [group["lr"] for group in optimiser.param_groups] == pytest.approx(expected)
    assert optimiser.defaults["momentum"] == 0.9


def figures(out: Path, name: str) -> list[float]:
    with (out / "log.csv").open(newline="") as file:
        return [float(row["value"]) for row in csv.DictReader(file) if row["name"] == name]


def test_training_tells_the_people_apart_on_both_sets(config: SoftmaxConfig, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert train(config, out, False, QUIET) == out / "weights.safetensors"
    assert (out / "weights.safetensors").is_file()
    losses, rates = figures(out, "validation_loss"), figures(out, "rate")
    assert losses[-1] < 0.5 * losses[0] and figures(out, "accuracy")[-1] == 100
    turn = next(i for i in range(1, len(rates)) if rates[i] > rates[i - 1])  # the second set begins anew
    assert rates[0] == rates[turn] == 0.01 and rates[-1] == rates[turn - 1] == 0.0001
    assert rates[:turn] == sorted(rates[:turn], reverse=True)


def test_a_resumed_run_equals_one_that_never_stopped(
    config: SoftmaxConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(config, rates=(0.01, 0.001), epochs=2)
    train(config, tmp_path / "whole", False, QUIET)

    class StopError(Exception):
        pass

    calls = 0
    test = softmax._test

    def stopping(*args: object) -> dict[str, float]:
        nonlocal calls
        calls += 1
        if calls == 6:  # in the second set's second epoch
            raise StopError
        return test(*args)  # type: ignore[arg-type]

    with monkeypatch.context() as patch, pytest.raises(StopError):
        patch.setattr(softmax, "_test", stopping)
        train(config, tmp_path / "cut", False, QUIET)
    train(config, tmp_path / "cut", True, QUIET)
    from safetensors.torch import load_file

    whole, cut = (load_file(tmp_path / run / "weights.safetensors") for run in ("whole", "cut"))
    for name, value in whole.items():
        assert torch.equal(cut[name], value), name
    assert figures(tmp_path / "cut", "loss") == figures(tmp_path / "whole", "loss")
    with pytest.raises(OneShotError, match="another config"):
        train(replace(config, batch=5), tmp_path / "cut", True, QUIET)


def test_the_network_starts_from_imagenet_and_knows_what_is_new(tmp_path: Path) -> None:
    models = pytest.importorskip("torchvision.models")
    from safetensors.torch import save_file

    state = models.squeezenet1_1(weights=None).state_dict()
    save_file(state, tmp_path / "squeezenet1_1_imagenet.safetensors")
    net, new = softmax.start(SoftmaxConfig(models=str(tmp_path)))
    assert new == set() and torch.equal(net.fire2.squeeze.weight, state["features.3.squeeze.weight"])
    net, new = softmax.start(SoftmaxConfig(models=str(tmp_path), form="dwc+gdc"))
    assert {name.split(".")[1] for name in new if name.startswith("fire")} == {"expand3x3"}
    assert {"gdc.weight", "gdc.bias"} <= new and not any("conv10" in name for name in new)


def test_the_configs_values_are_the_papers_and_mistakes_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = ROOT / "scripts" / "configs" / "squeezefaceposenet.toml"
    assert checked(SoftmaxConfig, read_table(path)) == SoftmaxConfig()
    script: ModuleType = load_script("train_squeezefaceposenet")
    for changes, word in (
        (["form=round"], "form=round"),
        (["lest=3"], "least"),
        (['data=["x"]'], "random_windows"),
        ([f'models="{tmp_path}"'], "squeezenet1_1_imagenet"),
    ):
        assert script.main([str(path), "--out", str(tmp_path / "run"), *changes]) == 2
        error = capsys.readouterr().err
        assert word in error and error.count("\n") == 1
