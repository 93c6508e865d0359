"""The outermost layer: once an answer is sent, looks whether its request touched a decoy.

Nothing is asked before that, so a decoy's answer takes no longer than any other; what follows a hit is a task of its
own, so that the connection is free for the next request.
"""

from collections.abc import Callable

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from strongroom.server.identify import Visit
from strongroom.server.office import Office
from strongroom.server.traps import hits, sight

_log = structlog.get_logger(__name__)


class Aftermath:
    """Looks at each request after it was answered.

    Args:
        app: what answers.
        office: its traps.
        base: the API's public URL, over which proofs are made.
        routes: brings decoy routes up to date; asked only when decoys came or went.
    """

    def __init__(self, app: ASGIApp, office: Office, *, base: str, routes: Callable[[], None] | None = None) -> None:
        self._app = app
        self._office = office
        self._base = base
        self._routes = routes
        self._edition = -1  # of the routes; the first request brings them up to date

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, then look."""
        if self._routes is not None and self._edition != self._office.traps.edition:
            self._edition = self._office.traps.edition
            self._routes()
        try:
            await self._app(scope, receive, send)
        finally:
            if scope["type"] == "http":
                self._look(scope)

    def _look(self, scope: Scope) -> None:
        state, office = scope.get("state", {}), self._office
        url = self._base + scope["path"]
        visit = Visit(
            office.now(), state.get("reference", ""), scope["method"], url, state.get("address", ""), state.get("route")
        )
        request = sight.Request(
            visit=visit,
            path=scope["path"],
            caller=state.get("caller"),
            message=state.get("message"),
            endpoint=state.get("decoy", ""),
            authorization=_header(scope, b"authorization"),
            proof=_header(scope, b"dpop"),
        )
        seen = sight.decoys_in(office.traps, request)
        if seen:
            office.traps.follow(hits.settle(office, seen))


def _header(scope: Scope, name: bytes) -> str:
    return next((value.decode("latin-1") for one, value in scope["headers"] if one == name), "")
