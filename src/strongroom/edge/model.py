"""An open model: plaintext in one private buffer, for the length of a `with` block (R46, R49)."""

import contextlib
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from strongroom.edge import runtimes
from strongroom.edge.memory import PrivateBuffer
from strongroom.edge.runtimes import bytes_
from strongroom.edge.watch import Watch
from strongroom.errors import Code, InputError
from strongroom.sealed import Opened


class Model:
    """What `Room.load` gives. Every view of it is released, and its memory wiped, when the block ends.

    Attributes:
        name: the model's name.
        version: its exact version.
        lease_expires: Unix seconds at which its lease ends.
        offline_until: Unix seconds until which it opens without asking again; never after `lease_expires`.
    """

    def __init__(
        self,
        name: str,
        version: str,
        lease_expires: int,
        parts: tuple[Opened, ...],
        buffers: tuple[PrivateBuffer, ...],
        on_close: Callable[[], None] = lambda: None,
        *,
        offline_until: int = 0,
        watch: Watch | None = None,
    ) -> None:
        self.name = name
        self.version = version
        self.lease_expires = lease_expires
        self.offline_until = offline_until
        self._watch = watch
        self._parts = parts
        self._buffers = buffers
        self._on_close = on_close
        self._places = {entry.path: (index, entry) for index, part in enumerate(parts) for entry in part.toc.files}

    @property
    def format(self) -> str | None:
        """The format its publisher named, such as "onnx"."""
        return self._parts[0].toc.format if self._parts else None

    @property
    def metadata(self) -> Mapping[str, str | int]:
        """What its publisher noted."""
        return self._parts[0].toc.metadata if self._parts else {}

    @property
    def files(self) -> tuple[str, ...]:
        """The paths of its files, in order."""
        return tuple(self._places)

    def file(self, path: str) -> memoryview:
        """Return a file's bytes, read-only and without a copy, until the block ends.

        Raises:
            InputError: PATH if there is no such file, CLOSED after the block.
        """
        self._check_open()
        if path not in self._places:
            what, step = "the model has no such file", f"it has: {', '.join(self.files)[:200]}"
            raise InputError(Code.PATH, what, where=ascii(path[:200]), next_step=step)
        return self._lend(path)

    def bytes(self) -> memoryview:
        """Return the bytes of a model of one file, as `file` does.

        Raises:
            InputError: PATH if it has several files, CLOSED after the block.
        """
        self._check_open()
        return bytes_.only_file({path: self._lend(path) for path in self._places})

    def session(self, file: str | None = None, **options: Any) -> Any:  # noqa: ANN401 - the runtime's own object and its own options
        """Return the runtime's own object, such as an `onnxruntime.InferenceSession`.

        The runtime may keep weights in memory of its own as long as that object lives: drop it with the block. One
        that computes from the model's own memory refuses to run after the block, with InputError CLOSED.

        Args:
            file: which file to run, such as "decoder/model.onnx"; it may be left out where only one can be run.
            options: passed on to the runtime.

        Raises:
            InputError: RUNTIME if nothing here runs it or the file must be named, PATH if there is no such file,
                ARGUMENT if an option would write the model to disk, CLOSED after the block.
            RefusedError: LEASE_EXPIRED, if the lease has ended inside the block.
            SetupError: MISSING_EXTRA, with the line that installs the runtime.
        """
        self._check_open()
        files = {path: self._lend(path) for path in self._places}
        return runtimes.open_session(self.format, files, options, file=file, check=_Whole(self._buffers))

    def close(self) -> None:
        """Release every view and wipe the memory. Closing twice is no error."""
        if not self._parts:
            return
        if self._watch is not None:
            self._watch.stop()
        parts, self._parts = self._parts, ()
        for part in parts:
            with contextlib.suppress(BufferError):  # an array over it keeps it; it sees zeros then
                part.payload.release()
        for buffer in self._buffers:
            buffer.close()
        self._on_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Model({self.name!r}, {self.version!r}, {'open' if self._parts else 'closed'})"

    def _lend(self, path: str) -> memoryview:
        index, _ = self._places[path]
        return self._buffers[index].lend(self._parts[index].file(path))

    def _check_open(self) -> None:
        if not self._parts:
            step = "use it inside its `with` block, or load it again"
            raise InputError(Code.CLOSED, "the model is closed and wiped", where=self.name, next_step=step)
        if self._watch is not None:
            self._watch.check()


class _Whole:
    """Asks whether memory still holds what was opened; a session keeps this, and not the model."""

    def __init__(self, buffers: tuple[PrivateBuffer, ...]) -> None:
        self._buffers = buffers

    def __call__(self) -> None:
        """Raise InputError CLOSED once it is wiped, and in a forked child, which does not have it."""
        for buffer in self._buffers:
            _ = buffer.view
