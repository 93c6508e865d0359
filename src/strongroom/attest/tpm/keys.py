"""What an endorsement key and an attestation key may do: their attributes, schemes and policies.

TPM 2.0 Part 1, section 25 (attributes), and the TCG EK Credential Profile 2.6, annex B: an endorsement key is made from
one of a few templates, and one that is not is no endorsement key here.
"""

import hashlib
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from strongroom.attest.verdict import Refusal, Trail, malformed
from strongroom.errors import IntegrityError
from strongroom.wire.tpm.constants import HASH_NAMES, Alg, Attribute, Command, Handle
from strongroom.wire.tpm.structs import Public, Scheme, Symmetric

LEAST_RSA: Final = 2048  # bits
HASHES: Final = frozenset({Alg.SHA256, Alg.SHA384, Alg.SHA512})  # SHA-1 never, not even for a Name

_FIXED = Attribute.FIXED_TPM | Attribute.FIXED_PARENT | Attribute.SENSITIVE_DATA_ORIGIN | Attribute.RESTRICTED
_LOW = _FIXED | Attribute.DECRYPT | Attribute.ADMIN_WITH_POLICY
_HIGH = _LOW | Attribute.USER_WITH_AUTH
_SIGNING: dict[int, frozenset[Alg]] = {
    Alg.RSA: frozenset({Alg.RSASSA, Alg.RSAPSS}),
    Alg.ECC: frozenset({Alg.ECDSA}),
}
# PolicyB (B.6.5): PolicyA, or what the TPM's owner wrote into an NV index. PolicyA is computed below.
_POLICY_B: dict[int, bytes] = {
    Alg.SHA256: bytes.fromhex("ca3d0a99a2b93906f7a3342414efcfb3a385d44cd1fd459089d19b5071c0b7a0"),
    Alg.SHA384: bytes.fromhex(
        "b26e7d28d11a50bc53d882bcf5fd3a1a074148bb35d3b4e4cb1c0ad9bde419cacb47ba09699646150f9fc000f3f80e12"
    ),
    Alg.SHA512: bytes.fromhex(
        "b8221ca69e8550a4914de3faa6a18c072cc01208073a928d5d66d59ef79e49a4"
        "29c41a6b269571d57edb25fbdb1838425608b413cd616a5f6db5b6071af99bea"
    ),
}


def check_attestation_key(ak: Public, trail: Trail) -> None:
    """Check that a key signs nothing but what its TPM made, never leaves it, and has a scheme of its own.

    Raises:
        RefusedEvidence: malformed, unsupported or key.
    """
    trail.must(ak.type in _SIGNING, Refusal.UNSUPPORTED, "an attestation key that is neither RSA nor ECC")
    trail.must(ak.name_alg in HASHES, Refusal.UNSUPPORTED, "an attestation key with a SHA-1 name")
    needed = _FIXED | Attribute.SIGN
    trail.must(
        ak.attributes & needed == needed, Refusal.KEY, "the attestation key may leave its TPM or is unrestricted"
    )
    trail.must(not ak.attributes & Attribute.DECRYPT, Refusal.KEY, "the attestation key may decrypt")
    trail.must(ak.scheme.alg in _SIGNING[ak.type], Refusal.KEY, "the attestation key has no signing scheme of its own")
    trail.must(ak.scheme.hash in HASHES, Refusal.UNSUPPORTED, "the attestation key signs with SHA-1")
    trail.must(ak.type != Alg.RSA or ak.bits >= LEAST_RSA, Refusal.KEY, "the attestation key is too short")
    spki(ak, "attestation")


def check_endorsement_key(ek: Public, certified: bytes, trail: Trail) -> None:
    """Check that a key is the certified one, opens credentials and does nothing else, by a template of the profile.

    Args:
        ek: as the device sent it.
        certified: SubjectPublicKeyInfo of its certificate.
        trail: in whose step this is.

    Raises:
        RefusedEvidence: malformed, unsupported or key.
    """
    trail.must(ek.type in _SIGNING, Refusal.UNSUPPORTED, "an endorsement key that is neither RSA nor ECC")
    trail.must(ek.name_alg in HASHES, Refusal.UNSUPPORTED, "an endorsement key with a SHA-1 name")
    trail.must(spki(ek, "endorsement") == certified, Refusal.KEY, "the endorsement key is not the certified one")
    trail.must(ek.type != Alg.RSA or ek.bits >= LEAST_RSA, Refusal.KEY, "the endorsement key is too short")
    low = (ek.attributes, ek.auth_policy) == (_LOW, _policy_a(ek.name_alg))
    high = (ek.attributes, ek.auth_policy) == (_HIGH, _POLICY_B[ek.name_alg])
    trail.must(low or high, Refusal.KEY, "the endorsement key has attributes or a policy of no endorsement key")
    cipher = Symmetric(Alg.AES, 128 if ek.name_alg == Alg.SHA256 else 256, Alg.CFB)
    trail.must(
        ek.symmetric == cipher, Refusal.UNSUPPORTED, "the endorsement key protects credentials with another cipher"
    )
    trail.must((ek.scheme, ek.kdf) == (Scheme(), Scheme()), Refusal.UNSUPPORTED, "the endorsement key has a scheme")


def spki(public: Public, name: str) -> bytes:
    """Return the SubjectPublicKeyInfo of a key. Raises RefusedEvidence, malformed, if it is no key."""
    try:
        return public.key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except IntegrityError as error:
        raise malformed(f"the {name} key: {error.what}") from None


def _policy_a(name_alg: int) -> bytes:
    """PolicySecret of the endorsement hierarchy (B.6.2; Part 3, section 23.4): what low templates are used by."""
    name = HASH_NAMES[name_alg]
    start = bytes(hashlib.new(name).digest_size)
    words = Command.POLICY_SECRET.to_bytes(4, "big") + Handle.ENDORSEMENT.to_bytes(4, "big")
    return hashlib.new(name, hashlib.new(name, start + words).digest()).digest()
