"""The evidence of one release or renewal, judged by the rules of its model (docs/spec/protocol.md section 16).

Three things are kept apart: evidence that is bad, which is refused; evidence that could not be had, which the rules
answer with a step-up unless they say otherwise; and a model without rules, which nobody gets.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from strongroom.attest.claims import HASHED, IN_HARDWARE, Claims, Expected, Kind, Known
from strongroom.attest.judge import Judged
from strongroom.attest.policy import Policy
from strongroom.attest.verdict import Reaction, Refusal, Rejection
from strongroom.errors import Code, InternalError
from strongroom.server.attestation import remembered
from strongroom.server.attestation.remembered import REFERRING
from strongroom.server.audit import Event, event
from strongroom.server.identify import REFUSAL_SECONDS, Visit
from strongroom.server.office import Office
from strongroom.server.ports import AttestationRow, Transaction
from strongroom.server.weighing import (
    UNAVAILABLE,
    AttestationRefusedError,
    about,
    said,
    settle,
    sort,
    weigh,
)
from strongroom.wire.binding import Binding
from strongroom.wire.messages import Evidence

_TOO_OLD = "its key was attested too long ago"
_NOT_ENROLLED = "its key was not attested when the device enrolled"


@dataclass(frozen=True, slots=True)
class Attested:
    """What the evidence of one request came to; nothing of it is written down yet.

    Attributes:
        policy: the rules it was judged by.
        judged: what was accepted; () for a device that proves nothing and is served all the same.
        reaction: OBSERVE or SHORT_LEASE, the worst of what follows; None if nothing does.
        moves: rows as they were when they were judged by, and as they are to be.
        missing: why something, or all of it, could not be attested; "" if nothing is said of that.
        unread: kinds of evidence that were sent and that the rules do not take.
    """

    policy: Policy
    judged: tuple[Judged, ...] = ()
    reaction: Reaction | None = None
    moves: tuple[tuple[AttestationRow, AttestationRow], ...] = field(default=(), repr=False)
    missing: str = ""
    unread: tuple[str, ...] = ()

    @property
    def reactions(self) -> tuple[str, ...]:
        """The words that a grant or renewal tells the device."""
        return (str(self.reaction),) if self.reaction == Reaction.SHORT_LEASE else ()

    def lease_seconds(self, usual: int) -> int:
        """Return how long a lease may run."""
        return min(usual, self.policy.short_lease) if self.reaction == Reaction.SHORT_LEASE else usual

    @property
    def chip(self) -> Known | None:
        """The TPM that vouched for itself, if one did: the keys are wrapped for it."""
        chips = (one.claims.known for one in self.judged if one.claims.kind == Kind.TPM)
        return next((known for known in chips if known is not None and known.ek), None)

    async def advance(self, tx: Transaction) -> None:
        """Move counters and clocks on, if they still are what this was judged by.

        Raises:
            RefusedError: EVIDENCE, if another request was quicker.
        """
        for before, after in self.moves:
            if not await tx.advance_attestation(after, before=before):
                late = Rejection(Refusal.REPLAY, "another request by the same key was quicker", "counter")
                raise AttestationRefusedError(Reaction.DENY, late, before.kind, self.policy)

    def facts(self) -> dict[str, str | int]:
        """Return what the audit row of a grant or renewal says of it."""
        found = sorted({str(one.code) for judged in self.judged for one in judged.findings})
        row = {"evidence": " ".join(str(one.claims.kind) for one in self.judged) or "none", **about(self.policy)}
        if self.judged:
            first = self.judged[0].claims
            row |= {"attested_key": first.device_id.hex(), "level": str(first.level), "key_binding": first.key_binding}
        if any(one.claims.stand_in for one in self.judged):
            row["stand_in"] = "yes"
        if self.missing:
            row["missing"] = said(self.missing)
        if self.unread:
            row["not_judged"] = " ".join(self.unread)
        if found:
            row["findings"] = " ".join(found)
        if self.reaction is not None:
            row["reaction"] = str(self.reaction)
        return row


def expected_of(binding: Binding) -> Expected:
    """Return what evidence must be made for, by the server's own records of the request."""
    keyless = replace(binding, kem=0, public_key=b"").digest() if binding.kem else b""
    return Expected(binding.digest(), keyless, binding.kem, binding.public_key)


async def judged(
    office: Office, device: str, model: str, evidence: Sequence[Evidence], binding: Binding, visit: Visit
) -> Attested:
    """Judge the evidence of a release or renewal.

    Args:
        office: policies, authorities, and the ledger that remembers attested keys.
        device: its identifier.
        model: whose rules hold.
        evidence: as sent.
        binding: what the request is for, of the server's own making.
        visit: time and reference.

    Raises:
        RefusedError: EVIDENCE for evidence that does not convince; ATTESTATION_NEEDED where there is none, or the key
            was attested too long ago.
        StoreError: DATABASE.
    """
    policy = office.attestation.policies.of(model)
    if not binding.kem:
        policy = replace(policy, key_binding=HASHED)  # no key is given out that could be bound
    pieces, missing = sort(evidence)
    pieces, unread = _taken(policy, pieces)
    expected = expected_of(binding)
    rows = await _remembered(office, device, visit) if pieces else {}
    accepted: list[Judged] = []
    moves: list[tuple[AttestationRow, AttestationRow]] = []
    for one in pieces:
        kind = Kind(one.kind)
        row, known = rows.get(kind, (None, None))
        if known is None and kind in REFERRING:
            missing = missing or _NOT_ENROLLED
            continue
        verdict = await _weighed(office, device, one, expected, known, policy, visit)
        if isinstance(verdict, Rejection) and verdict.code == Refusal.UNAVAILABLE:
            missing = missing or f"{kind}: {verdict.detail}"
            continue
        judged_ = await settle(office, policy, kind, verdict, visit)
        if policy.unattested and row is not None and _too_old(row, policy, visit):
            missing = missing or f"{kind}: {_TOO_OLD}"
            continue
        if row is not None:
            moves.append(_move(office, policy, row, judged_.claims, visit))
        accepted.append(judged_)
    if not accepted:
        return _without(policy, missing, unread)
    reactions = [one.reaction for one in accepted if one.reaction is not None]
    worst = max(reactions, key=lambda one: one.rank, default=None)
    return Attested(policy, tuple(accepted), worst, tuple(moves), missing, unread)


async def _weighed(
    office: Office, device: str, one: Evidence, expected: Expected, known: Known | None, policy: Policy, visit: Visit
) -> Judged | Rejection:
    """Judge a piece, with what holds for releases and renewals alone."""
    kind = Kind(one.kind)
    chip = kind == Kind.TPM and known is not None and bool(known.ek)
    # What binds the keys to a TPM is not in its evidence: the office does, since it wraps them for this one chip.
    rules = replace(policy, key_binding=HASHED) if chip else policy
    verdict = await weigh(office, kind, one.data, expected, known, rules, who=device, visit=visit)
    if isinstance(verdict, Rejection):
        return verdict
    if kind in REFERRING and verdict.claims.fresh:
        return Rejection(Refusal.KEY, "a new key is attested when a device enrols, and not here", "known keys")
    if chip and expected.kem:
        return replace(verdict, claims=replace(verdict.claims, key_binding=IN_HARDWARE))
    return verdict


def _move(
    office: Office, policy: Policy, row: AttestationRow, claims: Claims, visit: Visit
) -> tuple[AttestationRow, AttestationRow]:
    if _too_old(row, policy, visit):
        old = Rejection(Refusal.UNAVAILABLE, _TOO_OLD, "age of the key")
        raise AttestationRefusedError(Reaction.STEP_UP, old, row.kind, policy)
    if claims.known is None:
        raise InternalError(Code.INTERNAL, f"evidence of kind {claims.kind} without a key to remember")
    return row, remembered.later(office.vault, row, claims.known, at=visit.now, policy=policy.digest.hex())


def _too_old(row: AttestationRow, policy: Policy, visit: Visit) -> bool:
    return visit.now >= row.attested + policy.attest_again


def _without(policy: Policy, missing: str, unread: tuple[str, ...]) -> Attested:
    """Say what follows where nothing was attested: refuse, unless the rules are milder."""
    if policy.unattested:
        return Attested(policy, missing=missing, unread=unread)
    if not policy.kinds:
        none = Rejection(Refusal.POLICY, "there are no rules by which anybody gets this model")
        raise AttestationRefusedError(Reaction.DENY, none, UNAVAILABLE, policy)
    missing = missing or "the request has no evidence"
    reaction = policy.reaction(Refusal.UNAVAILABLE)
    if reaction.rank >= Reaction.STEP_UP.rank:
        raise AttestationRefusedError(reaction, Rejection(Refusal.UNAVAILABLE, missing), UNAVAILABLE, policy)
    return Attested(policy, reaction=reaction, missing=missing, unread=unread)


def _taken(policy: Policy, pieces: Sequence[Evidence]) -> tuple[list[Evidence], tuple[str, ...]]:
    """Return the pieces of the kinds that the rules take, and the other kinds, which are not even read.

    Rules that serve whoever proves nothing mind no kind that is known here: a device may show what another model asks
    for, or what this one asked for yesterday.

    Raises:
        RefusedError: EVIDENCE if there are pieces, and none that these rules take.
    """
    taken = [one for one in pieces if one.kind in policy.kinds]
    if pieces and not taken and not policy.unattested:
        strange = Rejection(Refusal.POLICY, f"the rules for {policy.name} take no evidence of this kind", "kind")
        raise AttestationRefusedError(Reaction.DENY, strange, pieces[0].kind, policy)
    return taken, tuple(one.kind for one in pieces if one.kind not in policy.kinds)


async def _remembered(office: Office, device: str, visit: Visit) -> Mapping[str, tuple[AttestationRow, Known]]:
    """Return what is remembered of a device's keys; rows that somebody forged are reported, and not believed."""
    async with office.ledger.begin() as tx:
        rows = await tx.attestations(device)
    found = [(row, remembered.read(office.vault, row)) for row in rows]
    for row, known in found:
        seen, now = f"forged:{device}:{row.kind}", visit.now
        if known is None and await office.counters.once(seen, made=now, expires=now + REFUSAL_SECONDS, now=now):
            async with office.ledger.begin() as tx:
                name = Event.ATTESTATION_FORGED
                await tx.add_audit(event(name, at=now, actor=device, subject=device, kind=row.kind))
    return {row.kind: (row, known) for row, known in found if known is not None}
