"""Answers that are not for this device's own fresh request, or not from the office: all refused, nothing changes."""

import base64
import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from rooms.edge.memory_office import DAY, SERVER, USER_TOKEN, Device, MemoryOffice, ident, weights
from strongroom import signing
from strongroom.edge import request
from strongroom.edge.state import Mark
from strongroom.errors import Code, DeniedError, IntegrityError, RefusedError, StrongroomError
from strongroom.sealed import ModelKey
from strongroom.signing import SigningKey
from strongroom.wire import grant as grants
from strongroom.wire import hpke, lease
from strongroom.wire.messages import Grant, Latest, Lease, ReleaseAnswer

OLD, NEW = weights(1, 5000), weights(2, 5000)


@pytest.fixture
def office() -> MemoryOffice:
    office = MemoryOffice()
    office.publish("digits", "1.0", {"w": OLD}, counter=5)
    return office


@pytest.fixture
def device(tmp_path: Path, office: MemoryOffice) -> Device:
    device = Device(tmp_path / "device", office)
    device.room().pull("digits")
    office.publish("digits", "1.1", {"w": NEW}, counter=6)
    return device


@pytest.fixture
def ephemerals(monkeypatch: pytest.MonkeyPatch) -> list[hpke.EphemeralKey]:
    """Every ephemeral key the device makes."""
    made: list[hpke.EphemeralKey] = []
    real = hpke.EphemeralKey.generate.__func__

    def generate(cls: type[hpke.EphemeralKey], kem: int = hpke.DEFAULT_KEM) -> hpke.EphemeralKey:
        made.append(real(cls, kem))
        return made[-1]

    monkeypatch.setattr(hpke.EphemeralKey, "generate", classmethod(generate))
    return made


def check_unchanged(device: Device, ephemerals: list[hpke.EphemeralKey]) -> None:
    """The old version is active and whole, nothing is left over, and every ephemeral key is gone."""
    assert ephemerals
    assert all(key.used for key in ephemerals)
    assert device.counts() == (1, 1, 0)
    with device.room().load("digits", offline="only") as model:
        assert model.bytes() == OLD
        assert model.version == "1.0"
    state = device.room().store.need()
    assert state.mark("digits") == (1, 5)


def changed(**changes: object) -> Callable[[Grant], Grant]:
    return lambda given: dataclasses.replace(given, **changes)


def of_file(**changes: object) -> Callable[[Grant], Grant]:
    return lambda given: dataclasses.replace(given, files=(dataclasses.replace(given.files[0], **changes),))


BENT = {
    "another request": (changed(request=b"r" * 32), Code.GRANT_MISMATCH),
    "another challenge": (changed(challenge=b"c" * 32), Code.GRANT_MISMATCH),
    "another account": (changed(account=ident("acc")), Code.GRANT_MISMATCH),
    "another device": (changed(device=ident("dev")), Code.GRANT_MISMATCH),
    "another model": (changed(model="letters"), Code.GRANT_MISMATCH),
    "an older counter": (changed(counter=4), Code.GRANT_ROLLBACK),
    "an epoch the owners have not set": (changed(epoch=2), Code.GRANT_MISMATCH),
    "not the newest of the channel": (changed(latest=Latest("1.2", 7, 2**40)), Code.GRANT_ROLLBACK),
    "a newest that expired": (changed(latest=Latest("1.1", 6, 1_000)), Code.GRANT_FROZEN),
    "a local file": (of_file(kind="local"), Code.GRANT_MISMATCH),
    "a suite that is not allowed": (of_file(suite=2), Code.GRANT_MISMATCH),
    "another file id": (of_file(file_id=b"f" * 32), Code.FILE_MISMATCH),
    "another key id": (of_file(key_id=b"k" * 16), Code.FILE_MISMATCH),
    "another size": (of_file(size=1234), Code.FILE_MISMATCH),
    "another kind": (of_file(kind="overlay"), Code.FILE_KIND),
}


@pytest.mark.parametrize("name", BENT)
def test_a_bent_grant_is_refused(device, office, ephemerals, name):
    """B02, B17, B18, B20, R42, R44: even signed by the release role, a grant must be the answer to this request."""
    office.bend, code = BENT[name]
    with pytest.raises((IntegrityError, RefusedError)) as caught:
        device.room().pull("digits")
    assert caught.value.code == code
    office.bend = lambda given: given
    check_unchanged(device, ephemerals)


@pytest.mark.parametrize(
    "change",
    ["challenge", "kem", "account", "device", "device_key", "platform", "model", "version", "purpose"],
)
def test_keys_sealed_for_another_binding_do_not_open(device, office, ephemerals, change):
    """B02, B03, B04, R42: swap any bound value and the sealed key does not open."""
    other = {
        "challenge": b"x" * 32,
        "kem": hpke.MLKEM768_X25519,
        "account": ident("acc"),
        "device": ident("dev"),
        "device_key": b"x" * 32,
        "platform": "ios",
        "model": "letters",
        "version": "1.1",
        "purpose": "enrol",
    }
    if change == "kem":  # the same key under another number needs a KEM of the same shape, so the file's key is swapped

        def rebind(given):
            return dataclasses.replace(given, public_key=hpke.EphemeralKey.generate(given.kem).public)

        office.rebind = rebind
    else:
        office.rebind = lambda given: dataclasses.replace(given, **{change: other[change]})
    with pytest.raises(IntegrityError) as caught:
        device.room().pull("digits")
    assert caught.value.code == Code.SEALED_KEY
    office.rebind = lambda given: given
    check_unchanged(device, [key for key in ephemerals if key.used])


def test_an_attackers_own_key_needs_the_offices_signature(device, office, ephemerals):
    """B06: HPKE has no sender; a grant signed by a stranger is refused before anything is opened."""
    office.release = SigningKey.generate(signing.ED25519)
    with pytest.raises(IntegrityError) as caught:
        device.room().pull("digits")
    assert caught.value.code == Code.SIGNATURE
    check_unchanged(device, ephemerals)


@pytest.mark.parametrize("place", [0, 100, -1])
def test_a_flipped_bit_in_the_sealed_key_is_refused(device, office, ephemerals, place):
    """B07: one kind of error, and the ephemeral key is gone."""
    real = grants.issue

    def issue(given: Grant, signers: tuple[SigningKey, ...]) -> ReleaseAnswer:
        sealed = bytearray(given.sealed)
        sealed[place] ^= 1
        return real(dataclasses.replace(given, sealed=bytes(sealed)), signers)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grants, "issue", issue)
        with pytest.raises(IntegrityError) as caught:
            device.room().pull("digits")
    assert caught.value.code == Code.SEALED_KEY
    check_unchanged(device, ephemerals)


def test_another_models_key_is_refused(device, office, ephemerals):
    """B20: the right file with another file's key fails at its head, before any segment is fetched."""
    made = office.models["digits"]["1.1"]
    made.keys[0] = ModelKey.generate()
    office.ranges.clear()
    with pytest.raises(IntegrityError) as caught:
        device.room().pull("digits")
    assert caught.value.code == Code.FILE_WRONG_KEY
    assert len(office.ranges) == 2  # the preamble and the head part
    check_unchanged(device, ephemerals)


def test_a_file_by_a_strangers_hand_is_refused(device, office, ephemerals):
    """A22, B27: the office can deliver it and its key, but no owner signed it."""
    office.publish("digits", "1.2", {"w": NEW}, counter=7, owner=SigningKey.generate(signing.ED25519))
    with pytest.raises(IntegrityError) as caught:
        device.room().pull("digits")
    assert caught.value.code == Code.FILE_SIGNATURE
    check_unchanged(device, ephemerals)


def test_an_older_version_is_refused_by_name_too(device, office, ephemerals):
    """B17: the mark is raised by what was installed, and nothing older passes."""
    office.publish("digits", "0.9", {"w": NEW}, counter=4, channel="old")
    for reference in ("digits@0.9", "digits@old"):
        with pytest.raises(RefusedError) as caught:
            device.room().pull(reference)
        assert caught.value.code == Code.GRANT_ROLLBACK
    check_unchanged(device, ephemerals)


def test_you_have_the_newest_when_we_do_not(device, office, ephemerals):
    """G06: an answer without keys is only taken for what was said to be here."""
    real = grants.seal_keys
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grants, "seal_keys", lambda given, *_: given)
        with pytest.raises(IntegrityError) as caught:
            device.room().pull("digits")
    assert caught.value.code == Code.GRANT_MISMATCH
    assert grants.seal_keys is real
    check_unchanged(device, ephemerals)


def test_you_have_the_newest_with_other_files_than_we_have(device, office, ephemerals):
    """B20: without keys, a grant must name every file that is here; one of two is not enough."""
    office.publish("pair", "1.0", {"a": OLD}, {"b": NEW}, counter=1)
    room = device.room()
    room.pull("pair")

    def bend(given: Grant) -> Grant:
        files = (given.files[0], dataclasses.replace(given.files[1], head=b"h" * 64))
        held = dataclasses.replace(_lease_of(given), files=tuple(file.head for file in files))
        return dataclasses.replace(given, files=files, lease=lease.issue(held, (office.release,)))

    office.bend = bend
    with pytest.raises(IntegrityError) as caught:
        room.pull("pair")
    assert caught.value.code == Code.GRANT_MISMATCH


def test_a_newer_version_that_came_meanwhile_is_not_replaced(device, office, ephemerals, monkeypatch):
    """B17: the mark is looked at again when a version becomes active, not only when its grant came."""
    room, real = device.room(), office.read_range
    newer = Mark("digits", 1, 9)

    def read_range(url: str, offset: int, length: int) -> bytes:
        room.store.update(lambda state: dataclasses.replace(state, marks=(newer,)))
        return real(url, offset, length)

    monkeypatch.setattr(office, "read_range", read_range)
    with pytest.raises(RefusedError) as caught:
        room.pull("digits")
    assert caught.value.code == Code.GRANT_ROLLBACK
    assert room.store.need().marks == (newer,)
    assert device.counts() == (1, 1, 0)


def test_signatures_of_strangers_are_not_kept(device, office, ephemerals):
    """I05: a lease may carry signatures by keys this device does not know; they must not fill its memory."""

    def bend(given: Grant) -> Grant:
        strangers = [SigningKey.generate(signing.ED25519) for _ in range(20)]
        return dataclasses.replace(given, lease=lease.issue(_lease_of(given), (office.release, *strangers)))

    office.bend = bend
    for fresh in (True, False):
        device.room().pull("digits", fresh=fresh)
        (installed,) = device.room().store.need().installs
        assert len(installed.lease) == 1
    with device.room().load("digits", offline="only"):
        pass


def test_a_lease_for_another_device_is_refused(device, office, ephemerals):
    """B09, B25: a lease names the device key, and is checked before anything is fetched."""

    def bend(given: Grant) -> Grant:
        held = dataclasses.replace(_lease_of(given), device=b"d" * 32)
        return dataclasses.replace(given, lease=lease.issue(held, (office.release,)))

    office.bend = bend
    with pytest.raises(IntegrityError) as caught:
        device.room().pull("digits")
    assert caught.value.code == Code.LEASE_MISMATCH
    office.bend = lambda given: given
    check_unchanged(device, ephemerals)


def test_another_head_in_grant_and_lease_alike(device, office, ephemerals):
    """B20: the file that comes must have the very head the grant names."""

    def bend(given: Grant) -> Grant:
        other = dataclasses.replace(given.files[0], head=b"h" * 64)
        held = dataclasses.replace(_lease_of(given), files=(other.head,))
        return dataclasses.replace(given, files=(other,), lease=lease.issue(held, (office.release,)))

    office.bend = bend
    with pytest.raises(IntegrityError) as caught:
        device.room().pull("digits")
    assert caught.value.code == Code.FILE_MISMATCH
    office.bend = lambda given: given
    check_unchanged(device, ephemerals)


def _lease_of(given: Grant) -> Lease:
    text = given.lease[0].split(".")[1]
    return Lease.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def test_each_request_has_its_own_key(device, office, ephemerals):
    """R36, R37, B24: a fresh pair each time, destroyed after use, in no file."""
    room = device.room()
    for _ in range(3):
        room.pull("digits", fresh=True)
    assert len({key.public for key in ephemerals}) == len(ephemerals) == 3
    assert all(key.used for key in ephemerals)
    content = b"".join(path.read_bytes() for path in device.home.rglob("*") if path.is_file())
    for key in ephemerals:
        assert key.public[:32] not in content


def test_the_key_is_gone_when_the_line_breaks(device, office, ephemerals, monkeypatch):
    """R45, B21: no answer, no key."""
    room = device.room()
    real = office.request

    def cut(method, path, **kwargs):
        answer = real(method, path, **kwargs)
        if path == request.PATH:
            raise StrongroomError(Code.UNREACHABLE, "cut")
        return answer

    monkeypatch.setattr(office, "request", cut)
    with pytest.raises(StrongroomError):
        room.pull("digits")
    monkeypatch.undo()
    assert all(key.used for key in ephemerals)
    room.pull("digits")
    with room.load("digits", offline="only") as model:
        assert model.bytes() == NEW


def test_the_model_key_is_wiped(device, monkeypatch):
    """B23, D06: the keys a release gave hold zeros after the pull, also when it fails."""
    given = []
    real = request.open_grant

    def spy(*args):
        keys = real(*args)
        given.extend(key.reveal() for key in keys)
        return keys

    monkeypatch.setattr(request, "open_grant", spy)
    room = device.room()
    room.pull("digits")
    device.office.objects[device.office.models["digits"]["1.1"].objects[0]][-1] ^= 1
    with pytest.raises(IntegrityError):
        room.pull("digits", fresh=True)
    assert len(given) == 2
    assert all(secret == bytes(32) for secret in given)


def test_the_weakest_kem_is_not_the_offices_to_choose():
    """B04: trust.json gives the order."""
    allowed = (hpke.MLKEM768_X25519, hpke.X25519)
    assert request.choose_kem(allowed, (hpke.P256, hpke.X25519, hpke.MLKEM768_X25519)) == hpke.MLKEM768_X25519
    assert request.choose_kem(allowed, (hpke.X25519,)) == hpke.X25519
    with pytest.raises(RefusedError) as caught:
        request.choose_kem(allowed, (hpke.P256,))
    assert caught.value.code == Code.KEM_UNSUPPORTED


def test_another_accounts_device_gets_nothing(tmp_path, device, office):
    """B10, R29: entitlement is the office's to judge; its refusal leaves nothing behind."""
    office.entitled = False
    second = Device(tmp_path / "second", office)
    with pytest.raises(DeniedError) as caught:
        second.room().pull("digits")
    assert caught.value.code == Code.NOT_FOUND
    assert second.counts() == (0, 0, 0)


def test_no_token_in_errors_or_requests_bodies(device, office):
    """D10, R16: tokens travel in headers only, and in no repr."""
    room = device.room()
    room.pull("digits")
    assert not any(USER_TOKEN.encode() in body or office.device_token.encode() in body for body in office.bodies)
    assert office.device_token not in repr(room) + repr(room.identity) + repr(room.store.need())
    assert SERVER in repr(room)
    assert DAY
