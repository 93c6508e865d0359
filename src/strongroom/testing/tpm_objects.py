"""The public areas of a stand-in's keys, from TCG's templates (EK Credential Profile, L-1 and L-2; Part 2, 12.2.4)."""

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from strongroom.wire.tpm.constants import Alg, Attribute, Curve
from strongroom.wire.tpm.structs import Public, Writer

# PolicySecret(TPM_RH_ENDORSEMENT): the policy of both templates
POLICY = bytes.fromhex("837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa")
_FIXED = (
    Attribute.FIXED_TPM | Attribute.FIXED_PARENT | Attribute.SENSITIVE_DATA_ORIGIN | Attribute.RESTRICTED
)  # made in the chip, never leaves it, and serves the chip's own structures alone
_EK = _FIXED | Attribute.ADMIN_WITH_POLICY | Attribute.DECRYPT
_AK = _FIXED | Attribute.USER_WITH_AUTH | Attribute.NO_DA | Attribute.SIGN


def endorsement_key(key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey) -> Public:
    """Return the public area of a restricted decryption key that protects with AES-128."""
    kind = Alg.RSA if isinstance(key, rsa.RSAPublicKey) else Alg.ECC
    writer = Writer().u16(kind, Alg.SHA256).u32(_EK).sized(POLICY).u16(Alg.AES, 128, Alg.CFB, Alg.NULL)
    if isinstance(key, rsa.RSAPublicKey):
        return Public.read(writer.u16(key.key_size).u32(0).sized(_modulus(key)).bytes())
    return Public.read(_point(writer, key).bytes())


def attestation_key(key: ec.EllipticCurvePublicKey) -> Public:
    """Return the public area of a restricted key that signs with ECDSA and SHA-256."""
    writer = Writer().u16(Alg.ECC, Alg.SHA256).u32(_AK).sized(b"").u16(Alg.NULL, Alg.ECDSA, Alg.SHA256)
    return Public.read(_point(writer, key).bytes())


def _modulus(key: rsa.RSAPublicKey) -> bytes:
    return key.public_numbers().n.to_bytes(key.key_size // 8, "big")


def _point(writer: Writer, key: ec.EllipticCurvePublicKey) -> Writer:
    numbers = key.public_numbers()
    return writer.u16(Curve.P256, Alg.NULL).sized(numbers.x.to_bytes(32, "big")).sized(numbers.y.to_bytes(32, "big"))
