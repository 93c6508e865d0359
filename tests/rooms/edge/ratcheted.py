"""A device whose keystore has a ratchet, as hardware has, and stops where a test says."""

import hashlib
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from rooms.edge.memory_office import SERVER, USER_TOKEN, Device
from strongroom.edge import client
from strongroom.edge.keystore.file import FileKeystore
from strongroom.errors import Code, StoreError


class Stopped(BaseException):
    """The process is gone: nothing catches it."""


@dataclass
class Part:
    """The hardware: no copy of a directory copies it. `trouble` is what comes of the next turn, before or after it."""

    place: bytes | None = None
    turns: int = 0
    before: BaseException | None = None
    after: BaseException | None = None

    def turn(self, data: bytes) -> None:
        trouble, self.before = self.before, None
        if trouble is not None:
            raise trouble
        assert self.place is not None
        self.place = hashlib.sha256(self.place + data).digest()
        self.turns += 1
        trouble, self.after = self.after, None
        if trouble is not None:
            raise trouble


class RatchetKeystore(FileKeystore):
    """Keys in files, and a ratchet."""

    def __init__(self, path: Path, part: Part) -> None:
        super().__init__(path)
        self.part = part

    def begin_ratchet(self) -> None:
        self.part.place = hashlib.sha256((self.part.place or bytes(32)) + os.urandom(32)).digest()

    def read_ratchet(self) -> bytes | None:
        return self.part.place

    def turn_ratchet(self, data: bytes) -> None:
        self.part.turn(data)


@dataclass
class RatchetDevice(Device):
    """Copies its directory and puts copies back, as whoever has it can."""

    part: Part = field(default_factory=Part)

    def room(self, *, token: str | None = USER_TOKEN, url: str | None = SERVER) -> client.Room:
        self.home.mkdir(mode=0o700, exist_ok=True)
        if not (self.home / "state.json").exists():
            (self.home / "trust.json").write_bytes(self.office.trust_documents[0])
        return client.open_room(
            self.home,
            self.keystore(),
            url=url,
            token=token,
            trust=None,
            connector=lambda _: self.office,
            clocks=self.clocks,
        )

    def keystore(self):
        return RatchetKeystore(self.home / "keystore", self.part)

    def copy(self, name: str) -> Path:
        return Path(shutil.copytree(self.home, self.home.parent / name, symlinks=True))

    def put_back(self, copy: Path) -> None:
        shutil.rmtree(self.home)
        shutil.copytree(copy, self.home, symlinks=True)

    def reboot(self) -> None:
        self.boot_id, self.boot = f"{self.boot_id}'", 10

    def runs(self, wanted: str = "digits") -> bytes:
        """Load what is installed without the office, and read it."""
        with self.room(token=None).load(wanted, offline="only") as model:
            return bytes(model.file("weights.bin"))


def no_answer() -> StoreError:
    return StoreError(Code.STORE_IO, "the keystore does not answer")
