"""The one door to this room: evidence and a policy in, a judgement or a rejection out. Nothing else comes out.

Whatever a verifier raises, its own refusals apart, becomes `malformed`: bytes of strangers are at fault until somebody
shows otherwise, and a refusal is the safe side of a mistake of ours.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from strongroom.attest import android, apple, judging, play, tpm
from strongroom.attest.authorities import Authorities
from strongroom.attest.claims import Claims, Expected, Kind, Known
from strongroom.attest.policy import PlayRules, Policy
from strongroom.attest.verdict import Reaction, Refusal, RefusedEvidence, Rejection, Trail

MAX_EVIDENCE = 65_536  # bytes (protocol.md section 5)
MAX_DETAIL = 300  # characters of a rejection's detail
ACCEPT, REJECT = "accept", "reject"

Outcome = TypeVar("Outcome")
Verifier = Callable[[bytes, Expected, int, Known | None, Policy, Authorities, Trail], Claims]


@dataclass(frozen=True, slots=True)
class Judged:
    """Evidence that is accepted.

    Attributes:
        claims: what it proves.
        findings: demands of the policy that it does not meet, and that the policy answers with less than a refusal.
        reaction: OBSERVE or SHORT_LEASE if there are any.
    """

    claims: Claims
    findings: tuple[Rejection, ...] = ()
    reaction: Reaction | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """One verification for a support engineer, step by step.

    Attributes:
        verdict: ACCEPT or REJECT.
        code: of the rejection, None if it was accepted.
        detail: what exactly was wrong; "" if nothing was.
        claims: what the evidence proves, where it was found genuine.
        steps: names of the steps in their order, and whether each passed.
        findings: every demand that was not met, also where the policy goes on in spite of it.
        not_judged: what nobody named anything to compare with.
    """

    verdict: str
    code: Refusal | None
    detail: str
    claims: Claims | None
    steps: tuple[tuple[str, bool], ...]
    findings: tuple[Rejection, ...] = ()
    not_judged: tuple[str, ...] = ()


def verify(
    kind: str,
    evidence: bytes,
    expected: Expected,
    at: int,
    known: Known | None,
    policy: Policy,
    authorities: Authorities,
    *,
    decoded: play.Decoded | None = None,
) -> Judged | Rejection:
    """Judge one piece of evidence: `prove`, then `appraise`; never raises. Arguments as theirs."""
    claims = prove(kind, evidence, expected, at, known, policy, authorities, decoded=decoded)
    return claims if isinstance(claims, Rejection) else appraise(claims, policy, at)


def prove(
    kind: str,
    evidence: bytes,
    expected: Expected,
    at: int,
    known: Known | None,
    policy: Policy,
    authorities: Authorities,
    *,
    decoded: play.Decoded | None = None,
) -> Claims | Rejection:
    """Verify that a piece of evidence is genuine and made for this; never raises. Nothing is judged by it alone.

    Args:
        kind: as the device named it.
        evidence: as it sent it.
        expected: what it must have been made for.
        at: Unix seconds it is judged for.
        known: what is remembered of this device's key, if anything.
        policy: of the model that is asked for, or `widest` of several.
        authorities: whom to believe.
        decoded: Google's answer about this token, where Google was asked (Play only).
    """
    trail = Trail()
    return _safely(
        lambda: _claims(kind, evidence, expected, at, known, policy, authorities, trail=trail, decoded=decoded), trail
    )


def appraise(claims: Claims, policy: Policy, at: int) -> Judged | Rejection:
    """Judge by one policy what was proved, by this policy or by `widest` of several with it; never raises.

    Args:
        claims: as `prove` returned them.
        policy: of the model that is asked for.
        at: Unix seconds it is judged for.
    """
    trail = Trail()

    def work() -> Judged | Rejection:
        trail.step("application")  # what a verifier would have refused, had it known this policy alone
        if claims.kind == Kind.APP_ATTEST and policy.apple and policy.apple.app_ids:
            named = claims.app_ids and set(claims.app_ids) <= set(policy.apple.app_ids)
            trail.must(named, Refusal.APP, lambda: f"application {claims.app_ids} is not one of the policy's")
        trail.step("policy")
        findings = judging.judge(claims, policy, at)
        worst = judging.reaction(findings, policy)
        return _worst(findings, policy) if worst in _REFUSES else Judged(claims, findings, worst)

    return _safely(work, trail)


def widest(policies: Sequence[Policy]) -> Policy:
    """Return a policy by which a verifier reads what any of these asks about, to `prove` once and `appraise` by each.

    Nobody is judged by it: it takes every application that one of them names.

    Args:
        policies: at least one. Those with rules for Play must agree on the age of a token, which only a verifier sees.
    """
    apple = [one.apple for one in policies if one.apple]
    ids = tuple(dict.fromkeys(name for rules in apple for name in rules.app_ids))
    named = replace(apple[0], app_ids=ids) if apple else None
    return replace(policies[0], apple=named, play=next((one.play for one in policies if one.play), None))


def report(
    kind: str,
    evidence: bytes,
    expected: Expected,
    at: int,
    known: Known | None,
    policy: Policy,
    authorities: Authorities,
    *,
    decoded: play.Decoded | None = None,
    demands: bool = True,
    unnamed_fails: bool = True,
) -> Report:
    """Judge as `verify` does and tell every step, for a person. Nothing is released on the word of a report.

    It is stricter in one thing: evidence of a genuine phone with a receipt that is not Apple's was altered on its way,
    which a person wants to know. A release has no need of the receipt.

    Args:
        kind: as the device named it.
        evidence: as it sent it.
        expected: what it must have been made for.
        at: Unix seconds it is judged for.
        known: what is remembered of this device's key, if anything.
        policy: of the model that is asked for.
        authorities: whom to believe.
        decoded: Google's answer about this token (Play only).
        demands: False asks only whether it is genuine and made for this request: every demand of the policy is then
            not judged, and neither is what a verifier compares with it, App Attest's application and a token's age.
        unnamed_fails: False lets a demand pass as "not judged" where the policy names nothing to compare with.
    """
    trail = Trail()
    asked = policy if demands else replace(policy, apple=None, play=PlayRules((), (), max_age=_ANY_AGE))

    def work() -> Report:
        claims = _claims(kind, evidence, expected, at, known, asked, authorities, trail=trail, decoded=decoded)
        _unaltered_receipt(claims, trail)
        made = tuple(judging.checks(claims, policy))
        left_out = _left_out(claims.kind, known, asked, demands=demands)
        if demands:
            not_judged = tuple(one.step for one in made if one.unnamed and (one.passed or not unnamed_fails))
        else:
            not_judged = (*(one for one in left_out if one in _AGES), *(one.step for one in made))
        counted = [one for one in made if one.step not in not_judged]
        proved = [(step, True) for step in trail.steps if step not in left_out]
        steps = (*proved, *((one.step, one.passed) for one in counted))
        findings = tuple(Rejection(one.code, one.detail, one.step) for one in counted if not one.passed)
        if judging.reaction(findings, policy) in _REFUSES:
            worst = _worst(findings, policy)
            return Report(REJECT, worst.code, worst.detail, claims, steps, findings, not_judged)
        return Report(ACCEPT, None, "", claims, steps, findings, not_judged)

    done = _safely(work, trail)
    if isinstance(done, Report):
        return done
    passed = tuple((step, True) for step in trail.steps[:-1])
    return Report(REJECT, done.code, done.detail, None, (*passed, (done.step, False)))


def tpm_keys(
    ek_certificates: Sequence[bytes], ek_public: bytes, ak_public: bytes, at: int, authorities: Authorities
) -> Rejection | None:
    """Judge the two keys of a TPM, before a credential is made for them; never raises. None: nothing is wrong.

    Args:
        ek_certificates: of the endorsement key and its issuers, DER, leaf first.
        ek_public: its public area.
        ak_public: public area of the attestation key.
        at: Unix seconds it is judged for.
        authorities: whom to believe.
    """
    trail = Trail()

    def work() -> None:
        tpm.check_keys(ek_certificates, ek_public, ak_public, at, authorities.tpm, trail)

    return _safely(work, trail)


def _unaltered_receipt(claims: Claims, trail: Trail) -> None:
    said = str(claims.signals.get("receipt", "absent"))
    if claims.kind != Kind.APP_ATTEST or claims.stand_in or said == "absent":
        return
    trail.step("receipt")
    code = Refusal(said.removeprefix("refused: ")) if said.startswith("refused: ") else Refusal.KEY
    fits = said == "genuine" or code == Refusal.EXPIRED
    trail.must(fits, code, f"the receipt in the attestation was altered, or is not Apple's: {said}")


def _left_out(kind: Kind, known: Known | None, asked: Policy, *, demands: bool) -> frozenset[str]:
    """Return the steps of a verifier that had nothing to compare with: nobody shall read that they were passed."""
    if kind == Kind.PLAY and not demands:
        return _AGES
    unnamed = not (asked.apple and asked.apple.app_ids) and not (known and known.app_ids)
    return frozenset({"application"}) if kind == Kind.APP_ATTEST and unnamed else frozenset()


def _worst(findings: Sequence[Rejection], policy: Policy) -> Rejection:
    """Return the first finding with the worst reaction."""
    return max(findings, key=lambda one: (judging.reaction((one,), policy) or Reaction.OBSERVE).rank)


def _claims(
    kind: str,
    evidence: bytes,
    expected: Expected,
    at: int,
    known: Known | None,
    policy: Policy,
    authorities: Authorities,
    *,
    trail: Trail,
    decoded: play.Decoded | None,
) -> Claims:
    trail.step("size and kind")
    detail = f"{len(evidence)} bytes of evidence, at most {MAX_EVIDENCE} are judged"
    trail.must(len(evidence) <= MAX_EVIDENCE, Refusal.MALFORMED, detail)
    trail.must(kind in list(Kind), Refusal.UNSUPPORTED, f"evidence of kind {ascii(kind)[:80]}")
    if kind == Kind.PLAY:
        return play.verify(evidence, expected, at, known, policy, authorities, trail, decoded)
    return _VERIFIERS[Kind(kind)](evidence, expected, at, known, policy, authorities, trail)


def _safely(work: Callable[[], Outcome], trail: Trail) -> Outcome | Rejection:
    """Do the work; whatever it raises is a rejection at the step that was reached."""
    try:
        return work()
    except RefusedEvidence as refusal:
        return Rejection(refusal.code, _one_line(refusal.detail), trail.steps[-1])
    except Exception as error:  # noqa: BLE001 - the last line of defence: whatever it is, the evidence is refused
        return _not_foreseen(error, trail)
    except BaseException as error:
        if type(error).__module__ == "pyo3_runtime":  # a panic in cryptography's own parsers is no Exception
            return _not_foreseen(error, trail)
        raise


def _one_line(detail: str) -> str:
    """Return a detail as the audit log may take it: whatever evidence says, it writes no line of its own there."""
    text = detail if detail.isascii() and detail.isprintable() else ascii(detail)
    return text if len(text) <= MAX_DETAIL else f"{text[:MAX_DETAIL]}..."


def _not_foreseen(error: BaseException, trail: Trail) -> Rejection:
    return Rejection(Refusal.MALFORMED, f"it cannot be read: {type(error).__name__}", trail.steps[-1])


_AGES = frozenset({"time stamp"})
_ANY_AGE = 2**53  # seconds
_REFUSES = frozenset({Reaction.DENY, Reaction.STEP_UP})
_VERIFIERS: dict[Kind, Verifier] = {
    Kind.APP_ATTEST: apple.verify,
    Kind.ANDROID_KEY: android.verify,
    Kind.TPM: tpm.verify,
}
