"""Writing the files of an opened model: into a new directory that appears whole or not at all, or to stdout.

The paths come from a table of contents that was checked: relative, no "..", no name that a system treats specially.
Still every directory is entered by its descriptor and no link is followed, so that whoever may write beside or, for
whatever reason, inside the draft cannot lead a file elsewhere.
"""

import errno
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from strongroom.cli import printing
from strongroom.errors import Code, InputError, StoreError, StrongroomError

if TYPE_CHECKING:
    from strongroom.sealed import PayloadStream

_ENTER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def into_stdout(stream: "PayloadStream") -> None:
    """Write a model of one file to stdout, each segment once it is genuine, the last once the whole file is.

    Raises:
        InputError: ARGUMENT: a model of several files.
        IntegrityError, StoreError: as `PayloadStream.segments`; what was written until then is no model.
    """
    if len(stream.toc.files) != 1:
        what = f"stdout takes one file; this model has {len(stream.toc.files)}"
        raise InputError(Code.ARGUMENT, what, next_step="say -o DIR")
    done = 0
    try:
        with closing(stream.segments()) as segments, _progress(stream) as progress:
            for view in segments:
                sys.stdout.buffer.write(view)
                done += len(view)
                progress(done)
    except StrongroomError:
        if done:
            printing.note("note: what was written to stdout is not the whole file; throw it away")
        raise


def into_directory(stream: "PayloadStream", target: Path) -> None:
    """Write a model into a new directory, under a draft name until everything was checked and is on the disk.

    Raises:
        InputError: ALREADY_THERE; ARGUMENT: no such directory to write to.
        SetupError: PERMISSIONS.
        IntegrityError: as `PayloadStream.segments`.
        StoreError: DISK_FULL, STORE_IO; also if another process put something into the draft. Nothing is left behind,
            unless the error says that the model is there.
    """
    from strongroom.operator.drafts import drafted_directory
    from strongroom.operator.small_files import not_written

    try:
        with _entered(target.parent, links=True) as beside, drafted_directory(beside, target.name) as draft:
            _write_files(stream, draft.handle)
            not_there(target)
            _rename(beside, draft.name, target)
            draft.placed = True
            _keep_name(beside, target)
    except OSError as error:
        raise not_written(error, target, "model") from None


def not_there(target: Path) -> None:
    """See that a name is free.

    Raises:
        InputError: ALREADY_THERE.
    """
    if target.is_symlink() or target.exists():
        raise _taken(target)


def _taken(target: Path) -> InputError:
    what, next_step = "there is something here already", "choose a name that is free"
    return InputError(Code.ALREADY_THERE, what, where=str(target), next_step=next_step)


def _progress(stream: "PayloadStream") -> AbstractContextManager[Callable[[int], None]]:
    return printing.progress("opening", stream.head.core.payload_length)


def _write_files(stream: "PayloadStream", draft: int) -> None:
    done, view = 0, memoryview(b"")
    made = {""}
    with closing(stream.segments()) as segments, _progress(stream) as progress:
        for entry in stream.toc.files:
            with _new_file(draft, entry.path, made) as file:
                left = entry.size
                while left:
                    view = view or next(segments)
                    written = os.write(file, view[:left])
                    view, left, done = view[written:], left - written, done + written
                    progress(done)
                os.fsync(file)
        next(segments, None)  # nothing is left: this is where a model without a byte is checked
    for path in made:
        with _within(draft, path) as directory:
            os.fsync(directory)


def _rename(beside: int, name: str, target: Path) -> None:
    try:
        os.rename(name, target.name, src_dir_fd=beside, dst_dir_fd=beside)
    except OSError as error:
        if error.errno in {errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR}:  # it was free a moment ago
            raise _taken(target) from None
        raise


def _keep_name(beside: int, target: Path) -> None:
    try:
        os.fsync(beside)
    except OSError as error:
        what = f"the model is there, but its name could not be made durable: {error.strerror}"
        next_step = "look at the disk and at the system's log before you rely on it"
        raise StoreError(Code.STORE_IO, what, where=str(target), next_step=next_step) from None


@contextmanager
def _new_file(draft: int, path: str, made: set[str]) -> Iterator[int]:
    """Create a file, and the directories above it that are not in `made`; none of them may be there already."""
    above, _, name = path.rpartition("/")
    try:
        for inner in _prefixes(above):
            if inner not in made:
                outer, _, last = inner.rpartition("/")
                with _within(draft, outer) as directory:
                    os.mkdir(last, 0o700, dir_fd=directory)
                made.add(inner)
        with _within(draft, above) as directory:
            file = os.open(name, _CREATE, 0o600, dir_fd=directory)
    except (FileExistsError, NotADirectoryError):  # the paths do not clash: that was checked
        from strongroom.operator.drafts import intruder

        raise intruder(path) from None
    try:
        yield file
    finally:
        os.close(file)


def _prefixes(path: str) -> Iterator[str]:
    """Yield a, a/b, a/b/c for a/b/c."""
    return accumulate(path.split("/"), "{}/{}".format) if path else iter(())


@contextmanager
def _within(draft: int, path: str) -> Iterator[int]:
    """Enter a directory below the draft part by part: `O_NOFOLLOW` guards the last part of a path only."""
    directory = os.dup(draft)
    try:
        for part in path.split("/") if path else []:
            inner = os.open(part, _ENTER, dir_fd=directory)
            os.close(directory)
            directory = inner
        yield directory
    finally:
        os.close(directory)


@contextmanager
def _entered(path: Path | str, above: int | None = None, *, links: bool = False) -> Iterator[int]:
    directory = os.open(path, _ENTER & ~os.O_NOFOLLOW if links else _ENTER, dir_fd=above)
    try:
        yield directory
    finally:
        os.close(directory)
