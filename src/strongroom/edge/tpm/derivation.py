"""Key derivation and parameter encryption of TPM sessions (Part 1, sections 11.4.9, 11.4.10 and 21)."""

import hashlib
import hmac

from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

from strongroom.sealed.wiping import wipe

BLOCK = 16  # bytes of an AES block


def kdf_a(key: bytes | bytearray, label: bytes, context: bytes, size: int) -> bytearray:
    """KDFa with SHA-256: NIST SP 800-108 in counter mode. Return `size` bytes for the caller to wipe."""
    found = bytearray()
    for counter in range(1, -(-size // 32) + 1):
        message = counter.to_bytes(4, "big") + label + b"\0" + context + (size * 8).to_bytes(4, "big")
        found += hmac.digest(key, message, "sha256")
    del found[size:]
    return found


def kdf_e(z: bytes, label: bytes, party_u: bytes, party_v: bytes, alg: str, size: int) -> bytes:
    """KDFe: NIST SP 800-56A, one step. `z` is the x-coordinate of the shared point; `size` at most the hash's."""
    message = (1).to_bytes(4, "big") + z + label + b"\0" + party_u + party_v
    return hashlib.new(alg, message).digest()[:size]


def conceal(key: bytes | bytearray, newer: bytes, older: bytes, data: bytes | bytearray) -> bytes:
    """Encrypt a command's first parameter with AES-128 in CFB mode, for one command."""
    cipher = _cipher(key, newer, older).encryptor()
    return cipher.update(data) + cipher.finalize()


def reveal(key: bytes | bytearray, newer: bytes, older: bytes, data: bytes) -> bytearray:
    """Decrypt an answer's first parameter; the caller wipes it."""
    cipher = _cipher(key, newer, older).decryptor()
    found = bytearray(len(data) + BLOCK)  # the library wants a block more than it writes
    size = cipher.update_into(data, found)
    cipher.finalize()
    del found[size:]
    return found


def _cipher(key: bytes | bytearray, newer: bytes, older: bytes) -> Cipher[CFB]:
    stream = kdf_a(key, b"CFB", newer + older, 32)
    try:
        return Cipher(algorithms.AES(bytes(stream[:16])), CFB(bytes(stream[16:])))
    finally:
        wipe(stream)
