"""The served certificate: TLS 1.3 only, a key nobody else may read, and a certificate that devices will accept."""

import datetime as dt
import hashlib
import ssl
import stat
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from strongroom.errors import Code, SetupError
from strongroom.server.office import Office

MAX_SIZE = 1_048_576  # bytes of a PEM file


@dataclass(frozen=True, slots=True)
class Tls:
    """The server's certificate chain and key, PEM files."""

    certificate: Path
    key: Path


def tls_context(tls: Tls) -> ssl.SSLContext:
    """Return a context that speaks TLS 1.3 and nothing older.

    Raises:
        SetupError: CONFIG; PERMISSIONS if others may read the key.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.options |= ssl.OP_NO_COMPRESSION
    try:
        others = stat.S_IMODE(tls.key.stat().st_mode) & 0o077
        context.load_cert_chain(tls.certificate, tls.key)
    except (OSError, ValueError):  # ssl.SSLError is an OSError
        raise SetupError(
            Code.CONFIG,
            "the TLS certificate or its key cannot be read, or they do not belong together",
            where=str(tls.certificate),
            next_step="see tls_certificate and tls_key in strongroom.toml",
        ) from None
    if others:
        step = f"run: chmod 600 {tls.key}"
        raise SetupError(Code.PERMISSIONS, "others may read this secret", where=str(tls.key), next_step=step)
    return context


def check_certificate(tls: Tls, office: Office) -> None:
    """See that devices will accept the certificate: pinned for the server's host, and not expired.

    Raises:
        SetupError: CONFIG.
    """
    try:
        with tls.certificate.open("rb") as file:
            leaf = x509.load_pem_x509_certificates(file.read(MAX_SIZE))[0]
        key = leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (OSError, ValueError):
        raise _wrong(tls, "the TLS certificate cannot be read", "see tls_certificate in strongroom.toml") from None
    host = urlsplit(office.public_url).hostname
    pins = {digest for pin in office.trust.pins if pin.host == host for digest in pin.spki}
    if hashlib.sha256(key).digest() not in pins:
        step = "serve the certificate of a pinned key, or have the owners sign a trust.json that pins this one"
        raise _wrong(tls, f"trust.json does not pin this certificate's key for {host}: every device would refuse", step)
    if leaf.not_valid_after_utc <= dt.datetime.fromtimestamp(office.now(), dt.UTC):
        step = "have a new certificate made for the same key"
        raise _wrong(tls, f"the TLS certificate expired on {leaf.not_valid_after_utc:%Y-%m-%d}", step)


def _wrong(tls: Tls, what: str, next_step: str) -> SetupError:
    return SetupError(Code.CONFIG, what, where=str(tls.certificate), next_step=next_step)
