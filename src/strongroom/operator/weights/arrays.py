"""Weights in safetensors, .npy and .npz files."""

import ast
import io
import json
import math
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from strongroom.operator.weights.runs import (
    FLOAT8,
    FLOAT16,
    FLOAT32,
    FLOAT64,
    INT8,
    UINT8,
    Kind,
    Run,
    broken,
)

_SAFETENSORS = {
    "F64": FLOAT64,
    "F32": FLOAT32,
    "F16": FLOAT16,
    "BF16": FLOAT16,
    "F8_E4M3": FLOAT8,
    "F8_E5M2": FLOAT8,
    "I8": INT8,
    "U8": UINT8,
}
_NUMPY = {"<f8": FLOAT64, "<f4": FLOAT32, "<f2": FLOAT16, "|i1": INT8, "|u1": UINT8}
_MAGIC = b"\x93NUMPY"
_MAX_HEADER = 100_000_000  # bytes; what safetensors itself takes
_DESCRIPTOR = 8  # flag of a zip member whose checksum stands behind its data


def safetensors(path: str, view: memoryview) -> list[Run]:
    """Find the tensors of a safetensors file, in the order of their bytes. Raises InputError(ARGUMENT)."""
    length = int.from_bytes(view[:8], "little")
    if len(view) < 8 or length > min(_MAX_HEADER, len(view) - 8):
        raise broken(path, "it is no safetensors file")
    try:
        tensors = json.loads(bytes(view[8 : 8 + length]))
        found = [
            (8 + length + int(one["data_offsets"][0]), math.prod(one["shape"]), _SAFETENSORS.get(one["dtype"]))
            for name, one in tensors.items()
            if name != "__metadata__"
        ]
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        raise broken(path, "its header is no safetensors header") from None
    return [_fitting(path, view, *one) for one in sorted(found, key=lambda one: one[0]) if one[2] is not None]


def npy(path: str, view: memoryview, at: int = 0) -> list[Run]:
    """Find the array of a .npy file that begins at byte `at`. Raises InputError(ARGUMENT)."""
    if bytes(view[at : at + 6]) != _MAGIC:
        raise broken(path, "it is no .npy file")
    width = 2 if view[at + 6] == 1 else 4
    begin = at + 8 + width
    end = begin + int.from_bytes(view[at + 8 : begin], "little")
    try:
        header = ast.literal_eval(bytes(view[begin:end]).decode("utf-8"))
        count, kind = math.prod(header["shape"]), _NUMPY.get(header["descr"])
    except (ValueError, SyntaxError, KeyError, TypeError, MemoryError, RecursionError):
        raise broken(path, "its header is no .npy header") from None
    return [] if kind is None else [_fitting(path, view, end, count, kind)]


@dataclass(frozen=True, slots=True)
class Member:
    """An array in an archive: the bytes of its file, and where its checksum stands, twice."""

    start: int
    end: int
    checksums: tuple[int, int]


def npz(path: str, view: memoryview) -> list[Run]:
    """Find the arrays of a .npz file. Raises InputError(ARGUMENT), also if it is compressed."""
    return [run for one in members(path, view) for run in npy(path, view[: one.end], one.start)]


def members(path: str, view: memoryview) -> Iterator[Member]:
    """Walk the arrays of a .npz file, in the order of its directory.

    Raises:
        InputError: ARGUMENT if it is none, or compressed: changed bytes would take another length.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(view)) as archive:
            listed, entry = archive.infolist(), archive.start_dir
    except zipfile.BadZipFile:
        raise broken(path, "it is no .npz file") from None
    for one in listed:
        size = 46 + sum(int.from_bytes(view[entry + at : entry + at + 2], "little") for at in (28, 30, 32))
        checksum, entry = entry + 16, entry + size
        if one.compress_type != zipfile.ZIP_STORED:
            raise broken(path, "it is compressed; save it with numpy.savez instead of savez_compressed")
        head = one.header_offset
        names = sum(int.from_bytes(view[head + at : head + at + 2], "little") for at in (26, 28))
        start = head + 30 + names
        end = start + one.file_size
        second = head + 14
        if one.flag_bits & _DESCRIPTOR:
            second = end + 4 if bytes(view[end : end + 4]) == b"PK\x07\x08" else end
        if one.filename.endswith(".npy"):
            yield Member(start, end, (checksum, second))


def reseal(path: str, view: memoryview) -> None:
    """Write the checksums of a .npz file anew after its arrays were changed where they lie."""
    for one in list(members(path, view)):
        checksum = zlib.crc32(view[one.start : one.end]).to_bytes(4, "little")
        for at in one.checksums:
            view[at : at + 4] = checksum


def _fitting(path: str, view: memoryview, offset: int, count: int, kind: Kind | None) -> Run:
    if kind is None or offset < 0 or count < 0 or offset + count * kind.width > len(view):
        raise broken(path, "a tensor does not lie inside it")
    return Run(path, offset, count, kind)
