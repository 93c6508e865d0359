"""Renewing a lease: asked for, before opening, and what never happens on the way."""

import dataclasses
import errno
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rooms.edge.memory_office import DAY, Device
from rooms.edge.ordering_office import OrderingOffice
from rooms.edge.test_unwritable import Unwritable
from strongroom import signing
from strongroom.edge import client
from strongroom.edge.folder import Folder
from strongroom.edge.keystore.file import FileKeystore
from strongroom.edge.lock import locked
from strongroom.errors import Code, DeniedError, IntegrityError, RefusedError, SetupError, UnreachableError
from strongroom.signing import SigningKey
from strongroom.wire import lease as leases
from strongroom.wire.messages import Lease
from strongroom.wire.renewal import Renewal
from strongroom.wire.trust import Trust


@pytest.fixture
def office() -> OrderingOffice:
    office = OrderingOffice(lease_seconds=4 * DAY, max_offline=4 * DAY)
    office.publish("digits", "1.0", {"w": b"old" * 1000}, counter=1)
    return office


@pytest.fixture
def device(tmp_path: Path, office: OrderingOffice) -> Device:
    return Device(tmp_path / "device", office)


def test_a_lease_is_renewed_without_a_key_or_a_download(device, office):
    """R24: the same lease, later; no ephemeral key, no byte of the model, and the clock taken from the answer."""
    room = device.room()
    first = room.pull("digits")
    reads, keys = len(office.ranges), len(office.ephemerals)
    device.later(DAY)
    device.wall_ahead = 3600
    again = room.renew("digits")
    assert (again.version, again.fetched) == ("1.0", False)
    assert again.lease_expires == first.lease_expires + DAY == office.now + 4 * DAY
    assert (len(office.ranges), len(office.ephemerals)) == (reads, keys)
    assert room.store.need().clock.seen == office.now
    office.down = True
    device.wall_ahead = 0
    device.later(4 * DAY - 1)
    with room.load("digits") as model:
        assert model.lease_expires == again.lease_expires
    device.later(1)
    with pytest.raises(RefusedError), room.load("digits"):
        pass


def test_a_selector_travels_as_the_model_was_asked_for(device, office):
    """So that `latest` is about the channel this device follows, not about the version it holds."""
    office.channels["digits", "beta"] = "1.0"
    room = device.room()
    room.pull("digits@beta")
    room.pull("digits@stable")
    for asked, sent in (("digits", "@stable"), ("digits@beta", "@beta"), ("digits@1.0", "@beta")):
        room.renew(asked)
        assert office.renewed[-1].version == sent


def test_opening_renews_from_half_of_the_time_on(device, office):
    """Not a second before the half; then once, and the lease is whole again."""
    room = device.room()
    room.pull("digits")
    device.later(2 * DAY - 1)
    with room.load("digits"):
        assert office.renewed == []
    device.later(1)
    with room.load("digits") as model:
        assert len(office.renewed) == 1
        assert model.lease_expires == office.now + 4 * DAY
    with room.load("digits"):
        assert len(office.renewed) == 1


def test_offline_only_never_asks(device, office):
    room = device.room()
    room.pull("digits")
    said = len(office.bodies)
    device.later(3 * DAY)
    with room.load("digits", offline="only"):
        assert len(office.bodies) == said


@pytest.mark.parametrize("trouble", ["down", "denied", "another downloads", "forged"])
def test_a_renewal_that_fails_stops_no_opening_within_the_lease(device, office, trouble, monkeypatch):
    """C19: to the end of the lease, and not beyond; a room that failed leaves the office alone for a while."""
    room = device.room()
    room.pull("digits")
    device.later(3 * DAY)
    office.down, office.entitled = trouble == "down", trouble != "denied"
    if trouble == "forged":
        office.bend_renewal = lambda given: dataclasses.replace(given, device=given.account)
    if trouble == "another downloads":
        monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("it waited"))
        with Folder.open(device.home) as home, locked(home, "pull.lock", 0), room.load("digits"):
            pass
    with room.load("digits") as model:
        assert model.lease_expires < office.now + 2 * DAY
    asked = len(office.renewed)
    with room.load("digits"):
        assert len(office.renewed) == asked
    device.later(DAY)
    office.down, office.entitled = office.down or trouble != "denied", trouble != "denied"
    with pytest.raises((RefusedError, DeniedError)) as caught, room.load("digits"):
        pass
    assert caught.value.code == (Code.NOT_FOUND if trouble == "denied" else Code.LEASE_EXPIRED)


def test_a_quiet_room_asks_again_later(device, office):
    room = device.room()
    room.pull("digits")
    device.later(3 * DAY)
    office.down = True
    with room.load("digits"):
        pass
    office.down = False
    with room.load("digits"):
        assert office.renewed == []
    device.later(900)
    with room.load("digits"):
        assert len(office.renewed) == 1


def test_renewing_says_why_it_cannot(device, office):
    room = device.room()
    with pytest.raises(SetupError) as missing:
        room.renew("digits")
    assert missing.value.code == Code.NOT_INSTALLED
    room.pull("digits")
    office.entitled = False
    with pytest.raises(DeniedError):
        room.renew("digits")
    office.entitled, office.down = True, True
    with pytest.raises(UnreachableError):
        room.renew("digits")


@pytest.mark.parametrize("field", ["request", "challenge", "account", "device", "lease_id", "model", "version"])
def test_an_answer_to_something_else_is_refused(device, office, field):
    """G06, B02: each field that ties the answer to the request; the old lease and the old time stay."""
    room = device.room()
    room.pull("digits")
    before = room.store.need()
    device.later(DAY)
    other = {"request": bytes(32), "challenge": bytes(32), "model": "letters", "version": "9.9"}
    change = {field: other.get(field, "xx_" + "A" * 22)}
    office.bend_renewal = lambda given: dataclasses.replace(given, **change)
    with pytest.raises(IntegrityError) as caught:
        room.renew("digits")
    assert caught.value.code == Code.GRANT_MISMATCH
    assert room.store.need() == before


@pytest.mark.parametrize("change", [{"files": (bytes(64),)}, {"device": bytes(32)}, {"request": bytes(32)}], ids=str)
def test_a_lease_for_something_else_is_refused(device, office, change):
    room = device.room()
    room.pull("digits")
    (held, _), *_ = office.leases.values()
    wrong = leases.issue(dataclasses.replace(held, **change), (office.release,))
    office.bend_renewal = lambda given: dataclasses.replace(given, lease=wrong)
    with pytest.raises(IntegrityError) as caught:
        room.renew("digits")
    assert caught.value.code == Code.LEASE_MISMATCH


def test_an_old_answer_is_refused(device, office):
    """B02: whoever recorded one renewal cannot give it again."""
    room = device.room()
    room.pull("digits")
    heard = []
    office.bend_renewal = lambda given: heard.append(given) or given
    room.renew("digits")
    office.bend_renewal = lambda given: heard[0]
    with pytest.raises(IntegrityError) as caught:
        room.renew("digits")
    assert caught.value.code == Code.GRANT_MISMATCH


def test_renewal_heals_a_lease_whose_signer_was_replaced(device, office):
    """The owners take the release key back: what is installed does not open, and renewing brings a lease by the new."""
    room = device.room()
    room.pull("digits")
    office.release = SigningKey.generate(signing.ED25519)
    office.new_trust(release=type(office.trust.release)(1, (signing.Principal((office.release.public,)),)))
    room.refresh_trust()
    with pytest.raises(IntegrityError), room.load("digits", offline="only"):
        pass
    room.renew("digits")
    with room.load("digits", offline="only") as model:
        assert model.version == "1.0"


def test_expired_trust_renews_nothing(device, office):
    """R21: nothing new by trust that is over; the running lease goes on."""
    office.lease_seconds = office.max_offline = 300 * DAY
    room = device.room()
    device.later(200 * DAY)
    room.pull("digits")
    device.later(166 * DAY)
    with pytest.raises(RefusedError) as caught:
        room.renew("digits")
    assert caught.value.code == Code.TRUST_EXPIRED
    with room.load("digits"):
        pass


def test_a_renewal_that_is_over_when_it_comes_is_not_kept(device, office):
    room = device.room()
    room.pull("digits")
    before = room.store.need()
    office.lease_seconds = 0
    with pytest.raises(RefusedError) as caught:
        room.renew("digits")
    assert caught.value.code == Code.LEASE_EXPIRED
    assert room.store.need() == before


def test_the_lease_kept_is_the_one_that_came(device, office):
    """A shorter lease is the office's to give."""
    room = device.room()
    room.pull("digits")
    office.max_offline = 60
    assert room.renew("digits").offline_until == office.now + 60
    (install,) = room.store.need().installs
    read = leases.read_signed(install.lease, room.trust)
    assert isinstance(read, Lease)
    assert read.max_offline == 60


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO], ids=errno.errorcode.get)
def test_a_disk_that_takes_nothing_renews_nothing_and_opens(device, number, monkeypatch):
    """C05: within its lease the model opens; the renewal waits for a disk that takes it."""
    device.room().pull("digits")
    device.later(3 * DAY)
    room = device.room(token=None)
    with monkeypatch.context() as patch:
        Unwritable(patch, number)
        with room.load("digits") as model:
            assert model.lease_expires == device.office.now + DAY
    device.later(900)
    with room.load("digits") as model:
        assert model.lease_expires == device.office.now + 4 * DAY


def test_opening_hurries(device, office):
    """The renewal before opening goes its own way, with little patience; pulling goes the patient one."""
    ways = []

    def way(name: str) -> Callable[[Trust], OrderingOffice]:
        return lambda _: ways.append(name) or office

    keys = FileKeystore(device.home / "keystore")
    device.room().pull("digits")
    room = client.open_room(
        device.home,
        keys,
        url=None,
        token=None,
        trust=None,
        connector=way("patient"),
        clocks=device.clocks,
        hasty=way("hasty"),
    )
    device.later(3 * DAY)
    with room.load("digits"):
        assert (ways, len(office.renewed)) == (["hasty"], 1)
    room.renew("digits")
    assert ways == ["hasty", "patient"]


def test_a_lease_that_is_over_is_pulled_not_renewed(device, office):
    """Contact is needed anyway: the newest version comes with it."""
    room = device.room()
    room.pull("digits")
    office.publish("digits", "1.1", {"w": b"new"}, counter=2)
    device.later(4 * DAY)
    with room.load("digits") as model:
        assert model.version == "1.1"
    assert office.renewed == []


def test_trust_that_changes_meanwhile(device, office):
    """B27: another process follows a newer document while the answer is on its way: it is judged anew, not kept."""
    room = device.room()
    first = room.pull("digits")
    device.later(DAY)

    def meanwhile(given: Renewal) -> Renewal:
        office.new_trust()
        device.room(token=None).refresh_trust()
        return given

    office.bend_renewal = meanwhile
    with pytest.raises(RefusedError) as caught:
        room.renew("digits")
    assert caught.value.code == Code.TRUST_VERSION
    with room.load("digits", offline="only") as model:
        assert model.lease_expires == first.lease_expires
