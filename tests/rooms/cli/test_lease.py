"""`strongroom lease`: what it prints, and with which code it ends."""

import json

import pytest

from rooms.edge.memory_office import DAY, Device
from rooms.edge.ordering_office import OrderingOffice
from strongroom.canonical import to_base64url
from strongroom.cli import places


@pytest.fixture
def office():
    office = OrderingOffice()
    office.publish("digits", "1.0", {"w": b"digits"}, counter=7, epoch=1)
    office.publish("other", "2.0", {"w": b"other"}, counter=3)
    return office


@pytest.fixture
def device(tmp_path, office, monkeypatch):
    device = Device(tmp_path / "device", office)
    device.room().pull("digits")
    device.room().pull("other")
    monkeypatch.setattr(places, "room", lambda home: device.room(token=None))
    return device


def test_show_needs_no_network_and_writes_nothing(cli, device, office):
    office.down = True
    device.later(DAY + 3600)
    before = {path: path.read_bytes() for path in device.home.rglob("*") if path.is_file()}
    shown = cli("lease", "show")
    assert shown.code == 0
    head, first, _ = shown.out.splitlines()
    assert head.split() == ["MODEL", "VERSION", "ISSUED", "EXPIRES", "OFFLINE", "UNTIL", "LEFT", "MARK", "STATE"]
    assert first.split() == [
        *("digits", "1.0", "2027-01-15T08:00:00Z", "2027-01-22T08:00:00Z", "2027-01-18T08:00:00Z"),
        *("1d", "23h", "1.7", "running"),
    ]
    one = cli("lease", "show", "digits@1.0", "--json").json
    issued = office.now - DAY - 3600
    assert one == {
        "leases": [
            {
                "model": "digits",
                "version": "1.0",
                "issued": issued,
                "expires": issued + 7 * DAY,
                "max_offline": 3 * DAY,
                "offline_until": issued + 3 * DAY,
                "remains": 2 * DAY - 3600,
                "mark": {"epoch": 1, "counter": 7},
                "state": "running",
                "code": "",
            }
        ],
        "wiped": [],
        "token": {"expires": issued + DAY, "state": "over"},
    }
    assert {path: path.read_bytes() for path in device.home.rglob("*") if path.is_file()} == before


def test_show_says_what_is_over_and_what_was_wiped(cli, device, office):
    """A lease that is over is shown with its code; a wipe with its order and whether the office knows."""
    order = office.order("digits", "1.0")
    office.deaf = True
    cli("lease", "renew", "digits")
    device.later(3 * DAY)
    shown = cli("lease", "show")
    assert shown.out.splitlines()[1].split()[-1] == "lease-expired"
    assert order.order_id in shown.err
    assert "not been told yet" in shown.err
    (wiped,) = cli("lease", "show", "digits", "--json").json["wiped"]
    assert (wiped["outcome"], wiped["reported"]) == ("wiped", False)
    office.deaf = False
    cli("lease", "renew", "other")
    assert "the server knows" in cli("lease", "show").err
    (wiped,) = cli("lease", "show", "digits", "--json").json["wiped"]
    assert wiped["reported"] is True
    assert cli("lease", "show", "letters").code == 1


def test_show_says_when_the_devices_own_token_ends(cli, tmp_path, office, monkeypatch):
    """It lasts a day here, as the token itself says: soon is when less than a quarter of that is left."""
    claims = to_base64url(json.dumps({"iat": office.now}).encode())
    office.device_token = f"aaaa.{claims}.aaaa"
    device = Device(tmp_path / "another", office)
    device.room().pull("digits")
    monkeypatch.setattr(places, "room", lambda home: device.room(token=None))
    end = office.now + DAY
    for later, state, words in (
        (18 * 3600, "running", "own token ends 2027-01-16T08:00:00Z\n"),
        (1, "ending", "ends soon, 2027-01-16T08:00:00Z; run: strongroom enrol"),
        (6 * 3600 - 1, "over", "is over since 2027-01-16T08:00:00Z; run: strongroom enrol"),
    ):
        device.later(later)
        assert cli("lease", "show", "--json").json["token"] == {"expires": end, "state": state}
        assert words in cli("lease", "show").err


def test_renew(cli, device, office):
    device.later(DAY)
    done = cli("lease", "renew", "digits", "other@2.0")
    assert done.code == 0
    assert [line.split()[0] for line in done.out.splitlines()[1:]] == ["digits@1.0", "other@2.0"]
    every = cli("lease", "renew", "--all", "--json")
    until = office.now + 3 * DAY
    assert every.json == {
        "leases": [
            {"model": "digits@1.0", "offline_until": until, "code": ""},
            {"model": "other@2.0", "offline_until": until, "code": ""},
        ]
    }
    assert every.code == 0


def test_exit_codes_of_renew(cli, device, office):
    """4 if the right is over, 6 if it was wiped, 7 without a server, 2 for what is no question; all are tried."""
    assert cli("lease", "renew").code == 2
    assert cli("lease", "renew", "--all", "digits").code == 2
    office.order("digits", "1.0")
    wiped = cli("lease", "renew", "--all")
    assert wiped.code == 6
    assert "wiped" in wiped.err
    assert [line.split()[0] for line in wiped.out.splitlines()[1:]] == ["digits@1.0", "other@2.0"]
    office.entitled = False
    assert cli("lease", "renew", "other").code == 4
    assert cli("lease", "renew", "letters").code == 1
    office.down = True
    gone = cli("lease", "renew", "other", "--json")
    assert gone.code == 7
    assert gone.json["error"]["code"] == "unreachable"


def test_store_wipe(cli, device, office):
    """C16: keys and files of what was named are gone, and nothing else; nobody is told."""
    office.down = True
    assert cli("store", "wipe").code == 2
    assert cli("store", "wipe", "digits", "letters", "--yes").code == 1
    assert device.counts() == (2, 2, 0)
    done = cli("store", "wipe", "digits@1.0", "--yes", "--json")
    assert (done.code, done.json) == (0, {"wiped": [{"model": "digits", "version": "1.0"}]})
    assert device.counts() == (1, 1, 0)
    assert cli("store", "wipe", "--all", "--yes").out == "other@2.0\n"
    assert device.counts() == (0, 0, 0)
    office.down = False
    assert device.room(token=None).pull("digits").fetched
