"""C02, C17: the power is cut anywhere in a download that goes on: old or new, or a partial that still goes on."""

import shutil
from collections import Counter
from pathlib import Path

import pytest

from rooms.edge.cutting_office import CuttingOffice, size_of
from rooms.edge.memory_office import Device, weights
from rooms.edge.recorded_disk import Disk, Image, write_image
from rooms.edge.test_power_loss import recorded
from strongroom.edge import arriving, links
from strongroom.errors import UnreachableError

MIB = 2**20
OLD, NEW = b"old" * 100, weights(3, 2 * MIB + 77)


@pytest.fixture
def office(monkeypatch: pytest.MonkeyPatch) -> CuttingOffice:
    monkeypatch.setattr(links, "PAUSE", 0)
    monkeypatch.setattr(arriving, "_LEAST", MIB // 2)  # fewer writes, so that every image of them can be looked at
    monkeypatch.setattr(arriving, "_MOST", MIB // 2)
    office = CuttingOffice()
    office.publish("digits", "1.0", {"w": OLD}, counter=1)
    return office


@pytest.fixture
def device(tmp_path: Path, office: CuttingOffice) -> Device:
    """A device with an old version, and an update that broke off in its second segment."""
    device = Device(tmp_path / "device", office)
    device.room().pull("digits")
    office.publish("digits", "1.1", {"w": NEW}, counter=2)
    broken_off(device, MIB + MIB // 2)
    return device


def broken_off(device: Device, at: int) -> None:
    office = device.office
    office.cuts, office.outright = [office.fetched + at], lambda _: True
    with pytest.raises(UnreachableError):
        device.room().pull("digits")
    office.down, office.outright = False, lambda _: False


def after_power_cut(image: Image, home: Path, office: CuttingOffice) -> str:
    """Say what an image is, and see that it is whole, has nothing but what it names, and goes on to the new version."""
    write_image(image, home)
    device = Device(home, office)
    office.down = True
    with device.room(token=None).load("digits", offline="only") as model:
        version = model.version
        assert model.bytes() == {"1.0": OLD, "1.1": NEW}[version]
    begun = device.room(token=None).store.need().partials
    versions, keys, on_their_way = device.counts()
    assert (versions, keys) == (1, 1 + len(begun))
    assert on_their_way <= len(begun) <= (version == "1.0")
    office.down, before = False, office.fetched
    assert device.room().pull("digits").version == "1.1"
    assert office.fetched - before <= size_of(office, "digits", "1.1") + 32 + MIB
    with device.room().load("digits", offline="only") as model:
        assert model.bytes() == NEW
    assert device.counts() == (1, 1, 0)
    shutil.rmtree(home)
    return f"{version}, partial" if begun else version


def looked_at(disk: Disk, home: Path, office: CuttingOffice, every: int) -> Counter[str]:
    """Look at every image, or at one in so many."""
    disk.on = False
    images = [image for image, twice in disk.images if not twice]  # such a disk is repaired before it is used
    return Counter(after_power_cut(image, home, office) for image in images[::every])


@pytest.mark.parametrize("every", [13, pytest.param(1, marks=pytest.mark.slow)])
def test_a_download_that_goes_on(device, office, monkeypatch, tmp_path, every):
    """C02: at any moment old or new, whole, or a partial that still goes on; once it was reported, new."""
    room = device.room()
    with monkeypatch.context() as patch:
        during, after = recorded(patch, device.home, lambda: room.pull("digits"))
    seen = looked_at(during, tmp_path / "after", office, every)
    assert {*seen} <= {"1.0, partial", "1.1"}
    assert every > 1 or len(seen) == 2
    assert {*looked_at(after, tmp_path / "after", office, 1)} == {"1.1"}
    print(f"images of a download that goes on: {sum(seen.values())} of {len(during.images)}: {dict(seen)}")  # noqa: T201 - how much was tried is a result


def test_a_download_that_breaks_off(device, office, monkeypatch, tmp_path):
    """C02: what it leaves behind goes on, whatever of it the disk kept."""
    with monkeypatch.context() as patch:
        during, after = recorded(patch, device.home, lambda: broken_off(device, MIB // 2))
    seen = looked_at(during, tmp_path / "after", office, 1) + looked_at(after, tmp_path / "after", office, 1)
    assert {*seen} == {"1.0, partial"}
    print(f"images of a download that breaks off: {sum(seen.values())} during and after")  # noqa: T201 - how much was tried is a result


@pytest.mark.parametrize("every", [13, pytest.param(1, marks=pytest.mark.slow)])
def test_another_head_takes_its_place(device, office, monkeypatch, tmp_path, every):
    """C02, C08: the old partial, none, or the new one; never a directory or a key that nothing names."""
    office.publish("digits", "1.1", {"w": NEW}, counter=2)
    with monkeypatch.context() as patch:
        during, _ = recorded(patch, device.home, lambda: broken_off(device, 5000))
    seen = looked_at(during, tmp_path / "after", office, every)
    assert {*seen} <= {"1.0, partial", "1.0"}
    print(f"images of a partial replaced: {sum(seen.values())} of {len(during.images)}: {dict(seen)}")  # noqa: T201 - how much was tried is a result
