"""Time that the owner of a machine would like to stop: slow downloads, cut power, new starts, models kept open."""

import contextlib
import dataclasses
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from rooms.edge.memory_office import DAY, Device, MemoryOffice, weights
from strongroom.edge import clock
from strongroom.edge.clock import Reading
from strongroom.edge.opening import open_installed
from strongroom.errors import Code, RefusedError
from strongroom.names import parse_reference

WEIGHTS = weights(1, 2**20 + 99)


@pytest.fixture
def office() -> MemoryOffice:
    office = MemoryOffice(max_offline=DAY, lease_seconds=DAY)
    office.publish("digits", "1.0", {"w": WEIGHTS}, counter=1)
    return office


@pytest.fixture
def device(tmp_path: Path, office: MemoryOffice) -> Device:
    return Device(tmp_path / "device", office)


def slowly(office: MemoryOffice, work: Callable[[], None]) -> Callable[[str, int, int], bytes]:
    real, waiting = office.read_range, [work]

    def read_range(url: str, offset: int, length: int) -> bytes:
        if offset and waiting:
            waiting.pop()()
        return real(url, offset, length)

    return read_range


def test_a_download_stopped_for_months_does_not_stretch_the_lease(device, office, monkeypatch):
    """C09: stop the process for 300 days in the middle of a download; the lease counts from when it was asked for."""

    def wait() -> None:
        device.boot += 300 * DAY

    room = device.room()
    monkeypatch.setattr(office, "read_range", slowly(office, wait))
    with pytest.raises(RefusedError) as caught:
        room.pull("digits")
    assert caught.value.code == Code.LEASE_EXPIRED
    assert device.counts() == (0, 1, 1)  # nothing to open; a new release goes on with it
    assert device.room().store.need().installs == ()


def test_the_time_of_a_download_counts(device, office, monkeypatch):
    def wait() -> None:
        device.boot += 7200

    room = device.room()
    monkeypatch.setattr(office, "read_range", slowly(office, wait))
    room.pull("digits")
    assert room.store.need().clock.seen == office.now + 7200
    office.down = True
    device.boot += DAY - 7200
    with pytest.raises(RefusedError) as caught, room.load("digits"):
        pass
    assert caught.value.code == Code.LEASE_EXPIRED


def test_cutting_the_power_gains_at_most_a_minute_of_use(device, office):
    """C09: twelve hours with a model open, then no power, so that nothing is closed; again, with the clock just ahead.

    Use is noted each minute, and a start just after what was noted costs an hour.
    """
    device.room().pull("digits")
    office.down = True
    used = 0
    for number in range(50):
        room = device.room(token=None)
        device.boot_id, device.boot = f"boot-{number + 2}", 10
        device.wall_ahead = room.store.need().clock.seen + 1 - office.now
        try:
            model = open_installed(room.store, parse_reference("digits"), lambda: None)
        except RefusedError:
            break
        for _ in range(12):
            device.boot += 3600
            model._watch.beat()
        used += 12
    assert used == 24


def test_a_start_just_ahead_of_what_was_noted_is_not_free(device, office):
    """C09: the same without any use to note: three such starts, an hour each, and then the server must be asked."""
    device.room().pull("digits")
    office.down = True
    for number in range(4):
        device.boot_id, device.boot = f"boot-{number + 2}", 10
        device.wall_ahead = device.room(token=None).store.need().clock.seen + 1 - office.now
        with contextlib.suppress(RefusedError):
            open_installed(device.room(token=None).store, parse_reference("digits"), lambda: None).close()
    state = device.room(token=None).store.need()
    assert (state.clock.slips, state.clock.seen) == (3, office.now + 3 * clock.SLIP_COST)
    with pytest.raises(RefusedError) as caught, device.room(token=None).load("digits"):
        pass
    assert caught.value.code == Code.CLOCK


def test_a_minute_is_noted_while_a_model_is_open(device, office):
    device.room().pull("digits")
    room = device.room()
    noted = threading.Event()

    def clocks() -> Reading:
        if threading.current_thread().name == "strongroom-clock":
            noted.set()
        return device.clocks()

    room.store.clocks = clocks
    before = set(threading.enumerate())
    model = open_installed(room.store, parse_reference("digits"), lambda: None, beat=0.001)
    (thread,) = set(threading.enumerate()) - before
    assert thread.daemon
    device.boot += 60
    noted.clear()
    assert noted.wait(30)
    model.close()
    thread.join(30)
    assert not thread.is_alive()
    assert room.store.need().clock.seen == office.now + 60


def test_a_model_that_is_dropped_stops_its_clock(device):
    device.room().pull("digits")
    room = device.room()
    before = set(threading.enumerate())
    model = open_installed(room.store, parse_reference("digits"), lambda: None, beat=0.001)
    (thread,) = set(threading.enumerate()) - before
    del model
    thread.join(30)
    assert not thread.is_alive()


def test_a_model_kept_open_beyond_its_lease_lends_nothing_more(device, office):
    """A11, C19: the block is entered within the lease and never left.

    What was lent stays until the end of the block, for taking memory from a running computation crashes it; everything
    else is refused, until there is a new lease.
    """
    room = device.room()
    room.pull("digits")
    with room.load("digits") as model:
        lent = model.file("w")
        device.boot += DAY - 1
        model.file("w")
        device.boot += 1
        for use in (lambda: model.file("w"), model.bytes, model.session):
            with pytest.raises(RefusedError) as caught:
                use()
            assert caught.value.code == Code.LEASE_EXPIRED
        assert lent == WEIGHTS
        office.now += DAY
        device.room().pull("digits")
        assert model.file("w") == WEIGHTS
    with pytest.raises(ValueError, match="released"):
        bytes(lent)


def test_offline_until_is_when_it_ends(device, office):
    """Of the lease's own end and its days without contact, the first."""
    office.max_offline = DAY // 2
    room = device.room()
    found = room.pull("digits")
    assert (found.lease_expires, found.offline_until) == (office.now + DAY, office.now + DAY // 2)
    with room.load("digits") as model:
        assert model.offline_until == found.offline_until
    office.down = True
    device.later(DAY // 2)
    with pytest.raises(RefusedError), room.load("digits"):
        pass


def test_a_lease_that_is_over_when_it_comes_is_not_worth_a_download(device, office):
    """B25: refused before anything is fetched."""
    office.lease_seconds = 0
    with pytest.raises(RefusedError) as caught:
        device.room().pull("digits")
    assert caught.value.code == Code.LEASE_EXPIRED
    assert office.ranges == []


def test_a_machine_that_names_no_boot(device, office):
    """Within what clocks differ by it runs; with the clock set back each look costs an hour, and at last contact."""
    device.boot_id = ""
    device.wall_ahead = -30
    room = device.room()
    room.pull("digits")
    for _ in range(5):
        device.later(10)
        with room.load("digits", offline="only"):
            pass
    assert room.store.need().clock.slips == 0
    device.wall_ahead = -DAY
    for _ in range(3):
        room.store.tick()
    with pytest.raises(RefusedError) as caught:
        room.store.tick()
    assert caught.value.code == Code.CLOCK


def test_less_uptime_is_another_boot_whatever_it_is_called():
    """A container or a copy of a machine can name the boot as it likes; uptime does not go back in one boot."""
    anchor = clock.Anchor(1_000_000, 500, "boot-1", 0)
    found = clock.advance(anchor, Reading(1_000_000, 499, "boot-1"))
    assert found == dataclasses.replace(anchor, seen=1_000_000 + clock.SLIP_COST, boot=499, slips=1)


@pytest.mark.parametrize(("late", "slips"), [(0, 1), (clock.MARGIN - 1, 1), (clock.MARGIN, 0)])
def test_a_start_just_after_what_was_seen_is_suspicious(late, slips):
    anchor = clock.Anchor(1_000_000, 500, "boot-1", 0)
    assert clock.advance(anchor, Reading(1_000_000 + late, 5, "boot-2")).slips == slips
