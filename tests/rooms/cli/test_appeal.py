"""`strongroom appeal`: what a stopped device's user types."""

import os

import pytest

import strongroom
from strongroom.cli import places
from strongroom.server.identify import Visit
from strongroom.server.watching import judging
from strongroom_in_memory import DEVICES, Street

REFERENCE = "ref_" + "R" * 22


@pytest.fixture
def street(tmp_path):
    with Street(tmp_path) as street:
        with strongroom.protect(
            os.urandom(1000),
            name="digits",
            version="1.0",
            out=tmp_path / "digits.srm",
            sign_with=street.owners,
            office=street.admin,
        ) as protected:
            protected.publish(channel="stable")
        yield street


def test_an_appeal_is_sent_and_named(street, cli, monkeypatch):
    phone = street.device("phone", street.customer("alice", "digits"))
    monkeypatch.setattr(places, "room", lambda home: phone)
    early = cli("appeal", REFERENCE, "nobody", "stopped", "me")
    assert early.code == 2
    device = next(row for row in street.ledger.tables.devices if row.id == phone.identity.id)
    seen = Visit(street.clock(), REFERENCE, "POST", f"{DEVICES}/v1/releases")
    street.do(judging.trapped(street.office, device, None, "dcy_test", seen))
    done = cli("appeal", REFERENCE, "it", "was my", "child")
    (row,) = street.ledger.tables.watch.appeals.values()
    assert (done.code, done.out) == (0, f"{row.id}\n")  # the id alone
    assert (row.device, row.reference, row.text) == (device.id, REFERENCE, "it was my child")
    assert cli("appeal", REFERENCE, "again", "--json").json["appeal"] != row.id
    assert cli("appeal", REFERENCE, "and again").code == 0
    late = cli("appeal", REFERENCE, "a fourth time")
    assert late.code == 6


def test_an_appeal_of_nothing_is_not_sent(street, cli, monkeypatch):
    phone = street.device("phone", street.customer("alice", "digits"))
    monkeypatch.setattr(places, "room", lambda home: phone)
    assert cli("appeal", REFERENCE).code == 2
    assert cli("appeal", "no reference", "why").code == 2
    assert cli("appeal", REFERENCE, "x" * 501).code == 2
