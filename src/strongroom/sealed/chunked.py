"""C2SP chunked encryption with HKDF-SHA-512 over any AEAD (docs/spec/sealed-file.md section 8).

Suite 1 takes the whole construction from the cipher library; this layer makes the same of an AEAD it has no
construction for. As there, every fault of the bytes is an `InvalidTag`, and no chunk is given out before its tag fits.
"""

import hmac
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from cryptography.exceptions import AlreadyFinalized, InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from strongroom.sealed.wiping import wipe, wipe_bytes

CHUNK = 16_384  # bytes of plaintext in each chunk but the last
TAG = 16  # bytes
SALT, COMMITMENT = 24, 32  # bytes
SEGMENT_OVERHEAD = SALT + COMMITMENT
MAX_CHUNKS = 2**38  # of one message

_KEY, _NONCE = 32, 12  # bytes, of every AEAD used here
_LABEL = b"c2sp.org/chunked-encryption@v1+"

_Bytes = bytes | bytearray | memoryview


class AeadCipher(Protocol):
    """An AEAD under one key, as the cipher library has them."""

    def encrypt_into(self, nonce: bytes, data: _Bytes, associated_data: None, buf: memoryview, /) -> int: ...

    def decrypt_into(self, nonce: bytes, data: _Bytes, associated_data: None, buf: memoryview, /) -> int: ...


@dataclass(frozen=True, slots=True)
class Aead:
    """An AEAD by its name in the IANA registry. Key 32 bytes, nonce 12, tag 16."""

    name: bytes
    begin: Callable[[bytes], AeadCipher]


CHACHA20_POLY1305 = Aead(b"AEAD_CHACHA20_POLY1305", ChaCha20Poly1305)


class _Message:
    """What both directions share: the keys of one message, the number of the next chunk, and what waits for more."""

    def __init__(self, aead: Aead, waiting: int) -> None:
        self._aead = aead
        self._waiting = memoryview(bytearray(waiting))  # the part of a chunk that has come so far
        self._held = 0
        self._number = 0
        self._base = 0
        self._key = b""
        self._cipher: AeadCipher | None = None
        self._over = False

    def _derive(self, key: bytes, salt: bytes, context: bytes) -> bytes:
        """Derive key and base nonce; return the commitment."""
        if len(key) != _KEY:  # HKDF would take a key of any length
            raise ValueError(f"an input key has {_KEY} bytes, not {len(key)}")
        info = _LABEL + self._aead.name + b"\0" + salt + context
        material = HKDFExpand(hashes.SHA512(), _KEY + _NONCE + COMMITMENT, info).derive(key)
        self._key = material[:_KEY]
        self._base = int.from_bytes(material[_KEY : _KEY + _NONCE], "big")
        self._cipher = self._aead.begin(self._key)
        commitment = material[_KEY + _NONCE :]
        wipe_bytes(material)
        return commitment

    def _nonce(self) -> bytes:
        if self._number >= MAX_CHUNKS:
            raise InvalidTag
        self._number += 1
        return (self._base ^ (self._number - 1)).to_bytes(_NONCE, "big")

    def _take(self, view: memoryview, most: int) -> memoryview:
        """Keep what fits below `most` bytes; return the rest."""
        part = view[: most - self._held]
        self._waiting[self._held : self._held + len(part)] = part
        self._held += len(part)
        return view[len(part) :]

    def _require_open(self) -> None:
        if self._over:
            raise AlreadyFinalized("this message is over")

    def _end(self) -> None:
        """Overwrite what was secret. The AEAD may refer to the key's own bytes, so they live as long as it does."""
        self._over = True
        self._cipher = None
        wipe(self._waiting)
        wipe_bytes(self._key)


class Encryptor(_Message):
    """Encrypts one message under a salt of its own, which nobody chooses."""

    def __init__(self, aead: Aead, key: bytes, context: bytes) -> None:
        super().__init__(aead, CHUNK)
        salt = os.urandom(SALT)
        self._prefix = salt + self._derive(key, salt, context)

    def update_into(self, data: _Bytes, buf: bytearray | memoryview) -> int:
        """Encrypt every full chunk there is into `buf`; return how many bytes were written.

        Raises:
            ValueError: `buf` is too small.
        """
        self._require_open()
        view, into = memoryview(data), memoryview(buf)
        written = len(self._prefix)
        if len(into) < written:
            raise ValueError("no room for salt and commitment")
        into[:written], self._prefix = self._prefix, b""
        while self._held + len(view) >= CHUNK:
            if self._held:
                view = self._take(view, CHUNK)
                chunk, self._held = self._waiting, 0
            else:
                chunk, view = view[:CHUNK], view[CHUNK:]
            written += self._seal(chunk, into[written : written + CHUNK + TAG])
        self._take(view, CHUNK)
        return written

    def finalize(self) -> bytes:
        """Encrypt the last chunk, which is shorter than the others and may be empty, and return it."""
        self._require_open()
        last = bytearray(self._held + TAG)
        self._seal(self._waiting[: self._held], memoryview(last))
        self._end()
        return self._prefix + last

    def _seal(self, chunk: memoryview, into: memoryview) -> int:
        if self._cipher is None:
            raise AlreadyFinalized("this message is over")
        return self._cipher.encrypt_into(self._nonce(), chunk, None, into)


class Decryptor(_Message):
    """Decrypts one message straight into the caller's memory. A failure is final."""

    def __init__(self, aead: Aead, key: bytes, context: bytes) -> None:
        super().__init__(aead, CHUNK + TAG)
        self._begin = key, context

    def update_into(self, data: _Bytes, buf: bytearray | memoryview) -> int:
        """Decrypt every full chunk there is into `buf`; return how many bytes were written.

        Raises:
            InvalidTag: the message is not what was encrypted under this key and context.
            ValueError: `buf` is too small.
        """
        self._require_open()
        view, into, written = memoryview(data), memoryview(buf), 0
        if self._cipher is None:
            view = self._take(view, SEGMENT_OVERHEAD)
            if self._held < SEGMENT_OVERHEAD:
                return 0
            self._check_commitment()
        while self._held + len(view) >= CHUNK + TAG:
            if self._held:
                view = self._take(view, CHUNK + TAG)
                chunk, self._held = self._waiting, 0
            else:
                chunk, view = view[: CHUNK + TAG], view[CHUNK + TAG :]
            written += self._open(chunk, into[written : written + CHUNK])
        self._take(view, CHUNK + TAG)
        return written

    def finalize(self) -> bytes:
        """Decrypt the last chunk and return it.

        Raises:
            InvalidTag: it does not fit, or there is none, which means the message was cut.
        """
        self._require_open()
        if self._cipher is None or self._held < TAG:
            self._end()
            raise InvalidTag
        plain = bytearray(self._held - TAG)
        self._open(self._waiting[: self._held], memoryview(plain))
        self._end()
        last = bytes(plain)
        wipe(plain)
        return last

    def _check_commitment(self) -> None:
        """Compare the commitment before any chunk is looked at."""
        key, context = self._begin
        stored = bytes(self._waiting[:SEGMENT_OVERHEAD])
        self._held = 0
        if not hmac.compare_digest(self._derive(key, stored[:SALT], context), stored[SALT:]):
            self._end()
            raise InvalidTag

    def _open(self, chunk: memoryview, into: memoryview) -> int:
        fits = False
        try:
            if self._cipher is None:
                raise AlreadyFinalized("this message is over")
            length = self._cipher.decrypt_into(self._nonce(), chunk, None, into)
            fits = True
        finally:
            # The AEAD writes before it knows the tag, so what did not fit must not stay behind.
            if not fits:
                wipe(into)
                self._end()
        return length
