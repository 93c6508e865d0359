"""The one door: whatever comes in, a judgement or a rejection comes out."""

import dataclasses
import hashlib
import json

import pytest

from stand_ins import AT, BINDING, EXPECTED, KEYLESS, POLICY, description, judged, kits
from strongroom.attest import judge
from strongroom.attest.authorities import Authorities
from strongroom.attest.claims import Claims, Expected, Kind
from strongroom.attest.judge import Judged
from strongroom.attest.policy import AppleRules, Policy
from strongroom.attest.roots import production
from strongroom.attest.verdict import Reaction, Refusal, RefusedEvidence, Rejection


@pytest.fixture(scope="module")
def made():
    """One good piece of evidence of each kind, and whom to believe."""
    kit = kits()
    phone = kit.apple.phone("TEAM123456.com.example.app", bundle_version="1.2", category=4)
    chip = kit.tpm.chip()
    evidence = {
        Kind.APP_ATTEST: phone.attest(BINDING, AT),
        Kind.ANDROID_KEY: kit.android.attest(description(), AT).evidence,
        Kind.PLAY: kit.play.token(kit.play.verdict(BINDING, AT)),
        Kind.TPM: chip.enrol(BINDING),
    }
    return evidence, kit.authorities


def call(kind, evidence, authorities, policy=POLICY, expected=EXPECTED, known=None, **others):
    return judge.verify(kind, evidence, expected, AT, known, policy, authorities, **others)


@pytest.mark.parametrize("kind", Kind)
def test_good_evidence_of_every_kind_is_accepted(kind, made):
    evidence, authorities = made
    found = call(kind, evidence[kind], authorities)
    assert isinstance(found, Judged), found
    assert (found.claims.kind, found.findings, found.reaction) == (kind, (), None)
    assert found.claims.evidence == hashlib.sha256(evidence[kind]).digest()
    assert found.claims.stand_in


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("given", Kind)
def test_evidence_under_the_name_of_another_kind_is_refused(kind, given, made):
    evidence, authorities = made
    if kind != given:
        found = call(kind, evidence[given], authorities)
        assert isinstance(found, Rejection)
        assert found.code in {Refusal.MALFORMED, Refusal.UNSUPPORTED}


@pytest.mark.parametrize("kind", ["", "app_attest", "APP-ATTEST", "tpm ", "safetynet", "\x00", "x" * 100_000])
def test_a_kind_that_nobody_judges(kind, made):
    found = call(kind, b"anything", made[1])
    assert (found.code, len(found.detail) < 200, found.detail.isprintable()) == (Refusal.UNSUPPORTED, True, True)


@pytest.mark.parametrize("kind", Kind)
def test_evidence_that_is_too_large_is_not_read(kind, monkeypatch, made):
    monkeypatch.setattr(judge, "_VERIFIERS", {})
    monkeypatch.setattr(judge.play, "verify", None)
    found = call(kind, bytes(judge.MAX_EVIDENCE + 1), made[1])
    assert (found.code, found.step) == (Refusal.MALFORMED, "size and kind")
    assert "65537 bytes" in found.detail


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("data", [b"", b"\x00", b"{}", b"null", b"\xa0", b"\x30\x00", b"..", b"\xff" * 65_536])
def test_garbage_is_malformed(kind, data, made):
    found = call(kind, data, made[1])
    assert isinstance(found, Rejection)
    assert found.code == Refusal.MALFORMED
    assert found.step


class Panic(BaseException):
    """As a panic of a library in Rust looks."""


Panic.__module__ = "pyo3_runtime"


@pytest.mark.parametrize(
    "error", [KeyError("x"), ValueError(), RecursionError(), MemoryError(), OverflowError(), AssertionError(), Panic()]
)
@pytest.mark.parametrize("kind", Kind)
def test_whatever_a_verifier_raises_is_malformed(kind, error, monkeypatch, made):
    """I04: a parser's own mistake must neither let evidence in nor take the request down."""

    def verify(*arguments):
        next(one for one in arguments if hasattr(one, "steps")).step("the broken step")
        raise error

    monkeypatch.setitem(judge._VERIFIERS, kind, verify)
    monkeypatch.setattr(judge.play, "verify", verify)
    evidence, authorities = made
    found = call(kind, evidence[kind], authorities)
    assert found == Rejection(Refusal.MALFORMED, f"it cannot be read: {type(error).__name__}", "the broken step")
    told = judge.report(kind, evidence[kind], EXPECTED, AT, None, POLICY, authorities)
    assert (told.verdict, told.code, told.steps[-1]) == ("reject", Refusal.MALFORMED, ("the broken step", False))


def test_whatever_the_judge_of_claims_raises_is_malformed(made):
    evidence, authorities = made
    broken = dataclasses.replace(POLICY, apple=dataclasses.replace(POLICY.apple, categories=None, missing_category=1))
    broken = dataclasses.replace(broken, level=None)
    assert call(Kind.APP_ATTEST, evidence[Kind.APP_ATTEST], authorities, broken).code == Refusal.MALFORMED


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_the_end_of_the_process_is_no_judgement(error, monkeypatch, made):
    def verify(*_):
        raise error

    monkeypatch.setitem(judge._VERIFIERS, Kind.TPM, verify)
    with pytest.raises(error):
        call(Kind.TPM, b"x", made[1])


def test_a_refusal_keeps_its_code_and_its_step(monkeypatch, made):
    def verify(*arguments):
        arguments[-1].step("first")
        arguments[-1].step("second")
        raise RefusedEvidence(Refusal.REVOKED, "certificate 12 is revoked")

    monkeypatch.setitem(judge._VERIFIERS, Kind.TPM, verify)
    assert call(Kind.TPM, b"x", made[1]) == Rejection(Refusal.REVOKED, "certificate 12 is revoked", "second")


@pytest.mark.parametrize("kind", Kind)
def test_evidence_for_another_request_is_refused(kind, made):
    """B08: good evidence of a good device, made for something else, or for nothing."""
    evidence, authorities = made
    for other in (KEYLESS, BINDING[:-1], BINDING + b"\0", b""):
        found = call(kind, evidence[kind], authorities, expected=Expected(other))
        assert isinstance(found, Rejection)
        assert found.code == Refusal.BINDING


@pytest.mark.parametrize("kind", Kind)
def test_who_is_not_believed_vouches_for_nobody(kind, made):
    evidence, _ = made
    for authorities in (Authorities(), production(), kits(2).authorities):
        assert call(kind, evidence[kind], authorities).code == Refusal.CHAIN


@pytest.mark.parametrize("kind", Kind)
def test_a_stand_in_needs_a_policy_that_says_so(kind, made):
    evidence, authorities = made
    found = call(kind, evidence[kind], authorities, dataclasses.replace(POLICY, stand_ins=False))
    assert (found.code, found.step) == (Refusal.POLICY, "policy: authority")


@pytest.mark.parametrize("kind", Kind)
def test_a_policy_that_says_nothing_takes_nothing(kind, made):
    evidence, authorities = made
    assert isinstance(call(kind, evidence[kind], authorities, Policy("default", 1, b"")), Rejection)


BENT = {Refusal.BOOT: {"boot_state": 2, "locked": False}, Refusal.PATCH: {"os_patch": 202001}}


def android(made, policy, code):
    kit = kits()
    evidence = kit.android.attest(description(**BENT[code]), AT).evidence
    return call(Kind.ANDROID_KEY, evidence, kit.authorities, policy)


@pytest.mark.parametrize("code", BENT)
@pytest.mark.parametrize("wanted", Reaction)
def test_reactions_of_the_policy(code, wanted, made):
    """Deny and step-up refuse; short-lease and observe go on and say why."""
    found = android(made, dataclasses.replace(POLICY, reactions={code: wanted}), code)
    if wanted in {Reaction.DENY, Reaction.STEP_UP}:
        assert isinstance(found, Rejection)
        assert found.code == code
    else:
        assert isinstance(found, Judged)
        assert ({one.code for one in found.findings}, found.reaction) == ({code}, wanted)


def test_the_worst_finding_gives_the_code():
    kit = kits()
    evidence = kit.android.attest(description(**BENT[Refusal.BOOT], **BENT[Refusal.PATCH]), AT).evidence
    lenient = {Refusal.BOOT: Reaction.OBSERVE, Refusal.PATCH: Reaction.STEP_UP}
    policy = dataclasses.replace(POLICY, reactions=lenient)
    assert call(Kind.ANDROID_KEY, evidence, kit.authorities, policy).code == Refusal.PATCH


def test_a_verifiers_refusal_is_never_softened(made):
    """B08: reactions are for genuine evidence; a policy in code cannot soften a wrong binding or a wrong app."""
    evidence, authorities = made
    soft = dataclasses.replace(POLICY, reactions=dict.fromkeys(Refusal, Reaction.OBSERVE))
    assert call(Kind.TPM, evidence[Kind.TPM], authorities, soft, expected=Expected(KEYLESS)).code == Refusal.BINDING
    other = dataclasses.replace(soft, apple=AppleRules(("TEAM123456.com.example.other",)))
    assert isinstance(call(Kind.APP_ATTEST, evidence[Kind.APP_ATTEST], authorities, other), Rejection)
    no_stand_ins = dataclasses.replace(soft, stand_ins=False)
    assert call(Kind.TPM, evidence[Kind.TPM], authorities, no_stand_ins).code == Refusal.POLICY


def test_what_google_decoded_is_judged_too():
    kit = kits()
    token = kit.play.standard(kit.play.verdict(BINDING, AT))
    decoded = kit.play.decoded(token)
    assert isinstance(judged(Kind.PLAY, token, kit.authorities, decoded=decoded), Claims)
    assert judged(Kind.PLAY, token, kit.authorities).code == Refusal.CHAIN
    assert judged(Kind.PLAY, token + b"x", kit.authorities, decoded=decoded).code == Refusal.CHAIN


@pytest.mark.parametrize("kind", Kind)
def test_a_report_and_a_judgement_agree(kind, made):
    """Over good evidence, evidence for another request, and evidence that the policy does not take."""
    evidence, authorities = made
    for policy, expected in (
        (POLICY, EXPECTED),
        (POLICY, Expected(KEYLESS)),
        (dataclasses.replace(POLICY, stand_ins=False), EXPECTED),
        (Policy("default", 1, b""), EXPECTED),
    ):
        told = judge.report(kind, evidence[kind], expected, AT, None, policy, authorities)
        found = call(kind, evidence[kind], authorities, policy, expected)
        if isinstance(found, Judged):
            assert (told.verdict, told.code, told.claims) == ("accept", None, found.claims)
            assert all(passed for _, passed in told.steps)
        else:
            assert (told.verdict, told.code, told.detail) == ("reject", found.code, found.detail)
            assert (found.step, False) in told.steps


def test_a_report_without_demands_asks_for_genuineness_alone(made):
    evidence, authorities = made
    nothing = Policy("default", 1, b"")
    for kind in (Kind.APP_ATTEST, Kind.ANDROID_KEY, Kind.TPM):
        told = judge.report(kind, evidence[kind], EXPECTED, AT, None, nothing, authorities, demands=False)
        assert (told.verdict, told.findings) == ("accept", ())
        assert not any(step.startswith("policy: ") for step, _ in told.steps)


def test_a_report_without_demands_asks_for_no_application_and_no_age(made):
    evidence, authorities = made
    others = dataclasses.replace(
        POLICY,
        apple=AppleRules(("TEAM123456.com.example.other",)),
        play=dataclasses.replace(POLICY.play, packages=("com.example.other",), max_age=1),
    )
    for kind, late in ((Kind.APP_ATTEST, 0), (Kind.PLAY, 86_400)):
        asked = (kind, evidence[kind], EXPECTED, AT + late, None, others, authorities)
        assert judge.report(*asked).verdict == "reject"
        told = judge.report(*asked, demands=False)
        assert (told.verdict, "policy: application" in told.not_judged) == ("accept", True)
        assert [step for step, _ in told.steps if step == "application"] == (["application"] if late else [])
        assert ("time stamp" in told.not_judged) == bool(late)
        assert "time stamp" not in dict(told.steps)
    early = judge.report(
        Kind.PLAY, evidence[Kind.PLAY], EXPECTED, AT - 86_400, None, others, authorities, demands=False
    )
    assert (early.verdict, early.code, early.not_judged) == ("reject", Refusal.EXPIRED, ())


def test_a_report_says_what_nobody_named(made):
    evidence, authorities = made
    open_rules = dataclasses.replace(POLICY, apple=dataclasses.replace(POLICY.apple, app_ids=()))
    told = judge.report(
        Kind.APP_ATTEST, evidence[Kind.APP_ATTEST], EXPECTED, AT, None, open_rules, authorities, unnamed_fails=False
    )
    assert (told.verdict, told.not_judged) == ("accept", ("policy: application",))
    strict = judge.report(Kind.APP_ATTEST, evidence[Kind.APP_ATTEST], EXPECTED, AT, None, open_rules, authorities)
    assert (strict.verdict, strict.code) == ("reject", Refusal.APP)


@pytest.mark.parametrize("text", ["\n\x1b[31mgranted", "\u202egnitsurt", "x" * 5000])
def test_a_detail_is_one_short_line(text, monkeypatch, made):
    """What a device sends ends up in an audit log: it must not write lines of its own there."""

    def verify(*_):
        raise RefusedEvidence(Refusal.APP, f"another application: {text}")

    monkeypatch.setitem(judge._VERIFIERS, Kind.TPM, verify)
    found = call(Kind.TPM, b"x", made[1])
    assert found.detail.isascii()
    assert found.detail.isprintable()
    assert len(found.detail) < 320
    assert "another application" in found.detail


def test_details_never_carry_evidence_whole(made):
    text = json.dumps({"ak_public": "00", "attest": "\n\x1b[31m" * 10, "signature": "00", "pcrs": {}}).encode()
    found = call(Kind.TPM, text, made[1])
    assert found.detail.isprintable()
    assert len(found.detail) < 200
