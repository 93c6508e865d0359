"""The order of checks, each its own kind, and what an opened file gives (section 10; R28, R56)."""

import pytest

from strongroom import sealed
from strongroom.errors import InputError, IntegrityError
from strongroom.sealed.segments import open_pieces_into, open_segment_into, seal_segment
from strongroom.sealed.suites import Suite
from vectors.sealed_writer import Plan, b64, fixed, flipped, make
from vectors.targets import EXPECTED, OWNERS, SUBJECT, network_file

WRONG_DIGEST = {"sha256": b64(bytes(32)), "size": 1000}

# One fault for each step, in the order in which they must be noticed; each file has one and all that come after it.
FAULTS = [
    ("file-trailing", {"bend_file": lambda data: data + b"\0"}),
    ("json-not-canonical", {"bend_core": lambda core: core.replace(b'"epoch":1', b'"epoch": 1')}),
    ("file-format", {"bend_manifest": lambda _: {"segments": []}}),
    ("file-kind", {"kind": "overlay", "core": {"base": {"file_id": b64(bytes(32)), "head": b64(bytes(64))}}}),
    ("file-mismatch", {}),  # another counter than the one asked for
    ("file-signature", {"signers": ("stranger",)}),
    ("file-wrong-key", {}),  # another key
    ("file-header-mac", {"bend_mac": lambda mac: flipped(mac, 0)}),
    ("file-subject", {"subject": ["ac_other", "digits", "1.0", None]}),
    ("file-digest", {"bend_stored": lambda all_: [flipped(one, 60) for one in all_]}),
    ("file-segment", {"bend_segment": lambda _, parts: [*parts[:2], flipped(parts[2], 0)]}),
    ("file-content", {"toc": {"files": [{"path": "../m"} | WRONG_DIGEST]}}),
    ("file-checksum", {"toc": {"files": [{"path": "m"} | WRONG_DIGEST]}}),
    ("success", {}),
]


@pytest.mark.parametrize("first", range(len(FAULTS)), ids=[code for code, _ in FAULTS])
def test_the_earliest_fault_is_the_one_that_is_named(first):
    codes = [code for code, _ in FAULTS[first:]]
    bends: dict = {}
    for _, bend in reversed(FAULTS[first:]):
        bends |= bend
    plan = Plan("faults", **bends)
    expected = sealed.Expected("model", SUBJECT, OWNERS, counter=2 if "file-mismatch" in codes else 1)
    mek = sealed.ModelKey(fixed("another", 32) if "file-wrong-key" in codes else plan.key())
    reading = sealed.BytesReadable(make(plan).data)
    if codes == ["success"]:
        assert sealed.open_sealed(reading, mek, expected).payload == fixed("small model", 1000)
        return
    with pytest.raises(IntegrityError) as refusal:
        sealed.open_sealed(reading, mek, expected)
    assert refusal.value.code == codes[0]


def test_a_stored_segment_of_another_length():
    """A03, A04: told apart from an altered one, for those who fetch segments one by one."""
    data, mek, made = network_file()
    for stored, code in (
        (made.segments[1][:-1], "file-truncated"),
        (made.segments[1] + b"\0", "file-trailing"),
        (flipped(made.segments[1], 5), "file-digest"),
    ):
        unlocked = sealed.unlock(sealed.read_head(sealed.BytesReadable(data)), mek, EXPECTED)
        unlocked.check_stored(1, made.segments[1])
        with pytest.raises(IntegrityError) as refusal:
            unlocked.check_stored(1, stored)
        assert refusal.value.code == code


def test_an_overlay_names_the_base_it_belongs_to():
    """B20: an overlay of another base is refused before it is fetched."""
    link = {"file_id": b64(bytes(32)), "head": b64(b"\1" * 64)}
    data, _, _ = network_file(kind="overlay", core={"base": link})
    head = sealed.read_head(sealed.BytesReadable(data))
    sealed.check_head(head, sealed.Expected("overlay", None, OWNERS, base=b"\1" * 64))
    with pytest.raises(IntegrityError) as refusal:
        sealed.check_head(head, sealed.Expected("overlay", None, OWNERS, base=b"\2" * 64))
    assert refusal.value.code == "file-mismatch"


@pytest.mark.parametrize(
    "wrong", [memoryview(bytes(1000)), memoryview(bytearray(999)), memoryview(bytearray(2000))[::2]]
)
def test_memory_that_was_not_asked_for(wrong):
    data, mek, _ = network_file(size=1000)
    with pytest.raises(InputError) as refusal:
        sealed.open_sealed(sealed.BytesReadable(data), mek, EXPECTED, allocate=lambda _: wrong)
    assert refusal.value.code == "argument"


def test_an_empty_model_allocates_nothing():
    data, mek, _ = network_file(size=0)
    opened = sealed.open_sealed(
        sealed.BytesReadable(data), mek, EXPECTED, allocate=lambda size: pytest.fail(f"asked for {size}")
    )
    assert opened.payload == opened.file("model") == b""


def test_the_layout_is_known_from_the_head_alone():
    """R22: the head part decides what to fetch; offsets and lengths follow from it."""
    data, _, made = network_file(size=2**20 + 9)
    preamble = sealed.read_preamble(data[:32])
    head = sealed.parse_head(data[: preamble.head_part_size], file_size=preamble.total)
    assert [data[head.offset(i) :][: head.stored_length(i)] for i in range(head.segment_count)] == made.segments
    assert [head.plain_length(i) for i in (1, 2)] == [2**20, 9]
    assert head.file_size == len(data) == preamble.total


def test_a_file_that_would_end_inside_its_own_head():
    """A14: known from the first 32 bytes, before a head part is fetched."""
    data, _, _ = network_file()
    sealed.read_preamble(data[:32])
    with pytest.raises(IntegrityError) as refusal:
        sealed.read_preamble(data[:24] + (100).to_bytes(8, "big"))
    assert refusal.value.code == "file-truncated"


def test_the_last_chunk_does_not_stay_in_the_ciphers_own_object(monkeypatch):
    """R49: the cipher returns the last chunk as an object of its own, which is overwritten once it was copied."""
    last = bytes(bytearray(b"plaintext"))

    class Fake:
        def update_into(self, data, buf) -> int:
            return 0

        def finalize(self) -> bytes:
            return last

    fake = Suite(200, "fake", lambda *_: Fake(), lambda *_: Fake())
    monkeypatch.setitem(sealed.SUITES, 200, fake)
    into = memoryview(bytearray(9))
    open_pieces_into(200, bytes(32), b"", [b"anything"], into)
    assert (into, last) == (b"plaintext", bytes(9))


@pytest.mark.parametrize("size", [0, 4, 6, 16_384])
def test_a_segment_never_fills_memory_of_another_size(size):
    """Section 10, step 7: the length of what comes out is part of the check."""
    key, context = bytes(32), b"place"
    stored = seal_segment(1, key, context, b"plain")
    exact = memoryview(bytearray(5))
    open_pieces_into(1, key, context, [stored[:10], stored[10:]], exact)
    assert exact == b"plain"
    into = memoryview(bytearray(b"\xff" * size))
    for opening in (open_segment_into, lambda *rest: open_pieces_into(*rest[:3], [rest[3]], rest[4])):
        with pytest.raises(IntegrityError) as refusal:
            opening(1, key, context, stored, into)
        assert refusal.value.code == "file-segment"
        assert not any(into)


def test_nothing_secret_is_printed():
    """R16."""
    data, mek, made = network_file(size=100)
    opened = sealed.open_sealed(sealed.BytesReadable(data), mek, EXPECTED)
    text = repr(opened) + repr(sealed.OriginRecord(b"head", made.keys.blind))
    for secret in (made.keys.payload, made.keys.blind, bytes(opened.payload)):
        assert repr(secret) not in text
        assert secret.hex() not in text
