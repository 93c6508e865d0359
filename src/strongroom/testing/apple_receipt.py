"""A receipt as Apple puts it into an attestation: fields, signed in a PKCS #7 container (RFC 5652)."""

import base64
import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime

from cryptography.hazmat.primitives.serialization import Encoding

from strongroom.testing import der
from strongroom.testing.authority import DAY, Issuer, signed

EXPIRY = 90 * DAY  # of the receipts seen
_SHA256, _ECDSA = "2.16.840.1.101.3.4.2.1", "1.2.840.10045.4.3.2"
_DATA, _SIGNED_DATA = "1.2.840.113549.1.7.1", "1.2.840.113549.1.7.2"
_PIECE = 1000  # bytes: Apple cuts the content into octet strings of this size


def receipt(
    signers: tuple[Issuer, Issuer, Issuer],
    app_id: str,
    certificate: bytes,
    client_data_hash: bytes,
    environment: str,
    at: int,
    risk: int | None = None,
) -> bytes:
    """Return a receipt.

    Args:
        signers: who signs it, and the authorities above, root last.
        app_id: "TEAMID.bundle".
        certificate: the attested key's, DER.
        client_data_hash: as in the attestation.
        environment: "production" or "development".
        at: Unix seconds of its making.
        risk: Apple's risk metric; with one it is a receipt of Apple's server, without one that of an attestation.
    """
    # Apple writes "sandbox" where its other words are "development"
    where = "production" if environment == "production" else "sandbox"
    fields = [
        (2, app_id.encode()),
        (3, certificate),
        (4, client_data_hash),
        (5, base64.b64encode(hashlib.sha512(certificate).digest())),  # a token that only Apple's server reads
        (6, b"ATTEST" if risk is None else b"RECEIPT"),
        (7, where.encode()),
        (12, _moment(at)),
        *([(17, str(risk).encode()), (19, _moment(at + DAY))] if risk is not None else []),
        (21, _moment(at + EXPIRY)),
    ]
    return _signed_data(signers, der.set_of(*(_field(number, value) for number, value in fields)))


def _field(number: int, value: bytes) -> bytes:
    return der.sequence(der.integer(number), der.integer(1), der.octets(value))


def _signed_data(signers: tuple[Issuer, Issuer, Issuer], content: bytes) -> bytes:
    """Return SignedData of indefinite length, the certificates inside, without signed attributes."""
    own = signers[0].certificate
    sha256 = der.sequence(der.oid(_SHA256), der.tlv(der.NULL, b""))
    info = der.sequence(
        der.integer(1),
        der.sequence(own.issuer.public_bytes(), der.integer(own.serial_number)),
        sha256,
        der.sequence(der.oid(_ECDSA)),
        der.octets(signed(signers[0].key, content)),
    )
    inner = der.indefinite(
        b"\x30",
        der.integer(1),
        der.set_of(sha256),
        der.indefinite(b"\x30", der.oid(_DATA), der.indefinite(b"\xa0", der.indefinite(b"\x24", *_pieces(content)))),
        der.indefinite(b"\xa0", *(one.certificate.public_bytes(Encoding.DER) for one in signers)),
        der.set_of(info),
    )
    return der.indefinite(b"\x30", der.oid(_SIGNED_DATA), der.indefinite(b"\xa0", inner))


def _pieces(content: bytes) -> Iterable[bytes]:
    return (der.octets(content[start : start + _PIECE]) for start in range(0, len(content), _PIECE))


def _moment(at: int) -> bytes:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z").encode()
