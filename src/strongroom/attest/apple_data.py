"""Apple's authenticator data: what a device signs, read by length and never by its flags.

Apple sets the flags of WebAuthn without their meaning: an assertion says that a credential follows and none does, and
iOS 27 appends a map of extensions, to attestations and assertions alike, without saying so. So what is there decides.
"""

from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from strongroom.attest import cborx
from strongroom.attest.verdict import Refusal, RefusedEvidence, malformed

HEAD: Final = 37  # hash of the application's name (32), flags (1), counter (4)
CREDENTIAL: Final = 50  # aaguid (16), length (2), credential id (32)
BUNDLE_VERSION: Final = "apple_bundle_version_01"
CATEGORY: Final = "apple_validation_category_01"
MOST_VERSION: Final = 128  # characters
KTY, ALG, CRV, X, Y = 1, 3, -1, -2, -3  # RFC 9052 section 7.1, RFC 9053 section 7.1.1
EC2, ES256, P256 = 2, -7, 1


@dataclass(frozen=True, slots=True)
class Signed:
    """What attestations and assertions have in common; `category` and `bundle_version` from iOS 27 on."""

    app_hash: bytes
    counter: int
    category: int | None
    bundle_version: str


@dataclass(frozen=True, slots=True)
class Credential:
    """The attested key as an attestation names it; `point` is uncompressed (SEC 1)."""

    aaguid: bytes
    identity: bytes
    point: bytes


def of_attestation(data: bytes) -> tuple[Signed, Credential]:
    """Return what an attestation's authenticator data says. Raises RefusedEvidence: malformed, or key if not ES256."""
    if len(data) < HEAD + CREDENTIAL:
        raise malformed("authenticator data without a credential")
    body = data[HEAD:]
    if int.from_bytes(body[16:18], "big") != 32:
        raise malformed("a credential id that is not 32 bytes")
    key, rest = cborx.first(body[CREDENTIAL:])
    return _signed(data, rest), Credential(body[:16], body[18:CREDENTIAL], _point(key))


def of_assertion(data: bytes) -> Signed:
    """Return what an assertion's authenticator data says. Raises RefusedEvidence: malformed."""
    if len(data) < HEAD:
        raise malformed("authenticator data is cut off")
    return _signed(data, data[HEAD:])


def _signed(data: bytes, rest: bytes) -> Signed:
    extensions = cborx.item(rest) if rest else {}
    if not isinstance(extensions, dict) or not all(isinstance(name, str) for name in extensions):
        raise malformed("authenticator data with something behind it that is no map of extensions")
    version = extensions.get(BUNDLE_VERSION, "")
    if not isinstance(version, str) or len(version) > MOST_VERSION:
        raise malformed(f"{BUNDLE_VERSION} is not a short text")
    return Signed(data[:32], int.from_bytes(data[33:HEAD], "big"), _category(extensions), version)


def _category(extensions: dict[int | str, cborx.Value]) -> int | None:
    """Return how the application came to the device: 4 bytes, little endian; a number would say the same."""
    value = extensions.get(CATEGORY)
    if CATEGORY not in extensions:
        return None
    if isinstance(value, bytes) and len(value) == 4:
        return int.from_bytes(value, "little")
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 32:
        return value
    raise malformed(f"{CATEGORY} is not four bytes")


def _point(key: cborx.Value) -> bytes:
    """Return the point of a COSE key with exactly the five labels of an ES256 key."""
    if not isinstance(key, dict):
        raise malformed("a COSE key that is no map")
    kind = [key.get(label) for label in (KTY, ALG, CRV)]
    if set(key) != {KTY, ALG, CRV, X, Y} or kind != [EC2, ES256, P256] or any(value is True for value in kind):
        raise RefusedEvidence(Refusal.KEY, "the attested key is not an ES256 key")
    x, y = key[X], key[Y]
    if not isinstance(x, bytes) or not isinstance(y, bytes) or (len(x), len(y)) != (32, 32):
        raise malformed("a COSE key whose coordinates are not 32 bytes")
    point = b"\x04" + x + y
    try:
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    except ValueError:
        raise RefusedEvidence(Refusal.KEY, "the attested key is not on its curve") from None
    return point
