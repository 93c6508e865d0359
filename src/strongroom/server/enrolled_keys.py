"""The evidence of an enrolment: a device's attested key becomes known (docs/spec/protocol.md section 16).

It is kept if the rules of at least one model take it; each release judges by the rules of its own model again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from strongroom.attest import tpm
from strongroom.attest.claims import HASHED, Kind
from strongroom.attest.judge import Judged
from strongroom.attest.policy import Policy
from strongroom.attest.verdict import Reaction, Refusal, Rejection
from strongroom.server.activations import secret_of
from strongroom.server.attestation import remembered
from strongroom.server.attestation.remembered import REFERRING
from strongroom.server.attested import expected_of
from strongroom.server.audit import Event, event
from strongroom.server.identify import ACTIVE, Visit
from strongroom.server.office import Office
from strongroom.server.ports import AttestationRow, Transaction
from strongroom.server.weighing import AttestationRefusedError, about, said, settle, sort, weigh_new
from strongroom.wire.binding import Binding
from strongroom.wire.messages import Evidence


@dataclass(frozen=True, slots=True)
class EnrolledKeys:
    """What an enrolment proved; nothing of it is written down yet.

    Attributes:
        accepted: each piece, and the rules that took it.
        missing: why others could not be had.
        unread: kinds of evidence that no rules take, where some serve whoever proves nothing.
    """

    accepted: tuple[tuple[Judged, Policy], ...]
    missing: str
    unread: tuple[str, ...] = ()

    def facts(self) -> dict[str, str | int]:
        """Return what the audit row of the enrolment says of it."""
        row: dict[str, str | int] = {}
        row["evidence"] = " ".join(str(one.claims.kind) for one, _ in self.accepted) or "none"
        if self.missing:
            row["missing"] = said(self.missing)
        if self.unread:
            row["not_judged"] = " ".join(self.unread)
        return row

    async def keep(self, tx: Transaction, office: Office, device: str, actor: str, visit: Visit) -> None:
        """Remember the keys in the place of those from before, in the transaction of the device's row.

        Raises:
            RefusedError: EVIDENCE for hardware that is another device's, or a blocked one's.
            StoreError: DATABASE.
        """
        rows = await tx.attestations(device)
        before = {row.kind: row.revision for row in rows if remembered.read(office.vault, row) is not None}
        for judged, policy in self.accepted:
            claims, digest = judged.claims, policy.digest.hex()
            if claims.kind not in REFERRING or claims.known is None:
                continue  # nothing refers to it later: that it was shown is in the row of the enrolment
            revision = before.get(claims.kind, 0) + 1
            row = remembered.first(office.vault, device, claims.known, at=visit.now, policy=digest, revision=revision)
            await _refuse_taken(tx, row, policy, actor, visit)
            await tx.keep_attestation(row)
            detail = {"kind": str(claims.kind), "level": str(claims.level), "attested_key": claims.device_id.hex()}
            if claims.stand_in:
                detail["stand_in"] = "yes"
            row_of = event(Event.DEVICE_ATTESTED, at=visit.now, actor=actor, subject=device, **detail, **about(policy))
            await tx.add_audit(row_of)


async def judged(
    office: Office, user: str, challenge: bytes, evidence: Sequence[Evidence], binding: Binding, visit: Visit
) -> EnrolledKeys:
    """Judge the evidence of an enrolment, which may have none.

    Args:
        office: policies and authorities.
        user: whose device it is to be.
        challenge: of the request, used up.
        evidence: as sent.
        binding: what the request is for, of the server's own making.
        visit: time and reference.

    Raises:
        RefusedError: EVIDENCE or ATTESTATION_NEEDED, for a piece that no rules take.
        StoreError: DATABASE.
    """
    pieces, missing = sort(evidence)
    accepted, unread = [], []
    everyone = office.attestation.policies.every()
    for one in pieces:
        kind = Kind(one.kind)
        takers = [policy for policy in everyone if kind in policy.kinds]
        if not takers and any(policy.unattested for policy in everyone):
            unread.append(one.kind)
            continue
        if not takers:
            strange = Rejection(Refusal.POLICY, "no rules take evidence of this kind", "kind")
            raise AttestationRefusedError(Reaction.DENY, strange, one.kind, None)
        verdict, policy = await _by_any(office, user, one, binding, takers, visit)
        if kind == Kind.TPM and isinstance(verdict, Judged):
            verdict = _activated(office, challenge, one.data) or verdict
        if isinstance(verdict, Rejection) and verdict.code == Refusal.UNAVAILABLE:
            missing = missing or f"{kind}: {verdict.detail}"
            continue
        accepted.append((await settle(office, policy, kind, verdict, visit), policy))
    return EnrolledKeys(tuple(accepted), missing, tuple(unread))


async def _by_any(
    office: Office, user: str, one: Evidence, binding: Binding, takers: Sequence[Policy], visit: Visit
) -> tuple[Judged | Rejection, Policy]:
    """Return what the first rules say that accept it, else what the first of all say."""
    rules = [replace(policy, key_binding=HASHED) for policy in takers]  # no key is given out that could be bound
    kind = Kind(one.kind)
    verdict, policy = await weigh_new(office, kind, one.data, expected_of(binding), rules, who=user, visit=visit)
    if isinstance(verdict, Judged) and kind in REFERRING and not verdict.claims.fresh:
        verdict = Rejection(Refusal.KEY, "it refers to a key from before, and attests none", "known keys")
    return verdict, takers[rules.index(policy)]


def _activated(office: Office, challenge: bytes, data: bytes) -> Rejection | None:
    """See that the device opened the credential that was made for these two keys and this challenge."""
    found = tpm.read(data)  # read before: it has just been judged
    if found.ek is None:
        return Rejection(Refusal.KEY, "no endorsement key", "activation")
    if not tpm.activated(found, secret_of(office.vault, challenge, found.ek, found.ak)):
        return Rejection(Refusal.KEY, "it was not shown that both keys are in one TPM", "activation")
    return None


async def _refuse_taken(tx: Transaction, row: AttestationRow, policy: Policy, actor: str, visit: Visit) -> None:
    """Refuse a phone's key that is another device's, and a chip of a blocked one; say so of one that is shared."""
    others = await tx.devices_with(row.kind, row.hardware, besides=row.device)
    if not others:
        return
    # An App Attest key is made by one installation for itself; a machine's one chip serves all who work at it.
    if row.kind == Kind.APP_ATTEST or others[0].state != ACTIVE:  # blocked ones come first
        taken = Rejection(Refusal.KEY, f"the same hardware is known as {others[0].id}, {others[0].state}", "hardware")
        raise AttestationRefusedError(Reaction.DENY, taken, row.kind, policy)
    device = await tx.device(row.device)
    shared = {
        "kind": row.kind,
        "account": "" if device is None else device.account,
        "others": " ".join(one.id for one in others),
        "other_accounts": " ".join(one.account for one in others),
    }
    await tx.add_audit(event(Event.ATTESTATION_SHARED, at=visit.now, actor=actor, subject=row.device, **shared))
