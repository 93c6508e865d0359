"""Versions on their way in: what lies in `incoming/`, and when it may be gone on with (protocol.md section 13).

    incoming/<id>/n.srm       the local file, as far as it was sealed again
    incoming/<id>/n.k.part    segment k of file n, as far as it has come: ciphertext that anybody may fetch

A directory that no partial of the state names is a leftover. What lies in a named one is believed by nobody.
"""

import contextlib
import os
import stat
from collections.abc import Sequence
from dataclasses import replace

from strongroom.edge.folder import Folder, translated
from strongroom.edge.keystore import Keystore
from strongroom.edge.remembered import MODELS, STATE_KEY
from strongroom.edge.state import Partial, PartialFile, State
from strongroom.errors import (
    Code,
    DeniedError,
    IntegrityError,
    RefusedError,
    StoreError,
    StrongroomError,
    UnreachableError,
)
from strongroom.sealed import ModelKey

INCOMING = "incoming"
SPARE = 4_194_304  # bytes left free on the disk beside what a version needs
MOST = 64  # partials a state has room for
AGE = 30 * 86_400  # seconds after which a partial that nobody went on with is dropped
_SEEN = 86_400  # seconds by which its last use may be behind, so that not every try writes the state
_BLOCK = 512  # bytes that the system counts a file's room in

Wanted = Sequence[tuple[bytes, bytes]]  # file_id and SHA-512 of the head of each file, as the grant names them

_KEPT_STORE = {Code.DISK_FULL, Code.STORE_IO, Code.PERMISSIONS, Code.LOCKED, Code.MEMORY}
_DROPPED_REFUSALS = {Code.NOT_FOUND, Code.FORBIDDEN, Code.GRANT_ROLLBACK, Code.WIPED, Code.RESTRICTED}


class Staging:
    """A version on its way in: a directory nobody else reads yet, and the names of its keys in the keystore."""

    def __init__(self, name: str, folder: Folder, keys: Sequence[str] = ()) -> None:
        self.name = name
        self.folder = folder
        self.keys = list(keys)  # by file; a file without one gets it when it is begun
        self.moved = False  # from then on the state on the disk decides what is a leftover

    def open(self, index: int) -> int:
        """Open the file of this index for reading and writing, making it if it is not there. Raises StoreError."""
        return reopened(self.folder, file_name(index))

    def keep_only(self, names: frozenset[str]) -> None:
        """Remove whatever else lies in the directory. Raises StoreError."""
        for name in self.folder.names():
            if name not in names:
                self.folder.remove(name)


def file_name(index: int) -> str:
    """Return the name of a version's file: by position, never by what someone called it."""
    return f"{index}.srm"


def reopened(folder: Folder, name: str) -> int:
    """Open a file of ours for reading and writing, or make it; anything else that lies there is taken away first.

    Raises:
        StoreError: as `folder.translated`.
    """
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with translated(folder.path / name):
        with contextlib.suppress(OSError):
            handle = os.open(name, flags, dir_fd=folder.handle)
            status = os.fstat(handle)
            if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:  # a second name would be written through
                return handle
            os.close(handle)
        folder.remove(name)
        return folder.create(name)


def find(state: State, model: str, version: str, wanted: Wanted) -> Partial | None:
    """Return the partial that a grant goes on with: the same version, and the same heads of the same files."""
    for one in state.partials:
        here = [(part.file_id, part.head) for part in one.files]
        if (one.model, one.version) == (model, version) and here == [*wanted]:
            return one
    return None


def begin(model: str, version: str, wanted: Wanted, now: int) -> Partial:
    """Return a new partial, with names for its directory and its keys."""
    files = tuple(PartialFile(file_id, head, os.urandom(16).hex()) for file_id, head in wanted)
    return Partial(os.urandom(16).hex(), model, version, files, now)


def with_partial(state: State, model: str, partial: Partial | None) -> State:
    """Return the state in which a model has this partial or none: no other one, and the oldest of all goes for it."""
    others = [one for one in state.partials if one.model != model]
    if partial is None:
        return replace(state, partials=tuple(others))
    newest = sorted(others, key=lambda one: one.at)[-(MOST - 1) :]
    return replace(state, partials=(*newest, partial))


def without(state: State, name: str) -> State:
    """Return the state without the partial of this directory."""
    return replace(state, partials=tuple(one for one in state.partials if one.id != name))


def without_old(state: State) -> State:
    """Return the state without partials that nobody went on with for 30 days, by the device's clock."""
    kept = tuple(one for one in state.partials if one.at + AGE > state.clock.seen)
    return state if kept == state.partials else replace(state, partials=kept)


def touched(state: State, partial: Partial, now: int) -> State:
    """Return the state in which a partial was gone on with now, or the same if it says so within a day."""
    if abs(now - partial.at) <= _SEEN:
        return state
    partials = tuple(replace(one, at=now) if one.id == partial.id else one for one in state.partials)
    return replace(state, partials=partials)


def goes_on(error: Exception) -> bool:
    """Say whether a download that failed may be gone on with: the network or this machine was in trouble.

    So it is where a segment is not the one that was signed: it comes from a store that anybody may have altered, who
    would else undo what the honest ones sent before; `fetch` keeps nothing that came after. What the owners sealed
    wrongly is not kept, nor what this device may not have any more; and nothing is kept after a failure nobody
    foresaw, which might come again each time.
    """
    if isinstance(error, IntegrityError):
        return error.code == Code.FILE_DIGEST
    if isinstance(error, (DeniedError, RefusedError)):
        return error.code not in _DROPPED_REFUSALS
    if isinstance(error, StoreError):
        return error.code in _KEPT_STORE
    return isinstance(error, UnreachableError)


def room_taken(home: Folder, name: str) -> int:
    """Return how many bytes of the disk a directory in `incoming/` takes; what is missing or foreign takes none."""
    taken = 0
    with contextlib.suppress(StoreError, OSError), home.folder(INCOMING) as incoming:
        if incoming.has(name):
            with incoming.folder(name) as folder:
                for one in folder.names():
                    taken += os.stat(one, dir_fd=folder.handle, follow_symlinks=False).st_blocks * _BLOCK
    return taken


def check_room(home: Folder, partial: Partial | None, size: int) -> None:
    """See that the disk has room for a version, of which a part may be there.

    Raises:
        StoreError: DISK_FULL; else as `folder.translated`.
    """
    there = 0 if partial is None else room_taken(home, partial.id)
    needed, free = max(0, size - there) + SPARE, home.free()
    if free < needed:
        what = f"{needed} bytes are needed, {free} are free"
        step = "free some space and try again; what was installed is untouched"
        raise StoreError(Code.DISK_FULL, what, where=str(home.path), next_step=step)


def make_keys(keystore: Keystore, partial: Partial) -> None:
    """Put a fresh key under each name of a partial; none stays if one cannot be put. Raises StoreError."""
    try:
        for file in partial.files:
            make_key(keystore, file.key).wipe()
    except StrongroomError:
        with contextlib.suppress(StrongroomError):
            for file in partial.files:
                keystore.destroy(file.key)
        raise


def make_key(keystore: Keystore, name: str) -> ModelKey:
    """Put a fresh key under a name; the caller wipes it. Raises StoreError."""
    key = ModelKey.generate()
    try:
        keystore.put(name, key.reveal())
    except BaseException:
        key.wipe()
        raise
    return key


def remove_unnamed(home: Folder, keystore: Keystore, state: State) -> None:
    """Destroy keys and remove versions that the state does not name: keys first, so that no kept copy opens.

    Raises:
        StoreError: as `folder.translated`.
    """
    keys = {STATE_KEY, *(file.key for one in state.installs for file in one.files)}
    keys |= {file.key for one in state.partials for file in one.files}
    for name in keystore.names():
        if name not in keys:
            keystore.destroy(name)
    installed, arriving = {one.id for one in state.installs}, {one.id for one in state.partials}
    with home.folder(MODELS) as models, home.folder(INCOMING) as incoming:
        for name in models.names():
            if name in arriving - installed and not incoming.has(name):
                models.move(name, incoming)  # it was whole, and its activation did not come to its end
            elif name not in installed:
                models.remove_folder(name)
        models.sync()  # even if nothing was left to remove: who removed it may have died before this line
        for name in incoming.names():
            if name not in arriving:
                incoming.remove_folder(name)
        incoming.sync()
