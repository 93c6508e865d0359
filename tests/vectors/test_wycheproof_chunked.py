"""Wycheproof's vectors for Cobblestone-256, through the layer the sealed file uses (R30, R55).

The vectors are not part of this repository: the tests skip where `../shared/vectors` is not beside it.
"""

import hashlib
import json
import zlib
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from strongroom import sealed
from strongroom.errors import IntegrityError
from strongroom.sealed.chunked import CHACHA20_POLY1305, Aead, Decryptor, Encryptor
from strongroom.sealed.segments import open_pieces_into, open_segment_into, seal_segment
from strongroom.sealed.suites import Suite
from vectors.sealed_writer import Plan, chunked, fixed, flipped, make

SHARED = Path(__file__).parents[2].parent / "shared" / "vectors" / "crypto"
WYCHEPROOF = SHARED / "wycheproof" / "c2sp_chunked_encryption_aes_256_gcm_test.json"
CHACHA = SHARED / "wycheproof" / "chacha20_poly1305_test.json"
TWO_KEYS = SHARED / "own" / "two_keys_one_ciphertext.json"


def wycheproof() -> list:
    if not WYCHEPROOF.exists():
        return []
    group = json.loads(WYCHEPROOF.read_bytes())["testGroups"][0]
    return group["tests"]


@pytest.mark.skipif(not WYCHEPROOF.exists(), reason="the shared vectors are not beside the repository")
def test_all_35_are_here():
    assert len(wycheproof()) == 35


@pytest.mark.parametrize("test", wycheproof(), ids=lambda test: f"{test['tcId']} {test['comment']}")
def test_wycheproof(test):
    key, context = bytes.fromhex(test["key"]), bytes.fromhex(test["ctx"])
    stored = zlib.decompress(bytes.fromhex(test["ct"]))
    # Room for exactly what such a message would hold, so that nothing but the cipher can be the reason to refuse.
    full, rest = divmod(max(len(stored) - 56, 0), 16_400)
    into = bytearray(full * 16_384 + max(rest - 16, 0))
    view = memoryview(into)
    if test["result"] == "valid":
        open_segment_into(1, key, context, stored, view)
        assert hashlib.sha512(into).hexdigest() == test["msgSha512"]
        # The second writer of the vectors derives the same bytes from the same salt.
        assert b"".join(chunked(key, stored[:24], context, bytes(into))) == stored
        return
    view[:] = b"\xff" * len(into)
    with pytest.raises(IntegrityError):
        open_pieces_into(1, key, context, [stored], view)
    # No byte may be released, not even the prefix that was authentic: a segment is given out whole or not at all.
    assert not any(into)


@pytest.mark.parametrize("test", wycheproof(), ids=lambda test: f"{test['tcId']} {test['comment']}")
def test_wycheproof_through_our_own_chunk_layer(test, monkeypatch):
    """The layer under suite 2 with the AEAD of these vectors: the construction is theirs, whatever the AEAD."""
    aes = Aead(b"AEAD_AES_256_GCM", AESGCM)
    ours = Suite(200, "AES, by our own layer", partial(Encryptor, aes), partial(Decryptor, aes))
    monkeypatch.setitem(sealed.SUITES, 200, ours)
    key, context = bytes.fromhex(test["key"]), bytes.fromhex(test["ctx"])
    stored = zlib.decompress(bytes.fromhex(test["ct"]))
    full, rest = divmod(max(len(stored) - 56, 0), 16_400)
    into = bytearray(b"\xff" * (full * 16_384 + max(rest - 16, 0)))
    if test["result"] == "valid":
        open_segment_into(200, key, context, stored, memoryview(into))
        assert hashlib.sha512(into).hexdigest() == test["msgSha512"]
        again = bytearray(len(into))
        open_segment_into(1, key, context, seal_segment(200, key, context, into), memoryview(again))
        assert again == into
        return
    with pytest.raises(IntegrityError):
        open_pieces_into(200, key, context, [stored], memoryview(into))
    assert not any(into)


def chacha() -> list[dict]:
    """Every test of the AEAD of suite 2."""
    document = json.loads(CHACHA.read_bytes())
    tests = [test for group in document["testGroups"] for test in group["tests"]]
    assert len(tests) == document["numberOfTests"] == 325
    return tests


@pytest.mark.skipif(not CHACHA.exists(), reason="the shared vectors are not beside the repository")
def test_wycheproof_of_the_aead_of_suite_2():
    """All 325, with ChaCha20-Poly1305 as suite 2 calls it: what is there opens, and what must not, does not."""
    counted = Counter()
    for test in chacha():
        key, nonce, aad, msg = (bytes.fromhex(test[name]) for name in ("key", "iv", "aad", "msg"))
        cipher = CHACHA20_POLY1305.begin(key)
        into = memoryview(bytearray(len(msg)))
        stored = bytes.fromhex(test["ct"]) + bytes.fromhex(test["tag"])
        if test["result"] == "valid":
            assert cipher.decrypt_into(nonce, stored, aad, into) == len(msg)
            assert into == msg
            again = memoryview(bytearray(len(stored)))
            cipher.encrypt_into(nonce, msg, aad, again)
            assert again == stored
        else:
            # A nonce of another length is refused as such: the layer above makes none.
            with pytest.raises(InvalidTag if len(nonce) == 12 else ValueError):
                cipher.decrypt_into(nonce, stored, aad, into)
        counted[test["result"], len(nonce) == 12] += 1
    assert counted == {("valid", True): 256, ("invalid", True): 60, ("invalid", False): 9}


@pytest.mark.skipif(not CHACHA.exists(), reason="the shared vectors are not beside the repository")
def test_wycheproof_of_the_aead_through_the_chunks_of_suite_2(monkeypatch):
    """The same under the layer that makes chunks of it, where a test has neither associated data nor another nonce.

    The layer derives key and nonce itself: here its derivation is bent to give those of the test for the first chunk.
    """
    counted = 0
    for test in chacha():
        nonce, msg = bytes.fromhex(test["iv"]), bytes.fromhex(test["msg"])
        if test["aad"] or len(nonce) != 12:
            continue
        material = bytes.fromhex(test["key"]) + nonce + bytes(32)
        monkeypatch.setattr("strongroom.sealed.chunked.HKDFExpand", partial(Derived, material))
        chunk = bytes.fromhex(test["ct"]) + bytes.fromhex(test["tag"])
        into = bytearray(b"\xff" * len(msg))
        open_segment_into(2, bytes(32), b"", bytes(56) + chunk, memoryview(into))
        assert into == msg
        assert seal_segment(2, bytes(32), b"", msg)[56:] == chunk
        for at in (0, len(chunk) // 2, -1):
            with pytest.raises(IntegrityError):
                open_pieces_into(2, bytes(32), b"", [bytes(56), flipped(chunk, at)], memoryview(into))
            assert not any(into)
        counted += 1
    assert counted == 45


class Derived:
    """A derivation that gives what it was told to give."""

    def __init__(self, material: bytes, *_: object) -> None:
        self._material = material

    def derive(self, _: bytes) -> bytes:
        return bytes(bytearray(self._material))  # its own copy: the layer overwrites it


@pytest.mark.skipif(not TWO_KEYS.exists(), reason="the shared vectors are not beside the repository")
def test_two_keys_one_ciphertext_is_refused_at_the_commitment():
    """A10: a blob that AES-GCM opens under two keys, in a container made for the first: the second is turned away."""
    blob = json.loads(TWO_KEYS.read_bytes())["aes_256_gcm"]
    raw = {name: bytes.fromhex(value) for name, value in blob.items()}
    for number in "12":
        plain = AESGCM(raw[f"key{number}"]).decrypt(raw["nonce"], raw["ct"] + raw["tag"], None)
        assert plain == raw[f"pt{number}"]

    def with_blob(index: int, parts: list[bytes]) -> list[bytes]:
        return parts if index == 0 else [*parts[:2], raw["ct"] + raw["tag"]]

    plan = Plan("blob", [("model", fixed("blob", len(raw["ct"])))], mek=raw["key1"], bend_segment=with_blob)
    readable = sealed.BytesReadable(make(plan).data)
    expected = sealed.Expected("model", sealed.Subject(*plan.subject), None)
    asked: list[int] = []

    def allocate(size: int) -> memoryview:
        asked.append(size)
        return memoryview(bytearray(size))

    with pytest.raises(IntegrityError) as refusal:
        sealed.open_sealed(readable, sealed.ModelKey(raw["key2"]), expected, allocate=allocate)
    assert refusal.value.code == "file-wrong-key"
    assert asked == []
    with pytest.raises(IntegrityError) as refusal:
        sealed.open_sealed(readable, sealed.ModelKey(raw["key1"]), expected)
    assert refusal.value.code == "file-segment"
