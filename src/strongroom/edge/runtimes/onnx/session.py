"""onnxruntime's own session, over weights that are lent to it and may be wiped under it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime

from strongroom.edge.runtimes.onnx.graph import Shared
from strongroom.edge.runtimes.onnx.tensors import TYPES
from strongroom.errors import Code, InputError

_CPU = "CPUExecutionProvider"
_NO_PREPACKING = "session.disable_prepacking"
_WRITING = (  # entries of a configuration that make onnxruntime write parts of the model, or what it says of them
    "ep.context_enable",
    "session.collect_node_memory_stats_to_file",
    "session.moe.offload.derived_cache_dir",
)
_ONLY_FATAL = 4  # log severity
_DEFAULT_SEVERITY = -1


class InferenceSession(onnxruntime.InferenceSession):  # type: ignore[misc] # onnxruntime ships no types
    """An `onnxruntime.InferenceSession` that keeps what it computes from, and refuses to run once that is wiped.

    Around each run it asks whether its weights are still there, so that nobody takes what was computed from zeros for
    an answer. Its pages stay mapped as long as it lives: a run that is overtaken by `Model.close` in another thread
    ends in an error and not in a crash.

    It cannot be made anew: the graph it was made from is wiped.
    """

    def __init__(self, graph: bytes, weights: Sequence[Any], check: Callable[[], None], **arguments: Any) -> None:  # noqa: ANN401 - onnxruntime's own
        self._weights = weights
        self._check = check
        super().__init__(graph, **arguments)

    def set_providers(self, providers: Any = None, provider_options: Any = None) -> None:  # noqa: ANN401, ARG002 - as above
        """Refuse. Providers are chosen when the session is made.

        Raises:
            InputError: ARGUMENT.
        """
        what, step = "a session cannot change its providers: its graph is wiped", "give model.session(providers=[...])"
        raise InputError(Code.ARGUMENT, what, where="set_providers", next_step=step) from None

    def _guarded(self, run: Callable[..., Any], *arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - as above
        self._check()
        answer = run(*arguments, **named)
        self._check()
        return answer

    def run(self, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - onnxruntime documents it
        return self._guarded(super().run, *arguments, **named)

    def run_async(
        self,
        output_names: Any,  # noqa: ANN401 - onnxruntime's own
        input_feed: Any,  # noqa: ANN401 - onnxruntime's own
        callback: Callable[[Any, Any, str], None],
        user_data: Any,  # noqa: ANN401 - the caller's
        run_options: Any = None,  # noqa: ANN401 - onnxruntime's own
    ) -> None:
        def answer(results: Any, data: Any, error: str) -> None:  # noqa: ANN401 - as above
            try:
                self._check()
            except InputError as refusal:
                results, error = [], str(refusal)
            callback(results, data, error)

        self._check()
        super().run_async(output_names, input_feed, answer, user_data, run_options)

    def run_with_ort_values(self, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - as above
        return self._guarded(super().run_with_ort_values, *arguments, **named)

    def run_with_iobinding(self, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - as above
        return self._guarded(super().run_with_iobinding, *arguments, **named)

    def run_with_ortvaluevector(self, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - as above
        return self._guarded(super().run_with_ortvaluevector, *arguments, **named)


def make(graph: bytes, shared: Sequence[Shared], options: Mapping[str, Any], check: Callable[[], None]) -> Any:  # noqa: ANN401 - an InferenceSession
    """Return a session.

    Weights are shared first: onnxruntime then computes from our memory and has no copy. Its optimiser cannot read such
    weights; where it wants to, as for convolutions, that fails, and the second try gives it copies.

    onnxruntime's telemetry is switched off for the whole process, as its switch has it.

    Args:
        graph: the graph, without paths; wiped by the caller.
        shared: what the graph no longer holds.
        options: as for `open_session`.
        check: raises once the memory of `shared` is wiped.

    Raises:
        InputError: RUNTIME, if onnxruntime refuses; ARGUMENT, if it is told to write to disk what the model is.
    """
    onnxruntime.disable_telemetry_events()  # it keeps errors, which name tensors, on disk for its maker
    arguments = {"providers": [_CPU], **options}
    given = arguments.pop("sess_options", None)
    refusal: Exception | None = None
    for session_options, share in _attempts(given, arguments["providers"], lending=bool(shared)):
        try:
            session = _session(graph, shared, check, session_options, arguments, share=share)
        except Exception as error:  # noqa: BLE001 - onnxruntime's exceptions share no base class of their own
            refusal = error
        else:
            session._model_bytes = None  # noqa: SLF001 - the second copy would live as long as the session
            session.disable_fallback()  # it would make the session anew from that copy
            return session
    what = f"onnxruntime refuses the model: {_first_line(refusal)}"
    raise InputError(Code.RUNTIME, what, next_step="check that this onnxruntime knows the model's version") from None


def _attempts(given: Any, providers: Any, *, lending: bool) -> Iterator[tuple[Any, bool]]:  # noqa: ANN401 - SessionOptions, or what makes one
    """Give the options of each try, and whether weights are shared in it.

    What was added to options cannot be taken back, so a second try needs new ones: a SessionOptions that is given as
    such has one try, the one that always works.
    """
    if given is not None and not callable(given):
        yield _checked(given), False
        return
    new = given or onnxruntime.SessionOptions
    on_cpu = isinstance(providers, list | tuple) and all(one == _CPU for one in providers)
    if lending and on_cpu:  # other providers want weights in memory of their device
        yield _checked(new()), True
    yield _checked(new()), False


def _checked(options: Any) -> Any:  # noqa: ANN401 - a SessionOptions
    if getattr(options, "optimized_model_filepath", ""):
        what, step = "onnxruntime would write the model to disk in the clear", "leave optimized_model_filepath empty"
        raise InputError(Code.ARGUMENT, what, where="sess_options", next_step=step)
    if getattr(options, "enable_profiling", False):
        what, step = "onnxruntime would write the model's nodes and shapes to disk", "leave enable_profiling off"
        raise InputError(Code.ARGUMENT, what, where="sess_options", next_step=step)
    for name in _WRITING:
        if _entry(options, name) not in (None, "", "0"):
            what, step = f"onnxruntime would write parts of the model to disk by {name}", "leave that entry out"
            raise InputError(Code.ARGUMENT, what, where="sess_options", next_step=step)
    return options


def _entry(options: Any, name: str) -> str | None:  # noqa: ANN401 - a SessionOptions
    try:
        return str(options.get_session_config_entry(name))
    except Exception:  # noqa: BLE001 - how onnxruntime says that it is not set, or is no SessionOptions
        return None


def _session(
    graph: bytes,
    shared: Sequence[Shared],
    check: Callable[[], None],
    options: Any,  # noqa: ANN401 - a SessionOptions
    arguments: Mapping[str, Any],
    *,
    share: bool,
) -> Any:  # noqa: ANN401 - an InferenceSession
    if not shared:
        return InferenceSession(graph, (), lambda: None, sess_options=options, **arguments)
    names, weights = [one.name for one in shared], [_value(one) for one in shared]
    if share:
        for name, weight in zip(names, weights, strict=True):
            options.add_initializer(name, weight)
        _without_prepacking(options)
        if options.log_severity_level == _DEFAULT_SEVERITY:
            options.log_severity_level = _ONLY_FATAL  # a first try that fails is no news; errors are raised as well
    else:
        options.add_external_initializers(names, weights)
    return InferenceSession(graph, weights, check, sess_options=options, **arguments)


def _without_prepacking(options: Any) -> None:  # noqa: ANN401 - a SessionOptions
    """Leave weights where they lie, unless the caller has asked for packed copies of them."""
    if _entry(options, _NO_PREPACKING) is None:
        options.add_session_config_entry(_NO_PREPACKING, "1")


def _value(weight: Shared) -> Any:  # noqa: ANN401 - an OrtValue over our memory
    kind = TYPES[weight.type]
    array = np.frombuffer(weight.data, dtype=kind.numpy).reshape(weight.dims)
    if kind.native:
        return onnxruntime.OrtValue.ortvalue_from_numpy(array)
    return onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(array, weight.type)


def _first_line(error: Exception | None) -> str:
    text = str(error).strip().splitlines()
    line = text[0][:200] if text else type(error).__name__
    return "".join(one if one.isprintable() else "?" for one in line)  # it may repeat names out of the graph
