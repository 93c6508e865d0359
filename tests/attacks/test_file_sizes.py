"""Attempts to make a reader allocate, count or wait (R22)."""

import io
import struct
import tracemalloc
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom import sealed
from strongroom.errors import Code, IntegrityError
from strongroom.sealed.suites import stored_size
from vectors.sealed_writer import CHUNK, MAGIC, MIB, Plan, b64, fixed, flipped, make
from vectors.targets import EXPECTED, FORMS, SUBJECT, Target, chunks_of, network_file, opener
from vectors.targets import refused as refused_by

CAP = 16 * MIB  # bytes of memory that a refusal may cost
HUGE = [0, 2**31, 2**32 - 1, 2**53 - 1]


def refused(data: bytes | sealed.Readable, mek: sealed.ModelKey | None = None) -> Code:
    """Return the code of a refusal that asked for no memory for the payload and cost less than the cap."""

    def allocate(size: int) -> memoryview:
        pytest.fail(f"{size} bytes were allocated for a file that must be refused")

    readable = data if hasattr(data, "pread") else sealed.BytesReadable(data)
    mek = mek or sealed.ModelKey(bytes(32))
    tracemalloc.start()
    try:
        code = refused_by(partial(sealed.open_sealed, readable, mek, EXPECTED, allocate=allocate))
        assert tracemalloc.get_traced_memory()[1] < CAP
    finally:
        tracemalloc.stop()
    return code


class Boasting(sealed.BytesReadable):
    """A source that says whatever size its file says, and has only the beginning."""

    @property
    def size(self) -> int:
        return int.from_bytes(self._data[24:32], "big")


@pytest.mark.parametrize("field", ["segment_size", "toc_length", "payload_length", "segments"])
@pytest.mark.parametrize("value", HUGE)
def test_declared_sizes_cost_nothing(field, value):
    """A14: refused before anything of that size is allocated, under the owner's own signature."""
    data, mek, _ = network_file(core={field: value})
    assert refused(data, mek) in ("file-limit", "file-format", "file-truncated", "file-trailing")
    assert refused(Boasting(data), mek) in ("file-limit", "file-format", "file-truncated", "file-trailing")


@pytest.mark.parametrize("size", [CHUNK, MIB - 1, MIB + CHUNK, 3 * MIB, 2**27, 2**53 - 1])
def test_segment_sizes_that_are_none(size):
    """A14: no power of two, no multiple of a chunk, below and above the caps."""
    data, mek, _ = network_file(core={"segment_size": size})
    assert refused(data, mek) == "file-limit"


@pytest.mark.parametrize("text", ["9223372036854775808", "18446744073709551615", "-1", "1e9", "9" * 5000])
def test_numbers_no_integer_type_holds(text):
    """A14: 2^63, 2^64 - 1, negative, exponent, thousands of digits."""
    old = b'"payload_length":1000'
    made = make(Plan("numbers", bend_core=lambda core: core.replace(old, b'"payload_length":' + text.encode())))
    assert refused(made.data) in ("json-not-canonical", "file-format")


@pytest.mark.parametrize("total", [0, 31, 2**31, 2**63 - 1, 2**63, 2**64 - 1])
def test_a_total_that_is_not_the_files(total):
    """A14: in the hint, also where the source says the same."""
    data, mek, _ = network_file()
    bent = data[:24] + struct.pack(">Q", total) + data[32:]
    assert refused(bent, mek) == "file-truncated"
    assert refused(Boasting(bent), mek) == ("file-truncated" if total < len(data) else "file-trailing")


@pytest.mark.parametrize("sizes", [(2**53 - 1, 2**53 - 1), (2**52, 2**52), (0, 49_999), (50_000, 1)])
def test_sizes_in_the_table_of_contents_that_do_not_sum(sizes):
    """A14: sums beyond every integer type, and one byte off, under the owner's signature."""
    files = [{"path": f"{number}", "sha256": b64(bytes(32)), "size": size} for number, size in enumerate(sizes)]
    data, mek, _ = network_file(toc={"files": files})
    assert refused(data, mek) == "file-content"


def test_the_largest_head_of_all():
    """A14: 16,384 segments of 64 MiB, every number right and within its cap: a stranger's is refused by its head."""
    count = 16_384
    core = {"segment_size": 2**26, "segments": count, "payload_length": (count - 1) * 2**26}
    stored = (count - 1) * stored_size(2**26)

    def listed(manifest: dict) -> dict:
        return {"segments": [manifest["segments"][0], *[b64(bytes(32))] * (count - 1)]}

    def total(data: bytes) -> bytes:
        whole = int.from_bytes(data[24:32], "big") - stored_size(50_000) + stored
        return data[:24] + struct.pack(">Q", whole) + data[32 : -stored_size(50_000)]

    data, mek, _ = network_file(core=core, bend_manifest=listed, signers=("stranger",), bend_file=total)
    assert len(data) > 700_000
    assert refused(Boasting(data), mek) == "file-signature"
    assert refused(data, mek) == "file-truncated"


@pytest.mark.parametrize(("at", "cap"), [(12, 65_536), (16, 2**20), (20, 65_536)], ids=["core", "manifest", "block"])
def test_header_lengths_beyond_their_caps(at, cap):
    """A15: none, one more than the cap (65,537), 4 GiB less one: known from the first 32 bytes."""
    data, _, _ = network_file()
    for value in (0, cap + 1, 2**31, 2**32 - 1):
        bent = data[:at] + struct.pack(">I", value) + data[at + 4 :]
        assert refused(bent) == refused(Boasting(bent)) == "file-limit"
        assert refused_by(partial(sealed.read_preamble, bent[:32])) == "file-limit"
    for value in (cap, cap - 1):
        bent = data[:at] + struct.pack(">I", value) + data[at + 4 :]
        assert refused(bent) == "file-truncated"


@pytest.mark.parametrize("at", [12, 16, 20])
def test_header_lengths_past_the_end(at):
    """A15: within the caps, but longer than the file; also where the source says the file is long enough."""
    data, _, _ = network_file(size=10)
    bent = data[:at] + struct.pack(">I", 60_000) + data[at + 4 :]
    assert refused(bent) == "file-truncated"
    assert refused(Boasting(bent[:24] + struct.pack(">Q", 2**40) + bent[32:])) == "file-truncated"


@pytest.mark.parametrize(("form", "suite"), FORMS)
def test_a_flag_for_compression(form, suite):
    """A16: the format has no compression, and no flags to ask for it: 16 flags, each alone, and all."""
    target = Target.of(form, suite, 100)
    for flags in (*(1 << bit for bit in range(16)), 0xFFFF):
        bent = target.made.data[:10] + struct.pack(">H", flags) + target.made.data[12:]
        assert target.code(bent) == "file-format"


@pytest.mark.parametrize(("form", "suite"), FORMS)
def test_every_other_version_and_suite(form, suite):
    """A19: 0, 2, 255 and all others: 255 versions and 254 suites that this reader does not know."""
    target = Target.of(form, suite, 100)
    data, counted = target.made.data, 0
    for at, known in ((8, {1}), (9, set(sealed.SUITES))):
        for value in set(range(256)) - known:
            assert target.code(data[:at] + bytes([value]) + data[at + 1 :]) == "file-unsupported"
            counted += 1
    assert counted == 255 + 254


@pytest.mark.parametrize("suite", [1, 2])
@pytest.mark.parametrize(
    "size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, MIB - CHUNK, MIB - 1, MIB, MIB + 1, 2 * MIB - 1, 2 * MIB, 2 * MIB + 1]
)
def test_every_boundary_has_one_encoding(suite, size):
    """A20: round trip, and the length that the rules give: two writers agree on it, and nothing else opens."""
    mek, sink = sealed.ModelKey.generate(), io.BytesIO()
    plain = fixed("target", size)
    how = {"mek": mek, "subject": SUBJECT, "segment_size": MIB, "suite": suite}
    head = sealed.seal([sealed.Source.of_bytes("model", plain)], sink, **how)
    expected = sealed.Expected("model", SUBJECT, None)
    readable = sealed.BytesReadable(sink.getvalue())
    assert sealed.open_sealed(readable, mek, expected).payload == plain
    data, other, made = network_file(size=size, suite=suite, signers=())
    assert sealed.open_sealed(sealed.BytesReadable(data), other, expected).payload == plain
    assert [head.stored_length(at) for at in range(1, head.segment_count)] == [len(one) for one in made.segments[1:]]
    for longer in (-1, 1):
        bent, key, _ = network_file(size=size, suite=suite, core={"payload_length": size + longer})
        code = refused_by(partial(sealed.open_sealed, sealed.BytesReadable(bent), key, EXPECTED))
        assert code in ("file-truncated", "file-trailing", "file-format")


@pytest.mark.parametrize("suite", [1, 2])
@pytest.mark.parametrize("chunks", [257, 258])
def test_more_chunks_than_one_byte_counts(suite, chunks):
    """A21: chunk numbers beyond 255 roll over, and number 256 is not number 0."""
    plain = fixed("target", (chunks - 1) * CHUNK + 1)
    data, mek, made = network_file(size=len(plain), suite=suite, segment_size=2**24)
    parts = chunks_of(made.segments[1])
    assert len(parts) == chunks + 1
    assert opener(data, mek)() == plain
    for one, two in ((1, 257), (2, 258)):
        if two <= chunks and len(parts[two]) == len(parts[one]):
            parts[one], parts[two] = parts[two], parts[one]
            rolled = b"".join(parts)
            bent, key, _ = network_file(
                size=len(plain),
                suite=suite,
                segment_size=2**24,
                bend_segment=lambda index, stored, rolled=rolled: [rolled] if index else stored,
            )
            assert refused_by(opener(bent, key)) == "file-segment"
            break
    else:
        assert chunks == 257, "its last chunk is the only one beyond the first 256"


@pytest.mark.parametrize("segments", [16_385, 65_537, 2**32, 2**53 - 1])
def test_more_segments_than_a_file_has(segments):
    """A21: 2^16 + 1 and others above the cap of 16,384, with a payload that fits the number."""
    length = min((segments - 1) * MIB, 2**53 - 1)
    data, mek, _ = network_file(core={"segments": segments, "payload_length": length})
    assert refused(data, mek) == "file-limit"


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=400))
def test_anything_at_all_is_refused_with_a_code_of_ours(data):
    """A32: bytes that are no sealed file, behind the right magic and without it."""
    for head in (b"", MAGIC, MAGIC + b"\1\1\0\0", MAGIC + struct.pack(">BBHIIIQ", 1, 1, 0, 2, 2, 2, 70 + len(data))):
        with pytest.raises(IntegrityError):
            sealed.read_head(sealed.BytesReadable(head + data))


def test_a_head_that_is_right_but_for_one_byte_costs_nothing():
    """A14: the memory is counted, and the counter can count: a file that opens is above the cap."""
    data, mek, made = network_file(size=CAP)
    assert refused(flipped(data, len(made.head_part) - 5), mek) in ("file-signature", "json-not-canonical")
    tracemalloc.start()
    try:
        opener(data, mek)()
        assert tracemalloc.get_traced_memory()[1] >= CAP
    finally:
        tracemalloc.stop()
