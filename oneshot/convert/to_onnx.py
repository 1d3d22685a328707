"""The whole pass as one ONNX graph: uint8 pixels in, faces out.

Torch exports the dense half (pixels to boxes, scores, landmarks and maps) and the per-face half (landmarks
to embeddings); ONNX's own NonMaxSuppression and a few Gathers join them. Exporting in two halves keeps the
number of faces an ordinary dynamic dimension, and so the most faces in one picture of a batch.
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

from oneshot.convert.fold import fold
from oneshot.convert.rewrites import split_concats, store_half, strip_traces
from oneshot.files import replacing
from oneshot.models.cells import coarse_landmarks, decided
from oneshot.models.network import OneShotNet
from oneshot.models.sampling import Places, Sampled, SampledMap, places_of
from oneshot.models.weights import name_in_file

OPSET = 18
"""The lowest that torch's exporter writes. By ONNX Runtime's kernel tables, DirectML lacks the GridSample and
the Gelu of 20, and CUDA has that GridSample only of late. CoreML alone wants it, and leaves this one to the
CPU.
"""
PER_CELL = ("raw", "points", "strides")
PLACES = ("slots", "pictures", "columns")


class _Dense(nn.Module):
    def __init__(self, net: OneShotNet):
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        cells, sampled = self.net.dense(_pixels(images))
        return *cells, *(each.map for each in _in_a_row(sampled))


class _PerFace(nn.Module):
    def __init__(self, net: OneShotNet, strides: tuple[int, ...]):
        super().__init__()
        self.net, self.map_strides = net, strides

    def forward(
        self,
        raw: Tensor,
        points: Tensor,
        strides: Tensor,
        slots: Tensor,
        pictures: Tensor,
        columns: Tensor,
        maps: tuple[Tensor, ...],
    ) -> tuple[Tensor, Tensor]:
        places = Places(slots, pictures, columns)
        coarse, *own = map(SampledMap, maps, self.map_strides)
        landmarks = self.net.corrected(coarse, coarse_landmarks(raw, points, strides), places)
        embeddings = self.net.identity(Sampled(coarse, tuple(own)), landmarks, places)
        return landmarks, embeddings * decided(raw)


def _pixels(images: Tensor) -> Tensor:
    return images.permute(0, 3, 1, 2).float()


def _in_a_row(sampled: Sampled) -> tuple[SampledMap, ...]:
    return sampled.coarse, *sampled.own


def export_onnx(
    net: OneShotNet, path: Path, info: dict[str, Any], half: bool = True, split: bool = True
) -> None:
    """Write the graph described in docs/design.md.

    Args:
        net: the trained network.
        path: the .onnx file; written by a temporary name and moved into place.
        info: facts that travel in the file ("oneshot" in its metadata); `score_threshold` and `iou_threshold`
            become the defaults of those inputs.
        half: store weights as fp16 (computed in fp32: the runtime casts them once when it loads the file).
        split: spare the copies of the fire modules' joins; in 8 bits they are cheaper than sums.
    """
    net = fold(net)
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        dense = _torch_export(net, Path(folder) / "dense.onnx", whole=True)
        faces = _torch_export(net, Path(folder) / "faces.onnx", whole=False)
    if split:
        split_concats(dense)
    model = _join(dense, faces, info)
    strip_traces(model)
    if half:
        store_half(model)
    onnx.checker.check_model(model, full_check=True)
    with replacing(path) as partial:
        onnx.save(model, partial)


def _torch_export(net: OneShotNet, path: Path, whole: bool) -> onnx.ModelProto:
    """The half that sees whole pictures, or the one that sees faces."""
    # Two pictures, the first with two faces: what is one in the example would be taken for a constant.
    images = torch.zeros(2, 96, 128, 3, dtype=torch.uint8)
    cells, sampled = net.dense(_pixels(images))
    tensors, strides = zip(*_in_a_row(sampled), strict=True)
    maps = [f"sampled{i}" for i in range(len(tensors))]
    batch = torch.export.Dim("batch")
    module: nn.Module
    args: tuple[Any, ...]
    shapes: Any
    if whole:
        module = _Dense(net)
        rows, columns = (32 * torch.export.Dim(n, min=2, max=1000) for n in ("rows", "columns"))
        args, shapes = (images,), ({0: batch, 1: rows, 2: columns},)
        inputs, outputs = ["image"], ["boxes", "scores", *PER_CELL, *maps]
    else:
        module = _PerFace(net, strides)
        auto = torch.export.Dim.DYNAMIC
        faces = {0: torch.export.Dim("faces")}
        places = places_of(torch.tensor([0, 0, 1]), 2)
        args = (cells.raw[0, :3], cells.points[:3], cells.strides[:3], *places, tensors)
        slots = {0: batch, 1: torch.export.Dim("most")}
        shapes = (
            faces,
            faces,
            faces,
            slots,
            faces,
            faces,
            tuple({0: batch, 2: auto, 3: auto} for _ in tensors),
        )
        inputs = [*(f"kept_{name}" for name in PER_CELL), *PLACES, *maps]
        outputs = ["landmarks", "embeddings"]
    program = torch.onnx.export(
        module.eval(),
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
    model = onnx.load(path)
    _name_as_in_files(model.graph)
    return model


def _name_as_in_files(graph: onnx.GraphProto) -> None:
    for tensor in graph.initializer:
        tensor.name = _in_file(tensor.name)
    for node in graph.node:
        node.input[:] = [_in_file(name) for name in node.input]


def _in_file(name: str) -> str:
    return f"net.{name_in_file(name[4:])}" if name.startswith("net.") else name


def _join(dense: onnx.ModelProto, faces: onnx.ModelProto, info: dict[str, Any]) -> onnx.ModelProto:
    dense = onnx.compose.add_prefix(dense, "dense_", rename_inputs=False, rename_outputs=False)
    faces = onnx.compose.add_prefix(faces, "face_", rename_inputs=False, rename_outputs=False)
    float32, int64 = TensorProto.FLOAT, TensorProto.INT64

    defaults = [
        numpy_helper.from_array(np.array(info["score_threshold"], np.float32), "score_threshold"),
        numpy_helper.from_array(np.array(info["iou_threshold"], np.float32), "iou_threshold"),
        numpy_helper.from_array(np.array(200, np.int64), "max_faces"),
    ]
    node = helper.make_node
    joint = [
        node("Unsqueeze", ["scores_all", "ones"], ["nms_scores"]),
        node(
            "NonMaxSuppression",
            ["boxes_all", "nms_scores", "max_faces", "iou_threshold", "score_threshold"],
            ["kept"],  # (N, 3): picture, class, cell; picture after picture, best first
        ),
        node("Gather", ["kept", "column0"], ["images"], axis=1),
        # Some of ONNX Runtime's products refuse a batch of none: without a face, one cell stands in for it.
        node("Shape", ["images"], ["count"]),
        node("Min", ["count", "ones"], ["any"]),
        node("Sub", ["ones", "any"], ["lacking"]),
        node("Slice", ["nobody", "zeros", "lacking"], ["stand_in"]),
        node("Concat", ["kept", "stand_in"], ["described"], axis=0),
        node("Gather", ["described", "column0"], ["pictures"], axis=1),
        node("Gather", ["described", "column2"], ["cells"], axis=1),
        node("Gather", ["described", "columns02"], ["where"], axis=1),
        node("GatherND", ["boxes_all", "where"], ["described_boxes"]),
        node("GatherND", ["scores_all", "where"], ["described_scores"]),
        node("GatherND", ["raw", "where"], ["kept_raw"]),
        node("Gather", ["points", "cells"], ["kept_points"], axis=0),
        node("Gather", ["strides", "cells"], ["kept_strides"], axis=0),
        # oneshot.models.sampling.places_of, without the Unique and the ScatterND that GPUs lack: faces stand
        # picture after picture, and a place that is left over may hold any of them.
        node("Shape", ["image"], ["batch"], end=1),
        node("Squeeze", ["batch"], ["batch_size"]),
        node("Range", ["column0", "batch_size", "column1"], ["every_picture"]),
        node("Unsqueeze", ["every_picture", "ones"], ["every_picture_column"]),
        node("Equal", ["every_picture_column", "pictures"], ["is_of"]),  # (pictures, faces)
        node("Cast", ["is_of"], ["is_of_number"], to=int64),
        node("ReduceSum", ["is_of_number", "ones"], ["counts"], keepdims=0),
        node("CumSum", ["counts", "column0"], ["firsts"], exclusive=1),
        node("Shape", ["pictures"], ["faces"]),
        node("Squeeze", ["faces"], ["faces_number"]),
        node("Range", ["column0", "faces_number", "column1"], ["numbers"]),
        node("Gather", ["firsts", "pictures"], ["before"]),
        node("Sub", ["numbers", "before"], ["columns"]),
        node("ReduceMax", ["counts"], ["most"], keepdims=0),
        node("Range", ["column0", "most", "column1"], ["every_column"]),
        node("Unsqueeze", ["firsts", "ones"], ["firsts_column"]),
        node("Add", ["firsts_column", "every_column"], ["slots_unbounded"]),
        node("Sub", ["faces_number", "column1"], ["last_face"]),
        node("Min", ["slots_unbounded", "last_face"], ["slots"]),
    ]
    only_kept = [
        node("Slice", [f"described_{name}", "zeros", "count", "zeros"], [name])
        for name in ("boxes", "scores", "landmarks", "embeddings")
    ]
    for name in ("landmarks", "embeddings"):
        _rename(faces.graph, name, f"described_{name}")
    for name in ("boxes", "scores"):
        _rename(dense.graph, name, f"{name}_all")
    numbers: dict[str, int | list[int] | list[list[int]]] = {
        "zeros": [0],
        "ones": [1],
        "column0": 0,
        "column1": 1,
        "column2": 2,
        "columns02": [0, 2],
        "nobody": [[0, 0, 0]],
    }
    constants = [numpy_helper.from_array(np.array(value, np.int64), name) for name, value in numbers.items()]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [*dense.graph.node, *joint, *faces.graph.node, *only_kept],
        "oneshot",
        [
            value("image", TensorProto.UINT8, ["batch", "height", "width", 3]),
            value("score_threshold", float32, []),
            value("iou_threshold", float32, []),
            value("max_faces", int64, []),
        ],
        [
            value("boxes", float32, ["faces", 4]),
            value("scores", float32, ["faces"]),
            value("landmarks", float32, ["faces", 5, 2]),
            value("embeddings", float32, ["faces", 1000]),
            value("images", int64, ["faces"]),
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
