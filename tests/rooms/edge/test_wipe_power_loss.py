"""C01, C02: a renewal or a wipe that ends anywhere, and a disk that keeps of it whatever it likes."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from rooms.edge.memory_office import DAY, Device
from rooms.edge.ordering_office import OrderingOffice
from rooms.edge.recorded_disk import Cut, Disk, Image, write_image
from rooms.edge.test_power_loss import recorded
from rooms.edge.test_store import Crash, Failing
from strongroom.edge.keystore.file import FileKeystore
from strongroom.errors import Code, RefusedError, StrongroomError
from strongroom.wire.orders import WIPED

OLD = b"old" * 100


@pytest.fixture
def office() -> OrderingOffice:
    office = OrderingOffice(lease_seconds=4 * DAY, max_offline=4 * DAY)
    office.publish("digits", "1.0", {"w": OLD}, counter=1)
    office.publish("other", "1.0", {"w": OLD}, counter=1)
    return office


@pytest.fixture
def device(tmp_path: Path, office: OrderingOffice) -> Device:
    device = Device(tmp_path / "device", office)
    device.room().pull("digits")
    device.room().pull("other")
    return device


def keys_of(device: Device, model: str) -> list[bytes]:
    keys = FileKeystore(device.home / "keystore")
    installs = device.room(token=None).store.need().installs
    return [bytes(keys.get(part.key)) for one in installs if one.model == model for part in one.files]


def leaves(image: Image) -> list[bytes]:
    """What every file of an image holds."""
    found: list[bytes] = []
    for _, content in image:
        found += [content] if isinstance(content, bytes) else leaves(content)
    return found


def end_of_lease(home: Path, office: OrderingOffice) -> int:
    """Open an image offline, whole, and return when its lease ends."""
    with Device(home, office).room(token=None).load("digits", offline="only") as model:
        assert model.bytes() == OLD
        return model.lease_expires


def test_a_renewal_at_any_moment_leaves_the_old_lease_or_the_new(device, office, monkeypatch, tmp_path):
    """C02: no image without a lease that holds; once the renewal was reported it is the new one in every image."""
    device.later(DAY)
    room = device.room(token=None)
    with monkeypatch.context() as patch:
        during, after = recorded(patch, device.home, lambda: room.renew("digits"))
    ends = []
    for disk in (during, after):
        seen = set()
        for image, _ in disk.images:
            write_image(image, tmp_path / "after")
            seen.add(end_of_lease(tmp_path / "after", office))
            shutil.rmtree(tmp_path / "after")
        ends.append(seen)
    assert ends == [{office.now + 3 * DAY, office.now + 4 * DAY}, {office.now + 4 * DAY}]
    print(f"images of a renewal: {len(during.images)} during, {len(after.images)} after")  # noqa: T201 - how much was tried is a result


def state_after(home: Path, office: OrderingOffice) -> str:
    """Open an image offline; say what it is, and check that the wipe, once begun, goes on to its end by that alone."""
    device = Device(home, office)
    for name in ("other", "digits"):
        try:
            with device.room(token=None).load(name, offline="only") as model:
                assert model.bytes() == OLD
        except RefusedError as error:
            assert (name, error.code) == ("digits", Code.WIPED)  # noqa: PT017 - one of two outcomes, told apart here
            (stone,) = device.room(token=None).store.need().tombstones
            assert stone.receipt is not None
            assert device.counts() == (1, 1, 0)
            return "reported" if stone.sent else "wiped"
    return "there"


def test_a_wipe_at_any_moment_leaves_the_version_or_the_tombstone(device, office, monkeypatch, tmp_path):
    """C02, C16: old or gone, never between; as soon as a receipt can be read no key is in any block of the disk."""
    secrets = keys_of(device, "digits")
    order = office.order("digits", "1.0")
    room = device.room(token=None)
    acknowledged: list[set[bytes]] = []
    with monkeypatch.context() as patch:
        disk, real = Disk(patch, device.home), OrderingOffice._receipt

        def receipt(self: OrderingOffice, *args: object) -> object:
            acknowledged.append({data for image, _ in disk._left() for data in leaves(image)})
            return real(self, *args)

        patch.setattr(OrderingOffice, "_receipt", receipt)
        disk.start()
        with pytest.raises(RefusedError) as caught:
            room.renew("digits")
        assert caught.value.code == Code.WIPED
        during = set(disk.images)
        disk.start()
        after, disk.on = set(disk.images), False
    assert len(acknowledged) == 1
    assert all(secret not in data for data in acknowledged[0] for secret in secrets)
    seen: dict[str, int] = {}
    for image, _ in during:
        held = any(secret in data for data in leaves(image) for secret in secrets)
        write_image(image, tmp_path / "after")
        remembered = Device(tmp_path / "after", office).room(token=None).store.need()
        if any(one.receipt is not None for one in remembered.tombstones):
            assert not held
            assert len([*(tmp_path / "after" / "models").iterdir()]) == 1
        found = state_after(tmp_path / "after", office)
        assert found != "there" or held
        seen[found] = seen.get(found, 0) + 1
        if found != "there":
            left = [path.read_bytes() for path in (tmp_path / "after").rglob("*.key")]
            assert not any(secret in data for data in left for secret in secrets)
        shutil.rmtree(tmp_path / "after")
    assert set(seen) == {"there", "wiped", "reported"}
    for image, _ in after:
        write_image(image, tmp_path / "after")
        assert state_after(tmp_path / "after", office) == "reported"
        shutil.rmtree(tmp_path / "after")
    assert [one.order_id for one in office.receipts] == [order.order_id]
    print(f"images of a wipe: {len(during)} during ({seen}), {len(after)} after")  # noqa: T201 - how much was tried is a result


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["the machine stops", errno.ENOSPC, errno.EIO])
def test_a_wipe_that_stops_at_any_call_goes_on(device, office, monkeypatch, tmp_path, fault):
    """C01, C03, C04: at every call that writes, in turn; whatever opens or pulls next brings it to its end."""
    first = device.home.rename(tmp_path / "first")
    office.order("digits", "1.0")
    pending = list(office.pending)
    stops = fault == "the machine stops"
    seen: dict[str, int] = {}
    with monkeypatch.context() as patch:
        failing = Failing(patch, Crash if stops else lambda: OSError(fault, os.strerror(fault)), for_ever=stops)
        at = 0
        while True:
            at += 1
            shutil.copytree(first, device.home)
            office.pending, office.receipts = list(pending), []
            room = device.room(token=None)
            failing.count, failing.at, failing.on = 0, at, True
            try:
                room.renew("digits")
            except (Crash, StrongroomError):
                pass
            finally:
                failing.on = False
            office.down = True
            found = state_after(device.home, office)
            seen[found] = seen.get(found, 0) + 1
            office.down = False
            with pytest.raises(RefusedError) as caught:
                device.room(token=None).renew("digits")
            assert caught.value.code == Code.WIPED
            device.room(token=None).pull("other")
            assert {one.outcome for one in office.receipts} == {WIPED}
            assert office.pending == []
            shutil.rmtree(device.home)
            if failing.count < at:
                break
    assert set(seen) <= {"there", "wiped", "reported"}
    assert {"there", "reported"} < set(seen)
    assert at > 20
    print(f"{at - 1} calls of a wipe failed in turn: {seen}")  # noqa: T201 - how much was tried is a result


def test_a_renewal_that_stops_at_any_call(device, office, monkeypatch, tmp_path):
    """C01, C03, C04: the old lease or the new one, and the next renewal is as good as ever."""
    first = device.home.rename(tmp_path / "first")
    device.later(DAY)
    ends: set[int] = set()
    counts = []
    for error in (Crash, lambda: OSError(errno.EIO, "input/output error")):
        with monkeypatch.context() as patch:
            failing = Failing(patch, error, for_ever=error is Crash)
            at = 0
            while True:
                at += 1
                shutil.copytree(first, device.home)
                room = device.room(token=None)
                failing.count, failing.at, failing.on = 0, at, True
                try:
                    room.renew("digits")
                except (Crash, StrongroomError):
                    pass
                finally:
                    failing.on = False
                ends.add(end_of_lease(device.home, office))
                device.room(token=None).renew("digits")
                assert end_of_lease(device.home, office) == office.now + 4 * DAY
                shutil.rmtree(device.home)
                if failing.count < at:
                    break
            counts.append(at - 1)
    assert ends == {office.now + 3 * DAY, office.now + 4 * DAY}
    print(f"calls of a renewal that failed in turn: {counts}")  # noqa: T201 - how much was tried is a result


def test_the_receipt_is_kept_only_when_files_are_gone_for_good(device, office, monkeypatch):
    """C02: a process dies between removing a directory and making that durable; the next does it before it signs."""
    office.order("digits", "1.0")
    room = device.room(token=None)
    with monkeypatch.context() as patch:
        disk = Disk(patch, device.home)
        removed: list[str] = []

        def cut(call: str, name: str) -> bool:
            gone = bool(removed)
            removed.extend([name] if call == "rmdir" else [])
            return gone and call != "close"  # the system closes, and frees the locks, when a process dies

        disk.start()
        disk.cut = cut
        with pytest.raises(Cut):
            room.renew("digits")
        disk.cut = lambda call, name: False
        office.down = True
        with pytest.raises(RefusedError), device.room(token=None).load("digits", offline="only"):
            pass
        (stone,) = device.room(token=None).store.need().tombstones
        assert stone.receipt is not None
        disk.start()
        folders = [dict(dict(image)["models"]) for image, _ in disk.images]
        assert {len(one) for one in folders} == {1}
