"""Wipe orders: what the office may have destroyed here, what nobody else may, and what its owner tries."""

import contextlib
import dataclasses
import logging
import os
from pathlib import Path

import pytest

from rooms.edge.memory_office import DAY, Device, weights
from rooms.edge.ordering_office import OrderingOffice, forged
from strongroom import signing
from strongroom.edge import tombstones
from strongroom.edge.keystore.file import FileKeystore
from strongroom.edge.opening import open_installed
from strongroom.edge.state import Partial, PartialFile
from strongroom.errors import (
    Code,
    IntegrityError,
    RefusedError,
    SetupError,
    StoreError,
    StrongroomError,
    UnreachableError,
)
from strongroom.names import parse_reference
from strongroom.signing import SigningKey
from strongroom.wire import lease as leases
from strongroom.wire.orders import ABSENT, WIPED
from strongroom.wire.renewal import Renewal

WEIGHTS = weights(1, 2**20 + 99)


@pytest.fixture
def office() -> OrderingOffice:
    office = OrderingOffice()
    office.publish("digits", "1.0", {"w": WEIGHTS}, counter=1)
    office.publish("other", "1.0", {"w": WEIGHTS}, counter=1)
    return office


@pytest.fixture
def device(tmp_path: Path, office: OrderingOffice) -> Device:
    device = Device(tmp_path / "device", office)
    room = device.room()
    room.pull("digits")
    room.pull("other")
    return device


def secrets(device: Device, model: str) -> dict[str, bytes]:
    """The local keys of a model by the names of their files."""
    keys = FileKeystore(device.home / "keystore")
    installs = device.room().store.need().installs
    return {part.key: bytes(keys.get(part.key)) for one in installs if one.model == model for part in one.files}


def everything(home: Path) -> bytes:
    return b"\n".join(path.read_bytes() for path in sorted(home.rglob("*")) if path.is_file())


def test_an_order_destroys_key_and_files_and_is_reported(device, office):
    """C16: at the next contact the version is gone, keys first; the office has the device's word; the rest stays."""
    keys = secrets(device, "digits")
    handle = os.open(device.home / "keystore" / f"{next(iter(keys))}.key", os.O_RDONLY)
    order = office.order("digits", "1.0")
    with pytest.raises(RefusedError) as caught:
        device.room().renew("digits")
    assert caught.value.code == Code.WIPED
    assert order.order_id in caught.value.what
    assert os.read(handle, 32) not in keys.values()  # a file kept open shows that the key was overwritten
    os.close(handle)
    assert device.counts() == (1, 1, 0)
    assert not any(key in everything(device.home) for key in keys.values())
    (receipt,) = office.receipts
    assert (receipt.order_id, receipt.outcome, receipt.at) == (order.order_id, WIPED, office.now)
    assert office.pending == []
    with device.room().load("other", offline="only") as model:
        assert model.bytes() == WEIGHTS


@pytest.mark.parametrize("reference", ["digits", "digits@stable", "digits@1.0"])
@pytest.mark.parametrize("offline", ["auto", "only"])
def test_what_was_wiped_says_so(device, office, reference, offline):
    """By which order, when, and what to do; opening alone never brings it back, though the office would give it."""
    order = office.order("digits", "1.0")
    device.later(2 * DAY)  # beyond half of the time to the lease's end
    with pytest.raises(RefusedError) as caught, device.room().load("digits"):
        pass
    assert caught.value.code == Code.WIPED
    with pytest.raises(RefusedError) as again, device.room().load(reference, offline=offline):
        pass
    assert again.value.code == Code.WIPED
    assert order.order_id in again.value.what
    assert "2027-01-17" in again.value.what
    assert "strongroom pull digits@1.0" in again.value.next_step
    for never in ("letters", "digits@9.9"):
        with pytest.raises(SetupError), device.room().load(never, offline="only"):
            pass


def test_offline_the_lease_bounds_what_no_order_reaches(device, office):
    """C19: a device that hears nothing opens to the end of its lease, and no longer."""
    office.order("digits", "1.0")
    office.down = True
    device.later(3 * DAY - 1)
    with device.room().load("digits"):
        pass
    device.later(1)
    with pytest.raises(RefusedError) as caught, device.room().load("digits"):
        pass
    assert caught.value.code == Code.LEASE_EXPIRED


def test_pulling_meets_the_order(device, office):
    """B26: a release is refused as long as the order is pending; the pull fetches it, carries it out and says so."""
    office.order("digits", "1.0")
    with pytest.raises(RefusedError) as caught:
        device.room().pull("digits")
    assert caught.value.code == Code.WIPED
    assert [one.outcome for one in office.receipts] == [WIPED]
    assert device.counts() == (1, 1, 0)
    assert device.room().pull("digits").fetched  # the order is done with: what is asked for anew is a new release
    with device.room().load("digits", offline="only") as model:
        assert model.bytes() == WEIGHTS


def test_an_order_for_what_is_not_here(device, office):
    """The version was replaced before: nothing is lost, the office hears "absent", and the pull goes on."""
    office.order("digits", "1.0")
    office.publish("digits", "1.1", {"w": b"new"}, counter=2)
    held, office.pending = office.pending, []
    device.room().pull("digits")
    office.pending = held
    assert not device.room().pull("digits").fetched
    assert [one.outcome for one in office.receipts] == [ABSENT]
    with device.room().load("digits", offline="only") as model:
        assert model.version == "1.1"
    with pytest.raises(SetupError), device.room().load("digits@1.0", offline="only"):  # replaced, and not wiped
        pass


def test_a_device_that_holds_nothing_is_told_why_it_gets_nothing(tmp_path, office):
    """Without a lease nothing brings the order; only the operator can take it back."""
    fresh = Device(tmp_path / "fresh", office)
    fresh.room()
    office.order("digits", "1.0")
    with pytest.raises(RefusedError) as caught:
        fresh.room().pull("digits")
    assert caught.value.code == Code.ORDER_PENDING
    assert "operator" in caught.value.next_step


def test_an_order_is_applied_once(device, office):
    """G08: replayed after the version came back by a new release, it has its receipt sent again and nothing more."""
    order = office.order("digits", "1.0")
    with pytest.raises(RefusedError):
        device.room().renew("digits")
    room = device.room()
    room.pull("digits")
    office.give(order, office.orderer)
    assert room.renew("digits").version == "1.0"
    assert [one.order_id for one in office.receipts] == [order.order_id] * 2
    with room.load("digits", offline="only") as model:
        assert model.bytes() == WEIGHTS


@pytest.mark.parametrize("how", ["another device", "expired", "forged", "by the release key", "by an owner"])
def test_an_order_that_is_none_is_refused_and_the_others_are_not(device, office, how):
    """B27: for another device, over, or not signed by the order role: said as an error, and nothing is wiped by it."""
    changes = {"another device": {"device": bytes(32)}, "expired": {"expires": office.now}}.get(how, {})
    code = {"another device": Code.ORDER_MISMATCH, "expired": Code.ORDER_EXPIRED}.get(how, Code.SIGNATURE)
    signer = {"by the release key": office.release, "by an owner": office.owner}.get(how, office.orderer)
    bad = office.order("digits", "1.0", **changes)
    office.pending.clear()
    office.give(bad, signer)
    if how == "forged":
        office.bend_renewal = forged
    with pytest.raises((IntegrityError, RefusedError)) as caught:
        device.room().renew("digits")
    assert caught.value.code == code
    with device.room().load("digits", offline="only") as model:
        assert model.bytes() == WEIGHTS
    assert office.receipts == []
    assert device.room().store.need().tombstones == ()


def test_a_bad_order_stops_no_good_one(device, office, caplog):
    """The first order is for another device; the second is carried out all the same, and both are told of."""
    office.order("digits", "1.0", device=bytes(32))
    good = office.order("digits", "1.0")
    with caplog.at_level(logging.WARNING), pytest.raises(RefusedError) as caught:
        device.room().renew("digits")
    assert caught.value.code == Code.WIPED
    assert [one.order_id for one in office.receipts] == [good.order_id]
    assert "another device" in caplog.text


def test_the_thief_of_the_release_key_cannot_wipe(device, office):
    """B27: renewals are the release role's to sign, orders are not."""
    order = office.order("digits", "1.0")
    office.pending.clear()
    office.give(order, SigningKey.generate(signing.ED25519))
    with pytest.raises(IntegrityError) as caught:
        device.room().renew("digits")
    assert caught.value.code == Code.SIGNATURE
    assert device.counts() == (2, 2, 0)


def test_expired_trust_keeps_no_order_back(device, office):
    """Section 14: nobody escapes an order by holding trust.json back until it is over."""
    device.later(366 * DAY)
    office.order("digits", "1.0")
    with pytest.raises(RefusedError) as caught:
        device.room().renew("digits")
    assert caught.value.code == Code.WIPED


def test_an_open_model_lends_nothing_more(device, office):
    """In the process that hears the order, and in one that never speaks to anybody: at the very next view."""
    other, room = device.room(), device.room()
    with other.load("digits", offline="only") as mine, room.load("digits", offline="only") as model:
        lent = mine.file("w")
        office.order("digits", "1.0")
        with pytest.raises(RefusedError):
            room.renew("digits")
        for use in (lambda: mine.file("w"), mine.bytes, mine.session, lambda: model.file("w")):
            with pytest.raises(RefusedError) as caught:
                use()
            assert caught.value.code == Code.WIPED
        assert lent == WEIGHTS
        room.pull("digits")  # a new release is another opening's
        with pytest.raises(RefusedError):
            mine.bytes()
    with pytest.raises(ValueError, match="released"):
        bytes(lent)
    with room.load("digits", offline="only") as model:
        assert model.bytes() == WEIGHTS


def test_the_beat_sees_an_order(device, office):
    """A model that nobody looks at finds out within the minute; what it knows then stays known."""
    room = device.room()
    model = open_installed(room.store, parse_reference("digits"), lambda: None, beat=3600)
    office.order("digits", "1.0")
    with pytest.raises(RefusedError):
        device.room().renew("digits")
    model._watch.beat()
    (device.home / "state.json").unlink()
    with pytest.raises(RefusedError) as caught:
        model.bytes()
    assert caught.value.code == Code.WIPED
    model.close()


def test_a_receipt_that_cannot_be_sent_is_sent_at_the_next_contact(device, office):
    """G08: dropped on the way; the version is gone all the same, and another model's pull brings the receipt."""
    office.order("digits", "1.0")
    office.deaf = True
    with pytest.raises(RefusedError) as caught:
        device.room().renew("digits")
    assert caught.value.code == Code.WIPED
    assert device.counts() == (1, 1, 0)
    office.deaf = False
    device.room().pull("other")
    assert [one.outcome for one in office.receipts] == [WIPED]
    (stone,) = device.room().store.need().tombstones
    assert stone.sent


def test_a_receipt_waits_longer_than_its_order(device, office):
    """The device was away until the order was over: it still reports what it did, and only then forgets it."""
    order = office.order("digits", "1.0")
    office.deaf = True
    with pytest.raises(RefusedError):
        device.room().renew("digits")
    device.later(order.expires - office.now)
    device.room().pull("other")
    assert len(device.room().store.need().tombstones) == 1
    office.deaf = False
    device.room().pull("other")
    assert [one.outcome for one in office.receipts] == [WIPED]
    assert device.room().store.need().tombstones == ()


@pytest.mark.parametrize("genuine", [True, False], ids=["genuine", "forged"])
def test_a_disk_that_takes_no_order_opens_nothing_that_was_ordered_away(device, office, monkeypatch, genuine):
    """C05: a load that heard an order and cannot write it down opens nothing; a forged order stops nobody."""
    office.order("digits", "1.0")
    if not genuine:
        office.bend_renewal = forged
    device.later(2 * DAY)
    room = device.room()
    real = type(room.store).update

    def update(store: object, change: object) -> object:
        if "obey" in getattr(change, "__qualname__", ""):
            change(store.need())
            raise StoreError(Code.DISK_FULL, "the disk is full")
        return real(store, change)

    monkeypatch.setattr(type(room.store), "update", update)
    with contextlib.nullcontext() if not genuine else pytest.raises(RefusedError) as caught, room.load("digits"):
        pass
    assert not genuine or caught.value.code == Code.WIPED


def test_tombstones_are_forgotten_and_bounded(device, office, monkeypatch):
    """Kept until the receipt was sent and the order is over; never more than there is room for."""
    order = office.order("digits", "1.0")
    with pytest.raises(RefusedError):
        device.room().renew("digits")
    room = device.room()
    device.later(order.expires - office.now - 1)
    room.pull("other")
    assert len(room.store.need().tombstones) == 1
    device.later(1)
    room.pull("other")
    room.pull("other")
    assert room.store.need().tombstones == ()
    monkeypatch.setattr(tombstones, "MOST", 3)
    room.pull("digits")
    for _ in range(5):
        office.order("digits", "1.0")
        with pytest.raises(RefusedError):
            room.renew("digits")
        room.pull("digits")
        assert len(room.store.need().tombstones) <= 3


def test_no_room_for_an_order_whose_receipts_were_never_taken(device, office, monkeypatch):
    """The office is told nothing and orders on: what waits to be reported is not dropped for it."""
    monkeypatch.setattr(tombstones, "MOST", 2)
    state = device.room().store.need()
    made = [
        dataclasses.replace(office.order("digits", "1.0"), version=f"1.{number}", expires=office.now + 10 + number)
        for number in range(3)
    ]
    for order in made[:2]:
        state = tombstones.bury(state, order, office.now)
    with pytest.raises(StoreError) as caught:
        tombstones.bury(state, made[2], office.now)
    assert caught.value.code == Code.DISK_FULL
    later = tombstones.bury(state, made[2], made[0].expires)
    assert [one.version for one in later.tombstones] == ["1.1", "1.2"]


def test_a_partial_download_counts_as_there(device, office):
    """Half a version and its key are something to destroy."""
    room = device.room()
    head = office.models["digits"]["1.0"].heads[0]
    part = Partial("a" * 32, "digits", "0.9", (PartialFile(head.core.file_id, head.digest, "b" * 32),), office.now)
    room.store.update(lambda state: dataclasses.replace(state, partials=(part,)))
    room.store.keystore.put("b" * 32, b"\x07" * 32)
    (device.home / "incoming" / part.id).mkdir(mode=0o700)
    (device.home / "incoming" / part.id / "0.srm").write_bytes(b"half")
    office.models["digits"]["0.9"] = office.models["digits"]["1.0"]
    office.order("digits", "0.9")
    assert room.renew("digits").version == "1.0"
    assert [one.outcome for one in office.receipts] == [WIPED]
    assert room.store.need().partials == ()
    assert device.counts() == (2, 2, 0)


def test_more_orders_than_one_answer_carries(device, office):
    """What is not here is reported absent, sixteen at a time, and the lease comes at last."""
    for number in range(20):
        office.models["digits"][f"0.{number}"] = office.models["digits"]["1.0"]
        office.order("digits", f"0.{number}")
    assert device.room().renew("digits").version == "1.0"
    assert len(office.renewed) == 3
    assert [one.outcome for one in office.receipts] == [ABSENT] * 20


def test_an_office_that_gives_neither_orders_nor_a_lease(device, office):
    """Asked a few times, then said: it does not keep a device busy for ever."""
    office.bend_renewal = lambda given: dataclasses.replace(given, lease=None)
    with pytest.raises(RefusedError) as caught:
        device.room().renew("digits")
    assert caught.value.code == Code.ORDER_PENDING
    assert len(office.renewed) == 4


@pytest.mark.parametrize("version", ["0.9", "1.0"])
def test_orders_come_before_the_lease_beside_them(device, office, version):
    """An office that gives both at once: the order is carried out, and a lease for what it took is not kept."""

    def both(given: Renewal) -> Renewal:
        held, _ = office.leases[given.lease_id]
        fresh = dataclasses.replace(held, expires=office.now + DAY, request=given.request, challenge=given.challenge)
        return dataclasses.replace(given, lease=leases.issue(fresh, (office.release,)))

    office.models["digits"]["0.9"] = office.models["digits"]["1.0"]
    office.order("digits", version)
    office.bend_renewal = both
    if version == "0.9":
        assert device.room().renew("digits").lease_expires == office.now + DAY
    else:
        with pytest.raises(RefusedError) as caught:
            device.room().renew("digits")
        assert caught.value.code == Code.WIPED
        assert [one.model for one in device.room().store.need().installs] == ["other"]
    assert len(office.renewed) == len(office.receipts) == 1


def test_receipts_are_not_tried_on_a_broken_line(device, office):
    """Three are due: the first that does not get through ends it; at the next contact they go before the renewal."""
    for number in range(3):
        office.models["digits"][f"0.{number}"] = office.models["digits"]["1.0"]
        office.order("digits", f"0.{number}")
    office.deaf = True
    with pytest.raises(UnreachableError):
        device.room().renew("digits")
    assert sum(b'"receipt"' in body for body in office.bodies) == 1
    office.deaf = False
    device.room().renew("digits")
    assert len(office.receipts) == 3
    assert len(office.renewed) == 2


def told(office: OrderingOffice) -> int:
    """How often a receipt was sent."""
    return sum(b'"receipt"' in body for body in office.bodies)


@pytest.mark.parametrize("code", [Code.NOT_FOUND, Code.RECEIPT])
def test_a_receipt_that_can_never_be_taken_is_given_up_with_its_order(device, office, code, caplog):
    """G08: the office forgot the order, or has another word for it: said once a contact, and forgotten in its time."""
    order = office.order("digits", "1.0")
    office.takes_none = code
    room = device.room()
    with pytest.raises(RefusedError) as caught:
        room.renew("digits")
    assert caught.value.code == Code.WIPED
    office.pending.clear()
    for contact in (2, 3):
        room.pull("other")
        assert told(office) == contact
    with pytest.raises(RefusedError), room.load("digits", offline="only"):
        pass
    device.later(order.expires - office.now)
    room.pull("other")  # after which the device knows what time it is
    with caplog.at_level(logging.WARNING):
        room.pull("other")
    assert caplog.text.count("given up") == 1
    assert room.store.need().tombstones == ()
    room.pull("other")
    assert told(office) == 5


def test_a_receipt_that_was_refused_is_taken_later(device, office):
    """G08: somebody in between said no, or the office was put back from a backup: the device's word is not lost."""
    order = office.order("digits", "1.0")
    office.takes_none = Code.NOT_FOUND
    room = device.room()
    with pytest.raises(RefusedError):
        room.renew("digits")
    assert [one.sent for one in room.store.need().tombstones] == [False]
    office.takes_none = None
    room.pull("other")
    (receipt,) = office.receipts
    assert (receipt.order_id, receipt.outcome) == (order.order_id, WIPED)
    assert [one.sent for one in room.store.need().tombstones] == [True]


def test_a_receipt_is_tried_once_in_each_contact(device, office):
    """An office that takes nothing for now hears each receipt once in a pull that renews on its way."""
    office.order("digits", "1.0")
    office.takes_none = Code.TOKEN
    with pytest.raises(RefusedError):
        device.room().renew("digits")
    assert told(office) == 1
    office.pending.clear()
    office.models["other"]["0.9"] = office.models["other"]["1.0"]
    order = office.order("other", "0.9")
    with pytest.raises(StrongroomError):
        device.room().pull("other")
    assert told(office) == 3  # the one that waited, and that of the new order
    office.takes_none = None
    device.room().pull("other")
    assert {one.order_id for one in office.receipts} >= {order.order_id}
    assert [one.sent for one in device.room().store.need().tombstones] == [True, True]
