"""A stand-in for Android's attestation: a root, the authorities of a factory and of remote provisioning, and keys.

Chains have the order, the names and the extensions that phones send (Android, "Key and ID attestation"): a leaf for
the key, the attestation key that signed it, and above it either a factory's or Google's provisioning authorities.
"""

import secrets
from dataclasses import dataclass, field, replace

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from strongroom.attest.authorities import Authorities, RevocationList, Roots
from strongroom.testing.android_description import AGREE_KEY, STRONGBOX, KeyDescription
from strongroom.testing.authority import (
    DAY,
    YEAR,
    Issuer,
    Random,
    authority_extensions,
    fresh_key,
    named,
    usage,
    warn_of,
)

BATCH_LIFE = 12 * DAY  # of a remotely provisioned certificate
LIST_AGE = 7 * DAY  # after which the kit's revocation list is not believed any more
_LEAF = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Android Keystore Key")])
_DESCRIPTION = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.1.17")
_PROVISIONING = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.1.30")


@dataclass(frozen=True, slots=True)
class AttestedKey:
    """A key and what is said of it.

    Attributes:
        certificates: leaf first, root last.
        private_key: which on a phone nobody ever has.
    """

    certificates: tuple[x509.Certificate, ...]
    private_key: ec.EllipticCurvePrivateKey = field(repr=False)

    @property
    def evidence(self) -> bytes:
        """The certificates in DER, one behind the other: what is sent."""
        return b"".join(one.public_bytes(Encoding.DER) for one in self.certificates)

    @property
    def public_key(self) -> bytes:
        """The point, as HPKE's DHKEM(P-256) takes it."""
        return self.private_key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


class TestAndroid:
    """Google and a phone's maker, as a test has them.

    Args:
        at: Unix seconds at which it is made; its authorities are valid from a day before.
        random: what keys and serial numbers are drawn from. With the same bytes and times it mints the same evidence.
    """

    __test__ = False  # pytest takes every class of this name for a test

    def __init__(self, at: int, random: Random = secrets.token_bytes) -> None:
        warn_of("TestAndroid")
        self._at, self._random = at, random
        self._root = Issuer.root(named("Test Key Attestation CA1"), at, random)
        long = (at - DAY, at + 10 * YEAR)
        self._google = self._root.below(_google("Droid CA2"), long, authority_extensions(2), ec.SECP384R1())

    @property
    def roots(self) -> Roots:
        """For `Authorities.android`."""
        return Roots(stand_ins=(self._root.certificate,))

    def among(self, authorities: Authorities) -> Authorities:
        """Return the authorities with this one among their stand-ins, and with an empty revocation list if none."""
        return replace(
            authorities,
            android=replace(authorities.android, stand_ins=(*authorities.android.stand_ins, self._root.certificate)),
            revoked=authorities.revoked or self.revocation_list(),
        )

    def revocation_list(
        self, *revoked: x509.Certificate, status: str = "REVOKED", at: int | None = None
    ) -> RevocationList:
        """Return a list that says of these certificates that they are revoked, or SUSPENDED.

        Args:
            revoked: certificates of any place in a chain.
            status: REVOKED or SUSPENDED.
            at: Unix seconds of its fetching; when the kit was made, if none.
        """
        serials = {f"{one.serial_number:x}": status for one in revoked}
        return RevocationList(serials, self._at if at is None else at, LIST_AGE)

    def attest(
        self,
        description: KeyDescription,
        at: int,
        *,
        factory: bool = False,
        key: ec.EllipticCurvePrivateKey | None = None,
    ) -> AttestedKey:
        """Return a key and the chain that says what `description` says.

        Args:
            description: of the key and the phone.
            at: Unix seconds; a provisioned chain is valid for twelve days around it.
            factory: a chain from the factory: its certificates outlive the phone's support, and expiry is not enforced.
            key: P-256; a fresh one if there is none.
        """
        key = key or fresh_key(ec.SECP256R1(), self._random)
        signer, *above = self._factory(at, description) if factory else self._provisioned(at, description)
        purpose = "key_agreement" if AGREE_KEY in description.purposes else "digital_signature"
        extensions = (usage(purpose), (x509.UnrecognizedExtension(_DESCRIPTION, description.encode()), False))
        # the phone's own software sets these dates, and real ones look like this
        life = (0, 2_461_449_600)
        leaf = signer.issue(_LEAF, key.public_key(), life, extensions, serial=1)
        return AttestedKey((leaf, *(one.certificate for one in (signer, *above))), key)

    def _provisioned(self, at: int, description: KeyDescription) -> list[Issuer]:
        life = (at - BATCH_LIFE // 2, at + BATCH_LIFE // 2)
        server = self._google.below(_google("Droid CA3"), life, _CERT_SIGN)
        place = "StrongBox" if description.attestation_level == STRONGBOX else "TEE"
        info = (x509.UnrecognizedExtension(_PROVISIONING, cbor2.dumps({1: 8})), False)
        name = named(self._random(16).hex(), (NameOID.ORGANIZATION_NAME, place))
        return [server.below(name, life, (*_CERT_SIGN, info)), server, self._google, self._root]

    def _factory(self, at: int, description: KeyDescription) -> list[Issuer]:
        place = "StrongBox" if description.attestation_level == STRONGBOX else "TEE"
        life = (at - YEAR, at + 9 * YEAR)
        batch = self._root.below(self._serial_name(place), life, _CERT_SIGN)
        return [batch.below(self._serial_name(place), life, _CERT_SIGN), batch, self._root]

    def _serial_name(self, place: str) -> x509.Name:
        pairs = ((NameOID.SERIAL_NUMBER, self._random(8).hex()), (NameOID.TITLE, place))
        return x509.Name([x509.NameAttribute(kind, value) for kind, value in pairs])


def _google(common: str) -> x509.Name:
    """Return a provisioning authority's name as it is: it tells such chains from those of a factory."""
    pairs = ((NameOID.ORGANIZATION_NAME, "Google LLC"), (NameOID.COMMON_NAME, common))
    return x509.Name([x509.NameAttribute(kind, value) for kind, value in pairs])


_CERT_SIGN = ((x509.BasicConstraints(ca=True, path_length=None), True), usage("key_cert_sign"))
