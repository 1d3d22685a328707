"""The authors' file: its layout by a stand-in of our own numbers, and the file itself where it is at hand."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from conftest import ROOT, load_script

from oneshot.convert.from_matlab import LAYERS
from oneshot.models.squeezefaceposenet import FORMS, SqueezeFacePoseNet
from oneshot.models.weights import load_squeezefaceposenet, save_weights

AUTHORS = ROOT.parent / "shared" / "models" / "squeezefaceposenet"
MAT = AUTHORS / "SqueezeFacePoseNet_with_separable_DWC.mat"


@pytest.fixture
def script() -> ModuleType:
    return load_script("import_squeezefaceposenet")


def matlab_object(**fields: Any) -> Any:
    """A struct as mat-io gives it: a (1, 1) array with named fields of objects."""
    record = np.zeros((1, 1), [(name, "O") for name in fields])
    for name, value in fields.items():
        record[0, 0][name] = value
    return record


def layer(**fields: Any) -> Any:
    return SimpleNamespace(properties={"any": matlab_object(**fields)})


def graph(net: SqueezeFacePoseNet) -> dict[str, Any]:
    """A network as the authors' file holds theirs, layers in another order than ours."""
    theirs = {ours: name for name, ours in LAYERS.items()}
    layers = [layer(Name=np.array(["imageinput"]))]
    for name, module in reversed(list(net.named_modules())):
        if isinstance(module, torch.nn.Conv2d):
            block, _, part = name.partition(".")
            weight = module.weight.detach().numpy().transpose(2, 3, 1, 0)
            bias = module.bias.detach().numpy().reshape(1, 1, -1)
            title = np.array([f"{block}-{theirs[part]}" if part else block])
            layers.append(
                layer(Name=title, Weights=matlab_object(Value=weight), Bias=matlab_object(Value=bias))
            )
    array = np.empty((len(layers), 1), object)
    array[:, 0] = layers
    return {"lgraph_1": SimpleNamespace(properties={"any": matlab_object(Layers=array)})}


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SqueezeFacePoseNet:
    """A network of ours that lies in tmp_path/net.mat as far as mat-io can tell."""
    torch.manual_seed(5)
    net = SqueezeFacePoseNet(FORMS["dwc"]).eval()
    (tmp_path / "net.mat").write_bytes(b"MATLAB")
    monkeypatch.setitem(sys.modules, "matio", SimpleNamespace(load_from_mat=lambda path: graph(net)))  # type: ignore[arg-type]
    return net


def test_a_matlab_graph_becomes_the_network_that_it_was(
    script: ModuleType, written: SqueezeFacePoseNet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "lfw.json").write_text('{"threshold_all_pairs": {"1e-3": 0.61234}}')
    out = tmp_path / "net.safetensors"
    assert script.main([str(tmp_path / "net.mat"), str(out), "--lfw", str(tmp_path / "lfw.json")]) == 0
    assert "694,056 parameters" in capsys.readouterr().out
    net, info = load_squeezefaceposenet(out)
    assert net.config == FORMS["dwc"] and info["thresholds"] == {"1e-3": 0.6123}
    faces = 255 * torch.rand(1, 3, 113, 113)
    with torch.no_grad():
        torch.testing.assert_close(net(faces), written(faces), rtol=0, atol=0)


def test_weights_of_our_own_training_get_their_facts(script: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "lfw.json").write_text('{"threshold_all_pairs": {"1e-3": 0.61234}}')
    net = SqueezeFacePoseNet(FORMS["dwc+gdc"]).eval()
    trained, out = tmp_path / "weights.safetensors", tmp_path / "own.safetensors"
    save_weights(trained, net, {"stage": "distil", "step": 7})
    assert script.main([str(trained), str(out), "--lfw", str(tmp_path / "lfw.json")]) == 0
    again, info = load_squeezefaceposenet(out)
    assert (info["name"], info["step"]) == ("SqueezeFacePoseNet+DWC+GDC", 7)
    assert "NOTICE" in info["licence"] and info["thresholds"] == {"1e-3": 0.6123}
    for name, value in again.state_dict().items():
        torch.testing.assert_close(value, net.state_dict()[name], rtol=1e-3, atol=1e-6)


def test_other_files_are_one_sentence(
    script: ModuleType, written: SqueezeFacePoseNet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    matio: Any = sys.modules["matio"]
    del written.fire5
    mat = tmp_path / "net.mat"
    for arguments, word in (
        ([tmp_path / "none.mat", tmp_path / "o.safetensors"], "none.mat: no such file"),
        ([mat, tmp_path / "o.onnx"], "end in .safetensors"),
        ([mat, tmp_path / "no" / "o.safetensors"], "does not exist"),
        ([mat, tmp_path / "o.safetensors"], "not the authors'"),  # a layer is gone
        ([mat, tmp_path / "o.safetensors", "--lfw", tmp_path / "none.json"], "none.json"),
    ):
        assert script.main([str(a) for a in arguments]) == 2
        error = capsys.readouterr().err
        assert word in error and error.count("\n") == 1 and error.startswith("error: ")
    matio.load_from_mat = lambda path: {}
    assert script.main([str(mat), str(tmp_path / "o.safetensors")]) == 2
    assert not (tmp_path / "o.safetensors").exists()


def test_the_check_notices_weights_that_were_read_wrongly(script: ModuleType) -> None:
    rng = np.random.default_rng(0)
    crops = [np.tile(rng.integers(0, 256, (1, 113, 3), np.uint8), (113, 1, 1)) for _ in range(3)]
    # Says how bright each eighth from the left is, which a mirror image turns around.
    left = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d((1, 8)), torch.nn.Flatten())
    with pytest.raises(script.OneShotError, match="mirror"):
        script.check(left, crops)


@pytest.mark.skipif(not MAT.is_file(), reason="the authors' file is not at hand")
def test_the_authors_file_itself(script: ModuleType, tmp_path: Path) -> None:
    pytest.importorskip("matio")
    script.convert(MAT, tmp_path / "sfpn.safetensors", None)
    net, info = load_squeezefaceposenet(tmp_path / "sfpn.safetensors")
    assert sum(p.numel() for p in net.parameters()) == 694_056
    assert info["licence"].startswith("MIT")
    crops = [script.read_image(AUTHORS / name) for name in script.EXAMPLES]
    same, others = script.check(net, crops)
    assert same > 0.95 and others < 0.8
