"""ONNX Runtime from memory: one transient copy for its parser, wiped as soon as the session stands.

onnxruntime parses models from a `bytes` object only, keeps a reference to it in the session, and copies the weights
into its own memory. So the object is filled in place, dropped from the session, and wiped. What the session holds after
that is onnxruntime's, until the session is gone; strongroom cannot wipe it.
"""

from collections.abc import Mapping
from typing import Any

from strongroom.edge.memory import TransientBytes
from strongroom.errors import Code, InputError, SetupError

MAX_GRAPH = 2_147_483_647  # bytes: protobuf reads no larger message
_SUFFIX = ".onnx"


def open_session(files: Mapping[str, memoryview], options: Mapping[str, Any]) -> Any:  # noqa: ANN401 - an InferenceSession
    """Return an `onnxruntime.InferenceSession`.

    Args:
        files: path inside the model → its bytes; one of them is the graph.
        options: keyword arguments of InferenceSession, such as `providers` and `sess_options`.

    Raises:
        SetupError: MISSING_EXTRA.
        InputError: RUNTIME, if the model has no single graph, is too large, or onnxruntime refuses it.
    """
    try:
        import onnxruntime  # noqa: PLC0415 - an extra, and slow to import
    except ImportError:
        what, step = "running an ONNX model needs onnxruntime", 'pip install "strongroom[onnx]"'
        raise SetupError(Code.MISSING_EXTRA, what, next_step=step) from None
    arguments = {"providers": ["CPUExecutionProvider"], **options}
    with TransientBytes(_graph(files)) as graph:
        try:
            session = onnxruntime.InferenceSession(graph, **arguments)
        except Exception as error:  # noqa: BLE001 - onnxruntime's exceptions share no base class of their own
            what = f"onnxruntime refuses the model: {_first_line(error)}"
            step = "check that this onnxruntime knows the model's version"
            raise InputError(Code.RUNTIME, what, next_step=step) from None
        session._model_bytes = None  # noqa: SLF001 - the second copy would live as long as the session
    return session


def _graph(files: Mapping[str, memoryview]) -> memoryview:
    graphs = [path for path in files if path.endswith(_SUFFIX)]
    if not graphs and len(files) == 1:
        graphs = list(files)
    if len(graphs) != 1:
        what, step = f"the model has {len(graphs)} ONNX graphs among {len(files)} files", "publish one graph a model"
        raise InputError(Code.RUNTIME, what, next_step=step)
    if len(files) != 1:
        what, step = "ONNX models with external data are not opened from memory", "publish it as one .onnx file"
        raise InputError(Code.RUNTIME, what, next_step=step)
    graph = files[graphs[0]]
    if graph.nbytes > MAX_GRAPH:
        what = f"an ONNX file of {graph.nbytes} bytes; at most {MAX_GRAPH} can be parsed"
        step = "publish a smaller model"
        raise InputError(Code.RUNTIME, what, next_step=step)
    return graph


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return text[0][:200] if text else type(error).__name__
