"""Keys that sign, their identifiers, and k-of-n roles (docs/spec/protocol.md section 2).

Three algorithms, named as in JOSE: Ed25519 (RFC 8032), ML-DSA-65 (FIPS 204), ES256 (ECDSA on P-256 with SHA-256, for
device keys held in hardware). A principal is one signer; a hybrid one holds two keys and counts only if both verify.
"""

import hashlib
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Protocol, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, utils

from strongroom.canonical import JsonValue, to_base64url
from strongroom.errors import Code, InputError, IntegrityError
from strongroom.shapes import Array, Binary, Choice, Integer, Object

ED25519, ML_DSA_65, ES256 = "Ed25519", "ML-DSA-65", "ES256"
PUBLIC_SIZES = {ED25519: 32, ML_DSA_65: 1952, ES256: 65}  # bytes; ES256: the uncompressed point
SIGNATURE_SIZES = {ED25519: 64, ML_DSA_65: 3309, ES256: 64}  # bytes; ES256: r || s as in RFC 7518
MAX_SIGNATURE = 3309

_ES256 = ec.ECDSA(hashes.SHA256())


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A verification key in raw bytes."""

    alg: str
    raw: bytes

    SHAPE = Object({"alg": Choice((ED25519, ML_DSA_65, ES256)), "key": Binary(1952, 32)})

    def __post_init__(self) -> None:
        if len(self.raw) != PUBLIC_SIZES.get(self.alg):
            raise IntegrityError(Code.PUBLIC_KEY, f"not a public key of {self.alg[:20]!a}")

    @property
    def key_id(self) -> str:
        """Identifier: base64url of SHA-256(alg || 0 || raw). Recomputed, never believed."""
        return to_base64url(hashlib.sha256(self.alg.encode("ascii") + b"\0" + self.raw).digest())

    def verify(self, signature: bytes, data: bytes) -> bool:
        """Tell whether the signature is this key's over the data. Never raises for hostile input."""
        if len(signature) != SIGNATURE_SIZES[self.alg]:
            return False
        try:
            if self.alg == ED25519:
                ed25519.Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, data)
            elif self.alg == ML_DSA_65:
                mldsa.MLDSA65PublicKey.from_public_bytes(self.raw).verify(signature, data)
            else:
                point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), self.raw)
                r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
                point.verify(utils.encode_dss_signature(r, s), data, _ES256)
        except (InvalidSignature, ValueError):
            return False
        return True

    def spki(self) -> bytes:
        """SubjectPublicKeyInfo in DER (RFC 5280), for bindings and pins."""
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return _loaded(self.alg, self.raw).public_bytes(serialization.Encoding.DER, form)

    def to_value(self) -> dict[str, JsonValue]:
        return {"alg": self.alg, "key": to_base64url(self.raw)}

    @classmethod
    def from_value(cls, value: JsonValue, where: str) -> Self:
        fields = cls.SHAPE.check(value, where)
        return cls(fields["alg"], fields["key"])


_PublicHandle = ed25519.Ed25519PublicKey | mldsa.MLDSA65PublicKey | ec.EllipticCurvePublicKey
_PrivateHandle = ed25519.Ed25519PrivateKey | mldsa.MLDSA65PrivateKey | ec.EllipticCurvePrivateKey


def _loaded(alg: str, raw: bytes) -> _PublicHandle:
    try:
        if alg == ED25519:
            return ed25519.Ed25519PublicKey.from_public_bytes(raw)
        if alg == ML_DSA_65:
            return mldsa.MLDSA65PublicKey.from_public_bytes(raw)
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), raw)
    except ValueError:
        raise IntegrityError(Code.PUBLIC_KEY, f"not a public key of {alg}") from None


class Signer(Protocol):
    """Whatever can sign: a key in memory, a hardware key, a vault."""

    @property
    def public(self) -> PublicKey:
        """The key that verifies what `sign` returns."""
        ...

    def sign(self, data: bytes) -> bytes:
        """Return the signature over the data."""
        ...


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A signing key in memory, rebuilt from its seed. Does not print its secret."""

    alg: str
    seed: bytes = field(repr=False)  # 32 bytes: RFC 8032 seed, FIPS 204 xi, or the P-256 scalar

    def __post_init__(self) -> None:
        if self.alg not in PUBLIC_SIZES or len(self.seed) != 32:
            raise InputError(Code.ARGUMENT, "a signing key is an algorithm and 32 secret bytes")

    @classmethod
    def generate(cls, alg: str) -> Self:
        """Make a fresh key from the operating system's randomness."""
        if alg == ED25519:
            return cls(alg, ed25519.Ed25519PrivateKey.generate().private_bytes_raw())
        if alg == ML_DSA_65:
            return cls(alg, mldsa.MLDSA65PrivateKey.generate().private_bytes_raw())
        scalar = ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value
        return cls(alg, scalar.to_bytes(32, "big"))

    @property
    def public(self) -> PublicKey:
        return PublicKey(self.alg, _raw_public(self._handle()))

    def sign(self, data: bytes) -> bytes:
        """Return the raw signature (ES256: r || s)."""
        handle = self._handle()
        if isinstance(handle, ec.EllipticCurvePrivateKey):
            r, s = utils.decode_dss_signature(handle.sign(data, _ES256))
            return r.to_bytes(32, "big") + s.to_bytes(32, "big")
        return handle.sign(data)

    def _handle(self) -> _PrivateHandle:
        if self.alg == ED25519:
            return ed25519.Ed25519PrivateKey.from_private_bytes(self.seed)
        if self.alg == ML_DSA_65:
            return mldsa.MLDSA65PrivateKey.from_seed_bytes(self.seed)
        try:
            return ec.derive_private_key(int.from_bytes(self.seed, "big"), ec.SECP256R1())
        except ValueError:  # zero, or not below the order of the curve
            raise InputError(Code.ARGUMENT, "these 32 bytes are no P-256 private key") from None


def _raw_public(handle: _PrivateHandle) -> bytes:
    if isinstance(handle, ec.EllipticCurvePrivateKey):
        form = serialization.PublicFormat.UncompressedPoint
        return handle.public_key().public_bytes(serialization.Encoding.X962, form)
    return handle.public_key().public_bytes_raw()


@dataclass(frozen=True, slots=True)
class Principal:
    """One signer: one key, or two of different algorithms of which both must verify."""

    keys: tuple[PublicKey, ...]


@dataclass(frozen=True, slots=True)
class Role:
    """Who may do something: at least `threshold` distinct principals of these."""

    threshold: int
    principals: tuple[Principal, ...]

    SHAPE = Object(
        {"threshold": Integer(1, 16), "principals": Array(Array(PublicKey.SHAPE, most=2, least=1), most=16, least=1)}
    )

    def key(self, key_id: str) -> PublicKey | None:
        """Return the key with this identifier, or None."""
        return next((key for one in self.principals for key in one.keys if key.key_id == key_id), None)

    def satisfied(self, verified: AbstractSet[str]) -> bool:
        """Tell whether the identifiers of keys whose signature verified make up the threshold."""
        counted = sum(all(key.key_id in verified for key in one.keys) for one in self.principals if one.keys)
        return counted >= self.threshold

    def to_value(self) -> dict[str, JsonValue]:
        return {
            "threshold": self.threshold,
            "principals": [[key.to_value() for key in one.keys] for one in self.principals],
        }

    @classmethod
    def from_value(cls, value: JsonValue, where: str) -> Self:
        """Read a role; every key at most once, and the threshold reachable.

        Raises:
            IntegrityError: SHAPE.
        """
        fields = cls.SHAPE.check(value, where)
        principals = tuple(
            Principal(tuple(PublicKey(key["alg"], key["key"]) for key in keys)) for keys in fields["principals"]
        )
        ids = [key.key_id for one in principals for key in one.keys]
        doubled = any(len({key.alg for key in one.keys}) != len(one.keys) for one in principals)
        if len(set(ids)) != len(ids) or doubled or fields["threshold"] > len(principals):
            raise IntegrityError(
                Code.SHAPE, "a role names a key twice or asks for more signers than it has", where=where
            )
        return cls(fields["threshold"], principals)
