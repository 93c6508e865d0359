"""What a judge of evidence says: claims, or a rejection with one code of a closed list (RFC 9334 section 8).

A rejection's `detail` is for the audit log and the support engineer; a device only ever learns a reference.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class Refusal(StrEnum):
    """Why evidence was rejected, in one stable word. Append only."""

    MALFORMED = "malformed"  # it does not follow its own grammar, or is too large
    UNSUPPORTED = "unsupported"  # a kind, algorithm or format that is not judged here
    CHAIN = "chain"  # not signed by whom it must be, up to a pinned root
    EXPIRED = "expired"  # a certificate, a verdict or a time stamp is not valid at the time of judging
    REVOKED = "revoked"  # a certificate of the chain is revoked or suspended
    STALE_REVOCATION_LIST = "stale-revocation-list"  # nobody can say, so nobody is let in
    BINDING = "binding"  # genuine, but made for another request
    REPLAY = "replay"  # a counter or clock did not rise
    KEY = "key"  # the attested key is another, or may do what it must not
    APP = "app"  # another application, signer, version, or one no store licensed
    ENVIRONMENT = "environment"  # made for development, or in a category that is not allowed
    DEVICE = "device"  # the device is weaker than the policy demands, or its verdict is bad
    BOOT = "boot"  # boot loader unlocked, or what booted was not verified
    PATCH = "patch"  # security patches older than the policy demands
    PCR = "pcr"  # platform configuration registers differ
    POLICY = "policy"  # the policy takes no evidence of this kind, or of this authority
    UNAVAILABLE = "unavailable"  # nothing was attested: a service is down, a phone was restored, a quota is used up


# Only what a policy asks of genuine evidence may be answered with less than a refusal. All else is always denied.
JUDGED_BY_POLICY = frozenset(
    {Refusal.APP, Refusal.ENVIRONMENT, Refusal.DEVICE, Refusal.BOOT, Refusal.PATCH, Refusal.PCR, Refusal.UNAVAILABLE}
)


class Reaction(StrEnum):
    """What follows from a failed check, mildest first."""

    OBSERVE = "observe"  # note it in the audit log and go on
    SHORT_LEASE = "short-lease"  # go on, with a lease of the policy's short_lease seconds
    STEP_UP = "step-up"  # refuse; the device may attest or enrol anew and ask again
    DENY = "deny"  # refuse

    @property
    def rank(self) -> int:
        """0 for the mildest."""
        return list(Reaction).index(self)


@dataclass(frozen=True, slots=True)
class Rejection:
    """Evidence that does not convince.

    Attributes:
        code: one of the closed list.
        detail: what exactly, in one line, for the audit log; never shown to a device.
        step: the step it failed at, as in `Report.steps`.
    """

    code: Refusal
    detail: str
    step: str = ""


class RefusedEvidence(Exception):  # noqa: N818 - it never leaves this room: `judge.verify` returns a Rejection
    """Raised inside a verifier by the first check that fails."""

    def __init__(self, code: Refusal, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class Trail:
    """The steps of one verification, in order, so that a support engineer sees where it ended.

    A verifier calls `step` before each check and one of the `must` functions in it.
    """

    def __init__(self) -> None:
        self.steps: list[str] = []

    def step(self, name: str) -> None:
        """Begin a step, such as "certificate chain"; the one before it has passed."""
        self.steps.append(name)

    def must(self, condition: object, code: Refusal, detail: str | Callable[[], str]) -> None:
        """Go on if the condition is true. Raises RefusedEvidence otherwise."""
        if not condition:
            raise RefusedEvidence(code, detail if isinstance(detail, str) else detail())


def malformed(detail: str) -> RefusedEvidence:
    """Return the refusal of bytes that do not follow their grammar."""
    return RefusedEvidence(Refusal.MALFORMED, detail)
