"""A stand-in for Apple's App Attest: an authority, and phones whose keys it vouches for.

Attestations and assertions have the shape of Apple's own, byte by byte where it is known (Apple, "Validating apps that
connect to your server"): with and without the map that iOS 27 puts behind the authenticator data. Apple's extension
100.8.6 is left out, since what it says is not published.
"""

import hashlib
import secrets
from dataclasses import dataclass, field, replace

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from strongroom.attest.authorities import Authorities, Roots
from strongroom.testing import der
from strongroom.testing.apple_receipt import receipt
from strongroom.testing.authority import (
    DAY,
    ORGANISATION,
    YEAR,
    Issuer,
    Random,
    authority_extensions,
    fresh_key,
    named,
    signed,
    usage,
    warn_of,
)

PRODUCTION, DEVELOPMENT = "production", "development"
LEAF_LIFE = 3 * DAY  # of Apple's own samples
FLAGS = 0x40  # attested credential data; an assertion says so too, though it has none
_AAGUID = {PRODUCTION: b"appattest" + bytes(7), DEVELOPMENT: b"appattestdevelop"}
_APPLE = "1.2.840.113635.100."
_NONCE, _KEY_FACTS, _SYSTEM_FACTS = (_APPLE + end for end in ("8.2", "8.5", "8.7"))
_EKU_27, _RECEIPT_SIGNER = _APPLE + "4.24", _APPLE + "12.15"


class TestApple:
    """Apple, as a test has it: a root, an intermediate, and another root for receipts.

    Args:
        at: Unix seconds at which it is made; its authorities are valid from a day before.
        random: what keys and serial numbers are drawn from. With the same bytes and times it mints the same evidence.
    """

    __test__ = False  # pytest takes every class of this name for a test

    def __init__(self, at: int, random: Random = secrets.token_bytes) -> None:
        warn_of("TestApple")
        self._random = random
        self._root = Issuer.root(named("Test App Attestation Root CA"), at, random)
        self._issuer = self._root.below(
            named("Test App Attestation CA 1"), (at - DAY, at + 10 * YEAR), authority_extensions(0), ec.SECP384R1()
        )
        self._receipt_root = Issuer.root(named("Test Root CA - G3"), at, random)
        middle = self._receipt_root.below(named("Test Application Integration CA"), (at - DAY, at + 10 * YEAR))
        plain: tuple[tuple[x509.ExtensionType, bool], ...] = (
            (x509.BasicConstraints(ca=False, path_length=None), True),
            usage("digital_signature"),
            _unknown(_RECEIPT_SIGNER, der.tlv(der.NULL, b"")),
        )
        signer = middle.below(named("Test Application Attestation Fraud Receipt Signing"), (at - DAY, at + YEAR), plain)
        self._receipts = (signer, middle, self._receipt_root)

    @property
    def roots(self) -> Roots:
        """For `Authorities.apple`."""
        return Roots(stand_ins=(self._root.certificate,))

    @property
    def receipt_roots(self) -> Roots:
        """For `Authorities.apple_receipts`."""
        return Roots(stand_ins=(self._receipt_root.certificate,))

    def among(self, authorities: Authorities) -> Authorities:
        """Return the authorities with this one among their stand-ins."""
        apple, receipts = authorities.apple, authorities.apple_receipts
        return replace(
            authorities,
            apple=replace(apple, stand_ins=(*apple.stand_ins, self._root.certificate)),
            apple_receipts=replace(receipts, stand_ins=(*receipts.stand_ins, self._receipt_root.certificate)),
        )

    def phone(
        self,
        app_id: str,
        *,
        environment: str = PRODUCTION,
        bundle_version: str | None = None,
        category: int | None = None,
    ) -> "TestPhone":
        """Return an installation of an app on a phone, with a new key.

        Args:
            app_id: "TEAMID.bundle".
            environment: "production" or "development".
            bundle_version: as iOS 27 tells it; None on older systems.
            category: Apple's validation category, as iOS 27 tells it: 2 TestFlight, 4 App Store, and others.
        """
        key = fresh_key(ec.SECP256R1(), self._random)
        return TestPhone(app_id, environment, bundle_version, category, key, self._issuer, self._receipts)


@dataclass(slots=True)
class TestPhone:
    """One App Attest key. Its attributes may be changed between two pieces of evidence, as an update changes them.

    Attributes:
        app_id: "TEAMID.bundle".
        environment: "production" or "development".
        bundle_version: None if the system tells none.
        category: None if the system tells none.
        counter: of the last assertion.
    """

    __test__ = False

    app_id: str
    environment: str
    bundle_version: str | None
    category: int | None
    _key: ec.EllipticCurvePrivateKey = field(repr=False)
    _issuer: Issuer = field(repr=False)
    _receipts: tuple[Issuer, Issuer, Issuer] = field(repr=False)
    counter: int = 0

    @property
    def key_id(self) -> bytes:
        """SHA-256 of the public point."""
        return hashlib.sha256(self._point).digest()

    @property
    def spki(self) -> bytes:
        """The public key, DER."""
        return self._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def attest(self, binding: bytes, at: int) -> bytes:
        """Return the evidence of an enrolment: what `DCAppAttestService.attestKey` gives an app.

        Args:
            binding: the client data hash.
            at: Unix seconds; the key's certificate is valid for three days around it.
        """
        credential = _AAGUID[self.environment] + len(self.key_id).to_bytes(2, "big") + self.key_id + self._cose()
        data = self._head(0) + credential + self._extensions()
        leaf = self._leaf(hashlib.sha256(data + binding).digest(), at)
        chain = [leaf.public_bytes(Encoding.DER), self._issuer.certificate.public_bytes(Encoding.DER)]
        slip = receipt(self._receipts, self.app_id, chain[0], binding, self.environment, at)
        return cbor2.dumps({"fmt": "apple-appattest", "attStmt": {"x5c": chain, "receipt": slip}, "authData": data})

    def sign(self, binding: bytes, counter: int | None = None) -> bytes:
        """Return the evidence of a request: what `DCAppAttestService.generateAssertion` gives an app.

        Args:
            binding: the client data hash.
            counter: one more than the last if there is none; a replay gives an old one.
        """
        self.counter = self.counter + 1 if counter is None else counter
        data = self._head(self.counter) + self._extensions()
        # Apple signs the digest as a message, so it is hashed once more
        signature = signed(self._key, hashlib.sha256(data + binding).digest())
        return cbor2.dumps({"signature": signature, "authenticatorData": data})

    @property
    def _point(self) -> bytes:
        return self._key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def _head(self, counter: int) -> bytes:
        return hashlib.sha256(self.app_id.encode()).digest() + bytes([FLAGS]) + counter.to_bytes(4, "big")

    def _cose(self) -> bytes:
        return cbor2.dumps({1: 2, 3: -7, -1: 1, -2: self._point[1:33], -3: self._point[33:]})

    def _extensions(self) -> bytes:
        """Return iOS 27's map, which no flag announces; nothing on older systems."""
        told: dict[str, str | bytes] = {}
        if self.bundle_version is not None:
            told["apple_bundle_version_01"] = self.bundle_version
        if self.category is not None:
            told["apple_validation_category_01"] = self.category.to_bytes(4, "little")
        return cbor2.dumps(told) if told else b""

    def _leaf(self, nonce: bytes, at: int) -> x509.Certificate:
        new = bool(self._extensions())
        name = named(
            self.key_id.hex(),
            (NameOID.ORGANIZATIONAL_UNIT_NAME, "AAA Certification"),
            (NameOID.ORGANIZATION_NAME, ORGANISATION),
        )
        extensions: list[tuple[x509.ExtensionType, bool]] = [
            (x509.BasicConstraints(ca=False, path_length=None), True),
            usage("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
            _unknown(_KEY_FACTS, self._key_facts()),
            _unknown(_SYSTEM_FACTS, _system_facts("27.0" if new else "18.0")),
            _unknown(_NONCE, der.sequence(der.explicit(1, der.octets(nonce)))),
        ]
        if new:
            extensions.append((x509.ExtendedKeyUsage([x509.ObjectIdentifier(_EKU_27)]), False))
        life = (at - LEAF_LIFE // 3, at + LEAF_LIFE - LEAF_LIFE // 3)
        return self._issuer.issue(name, self._key.public_key(), life, tuple(extensions), algorithm=hashes.SHA256())

    def _key_facts(self) -> bytes:
        """Return extension 8.5 as devices fill it: numbers whose meaning is not published, and the app's name."""
        first = [(4, 10), (1200, 1), (1201, 0), (1202, 1), (1203, 1)]
        last = [(1206, 5), (1207, 0), (1209, 0), (1210, 0), (1211, 0)]
        return der.sequence(
            *(der.explicit(tag, der.integer(value)) for tag, value in first),
            der.explicit(1204, der.octets(self.app_id.encode())),
            der.explicit(5, der.octets(b"sks ")),
            *(der.explicit(tag, der.integer(value)) for tag, value in last),
        )


def _system_facts(version: str) -> bytes:
    shown = der.octets(version.encode())
    return der.sequence(
        der.explicit(1400, shown),
        der.explicit(1104, der.integer(0xFFFFFFFF)),
        der.explicit(1403, der.octets(b"22A244b")),
        der.explicit(1405, shown),
        der.explicit(1406, der.integer(0)),
    )


def _unknown(oid: str, value: bytes) -> tuple[x509.ExtensionType, bool]:
    return x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value), False
