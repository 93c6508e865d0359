"""The second secret: what only one TPM can open is mixed into the key wrap (docs/spec/protocol.md section 17).

HPKE shows that the answer was sealed for the key of this request. A TPM's credential shows in which chip it is opened:
the MEKs are wrapped with AES Key Wrap (RFC 3394) under HKDF-SHA256 (RFC 5869) of a secret that the server gives out
only inside a credential (TPM 2.0 Part 1, "Credential Protection"), and sealed with HPKE then.
"""

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from strongroom.errors import Code, IntegrityError, InternalError
from strongroom.sealed.wiping import wipe_bytes

INFO = b"strongroom/tpm-wrap/v1\0"
SIZE = 32  # bytes of the secret, fresh for every release
OVERHEAD = 8  # bytes that RFC 3394 adds to whatever it wraps


def wrap(secret: bytes | bytearray, binding: bytes, keys: bytes | bytearray) -> bytes:
    """Wrap the MEKs of one release, one behind the other.

    Args:
        secret: 32 random bytes, used once.
        binding: digest of the request's binding, 32 bytes.
        keys: a multiple of 32 bytes.

    Raises:
        InternalError: a size is wrong.
    """
    if len(secret) != SIZE or len(keys) % SIZE or not keys:
        raise InternalError(Code.INTERNAL, "a second secret wraps whole keys under 32 bytes")
    kek, content = _kek(secret, binding), _fresh(keys)
    try:
        return aes_key_wrap(kek, content)
    finally:
        wipe_bytes(kek)
        wipe_bytes(content)


def unwrap(secret: bytes | bytearray, binding: bytes, wrapped: bytes) -> bytearray:
    """Return the MEKs; the caller wipes them.

    Raises:
        IntegrityError: SEALED_KEY, if they were wrapped under another secret or for another request.
    """
    kek = _kek(secret, binding)
    try:
        opened = aes_key_unwrap(kek, wrapped)
    except (InvalidUnwrap, UnsupportedAlgorithm, ValueError):
        raise IntegrityError(Code.SEALED_KEY, "the keys were wrapped for another TPM or request") from None
    finally:
        wipe_bytes(kek)
    keys = bytearray(opened)
    wipe_bytes(opened)  # pyca has just made it, so nobody else holds it
    return keys


def _kek(secret: bytes | bytearray, binding: bytes) -> bytes:
    """Return a fresh object, for the caller to wipe."""
    material = _fresh(secret)
    try:
        return HKDF(hashes.SHA256(), 32, salt=binding, info=INFO).derive(material)
    finally:
        wipe_bytes(material)


def _fresh(secret: bytes | bytearray) -> bytes:
    """Return a copy that nobody else holds: `bytes` of bytes would be the very same object."""
    return bytes(memoryview(secret))
