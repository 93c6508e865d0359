"""Play Integrity: what Google says about the app and the device that asked (protocol.md section 5).

A classic token is opened here with the app's own keys; a standard one only Google can open, so the caller asks it first
and gives its answer as `Decoded`. Both hold the same verdict. Of it only verdicts and labels are kept: no name of an
account, an installation or another app, and no date but the one it was judged at.

A token names no key of the device. That it is used once follows from the binding, which holds a challenge that is
taken once (protocol.md section 8).
"""

import hashlib
from dataclasses import dataclass, field

from strongroom.attest import play_token, play_verdict
from strongroom.attest.authorities import Authorities
from strongroom.attest.claims import HASHED, Claims, Expected, Kind, Known
from strongroom.attest.play_verdict import Verdict
from strongroom.attest.policy import PlayRules, Policy
from strongroom.attest.verdict import Refusal, RefusedEvidence, Trail
from strongroom.canonical import to_base64url

FUTURE = 30  # seconds that Google's clock may be ahead of ours


@dataclass(frozen=True, slots=True)
class Decoded:
    """What Google answered about one token: made from the answer to our own question, never from a device's bytes.

    Attributes:
        package: that Google was asked about.
        token: SHA-256 of the token that it was asked about.
        verdict: the JSON of its verdict.
    """

    package: str
    token: bytes
    verdict: bytes = field(repr=False)


def packages_to_ask(token: bytes, policy: Policy, authorities: Authorities) -> tuple[str, ...]:
    """Return the packages to ask Google about before `verify`, in order; none if it is opened here, or no token.

    A standard token does not say in clear which app it is for. The policy does, and Google decodes no token under
    another app's name: the first answer is the answer. Google clears the verdict of a token that is decoded again, so
    one answer must do for all that is judged with it.
    """
    if policy.play is None or not play_token.may_be_sealed(token):
        return ()
    if play_token.package_of(token, authorities.play) is not None:
        return ()
    return policy.play.packages


def verify(  # noqa: PLR0917 - the order of all verifiers, and one more
    evidence: bytes,
    expected: Expected,
    at: int,
    known: Known | None,  # noqa: ARG001 - the signature of all verifiers: nothing is remembered of a Play device
    policy: Policy,
    authorities: Authorities,
    trail: Trail,
    decoded: Decoded | None = None,
) -> Claims:
    """Judge a token: genuine, for the app whose keys or name it was opened with, for this request, and fresh.

    Args:
        evidence: the token as the device sent it.
        expected: what it must be made for.
        at: Unix seconds.
        known: not used.
        policy: gives the greatest age of a token; its other rules are for the judge of claims.
        authorities: the apps' keys.
        trail: takes the steps.
        decoded: Google's answer about this token, if it was asked.

    Raises:
        RefusedEvidence: MALFORMED, UNSUPPORTED, CHAIN, APP, BINDING or EXPIRED.
    """
    token = hashlib.sha256(evidence).digest()
    if decoded is None:
        trail.step("key of the app")
        package = play_token.package_of(evidence, authorities.play)
        if package is None:
            raise _not_opened(evidence)
        payload = play_token.read(evidence, authorities.play[package], trail)
    else:
        trail.step("decoded by Google")
        trail.must(decoded.token == token, Refusal.CHAIN, "Google's answer is about another token")
        package, payload = decoded.package, decoded.verdict
    trail.step("verdict")
    verdict = play_verdict.read(payload)
    _check_request(verdict, package, expected, at, policy, trail)
    return Claims(
        kind=Kind.PLAY,
        device_id=token,
        level=verdict.level,
        key_binding=HASHED,
        evidence=token,
        verified_at=at,
        app_ids=(verdict.package,) if verdict.package else (),
        app_version=verdict.version,
        signers=verdict.signers,
        labels=verdict.labels,
        recognition=verdict.recognition,
        licensing=verdict.licensing,
        signals=verdict.signals,
        trust=verdict.trust,
        stand_in=verdict.testing or package in authorities.play_stand_ins,
    )


def _check_request(verdict: Verdict, package: str, expected: Expected, at: int, policy: Policy, trail: Trail) -> None:
    trail.step("application")
    trail.must(verdict.asked_for == package, Refusal.APP, "the token was asked for by another app")
    trail.must(verdict.package in {"", package}, Refusal.APP, "Google saw another app than the one that asked")
    trail.step("binding")
    made_for = [one for one in (verdict.request_hash, verdict.nonce) if one is not None]
    trail.must(len(made_for) == 1, Refusal.MALFORMED, "not exactly one of requestHash and nonce")
    text = to_base64url(expected.binding)
    trail.must(expected.binding and made_for[0] in {text, _padded(text)}, Refusal.BINDING, "made for another request")
    trail.step("time stamp")
    rules = policy.play or PlayRules((), ())
    age = at * 1000 - verdict.milliseconds
    trail.must(age <= rules.max_age * 1000, Refusal.EXPIRED, lambda: f"{age // 1000} seconds old")
    trail.must(age >= -FUTURE * 1000, Refusal.EXPIRED, lambda: f"{-age // 1000} seconds in the future")


def _not_opened(evidence: bytes) -> RefusedEvidence:
    """Say why no key opens a token: it is none, or it is one of another app, altered, or only for Google."""
    play_token.check(evidence)
    detail = "no key of our apps opens this token; a standard one only Google decodes, and it was not asked"
    return RefusedEvidence(Refusal.CHAIN, detail)


def _padded(text: str) -> str:
    return text + "=" * (-len(text) % 4)
