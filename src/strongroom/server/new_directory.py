"""A directory that appears whole or not at all, and is private: files 0600, directories 0700, whatever the umask.

It is built as a draft beside its target, or inside an empty target, and then renamed into place.
"""

import errno
import os
import secrets
import shutil
from pathlib import Path

from strongroom.errors import Code, InputError, SetupError, StoreError, StrongroomError


def check_free(target: Path) -> None:
    """Refuse a target that holds anything, or whose parent is missing.

    Raises:
        InputError: ALREADY_THERE or ARGUMENT.
        SetupError: PERMISSIONS.
        StoreError: STORE_IO.
    """
    try:
        if target.is_symlink() or (target.exists() and (not target.is_dir() or any(target.iterdir()))):
            step = "name another directory; an existing one is never touched"
            raise InputError(Code.ALREADY_THERE, "there is something here already", where=str(target), next_step=step)
        if not target.parent.is_dir():
            step = f"run: mkdir -p {target.parent}"
            raise InputError(Code.ARGUMENT, "the parent directory does not exist", where=str(target), next_step=step)
    except OSError as error:
        raise failed(error, target) from None


def begin(target: Path) -> Path:
    """Make the draft of a directory, on the same disk. May raise OSError; see `failed`."""
    # an empty target is kept and filled, since it may be somebody's working directory
    draft = (target if target.is_dir() else target.parent) / f".strongroom-{secrets.token_hex(8)}.part"
    make_directory(draft)
    return draft


def place(draft: Path, target: Path, *, last: str) -> None:
    """Give a finished draft its name, or undo it all; the file named `last` appears last. May raise OSError."""
    if draft.parent != target:
        sync(draft)
        draft.rename(target)
        sync(target.parent)
        return
    target.chmod(0o700)
    placed: list[Path] = []
    try:
        # `last` marks the directory as whole, so it comes last
        for path in sorted(draft.iterdir(), key=lambda path: path.name == last):
            goal = target / path.name
            if os.path.lexists(goal):  # rename would replace it
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
            path.rename(goal)
            placed.append(goal)
    except OSError:
        for path in reversed(placed):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        raise
    sync(target)


def make_directory(path: Path) -> None:
    """Make a directory of mode 0700. May raise OSError."""
    path.mkdir(mode=0o700)
    path.chmod(0o700)


def write(path: Path, data: bytes) -> None:
    """Write a new file of mode 0600 and wait until it is on the disk. May raise OSError."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync(directory: Path) -> None:
    """Wait until a directory's names are on the disk. May raise OSError."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def failed(error: OSError, target: Path) -> StrongroomError:
    """Translate why a directory could not be made."""
    if isinstance(error, PermissionError):
        return SetupError(Code.PERMISSIONS, "nothing may be made here", where=str(target))
    if isinstance(error, FileExistsError) or error.errno == errno.ENOTEMPTY:
        return InputError(Code.ALREADY_THERE, "something appeared here meanwhile", where=str(target))
    return StoreError(Code.STORE_IO, f"nothing was made: {error.strerror}", where=str(target))
