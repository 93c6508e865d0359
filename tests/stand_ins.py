"""A made-up Apple, Android, Play and TPM, and a policy that their evidence meets: what tests of judging bend."""

import hashlib
import itertools
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace

from strongroom.attest import judge
from strongroom.attest.authorities import Authorities, RevocationList
from strongroom.attest.claims import Claims, Expected, Known, Level
from strongroom.attest.policy import AndroidRules, AppleRules, PlayRules, Policy, TpmRules
from strongroom.attest.roots import production
from strongroom.attest.verdict import Rejection
from strongroom.testing import KeyDescription, StandInWarning, TestAndroid, TestApple, TestPlay, TestTpm

AT = 1_795_435_200  # 2026-11-23T12:00:00Z
BINDING, KEYLESS = hashlib.sha256(b"a request").digest(), hashlib.sha256(b"a request without its key").digest()
EXPECTED = Expected(BINDING, KEYLESS)
APP_ID, PACKAGE = "TEAM123456.com.example.app", "com.example.app"
SIGNER = hashlib.sha256(b"a signing certificate").digest()


def stream(seed: int) -> Callable[[int], bytes]:
    """Return a source of bytes that are the same every time."""
    count = itertools.count()
    return lambda size: hashlib.shake_256(b"%d %d" % (seed, next(count))).digest(size)


@dataclass(frozen=True, slots=True)
class Kits:
    """One of each."""

    apple: TestApple
    android: TestAndroid
    play: TestPlay
    tpm: TestTpm

    @property
    def authorities(self) -> Authorities:
        """The genuine ones, and these beside them."""
        found = production()
        for kit in (self.apple, self.android, self.play, self.tpm):
            found = kit.among(found)
        return found


def kits(seed: int = 1) -> Kits:
    """Make them without a word: the tests of the warning are elsewhere."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StandInWarning)
        return Kits(
            TestApple(AT, stream(seed)),
            TestAndroid(AT, stream(seed + 100)),
            TestPlay(PACKAGE, signers=(SIGNER,), version=7, random=stream(seed + 200)),
            TestTpm(AT, stream(seed + 300)),
        )


def only_genuine(revoked: RevocationList) -> Authorities:
    """Return what a server in production believes."""
    return production(revoked=revoked)


def description(**changes: object) -> KeyDescription:
    """Return what a good phone says of a key that was made for BINDING."""
    return replace(KeyDescription(BINDING, ((PACKAGE, 7),), (SIGNER,), created=AT * 1000), **changes)


POLICY = Policy(
    name="default",
    version=1,
    digest=bytes(32),
    kinds=frozenset({"app-attest", "android-key", "play", "tpm"}),
    level=Level.HARDWARE,
    stand_ins=True,
    apple=AppleRules((APP_ID,), categories=(4,), min_bundle_version="1.2"),
    android=AndroidRules(
        (PACKAGE,),
        (SIGNER,),
        min_os_patch=202610,
        min_vendor_patch=202610,
        min_boot_patch=202610,
        min_os_version=160000,
    ),
    play=PlayRules((PACKAGE,), (SIGNER,), min_version=7, labels=("MEETS_DEVICE_INTEGRITY", "MEETS_STRONG_INTEGRITY")),
    tpm=TpmRules({"sha256": {7: (bytes(32),)}}, min_firmware=1),
)  # every demand that a policy can make, and all of them met by what the kits mint
NEW = replace(POLICY, apple=replace(POLICY.apple, missing_category=False))
OLD = replace(POLICY, apple=replace(POLICY.apple, min_bundle_version=""))  # what systems before iOS 27 can meet


def judged(
    kind: str,
    evidence: bytes,
    authorities: Authorities,
    policy: Policy = POLICY,
    known: Known | None = None,
    **others: object,
) -> Claims | Rejection:
    """Judge at AT for EXPECTED; return claims if it is accepted without a finding."""
    found = judge.verify(kind, evidence, others.pop("expected", EXPECTED), AT, known, policy, authorities, **others)
    if isinstance(found, Rejection):
        return found
    assert found.findings == ()
    return found.claims
