"""The device directory: what is installed, and how it changes without ever being half changed.

    state.json   everything remembered, one MAC (state.py)      store.lock, pull.lock   one process at a time
    keystore/    keys of the file keystore                      incoming/<random>/      a version on its way in
    trust.json   put there by the user before enrolling         models/<random>/        whole versions, n.srm each

A version is named in the state, written to `incoming/` (incoming.py), made durable, moved to `models/`, and becomes
active with the next state.json; only then is what it replaces removed. Whatever no valid state names is a leftover of a
crash (docs/spec/protocol.md section 13).
"""

import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from strongroom.edge import incoming as arriving
from strongroom.edge import tombstones
from strongroom.edge.clock import Anchor, Reading, advance, read_clocks
from strongroom.edge.folder import FRESH, Folder
from strongroom.edge.incoming import INCOMING, Staging, Wanted, file_name
from strongroom.edge.keystore import Keystore
from strongroom.edge.lock import locked
from strongroom.edge.remembered import MODELS, STATE, Remembered, UnturnedError
from strongroom.edge.state import Install, Partial, State
from strongroom.errors import Code, SetupError, StoreError, StrongroomError
from strongroom.sealed import ModelKey
from strongroom.sealed.wiping import wipe

TRUST, KEYS = "trust.json", "keystore"
STORE_LOCK, PULL_LOCK = "store.lock", "pull.lock"
OURS = frozenset({STATE, TRUST, MODELS, INCOMING, KEYS, STORE_LOCK, PULL_LOCK})
PATIENCE, PULL_PATIENCE = 10.0, 600.0  # seconds to wait for another process: short changes, whole downloads
_UNWRITABLE = {Code.DISK_FULL, Code.PERMISSIONS, Code.STORE_IO}  # the machine's trouble: nothing is damaged
_log = logging.getLogger(__name__)


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
        self._memory = Remembered(home, keystore)
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
            return self._memory.read(home, lambda: locked(home, STORE_LOCK, self._patience))

    def glance(self) -> object:
        """Return what is another thing as soon as the state was written again; costs one call of the system."""
        return self._memory.glance()

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
            self._memory.make_key()
            self._write(home, state, None)

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
            old = self._need(home)
            new = change(old)
            return new if new == old else self._write(home, new, old)

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
        Hardware that takes none does.

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
                state = self._ticked(home, keep=keep, opening=keep)
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
    def pulling(self, *, patience: float | None = None) -> Iterator[None]:
        """Be the one process that fetches, renews or wipes; what an interrupted one left is removed first.

        Args:
            patience: seconds to wait for another one; by default those of a whole download.

        Raises:
            StoreError: LOCKED if another process fetches for too long; else as `read`.
        """
        with self._folder() as home, locked(home, PULL_LOCK, self._pull_patience if patience is None else patience):
            self._clean(home)
            yield

    def sweep(self) -> None:
        """Destroy and remove now what the state does not name. The caller holds `pulling`. Raises as `pulling`."""
        with self._folder() as home:
            self._clean(home)

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
    def staging(self, model: str, version: str, wanted: Wanted, size: int) -> Iterator[Staging]:
        """Give out the directory of a version on its way in, with what came of it before, named in the state.

        It stays, to be gone on with, if the block ends by an error that `incoming.goes_on` is for; otherwise it
        goes, with its keys, unless the version became active. The caller holds `pulling`.

        Args:
            model: its model.
            version: its version.
            wanted: file_id and head of each file; what was begun from others is destroyed.
            size: bytes of the disk it will take in all.

        Raises:
            SetupError: NOT_ENROLLED.
            StoreError: DISK_FULL before anything is written; else as `folder.translated`.
        """
        with self._folder() as home:
            partial = self._partial(home, model, version, wanted, size)
            with home.folder(INCOMING) as incoming, incoming.folder(partial.id) as folder:
                staging = Staging(partial.id, folder, [file.key for file in partial.files])
                try:
                    yield staging
                except Exception as error:
                    if not staging.moved and not arriving.goes_on(error):
                        with contextlib.suppress(StrongroomError):  # the next start removes what cannot be removed now
                            self._give_up(home, staging.name)
                    raise

    def partials(self) -> tuple[tuple[Partial, int], ...]:
        """Return the versions that are on their way in, and how many bytes of the disk each takes. Raises as `need`."""
        state = self.need()
        with self._folder() as home:
            return tuple((one, arriving.room_taken(home, one.id)) for one in state.partials)

    def activate(self, staging: Staging, change: Callable[[State], State]) -> State:
        """Make a staged version the active one: move it, write the state, remove what it replaced.

        Raises:
            StrongroomError: whatever `change` raises; nothing is then moved.
            StoreError: LOCKED or as `folder.translated`. Then the old version is active, whole; a failure of the
                very last sync may leave the new one active instead, whole too.
        """
        staging.folder.sync()
        with self._folder() as home, locked(home, STORE_LOCK, self._patience):
            old = self._need(home)
            state = arriving.without(change(old), staging.name)  # what is refused moves nothing
            with home.folder(INCOMING) as incoming, home.folder(MODELS) as models:
                staging.moved = True
                incoming.move(staging.name, models)
            state = self._write(home, state, old)
            with contextlib.suppress(StrongroomError):  # the version is active; the next start removes what is left
                arriving.remove_unnamed(home, self.keystore, state)
            return state

    def mark_damaged(self, install: Install) -> None:
        """Remember that an install failed a check, so that it is fetched anew. Raises as `update`."""

        def change(state: State) -> State:  # of the record as it is by then: a lease may have been renewed meanwhile
            found = next((one for one in state.installs if one.id == install.id), None)
            return state if found is None else state.with_changed(replace(found, damaged=True))

        self.update(change)

    def _folder(self) -> Folder:
        return Folder.open(self.home, ours=OURS.__contains__)

    def _write(self, home: Folder, state: State, old: State | None) -> State:
        written = self._memory.write(home, state, old)
        self._unwritten = None
        return written

    def _need(self, home: Folder) -> State:
        state = self._memory.read(home)
        if state is None:
            raise not_enrolled(self.home)
        return state

    def _ticked(self, home: Folder, *, keep: bool, opening: bool = False) -> State:
        """Return the state with its clock moved to now, written down if that can be and is wanted.

        An opening is counted by the way: for it alone nothing is written.
        """
        old = self._need(home)
        known = old.clock if self._unwritten is None or self._unwritten.seen < old.clock.seen else self._unwritten
        new = replace(old, clock=advance(known, self.clocks()))
        if keep and new != old:
            new = new.with_run() if opening else new
            try:
                return self._write(home, new, old)
            except UnturnedError:
                raise  # what is refused to the hardware alone could be refused for ever, and the lease would not end
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

    def _clean(self, home: Folder) -> None:
        with locked(home, STORE_LOCK, self._patience):
            state = self._memory.read(home)
            for name in home.names():
                if name.startswith(FRESH):
                    home.remove(name)
            self.keystore.clean()
            if state is None:
                return
            home.sync()  # the state just read may not be durable yet: what it no longer names must not go first
            kept = arriving.without_old(state)
            if kept != state:
                state = self._write(home, kept, state)
            arriving.remove_unnamed(home, self.keystore, state)
            signer = self.keystore.device_key() if tombstones.unfinished(state) else None
            settled = tombstones.settle(state, signer)  # by now everything else is gone for good
            if settled != state:
                self._write(home, settled, state)

    def _partial(self, home: Folder, model: str, version: str, wanted: Wanted, size: int) -> Partial:
        """Find the partial to go on with, or name a new one in the state; other ones of the model go first."""
        with locked(home, STORE_LOCK, self._patience):
            state = self._need(home)
            now = max(state.clock.seen, self.clocks().wall)  # a wall clock that is ahead keeps it longer, no more
            found = arriving.find(state, model, version, wanted)
            if found is not None and not {file.key for file in found.files} <= {*self.keystore.names()}:
                found = None  # its keys are gone, and with them whatever lies there
            state = self._written_down(home, arriving.with_partial(state, model, found), state)
            arriving.check_room(home, found, size)
            if found is not None:
                self._written_down(home, arriving.touched(state, found, now), state)
                return found
            partial = arriving.begin(model, version, wanted, now)
            arriving.make_keys(self.keystore, partial)
            self._written_down(home, arriving.with_partial(state, model, partial), state)
            return partial

    def _give_up(self, home: Folder, name: str) -> None:
        with locked(home, STORE_LOCK, self._patience):
            state = self._need(home)
            self._written_down(home, arriving.without(state, name), state)

    def _written_down(self, home: Folder, new: State, old: State) -> State:
        """Write the state if it is another, and remove what it does not name any more."""
        if new == old:
            return old
        written = self._write(home, new, old)
        arriving.remove_unnamed(home, self.keystore, written)
        return written


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
