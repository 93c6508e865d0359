"""Revoked keys and pins: owners take them back, and no device goes on with them, by accident or by design."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from rooms.edge import memory_office
from rooms.edge.memory_office import DAY, SERVER, START, USER_TOKEN, Device, MemoryOffice, role, weights
from strongroom import signing
from strongroom.edge import client, following
from strongroom.edge.keystore.file import FileKeystore
from strongroom.errors import Code, IntegrityError, RefusedError, StrongroomError, UnreachableError
from strongroom.signing import SigningKey
from strongroom.transport import Response
from strongroom.wire import trust
from strongroom.wire.messages import Latest, TrustAnswer
from strongroom.wire.trust import Pin, Trust

OLD, NEW = weights(1, 5000), weights(2, 5000)
STRANGER = SigningKey.generate(signing.ED25519)


@pytest.fixture
def office() -> MemoryOffice:
    office = MemoryOffice()
    office.publish("digits", "1.0", {"w": OLD}, counter=5)
    return office


@pytest.fixture
def device(tmp_path: Path, office: MemoryOffice) -> Device:
    device = Device(tmp_path / "device", office)
    device.room().pull("digits")
    return device


class Way:
    """The office over connections that only documents of some versions have pins for."""

    def __init__(self, office: MemoryOffice, of: Trust, *, good: range) -> None:
        self.office, self.of, self.good = office, of, good
        self.used: list[tuple[int, str]] = []

    def request(
        self, method: str, path: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None, limit: int
    ) -> Response:
        self._check(path)
        return self.office.request(method, path, body=body, headers=headers, limit=limit)

    def read_range(self, url: str, offset: int, length: int) -> bytes:
        self._check(url)
        return self.office.read_range(url, offset, length)

    def _check(self, path: str) -> None:
        if self.of.version not in self.good:
            raise UnreachableError(Code.PIN_MISMATCH, "the server's key is not a pinned one")
        self.used.append((self.of.version, path))


def room_over(
    device: Device,
    ways: list[Way],
    *,
    good: range,
    unpinned: following.Unpinned | None = None,
    token: str | None = None,
) -> client.Room:
    def connector(document: Trust) -> Way:
        ways.append(Way(device.office, document, good=good))
        return ways[-1]

    keystore = FileKeystore(device.home / "keystore")
    return client.open_room(
        device.home,
        keystore,
        url=None,
        token=token,
        trust=None,
        connector=connector,
        clocks=device.clocks,
        unpinned=unpinned,
    )


def refusal(call: Callable[[], object]) -> Code:
    with pytest.raises(StrongroomError) as caught:
        call()
    return caught.value.code


def test_a_revoked_release_key_is_refused_at_the_next_contact(device, office):
    """The thief of a release key goes on answering with it; the owners' newer document reaches the device first."""
    stolen, office.release = office.release, SigningKey.generate(signing.ED25519)
    office.new_trust(release=role(office.release))
    office.publish("digits", "1.1", {"w": NEW}, counter=6)
    office.release = stolen
    assert refusal(lambda: device.room().pull("digits")) == Code.SIGNATURE
    assert device.room().trust.version == 2


def test_a_process_with_an_old_document_takes_nothing_back(device, office):
    """A process runs for months; another follows trust. The first one's memory must not count, nor be written."""
    stolen, old = office.release, device.room()
    before = old.trust
    office.new_trust(expires=office.trust.expires - 1)
    office.release = SigningKey.generate(signing.ED25519)
    office.new_trust(release=role(office.release))
    device.room().refresh_trust()
    office.release = stolen
    chain, office.trust_documents = office.trust_documents, office.trust_documents[:1]  # newer ones are held back
    asked = len(office.ranges)
    assert refusal(lambda: old.pull("digits", fresh=True)) == Code.SIGNATURE
    assert old.trust.version == 3
    assert len(office.ranges) == asked
    office.trust_documents = chain
    # A server that gives the documents only up to the one before the revocation:
    kept = following.adopt(old.store, before, office.trust_documents[1:2])
    assert trust.read(kept).version == 3
    assert device.room().trust.version == 3


def test_loading_takes_the_document_another_process_followed(device, office):
    room = device.room()
    office.new_trust(expires=office.trust.expires + 1)
    device.room().refresh_trust()
    with room.load("digits", offline="only"):
        assert room.trust.version == 2


def test_trust_that_changes_during_a_download_refuses_what_was_judged_by_the_old(device, office, monkeypatch):
    """The owners revoke a key while a version signed by it is on its way: it does not become active."""
    office.publish("digits", "1.1", {"w": NEW}, counter=6)
    other, real = device.room(), office.read_range

    def read_range(url: str, offset: int, length: int) -> bytes:
        if len(office.trust_documents) == 1:
            office.new_trust(epochs=(("other", 2),))
            other.refresh_trust()
        return real(url, offset, length)

    monkeypatch.setattr(office, "read_range", read_range)
    room = device.room()
    assert refusal(lambda: room.pull("digits")) == Code.TRUST_VERSION
    assert device.counts() == (1, 2, 1)
    with room.load("digits", offline="only") as model:
        assert model.version == "1.0"
    assert room.pull("digits").version == "1.1"
    assert device.counts() == (1, 1, 0)


def test_a_chain_that_does_not_hold_is_refused(device, office):
    """Whoever holds the server hands out a document of its own: nothing is fetched by it, nor by the old one."""
    forged = dataclasses.replace(office.trust, version=2, owner=role(STRANGER), release=role(STRANGER))
    office.trust_documents.append(trust.encode(forged, (STRANGER,)))
    asked = len(office.ephemerals)
    assert refusal(lambda: device.room().pull("digits")) == Code.TRUST_THRESHOLD
    assert len(office.ephemerals) == asked
    assert device.room().trust.version == 1


def test_a_pull_without_the_newest_trust_is_no_pull(device, office, monkeypatch):
    """Whoever is on the way cuts only the request for trust: then there are no keys either."""
    real = office.request

    def request(method: str, path: str, **others: object) -> Response:
        if method == "GET":
            raise UnreachableError(Code.UNREACHABLE, "cut")
        return real(method, path, **others)

    monkeypatch.setattr(office, "request", request)
    asked = len(office.ephemerals)
    assert refusal(lambda: device.room().pull("digits")) == Code.UNREACHABLE
    assert len(office.ephemerals) == asked


def test_everything_is_made_anew_from_the_newer_document(device, office, monkeypatch):
    """A server that moved, with other pins: no request of the pull goes by the old document."""
    ways: list[Way] = []
    room = room_over(device, ways, good=range(1, 9))
    monkeypatch.setattr(memory_office, "SERVER", "https://new.test")
    office.new_trust(server="https://new.test", pins=(Pin("new.test", None, (b"\2" * 32,)),))
    assert room.pull("digits", fresh=True).fetched
    assert [path for way in ways for version, path in way.used if version == 1] == ["/v1/trust?from=1"]
    assert room.trust.server == "https://new.test"
    assert len(ways) == 2


def test_a_token_is_not_shown_by_revoked_pins(tmp_path, office):
    """Enrolling follows trust first: a bearer token must not go to the thief of an old server key."""
    device, ways = Device(tmp_path / "device", office), []
    device.home.mkdir()
    (device.home / "trust.json").write_bytes(office.trust_documents[0])
    office.new_trust(pins=(Pin("office.test", None, (b"\2" * 32,)),))
    room_over(device, ways, good=range(1, 9), token=USER_TOKEN)
    assert [path for way in ways for version, path in way.used if version == 1] == ["/v1/trust?from=1"]
    assert device.room().trust.version == 2


def test_new_pins_are_learnt_without_pins(device, office):
    """G05: every pinned key was changed. The chain of documents proves itself, so anybody may carry it."""
    asked: list[tuple[str, int]] = []

    def anybody(server: str, version: int) -> Response:
        asked.append((server, version))
        after = office.trust_documents[version : version + 1]  # no more than one, though there are two
        return Response(200, {}, TrustAnswer(tuple(trust.split(one) for one in after)).to_bytes())

    room = room_over(device, [], good=range(2, 9), unpinned=anybody)
    assert refusal(lambda: room.pull("digits")) == Code.PIN_MISMATCH
    office.new_trust(pins=(Pin("office.test", None, (b"\2" * 32,)),))
    office.new_trust(expires=office.trust.expires + 1)
    room.pull("digits")
    assert (room.trust.version, asked) == (3, [(SERVER, 1)] * 2)


def test_nobody_without_a_pin_is_believed(device, office):
    """Whoever stands in the way answers without a pin, too: with a document of its own, with garbage, with nothing."""
    forged = dataclasses.replace(office.trust, version=2, owner=role(STRANGER))
    real, office.trust_documents = office.trust_documents, [b"", trust.encode(forged, (STRANGER,))]
    answers = [office.request("GET", "/v1/trust?from=1", limit=10), Response(200, {}, b"{}"), Response(500, {}, b"")]
    office.trust_documents = real
    for answer in answers:
        room = room_over(device, [], good=range(0), unpinned=lambda _server, _version, given=answer: given)
        assert refusal(lambda room=room: room.pull("digits")) == Code.PIN_MISMATCH
        assert room.trust.version == 1
        with room.load("digits", offline="only"):
            pass
    office.down, asked = True, []
    down = room_over(device, [], good=range(9), unpinned=lambda *given: asked.append(given))
    assert refusal(lambda: down.pull("digits")) == Code.UNREACHABLE
    assert asked == []  # a line that is cut is no reason to go without pins
    unreachable = room_over(device, [], good=range(0))
    assert refusal(lambda: unreachable.pull("digits")) == Code.PIN_MISMATCH


def test_the_first_document_named_again_takes_nothing_back(device, office, tmp_path):
    """A program names the trust.json it began with for years; the device has followed newer ones since."""
    (tmp_path / "first.json").write_bytes(office.trust_documents[0])
    office.new_trust(expires=START + 500 * DAY)
    (tmp_path / "second.json").write_bytes(office.trust_documents[1])
    other = dataclasses.replace(office.trust, version=1, owner=role(STRANGER))
    (tmp_path / "other.json").write_bytes(trust.encode(other, (STRANGER,)))
    for name, version in (("first", 1), ("second", 2), ("second", 2), ("first", 2)):
        keystore = FileKeystore(device.home / "keystore")
        room = client.open_room(
            device.home,
            keystore,
            url=None,
            token=None,
            trust=tmp_path / f"{name}.json",
            connector=lambda _: office,
            clocks=device.clocks,
        )
        assert room.trust.version == version
    with pytest.raises(RefusedError) as caught:
        client.open_room(
            device.home,
            FileKeystore(device.home / "keystore"),
            url=None,
            token=None,
            trust=tmp_path / "other.json",
            connector=lambda _: office,
            clocks=device.clocks,
        )
    assert caught.value.code == Code.TRUST_VERSION


def test_a_lease_by_a_replaced_key_is_renewed_and_nothing_is_fetched(device, office):
    """Owners replace the release key: old leases hold no longer, but the files are what they were."""
    office.release = SigningKey.generate(signing.ED25519)
    office.new_trust(release=role(office.release))
    room = device.room()
    room.refresh_trust()
    with pytest.raises(IntegrityError) as caught, room.load("digits", offline="only"):
        pass
    assert caught.value.code == Code.SIGNATURE
    assert not room.store.need().installs[0].damaged
    fetched = len(office.ranges)
    with room.load("digits") as model:
        assert model.bytes() == OLD
    assert len(office.ranges) == fetched


def test_the_server_cannot_hide_that_trust_is_over_from_a_clock_that_is_late(device, office):
    """R21: the machine's clock is a year behind; the server's word alone ends an expired document."""
    device.wall_ahead = -366 * DAY
    device.later(366 * DAY)
    assert refusal(lambda: device.room().pull("digits")) == Code.TRUST_EXPIRED


def test_a_grant_of_another_epoch_than_the_files_head(device, office):
    """B20: grant and trust say epoch 2, the owners sealed the file under epoch 1."""
    office.publish("digits", "1.1", {"w": NEW}, counter=6)
    office.new_trust(epochs=(("digits", 2),))
    office.bend = lambda given: dataclasses.replace(given, epoch=2)
    assert refusal(lambda: device.room().pull("digits")) == Code.FILE_MISMATCH


def test_a_grant_of_another_counter_than_the_files_head(device, office):
    """B17, B20: a genuine file under a higher counter than its own would block every update between."""
    office.publish("digits", "1.1", {"w": NEW}, counter=6)
    office.bend = lambda given: dataclasses.replace(given, counter=9, latest=Latest("1.1", 9, 2**40))
    assert refusal(lambda: device.room().pull("digits")) == Code.FILE_MISMATCH
    assert device.room().store.need().mark("digits") == (1, 5)
