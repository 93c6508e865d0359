"""The device directory under crashes, full disks, planted links and other processes."""

import contextlib
import multiprocessing
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rooms.edge.memory_office import Device, MemoryOffice, weights
from strongroom.edge import incoming
from strongroom.edge import store as stores
from strongroom.edge.folder import Folder
from strongroom.edge.keystore.file import FileKeystore
from strongroom.edge.lock import locked
from strongroom.edge.state import Install, State
from strongroom.errors import Code, SetupError, StoreError, StrongroomError

OLD, NEW = b"old" * 1000, b"new" * 1000
WRITES = ("write", "fsync", "replace", "rename", "unlink", "rmdir", "mkdir", "fchmod")


class Crash(BaseException):
    """The machine is off: nothing catches it, and nothing works after it."""


class Failing:
    """Makes the n-th writing call of the operating system fail, once, or as the end of everything."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: Callable[[], BaseException], *, for_ever: bool) -> None:
        self.count, self.at, self.on = 0, -1, False
        self._error, self._for_ever = error, for_ever
        for name in WRITES:
            monkeypatch.setattr(os, name, self._wrapped(name, getattr(os, name)))

    def _wrapped(self, name: str, real: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            if self.on:
                self.count += 1
                if self.count == self.at or (self._for_ever and self.count > self.at >= 0):
                    if name == "write" and self.count == self.at:
                        real(args[0], bytes(args[1])[: len(args[1]) // 2])
                    raise self._error()
            return real(*args, **kwargs)

        return call


def prepared(tmp_path: Path) -> tuple[MemoryOffice, Path]:
    """A directory with the old version installed and lock files made, and an office that has the new one."""
    office = MemoryOffice()
    office.publish("digits", "1.0", {"w": OLD}, counter=1)
    office.publish("other", "1.0", {"w": OLD}, counter=1)
    room = Device(tmp_path / "first", office).room()
    room.pull("digits")
    room.pull("other")
    office.publish("digits", "1.1", {"w": NEW}, counter=2)
    return office, tmp_path / "first"


def check_whole(device: Device) -> bytes:
    """Whatever happened: one version, whole, no leftover but a partial, and the other model untouched."""
    device.office.down = True
    room = device.room()
    with room.load("digits") as model:
        content = bytes(model.bytes())
        assert (model.version, content) in {("1.0", OLD), ("1.1", NEW)}
    with room.load("other") as model:
        assert model.bytes() == OLD
    begun = len(room.store.need().partials)  # a download that may be gone on with, and nothing else
    assert device.counts() in {(2, 2 + begun, 0), (2, 2 + begun, begun)}
    assert not list(device.home.rglob(".new-*"))
    device.office.down = False
    room.pull("digits")
    assert (device.counts(), room.store.need().partials) == ((2, 2, 0), ())
    with room.load("digits", offline="only") as model:
        assert model.bytes() == NEW
    return content


@pytest.mark.parametrize("for_ever", [True, False], ids=["the machine stops", "one call fails"])
def test_an_update_that_stops_anywhere_leaves_old_or_new_whole(tmp_path, monkeypatch, for_ever):
    """C01, C03, C04, A14: at every writing call of an update, in turn."""
    office, first = prepared(tmp_path)
    with monkeypatch.context() as patch:
        failing = Failing(patch, Crash if for_ever else (lambda: OSError(28, "no space")), for_ever=for_ever)
        seen, at = set(), 0
        while True:
            at += 1
            shutil.copytree(first, tmp_path / "device")
            device = Device(tmp_path / "device", office)
            room = device.room()
            failing.count, failing.at, failing.on, full = 0, at, True, True
            try:
                room.pull("digits")
                assert not for_ever or failing.count < at
            except Crash:
                assert for_ever
            except StoreError as error:
                full = (error.code, bool(error.next_step)) == (Code.DISK_FULL, True)
            failing.on = False
            assert full
            seen.add(check_whole(device))
            shutil.rmtree(tmp_path / "device")
            if failing.count < at:
                break
    assert seen == {OLD, NEW}
    assert at > 30


def test_a_crash_while_enrolling_can_be_repeated(tmp_path, monkeypatch):
    office = MemoryOffice()
    office.publish("digits", "1.0", {"w": OLD}, counter=1)
    with monkeypatch.context() as patch:
        failing = Failing(patch, Crash, for_ever=True)
        at = 0
        while True:
            at += 1
            device = Device(tmp_path / f"device{at}", office)
            failing.count, failing.at, failing.on = 0, at, True
            try:
                device.room()
            except Crash:
                pass
            finally:
                failing.on = False
            with device.room().load("digits") as model:
                assert model.bytes() == OLD
            if failing.count < at:
                break
    assert at > 10


def test_a_full_disk_is_known_before_anything_is_written(device, monkeypatch):
    """C04: the space is checked before the start."""
    room = device.room()
    monkeypatch.setattr(incoming, "SPARE", 1 << 60)
    with pytest.raises(StoreError) as caught:
        room.pull("digits")
    assert caught.value.code == Code.DISK_FULL
    assert device.counts() == (0, 0, 0)


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o777], ids=oct)
def test_modes_whatever_the_umask(device, umask):
    """C15: 0600 and 0700, always."""
    before = os.umask(umask)
    try:
        device.room().pull("digits")
    finally:
        os.umask(before)
    for one in device.home.rglob("*"):
        wanted = 0o700 if one.is_dir() else 0o600
        if one.name != "trust.json":  # the user's own
            assert stat.S_IMODE(one.lstat().st_mode) == wanted, one


def test_a_directory_open_to_others(tmp_path, office):
    """C15: one with nothing but our files is closed; one with anything else is refused, not changed."""
    device = Device(tmp_path / "device", office)
    device.room()
    device.home.chmod(0o755)
    device.room()
    assert stat.S_IMODE(device.home.stat().st_mode) == 0o700
    device.home.chmod(0o755)
    (device.home / "holiday.jpg").touch()
    with pytest.raises(SetupError) as caught:
        device.room()
    assert caught.value.code == Code.PERMISSIONS
    assert "chmod 700" in caught.value.next_step


def test_a_keystore_open_to_others(device):
    """C15: treated as the directory around it is: nothing but keys in it, and it is closed; else refused."""
    room = device.room()
    room.pull("digits")
    keys = device.home / "keystore"
    keys.chmod(0o755)
    with room.load("digits"):
        assert stat.S_IMODE(keys.stat().st_mode) == 0o700
    keys.chmod(0o755)
    (keys / "holiday.jpg").touch()
    with pytest.raises(SetupError) as caught:
        device.room()
    assert caught.value.next_step == f"chmod 700 {keys}"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601], ids=oct)
def test_a_key_that_others_may_read(device, mode):
    """C15: like every other secret file, it is refused with the line that mends it."""
    device.room().pull("digits")
    for path in (device.home / "keystore").iterdir():
        path.chmod(mode)
        with pytest.raises(SetupError) as caught, device.room().load("digits", offline="only"):
            pass
        assert caught.value.code == Code.PERMISSIONS
        assert caught.value.next_step == f"run: chmod 600 {path}"
        path.chmod(0o600)
    with device.room().load("digits", offline="only"):
        pass


def test_keys_are_wiped_after_use(device, monkeypatch):
    """R49: every copy of a key that the keystore gives out is zeros as soon as it has served."""
    room = device.room()
    given = []
    real = FileKeystore._read

    def remembered(self: FileKeystore, name: str) -> bytearray | None:
        secret = real(self, name)
        given.append((name, secret, bytes(secret or b"")))
        return secret

    monkeypatch.setattr(FileKeystore, "_read", remembered)
    room.pull("digits")
    with room.load("digits", offline="only"):
        names = {name for name, _, _ in given}
        assert {"device", "state"} < names
        assert all(any(before) for _, _, before in given)
        assert not any(any(secret) for _, secret, _ in given)


@pytest.mark.parametrize("name", ["state.json", "store.lock", "pull.lock", "models", "incoming", "keystore"])
@pytest.mark.parametrize("kind", ["link", "dangling", "fifo", "other kind"])
def test_planted_things_are_refused(device, tmp_path, name, kind):
    """C14: a link, a FIFO or a directory where a file belongs is refused; nothing outside is touched."""
    device.room().pull("digits")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_bytes(b"precious")
    target = device.home / name
    was_folder = target.is_dir()
    target.rename(tmp_path / "kept")
    if kind == "link":
        target.symlink_to(outside if was_folder else outside / "precious")
    elif kind == "dangling":
        target.symlink_to(tmp_path / "nowhere")
    elif kind == "fifo":
        os.mkfifo(target, 0o600)
    elif was_folder:
        target.touch()
    else:
        target.mkdir()
    if kind == "fifo" and name.endswith(".lock"):
        device.room().pull("digits", fresh=True)  # as good a lock as any
    else:
        with pytest.raises(StrongroomError) as caught:
            device.room().pull("digits", fresh=True)
        assert caught.value.code in {Code.STORE_DAMAGED, Code.STORE_IO, Code.PERMISSIONS}
        assert caught.value.next_step
    assert [one.name for one in outside.iterdir()] == ["precious"]
    assert (outside / "precious").read_bytes() == b"precious"
    assert not (tmp_path / "nowhere").exists()


def test_a_key_file_with_a_second_name_is_not_overwritten(device, tmp_path):
    """C14: a hard link planted as a key file must not let us destroy what it points to."""
    device.room().pull("digits")
    precious = tmp_path / "precious"
    precious.write_bytes(b"p" * 32)
    os.link(precious, device.home / "keystore" / ("0" * 32 + ".key"))
    with device.room().load("digits"):  # cleans up what no state names
        pass
    assert precious.read_bytes() == b"p" * 32
    assert device.counts()[1] == 1


def test_a_lock_that_is_held_too_long(device):
    """C13: a clear error with what to do, not a hang."""
    room = device.room()
    room.pull("digits")
    room.store._patience = room.store._pull_patience = 0.05
    calls = {"store.lock": lambda: room.load("digits").__enter__(), "pull.lock": lambda: room.pull("digits")}
    for name, call in calls.items():
        with Folder.open(device.home) as home, locked(home, name, 0), pytest.raises(StoreError) as caught:
            call()
        assert caught.value.code == Code.LOCKED
        assert caught.value.next_step
    with room.load("digits"):
        pass


def _pull(home: Path, office: MemoryOffice, barrier: "multiprocessing.synchronize.Barrier") -> None:
    room = Device(home, office).room()
    barrier.wait()
    room.pull("digits", fresh=True)
    with room.load("digits", offline="only") as model:
        assert model.file("weights.bin") == weights(1)


def test_two_processes_install_at_once(device):
    """C13: both end with a good model."""
    device.room()
    fork = multiprocessing.get_context("fork")
    barrier = fork.Barrier(2)
    workers = [fork.Process(target=_pull, args=(device.home, device.office, barrier)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    assert device.counts() == (1, 1, 0)


def test_what_a_download_has_here_is_not_a_leftover(device, office):
    """A start of another process while one downloads removes nothing of it."""
    room = device.room()
    seen = []

    def progress(done: int, total: int) -> None:
        if not seen:
            device.room()
        seen.append((done, total))

    room.pull("digits", progress)
    with room.load("digits", offline="only") as model:
        assert model.bytes if seen else None


def test_memory_gone_or_without_its_key(device):
    """Nothing is deleted, and the way out is said."""
    device.room().pull("digits")
    for name in ("state.json", "keystore/state.key", "keystore/device.key"):
        kept = (device.home / name).read_bytes()
        (device.home / name).unlink()
        before = sorted(device.home.rglob("*"))
        with pytest.raises(StoreError) as caught:
            device.room().pull("digits")
        assert caught.value.code == Code.STORE_DAMAGED
        assert "enrol again" in caught.value.next_step
        assert set(before) <= set(device.home.rglob("*"))
        (device.home / name).write_bytes(kept)
        (device.home / name).chmod(0o600)
    with device.room().load("digits"):
        pass


def test_a_missing_or_damaged_file_is_fetched_anew(device):
    """C06: bit rot is refused once, remembered, and the next load with a line heals it."""
    room = device.room()
    room.pull("digits")
    path = next(device.home.glob("models/*/0.srm"))
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)
    device.office.down = True
    with pytest.raises(StrongroomError) as caught, room.load("digits"):
        pass
    assert caught.value.code == Code.FILE_SEGMENT
    assert "strongroom pull digits@stable" in caught.value.next_step
    with pytest.raises(StrongroomError), room.load("digits", offline="only"):
        pass
    device.office.down = False
    with room.load("digits") as model:
        assert model.file("weights.bin") == weights(1)
    next(device.home.glob("models/*/0.srm")).unlink()
    with room.load("digits") as model:
        assert model.file("weights.bin") == weights(1)
    assert device.counts() == (1, 1, 0)


def test_many_updates_do_not_grow_the_directory(device, office):
    """C20, in small."""
    room = device.room()
    before = len([*Path("/proc/self/fd").iterdir()])
    for counter in range(2, 22):
        office.publish("digits", f"1.{counter}", {"w": os.urandom(1000)}, counter=counter)
        room.pull("digits")
    assert device.counts() == (1, 1, 0)
    assert len([*Path("/proc/self/fd").iterdir()]) == before


def test_keystore_destroys_what_it_forgets(tmp_path):
    keys = FileKeystore(tmp_path / "keys")
    keys.put("a" * 32, b"\x07" * 32)
    with (tmp_path / "keys" / ("a" * 32 + ".key")).open("rb") as kept:
        keys.destroy("a" * 32)
        assert kept.read() != b"\x07" * 32  # overwritten before it was unlinked
    assert keys.get("a" * 32) is None
    keys.destroy("a" * 32)
    assert keys.names() == []
    with pytest.raises(StrongroomError):
        keys.put("../escape", b"\x07" * 32)
    (tmp_path / "keys" / "device.key").write_bytes(b"short")
    (tmp_path / "keys" / "device.key").chmod(0o600)
    with pytest.raises(StoreError) as caught:
        keys.device_key()
    assert caught.value.code == Code.STORE_DAMAGED


def test_weak_keys_are_said_loudly(tmp_path, caplog):
    """R48: the file keystore says what it is worth."""
    keys = FileKeystore(tmp_path / "keys")
    assert keys.strength == "file"
    keys.make_device_key()
    assert "whoever copies this directory" in caplog.text


def test_a_running_room_removes_what_another_left(device):
    """A14: leftovers go before the next download, not only at the next start."""
    room = device.room()
    room.pull("digits")
    (device.home / "incoming" / ("1" * 32)).mkdir()
    (device.home / "incoming" / ("1" * 32) / "0.srm").write_bytes(b"half")
    (device.home / "models" / ("2" * 32)).mkdir()
    (device.home / "keystore" / ("3" * 32 + ".key")).write_bytes(bytes(32))
    (device.home / ".new-4444").write_bytes(b"half")
    room.pull("digits")
    assert device.counts() == (1, 1, 0)
    assert not (device.home / ".new-4444").exists()


def test_a_folder_follows_no_link_and_overwrites_nothing(tmp_path):
    """C14: a new file is new, an old one is a regular file."""
    precious = tmp_path / "precious"
    precious.write_bytes(b"precious")
    with Folder.open(tmp_path / "home") as home:
        (home.path / "link").symlink_to(precious)
        (home.path / "file").write_bytes(b"old")
        for call in (
            lambda: home.create("link"),
            lambda: home.create("file"),
            lambda: home.open_file("link"),
            lambda: home.read("link", limit=100),
            lambda: home.open_lock("link"),
            lambda: home.overwrite("link"),
            lambda: home.folder("link"),
            lambda: home.read("file", limit=2),
        ):
            with pytest.raises(StoreError) as caught:
                call()
            assert caught.value.next_step
        home.write("link", b"ours")
        home.remove_folder("link")
        assert home.names() == ["file"]
    assert precious.read_bytes() == b"precious"


def test_marking_damage_keeps_what_changed_meanwhile(device):
    """A lease renewed between the check and the mark is not put back."""
    room = device.room()
    room.pull("digits")
    (before,) = room.store.need().installs
    device.later(100)
    room.pull("digits")
    room.store.mark_damaged(before)
    (after,) = room.store.need().installs
    assert after.damaged
    assert after.lease != before.lease
    room.store.mark_damaged(replace(before, id="0" * 32))
    assert room.store.need().installs == (after,)


def test_damage_of_a_replaced_version_is_not_laid_on_the_new_one(device, monkeypatch):
    """Another process replaces a version while this one finds the old one damaged: the new one is whole."""
    room, other = device.room(), device.room()
    room.pull("digits")
    path = next(device.home.glob("models/*/0.srm"))
    path.write_bytes(bytes(path.stat().st_size))
    real = room.store.opened

    @contextlib.contextmanager
    def opened(choose: Callable[[State], Install]) -> Iterator[stores.OpenInstall]:
        try:
            with real(choose) as found:
                yield found
        finally:
            other.pull("digits", fresh=True)

    monkeypatch.setattr(room.store, "opened", opened)
    with pytest.raises(StrongroomError), room.load("digits", offline="only"):
        pass
    monkeypatch.undo()
    with room.load("digits", offline="only") as model:
        assert model.version == "1.0"
