"""A certification authority that is made on the spot, and the warning of everything that speaks in its name."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

DAY = 86_400
YEAR = 365 * DAY
ORGANISATION = "strongroom testing, not a device"

Random = Callable[[int], bytes]
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey
Hash = hashes.SHA256 | hashes.SHA384
Extension = tuple[x509.ExtensionType, bool]  # and whether it is critical

_ORDERS = {
    "secp256r1": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "secp384r1": 2**384 - 0x389CB27E0BC8D220A7E5F24DB74F58851313E695333AD68D,
}  # of the groups (SP 800-186 section 3.2.1)


class StandInWarning(UserWarning):
    """Said by everything that vouches for a device which does not exist."""


def warn_of(name: str) -> None:
    """Say that the caller's caller has made a stand-in."""
    text = (
        f"{name} vouches for devices that do not exist. Use it in tests only: whoever believes its roots gives models "
        "to anybody."
    )
    warnings.warn(text, StandInWarning, stacklevel=3)


def named(common: str, *others: tuple[x509.ObjectIdentifier, str]) -> x509.Name:
    """Return a name of a test authority: nobody who looks at one takes it for a manufacturer's."""
    pairs = ((NameOID.COMMON_NAME, common), *(others or ((NameOID.ORGANIZATION_NAME, ORGANISATION),)))
    return x509.Name([x509.NameAttribute(kind, value) for kind, value in pairs])


def fresh_key(curve: ec.EllipticCurve, random: Random) -> ec.EllipticCurvePrivateKey:
    """Make a key from randomness that is given, and from nothing else (FIPS 186-5 A.2.1)."""
    order = _ORDERS[curve.name]
    drawn = int.from_bytes(random((curve.key_size + 64) // 8), "big")
    return ec.derive_private_key(drawn % (order - 1) + 1, curve)


def signed(key: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
    """Sign with SHA-256, so that the same key and bytes give the same signature (RFC 6979)."""
    return key.sign(data, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))


def usage(*names: str) -> Extension:
    """Return a critical key usage extension with these bits."""
    every = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{name: name in names for name in every}), True


def authority_extensions(path_length: int | None = None) -> tuple[Extension, ...]:
    """Return what makes a certificate one of an authority."""
    return (x509.BasicConstraints(ca=True, path_length=path_length), True), usage("key_cert_sign", "crl_sign")


@dataclass(frozen=True, slots=True)
class Issuer:
    """A key that signs certificates, and its own."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)
    random: Random = field(repr=False)

    @classmethod
    def root(cls, name: x509.Name, at: int, random: Random) -> Self:
        """Make a P-384 root that is valid from a day before `at` for thirty years."""
        key = fresh_key(ec.SECP384R1(), random)
        life = (at - DAY, at + 30 * YEAR)
        made = _certificate(
            name, key.public_key(), name, key, life, authority_extensions(), _serial(random), algorithm=None
        )
        return cls(made, key, random)

    def below(
        self,
        name: x509.Name,
        life: tuple[int, int],
        extensions: tuple[Extension, ...] = authority_extensions(),
        curve: ec.EllipticCurve | None = None,
    ) -> Self:
        """Make an authority under this one."""
        key = fresh_key(curve or ec.SECP256R1(), self.random)
        return type(self)(self.issue(name, key.public_key(), life, extensions), key, self.random)

    def issue(
        self,
        name: x509.Name,
        key: PublicKey,
        life: tuple[int, int],
        extensions: tuple[Extension, ...],
        serial: int | None = None,
        algorithm: Hash | None = None,
    ) -> x509.Certificate:
        """Issue a certificate.

        Args:
            name: the subject's.
            key: the subject's.
            life: first and last second, Unix.
            extensions: all that it carries.
            serial: drawn if there is none.
            algorithm: of the signature; by the size of the issuer's key if there is none.
        """
        number = _serial(self.random) if serial is None else serial
        return _certificate(
            name, key, self.certificate.subject, self.key, life, extensions, number, algorithm=algorithm
        )


def _certificate(
    name: x509.Name,
    key: PublicKey,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    life: tuple[int, int],
    extensions: tuple[Extension, ...],
    serial: int,
    *,
    algorithm: Hash | None,
) -> x509.Certificate:
    first, last = (datetime.fromtimestamp(max(0, moment), UTC) for moment in life)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(issuer).public_key(key).serial_number(serial)
    builder = builder.not_valid_before(first).not_valid_after(last)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    usual: Hash = hashes.SHA384() if issuer_key.key_size == 384 else hashes.SHA256()
    return builder.sign(issuer_key, algorithm or usual, ecdsa_deterministic=True)


def _serial(random: Random) -> int:
    return int.from_bytes(random(16), "big") >> 1 | 1  # positive, 127 bits, never 0
