"""Where the time goes: medians after the warm-up, grouped by operator; a run of the fake network."""

from pathlib import Path

import pytest
from conftest import load_script
from fake import picture

from oneshot import OneShotError

profile_onnx = load_script("profile_onnx")


def events(name: str, operator: str, *microseconds: int) -> list[dict[str, object]]:
    """What ONNX Runtime notes of a node in each of some runs, and around it."""
    return [
        {"cat": cat, "name": f"{name}{end}", "ts": 100 * i, "dur": dur, "args": {"op_name": operator}}
        for i, dur in enumerate(microseconds)
        for cat, end in (("Node", "_kernel_time"), ("Node", "_fence_before"), ("Session", "_kernel_time"))
    ]


def test_times_are_medians_after_the_warm_up_by_operator() -> None:
    noted = events("b", "Conv", 9000, 1000, 3000, 2000) + events("a", "Conv", 1, 500, 500, 500)
    noted += events("m", "MatMul", 1, 1500, 1500, 1500) + events("t", "Transpose", 1, 1000, 1000, 1000)
    nodes = profile_onnx.medians(noted[::-1], 1)
    assert [(node.name, node.ms) for node in nodes] == [("b", 2.0), ("m", 1.5), ("t", 1.0), ("a", 0.5)]
    assert profile_onnx.by_operator(nodes) == {"Conv": (2, 2.5), "MatMul": (1, 1.5), "Transpose": (1, 1.0)}
    assert profile_onnx.other_share(nodes) == pytest.approx(0.2)


def test_a_real_run_is_profiled(fake_weights: Path) -> None:
    image = picture(320, 224, Rhea=(20, 30, 90, 100), Gus=(150, 40, 230, 120))
    nodes, found = profile_onnx.profile(fake_weights, image, 5, 3)
    assert found == 2 and {"ReduceMax", "Compress"} <= {node.operator for node in nodes}
    assert profile_onnx.profile(fake_weights, image, 1, 3)[1] == 1
    assert profile_onnx.other_share(nodes) == 1  # it has neither convolutions nor products


def test_what_is_wrong_is_one_sentence(
    fake_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in (
        ["--weights", str(tmp_path / "none.onnx")],
        ["--weights", str(fake_weights), "--side", "100"],
        ["--weights", str(fake_weights), "--json", str(tmp_path / "no" / "x.json")],
    ):
        assert profile_onnx.main(arguments) == 2
        assert capsys.readouterr().err.count("\n") == 1
    with pytest.raises(OneShotError, match="no such weights"):
        profile_onnx.profile(tmp_path / "none.onnx", picture(), 1, 1)
