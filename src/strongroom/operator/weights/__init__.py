"""Where weights lie in a model's files: found without the frameworks that made them, changed where they lie."""

from collections.abc import Mapping
from pathlib import PurePosixPath

from strongroom.operator.weights import arrays, onnx
from strongroom.operator.weights.runs import FEWEST, Kind, Order, Run

READ = (".onnx", ".safetensors", ".npy", ".npz")  # what names of files end in whose weights are found

__all__ = ["FEWEST", "READ", "Kind", "Order", "Run", "find", "reseal"]


def find(files: Mapping[str, memoryview]) -> tuple[Run, ...]:
    """Find the weights in a model's files: runs of at least FEWEST numbers, in an order that is always the same.

    A run that two tensors share is found once.

    Args:
        files: path inside the model → its bytes.

    Raises:
        InputError: ARGUMENT, if a file does not hold what its name says.
    """
    found: list[Run] = []
    for path in sorted(files):
        found += _in_file(path, files)
    once: list[Run] = []
    taken: dict[str, list[tuple[int, int]]] = {}
    for run in found:
        spans = taken.setdefault(run.path, [])
        if run.count < FEWEST or any(run.offset < end and start < run.end for start, end in spans):
            continue
        spans.append((run.offset, run.end))
        once.append(run)
    return tuple(once)


def reseal(path: str, view: memoryview) -> None:
    """Mend what a file keeps of its own content, after weights in it were changed. Raises InputError(ARGUMENT)."""
    if _suffix(path) == ".npz":
        arrays.reseal(path, view)


def _in_file(path: str, files: Mapping[str, memoryview]) -> list[Run]:
    suffix = _suffix(path)
    if suffix == ".onnx":
        return onnx.graph(path, files)
    if suffix == ".safetensors":
        return arrays.safetensors(path, files[path])
    if suffix == ".npy":
        return arrays.npy(path, files[path])
    return arrays.npz(path, files[path]) if suffix == ".npz" else []


def _suffix(path: str) -> str:
    return PurePosixPath(path).suffix.lower()
