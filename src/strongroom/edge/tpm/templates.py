"""Public areas of the keys that are made here, and of endorsement keys (TCG EK Credential Profile, annex B)."""

import hashlib
from dataclasses import dataclass

from strongroom.wire.tpm.constants import Alg, Attribute, Command, Curve
from strongroom.wire.tpm.signed import PcrSelection, write_selections
from strongroom.wire.tpm.structs import Public, Writer

_INSIDE = Attribute.FIXED_TPM | Attribute.FIXED_PARENT  # never leaves this chip
_MADE = _INSIDE | Attribute.SENSITIVE_DATA_ORIGIN  # and was never outside
_STORAGE = Attribute.RESTRICTED | Attribute.DECRYPT
_SECRET_A = bytes.fromhex("837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa")
_SECRET_B = bytes.fromhex(
    "b26e7d28d11a50bc53d882bcf5fd3a1a074148bb35d3b4e4cb1c0ad9bde419cacb47ba09699646150f9fc000f3f80e12"
)


@dataclass(frozen=True, slots=True)
class Template:
    """What a key is made from: the TPMT_PUBLIC up to the key itself, and what stands in the key's place."""

    head: bytes
    unique: bytes

    @property
    def area(self) -> bytes:
        """The TPMT_PUBLIC."""
        return self.head + self.unique

    def fits(self, public: Public) -> bool:
        """Tell whether a key has everything of this template but the key itself."""
        return public.raw.startswith(self.head)  # no head is the beginning of another: each field says its own size


def _ecc(
    attributes: Attribute, storage: int, scheme: Writer, curve: Curve, unique: int, policy: bytes = b""
) -> Template:
    name = Alg.SHA384 if curve == Curve.P384 else Alg.SHA256
    writer = Writer().u16(Alg.ECC, name).u32(attributes).sized(policy)
    writer.u16(*((Alg.AES, storage, Alg.CFB) if storage else (Alg.NULL,))).raw(scheme.bytes())
    place = Writer().sized(bytes(unique)).sized(bytes(unique)).bytes()
    return Template(writer.u16(curve, Alg.NULL).bytes(), place)


_ANY = Writer().u16(Alg.NULL)
_ECDSA = Writer().u16(Alg.ECDSA, Alg.SHA256)
_OURS = _MADE | Attribute.USER_WITH_AUTH | Attribute.NO_DA  # no password, so that nothing counts wrong ones

ROOT = _ecc(_OURS | _STORAGE, 128, _ANY, Curve.P256, 32)  # the storage key that all of ours lie under
ATTESTATION = _ecc(_OURS | Attribute.RESTRICTED | Attribute.SIGN, 0, _ECDSA, Curve.P256, 0)
SIGNING = _ecc(_OURS | Attribute.SIGN, 0, _ECDSA, Curve.P256, 0)


@dataclass(frozen=True, slots=True)
class EndorsementKey:
    """One kind of endorsement key.

    Attributes:
        name: as the profile calls it.
        certificate: NV index of its certificate.
        template: what it is made from.
        by_policy: whether using it takes PolicySecret(endorsement).
        secret: bytes of a credential's encrypted secret, which tell for which of them it was made.
    """

    name: str
    certificate: int
    template: Template
    by_policy: bool
    secret: int


_EK = _MADE | Attribute.ADMIN_WITH_POLICY | _STORAGE
_EK_RSA = (
    Writer().u16(Alg.RSA, Alg.SHA256).u32(_EK).sized(_SECRET_A).u16(Alg.AES, 128, Alg.CFB, Alg.NULL).u16(2048).u32(0)
)
ENDORSEMENT_KEYS = (  # the first whose certificate is there is used
    EndorsementKey(
        "P-256 (L-2)", 0x01C0000A, _ecc(_EK, 128, _ANY, Curve.P256, 32, _SECRET_A), by_policy=True, secret=68
    ),
    EndorsementKey(
        "P-384 (H-3)", 0x01C00016, _ecc(_EK | Attribute.USER_WITH_AUTH, 256, _ANY, Curve.P384, 0, _SECRET_B),
        by_policy=False, secret=100,
    ),
    EndorsementKey(
        "RSA-2048 (L-1)", 0x01C00002, Template(_EK_RSA.bytes(), Writer().sized(bytes(256)).bytes()),
        by_policy=True, secret=256,
    ),
)  # fmt: skip
ISSUERS = range(0x01C00100, 0x01C00200)  # NV indices where some makers keep the certificates above (profile, 2.2.1.5.2)


def sealed(policy: bytes) -> bytes:
    """Return the public area of sealed data: by policy alone if there is one, else for anyone on this machine."""
    attributes = _INSIDE | Attribute.NO_DA | (Attribute(0) if policy else Attribute.USER_WITH_AUTH)
    return Writer().u16(Alg.KEYEDHASH, Alg.SHA256).u32(attributes).sized(policy).u16(Alg.NULL).sized(b"").bytes()


def pcr_policy(selection: PcrSelection, values: bytes) -> bytes:
    """Return the policy that holds while the registers have these values, one behind the other (Part 3, 23.7)."""
    step = Command.POLICY_PCR.to_bytes(4, "big") + write_selections(selection) + hashlib.sha256(values).digest()
    return hashlib.sha256(bytes(32) + step).digest()
