"""X.509 certificates up to a pinned root: the chain is the one that was sent, in the order it was sent (RFC 5280).

Nothing is picked by name and nothing is fetched. What a platform demands of its own leaf is that platform's business.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtensionOID

from strongroom.attest.authorities import Roots
from strongroom.attest.verdict import Refusal, RefusedEvidence, malformed

MOST_CERTIFICATES: Final = 6
MOST_BYTES: Final = 16_384  # of one certificate; the largest genuine one seen has 1.6 KiB
LEAST_RSA: Final = 2048  # bits
HASHES: Final = (hashes.SHA256, hashes.SHA384, hashes.SHA512)  # SHA-1 never
# Kinds of keys that are read: RSA, RSASSA-PSS, elliptic curves, X25519, Ed25519, Ed448 and ML-DSA-44, -65 and -87. Only
# to read others may take seconds: OpenSSL tests whatever Diffie-Hellman group a stranger wrote into his certificate.
KEYS: Final = frozenset(
    {
        "1.2.840.113549.1.1.1", "1.2.840.113549.1.1.10", "1.2.840.10045.2.1", "1.3.101.110", "1.3.101.112",
        "1.3.101.113", "2.16.840.1.101.3.4.3.17", "2.16.840.1.101.3.4.3.18", "2.16.840.1.101.3.4.3.19",
    }
)  # fmt: skip
# What a path may mark critical: checked here, or by whoever knows the leaf (key usages, names). RFC 5280 section 4.2:
# a certificate with any other critical extension is refused.
UNDERSTOOD: Final = frozenset(
    {
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        ExtensionOID.CERTIFICATE_POLICIES,
    }
)


@dataclass(frozen=True, slots=True)
class Anchor:
    """The pinned root that a chain ends in, and whether only a stand-in vouches for it."""

    root: x509.Certificate
    stand_in: bool


def load_der(data: bytes) -> x509.Certificate:
    """Return the one certificate of `data`, its key and extensions read once so that no later look at them can fail.

    Raises:
        RefusedEvidence: malformed: not one X.509 v3 certificate in DER, or one whose key or extensions cannot be read;
            unsupported: its key is of a kind that nobody here judges.
    """
    if len(data) > MOST_BYTES:
        raise malformed(f"a certificate of {len(data)} bytes, at most {MOST_BYTES} are read")
    try:
        cert = x509.load_der_x509_certificate(data)
        same = cert.public_bytes(Encoding.DER) == data and cert.version is x509.Version.v3 and cert.serial_number > 0
        whole = data[-len(cert.signature) - 1] == 0  # the bits that the signature leaves unused, which nothing signs
        kind = cert.public_key_algorithm_oid.dotted_string
        if kind in KEYS:
            cert.public_key()
        list(cert.extensions)
        _ = (cert.subject, cert.issuer, cert.not_valid_before_utc, cert.not_valid_after_utc)
    except Exception as error:  # noqa: BLE001 - whatever a parser of strangers' bytes raises, the bytes are at fault
        raise malformed(f"a certificate cannot be read: {type(error).__name__}") from None
    if not (same and whole):
        raise malformed("a certificate that is not X.509 v3 in DER, with a positive serial number")
    if kind not in KEYS:
        raise RefusedEvidence(Refusal.UNSUPPORTED, f"a certificate with a key of kind {kind}"[:100])
    return cert


def chain(certs: Sequence[x509.Certificate], roots: Roots, at: int) -> Anchor:
    """Check certificates, the leaf first, each issued by the next and the last by a pinned root.

    The root itself may stand at the end. Signatures come before dates: a forged chain is called forged, old or not.

    Args:
        certs: as `load_der` returns them.
        roots: the genuine ones are tried first.
        at: Unix seconds for which every certificate must be valid, the root too.

    Raises:
        RefusedEvidence: chain or expired.
    """
    path = list(certs)
    if path and path[-1] in (*roots.genuine, *roots.stand_ins):
        path.pop()
    if not path or len(path) > MOST_CERTIFICATES:
        raise RefusedEvidence(Refusal.CHAIN, f"{len(path)} certificates below the root, not 1 to {MOST_CERTIFICATES}")
    anchor = _anchor(path[-1], roots)
    path.append(anchor.root)
    if _authority(path[0]) is not None:
        raise RefusedEvidence(Refusal.CHAIN, "the leaf is itself an authority")
    for below, (subject, issuer) in enumerate(pairwise(path)):
        if not issued(subject, issuer):
            raise RefusedEvidence(Refusal.CHAIN, f"{_name(subject)} was not issued by {_name(issuer)}")
        may_issue(issuer, below, pinned=issuer is anchor.root)
    for cert in path:
        understood(cert)
        _valid(cert, at)
    return anchor


def spki(cert: x509.Certificate) -> bytes:
    """Return the certificate's SubjectPublicKeyInfo in DER."""
    return cert.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def extension(cert: x509.Certificate, oid: x509.ObjectIdentifier) -> bytes | None:
    """Return the bytes of an extension that only its platform knows, None if there is none."""
    try:
        found = cert.extensions.get_extension_for_oid(oid).value
    except x509.ExtensionNotFound:
        return None
    return found.value if isinstance(found, x509.UnrecognizedExtension) else None


def issued(subject: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether the names fit and the issuer's key signed, with a hash and a key that are worth something."""
    key = issuer.public_key()
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < LEAST_RSA:
        return False
    try:
        digest = subject.signature_hash_algorithm
        subject.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return isinstance(digest, HASHES) or not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey)


def may_issue(issuer: x509.Certificate, below: int, *, pinned: bool) -> None:
    """Refuse an issuer that is no authority, may not sign certificates, or has more authorities below it than it may.

    Args:
        issuer: of the path.
        below: how many authorities stand between it and the leaf.
        pinned: a root, which need not say that its key signs certificates: it is believed because it is pinned.

    Raises:
        RefusedEvidence: chain.
    """
    limits = _authority(issuer)
    if limits is None:
        raise RefusedEvidence(Refusal.CHAIN, f"{_name(issuer)} is not an authority")
    if limits.path_length is not None and below > limits.path_length:
        raise RefusedEvidence(Refusal.CHAIN, f"{_name(issuer)} may not have {below} authorities below it")
    try:
        usage = issuer.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        if pinned:
            return
        raise RefusedEvidence(Refusal.CHAIN, f"{_name(issuer)} does not say what its key is for") from None
    if not usage.key_cert_sign:
        raise RefusedEvidence(Refusal.CHAIN, f"{_name(issuer)} may not sign certificates")


def understood(cert: x509.Certificate) -> None:
    """Refuse a certificate with a critical extension that nobody here understands.

    Raises:
        RefusedEvidence: chain.
    """
    for one in cert.extensions:
        if one.critical and one.oid not in UNDERSTOOD:
            raise RefusedEvidence(Refusal.CHAIN, f"{_name(cert)} has a critical extension {one.oid.dotted_string}")


def _anchor(last: x509.Certificate, roots: Roots) -> Anchor:
    for root in roots.genuine:
        if issued(last, root):
            return Anchor(root, stand_in=False)
    for root in roots.stand_ins:
        if issued(last, root):
            return Anchor(root, stand_in=True)
    issuer = ascii(last.issuer.rfc4514_string())[:100]
    if any(root.subject == last.issuer for root in (*roots.genuine, *roots.stand_ins)):
        raise RefusedEvidence(Refusal.CHAIN, f"{_name(last)} was not issued by the pinned root {issuer}")
    what = f"{_name(last)} was not issued by a pinned root: its issuer {issuer} was not sent along and is not pinned"
    raise RefusedEvidence(Refusal.CHAIN, what)


def _authority(cert: x509.Certificate) -> x509.BasicConstraints | None:
    """Return the basic constraints of an authority, None for anything else."""
    try:
        found = cert.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        return None
    return found if found.ca else None


def _valid(cert: x509.Certificate, at: int) -> None:
    now = datetime.fromtimestamp(at, UTC)
    if now < cert.not_valid_before_utc:
        raise RefusedEvidence(
            Refusal.EXPIRED, f"{_name(cert)} is valid from {cert.not_valid_before_utc:%Y-%m-%d %H:%M}"
        )
    if now > cert.not_valid_after_utc:
        raise RefusedEvidence(Refusal.EXPIRED, f"{_name(cert)} was valid to {cert.not_valid_after_utc:%Y-%m-%d %H:%M}")


def _name(cert: x509.Certificate) -> str:
    """Return a name for the audit log: it came from outside, so it is quoted, and cut short."""
    return ascii(cert.subject.rfc4514_string())[:100]
