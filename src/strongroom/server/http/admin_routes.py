"""What the routes of the admin API have in common: who asks first, then sizes, then strict JSON."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from fastapi import FastAPI, Request, Response

from strongroom.errors import Code, InputError
from strongroom.server import accounts
from strongroom.server.http import bodies, callers
from strongroom.server.http.described import described
from strongroom.server.identify import Visit
from strongroom.server.office import Office
from strongroom.server.ports import Operator
from strongroom.shapes import Object, Shape, Text

LIMIT = 65_536  # bytes of any body but a deposit
MAX_MARKS = 4096  # `bodies.MARKS` of any body: a deposit of 16 files has some 200, the others fewer
IN_THE_LOOP = 262_144  # bytes of JSON that are parsed where they arrive; larger ones go to a thread, one at a time
AFTER = 64  # characters
OPERATOR = ("operator",)

Handler = Callable[..., Awaitable[Response]]
Use = Callable[[Operator, dict[str, Any], Visit], Awaitable[Response]]


def getting(app: FastAPI) -> Callable[..., Callable[[Handler], Handler]]:
    """Make routes that read."""

    def route(path: str, answer: Object, *, paged: bool = False, model: bool = False) -> Callable[[Handler], Handler]:
        query: dict[str, Shape] | None = (
            {"after": Text(AFTER, least=0)} if paged else {"model": Text(64)} if model else None
        )
        extra = described(answer=answer, security=OPERATOR, query=query)
        return app.get(path, openapi_extra=extra, response_class=Response)

    return route


def posting(app: FastAPI, office: Office) -> Callable[..., Callable[[Use], Handler]]:
    """Make routes that settle who is asking and in which role, then read and check the body, then call the use case.

    The use case looks at the role again: it cannot know who calls it.
    """
    turn = asyncio.Semaphore(1)

    def route(
        path: str, body: Object, answer: Object, may: tuple[Sequence[str], str], *, limit: int = LIMIT
    ) -> Callable[[Use], Handler]:
        extra = described(body=body, answer=answer, status=201, security=OPERATOR)

        def register(use: Use) -> Handler:
            async def handle(request: Request) -> Response:
                operator = await callers.operator(office, request)
                await accounts.allow(office, operator, *may, request.state.reference)
                data = await bodies.read(request, limit, marks=MAX_MARKS)
                if len(data) <= IN_THE_LOOP:
                    asked = bodies.loose(data, body, "body")
                else:
                    async with turn:
                        asked = await asyncio.to_thread(bodies.loose, data, body, "body")
                return await use(operator, asked, callers.visit(office, request, office.admin_url))

            handle.__doc__, handle.__name__ = use.__doc__, use.__name__
            return app.post(path, status_code=201, openapi_extra=extra, response_class=Response)(handle)

        return register

    return route


def after(request: Request) -> str:
    """Return the name behind which a page begins. Raises InputError(ARGUMENT)."""
    found = request.query_params.get("after", "")
    if len(found) > AFTER or not (found.isascii() and found.isprintable()):
        raise InputError(Code.ARGUMENT, f"after is a name of at most {AFTER} characters", where="after")
    return found
