"""What runs a model, one runtime a file; each is imported only when a model of its kind is used."""

from collections.abc import Callable, Mapping
from typing import Any

from strongroom.errors import Code, InputError


def open_session(
    format_: str | None,
    files: Mapping[str, memoryview],
    options: Mapping[str, Any],
    *,
    file: str | None = None,
    check: Callable[[], None] = lambda: None,
) -> Any:  # noqa: ANN401 - a runtime's own object
    """Return the runtime's own object for a model, made from memory.

    Args:
        format_: the format its publisher named, or None.
        files: path inside the model → its bytes, in the private buffer.
        options: passed on to the runtime.
        file: which of the files is to be run; it may be left out where only one can be.
        check: raises once that memory is wiped.

    Raises:
        InputError: RUNTIME, if no runtime here takes this model, it is not clear which file to run, or the runtime
            refuses it; PATH, if there is no such file; ARGUMENT, if an option would write the model to disk.
        StoreError: MEMORY, if there is none for the runtime's copy.
        SetupError: MISSING_EXTRA, with the line that installs the runtime.
    """
    if format_ == "onnx" or (format_ is None and any(path.lower().endswith(".onnx") for path in files)):
        from strongroom.edge.runtimes import onnx  # noqa: PLC0415 - heavy, and an extra

        return onnx.open_session(files, options, file=file, check=check)
    what = f"no runtime here takes a model of format {format_ or 'unknown'}"
    raise InputError(Code.RUNTIME, what, next_step="read its files with model.file(path), or publish it with a format")
