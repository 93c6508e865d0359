"""Standard output and error of a process, made safe: what cannot be written is an error with a name, or nothing.

A full disk, a closed descriptor or a terminal that knows few letters must neither show a stack trace nor pass for
success. Data that could not be written is an error; messages that nobody can read are dropped.
"""

import contextlib
import errno
import io
import os
import sys
from typing import Any, TextIO

from strongroom.errors import Code, StoreError


class OutputError(StoreError):
    """Standard output took no more: whatever was to be printed is not there."""


def unwritable(error: OSError) -> OutputError:
    """Return the error for an output that could not be written."""
    reason = "it is closed" if error.errno == errno.EBADF else (error.strerror or "failed").lower()
    what = f"cannot write the output: {reason}"
    return OutputError(Code.STORE_IO, what, where="standard output", next_step="write it to another place")


class _Output(io.FileIO):
    """Standard output: a failure is ours; a reader that went away stays what it is."""

    def write(self, data: Any, /) -> int:  # noqa: ANN401 - any buffer
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise unwritable(error) from None


class _Messages(io.FileIO):
    """Standard error: nobody can be told that it failed."""

    def write(self, data: Any, /) -> int:  # noqa: ANN401 - any buffer
        with contextlib.suppress(OSError):
            return super().write(data)
        return len(memoryview(data).cast("B"))


def guard() -> None:
    """Give this process streams that do what this module says; only if they are the process's own."""
    _open_missing()
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 - a descriptor, for the life of the process
    if sys.stdout is sys.__stdout__:
        sys.stdout = _wrapped(_Output(1, "w", closefd=False), sys.__stdout__)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _wrapped(_Messages(2, "w", closefd=False), sys.__stderr__)


def require_output() -> None:
    """Ask before something that happens only once whether its result can be printed at all.

    Raises:
        OutputError: standard output is closed, or refuses even to be written nothing.
    """
    try:
        os.write(sys.stdout.fileno(), b"")
    except (io.UnsupportedOperation, AttributeError, ValueError):
        return  # no descriptor: a test's, or another program's
    except OSError as error:
        raise unwritable(error) from None


def silence_output() -> None:
    """Point standard output at nothing, so that the interpreter's last flush does not complain again."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        number = os.open(os.devnull, os.O_WRONLY)
        os.dup2(number, sys.stdout.fileno())
        os.close(number)


def _wrapped(raw: io.FileIO, old: TextIO | None) -> io.TextIOWrapper:
    """Any text can be printed: what the encoding does not know is written as an escape."""
    encoding = old.encoding if old is not None else "utf-8"
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding=encoding, errors="backslashreplace", line_buffering=raw.isatty()
    )


def _open_missing() -> None:
    """Put something that cannot be used into each closed place: else the next file opened would be standard output."""
    for number, flags in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, flags)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
