"""Certificates of a fresh strongroom: an authority of its own, and two server keys (docs/spec/protocol.md section 3).

Devices pin the SPKI of both keys, so the second can take over when the first is lost. The authority signs these two
and its key is then forgotten: nobody can make a third.
"""

import datetime as dt
import hashlib
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LOOPBACK = ("localhost", "127.0.0.1", "::1")
YEARS = 10
_SKEW = dt.timedelta(hours=1)  # a device's clock may be behind


@dataclass(frozen=True, slots=True)
class ServerKey:
    """A P-256 key with its certificate. Does not print the key."""

    certificate: bytes  # PEM
    key: bytes = field(repr=False)  # PEM, PKCS #8, not encrypted
    spki: bytes  # SHA-256 of the SPKI, what devices pin


@dataclass(frozen=True, slots=True)
class Certificates:
    """What `issue` made."""

    authority: bytes  # PEM
    server: ServerKey
    backup: ServerKey


def issue(hosts: Sequence[str], *, now: int) -> Certificates:
    """Make an authority and two server keys for these host names and addresses.

    Args:
        hosts: lower-case names and addresses, loopback included or not.
        now: Unix seconds.
    """
    begin = dt.datetime.fromtimestamp(now, dt.UTC) - _SKEW
    end = begin + dt.timedelta(days=365 * YEARS)
    root_key = ec.generate_private_key(ec.SECP256R1())
    name = _name("strongroom authority")
    root = (
        _builder(name, name, root_key, begin, end)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(sign_certificates=True), critical=True)
        .sign(root_key, hashes.SHA256())
    )
    server, backup = (_server_key(hosts, root, root_key, begin, end) for _ in range(2))
    return Certificates(root.public_bytes(serialization.Encoding.PEM), server, backup)


def _server_key(
    hosts: Sequence[str],
    root: x509.Certificate,
    root_key: ec.EllipticCurvePrivateKey,
    begin: dt.datetime,
    end: dt.datetime,
) -> ServerKey:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _builder(_name("strongroom server"), root.subject, key, begin, end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(sign_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_alternative(host) for host in hosts]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False)
        .sign(root_key, hashes.SHA256())
    )
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return ServerKey(
        certificate=certificate.public_bytes(serialization.Encoding.PEM),
        key=key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
        spki=hashlib.sha256(key.public_key().public_bytes(serialization.Encoding.DER, form)).digest(),
    )


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    begin: dt.datetime,
    end: dt.datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
