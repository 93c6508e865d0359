"""The model key, what it is for, and the keys derived from it (docs/spec/sealed-file.md section 6).

Values that hold a secret do not print it, are not pickled, and are compared in constant time.
"""

import hashlib
import hmac
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Never, Self, SupportsIndex

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

from strongroom import canonical
from strongroom.canonical import JsonValue
from strongroom.errors import Code, InputError
from strongroom.sealed.wiping import wipe, wipe_bytes

KEY_SIZE = 32  # bytes, of the model key and of every derived key


class ModelKey:
    """A Model Encryption Key (MEK), or the local key of a device: 32 secret bytes that seal one file and never two."""

    __slots__ = ("_secret", "_wiped")
    __hash__ = None  # type: ignore[assignment]  # a secret is no dictionary key: hashing is not constant time

    def __init__(self, secret: bytes | bytearray | memoryview) -> None:
        """Copy the secret; the caller wipes its own.

        Raises:
            InputError: FILE_KEY_SIZE.
        """
        if len(secret) != KEY_SIZE:
            raise InputError(Code.FILE_KEY_SIZE, f"a model key is {KEY_SIZE} bytes, not {len(secret)}")
        self._secret = bytearray(secret)
        self._wiped = False

    @classmethod
    def generate(cls, random: Callable[[int], bytes] = os.urandom) -> Self:
        """Make a fresh key."""
        secret = random(KEY_SIZE)
        key = cls(secret)
        if random is os.urandom:  # what another source returns may be shared, and must then stay as it is
            wipe_bytes(secret)
        return key

    def reveal(self) -> bytearray:
        """Return the live secret for the call at hand; it is not to be kept, and becomes zeros on `wipe`.

        Raises:
            InputError: CLOSED: the key was wiped. What is left is zeros, which everybody knows.
        """
        if self._wiped:
            raise InputError(Code.CLOSED, "this model key was wiped", next_step="make or read the key again")
        return self._secret

    def wipe(self) -> None:
        """Overwrite the secret. Wiping twice is harmless; using the key afterwards is refused."""
        self._wiped = True
        wipe(self._secret)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ModelKey) and hmac.compare_digest(self._secret, other._secret)

    def __repr__(self) -> str:
        return "ModelKey(hidden)"

    def __reduce_ex__(self, protocol: SupportsIndex) -> Never:
        raise InputError(Code.ARGUMENT, "a model key is neither pickled nor copied")


@dataclass(frozen=True, slots=True)
class Subject:
    """What a file is for. In the file it is only a keyed hash, since names are secrets too."""

    account: str | None  # None: for every entitled account
    model: str
    version: str
    user: str | None  # None: for every user of the account

    def to_value(self) -> list[JsonValue]:
        """Return the array that is hashed."""
        return [self.account, self.model, self.version, self.user]


@dataclass(frozen=True, slots=True)
class FileKeys:
    """What a model key becomes for one file."""

    commitment: bytes = field(repr=False)  # public: it stands in the core header
    mac: bytes = field(repr=False)
    payload: bytes = field(repr=False)
    blind: bytes = field(repr=False)

    def wipe(self) -> None:
        """Overwrite the secret ones, best effort."""
        for secret in (self.mac, self.payload, self.blind):
            wipe_bytes(secret)


def derive(mek: ModelKey, file_id: bytes, suite: int) -> FileKeys:
    """Derive the keys of one file.

    Args:
        mek: the model key.
        file_id: 32 random bytes of the core header, the salt.
        suite: number of the payload cipher, part of every label.

    Raises:
        InputError: CLOSED: the model key was wiped.
    """
    prk = HKDF.extract(hashes.SHA512(), file_id, mek.reveal())

    def expand(label: str) -> bytes:
        info = f"strongroom/v1 {label}".encode("ascii") + bytes([suite])
        return HKDFExpand(hashes.SHA512(), KEY_SIZE, info).derive(prk)

    keys = FileKeys(expand("commit"), expand("header"), expand("payload"), expand("blind"))
    wipe_bytes(prk)
    return keys


def blind_subject(blind: bytes, subject: Subject) -> bytes:
    """Return the keyed hash of the subject that stands in the core header."""
    return _blinded(blind, b"subject\0" + canonical.encode(subject.to_value()))


def blind_content(blind: bytes, toc: bytes | bytearray | memoryview) -> bytes:
    """Return the keyed hash of the table of contents that stands in the core header."""
    return _blinded(blind, b"content\0" + toc)


def header_mac(key: bytes, head: bytes) -> bytes:
    """Return the MAC that follows the manifest."""
    return hmac.digest(key, head, hashlib.sha512)[:32]


def _blinded(blind: bytes, data: bytes) -> bytes:
    return hmac.digest(blind, data, hashlib.sha512)[:32]
