"""Weights of an ONNX model: in the graph itself or in files beside it, found field by field (onnx.proto3).

The owner's own file is read here, on the owner's machine. What reads graphs of strangers is `edge.runtimes.onnx`, which
operators do not carry.
"""

import math
import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from strongroom.operator.weights.runs import FLOAT8, FLOAT16, FLOAT32, FLOAT64, INT8, UINT8, Run, broken

_KINDS = {1: FLOAT32, 2: UINT8, 3: INT8, 10: FLOAT16, 11: FLOAT64, 16: FLOAT16} | dict.fromkeys(range(17, 21), FLOAT8)
_CHILDREN = {  # every way from the model down to a tensor
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph"},
    "function": {7: "node", 11: "attribute"},
}
_DIMS, _TYPE, _EXTERNAL, _PLACE = 1, 2, 13, 14  # fields of TensorProto
_INSIDE = {4, 9, 10}  # those that hold numbers as they are: float_data, raw_data, double_data
_DEEPEST = 100  # messages within messages; protobuf's own limit
_FIXED = {1: 8, 5: 4}


class _Field(NamedTuple):
    number: int
    wire: int
    at: int
    end: int
    value: int


def graph(path: str, files: Mapping[str, memoryview]) -> list[Run]:
    """Find the tensors of a graph, wherever their numbers lie, in the order of the graph.

    Args:
        path: the graph, one of the files.
        files: path inside the model → its bytes.

    Raises:
        InputError: ARGUMENT, if it is no graph, or names data that is not there.
    """
    view = files[path]
    return list(_walk(path, files, view, 0, len(view), "model", 0))


def _walk(
    path: str, files: Mapping[str, memoryview], view: memoryview, at: int, end: int, what: str, depth: int
) -> Iterator[Run]:
    if depth > _DEEPEST:
        raise broken(path, "messages within messages without end")
    for one in _fields(path, view, at, end):
        child = _CHILDREN[what].get(one.number)
        if child is None or one.wire != 2:
            continue
        if child == "tensor":
            yield from _tensor(path, files, view, one)
        else:
            yield from _walk(path, files, view, one.at, one.end, child, depth + 1)


@dataclass(slots=True)
class _Said:
    """What the fields of a tensor say."""

    dims: list[int] = field(default_factory=list)
    type: int = 0
    inside: _Field | None = None
    entries: dict[str, str] = field(default_factory=dict)
    outside: bool = False


def _tensor(path: str, files: Mapping[str, memoryview], view: memoryview, tensor: _Field) -> Iterator[Run]:
    said = _Said()
    for one in _fields(path, view, tensor.at, tensor.end):
        _hear(said, path, view, one)
    kind = _KINDS.get(said.type)
    if kind is None:
        return
    where, offset, size = path, 0, 0
    if said.outside:
        where = posixpath.normpath(posixpath.join(posixpath.dirname(path), said.entries.get("location", "")))
        if where not in files:
            raise broken(path, f"its weights lie in {where[:200]!a}, which is not there")
        number = said.entries.get("offset", "")
        offset, size = int(number) if number.isdecimal() else 0, len(files[where])
    elif said.inside is not None:
        offset, size = said.inside.at, said.inside.end
    else:
        return
    run = Run(where, offset, math.prod(said.dims), kind)
    if run.end > size:
        raise broken(path, "a tensor is longer than its data")
    yield run


def _hear(said: _Said, path: str, view: memoryview, one: _Field) -> None:
    if one.number == _DIMS:
        said.dims += [one.value] if one.wire == 0 else _numbers(path, view, one)
    elif one.number == _TYPE:
        said.type = one.value
    elif one.number in _INSIDE and one.wire == 2 and one.end > one.at:
        said.inside = one
    elif one.number == _EXTERNAL:
        key, value = _entry(path, view, one)
        said.entries[key] = value
    elif one.number == _PLACE:
        said.outside = one.value == 1


def _entry(path: str, view: memoryview, entry: _Field) -> tuple[str, str]:
    pair = {1: "", 2: ""}
    for one in _fields(path, view, entry.at, entry.end):
        if one.number in pair:
            pair[one.number] = bytes(view[one.at : one.end]).decode("utf-8", "replace")
    return pair[1], pair[2]


def _numbers(path: str, view: memoryview, packed: _Field) -> Iterator[int]:
    at = packed.at
    while at < packed.end:
        value, at = _varint(path, view, at, packed.end)
        yield value


def _fields(path: str, view: memoryview, at: int, end: int) -> Iterator[_Field]:
    while at < end:
        tag, at = _varint(path, view, at, end)
        wire, begin, value = tag & 7, at, 0
        if wire == 0:
            value, at = _varint(path, view, at, end)
        elif wire == 2:
            length, begin = _varint(path, view, at, end)
            at = begin + length
        elif wire in _FIXED:
            at += _FIXED[wire]
        else:
            raise broken(path, "it is no ONNX graph")
        if at > end:
            raise broken(path, "it is no ONNX graph, or cut off")
        yield _Field(tag >> 3, wire, begin, at, value)


def _varint(path: str, view: memoryview, at: int, end: int) -> tuple[int, int]:
    value = 0
    for place in range(10):
        if at + place >= end:
            break
        byte = view[at + place]
        value |= (byte & 127) << 7 * place
        if byte < 128:
            return value, at + place + 1
    raise broken(path, "it is no ONNX graph, or cut off")
