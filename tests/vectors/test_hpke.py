"""RFC 9180 base-mode vectors through the library we seal with (R41, R56).

Its one-shot interface takes no associated data and every vector has some, so each is sealed again with the vector's
own key and nonce and no associated data: KEM, key schedule and info are then the RFC's.
"""

import json
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke as pyca
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from strongroom.errors import IntegrityError
from strongroom.wire import hpke

FILE = Path(__file__).resolve().parents[3] / "shared" / "vectors" / "crypto" / "hpke" / "rfc9180-test-vectors.json"
KEMS = {0x10: pyca.KEM.P256, 0x12: pyca.KEM.P521, 0x20: pyca.KEM.X25519}
CURVES = {0x10: ec.SECP256R1(), 0x12: ec.SECP521R1()}
KDFS = {1: pyca.KDF.HKDF_SHA256, 2: pyca.KDF.HKDF_SHA384, 3: pyca.KDF.HKDF_SHA512}
AEADS = {1: pyca.AEAD.AES_128_GCM, 2: pyca.AEAD.AES_256_GCM, 3: pyca.AEAD.CHACHA20_POLY1305}
CIPHERS = {1: AESGCM, 2: AESGCM, 3: ChaCha20Poly1305}
PLAINTEXT = b"Beauty is truth, truth beauty"


def vectors() -> list[dict]:
    every = json.loads(FILE.read_text(encoding="ascii")) if FILE.exists() else []
    return [one for one in every if one["mode"] == 0 and one["kem_id"] in KEMS and one["aead_id"] in AEADS]


def private(vector: dict) -> x25519.X25519PrivateKey | ec.EllipticCurvePrivateKey:
    secret = bytes.fromhex(vector["skRm"])
    if vector["kem_id"] == 0x20:
        return x25519.X25519PrivateKey.from_private_bytes(secret)
    return ec.derive_private_key(int.from_bytes(secret, "big"), CURVES[vector["kem_id"]])


def resealed(vector: dict) -> bytes:
    cipher = CIPHERS[vector["aead_id"]](bytes.fromhex(vector["key"]))
    return bytes.fromhex(vector["enc"]) + cipher.encrypt(bytes.fromhex(vector["base_nonce"]), PLAINTEXT, b"")


@pytest.mark.skipif(not FILE.exists(), reason="the vectors are not part of the project")
def test_all_base_mode_vectors_open_and_refuse_another_info():
    tried = 0
    for vector in vectors():
        suite = pyca.Suite(KEMS[vector["kem_id"]], KDFS[vector["kdf_id"]], AEADS[vector["aead_id"]])
        info = bytes.fromhex(vector["info"])
        assert suite.decrypt(resealed(vector), private(vector), info) == PLAINTEXT
        with pytest.raises(InvalidTag):
            suite.decrypt(resealed(vector), private(vector), info + b"x")
        tried += 1
    assert tried == 18


@pytest.mark.skipif(not FILE.exists(), reason="the vectors are not part of the project")
def test_vectors_of_our_suites_open_through_our_own_code():
    tried = 0
    for vector in vectors():
        if (vector["kdf_id"], vector["aead_id"]) != (1, 2) or vector["kem_id"] not in hpke.KEMS:
            continue
        key = hpke.DepositKey.from_seed(vector["kem_id"], bytes.fromhex(vector["skRm"]))
        assert key.public == bytes.fromhex(vector["pkRm"])
        assert key.open(resealed(vector), bytes.fromhex(vector["info"])) == PLAINTEXT
        with pytest.raises(IntegrityError):
            key.open(resealed(vector), b"")
        tried += 1
    assert tried == 2  # X25519 and P-256: these vectors have no suite with a post-quantum KEM
