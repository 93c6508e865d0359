"""An old copy of the device directory, where the keystore has a ratchet: what puts it in force, and what never does."""

import contextlib
import dataclasses
import hashlib
import hmac
import threading

import pytest

from rooms.edge.memory_office import DAY, Device, weights
from rooms.edge.ordering_office import OrderingOffice
from rooms.edge.ratcheted import Part, RatchetDevice, RatchetKeystore, Stopped, no_answer
from strongroom.edge import turning
from strongroom.edge.clock import Anchor
from strongroom.edge.folder import Folder
from strongroom.edge.keystore import Ratchet
from strongroom.edge.keystore.file import FileKeystore
from strongroom.edge.remembered import Remembered
from strongroom.edge.state import FORMAT, State, Turn
from strongroom.edge.store import Store
from strongroom.errors import Code, RefusedError, StoreError, StrongroomError

ONE, TWO = weights(1, 50_000), weights(2, 50_000)


@pytest.fixture
def office():
    office = OrderingOffice()
    office.publish("digits", "1.0", {"weights.bin": ONE}, counter=1)
    return office


@pytest.fixture
def device(tmp_path, office):
    device = RatchetDevice(tmp_path / "device", office)
    device.room().pull("digits")
    return device


def refused(device):
    with pytest.raises(StoreError) as caught:
        device.runs()
    assert caught.value.code == Code.STORE_DAMAGED
    assert "older copy" in caught.value.what
    assert "enrol again" in caught.value.next_step
    with pytest.raises(StoreError):
        device.room().pull("digits")
    return caught.value


def update(device):
    device.office.publish("digits", "1.1", {"weights.bin": TWO}, counter=2)
    device.room().pull("digits")


def renew(device):
    device.later(DAY)
    device.room().renew("digits")


def wipe(device):
    device.office.order("digits", "1.0")
    with pytest.raises(StrongroomError):
        device.room().renew("digits")
    assert device.office.receipts


def use_after_a_reboot(device):
    device.reboot()
    device.later(600)
    device.runs()


def use_for_an_hour(device):
    device.later(3600)
    device.runs()


@pytest.mark.parametrize("change", [update, renew, wipe, use_after_a_reboot, use_for_an_hour])
def test_a_copy_from_before_is_refused_without_the_office(device, change):
    """C07: the whole directory, its keys and all, put back on its own machine."""
    old = device.copy("old")
    change(device)
    new = device.copy("new")
    device.office.down = True
    device.put_back(old)
    refused(device)
    device.put_back(new)  # refusing has changed nothing
    if change is wipe:
        with pytest.raises(RefusedError) as caught:
            device.runs()
        assert caught.value.code == Code.WIPED
    else:
        assert device.runs() == (TWO if change is update else ONE)


def test_an_older_version_does_not_come_back(device):
    """B17: what a server that went back in time would need is gone from the device as well."""
    old = device.copy("old")
    update(device)
    device.put_back(old)
    device.office.channels["digits", "stable"] = "1.0"
    refused(device)


def test_the_lease_runs_out_however_often_the_directory_is_put_back(device):
    """C07: used up to an hour, put back, rebooted with the clock set back to what the copy says."""
    copy = device.copy("copy")
    start, used = device.office.now, 0
    for _ in range(3):
        device.later(3500)
        assert device.runs() == ONE  # the copy is as good as this until the hour is over: it is one boot
        used += 3500
        device.put_back(copy)
        device.office.now = start + 60
        device.reboot()
        assert device.runs() == ONE
        start, copy = device.office.now, device.copy(f"copy-{used}")
    assert device.room(token=None).store.need().clock.seen >= start  # each such hour cost its minute: there is an end
    device.put_back(device.home.parent / "copy")
    refused(device)


def test_in_one_boot_a_copy_gains_no_time(device):
    copy = device.copy("copy")
    device.later(3000)
    device.runs()
    device.put_back(copy)
    device.wall_ahead = -3000
    seen = device.room(token=None).store.tick().clock.seen
    assert seen >= device.office.now


def test_a_minute_wears_nothing(device):
    device.runs()
    turns, at = device.part.turns, device.room(token=None).store.need().turn.at
    while device.office.now + 60 < at + turning.EVERY:
        device.later(60)
        device.room(token=None).store.tick()
    assert device.part.turns == turns
    device.later(60)
    device.room(token=None).store.tick()
    assert device.part.turns == turns + 1


@pytest.mark.parametrize("where", ["before", "after"])
@pytest.mark.parametrize("trouble", [Stopped, no_answer])
@pytest.mark.parametrize("change", [update, renew])
def test_a_crash_between_memory_and_ratchet_heals(device, where, trouble, change):
    old = device.copy("old")
    setattr(device.part, where, trouble())
    with contextlib.suppress(Stopped, StrongroomError):  # a token that is renewed beside it does not say so
        change(device)
    assert (device.part.before, device.part.after) == (None, None)
    assert device.runs() in {ONE, TWO}
    device.room().pull("digits")
    assert device.runs() == (TWO if change is update else ONE)
    device.put_back(old)
    refused(device)


def test_a_wipe_order_survives_the_crash(device):
    device.office.order("digits", "1.0")
    device.part.before = Stopped()
    with pytest.raises(Stopped):
        device.room().renew("digits")
    device.office.down = True
    with pytest.raises(RefusedError) as caught:
        device.runs()
    assert caught.value.code == Code.WIPED


def test_a_crash_at_the_first_enrolment_heals(tmp_path, office):
    for place, where in enumerate(("before", "after")):
        device = RatchetDevice(tmp_path / str(place), office)
        setattr(device.part, where, Stopped())
        with pytest.raises(Stopped):
            device.room()
        device.room().pull("digits")
        assert device.runs() == ONE


def test_of_two_memories_that_follow_the_same_one_only_one_is_ever_in_force(device):
    """C07: killed between the two writes, put back, and done again in another way: with a counter both would count."""
    base = device.copy("base")
    device.part.before = Stopped()
    with pytest.raises(Stopped):
        renew(device)
    fork = device.copy("fork")
    device.put_back(base)
    wipe(device)
    device.office.down = True
    device.put_back(fork)
    refused(device)
    device.put_back(base)
    refused(device)


def test_two_copies_at_once_do_not_both_go_on(device, tmp_path):
    """C07: one stands still between its two writes while the other goes on from the same memory."""
    other = dataclasses.replace(device, home=device.copy("other"))
    gone, go = threading.Event(), threading.Event()

    class Slow(RatchetKeystore):
        def turn_ratchet(self, data):
            gone.set()
            assert go.wait(30)
            super().turn_ratchet(data)

    def renewed():
        store = Store(device.home, Slow(device.home / "keystore", device.part), clocks=device.clocks)
        store.update(lambda state: dataclasses.replace(state, marks=()))

    thread = threading.Thread(target=renewed)
    thread.start()
    assert gone.wait(30)
    renew(other)
    go.set()
    thread.join()
    refused(device)
    refused(other)


def test_a_reader_waits_for_a_writer_between_its_two_writes(device):
    """It neither takes the new memory for damage nor turns the ratchet itself, which would damage it."""
    gone, go = threading.Event(), threading.Event()
    turns = device.part.turns

    class Slow(RatchetKeystore):
        def turn_ratchet(self, data):
            gone.set()
            assert go.wait(30)
            super().turn_ratchet(data)

    class Looking(RatchetKeystore):
        def read_ratchet(self):
            place = super().read_ratchet()
            go.set()  # the writer goes on only now: this reader saw the ratchet before it
            return place

    def write():
        store = Store(device.home, Slow(device.home / "keystore", device.part), clocks=device.clocks)
        store.update(lambda state: dataclasses.replace(state, marks=()))

    thread = threading.Thread(target=write)
    thread.start()
    assert gone.wait(30)
    state = Store(device.home, Looking(device.home / "keystore", device.part), clocks=device.clocks).need()
    thread.join()
    assert state.marks == ()
    assert device.part.turns == turns + 1
    assert device.runs() == ONE


def test_a_reader_that_was_overtaken_reads_again(device):
    """The memory it read is old by the time it asks the ratchet: no damage, but another process that was quicker."""

    class Overtaken(RatchetKeystore):
        def read_ratchet(self):
            if writers:
                writers.pop().update(lambda state: dataclasses.replace(state, marks=()))
            return super().read_ratchet()

    writers = [Store(device.home, device.keystore(), clocks=device.clocks)]
    state = Store(device.home, Overtaken(device.home / "keystore", device.part), clocks=device.clocks).need()
    assert state.marks == ()


def test_the_ratchet_is_not_turned_for_what_a_power_cut_could_take(device, monkeypatch):
    """Else the older memory, which the disk then has, would be in force no more, and no other one there."""
    device.part.before = Stopped()
    with pytest.raises(Stopped):
        device.room().renew("digits")
    happened = []
    turn, sync = Part.turn, Folder.sync
    monkeypatch.setattr(Part, "turn", lambda part, data: (happened.append("turned"), turn(part, data)))
    monkeypatch.setattr(Folder, "sync", lambda folder: (happened.append(folder.path), sync(folder)))
    device.room(token=None)
    assert happened.index(device.home) < happened.index("turned")


def test_a_state_that_names_no_turn_is_refused(device):
    """C07: from before the ratchet, or cut out by whoever could make a MAC once."""
    with device.room(token=None).store._folder() as home:
        memory = device.room(token=None).store._memory
        plain = dataclasses.replace(memory.read(home), turn=None)
        Store(device.home, FileKeystore(device.home / "keystore"))._memory.write(home, plain, None)
    refused(device)


def test_a_ratchet_that_is_gone_is_said(device):
    device.part.place = None
    with pytest.raises(StoreError) as caught:
        device.runs()
    assert caught.value.code == Code.STORE_DAMAGED
    assert "gone" in caught.value.what


def test_a_directory_that_is_emptied_begins_anew_and_no_copy_returns(device):
    old = device.copy("old")
    (device.home / "state.json").unlink()
    for one in device.home.glob("models/*"):
        one.rename(device.home.parent / one.name)
    device.room().pull("digits")
    assert device.runs() == ONE
    device.put_back(old)
    refused(device)


def test_a_ratchet_that_does_not_answer_stops_no_opening_for_the_clock(device):
    device.later(3600)
    device.part.before = no_answer()
    assert device.runs() == ONE
    assert device.runs() == ONE


class Stuck(Part):
    """Says where it stands, and moves no more."""

    stuck = False

    def turn(self, data):
        if self.stuck:
            raise no_answer()
        super().turn(data)


def test_a_ratchet_that_is_read_and_never_turned_opens_nothing_for_ever(tmp_path, office):
    """C07: whoever keeps the turn from the hardware could put one copy back at each reboot, the clock with it."""
    device = RatchetDevice(tmp_path / "device", office, part=Stuck())
    device.room().pull("digits")
    office.down = True
    copy, start = device.copy("copy"), device.office.now
    device.part.stuck = True
    for boot in ("one", "two"):
        device.put_back(copy)
        device.office.now, device.boot_id, device.boot = start + 60, boot, 10
        with pytest.raises(StoreError) as caught:
            device.runs()
        assert caught.value.code == Code.STORE_IO
        assert "older copy" in caught.value.next_step
    device.part.stuck = False
    assert device.runs() == ONE
    device.put_back(copy)
    refused(device)


@pytest.mark.parametrize("silent", ["read_ratchet", "get"])
def test_hardware_that_falls_silent_while_the_clock_is_written_is_no_full_disk(device, monkeypatch, silent):
    """C07: else whoever cuts the line at the right moment opens one copy for ever."""
    copy = device.copy("copy")
    device.reboot()
    written = []

    def cut(keystore, *args):
        if written:
            raise no_answer()
        return answers(keystore, *args)

    answers = getattr(RatchetKeystore, silent)
    update = Remembered.write
    with monkeypatch.context() as patch:
        patch.setattr(RatchetKeystore, silent, cut)
        patch.setattr(Remembered, "write", lambda *args: (written.append(1), update(*args))[1])
        device.part.before = no_answer()
        with pytest.raises(StoreError) as caught:
            device.runs()
    assert caught.value.code == Code.STORE_IO
    assert "hardware" in caught.value.what
    device.part.before = None
    device.put_back(copy)
    assert device.runs() == ONE


def test_a_ratchet_that_fails_after_it_turned_has_turned(device):
    """Whoever asks it where it stands need not turn it again, which would be damage."""
    turns = device.part.turns
    device.later(3600)
    device.part.after = no_answer()
    assert device.runs() == ONE
    assert device.part.turns == turns + 1


def test_a_directory_that_takes_no_change_opens_with_a_ratchet_too(device, monkeypatch):
    """Nothing was written then, so nothing has to be turned: protocol.md section 13."""
    device.later(3600)
    monkeypatch.setattr(Folder, "write", lambda *_: (_ for _ in ()).throw(no_answer()))
    turns = device.part.turns
    assert device.runs() == ONE
    assert device.part.turns == turns


def test_keys_in_files_have_no_ratchet_and_no_turn(tmp_path, office):
    assert not isinstance(FileKeystore(tmp_path), Ratchet)
    device = Device(tmp_path / "plain", office)
    device.room().pull("digits")
    assert b'"turn"' not in (device.home / "state.json").read_bytes()


ANCHOR = Anchor(10_000, 500, "boot", 0)
STATE = State(FORMAT, ("a.b.c",), None, ANCHOR, (), (), turn=Turn(bytes(32), bytes(32), 10_000))


@pytest.mark.parametrize(
    ("new", "due"),
    [
        (STATE, False),
        (dataclasses.replace(STATE, clock=Anchor(13_599, 4099, "boot", 0)), False),
        (dataclasses.replace(STATE, clock=Anchor(13_600, 4100, "boot", 0)), True),
        (dataclasses.replace(STATE, clock=Anchor(9_999, 500, "boot", 0)), True),
        (dataclasses.replace(STATE, clock=Anchor(10_060, 500, "other", 0)), True),
        (dataclasses.replace(STATE, clock=Anchor(10_060, 499, "boot", 0)), True),
        (dataclasses.replace(STATE, clock=Anchor(10_060, 560, "boot", 1)), True),
        (dataclasses.replace(STATE, trust=("d.e.f",)), True),
    ],
)
def test_what_must_not_be_undone(new, due):
    assert turning.is_due(STATE, new) is due
    assert turning.is_due(dataclasses.replace(STATE, turn=None), new)


def test_where_a_turn_leads_depends_on_the_key(device):
    """Who saw every nonce, and even where the ratchet began, does not know what was added: protocol.md section 13."""
    turn, key = Turn(b"\1" * 32, b"\2" * 32, 0), b"\3" * 32
    added = hmac.digest(key, b"strongroom/ratchet/v1\0" + turn.nonce, "sha256")
    assert turning.after(turn, key) == hashlib.sha256(turn.before + added).digest()
    state = device.room(token=None).store.need()
    secret = device.keystore().get("state")
    assert turning.after(state.turn, secret) == device.part.place
    assert turning.after(state.turn, key) != device.part.place
