"""Protobuf's wire format, as much of it as finding tensors in an ONNX graph takes. Strict: what is odd is refused.

The parser that reads the result is onnxruntime's. Where it would read something else than this one, such as a number
cut to 32 bits, this one stops.
"""

from collections.abc import Iterator
from typing import NamedTuple

from strongroom.errors import Code, InputError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types; groups (3 and 4) are not in ONNX
MAX_DEPTH = 100  # messages within messages; protobuf's own limit
_FIXED = {FIXED64: 8, FIXED32: 4}


class Field(NamedTuple):
    """One field of a message. `value` is a VARINT's number; of others, the bytes are `view[at:end]`."""

    number: int
    wire: int
    start: int  # where its tag begins
    at: int
    end: int
    value: int


def fields(view: memoryview) -> Iterator[Field]:
    """Walk the fields of a message, one after the other, without looking into them or keeping any.

    Raises:
        InputError: RUNTIME, if this is no message.
    """
    position, size = 0, len(view)
    while position < size:
        start = position
        tag, position = _varint(view, position, size)
        number, wire = tag >> 3, tag & 7
        if not number or tag >= 1 << 32:
            raise no_graph("a field without a number")
        at, value = position, 0
        if wire == VARINT:
            value, position = _varint(view, position, size)
        elif wire == BYTES:
            length, at = _varint(view, position, size)
            position = at + length
        elif wire in _FIXED:
            position += _FIXED[wire]
        else:
            raise no_graph(f"a field of wire type {wire}")
        if position > size:
            raise no_graph("a field that ends after its message")
        yield Field(number, wire, start, at, position, value)


def numbers(view: memoryview, field: Field) -> Iterator[int]:
    """Walk a repeated number: one of them, or many packed together.

    Raises:
        InputError: RUNTIME.
    """
    if field.wire == VARINT:
        yield field.value
        return
    require(field, BYTES)
    position = field.at
    while position < field.end:
        value, position = _varint(view, position, field.end)
        yield value


def require(field: Field, wire: int) -> None:
    """Refuse a field of another wire type than its number has. Raises InputError(RUNTIME)."""
    if field.wire != wire:
        raise no_graph(f"field {field.number} has wire type {field.wire}")


def varint(value: int) -> bytes:
    """Encode a number from 0."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def header(number: int, length: int) -> bytes:
    """Encode what stands before a field of so many bytes."""
    return varint(number << 3 | BYTES) + varint(length)


def no_graph(what: str) -> InputError:
    """Return the error for bytes that are no ONNX graph."""
    step = "check the file with onnx.checker, and publish it again"
    return InputError(Code.RUNTIME, f"this is no ONNX graph: it has {what}", next_step=step)


def _varint(view: memoryview, position: int, end: int) -> tuple[int, int]:
    if position < end and view[position] < 128:  # nearly all of them
        return view[position], position + 1
    value = shift = 0
    while True:
        if position >= end:
            raise no_graph("a number that is cut off")
        byte = view[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            break
        shift += 7
        if shift > 63:  # stop here: a row of such bytes as long as the file would take very long
            raise no_graph("a number of more than 64 bits")
    if value >= 1 << 64:
        raise no_graph("a number of more than 64 bits")
    return value, position
