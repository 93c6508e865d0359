"""What the verbs of `strongroom risk` read: rules, recorded events, labels; each wrong one an error with a place."""

import errno
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from strongroom.cli import printing
from strongroom.errors import Code, InputError, SetupError, StoreError

if TYPE_CHECKING:
    from strongroom.risk.rules import Rules

MAX_RULES: Final = 1_048_576  # bytes of a file of rules
MAX_LINE: Final = 65_536  # bytes of an event; what is longer is cut, and then no event any more
MOST_LABELS: Final = 1_000_000
_EVERY: Final = 4096  # lines between two looks at how far it is
WORDS: Final = ("bad", "good")


def rules(path: Path | None) -> "Rules":
    """Read a file of rules, or take the ones that are shipped.

    Raises:
        SetupError: CONFIG, with file and line.
        InputError: it cannot be read, or is no small regular file.
        StoreError: the disk fails.
    """
    from strongroom.risk.defaults import default_rules
    from strongroom.risk.rules_file import read_rules

    return default_rules() if path is None else read_rules(text(path), str(path))


def text(path: Path) -> str:
    """Return a file of rules as text.

    Raises:
        SetupError: CONFIG, it is not UTF-8.
        InputError: it cannot be read, or is no small regular file.
        StoreError: the disk fails.
    """
    from strongroom.operator.small_files import read_public

    try:
        return read_public(path, limit=MAX_RULES, what="file of rules").decode("utf-8-sig")
    except UnicodeDecodeError:
        step = "is this the right file?"
        raise SetupError(Code.CONFIG, "not UTF-8 text", where=str(path), next_step=step) from None


@contextmanager
def events(path: str) -> Iterator[Iterator[bytes]]:
    """Open recorded events, one JSON object a line; `-` is standard input. A bar shows how far it is.

    Raises:
        InputError: PATH or ARGUMENT, it cannot be opened.
        StoreError: STORE_IO, the disk fails.
    """
    try:
        with _opened(path) as (stream, size), printing.progress("events", size) as reached:
            yield _lines(stream, reached if size else _nowhere)
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        if error.errno in {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.ENAMETOOLONG, errno.ELOOP}:
            reason = (error.strerror or "failed").lower()
            step = "name a file of events that you may read, or - for standard input"
            raise InputError(Code.PATH, f"the events cannot be opened: {reason}", where=path, next_step=step) from None
        raise StoreError(Code.STORE_IO, "the events cannot be read", where=path) from None


def labels(path: Path) -> dict[str, str]:
    """Read what is known: a line each, user:NAME or key:NAME, and bad or good; lines that begin with # say nothing.

    Raises:
        InputError: ARGUMENT with file and line; or it cannot be read.
        StoreError: STORE_IO, the disk fails.
    """
    found: dict[str, str] = {}
    with events(str(path)) as lines:
        for number, line in enumerate(lines, 1):
            parts = line.decode("utf-8", "replace").split()
            if not parts or parts[0].startswith("#"):
                continue
            named = len(parts) == 2 and parts[0].startswith(("user:", "key:")) and parts[1] in WORDS
            if not named or found.setdefault(parts[0], parts[1]) != parts[1]:
                what = "not user:NAME or key:NAME and one of bad, good; or said differently above"
                step = "write lines such as: user:ann bad"
                raise InputError(Code.ARGUMENT, what, where=f"{path} line {number}", next_step=step)
            if len(found) > MOST_LABELS:
                raise InputError(Code.ARGUMENT, f"more than {MOST_LABELS} labels", where=str(path))
    return found


@contextmanager
def _opened(path: str) -> Iterator[tuple[BinaryIO, int]]:
    if path == "-":
        yield sys.stdin.buffer, 0
        return
    with Path(path).open("rb") as file:
        yield file, file.seek(0, 2) if file.seekable() else 0


def _lines(stream: BinaryIO, reached: Callable[[int], None]) -> Iterator[bytes]:
    """Yield lines of bounded length: whatever a file holds, no more than that is in memory."""
    if stream is not sys.stdin.buffer and stream.seekable():
        stream.seek(0)
    done = number = 0
    while line := stream.readline(MAX_LINE):
        done += len(line)
        while not line.endswith(b"\n") and (more := stream.readline(MAX_LINE)):
            done += len(more)  # too long for an event: the rest of it is read and dropped
            if more.endswith(b"\n"):
                break
        number += 1
        if number % _EVERY == 0:
            reached(done)
        yield line
    reached(done)


def _nowhere(done: int) -> None:
    """Show nothing: how much there is of a stream nobody knows."""
