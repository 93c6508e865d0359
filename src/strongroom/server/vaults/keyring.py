"""The embedded key vault: every secret of one office, open in memory (docs/spec/protocol.md section 10).

How it lies on the disk is `keyring_file.py`'s business.
"""

import hashlib
import hmac
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from strongroom.canonical import JsonValue, decode, encode, to_base64url
from strongroom.errors import Code, IntegrityError, InternalError, StrongroomError
from strongroom.shapes import Array, Binary, Integer, Object
from strongroom.signing import ED25519, SigningKey
from strongroom.wire.hpke import DEFAULT_KEM, DepositKey

MAX_CONTENT = 65_536  # bytes
MAX_SECRET = 4096  # bytes wrapped at once; a MEK has 32

_VERSION = 1
_NONCE, _SALT, _TAG, _KEY_ID = 12, 32, 16, 8  # bytes
_BLOB_HEADER = 1 + _KEY_ID
_WRAP_LABEL = b"strongroom/vault/wrap/v1\0"
_MAC_LABEL = b"strongroom/vault/mac/v1\0"

ROTATED = ("release", "order", "deposit")  # keys that trust.json names and that owners replace

_WRAPPING_KEY = Object({"id": Binary(_KEY_ID), "key": Binary(32)})
_CONTENT = Object(
    {
        "current": Binary(_KEY_ID),
        "wrapping": Array(_WRAPPING_KEY, most=256, least=1),
        "mac": Binary(32),
        "release": Binary(32),
        "order": Binary(32),
        "token": Binary(32),
        "deposit_kem": Integer(1, 65_535),
        "deposit": Binary(64, 32),
        "url": Binary(32),
        "next": Object({name: Binary(32) for name in ROTATED}, frozenset(ROTATED)),
    },
    frozenset({"next"}),
)


@dataclass(frozen=True, slots=True)
class Keyring:
    """Every secret of one office, open in memory; a KeyVault. Does not print."""

    current: bytes
    wrapping: Mapping[bytes, bytes] = field(repr=False)
    mac_key: bytes = field(repr=False)
    release_signer: SigningKey = field(repr=False)
    order_signer: SigningKey = field(repr=False)
    token_signer: SigningKey = field(repr=False)
    deposit_key: DepositKey = field(repr=False)
    url_key: bytes = field(repr=False)
    random: Callable[[int], bytes] = field(default=os.urandom, repr=False, compare=False)
    coming: Mapping[str, bytes] = field(
        default_factory=dict, repr=False
    )  # seeds of ROTATED keys, until trust names them

    @classmethod
    def generate(cls, random: Callable[[int], bytes] = os.urandom) -> "Keyring":
        """Make a fresh keyring."""
        current = random(_KEY_ID)
        release, order, token = (SigningKey(ED25519, random(32)) for _ in range(3))
        deposit = DepositKey.from_seed(DEFAULT_KEM, random(32))
        return cls(current, {current: random(32)}, random(32), release, order, token, deposit, random(32), random)

    @classmethod
    def from_content(cls, content: bytes, where: str, random: Callable[[int], bytes] = os.urandom) -> "Keyring":
        """Read what `content` wrote, after it was authenticated.

        Raises:
            IntegrityError: SHAPE, if it is not of this version. The text quotes nothing of it.
        """
        try:
            fields = _CONTENT.check(decode(content, limit=MAX_CONTENT, where=where), where)
            wrapping = {one["id"]: one["key"] for one in fields["wrapping"]}
            signers = {name: SigningKey(ED25519, fields[name]) for name in ("release", "order", "token")}
            deposit = DepositKey.from_seed(fields["deposit_kem"], fields["deposit"])
        except StrongroomError:
            raise IntegrityError(Code.SHAPE, "the content is not of this version", where=where) from None
        if fields["current"] not in wrapping or len(wrapping) != len(fields["wrapping"]):
            raise IntegrityError(Code.SHAPE, "the content is not of this version", where=where)
        return cls(
            current=fields["current"],
            wrapping=wrapping,
            mac_key=fields["mac"],
            release_signer=signers["release"],
            order_signer=signers["order"],
            token_signer=signers["token"],
            deposit_key=deposit,
            url_key=fields["url"],
            random=random,
            coming={name: seed for name, seed in (fields["next"] or {}).items() if seed is not None},
        )

    def signers(self, role: str) -> tuple[SigningKey, ...]:
        """Return the keys for the role `release` or `order`: the one in use, and the one that is to replace it."""
        in_use = {"release": self.release_signer, "order": self.order_signer}[role]
        return (in_use, *(SigningKey(ED25519, self.coming[role]) for _ in range(role in self.coming)))

    @property
    def deposit_keys(self) -> tuple[DepositKey, ...]:
        """Every key that opens deposits: publishers may still use the one that is being replaced."""
        return (
            self.deposit_key,
            *(DepositKey.from_seed(DEFAULT_KEM, self.coming["deposit"]) for _ in range("deposit" in self.coming)),
        )

    def wrap(self, secret: bytes | bytearray, context: bytes) -> bytes:
        """Encrypt a secret under the current wrapping key, with `context` as associated data.

        The blob is version 1, key id, salt, nonce, ciphertext and tag.
        """
        if len(secret) > MAX_SECRET:
            raise InternalError(Code.INTERNAL, f"a vault wraps at most {MAX_SECRET} bytes")
        header = bytes([_VERSION]) + self.current
        salt, nonce = self.random(_SALT), self.random(_NONCE)
        # a key of its own for every wrap: random 96-bit nonces under one key would run out after 2^32 wraps
        cipher = AESGCM(derive(self.wrapping[self.current], salt, _WRAP_LABEL))
        return header + salt + nonce + cipher.encrypt(nonce, bytes(secret), header + context)

    def unwrap(self, wrapped: bytes, context: bytes) -> bytearray:
        """Return the secret; the caller wipes it.

        Raises:
            IntegrityError: VAULT_REFUSED, if bytes, context or key differ. Which of them is not told.
        """
        header, salt = wrapped[:_BLOB_HEADER], wrapped[_BLOB_HEADER : _BLOB_HEADER + _SALT]
        nonce, body = wrapped[_BLOB_HEADER + _SALT :][:_NONCE], wrapped[_BLOB_HEADER + _SALT + _NONCE :]
        key = self.wrapping.get(header[1:])
        if key is None or header[0] != _VERSION or not _TAG <= len(body) <= MAX_SECRET + _TAG:
            raise _refused()
        secret = bytearray(len(body) - _TAG)
        try:
            AESGCM(derive(key, salt, _WRAP_LABEL)).decrypt_into(nonce, body, header + context, secret)
        except InvalidTag:
            raise _refused() from None
        return secret

    def mac(self, data: bytes) -> bytes:
        """Return HMAC-SHA-512 cut to 32 bytes under the keyring's MAC key."""
        return hmac.digest(self.mac_key, _MAC_LABEL + data, hashlib.sha512)[:32]

    def content(self) -> bytes:
        """Return every secret as canonical JSON, for sealing into a file and for nothing else."""
        wrapping: list[JsonValue] = [
            {"id": to_base64url(id_), "key": to_base64url(key)} for id_, key in sorted(self.wrapping.items())
        ]
        coming: dict[str, JsonValue] = {name: to_base64url(seed) for name, seed in self.coming.items()}
        more: dict[str, JsonValue] = {"next": coming} if coming else {}
        return encode(
            more
            | {
                "current": to_base64url(self.current),
                "wrapping": wrapping,
                "mac": to_base64url(self.mac_key),
                "release": to_base64url(self.release_signer.seed),
                "order": to_base64url(self.order_signer.seed),
                "token": to_base64url(self.token_signer.seed),
                "deposit_kem": self.deposit_key.kem,
                "deposit": to_base64url(self.deposit_key.seed),
                "url": to_base64url(self.url_key),
            }
        )


def derive(key: bytes, salt: bytes, label: bytes) -> bytes:
    """Derive 32 bytes by HKDF-SHA-512 for the one purpose that the label names."""
    return HKDF(algorithm=hashes.SHA512(), length=32, salt=salt, info=label).derive(key)


def _refused() -> IntegrityError:
    return IntegrityError(Code.VAULT_REFUSED, "the vault refused to unwrap: bytes, context or key differ")
