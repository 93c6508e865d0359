"""KeyDescription: what Android's keystore says of the key it attests (extension 1.3.6.1.4.1.11129.2.1.17).

The schema is Android's "Key and ID attestation", versions 1 to 4 (Keymaster) and 100 to 400 (KeyMint). What stands
under `hardware` was said by the secure hardware; what stands under `software` by Android itself, and is worth as much
as the verified boot that `hardware` reports.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from strongroom.attest import der
from strongroom.attest.der import Element
from strongroom.attest.verdict import malformed

OID = "1.3.6.1.4.1.11129.2.1.17"
NEWEST_SCHEMA = 400  # attestationVersion; later ones may bring tags that are not listed below

SOFTWARE, TRUSTED_ENVIRONMENT, STRONGBOX = 0, 1, 2  # SecurityLevel
BOOT_STATES = ("verified", "self-signed", "unverified", "failed")  # VerifiedBootState, by its number
GENERATED = 0  # KeyOrigin: made in the keystore and never outside of it
SIGN, AGREE_KEY, ATTEST_KEY = 2, 6, 7  # KeyPurpose

MOST_TEXT = 256  # bytes of a name; Android's package names have at most 223


@dataclass(frozen=True, slots=True)
class RootOfTrust:
    """How the device booted. `key` and `boot_hash` are digests, empty where it does not say."""

    key: bytes
    locked: bool
    state: str
    boot_hash: bytes = b""


@dataclass(frozen=True, slots=True)
class Application:
    """The application that asked for the key: package names with versions (one user id may have several), signers."""

    packages: tuple[tuple[str, int], ...]
    signers: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Authorizations:
    """The fields of an AuthorizationList that are judged. None or empty: absent."""

    purposes: frozenset[int] = frozenset()
    origin: int | None = None
    root_of_trust: RootOfTrust | None = None
    os_version: int | None = None
    os_patch: int | None = None
    vendor_patch: int | None = None
    boot_patch: int | None = None
    application: Application | None = None
    everybody: bool = False  # allApplications: whoever runs on the device may use the key
    device: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class KeyDescription:
    """The whole extension. Security levels are SOFTWARE, TRUSTED_ENVIRONMENT or STRONGBOX."""

    version: int
    level: int
    keymint_version: int
    keymint_level: int
    challenge: bytes
    software: Authorizations
    hardware: Authorizations


_Read: TypeAlias = Callable[[Element], Any]


def read(data: bytes) -> KeyDescription:
    """Read the value of the extension.

    Args:
        data: the contents of the extension's OCTET STRING.

    Raises:
        RefusedEvidence: MALFORMED.
    """
    fields = der.read(data, "KeyDescription").sequence()
    if len(fields) != 8:
        raise malformed(f"KeyDescription: {len(fields)} fields, not 8")
    version, level, keymint_version, keymint_level, challenge, unique_id, software, hardware = fields
    schema = version.integer()
    unique_id.octets()
    return KeyDescription(
        schema,
        _level(level),
        keymint_version.integer(),
        _level(keymint_level),
        challenge.octets(),
        _authorizations(software, schema, "softwareEnforced"),
        _authorizations(hardware, schema, "hardwareEnforced"),
    )


def _level(element: Element) -> int:
    level = element.enumerated()
    if level not in {SOFTWARE, TRUSTED_ENVIRONMENT, STRONGBOX}:
        raise malformed(f"KeyDescription: security level {level}")
    return level


def _authorizations(element: Element, schema: int, where: str) -> Authorizations:
    """Read a list whose tags rise, so that none stands twice."""
    found: dict[int, Any] = {}
    last = -1
    for tagged in element.sequence():
        value = tagged.explicit()
        number = tagged.number
        if number <= last:
            raise malformed(f"{where}: tag {number} stands behind tag {last}")
        last = number
        if number in _TAGS:
            found[number] = _TAGS[number](value)
        elif schema <= NEWEST_SCHEMA:
            raise malformed(f"{where}: tag {number} is not in the schema")
    return Authorizations(
        purposes=found.get(1, frozenset()),
        origin=found.get(702),
        root_of_trust=found.get(704),
        os_version=found.get(705),
        os_patch=_patch(found.get(706)),
        vendor_patch=_patch(found.get(718)),
        boot_patch=_patch(found.get(719)),
        application=found.get(709),
        everybody=600 in found,
        device={name: found[tag] for tag, name in _DEVICE.items() if tag in found},
    )


def _integers(element: Element) -> frozenset[int]:
    return frozenset(one.integer() for one in element.set_of())


def _text(element: Element) -> str:
    data = element.octets()
    if len(data) > MOST_TEXT:
        raise malformed(f"{element.where}: a name of {len(data)} bytes")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise malformed(f"{element.where}: a name is not UTF-8") from None


def _root_of_trust(element: Element) -> RootOfTrust:
    fields = element.sequence()
    if len(fields) not in {3, 4}:  # the fourth came with version 3
        raise malformed(f"RootOfTrust: {len(fields)} fields, not 3 or 4")
    state = fields[2].enumerated()
    if not 0 <= state < len(BOOT_STATES):
        raise malformed(f"RootOfTrust: verified boot state {state}")
    boot_hash = fields[3].octets() if len(fields) == 4 else b""
    return RootOfTrust(fields[0].octets(), fields[1].boolean(), BOOT_STATES[state], boot_hash)


def _application(element: Element) -> Application:
    """Read the AttestationApplicationId, which is DER inside an OCTET STRING."""
    fields = der.read(element.octets(), "AttestationApplicationId").sequence()
    if len(fields) != 2:
        raise malformed(f"AttestationApplicationId: {len(fields)} fields, not 2")
    packages: list[tuple[str, int]] = []
    for package in fields[0].set_of():
        parts = package.sequence()
        if len(parts) != 2:
            raise malformed(f"AttestationPackageInfo: {len(parts)} fields, not 2")
        packages.append((_text(parts[0]), parts[1].integer()))
    return Application(tuple(packages), tuple(digest.octets() for digest in fields[1].set_of()))


def _patch(value: int | None) -> int | None:
    """Return a patch level in form YYYYMM or YYYYMMDD; anything else says nothing about its age."""
    if value is None or not 0 < value < 10**8:
        return None
    month = value if value < 10**6 else value // 100
    return value if 2000 <= month // 100 <= 9999 and 1 <= month % 100 <= 12 else None


_DEVICE = {710: "brand", 711: "device", 717: "model"}  # 713 to 715 and 723 name one device or its owner: never kept

_TAGS: dict[int, _Read] = (  # AuthorizationList of all versions: tag to the type of its value
    dict.fromkeys((1, 4, 5, 6, 203), _integers)
    | dict.fromkeys((2, 3, 8, 10, 11, 200, 400, 401, 402, 405, 504, 505, 701, 702, 705, 706, 718, 719), Element.integer)
    | dict.fromkeys((7, 303, 305, 503, 506, 507, 508, 509, 600, 703, 720, 721), Element.null)
    | dict.fromkeys((601, 724), Element.octets)
    | dict.fromkeys((*range(710, 718), 723), _text)
    | {704: _root_of_trust, 709: _application}
)
