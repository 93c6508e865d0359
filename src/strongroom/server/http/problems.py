"""Errors as RFC 9457 problem bodies, through one table (docs/spec/protocol.md section 12).

A device learns a stable code and a reference; the detail is in the audit log and the server's log under that
reference. People at the admin API are also told what was wrong with what they sent.
"""

import re
from http import HTTPStatus

import structlog
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from strongroom import canonical
from strongroom.canonical import JsonValue
from strongroom.errors import (
    Code,
    DeniedError,
    InputError,
    InternalError,
    StoreError,
    StrongroomError,
    UnreachableError,
)
from strongroom.server.limits import LimitedError
from strongroom.server.office import Office
from strongroom.wire.problems import MEDIA_TYPE, REFUSALS, TYPE_PREFIX

SECURITY = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Strict-Transport-Security": "max-age=63072000",
}
_TITLES = {Code.EVIDENCE: "attestation refused", Code.ATTESTATION_NEEDED: "attestation needed"}
_FROM_STATUS = {404: Code.NOT_FOUND, 405: Code.METHOD, 413: Code.TOO_LARGE, 415: Code.CONTENT_TYPE}

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")

_log = structlog.get_logger(__name__)


class Guard:
    """The outermost layer: a reference for each request, security headers, and a problem for each exception.

    Args:
        app: what it guards.
        office: where references get their randomness.
        explain: tell callers what was wrong with their input (the admin API).
    """

    def __init__(self, app: ASGIApp, office: Office, *, explain: bool) -> None:
        self._app = app
        self._office = office
        self._explain = explain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        reference = self._office.new_id("ref")
        scope.setdefault("state", {})["reference"] = reference
        started = False

        async def guarded(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY.items():
                    headers[name] = value
            await send(message)

        try:
            await (_nowhere if _CONTROL.search(scope["path"]) else self._app)(scope, receive, guarded)
        except ClientDisconnect:
            _log.info("client went away", reference=reference, path=scope["path"])
        except Exception as error:
            if started:  # too late for a status: the connection breaks, and the client sees a short body
                _log.warning("answer broken off", reference=reference, path=scope["path"], error=type(error).__name__)
                raise
            problem = self._answer(error, reference, scope)
            await problem(scope, receive, guarded)

    def _answer(self, error: Exception, reference: str, scope: Scope) -> Response:
        known = error if isinstance(error, StrongroomError) else _ours(error)
        status = status_of(known)
        about = {"reference": reference, "method": scope["method"], "path": scope["path"], "status": status}
        if isinstance(error, StrongroomError) and status != HTTPStatus.INTERNAL_SERVER_ERROR:
            log = _log.warning if status >= HTTPStatus.INTERNAL_SERVER_ERROR else _log.info
            log("refused", code=str(known.code), what=known.what, where=known.where, **about)
        else:  # the traceback names lines and types; arguments and bodies stay out of it
            _log.error("failed", code=str(known.code), exc_info=error, **about)
        return problem_response(known, reference, explain=self._explain)


def status_of(error: StrongroomError) -> int:
    """Return the HTTP status of an error: by its code, else by who must act."""
    if error.code in REFUSALS:
        return REFUSALS[error.code].status
    if isinstance(error, (StoreError, UnreachableError)):
        return 503
    return 400 if isinstance(error, InputError) else 403 if isinstance(error, DeniedError) else 500


def problem_response(error: StrongroomError, reference: str, *, explain: bool, status: int | None = None) -> Response:
    """Write the problem body; `status` where it says more than the code does."""
    status = status or status_of(error)
    code = error.code if status != HTTPStatus.INTERNAL_SERVER_ERROR else Code.INTERNAL
    body: dict[str, JsonValue] = {
        "type": f"{TYPE_PREFIX}{code}",
        "title": _TITLES.get(code) or HTTPStatus(status).phrase,
        "status": status,
        "code": str(code),
        "instance": reference,
    }
    if explain and HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR:
        body |= {"detail": _plain(str(error.what)), "where": _plain(error.where), "next": _plain(error.next_step)}
    response = Response(canonical.encode(body), status, media_type=MEDIA_TYPE)
    if status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = 'DPoP algs="ES256 Ed25519"' if not explain else "Bearer"
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["Retry-After"] = "5"
    if isinstance(error, LimitedError):
        response.headers["Retry-After"] = str(error.seconds)
    return response


async def on_http_exception(request: Request, error: Exception) -> Response:
    """Turn the framework's own refusals (no such route, wrong method) into problems."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    code = _FROM_STATUS.get(status, Code.ARGUMENT if status < HTTPStatus.INTERNAL_SERVER_ERROR else Code.INTERNAL)
    response = problem_response(InputError(code, "this cannot be served"), request.state.reference, explain=False)
    if isinstance(error, HTTPException) and error.headers and "Allow" in error.headers:
        response.headers["Allow"] = error.headers["Allow"]
    return response


async def _nowhere(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """Stand for the app where a path holds control characters: a route's pattern overlooks a line feed at its end."""
    raise DeniedError(Code.NOT_FOUND, "there is no such path")


def _ours(error: Exception) -> StrongroomError:
    if isinstance(error, HTTPException):
        return InputError(_FROM_STATUS.get(error.status_code, Code.ARGUMENT), "this cannot be served")
    return InternalError(Code.INTERNAL, "something that cannot happen did")


def _plain(text: str) -> str:
    """Make text of hostile origin encodable: lone surrogates have no canonical spelling."""
    return text.encode("utf-8", "replace").decode("utf-8")
