"""state.json and the key of its MAC: how what the device remembers is read and replaced (protocol.md section 13)."""

import contextlib
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from strongroom.edge import state as memory_of
from strongroom.edge import turning
from strongroom.edge.folder import Folder
from strongroom.edge.keystore import Keystore, Ratchet
from strongroom.edge.state import State, Turn
from strongroom.errors import Code, StoreError
from strongroom.sealed.wiping import wipe

STATE, MODELS = "state.json", "models"
STATE_KEY = "state"  # name of the MAC key in the keystore


class UnturnedError(StoreError):
    """The new state is on the disk, and the hardware did not take note of it: nothing of it may be used yet."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """The file of one device directory; its caller holds the store's lock where it writes."""

    path: Path  # of the device directory
    keystore: Keystore

    def read(self, home: Folder, alone: Callable[[], AbstractContextManager[None]] = nullcontext) -> State | None:
        """Return what is remembered, or None before the first enrolment; a ratchet that is behind is turned.

        Args:
            home: the device directory.
            alone: takes the store's lock, for a caller that does not hold it.

        Raises:
            StoreError: STORE_DAMAGED, with how to begin anew; else as `folder.translated`.
        """
        state, step = self._decoded(home)
        ratchet = self._ratchet()
        if state is None or ratchet is None or turning.stands(state, step, ratchet.read_ratchet()):
            return state
        with alone():  # perhaps it was just being replaced
            state, step = self._decoded(home)
            if state is not None:
                self._settle(home, state, step, ratchet)
            return state

    def write(self, home: Folder, state: State, old: State | None) -> State:
        """Replace what is remembered, durably, and turn the ratchet if the old one must not come back.

        Args:
            home: the device directory, with the store's lock held.
            state: the new one.
            old: as it was read under the same lock; None if there is none.

        Returns:
            What was written.

        Raises:
            UnturnedError: the hardware keystore fails; the new one may be in force.
            StoreError: DISK_FULL, or as `folder.translated`; the old one is in force.
        """
        ratchet = self._ratchet()
        step = b""
        with _heard(ratchet), self._key() as key:
            if ratchet is not None and (old is None or turning.is_due(old, state)):
                before = self._place(ratchet) if old is None or old.turn is None else turning.after(old.turn, key)
                turn = Turn(before, os.urandom(32), state.clock.seen)
                state, step = replace(state, turn=turn), turning.step(turn, key)
            data = memory_of.encode(state, key)
        memory_of.check_readable(data)
        home.write(STATE, data)
        if ratchet is not None and step:
            with _heard(ratchet):
                self._turn(state, step, ratchet)
        return state

    def make_key(self) -> None:
        """Make the key of the MAC if there is none. Raises StoreError."""
        if STATE_KEY not in self.keystore.names():
            self.keystore.put(STATE_KEY, os.urandom(32))

    def glance(self) -> tuple[int, int, int] | None:
        """Return what differs between any two state.json, or None if it cannot be told; nothing is opened."""
        try:
            found = (self.path / STATE).lstat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_ctime_ns

    def _decoded(self, home: Folder) -> tuple[State | None, bytes]:
        """Return the state as its MAC says, and the step of its turn if it has one."""
        where = str(self.path / STATE)
        data = home.read(STATE, limit=memory_of.LIMIT)
        if data is None:
            if home.has(MODELS):
                with home.folder(MODELS) as models:
                    if models.names():
                        raise memory_of.lost(where, "the device's memory is gone while models are still here")
            return None, b""
        with self._key() as key:
            state = memory_of.decode(data, key, where=where)
            return state, b"" if state.turn is None else turning.step(state.turn, key)

    def _settle(self, home: Folder, state: State, step: bytes, ratchet: Ratchet) -> None:
        """Turn the ratchet where a crash kept it from being turned; refuse any other state it does not stand for.

        Raises:
            StoreError: STORE_DAMAGED.
        """
        place = ratchet.read_ratchet()
        if turning.stands(state, step, place):
            return
        where = str(self.path / STATE)
        if place is None:
            raise memory_of.lost(where, "what the hardware keystore noted of the device's memory is gone")
        if state.turn is None or place != state.turn.before:
            what = "an older copy of the device's memory was put back: the hardware keystore has noted a newer one"
            raise memory_of.lost(where, what)
        home.sync()  # or a power cut could take the only state that is in force then
        with _heard(ratchet):
            self._turn(state, step, ratchet)

    def _turn(self, state: State, step: bytes, ratchet: Ratchet) -> None:
        """Turn the ratchet; once more if it failed and, asked where it stands, did not move. Raises StoreError."""
        try:
            ratchet.turn_ratchet(step)
        except StoreError:
            if not turning.stands(state, step, ratchet.read_ratchet()):
                ratchet.turn_ratchet(step)

    def _ratchet(self) -> Ratchet | None:
        return self.keystore if isinstance(self.keystore, Ratchet) else None

    def _place(self, ratchet: Ratchet) -> bytes:
        """Begin the ratchet, and return where it stands."""
        ratchet.begin_ratchet()
        place = ratchet.read_ratchet()
        if place is None:
            what = "the hardware keystore does not keep what was just written to it"
            raise StoreError(Code.STORE_IO, what, where=str(self.path / STATE))
        return place

    @contextlib.contextmanager
    def _key(self) -> Iterator[bytearray]:
        """Give out the key of the MAC for the block, and wipe it."""
        key = self.keystore.get(STATE_KEY)
        if key is None:
            raise memory_of.lost(str(self.path / STATE), "the key of the device's memory is gone")
        try:
            yield key
        finally:
            wipe(key)


@contextlib.contextmanager
def _heard(ratchet: Ratchet | None) -> Iterator[None]:
    """Tell trouble of the hardware from that of the directory. Raises UnturnedError, and StoreError for damage."""
    try:
        yield
    except StoreError as error:
        if ratchet is None or error.code == Code.STORE_DAMAGED:
            raise
        what = f"the hardware keystore took no note of the device's memory: {error.what}"
        first = error.next_step or "see that the hardware keystore can be used, and try again"
        step = f"{first}; without its note an older copy of the memory could be put back"
        raise UnturnedError(error.code, what, where=error.where, next_step=step) from error
