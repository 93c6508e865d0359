"""Android chains of a test's own making, so that each rule can be broken alone. The kit's are only ever whole."""

import random
from dataclasses import dataclass, field, replace

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from strongroom.attest.authorities import Authorities, RevocationList, Roots
from strongroom.testing.android_description import KeyDescription
from strongroom.testing.authority import DAY, YEAR, Extension, Issuer, authority_extensions, fresh_key, named, usage

AT = 1_790_000_000
BINDING = bytes(range(32))
PACKAGE, SIGNER = "com.example.digits", bytes([0x5A]) * 32
SAID = KeyDescription(BINDING, ((PACKAGE, 7),), (SIGNER,))

DESCRIPTION = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.1.17")
PROVISIONING = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.1.30")
PROVISIONED: Extension = (x509.UnrecognizedExtension(PROVISIONING, bytes.fromhex("a10108")), False)
LEAF = named("Android Keystore Key")
LEAF_LIFE = (0, 1)  # what a device with no clock writes: it must not matter


def described(value: bytes) -> Extension:
    """Return the key description extension with these contents."""
    return x509.UnrecognizedExtension(DESCRIPTION, value), False


def factory_name(place: str = "TEE") -> x509.Name:
    """Return a name as a factory gives it."""
    pairs = ((NameOID.SERIAL_NUMBER, "90e8da3cadfc7820"), (NameOID.TITLE, place))
    return x509.Name([x509.NameAttribute(kind, value) for kind, value in pairs])


def remote_name(common: str, organisation: str = "Google LLC") -> x509.Name:
    """Return a name as Google's provisioning gives it."""
    return named(common, (NameOID.ORGANIZATION_NAME, organisation))


def der(certificates: list[x509.Certificate] | tuple[x509.Certificate, ...]) -> bytes:
    """Return evidence: one certificate behind the other."""
    return b"".join(one.public_bytes(Encoding.DER) for one in certificates)


@dataclass
class Google:
    """A root and what it signs, with a fixed seed."""

    seed: int = 1
    root: Issuer = field(init=False)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed).randbytes  # noqa: S311 - the same chains in every run
        self.key = fresh_key(ec.SECP256R1(), self.random)
        self.root = Issuer.root(named("Key Attestation CA1"), AT - YEAR, self.random)

    @property
    def point(self) -> bytes:
        """The attested key, as HPKE takes it."""
        return self.key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def trusted(self, **changes: object) -> Authorities:
        """Return authorities that believe this root, with an empty list of an hour ago."""
        known = Authorities(android=Roots(genuine=(self.root.certificate,)), revoked=RevocationList({}, AT - 3600, DAY))
        return replace(known, **changes)

    def remote(
        self,
        *,
        batch: tuple[int, int] = (AT - DAY, AT + DAY),
        place: str = "TEE",
        extensions: tuple[Extension, ...] = (*authority_extensions(), PROVISIONED),
        intermediate: x509.Name | None = None,
        path_length: int | None = 2,
    ) -> list[Issuer]:
        """Return a remotely provisioned attestation key and those above it."""
        life = (AT - YEAR, AT + YEAR)
        above = intermediate or remote_name("Droid CA2")
        google = self.root.below(above, life, authority_extensions(path_length), ec.SECP384R1())
        server = google.below(remote_name("Droid CA3"), life, authority_extensions())
        return [server.below(remote_name("44c157655f18c3e4", place), batch, extensions), server, google, self.root]

    def factory(
        self,
        *,
        life: tuple[int, int] = (AT - YEAR, AT + YEAR),
        place: str = "TEE",
        extensions: tuple[Extension, ...] = ((x509.BasicConstraints(ca=False, path_length=None), True),),
    ) -> list[Issuer]:
        """Return an attestation key from a factory, that says it is no CA as some real ones do, and those above it."""
        batch = self.root.below(factory_name(), life, authority_extensions())
        return [batch.below(factory_name(place), life, extensions), batch, self.root]

    def attest(
        self,
        said: KeyDescription | bytes = SAID,
        above: list[Issuer] | None = None,
        key: object = None,
    ) -> tuple[x509.Certificate, ...]:
        """Return the chain of a key of which `said` is said."""
        issuers = above or self.remote()
        value = said if isinstance(said, bytes) else said.encode()
        extensions = (usage("digital_signature"), described(value))
        leaf = issuers[0].issue(LEAF, key or self.key.public_key(), LEAF_LIFE, extensions, serial=1)
        return (leaf, *(one.certificate for one in issuers))
