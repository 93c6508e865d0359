"""The device directory: what is installed, and how it changes without ever being half changed.

    state.json   everything remembered, one MAC (state.py)      store.lock, pull.lock   one process at a time
    keystore/    keys of the file keystore                      incoming/<random>/      a version on its way in
    trust.json   put there by the user before enrolling         models/<random>/        whole versions, n.srm each

A version is written to `incoming/`, made durable, moved to `models/`, and becomes active with the next state.json;
only then is what it replaces removed. Whatever no valid state names is a leftover of a crash (docs/spec/protocol.md
section 13).
"""

import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from strongroom.edge import state as memory_of
from strongroom.edge.clock import Anchor, Reading, advance, read_clocks
from strongroom.edge.folder import FRESH, Folder
from strongroom.edge.keystore import Keystore
from strongroom.edge.lock import locked
from strongroom.edge.state import Install, State
from strongroom.errors import Code, SetupError, StoreError, StrongroomError
from strongroom.sealed import ModelKey
from strongroom.sealed.wiping import wipe

STATE, TRUST, MODELS, INCOMING, KEYS = "state.json", "trust.json", "models", "incoming", "keystore"
STORE_LOCK, PULL_LOCK = "store.lock", "pull.lock"
OURS = frozenset({STATE, TRUST, MODELS, INCOMING, KEYS, STORE_LOCK, PULL_LOCK})
STATE_KEY = "state"  # name of the MAC key in the keystore
PATIENCE, PULL_PATIENCE = 10.0, 600.0  # seconds to wait for another process: short changes, whole downloads
SPARE = 4_194_304  # bytes left free on the disk beside what a version needs
_UNWRITABLE = {Code.DISK_FULL, Code.PERMISSIONS, Code.STORE_IO}  # the machine's trouble: nothing is damaged
_log = logging.getLogger(__name__)


class Staging:
    """A version on its way in: a directory nobody reads yet."""

    def __init__(self, name: str, folder: Folder) -> None:
        self.name = name
        self.folder = folder
        self.keys: list[str] = []  # names in the keystore, to be destroyed if the version does not become active
        self.moved = False  # from then on the state on the disk decides what is a leftover

    def create(self, index: int) -> int:
        """Make the file of this index and return its descriptor. Raises StoreError."""
        return self.folder.create(file_name(index))


@dataclass(frozen=True, slots=True)
class OpenInstall:
    """An install with its files open and its keys at hand, as long as the block of `Store.opened`."""

    state: State
    install: Install
    handles: tuple[int, ...]
    keys: tuple[ModelKey, ...]


class Store:
    """One device directory. Holds no descriptor between two calls."""

    def __init__(
        self,
        home: Path,
        keystore: Keystore,
        *,
        clocks: Callable[[], Reading] = read_clocks,
        patience: float = PATIENCE,
        pull_patience: float = PULL_PATIENCE,
    ) -> None:
        self.home = home
        self.keystore = keystore
        self.clocks = clocks
        self._patience = patience
        self._pull_patience = pull_patience
        self._unwritten: Anchor | None = None  # the clock, where the disk does not take it
        self._warned = False

    def read(self) -> State | None:
        """Return what is remembered, or None before the first enrolment.

        Raises:
            StoreError: STORE_DAMAGED, with how to begin anew; else as `folder.translated`.
        """
        with self._folder() as home:
            return self._read(home)

    def need(self) -> State:
        """Return what is remembered.

        Raises:
            SetupError: NOT_ENROLLED.
            StoreError: as `read`.
        """
        state = self.read()
        if state is None:
            raise not_enrolled(self.home)
        return state

    def found(self, state: State) -> None:
        """Write the first state of an installation, with a fresh MAC key if there is none. Raises StoreError."""
        with self._folder() as home, locked(home, STORE_LOCK, self._patience):
            if STATE_KEY not in self.keystore.names():
                self.keystore.put(STATE_KEY, os.urandom(32))
            self._write(home, state)

    def keep_trust(self, document: bytes) -> None:
        """Lay the trust document beside a device key that is not enrolled yet, unless one is there. Raises StoreError.

        A first enrolment that is refused can then be tried again, and asked about, without naming the document.
        """
        with self._folder() as home, locked(home, STORE_LOCK, self._patience):
            if not home.has(STATE) and not home.has(TRUST):
                home.write(TRUST, document)

    def update(self, change: Callable[[State], State]) -> State:
        """Read, change and write the state under the lock; return the new one.

        Raises:
            SetupError: NOT_ENROLLED.
            StoreError: LOCKED, or as `read`; the old state is then still there.
            StrongroomError: whatever `change` raises; nothing is then written.
        """
        with self._folder() as home, locked(home, STORE_LOCK, self._patience):
            return self._update(home, change)

    def tick(self) -> State:
        """Move the clock's anchor to now, on the disk if it takes it, and return the state.

        Raises:
            SetupError: NOT_ENROLLED.
            RefusedError: CLOCK.
            StoreError: LOCKED, or as `read`.
        """
        with self._folder() as home, locked(home, STORE_LOCK, self._patience):
            return self._ticked(home, keep=True)

    @contextlib.contextmanager
    def opened(self, choose: Callable[[State], Install], *, keep: bool = True) -> Iterator["OpenInstall"]:
        """Choose an install under the lock, with the clock moved to now, and open its files and keys for the block.

        Both stay good when another process replaces the version meanwhile. The keys are wiped at the end. A disk that
        takes no new clock stops nothing: the lease is then judged by the clock in memory.

        Args:
            choose: picks from the state whose clock is now.
            keep: whether to write that clock down; without it nothing is written.

        Raises:
            StoreError: LOCKED, STORE_DAMAGED, or as `read`.
            StrongroomError: whatever `choose` raises, and RefusedError(CLOCK).
        """
        handles: list[int] = []
        keys: list[ModelKey] = []
        try:
            with self._folder() as home, locked(home, STORE_LOCK, self._patience):
                state = self._ticked(home, keep=keep)
                install = choose(state)
                with home.folder(MODELS) as models, _existing(models, install) as folder:
                    for index, file in enumerate(install.files):
                        handle, size = folder.open_file(file_name(index))
                        handles.append(handle)
                        if size != file.size:
                            raise damaged(install, f"a file of {size} bytes where {file.size} were written")
                        secret = self.keystore.get(file.key)
                        if secret is None:
                            raise damaged(install, "the local key of an installed file is gone")
                        keys.append(ModelKey(secret))
                        wipe(secret)
            yield OpenInstall(state, install, tuple(handles), tuple(keys))
        finally:
            for key in keys:
                key.wipe()
            for handle in handles:
                os.close(handle)

    @contextlib.contextmanager
    def pulling(self) -> Iterator[None]:
        """Be the one process that fetches; what an interrupted one left is removed first.

        Raises:
            StoreError: LOCKED if another process fetches for too long; else as `read`.
        """
        with self._folder() as home, locked(home, PULL_LOCK, self._pull_patience):
            self._clean(home)
            yield

    def clean(self) -> None:
        """Remove what an interrupted process left, unless one is at work or the disk takes no change.

        Raises:
            StoreError: STORE_DAMAGED, or as `read`.
        """
        with self._folder() as home:
            try:
                with locked(home, PULL_LOCK, 0):
                    self._clean(home)
            except StoreError as error:
                if error.code in _UNWRITABLE:
                    self._warn(error)
                elif error.code != Code.LOCKED:
                    raise

    @contextlib.contextmanager
    def staging(self, size: int) -> Iterator[Staging]:
        """Make a directory for a version of `size` bytes on its way in; what is left of it at the end goes.

        Raises:
            StoreError: DISK_FULL before anything is written; else as `folder.translated`.
        """
        name = os.urandom(16).hex()
        with self._folder() as home, home.folder(INCOMING) as incoming:
            free = home.free()
            if free < size + SPARE:
                what = f"{size + SPARE} bytes are needed, {free} are free"
                step = "free some space and try again; what was installed is untouched"
                raise StoreError(Code.DISK_FULL, what, where=str(self.home), next_step=step)
            with incoming.folder(name) as folder:
                staging = Staging(name, folder)
                try:
                    yield staging
                except Exception:
                    if staging.moved:
                        raise
                    with contextlib.suppress(StrongroomError):  # the next start removes what cannot be removed now
                        self._discard(incoming, staging)
                    raise

    def activate(self, staging: Staging, change: Callable[[State], State]) -> State:
        """Make a staged version the active one: move it, write the state, remove what it replaced.

        Raises:
            StrongroomError: whatever `change` raises; nothing is then moved.
            StoreError: LOCKED or as `folder.translated`. Then the old version is active, whole; a failure of the
                very last sync may leave the new one active instead, whole too.
        """
        staging.folder.sync()
        with self._folder() as home, locked(home, STORE_LOCK, self._patience):
            old = self._read(home)
            if old is None:
                raise not_enrolled(self.home)
            state = change(old)  # before anything moves: what is refused leaves nothing
            with home.folder(INCOMING) as incoming, home.folder(MODELS) as models:
                staging.moved = True
                incoming.move(staging.name, models)
            self._write(home, state)
            with contextlib.suppress(StrongroomError):  # the version is active; the next start removes what is left
                self._remove_unnamed(home, state)
            return state

    def mark_damaged(self, install: Install) -> None:
        """Remember that an install failed a check, so that it is fetched anew. Raises as `update`."""

        def change(state: State) -> State:  # of the record as it is by then: a lease may have been renewed meanwhile
            found = next((one for one in state.installs if one.id == install.id), None)
            return state if found is None else state.with_changed(replace(found, damaged=True))

        self.update(change)

    def _folder(self) -> Folder:
        return Folder.open(self.home, ours=OURS.__contains__)

    def _read(self, home: Folder) -> State | None:
        where = str(self.home / STATE)
        data = home.read(STATE, limit=memory_of.LIMIT)
        if data is None:
            if home.has(MODELS):
                with home.folder(MODELS) as models:
                    if models.names():
                        raise memory_of.lost(where, "the device's memory is gone while models are still here")
            return None
        with self._state_key() as key:
            return memory_of.decode(data, key, where=where)

    def _write(self, home: Folder, state: State) -> None:
        with self._state_key() as key:
            data = memory_of.encode(state, key)
        memory_of.check_readable(data)
        home.write(STATE, data)
        self._unwritten = None

    @contextlib.contextmanager
    def _state_key(self) -> Iterator[bytearray]:
        """Give out the key of the state's MAC for the block, and wipe it."""
        key = self.keystore.get(STATE_KEY)
        if key is None:
            raise memory_of.lost(str(self.home / STATE), "the key of the device's memory is gone")
        try:
            yield key
        finally:
            wipe(key)

    def _ticked(self, home: Folder, *, keep: bool) -> State:
        """Return the state with its clock moved to now, written down if that can be and is wanted."""
        old = self._read(home)
        if old is None:
            raise not_enrolled(self.home)
        known = old.clock if self._unwritten is None or self._unwritten.seen < old.clock.seen else self._unwritten
        new = replace(old, clock=advance(known, self.clocks()))
        if keep and new != old:
            try:
                self._write(home, new)
            except StoreError as error:
                if error.code not in _UNWRITABLE:
                    raise
                self._unwritten = new.clock
                self._warn(error)
        return new

    def _warn(self, error: StoreError) -> None:
        if not self._warned:
            self._warned = True
            _log.warning("the device directory takes no change; what is installed still opens: %s", error)

    def _update(self, home: Folder, change: Callable[[State], State]) -> State:
        old = self._read(home)
        if old is None:
            raise not_enrolled(self.home)
        new = change(old)
        if new != old:
            self._write(home, new)
        return new

    def _clean(self, home: Folder) -> None:
        with locked(home, STORE_LOCK, self._patience):
            state = self._read(home)
            if state is None:
                return
            home.sync()  # the state just read may not be durable yet: what it no longer names must not go first
            for name in home.names():
                if name.startswith(FRESH):
                    home.remove(name)
            with home.folder(INCOMING) as incoming:
                for name in incoming.names():
                    incoming.remove_folder(name)
            self.keystore.clean()
            self._remove_unnamed(home, state)

    def _remove_unnamed(self, home: Folder, state: State) -> None:
        """Destroy keys and remove versions that the state does not name: keys first, so that no kept copy opens."""
        keys = {STATE_KEY, *(file.key for one in state.installs for file in one.files)}
        for name in self.keystore.names():
            if name not in keys:
                self.keystore.destroy(name)
        with home.folder(MODELS) as models:
            for name in models.names():
                if name not in {one.id for one in state.installs}:
                    models.remove_folder(name)

    def _discard(self, incoming: Folder, staging: Staging) -> None:
        for key in staging.keys:
            self.keystore.destroy(key)
        incoming.remove_folder(staging.name)


def file_name(index: int) -> str:
    """Return the name of a version's file: by position, never by what someone called it."""
    return f"{index}.srm"


def not_enrolled(home: Path) -> SetupError:
    """Return the error for a directory without an enrolled device."""
    step = "run `strongroom enrol --server URL --trust FILE`, or pass `token=` to strongroom.connect"
    return SetupError(Code.NOT_ENROLLED, "this device is not enrolled", where=str(home), next_step=step)


def damaged(install: Install, what: str) -> StoreError:
    """Return the error for an installed version that is not as it was written."""
    step = f"fetch it anew: `strongroom pull {reference_of(install)}`"
    return StoreError(Code.STORE_DAMAGED, what, where=f"{install.model} {install.version}", next_step=step)


def reference_of(install: Install) -> str:
    """Return how this install is asked for on the command line."""
    selector = install.selectors[0] if install.selectors else install.version
    return f"{install.model}@{selector.removeprefix('@')}"


def _existing(models: Folder, install: Install) -> Folder:
    if not models.has(install.id):
        raise damaged(install, "the directory of an installed version is missing")
    return models.folder(install.id)
