"""C02: the power is cut at any moment, and the disk keeps of what was not synced whatever it likes."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from rooms.edge.memory_office import Device, MemoryOffice
from rooms.edge.recorded_disk import Cut, Disk, write_image
from strongroom.edge.keystore.file import FileKeystore
from strongroom.errors import Code, SetupError

OLD, NEW = b"old" * 100, b"new" * 100


@pytest.fixture
def office() -> MemoryOffice:
    office = MemoryOffice()
    office.publish("digits", "1.0", {"w": OLD}, counter=1)
    return office


def found(disk: Disk, office: MemoryOffice, tmp_path: Path) -> set[str]:
    """Open every image offline, and return the versions that opened, whole."""
    disk.on = False
    office.down, versions = True, set()
    assert disk.images
    for image, twice in disk.images:
        home = tmp_path / "after"
        write_image(image, home)
        device = Device(home, office)
        version = opened(device)
        # A file system with one directory under two names is repaired by taking one away, or both.
        assert not (twice and version == max(office.models["digits"]))
        versions.add(version)
        if version in {Code.NOT_ENROLLED, Code.NOT_INSTALLED}:
            office.down = False
            with device.room().load("digits") as model:
                assert model.bytes() == {"1.0": OLD, "1.1": NEW}[model.version]
            office.down = True
        shutil.rmtree(home)
    office.down = False
    return versions


def opened(device: Device) -> str:
    """Return the version that opens, or why nothing is here yet; any other error is a failure."""
    try:
        with device.room(token=None).load("digits", offline="only") as model:
            assert model.bytes() == {"1.0": OLD, "1.1": NEW}[model.version]
            return model.version
    except SetupError as error:
        return str(error.code)


def recorded(monkeypatch: pytest.MonkeyPatch, home: Path, work: Callable[[], object]) -> tuple[Disk, Disk]:
    """Return the disk with the images that were possible during the work, and the same with those after it."""
    disk = Disk(monkeypatch, home)
    disk.start()
    work()
    during = set(disk.images)
    disk.start()
    after = Disk.__new__(Disk)
    after.images, after.everything = disk.images, disk.everything
    disk.images, disk.on = during, False
    return disk, after


def test_a_first_install(tmp_path, monkeypatch, office):
    """From an empty directory to the first model: nothing, an enrolled device, or the model; and then the model."""
    device = Device(tmp_path / "device", office)
    device.home.mkdir(mode=0o700)
    (device.home / "trust.json").write_bytes(office.trust_documents[0])
    with monkeypatch.context() as patch:
        during, after = recorded(patch, device.home, lambda: device.room().pull("digits"))
    assert len(during.images) > 40
    assert found(during, office, tmp_path) == {"not-enrolled", "not-installed", "1.0"}
    assert found(after, office, tmp_path) == {"1.0"}


def test_an_update(tmp_path, monkeypatch, office):
    """The old version or the new, whole, at any moment; once the update was reported it stays."""
    device = Device(tmp_path / "device", office)
    device.room().pull("digits")
    office.publish("digits", "1.1", {"w": NEW}, counter=2)
    room = device.room()
    with monkeypatch.context() as patch:
        during, after = recorded(patch, device.home, lambda: room.pull("digits"))
    assert found(during, office, tmp_path) == {"1.0", "1.1"}
    assert found(after, office, tmp_path) == {"1.1"}


def test_a_process_that_dies_before_its_last_sync(tmp_path, monkeypatch, office):
    """The next process sees a memory that is not durable yet: it removes nothing on its word before it is."""
    device = Device(tmp_path / "device", office)
    device.room().pull("digits")
    office.publish("digits", "1.1", {"w": NEW}, counter=2)
    room = device.room()
    with monkeypatch.context() as patch:
        disk = Disk(patch, device.home)
        replaced = []

        def cut(call: str, name: str) -> bool:
            if call == "replace":
                replaced.append(name)
            named_then_active = replaced.count("state.json") == 2 and replaced[-1] == "state.json"
            return call == "fsync" and named_then_active

        disk.start()
        disk.cut = cut
        with pytest.raises(Cut):
            room.pull("digits")
        disk.cut = lambda call, name: False
        with device.room(token=None).load("digits", offline="only") as model:
            assert model.version == "1.1"
    assert found(disk, office, tmp_path) == {"1.0", "1.1"}


def test_the_clock_that_was_written_stays(tmp_path, monkeypatch, office):
    """C09: a tick that returned is not forgotten by a power cut."""
    device = Device(tmp_path / "device", office)
    room = device.room()
    room.pull("digits")
    device.later(3600)
    with monkeypatch.context() as patch:
        during, after = recorded(patch, device.home, room.store.tick)
    seen = set()
    for disk in (during, after):
        for image, _ in disk.images:
            write_image(image, tmp_path / "after")
            seen.add(Device(tmp_path / "after", office).room(token=None).store.need().clock.seen)
            shutil.rmtree(tmp_path / "after")
        assert office.now in seen
        assert seen <= {office.now, office.now - 3600}
        seen.clear() if disk is during else None
    assert seen == {office.now}


def test_a_key_that_was_put_is_there_and_one_that_was_destroyed_is_not(tmp_path, monkeypatch):
    """C16: durable both ways; what was destroyed is in no block of the disk that had a name."""
    home = tmp_path / "keys"
    keys = FileKeystore(home)
    keys.put("a" * 32, b"\x07" * 32)
    with monkeypatch.context() as patch:
        put, kept = recorded(patch, home, lambda: keys.put("b" * 32, b"\x08" * 32))
    assert {dict(image).get("b" * 32 + ".key") for image, _ in put.images} == {None, b"\x08" * 32}
    assert {dict(image).get("b" * 32 + ".key") for image, _ in kept.images} == {b"\x08" * 32}
    with monkeypatch.context() as patch:
        disk = Disk(patch, home)
        node = disk._top.now["a" * 32 + ".key"]
        disk.start()
        keys.destroy("a" * 32)
        disk.start()
        assert {dict(image).get("a" * 32 + ".key") for image, _ in disk.images} == {None}
        assert node.durable != b"\x07" * 32
