"""Opening a credential without a TPM, as a TPM does inside (TPM 2.0 Part 1, section 24, annexes B.10 and C.6)."""

import hashlib
import hmac

from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash

from strongroom.errors import Code, IntegrityError
from strongroom.wire.tpm.structs import Public, Reader

LABEL = b"IDENTITY\0"


def opened(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, ek: Public, ak_name: bytes, credential: bytes) -> bytes:
    """Return the secret in TPM2B_ID_OBJECT and TPM2B_ENCRYPTED_SECRET, one behind the other.

    Args:
        key: the endorsement key.
        ek: its public area.
        ak_name: Name of the key that the credential must be for.
        credential: as the server made it.

    Raises:
        IntegrityError: SEALED_KEY if it was made for other keys, SHAPE if it is no credential.
    """
    reader = Reader(credential)
    protected, encrypted = Reader(reader.sized()), reader.sized()
    reader.end()
    mac, identity = protected.sized(), protected.rest()
    seed = _seed(key, ek, encrypted)
    expected = hmac.digest(_kdf_a(seed, b"INTEGRITY", b"", 32), identity + ak_name, "sha256")
    if not hmac.compare_digest(mac, expected):
        raise _foreign()
    wrapping = _kdf_a(seed, b"STORAGE", ak_name, 16)
    # an IV of zero is what Part 1 prescribes, and right: the key comes of a seed that is used for this alone
    cipher = Cipher(algorithms.AES(wrapping), CFB(bytes(16))).decryptor()
    inner = Reader(cipher.update(identity) + cipher.finalize())
    secret = inner.sized()
    inner.end()
    return secret


def _seed(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, ek: Public, encrypted: bytes) -> bytes:
    sha256 = hashes.SHA256()
    try:
        if isinstance(key, rsa.RSAPrivateKey):
            return key.decrypt(encrypted, padding.OAEP(padding.MGF1(sha256), sha256, LABEL))
        reader = Reader(encrypted)
        x, y = reader.sized(), reader.sized()
        reader.end()
        other = ec.EllipticCurvePublicKey.from_encoded_point(key.curve, b"\x04" + x + y)
    except ValueError:
        raise _foreign() from None
    return ConcatKDFHash(sha256, 32, LABEL + x + ek.unique[:32]).derive(key.exchange(ec.ECDH(), other))


def _kdf_a(key: bytes, label: bytes, context: bytes, size: int) -> bytes:
    """KDFa (Part 1, 11.4.9.2) for up to 32 bytes: one round of HMAC-SHA256."""
    data = (1).to_bytes(4, "big") + label + b"\0" + context + (size * 8).to_bytes(4, "big")
    return hmac.new(key, data, hashlib.sha256).digest()[:size]


def _foreign() -> IntegrityError:
    return IntegrityError(Code.SEALED_KEY, "the credential was made for another chip or another key")
