"""Leases against whoever would like them longer: snapshots, clocks that jump, days offline, keys that are gone."""

import shutil
from pathlib import Path

import pytest

from rooms.edge.memory_office import DAY, Device, weights
from rooms.edge.ordering_office import OrderingOffice
from strongroom.errors import Code, DeniedError, RefusedError, StoreError

WEIGHTS = weights(1, 2**20 + 99)


@pytest.fixture
def office() -> OrderingOffice:
    office = OrderingOffice(lease_seconds=7 * DAY, max_offline=3 * DAY)
    office.publish("digits", "1.0", {"w": WEIGHTS}, counter=1)
    return office


@pytest.fixture
def device(tmp_path: Path, office: OrderingOffice) -> Device:
    device = Device(tmp_path / "device", office)
    device.room().pull("digits")
    return device


def opens(device: Device) -> bool:
    """Whether the model opens in a new process without a line; if not, because of its lease."""
    try:
        with device.room(token=None).load("digits", offline="only") as model:
            return model.bytes() == WEIGHTS
    except RefusedError as error:
        return error.code not in {Code.LEASE_EXPIRED, Code.CLOCK}


def snapshot(device: Device, to: Path) -> None:
    shutil.copytree(device.home, to)


def restore(device: Device, snap: Path) -> None:
    shutil.rmtree(device.home)
    shutil.copytree(snap, device.home)


def test_a_snapshot_is_refused_online_at_once(device, office, tmp_path):
    """C07: the whole directory of days ago, with the right clock: its lease is over; online it gets the newest."""
    snapshot(device, tmp_path / "snap")
    device.later(3 * DAY)
    office.publish("digits", "1.1", {"w": b"new"}, counter=2)
    device.room().pull("digits")
    restore(device, tmp_path / "snap")
    assert not opens(device)
    with device.room().load("digits") as model:
        assert model.version == "1.1"


def test_a_snapshot_gains_what_was_left_of_its_lease_and_no_more(device, office, tmp_path):
    """C07, A11: with the wall clock set back too, each restored copy runs on, but never past its own lease's end.

    Nothing in software bounds how often; section 9 says so. What is bounded is one copy: 3 days of use in all.
    """
    snapshot(device, tmp_path / "snap")
    office.down = True
    start = office.now
    for number in range(3):
        restore(device, tmp_path / "snap")
        device.boot_id, device.boot = f"boot-{number + 2}", 10
        device.wall_ahead = start + 60 - office.now
        used = 0
        while opens(device):
            used += 6 * 3600
            device.boot += 6 * 3600
            assert used <= 3 * DAY
        assert used == 3 * DAY


def test_a_snapshot_from_before_a_wipe(device, office, tmp_path):
    """C07, C16: without the keystore it opens nothing; with it, to the end of its lease; no server goes on with it."""
    snapshot(device, tmp_path / "snap")
    office.order("digits", "1.0")
    with pytest.raises(RefusedError):
        device.room().renew("digits")
    (device.home / "state.json").write_bytes((tmp_path / "snap" / "state.json").read_bytes())
    with pytest.raises(StoreError) as caught, device.room(token=None).load("digits", offline="only"):
        pass
    assert caught.value.code == Code.STORE_DAMAGED
    restore(device, tmp_path / "snap")
    assert opens(device)
    office.entitled = False
    with pytest.raises(DeniedError):
        device.room().renew("digits")
    device.later(3 * DAY)
    assert not opens(device)


def test_days_without_a_line(device, office):
    """C19, R25: offline for `max_offline` it runs, one second longer it does not; one contact gives as much again."""
    office.down = True
    device.later(3 * DAY - 1)
    assert opens(device)
    device.later(1)
    assert not opens(device)
    office.down = False
    device.room().renew("digits")
    office.down = True
    device.later(3 * DAY - 1)
    assert opens(device)
    device.later(1)
    assert not opens(device)


def test_contact_for_another_model_lengthens_nothing(device, office):
    """Section 9: each lease counts from its own last contact."""
    office.publish("other", "1.0", {"w": b"other"}, counter=1)
    device.later(2 * DAY)
    device.room().pull("other")
    device.room().renew("other")
    office.down = True
    device.later(DAY)
    assert not opens(device)


def test_off_for_a_while(device, office):
    """C09: switched off, and on again with a clock that is right: the time in between counts, and costs no more."""
    office.down = True
    for number in range(5):
        device.boot_id, device.boot = f"boot-{number + 2}", 5
        office.now += 14 * 3600
        assert opens(device)
    device.boot_id = "boot-last"
    office.now += 2 * 3600
    assert not opens(device)


def test_a_jump_forward_is_healed_by_renewing(device, office):
    """C09: ten years forward and back ends the lease here; a renewal sets the time down, and the whole lease runs."""
    device.wall_ahead = 3650 * DAY
    assert not opens(device)
    device.wall_ahead = 0
    assert not opens(device)
    device.room().renew("digits")
    assert device.room().store.need().clock.seen == office.now
    office.down = True
    device.later(3 * DAY - 1)
    assert opens(device)
    device.later(1)
    assert not opens(device)


def test_a_machine_whose_clock_is_ahead_renews_what_it_needs(device, office):
    """C09: by a clock a year ahead every lease is over the moment it comes; contact is what counts, and it opens."""
    device.wall_ahead = 200 * DAY
    room = device.room()
    room.renew("digits")
    assert room.store.need().clock.seen == office.now


@pytest.mark.parametrize("step", [-3650 * DAY, -DAY, -3600, 3600, 3650 * DAY], ids=lambda one: f"{one / 3600:g} hours")
def test_the_clock_is_stepped_while_a_model_is_open(device, office, step):
    """C10: no second more, no crash: what was lent stays readable; forward may end the lease, back never helps."""
    office.down = True
    with device.room(token=None).load("digits", offline="only") as model:
        lent = model.file("w")
        device.boot += DAY
        device.wall_ahead = step
        if step < 2 * DAY:
            model.file("w")
        else:
            with pytest.raises(RefusedError) as caught:
                model.file("w")
            assert caught.value.code == Code.LEASE_EXPIRED
        device.wall_ahead = 0
        device.boot += 2 * DAY - 1
        model.file("w")
        device.boot += 1
        with pytest.raises(RefusedError) as caught:
            model.file("w")
        assert caught.value.code == Code.LEASE_EXPIRED
        assert lent == WEIGHTS


def test_a_model_that_outlives_its_lease_goes_on_once_it_is_renewed(device, office):
    """A11, C19: renewed by another process, the open model lends again; nothing has to be opened anew."""
    with device.room().load("digits") as model:
        device.later(3 * DAY)
        with pytest.raises(RefusedError):
            model.bytes()
        device.room(token=None).renew("digits")
        assert model.bytes() == WEIGHTS


def test_a_lease_of_no_seconds_offline(device, office):
    """R25: with `max_offline` 0 a lease is over as it comes: it is refused, and the one that is here runs on."""
    office.max_offline = 0
    with pytest.raises(RefusedError) as caught:
        device.room().renew("digits")
    assert caught.value.code == Code.LEASE_EXPIRED
    assert opens(device)


def test_the_device_key_is_gone(device, office):
    """C12: leases and the memory are bound to it: nothing opens, and the way out is a new enrolment, which works."""
    (device.home / "keystore" / "device.key").unlink()
    with pytest.raises(StoreError) as caught, device.room(token=None).load("digits", offline="only"):
        pass
    assert caught.value.code == Code.STORE_DAMAGED
    assert "enrol again" in caught.value.next_step
    device.home.rename(device.home.with_name("away"))
    with device.room().load("digits") as model:
        assert model.bytes() == WEIGHTS


def test_a_right_that_is_over_ends_within_one_lease(device, office):
    """B26: refused at the next renewal and the next release, and offline at the lease's end: within `max_offline`."""
    office.entitled = False
    with pytest.raises(DeniedError):
        device.room().renew("digits")
    with pytest.raises(DeniedError):
        device.room().pull("digits")
    office.down = True
    device.later(3 * DAY)
    assert not opens(device)
