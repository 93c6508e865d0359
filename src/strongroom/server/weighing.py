"""Weigh one piece of evidence: judge it, count the verdict, and refuse in words that only the audit log hears.

See docs/spec/protocol.md section 16.
"""

from collections.abc import Sequence

import structlog

from strongroom.attest import judge, play
from strongroom.attest.claims import Claims, Expected, Kind, Known
from strongroom.attest.judge import Judged
from strongroom.attest.policy import Policy
from strongroom.attest.verdict import JUDGED_BY_POLICY, Reaction, Refusal, Rejection
from strongroom.errors import Code, RefusedError, UnreachableError
from strongroom.server.attestation import play_port
from strongroom.server.attestation.breaker import Reading
from strongroom.server.audit import Event, event
from strongroom.server.identify import Visit
from strongroom.server.office import Office
from strongroom.server.ports import AuditEvent
from strongroom.wire.messages import Evidence

UNAVAILABLE = "unavailable"  # the kind of evidence that says why there is none
MOST_SAID = 300  # characters of a reason in the audit log

_DECODING = "decoded by Google"
_KINDS = frozenset(Kind)
_log = structlog.get_logger(__name__)


class AttestationRefusedError(RefusedError):
    """A refusal with what the audit log is told of it; the device learns the code alone.

    Attributes:
        detail: fields of the audit row.
    """

    def __init__(self, reaction: Reaction, rejection: Rejection, kind: str, policy: Policy | None) -> None:
        if reaction == Reaction.DENY:
            super().__init__(Code.EVIDENCE, "attestation refused", where=kind)
        else:
            super().__init__(Code.ATTESTATION_NEEDED, "attestation is needed", where=kind)
        self.detail: dict[str, str | int] = {
            "kind": kind,
            "verdict": str(rejection.code),
            "step": rejection.step,
            "detail": said(rejection.detail),
            **({} if policy is None else about(policy)),
        }

    def event(self, actor: str, subject: str, visit: Visit) -> AuditEvent:
        """Return the row that says what was wrong, and by which rules."""
        name = Event.ATTESTATION_REFUSED if self.code == Code.EVIDENCE else Event.ATTESTATION_NEEDED
        return event(name, at=visit.now, actor=actor, subject=subject, reference=visit.reference, **self.detail)


def about(policy: Policy) -> dict[str, str | int]:
    """Return how an audit row names the rules."""
    return {"policy": policy.name, "policy_version": policy.version, "policy_digest": policy.digest.hex()}


def said(text: str) -> str:
    """Return text of hostile origin as an audit row may hold it: short, printable, with a UTF-8 form."""
    return ascii(text[:MOST_SAID])[1:-1]


def sort(evidence: Sequence[Evidence]) -> tuple[list[Evidence], str]:
    """Return the pieces to judge, and why others could not be had ("" if nothing is said of that).

    Raises:
        RefusedError: EVIDENCE for a kind that nobody knows, and for two pieces of one kind.
    """
    pieces = [one for one in evidence if one.kind != UNAVAILABLE]
    for one in pieces:
        if one.kind not in _KINDS:
            # Fails closed: evidence that is not judged must not look as if it had been.
            unknown = Rejection(Refusal.UNSUPPORTED, "evidence of a kind that nobody judges here")
            raise AttestationRefusedError(Reaction.DENY, unknown, one.kind, None)
    if len({one.kind for one in pieces}) != len(pieces):  # so one request costs four verifications and no more
        twice = Rejection(Refusal.MALFORMED, "two pieces of evidence of one kind")
        raise AttestationRefusedError(Reaction.DENY, twice, pieces[0].kind, None)
    reasons = [one.data.decode("utf-8", "replace") or "no reason given" for one in evidence if one.kind == UNAVAILABLE]
    return pieces, "; ".join(reasons)


async def weigh(
    office: Office,
    kind: Kind,
    data: bytes,
    expected: Expected,
    known: Known | None,
    policy: Policy,
    *,
    who: str,
    visit: Visit,
) -> Judged | Rejection:
    """Judge one piece by one policy.

    Args:
        office: authorities, and the way to Google.
        who: the device that asks; Google is asked so often for each.
        kind: one that the policy takes.
        data: as sent.
        expected: what it must be made for.
        known: what is remembered of the device's key.
        policy: the rules.
        visit: its time.
    """
    asked = await ask_google(office, kind, data, (policy,), who, visit)
    if isinstance(asked, Rejection):
        return asked
    believed = office.attestation.believed(visit.now)
    return judge.verify(kind, data, expected, visit.now, known, policy, believed, decoded=asked)


async def weigh_new(
    office: Office, kind: Kind, data: bytes, expected: Expected, policies: Sequence[Policy], *, who: str, visit: Visit
) -> tuple[Judged | Rejection, Policy]:
    """Judge one piece of a device that is not known by several policies: it is proved once, and Google asked once.

    Args:
        office: authorities, and the way to Google.
        kind: one that all of the policies take.
        data: as sent.
        expected: what it must be made for.
        policies: the rules, at least one.
        who: the user whose device it is to be; Google is asked so often for each.
        visit: its time.

    Returns:
        What the first policy says that accepts it, else what the first of all says; and that policy.
    """
    asked = await ask_google(office, kind, data, policies, who, visit)
    if isinstance(asked, Rejection):
        return asked, policies[0]
    believed = office.attestation.believed(visit.now)
    proven: dict[int, Claims | Rejection] = {}
    refused: tuple[Rejection, Policy] | None = None
    for policy in policies:
        age = _token_age(policy, kind)
        if age not in proven:
            rules = judge.widest([one for one in policies if _token_age(one, kind) == age])
            proven[age] = judge.prove(kind, data, expected, visit.now, None, rules, believed, decoded=asked)
        claims = proven[age]
        verdict = claims if isinstance(claims, Rejection) else judge.appraise(claims, policy, visit.now)
        if isinstance(verdict, Judged):
            return verdict, policy
        refused = refused or (verdict, policy)
    return refused or (Rejection(Refusal.POLICY, "no rules take evidence of this kind"), policies[0])


async def ask_google(
    office: Office, kind: Kind, token: bytes, policies: Sequence[Policy], who: str, visit: Visit
) -> play.Decoded | Rejection | None:
    """Return what Google says of a token; None for one that is opened here, or is none, and for other evidence.

    It is asked once for each token: a second answer about the same one holds no verdict.
    """
    decoder, authorities = office.attestation.decoder, office.attestation.authorities
    if kind != Kind.PLAY or decoder is None:
        return None
    packages = dict.fromkeys(one for policy in policies for one in play.packages_to_ask(token, policy, authorities))
    if not packages:
        return None
    if not office.attestation.rations.take(who, visit.now):
        return Rejection(Refusal.UNAVAILABLE, "it made us ask Google too often within an hour", _DECODING)
    try:
        return await play_port.ask(decoder, token, tuple(packages))
    except UnreachableError as error:
        known = error.code == Code.EVIDENCE
        return Rejection(Refusal.CHAIN if known else Refusal.UNAVAILABLE, error.what, _DECODING)


def _token_age(policy: Policy, kind: Kind) -> int:
    """Return the greatest age of a token: the one demand that a verifier compares itself."""
    return policy.play.max_age if kind == Kind.PLAY and policy.play else 0


async def settle(office: Office, policy: Policy, kind: Kind, verdict: Judged | Rejection, visit: Visit) -> Judged:
    """Count a verdict, say so if that opens or closes the breaker, and refuse what was rejected.

    Where the rules say deny and too many verdicts fail at once, it is a step-up; it is never a grant.

    Raises:
        RefusedError: EVIDENCE or ATTESTATION_NEEDED, as the rules say.
        StoreError: DATABASE.
    """
    reading = office.attestation.breaker.note(str(kind), visit.now, failed=isinstance(verdict, Rejection))
    if reading.changed:
        await _say(office, kind, reading, visit)
    if isinstance(verdict, Judged):
        return verdict
    asked = policy.reaction(verdict.code) if verdict.code in JUDGED_BY_POLICY else Reaction.DENY
    mild = reading.open or asked == Reaction.STEP_UP
    raise AttestationRefusedError(Reaction.STEP_UP if mild else Reaction.DENY, verdict, str(kind), policy)


async def _say(office: Office, kind: Kind, reading: Reading, visit: Visit) -> None:
    name = Event.BREAKER_OPENED if reading.open else Event.BREAKER_CLOSED
    what = "many verdicts fail: denials are step-ups now" if reading.open else "verdicts fail no more than usual"
    counted = {"verdicts": reading.verdicts, "failed": reading.failed}
    _log.warning(what, kind=str(kind), **counted)
    async with office.ledger.begin() as tx:
        await tx.add_audit(event(name, at=visit.now, actor="", subject=str(kind), **counted))
