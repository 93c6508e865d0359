"""What a device tells of itself with each request, and what of it stays the same."""

import dataclasses
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rooms.edge.memory_office import USER_TOKEN
from rooms.edge.reacting_office import AppDevice, ReactingOffice
from rooms.edge.test_state import EMPTY
from strongroom.canonical import from_base64url
from strongroom.edge import client, signals
from strongroom.edge import state as states
from strongroom.edge.tamper.looking import Facts
from strongroom.errors import Code, InputError, StrongroomError, UnreachableError
from strongroom.shapes import Free

ALL = Facts(("root", "hook"), ("container", "vm"), "bad", 3)


@pytest.fixture
def office():
    office = ReactingOffice()
    office.publish("digits", "1.0", {"weights.bin": b"w" * 3_000_000}, counter=1)
    return office


@pytest.fixture
def device(tmp_path, office):
    return AppDevice(tmp_path / "device", office)


def test_what_was_seen_goes_into_both_requests(device, office):
    """R82: the facts are in the body that the proof is made over, which the office in memory verifies."""
    device.facts = ALL
    room = device.app(build="2.4.1+318")
    room.pull("digits")
    room.renew("digits")
    for asked in (office.asked[-1], office.renewed[-1]):
        told = dict(asked.signals)
        assert len(from_base64url(str(told.pop("install")), where="install")) == 16
        assert told == {
            "keystore": "file",
            "tamper": "root,hook",
            "place": "container,vm",
            "elsewhere": 3,
            "app_sig": "bad",
            "build": "2.4.1+318",
        }


def test_what_there_is_nothing_to_say_of_is_left_out(device, office):
    device.app().pull("digits")
    assert set(office.asked[-1].signals) == {"keystore", "app_sig", "install"}
    assert office.asked[-1].signals["app_sig"] == "unknown"


def test_each_request_looks_anew(device, office):
    """A debugger that is attached later is told of with the next request, and without a new room."""
    room = device.app()
    room.pull("digits")
    device.facts = Facts(("debugger",))
    room.renew("digits")
    assert "tamper" not in office.asked[-1].signals
    assert office.renewed[-1].signals["tamper"] == "debugger"


def installs(office):
    return [asked.signals.get("install") for asked in office.asked]


def test_an_installation_keeps_its_name_until_it_is_made_anew(device, office):
    """R88: updates, restarts and enrolling again keep it; a new directory, and one emptied but for its keys, do not."""
    device.app().pull("digits")
    office.publish("digits", "1.1", {"weights.bin": b"v" * 1000}, counter=2)
    device.app().pull("digits")
    device.app().enrol(USER_TOKEN)
    device.app().pull("digits")
    assert len({*installs(office)}) == 1
    for gone in ("state.json", "models", "incoming"):
        path = device.home / gone
        path.unlink() if path.is_file() else shutil.rmtree(path, ignore_errors=True)
    device.app().pull("digits")
    shutil.rmtree(device.home)
    device.app().pull("digits")
    names = installs(office)
    assert len({*names}) == 3
    assert len(office.devices) == 2  # the keys of the second installation were those of the first


def test_a_memory_of_before_gets_a_name_with_its_next_answer(device, office):
    """A state of version 0.1 has no such field; nothing is written for it alone."""
    room = device.app()
    room.store.update(lambda state: dataclasses.replace(state, app_install=None))
    room.pull("digits")
    room.pull("digits")
    assert installs(office)[0] is None
    assert installs(office)[1] is not None


def opened(room, device, times):
    for _ in range(times):
        device.later(1)
        with room.load("digits", offline="only"):
            pass


def test_openings_are_counted_until_an_answer_came(device, office):
    room = device.app()
    room.pull("digits")
    opened(room, device, 2)
    opened(device.app(), device, 1)  # in another process
    room.verify()
    office.down = True
    with pytest.raises(UnreachableError):
        room.renew("digits")
    office.down = False
    room.renew("digits")
    assert office.renewed[-1].signals["runs"] == 3
    room.renew("digits")
    assert "runs" not in office.renewed[-1].signals
    opened(room, device, 1)
    room.pull("digits", fresh=True)
    assert office.asked[-1].signals["runs"] == 1
    room.pull("digits")
    assert "runs" not in office.asked[-1].signals


def test_a_download_that_goes_on_says_so(device, office):
    room = device.app()
    whole = office.objects
    office.objects = {name: data[: len(data) // 2] for name, data in whole.items()}
    with pytest.raises(StrongroomError):
        room.pull("digits")
    assert room.store.need().partials
    office.objects = whole
    room.pull("digits")
    assert [asked.signals.get("resumed") for asked in office.asked] == [None, 1]


@pytest.mark.parametrize("build", ["", " 1", "1\n", "ü", "x" * 65, 7, b"1", ["1"]])
def test_a_build_is_a_short_plain_text(tmp_path, build):
    with pytest.raises(InputError) as caught:
        client.connect(home=tmp_path, build=build)
    assert caught.value.code == Code.ARGUMENT
    assert "build" in caught.value.what
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("build", [None, "1", "2.4.1 (318)", "x" * 64])
def test_builds_as_apps_call_them(build):
    assert signals.checked_build(build) == build


@given(
    st.lists(st.text(max_size=300)).map(tuple),
    st.text(max_size=300),
    st.integers(0, 10**9),
    st.none() | st.binary(min_size=16, max_size=16),
)
def test_whatever_was_seen_fits_into_a_request(words, text, number, install):
    state = dataclasses.replace(EMPTY, app_install=install, runs=number)
    found = signals.of(Facts(words, words, text, number), state, keystore=text, build=text, resumed=True)
    assert Free(signals.MOST, signals.LONGEST).check(found, "signals") == found


def test_the_count_and_the_name_are_under_the_memory_s_mac():
    state = EMPTY.with_run().told(0, bytes(16))
    data = states.encode(state, bytes(32))
    assert states.decode(data, bytes(32), where="") == state
    assert (state.runs, state.told(5, b"x" * 16).runs, state.told(1, b"x" * 16).app_install) == (1, 0, bytes(16))
