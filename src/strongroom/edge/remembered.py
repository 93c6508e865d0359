"""state.json and the key of its MAC: how what the device remembers is read and replaced (protocol.md section 13)."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from strongroom.edge import state as memory_of
from strongroom.edge.folder import Folder
from strongroom.edge.keystore import Keystore
from strongroom.edge.state import State
from strongroom.sealed.wiping import wipe

STATE, MODELS = "state.json", "models"
STATE_KEY = "state"  # name of the MAC key in the keystore


@dataclass(frozen=True, slots=True)
class Remembered:
    """The file of one device directory; its caller holds the store's lock where it writes."""

    path: Path  # of the device directory
    keystore: Keystore

    def read(self, home: Folder) -> State | None:
        """Return what is remembered, or None before the first enrolment.

        Raises:
            StoreError: STORE_DAMAGED, with how to begin anew; else as `folder.translated`.
        """
        where = str(self.path / STATE)
        data = home.read(STATE, limit=memory_of.LIMIT)
        if data is None:
            if home.has(MODELS):
                with home.folder(MODELS) as models:
                    if models.names():
                        raise memory_of.lost(where, "the device's memory is gone while models are still here")
            return None
        with self._key() as key:
            return memory_of.decode(data, key, where=where)

    def write(self, home: Folder, state: State) -> None:
        """Replace what is remembered, durably. Raises StoreError: DISK_FULL, or as `folder.translated`."""
        with self._key() as key:
            data = memory_of.encode(state, key)
        memory_of.check_readable(data)
        home.write(STATE, data)

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
