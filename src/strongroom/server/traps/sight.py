"""Was a decoy touched? Asked of every request after its answer was sent, in memory, from what the request said.

Sees routes, paths, names and headers; who is charged for a token is found out by `hits`.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Any

from strongroom.canonical import from_base64url
from strongroom.errors import StrongroomError
from strongroom.server.bait.board import CANARY, FIELD, KEY, MODEL, TOKEN, Traps
from strongroom.server.bait.marks import OPERATOR_PREFIX
from strongroom.server.bait.shipped import ENDPOINT
from strongroom.server.identify import DeviceCaller, UserCaller, Visit
from strongroom.server.ports import DeviceRow, User
from strongroom.server.tokens import MAX_TOKEN
from strongroom.wire.messages import ReleaseRequest
from strongroom.wire.renewal import RenewRequest

_NAMED = re.compile(r"/v1/(?:leases|releases)/([a-z]{3}_[A-Za-z0-9_-]{22})(?:/|$)")
_CREDENTIAL = re.compile(r"\w{1,16} ([A-Za-z0-9._~+/=-]{1,4096})", re.ASCII)
_MAX_PAYLOAD = MAX_TOKEN


@dataclass(frozen=True, slots=True)
class Seen:
    """A decoy that a request touched.

    Attributes:
        kind: of the decoy.
        thing: what was shown of it.
        device: that was identified, if one was.
        user: likewise.
        visit: the request.
        token: that was shown with `proof`: whose key made it is still to be found out.
        proof: the header `DPoP`.
    """

    kind: str
    thing: str
    device: DeviceRow | None
    user: User | None
    visit: Visit
    token: str = field(default="", repr=False)
    proof: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Request:
    """What a request left behind in its state and headers.

    Attributes:
        visit: time, reference, URL and address.
        path: of the URL, as routed.
        caller: who was identified, or None.
        message: that was read, or None.
        endpoint: name of the decoy route that took it, or "".
        authorization: the header's text, or "".
        proof: the text of the header `DPoP`, or "".
    """

    visit: Visit
    path: str
    caller: object
    message: object
    endpoint: str
    authorization: str = field(repr=False)
    proof: str = field(repr=False)


def decoys_in(traps: Traps, request: Request) -> list[Seen]:
    """Return the decoys that a request touched; of almost every request none."""
    known, caller = traps.known, request.caller
    device, user = None, None
    if isinstance(caller, DeviceCaller):
        device, user = caller.device, caller.user
    elif isinstance(caller, UserCaller):
        user = caller.user
    found: list[tuple[str, str]] = []
    if request.endpoint:
        found.append((ENDPOINT, request.endpoint))
    if request.path in known.paths:
        found.append((CANARY, request.path))
    named = _NAMED.match(request.path)
    if named is not None and traps.marks.is_identifier(named[1]):
        found.append((KEY, named[1]))
    if device is not None and isinstance(request.message, ReleaseRequest) and request.message.model in known.models:
        found.append((MODEL, request.message.model))
    if device is not None and isinstance(request.message, (ReleaseRequest, RenewRequest)):
        found += [(FIELD, one) for one in known.honey(request.message.signals)]
    seen = [Seen(kind, thing, device, user, request.visit) for kind, thing in found]
    if caller is None and request.authorization:
        token = _CREDENTIAL.fullmatch(request.authorization)
        thing = token_thing(traps, token[1]) if token else ""
        if token and thing:
            seen.append(Seen(TOKEN, thing, None, None, request.visit, token[1], request.proof))
    return seen


def token_thing(traps: Traps, token: str) -> str:
    """Return what a decoy token shows of itself; "" for every other token.

    The token's signature and time are not asked for: its subject is marked, and nobody can make such a mark.
    """
    if traps.marks.is_operator_token(token):
        return from_base64url(token.removeprefix(OPERATOR_PREFIX)).hex()
    subject = _subject(token)
    return subject if traps.marks.is_identifier(subject) else ""


def _subject(token: str) -> str:
    parts = token.split(".")
    if len(parts) != 3 or len(parts[1]) > _MAX_PAYLOAD:
        return ""
    try:
        claims: Any = json.loads(from_base64url(parts[1]))
    except (StrongroomError, ValueError, RecursionError):  # json's errors are ValueErrors
        return ""
    subject = claims.get("sub") if isinstance(claims, dict) else None
    return subject if isinstance(subject, str) else ""
