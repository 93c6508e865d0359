"""Tensors whose data lies beside the graph ("external data"): where, how long, of which type. All of it is checked.

Where a graph and its files come from someone hostile, this is what keeps reads inside the sealed files: a location is
a path of the table of contents and nothing else, and no file on disk is ever looked for.
"""

import math
import posixpath
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from strongroom.edge.runtimes.onnx.protobuf import BYTES, VARINT, Field, fields, no_graph, numbers, require
from strongroom.errors import Code, InputError
from strongroom.sealed.paths import broken_path_rule

DIMS, DATA_TYPE, NAME, RAW_DATA, EXTERNAL_DATA, DATA_LOCATION = 1, 2, 8, 9, 13, 14  # fields of TensorProto
_EMBEDDED = {4, 5, 6, 7, RAW_DATA, 10, 11}  # the fields that hold data in the graph itself
_EXTERNAL = 1  # TensorProto.DataLocation
MAX_RANK = 32  # dimensions; onnxruntime has kernels for far fewer, and older NumPy has no more
MAX_ENTRIES = 16  # of external data; ONNX has five
MAX_ENTRY = 4096  # bytes of a key or a value; a path of the model has at most 1,024
_ADDRESSED = 1 << 63  # bytes: no tensor of so many can be anywhere
_NUMBER = re.compile(r"[0-9]{1,19}\Z")


class ElementType(NamedTuple):
    """A type of ONNX: its name, its size, and the NumPy type in whose arrays onnxruntime takes it, if there is one."""

    name: str
    bits: int
    numpy: str | None
    native: bool = True  # whether NumPy knows the type itself, and not only its size


TYPES = {  # TensorProto.DataType; strings (8) cannot be external
    1: ElementType("float", 32, "<f4"),
    2: ElementType("uint8", 8, "|u1"),
    3: ElementType("int8", 8, "|i1"),
    4: ElementType("uint16", 16, "<u2"),
    5: ElementType("int16", 16, "<i2"),
    6: ElementType("int32", 32, "<i4"),
    7: ElementType("int64", 64, "<i8"),
    9: ElementType("bool", 8, None),  # a byte that is neither 0 nor 1 must not become a C++ bool
    10: ElementType("float16", 16, "<f2"),
    11: ElementType("double", 64, "<f8"),
    12: ElementType("uint32", 32, "<u4"),
    13: ElementType("uint64", 64, "<u8"),
    14: ElementType("complex64", 64, None),
    15: ElementType("complex128", 128, None),
    16: ElementType("bfloat16", 16, "<u2", native=False),
    17: ElementType("float8e4m3fn", 8, "|u1", native=False),
    18: ElementType("float8e4m3fnuz", 8, "|u1", native=False),
    19: ElementType("float8e5m2", 8, "|u1", native=False),
    20: ElementType("float8e5m2fnuz", 8, "|u1", native=False),
    21: ElementType("uint4", 4, None),
    22: ElementType("int4", 4, None),
    23: ElementType("float4e2m1", 4, None),
    24: ElementType("float8e8m0", 8, None),
    25: ElementType("uint2", 2, None),
    26: ElementType("int2", 2, None),
}


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of the graph, and its data if that lies in another file."""

    name: str
    dims: tuple[int, ...]
    type: int
    strays: int  # how many entries of external data it has
    data: memoryview | None = field(repr=False)  # None: its data is in the graph


@dataclass(slots=True)
class _Said:
    """What the fields of a tensor have said so far; of what may stand once, the last counts, as in protobuf."""

    dims: list[int] = field(default_factory=list)
    type: int = 0
    name: Field | None = None
    place: int = 0
    entries: list[Field] = field(default_factory=list)
    times: dict[int, int] = field(default_factory=lambda: {DATA_LOCATION: 0, RAW_DATA: 0})
    embedded: bool = False


def read_tensor(view: memoryview, graph: str, files: Mapping[str, memoryview]) -> Tensor:
    """Read a TensorProto, and find its data. What it takes in memory does not grow with its fields.

    Args:
        view: the message.
        graph: the path of the graph; locations are relative to its directory.
        files: path inside the model → its bytes.

    Raises:
        InputError: RUNTIME, if it is none, or its data is not all inside one of the files.
    """
    said = _Said()
    for one in fields(view):
        _hear(said, view, one)
    if said.place != _EXTERNAL:
        return Tensor("", (), said.type, len(said.entries), None)
    name = _text(view, said.name) if said.name else ""
    if said.embedded:
        raise refused(name, "has data in the graph and outside of it")
    if max(said.times.values()) > 1:
        raise refused(name, "says twice where its data is")
    if len(said.dims) > MAX_RANK:
        raise refused(name, f"has more than {MAX_RANK} dimensions")
    entries = _entries(view, said.entries, name)
    data = _find(entries, name, _size_of(name, said.dims, said.type), graph, files)
    return Tensor(name, tuple(said.dims), said.type, len(said.entries), data)


def _hear(said: _Said, view: memoryview, one: Field) -> None:
    if one.number == DIMS:
        left = MAX_RANK + 1 - len(said.dims)  # one too many is enough to know
        said.dims += islice(numbers(view, one), left)
    elif one.number == DATA_TYPE:
        require(one, VARINT)
        said.type = one.value
    elif one.number == NAME:
        require(one, BYTES)
        said.name = one
    elif one.number == DATA_LOCATION:
        require(one, VARINT)
        if one.value > _EXTERNAL:  # a reader that cuts it to 32 bits may see EXTERNAL
            raise no_graph("a tensor at a place unknown to ONNX")
        said.place = one.value
    elif one.number == EXTERNAL_DATA:
        if len(said.entries) == MAX_ENTRIES:
            raise no_graph(f"a tensor with more than {MAX_ENTRIES} entries of external data")
        said.entries.append(one)
    if one.number in said.times:
        said.times[one.number] += 1
    if one.number in _EMBEDDED and one.end > one.at:
        said.embedded = True


def refused(name: str, what: str) -> InputError:
    """Return the error for a tensor that cannot be opened."""
    step = "publish the model's whole directory as it was exported"
    return InputError(Code.RUNTIME, f"tensor {name[:80]!a} {what}", next_step=step)


def _size_of(name: str, dims: Sequence[int], type_: int) -> int:
    if type_ not in TYPES:
        raise refused(name, f"has external data of type {type_}, which strongroom does not know")
    if any(dim >= 1 << 63 for dim in dims):
        raise refused(name, "has a negative dimension")
    size = -(-math.prod(dims) * TYPES[type_].bits // 8)  # of at most MAX_RANK numbers
    if size >= _ADDRESSED:
        raise refused(name, "has a shape of more bytes than there can be")
    return size


def _entries(view: memoryview, given: Sequence[Field], name: str) -> dict[str, str]:
    entries: dict[str, str] = {}
    for entry in given:
        require(entry, BYTES)
        pair = {1: "", 2: ""}
        inner = view[entry.at : entry.end]
        for one in fields(inner):
            if one.number in pair:
                require(one, BYTES)
                if one.end - one.at > MAX_ENTRY:  # before it is decoded and normalised
                    raise refused(name, f"has an entry of external data of {one.end - one.at} bytes")
                pair[one.number] = _text(inner, one)
        if pair[1] in entries:
            raise refused(name, f"says {pair[1][:40]!a} of its external data twice")
        entries[pair[1]] = pair[2]
    return entries


def _find(entries: Mapping[str, str], name: str, size: int, graph: str, files: Mapping[str, memoryview]) -> memoryview:
    location = unicodedata.normalize("NFC", entries.get("location", ""))
    rule = broken_path_rule(location)
    if rule:
        raise refused(name, f"has its data at {location[:80]!a}, which is no path inside the model: {rule}")
    path = posixpath.join(posixpath.dirname(graph), location)
    if path not in files:
        raise refused(name, f"has its data in {path[:200]!a}, which the model does not have")
    offset = _number(entries.get("offset", "0"), name)
    length = _number(entries["length"], name) if "length" in entries else size
    if length != size:
        raise refused(name, f"has {length} bytes of data; its type and shape take {size}")
    if offset + size > len(files[path]):
        end = f"to end at byte {offset + size} of {path[:200]!a}"
        raise refused(name, f"has its data {end}, which has {len(files[path])} bytes")
    return files[path][offset : offset + size]


def _number(text: str, name: str) -> int:
    if not _NUMBER.match(text):
        raise refused(name, f"has external data at {text[:40]!a}, which is no number of bytes")
    return int(text)


def _text(view: memoryview, one: Field) -> str:
    try:
        return str(view[one.at : one.end], "utf-8")
    except UnicodeDecodeError:
        raise no_graph("a name that is not UTF-8") from None
