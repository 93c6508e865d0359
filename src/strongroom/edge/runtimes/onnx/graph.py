"""A graph without paths: what it keeps in other files is put into it, or taken out to be lent.

onnxruntime resolves a path in a graph against the working directory. So no path is left when it sees the graph: data
of large weights goes to it as memory, all other data into the message. Nothing of the graph is copied here: the result
is a row of views, and of the few new bytes between them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from strongroom.edge.runtimes.onnx import tensors
from strongroom.edge.runtimes.onnx.protobuf import BYTES, MAX_DEPTH, VARINT, fields, header, no_graph, require, varint
from strongroom.edge.runtimes.onnx.tensors import DATA_LOCATION, EXTERNAL_DATA, RAW_DATA, TYPES

SHARED_FROM = 65_536  # bytes: onnxruntime's optimiser reads what is small, such as shapes, scales and biases
SPARE = 16 * 2**20  # bytes that may be put into a graph beyond the size of all files: ranges may overlap, a little
NOWHERE = b"."  # where shared data is said to lie: a directory, so nobody can plant a file that would be read instead

_TENSOR, _INITIALIZER = "tensor", "initializer"
_CHILDREN: dict[str, dict[int, str]] = {  # onnx.proto3: every way from the model down to a tensor
    "model": {7: "main", 20: "training", 25: "function"},
    "main": {1: "node", 5: _INITIALIZER, 15: "sparse"},
    "graph": {1: "node", 5: _TENSOR, 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: _TENSOR, 6: "graph", 10: _TENSOR, 11: "graph", 22: "sparse", 23: "sparse"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "sparse": {1: _TENSOR, 2: _TENSOR},
}
_ONCE = {"attribute": (5, 22), "sparse": (1, 2)}  # protobuf joins two of these: dimensions of one, data of the other
_LOCATION = re.compile(b"location")  # the key without which nothing is external

Piece = bytes | memoryview


@dataclass(frozen=True, slots=True)
class Shared:
    """A weight that is lent to onnxruntime where it lies."""

    name: str
    dims: tuple[int, ...]
    type: int
    data: memoryview = field(repr=False)


@dataclass(frozen=True, slots=True)
class Detached:
    """A graph in pieces, to be joined in wiped memory, and the weights it no longer holds."""

    pieces: tuple[Piece, ...] = field(repr=False)
    shared: tuple[Shared, ...]


def detach(path: str, files: Mapping[str, memoryview]) -> Detached:
    """Take every path out of a graph.

    Args:
        path: the graph, one of the files.
        files: path inside the model → its bytes.

    Raises:
        InputError: RUNTIME, if it is no graph, or wants data that is not all inside these files.
    """
    view = files[path]
    if not _LOCATION.search(view):
        return Detached((view,), ())
    work = _Detaching(path, files)
    if work.rewrite(view, "model", 0) is None:
        return Detached((view,), ())
    return Detached(tuple(work.pieces), tuple(work.shared.values()))


class _Detaching:
    """Walks a graph once, in time and memory that grow with its length and not with its depth."""

    def __init__(self, path: str, files: Mapping[str, memoryview]) -> None:
        self._path = path
        self._files = files
        self._room = sum(map(len, files.values())) + SPARE
        self.pieces: list[Piece] = []
        self.shared: dict[str, Shared] = {}

    def rewrite(self, view: memoryview, kind: str, depth: int) -> int | None:
        """Append a message without paths, and return its length; or append nothing and return None if it has none."""
        if depth > MAX_DEPTH:
            raise no_graph(f"more than {MAX_DEPTH} messages within one another")
        if kind in {_TENSOR, _INITIALIZER}:
            return self._tensor(view, may_share=kind == _INITIALIZER)
        size = done = 0
        children, once = _CHILDREN[kind], list(_ONCE.get(kind, ()))
        for one in fields(view):
            child = children.get(one.number)
            if child is None:
                continue
            require(one, BYTES)
            if one.number in _ONCE.get(kind, ()):
                if one.number not in once:
                    raise no_graph("a tensor in two pieces")
                once.remove(one.number)
            mark = len(self.pieces)
            self.pieces += (b"", b"")  # what stands before it, once its new length is known
            inner = self.rewrite(view[one.at : one.end], child, depth + 1)
            if inner is None:
                del self.pieces[mark:]
                continue
            before, head = view[done : one.start], header(one.number, inner)
            self.pieces[mark : mark + 2] = (before, head)
            size += len(before) + len(head) + inner
            done = one.end
        return size + self._append(view[done:]) if done else None

    def _append(self, *pieces: Piece) -> int:
        self.pieces += pieces
        return sum(map(len, pieces))

    def _tensor(self, view: memoryview, *, may_share: bool) -> int | None:
        tensor = tensors.read_tensor(view, self._path, self._files)
        if tensor.data is None:
            return self._append(*_without(view, {EXTERNAL_DATA})) if tensor.strays else None
        size = self._append(*_without(view, {EXTERNAL_DATA, DATA_LOCATION, RAW_DATA}))
        if may_share and _shareable(tensor.type, tensor.data):
            if tensor.name in self.shared:
                raise tensors.refused(tensor.name, "is in the graph twice")
            self.shared[tensor.name] = Shared(tensor.name, tensor.dims, tensor.type, tensor.data)
            return size + self._append(_lent(len(tensor.data)))
        self._room -= len(tensor.data)
        if self._room < 0:
            raise tensors.refused(tensor.name, "would make the graph larger than all files of the model together")
        return size + self._append(header(RAW_DATA, len(tensor.data)), tensor.data)


def _lent(length: int) -> bytes:
    """Return the fields that send onnxruntime to the memory it was lent, and to no file."""
    entries = ((b"location", NOWHERE), (b"length", b"%d" % length))
    pairs = (header(1, len(key)) + key + header(2, len(value)) + value for key, value in entries)
    said = b"".join(header(EXTERNAL_DATA, len(pair)) + pair for pair in pairs)
    return said + varint(DATA_LOCATION << 3 | VARINT) + b"\1"


def _without(view: memoryview, numbers: set[int]) -> list[Piece]:
    """Return a message in views that leave some fields out; few, since `read_tensor` counts those fields."""
    kept: list[Piece] = []
    done = 0
    for one in fields(view):
        if one.number in numbers:
            if one.start > done:
                kept.append(view[done : one.start])
            done = one.end
    if len(view) > done:
        kept.append(view[done:])
    return kept


def _shareable(type_: int, data: memoryview) -> bool:
    kind = TYPES[type_].numpy
    if len(data) < SHARED_FROM or kind is None:
        return False
    return bool(np.frombuffer(data, dtype=kind).flags.aligned)  # compiled code may crash on what is not
