"""Activations: a credential that one TPM alone opens, so that its two keys are known to be in one chip.

See docs/spec/protocol.md section 17. Nothing is remembered: the secret is a MAC over the challenge and both keys, so
the enrolment that brings it back makes it again and compares.
"""

import hashlib

from strongroom.attest import judge, tpm
from strongroom.attest.claims import Kind
from strongroom.attest.verdict import Reaction
from strongroom.errors import Code, DeniedError, StrongroomError
from strongroom.server import challenges
from strongroom.server.audit import Event, event
from strongroom.server.identify import UserCaller, Visit
from strongroom.server.office import Office
from strongroom.server.ports import KeyVault
from strongroom.server.weighing import AttestationRefusedError
from strongroom.wire.activation import ActivationAnswer, ActivationRequest
from strongroom.wire.tpm.structs import Public

LABEL = b"strongroom/tpm-activation/v1\0"


async def activate(office: Office, caller: UserCaller, request: ActivationRequest, visit: Visit) -> ActivationAnswer:
    """Make a credential for the keys of a device that is about to enrol.

    Raises:
        DeniedError: CHALLENGE, if it is not one of this caller's to enrol, or used up; NOT_FOUND where no rules take a
            TPM's evidence.
        RefusedError: EVIDENCE for keys of no TPM that is believed in.
        StoreError: DATABASE.
    """
    try:
        await challenges.look(office, caller, request.challenge, challenges.ENROL, visit)
        _check(office, request, visit)
    except StrongroomError as error:
        await _refused(office, caller, error, visit)
        raise
    ek, ak = Public.parse(request.ek_public), Public.parse(request.ak_public)
    secret = secret_of(office.vault, request.challenge, ek, ak)
    return ActivationAnswer(tpm.make_credential(ek.raw, ak.name(), secret, office.random), visit.now)


def secret_of(vault: KeyVault, challenge: bytes, ek: Public, ak: Public) -> bytes:
    """Return the 32 bytes that a credential for these two keys holds."""
    return vault.mac(LABEL + challenge + hashlib.sha256(ek.raw).digest() + ak.name())


def _check(office: Office, request: ActivationRequest, visit: Visit) -> None:
    if not any(Kind.TPM in policy.kinds for policy in office.attestation.policies.every()):
        raise DeniedError(Code.NOT_FOUND, "no model here asks for a TPM", next_step="enrol without evidence of one")
    believed = office.attestation.believed(visit.now)
    keys = (request.ek_certificates, request.ek_public, request.ak_public)
    refused = judge.tpm_keys(*keys, visit.now, believed)
    if refused is not None:
        raise AttestationRefusedError(Reaction.DENY, refused, str(Kind.TPM), None)


async def _refused(office: Office, caller: UserCaller, error: StrongroomError, visit: Visit) -> None:
    detail = error.detail if isinstance(error, AttestationRefusedError) else {}
    row = event(
        Event.ACTIVATION_REFUSED,
        at=visit.now,
        actor=caller.user.id,
        subject=caller.account.id,
        code=str(error.code),
        reference=visit.reference,
        **detail,
    )
    async with office.ledger.begin() as tx:
        await tx.add_audit(row)
