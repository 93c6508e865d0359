"""The chunk layer of suite 2: the construction, whatever the cut, and every failure (section 8; R30, R53, R55)."""

import pytest
from cryptography.exceptions import AlreadyFinalized, InvalidTag
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom import sealed
from strongroom.errors import IntegrityError
from strongroom.sealed.chunked import CHACHA20_POLY1305, CHUNK, MAX_CHUNKS, TAG, Decryptor, Encryptor
from strongroom.sealed.segments import open_pieces_into, seal_segment
from strongroom.sealed.suites import stored_size
from vectors.sealed_writer import chunked, fixed, flipped
from vectors.targets import EXPECTED, OWNERS, SUBJECT, network_file

KEY, CONTEXT = fixed("chunk key", 32), b"place"
SIZES = st.one_of(
    st.integers(0, 100), st.sampled_from([k * CHUNK + more for k in (1, 2, 3, 64, 65) for more in (-1, 0, 1)])
)
CUTS = st.lists(st.integers(0, 40_000), max_size=6)


def pieces_of(data: bytes, cuts: list[int]) -> list[bytes]:
    pieces = []
    for cut in cuts:
        pieces.append(data[:cut])
        data = data[cut:]
    return [*pieces, data]


def encrypted(plain: bytes, cuts: list[int]) -> bytes:
    cipher, stored = Encryptor(CHACHA20_POLY1305, KEY, CONTEXT), b""
    for piece in pieces_of(plain, cuts):
        into = bytearray(stored_size(len(piece) + CHUNK))
        stored += into[: cipher.update_into(piece, into)]
    return stored + cipher.finalize()


@settings(deadline=None, max_examples=60)
@given(SIZES, CUTS, CUTS)
def test_any_cut_gives_what_the_second_writer_gives(size, sealing, opening):
    plain = fixed("plain", size)
    stored = encrypted(plain, sealing)
    assert stored == b"".join(chunked(KEY, stored[:24], CONTEXT, plain, suite=2))
    assert len(stored) == stored_size(size)
    into = memoryview(bytearray(b"\xff" * size))
    open_pieces_into(2, KEY, CONTEXT, pieces_of(stored, opening), into)
    assert into == plain


@settings(deadline=None, max_examples=60)
@given(st.sampled_from([0, 1, CHUNK, 2 * CHUNK + 7]), st.integers(0, 2**20), st.integers(1, 255), CUTS)
def test_any_changed_byte_leaves_nothing(size, at, mask, cuts):
    """A02: wherever it is, and however the segment arrives."""
    stored = seal_segment(2, KEY, CONTEXT, fixed("plain", size))
    broken = flipped(stored, at % len(stored), mask)
    into = memoryview(bytearray(b"\xff" * size))
    with pytest.raises(IntegrityError) as refusal:
        open_pieces_into(2, KEY, CONTEXT, pieces_of(broken, cuts), into)
    assert refusal.value.code == "file-segment"
    assert not any(into)


@pytest.mark.parametrize("size", [0, 5, CHUNK, 2 * CHUNK + 5])
def test_any_shorter_or_longer_message_is_refused(size):
    """A03, A04: cut at every place that could look like an end, or grown by a chunk's worth of anything."""
    stored = seal_segment(2, KEY, CONTEXT, fixed("plain", size))
    chunks = range(56, len(stored), CHUNK + TAG)
    others = [stored[:cut] for end in (0, *chunks, len(stored)) for cut in (end - 1, end, end + 15, end + 16)]
    others += [stored + b"\0", stored + bytes(TAG), stored + stored[56:]]
    for other in [one for one in others if one != stored]:
        into = memoryview(bytearray(b"\xff" * size))
        with pytest.raises(IntegrityError):
            open_pieces_into(2, KEY, CONTEXT, [other], into)
        assert not any(into)


@pytest.mark.parametrize(
    ("key", "context"), [(fixed("other", 32), CONTEXT), (KEY, b"Place"), (KEY, b""), (KEY, CONTEXT + b"\0")]
)
def test_another_key_or_place_ends_at_the_commitment(key, context):
    """Nothing is decrypted: no byte of the caller's memory is touched before the commitment fits."""
    stored = seal_segment(2, KEY, CONTEXT, bytes(3 * CHUNK))
    cipher, into = Decryptor(CHACHA20_POLY1305, key, context), bytearray(b"\xff" * 3 * CHUNK)
    with pytest.raises(InvalidTag):
        cipher.update_into(stored, into)
    assert bytes(into) == b"\xff" * 3 * CHUNK


def test_no_byte_of_a_chunk_is_there_before_its_tag_fits():
    """The AEAD writes plaintext before it knows the tag; the chunk layer takes it back, and stays closed."""
    plain = fixed("plain", 2 * CHUNK)
    stored = flipped(seal_segment(2, KEY, CONTEXT, plain), 56 + CHUNK + TAG + CHUNK)  # the tag of the second chunk
    cipher, into = Decryptor(CHACHA20_POLY1305, KEY, CONTEXT), bytearray(b"\xff" * 2 * CHUNK)
    with pytest.raises(InvalidTag):
        cipher.update_into(stored, into)
    assert bytes(into) == plain[:CHUNK] + bytes(CHUNK)
    for again in (lambda: cipher.update_into(stored, into), cipher.finalize):
        with pytest.raises(AlreadyFinalized):
            again()


def test_what_waited_is_wiped_and_the_end_is_final():
    """R49."""
    cipher = Encryptor(CHACHA20_POLY1305, KEY, CONTEXT)
    cipher.update_into(b"plaintext", bytearray(56))
    assert b"plaintext" in bytes(cipher._waiting)
    stored = cipher.finalize()
    assert not any(cipher._waiting)
    assert not any(cipher._key)
    for again in (lambda: cipher.update_into(b"", bytearray(56)), cipher.finalize):
        with pytest.raises(AlreadyFinalized):
            again()
    assert len(stored) == 9 + TAG


@pytest.mark.parametrize("cut", [0, 55, 56, 71, 56 + CHUNK + TAG])
def test_a_message_without_its_last_chunk_has_no_end(cut):
    """C2SP: a message that stops before a short chunk was cut; whoever goes on afterwards meets a closed door."""
    stored = seal_segment(2, KEY, CONTEXT, bytes(CHUNK))
    cipher = Decryptor(CHACHA20_POLY1305, KEY, CONTEXT)
    cipher.update_into(stored[:cut], bytearray(CHUNK))
    with pytest.raises(InvalidTag):
        cipher.finalize()
    with pytest.raises(AlreadyFinalized):
        cipher.finalize()


def test_a_message_has_a_last_number():
    """C2SP: 2^38 chunks and no more, in either direction."""
    cipher = Encryptor(CHACHA20_POLY1305, KEY, CONTEXT)
    cipher._number = MAX_CHUNKS
    with pytest.raises(InvalidTag):
        cipher.finalize()


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_a_key_of_another_size_is_no_key(size):
    """HKDF would take it; one that is one byte short would open what its owner never meant to seal."""
    with pytest.raises(ValueError, match="32 bytes"):
        Encryptor(CHACHA20_POLY1305, bytes(size), CONTEXT)
    with pytest.raises(IntegrityError):
        open_pieces_into(2, bytes(size), CONTEXT, [bytes(72)], memoryview(bytearray(0)))


def test_two_messages_share_no_salt():
    stored = {seal_segment(2, KEY, CONTEXT, b"same")[:24] for _ in range(200)}
    assert len(stored) == 200


def test_memory_too_small_is_a_mistake():
    cipher = Encryptor(CHACHA20_POLY1305, KEY, CONTEXT)
    with pytest.raises(ValueError, match="no room"):
        cipher.update_into(b"", bytearray(55))
    with pytest.raises(ValueError, match="must be"):
        cipher.update_into(bytes(CHUNK), bytearray(56))
    into = memoryview(bytearray(CHUNK))
    with pytest.raises(IntegrityError):
        open_pieces_into(2, KEY, CONTEXT, [seal_segment(2, KEY, CONTEXT, bytes(2 * CHUNK))], into)
    assert not any(into)


@pytest.mark.parametrize("allowed", [(1,), (1, 3), ()])
def test_a_suite_that_is_not_allowed(allowed):
    """A19: what this version can read and trust.json does not allow is refused, with the key and without."""
    data, mek, _ = network_file(suite=2)
    readable = sealed.BytesReadable(data)
    assert sealed.open_sealed(readable, mek, EXPECTED).head.suite == 2
    both = sealed.Expected("model", SUBJECT, OWNERS, suites=(1, 2))
    assert sealed.open_sealed(readable, mek, both).payload == fixed("target", 50_000)
    assert sealed.verify_sealed(readable, OWNERS, suites=(1, 2)).suite == 2
    narrow = sealed.Expected("model", SUBJECT, OWNERS, suites=allowed)
    for opening in (
        lambda: sealed.open_sealed(readable, mek, narrow),
        lambda: sealed.verify_sealed(readable, OWNERS, suites=allowed),
    ):
        with pytest.raises(IntegrityError) as refusal:
            opening()
        assert refusal.value.code == "file-mismatch"
