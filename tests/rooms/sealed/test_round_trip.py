"""What goes in comes out: sealing and opening in every shape (R27, R32, R46, R47, R53; A20, A21)."""

import io
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom import sealed
from strongroom.errors import IntegrityError
from strongroom.signing import ED25519, ML_DSA_65, Principal, Role, SigningKey
from vectors.sealed_writer import fixed

MIB = 2**20
SUBJECT = sealed.Subject("ac_customer", "digits", "1.0", None)
OWNER = SigningKey(ED25519, fixed("owner", 32))
OWNERS = Role(1, (Principal((OWNER.public,)),))
EXPECTED = sealed.Expected("model", SUBJECT, OWNERS)

NAMES = st.text("abcdefgh\u00e9\u6a21 -_", min_size=1, max_size=12).map(lambda text: f"m{text}m")
SIZES = st.one_of(
    st.integers(0, 200),
    st.sampled_from([16_383, 16_384, 16_385, MIB - 1, MIB, MIB + 1]),
)


def sealed_bytes(files: dict[str, bytes], mek: sealed.ModelKey, **how) -> bytes:
    sink = io.BytesIO()
    sources = [sealed.Source.of_bytes(path, data) for path, data in files.items()]
    how = {"subject": SUBJECT, "signers": [OWNER], "segment_size": MIB} | how
    head = sealed.seal(sources, sink, mek=mek, **how)
    assert head.file_size == len(sink.getvalue())
    return sink.getvalue()


@settings(deadline=None, max_examples=30)
@given(st.dictionaries(NAMES, SIZES, min_size=1, max_size=5), st.integers(1, 3))
def test_any_files_come_out_as_they_went_in(sizes, workers):
    files = {path: fixed(path, size) for path, size in sizes.items()}
    mek = sealed.ModelKey.generate()
    data = sealed_bytes(files, mek, workers=workers)
    opened = sealed.open_sealed(sealed.BytesReadable(data), mek, EXPECTED, workers=workers)
    assert {entry.path: bytes(opened.file(entry.path)) for entry in opened.toc.files} == files
    assert sealed.verify_sealed(sealed.BytesReadable(data), OWNERS) == opened.head


@pytest.mark.parametrize("size", [0, 1, 16_383, 16_384, 16_385, MIB - 1, MIB, MIB + 1, 2 * MIB, 2 * MIB + 1])
def test_every_boundary_has_one_length(size):
    """A20: an exact multiple of a chunk carries an empty last chunk, one of a segment no empty segment."""
    mek = sealed.ModelKey.generate()
    data = sealed_bytes({"model": fixed("boundary", size)}, mek)
    opened = sealed.open_sealed(sealed.BytesReadable(data), mek, EXPECTED)
    assert bytes(opened.payload) == fixed("boundary", size)
    lengths = [min(MIB, size - at) for at in range(0, size, MIB)]
    stored = [56 + length + 16 * (length // 16_384 + 1) for length in lengths]
    assert len(data) == opened.head.offset(0) + opened.head.stored_length(0) + sum(stored)


@pytest.mark.parametrize("chunks", [257, 258])
def test_more_chunks_than_one_byte_counts(chunks):
    """A21: chunk numbers beyond 255 roll over."""
    mek = sealed.ModelKey.generate()
    plain = bytes((chunks - 1) * 16_384 + 1)
    data = sealed_bytes({"model": plain}, mek, segment_size=2**24)
    opened = sealed.open_sealed(sealed.BytesReadable(data), mek, EXPECTED)
    assert opened.payload == plain


def test_two_seals_of_one_model_share_nothing():
    """R33; A28: another key, another file_id, other salts, other bytes."""
    mek = sealed.ModelKey.generate()
    heads = [sealed.parse_head(part, file_size=None) for part in (head_part(mek) for _ in range(200))]
    assert len({head.core.file_id for head in heads}) == len(heads)
    assert len({digest for head in heads for digest in head.digests}) == 2 * len(heads)


def head_part(mek: sealed.ModelKey) -> bytes:
    data = sealed_bytes({"m": b"same"}, mek, signers=[])
    return data[: sealed.read_preamble(data).head_part_size]


def test_a_hybrid_owner_counts_only_with_both_signatures():
    """A22: Ed25519 and ML-DSA-65 of one principal; either alone is not enough."""
    old, new = OWNER, SigningKey(ML_DSA_65, fixed("post-quantum", 32))
    hybrid = Role(1, (Principal((old.public, new.public)),))
    expected = sealed.Expected("model", SUBJECT, hybrid)
    mek = sealed.ModelKey.generate()
    both = sealed_bytes({"m": b"x"}, mek, signers=[old, new])
    assert sealed.open_sealed(sealed.BytesReadable(both), mek, expected).payload == b"x"
    for one in (old, new):
        data = sealed_bytes({"m": b"x"}, mek, signers=[one])
        with pytest.raises(IntegrityError) as refusal:
            sealed.open_sealed(sealed.BytesReadable(data), mek, expected)
        assert refusal.value.code == "file-signature"


def test_progress_counts_plaintext():
    mek, sealing, opening = sealed.ModelKey.generate(), [], []
    data = sealed_bytes({"m": bytes(MIB + 5)}, mek, progress=sealing.append)
    sealed.open_sealed(sealed.BytesReadable(data), mek, EXPECTED, progress=opening.append)
    assert sealing == opening == [MIB, MIB + 5]


def test_a_file_may_begin_where_the_sink_stands():
    mek, sink = sealed.ModelKey.generate(), io.BytesIO(b"before")
    sink.seek(6)
    sealed.seal([sealed.Source.of_bytes("m", b"x")], sink, mek=mek, subject=SUBJECT, signers=[OWNER])
    assert sink.getvalue()[:6] == b"before"
    assert sealed.open_sealed(sealed.BytesReadable(sink.getvalue()[6:]), mek, EXPECTED).payload == b"x"


MEMORY = """
import sys
from pathlib import Path
from strongroom import sealed

def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) // 1024

def reset():
    Path("/proc/self/clear_refs").write_text("5")
    return peak()

folder, size = Path(sys.argv[1]), 120 * 2**20
with (folder / "plain").open("wb") as file:
    file.truncate(size)
mek, subject = sealed.ModelKey.generate(), sealed.Subject(None, "m", "1", None)
before = reset()
with (folder / "sealed").open("w+b") as sink:
    sealed.seal(sealed.sources_of(folder / "plain"), sink, mek=mek, subject=subject, workers=4)
sealing = peak() - before
before = reset()
with sealed.FileReadable.open(folder / "sealed") as readable:
    sealed.open_sealed(readable, mek, sealed.Expected("model", subject, None), workers=4)
print(sealing, peak() - before - size // 2**20)
"""


def test_memory_stays_bounded(tmp_path):
    """R22: at most 64 MiB above the caller's own buffers, for 120 MiB and four threads."""
    answer = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path)], capture_output=True, text=True, check=True, timeout=120
    )
    sealing, opening = map(int, answer.stdout.split())
    assert sealing <= 64
    assert opening <= 64
