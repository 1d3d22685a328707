"""The ONNX graph gives what the torch network gives, for any size of picture and any number of faces."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from oneshot.convert.fold import fold
from oneshot.convert.to_onnx import export_onnx
from oneshot.geometry import ARCFACE_TEMPLATE
from oneshot.inference.onnx import OnnxBackend
from oneshot.inference.torch import TorchBackend
from oneshot.models.config import (
    BASE,
    FAST,
    LARGE,
    NANO,
    CellIdentity,
    MapsIdentity,
    NetworkConfig,
    PictureIdentity,
)
from oneshot.models.identity.from_picture import FromPicture
from oneshot.models.identity.from_pyramid import FromPyramid
from oneshot.models.network import OneShotNet
from oneshot.models.weights import load_network, save_weights

ON_GPUS = {
    "Add": 14,
    "Cast": 13,
    "Clip": 13,
    "Concat": 13,
    "Conv": 11,
    "CumSum": 14,
    "Div": 14,
    "Equal": 13,
    "Exp": 13,
    "Expand": 13,
    "Gather": 13,
    "GatherND": 13,
    "Gemm": 13,
    "GridSample": 16,
    "LayerNormalization": 17,
    "Log": 13,
    "MatMul": 13,
    "MaxPool": 12,
    "Min": 13,
    "Mul": 14,
    "Pad": 18,
    "Pow": 15,
    "Range": 11,
    "Reciprocal": 13,
    "ReduceL2": 18,
    "ReduceMax": 18,
    "ReduceMean": 18,
    "ReduceSum": 13,
    "Relu": 14,
    "Reshape": 14,
    "Resize": 18,
    "Shape": 15,
    "Sigmoid": 13,
    "Slice": 13,
    "Softmax": 13,
    "Split": 18,
    "Squeeze": 13,
    "Sub": 14,
    "Tanh": 13,
    "Tile": 13,
    "Transpose": 13,
    "Unsqueeze": 13,
}
"""Operators, and the opset of the definition, for which ONNX Runtime has kernels on CUDA and on DirectML
(its docs/OperatorKernels.md, read in November 2026)."""

ON_CUDA = {"NonMaxSuppression": 11}
"""On CUDA alone, by its source (the table leaves out what takes one type only); elsewhere the CPU does it."""

INFO = {"score_threshold": 0.5, "iou_threshold": 0.45, "thresholds": {"1e-3": 0.3}}


def lively(config: NetworkConfig = BASE) -> OneShotNet:
    """A random network whose norms and scales do something and whose scores are far apart."""
    torch.manual_seed(2)
    net = OneShotNet(config)
    norms = [m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for module in norms:
        torch.nn.init.uniform_(module.weight, 0.5, 1.5)
        torch.nn.init.uniform_(module.bias, -0.2, 0.2)
        module.momentum = 1.0
    for name, parameter in net.named_parameters():
        if name.endswith(("gamma", "gamma_xca")):
            torch.nn.init.uniform_(parameter, 0.3, 1.0)
        if name.endswith("token_projection.weight"):
            torch.nn.init.normal_(parameter)
    torch.nn.init.normal_(net.refinement.out.weight, std=0.01)
    for layer in net.head.out:
        torch.nn.init.normal_(layer.weight, std=0.03)  # type: ignore[arg-type]
        torch.nn.init.normal_(layer.weight.data[4], std=0.4)  # type: ignore[index]
        layer.bias.data[4] = -1.0  # type: ignore[union-attr,index]
        # About a face's own: of five points anywhere, alignment has no bounds, nor what rounding does to it.
        layer.bias.data[5:15] = torch.from_numpy((ARCFACE_TEMPLATE - 56) / 56).flatten()  # type: ignore[union-attr,index]
        if config.direction:  # every face lies on its side, a few in doubt
            layer.weight.data[15:] *= 30  # type: ignore[union-attr,index,operator]
            layer.bias.data[17] = 9.0  # type: ignore[union-attr,index]
    for linear in net.identity.modules():
        if isinstance(linear, torch.nn.Linear):
            linear.bias.data.fill_(0.01)  # zeros would not be exported
    if isinstance(net.identity, FromPicture | FromPyramid):  # fresh, it maps everything to the same
        torch.nn.init.normal_(net.identity.bridge.linear.weight, std=0.1)
        torch.nn.init.normal_(net.identity.bridge.linear.bias)
    # One pass in training mode gives every norm the statistics of what it sees.
    with torch.no_grad():
        net.train()(pixels(320, 320), 0.0, 0.45, 20)
    return net.eval()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("export")
    tensors, graph = folder / "net.safetensors", folder / "net.onnx"
    save_weights(tensors, lively(), INFO)
    net, info = load_network(tensors)
    # In fp32: folded layers rounded to fp16 anew would hide what differs.
    export_onnx(net, graph, info, half=False)
    return tensors, graph


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height).integers(0, 256, (1, height, width, 3), np.uint8)


def pixels(height: int, width: int) -> torch.Tensor:
    """The same as the network takes it."""
    return torch.from_numpy(noise(height, width)).permute(0, 3, 1, 2).float()


@pytest.mark.parametrize("size", [(320, 320), (96, 224), (224, 96), (32, 32), (64, 640)])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5])
def test_torch_and_onnx_agree(files: tuple[Path, Path], size: tuple[int, int], share: float) -> None:
    torch_backend, onnx_backend = TorchBackend(files[0]), OnnxBackend(files[1], threads=1)
    image = noise(*size)
    scores = np.sort(torch_backend.run(image, 0.0, 1.0, 10_000)[1])[::-1]
    # A threshold in the widest gap near by, so that rounding does not decide.
    first = max(1, int(share * len(scores)))
    gaps = -np.diff(scores[first - 1 : first + 41])
    count = first + int(np.argmax(gaps)) if share else 0
    threshold = float(scores[count - 1] + scores[count]) / 2 if share else 0.9999999
    expected = torch_backend.run(image, threshold, 1.0, 10_000)
    got = onnx_backend.run(image, threshold, 1.0, 10_000)
    assert [a.shape for a in got] == [a.shape for a in expected]
    assert len(expected[0]) == count
    if count:
        # Scores that nearly tie may change places.
        place = np.abs(got[0][None] - expected[0][:, None]).max(-1).argmin(1)
        boxes, scores, landmarks, embeddings, _ = (a[place] for a in got)
        np.testing.assert_allclose(boxes, expected[0], atol=0.5)
        np.testing.assert_allclose(scores, expected[1], atol=5e-3)
        np.testing.assert_allclose(landmarks, expected[2], atol=0.5)
        assert (embeddings * expected[3]).sum(1).min() > 0.999
        np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-4)


@pytest.mark.parametrize("backend", [TorchBackend, OnnxBackend])
def test_without_embeddings_the_rest_stays_as_it_is(
    files: tuple[Path, Path], backend: type[TorchBackend | OnnxBackend]
) -> None:
    network = backend(files[backend is OnnxBackend])
    for least, count in ((0.0, 7), (0.9999999, 0)):
        whole = network.run(noise(96, 128), least, 0.45, 7)
        found = network.run(noise(96, 128), least, 0.45, 7, False)
        assert [len(part) for part in found] == [count] * 5 and found[3].shape == (count, 0)
        for one, other in zip(found[:3], whole[:3], strict=True):
            np.testing.assert_allclose(one, other, atol=1e-4)


def test_pictures_of_a_batch_are_as_each_alone(files: tuple[Path, Path]) -> None:
    """As many faces as this network makes up; none, one and several are in test_parity.py."""
    noises = [noise(96, 128)[0] * share for share in (1.0, 0.0, 0.3, 0.6)]
    pictures = np.stack(noises).astype(np.uint8)
    for backend in (TorchBackend(files[0]), OnnxBackend(files[1], threads=1)):
        alone = [backend.run(one[None], 0.6, 0.45, 200) for one in pictures]
        counts = [len(out[1]) for out in alone]
        assert len(set(counts)) > 1  # places that are left over
        assert np.abs(alone[0][3][10] - alone[2][3][10]).max() > 0.02  # another picture's would be noticed
        together = backend.run(pictures, 0.6, 0.45, 200)
        assert together[4].tolist() == np.repeat(np.arange(4), counts).tolist()
        for picture, expected in enumerate(alone):
            got = [a[together[4] == picture] for a in together[:4]]
            # Scores that nearly tie may change places.
            place = np.abs(got[0][None] - expected[0][:, None]).max(-1).argmin(1)
            assert sorted(place) == list(range(counts[picture]))
            for a, b in zip(got, expected, strict=False):
                np.testing.assert_allclose(a[place], b, atol=1e-2)
        assert [len(a) for a in backend.run(pictures, 0.9999999, 0.45, 200)] == [0] * 5


@pytest.mark.parametrize(
    "shape",
    [
        BASE,
        replace(BASE, identity=MapsIdentity(rank=0, parts=2, deep_blocks=6, fine_blocks=2)),
        replace(BASE, thin=24, identity=MapsIdentity(fine_blocks=1)),
        replace(BASE, direction=True, identity=PictureIdentity(parts=1)),
        replace(BASE, identity=CellIdentity()),
        FAST,
        LARGE,
        NANO,
    ],
)
@torch.inference_mode()
def test_folding_changes_nothing(shape: NetworkConfig) -> None:
    net = lively(shape)
    plain, folded = (each(pixels(96, 128), 0.4, 0.45, 9) for each in (net, fold(net)))
    for a, b in zip(plain, folded, strict=True):
        torch.testing.assert_close(a, b, atol=2e-3, rtol=1e-3)


@pytest.mark.parametrize(
    "shape", [FAST, replace(NANO, direction=True), replace(BASE, share3x3_top=0.5, identity=CellIdentity())]
)
def test_every_kind_of_identity_is_exported(shape: NetworkConfig, tmp_path: Path) -> None:
    """The one that is missing is that of the files above."""
    net = lively(shape)
    export_onnx(net, tmp_path / "net.onnx", INFO, half=False)
    got = OnnxBackend(tmp_path / "net.onnx", threads=1).run(noise(96, 128), 0.4, 0.45, 3)
    with torch.inference_mode():
        expected = fold(net)(pixels(96, 128), 0.4, 0.45, 3)
    assert len(got[0]) == 3
    np.testing.assert_allclose(got[0], expected.boxes, atol=0.5)
    np.testing.assert_allclose(got[2], expected.landmarks, atol=0.5)
    np.testing.assert_allclose(got[3], expected.embeddings, atol=2e-2)
    names = [tensor.name for tensor in onnx.load(tmp_path / "net.onnx").graph.initializer]
    assert not [name for name in names if "identity" in name]  # they are a format, and older than that


def test_linear_layers_add_their_bias_themselves(files: tuple[Path, Path]) -> None:
    nodes = onnx.load(files[1]).graph.node
    linear = [n for n in nodes if n.op_type in ("MatMul", "Gemm") and "_net.deep." in "".join(n.input)]
    # Two a block, two more in the attention of three of twelve, and the last one.
    assert [n.op_type for n in linear] == ["Gemm"] * (12 * 2 + 3 * 2 + 1)
    assert all(len(n.input) == 3 for n in linear)


def test_the_file_is_small_and_describes_itself(files: tuple[Path, Path]) -> None:
    assert files[0].stat().st_size < 6e6
    assert OnnxBackend(files[1]).info["thresholds"] == INFO["thresholds"]
    assert OnnxBackend(files[1]).info["weights_sha256"] == TorchBackend(files[0]).info["weights_sha256"]
    model = onnx.load(files[1])
    assert {n.domain for n in model.graph.node} <= {"", "ai.onnx"}
    assert not [n for n in model.graph.node if n.op_type == "BatchNormalization" and "head" in n.name]


def test_gpus_have_every_operator(files: tuple[Path, Path]) -> None:
    model = onnx.load(files[1])
    opset = model.opset_import[0].version
    used = {n.op_type: onnx.defs.get_schema(n.op_type, opset).since_version for n in model.graph.node}
    assert dict(used.items() - (ON_GPUS | ON_CUDA).items()) == {}


def test_gelus_are_joined_again(files: tuple[Path, Path], tmp_path: Path) -> None:
    options = ort.SessionOptions()
    options.log_severity_level, options.optimized_model_filepath = 3, str(tmp_path / "joined.onnx")
    ort.InferenceSession(files[1], options, providers=["CPUExecutionProvider"])
    kinds = [n.op_type for n in onnx.load(tmp_path / "joined.onnx").graph.node]
    assert kinds.count("FastGelu") == 12 and "Tanh" not in kinds


def test_the_thresholds_are_inputs(files: tuple[Path, Path]) -> None:
    backend, image = OnnxBackend(files[1]), noise(160, 160)
    few = backend.run(image, 0.0, 0.45, 5)
    assert len(few[0]) == 5 and (np.diff(few[1]) <= 0).all()
    strict, loose = backend.run(image, 0.0, 0.05, 1000), backend.run(image, 0.0, 0.9, 1000)
    assert len(strict[0]) < len(loose[0])
    assert (backend.run(image, 0.6, 0.9, 1000)[1] > 0.6).all()
