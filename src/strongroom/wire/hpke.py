"""Keys sealed to one recipient by HPKE, RFC 9180 base mode (docs/spec/protocol.md section 6).

Base mode says nothing about the sender, so whatever is opened here must also be signed: by the release role
(grant.py) or by the publisher's authentication (deposits). Everything a sealed key depends on goes into `info`.
"""

import hashlib
import secrets
from dataclasses import dataclass, field
from typing import Never, Self, TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke, serialization
from cryptography.hazmat.primitives.asymmetric import ec, mlkem, x25519

from strongroom.errors import Code, InputError, IntegrityError
from strongroom.sealed.wiping import wipe_bytes
from strongroom.wire.binding import lp, text
from strongroom.wire.messages import Grant

MLKEM768_X25519, X25519, P256 = 0x647A, 0x0020, 0x0010
KEMS = {MLKEM768_X25519: "MLKEM768_X25519", X25519: "X25519", P256: "P256"}  # IANA HPKE KEM identifiers
DEFAULT_KEM = MLKEM768_X25519
PUBLIC_SIZES = {MLKEM768_X25519: 1216, X25519: 32, P256: 65}  # bytes; hybrid: ML-KEM-768 1184 || X25519 32
ENC_SIZES = {MLKEM768_X25519: 1120, X25519: 32, P256: 65}  # bytes
TAG_SIZE = 16  # bytes
SEED_SIZE = 32  # bytes
RELEASE_LABEL = b"strongroom/release/v1\0"
DEPOSIT_LABEL = b"strongroom/deposit/v1\0"

_MLKEM_PUBLIC = 1184
_X25519_PRIME = 2**255 - 19
_SUITES = {
    kem: hpke.Suite(pyca, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
    for kem, pyca in (
        (MLKEM768_X25519, hpke.KEM.MLKEM768_X25519),
        (X25519, hpke.KEM.X25519),
        (P256, hpke.KEM.P256),
    )
}

_Private: TypeAlias = hpke.MLKEM768X25519PrivateKey | x25519.X25519PrivateKey | ec.EllipticCurvePrivateKey
_Public: TypeAlias = hpke.MLKEM768X25519PublicKey | x25519.X25519PublicKey | ec.EllipticCurvePublicKey


def check_kem(kem: int) -> int:
    """Return the identifier if it names a KEM of this version.

    Raises:
        InputError: KEM_UNSUPPORTED.
    """
    if kem not in KEMS:
        raise InputError(Code.KEM_UNSUPPORTED, f"KEM {kem:#06x} is not offered", next_step=f"use one of {_known()}")
    return kem


def sealed_size(kem: int, length: int) -> int:
    """Return how many bytes `length` bytes of plaintext take when sealed: enc || ciphertext || tag."""
    return ENC_SIZES[check_kem(kem)] + length + TAG_SIZE


def check_public_key(kem: int, raw: bytes) -> None:
    """Refuse a recipient key that is not exactly one valid key in its only spelling.

    Raises:
        InputError: KEM_UNSUPPORTED, or PUBLIC_KEY (length, low order, off the curve, ML-KEM modulus, not canonical).
    """
    _load_public(kem, raw)


def seal(kem: int, raw_public: bytes, info: bytes, plaintext: bytes | bytearray) -> bytes:
    """Seal to a recipient; returns enc || ciphertext.

    Raises:
        InputError: as `check_public_key`.
    """
    public = _load_public(kem, raw_public)
    return _SUITES[kem].encrypt(plaintext, public, info)


class EphemeralKey:
    """A recipient key for one answer: it opens once, whatever comes of it, and is gone (R36, R37, R45)."""

    __slots__ = ("_private", "kem", "public")

    def __init__(self, kem: int, private: _Private, public: bytes) -> None:
        self.kem = kem
        self.public = public
        self._private = [private]  # list.pop is atomic: of two threads, one gets the key

    @classmethod
    def generate(cls, kem: int = DEFAULT_KEM) -> Self:
        """Make a fresh key; its private half never enters Python's memory.

        Raises:
            InputError: KEM_UNSUPPORTED.
        """
        if check_kem(kem) == MLKEM768_X25519:
            parts = mlkem.MLKEM768PrivateKey.generate(), x25519.X25519PrivateKey.generate()
            return cls(kem, *_hybrid(*parts))
        private = x25519.X25519PrivateKey.generate() if kem == X25519 else ec.generate_private_key(ec.SECP256R1())
        return cls(kem, private, _raw(private))

    @property
    def used(self) -> bool:
        """Whether the private key is gone."""
        return not self._private

    def open(self, sealed: bytes, info: bytes) -> bytearray:
        """Open what was sealed to this key, once; the caller wipes the result.

        Raises:
            IntegrityError: SEALED_KEY, for every way the bytes can be wrong.
            InputError: KEY_REUSED, when the key was used or destroyed before.
        """
        try:
            private = self._private.pop()
        except IndexError:
            raise InputError(
                Code.KEY_REUSED, "this ephemeral key was used already", next_step="make a new request with a new key"
            ) from None
        return _open(self.kem, private, sealed, info)

    def destroy(self) -> None:
        """Drop the private key without using it."""
        self._private.clear()

    def __repr__(self) -> str:
        return f"EphemeralKey({KEMS[self.kem]}, used={self.used})"

    def __reduce__(self) -> Never:
        raise InputError(Code.ARGUMENT, "an ephemeral key is neither pickled nor copied")


@dataclass(frozen=True, slots=True)
class DepositKey:
    """A long-lived recipient key that publishers seal to. Does not print its secret.

    The seed is the X25519 scalar, the P-256 scalar, or the X-Wing seed: SHAKE256(seed, 96) is ML-KEM's d || z and
    the X25519 scalar.
    """

    kem: int
    seed: bytes = field(repr=False)

    @classmethod
    def from_seed(cls, kem: int, seed: bytes) -> Self:
        """Rebuild a key from its 32 secret bytes.

        Raises:
            InputError: KEM_UNSUPPORTED, or ARGUMENT when the seed makes no key.
        """
        key = cls(check_kem(kem), bytes(seed))
        key._handle()
        return key

    @classmethod
    def generate(cls, kem: int = DEFAULT_KEM) -> Self:
        """Make a fresh key.

        Raises:
            InputError: KEM_UNSUPPORTED.
        """
        if check_kem(kem) == P256:  # a scalar must lie below the curve's order
            scalar = ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value
            return cls.from_seed(kem, scalar.to_bytes(SEED_SIZE, "big"))
        return cls.from_seed(kem, secrets.token_bytes(SEED_SIZE))

    @property
    def public(self) -> bytes:
        """The raw public key, as trust.json carries it."""
        return self._handle()[1]

    def open(self, sealed: bytes, info: bytes) -> bytearray:
        """Open a deposit; the caller wipes the result.

        Raises:
            IntegrityError: SEALED_KEY, for every way the bytes can be wrong.
        """
        return _open(self.kem, self._handle()[0], sealed, info)

    def _handle(self) -> tuple[_Private, bytes]:
        if len(self.seed) != SEED_SIZE:
            raise InputError(Code.ARGUMENT, f"a deposit key is made from {SEED_SIZE} secret bytes")
        if self.kem == MLKEM768_X25519:
            expanded = hashlib.shake_256(self.seed).digest(96)
            parts = mlkem.MLKEM768PrivateKey.from_seed_bytes(expanded[:64]), _x25519_private(expanded[64:])
            return _hybrid(*parts)
        if self.kem == X25519:
            private = _x25519_private(self.seed)
            return private, _raw(private)
        try:
            scalar = ec.derive_private_key(int.from_bytes(self.seed, "big"), ec.SECP256R1())
        except ValueError:
            raise InputError(Code.ARGUMENT, "these 32 bytes are no P-256 private key") from None
        return scalar, _raw(scalar)


def release_info(binding_digest: bytes, grant: Grant) -> bytes:
    """Return the HPKE info of a release: label, binding, and the digest of all of the grant but `sealed`."""
    return RELEASE_LABEL + binding_digest + hashlib.sha256(grant.unsealed().to_bytes()).digest()


def deposit_info(
    account: str | None, publisher: str, model: str, version: str, file_id: bytes, head_digest: bytes
) -> bytes:
    """Return the HPKE info of a deposit; the plaintext is the MEK.

    Args:
        account: the account the file is for; None or "" when it is for every entitled one.
        publisher: the operator identifier the server knows the publisher by.
        model: model name.
        version: version name.
        file_id: the core header's 32 bytes.
        head_digest: SHA-512 of the head, 64 bytes.

    Raises:
        InputError: ARGUMENT, when a name is not NFC.
    """
    names = (text(account or ""), text(publisher), text(model), text(version))
    return DEPOSIT_LABEL + b"".join(map(lp, (*names, file_id, head_digest)))


def ephemeral_digest(kem: int, raw_public: bytes) -> bytes:
    """Return SHA-256(kem as two bytes || key): what the server keeps so that a key is served once (R37)."""
    return hashlib.sha256(kem.to_bytes(2, "big") + raw_public).digest()


def _known() -> str:
    return ", ".join(f"{kem:#06x} {name}" for kem, name in KEMS.items())


def _open(kem: int, private: _Private, sealed: bytes, info: bytes) -> bytearray:
    try:
        opened = _SUITES[kem].decrypt(sealed, private, info)
    except (InvalidTag, ValueError):
        raise IntegrityError(
            Code.SEALED_KEY, "a sealed key does not open: altered, or meant for another request"
        ) from None
    secret = bytearray(opened)
    wipe_bytes(opened)  # pyca has just made it, so nobody else holds it
    return secret


def _load_public(kem: int, raw: bytes) -> _Public:
    if len(raw) != PUBLIC_SIZES[check_kem(kem)]:
        raise _not_a_key(kem)
    try:
        if kem == MLKEM768_X25519:
            lattice = mlkem.MLKEM768PublicKey.from_public_bytes(raw[:_MLKEM_PUBLIC])
            return hpke.MLKEM768X25519PublicKey(lattice, _x25519_public(raw[_MLKEM_PUBLIC:]))
        if kem == X25519:
            return _x25519_public(raw)
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), raw)
    except ValueError:
        raise _not_a_key(kem) from None


def _x25519_public(raw: bytes) -> x25519.X25519PublicKey:
    """Load a point that is neither of low order nor a second spelling of another key (R37: one key, one use)."""
    if int.from_bytes(raw, "little") >= _X25519_PRIME:
        raise ValueError(X25519)
    public = x25519.X25519PublicKey.from_public_bytes(raw)
    x25519.X25519PrivateKey.generate().exchange(public)  # a low-order point gives all zeros: pyca raises ValueError
    return public


def _x25519_private(raw: bytes) -> x25519.X25519PrivateKey:
    return x25519.X25519PrivateKey.from_private_bytes(raw)


def _hybrid(lattice: mlkem.MLKEM768PrivateKey, curve: x25519.X25519PrivateKey) -> tuple[_Private, bytes]:
    return hpke.MLKEM768X25519PrivateKey(lattice, curve), lattice.public_key().public_bytes_raw() + _raw(curve)


def _raw(private: x25519.X25519PrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    if isinstance(private, x25519.X25519PrivateKey):
        return private.public_key().public_bytes_raw()
    form = serialization.PublicFormat.UncompressedPoint
    return private.public_key().public_bytes(serialization.Encoding.X962, form)


def _not_a_key(kem: int) -> InputError:
    return InputError(Code.PUBLIC_KEY, f"not a public key of {KEMS[kem]}")
