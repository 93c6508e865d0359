"""Two keys of one TPM: the endorsement key that its maker certified, and the attestation key beside it.

TCG EK Credential Profile, section 3.2. That both live in one chip is shown by a credential (`credential`), not here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from cryptography import x509

from strongroom.attest import cert
from strongroom.attest.authorities import Roots
from strongroom.attest.tpm.keys import check_attestation_key, check_endorsement_key
from strongroom.attest.verdict import Refusal, Trail, malformed
from strongroom.errors import IntegrityError
from strongroom.wire.tpm.constants import Alg
from strongroom.wire.tpm.structs import Public

EK_CERTIFICATE: Final = x509.ObjectIdentifier("2.23.133.8.1")  # tcg-kp-EKCertificate
MANUFACTURER, MODEL, VERSION = (x509.ObjectIdentifier(f"2.23.133.2.{last}") for last in (1, 2, 3))

_E = TypeVar("_E", bound=x509.ExtensionType)


@dataclass(frozen=True, slots=True)
class Chip:
    """What a TPM's certificate says of it; texts are its maker's and may hold anything printable."""

    manufacturer: str
    model: str
    version: str
    stand_in: bool


def check_keys(
    ek_certificates: Sequence[bytes], ek_public: bytes, ak_public: bytes, at: int, roots: Roots, trail: Trail
) -> Chip:
    """Check everything about the two keys that can be checked without the TPM.

    Args:
        ek_certificates: DER, leaf first, up to one that a pinned root issued.
        ek_public: TPMT_PUBLIC or TPM2B_PUBLIC.
        ak_public: the same.
        at: Unix seconds.
        roots: of TPM makers, pinned by the operator.
        trail: takes the steps.

    Raises:
        RefusedEvidence: malformed, chain, expired, unsupported or key.
    """
    trail.step("endorsement certificate")
    if not ek_certificates:
        raise malformed("no endorsement certificate")
    chain = [cert.load_der(one) for one in ek_certificates]
    ek, ak = _public(ek_public, "ek_public"), _public(ak_public, "ak_public")
    trail.step("endorsement certificate chain")
    anchor = cert.chain(chain, roots, at)
    trail.step("endorsement certificate profile")
    words = _profile(chain[0], ek.type, trail)
    trail.step("endorsement key")
    check_endorsement_key(ek, cert.spki(chain[0]), trail)
    trail.step("attestation key")
    check_attestation_key(ak, trail)
    return Chip(words[MANUFACTURER], words[MODEL], words[VERSION], anchor.stand_in)


def _profile(leaf: x509.Certificate, kind: int, trail: Trail) -> dict[x509.ObjectIdentifier, str]:
    usage = _extension(leaf, x509.KeyUsage)
    trail.must(usage is not None, Refusal.CHAIN, "the endorsement certificate does not say what its key is for")
    if usage is not None:
        fits = usage.key_encipherment if kind == Alg.RSA else usage.key_agreement
        trail.must(fits and not usage.key_cert_sign, Refusal.CHAIN, "the endorsement certificate is for other uses")
    purposes = _extension(leaf, x509.ExtendedKeyUsage)
    trail.must(
        purposes is None or EK_CERTIFICATE in purposes, Refusal.CHAIN, "the certificate is for no endorsement key"
    )
    names = _extension(leaf, x509.SubjectAlternativeName)
    found: dict[x509.ObjectIdentifier, str] = {}
    for directory in names.get_values_for_type(x509.DirectoryName) if names is not None else ():
        found |= {one.oid: ascii(str(one.value))[1:-1][:64] for one in directory}
    trail.must(
        {MANUFACTURER, MODEL, VERSION} <= found.keys(), Refusal.CHAIN, "the endorsement certificate names no TPM"
    )
    return found


def _public(data: bytes, name: str) -> Public:
    try:
        return Public.parse(data)
    except IntegrityError as error:
        raise malformed(f"{name}: {error.what}") from None


def _extension(leaf: x509.Certificate, kind: type[_E]) -> _E | None:
    try:
        return leaf.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
