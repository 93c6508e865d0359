"""Decoy routes in the device API: the same router, callers, bodies, shapes and errors as its real ones.

They come and go with the rows of decoys, without a restart.
"""

import inspect
import re
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request, Response

from strongroom.errors import Code, DeniedError
from strongroom.names import MODEL
from strongroom.server.bait.shipped import Endpoint, endpoint_of
from strongroom.server.http import callers
from strongroom.server.http.described import described
from strongroom.server.office import Office
from strongroom.server.traps.refusing import NOWHERE, refuse
from strongroom.wire.messages import UrlsRequest

BESIDE = "/v1/releases/{release_id}/urls"

Read = Callable[..., Awaitable[tuple[UrlsRequest, bytes]]]

_NAME = re.compile(r"\{([a-z_]{1,40})\}")
_IDENTIFIER = r"[a-z]{2,4}_[A-Za-z0-9_-]{22}"
_PATTERNS = {
    "release_id": re.compile(r"rel_[A-Za-z0-9_-]{22}"),
    "lease_id": re.compile(r"lse_[A-Za-z0-9_-]{22}"),
    "model": re.compile(MODEL),
}
_ANY = re.compile(rf"(?:{_IDENTIFIER})|(?:{MODEL})")


class DecoyRoutes:
    """The decoy routes of one app.

    Args:
        app: the device API.
        office: its traps.
        read: reads and checks a message, as the real routes do.
    """

    def __init__(self, app: FastAPI, office: Office, read: Read) -> None:
        self._app = app
        self._office = office
        self._read = read
        self._there: dict[str, Any] = {}  # name → route

    def renew(self) -> None:
        """Add the routes that are new, and take away those that are gone."""
        wanted = {row.name: endpoint_of(row.name) for row in self._office.traps.known.endpoints()}
        routes = self._app.router.routes
        for name in self._there.keys() - wanted.keys():
            routes.remove(self._there.pop(name))
        for name, endpoint in wanted.items():
            if name not in self._there:
                self._add(endpoint)
                # The router tries its routes one after the other: at the end, decoys would be found later than any real
                # one. No request fits both (`wanted.REAL`).
                self._there[name] = routes.pop()
                routes.insert(self._beside(), self._there[name])
        self._app.openapi_schema = None  # made again when it is asked for

    def _beside(self) -> int:
        """Return the place behind the real route that decoys are written after."""
        paths = [getattr(route, "path", "") for route in self._app.router.routes]
        return paths.index(BESIDE) + 1

    def _add(self, endpoint: Endpoint) -> None:
        posts = endpoint.method == "POST"
        extra = described(
            body=UrlsRequest.SHAPE if posts else None, answer=endpoint.answer, security=("device", "proof")
        )
        self._app.add_api_route(
            endpoint.path,
            self._handler(endpoint),
            methods=[endpoint.method],
            openapi_extra=extra,
            response_class=Response,
        )

    def _handler(self, endpoint: Endpoint) -> Callable[..., Awaitable[Response]]:
        office, posts = self._office, endpoint.method == "POST"

        async def handle(request: Request, **named: str) -> Response:
            request.state.decoy = endpoint.name
            caller = await callers.device(office, request, callers.visit(office, request, office.public_url))
            for name, value in named.items():
                if not _PATTERNS.get(name, _ANY).fullmatch(value):
                    raise DeniedError(Code.NOT_FOUND, "there is no such thing for this device")
            asked = (await self._read(request, UrlsRequest))[0] if posts else None
            seen = callers.visit(office, request, office.public_url)
            await refuse(office, caller, endpoint.name, asked, seen, subject=next(iter(named.values()), NOWHERE))

        handle.__name__ = _function_name(endpoint)
        handle.__doc__ = endpoint.summary
        names = _NAME.findall(endpoint.path)
        # FastAPI reads which words of the path are parameters from the signature, as it does for the real routes
        handle.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # functions may carry one
            [_parameter("request", Request), *(_parameter(name, str) for name in names)]
        )
        return handle


def _function_name(endpoint: Endpoint) -> str:
    word = endpoint.path.rstrip("/").rpartition("/")[2].strip("{}")
    return f"{endpoint.method.lower()}_{re.sub('[^a-z0-9]', '_', word)}"


def _parameter(name: str, kind: type) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=kind)
