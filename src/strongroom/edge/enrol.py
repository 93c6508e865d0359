"""Enrolling: a device key becomes known to the office, once per installation (docs/spec/protocol.md section 7)."""

import hashlib

from strongroom.edge import attesting, facts
from strongroom.edge.evidence import Attestor
from strongroom.edge.exchange import Line, Token
from strongroom.edge.state import Identity
from strongroom.errors import Code, DeniedError, InputError, RefusedError
from strongroom.signing import PublicKey
from strongroom.wire.binding import Binding
from strongroom.wire.messages import EnrolAnswer, EnrolRequest
from strongroom.wire.proofs import prove

PATH = "/v1/devices"


def enrol(line: Line, user_token: str, attestor: Attestor | None = None) -> Identity:
    """Show a user's token and the device key; return who the office says this device is.

    The same key enrolled again by the same user keeps its identifier and gets a fresh token.

    Args:
        line: the way to the office, signing with the device key.
        user_token: the user's access token; used here and never kept.
        attestor: what vouches for this device.

    Raises:
        InputError: CONFLICT, if another user's token enrolled this device.
        DeniedError: UNAUTHENTICATED, TOKEN, PROOF, CHALLENGE.
        RefusedError: EVIDENCE or ATTESTATION_NEEDED, for evidence that does not convince.
        StrongroomError: as the attestor.
        UnreachableError: no connection, a wrong pin, an answer that is no answer.
        IntegrityError: SHAPE or JSON_NOT_CANONICAL, if the answer is malformed.
    """
    token = Token("Bearer", user_token)
    attesting.prepare(attestor)
    challenge = line.challenge("enrol", None, token).challenge
    device = facts.describe(None)
    key = line.signer.public
    binding = Binding.enrol(challenge=challenge, device_key=thumbprint(key), platform=device.platform)
    try:
        evidence = attesting.of_enrolment(attestor, line, challenge, binding, token)
        unproven = EnrolRequest(challenge, key, device, evidence, "")
        request = prove(unproven, line.signer, binding, "POST", line.url(PATH), user_token)
        answer = EnrolAnswer.from_bytes(line.post(PATH, request.to_bytes(), token, limit=EnrolAnswer.LIMIT))
    except (DeniedError, RefusedError, InputError) as error:  # of any other the office may have said yes
        attesting.refused(attestor)
        if error.code == Code.CONFLICT:  # one key is one user's device
            error.next_step = "use a token of the user who enrolled this device, or another device directory (home)"
        raise
    if evidence:
        attesting.enrolled(attestor)
    return Identity(answer.device_id, answer.account, answer.token, answer.token_expires)


def thumbprint(key: PublicKey) -> bytes:
    """SHA-256 of a key's SubjectPublicKeyInfo: how bindings and leases name the device."""
    return hashlib.sha256(key.spki()).digest()
