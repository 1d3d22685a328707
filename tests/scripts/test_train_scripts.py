"""The scripts around training: their errors are a sentence and exit code 2, their figures are right."""

import subprocess
import sys
from pathlib import Path

import onnx
import pytest
import torch
from conftest import ROOT, load_script

from oneshot.models.config import NetworkConfig
from oneshot.models.network import OneShotNet
from oneshot.models.weights import load_network, read_info, save_weights


def run(script: str, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / script), *args]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=600)


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["none.toml"], "none.toml: no such config"),
        (["scripts/configs/identity.toml", "identity.bach=3"], "the nearest known one is identity.batch"),
        (["scripts/configs/identity.toml", "--resume", "nowhere", "models=nowhere"], "no"),
        (["scripts/configs/joint.toml", "start=none.safetensors"], "no such weights file"),
        (["scripts/configs/identity.toml", "models=/nowhere"], "/nowhere/squeezenet1_1_imagenet.safetensors"),
    ],
)
def test_a_bad_run_is_one_sentence(args: list[str], sentence: str) -> None:
    done = run("train.py", *args)
    assert done.returncode == 2 and sentence in done.stderr
    assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr


def test_exporting_what_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    done = run("export_onnx.py", "--weights", str(tmp_path / "none.safetensors"), "--out", str(tmp_path))
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and not list(tmp_path.iterdir())


def test_describe_counts_what_the_paper_fixes() -> None:
    describe = load_script("describe")
    paper = OneShotNet(NetworkConfig(share3x3=0.5))
    shapes, macs = describe.measure(paper.eval(), 64, 2)
    assert shapes["backbone.fire3"] == "1x128x16x16" and shapes["identity.deep"] == "2x1000"
    # fire3 on 16x16 cells: 128 to 16, then 16 to 64 by 1x1 and by 3x3.
    assert macs["backbone.fire3"] == pytest.approx(256 * (128 * 16 + 16 * 64 * 10) / 1e6)
    assert describe.parameters(paper.backbone.fire3) == 12_432


def grid_samples(graph: onnx.GraphProto) -> int:
    """How many there are, in branches too."""
    inner = [a.g for node in graph.node for a in node.attribute if a.type == onnx.AttributeProto.GRAPH]
    return sum(node.op_type == "GridSample" for node in graph.node) + sum(map(grid_samples, inner))


def test_export_writes_as_many_corrections_as_asked_for(tmp_path: Path) -> None:
    """None at all, while the shipped file, of the same weights, has its two."""
    weights = ROOT / "weights/oneshot.safetensors"
    done = run("export_onnx.py", "--weights", str(weights), "--out", str(tmp_path), "--refinements", "0")
    assert done.returncode == 0, done.stderr
    assert read_info(tmp_path / "oneshot.safetensors")["network"]["refinements"] == 0
    files = tmp_path / "oneshot.onnx", weights.with_suffix(".onnx")
    without, shipped = (grid_samples(onnx.load(path).graph) for path in files)
    assert without == shipped - read_info(weights)["network"]["refinements"]  # each looks at stride 4


def test_averaged_weights_lie_between(tmp_path: Path) -> None:
    average = load_script("average_weights")
    config = NetworkConfig(stem=16, thin=16, head=16)
    nets = [OneShotNet(config) for _ in range(2)]
    paths = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    for net, path in zip(nets, paths, strict=True):
        save_weights(path, net, {"step": 1}, half=False)
    out = tmp_path / "mean.safetensors"
    average.main([*map(str, paths), "--shares", "1,3", "--out", str(out)])
    mean, info = load_network(out)
    a, b, m = (net.backbone.fire2.squeeze.weight for net in (*nets, mean))
    torch.testing.assert_close(m, 0.25 * a + 0.75 * b, atol=1e-3, rtol=1e-3)  # fp16
    assert info["step"] == 1


def test_weights_that_cannot_be_averaged_are_one_sentence(tmp_path: Path) -> None:
    small, out = tmp_path / "small.safetensors", tmp_path / "mean.safetensors"
    save_weights(small, OneShotNet(NetworkConfig(stem=16)), {})
    shipped = str(ROOT / "weights/oneshot.safetensors")
    for args, sentence in (
        ([str(small), shipped], "small.safetensors: not of the shape"),
        ([shipped, shipped, "--shares", "1"], "give 2 positive numbers"),
        ([shipped, shipped, "--shares", "1,no"], "give 2 positive numbers"),
    ):
        done = run("average_weights.py", *args, "--out", str(out))
        assert done.returncode == 2 and sentence in done.stderr.replace("\n", "")
    assert not out.exists()
