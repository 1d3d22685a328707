"""An exported graph in 8 bits: its convolutions, and the linear layers of the deep half.

ONNX Runtime's quantization does the work. Weights are int8, a scale a channel; what goes into a convolution
is uint8, of a range that photos have shown (static); what goes into a linear layer is uint8, of the range it
has at that moment (dynamic). What stays as it was keeps its weights in fp16.
"""

import json
import tempfile
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)

from oneshot.convert.rewrites import store_half
from oneshot.errors import OneShotError
from oneshot.inference.onnx import OnnxBackend
from oneshot.media.images import letterbox
from oneshot.types import Image

LAYERS = {
    "stem": ("backbone.stem.",),
    "fires": ("backbone.fire",),
    "thin": ("thin",),
    "head": ("head.",),
    "refinement": ("refinement.",),
    "bridge-down": ("bridge.down",),
    "bridge-squeeze": ("bridge.squeeze",),
    "bridge-mix": ("bridge.mix",),
    "bridge-out": ("bridge.out",),
    "join": ("join.",),
    "deep": ("deep.",),
    "linear": (),
}
"""Convolutions by the beginnings of their weights' names; `linear` is the deep half's matrix products."""

PAYS = ("bridge-down", "bridge-mix", "linear", "refinement")
"""What is faster in 8 bits on a processor that has 8-bit products, and hardly changes embeddings.

The backbone gains nothing there, and its boxes would move; the rest of either bridge and the deep half's own
convolutions change embeddings most, and are little of the work.
"""

PASSED_ON = ("Concat", "MaxPool", "Relu")
"""Operators that stay in 8 bits where all that they read is."""

SCALE = "_scale"


def quantize(
    exact: Path, out: Path, pictures: Iterable[Image], layers: Collection[str], side: int = 640
) -> None:
    """Write the 8-bit form of an fp32 graph.

    Args:
        exact: a graph of `export_onnx(half=False)`.
        out: the .onnx file.
        pictures: BGR photos whose faces show the ranges; those without a face are left out.
        layers: which of LAYERS.
        side: pixels; larger photos are scaled down to it.

    Raises:
        OneShotError: an unknown layer, or no photo shows a face.
    """
    check_layers(layers)
    model = onnx.load(exact)
    facts = {**OnnxBackend(exact).info, "int8": sorted(layers)}
    with tempfile.TemporaryDirectory() as folder:
        partial = Path(folder) / "int8.onnx"
        static = convolutions(model, layers)
        if static:
            quantize_static(
                model,
                partial,
                _Photos(exact, pictures, side),
                quant_format=QuantFormat.QDQ,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                per_channel=True,
                nodes_to_quantize=static,
                op_types_to_quantize=["Conv", *PASSED_ON],
            )
            model = onnx.load(partial)
        if "linear" in layers:
            unshare(model)
            quantize_dynamic(
                model,
                partial,
                op_types_to_quantize=["MatMul"],
                per_channel=True,
                weight_type=QuantType.QInt8,
                nodes_to_quantize=products(model),
            )
            model = onnx.load(partial)
    del model.metadata_props[:]
    model.metadata_props.append(onnx.StringStringEntryProto(key="oneshot", value=json.dumps(facts)))
    store_half(model, keep=(SCALE,))
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, out)
    OnnxBackend(out)  # loads it


def check_layers(layers: Collection[str]) -> None:
    """Raise OneShotError where one of these is not in LAYERS, or there is none."""
    unknown = sorted(set(layers) - set(LAYERS))
    if unknown or not layers:
        raise OneShotError(f"layers {', '.join(unknown) or 'none'}: choose from {', '.join(LAYERS)}")


def convolutions(model: onnx.ModelProto, layers: Collection[str]) -> list[str]:
    """Names of the layers' convolutions, and of what passes on nothing but their results."""
    beginnings = tuple(beginning for layer in layers for beginning in LAYERS[layer])
    weights = {t.name for t in model.graph.initializer}
    chosen: dict[str, str] = {}  # by output
    for node in model.graph.node:
        weight = node.input[1].partition("_net.")[2] if node.op_type == "Conv" else ""
        passed_on = node.op_type in PASSED_ON and all(name in chosen for name in node.input)
        if passed_on or (weight and node.input[1] in weights and weight.startswith(beginnings)):
            chosen[node.output[0]] = node.name
    return list(chosen.values())


def products(model: onnx.ModelProto) -> list[str]:
    """Names of the deep half's linear layers, as they are once Gemms have become matrix products.

    The other products with constants are the alignment's geometry: few numbers each, and exact ones.
    """
    inputs = {t.name: t.dims[0] for t in model.graph.initializer if len(t.dims) == 2}
    linear = [n.name for n in model.graph.node if n.op_type == "MatMul" and inputs.get(n.input[1], 0) >= 32]
    gemms = [n.name for n in model.graph.node if n.op_type == "Gemm" and "_net.deep." in n.input[1]]
    return linear + [f"{name}_MatMul" for name in gemms]


def unshare(model: onnx.ModelProto) -> None:
    """Give each Gemm its own weights: ONNX Runtime's tool turns them around in place, shared ones twice."""
    weights = {t.name: t for t in model.graph.initializer}
    seen: set[str] = set()
    for node in model.graph.node:
        if node.op_type == "Gemm" and node.input[1] in weights:
            if node.input[1] in seen:
                copy = model.graph.initializer.add()
                copy.CopyFrom(weights[node.input[1]])
                node.input[1] = copy.name = f"{copy.name}_{node.name}"
            seen.add(node.input[1])


class _Photos(CalibrationDataReader):  # type: ignore[misc]
    """What ONNX Runtime runs the exact graph on: photos in which that graph itself finds a face."""

    def __init__(self, exact: Path, pictures: Iterable[Image], side: int):
        self.inputs = self._seen(OnnxBackend(exact), pictures, side)
        self.first: dict[str, Any] | None = next(self.inputs, None)
        if self.first is None:
            raise OneShotError("the photos: no face found in any of them; give some with faces by --images")

    @staticmethod
    def _seen(backend: OnnxBackend, pictures: Iterable[Image], side: int) -> Iterator[dict[str, Any]]:
        for picture in pictures:
            image = np.ascontiguousarray(letterbox(picture, side)[0][None, ..., ::-1])
            least, overlap = (backend.info[key] for key in ("score_threshold", "iou_threshold"))
            if len(backend.run(image, least, overlap, 200)[0]):
                yield {"image": image}

    def get_next(self) -> dict[str, Any] | None:
        """The next photo's input, or None."""
        first, self.first = self.first, None
        return first or next(self.inputs, None)
