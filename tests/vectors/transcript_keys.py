"""Keys of the transcripts: signers that sign the same each time, HPKE with a fixed sender (protocol.md sections 2, 6).

What cannot be made twice (signatures of ML-DSA-65, ciphertexts of ML-KEM) is kept beside this module and checked by
whoever opens it; everything else comes from labels. These keys are for tests: anybody can make them.
"""

import hashlib
import hmac
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from strongroom.canonical import from_base64url, to_base64url
from strongroom.signing import ED25519, ES256, ML_DSA_65, PublicKey, SigningKey
from strongroom.wire import hpke
from strongroom.wire.hpke import MLKEM768_X25519, P256, X25519, DepositKey, EphemeralKey
from vectors.sealed_signers import fixed

KEPT = Path(__file__).parent / "transcript_kept.json"
RFC6979 = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)

used: dict[str, str] = {}  # what could not be made twice and was asked for; `make_transcripts.py` keeps it


@dataclass(frozen=True)
class FixedSigner:
    """A signing key from a label; the same signature each time."""

    label: str
    alg: str = ED25519
    seed: bytes = field(default=b"", repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "seed", fixed(f"transcript {self.label}", 32))

    @property
    def public(self) -> PublicKey:
        return SigningKey(self.alg, self.seed).public

    def sign(self, data: bytes) -> bytes:
        """Return the raw signature."""
        if self.alg == ES256:
            key = ec.derive_private_key(int.from_bytes(self.seed, "big"), ec.SECP256R1())
            r, s = utils.decode_dss_signature(key.sign(data, RFC6979))
            return r.to_bytes(32, "big") + s.to_bytes(32, "big")
        if self.alg == ML_DSA_65:
            return kept(
                f"{self.label} {hashlib.sha256(data).hexdigest()}", lambda: SigningKey(self.alg, self.seed).sign(data)
            )
        return SigningKey(self.alg, self.seed).sign(data)


def kept(label: str, make) -> bytes:
    """Return what was made under this label the first time."""
    if label not in used:
        before = json.loads(KEPT.read_text(encoding="ascii")) if KEPT.exists() else {}
        used[label] = before[label] if label in before else to_base64url(make())
    return from_base64url(used[label])


def thumbprint(key: PublicKey) -> bytes:
    """SHA-256 of a key's SPKI."""
    return hashlib.sha256(key.spki()).digest()


def seed_of(kem: int, label: str) -> bytes:
    """Return the private key of a recipient or a sender."""
    return fixed(f"transcript {kem} {label}", 32)


def ephemeral(kem: int, seed: bytes) -> EphemeralKey:
    """Return the device's key for one answer."""
    private, public = DepositKey.from_seed(kem, seed)._handle()
    return EphemeralKey(kem, private, public)


@contextmanager
def sealing(label: str) -> Iterator[None]:
    """Let whatever seals meanwhile do so with a fixed sender: the library takes no randomness."""

    def fixed_seal(kem: int, public: bytes, info: bytes, plain: bytes | bytearray) -> bytes:
        purpose = info.split(b"/", 2)[1].decode()  # another sender for each purpose, as it would be
        return seal(f"{label} {purpose}", kem, public, info, bytes(plain))

    genuine, hpke.seal = hpke.seal, fixed_seal
    try:
        yield
    finally:
        hpke.seal = genuine


_genuine_seal = hpke.seal


def seal(label: str, kem: int, public: bytes, info: bytes, plain: bytes) -> bytes:
    """RFC 9180, base mode, single shot, written a second time; returns enc || ciphertext."""
    if kem == MLKEM768_X25519:
        mark = hashlib.sha256(public + b"\0" + info + b"\0" + plain).hexdigest()
        return kept(f"{label} {mark}", lambda: _genuine_seal(kem, public, info, plain))
    shared, enc = _exchange(kem, seed_of(kem, f"sender {label}"), public)
    suite = b"KEM" + kem.to_bytes(2, "big")
    prk = _extract(b"", suite, b"eae_prk", shared)
    secret = _expand(prk, suite, b"shared_secret", enc + public, 32)
    suite = b"HPKE" + kem.to_bytes(2, "big") + bytes((0, 1, 0, 2))  # HKDF-SHA256, AES-256-GCM
    context = b"\0" + _extract(b"", suite, b"psk_id_hash", b"") + _extract(b"", suite, b"info_hash", info)
    prk = _extract(secret, suite, b"secret", b"")
    key, nonce = _expand(prk, suite, b"key", context, 32), _expand(prk, suite, b"base_nonce", context, 12)
    return enc + AESGCM(key).encrypt(nonce, plain, b"")


def _exchange(kem: int, seed: bytes, public: bytes) -> tuple[bytes, bytes]:
    if kem == X25519:
        sender = x25519.X25519PrivateKey.from_private_bytes(seed)
        return sender.exchange(x25519.X25519PublicKey.from_public_bytes(public)), sender.public_key().public_bytes_raw()
    if kem != P256:
        raise ValueError(kem)
    scalar = ec.derive_private_key(int.from_bytes(seed, "big"), ec.SECP256R1())
    form = serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public)
    return scalar.exchange(ec.ECDH(), point), scalar.public_key().public_bytes(*form)


def _extract(salt: bytes, suite: bytes, label: bytes, ikm: bytes) -> bytes:
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + ikm, "sha256")


def _expand(prk: bytes, suite: bytes, label: bytes, info: bytes, size: int) -> bytes:
    text = size.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
    return hmac.digest(prk, text + b"\1", "sha256")[:size]  # at most one block is ever asked for
