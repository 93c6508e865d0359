"""Whom a verifier believes: pinned roots, keys and a revocation list, all given to it by its caller."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec


@dataclass(frozen=True, slots=True)
class RevocationList:
    """Google's list of revoked attestation certificates, as it was fetched.

    Attributes:
        serials: lower-case hexadecimal serial number to status (REVOKED or SUSPENDED).
        fetched: Unix seconds.
        max_age: seconds after which nobody is believed any more.
    """

    serials: Mapping[str, str]
    fetched: int
    max_age: int


@dataclass(frozen=True, slots=True)
class PlayKeys:
    """An app's own keys for classic Play Integrity tokens, from the Play Console."""

    decryption: bytes = field(repr=False)  # AES-256
    verification: ec.EllipticCurvePublicKey


@dataclass(frozen=True, slots=True)
class Roots:
    """Certificates of one kind of authority; `stand_ins` are test authorities, whose claims say so."""

    genuine: tuple[x509.Certificate, ...] = ()
    stand_ins: tuple[x509.Certificate, ...] = ()


@dataclass(frozen=True, slots=True)
class Authorities:
    """Everything a verifier believes in.

    `roots.production` makes those of Apple and Google; a TPM's come from the operator, and stand-ins from a test kit.
    """

    apple: Roots = Roots()
    apple_receipts: Roots = Roots()
    android: Roots = Roots()
    tpm: Roots = Roots()
    revoked: RevocationList | None = None  # None: Android chains are refused, since nobody can say
    play: Mapping[str, PlayKeys] = field(default_factory=dict)  # package name to keys
    play_stand_ins: frozenset[str] = frozenset()  # packages whose keys are a test kit's
