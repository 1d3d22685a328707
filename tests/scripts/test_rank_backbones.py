"""The ranking: every variant is a network that works, a cut-off ranking goes on, the front is the front."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import load_script
from tiny_training import folders  # noqa: F401  # a fixture
from torch.nn import functional as F

from oneshot.convert.fold import fold
from oneshot.convert.to_onnx import export_onnx
from oneshot.errors import OneShotError
from oneshot.inference.backend import default_weights
from oneshot.inference.onnx import OnnxBackend
from oneshot.models.config import BASE, NANO, PictureIdentity
from oneshot.models.network import Found, OneShotNet
from oneshot.models.weights import read_info, shape_in
from oneshot.training.config import TrainConfig
from oneshot.training.stages.identity import IdentityStage

rank = load_script("rank_backbones")


def image(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (1, height, width, 3), np.uint8)


@torch.inference_mode()
def faces(net: OneShotNet, picture: np.ndarray) -> Found:
    return net(torch.from_numpy(picture).permute(0, 3, 1, 2).float(), 0.0, 0.45, 3)


@pytest.mark.parametrize("name", list(rank.VARIANTS))
def test_every_variant_is_a_network(name: str) -> None:
    net = OneShotNet(rank.VARIANTS[name]).eval()
    out = faces(net, image(64, 96))
    assert [tuple(t.shape) for t in out] == [(3, 4), (3,), (3, 5, 2), (3, 1000), (3,)]
    top = [net.backbone.get_submodule(f"fire{n}").out_channels for n in (5, 7, 9)]
    assert top == [2 * width for width in net.config.expand_top]
    identity = net.config.identity
    finest = identity.linear if isinstance(identity, PictureIdentity) else net.config.stem
    assert net.backbone.widths == (finest, 128, *top) and net.backbone.stem.out_channels == net.config.stem


def test_the_variants_say_what_they_are_of() -> None:
    assert len(rank.VARIANTS) >= 8 and rank.VARIANTS["base"] == BASE
    fire = OneShotNet(rank.VARIANTS["3x3-eighth"]).backbone.fire3
    assert fire.expand1x1.weight.shape == (112, 16, 1, 1) and fire.expand3x3.weight.shape == (16, 16, 3, 3)
    fire = OneShotNet(rank.VARIANTS["cell"]).backbone.fire4
    assert fire.expand1x1.weight.shape == (128, 32, 1, 1) and fire.expand3x3.weight.shape == (128, 32, 3, 3)


def test_a_shape_with_every_option_exports(tmp_path: Path) -> None:
    torch.manual_seed(3)
    net = OneShotNet(
        replace(BASE, stem=16, share3x3=0.125, identity=PictureIdentity(linear=8, deep_blocks=3))
    ).eval()
    weight = net.head.out[0].weight
    assert isinstance(weight, torch.Tensor)
    torch.nn.init.normal_(weight, std=0.5)
    weight.detach()[4] *= 100  # fp16 must not change which cells score best
    export_onnx(net, tmp_path / "net.onnx", rank.INFO)
    picture = image(64, 96)
    got = OnnxBackend(tmp_path / "net.onnx", threads=1).run(picture, 0.0, 0.45, 3)
    expected = faces(fold(net), picture)
    np.testing.assert_allclose(got[0], expected[0], atol=0.5)
    assert ((got[3] * expected[3].numpy()).sum(1) > 0.999).all()


def test_the_front_is_what_nothing_beats() -> None:
    points = {"a": (1.0, 90.0), "b": (2.0, 95.0), "c": (2.0, 94.0), "d": (0.5, 80.0), "e": (3.0, 95.0)}
    assert rank.front(points) == ["a", "b", "d"]


def test_times_are_of_so_many_faces() -> None:
    files = {"one": default_weights(), "other": default_weights()}
    ms = rank.times(files, 2, 1)
    assert ms.keys() == files.keys() and min(ms.values()) > 0


def test_a_cut_off_ranking_goes_on(
    folders: tuple[Path, Path],  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Exporting is slow and tested above.
    monkeypatch.setattr(
        rank, "export_onnx", lambda net, path, info: path.write_bytes(default_weights().read_bytes())
    )
    settings = [f"data={folders[0]}", f"models={folders[1]}", "identity.batch=8"]
    settings.append("identity.canvases=[64, 96]")
    settings.append("identity.scales=[[0.4, 0.5], [0.6, 0.8]]")
    command = ["--out", str(tmp_path), "--rounds", "1", "--variants"]
    assert rank.main([*command, "base", "--steps", "2", *settings]) == 0
    first = json.loads((tmp_path / "results.json").read_text())
    assert first["steps"] == 2 and list(first["variants"]) == ["base"]
    row = first["variants"]["base"]
    assert row["ms"].keys() == row["ratio"].keys() == {"1", "10"} and -1 <= row["cosine"] <= 1
    assert row["network"]["identity"]["deep_blocks"] == 6 and len(row["figures"]) == 15

    names = []
    trained = rank.trained
    monkeypatch.setattr(rank, "trained", lambda config, *rest: names.append(config) or trained(config, *rest))
    assert rank.main([*command, "base,blocks-4", *settings]) == 0
    assert [config.network.identity.deep_blocks for config in names] == [4] and names[0].steps == 2
    again = json.loads((tmp_path / "results.json").read_text())
    assert again["variants"]["base"] == row and list(again["variants"]) == ["base", "blocks-4"]
    assert (tmp_path / "front-1.png").stat().st_size > 1000 and (tmp_path / "front-10.png").exists()


def test_every_variant_is_taught_where_its_own_deep_half_begins(
    folders: tuple[Path, Path],  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = {}

    def spy(config: TrainConfig, stage: IdentityStage, net: OneShotNet, *rest: object) -> None:
        with torch.no_grad():
            crops = torch.rand(2, 3, 112, 112) * 255
            hints, target = stage.teacher.hints(crops), stage.teach(crops)
            taught = F.normalize(net.eval().identity.deep(hints), dim=1)
        seen[config.network.identity.fine_blocks] = float((taught * target).sum(1).min())
        raise OneShotError("seen")

    monkeypatch.setattr(rank, "train", spy)
    settings = [f"data={folders[0]}", f"models={folders[1]}", "identity.batch=8"]
    for name in ("hints-later", "hints-14x14", "base"):
        rank.main(["--out", str(tmp_path / name), "--variants", name, "--steps", "2", *settings])
    # With all the teacher's blocks and its own features, a fresh deep half is the teacher.
    assert seen.keys() == {0, 2, 4} and min(seen.values()) > 0.999


def test_what_is_wrong_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "results.json").write_text('{"steps": 7, "variants": {}}')
    for arguments in (
        ["--variants", "huge"],
        ["--minutes", "0"],
        ["--out", str(tmp_path), "--steps", "8"],
        ["--config", str(tmp_path / "none.toml")],
    ):
        assert rank.main(arguments) == 2
        assert capsys.readouterr().err.count("\n") == 1
    (tmp_path / "results.json").write_text("[]")
    assert rank.main(["--out", str(tmp_path)]) == 2 and "not results" in capsys.readouterr().err


def test_the_nano_in_the_ranking_is_the_one_that_is_shipped() -> None:
    path = default_weights("oneshot-nano.safetensors")
    assert rank.VARIANTS["nano"] == NANO == shape_in(path, read_info(path))
