"""Exact rewrites of an ONNX graph: the same numbers, faster."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HALF_ERROR = 1e-3
"""Relative error (of the Euclidean norm) up to which a tensor is stored as fp16."""


def split_concats(model: onnx.ModelProto) -> int:
    """Spare the copies of fire modules: a 1x1 convolution of joined halves is the sum of the halves' own.

    Concat, Conv becomes Conv, Conv, Add, which ONNX Runtime fuses into the second convolution; max-pools in
    between are done to the halves. A Concat all of whose readers were rewritten is dropped.

    Returns:
        The number of Concats dropped.
    """
    graph = model.graph
    weights = {t.name: t for t in graph.initializer}
    parts: dict[str, list[str]] = {}
    width: dict[str, int] = {}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.op_type == "Conv" and node.input[1] in weights:
            width[node.output[0]] = weights[node.input[1]].dims[0]
        if node.op_type in ("MaxPool", "Relu") and node.input[0] in width:
            width[node.output[0]] = width[node.input[0]]
        joined = parts.get(node.input[0]) if node.input else None
        if node.op_type == "Concat" and _axis(node) == 1 and all(name in width for name in node.input):
            parts[node.output[0]] = list(node.input)
            width[node.output[0]] = sum(width[name] for name in node.input)
        elif node.op_type == "MaxPool" and joined:
            pieces = [f"{node.output[0]}_part{i}" for i in range(len(joined))]
            for piece, name in zip(pieces, joined, strict=True):
                copy = onnx.NodeProto()
                copy.CopyFrom(node)
                copy.input[0], copy.output[0], copy.name = name, piece, piece
                nodes.append(copy)
                width[piece] = width[name]
            parts[node.output[0]] = pieces
            nodes.append(helper.make_node("Concat", pieces, [node.output[0]], name=node.name, axis=1))
            continue
        elif node.op_type == "Conv" and joined and _is_pointwise(node, weights):
            nodes += _summed(node, joined, width, graph, weights)
            continue
        nodes.append(node)
    kept, dropped = _without_unread(nodes, {o.name for o in graph.output})
    del graph.node[:]
    graph.node.extend(kept)
    used = {name for node in graph.node for name in node.input}
    for tensor in [t for t in graph.initializer if t.name not in used and t.name not in _names(graph.input)]:
        graph.initializer.remove(tensor)
    return dropped


def _axis(node: onnx.NodeProto) -> int:
    return next(int(a.i) for a in node.attribute if a.name == "axis")


def _is_pointwise(node: onnx.NodeProto, weights: dict[str, onnx.TensorProto]) -> bool:
    groups = next((a.i for a in node.attribute if a.name == "group"), 1)
    weight = weights.get(node.input[1])
    return weight is not None and groups == 1 and list(weight.dims[2:]) == [1, 1]


def _summed(
    node: onnx.NodeProto,
    joined: list[str],
    width: dict[str, int],
    graph: onnx.GraphProto,
    weights: dict[str, onnx.TensorProto],
) -> list[onnx.NodeProto]:
    weight = numpy_helper.to_array(weights[node.input[1]])
    out: list[onnx.NodeProto] = []
    start, total = 0, ""
    for i, name in enumerate(joined):
        piece = f"{node.output[0]}_of{i}"
        # The module's name stays at the beginning: oneshot/convert/quantize.py chooses layers by it.
        own = f"{node.input[1]}_{piece}"
        tensor = numpy_helper.from_array(weight[:, start : start + width[name]].copy(), own)
        graph.initializer.append(tensor)
        start += width[name]
        conv = onnx.NodeProto()
        conv.CopyFrom(node)
        bias = node.input[2:] if i == 0 else []
        del conv.input[:]
        conv.input.extend([name, tensor.name, *bias])
        conv.output[0] = conv.name = piece
        out.append(conv)
        if i:
            last = i == len(joined) - 1
            sum_name = node.output[0] if last else f"{node.output[0]}_to{i}"
            out.append(helper.make_node("Add", [total, piece], [sum_name], name=f"{sum_name}_add"))
            total = sum_name
        else:
            total = piece
    return out


def _without_unread(nodes: list[onnx.NodeProto], outputs: set[str]) -> tuple[list[onnx.NodeProto], int]:
    dropped = 0
    while True:
        read = outputs | {name for node in nodes for name in node.input}
        kept = [n for n in nodes if n.op_type != "Concat" or n.output[0] in read]
        if len(kept) == len(nodes):
            return kept, dropped
        dropped, nodes = dropped + len(nodes) - len(kept), kept


def _names(values: list[onnx.ValueInfoProto]) -> set[str]:
    return {v.name for v in values}


def store_half(model: onnx.ModelProto, smallest: int = 256, keep: tuple[str, ...] = ()) -> None:
    """Keep large float32 initializers as fp16, each followed by one Cast, which runtimes fold at load.

    What fp16 cannot hold to a thousandth (beyond 65,504, or all below 1e-4) stays float32, and so does what
    has a name that ends in one of `keep`.
    """
    casts = []
    for tensor in model.graph.initializer:
        name = tensor.name
        large = tensor.data_type == TensorProto.FLOAT and np.prod(tensor.dims) >= smallest
        if large and not name.endswith(keep):
            exact = numpy_helper.to_array(tensor)
            with np.errstate(over="ignore"):
                values = exact.astype(np.float16)
            if not np.linalg.norm(values - exact) <= HALF_ERROR * np.linalg.norm(exact):
                continue
            tensor.CopyFrom(numpy_helper.from_array(values, name + "_half"))
            casts.append(helper.make_node("Cast", [name + "_half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def strip_traces(model: onnx.ModelProto) -> None:
    """Drop what the exporter leaves in every node (stack traces: 0.7 MB that a phone need not carry)."""
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
