"""The whole pass as one ONNX graph: uint8 pixels in, faces out.

Torch exports the dense half (pixels to boxes, scores, landmarks and maps) and the per-face half (landmarks
to embeddings); ONNX's own NonMaxSuppression and a few Gathers join them. Exporting in two halves keeps the
number of faces an ordinary dynamic dimension.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from oneshot.graph import split_concats, store_half, strip_traces
from oneshot.models.fold import fold
from oneshot.models.network import OneShotNet
from oneshot.models.one_pass import coarse_landmarks, decode, describe

OPSET = 20
PER_CELL = ("raw", "points", "strides")
SAMPLED = ("map2", "map4", "map8", "cells8", "cells16", "cells32")


class _Dense(nn.Module):
    def __init__(self, net: OneShotNet):
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        cells, sampled = decode(self.net, image)
        return *cells, *sampled


class _PerFace(nn.Module):
    def __init__(self, net: OneShotNet):
        super().__init__()
        self.net = net

    def forward(
        self, raw: Tensor, points: Tensor, strides: Tensor, sampled: tuple[Tensor, ...]
    ) -> tuple[Tensor, Tensor]:
        return describe(self.net, sampled, coarse_landmarks(raw, points, strides))


def export_onnx(net: OneShotNet, path: Path, info: dict[str, Any], half: bool = True) -> None:
    """Write the graph described in docs/design.md.

    Args:
        net: the trained network.
        path: the .onnx file; written by a temporary name and moved into place.
        info: facts that travel in the file ("oneshot" in its metadata); `score_threshold` and `iou_threshold`
            become the defaults of those inputs.
        half: store weights as fp16 (computed in fp32: the runtime casts them once when it loads the file).
    """
    net = fold(net)
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        dense = _torch_export(_Dense(net).eval(), Path(folder) / "dense.onnx", net)
        faces = _torch_export(_PerFace(net).eval(), Path(folder) / "faces.onnx", net)
    split_concats(dense)
    model = _join(dense, faces, info)
    strip_traces(model)
    if half:
        store_half(model)
    onnx.checker.check_model(model, full_check=True)
    partial = path.with_name(path.name + ".partial")
    onnx.save(model, partial)
    partial.replace(path)


def _torch_export(module: nn.Module, path: Path, net: OneShotNet) -> onnx.ModelProto:
    image = torch.zeros(1, 96, 128, 3, dtype=torch.uint8)
    cells, sampled = decode(net, image)
    maps = list(SAMPLED[: len(sampled)])
    args: tuple[Any, ...]
    shapes: Any
    if isinstance(module, _Dense):
        rows, columns = (32 * torch.export.Dim(n, min=2, max=1000) for n in ("rows", "columns"))
        args, shapes = (image,), ({1: rows, 2: columns},)
        inputs, outputs = ["image"], ["boxes", "scores", *PER_CELL, *maps]
    else:
        auto = torch.export.Dim.DYNAMIC
        faces = {0: torch.export.Dim("faces")}
        args = (*(part[:3] for part in (cells.raw, cells.points, cells.strides)), sampled)
        shapes = (faces, faces, faces, tuple({2: auto, 3: auto} for _ in sampled))
        inputs, outputs = [*(f"kept_{name}" for name in PER_CELL), *maps], ["landmarks", "embeddings"]
    program = torch.onnx.export(
        module,
        args,
        dynamo=True,
        opset_version=OPSET,
        input_names=inputs,
        output_names=outputs,
        dynamic_shapes=shapes,
        verbose=False,
    )
    assert program is not None
    program.save(path)
    return onnx.load(path)


def _join(dense: onnx.ModelProto, faces: onnx.ModelProto, info: dict[str, Any]) -> onnx.ModelProto:
    dense = onnx.compose.add_prefix(dense, "dense_", rename_inputs=False, rename_outputs=False)
    faces = onnx.compose.add_prefix(faces, "face_", rename_inputs=False, rename_outputs=False)
    float32, int64 = TensorProto.FLOAT, TensorProto.INT64

    def constant(name: str, value: list[int]) -> onnx.TensorProto:
        return numpy_helper.from_array(np.array(value, np.int64), name)

    defaults = [
        numpy_helper.from_array(np.array(info["score_threshold"], np.float32), "score_threshold"),
        numpy_helper.from_array(np.array(info["iou_threshold"], np.float32), "iou_threshold"),
        numpy_helper.from_array(np.array(200, np.int64), "max_faces"),
    ]
    node = helper.make_node
    joint = [
        node("Unsqueeze", ["boxes_all", "axis0"], ["nms_boxes"]),
        node("Unsqueeze", ["scores_all", "axes01"], ["nms_scores"]),
        node(
            "NonMaxSuppression",
            ["nms_boxes", "nms_scores", "max_faces", "iou_threshold", "score_threshold"],
            ["nms_rows"],
        ),
        node("Gather", ["nms_rows", "column2"], ["kept"], axis=1),
        node("Gather", ["boxes_all", "kept"], ["boxes"], axis=0),
        node("Gather", ["scores_all", "kept"], ["scores"], axis=0),
        # Some of ONNX Runtime's products refuse a batch of none: without a face, one cell stands in for it.
        node("Shape", ["kept"], ["count"]),
        node("Min", ["count", "one"], ["any"]),
        node("Sub", ["one", "any"], ["lacking"]),
        node("Slice", ["zero", "zero", "lacking"], ["stand_in"]),
        node("Concat", ["kept", "stand_in"], ["described"], axis=0),
        *(node("Gather", [name, "described"], [f"kept_{name}"], axis=0) for name in PER_CELL),
    ]
    only_kept = [
        node("Slice", ["described_landmarks", "zero", "count", "zero"], ["landmarks"]),
        node("Slice", ["described_embeddings", "zero", "count", "zero"], ["embeddings"]),
    ]
    _rename(faces.graph, "landmarks", "described_landmarks")
    _rename(faces.graph, "embeddings", "described_embeddings")
    _rename(dense.graph, "boxes", "boxes_all")
    _rename(dense.graph, "scores", "scores_all")
    constants = [
        constant("axis0", [0]),
        constant("axes01", [0, 1]),
        constant("zero", [0]),
        constant("one", [1]),
    ]
    constants.append(numpy_helper.from_array(np.array(2, np.int64), "column2"))
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [*dense.graph.node, *joint, *faces.graph.node, *only_kept],
        "oneshot",
        [
            value("image", TensorProto.UINT8, [1, "height", "width", 3]),
            value("score_threshold", float32, []),
            value("iou_threshold", float32, []),
            value("max_faces", int64, []),
        ],
        [
            value("boxes", float32, ["faces", 4]),
            value("scores", float32, ["faces"]),
            value("landmarks", float32, ["faces", 5, 2]),
            value("embeddings", float32, ["faces", 1000]),
        ],
        [*defaults, *constants, *dense.graph.initializer, *faces.graph.initializer],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="oneshot")
    model.ir_version = 9
    model.metadata_props.append(onnx.StringStringEntryProto(key="oneshot", value=json.dumps(info)))
    return model


def _rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    for node in graph.node:
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                if name == old:
                    names[i] = new
    for value in (*graph.input, *graph.output):
        if value.name == old:
            value.name = new
