"""Every demand a policy can make: evidence that fails it alone is refused with that demand's code.

Each case bends one thing of evidence that is accepted as it is, or one rule of the policy that accepts it.
"""

from dataclasses import dataclass, field, replace

import pytest

from stand_ins import (
    APP_ID,
    AT,
    BINDING,
    KEYLESS,
    OLD,
    PACKAGE,
    POLICY,
    SIGNER,
    description,
    judged,
    kits,
)
from strongroom.attest import judge
from strongroom.attest.claims import IN_HARDWARE, Claims, Expected, Kind, Level
from strongroom.attest.policy import Policy
from strongroom.attest.verdict import JUDGED_BY_POLICY, Reaction, Refusal, Rejection
from strongroom.testing import android_description as android
from strongroom.wire import hpke

KITS = kits()
TRUSTED = KITS.authorities


def phone(binding=BINDING, app_id=APP_ID, **changes):
    told = {"bundle_version": "1.2", "category": 4} | changes
    return KITS.apple.phone(app_id, **told).attest(binding, AT)


def key(factory=False, **changes):
    return KITS.android.attest(description(**changes), AT, factory=factory).evidence


def token(**changes):
    return KITS.play.token(KITS.play.verdict(BINDING, AT, classic=True, **changes))


def token_with(part, **changes):
    verdict = KITS.play.verdict(BINDING, AT, classic=True)
    verdict[part] |= changes
    return KITS.play.token(verdict)


def chip(*, quoted=(7,), **changes):
    made = KITS.tpm.chip()
    for name, value in changes.items():
        setattr(made, name, value)
    return made.enrol(BINDING, quoted=quoted)


def measured(data, register=7):
    made = KITS.tpm.chip()
    made.extend(register, data)
    return made.enrol(BINDING)


def rules(kind, **changes):
    return replace(POLICY, **{kind: replace(getattr(POLICY, kind), **changes)})


MAKERS = {Kind.APP_ATTEST: phone, Kind.ANDROID_KEY: key, Kind.PLAY: token, Kind.TPM: chip}
OF_DIGITS = {"MEETS_DEVICE_INTEGRITY", "MEETS_STRONG_INTEGRITY"}
OLD_PHONE = {"bundle_version": None, "category": None}


@dataclass(frozen=True)
class Case:
    """One failing demand."""

    name: str
    kind: Kind
    code: Refusal
    evidence: bytes = b""
    policy: Policy = field(default=POLICY)
    step: str = ""  # of the verifier or the judge, where it has one name
    proven: bool = False  # by the verifier, so that no policy answers it with less


A, K, P, T = Kind.APP_ATTEST, Kind.ANDROID_KEY, Kind.PLAY, Kind.TPM
CASES = [
    # whatever the kind
    *(
        Case(f"{kind}: unasked", kind, Refusal.POLICY, policy=replace(POLICY, kinds=POLICY.kinds - {kind}), step="kind")
        for kind in Kind
    ),
    *(
        Case(f"{kind}: stand-in", kind, Refusal.POLICY, policy=replace(POLICY, stand_ins=False), step="authority")
        for kind in Kind
    ),
    *(
        Case(f"{kind}: no rules", kind, Refusal.POLICY, policy=replace(POLICY, **{name: None}), step="rules")
        for kind, name in ((K, "android"), (P, "play"), (T, "tpm"))
    ),
    *(
        Case(f"{kind}: level", kind, Refusal.DEVICE, policy=replace(POLICY, level=Level.STRONGBOX), step="level")
        for kind in Kind
    ),
    *(
        Case(f"{kind}: bound", kind, Refusal.KEY, policy=replace(POLICY, key_binding=IN_HARDWARE), step="key binding")
        for kind in Kind
    ),
    # App Attest
    Case("another app", A, Refusal.APP, phone(app_id="TEAM123456.com.example.other"), step="application", proven=True),
    Case("another team", A, Refusal.APP, phone(app_id=APP_ID.replace("6", "7")), step="application", proven=True),
    Case("development", A, Refusal.ENVIRONMENT, phone(environment="development"), step="environment"),
    Case("category 2, only 4", A, Refusal.ENVIRONMENT, phone(category=2), step="category"),
    Case(
        "category 2, 4 or missing", A, Refusal.ENVIRONMENT, phone(category=2), rules("apple", missing_category=True),
        "category",
    ),
    Case(
        "no category, only 4", A, Refusal.ENVIRONMENT, phone(category=None), rules("apple", missing_category=False),
        "category",
    ),
    Case("bundle version", A, Refusal.APP, phone(bundle_version="1.1.9"), step="version"),
    Case("no bundle version", A, Refusal.APP, phone(bundle_version=None), step="version"),
    Case("a version in words", A, Refusal.APP, phone(bundle_version="2.0-beta"), step="version"),
    # Android
    Case("another package", K, Refusal.APP, key(packages=(("com.example.other", 7),)), step="application"),
    Case(
        "a stranger with the same user id", K, Refusal.APP, key(packages=((PACKAGE, 7), ("com.example.other", 1))),
        step="application",
    ),
    Case("another signer", K, Refusal.APP, key(signers=(bytes(32),)), step="signer"),
    Case("two signers", K, Refusal.APP, key(signers=(SIGNER, bytes(32))), step="signer"),
    Case("unlocked", K, Refusal.BOOT, key(locked=False), step="boot loader"),
    Case("own boot key", K, Refusal.BOOT, key(boot_state=android.SELF_SIGNED), step="boot state"),
    Case("unverified boot", K, Refusal.BOOT, key(boot_state=android.UNVERIFIED), step="boot state"),
    Case("failed boot", K, Refusal.BOOT, key(boot_state=android.FAILED), step="boot state"),
    Case("no root of trust", K, Refusal.BOOT, key(root_of_trust=False), step="boot loader"),
    Case("old system patch", K, Refusal.PATCH, key(os_patch=202609), step="OS patch"),
    Case("old vendor patch", K, Refusal.PATCH, key(vendor_patch=20260930), step="vendor patch"),
    Case("old boot patch", K, Refusal.PATCH, key(boot_patch=20260930), step="boot patch"),
    Case("no such month", K, Refusal.PATCH, key(os_patch=202699), step="OS patch"),
    Case("old system", K, Refusal.PATCH, key(os_version=150000), step="OS version"),
    Case("from the factory", K, Refusal.POLICY, key(factory=True), rules("android", factory=False), "provisioning"),
    Case(
        "a key in software", K, Refusal.DEVICE,
        key(attestation_level=android.SOFTWARE, key_level=android.SOFTWARE),
    ),
    Case("attested by another level", K, Refusal.KEY, key(key_level=android.SOFTWARE)),
    Case("imported", K, Refusal.KEY, key(origin=android.IMPORTED)),
    Case("derived", K, Refusal.KEY, key(origin=android.DERIVED)),
    # Play
    Case("Play: another package", P, Refusal.APP, token_with("requestDetails", requestPackageName="com.example.other")),
    Case("Play: another app seen", P, Refusal.APP, token_with("appIntegrity", packageName="com.example.other")),
    Case(
        "Play: another signer", P, Refusal.APP, token_with("appIntegrity", certificateSha256Digest=["A" * 43]),
        step="signer",
    ),
    Case("Play: unknown to Google", P, Refusal.APP, token(recognition="UNRECOGNIZED_VERSION"), step="recognition"),
    Case("Play: not evaluated", P, Refusal.APP, token(recognition="UNEVALUATED")),
    Case("Play: old version", P, Refusal.APP, token_with("appIntegrity", versionCode="6"), step="version"),
    Case("Play: unlicensed", P, Refusal.APP, token(licensing="UNLICENSED"), step="licensing"),
    Case("Play: licence not evaluated", P, Refusal.APP, token(licensing="UNEVALUATED"), step="licensing"),
    Case(
        "Play: one label of two", P, Refusal.DEVICE, token(labels=("MEETS_STRONG_INTEGRITY",)), step="device labels",
    ),
    Case("Play: no label", P, Refusal.DEVICE, token(labels=())),
    Case("Play: basic label", P, Refusal.DEVICE, token(labels=("MEETS_BASIC_INTEGRITY",)), step="level"),
    Case(
        "Play: too old", P, Refusal.EXPIRED,
        token_with("requestDetails", timestampMillis=str((AT - 121) * 1000)), step="time stamp",
    ),
    Case(
        "Play: from tomorrow", P, Refusal.EXPIRED,
        token_with("requestDetails", timestampMillis=str((AT + 31) * 1000)), step="time stamp",
    ),
    # TPM
    Case("another register value", T, Refusal.PCR, measured(b"another boot loader"), step="register sha256:7"),
    Case("register not quoted", T, Refusal.PCR, chip(quoted=(0, 1)), step="register sha256:7"),
    Case(
        "bank not quoted", T, Refusal.PCR, policy=rules("tpm", pcrs={"sha384": {7: (bytes(48),)}}),
        step="register sha384:7",
    ),
    Case("nothing allowed", T, Refusal.PCR, policy=rules("tpm", pcrs={"sha256": {7: ()}}), step="register sha256:7"),
    Case("firmware", T, Refusal.DEVICE, chip(firmware=0), step="firmware"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_demand_that_is_not_met_is_refused_by_its_code(case):
    """A device, app or state that the owner excluded asks for the model with genuine evidence."""
    found = judged(case.kind, case.evidence or MAKERS[case.kind](), TRUSTED, case.policy)
    assert isinstance(found, Rejection), "it was accepted"
    assert found.code == case.code, found
    assert case.step in {"", step_of(found)}


JUDGED = [one for one in CASES if one.code in JUDGED_BY_POLICY and one.step and not one.proven]


@pytest.mark.parametrize("case", JUDGED, ids=lambda case: case.name)
def test_a_policy_may_answer_what_it_judges_with_less(case):
    """Observed, the same demand is a finding: nothing else of the evidence was wrong."""
    policy = replace(case.policy, reactions={case.code: Reaction.OBSERVE})
    evidence = case.evidence or MAKERS[case.kind]()
    found = judge.verify(case.kind, evidence, Expected(BINDING), AT, None, policy, TRUSTED)
    assert isinstance(found, judge.Judged), found
    assert {one.code for one in found.findings} == {case.code}
    assert case.step in {step_of(one) for one in found.findings}
    assert found.reaction is Reaction.OBSERVE


def step_of(found):
    return found.step.removeprefix("policy: ")


ACCEPTED = {
    "iOS 27": (A, phone(), POLICY),
    "iOS 27, newest": (A, phone(bundle_version="10.0"), POLICY),
    "iOS 26": (A, phone(**OLD_PHONE), OLD),
    "iOS 26, any category": (A, phone(**OLD_PHONE), replace(OLD, apple=replace(OLD.apple, categories=()))),
    "development, allowed": (A, phone(environment="development"), rules("apple", environments=("development",))),
    "category 2, allowed": (A, phone(category=2), rules("apple", categories=(2, 4))),
    "phone": (K, key(), POLICY),
    "patches of the very month": (K, key(os_patch=202610, vendor_patch=20261001, boot_patch=20261001), POLICY),
    "StrongBox": (
        K, key(attestation_level=android.STRONGBOX, key_level=android.STRONGBOX),
        replace(POLICY, level=Level.STRONGBOX),
    ),
    "factory": (K, key(factory=True), POLICY),
    "unlocked, allowed": (
        K, key(locked=False, boot_state=android.UNVERIFIED),
        rules("android", locked=False, boot_states=("verified", "unverified")),
    ),
    "two packages, both named": (
        K, key(packages=((PACKAGE, 7), ("com.example.other", 1))),
        rules("android", packages=(PACKAGE, "com.example.other")),
    ),
    "token": (P, token(), POLICY),
    "token, newer": (P, token_with("appIntegrity", versionCode="8"), POLICY),
    "a weaker device, allowed": (
        P, token(labels=("MEETS_DEVICE_INTEGRITY",)),
        replace(rules("play", labels=("MEETS_DEVICE_INTEGRITY",)), level=Level.DEVICE),
    ),
    "chip": (T, chip(), POLICY),
    "no register named": (T, chip(quoted=()), rules("tpm", pcrs={})),
}  # fmt: skip


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_meets_every_demand_is_accepted(name):
    kind, evidence, policy = ACCEPTED[name]
    found = judged(kind, evidence, TRUSTED, policy)
    assert isinstance(found, Claims), found


@pytest.mark.parametrize("kind", list(Kind))
def test_evidence_is_of_the_kind_it_is_sent_as(kind):
    """Genuine evidence of one kind is sent under the name of another."""
    for other in set(Kind) - {kind}:
        found = judged(other, MAKERS[kind](), TRUSTED)
        assert isinstance(found, Rejection), other
        assert found.code in {Refusal.MALFORMED, Refusal.CHAIN, Refusal.UNSUPPORTED}


@pytest.mark.parametrize(
    ("purposes", "code"),
    [((android.SIGN,), Refusal.KEY), ((android.AGREE_KEY, android.SIGN), Refusal.KEY), ((), Refusal.KEY)],
)
def test_a_key_of_the_answer_that_may_do_more_is_refused(purposes, code):
    """The attested HPKE key could also sign, so a key that signs could be passed off as it."""
    made = KITS.android.attest(description(challenge=KEYLESS, purposes=purposes), AT)
    bound = Expected(BINDING, KEYLESS, hpke.P256, made.public_key)
    found = judged("android-key", made.evidence, TRUSTED, expected=bound)
    assert isinstance(found, Rejection)
    assert found.code == code


def test_an_attested_key_vouches_for_no_other_key():
    """B09: evidence of one phone, sent with the key of another: it was not made for that key."""
    made = KITS.android.attest(description(challenge=KEYLESS, purposes=(android.AGREE_KEY,)), AT)
    other = KITS.android.attest(description(challenge=KEYLESS, purposes=(android.AGREE_KEY,)), AT)
    found = judged(
        "android-key", made.evidence, TRUSTED, expected=Expected(BINDING, KEYLESS, hpke.P256, other.public_key)
    )
    assert isinstance(found, Rejection)
    assert found.code == Refusal.BINDING


def test_a_phone_or_chip_that_is_not_the_enrolled_one_is_refused():
    """B09: evidence of one device, sent by an account in the name of another."""
    phones = [KITS.apple.phone(APP_ID, bundle_version="1.2", category=4) for _ in range(2)]
    known = judged("app-attest", phones[0].attest(BINDING, AT), TRUSTED).known
    assert judged("app-attest", phones[1].sign(BINDING), TRUSTED, known=known).code == Refusal.BINDING
    chips = [KITS.tpm.chip() for _ in range(2)]
    known = judged("tpm", chips[0].enrol(BINDING), TRUSTED).known
    for evidence in (chips[1].quote(BINDING), chips[1].enrol(BINDING)):
        assert judged("tpm", evidence, TRUSTED, known=known).code == Refusal.KEY


@pytest.mark.parametrize("status", ["REVOKED", "SUSPENDED"])
@pytest.mark.parametrize("place", [1, 2, 3])
def test_a_revoked_certificate_anywhere_in_the_chain_is_refused(status, place):
    """An attestation key that leaked is used after Google has withdrawn it."""
    made = KITS.android.attest(description(), AT)
    revoked = KITS.android.revocation_list(made.certificates[place], status=status)
    found = judged("android-key", made.evidence, replace(TRUSTED, revoked=revoked))
    assert isinstance(found, Rejection)
    assert found.code == Refusal.REVOKED


def test_nobody_passes_on_an_old_revocation_list_or_on_none():
    """Whoever keeps a server from its revocation list gains nothing by it."""
    for revoked in (None, KITS.android.revocation_list(at=AT - 8 * 86_400)):
        found = judged("android-key", key(), replace(TRUSTED, revoked=revoked))
        assert isinstance(found, Rejection)
        assert found.code == Refusal.STALE_REVOCATION_LIST


@pytest.mark.parametrize(("late", "factory", "code"), [(6, False, Refusal.EXPIRED), (6, True, None)])
def test_only_chains_of_the_factory_outlive_their_dates(late, factory, code):
    then = AT - (late + 1) * 86_400 if not factory else AT - 20 * 365 * 86_400
    made = KITS.android.attest(description(), then, factory=factory)
    found = judged("android-key", made.evidence, TRUSTED)
    assert (found.code if isinstance(found, Rejection) else None) == code


@pytest.mark.parametrize("days", [-4, 4])
def test_an_attestation_is_judged_on_its_day(days):
    """B08: an attestation is kept for later, or dated ahead."""
    evidence = KITS.apple.phone(APP_ID, bundle_version="1.2", category=4).attest(BINDING, AT + days * 86_400)
    found = judged("app-attest", evidence, TRUSTED)
    assert isinstance(found, Rejection)
    assert found.code == Refusal.EXPIRED
