"""The ten attacks that TUF names and the five more that Uptane names, one short story each, with real parts.

The office is one in memory that can be bent at any point; where its release key signs the lie, the attacker has that
key too. Each story says what of it is tried at length elsewhere.
"""

import dataclasses
from collections.abc import Mapping

import pytest

from attacks.proxying import Proxy
from attacks.thieving import WEIGHTS, Embedded, spellings
from rooms.edge.memory_office import Device, MemoryOffice, Version, role, weights
from strongroom import signing
from strongroom.edge import links
from strongroom.errors import Code, StrongroomError, UnreachableError
from strongroom.sealed import ModelKey
from strongroom.signing import Principal, Role, SigningKey
from strongroom.wire import trust
from strongroom.wire.messages import Latest

OLD, NEW, FOREIGN = weights(1, 2_200_000), weights(2, 2_200_000), weights(3, 5000)


@pytest.fixture
def office():
    office = MemoryOffice()
    office.publish("digits", "1.0", {"w": OLD}, counter=5)
    return office


@pytest.fixture
def device(tmp_path, office, monkeypatch):
    monkeypatch.setattr(links, "PAUSE", 0)
    device = Device(tmp_path / "device", office)
    device.room().pull("digits")
    office.publish("digits", "1.1", {"w": NEW}, counter=6)
    return device


def refused(call, *arguments):
    with pytest.raises(StrongroomError) as caught:
        call(*arguments)
    return caught.value.code


def still(device, content=OLD, version="1.0"):
    """What was active is active, and whole."""
    with device.room().load("digits", offline="only") as model:
        assert (model.version, bytes(model.bytes())) == (version, content)


def test_arbitrary_installation(device, office):
    """B06, B27: Arbitrary installation: a file that no owner signed, with its right key, by the real release key."""
    office.publish("digits", "1.2", {"w": FOREIGN}, counter=7, owner=SigningKey.generate(signing.ED25519))
    assert refused(device.room().pull, "digits") == Code.FILE_SIGNATURE
    still(device)


def test_endless_data(device, office):
    """B22: Endless data: more than was asked for is no answer; nothing beyond the size that was granted is kept.

    On real sockets: tests/rooms/transport/test_transport.py::test_answers_that_are_no_answers.
    """
    made = office.models["digits"]["1.1"]
    real = office.read_range
    office.read_range = lambda url, offset, length: real(url, offset, length) + bytes(10**6)
    assert refused(device.room().pull, "digits") == Code.ANSWER
    office.read_range = real
    office.objects[made.objects[0]] += bytes(10**7)  # and what lies behind the end is not read at all
    asked = len(office.ranges)
    assert device.room().pull("digits").version == "1.1"
    assert max(offset + length for _, offset, length in office.ranges[asked:]) == made.heads[0].file_size


def test_extraneous_dependencies(device, office):
    """B06, B20: Extraneous dependencies: a grant names its files, and a model pulls in nothing else.

    There is no list of dependencies in a sealed file. What can be tried is a second file beside the first: a genuine
    one of another model, or one of the attacker's.
    """
    office.publish("letters", "1.0", {"x": FOREIGN}, counter=1)
    other = office.models["letters"]["1.0"]
    made = office.models["digits"]["1.1"]
    both = Version("1.1", 6, 1, [*made.keys, *other.keys], [*made.heads, *other.heads], [*made.objects, *other.objects])
    office.models["digits"]["1.1"] = both
    assert refused(device.room().pull, "digits") == Code.FILE_MISMATCH
    assert device.counts()[0] == 1
    still(device)


@pytest.mark.parametrize("what", ["counter", "epoch", "trust version"])
def test_fast_forward_and_its_recovery(device, office, what):
    """B19: Fast-forward: numbers driven up by a stolen key, in three places; the owners undo each, or it never was.

    (epoch, counter) are in the head, which owners sign: a stolen release key alone moves neither, and no device's
    mark. With the owners' own hand a far counter is undone by the next epoch. A version of trust.json counts in steps
    of one, each signed by k owners.
    """
    far = 2**53 - 2
    if what == "counter":
        office.bend = lambda given: dataclasses.replace(given, counter=far, latest=Latest("1.1", far, 2**40))
        assert refused(device.room().pull, "digits") == Code.FILE_MISMATCH
        assert device.room().store.need().mark("digits") == (1, 5)
        office.bend = lambda given: given
        office.publish("digits", "6.6", {"w": FOREIGN}, counter=far)  # an owner's key was in it too
        assert device.room().pull("digits").version == "6.6"
        office.publish("digits", "1.2", {"w": NEW}, counter=7)
        assert refused(device.room().pull, "digits") == Code.GRANT_ROLLBACK
        office.new_trust(epochs=(("digits", 2),))
        office.publish("digits", "1.3", {"w": NEW}, counter=1, epoch=2)
        assert device.room().pull("digits").version == "1.3"
        assert device.room().store.need().mark("digits") == (2, 1)
    elif what == "epoch":
        office.bend = lambda given: dataclasses.replace(given, epoch=far)
        assert refused(device.room().pull, "digits") == Code.GRANT_MISMATCH
        office.bend = lambda given: given
        assert device.room().pull("digits").version == "1.1"
    else:
        high = dataclasses.replace(office.trust, version=far)
        office.trust_documents.append(trust.encode(high, (office.owner,)))
        assert refused(device.room().pull, "digits") == Code.TRUST_VERSION
        office.trust_documents.pop()
        office.new_trust()
        assert device.room().pull("digits").version == "1.1"
        assert device.room().trust.version == 2


def test_indefinite_freeze(device, office):
    """B18: Indefinite freeze: an old answer is another's answer; an old "latest" ends, and so do lease and trust."""
    frozen = office.now + office.latest_seconds
    office.channels["digits", "stable"] = "1.0"
    office.bend = lambda given: dataclasses.replace(given, latest=Latest("1.0", 5, frozen))
    assert device.room().pull("digits").version == "1.0"  # believed for a day, as the key that signs it is
    device.later(office.latest_seconds)
    assert refused(device.room().pull, "digits") == Code.GRANT_FROZEN
    still(device)
    device.later(office.max_offline)
    with pytest.raises(StrongroomError) as caught, device.room().load("digits", offline="only"):
        pass
    assert caught.value.code == Code.LEASE_EXPIRED


def test_malicious_mirrors_prevent_updates(device, office):
    """B21, B22: Malicious mirrors: a store that breaks, gives nothing or lies costs the update, never what is there.

    With an honest one the update is had; what was fetched before is not believed, but checked.
    """
    real = office.read_range

    def broken(url, offset, length):
        raise UnreachableError(Code.UNREACHABLE, "the connection broke")

    lies = {
        Code.UNREACHABLE: broken,
        Code.ANSWER: lambda url, offset, length: b"",
        Code.FILE_FORMAT: lambda url, offset, length: bytes(length),
        Code.FILE_DIGEST: lambda url, offset, length: real(url, offset, length) if offset < 4096 else bytes(length),
    }
    for code, lie in lies.items():
        office.read_range = lie
        assert refused(device.room().pull, "digits") == code
        still(device)
    office.read_range = real
    assert device.room().pull("digits").version == "1.1"
    still(device, NEW, "1.1")


def test_mix_and_match(device, office):
    """B20: Mix-and-match: the link of one version with the key of another; caught at the head, before any segment."""
    old, new = office.models["digits"]["1.0"], office.models["digits"]["1.1"]
    office.objects[new.objects[0]], office.objects[old.objects[0]] = (
        office.objects[old.objects[0]],
        office.objects[new.objects[0]],
    )
    asked = len(office.ranges)
    assert refused(device.room().pull, "digits") == Code.FILE_MISMATCH
    assert sum(length for _, _, length in office.ranges[asked:]) < 65_536
    office.objects[new.objects[0]] = office.objects[old.objects[0]]
    new.keys[0] = ModelKey.generate()
    asked = len(office.ranges)
    assert refused(device.room().pull, "digits") == Code.FILE_WRONG_KEY
    assert sum(length for _, _, length in office.ranges[asked:]) < 65_536
    still(device)


def test_rollback(device, office):
    """B17: Rollback: a genuine older version, released anew, is refused once a newer one was here; by name as well."""
    assert device.room().pull("digits").version == "1.1"
    office.channels["digits", "stable"] = "1.0"
    assert refused(device.room().pull, "digits") == Code.GRANT_ROLLBACK
    assert refused(device.room().pull, "digits@1.0") == Code.GRANT_ROLLBACK
    still(device, NEW, "1.1")


def test_slow_retrieval(device, office):
    """B22: Slow retrieval: a line that gives up after each few bytes ends after three tries; no clock is asked.

    A byte now and then on a real socket: tests/rooms/transport/test_transport.py::test_a_trickle_is_refused.
    """
    real, asked = office.read_range, []

    def slow(url, offset, length):
        asked.append(offset)
        if offset == 0:
            return real(url, offset, length)
        raise UnreachableError(Code.ANSWER, "slower than 16 KiB/s")

    office.read_range = slow
    assert refused(device.room().pull, "digits") == Code.ANSWER
    assert max(asked.count(one) for one in asked) <= links.TRIES
    office.read_range = real
    assert device.room().pull("digits").version == "1.1"


def test_vulnerability_to_key_compromise(tmp_path):
    """B26, B27: Key compromise: with owners of two of three, one stolen owner key and the release key run nothing.

    And the owners replace both: the next contact follows them. The whole table: tests/attacks/test_theft_keys.py.
    """
    owners = [SigningKey.generate(signing.ED25519) for _ in range(3)]
    office = MemoryOffice()
    three = Role(2, tuple(Principal((key.public,)) for key in owners))
    office.trust = dataclasses.replace(office.trust, owner=three)
    office.trust_documents = [trust.encode(office.trust, owners[:2])]
    device = Device(tmp_path / "device", office)
    office.publish("digits", "6.6", {"w": FOREIGN}, counter=6, owner=owners[0])
    assert refused(device.room().pull, "digits") == Code.FILE_SIGNATURE
    mine = dataclasses.replace(office.trust, version=2, owner=role(owners[0]))
    office.trust_documents.append(trust.encode(mine, owners[:1]))
    assert refused(device.room().refresh_trust) == Code.TRUST_THRESHOLD
    stolen, office.release = office.release, SigningKey.generate(signing.ED25519)
    healed = Role(2, tuple(Principal((key.public,)) for key in (*owners[1:], SigningKey.generate(signing.ED25519))))
    document = dataclasses.replace(office.trust, version=2, owner=healed, release=role(office.release))
    office.trust_documents[1:] = [trust.encode(document, owners[1:])]
    assert device.room().refresh_trust().version == 2
    office.release = stolen
    assert refused(device.room().pull, "digits") == Code.SIGNATURE


def test_wrong_software_installation(device, office):
    """B10, B20: Wrong software: a genuine model under another's name, and one of another account's device."""
    office.publish("letters", "9.9", {"w": FOREIGN}, counter=9)
    letters = office.models["letters"]["9.9"]
    office.models["digits"]["9.9"] = letters
    office.channels["digits", "stable"] = "9.9"
    assert refused(device.room().pull, "digits") == Code.FILE_SUBJECT
    office.bend = lambda given: dataclasses.replace(given, model="letters")
    assert refused(device.room().pull, "digits") == Code.GRANT_MISMATCH
    still(device)


def test_eavesdropping(tmp_path):
    """G07: Eavesdropping: all that passes between device and office, TLS taken off: no model, no key of one."""
    with Embedded(tmp_path) as street:
        key = street.publish()
        proxy = Proxy(street)
        street.device("phone", street.customer("alice", "digits"), proxy).pull("digits")
        heard = b"".join(sent.body + answer.body + repr(sent.headers).encode() for sent, answer in proxy.seen)
    assert len(heard) > len(WEIGHTS)
    assert not any(one in heard for one in spellings(key))
    assert not any(WEIGHTS[at : at + 16] in heard for at in range(0, len(WEIGHTS), 4096))


class Dropping:
    """A line on which one message of a kind is lost: the request, or its answer."""

    def __init__(self, office: MemoryOffice, path: str, *, answer: bool) -> None:
        self.office, self.path, self.answer, self.dropped = office, path, answer, 0

    def request(
        self, method: str, path: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None, limit: int
    ):
        lost = path.startswith(self.path) and not self.dropped
        given = (
            None
            if lost and not self.answer
            else self.office.request(method, path, body=body, headers=headers, limit=limit)
        )
        if lost:
            self.dropped += 1
            raise UnreachableError(Code.UNREACHABLE, "the connection broke")
        return given

    def __getattr__(self, name: str):
        return getattr(self.office, name)


@pytest.mark.parametrize("answer", [False, True], ids=["request", "answer"])
@pytest.mark.parametrize("path", ["/v1/trust", "/v1/challenges", "/v1/releases"])
def test_drop_request(device, office, path, answer):
    """B21, G08: Drop-request: whatever is lost, once, is an error at once, and asking again is all it takes."""
    device.office = Dropping(office, path, answer=answer)
    room = device.room(url=None)
    assert refused(room.pull, "digits") == Code.UNREACHABLE
    still(device)
    assert room.pull("digits").version == "1.1"
    assert device.office.dropped == 1


def test_partial_bundle_installation(device, office):
    """B20: Partial bundle: of three files one is withheld, cut or exchanged: all become active, or none does."""
    made = office.publish("digits", "2.0", {"a": NEW}, {"b": OLD}, {"c": FOREIGN}, counter=7)
    genuine = bytes(office.objects[made.objects[2]])
    for spoiled in (b"", genuine[:-1], genuine[:-1] + bytes([genuine[-1] ^ 1]), bytes(office.objects[made.objects[0]])):
        office.objects[made.objects[2]][:] = spoiled
        refused(device.room().pull, "digits")
        still(device)
        assert device.counts()[0] == 1
    office.objects[made.objects[2]][:] = genuine
    assert device.room().pull("digits").version == "2.0"
    with device.room().load("digits") as model:
        assert [bytes(model.file(name)) for name in "abc"] == [NEW, OLD, FOREIGN]


def test_denial_of_service_is_bounded(device, office):
    """B18, B22: Denial of service: without any line a device runs on to its lease's end, and never asks for ever.

    What one client can take from a server: tests/attacks/test_server_load_*.py.
    """
    office.down = True
    assert refused(device.room().pull, "digits") == Code.UNREACHABLE
    device.later(office.max_offline - 1)
    still(device)
    device.later(1)
    with pytest.raises(StrongroomError) as caught, device.room().load("digits"):
        pass
    assert caught.value.code == Code.LEASE_EXPIRED
    office.down = False
    assert device.room().pull("digits").version == "1.1"
