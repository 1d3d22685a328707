"""8 bits: the layers that were asked for and no others; faces stay where they were; what is refused."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import load_script
from onnx import TensorProto, numpy_helper

from oneshot import Faces, OneShot, OneShotError
from oneshot.convert.quantize import convolutions, products, quantize
from oneshot.inference.backend import default_weights
from oneshot.types import Image

quantize_onnx = load_script("quantize_onnx")

LAYERS = ["linear", "refinement"]


@pytest.fixture(scope="module")
def photos() -> list[Image]:
    return list(load_script("make_demo_video").photos().values())


@pytest.fixture(scope="module")
def exact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped graph with its weights in fp32, as by `export_onnx(half=False)` but faster."""
    model = onnx.load(default_weights())
    halves = {t.name: t for t in model.graph.initializer if t.name.endswith("_half")}
    for node in [n for n in model.graph.node if n.op_type == "Cast" and n.input[0] in halves]:
        tensor = halves[node.input[0]]
        tensor.CopyFrom(
            numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), node.output[0])
        )
        model.graph.node.remove(node)
    path = tmp_path_factory.mktemp("exact") / "fp32.onnx"
    onnx.save(model, path)
    return path


def test_the_layers_are_chosen_by_their_modules(exact: Path) -> None:
    model = onnx.load(exact)
    kinds = {node.name: node for node in model.graph.node}
    looks = [kinds[name] for name in convolutions(model, ["refinement"])]
    weights = [n.input[1].split("_net.")[1] for n in looks if n.op_type == "Conv"]
    # Twice, since landmarks are corrected twice.
    assert weights == 2 * [f"refinement.{layer}.weight" for layer in ("thin", "down1", "down2")]
    assert [n.op_type for n in looks].count("Relu") == 6
    stem = [kinds[name].op_type for name in convolutions(model, ["stem"])]
    assert stem == ["Conv", "Relu", "MaxPool"]  # the pool reads nothing else
    assert convolutions(model, ["linear"]) == []
    # Two layers a block, two more in the attention of three of them, and the last layer.
    assert len(products(model)) == 12 * 2 + 3 * 2 + 1 and products(model)[-1].endswith("_MatMul")


def test_what_is_quantized_and_what_is_not(exact: Path, photos: list[Image], tmp_path: Path) -> None:
    out = tmp_path / "int8.onnx"
    quantize(exact, out, photos, LAYERS, side=320)
    model = onnx.load(out)
    small = {t.name for t in model.graph.initializer if t.data_type == TensorProto.INT8 and len(t.dims) > 1}
    assert sum("refinement." in name for name in small) == 3 and len(small) == 3 + 31
    assert not [name for name in small if "backbone" in name or "bridge" in name]
    assert out.stat().st_size < 0.45 * exact.stat().st_size
    assert OneShot(out).info["int8"] == sorted(LAYERS)
    assert OneShot(out).thresholds == OneShot(exact).thresholds
    for photo in photos:
        before, after = (OneShot(path, threads=1, side=320)(photo) for path in (exact, out))
        np.testing.assert_allclose(after.boxes, before.boxes, atol=0.5)  # only fp16 moved them
        np.testing.assert_allclose(after.landmarks, before.landmarks, atol=0.5)
        # Not all of these layers are in 8 bits by default: the same person, at some distance.
        assert len(before) and ((before.embeddings * after.embeddings).sum(1) > 0.85).all()


def test_what_cannot_be_is_one_sentence(exact: Path, tmp_path: Path) -> None:
    black = [np.zeros((64, 64, 3), np.uint8)] * 2
    with pytest.raises(OneShotError, match="no face found"):
        quantize(exact, tmp_path / "a.onnx", black, LAYERS)
    with pytest.raises(OneShotError, match="layers neck: choose from stem, fires"):
        quantize(exact, tmp_path / "a.onnx", black, ["neck", "stem"])
    with pytest.raises(OneShotError, match="give --images FOLDER"):
        quantize_onnx.calibration(None, None, 4)
    with pytest.raises(OneShotError, match="holds no photo"):
        quantize_onnx.calibration(tmp_path, None, 4)
    assert quantize_onnx.main(["measure", str(tmp_path)]) == 2
    assert list(tmp_path.iterdir()) == []


def faces(*boxes: tuple[float, float, float, float], turn: float = 0.0) -> Faces:
    rows = np.array(boxes, np.float32).reshape(-1, 4)
    n = len(rows)
    embeddings = np.tile(np.array([np.cos(turn), np.sin(turn)], np.float32), (n, 1))
    return Faces(rows, np.ones(n, np.float32), np.zeros((n, 5, 2), np.float32), embeddings)


def test_faces_are_compared_with_their_nearest() -> None:
    expected = [faces((0, 0, 10, 10), (50, 50, 90, 90)), faces((0, 0, 8, 8)), faces()]
    got = [faces((51, 50, 90, 88), (0, 0, 10, 10), turn=0.2), faces(), faces((1, 1, 9, 9))]
    found = quantize_onnx.difference(expected, got)
    assert (found["faces"], found["missing"], found["pixels"]) == (3, 1, 2)
    assert found["cosine"] == pytest.approx(np.cos(0.2)) == found["cosine_least"]


def test_photos_are_spread_over_all() -> None:
    assert quantize_onnx.spread(100, 3) == [0, 49, 99]
    assert quantize_onnx.spread(2, 64) == [0, 1]
