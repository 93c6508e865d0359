"""Model keys, subjects and what is derived from them (R29, R50; A12)."""

import copy
import io
import pickle

import pytest

from strongroom import sealed
from strongroom.errors import InputError, IntegrityError
from vectors.sealed_writer import fixed


@pytest.mark.parametrize("size", [0, 15, 16, 31, 33, 64])
def test_a_key_has_32_bytes(size):
    """A12: any other size is refused as such, not as a wrong key."""
    with pytest.raises(InputError) as refusal:
        sealed.ModelKey(bytes(size))
    assert refusal.value.code == "file-key-size"


def test_a_key_is_a_copy_that_can_be_wiped():
    mine = bytearray(fixed("key", 32))
    key = sealed.ModelKey(memoryview(mine))
    mine[0] ^= 1
    live = key.reveal()
    assert live == fixed("key", 32)
    key.wipe()
    key.wipe()
    assert live == bytes(32)
    with pytest.raises(InputError) as refusal:
        key.reveal()
    assert refusal.value.code == "closed"


def test_keys_compare_by_their_secret_and_hash_not_at_all():
    assert sealed.ModelKey(bytes(32)) == sealed.ModelKey(bytearray(32))
    assert sealed.ModelKey(bytes(32)) != sealed.ModelKey(b"\1" * 32)
    assert sealed.ModelKey(bytes(32)) != bytes(32)
    with pytest.raises(TypeError):
        hash(sealed.ModelKey(bytes(32)))


def test_fresh_keys_differ_and_the_source_of_randomness_is_an_argument():
    assert sealed.ModelKey.generate() != sealed.ModelKey.generate()
    assert sealed.ModelKey.generate(lambda size: fixed("chosen", size)).reveal() == fixed("chosen", 32)


def test_no_secret_is_printed_pickled_or_copied():
    """R16: neither the key nor anything derived from it."""
    key = sealed.ModelKey(b"S3CRET__" * 4)
    derived = sealed.derive(key, bytes(32), 1)
    text = repr(key) + str(key) + repr(derived)
    for secret in (b"S3CRET__" * 4, derived.mac, derived.payload, derived.blind):
        assert repr(secret)[2:-1] not in text
        assert secret.hex() not in text
    for attempt in (lambda: pickle.dumps(key), lambda: copy.copy(key), lambda: copy.deepcopy([key])):
        with pytest.raises(InputError):
            attempt()


def test_every_input_changes_every_derived_key():
    """R33, R50: key, file and suite are all in."""
    base = (fixed("mek", 32), fixed("file", 32), 1)
    seen = set()
    for change in (base, (fixed("mek 2", 32), *base[1:]), (base[0], fixed("file 2", 32), 1), (*base[:2], 2)):
        derived = sealed.derive(sealed.ModelKey(change[0]), change[1], change[2])
        seen |= {derived.commitment, derived.mac, derived.payload, derived.blind}
    assert len(seen) == 16


def test_subject_and_content_cannot_stand_for_each_other():
    blind = bytes(32)
    subject = sealed.Subject(None, "m", "1", None)
    assert sealed.blind_content(blind, b'[null,"m","1",null]') != sealed.blind_subject(blind, subject)
    assert sealed.blind_subject(blind, subject) != sealed.blind_subject(blind, sealed.Subject("m", "m", "1", None))


def test_wiping_spares_what_the_interpreter_shares():
    for size in (0, 1):
        shared = bytes(size)
        sealed.wipe_bytes(shared)
        assert shared == bytes(size)
    sealed.wipe_bytes(b"x"[:1])
    assert bytes([120]) == b"x"
    fresh = bytes(bytearray(b"secret"))
    sealed.wipe_bytes(fresh)
    assert fresh == bytes(6)
    view = memoryview(bytearray(b"secret"))
    sealed.wipe(view[2:4])
    sealed.wipe(view[:0])
    assert view == b"se\0\0et"


def test_a_wiped_key_opens_nothing_and_seals_nothing():
    """R53: what is left of it is zeros, a key that everybody has; all zeros that somebody means are a key like any."""
    sink, key = io.BytesIO(), sealed.ModelKey.generate()
    subject = sealed.Subject(None, "m", "1", None)
    head = sealed.seal([sealed.Source.of_bytes("m", b"x")], sink, mek=key, subject=subject)
    key.wipe()
    again = io.BytesIO()
    for use in (
        lambda: sealed.unlock(head, key, sealed.Expected("model", subject, None)),
        lambda: sealed.seal([sealed.Source.of_bytes("m", b"x")], again, mek=key, subject=subject),
        lambda: sealed.derive(key, bytes(32), 1),
    ):
        with pytest.raises(InputError) as refusal:
            use()
        assert refusal.value.code == "closed"
    assert again.getvalue() == b""
    with pytest.raises(IntegrityError) as wrong:
        sealed.unlock(head, sealed.ModelKey(bytes(32)), sealed.Expected("model", subject, None))
    assert wrong.value.code == "file-wrong-key"
