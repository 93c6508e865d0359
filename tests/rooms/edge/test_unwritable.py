"""A disk that is full, read-only or not ours to write: what is installed opens, and nobody calls it damaged."""

import errno
import os
from types import SimpleNamespace

import pytest

from rooms.edge.memory_office import DAY, weights
from strongroom.errors import Code, RefusedError, StoreError

CHANGES = ("write", "fsync", "replace", "rename", "unlink", "rmdir", "fchmod")
NEW_FILE = os.O_CREAT | os.O_EXCL


class Unwritable:
    """Bends the operating system: every change fails as the kernel makes it fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
        self.number, self.tried = number, 0
        self._open, self._mkdir, self._statvfs = os.open, os.mkdir, os.fstatvfs
        for name in CHANGES:
            monkeypatch.setattr(os, name, self._fail)
        monkeypatch.setattr(os, "open", self.open)
        monkeypatch.setattr(os, "mkdir", self.mkdir)
        monkeypatch.setattr(os, "fstatvfs", self.statvfs)

    def _fail(self, *_: object, **__: object) -> None:
        self.tried += 1
        raise OSError(self.number, os.strerror(self.number))

    def open(self, path: str, flags: int, *args: int, dir_fd: int | None = None) -> int:
        made = flags & os.O_CREAT and not os.path.lexists(path if dir_fd is None else f"/proc/self/fd/{dir_fd}/{path}")
        if made or flags & NEW_FILE == NEW_FILE:
            self._fail()
        if self.number == errno.EROFS and flags & (os.O_RDWR | os.O_WRONLY):
            raise OSError(errno.EROFS, "read-only")
        return self._open(path, flags, *args, dir_fd=dir_fd)

    def mkdir(self, path: str, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        if os.path.lexists(path if dir_fd is None else f"/proc/self/fd/{dir_fd}/{path}"):
            raise FileExistsError(errno.EEXIST, "exists")
        self._fail()

    def statvfs(self, handle: int) -> object:
        real = self._statvfs(handle)
        flag = os.ST_RDONLY if self.number == errno.EROFS else 0
        return SimpleNamespace(f_bavail=real.f_bavail, f_frsize=real.f_frsize, f_flag=flag)


@pytest.fixture(params=[errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO], ids=errno.errorcode.get)
def number(request: pytest.FixtureRequest) -> int:
    return request.param


def test_what_is_installed_opens(device, office, monkeypatch, number, caplog):
    """C05: whole and within its lease it opens offline, the lock files gone or not, and one warning says why."""
    device.room().pull("digits")
    office.down = True
    device.later(3600)
    if number == errno.EROFS:
        (device.home / "store.lock").unlink()
        (device.home / "pull.lock").unlink()
    before = {path: path.read_bytes() for path in device.home.rglob("*") if path.is_file()}
    with monkeypatch.context() as patch:
        disk = Unwritable(patch, number)
        room = device.room()
        for _ in range(2):
            with room.load("digits") as model:
                assert model.file("weights.bin") == weights(1)
        assert disk.tried
    assert [one.name for one in caplog.records].count("strongroom.edge.store") == 1
    assert before == {path: path.read_bytes() for path in device.home.rglob("*") if path.is_file()}


def test_the_lease_ends_all_the_same(device, office, monkeypatch, number):
    """C05, C09: the time that cannot be written down counts, and is not forgotten while the room lives."""
    device.room().pull("digits")
    office.down = True
    with monkeypatch.context() as patch:
        Unwritable(patch, number)
        room = device.room()
        device.later(3 * DAY - 1)
        with room.load("digits", offline="only"):
            pass
        device.wall_ahead, device.boot_id, device.boot = -30 * DAY, "another start", 1
        with pytest.raises(RefusedError) as caught, room.load("digits", offline="only"):
            pass
        assert caught.value.code == Code.LEASE_EXPIRED


def test_a_pull_says_what_the_disk_is(device, office, monkeypatch, number):
    device.room().pull("digits")
    office.publish("digits", "1.1", {"w": b"new"}, counter=2)
    with monkeypatch.context() as patch:
        Unwritable(patch, number)
        with pytest.raises(StoreError) as caught:
            device.room().pull("digits")
        assert caught.value.code in {Code.DISK_FULL, Code.STORE_IO, Code.PERMISSIONS}
        assert ("0700" in caught.value.next_step) == (number == errno.EACCES)
    with device.room().load("digits", offline="only") as model:
        assert model.version == "1.0"


def test_verify_writes_nothing(device, office, monkeypatch, number):
    """A look at the store needs no room on the disk, and does not move the clock."""
    room = device.room()
    room.pull("digits")
    device.later(3600)
    with monkeypatch.context() as patch:
        disk = Unwritable(patch, number)
        [verdict] = device.room().verify()
        assert verdict.error is None
        assert not disk.tried
    path = next(device.home.glob("models/*/0.srm"))
    kept = path.read_bytes()
    memory = (device.home / "state.json").read_bytes()
    path.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    [verdict] = room.verify()
    assert verdict.damaged
    path.unlink()
    [verdict] = room.verify()
    assert verdict.damaged
    assert (device.home / "state.json").read_bytes() == memory
    device.later(4 * DAY)
    path.write_bytes(kept)
    [verdict] = room.verify()
    assert isinstance(verdict.error, RefusedError)
    assert not verdict.damaged


def test_the_machines_trouble_is_not_damage(device, monkeypatch):
    room = device.room()
    room.pull("digits")
    real = os.open

    def failing(path: str, *args: int, **kwargs: int) -> int:
        if path == "0.srm":
            raise OSError(errno.EIO, "input/output error")
        return real(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", failing)
    [verdict] = room.verify()
    assert isinstance(verdict.error, StoreError)
    assert verdict.error.code == Code.STORE_IO
    assert not verdict.damaged
