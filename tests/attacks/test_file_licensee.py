"""Two licensees of one model: the first holds its key and is hostile, the second must not notice but refuse (R44).

Whoever holds the model key can make segments that pass every tag, a manifest with their digests and a right MAC. What
is left is what the owner signed.
"""

import hashlib
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

import strongroom
from rooms.edge.memory_office import Device, MemoryOffice
from strongroom import sealed
from strongroom.edge import client, fetch
from strongroom.errors import DeniedError, IntegrityError
from strongroom.server import entitled
from strongroom_in_memory import Street
from vectors.sealed_writer import Keys, Made, b64, chunked, dump, fixed, key_id, owner
from vectors.targets import OWNERS, SUBJECT, network_file, opener, rebuilt, refused

UNSIGNED = sealed.Expected("model", SUBJECT, None)
GENUINE, EVIL = fixed("genuine", 50_000), b"\xff" * 50_000


def head_of(data: bytes | bytearray) -> sealed.Head:
    return sealed.read_head(sealed.BytesReadable(data))


def forged_by_a_licensee(data: bytes, mek: bytes, evil: bytes, *, block: bytes | None = None) -> bytes:
    """Return a delivered file of one segment with another payload: contents, digests and MAC right, as its key allows.

    The table of contents names the new SHA-256, and so the core header, which names it in turn, is another one too.
    """
    head = head_of(data)
    keys = Keys.derive(mek, head.core.file_id, head.suite)
    with sealed.open_random_access(sealed.BytesReadable(data), sealed.ModelKey(mek), anybody(head)) as access:
        toc = access.toc.encode()
        old = hashlib.sha256(access.read_at(0, access.size)).digest()
    toc = toc.replace(b64(old).encode(), b64(hashlib.sha256(evil).digest()).encode())
    core_bytes = data[32 : 32 + int.from_bytes(data[12:16], "big")]
    content = b64(keys.blinded(b"content", toc))
    core_bytes = core_bytes.replace(b64(head.core.content).encode(), content.encode())
    begin = b"strongroom/v1 segment" + hashlib.sha512(data[:12] + core_bytes).digest()
    plains = (toc, evil)
    contexts = [begin + index.to_bytes(4, "big") + (2).to_bytes(4, "big") for index in range(2)]
    segments = [
        b"".join(chunked(keys.payload, fixed(f"evil {index}", 24), context, plain, head.suite))
        for index, (context, plain) in enumerate(zip(contexts, plains, strict=True))
    ]
    manifest = dump({"segments": [b64(hashlib.sha256(one).digest()) for one in segments]})
    made = Made(b"", keys, {}, toc, head.head, head.head_part, segments, contexts)
    return rebuilt(made, core=core_bytes, manifest=manifest, block=block or signatures_of(data))


def signatures_of(data: bytes) -> bytes:
    core, manifest = (int.from_bytes(data[at : at + 4], "big") for at in (12, 16))
    return data[64 + core + manifest : head_of(data).offset(0)]


def anybody(head: sealed.Head) -> sealed.Expected:
    return sealed.Expected(head.core.kind, None, None)


@pytest.mark.parametrize("suite", [1, 2])
def test_one_segment_forged(suite):
    """A24: the same head with another segment that passes every tag: the digest the owner signed refuses it."""
    honest, mek, made = network_file(suite=suite)
    forged = b"".join(chunked(made.keys.payload, bytes(24), made.contexts[1], EVIL, suite=suite))
    assert refused(opener(honest[: -len(forged)] + forged, mek)) == "file-digest"
    # With a manifest and a MAC that are right for it the key's holder is content, and the owner's signature is not.
    manifest = dump({"segments": [b64(hashlib.sha256(one).digest()) for one in (made.segments[0], forged)]})
    for signers in ((), ("stranger",), ("licensee",)):
        whole = rebuilt(made, manifest=manifest, signers=signers, segments=[made.segments[0], forged])
        readable = sealed.BytesReadable(whole)
        with sealed.open_random_access(readable, mek, UNSIGNED) as access:
            assert access.read_at(0, 50_000) == EVIL, "the forgery must be good but for the owner"
        assert refused(opener(whole, mek)) == "file-signature"
        assert refused(partial(sealed.verify_sealed, readable, OWNERS)) == "file-signature"


@pytest.mark.parametrize("suite", [1, 2])
def test_everything_forged(suite):
    """A24: payload, SHA-256, table of contents, core header, manifest and MAC: all that lacks is the owner."""
    data, mek, _ = network_file(suite=suite)
    forged = forged_by_a_licensee(data, bytes(mek.reveal()), EVIL)
    assert sealed.open_sealed(sealed.BytesReadable(forged), mek, UNSIGNED).payload == EVIL
    assert refused(opener(forged, mek)) == "file-signature"
    own = owner("licensee")
    message = b"strongroom/v1 file\0" + head_of(forged).digest
    signed = dump([{"alg": "Ed25519", "key": key_id(own), "sig": b64(own.sign(message))}])
    assert refused(opener(forged_by_a_licensee(data, bytes(mek.reveal()), EVIL, block=signed), mek)) == "file-signature"


def stolen_key(room: client.Room, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Pull on the first licensee's device and read the model key out of its process, as whoever owns it can."""
    kept: list[bytes] = []
    honest = fetch.read_headings

    def reading(links, grant, keys, owners):
        kept.append(bytes(keys[0].reveal()))
        return honest(links, grant, keys, owners)

    with monkeypatch.context() as patch:
        patch.setattr(fetch, "read_headings", reading)
        room.pull("digits")
    assert len(kept) == 1
    return kept[0]


@pytest.mark.parametrize("office_too", [False, True], ids=["storage only", "storage and office"])
def test_a_second_licensees_device(tmp_path, monkeypatch, office_too):
    """A24: the first licensee replaces the file in storage, and may even own the office: the second's device refuses.

    It keeps nothing of the forgery, also where a grant names the forged head, and takes the genuine file the next time.
    """
    office = MemoryOffice()
    version = office.publish("digits", "1.0", {"w": GENUINE}, counter=1)
    first, second = (Device(tmp_path / name, office) for name in ("first", "second"))
    mek = stolen_key(first.room(), monkeypatch)
    assert mek == bytes(version.keys[0].reveal())
    genuine, head = bytes(office.objects[version.objects[0]]), version.heads[0]
    forged = forged_by_a_licensee(genuine, mek, EVIL)
    assert sealed.open_sealed(sealed.BytesReadable(forged), version.keys[0], anybody(head)).payload == EVIL
    office.objects[version.objects[0]] = bytearray(forged)
    if office_too:
        version.heads[0] = head_of(forged)
    with pytest.raises(IntegrityError) as refusal:
        second.room().pull("digits")
    assert refusal.value.code == ("file-signature" if office_too else "file-mismatch")
    assert second.counts() == (0, 0, 0)
    with first.room().load("digits", offline="only") as model:
        assert model.file("w") == GENUINE
    office.objects[version.objects[0]], version.heads[0] = bytearray(genuine), head
    second.room().pull("digits")
    with second.room().load("digits", offline="only") as model:
        assert model.file("w") == GENUINE


def test_a_forged_copy_in_the_second_licensees_own_store(tmp_path):
    """A24: with the second one's local key as well, a forger's copy is told by the origin that the owner signed."""
    office = MemoryOffice()
    version = office.publish("digits", "1.0", {"w": GENUINE}, counter=1)
    device = Device(tmp_path / "second", office)
    device.room().pull("digits")
    path: Path = next(device.home.glob("models/*/0.srm"))
    state = device.room().store.need()
    local = sealed.ModelKey(device.room().store.keystore.get(state.installs[0].files[0].key))
    genuine = bytes(office.objects[version.objects[0]])
    forged = sealed.BytesReadable(forged_by_a_licensee(genuine, bytes(version.keys[0].reveal()), EVIL))
    subject = sealed.Subject(None, "digits", "1.0", None)
    origin = sealed.unlock(sealed.read_head(forged), version.keys[0], sealed.Expected("model", subject, None))
    opened = sealed.open_sealed(forged, version.keys[0], sealed.Expected("model", subject, None))
    writer = sealed.start_local(origin, opened.toc, opened.toc.encode(), local, subject)
    copied = writer.head_part + writer.first + writer.seal_segment(1, EVIL)
    assert len(copied) == path.stat().st_size
    path.write_bytes(copied)
    with pytest.raises(IntegrityError) as refusal, device.room().load("digits", offline="only"):
        pytest.fail("a forged model came out")
    assert refusal.value.code == "file-mismatch"


@pytest.mark.parametrize("office_too", [False, True], ids=["storage only", "storage and ledger"])
def test_two_customers_of_a_whole_strongroom(tmp_path, monkeypatch, office_too):
    """A24: the real server's use cases, two accounts: alice forges the stored object, bob's device refuses it.

    Also where she can write to the ledger, so that the release names her head and is signed by the office.
    """
    with Street(tmp_path) as street:
        how = {"name": "digits", "version": "1.0", "out": tmp_path / "digits.srm", "sign_with": street.owners}
        with strongroom.protect(GENUINE, office=street.admin, **how) as protected:
            protected.publish(channel="stable")
        alice, bob = (street.device(name, street.customer(name, "digits")) for name in ("alice", "bob"))
        mek = stolen_key(alice, monkeypatch)
        name, genuine = next(iter(street.store.objects.items()))
        forged = forged_by_a_licensee(genuine, mek, EVIL)
        assert len(forged) == len(genuine)
        street.store.objects[name] = forged
        if office_too:
            files, head = street.ledger.tables.files, head_of(forged)
            files[:] = [replace(one, head=head.digest, head_part=head.head_part) for one in files]
            with pytest.raises(DeniedError):  # the office itself sees that the owners did not sign this head
                bob.pull("digits")
            monkeypatch.setattr(entitled, "opens", lambda *_: True)  # and if it did not look
        with pytest.raises(IntegrityError) as refusal:
            bob.pull("digits")
        assert refusal.value.code == ("file-signature" if office_too else "file-mismatch")
        assert bob.store.need().installs == ()
        with alice.load("digits", offline="only") as model:
            assert model.bytes() == GENUINE
        street.store.objects[name] = genuine
        if not office_too:
            bob.pull("digits")
            with bob.load("digits", offline="only") as model:
                assert model.bytes() == GENUINE
