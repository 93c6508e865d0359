"""What vouches for this device: an app's own attestor, or the TPM that keeps its keys (protocol.md sections 16, 17)."""

import logging
from dataclasses import replace

from strongroom.edge.evidence import Attestor, Requested, TwoKeys
from strongroom.edge.evidence.tpm import TpmAttestor
from strongroom.edge.exchange import Line, Token
from strongroom.edge.keystore import Keystore
from strongroom.edge.keystore.tpm import TpmKeystore
from strongroom.errors import Code, DeniedError
from strongroom.wire.activation import ActivationAnswer, ActivationRequest
from strongroom.wire.binding import Binding
from strongroom.wire.messages import Evidence

ACTIVATIONS = "/v1/activations"

_log = logging.getLogger(__name__)


def to_enrol(keystore: Keystore, given: Attestor | None) -> Attestor | None:
    """Return what vouches for this device when it enrols, None if nothing does."""
    if given is None and isinstance(keystore, TpmKeystore):
        return TpmAttestor(keystore)
    return given


def to_ask(keystore: Keystore, given: Attestor | None) -> Attestor | None:
    """Return what vouches for this device when it asks for something; a TPM that was never attested does not.

    Raises:
        StoreError: as the keystore.
    """
    if given is None and isinstance(keystore, TpmKeystore):
        return TpmAttestor(keystore) if keystore.attestation_key() is not None else None
    return given


def of_enrolment(
    attestor: Attestor | None, line: Line, challenge: bytes, binding: Binding, token: Token
) -> tuple[Evidence, ...]:
    """Return the evidence of an enrolment; none if nothing vouches for this device, or the office asks for no TPM.

    Args:
        attestor: as `to_enrol` returned it.
        line: the way to the office.
        challenge: of the enrolment.
        binding: what it is for.
        token: the user's.

    Raises:
        RefusedError: EVIDENCE, if the office does not believe in this TPM.
        StrongroomError: as the attestor, and as `Line.post`.
    """
    if attestor is None:
        return ()

    def activate(keys: TwoKeys) -> bytes:
        request = ActivationRequest(challenge, keys.ek_certificates, keys.ek_public, keys.ak_public)
        answer = line.post(ACTIVATIONS, request.to_bytes(), token, limit=ActivationAnswer.LIMIT)
        return ActivationAnswer.from_bytes(answer).credential

    try:
        return attestor.enrol(binding.digest(), activate)
    except DeniedError as error:
        if error.code != Code.NOT_FOUND or not isinstance(attestor, TpmAttestor):
            raise
        # keys that nobody attested must not sign quotes as if somebody had
        attestor.forget()
        _log.warning("no model of this server asks for a TPM: it keeps this device's keys, and vouches for nothing")
        return ()


def of_request(attestor: Attestor | None, binding: Binding) -> tuple[Evidence, ...]:
    """Return the evidence of a request. Raises as the attestor."""
    if attestor is None:
        return ()
    keyless = replace(binding, kem=0, public_key=b"").digest() if binding.kem else b""
    return attestor.request(Requested(binding.digest(), keyless, binding.kem, binding.public_key))
