"""The second story, in memory: what is released stays for a while, is renewed, and goes when the office says so.

Read test_protect_to_run.py first (R18, R24, R25; docs/spec/protocol.md sections 9 and 14).
"""

import os

import pytest

import strongroom
from strongroom.edge.keystore.file import FileKeystore
from strongroom.errors import Code, DeniedError, RefusedError, UnreachableError
from strongroom_in_memory import DEVICES, Street, Wire

WEIGHTS = os.urandom(300_000)
DAY = 86_400


@pytest.fixture
def street(tmp_path):
    with Street(tmp_path) as street:
        with strongroom.protect(
            WEIGHTS,
            name="digits",
            version="1.0",
            out=tmp_path / "1.0.srm",
            sign_with=street.owners,
            office=street.admin,
        ) as protected:
            protected.publish(channel="stable")
        yield street


class Line(Wire):
    """A device's line that can be cut."""

    cut = False

    def request(self, *args, **kwargs):
        if self.cut:
            raise UnreachableError(Code.UNREACHABLE, "no line")
        return super().request(*args, **kwargs)


@pytest.fixture
def line(street):
    return Line(street, DEVICES)


@pytest.fixture
def room(street, line):
    room = street.device("phone", street.customer("alice", "digits"), line)
    room.pull("digits")
    return room


def asked(line, what):
    return [url for _, url, _, _ in line.sent if what in url]


def opens(room):
    with room.load("digits") as model:
        assert model.bytes() == WEIGHTS
        return model.offline_until


def test_a_lease_is_renewed_as_long_as_there_is_a_line(street, line, room):
    """Opening renews from half of the lease on; without a line it opens to the end, and with one again afterwards."""
    first = opens(room)
    assert asked(line, "/renew") == []
    street.clock.advance((first - street.clock.now) // 2 + 1)
    second = opens(room)
    assert second > first
    assert len(asked(line, "/renew")) == 1
    assert len(asked(line, "/v1/releases")) == 1  # no key was asked for
    line.cut = True
    street.clock.now = second - 1
    opens(room)
    street.clock.now = second
    with pytest.raises(RefusedError) as refused:
        opens(room)
    assert refused.value.code == Code.LEASE_EXPIRED
    line.cut = False
    assert opens(room) > second


def test_a_right_that_is_gone_is_not_renewed(street, line, room):
    """B26: at the next renewal, and so within one lease; until then what was given stays given."""
    end = opens(room)
    (entitlement,) = street.ledger.tables.entitlements
    street.admin.delete("entitlements", entitlement.id)
    with pytest.raises(DeniedError) as refused:
        room.renew("digits")
    assert refused.value.code == Code.NOT_FOUND
    assert opens(room) == end
    street.clock.now = end
    with pytest.raises((DeniedError, RefusedError)):
        opens(room)


def test_the_office_orders_a_wipe_and_hears_of_it(street, line, room):
    """Ordered, told, carried out, reported: the operator sees each; key and files are gone, and stay gone."""
    (install,) = room.store.need().installs
    keys = FileKeystore(street.folder / "phone" / "keystore")
    secrets = [bytes(keys.get(file.key)) for file in install.files]
    device = room.identity.id
    other = street.device("tablet", street.customer("bob", "digits"))
    other.pull("digits")

    (ordered,) = street.admin.post("orders", value={"device": device})["orders"]
    line.cut = True
    assert opens(room)  # nobody told it yet, and the lease runs
    line.cut = False

    with room.load("digits", offline="only") as model:
        with pytest.raises(RefusedError) as refused:
            room.renew("digits")
        assert refused.value.code == Code.WIPED
        assert ordered["id"] in refused.value.what
        assert refused.value.reference == ordered["id"]  # what an appeal names
        with pytest.raises(RefusedError):
            model.bytes()

    home = street.folder / "phone"
    assert [*home.glob("models/*")] == []
    assert keys.names() == ["state"]
    assert not any(secret in path.read_bytes() for path in home.rglob("*") if path.is_file() for secret in secrets)
    (order,) = street.ledger.tables.orders
    assert (order.outcome, order.reported) == ("wiped", street.clock.now)
    seen = street.admin.get("devices", device)
    assert ordered["id"] in str(seen)
    assert "wiped" in str(seen)
    assert {"wipe.ordered", "wipe.reported"} <= {row.event for row in street.ledger.tables.audit}

    with pytest.raises(RefusedError) as refused:
        opens(room)
    assert refused.value.code == Code.WIPED
    assert opens(other)  # the others keep theirs


def test_a_pull_finds_out_too(street, line, room):
    """A device that only pulls is refused, renews, wipes and reports in one go; pulling again is a new release."""
    street.admin.post("orders", value={"device": room.identity.id})
    with pytest.raises(RefusedError) as refused:
        room.pull("digits")
    assert refused.value.code == Code.WIPED
    assert len(asked(line, "/receipt")) == 1
    assert room.pull("digits").fetched
    assert opens(room)


def test_a_blocked_device_can_still_be_wiped(street, line, room):
    """No release and no renewal; the order and its receipt pass."""
    street.admin.post("orders", value={"device": room.identity.id})
    street.admin.post("devices", room.identity.id, "block")
    with pytest.raises(RefusedError) as refused:
        room.renew("digits")
    assert refused.value.code == Code.WIPED
    assert len(asked(line, "/receipt")) == 1
    with pytest.raises(DeniedError):
        room.pull("digits")


def test_a_receipt_that_is_lost_is_sent_again(street, line, room):
    """B21, G08: the answer to the receipt never arrives; the office has it, the device sends the same one again."""
    street.admin.post("orders", value={"device": room.identity.id})

    def lose(url, answer):
        if "/receipt" in url and len(asked(line, "/receipt")) == 1:
            raise UnreachableError(Code.UNREACHABLE, "the answer was lost")
        return answer

    line.bend = lose
    with pytest.raises(RefusedError):
        room.renew("digits")
    (stone,) = room.store.need().tombstones
    assert not stone.sent
    assert room.pull("digits").fetched
    assert len(asked(line, "/receipt")) == 2
    (stone,) = room.store.need().tombstones
    assert stone.sent
