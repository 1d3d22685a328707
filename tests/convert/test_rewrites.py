"""Rewrites of the ONNX graph keep its numbers."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from oneshot.convert.rewrites import split_concats, store_half, strip_traces
from oneshot.models.backbone import Fire


class TwoFires(nn.Module):
    """A join read by a pool, two 1x1 convolutions and a 3x3 one; the pool's output is an output too."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = Fire(3, 4, 8), Fire(16, 4, 8)
        self.thin, self.wide = nn.Conv2d(16, 5, 1), nn.Conv2d(16, 6, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        a = self.one(x)
        pooled = torch.max_pool2d(a, 2)
        return self.thin(a), self.two(pooled), self.wide(a), pooled


def model() -> tuple[onnx.ModelProto, np.ndarray]:
    torch.manual_seed(0)
    image = torch.randn(1, 3, 16, 12)
    program = torch.onnx.export(TwoFires().eval(), (image,), dynamo=True, opset_version=18, verbose=False)
    assert program is not None
    return program.model_proto, image.numpy()


def run(model: onnx.ModelProto, image: np.ndarray) -> list[np.ndarray]:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: image})  # type: ignore[no-any-return]


def count(model: onnx.ModelProto, op: str) -> int:
    return sum(node.op_type == op for node in model.graph.node)


def test_split_concats_keeps_the_numbers_and_what_others_read() -> None:
    graph, image = model()
    before, joins = run(graph, image), count(graph, "Concat")
    split_concats(graph)
    onnx.checker.check_model(graph, full_check=True)
    # The 3x3 convolution still reads the first join, and the second and the pool's are outputs.
    assert (joins, count(graph, "Concat"), count(graph, "MaxPool")) == (2, 3, 2)
    assert count(graph, "Add") == 2
    for a, b in zip(run(graph, image), before, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_half_weights_are_cast_back() -> None:
    graph, image = model()
    before, size = run(graph, image), len(graph.SerializeToString())
    strip_traces(graph)
    store_half(graph, smallest=16)
    onnx.checker.check_model(graph, full_check=True)
    assert len(graph.SerializeToString()) < 0.8 * size
    assert not [
        t for t in graph.graph.initializer if t.data_type == onnx.TensorProto.FLOAT and np.prod(t.dims) >= 16
    ]
    for a, b in zip(run(graph, image), before, strict=True):
        np.testing.assert_allclose(a, b, atol=5e-3)


@pytest.mark.parametrize("scale", [1e6, 1e-7])
def test_what_fp16_cannot_hold_stays_fp32(scale: float) -> None:
    graph, _ = model()
    weight = max(graph.graph.initializer, key=lambda t: np.prod(t.dims))
    exact = numpy_helper.to_array(weight) * np.float32(scale)
    weight.CopyFrom(numpy_helper.from_array(exact, weight.name))
    name = weight.name
    store_half(graph, smallest=16)
    kept = next(t for t in graph.graph.initializer if t.name == name)
    np.testing.assert_array_equal(numpy_helper.to_array(kept), exact)
