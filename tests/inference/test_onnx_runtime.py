"""The ONNX Runtime backend: foreign files, providers, and no torch."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from fake import write_model
from onnx import TensorProto, helper

from oneshot import OneShot, OneShotError
from oneshot.inference.backend import default_weights
from oneshot.inference.onnx import OUTPUTS, WHICH, OnnxBackend
from oneshot.inference.subgraph import only


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(OneShotError, match=r"none\.onnx: no such weights file"):
        OnnxBackend(tmp_path / "none.onnx")


@pytest.mark.parametrize("data", [b"", b"not a model", b"\x08\x09" * 50])
def test_damaged_file(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(data)
    with pytest.raises(OneShotError, match=r"bad\.onnx: ONNX Runtime cannot load it"):
        OnnxBackend(path)


def test_somebody_elses_network(tmp_path: Path) -> None:
    value = (
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [1]),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, [1]),
    )
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [value[0]], [value[1]])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9),
        tmp_path / "x.onnx",
    )
    with pytest.raises(OneShotError, match=r"x\.onnx: not a network of oneshot"):
        OnnxBackend(tmp_path / "x.onnx")


def test_a_network_that_does_not_say_which_picture_a_face_is_of(fake_weights: Path, tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(only(fake_weights.read_bytes(), OUTPUTS))
    with pytest.raises(OneShotError, match=r"x\.onnx: not a network of oneshot"):
        OnnxBackend(tmp_path / "x.onnx")


@pytest.mark.parametrize("metadata", [{}, {"oneshot": "{"}, {"oneshot": "3"}])
def test_without_its_facts(tmp_path: Path, metadata: dict[str, str]) -> None:
    path = write_model(tmp_path / "m.onnx")
    network = onnx.load(path)
    del network.metadata_props[:]
    helper.set_model_props(network, metadata)
    onnx.save(network, path)
    with pytest.raises(OneShotError, match="not a network of oneshot"):
        OnnxBackend(path)


@pytest.mark.parametrize("providers", [["NoSuchExecutionProvider"], ["CPUExecutionProvider", "Nope"], []])
def test_a_provider_that_is_missing_is_an_error(fake_weights: Path, providers: list[str]) -> None:
    with pytest.raises(OneShotError, match=r"cannot be used here.*CPUExecutionProvider"):
        OneShot(fake_weights, providers=providers)


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_provider_that_fails_to_start_is_an_error(
    fake_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # ONNX Runtime lists what it was built with, driver or no driver, and then falls back in silence.
    monkeypatch.setattr(
        "onnxruntime.get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    with pytest.raises(OneShotError, match="CUDAExecutionProvider"):
        OneShot(fake_weights, providers=["CUDAExecutionProvider"])


def test_threads_are_passed_on(fake_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def threads(given: int | None) -> int:
        return OnnxBackend(fake_weights, given).session.get_session_options().intra_op_num_threads

    assert threads(1) == 1
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    assert threads(None) == 3


def test_the_memory_of_a_run_is_kept_or_not(fake_weights: Path) -> None:
    for arena in (True, False):
        model = OneShot(fake_weights, threads=1, arena=arena)
        assert isinstance(model.backend, OnnxBackend)
        assert model.backend.session.get_session_options().enable_cpu_mem_arena is arena
        assert len(model(np.zeros((64, 64, 3), np.uint8))) == 0


def test_no_torch_is_ever_imported(fake_weights: Path) -> None:
    code = f"""
import sys
class NoTorch:
    def find_spec(self, name, *_):
        assert name.split(".")[0] not in ("torch", "torchvision", "timm", "safetensors"), name
sys.meta_path.insert(0, NoTorch())
import numpy as np
import oneshot, oneshot.media.draw, oneshot.media.video, oneshot.watch.records
model = oneshot.OneShot({str(fake_weights)!r})
gallery = oneshot.Gallery(model)
image = np.zeros((64, 64, 3), np.uint8)
image[10:40, 10:40] = (40, 40, 220)
gallery.enroll("Rhea", [image])
assert gallery.identify(model(image).embeddings)[0].name == "Rhea"
assert not any(name.split(".")[0] == "torch" for name in sys.modules)
print("done")
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout == "done\n", result.stderr


def test_runs_any_size(fake_weights: Path) -> None:
    backend = OnnxBackend(fake_weights, threads=1)
    for height, width in ((32, 32), (32, 640), (320, 64)):
        for batch in (1, 3):
            out = backend.run(np.zeros((batch, height, width, 3), np.uint8), 0.5, 0.5, 9)
            assert [a.shape for a in out] == [(0, 4), (0,), (0, 5, 2), (0, 1000), (0,)]


def executed(model: bytes, outputs: tuple[str, ...], profile: Path) -> list[str]:
    """The operators that ONNX Runtime executes in one run, by its own profile."""
    options = ort.SessionOptions()
    options.log_severity_level, options.enable_profiling = 3, True
    options.profile_file_prefix = str(profile)
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    image = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), np.uint8)
    session.run(outputs, {"image": image, "score_threshold": np.zeros((), np.float32)})
    events = json.loads(Path(session.end_profiling()).read_text())
    return [e["args"]["op_name"] for e in events if e["name"].endswith("_kernel_time")]


def test_the_identity_head_is_not_executed_where_it_is_not_wanted(tmp_path: Path) -> None:
    whole = default_weights().read_bytes()
    everything = executed(whole, OUTPUTS, tmp_path / "all")
    # If this ever fails, ONNX Runtime does it by itself, and oneshot/inference/subgraph.py can go.
    assert len(executed(whole, OUTPUTS[:3], tmp_path / "asked")) == len(everything)
    spared = executed(only(whole, OUTPUTS[:3]), OUTPUTS[:3], tmp_path / "cut")
    assert len(spared) < 0.8 * len(everything)
    for kind in ("Conv", "LayerNormalization", "Softmax"):
        assert spared.count(kind) < everything.count(kind), kind
    assert spared.count("NonMaxSuppression") == 1


def test_the_cut_file_is_what_onnx_itself_would_cut(fake_weights: Path) -> None:
    ours = onnx.load_from_string(only(fake_weights.read_bytes(), OUTPUTS[:3]))
    inputs = [i.name for i in ours.graph.input]
    theirs = onnx.utils.Extractor(onnx.load(fake_weights)).extract_model(inputs, list(OUTPUTS[:3]))
    assert [n.SerializeToString() for n in ours.graph.node] == [
        n.SerializeToString() for n in theirs.graph.node
    ]
    assert [o.name for o in ours.graph.output] == list(OUTPUTS[:3])
    onnx.checker.check_model(ours)
    same = only(fake_weights.read_bytes(), (*OUTPUTS, WHICH))
    assert onnx.load_from_string(same) == onnx.load(fake_weights)


def test_the_whole_network_is_not_run_for_faces_only(fake_weights: Path) -> None:
    backend = OnnxBackend(fake_weights, threads=1)
    image = np.zeros((1, 64, 64, 3), np.uint8)
    assert backend.finder is backend.finder and backend.finder is not backend.session
    del backend.session
    assert backend.run(image, 0.5, 0.5, 9, embed=False)[3].shape == (0, 0)
