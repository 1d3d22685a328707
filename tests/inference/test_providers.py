"""Names of ONNX Runtime's execution providers as people write them, with and without options."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from oneshot import OneShot, OneShotError
from oneshot.cli import main
from oneshot.inference.providers import read_providers

CPU, CUDA, DML = (f"{name}ExecutionProvider" for name in ("CPU", "CUDA", "Dml"))


@pytest.fixture
def everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if this ONNX Runtime was built with all providers."""
    monkeypatch.setattr(ort, "get_available_providers", ort.get_all_providers)


@pytest.mark.usefixtures("everything")
@pytest.mark.parametrize(
    ("given", "read"),
    [
        (None, [(CPU, {})]),
        ("cpu", [(CPU, {})]),
        (CUDA, [(CUDA, {})]),
        ("cuda, CPU", [(CUDA, {}), (CPU, {})]),
        ("directml", [(DML, {})]),
        ("cuda:device_id=1:cudnn_conv_algo_search=HEURISTIC,cpu",
         [(CUDA, {"device_id": "1", "cudnn_conv_algo_search": "HEURISTIC"}), (CPU, {})]),
        (["cuda", CPU], [(CUDA, {}), (CPU, {})]),
        ([(CUDA, {"device_id": 1}), "cpu"], [(CUDA, {"device_id": "1"}), (CPU, {})]),
        ((("dml", {"device_id": 0}),), [(DML, {"device_id": "0"})]),
    ],
)  # fmt: skip
def test_names_and_options_are_read(given: Any, read: list[tuple[str, dict[str, str]]]) -> None:
    assert read_providers(given) == read


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("cuda:device_id", "'cuda:device_id' cannot be read"),
        ([("cuda", 1)], r"\('cuda', 1\) cannot be read"),
        ([("cuda", {}, {})], "cannot be read"),
        ([3], "3 cannot be read"),
        (3, "3 cannot be read"),
        ("", "cannot be used here"),
        ("gpu", "gpu cannot be used here.*choose from .*CPUExecutionProvider"),
    ],
)
def test_what_is_no_provider_is_one_sentence(given: Any, message: str) -> None:
    with pytest.raises(OneShotError, match=message):
        read_providers(given)


@pytest.mark.parametrize("given", ["cpu", [(CPU, {"use_arena": "1"})], [CPU]])
def test_the_network_runs_on_what_is_named(fake_weights: Path, given: Any) -> None:
    assert len(OneShot(fake_weights, providers=given)(np.zeros((64, 64, 3), np.uint8))) == 0


def test_options_reach_the_runtime(fake_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    session = ort.InferenceSession

    def recorded(*args: Any, providers: list[object]) -> ort.InferenceSession:
        asked.extend(providers)
        return session(*args, providers=providers)

    monkeypatch.setattr(ort, "InferenceSession", recorded)
    OneShot(fake_weights, providers="cpu:use_arena=0")
    assert asked == [(CPU, {"use_arena": "0"})]


def test_the_command_line_takes_providers(
    fake_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = str(tmp_path / "none.png")
    command = ["compare", photo, photo, "--weights", str(fake_weights), "--threshold", "0.5"]
    assert main([*command, "--providers", "nothing"]) == 2
    assert "nothing cannot be used here" in capsys.readouterr().err
    assert main([*command, "--providers", "cpu"]) == 2
    assert "none.png" in capsys.readouterr().err  # the provider was fine: it came as far as the photo
