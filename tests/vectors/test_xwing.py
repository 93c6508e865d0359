"""X-Wing vectors: seed to public key, and what is encapsulated to it opens with the vector's shared secret (R41)."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from strongroom.wire import hpke

FILE = Path(__file__).resolve().parents[3] / "shared" / "vectors" / "crypto" / "hpke" / "xwing-test-vectors.json"
SUITE_ID = b"HPKE" + bytes.fromhex("647a00010002")


def extract(salt: bytes, label: bytes, secret: bytes) -> bytes:
    """LabeledExtract of RFC 9180 section 4, written out here a second time."""
    mac = hmac.HMAC(salt or bytes(32), hashes.SHA256())
    mac.update(b"HPKE-v1" + SUITE_ID + label + secret)
    return mac.finalize()


def expand(key: bytes, label: bytes, info: bytes, length: int) -> bytes:
    """LabeledExpand."""
    labelled = length.to_bytes(2, "big") + b"HPKE-v1" + SUITE_ID + label + info
    return HKDFExpand(hashes.SHA256(), length, labelled).derive(key)


def sealed_with(shared: bytes, info: bytes, plaintext: bytes) -> bytes:
    """KeySchedule and Seal of RFC 9180 in base mode, from the KEM's shared secret on."""
    context = b"\0" + extract(b"", b"psk_id_hash", b"") + extract(b"", b"info_hash", info)
    secret = extract(shared, b"secret", b"")
    key, nonce = expand(secret, b"key", context, 32), expand(secret, b"base_nonce", context, 12)
    return AESGCM(key).encrypt(nonce, plaintext, b"")


@pytest.mark.skipif(not FILE.exists(), reason="the vectors are not part of the project")
def test_the_seed_form_and_decapsulation_are_those_of_the_draft():
    vectors = json.loads(FILE.read_text(encoding="ascii"))
    for vector in vectors:
        key = hpke.DepositKey.from_seed(hpke.MLKEM768_X25519, bytes.fromhex(vector["seed"]))
        assert key.public == bytes.fromhex(vector["pk"])
        sealed = bytes.fromhex(vector["ct"]) + sealed_with(bytes.fromhex(vector["ss"]), b"info", b"m" * 32)
        assert len(sealed) == 1168
        assert key.open(sealed, b"info") == b"m" * 32
    assert len(vectors) == 3
