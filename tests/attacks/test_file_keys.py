"""Attempts with keys: two for one ciphertext, a thousand guesses, keys of other sizes (R29, R55)."""

import io
from dataclasses import replace
from functools import partial

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from strongroom import sealed
from strongroom.errors import Code, InputError, IntegrityError
from strongroom.sealed import reader
from strongroom.sealed.segments import open_pieces_into
from vectors.sealed_writer import Keys, Plan, b64, expand, fixed, flipped, make
from vectors.targets import EXPECTED, FORMS, SUBJECT, Target, network_file, refused

ONE, TWO = fixed("key one", 32), fixed("key two", 32)
BLOCKS = 62  # of 16 bytes: a chunk of 992 bytes
NOBODY = sealed.Expected("model", SUBJECT, None)


def times(left: int, right: int) -> int:
    """Multiply in the field of GCM (NIST SP 800-38D section 6.3)."""
    product = 0
    for bit in range(127, -1, -1):
        product ^= right * (left >> bit & 1)
        right = right >> 1 ^ (0xE1 << 120 if right & 1 else 0)
    return product


def power(base: int, exponent: int) -> int:
    result = 1 << 127  # one, in that field's order of bits
    while exponent:
        result = times(result, base) if exponent & 1 else result
        base, exponent = times(base, base), exponent >> 1
    return result


def block(key: bytes, data: bytes) -> int:
    cipher = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305 - one block: what GCM is made of
    return int.from_bytes(cipher.update(data), "big")


def two_keys_one_ciphertext(keys: list[tuple[bytes, bytes]]) -> bytes:
    """Return a ciphertext with its tag that AES-GCM opens under both pairs of key and nonce.

    All blocks but the first are free; the first is what makes the two sums of GHASH, and so the two tags, equal.
    """
    text = [0, *(int.from_bytes(fixed(f"block {number}", 16), "big") for number in range(1, BLOCKS))]
    sums, factor = [], 0
    for key, nonce in keys:
        hashing, total = block(key, bytes(16)), 0
        for one in [*text, BLOCKS * 16 * 8]:
            total = times(total ^ one, hashing)
        sums.append(total ^ block(key, nonce + b"\0\0\0\1"))
        factor ^= power(hashing, BLOCKS + 1)
    text[0] = times(sums[0] ^ sums[1], power(factor, 2**128 - 2))
    tag = sums[0] ^ times(text[0], power(block(keys[0][0], bytes(16)), BLOCKS + 1))
    return b"".join(one.to_bytes(16, "big") for one in [*text, tag])


def chunk_key(mek: bytes, file_id: bytes, salt: bytes, context: bytes) -> tuple[bytes, bytes]:
    """Return AES key and nonce of a segment's only chunk, as whoever holds that model key derives them."""
    payload = Keys.derive(mek, file_id, 1).payload
    material = expand(payload, b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0" + salt + context, 76)
    return material[:32], material[32:44]


def test_one_ciphertext_under_two_keys(monkeypatch):
    """A10: salamanders: with the second of two keys that a chunk opens under, no chunk is looked at.

    The file is valid but for that, and made by whoever holds both keys: its chunk opens under the AES keys of both, to
    two plaintexts. With the first model key it is read.
    """
    plan = Plan("two keys", [("model", fixed("two keys", BLOCKS * 16))], mek=ONE)
    made = make(plan)  # for the lengths; the core header does not depend on the payload's ciphertext
    file_id, salt = fixed(f"file_id {plan.name}", 32), made.segments[1][:24]
    pairs = [chunk_key(mek, file_id, salt, made.contexts[1]) for mek in (ONE, TWO)]
    blob = two_keys_one_ciphertext(pairs)
    plains = [AESGCM(key).decrypt(nonce, blob, None) for key, nonce in pairs]
    assert plains[0] != plains[1]
    made = make(replace(plan, bend_segment=lambda index, parts: [*parts[:2], blob] if index else parts))
    readable = sealed.BytesReadable(made.data)
    with sealed.open_random_access(readable, sealed.ModelKey(ONE), EXPECTED) as access:
        assert access.read_at(0, 2000) == plains[0], "the file must be valid but for its second key"

    begun: list[bytes] = []
    suite = sealed.SUITES[1]

    def decryptor(key: bytes, context: bytes) -> object:
        begun.append(key)
        return suite.decryptor(key, context)

    monkeypatch.setitem(sealed.SUITES, 1, replace(suite, decryptor=decryptor))

    def allocate(size: int) -> memoryview:
        pytest.fail(f"{size} bytes were asked for")

    second = sealed.ModelKey(TWO)
    assert refused(partial(sealed.open_sealed, readable, second, EXPECTED, allocate=allocate)) == "file-wrong-key"
    assert refused(partial(sealed.open_random_access, readable, second, EXPECTED)) == "file-wrong-key"
    assert begun == []
    # The segment commits to its key as well: past the head's commitment, the chunk's tag is still not what decides.
    into = bytearray(b"\xff" * BLOCKS * 16)
    payload = Keys.derive(TWO, file_id, 1).payload
    opening = partial(open_pieces_into, 1, payload, made.contexts[1], [made.segments[1]], memoryview(into))
    assert refused(opening) == "file-segment"
    assert into.count(0) == len(into)


@pytest.mark.parametrize(("form", "suite"), FORMS)
def test_a_thousand_keys_against_one_file(form, suite, monkeypatch):
    """A11: 1,000 candidates, the right one among them: one is accepted.

    The others cost one commitment each and no more, and are told the same thing, word for word.
    """
    target = Target.of(form, suite, 1000)
    looked_at = []
    mac = reader.header_mac
    monkeypatch.setattr(reader, "header_mac", lambda key, head: looked_at.append(key) or mac(key, head))
    accepted, told = [], set()
    for number in range(1000):
        key = target.key if number == 617 else sealed.ModelKey(fixed(f"candidate {number}", 32))
        try:
            accepted.append((number, replace(target, key=key).open(target.made.data)))
        except IntegrityError as error:
            told.add((error.code, error.what, error.where, error.next_step, str(error)))
    assert [number for number, _ in accepted] == [617]
    assert accepted[0][1] == target.plain
    assert len(looked_at) == 1, "only the right key gets behind the commitment"
    assert {code for code, *_ in told} == {Code.FILE_WRONG_KEY}
    assert len(told) == 1


@pytest.mark.parametrize("suite", [1, 2])
def test_a_file_crafted_for_several_keys(suite):
    """A11: a head that commits to one candidate while MAC and segments are another's is accepted for neither."""
    other = Keys.derive(TWO, fixed("file_id target", 32), suite)
    crafted, _, _ = network_file(mek=ONE, suite=suite, signers=(), core={"commitment": b64(other.commitment)})
    verdicts = {}
    for number in range(1000):
        mek = {3: ONE, 4: TWO}.get(number) or fixed(f"candidate {number}", 32)
        verdict = refused(partial(sealed.open_sealed, sealed.BytesReadable(crafted), sealed.ModelKey(mek), NOBODY))
        verdicts.setdefault(verdict, []).append(number)
    assert verdicts.pop(Code.FILE_HEADER_MAC) == [4], "the one it commits to does not make its MAC"
    assert list(verdicts) == [Code.FILE_WRONG_KEY]
    assert len(verdicts[Code.FILE_WRONG_KEY]) == 999


@pytest.mark.parametrize("size", [0, 1, 15, 16, 24, 31, 33, 64])
def test_keys_of_another_size(size):
    """A12: refused as such before a file is looked at, and not as a wrong key."""
    for given in (bytes(size), bytearray(size), memoryview(bytes(size))):
        with pytest.raises(InputError) as refusal:
            sealed.ModelKey(given)
        assert refusal.value.code == Code.FILE_KEY_SIZE


@pytest.mark.parametrize(("form", "suite"), FORMS)
def test_every_bit_of_a_key(form, suite):
    """A12: 256 keys that differ from the right one in one bit, and one of zeros: each is the wrong key."""
    target = Target.of(form, suite, 1000)
    right = bytes(target.key.reveal())
    wrong = [flipped(right, bit // 8, 1 << bit % 8) for bit in range(256)] + [bytes(32), right[::-1]]
    for one in wrong:
        assert replace(target, key=sealed.ModelKey(one)).code(target.made.data) == "file-wrong-key"
    assert len(wrong) == 258


def test_the_key_of_another_model():
    """A12; R29: one user's material never opens another's."""
    data, _, _ = network_file("model x")
    _, other, _ = network_file("model y")
    assert refused(partial(sealed.open_sealed, sealed.BytesReadable(data), other, EXPECTED)) == "file-wrong-key"


def test_a_key_that_was_wiped():
    """A12: what is left of a key after its use opens nothing and seals nothing: zeros are a key that everybody has."""
    data, mek, _ = network_file()
    mek.wipe()
    sink, source = io.BytesIO(), sealed.Source.of_bytes("m", b"x")
    for use in (
        partial(sealed.open_sealed, sealed.BytesReadable(data), mek, EXPECTED),
        partial(sealed.open_random_access, sealed.BytesReadable(data), mek, EXPECTED),
        partial(sealed.seal, [source], sink, mek=mek, subject=SUBJECT),
        mek.reveal,
    ):
        with pytest.raises(InputError) as refusal:
            use()
        assert refusal.value.code == Code.CLOSED
    assert sink.getvalue() == b""
