"""The certificate chain of an Android key: from the attested key up to a pinned key of Google.

Such chains do not follow RFC 5280: leaf dates are set by the device, a factory's certificates have run out while the
devices live on, and some attestation keys are no CA. These are the rules of Google's own verifier, and a few more:

    factory: leaf, attestation, intermediate (its name has a serial number), root      expiry is not enforced
    remote:  leaf, attestation (says what was provisioned), server, intermediate (Google LLC), root     it is

Only the leaf may carry a key description. A device can sign further certificates with a key that it has attested, so
the description nearest the root is the one that hardware vouched for: a second one is a forger's.
"""

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.x509.oid import NameOID

from strongroom.attest import android_description, cert, der
from strongroom.attest.authorities import Roots
from strongroom.attest.verdict import Refusal, RefusedEvidence, Trail, malformed

KEY_DESCRIPTION = x509.ObjectIdentifier(android_description.OID)
PROVISIONING = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.1.30")  # of a remotely provisioned attestation key

FACTORY_LENGTH, REMOTE_LENGTH = 4, 5  # certificates, the root included
MOST_CERTIFICATES = 8  # that are looked at: more than either, so that a chain that is too long is told so

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----\r?\n([A-Za-z0-9+/=\r\n]+)-----END CERTIFICATE-----(?:\r?\n)*")


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain that leads to a pinned key. `factory`: its expiry was not enforced; `stand_in`: a test authority's."""

    leaf: x509.Certificate
    attestation: x509.Certificate
    serials: tuple[int, ...]
    factory: bool
    stand_in: bool


def load(evidence: bytes) -> tuple[x509.Certificate, ...]:
    """Return the certificates in evidence, DER or PEM one behind the other, leaf first.

    Raises:
        RefusedEvidence: MALFORMED.
    """
    parts = _pem(evidence) if evidence.startswith(b"-----") else der.split(evidence, MOST_CERTIFICATES, "chain")
    if not parts:
        raise malformed("chain: there is no certificate")
    return tuple(cert.load_der(part) for part in parts)


def verify(certificates: Sequence[x509.Certificate], roots: Roots, at: int, trail: Trail) -> Chain:
    """Verify a chain as it was loaded; whether a certificate is revoked is another question.

    Args:
        certificates: at least one; leaf first, root last.
        roots: whom to believe. What counts is their key and name: the same key stands in several certificates.
        at: Unix seconds.
        trail: takes the steps.

    Raises:
        RefusedEvidence: CHAIN or EXPIRED.
    """
    trail.step("trust anchor")
    anchor = _anchor(certificates[-1], roots.genuine) or _anchor(certificates[-1], roots.stand_ins)
    if anchor is None:
        raise RefusedEvidence(Refusal.CHAIN, "the chain does not end in a pinned key")
    trail.step("order of the chain")
    factory = _is_factory(certificates, trail)
    trail.step("certificate signatures")
    # the root's own too: it proves nothing, but no altered byte of it shall pass
    for place, (one, issuer) in enumerate(zip(certificates, [*certificates[1:-1], anchor, anchor], strict=True)):
        trail.must(cert.issued(one, issuer), Refusal.CHAIN, f"certificate {place} was not issued by the one above it")
    trail.step("certificate authorities")
    for place, one in enumerate(certificates):
        cert.understood(one)
        if place > int(factory):  # not the leaf; and genuine attestation keys of factories say that they are no CA
            cert.may_issue(one, place - 1, pinned=place == len(certificates) - 1)
    trail.step("certificate dates")
    for one in certificates[1:-1]:  # the device writes the leaf's; the root's key stands in certificates of many dates
        trail.must(one.not_valid_before_utc.timestamp() <= at, Refusal.EXPIRED, f"{_name(one)} is not valid yet")
        trail.must(factory or at <= one.not_valid_after_utc.timestamp(), Refusal.EXPIRED, f"{_name(one)} has expired")
    return Chain(
        leaf=certificates[0],
        attestation=certificates[1],
        serials=tuple(one.serial_number for one in certificates),
        factory=factory,
        stand_in=anchor not in roots.genuine,
    )


def _pem(evidence: bytes) -> list[bytes]:
    """Decode PEM in one spelling but for its line ends, so that no altered byte leaves the same certificates."""
    parts: list[bytes] = []
    at = 0
    while at < len(evidence):
        found = _PEM.match(evidence, at)
        if found is None or len(parts) == MOST_CERTIFICATES:
            raise malformed("chain: neither DER nor PEM certificates, or too many")
        text = b"".join(found[1].split())
        try:
            part = base64.b64decode(text, validate=True)
        except binascii.Error:
            raise malformed("chain: not base64") from None
        if base64.b64encode(part) != text:
            raise malformed("chain: not canonical base64")
        parts.append(part)
        at = found.end()
    return parts


def _anchor(last: x509.Certificate, roots: Sequence[x509.Certificate]) -> x509.Certificate | None:
    key = cert.spki(last)
    return next((root for root in roots if cert.spki(root) == key and root.subject == last.subject), None)


def _is_factory(certificates: Sequence[x509.Certificate], trail: Trail) -> bool:
    """Tell by the name of the intermediate, which a pinned key signed, how the attestation key was provisioned."""
    described = [place for place, one in enumerate(certificates) if _has(one, KEY_DESCRIPTION)]
    detail = f"key descriptions in certificates {described}, not in the leaf alone: the chain was extended"
    trail.must(described == [0], Refusal.CHAIN, detail)
    count = len(certificates)
    trail.must(count >= FACTORY_LENGTH, Refusal.CHAIN, f"{count} certificates are no chain of a device")
    above = certificates[-2].subject
    provisioned = [place for place, one in enumerate(certificates) if _has(one, PROVISIONING)]
    if above.get_attributes_for_oid(NameOID.SERIAL_NUMBER):
        trail.must(count == FACTORY_LENGTH, Refusal.CHAIN, f"a factory's chain of {count} certificates, not 4")
        trail.must(not provisioned, Refusal.CHAIN, "a factory's chain that was provisioned remotely")
        return True
    company = [one.value for one in above.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    trail.must(company == ["Google LLC"], Refusal.CHAIN, f"{_name(certificates[-2])} provisions no keys")
    trail.must(count == REMOTE_LENGTH, Refusal.CHAIN, f"a remotely provisioned chain of {count} certificates, not 5")
    trail.must(provisioned == [1], Refusal.CHAIN, "provisioning is not described in the attestation certificate")
    return False


def _has(one: x509.Certificate, oid: x509.ObjectIdentifier) -> bool:
    return any(extension.oid == oid for extension in one.extensions)


def _name(one: x509.Certificate) -> str:
    return f"certificate {one.serial_number:x}"
