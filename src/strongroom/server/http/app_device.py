"""The device API: one listener, canonical JSON both ways (docs/spec/protocol.md section 4).

Who is asking is settled from the headers, before a byte of the body is read; only a challenge's body, of at most 1 KiB,
is read first, because it says which of the two kinds of token goes with it.
"""

import re
from typing import Any, TypeVar

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from strongroom.errors import Code, DeniedError, InputError, IntegrityError
from strongroom.server import activations, challenges, enrol, links, receipts, release, renew
from strongroom.server.http import bodies, callers, objects
from strongroom.server.http.aftermath import Aftermath
from strongroom.server.http.decoy_routes import DecoyRoutes
from strongroom.server.http.described import HEALTH, described, secured
from strongroom.server.http.health import health
from strongroom.server.http.problems import Guard, on_http_exception
from strongroom.server.http.turnstile import Turnstile
from strongroom.server.identify import Caller, UserCaller, Visit
from strongroom.server.limits.rates import device_route
from strongroom.server.office import Office
from strongroom.server.ports import ServedObjects
from strongroom.server.watching import appealing
from strongroom.shapes import Integer
from strongroom.wire.activation import ActivationAnswer, ActivationRequest
from strongroom.wire.appeal import AppealAnswer, AppealRequest
from strongroom.wire.messages import (
    ChallengeAnswer,
    ChallengeRequest,
    EnrolAnswer,
    EnrolRequest,
    Message,
    ReleaseAnswer,
    ReleaseRequest,
    TrustAnswer,
    UrlsAnswer,
    UrlsRequest,
)
from strongroom.wire.orders import ReceiptAnswer, ReceiptRequest
from strongroom.wire.renewal import RenewAnswer, RenewRequest

MAX_TRUST_STEPS = 256  # documents in one answer
# Marks (`bodies.MARKS`) of any message: 32 signals of 200 characters, each at most two escapes, are 12,800 of them, and
# all other texts and all fields together fewer than 3,000. Beyond it nothing is parsed.
MAX_MARKS = 16_384
SCHEMES = {
    "user": {"type": "http", "scheme": "bearer", "description": "A user token; enrols devices and nothing else."},
    "device": {"type": "http", "scheme": "dpop", "description": "A device token bound to the device's key, RFC 9449."},
    "proof": {"type": "apiKey", "in": "header", "name": "DPoP", "description": "A proof of possession, RFC 9449."},
}

_Asked = TypeVar("_Asked", bound=Message)
_RELEASE = re.compile(r"rel_[A-Za-z0-9_-]{22}")
_LEASE = re.compile(r"lse_[A-Za-z0-9_-]{22}")
_ORDER = re.compile(r"ord_[A-Za-z0-9_-]{22}")
_VERSION = re.compile(r"[0-9]{1,9}")


def create_device_app(office: Office) -> FastAPI:
    """Build the device API over an office."""
    app = _Described(
        title="strongroom device API",
        version="1",  # of the API: the "v1" in its paths
        docs_url=None,  # a page of foreign scripts has no place beside keys
        redoc_url=None,
        openapi_url="/openapi.json",
        redirect_slashes=False,
    )
    app.add_middleware(Turnstile, office=office, route=device_route)
    app.add_middleware(Guard, office=office, explain=False)
    app.add_exception_handler(HTTPException, on_http_exception)
    _add_devices(app, office)
    _add_releases(app, office)
    _add_leases(app, office)
    _add_appeals(app, office)
    _add_public(app, office)
    if isinstance(office.store, ServedObjects):
        _add_objects(app, office, office.store)
    decoys = DecoyRoutes(app, office, _message)
    decoys.renew()
    app.add_middleware(Aftermath, office=office, base=office.public_url, routes=decoys.renew)  # outermost
    return app


class _Described(FastAPI):
    def openapi(self) -> dict[str, Any]:
        return secured(super().openapi(), SCHEMES)


def _add_devices(app: FastAPI, office: Office) -> None:
    asks = described(body=ChallengeRequest.SHAPE, answer=ChallengeAnswer.SHAPE, security=("device", "proof"))

    @app.post("/v1/challenges", openapi_extra=asks, response_class=Response)
    async def post_challenge(request: Request) -> Response:
        """Ask for a challenge; it can be used once, by this key, for this purpose."""
        callers.demand_credentials(request)
        asked, _ = await _message(request, ChallengeRequest)
        seen = _visit(office, request)
        caller: Caller
        if asked.purpose == challenges.ENROL:
            caller = await callers.user(office, request, seen)
        else:
            caller = await callers.device(office, request, seen, even_barred=asked.purpose == challenges.RENEW)
        return _answer(await challenges.issue(office, caller, asked, seen))

    enrols = described(body=EnrolRequest.SHAPE, answer=EnrolAnswer.SHAPE, status=201, security=("user", "proof"))

    @app.post("/v1/devices", status_code=201, openapi_extra=enrols, response_class=Response)
    async def post_device(request: Request) -> Response:
        """Enrol an installation, once; the same key again gets the same id and a fresh token."""
        caller: UserCaller = await callers.user(office, request, _visit(office, request))
        asked, _ = await _message(request, EnrolRequest)
        return _answer(await enrol.enrol(office, caller, asked, _visit(office, request)), 201)

    activates = described(body=ActivationRequest.SHAPE, answer=ActivationAnswer.SHAPE, security=("user", "proof"))

    @app.post("/v1/activations", openapi_extra=activates, response_class=Response)
    async def post_activation(request: Request) -> Response:
        """Ask for a credential that only the TPM with these two keys can open; enrolling shows what was in it."""
        caller: UserCaller = await callers.user(office, request, _visit(office, request))
        asked, _ = await _message(request, ActivationRequest)
        return _answer(await activations.activate(office, caller, asked, _visit(office, request)))


def _add_releases(app: FastAPI, office: Office) -> None:
    releases = described(body=ReleaseRequest.SHAPE, answer=ReleaseAnswer.SHAPE, security=("device", "proof"))

    @app.post("/v1/releases", openapi_extra=releases, response_class=Response)
    async def post_release(request: Request) -> Response:
        """Ask for the keys of one model, for this one time."""
        caller = await callers.device(office, request, _visit(office, request))
        asked, body = await _message(request, ReleaseRequest)
        return _answer(await release.release(office, caller, asked, body, _visit(office, request)))

    urls = described(body=UrlsRequest.SHAPE, answer=UrlsAnswer.SHAPE, security=("device", "proof"))

    @app.post("/v1/releases/{release_id}/urls", openapi_extra=urls, response_class=Response)
    async def post_urls(request: Request, release_id: str) -> Response:
        """Ask for fresh links to the files of an earlier release; no key comes with them."""
        caller = await callers.device(office, request, _visit(office, request))
        if not _RELEASE.fullmatch(release_id):  # any text may stand in a path; none of it goes further
            raise DeniedError(Code.NOT_FOUND, "there is no such release for this device")
        asked, _ = await _message(request, UrlsRequest)
        return _answer(await links.fresh_urls(office, caller, release_id, asked, _visit(office, request)))


def _add_leases(app: FastAPI, office: Office) -> None:
    renews = described(body=RenewRequest.SHAPE, answer=RenewAnswer.SHAPE, security=("device", "proof"))

    @app.post("/v1/leases/{lease_id}/renew", openapi_extra=renews, response_class=Response)
    async def post_renewal(request: Request, lease_id: str) -> Response:
        """Ask for a longer lease of what the device holds; the answer may bring wipe orders instead."""
        caller = await callers.device(office, request, _visit(office, request), even_barred=True)
        if not _LEASE.fullmatch(lease_id):
            raise DeniedError(Code.NOT_FOUND, "there is no such lease for this device")
        asked, body = await _message(request, RenewRequest)
        return _answer(await renew.renew(office, caller, lease_id, asked, body, _visit(office, request)))

    reports = described(body=ReceiptRequest.SHAPE, answer=ReceiptAnswer.SHAPE, security=("device", "proof"))

    @app.post("/v1/orders/{order_id}/receipt", openapi_extra=reports, response_class=Response)
    async def post_receipt(request: Request, order_id: str) -> Response:
        """Report that a wipe order was carried out; the same receipt again changes nothing."""
        caller = await callers.device(office, request, _visit(office, request), even_barred=True)
        if not _ORDER.fullmatch(order_id):
            raise DeniedError(Code.NOT_FOUND, "there is no such order for this device")
        asked, _ = await _message(request, ReceiptRequest)
        return _answer(await receipts.take_receipt(office, caller, order_id, asked, _visit(office, request)))


def _add_appeals(app: FastAPI, office: Office) -> None:
    appeals = described(body=AppealRequest.SHAPE, answer=AppealAnswer.SHAPE, status=201, security=("device", "proof"))

    @app.post("/v1/appeals", status_code=201, openapi_extra=appeals, response_class=Response)
    async def post_appeal(request: Request) -> Response:
        """Ask to be let in again, as a device that is stopped; a person reads it, and nothing changes before."""
        caller = await callers.device(office, request, _visit(office, request), even_barred=True)
        asked, _ = await _message(request, AppealRequest)
        return _answer(await appealing.appeal(office, caller, asked, _visit(office, request)), 201)


def _add_public(app: FastAPI, office: Office) -> None:
    documents = described(answer=TrustAnswer.SHAPE, query={"from": Integer(0, 999_999_999)})

    @app.get("/v1/trust", openapi_extra=documents, response_class=Response)
    async def get_trust(request: Request) -> Response:
        """Return the signed trust documents after version `from`, oldest first; they prove themselves."""
        text = request.query_params.get("from", "0")
        if not _VERSION.fullmatch(text):
            raise InputError(Code.ARGUMENT, "from is a version number", where="from")
        start = int(text)
        return _answer(TrustAnswer(_chain(office.trust_documents[start : start + MAX_TRUST_STEPS])))

    @app.get("/healthz", openapi_extra=described(answer=HEALTH), response_class=Response)
    async def get_health() -> Response:
        """Tell whether releases would work."""
        return await health(office)


def _chain(documents: tuple[tuple[str, ...], ...]) -> tuple[tuple[str, ...], ...]:
    """Return as many documents, oldest first, as a client reads at once, and at least one; it asks again for more."""
    size, kept = len(TrustAnswer(()).to_bytes()), 0
    for kept, one in enumerate(documents, start=1):
        size += sum(len(text) + 3 for text in one) + 2  # quotes and comma of each text, brackets; its own comma besides
        if size + kept > TrustAnswer.LIMIT:
            return documents[: max(kept - 1, 1)]
    return documents[:kept]


def _add_objects(app: FastAPI, office: Office, store: ServedObjects) -> None:
    @app.api_route("/o/{name}", methods=["GET", "HEAD"], include_in_schema=False)
    async def get_object(request: Request, name: str) -> Response:
        return await objects.read(office, store, request, name)

    @app.put("/o/{name}", include_in_schema=False)
    async def put_object(request: Request, name: str) -> Response:
        return await objects.write(office, store, request, name)


async def _message(request: Request, kind: type[_Asked]) -> tuple[_Asked, bytes]:
    """Read and check a message: type, size, number of marks, canonical JSON, shape; in this order."""
    body = await bodies.read(request, kind.LIMIT, marks=MAX_MARKS)
    try:
        message = kind.from_bytes(body)
    except IntegrityError as error:  # in a request it is the sender's input, not an attack on anybody's bytes
        raise InputError(error.code, error.what, where=error.where) from None
    request.state.message = message  # for `aftermath`
    return message, body


def _visit(office: Office, request: Request) -> Visit:
    """Describe the request as of now: a body may have taken its half minute, and nothing is judged by an old time."""
    return callers.visit(office, request, office.public_url)


def _answer(message: Message, status: int = 200) -> Response:
    return Response(message.to_bytes(), status, media_type=bodies.JSON)
