"""What the device remembers: one MAC over everything, and how an install replaces another."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rooms.edge.memory_office import Device, MemoryOffice
from strongroom.edge import state as states
from strongroom.edge.clock import Anchor
from strongroom.edge.state import FORMAT, Identity, Install, LocalFile, State
from strongroom.errors import Code, StoreError
from strongroom.names import parse_reference

KEY = bytes(range(32))


def install(number: int, version: str, *selectors: str, model: str = "digits", counter: int = 1) -> Install:
    file = LocalFile(bytes([number]) * 32, bytes([number]) * 64, 100, f"{number:032x}")
    return Install(f"{number:032x}", model, version, selectors, 1, counter, (file,), ("a.b.c",), damaged=False)


EMPTY = State(FORMAT, ("a.b.c",), None, Anchor(1000, 5, "boot", 0), (), ())
IDENTITY = Identity("dev_" + "A" * 22, "acc_" + "B" * 22, "a.b.c", 2000)
FULL = (
    replace(EMPTY, identity=IDENTITY)
    .with_install(install(1, "1.0", "@stable"))
    .with_install(install(2, "2", model="b"))
)


def test_round_trip():
    for state in (EMPTY, FULL):
        assert states.decode(states.encode(state, KEY), KEY, where="state.json") == state


DATA = states.encode(FULL, KEY)


@settings(max_examples=400, deadline=None)
@given(st.integers(0, len(DATA) * 8 - 1))
def test_any_bit_flipped_is_refused(bit):
    """C06, C08, B25: no bit of the memory changes without a typed error that says how to begin anew."""
    damaged = bytearray(DATA)
    damaged[bit // 8] ^= 1 << bit % 8
    with pytest.raises(StoreError) as caught:
        states.decode(bytes(damaged), KEY, where="state.json")
    assert caught.value.code == Code.STORE_DAMAGED
    assert "enrol again" in caught.value.next_step


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.binary(max_size=300), st.integers(0, len(DATA) - 1).map(lambda cut: DATA[:cut])))
def test_garbage_and_cuts_are_refused(data):
    with pytest.raises(StoreError) as caught:
        states.decode(data, KEY, where="state.json")
    assert caught.value.code == Code.STORE_DAMAGED


def test_another_key_and_another_format_are_refused():
    """C07, C21: a memory of another installation, or of a newer client, is not read."""
    with pytest.raises(StoreError):
        states.decode(DATA, bytes(32), where="state.json")
    newer = states.encode(replace(FULL, format=2), KEY)
    with pytest.raises(StoreError) as caught:
        states.decode(newer, KEY, where="state.json")
    assert caught.value.code == Code.STORE_DAMAGED


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_memory_loses_nothing(tmp_path_factory, data):
    """I05: whatever the file holds, opening the store gives a typed error and deletes nothing."""
    home = tmp_path_factory.mktemp("device") / "home"
    office = MemoryOffice()
    office.publish("digits", "1.0", {"w": b"weights"}, counter=1)
    device = Device(home, office)
    device.room().pull("digits")
    path = home / "state.json"
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    before = sorted(home.rglob("*"))
    with pytest.raises(StoreError) as caught:
        device.room()
    assert caught.value.code == Code.STORE_DAMAGED
    assert sorted(home.rglob("*")) == before
    assert path.read_bytes() == content


def test_a_huge_memory_is_not_read(device):
    device.room()
    with (device.home / "state.json").open("r+b") as file:
        file.truncate(states.LIMIT + 1)
    with pytest.raises(StoreError) as caught:
        device.room()
    assert caught.value.code == Code.STORE_DAMAGED


def test_a_memory_that_could_not_be_read_again_is_not_written(device):
    """I05: too large, or with more in it than is read: the old memory stays, and says what to do."""
    room = device.room()
    room.pull("digits")
    kept = (device.home / "state.json").read_bytes()
    (one,) = room.store.need().installs
    large = [replace(one, id=f"{n:032x}", lease=("a." + "b" * 399_000 + ".c",)) for n in range(22)]
    many = [replace(one, id=f"{n:032x}", lease=("a.b.c",)) for n in range(4097)]
    for installs in (large, many):
        with pytest.raises(StoreError) as caught:
            room.store.update(lambda state, installs=installs: replace(state, installs=tuple(installs)))
        assert caught.value.code == Code.DISK_FULL
        assert "remove models" in caught.value.next_step
        assert (device.home / "state.json").read_bytes() == kept
    with room.load("digits", offline="only"):
        pass


def test_a_new_version_takes_its_selectors_from_the_old():
    state = EMPTY.with_install(install(1, "1.0", "@stable", "@beta")).with_install(
        install(2, "1.1", "@beta", counter=2)
    )
    assert state.find(parse_reference("digits")) == install(1, "1.0", "@stable")
    assert state.find(parse_reference("digits@beta")) == install(2, "1.1", "@beta", counter=2)
    assert state.mark("digits") == (1, 2)
    state = state.with_install(install(3, "1.1", "@stable", counter=2))
    assert [one.id for one in state.installs] == [f"{3:032x}"]
    assert state.find(parse_reference("digits@1.0")) is None
    assert state.find(parse_reference("digits@1.1")) == install(3, "1.1", "@beta", "@stable", counter=2)


def test_a_mark_never_falls():
    """B17: fetching an older version again does not lower what was seen."""
    state = EMPTY.with_install(install(1, "2.0", "@stable", counter=5)).with_install(
        install(2, "1.0", "1.0", counter=3)
    )
    assert state.mark("digits") == (1, 5)
    assert state.mark("absent") is None
