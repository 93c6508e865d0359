"""The vectors of the sealed file: what each must come to, and that they are made as they stand (R56)."""

import hashlib
import io
import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from strongroom import canonical, sealed
from strongroom.errors import IntegrityError, StrongroomError
from strongroom.signing import ED25519, Principal, PublicKey, Role
from vectors import make_sealed
from vectors.sealed_writer import Keys, chunked, dump

FILES = sorted(make_sealed.FOLDER.glob("*.case"))
FROM_NETWORK = [path for path in FILES if b"\norigin-head: " not in path.read_bytes().partition(b"\n\n")[0]]


@dataclass
class Vector:
    """A vector as read from its file."""

    fields: dict[str, str] = field(repr=False)
    data: bytes = field(repr=False)

    @classmethod
    def read(cls, path: Path) -> "Vector":
        head, _, data = path.read_bytes().partition(b"\n\n")
        return cls(dict(line.split(": ", 1) for line in head.decode().splitlines()), data)

    @property
    def owners(self) -> Role:
        raw = [canonical.from_base64url(text) for text in self.fields["owners"].split()]
        return Role(int(self.fields["threshold"]), tuple(Principal((PublicKey(ED25519, key),)) for key in raw))

    @property
    def subject(self) -> sealed.Subject:
        return sealed.Subject(*json.loads(self.fields["subject"]))

    @property
    def mek(self) -> sealed.ModelKey:
        return sealed.ModelKey(bytes.fromhex(self.fields["mek"]))

    @property
    def expected(self) -> sealed.Expected:
        return sealed.Expected(self.fields["kind"], self.subject, self.owners)


def whole(vector: Vector, allocate=lambda size: memoryview(bytearray(size))) -> memoryview:
    readable = sealed.BytesReadable(vector.data)
    if "origin-head" in vector.fields:
        origin_head = bytes.fromhex(vector.fields["origin-head"])
        return sealed.open_local(
            readable,
            vector.mek,
            subject=vector.subject,
            owners=vector.owners,
            origin_head=origin_head,
            allocate=allocate,
        ).payload
    return sealed.open_sealed(readable, vector.mek, vector.expected, allocate=allocate).payload


def segment_by_segment(vector: Vector, released: bytearray) -> None:
    """Open as a streaming reader does; `released` receives what was given out."""
    head = sealed.read_head(sealed.BytesReadable(vector.data))
    unlocked = sealed.unlock(head, vector.mek, vector.expected)

    def stored(index: int) -> bytes:
        return vector.data[head.offset(index) : head.offset(index) + head.stored_length(index)]

    checker = sealed.FileChecker(unlocked.read_toc(stored(0)))
    for index in range(1, head.segment_count):
        into = bytearray(head.plain_length(index))
        unlocked.open_segment(index, stored(index), memoryview(into))
        checker.update(into)
        released += into
    checker.finish()


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_opens_or_is_refused_for_its_one_reason(path):
    """R28, R56; A12, A13, A14, A18, A19, A22, A23: one vector, one failure, and nothing left in the caller's memory."""
    vector = Vector.read(path)
    buffers: list[bytearray] = []

    def allocate(size: int) -> memoryview:
        buffers.append(bytearray(size))
        return memoryview(buffers[-1])

    if vector.fields["expect"] == "success":
        payload = whole(vector, allocate)
        assert hashlib.sha256(payload).hexdigest() == vector.fields["payload"]
        return
    with pytest.raises(IntegrityError) as refusal:
        whole(vector, allocate)
    assert refusal.value.code == vector.fields["expect"], refusal.value
    assert not any(any(buffer) for buffer in buffers)


@pytest.mark.parametrize("path", FROM_NETWORK, ids=[path.stem for path in FROM_NETWORK])
def test_a_streaming_reader_gives_out_no_more_than_it_may(path):
    """The same, segment by segment: what was given out before the failure is what the vector allows."""
    vector = Vector.read(path)
    released = bytearray()
    if vector.fields["expect"] == "success":
        segment_by_segment(vector, released)
    else:
        with pytest.raises(StrongroomError) as refusal:
            segment_by_segment(vector, released)
        assert refusal.value.code == vector.fields["expect"]
    if vector.fields["expect"] != "file-checksum":  # found only once all was given out: step 9 is about the whole
        assert hashlib.sha256(released).hexdigest() == vector.fields["payload"]


def test_the_generator_makes_what_is_committed():
    made = make_sealed.everything()
    assert sorted(made) == sorted(path.name for path in make_sealed.FOLDER.iterdir())
    for name, data in made.items():
        assert data == (make_sealed.FOLDER / name).read_bytes(), name


def test_vectors_stay_small():
    assert sum(path.stat().st_size for path in make_sealed.FOLDER.iterdir()) < 4_500_000


@pytest.mark.parametrize("name", [make_sealed.SCHEDULE, make_sealed.SCHEDULE_2])
def test_key_schedule(name):
    """R50: every derived value, against a second implementation's."""
    wanted = json.loads((make_sealed.FOLDER / name).read_bytes())
    raw = {
        name: bytes.fromhex(value)
        for name, value in wanted.items()
        if name not in ("suite", "subject_input", "subject")
    }
    keys = sealed.derive(sealed.ModelKey(raw["mek"]), raw["file_id"], wanted["suite"])
    assert (keys.commitment, keys.mac) == (raw["commitment"], raw["mac_key"])
    assert (keys.payload, keys.blind) == (raw["payload_key"], raw["blind_key"])
    head = sealed.read_head(sealed.BytesReadable(raw["file"]))
    assert (head.head, head.digest) == (raw["head"], raw["head_digest"])
    assert head.binding.context(1) == raw["context_1"]
    subject = sealed.Subject(*json.loads(wanted["subject_input"]))
    assert sealed.blind_subject(keys.blind, subject) == canonical.from_base64url(wanted["subject"]) == head.core.subject
    assert sealed.blind_content(keys.blind, raw["toc"]) == head.core.content


@pytest.mark.parametrize("suite", [1, 2])
def test_the_second_writer_reads_what_the_first_one_wrote(suite):
    """Not only our own reader understands our writer: the other implementation derives the same bytes again."""
    mek, subject = sealed.ModelKey(bytes(range(32))), sealed.Subject("ac_x", "m", "2", None)
    sink = io.BytesIO()
    source = sealed.Source.of_bytes("model", b"x" * 20_000)
    head = sealed.seal([source], sink, mek=mek, subject=subject, suite=suite)
    data = sink.getvalue()
    keys = Keys.derive(bytes(range(32)), head.core.file_id, suite)
    assert head.core.commitment == keys.commitment
    assert head.core.subject == keys.blinded(b"subject", dump(["ac_x", "m", "2", None]))
    stored = data[head.offset(1) :]
    assert b"".join(chunked(keys.payload, stored[:24], head.binding.context(1), b"x" * 20_000, suite)) == stored


def test_ed25519_keys_of_the_vectors_are_keys():
    for path in FILES:
        for text in Vector.read(path).fields["owners"].split():
            Ed25519PublicKey.from_public_bytes(canonical.from_base64url(text))
