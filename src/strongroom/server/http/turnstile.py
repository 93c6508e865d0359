"""The first thing that looks at a request: from which address it comes, and whether that one has asked too often."""

from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from strongroom.server import limited
from strongroom.server.limits.rates import Route
from strongroom.server.office import Office

_FORWARDED = b"x-forwarded-for"


class Turnstile:
    """A layer inside `Guard`: counts each request by its address, and leaves both address and class in its state.

    Args:
        app: what it stands before.
        office: limits.
        route: tells the class of a request from its method and path; what is nobody's path has one too.
    """

    def __init__(self, app: ASGIApp, office: Office, *, route: Callable[[str, str], Route]) -> None:
        self._app = app
        self._office = office
        self._route = route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request through. Raises LimitedError, which `Guard` answers."""
        if scope["type"] == "http":
            state = scope["state"]
            state["address"] = self._address(scope)
            state["route"] = self._route(scope["method"], scope["path"])
            await limited.check_address(self._office, state["route"], state["address"], state["reference"])
        await self._app(scope, receive, send)

    def _address(self, scope: Scope) -> str:
        client = scope.get("client")
        said = [value.decode("latin-1") for name, value in scope["headers"] if name == _FORWARDED]
        return self._office.limits.address_of(client[0] if client else "", said)
