"""What may be a decoy: names that collide with nothing real."""

import re
from dataclasses import dataclass
from typing import Final

from strongroom import names
from strongroom.errors import Code, InputError
from strongroom.server.bait.board import DEVICE_TOKEN, FIELD, KINDS, MODEL, OPERATOR_TOKEN, TOKEN, USER_TOKEN
from strongroom.server.bait.shipped import ENDPOINT

SORTS = (DEVICE_TOKEN, USER_TOKEN, OPERATOR_TOKEN)
MAX_NOTE = 500  # characters

# Paths of the device API: a decoy in the place of one would never be reached.
REAL: Final = (
    "/v1/challenges",
    "/v1/devices",
    "/v1/activations",
    "/v1/appeals",
    "/v1/releases",
    "/v1/releases/{}/urls",
    "/v1/leases/{}/renew",
    "/v1/orders/{}/receipt",
    "/v1/trust",
    "/healthz",
    "/openapi.json",
    "/o/{}",
)
# Signals that clients send (docs/spec/protocol.md): none of them can be bait.
SIGNALS: Final = frozenset({"tamper", "install", "build", "app_sig", "resumed", "runs", "step_up"})

_ENDPOINT = re.compile(r"(?:(GET|POST) )?((?:/(?:[a-z0-9][a-z0-9._-]{0,40}|\{[a-z_]{1,40}\})){1,8})")
_LABEL = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_FIELD = re.compile(r"[a-z][a-z0-9_]{0,31}")
_NAMED = re.compile(r"\{[a-z_]*\}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What `add` is asked for.

    Attributes:
        kind: of KINDS.
        name: path, model or field; for other kinds a label.
        note: where it will be planted.
        sort: of a token: device, user or operator.
    """

    kind: str
    name: str
    note: str
    sort: str | None = None


def checked(wanted: Wanted) -> str:
    """Return the name that a decoy's row has.

    Raises:
        InputError: ARGUMENT or NAME, if it cannot be a decoy.
    """
    if wanted.kind not in KINDS:
        raise InputError(Code.ARGUMENT, "not a kind of decoy", where="kind", next_step=f"use one of {', '.join(KINDS)}")
    if len(wanted.note) > MAX_NOTE or not wanted.note.isprintable():
        raise InputError(Code.ARGUMENT, f"a note is one line of at most {MAX_NOTE} characters", where="note")
    if (wanted.kind == TOKEN) != (wanted.sort is not None) or wanted.sort not in (None, *SORTS):
        what = f"a token, and nothing else, is one of {', '.join(SORTS)}"
        raise InputError(Code.ARGUMENT, what, where="sort")
    if wanted.kind == MODEL:
        return names.check("model", wanted.name)
    if wanted.kind == ENDPOINT:
        return _endpoint(wanted.name)
    if wanted.kind == FIELD:
        if not _FIELD.fullmatch(wanted.name) or wanted.name in SIGNALS:
            rule = "1 to 32 of a-z 0-9 _, a letter first, and no signal that clients send"
            raise InputError(Code.ARGUMENT, "this cannot be a honey field", where="name", next_step=f"use {rule}")
        return wanted.name
    if not _LABEL.fullmatch(wanted.name):
        raise InputError(Code.ARGUMENT, "not a label", where="name", next_step="use 1 to 64 of a-z 0-9 . _ -")
    return wanted.name if wanted.sort is None else f"{wanted.sort} {wanted.name}"


def _endpoint(name: str) -> str:
    match = _ENDPOINT.fullmatch(name)
    if match is None:
        step = 'write it as "POST /v1/word/{name}" or "GET /path"; small letters, at most 8 parts'
        raise InputError(Code.ARGUMENT, "this cannot be a route", where="name", next_step=step)
    path = match[2]
    if any(_same(path, real) for real in REAL):
        raise InputError(Code.ARGUMENT, "there is a real route at this path", where="name", next_step="use another")
    if len(set(_NAMED.findall(path))) != len(_NAMED.findall(path)):
        raise InputError(Code.ARGUMENT, "two parts of this path have one name", where="name")
    return f"{match[1] or 'POST'} {path}"


def _same(path: str, real: str) -> bool:
    """Tell whether some request could be for either."""
    one, other = path.strip("/").split("/"), real.strip("/").split("/")
    if len(one) != len(other):
        return False
    return all(a == b or a.startswith("{") or b.startswith("{") for a, b in zip(one, other, strict=True))
