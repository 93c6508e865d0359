"""Appealing: the user of a stopped device says why it should be let in again (docs/spec/protocol.md section 18).

A person reads it. Nothing changes before that, neither here nor at the office.
"""

from strongroom.edge.exchange import Line, Token
from strongroom.edge.state import Identity
from strongroom.errors import Code, InputError, IntegrityError
from strongroom.wire.appeal import MOST_SAID, AppealAnswer, AppealRequest

PATH = "/v1/appeals"


def appeal(line: Line, identity: Identity, reference: str, text: str) -> str:
    """Send an appeal, and return the office's name for it.

    Args:
        line: the way to the office, signing with the device key.
        identity: who this device is.
        reference: what a refusal came with (`StrongroomError.reference`).
        text: what the user has to say.

    Raises:
        InputError: ARGUMENT for what no appeal can hold; CONFLICT if this device is not stopped.
        DeniedError: UNAUTHENTICATED, TOKEN, PROOF.
        RefusedError: RATE_LIMITED for the fourth within a day.
        UnreachableError: no connection, a wrong pin, an answer that is no answer.
        IntegrityError: SHAPE or JSON_NOT_CANONICAL, if the answer is malformed.
    """
    try:
        AppealRequest.SHAPE.check({"reference": reference, "text": text}, "appeal")
    except IntegrityError as error:
        step = f"give the reference that the refusal came with, and 1 to {MOST_SAID} characters"
        raise InputError(Code.ARGUMENT, f"no appeal: {error.what}", where=error.where, next_step=step) from None
    body = AppealRequest(reference, text).to_bytes()
    token = Token("DPoP", identity.token)
    return AppealAnswer.from_bytes(line.post(PATH, body, token, limit=AppealAnswer.LIMIT)).appeal
