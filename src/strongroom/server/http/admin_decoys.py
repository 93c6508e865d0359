"""The part of the admin API that is about decoys: add, list, show, remove, and exercises."""

from typing import Any

from fastapi import FastAPI, Request, Response

from strongroom.server.http import admin_decoy_shapes as shapes
from strongroom.server.http import bodies, callers
from strongroom.server.http.admin_routes import OPERATOR, getting, posting
from strongroom.server.http.described import described
from strongroom.server.identify import Visit
from strongroom.server.office import Office
from strongroom.server.ports import Operator
from strongroom.server.traps import decoys, exercises
from strongroom.server.traps.wanted import Wanted


def add_routes(app: FastAPI, office: Office) -> None:
    """Add the routes to the admin API."""
    post, get = posting(app, office), getting(app)

    @post("/v1/decoys", shapes.NEW_DECOY, shapes.DECOY_FULL, (decoys.TRAPPERS, "add a decoy"))
    async def post_decoy(operator: Operator, asked: dict[str, Any], seen: Visit) -> Response:
        """Add a decoy; returns what is to be planted."""
        return bodies.answer(shapes.shown(await decoys.add(office, operator, Wanted(**asked), seen)), 201)

    @get("/v1/decoys", shapes.DECOYS)
    async def get_decoys(request: Request) -> Response:
        """List the decoys in force, by kind and name."""
        operator = await callers.operator(office, request)
        rows = await decoys.list_decoys(office, operator)
        return bodies.answer({"decoys": [shapes.decoy(one) for one in rows]})

    @get("/v1/decoys/{decoy}", shapes.DECOY_FULL)
    async def get_decoy(request: Request, decoy: str) -> Response:
        """Show a decoy and what is planted of it."""
        operator = await callers.operator(office, request)
        seen = callers.visit(office, request, office.admin_url)
        return bodies.answer(shapes.shown(await decoys.show(office, operator, decoy, seen)))

    removed = described(answer=shapes.DECOY, security=OPERATOR)

    @app.post("/v1/decoys/{decoy}/remove", openapi_extra=removed, response_class=Response)
    async def post_remove(request: Request, decoy: str) -> Response:
        """Take a decoy out of force."""
        operator = await callers.operator(office, request)
        seen = callers.visit(office, request, office.admin_url)
        return bodies.answer(shapes.decoy(await decoys.remove(office, operator, decoy, seen)))

    @post("/v1/exercises", shapes.NEW_EXERCISE, shapes.EXERCISE, (decoys.TRAPPERS, "test decoys"))
    async def post_exercise(operator: Operator, asked: dict[str, Any], seen: Visit) -> Response:
        """Prepare requests that make every decoy fire, and a device that may send them unpunished."""
        del asked
        return bodies.answer(shapes.exercise(await exercises.begin(office, operator, seen)), 201)
