"""B27: what the theft of a signing key gives, and of a device: the thief's own office answers with what he has.

`OrderingOffice` is a whole office in memory. The thief's has the one key that the test gives him, and keys of his own
in the place of all others; the network is his, TLS included, so a device that asks reaches him.
"""

import dataclasses
import shutil

import pytest

from rooms.edge.memory_office import DAY, START, Device, ident, role, weights
from rooms.edge.ordering_office import OrderingOffice
from strongroom import signing
from strongroom.edge.keystore.file import FileKeystore
from strongroom.errors import Code, StrongroomError
from strongroom.sealed import ModelKey
from strongroom.signing import Principal, Role, SigningKey
from strongroom.wire import jws, lease, trust
from strongroom.wire.messages import Lease

OLD, NEW, FOREIGN = weights(1, 5000), weights(2, 5000), weights(3, 5000)


@pytest.fixture
def office():
    office = OrderingOffice()
    office.publish("digits", "1.0", {"w": OLD}, counter=5)
    return office


@pytest.fixture
def device(tmp_path, office):
    device = Device(tmp_path / "device", office)
    device.room().pull("digits")
    office.publish("digits", "1.1", {"w": NEW}, counter=6)
    return device


def thief(office, **stolen):
    """An office of the thief's: it knows what passes on the network, and has no key but what was stolen."""
    made = OrderingOffice(now=office.now, **stolen)
    made.account, made.device_token, made.devices = office.account, office.device_token, office.devices
    made.trust, made.trust_documents = office.trust, list(office.trust_documents)
    made.leases, made.objects = dict(office.leases), dict(office.objects)
    for model, versions in office.models.items():
        for name, one in versions.items():  # the ciphertext is everybody's; its key is the thief's own guess
            made.models.setdefault(model, {})[name] = dataclasses.replace(one, keys=[ModelKey.generate()])
    made.channels = dict(office.channels)
    return made


def refused(call, *arguments):
    with pytest.raises(StrongroomError) as caught:
        call(*arguments)
    return caught.value.code


def runs(device, content=OLD, version="1.0"):
    with device.room().load("digits", offline="only") as model:
        assert (model.version, bytes(model.bytes())) == (version, content)


def test_the_release_key_gives_longer_leases(device, office):
    """B27: shown to be so: whoever can answer with it lengthens a lease, for the version and the device it was for."""
    mine = thief(office, release=office.release)
    mine.lease_seconds = mine.max_offline = 366 * DAY
    device.office = mine
    assert device.room().renew("digits").lease_expires == START + 366 * DAY
    office.now += 300 * DAY
    device.office = office
    device.boot += 300 * DAY
    runs(device)


def test_the_release_key_holds_updates_back(device, office):
    """B27: shown to be so: "you have the newest", signed, is believed as long as the thief answers; then it is over."""
    mine = thief(office, release=office.release)
    mine.channels["digits", "stable"] = "1.0"
    device.office = mine
    assert not device.room().pull("digits").fetched
    device.office = office
    assert device.room().pull("digits").version == "1.1"
    device.office = mine
    assert refused(device.room().pull, "digits") == Code.GRANT_ROLLBACK  # what it has had it does not go back from


def test_the_release_key_gives_no_model_key_and_no_foreign_file(device, office):
    """B27, B06: the real file with the thief's key; the thief's file, signed by himself: nothing becomes active."""
    mine = thief(office, release=office.release)
    device.office = mine
    assert refused(device.room().pull, "digits") == Code.FILE_WRONG_KEY
    mine.publish("digits", "1.2", {"w": FOREIGN}, counter=7, owner=SigningKey.generate(signing.ED25519))
    assert refused(device.room().pull, "digits") == Code.FILE_SIGNATURE
    assert device.counts() == (1, 1, 0)
    runs(device)


def test_the_release_key_wipes_nothing(device, office):
    """B27: orders that it signed, and orders that the thief's own key signed: refused, and the model runs on."""
    mine = thief(office, release=office.release)
    device.office = mine
    order = mine.order("digits", "1.0")
    assert refused(device.room().renew, "digits") == Code.SIGNATURE
    mine.pending.clear()
    mine.give(order, office.release)
    assert refused(device.room().renew, "digits") == Code.SIGNATURE
    runs(device)


def test_the_release_key_is_over_with_the_next_trust(device, office):
    """B27, B19: once the owners name another, what it signs is refused, the lengthened lease too."""
    mine = thief(office, release=office.release)
    mine.lease_seconds = 366 * DAY
    device.office = mine
    device.room().renew("digits")
    office.release = SigningKey.generate(signing.ED25519)
    office.new_trust(release=role(office.release))
    mine.trust_documents = office.trust_documents
    assert refused(device.room().renew, "digits") == Code.SIGNATURE
    with pytest.raises(StrongroomError) as caught, device.room().load("digits", offline="only"):
        pass
    assert caught.value.code == Code.SIGNATURE
    device.office = office
    assert device.room().pull("digits").version == "1.1"


def test_the_order_key_alone_reaches_nobody(device, office):
    """B27: an order travels in an answer that the release role signed: the order key signs none of those."""
    mine = thief(office, orderer=office.orderer)
    device.office = mine
    mine.order("digits", "1.0")
    assert refused(device.room().renew, "digits") == Code.SIGNATURE
    mine.release = office.orderer  # nor is it taken for a release key
    assert refused(device.room().renew, "digits") == Code.SIGNATURE
    assert refused(device.room().pull, "digits") in {Code.SIGNATURE, Code.ORDER_PENDING}
    runs(device)


def test_the_order_key_wipes_where_somebody_carries_it(device, office):
    """B27: shown to be so: with an office that gives the thief's orders on, versions go; no key, no lease, no file."""
    order = dataclasses.replace(thief(office, orderer=office.orderer).order("digits", "1.0"), order_id=ident("ord"))
    office.give(order, office.orderer)
    assert refused(device.room().renew, "digits") == Code.WIPED
    assert device.counts()[0] == 0
    assert device.room().pull("digits").version == "1.1"  # what is gone comes back by a release, which no order hinders


def test_owner_keys_run_nothing_without_a_release_key(device, office):
    """B27: a model that the owners' stolen keys signed, offered by an office without the release key."""
    mine = thief(office, owner=office.owner)
    mine.publish("digits", "1.2", {"w": FOREIGN}, counter=7)
    device.office = mine
    assert refused(device.room().pull, "digits") == Code.SIGNATURE
    runs(device)


def test_owner_keys_and_the_network_are_everything_but_old_keys(device, office):
    """B27: shown to be so: k owners name a release key of the thief's, and then his model is the model.

    What it does not give is the key of any model that is sealed already.
    """
    mine = thief(office, owner=office.owner)
    mine.new_trust(release=role(mine.release), order=role(mine.orderer))
    device.office = mine
    assert refused(device.room().pull, "digits@1.1") == Code.FILE_WRONG_KEY
    mine.publish("digits", "1.2", {"w": FOREIGN}, counter=7)
    assert device.room().pull("digits").version == "1.2"
    runs(device, FOREIGN, "1.2")


def test_fewer_owner_keys_than_k_are_nothing(tmp_path):
    """B27: one of two: no file and no trust document is taken, whoever answers."""
    office = OrderingOffice()
    second = SigningKey.generate(signing.ED25519)
    both = Role(2, tuple(Principal((key.public,)) for key in (office.owner, second)))
    office.trust = dataclasses.replace(office.trust, owner=both)
    office.trust_documents = [trust.encode(office.trust, (office.owner, second))]
    device = Device(tmp_path / "device", office)
    device.room()
    mine = thief(office, owner=office.owner, release=office.release, orderer=office.orderer)
    mine.publish("digits", "1.2", {"w": FOREIGN}, counter=7)
    device.office = mine
    mine.devices = office.devices
    assert refused(device.room().pull, "digits") == Code.FILE_SIGNATURE
    newer = dataclasses.replace(mine.trust, version=2, owner=role(mine.owner))
    mine.trust_documents.append(trust.encode(newer, (mine.owner,)))
    assert refused(device.room().refresh_trust) == Code.TRUST_THRESHOLD


def test_a_devices_directory_is_that_device_until_its_lease_ends(device, office, tmp_path):
    """B27, C07, C11: shown to be so: with its keystore a copy runs and renews, until lease or office end it."""
    shutil.copytree(device.home, tmp_path / "copy")
    copy = Device(tmp_path / "copy", office)
    runs(copy)
    assert copy.room().renew("digits").lease_expires == START + office.lease_seconds
    office.entitled = False  # whoever misses the device takes its right back
    assert refused(copy.room().renew, "digits") == Code.NOT_FOUND
    copy.later(office.max_offline - 1)
    runs(copy)
    copy.later(1)
    with pytest.raises(StrongroomError) as caught, copy.room().load("digits", offline="only"):
        pass
    assert caught.value.code == Code.LEASE_EXPIRED


def test_a_devices_keys_lengthen_no_lease(device, office):
    """B27, B25: the device key and the state's MAC key sign no lease: written in by hand, it does not verify."""
    keystore = FileKeystore(device.home / "keystore")
    room = device.room()
    (install,) = room.store.need().installs
    mine = Lease.from_bytes(jws.unverified_payload(install.lease[0], "lease"))
    longer = lease.issue(dataclasses.replace(mine, expires=START + 366 * DAY), (keystore.device_key(),))
    room.store.update(lambda state: state.with_changed(dataclasses.replace(install, lease=longer)))
    with pytest.raises(StrongroomError) as caught, device.room().load("digits", offline="only"):
        pass
    assert caught.value.code == Code.SIGNATURE


def test_another_model_is_not_among_what_a_device_gives(device, office, tmp_path):
    """B27: a stolen directory asks in its own name for what its account may have, and for nothing else."""
    office.publish("letters", "1.0", {"w": FOREIGN}, counter=1)
    shutil.copytree(device.home, tmp_path / "copy")
    office.entitled = False
    assert refused(Device(tmp_path / "copy", office).room().pull, "letters") == Code.NOT_FOUND
