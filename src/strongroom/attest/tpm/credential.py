"""A credential that one TPM alone can open, made without a TPM (TPM 2.0 Part 1, section 24, annexes B.10 and C.6).

TPM2_ActivateCredential gives its secret only to a chip that holds both the endorsement key and, beside it, the object
with this Name: so the two keys live in one chip, and the Name fixes every attribute of the second.
"""

from collections.abc import Callable

from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash
from cryptography.hazmat.primitives.kdf.kbkdf import KBKDFHMAC, CounterLocation, Mode

from strongroom.errors import Code, InternalError
from strongroom.wire.tpm.constants import CURVE_SIZES, Alg
from strongroom.wire.tpm.structs import Public, Writer, wrong

LABEL = b"IDENTITY\0"
_HASHES: dict[int, hashes.HashAlgorithm] = {
    Alg.SHA256: hashes.SHA256(), Alg.SHA384: hashes.SHA384(), Alg.SHA512: hashes.SHA512(),
}  # fmt: skip


def make_credential(ek_public: bytes, ak_name: bytes, secret: bytes, random: Callable[[int], bytes]) -> bytes:
    """Return a credential, as TPM2_MakeCredential does: TPM2B_ID_OBJECT and TPM2B_ENCRYPTED_SECRET behind it.

    Args:
        ek_public: TPMT_PUBLIC or TPM2B_PUBLIC of an endorsement key that `check_keys` took.
        ak_name: Name of the key that must be in the same TPM.
        secret: at most as long as the endorsement key's hash: 32 bytes fit every key.
        random: bytes nobody can predict. OAEP's own come from the library, which takes no others.

    Raises:
        IntegrityError: SHAPE: no key that credentials can be made for.
        InternalError: the secret is too long.
    """
    ek = Public.parse(ek_public)
    algorithm = _HASHES.get(ek.name_alg)
    if algorithm is None or ek.symmetric is None or ek.symmetric.mode != Alg.CFB or ek.symmetric.bits not in {128, 256}:
        raise wrong("no credential can be made for this endorsement key")
    if not secret or len(secret) > algorithm.digest_size:
        raise InternalError(Code.INTERNAL, f"a credential holds at most {algorithm.digest_size} bytes")
    seed, encrypted = _seed(ek, algorithm, random)
    wrapping = _kdf_a(algorithm, seed, b"STORAGE", ak_name, ek.symmetric.bits // 8)
    # An IV of zero is what Part 1 prescribes, and right: the key comes of a seed that is used for this alone.
    cipher = Cipher(algorithms.AES(wrapping), CFB(bytes(16))).encryptor()
    identity = cipher.update(Writer().sized(secret).bytes()) + cipher.finalize()
    mac = hmac.HMAC(_kdf_a(algorithm, seed, b"INTEGRITY", b"", algorithm.digest_size), algorithm)
    mac.update(identity + ak_name)
    return Writer().sized(Writer().sized(mac.finalize()).raw(identity).bytes()).sized(encrypted).bytes()


def _seed(ek: Public, algorithm: hashes.HashAlgorithm, random: Callable[[int], bytes]) -> tuple[bytes, bytes]:
    """Return a fresh seed and what the endorsement key opens to it."""
    key = ek.key()
    if isinstance(key, rsa.RSAPublicKey):
        seed = random(algorithm.digest_size)
        return seed, key.encrypt(seed, padding.OAEP(padding.MGF1(algorithm), algorithm, LABEL))
    size = CURVE_SIZES[ek.curve]
    ephemeral = _ephemeral(key.curve, size, random)
    numbers = ephemeral.public_key().public_numbers()
    x, y = numbers.x.to_bytes(size, "big"), numbers.y.to_bytes(size, "big")
    info = LABEL + x + ek.unique[:size]
    seed = ConcatKDFHash(algorithm, algorithm.digest_size, info).derive(ephemeral.exchange(ec.ECDH(), key))
    return seed, Writer().sized(x).sized(y).bytes()


def _ephemeral(curve: ec.EllipticCurve, size: int, random: Callable[[int], bytes]) -> ec.EllipticCurvePrivateKey:
    order = curve.group_order
    # 64 bits more than the order has, as FIPS 186-5 A.2.1: what is left over then is no bias anyone can see.
    return ec.derive_private_key(int.from_bytes(random(size + 8), "big") % (order - 1) + 1, curve)


def _kdf_a(algorithm: hashes.HashAlgorithm, key: bytes, label: bytes, context: bytes, size: int) -> bytes:
    """KDFa (Part 1, 11.4.9.2): SP 800-108 in counter mode."""
    location = CounterLocation.BeforeFixed
    return KBKDFHMAC(algorithm, Mode.CounterMode, size, 4, 4, location, label, context, None).derive(key)
