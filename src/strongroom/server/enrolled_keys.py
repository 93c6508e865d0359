"""The evidence of an enrolment: a device's attested key becomes known (docs/spec/protocol.md section 16).

It is kept if the rules of at least one model take it; each release judges by the rules of its own model again.
"""

import hmac
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
from strongroom.server.identify import Visit
from strongroom.server.office import Office
from strongroom.server.ports import Transaction
from strongroom.server.weighing import AttestationRefusedError, about, ask_google, said, settle, sort, weigh
from strongroom.wire.binding import Binding
from strongroom.wire.messages import Evidence


@dataclass(frozen=True, slots=True)
class EnrolledKeys:
    """What an enrolment proved; nothing of it is written down yet.

    Attributes:
        accepted: each piece, and the rules that took it.
        missing: why others could not be had.
    """

    accepted: tuple[tuple[Judged, Policy], ...]
    missing: str

    def facts(self) -> dict[str, str | int]:
        """Return what the audit row of the enrolment says of it."""
        row: dict[str, str | int] = {}
        row["evidence"] = " ".join(str(one.claims.kind) for one, _ in self.accepted) or "none"
        if self.missing:
            row["missing"] = said(self.missing)
        return row

    async def keep(self, tx: Transaction, office: Office, device: str, actor: str, visit: Visit) -> None:
        """Remember the keys in the place of those from before, in the transaction of the device's row."""
        before = {row.kind: row.revision for row in await tx.attestations(device)}
        for judged, policy in self.accepted:
            claims, digest = judged.claims, policy.digest.hex()
            if claims.kind in REFERRING and claims.known is not None:
                revision = before.get(claims.kind, 0) + 1
                row = remembered.first(
                    office.vault, device, claims.known, at=visit.now, policy=digest, revision=revision
                )
                await tx.keep_attestation(row)
            detail = {"kind": str(claims.kind), "level": str(claims.level), "attested_key": claims.device_id.hex()}
            if claims.stand_in:
                detail["stand_in"] = "yes"
            row_of = event(Event.DEVICE_ATTESTED, at=visit.now, actor=actor, subject=device, **detail, **about(policy))
            await tx.add_audit(row_of)


async def judged(
    office: Office, challenge: bytes, evidence: Sequence[Evidence], binding: Binding, visit: Visit
) -> EnrolledKeys:
    """Judge the evidence of an enrolment, which may have none.

    Args:
        office: policies and authorities.
        challenge: of the request, used up.
        evidence: as sent.
        binding: what the request is for, of the server's own making.
        visit: time and reference.

    Raises:
        RefusedError: EVIDENCE or ATTESTATION_NEEDED, for a piece that no rules take.
        StoreError: DATABASE.
    """
    pieces, missing = sort(evidence)
    accepted = []
    for one in pieces:
        kind = Kind(one.kind)
        takers = [policy for policy in office.attestation.policies.every() if kind in policy.kinds]
        if not takers:
            strange = Rejection(Refusal.POLICY, "no rules take evidence of this kind", "kind")
            raise AttestationRefusedError(Reaction.DENY, strange, one.kind, None)
        verdict, policy = await _by_any(office, kind, one.data, binding, takers, visit)
        if kind == Kind.TPM and isinstance(verdict, Judged):
            verdict = _activated(office, challenge, one.data) or verdict
        if isinstance(verdict, Rejection) and verdict.code == Refusal.UNAVAILABLE:
            missing = missing or f"{kind}: {verdict.detail}"
            continue
        accepted.append((await settle(office, policy, kind, verdict, visit), policy))
    return EnrolledKeys(tuple(accepted), missing)


async def _by_any(
    office: Office, kind: Kind, data: bytes, binding: Binding, takers: Sequence[Policy], visit: Visit
) -> tuple[Judged | Rejection, Policy]:
    """Return what the first rules say that accept it, else what the first of all say."""
    refused: tuple[Rejection, Policy] | None = None
    asked = await ask_google(office, kind, data, takers[0])
    for policy in takers:
        if isinstance(asked, Rejection):
            return asked, policy
        rules = replace(policy, key_binding=HASHED)  # no key is given out that could be bound
        verdict = weigh(office, kind, data, expected_of(binding), None, rules, visit=visit, decoded=asked)
        if isinstance(verdict, Judged) and kind in REFERRING and not verdict.claims.fresh:
            verdict = Rejection(Refusal.KEY, "it refers to a key from before, and attests none", "known keys")
        if isinstance(verdict, Judged):
            return verdict, policy
        refused = refused or (verdict, policy)
    return refused or (Rejection(Refusal.POLICY, "no rules take evidence of this kind"), takers[0])


def _activated(office: Office, challenge: bytes, data: bytes) -> Rejection | None:
    """See that the device opened the credential that was made for these two keys and this challenge."""
    found = tpm.read(data)  # read before: it has just been judged
    if found.ek is None:
        return Rejection(Refusal.KEY, "no endorsement key", "activation")
    if not hmac.compare_digest(found.activation, secret_of(office.vault, challenge, found.ek, found.ak)):
        return Rejection(Refusal.KEY, "it was not shown that both keys are in one TPM", "activation")
    return None
