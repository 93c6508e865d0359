"""What runs a model, one runtime a file; each is imported only when a model of its kind is used."""

from collections.abc import Mapping
from typing import Any

from strongroom.errors import Code, InputError


def open_session(format_: str | None, files: Mapping[str, memoryview], options: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a runtime's own object
    """Return the runtime's own object for a model, made from memory.

    Args:
        format_: the format its publisher named, or None.
        files: path inside the model → its bytes, in the private buffer.
        options: passed on to the runtime.

    Raises:
        InputError: RUNTIME, if no runtime here takes this model, or the runtime refuses it.
        SetupError: MISSING_EXTRA, with the line that installs the runtime.
    """
    if format_ == "onnx" or (format_ is None and any(path.endswith(".onnx") for path in files)):
        from strongroom.edge.runtimes import onnx  # noqa: PLC0415 - heavy, and an extra

        return onnx.open_session(files, options)
    what = f"no runtime here takes a model of format {format_ or 'unknown'}"
    raise InputError(Code.RUNTIME, what, next_step="read its files with model.file(path), or publish it with a format")
