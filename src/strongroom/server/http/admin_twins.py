"""The part of the admin API that is about decoy twins of versions."""

from typing import Any

from fastapi import FastAPI, Request, Response

from strongroom.canonical import to_base64url
from strongroom.names import MODEL, VERSION
from strongroom.server import publish, twins
from strongroom.server.checking import Background
from strongroom.server.http import admin_shapes as shapes
from strongroom.server.http import bodies, callers
from strongroom.server.http.admin_routes import OPERATOR, getting, posting
from strongroom.server.http.described import described
from strongroom.server.identify import Visit
from strongroom.server.office import Office
from strongroom.server.ports import Operator
from strongroom.server.publish import Deposit, DepositedFile
from strongroom.server.twins import TwinView
from strongroom.shapes import Object, Text
from strongroom.wire.messages import ID

TWIN = Object(
    {
        "id": ID,
        "model": Text(64, MODEL),
        "version": Text(64, VERSION),
        "state": shapes.STATE,
        "reason": Text(1024, least=0),
    }
)
_PATH = "/v1/models/{model}/versions/{version}/twin"


def add_routes(app: FastAPI, office: Office, background: Background) -> None:
    """Add the routes to the admin API."""
    post, get = posting(app, office), getting(app)

    @post("/v1/twins", Deposit.SHAPE, shapes.DEPOSITED, (publish.PUBLISHERS, "deposit"), limit=Deposit.LIMIT)
    async def post_twin(operator: Operator, asked: dict[str, Any], seen: Visit) -> Response:
        """Deposit the keys of a version's decoy twin; returns where its files go."""
        files = tuple(DepositedFile(**file) for file in asked["files"])
        accepted = await twins.begin(office, operator, Deposit(**asked | {"files": files}), seen)
        uploads: list[Any] = [{"file_id": to_base64url(one.file_id), "url": one.url} for one in accepted.uploads]
        return bodies.answer({"version_id": accepted.version_id, "uploads": uploads}, 201)

    @app.post(
        f"{_PATH}/complete",
        status_code=202,
        openapi_extra=described(answer=TWIN, status=202, security=OPERATOR),
        response_class=Response,
    )
    async def post_complete(request: Request, model: str, version: str) -> Response:
        """Say that a twin's files are uploaded; they are checked before anybody is given them."""
        operator = await callers.operator(office, request)
        seen = callers.visit(office, request, office.admin_url)
        view = await twins.complete(office, operator, model, version, seen)
        if view.twin.state == publish.CHECKING:
            background.check_twin(view.twin.id)
        return bodies.answer(_shown(view), 202)

    @get(_PATH, TWIN)
    async def get_twin(request: Request, model: str, version: str) -> Response:
        """Show a version's decoy twin."""
        operator = await callers.operator(office, request)
        seen = callers.visit(office, request, office.admin_url)
        return bodies.answer(_shown(await twins.show(office, operator, model, version, seen)))


def _shown(view: TwinView) -> dict[str, Any]:
    row = view.twin
    version = view.version
    return {
        "id": row.id,
        "model": version.model,
        "version": version.version,
        "state": row.state,
        "reason": row.reason,
    }
