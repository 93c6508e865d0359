"""What a model's owner demands of a device before it gets the model. Default: nothing is accepted.

A policy is a value; `policy_file` reads it from TOML and `judging` compares claims with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from strongroom.attest.claims import HASHED, Kind, Level
from strongroom.attest.verdict import Reaction, Refusal

DAY = 86_400
NO_CATEGORY = frozenset({0, 7, 8, 9})  # Apple's validation categories that are invalid, or no application's


@dataclass(frozen=True, slots=True)
class AppleRules:
    """For App Attest. `app_ids`: "TEAMID.bundle"."""

    app_ids: tuple[str, ...]
    environments: tuple[str, ...] = ("production",)
    categories: tuple[int, ...] = ()  # empty: any but NO_CATEGORY
    missing_category: bool = True  # iOS 26 and older send none
    min_bundle_version: str = ""


@dataclass(frozen=True, slots=True)
class AndroidRules:
    """For Android Key Attestation. `signers`: SHA-256 digests of signing certificates, 32 bytes each."""

    packages: tuple[str, ...]
    signers: tuple[bytes, ...]
    boot_states: tuple[str, ...] = ("verified",)
    locked: bool = True
    min_os_patch: int = 0  # YYYYMM; 0: any
    min_vendor_patch: int = 0
    min_boot_patch: int = 0
    min_os_version: int = 0
    factory: bool = True  # factory-provisioned chains, whose expiry is not enforced


@dataclass(frozen=True, slots=True)
class PlayRules:
    """For Play Integrity. Times in seconds."""

    packages: tuple[str, ...]
    signers: tuple[bytes, ...]
    min_version: int = 0
    labels: tuple[str, ...] = ("MEETS_DEVICE_INTEGRITY",)  # all of them are needed
    recognition: tuple[str, ...] = ("PLAY_RECOGNIZED",)
    licensing: tuple[str, ...] = ("LICENSED",)
    max_age: int = 120


@dataclass(frozen=True, slots=True)
class TpmRules:
    """For TPM 2.0. `pcrs`: bank to register number to the digests that are allowed in it."""

    pcrs: Mapping[str, Mapping[int, tuple[bytes, ...]]] = field(default_factory=dict)
    min_firmware: int = 0


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules of one model, or of every model that has none of its own.

    Attributes:
        name: the model's, or "default".
        version: the owner's number for these rules.
        digest: SHA-256 of the rules, as they stand in the audit log.
        kinds: evidence that is taken; none by default.
        unattested: whether devices that prove nothing are served. Said loudly wherever it is true.
        level: the weakest that is accepted.
        key_binding: HASHED or IN_HARDWARE.
        stand_ins: whether a test authority may vouch. Said loudly wherever it is true.
        attest_again: seconds after which a device must attest its key anew.
        short_lease: seconds of a lease that is given with Reaction.SHORT_LEASE.
        reactions: to checks of JUDGED_BY_POLICY; what is not named is DENY, and UNAVAILABLE is STEP_UP.
        apple, android, play, tpm: rules a kind; a kind without rules is not accepted.
    """

    name: str
    version: int
    digest: bytes
    kinds: frozenset[Kind] = frozenset()
    unattested: bool = False
    level: Level = Level.HARDWARE
    key_binding: str = HASHED
    stand_ins: bool = False
    attest_again: int = 30 * DAY
    short_lease: int = 3600
    reactions: Mapping[Refusal, Reaction] = field(default_factory=dict)
    apple: AppleRules | None = None
    android: AndroidRules | None = None
    play: PlayRules | None = None
    tpm: TpmRules | None = None

    @property
    def serves(self) -> bool:
        """Whether there is any device that could get a model under these rules."""
        return bool(self.kinds) or self.unattested

    def reaction(self, code: Refusal) -> Reaction:
        """Return what follows from a failed check."""
        usual = Reaction.STEP_UP if code == Refusal.UNAVAILABLE else Reaction.DENY
        return self.reactions.get(code, usual)
