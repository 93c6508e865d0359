"""Genuine evidence beside a policy: every demand, met and not met, and what follows."""

from dataclasses import replace

import pytest

from strongroom.attest import judging
from strongroom.attest.claims import HASHED, IN_HARDWARE, Claims, Kind, Level
from strongroom.attest.policy import AndroidRules, AppleRules, PlayRules, Policy, TpmRules
from strongroom.attest.verdict import JUDGED_BY_POLICY, Reaction, Refusal, Rejection

AT = 1_800_000_000
SIGNER, OTHER = b"s" * 32, b"o" * 32
APP, PACKAGE = "A1B2C3D4E5.com.example.app", "com.example.app"
POLICY = Policy(
    "digits",
    1,
    bytes(32),
    kinds=frozenset(Kind),
    level=Level.DEVICE,
    apple=AppleRules((APP,), categories=(2, 4), min_bundle_version="2.14"),
    android=AndroidRules(
        (PACKAGE,), (SIGNER,), min_os_patch=202609, min_vendor_patch=20260905, min_boot_patch=202608, min_os_version=15
    ),
    play=PlayRules((PACKAGE,), (SIGNER,), min_version=41, labels=("MEETS_DEVICE_INTEGRITY", "MEETS_STRONG_INTEGRITY")),
    tpm=TpmRules({"sha256": {0: (b"a" * 32,), 7: (b"b" * 32, b"c" * 32)}}, min_firmware=5),
)
PLAIN = Claims(Kind.APP_ATTEST, b"d" * 32, Level.HARDWARE, HASHED, b"e" * 32, AT)
GOOD = {
    Kind.APP_ATTEST: replace(PLAIN, app_ids=(APP,), environment="production", category=4, app_version="2.14.0"),
    Kind.ANDROID_KEY: replace(
        PLAIN, kind=Kind.ANDROID_KEY, app_ids=(PACKAGE,), signers=(SIGNER,), boot_state="verified", locked=True,
        os_version=15, os_patch=202609, vendor_patch=20260905, boot_patch=20260801,
    ),
    Kind.PLAY: replace(
        PLAIN, kind=Kind.PLAY, app_ids=(PACKAGE,), signers=(SIGNER,), app_version="41", recognition="PLAY_RECOGNIZED",
        licensing="LICENSED", labels=("MEETS_BASIC_INTEGRITY", "MEETS_DEVICE_INTEGRITY", "MEETS_STRONG_INTEGRITY"),
    ),
    Kind.TPM: replace(PLAIN, kind=Kind.TPM, pcrs={"sha256": {0: b"a" * 32, 7: b"c" * 32, 9: bytes(32)}}, firmware=5),
}  # fmt: skip


def codes(claims, policy=POLICY):
    return [one.code for one in judging.judge(claims, policy, AT)]


@pytest.mark.parametrize("kind", Kind)
def test_what_meets_every_demand_has_no_findings(kind):
    assert judging.judge(GOOD[kind], POLICY, AT) == ()
    assert all(one.passed for one in judging.checks(GOOD[kind], POLICY))


@pytest.mark.parametrize(
    ("kind", "change", "code"),
    [
        (Kind.APP_ATTEST, {"app_ids": ()}, Refusal.APP),
        (Kind.APP_ATTEST, {"app_ids": ("A1B2C3D4E5.com.example.other",)}, Refusal.APP),
        (Kind.APP_ATTEST, {"environment": "development"}, Refusal.ENVIRONMENT),
        (Kind.APP_ATTEST, {"environment": ""}, Refusal.ENVIRONMENT),
        (Kind.APP_ATTEST, {"category": 3}, Refusal.ENVIRONMENT),
        (Kind.APP_ATTEST, {"app_version": "2.13.9"}, Refusal.APP),
        (Kind.APP_ATTEST, {"app_version": ""}, Refusal.APP),
        (Kind.APP_ATTEST, {"app_version": "2.14-beta"}, Refusal.APP),
        (Kind.APP_ATTEST, {"app_version": "9" * 5000}, Refusal.APP),
        (Kind.APP_ATTEST, {"app_version": "²"}, Refusal.APP),
        (Kind.APP_ATTEST, {"level": Level.SOFTWARE}, Refusal.DEVICE),
        (Kind.ANDROID_KEY, {"app_ids": ()}, Refusal.APP),
        (Kind.ANDROID_KEY, {"app_ids": (PACKAGE, "com.example.stranger")}, Refusal.APP),
        (Kind.ANDROID_KEY, {"signers": ()}, Refusal.APP),
        (Kind.ANDROID_KEY, {"signers": (SIGNER, OTHER)}, Refusal.APP),
        (Kind.ANDROID_KEY, {"locked": False}, Refusal.BOOT),
        (Kind.ANDROID_KEY, {"locked": None}, Refusal.BOOT),
        (Kind.ANDROID_KEY, {"boot_state": "unverified"}, Refusal.BOOT),
        (Kind.ANDROID_KEY, {"boot_state": ""}, Refusal.BOOT),
        (Kind.ANDROID_KEY, {"os_patch": 202608}, Refusal.PATCH),
        (Kind.ANDROID_KEY, {"os_patch": None}, Refusal.PATCH),
        (Kind.ANDROID_KEY, {"vendor_patch": 20260901}, Refusal.PATCH),
        (Kind.ANDROID_KEY, {"vendor_patch": 202609}, Refusal.PATCH),
        (Kind.ANDROID_KEY, {"boot_patch": 202607}, Refusal.PATCH),
        (Kind.ANDROID_KEY, {"os_version": 14}, Refusal.PATCH),
        (Kind.ANDROID_KEY, {"os_version": None}, Refusal.PATCH),
        (Kind.PLAY, {"app_ids": ()}, Refusal.APP),
        (Kind.PLAY, {"signers": (OTHER,)}, Refusal.APP),
        (Kind.PLAY, {"recognition": "UNRECOGNIZED_VERSION"}, Refusal.APP),
        (Kind.PLAY, {"recognition": "UNEVALUATED"}, Refusal.APP),
        (Kind.PLAY, {"recognition": ""}, Refusal.APP),
        (Kind.PLAY, {"licensing": "UNLICENSED"}, Refusal.APP),
        (Kind.PLAY, {"licensing": ""}, Refusal.APP),
        (Kind.PLAY, {"app_version": "40"}, Refusal.APP),
        (Kind.PLAY, {"app_version": ""}, Refusal.APP),
        (Kind.PLAY, {"app_version": "9" * 5000}, Refusal.APP),
        (Kind.PLAY, {"labels": ("MEETS_DEVICE_INTEGRITY",)}, Refusal.DEVICE),
        (Kind.PLAY, {"labels": ()}, Refusal.DEVICE),
        (Kind.TPM, {"pcrs": {}}, Refusal.PCR),
        (Kind.TPM, {"pcrs": {"sha256": {0: b"a" * 32}}}, Refusal.PCR),
        (Kind.TPM, {"pcrs": {"sha256": {0: b"a" * 32, 7: b"d" * 32}}}, Refusal.PCR),
        (Kind.TPM, {"pcrs": {"sha384": {0: b"a" * 32, 7: b"b" * 32}}}, Refusal.PCR),
        (Kind.TPM, {"firmware": 4}, Refusal.DEVICE),
        (Kind.TPM, {"firmware": None}, Refusal.DEVICE),
        *((kind, {"stand_in": True}, Refusal.POLICY) for kind in Kind),
    ],
)
def test_each_demand_that_is_not_met(kind, change, code):
    findings = judging.judge(replace(GOOD[kind], **change), POLICY, AT)
    assert {one.code for one in findings} == {code}
    assert all(one.detail.isprintable() and len(one.detail) < 200 and one.step for one in findings)


def test_a_missing_category_is_for_the_policy_to_say():
    claims = replace(GOOD[Kind.APP_ATTEST], category=None)
    assert codes(claims) == []
    assert codes(claims, replace(POLICY, apple=replace(POLICY.apple, missing_category=False))) == [Refusal.ENVIRONMENT]
    any_of_them = replace(POLICY, apple=replace(POLICY.apple, categories=()))
    assert codes(replace(claims, category=99), any_of_them) == []


@pytest.mark.parametrize("category", [0, 7, 8, 9])
@pytest.mark.parametrize("named", [(), (2, 4), (0, 7, 8, 9)])
def test_categories_that_are_no_applications_never_pass(category, named):
    """Apple: 0 is invalid, and 7 to 9 are not appropriate; no policy, and no reaction of one, makes them so."""
    claims = replace(GOOD[Kind.APP_ATTEST], category=category)
    policy = replace(POLICY, apple=replace(POLICY.apple, categories=named))
    assert codes(claims, policy)[0] == Refusal.ENVIRONMENT or named
    lenient = replace(policy, reactions=dict.fromkeys(JUDGED_BY_POLICY, Reaction.OBSERVE))
    assert judging.reaction(judging.judge(claims, lenient, AT), lenient) == Reaction.DENY


def test_a_demand_that_is_not_made_is_not_judged():
    rules = AndroidRules((PACKAGE,), (SIGNER,), boot_states=("verified", "unverified"), locked=False)
    claims = replace(
        GOOD[Kind.ANDROID_KEY], locked=False, boot_state="unverified", os_patch=None, vendor_patch=None, os_version=None
    )
    assert codes(claims, replace(POLICY, android=rules)) == []


def test_factory_chains_are_for_the_policy_to_say():
    claims = replace(GOOD[Kind.ANDROID_KEY], factory=True)
    assert codes(claims) == []
    assert codes(claims, replace(POLICY, android=replace(POLICY.android, factory=False))) == [Refusal.POLICY]


@pytest.mark.parametrize("kind", Kind)
def test_a_kind_that_is_not_named_or_has_no_rules_is_not_taken(kind):
    assert codes(GOOD[kind], replace(POLICY, kinds=frozenset(Kind) - {kind})) == [Refusal.POLICY]
    without = replace(POLICY, apple=None, android=None, play=None, tpm=None)
    assert codes(GOOD[kind], without) == [Refusal.POLICY]
    assert Refusal.POLICY in codes(GOOD[kind], Policy("default", 1, b""))


@pytest.mark.parametrize("kind", [Kind.APP_ATTEST, Kind.ANDROID_KEY, Kind.PLAY])
def test_rules_that_name_nobody_let_nobody_in(kind):
    nobody = replace(POLICY, apple=AppleRules(()), android=AndroidRules((), ()), play=PlayRules((), ()))
    assert Refusal.APP in codes(GOOD[kind], nobody)
    assert Refusal.APP in codes(replace(GOOD[kind], app_ids=(), signers=()), nobody)


def test_rules_without_registers_say_so():
    found = list(judging.checks(GOOD[Kind.TPM], replace(POLICY, tpm=TpmRules())))
    assert [(one.step, one.passed) for one in found if one.unnamed] == [("policy: registers", True)]


def test_a_test_authority_must_be_allowed():
    claims = replace(GOOD[Kind.TPM], stand_in=True)
    assert codes(claims, replace(POLICY, stand_ins=True)) == []


def test_levels_and_bindings_are_compared():
    claims = GOOD[Kind.ANDROID_KEY]
    assert codes(claims, replace(POLICY, level=Level.STRONGBOX)) == [Refusal.DEVICE]
    assert codes(replace(claims, level=Level.STRONGBOX), replace(POLICY, level=Level.STRONGBOX)) == []
    assert codes(claims, replace(POLICY, key_binding=IN_HARDWARE)) == [Refusal.KEY]
    assert codes(replace(claims, key_binding=IN_HARDWARE), replace(POLICY, key_binding=IN_HARDWARE)) == []


def test_every_finding_is_told_at_once():
    claims = replace(GOOD[Kind.ANDROID_KEY], locked=False, os_patch=202001, app_ids=("com.example.x",), stand_in=True)
    assert codes(claims) == [Refusal.POLICY, Refusal.APP, Refusal.BOOT, Refusal.PATCH]


def test_what_came_from_outside_is_cut_and_quoted():
    claims = replace(GOOD[Kind.APP_ATTEST], app_ids=("x\x1b[0m\n" * 100,), environment="\u202e" * 500)
    details = [one.detail for one in judging.judge(claims, POLICY, AT)]
    assert len(details) == 2
    assert all(one.isascii() and one.isprintable() and len(one) < 200 for one in details)


@pytest.mark.parametrize("code", Refusal)
@pytest.mark.parametrize("wanted", Reaction)
def test_only_what_a_policy_judges_can_be_answered_with_less(code, wanted):
    """A policy in code could name any reaction; forgery and replay are denied all the same."""
    policy = replace(POLICY, reactions=dict.fromkeys(Refusal, wanted))
    found = judging.reaction((Rejection(code, "x"),), policy)
    assert found == (wanted if code in JUDGED_BY_POLICY else Reaction.DENY)


def test_the_worst_reaction_counts():
    reactions = {Refusal.PATCH: Reaction.OBSERVE, Refusal.BOOT: Reaction.SHORT_LEASE, Refusal.PCR: Reaction.STEP_UP}
    policy = replace(POLICY, reactions=reactions)

    def worst(*codes):
        return judging.reaction(tuple(Rejection(code, "") for code in codes), policy)

    assert worst() is None
    assert worst(Refusal.PATCH) == Reaction.OBSERVE
    assert worst(Refusal.BOOT, Refusal.PATCH) == Reaction.SHORT_LEASE
    assert worst(Refusal.BOOT, Refusal.PCR, Refusal.PATCH) == Reaction.STEP_UP
    assert worst(Refusal.BOOT, Refusal.PCR, Refusal.DEVICE) == Reaction.DENY
