"""What operators do about devices, versions and accounts, by command line: what is printed, asked and refused."""

import dataclasses
import io
import sys

import pytest

import strongroom
from strongroom.cli import places
from strongroom_in_memory import Street

WEIGHTS = bytes(range(256)) * 40


@pytest.fixture
def street(tmp_path, monkeypatch):
    """An office in memory with digits 1.0 on stable and a device of ada that holds it; commands reach it."""
    folder = tmp_path / "street"
    folder.mkdir()
    with Street(folder) as street:
        publish(street, "1.0", "stable")
        street.phone = street.device("phone", street.customer("ada", "digits"))
        street.phone.pull("digits")
        (street.device_row,) = street.ledger.tables.devices
        monkeypatch.setattr(places, "office", lambda _at: street.admin)
        yield street


def publish(street, version, channel):
    with strongroom.protect(
        WEIGHTS,
        name="digits",
        version=version,
        out=street.folder / f"{version}.srm",
        sign_with=street.owners,
        office=street.admin,
    ) as protected:
        protected.publish(channel=channel)


def report(street, outcome):
    """What the office knows once the device has fetched its orders and reported."""
    rows = street.ledger.tables.orders
    at = street.clock()
    rows[:] = [dataclasses.replace(row, fetched=at, reported=at, outcome=outcome, receipt="a.b.c") for row in rows]


def test_show_says_what_is_held_ordered_and_reported(cli, street):
    """Never "wiped": "reported wiped" is what a device says."""
    me = street.device_row.id
    before = cli("device", "show", me)
    assert before.code == 0
    assert "digits  1.0      2027-01-22T08:00:00Z" in before.out
    ordered = cli("device", "wipe", me, "--yes")
    assert ordered.out.splitlines()[1].split()[1:] == ["digits", "1.0", "2027-01-15T08:00:00Z", "-", "pending"]
    report(street, "wiped")
    street.clock.advance(30 * 86_400)
    after = cli("device", "show", me)
    assert "reported wiped 2027-01-15T08:00:00Z" in after.out
    assert "2027-01-22T08:00:00Z (over)" in after.out
    report(street, "absent")
    assert "reported not there" in cli("device", "show", me).out
    rows = street.ledger.tables.orders
    rows[:] = [dataclasses.replace(row, reported=None, outcome=None, expires=1) for row in rows]
    assert cli("device", "show", me).out.splitlines()[-1].endswith("expired")


def test_an_order_is_withdrawn(cli, street):
    (order,) = cli("device", "wipe", street.device_row.id, "--yes", "--json").json["orders"]
    assert cli("device", "orders", "--json").json["orders"] == [order]
    done = cli("device", "withdraw", order["id"])
    assert done.code == 0
    assert done.out.splitlines()[1].endswith("withdrawn")
    assert cli("device", "orders").out.splitlines()[1].startswith(street.device_row.id)
    assert cli("device", "show", street.device_row.id, "--json").json["orders"][0]["state"] == "withdrawn"


def test_json_has_every_field(cli, street):
    me = street.device_row.id
    (order,) = cli("device", "wipe", me, "--model", "digits", "--version", "1.0", "--yes", "--json").json["orders"]
    assert order.keys() == {
        "id", "device", "model", "version", "state", "operator", "issued", "expires", "fetched", "reported", "outcome",
        "withdrawn",
    }  # fmt: skip
    shown = cli("device", "show", me, "--json").json
    assert shown["orders"] == [order]
    (held,) = shown["holds"]
    assert held.keys() == {"model", "version", "lease", "released", "lease_expires", "lease_over"}
    assert (shown["state"], shown["id"]) == ("active", me)


DESTRUCTIVE = [
    ("device", "wipe", "DEVICE"),
    ("model", "revoke", "digits", "1.0"),
    ("model", "revoke", "digits", "1.0", "--wipe"),
]


@pytest.mark.parametrize("command", DESTRUCTIVE, ids=" ".join)
def test_what_cannot_be_undone_is_asked_or_needs_yes(cli, street, monkeypatch, command):
    command = [street.device_row.id if word == "DEVICE" else word for word in command]

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    refused = cli(*command)
    assert refused.code == 2
    assert "--yes" in refused.err
    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    declined = cli(*command)
    assert (declined.code, declined.out) == (1, "")
    assert street.ledger.tables.orders == []
    assert street.ledger.tables.versions[0].state == "ready"
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    assert cli(*command).code == 0


def test_blocked_and_restricted_and_back(cli, street):
    me = street.device_row.id
    for shut, again, words in (
        ("block", "unblock", ("device", me)), ("restrict", "restore", ("account", "ada")),
    ):  # fmt: skip
        noun, name = words
        state = {"block": "blocked", "restrict": "restricted"}[shut]
        assert cli(noun, shut, name).out == f"{name}  {state}\n"
        assert cli(noun, "list", "--json").json[f"{noun}s"][0]["state"] == state
        assert cli(noun, again, name, "--json").json["state"] == "active"


def test_promote_and_revoke(cli, street):
    publish(street, "1.1", "beta")
    assert cli("model", "promote", "digits", "1.1", "--channel", "stable").out == "digits@stable  1.1 (before: 1.0)\n"
    back = cli("model", "promote", "digits", "1.0", "--channel", "stable")
    assert back.code == 2
    assert "[conflict]" in back.err
    assert "publish the old model again" in back.err
    revoked = cli("model", "revoke", "digits", "1.1", "--yes")
    assert revoked.out == "digits  1.1  revoked\n"
    assert "digits@beta gives out nothing" in revoked.err
    assert "stable=1.1 (revoked)" in cli("model", "list").out
    assert "1.1      1      2        revoked" in cli("model", "show", "digits").out
    again = cli("model", "revoke", "digits", "1.1", "--yes", "--json").json
    assert (again["state"], again["channels"]) == ("revoked", ["beta", "stable"])


def test_revoke_and_wipe_reaches_every_holder_once(cli, street, monkeypatch):
    """Page by page; said again nobody is ordered twice."""
    monkeypatch.setattr("strongroom.server.wipe_orders.AT_ONCE", 1)
    street.device("tablet", street.admin.post("tokens", value={"user": "ada"})["token"]).pull("digits")
    street.device("idle", street.admin.post("tokens", value={"user": "ada"})["token"])
    done = cli("model", "revoke", "digits", "1.0", "--wipe", "--yes")
    assert done.out == "digits  1.0  revoked\n2 wipe orders given\n"
    assert len({row.device for row in street.ledger.tables.orders}) == 2
    assert cli("model", "revoke", "digits", "1.0", "--wipe", "--yes", "--json").json["ordered"] == 0


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (("device", "show", "phone"), 2, "argument"),
        (("device", "show", "dev_AAAAAAAAAAAAAAAAAAAAAA"), 4, "not-found"),
        (("device", "block", "dev_AAAAAAAAAAAAAAAAAAAAAA"), 4, "not-found"),
        (("device", "wipe", "../dev", "--yes"), 2, "argument"),
        (("device", "wipe", "dev_AAAAAAAAAAAAAAAAAAAAAA", "--version", "1.0", "--yes"), 2, "usage"),
        (("device", "wipe", "dev_AAAAAAAAAAAAAAAAAAAAAA", "--model", "A", "--yes"), 2, "name"),
        (("device", "withdraw", "dev_AAAAAAAAAAAAAAAAAAAAAA"), 2, "argument"),
        (("device", "withdraw", "ord_AAAAAAAAAAAAAAAAAAAAAA"), 4, "not-found"),
        (("account", "restrict", "nobody"), 4, "not-found"),
        (("model", "promote", "digits", "9.9", "--channel", "stable"), 4, "not-found"),
        (("model", "promote", "digits", "1.0", "--channel", "Stable"), 2, "name"),
        (("model", "revoke", "digits", "stable", "--yes"), 2, "name"),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, tuple) else str(one),
)
def test_refusals_have_a_code(cli, street, words, code, error):
    outcome = cli(*words)
    assert outcome.code == code, outcome
    assert f"[{error}]" in outcome.err, outcome.err
