"""ONNX models written by hand, field by field of onnx.proto3, with their weights where a test wants them."""

import struct
from collections.abc import Mapping, Sequence

import numpy as np

FLOAT, INT64, FLOAT16, BFLOAT16, INT4 = 1, 7, 10, 16, 22
EXTERNAL = 1


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def field(number: int, value: int | str | bytes) -> bytes:
    """One protobuf field: a number, or anything that has bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def tensor(name: str, dims: Sequence[int], raw: bytes = b"", *, kind: int = FLOAT) -> bytes:
    """A tensor that has its data with it."""
    return b"".join(field(1, one) for one in dims) + field(2, kind) + field(8, name) + (field(9, raw) if raw else b"")


def external(name: str, dims: Sequence[int], entries: Mapping[str, object], *, kind: int = FLOAT) -> bytes:
    """A tensor that has its data in another file."""
    pairs = b"".join(field(13, field(1, key) + field(2, str(value))) for key, value in entries.items())
    return tensor(name, dims, kind=kind) + pairs + field(14, EXTERNAL)


def node(op: str, inputs: Sequence[str], outputs: Sequence[str], *attributes: bytes) -> bytes:
    names = b"".join(field(1, one) for one in inputs) + b"".join(field(2, one) for one in outputs)
    return names + field(4, op) + b"".join(field(5, one) for one in attributes)


def value(name: str, dims: Sequence[int], kind: int = FLOAT) -> bytes:
    """What goes in or comes out; a dimension of 0 may have any size."""
    shape = b"".join(field(1, field(1, one) if one else b"") for one in dims)
    return field(1, name) + field(2, field(1, field(1, kind) + field(2, shape)))


def graph(nodes: Sequence[bytes], weights: Sequence[bytes], inputs: Sequence[bytes], outputs: Sequence[bytes]) -> bytes:
    parts = ((1, nodes), (5, weights), (11, inputs), (12, outputs))
    return field(2, "g") + b"".join(field(number, one) for number, several in parts for one in several)


def model(graph_: bytes, *more: bytes) -> bytes:
    return field(1, 10) + field(7, graph_) + field(8, field(1, b"") + field(2, 21)) + b"".join(more)


def chain(weights: Sequence[bytes], width: int) -> bytes:
    """Square matrices in a row: y = x · w0 · w1 · …."""
    names = ["x", *(f"h{index}" for index in range(1, len(weights))), "y"]
    nodes = [node("MatMul", [names[index], f"w{index}"], [names[index + 1]]) for index in range(len(weights))]
    return model(graph(nodes, weights, [value("x", [0, width])], [value("y", [0, width])]))


def nested(times: int, graph_: bytes) -> bytes:
    """A graph in a node of a graph, over and over: of each level only what stands before the next one."""
    before, size = [graph_], len(graph_)
    for _ in range(times):
        for number in (6, 5, 1):  # the body of an attribute, of a node, of a graph
            before.append(varint(number << 3 | 2) + varint(size))
            size += len(before[-1])
    return b"".join(reversed(before))


def matrix(seed: int, *dims: int) -> np.ndarray:
    """Random weights of a size that keeps products near one; the same each time."""
    return (np.random.default_rng(seed).standard_normal(dims) / np.sqrt(dims[0])).astype(np.float32)


def adding(weights: Sequence[float]) -> bytes:
    """A tiny model: y = x + w."""
    size = len(weights)
    w = tensor("w", [size], struct.pack(f"<{size}f", *weights))
    return model(graph([node("Add", ["x", "w"], ["y"])], [w], [value("x", [size])], [value("y", [size])]))
