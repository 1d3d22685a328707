"""The trainer, on a tiny data folder made here: it learns, it resumes exactly, it refuses what is wrong."""

import functools
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_training import QUIET, changed, folders, tiny
from torch import nn

from oneshot.errors import OneShotError
from oneshot.geometry import ARCFACE_TEMPLATE
from oneshot.models.config import NANO, CellIdentity, Identity, MapsIdentity, NetworkConfig, PictureIdentity
from oneshot.models.network import OneShotNet
from oneshot.models.squeezefaceposenet import FORMS, SqueezeFacePoseNet
from oneshot.models.weights import load_squeezefaceposenet, name_in_file, save_weights
from oneshot.training import loop, optimisers, precision
from oneshot.training.config import OptimiserConfig, TrainConfig, from_dict, load_config, to_dict
from oneshot.training.data.crops import Crops, load_crops, split_by_person
from oneshot.training.ema import refresh_statistics
from oneshot.training.optimisers import Muon, orthogonal
from oneshot.training.stages import first_fit
from oneshot.training.stages.distil import DistilStage
from oneshot.training.stages.identity import IdentityStage, refinements
from oneshot.training.stages.joint import pick_faces
from oneshot.training.start import start_network, start_squeezefaceposenet

__all__ = ["folders"]  # a fixture, used by its name


def run(config: TrainConfig, out: Path, resume: bool = False) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    net = start_network(config.network, Path(config.models), None)
    return load_file(loop.train(config, IdentityStage(config), net, out, resume, QUIET))


def test_crops_are_read_and_split_by_person(folders: tuple[Path, Path]) -> None:
    train, held = split_by_person(load_crops(folders[0]))
    assert len(train) == 24 and len(held) == 8
    assert set(held.identity.tolist()) == {0, 8} and not set(train.identity.tolist()) & {0, 8}


@pytest.mark.parametrize("muon", [0.0, 8.0])
def test_a_resumed_run_equals_one_that_never_stopped(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, muon: float
) -> None:
    config = tiny(folders, muon=muon)
    whole = run(config, tmp_path / "whole")

    class StopError(Exception):
        pass

    stage_losses = IdentityStage.losses

    def stopping(self: IdentityStage, net: OneShotNet, step: int) -> dict[str, torch.Tensor]:
        if step == 4:
            raise StopError
        return stage_losses(self, net, step)

    # A checkpoint after every step, and a kill in the fifth.
    cut = changed(config, checkpoint_minutes=0.0)
    with monkeypatch.context() as patch, pytest.raises(StopError):
        patch.setattr(IdentityStage, "losses", stopping)
        run(cut, tmp_path / "cut")
    resumed = run(cut, tmp_path / "cut", resume=True)
    assert whole.keys() == resumed.keys()
    for name, value in whole.items():
        torch.testing.assert_close(resumed[name], value, atol=0, rtol=0, msg=name)
    rows = (tmp_path / "cut" / "log.csv").read_text().splitlines()
    assert rows[0] == "step,kind,name,value" and any(r.startswith("6,evaluation,") for r in rows)


@pytest.mark.parametrize("muon", [0.0, 8.0])
def test_a_frozen_trunk_leaves_detection_as_it_was(
    folders: tuple[Path, Path], tmp_path: Path, muon: float
) -> None:
    config = tiny(folders, freeze_trunk=True, freeze_deep=0.0, ema=0.5, muon=muon)
    torch.manual_seed(0)
    net = start_network(config.network, Path(config.models), None)
    start = {name_in_file(name): value for name, value in net.state_dict().items()}
    written = run(config, tmp_path / "run")
    same = {name for name, value in written.items() if torch.equal(value, start[name].to(value.dtype))}
    still = {name for name in written if name.startswith(("backbone.", "head."))} - {"backbone.linear.weight"}
    assert len(still) > 40 and still <= same
    learns = {"backbone.linear.weight", "thin4.weight", "refinement.down1.weight", "deep.out.weight"}
    assert not same & learns and learns <= written.keys()


def test_a_stem_bridge_begins_with_what_least_squares_find(folders: tuple[Path, Path]) -> None:
    config = tiny(folders)
    stage = IdentityStage(config)
    torch.manual_seed(0)
    net = start_network(config.network, Path(config.models), None)
    explained = first_fit.fit_stem_bridge(net, stage)
    assert explained is not None and 0.9 < explained < 1  # samples tell most of the pixels
    views, truth = next(stage.views(stage.rows(0), torch.Generator().manual_seed(0)))
    with torch.no_grad():
        hints = stage.teacher.hints(stage.teacher.crop(views, truth))
        head = net.eval().identity
        found = head.features(*head.samples(net.sampled_of(views), truth))[0]
    error = (found - hints).square().mean((0, 2, 3)) / hints.var((0, 2, 3))
    assert 1 - float(error.mean()) > 0.9
    # What is trained already stays, and so does what is no such bridge.
    assert first_fit.fit_stem_bridge(net, stage) is None
    other = replace(config.network, identity=MapsIdentity())
    assert first_fit.fit_stem_bridge(start_network(other, Path(config.models), None), stage) is None


def test_the_linear_filters_are_those_that_tell_most(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oneshot.training.data.views.ANY_WAY", 0.0)  # too few views to fit turned ones, too
    config = tiny(folders)
    stage = IdentityStage(config)

    def missed() -> float:
        net = start_network(config.network, Path(config.models), None)
        explained = first_fit.fit_stem_bridge(net, stage)
        assert explained is not None
        return 1 - explained

    chosen = missed()
    monkeypatch.setattr(first_fit, "_telling_most", lambda *_: torch.eye(27)[:4].view(4, 3, 3, 3))
    four_pixels = missed()
    monkeypatch.setattr(first_fit, "_telling_most", lambda *_: torch.zeros(4, 3, 3, 3))
    assert chosen < 0.9 * four_pixels < 0.8 * missed()


def test_training_learns_the_teacher(folders: tuple[Path, Path], tmp_path: Path) -> None:
    config = tiny(folders, steps=40, lr=3e-3, evaluate_every=1000, ema=0.5, own_landmarks_from=2.0)
    stage = IdentityStage(config)
    torch.manual_seed(0)
    net = start_network(config.network, Path(config.models), None)
    with torch.no_grad():
        before = stage.losses(net.train(), 0)
    loop.train(config, stage, net, tmp_path, False, QUIET)
    with torch.no_grad():
        after = stage.losses(net.train(), 0)
    assert float(after["hint"]) < 0.8 * float(before["hint"])
    assert float(after["landmarks"]) < float(before["landmarks"])


def test_small_views_are_taught_what_the_crop_shows(folders: tuple[Path, Path]) -> None:
    stage = IdentityStage(tiny(folders, sharp_below=0.55, precision="fp32"))
    rows = torch.arange(8)
    views = list(stage.views(rows, torch.Generator().manual_seed(0)))
    target = stage.targets(rows, views)
    crops = stage.teacher.crop(stage.train.pixels[:4], stage.train.landmarks[:4])
    torch.testing.assert_close(target[:4], stage.teach(crops), atol=1e-3, rtol=0)
    seen = torch.cat([stage.teacher.crop(*view) for view in views])
    torch.testing.assert_close(target[4:], stage.teach(seen)[4:])
    # What was said of a crop is said again, and the teacher is not asked.
    stage.pixels = torch.zeros_like(stage.pixels)
    torch.testing.assert_close(stage.of_crops(rows[:4]), target[:4])


def test_a_loss_that_is_not_finite_stops_the_run(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: IdentityStage, net: OneShotNet, step: int) -> dict[str, torch.Tensor]:
        return {"hint": net.thin4.weight.sum() * float("nan")}  # type: ignore[union-attr,operator]

    monkeypatch.setattr(IdentityStage, "losses", broken)
    with pytest.raises(OneShotError, match="loss hint is not finite"):
        run(tiny(folders), tmp_path)


@torch.no_grad()
def _mean_loss(stage: DistilStage, net: SqueezeFacePoseNet, steps: int = 8) -> float:
    """Of several batches: one batch's loss depends on the machine's rounding."""
    return sum(float(stage.losses(net.train(), step)["pairs"]) for step in range(steps)) / steps


def test_squeezefaceposenet_learns_the_teachers_similarities(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    changes = {
        "stage": "distil",
        "form": "dwc+gdc",
        "lr_deep": 3e-3,
        # At four times this rate thirty steps end anywhere, as rounding has it (with one thread or several).
        "muon_deep": 2.0,
        "freeze_deep": 0.0,
    }
    config = tiny(folders, steps=30, lr=1e-3, batch=12, ema=0.5, evaluate_every=1000, **changes)
    stage = DistilStage(config)
    torch.manual_seed(0)
    net = start_squeezefaceposenet(FORMS["dwc+gdc"], Path(config.models), None, dropout=0.0)
    before = _mean_loss(stage, net)
    path = loop.train(config, stage, net, tmp_path, False, QUIET)
    assert _mean_loss(stage, net) < 0.9 * before
    loaded, info = load_squeezefaceposenet(path)
    assert loaded.config == FORMS["dwc+gdc"] and info["stage"] == "distil"


def test_half_of_what_squeezefaceposenet_sees_together_are_four_of_a_person(
    folders: tuple[Path, Path],
) -> None:
    names = torch.tensor([1] * 5 + [2] * 4 + [3] * 3 + [8] * 4 + [-1] * 20)
    pixels = torch.zeros(len(names), 3, 128, 128, dtype=torch.uint8)
    crops = Crops(pixels, torch.rand(len(names), 5, 2), names)
    stage = DistilStage(tiny(folders, stage="distil", batch=16), crops)
    for step in range(3):
        rows, again = (stage.rows(step, torch.Generator().manual_seed(step)) for _ in range(2))
        assert rows.tolist() == again.tolist() and len(rows) == 16
        groups = stage.identity.train.identity[rows[:8]].view(2, 4)
        assert sorted(groups[:, 0].tolist()) == [1, 2] and (groups == groups[:, :1]).all()
        assert len(set(rows[:8].tolist())) == 8
        assert rows[8:].tolist() == stage.identity.rows(step)[:8].tolist()
    unnamed = DistilStage(stage.config, Crops(pixels, crops.landmarks, torch.full_like(names, -1)))
    assert unnamed.rows(0, torch.Generator()).tolist() == unnamed.identity.rows(0).tolist()


def test_fewer_crops_than_a_batch_are_refused(folders: tuple[Path, Path]) -> None:
    with pytest.raises(OneShotError, match=r"24 crops to train on, fewer than identity\.batch=25; lower it"):
        IdentityStage(tiny(folders, batch=25))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"form": "round"}, "distil.form=round: not one of plain, gdc"),
        ({"precision": "fp8"}, "precision=fp8: not one of auto, bf16, fp32"),
        ({"stage": "both"}, "stage=both: not one of identity, detection"),
    ],
)
def test_a_choice_that_is_none_is_refused(
    folders: tuple[Path, Path], setting: dict[str, str], message: str
) -> None:
    with pytest.raises(OneShotError, match=message):
        tiny(folders, **setting)


def first_losses(config: TrainConfig) -> dict[str, float]:
    torch.manual_seed(0)
    net = start_network(config.network, Path(config.models), None).train()
    losses = IdentityStage(config).losses(net, 0)
    sum(losses.values(), torch.zeros(())).backward()
    assert net.backbone.stem.weight.grad is not None
    return {name: float(value.detach()) for name, value in losses.items()}


def test_number_formats_and_compiled_parts_give_the_same_losses(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = first_losses(tiny(folders, precision="fp32"))
    short = first_losses(tiny(folders, precision="bf16"))
    assert short != exact
    assert short == pytest.approx(exact, rel=0.05)
    # Traced as it is for the C++ compiler, which takes a minute.
    traced = functools.partial(torch.compile, backend="eager")
    compiled: list[object] = []
    monkeypatch.setattr(torch, "compile", lambda part, **how: compiled.append(part) or traced(part, **how))
    assert first_losses(tiny(folders, precision="fp32", compile=True)) == pytest.approx(exact, rel=1e-4)
    assert len(compiled) == 2


@pytest.mark.parametrize(
    ("stage", "identity", "shaped"),
    [
        ("identity", MapsIdentity(), False),
        ("identity", PictureIdentity(), True),
        ("identity", CellIdentity(), True),
        ("joint", MapsIdentity(), True),
    ],
)
def test_landmarks_shape_the_maps_that_identity_does_not_have_to_itself(
    folders: tuple[Path, Path], stage: str, identity: Identity, shaped: bool
) -> None:
    config = tiny(folders, stage=stage, precision="fp32")
    config = replace(config, network=replace(config.network, identity=identity))
    net = start_network(config.network, Path(config.models), None).train()
    torch.nn.init.normal_(net.refinement.out.weight, std=0.01)
    IdentityStage(config).losses(net, 0)["landmarks"].backward()
    assert net.refinement.thin.weight.grad is not None
    assert (net.backbone.stem.weight.grad is not None) == shaped


def test_compiling_without_a_compiler_is_refused(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(folders[0]))
    with pytest.raises(OneShotError, match=r"no C\+\+ compiler"):
        IdentityStage(tiny(folders, compile=True))


def test_auto_takes_the_format_that_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    x, layer = torch.ones(1, 4), torch.nn.Linear(4, 4)
    for faster, kind in (("bf16", torch.bfloat16), ("fp32", torch.float32)):
        monkeypatch.setattr(precision, "_step", lambda which, faster=faster: 1.0 if which == faster else 1.3)
        precision.faster.cache_clear()
        with precision.autocast(torch.device("cpu"), "auto"):
            assert layer(x).dtype == kind
    precision.faster.cache_clear()


def test_each_correction_of_a_step_starts_where_the_one_before_ended(folders: tuple[Path, Path]) -> None:
    config = tiny(folders)
    net = start_network(config.network, Path(config.models), None).eval()
    torch.nn.init.normal_(net.refinement.out.weight, std=1.0)
    thin = net.sampled_of(torch.rand(2, 3, 64, 64) * 255).coarse
    start = torch.from_numpy((ARCFACE_TEMPLATE - 56) * 0.4 + 32).float().expand(2, 5, 2)
    first, second, third = refinements(net, thin, start, 3)
    assert min((second - first).abs().max(), (third - second).abs().max()) > 0.1
    torch.testing.assert_close(refinements(net, thin, second, 1)[0], third)


def test_muon_steps_alike_in_every_direction() -> None:
    rng = torch.Generator().manual_seed(0)
    weight = nn.Parameter(torch.zeros(16, 8, 3, 3))
    # A gradient a thousand times as long in one direction as in another.
    u, s, v = torch.linalg.svd(torch.randn(16, 72, generator=rng), full_matrices=False)
    gradient = u @ torch.diag(torch.logspace(0, -3, 16) * s[0]) @ v
    weight.grad = gradient.view_as(weight)
    Muon([{"params": [weight], "lr": 0.1, "weight_decay": 0.0}]).step()
    turned = -weight.detach().flatten(1)
    lengths = torch.linalg.svdvals(turned)
    assert float(turned.square().mean().sqrt()) == pytest.approx(0.1 * 0.2, rel=0.35)
    assert float(lengths[0] / lengths[-3]) < 2.0
    assert float((u.T @ turned @ v.T).diagonal().min()) > 0
    torch.testing.assert_close(orthogonal(gradient.T), orthogonal(gradient).T)


def test_muon_takes_what_mixes_channels_outside_the_deep_half(folders: tuple[Path, Path]) -> None:
    config = tiny(folders, muon=2.0, lr=1e-3, lr_head=3e-3, freeze_deep=0.0)
    net = start_network(config.network, Path(config.models), None)
    adamw, muon = optimisers.optimisers(net, nn.Parameter(torch.empty(0, 8)), config)
    name_of = {parameter: name for name, parameter in net.named_parameters()}
    mine = {name_of[p]: group["rate"] for group in muon.param_groups for p in group["params"]}
    rest = {name_of[p]: group["rate"] for group in adamw.param_groups for p in group["params"]}
    assert mine["backbone.stem.weight"] == mine["refinement.out.weight"] == 2e-3
    assert mine["backbone.fire9.squeeze.weight"] == 6e-3
    assert not mine.keys() & rest.keys() and mine.keys() | rest.keys() == set(name_of.values())
    assert not [name for name in mine if name.startswith("identity.deep.") or name.endswith(".bias")]
    depthwise = [n for n, p in net.named_parameters() if p.ndim == 4 and p.shape[1] == 1]
    assert depthwise and not mine.keys() & set(depthwise)
    with_deep = optimisers.optimisers(
        net, nn.Parameter(torch.empty(0, 8)), changed(config, muon_deep=3.0, lr_deep=2e-4)
    )[1]
    rates = {name_of[p]: group["rate"] for group in with_deep.param_groups for p in group["params"]}
    assert rates == mine | {n: pytest.approx(6e-4) for n in rates if n.startswith("identity.deep.")}
    assert "identity.deep.out.weight" in rates and not rates.keys() & set(depthwise)
    assert len(optimisers.optimisers(net, nn.Parameter(torch.empty(0, 8)), changed(config, muon=0.0))) == 1


def test_another_config_cannot_resume(folders: tuple[Path, Path], tmp_path: Path) -> None:
    run(tiny(folders, steps=1), tmp_path)
    with pytest.raises(OneShotError, match="another config"):
        run(tiny(folders, steps=1, lr=0.5), tmp_path, resume=True)
    (tmp_path / "last.ckpt").write_bytes(b"torn")
    with pytest.raises(OneShotError, match="does not load"):
        run(tiny(folders, steps=1), tmp_path, resume=True)


def test_averaged_weights_get_statistics_of_their_own() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.BatchNorm2d(4)).eval()
    norm, unseen = net[1], net[2]
    assert isinstance(norm, nn.BatchNorm2d) and isinstance(unseen, nn.BatchNorm2d)
    for one in (norm, unseen):
        one.running_var.fill_(1e6)  # type: ignore[union-attr]
    batches = [torch.randn(64, 3, 8, 8) + step for step in range(4)]
    refresh_statistics(net, lambda net, step: net[:2](batches[step]), range(4))
    assert not net.training and (norm.momentum, unseen.momentum) == (0.1, 0.1)
    own = torch.stack([net[0](batch).var((0, 2, 3)) for batch in batches]).mean(0)
    torch.testing.assert_close(norm.running_var, own)
    assert unseen.running_var is not None and unseen.running_var.eq(1e6).all()

    steps: list[int] = []
    refresh_statistics(net[:1].eval(), lambda net, step: steps.append(step), range(4))
    assert not steps  # without a norm there is nothing to see


def test_the_rate_warms_up_waits_and_falls() -> None:
    config = TrainConfig(steps=100, optimiser=OptimiserConfig(warmup=10, freeze_deep=0.5))
    assert optimisers.rate_factor(0, config, "front") == pytest.approx(0.1, abs=0.01)
    assert optimisers.rate_factor(10, config, "front") > 0.9
    assert optimisers.rate_factor(99, config, "front") < 0.01
    assert optimisers.rate_factor(49, config, "deep") == 0 < optimisers.rate_factor(55, config, "deep")


def test_an_unknown_setting_names_the_nearest(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text("stepz = 3")
    with pytest.raises(OneShotError, match="unknown setting stepz; the nearest known one is steps"):
        load_config(path, [])
    path.write_text("[network]\nstem = 16")
    with pytest.raises(OneShotError, match=r"network\.stm.*network\.stem"):
        load_config(path, ["network.stm=8"])
    with pytest.raises(OneShotError, match=r"network\.identity\.deepblocks.*network\.identity\.deep_blocks"):
        load_config(path, ["network.identity.deepblocks=2"])
    with pytest.raises(OneShotError, match="kind=fire: give one of picture, pyramid, maps, cell"):
        load_config(path, ["network.identity.kind=fire"])
    with pytest.raises(OneShotError, match=r"network\.size=huge: give one of base, large, nano"):
        load_config(path, ["network.size=huge"])
    config = load_config(path, ["steps=7", "network.identity.kind=cell", "identity.canvases=[64,96]"])
    assert (config.steps, config.network) == (7, NetworkConfig(stem=16, identity=CellIdentity()))
    assert config.identity.canvases == (64, 96)
    assert from_dict(json.loads(json.dumps(to_dict(config)))) == config


def test_what_is_not_said_of_the_shape_is_as_in_the_weights_to_start_from(tmp_path: Path) -> None:
    start, path = tmp_path / "start.safetensors", tmp_path / "a.toml"
    given = NetworkConfig(stem=16, thin=24, identity=PictureIdentity(linear=2, deep_blocks=2))
    save_weights(start, OneShotNet(given), {})
    path.write_text(f"start = {str(start)!r}")
    config = load_config(path, ["network.identity.deep_blocks=1"])
    assert config.network == replace(given, identity=PictureIdentity(linear=2, deep_blocks=1))
    config = load_config(path, ["network.identity.kind=maps", "network.identity.deep_blocks=1"])
    assert config.network == replace(given, identity=MapsIdentity(deep_blocks=1))


def test_a_table_that_the_stage_does_not_have_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text('stage = "detection"\n[identity]\nbatch = 3')
    with pytest.raises(OneShotError, match=r"\[identity\] means nothing in stage detection; leave it out"):
        load_config(path, [])
    path.write_text('stage = "joint"\n[identity]\nbatch = 3\n[detection]\nscenes = 2')
    config = load_config(path, ["optimiser.lr=0.5"])
    assert (config.identity.batch, config.detection.scenes, config.optimiser.lr) == (3, 2, 0.5)
    with pytest.raises(OneShotError, match=r"identity\.bach; the nearest known one is identity\.batch"):
        load_config(path, ["identity.bach=5"])


def test_a_size_is_named_and_changed(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text('[network]\nsize = "nano"')
    assert load_config(path, []).network == NANO
    changed = load_config(path, ["network.direction=true", "network.identity.deep_blocks=4"]).network
    assert changed == replace(NANO, direction=True, identity=MapsIdentity(deep_blocks=4))


def test_picked_faces_are_usable_and_of_their_own_picture() -> None:
    usable = torch.tensor([[True, False, True], [False, False, False], [False, True, False]])
    rows, chosen = pick_faces(usable, 2, torch.Generator().manual_seed(0))
    assert (rows // 3).tolist() == [0, 0, 1, 1, 2, 2]
    assert chosen.tolist() == [True, True, False, False, True, False]
    assert sorted((rows[:2] % 3).tolist()) == [0, 2] and int(rows[4]) == 7


def test_the_faster_format_can_be_asked_for_while_evaluating() -> None:
    precision.faster.cache_clear()
    with torch.no_grad():
        assert precision.faster("cpu") in ("bf16", "fp32")
