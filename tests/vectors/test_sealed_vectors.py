"""The vectors of the sealed file: what each must come to, and that they are made as they stand (R56)."""

import hashlib
import io
import json
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from strongroom import canonical, sealed
from strongroom.errors import Code, IntegrityError, StrongroomError
from strongroom.signing import ED25519, Principal, PublicKey, Role
from vectors import make_sealed
from vectors.sealed_writer import AEADS, Keys, chunked, dump, expand

FILES = sorted(make_sealed.FOLDER.glob("*.case"))
WITHOUT_KEY = json.loads((make_sealed.FOLDER / make_sealed.WITHOUT_KEY).read_bytes())
CASES = [case for case in make_sealed.cases() if case.expect != "success"]
ANOTHER_ORIGIN = "another origin is enclosed, named and recorded: each alone would be a mismatch"
IN_TWO_PLACES = {
    "segments-16385": "so many segments need as long a payload",
    "segments-65537": "so many segments need as long a payload",
    "payload-2-to-53": "so long a payload needs as many segments",
    "wrong-key-and-mac": "two defects, to show which is noticed first",
    "chacha-downgrade-signed": "the number of the suite is changed, and signed as changed",
    "local-asked-for": "asked for by its kind, which a file from the store never is",
    "local-other-subject": ANOTHER_ORIGIN,
    "local-of-a-local": ANOTHER_ORIGIN,
    "local-of-another-kind": ANOTHER_ORIGIN,
}


@dataclass
class Vector:
    """A vector as read from its file."""

    fields: dict[str, str] = field(repr=False)
    data: bytes = field(repr=False)

    @classmethod
    def read(cls, path: Path) -> "Vector":
        return cls.of(path.read_bytes())

    @classmethod
    def of(cls, text: bytes) -> "Vector":
        head, _, data = text.partition(b"\n\n")
        return cls(dict(line.split(": ", 1) for line in head.decode().splitlines()), data)

    @property
    def owners(self) -> Role:
        owners = (owner.split("+") for owner in self.fields["owners"].split())
        principals = tuple(Principal(tuple(key_from(text) for text in keys)) for keys in owners)
        return Role(int(self.fields["threshold"]), principals)

    @property
    def subject(self) -> sealed.Subject:
        return sealed.Subject(*json.loads(self.fields["subject"]))

    @property
    def mek(self) -> sealed.ModelKey:
        return sealed.ModelKey(bytes.fromhex(self.fields["mek"]))

    @property
    def recorded(self) -> dict:
        """What a device knows of its own copy."""
        origin_head = bytes.fromhex(self.fields["origin-head"])
        asked = {"subject": self.subject, "owners": self.owners, "kind": self.fields["kind"]}
        return {**asked, "origin_head": origin_head}

    @property
    def expected(self) -> sealed.Expected:
        return sealed.Expected(self.fields["kind"], self.subject, self.owners)


def key_from(text: str) -> PublicKey:
    """Read a key as a vector's header has it."""
    alg, _, raw = text.rpartition(":")
    return PublicKey(alg or ED25519, canonical.from_base64url(raw))


def whole(vector: Vector, allocate=lambda size: memoryview(bytearray(size))) -> memoryview:
    readable = sealed.BytesReadable(vector.data)
    if "origin-head" in vector.fields:
        return sealed.open_local(readable, vector.mek, **vector.recorded, allocate=allocate).payload
    return sealed.open_sealed(readable, vector.mek, vector.expected, allocate=allocate).payload


def segment_by_segment(vector: Vector, released: bytearray) -> int:
    """Open with the streaming reader; `released` receives what was given out. Return the number of segments."""
    readable, count = sealed.BytesReadable(vector.data), 0
    if "origin-head" in vector.fields:
        # The one way to open a device's own copy piece by piece; it leaves out step 9, which its maker has made.
        with sealed.open_local_random_access(readable, vector.mek, **vector.recorded) as parts:
            for index in range(1, parts.head.segment_count):
                released += parts.read_at((index - 1) * parts.head.core.segment_size, parts.head.plain_length(index))
                count += 1
        return count
    with sealed.open_stream(readable, vector.mek, vector.expected) as stream, closing(stream.segments()) as segments:
        for view in segments:
            released += view
            count += 1
    return count


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


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_a_streaming_reader_gives_out_no_more_than_it_may(path):
    """The same, segment by segment: what was given out before the failure is what the vector allows, and all of it."""
    vector = Vector.read(path)
    released, count = bytearray(), 0
    if vector.fields["expect"] == "success":
        count = segment_by_segment(vector, released)
        assert str(count) == vector.fields["segments"]
    else:
        with pytest.raises(StrongroomError) as refusal:
            segment_by_segment(vector, released)
        assert refusal.value.code == vector.fields["expect"]
    assert hashlib.sha256(released).hexdigest() == vector.fields["payload"]
    assert str(len(released)) == vector.fields["released"]


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_without_the_key(path):
    """Sections 10 and 14: models, overlays and deltas are checked whoever they are for, a local file never."""
    vector, kind = Vector.read(path), None
    try:
        kind = sealed.verify_sealed(sealed.BytesReadable(vector.data), vector.owners).core.kind
        verdict = "success"
    except IntegrityError as refusal:
        verdict = refusal.code
    assert verdict == WITHOUT_KEY[path.stem]
    assert (kind in ("model", "overlay", "delta")) == (verdict == "success")


def test_without_the_key_each_kind_is_among_them():
    kinds = {Vector.read(path).fields["kind"] for path in FILES if WITHOUT_KEY[path.stem] == "success"}
    assert kinds >= {"model", "overlay", "delta"}
    assert set(WITHOUT_KEY.values()) == make_sealed.FORMS | {"success", "file-kind", "file-signature", "file-digest"}


def test_there_are_enough_of_each():
    """Section 14: files that open at every boundary, and files that fail for every reason a file alone can have."""
    expected = Counter(Vector.read(path).fields["expect"] for path in FILES)
    opens = expected.pop("success")
    assert opens >= 50
    assert expected.total() >= 350
    of_files = {str(code) for code in Code if code.startswith("file-")} | {"json-not-canonical"}
    elsewhere = {"file-key-size", "file-refused", "file-source-changed"}  # of keys, of use, and of writing
    assert set(expected) == of_files - elsewhere


@pytest.mark.parametrize("case", CASES, ids=[case.plan.name for case in CASES])
def test_each_failure_has_one_defect(case):
    """Without its defect the file opens, asked for as the vector says: so nothing else about it is wrong."""
    mended = case.mended()
    vector = Vector.of(mended.text())
    assert hashlib.sha256(whole(vector)).hexdigest() == vector.fields["payload"]
    assert len(case.defects()) == 1 or case.plan.name in IN_TWO_PLACES, case.defects()


def test_the_generator_makes_what_is_committed():
    made = make_sealed.everything()
    assert sorted(made) == sorted(path.name for path in make_sealed.FOLDER.iterdir())
    for name, data in made.items():
        assert data == (make_sealed.FOLDER / name).read_bytes(), name


def test_vectors_stay_small():
    assert sum(path.stat().st_size for path in make_sealed.FOLDER.iterdir()) < 13_000_000


@pytest.mark.parametrize("name", make_sealed.SCHEDULES)
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
    assert head.signed_bytes == raw["signed"]
    for index in (0, 1):
        assert head.binding.context(index) == raw[f"context_{index}"]
        stored = raw["file"][head.offset(index) : head.offset(index) + head.stored_length(index)]
        assert stored == raw[f"segment_{index}"]
        assert stored[:24] == raw[f"salt_{index}"]
        info = (
            b"c2sp.org/chunked-encryption@v1+"
            + AEADS[wanted["suite"]][0]
            + b"\0"
            + stored[:24]
            + raw[f"context_{index}"]
        )
        assert info == raw[f"info_{index}"]
        assert expand(keys.payload, info, 76) == raw[f"derived_{index}"]
        assert raw[f"derived_{index}"][44:] == stored[24:56]
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
