"""Refusals as they travel: RFC 9457 bodies with a stable code (docs/spec/protocol.md section 12).

A body says what kind of refusal it is and no more; why is in the audit log, under the reference. The device trusts
none of it beyond choosing what to tell its user: a refusal, true or forged, never makes it accept anything.
"""

import json
import re
from typing import Final, NamedTuple

from strongroom.errors import Code, DeniedError, InputError, RefusedError, StrongroomError, UnreachableError

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:strongroom:problem:"
MAX_SIZE = 65_536  # bytes

_TITLE = re.compile(r"[ -~]{1,200}")
_REFERENCE = re.compile(r"[A-Za-z0-9_:.-]{1,100}")


class Refusal(NamedTuple):
    """How one code travels: with which HTTP status, and as which error it arrives."""

    status: int
    family: type[StrongroomError]


REFUSALS: Final = {
    Code.JSON_NOT_CANONICAL: Refusal(400, InputError),
    Code.SHAPE: Refusal(400, InputError),
    Code.NAME: Refusal(400, InputError),
    Code.PATH: Refusal(400, InputError),
    Code.ARGUMENT: Refusal(400, InputError),
    Code.KEM_UNSUPPORTED: Refusal(400, InputError),
    Code.PUBLIC_KEY: Refusal(400, InputError),
    Code.UNAUTHENTICATED: Refusal(401, DeniedError),
    Code.TOKEN: Refusal(401, DeniedError),
    Code.PROOF: Refusal(401, DeniedError),
    Code.CHALLENGE: Refusal(403, DeniedError),
    Code.FORBIDDEN: Refusal(403, DeniedError),
    Code.URL_INVALID: Refusal(403, DeniedError),
    Code.URL_EXPIRED: Refusal(403, RefusedError),
    Code.EVIDENCE: Refusal(403, RefusedError),
    Code.ATTESTATION_NEEDED: Refusal(403, RefusedError),
    Code.KEY_REUSED: Refusal(403, RefusedError),
    Code.ORDER_PENDING: Refusal(403, RefusedError),
    Code.RESTRICTED: Refusal(403, RefusedError),
    Code.STEP_UP: Refusal(403, RefusedError),
    Code.NOT_FOUND: Refusal(404, DeniedError),
    Code.METHOD: Refusal(405, InputError),
    Code.TIMEOUT: Refusal(408, UnreachableError),
    Code.CONFLICT: Refusal(409, InputError),
    Code.JSON_TOO_LARGE: Refusal(413, InputError),
    Code.TOO_LARGE: Refusal(413, InputError),
    Code.CONTENT_TYPE: Refusal(415, InputError),
    Code.RANGE: Refusal(416, InputError),
    Code.DEPOSIT: Refusal(422, InputError),
    Code.RECEIPT: Refusal(422, InputError),
    Code.FILE_KEY_SIZE: Refusal(422, InputError),
    Code.URL_LIFETIME: Refusal(422, InputError),
    Code.RATE_LIMITED: Refusal(429, RefusedError),
    Code.INTERNAL: Refusal(500, UnreachableError),
    Code.DATABASE: Refusal(503, UnreachableError),
    Code.STORE_IO: Refusal(503, UnreachableError),
    Code.STORE_DAMAGED: Refusal(503, UnreachableError),
    Code.VAULT_SEALED: Refusal(503, UnreachableError),
    Code.VAULT_REFUSED: Refusal(503, UnreachableError),
    Code.TRUST_EXPIRED: Refusal(503, UnreachableError),
    Code.UNREACHABLE: Refusal(503, UnreachableError),
}

_BY_STATUS: Final = {
    401: (Code.UNAUTHENTICATED, DeniedError),
    403: (Code.FORBIDDEN, DeniedError),
    404: (Code.NOT_FOUND, DeniedError),
    409: (Code.CONFLICT, InputError),
    413: (Code.TOO_LARGE, InputError),
    414: (Code.TOO_LARGE, InputError),
    429: (Code.RATE_LIMITED, RefusedError),
    431: (Code.TOO_LARGE, InputError),
    416: (Code.RANGE, InputError),
}
_NEXT: Final = {
    401: "get a new token, or enrol this device again",
    404: "check the name, and what the account is entitled to",
}
_NEXT_OF_CODE: Final = {
    Code.EVIDENCE: "tell the model's operator, with the reference",
    Code.ATTESTATION_NEEDED: "attest this device: `strongroom enrol` again, with its TPM or its app's attestation",
    Code.RESTRICTED: "say why it should be let in again with `strongroom appeal`, or ask whoever gave you access",
    Code.STEP_UP: "sign in again: `strongroom enrol` with a fresh token",
    Code.RATE_LIMITED: "wait, then try again",
    Code.TRUST_EXPIRED: "the server's trust.json is over: its owners must sign the next one",
    Code.VAULT_REFUSED: "tell whoever runs the server, with the reference",
}


def error_of(status: int, body: bytes) -> StrongroomError:
    """Return the error that a refusing answer stands for. Hostile bodies give an error like any other.

    Args:
        status: HTTP status of the answer.
        body: its body, a problem or anything else.
    """
    if not 400 <= status < 600:
        return UnreachableError(Code.ANSWER, f"the server answers with status {status}")
    fields = _fields(body)
    code, family = _meaning(status, fields.get("code"))
    title, reference = fields.get("title"), fields.get("instance")
    what = title if isinstance(title, str) and _TITLE.fullmatch(title) else f"the server answers with status {status}"
    known = isinstance(reference, str) and _REFERENCE.fullmatch(reference)
    if known:
        what += f"; its reference is {reference}"
    default = "try again later" if status >= 500 else ""
    error = family(code, what, next_step=_NEXT_OF_CODE.get(code) or _NEXT.get(status, default))
    error.reference = str(reference) if known else ""
    return error


def _fields(body: bytes) -> dict[str, object]:
    """Read leniently: object stores of other makes answer with XML, and that must be an ordinary refusal too."""
    try:
        value = json.loads(body[:MAX_SIZE])
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _meaning(status: int, word: object) -> tuple[Code, type[StrongroomError]]:
    code = next((known for known in REFUSALS if known == word), None)
    if status >= 500:
        return (code if code and REFUSALS[code].status >= 500 else Code.UNREACHABLE), UnreachableError
    if code is not None and REFUSALS[code].status < 500:
        return code, REFUSALS[code].family
    return _BY_STATUS.get(status, (Code.ARGUMENT, InputError))
