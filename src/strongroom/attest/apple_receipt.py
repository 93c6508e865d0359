"""App Attest receipts: what Apple's server says of an attested key, signed under Apple Root CA - G3 (CMS, RFC 5652).

No grant depends on one. A genuine receipt can be sent to Apple's server, which answers with another one that holds a
risk metric: how many keys the device attested lately.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from strongroom.attest import ber, cert
from strongroom.attest.authorities import Roots
from strongroom.attest.verdict import Refusal, RefusedEvidence, malformed

MOST_BYTES: Final = 32_768  # genuine ones have 4 KiB
SKEW: Final = 300  # seconds that Apple's clock may be ahead of ours
SIGNER: Final = x509.ObjectIdentifier("1.2.840.113635.100.12.15")  # in the certificate of who signs receipts
SIGNED_DATA: Final = bytes.fromhex("2a864886f70d010702")
DATA: Final = bytes.fromhex("2a864886f70d010701")
VERSION: Final = b"\x01"
WITH_SHA256: Final = bytes.fromhex("300d06096086480165030402010500")
WITH_ECDSA: Final = bytes.fromhex("06082a8648ce3d040302")  # and SHA-256
CONTENT: Final = b"\xa0"  # [0], constructed
# Numbers of the payload's fields. 5 is a token for Apple's server and stays inside.
APP, CERTIFICATE, CLIENT_HASH, TYPE, ENVIRONMENT, CREATED, RISK, NOT_BEFORE, EXPIRES = 2, 3, 4, 6, 7, 12, 17, 19, 21


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receipt that Apple signed.

    Attributes:
        app_id: "TEAMID.bundle".
        key: SPKI of the attested key, DER.
        client_hash: of the attestation; in a later receipt Apple's own rendering of it.
        type: "ATTEST", or "RECEIPT" for one that Apple's server gave in exchange.
        environment: "sandbox", "production", or "" where Apple leaves it out.
        created: Unix seconds.
        not_before: Unix seconds before which Apple's server exchanges it for no other; None in an attestation's.
        expires: Unix seconds.
        risk: how many keys the device attested lately; None in an attestation's.
    """

    app_id: str
    key: bytes
    client_hash: bytes
    type: str
    environment: str
    created: int
    not_before: int | None
    expires: int
    risk: int | None


def verify(data: bytes, roots: Roots, at: int) -> Receipt:
    """Return what a receipt says, once its signature, its signer's chain and its dates are right.

    Raises:
        RefusedEvidence: malformed, unsupported, chain, expired, or key if the signer's is no elliptic-curve key.
    """
    if len(data) > MOST_BYTES:
        raise malformed(f"a receipt of {len(data)} bytes, at most {MOST_BYTES} are read")
    payload, certs, signer = _parts(data)
    late: RefusedEvidence | None = None
    try:
        cert.chain(certs, roots, at)
    except RefusedEvidence as error:
        if error.code != Refusal.EXPIRED:
            raise
        late = error  # said last: an altered receipt is called altered, old or not
    if cert.extension(certs[0], SIGNER) is None:
        raise RefusedEvidence(Refusal.CHAIN, "the receipt's signer may not sign receipts")
    key = certs[0].public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise RefusedEvidence(Refusal.KEY, "the receipt's signer has no elliptic-curve key")
    try:
        key.verify(_signature(signer, certs[0]), payload, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise RefusedEvidence(Refusal.CHAIN, "the receipt's signature is wrong") from None
    receipt = _receipt(payload)
    if late is not None:
        raise late
    if receipt.created > at + SKEW or at > receipt.expires:
        raise RefusedEvidence(Refusal.EXPIRED, f"the receipt is good from {receipt.created} to {receipt.expires}")
    return receipt


def _parts(data: bytes) -> tuple[bytes, list[x509.Certificate], tuple[ber.Element, ...]]:
    """Return payload, certificates and the one SignerInfo (RFC 5652 sections 3 and 5.1)."""
    outer = ber.each(ber.only(data, ber.SEQUENCE))
    _shape(outer, ber.OID, CONTENT)
    inner = ber.each(ber.only(outer[1].body, ber.SEQUENCE))
    _shape(inner, ber.INTEGER, ber.SET, ber.SEQUENCE, CONTENT, ber.SET)
    content = ber.each(inner[2].body)
    _shape(content, ber.OID, CONTENT)
    if (outer[0].body, inner[0].body, inner[1].body, content[0].body) != (SIGNED_DATA, VERSION, WITH_SHA256, DATA):
        raise malformed("the receipt is not signed data of version 1 with SHA-256")
    (payload, *more) = ber.each(content[1].body) or (None,)
    if payload is None or more:
        raise malformed("the receipt has not one payload")
    certs = ber.each(inner[3].body)
    if not 0 < len(certs) <= cert.MOST_CERTIFICATES:
        raise malformed(f"the receipt has {len(certs)} certificates")
    position, read = 0, []
    for one in certs:
        read.append(cert.load_der(inner[3].body[position : position + one.size]))
        position += one.size
    return ber.octets(payload), read, ber.each(ber.only(inner[4].body, ber.SEQUENCE))


def _signature(signer: tuple[ber.Element, ...], signed_by: x509.Certificate) -> bytes:
    """Return the signature of a SignerInfo without attributes, which is how Apple signs (RFC 5652 section 5.3)."""
    _shape(signer, ber.INTEGER, ber.SEQUENCE, ber.SEQUENCE, ber.SEQUENCE, ber.OCTETS)
    issuer = signed_by.issuer.public_bytes()
    named = signer[1].body
    serial = ber.only(named[len(issuer) :], ber.INTEGER)
    if not named.startswith(issuer) or int.from_bytes(serial, "big") != signed_by.serial_number:
        raise malformed("the receipt's first certificate is not its signer's")
    if (signer[0].body, signer[2].body, signer[3].body) != (VERSION, WITH_SHA256[2:], WITH_ECDSA):
        raise RefusedEvidence(Refusal.UNSUPPORTED, "the receipt is not signed with ECDSA and SHA-256")
    return signer[4].body


def _receipt(payload: bytes) -> Receipt:
    fields: dict[int, bytes] = {}
    for entry in ber.each(ber.only(payload, ber.SET)):
        parts = ber.each(entry.body) if entry.tag == ber.SEQUENCE else ()
        _shape(parts, ber.INTEGER, ber.INTEGER, ber.OCTETS)
        number = int.from_bytes(parts[0].body, "big")
        if number in fields:
            raise malformed(f"the receipt has field {number} twice")
        fields[number] = parts[2].body
    if not fields.keys() >= {APP, CERTIFICATE, CLIENT_HASH, TYPE, CREATED, EXPIRES}:
        raise malformed("the receipt lacks a field")
    risk = _text(fields, RISK)
    if risk and not (risk.isdecimal() and len(risk) < 10):
        raise malformed("the receipt's risk metric is not a number")
    return Receipt(
        app_id=_text(fields, APP),
        key=cert.spki(cert.load_der(fields[CERTIFICATE])),
        client_hash=fields[CLIENT_HASH],
        type=_text(fields, TYPE),
        environment=_text(fields, ENVIRONMENT),
        created=_time(fields, CREATED),
        not_before=_time(fields, NOT_BEFORE) if NOT_BEFORE in fields else None,
        expires=_time(fields, EXPIRES),
        risk=int(risk) if risk else None,
    )


def _shape(elements: tuple[ber.Element, ...], *tags: bytes) -> None:
    if tuple(element.tag for element in elements) != tags:
        raise malformed("the receipt is not laid out as Apple's are")


def _text(fields: Mapping[int, bytes], number: int) -> str:
    try:
        return fields.get(number, b"").decode("ascii")
    except UnicodeDecodeError:
        raise malformed(f"the receipt's field {number} is not text") from None


def _time(fields: Mapping[int, bytes], number: int) -> int:
    """Return Unix seconds of a time such as 2020-12-19T12:11:04.739Z."""
    text = _text(fields, number)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise malformed(f"the receipt's field {number} is not a time") from None
    if moment.tzinfo is None:
        raise malformed(f"the receipt's field {number} names no time zone")
    return int(moment.timestamp())
