"""A network that keeps the graph's contract and has learned nothing: "faces" are squares of three colours.

And entries of galleries, with embeddings that are as good as any.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from oneshot.gallery.entries import Entry

MODEL = "a" * 64
DIM = 1000
PEOPLE = {"Rhea": (220, 40, 40), "Gus": (40, 200, 60), "Bo": (50, 60, 220)}
"""Name -> RGB of their square; their scores fall in this order."""

SCORES = np.array([0.95, 0.9, 0.55], np.float32)
FIVE = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]], np.float32)
"""Landmarks as fractions of the box."""

NEAR = 60
"""Grey values a colour may be off, since videos and scaling change them."""

EMBEDDINGS = np.random.default_rng(5).normal(size=(3, 1000)).astype(np.float32)
EMBEDDINGS /= np.linalg.norm(EMBEDDINGS, axis=1, keepdims=True)

INFO: dict[str, Any] = {
    "name": "fake",
    "version": "0",
    "weights_sha256": "f" * 64,
    "side": 640,
    "score_threshold": 0.5,
    "iou_threshold": 0.4,
    "thresholds": {"1e-2": 0.25, "1e-3": 0.4, "1e-4": 0.5},
    "licence": "MIT",
}


def picture(width: int = 320, height: int = 240, **squares: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    """A dark BGR picture with people's squares in it, each given as name=(x0, y0, x1, y1)."""
    image = np.full((height, width, 3), 15, np.uint8)
    for name, (x0, y0, x1, y1) in squares.items():
        image[y0:y1, x0:x1] = PEOPLE[name][::-1]
    return image


def photo(name: str, side: int = 100, seed: int = 0) -> NDArray[np.uint8]:
    """A BGR picture of one person that is fit to be enrolled: large, sharp; another one for each seed."""
    image = picture(**{name: (60, 60, 60 + side, 60 + side)})
    noise = np.random.default_rng(seed).integers(-30, 31, (side, side, 1))
    square = image[60 : 60 + side, 60 : 60 + side]
    square[:] = (square + noise).clip(0, 255)
    return image


def entry(name: str, template: str = "", number: int = 0, model: str = MODEL) -> Entry:
    return Entry(name, template, hashlib.sha256(f"{name}{number}".encode()).hexdigest(), 0.5, model)


def row(seed: int) -> NDArray[np.float32]:
    """An embedding of length 1, (1, DIM)."""
    vector = np.random.default_rng(seed).normal(size=(1, DIM)).astype(np.float32)
    return vector / np.linalg.norm(vector)


def write_model(path: Path, **info: Any) -> Path:
    """The fake network as a file; `info` changes what it says about itself, None leaves a key out."""
    facts = {k: v for k, v in (INFO | info).items() if v is not None}
    model = helper.make_model(_graph(), opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, {"oneshot": json.dumps(facts)})
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def write_sound(path: Path, wave: NDArray[np.float64], rate: int, codec: str = "aac") -> Path:
    """A file with nothing but sound: samples (N,) from -1 to 1. Needs PyAV."""
    import av

    samples = wave.astype(np.float32)
    with av.open(str(path), "w") as target:
        stream = target.add_stream(codec, rate=rate, layout="mono")
        for start in range(0, len(samples), 1024):
            part = samples[None, start : start + 1024]
            frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = rate, start
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    return path


def write_blank(path: Path) -> Path:
    """The fake network's file, but of every face it says that it cannot be described: zeros."""
    write_model(path)
    model = onnx.load(path)
    (kept,) = (tensor for tensor in model.graph.initializer if tensor.name == "all_embeddings")
    kept.CopyFrom(numpy_helper.from_array(np.zeros_like(EMBEDDINGS), kept.name))
    onnx.save(model, path)
    return path


def _graph() -> onnx.GraphProto:
    constants: dict[str, Any] = {
        "colours": np.array(list(PEOPLE.values()), np.float32).reshape(3, 1, 1, 3),
        "near": np.array(NEAR, np.float32),
        "far_off": np.array(1e6, np.float32),
        "minus_one": np.array(-1, np.float32),
        "one": np.array(1, np.float32),
        "zero": np.array(0, np.float32),
        "zeros": np.array([0], np.int64),
        "ones": np.array([1], np.int64),
        "twos": np.array([2], np.int64),
        "threes": np.array([3], np.int64),
        "fours": np.array([4], np.int64),
        "flat": np.array([-1], np.int64),
        "all_scores": SCORES,
        "all_embeddings": EMBEDDINGS,
        "five": FIVE[None],
        "corner_shape": np.array([-1, 1, 2], np.int64),
        "i0": np.array(0, np.int64),
        "i1": np.array(1, np.int64),
    }
    node = helper.make_node
    nodes = [
        node("Cast", ["image"], ["values"], to=TensorProto.FLOAT),
        node("Unsqueeze", ["values", "ones"], ["pixels"]),
        node("Sub", ["pixels", "colours"], ["difference"]),  # (B, 3, H, W, 3)
        node("Abs", ["difference"], ["distance"]),
        node("ReduceMax", ["distance", "fours"], ["worst"], keepdims=0),
        node("LessOrEqual", ["worst", "near"], ["mask"]),  # (B, 3, H, W)
        node("Cast", ["mask"], ["hit"], to=TensorProto.FLOAT),
        node("ReduceMax", ["hit", "twos"], ["columns_of_each"], keepdims=0),  # (B, 3, W)
        node("ReduceMax", ["hit", "threes"], ["rows_of_each"], keepdims=0),  # (B, 3, H)
        node("Flatten", ["columns_of_each"], ["columns"], axis=2),  # (B * 3, W)
        node("Flatten", ["rows_of_each"], ["rows"], axis=2),
        *_extent("columns", "x"),
        *_extent("rows", "y"),
        node("Concat", ["x_first", "y_first", "x_end", "y_end"], ["all_boxes"], axis=1),
        node("ReduceMax", ["columns_of_each", "twos"], ["present"], keepdims=0),  # (B, 3)
        # The IoU threshold has nothing to do, but is an input like the others.
        node("Mul", ["iou_threshold", "zero"], ["nothing"]),
        node("Add", ["score_threshold", "nothing"], ["least"]),
        node("GreaterOrEqual", ["all_scores", "least"], ["certain"]),
        node("Greater", ["present", "zero"], ["there"]),
        node("And", ["there", "certain"], ["found"]),
        node("Cast", ["found"], ["one_each"], to=TensorProto.INT64),
        node("CumSum", ["one_each", "i1"], ["so_far"]),
        node("LessOrEqual", ["so_far", "max_faces"], ["wanted"]),
        node("And", ["found", "wanted"], ["kept"]),
        node("NonZero", ["kept"], ["where"]),  # (2, N): picture and person
        node("Gather", ["where", "i0"], ["images"]),
        node("Gather", ["where", "i1"], ["people"]),
        node("Gather", ["all_scores", "people"], ["scores"]),
        node("Gather", ["all_embeddings", "people"], ["embeddings"]),
        node("Reshape", ["kept", "flat"], ["kept_rows"]),
        node("Compress", ["all_boxes", "kept_rows"], ["boxes"], axis=0),
        node("Slice", ["boxes", "zeros", "twos", "ones"], ["low"]),
        node("Slice", ["boxes", "twos", "fours", "ones"], ["high"]),
        node("Sub", ["high", "low"], ["extent"]),
        node("Reshape", ["low", "corner_shape"], ["low3"]),
        node("Reshape", ["extent", "corner_shape"], ["extent3"]),
        node("Mul", ["extent3", "five"], ["inside"]),
        node("Add", ["low3", "inside"], ["landmarks"]),
    ]
    scalars = {
        "score_threshold": np.array(0.5, np.float32),
        "iou_threshold": np.array(0.4, np.float32),
        "max_faces": np.array(200, np.int64),
    }
    info, initial = helper.make_tensor_value_info, numpy_helper.from_array
    inputs = [info("image", TensorProto.UINT8, ["B", "H", "W", 3])]
    inputs += [info(k, helper.np_dtype_to_tensor_dtype(v.dtype), []) for k, v in scalars.items()]
    shapes = {"boxes": [4], "scores": [], "landmarks": [5, 2], "embeddings": [1000]}
    outputs = [info(k, TensorProto.FLOAT, ["N", *shape]) for k, shape in shapes.items()]
    outputs.append(info("images", TensorProto.INT64, ["N"]))
    tensors = [initial(v, k) for k, v in (constants | scalars).items()]
    return helper.make_graph(nodes, "fake", inputs, outputs, tensors)


def _extent(hits: str, axis: str) -> list[onnx.NodeProto]:
    """First and last + 1 position of the ones in (3, L), each (3, 1)."""
    node = helper.make_node
    return [
        node("Shape", [hits], [f"{axis}_shape"]),
        node("Gather", [f"{axis}_shape", "i1"], [f"{axis}_length"]),
        node("Range", ["i0", f"{axis}_length", "i1"], [f"{axis}_whole"]),
        node("Cast", [f"{axis}_whole"], [f"{axis}_at"], to=TensorProto.FLOAT),
        node("Cast", [hits], [f"{axis}_hit"], to=TensorProto.BOOL),
        node("Where", [f"{axis}_hit", f"{axis}_at", "far_off"], [f"{axis}_or_far"]),
        node("ReduceMin", [f"{axis}_or_far", "ones"], [f"{axis}_first"], keepdims=1),
        node("Where", [f"{axis}_hit", f"{axis}_at", "minus_one"], [f"{axis}_or_none"]),
        node("ReduceMax", [f"{axis}_or_none", "ones"], [f"{axis}_last"], keepdims=1),
        node("Add", [f"{axis}_last", "one"], [f"{axis}_end"]),
    ]
