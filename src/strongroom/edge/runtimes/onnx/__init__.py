"""ONNX Runtime from memory: no plaintext file, and one transient copy of the graph, wiped once the session stands.

A graph's small part and its weights may be one file or several. Weights that the graph keeps in other files ("external
data") are lent to onnxruntime where they lie, so a large model is in memory once. What the graph itself holds,
onnxruntime copies into memory of its own, which is its own until the session is gone; strongroom cannot wipe it.
"""

from collections.abc import Callable, Mapping
from typing import Any

from strongroom.edge.memory import TransientBytes
from strongroom.errors import Code, InputError, SetupError

MAX_GRAPH = 2_147_483_647  # bytes: protobuf reads no larger message
MIN_GRAPH = 2  # bytes: a tag, and a value
_SUFFIX = ".onnx"


def open_session(
    files: Mapping[str, memoryview],
    options: Mapping[str, Any],
    *,
    file: str | None = None,
    check: Callable[[], None] = lambda: None,
) -> Any:  # noqa: ANN401 - an InferenceSession
    """Return an `onnxruntime.InferenceSession`.

    Args:
        files: path inside the model → its bytes; one of them is the graph.
        options: keyword arguments of InferenceSession, such as `providers` and `sess_options`. The latter may also be
            a function that makes one: only then, or without it, are weights shared instead of copied.
        file: the path of the graph; it may be left out where there is only one.
        check: raises once the files' memory is wiped; a session over that memory asks it around each run.

    Raises:
        SetupError: MISSING_EXTRA.
        InputError: PATH, if there is no such file; RUNTIME, if the graph must be named, is empty or too large, wants
            data that the model does not have, or onnxruntime refuses it; ARGUMENT, if it is told to write the model,
            or what it says of it, to disk.
        StoreError: MEMORY, if there is none for the graph.
    """
    try:
        import onnxruntime  # noqa: F401, PLC0415 - an extra, and slow to import

        from strongroom.edge.runtimes.onnx import graph, protobuf, session  # noqa: PLC0415 - they import it
    except ImportError:
        what, step = "running an ONNX model needs onnxruntime", 'pip install "strongroom[onnx]"'
        raise SetupError(Code.MISSING_EXTRA, what, next_step=step) from None
    path = _graph(files, file)
    detached = graph.detach(path, files)
    size = sum(len(piece) for piece in detached.pieces)
    if size > MAX_GRAPH:
        what = f"an ONNX graph of {size} bytes with what has to be put into it; at most {MAX_GRAPH} can be parsed"
        raise InputError(
            Code.RUNTIME, what, where=ascii(path), next_step="publish it with its weights as external data"
        )
    if size < MIN_GRAPH:
        raise protobuf.no_graph(f"{size} bytes")
    with TransientBytes(*detached.pieces) as handed:
        return session.make(handed, detached.shared, options, check)


def _graph(files: Mapping[str, memoryview], file: str | None) -> str:
    if file is not None:
        if file not in files:
            what, step = "the model has no such file", f"it has: {', '.join(files)[:200]}"
            raise InputError(Code.PATH, what, where=ascii(file[:200]), next_step=step)
        return file
    graphs = [path for path in files if path.lower().endswith(_SUFFIX)]
    if not graphs and len(files) == 1:
        graphs = list(files)
    if len(graphs) > 1:
        what = f"the model has {len(graphs)} ONNX graphs: {', '.join(graphs)[:200]}"
        step = f'name one: model.session("{graphs[0]}"), or --file'
        raise InputError(Code.RUNTIME, what, next_step=step)
    if not graphs:
        what, step = (
            f"none of the model's {len(files)} files is an ONNX graph",
            "name one: model.session(path), or --file",
        )
        raise InputError(Code.RUNTIME, what, next_step=step)
    return graphs[0]
