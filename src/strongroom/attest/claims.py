"""What evidence proves, in the same words for every platform (RFC 9334; trust vector of draft-ietf-rats-ar4si)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """The kinds of evidence, as they stand in `Evidence.kind` of the protocol."""

    APP_ATTEST = "app-attest"
    ANDROID_KEY = "android-key"
    PLAY = "play"
    TPM = "tpm"


class Level(StrEnum):
    """What holds the attested key or vouches for the device, weakest first."""

    SOFTWARE = "software"  # nothing but software says so; also Play's MEETS_BASIC_INTEGRITY
    DEVICE = "device"  # Play's MEETS_DEVICE_INTEGRITY
    HARDWARE = "hardware"  # TEE, Secure Enclave, TPM; Play's MEETS_STRONG_INTEGRITY
    STRONGBOX = "strongbox"  # a separate security chip: Android StrongBox

    @property
    def rank(self) -> int:
        """0 for the weakest."""
        return list(Level).index(self)


HASHED = "hashed"  # the evidence signs a digest of the HPKE key: a genuine device vouched, and may have relayed
IN_HARDWARE = "hardware"  # the key that opens the answer is the attested key, or one that only this chip can use

# Values of the AR4SI trust vector (draft-ietf-rats-ar4si section 2.3)
NO_CLAIM, AFFIRMING, WARNING, CONTRAINDICATED = 0, 2, 32, 96
VECTOR = (
    "instance-identity", "configuration", "executables", "file-system", "hardware", "runtime-opaque",
    "storage-opaque", "sourced-data",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Expected:
    """What evidence must have been made for.

    Attributes:
        binding: the bytes it must sign: the digest of the request's binding (protocol.md section 5).
        keyless: the digest of the same binding with kem and public_key left empty (0 and b""): what an Android key
            that is itself the HPKE key is made for, since it cannot sign its own name before it exists. b"" if no
            such key is allowed.
        kem: HPKE KEM of the request, 0 if it asks for no key.
        public_key: its ephemeral public key, raw.
    """

    binding: bytes
    keyless: bytes = b""
    kem: int = 0
    public_key: bytes = b""


@dataclass(frozen=True, slots=True)
class TpmClock:
    """TPMS_CLOCK_INFO: milliseconds, and how often the TPM was reset and restarted (TPM 2.0 Part 2, 10.11.1)."""

    clock: int
    reset_count: int
    restart_count: int
    safe: bool


@dataclass(frozen=True, slots=True)
class Known:
    """What is remembered of a device's attested key from its last accepted evidence.

    Attributes:
        kind: of that evidence.
        key: App Attest: the key's SPKI (DER). TPM: TPMT_PUBLIC of the attestation key. Otherwise b"".
        ek: TPM: TPMT_PUBLIC of the endorsement key that the attestation key was activated against.
        counter: App Attest: the last counter.
        clock: TPM: of the last quote.
        level: as it was enrolled.
        environment: as it was enrolled.
        app_ids: as it was enrolled.
        category: as it was enrolled.
        stand_in: whether a test authority vouched for it.
    """

    kind: Kind
    key: bytes
    ek: bytes = b""
    counter: int = 0
    clock: TpmClock | None = None
    level: Level = Level.SOFTWARE
    environment: str = ""
    app_ids: tuple[str, ...] = ()
    category: int | None = None
    stand_in: bool = False


@dataclass(frozen=True, slots=True)
class Claims:
    """Facts that the evidence proves. What it does not say is empty or None; nothing is guessed.

    Attributes:
        kind: of the evidence.
        device_id: SHA-256 of the attested key (SPKI; for a TPM the Name's digest), 32 bytes; for Play of the token.
        level: what vouches.
        key_binding: HASHED or IN_HARDWARE.
        known: what to remember; the next evidence of this device is judged against it. None for Play.
        fresh: False for evidence that only refers to what was enrolled before (an assertion, a quote by a known key).
        app_ids: bundle id with team ("TEAMID.bundle") or Android package names.
        app_version: as the evidence gives it.
        signers: SHA-256 digests of the Android application's signing certificates.
        environment: "production" or "development", "" where there is no such thing.
        category: Apple's validation category, None if absent.
        boot_state: Android: verified, self-signed, unverified, failed; "" where unknown.
        locked: whether the boot loader is locked.
        os_version: as a number, as the platform writes it.
        os_patch: YYYYMM or YYYYMMDD.
        vendor_patch: YYYYMM or YYYYMMDD.
        boot_patch: YYYYMM or YYYYMMDD.
        labels: Play: device recognition labels.
        recognition: Play: appRecognitionVerdict; "" elsewhere.
        licensing: Play: appLicensingVerdict; "" elsewhere.
        pcrs: TPM: bank ("sha256") to register number to digest, as quoted.
        firmware: TPM: firmwareVersion of the quote.
        factory: Android: a factory-provisioned chain, whose expiry is not enforced.
        signals: evidence for the risk engine, never judged here: names and short values.
        trust: the AR4SI trust vector.
        evidence: SHA-256 of the evidence.
        verified_at: Unix seconds it was judged for.
        stand_in: whether a test authority vouched for it: a laptop, not a device.
    """

    kind: Kind
    device_id: bytes
    level: Level
    key_binding: str
    evidence: bytes
    verified_at: int
    known: Known | None = None
    fresh: bool = True
    app_ids: tuple[str, ...] = ()
    app_version: str = ""
    signers: tuple[bytes, ...] = ()
    environment: str = ""
    category: int | None = None
    boot_state: str = ""
    locked: bool | None = None
    os_version: int | None = None
    os_patch: int | None = None
    vendor_patch: int | None = None
    boot_patch: int | None = None
    labels: tuple[str, ...] = ()
    recognition: str = ""
    licensing: str = ""
    pcrs: Mapping[str, Mapping[int, bytes]] = field(default_factory=dict)
    firmware: int | None = None
    factory: bool = False
    signals: Mapping[str, str | int] = field(default_factory=dict)
    trust: Mapping[str, int] = field(default_factory=dict)
    stand_in: bool = False
