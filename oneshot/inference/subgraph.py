"""An ONNX file without what leads to the outputs that are not wanted.

ONNX Runtime executes every node of a graph, whichever outputs are asked for: its usual builds do not heed
`RunOptions.only_execute_path_to_fetches` (1.31, seen in a profile). The onnx package could cut a graph, but a
machine that only runs one does without it. So the few fields that matter are read from the file's protobuf
here, and everything else is copied as it is.
"""

from collections.abc import Collection, Iterator
from typing import NamedTuple

GRAPH = 7
"""The field's number in onnx.proto's ModelProto; below those of GraphProto, NodeProto and ValueInfoProto."""
NODE, GRAPH_OUTPUT = 1, 12
NODE_INPUT, NODE_OUTPUT = 1, 2
VALUE_NAME = 1


class Field(NamedTuple):
    """One field of a message: its number, the bytes of its value, and the whole field as it was read."""

    number: int
    value: bytes
    whole: bytes


def only(model: bytes, outputs: Collection[str]) -> bytes:
    """A model that gives these outputs and does nothing else; `model` is a valid one without subgraphs.

    Weights that are no longer read stay in the bytes; ONNX Runtime lets go of them when it loads the model.
    """
    parts = (
        _message(GRAPH, _cut(f.value, outputs)) if f.number == GRAPH else f.whole for f in _fields(model)
    )
    return b"".join(parts)


def _cut(graph: bytes, outputs: Collection[str]) -> bytes:
    read = {name.encode() for name in outputs}
    kept = []
    # ONNX lists nodes after those that they read from: backwards, one look at each is enough.
    for field in reversed(list(_fields(graph))):
        if field.number == NODE:
            if read.isdisjoint(_strings(field.value, NODE_OUTPUT)):
                continue
            read.update(_strings(field.value, NODE_INPUT))
        elif field.number == GRAPH_OUTPUT and _strings(field.value, VALUE_NAME)[0].decode() not in outputs:
            continue
        kept.append(field.whole)
    return b"".join(reversed(kept))


def _strings(message: bytes, number: int) -> list[bytes]:
    # What is left out of a node's inputs or outputs is listed as "".
    return [field.value for field in _fields(message) if field.number == number and field.value]


def _fields(message: bytes) -> Iterator[Field]:
    """The fields in order, by protobuf's wire format: a key, then a value as long as the key's kind tells."""
    at = 0
    while at < len(message):
        start = at
        key, at = _number(message, at)
        kind = key & 7
        if kind == 0:
            end = _number(message, at)[1]
        elif kind == 2:
            length, at = _number(message, at)
            end = at + length
        else:
            end = at + {1: 8, 5: 4}[kind]
        yield Field(key >> 3, message[at:end], message[start:end])
        at = end


def _number(message: bytes, at: int) -> tuple[int, int]:
    """The number that is written there, seven bits a byte, lowest first; and where it ends."""
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def _message(number: int, value: bytes) -> bytes:
    return _written(number << 3 | 2) + _written(len(value)) + value


def _written(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes((*out, value))
