"""Inputs and outputs of models as files: NumPy's own formats and JSON. Needs the extra `onnx`."""

import json
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from strongroom.errors import Code, InputError

MAX_JSON = 256 * 1024 * 1024  # bytes
_EXACT = 2.0**53  # beyond it a double does not hold every whole number

# ONNX names its tensor types so; what is not here has no plain NumPy type and must come as .npy or .npz
_TYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    "tensor(int8)": "int8",
    "tensor(int16)": "int16",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(uint8)": "uint8",
    "tensor(uint16)": "uint16",
    "tensor(uint32)": "uint32",
    "tensor(uint64)": "uint64",
    "tensor(bool)": "bool",
}

Arrays = dict[str, "np.ndarray[Any, Any]"]


def read_feeds(path: Path, wanted: Mapping[str, str]) -> Arrays:
    """Read a model's inputs.

    Args:
        path: a .npy, .npz or .json file.
        wanted: the model's inputs, name and ONNX type.

    Raises:
        InputError: ARGUMENT if the file is missing, not of its kind, or does not name the model's inputs.
    """
    readers = {".npy": _read_npy, ".npz": _read_npz, ".json": _read_json}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        next_step = "save it with numpy.save, numpy.savez or as JSON"
        raise InputError(Code.ARGUMENT, "inputs come as .npy, .npz or .json", where=str(path), next_step=next_step)
    try:
        found = reader(path)
    except OSError as error:
        what = f"the input cannot be read: {error.strerror or 'failed'}"
        next_step = "check the path; a relative one begins in the current directory"
        raise InputError(Code.ARGUMENT, what, where=str(path), next_step=next_step) from None
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile, MemoryError, RecursionError):
        # NumPy refuses pickled content with a ValueError, since allow_pickle is False
        what, next_step = (
            f"this is not a {path.suffix} file of plain numbers",
            "write it anew, without objects or text in it",
        )
        raise InputError(Code.ARGUMENT, what, where=str(path), next_step=next_step) from None
    given = found if isinstance(found, dict) else {next(iter(wanted), "input"): found}
    if set(given) != set(wanted) or (not isinstance(found, dict) and len(wanted) != 1):
        has = ", ".join(sorted(given))[:200] or "nothing"
        what = f"the model takes {', '.join(sorted(wanted))}; the file has {has}"
        raise InputError(Code.ARGUMENT, what, where=str(path))
    feeds: Arrays = {}
    for name, value in given.items():
        try:
            feeds[name] = _array(value, wanted[name])
        except (ValueError, TypeError, OverflowError):
            what = f"the numbers of {name} are no array of {wanted[name]}, or would lose their values in it"
            next_step = "write numbers of the model's own type, in its range"
            raise InputError(Code.ARGUMENT, what, where=str(path), next_step=next_step) from None
    return feeds


def plain(value: Any) -> Any:  # noqa: ANN401 - an array, or the lists and maps that some operators return
    """Turn an output into what JSON can say; what is no number or text becomes text."""
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, (int, float, str, bool)) or value is None else str(value)


def _array(value: Any, kind: str) -> "np.ndarray[Any, Any]":  # noqa: ANN401 - an array or nested lists
    found = np.asarray(value)
    if found.dtype.hasobject:  # null among the numbers, or lists of unequal length
        raise ValueError(kind)
    return _cast(found, np.dtype(_TYPES.get(kind, found.dtype)))


def _cast(found: "np.ndarray[Any, Any]", target: "np.dtype[Any]") -> "np.ndarray[Any, Any]":
    """Change the type where every value stays what it is; only the precision of fractions may shrink.

    Raises:
        ValueError: a value would become another one.
    """
    if found.dtype == target:
        return found
    if found.dtype.kind not in "biuf" or target.kind not in "biuf":
        raise ValueError(target)
    with np.errstate(all="ignore"):  # what these operations warn of is what is checked here
        cast = found.astype(target)
        if found.dtype.kind == target.kind == "f":
            kept = np.isfinite(cast) | ~np.isfinite(found)  # nothing became infinite
        elif "f" in {found.dtype.kind, target.kind}:
            kept = (np.abs(found) <= _EXACT) & np.isfinite(cast) & (cast.astype(found.dtype) == found)
        elif target.kind == "b":
            kept = (found == 0) | (found == 1)
        else:
            info = np.iinfo(target)
            kept = np.full(found.shape, fill_value=True)
            if found.size:  # compared as Python's integers, which have no range of their own
                kept &= info.min <= int(found.min()) and int(found.max()) <= info.max
    if not kept.all():
        raise ValueError(target)
    return cast


def _read_npy(path: Path) -> Any:  # noqa: ANN401 - an array
    with path.open("rb") as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def _read_npz(path: Path) -> Any:  # noqa: ANN401 - arrays by name
    with path.open("rb") as file, np.lib.npyio.NpzFile(file, own_fid=False, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _read_json(path: Path) -> Any:  # noqa: ANN401 - lists, by name or alone
    with path.open("rb") as file:
        data = file.read(MAX_JSON + 1)
    if len(data) > MAX_JSON:
        what = f"JSON inputs have at most {MAX_JSON} bytes"
        raise InputError(Code.ARGUMENT, what, where=str(path), next_step="use .npy")
    return json.loads(data, parse_float=_number)


def _number(text: str) -> float:
    value = float(text)
    if math.isinf(value):  # written as a number, and too large for one
        raise ValueError(text)
    return value
