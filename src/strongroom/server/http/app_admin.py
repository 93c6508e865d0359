"""The admin API: a listener of its own, so that a firewall can keep it apart (R65). Bearer operator tokens only.

Who is asking, and in which role, is settled before a byte of the body is read. No route gives a model key back, to
nobody (R13).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from strongroom.canonical import JsonValue, to_base64url
from strongroom.errors import Code, InputError
from strongroom.server import accounts, catalogue, publish
from strongroom.server.accounts import Right
from strongroom.server.checking import Background
from strongroom.server.http import admin_shapes as shapes
from strongroom.server.http import bodies, callers
from strongroom.server.http.described import HEALTH, described, secured
from strongroom.server.http.health import health
from strongroom.server.http.problems import Guard, on_http_exception
from strongroom.server.identify import Visit
from strongroom.server.office import Office
from strongroom.server.ports import Operator
from strongroom.server.publish import Deposit, DepositedFile
from strongroom.shapes import Object, Shape, Text

LIMIT = 65_536  # bytes of any body but a deposit
MAX_MARKS = 4096  # `bodies.MARKS` of any body: a deposit of 16 files has some 200, the others fewer
IN_THE_LOOP = 262_144  # bytes of JSON that are parsed where they arrive; larger ones go to a thread, one at a time
AFTER = 64  # characters
OPERATOR = ("operator",)
SCHEMES = {"operator": {"type": "http", "scheme": "bearer", "description": "An operator's token."}}


def create_admin_app(office: Office, background: Background) -> FastAPI:
    """Build the admin API over an office; `background` runs the checks that `complete` starts."""
    app = _Described(
        title="strongroom admin API",
        version="1",  # of the API: the "v1" in its paths
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        redirect_slashes=False,
    )
    app.add_middleware(Guard, office=office, explain=True)
    app.add_exception_handler(HTTPException, on_http_exception)
    _add_people(app, office)
    _add_entitlements(app, office)
    _add_catalogue(app, office)
    _add_publishing(app, office, background)
    return app


class _Described(FastAPI):
    def openapi(self) -> dict[str, Any]:
        return secured(super().openapi(), SCHEMES)


def _add_people(app: FastAPI, office: Office) -> None:
    post, get = _post(app, office), _get(app)

    @get("/v1/whoami", shapes.OPERATOR)
    async def whoami(request: Request) -> Response:
        """Tell the caller who it is."""
        return bodies.answer(shapes.operator(await callers.operator(office, request)))

    @post("/v1/accounts", shapes.NEW_ACCOUNT, shapes.ACCOUNT, (accounts.KEEPERS, "add an account"))
    async def post_account(operator: Operator, asked: dict[str, Any], seen: Visit) -> Response:
        """Add an account and its first user."""
        return bodies.answer(shapes.account(await accounts.add_account(office, operator, asked["name"], seen)), 201)

    @get("/v1/accounts", shapes.ACCOUNTS, paged=True)
    async def get_accounts(request: Request) -> Response:
        """List accounts by name."""
        operator = await callers.operator(office, request)
        found = await accounts.list_accounts(office, operator, _after(request))
        rows = [shapes.account(one) for one in found]
        return bodies.answer(shapes.listed("accounts", rows, [one.account.name for one in found]))

    @post("/v1/operators", shapes.NEW_OPERATOR, shapes.OPERATOR, ((publish.ADMIN,), "add an operator"))
    async def post_operator(operator: Operator, asked: dict[str, Any], seen: Visit) -> Response:
        """Add an operator; its token is shown this once."""
        made = await accounts.add_operator(office, operator, asked["name"], asked["role"], seen)
        return bodies.answer(shapes.operator(made.operator) | {"token": made.token}, 201)

    @post("/v1/tokens", shapes.NEW_TOKEN, shapes.TOKEN, (accounts.KEEPERS, "issue a token"))
    async def post_token(operator: Operator, asked: dict[str, Any], seen: Visit) -> Response:
        """Issue a token by which a user enrols devices."""
        token, expires = await accounts.issue_token(office, operator, asked["user"], asked["seconds"], seen)
        return bodies.answer({"user": asked["user"], "token": token, "expires": expires}, 201)

    @get("/v1/devices", shapes.DEVICES, paged=True)
    async def get_devices(request: Request) -> Response:
        """List devices by identifier."""
        operator = await callers.operator(office, request)
        found = await accounts.list_devices(office, operator, _after(request))
        return bodies.answer(shapes.listed("devices", [shapes.device(one) for one in found], [one.id for one in found]))


def _add_entitlements(app: FastAPI, office: Office) -> None:
    post, get = _post(app, office), _get(app)

    @post("/v1/entitlements", shapes.NEW_ENTITLEMENT, shapes.ENTITLEMENT, (accounts.KEEPERS, "add a right"))
    async def post_entitlement(operator: Operator, asked: dict[str, Any], seen: Visit) -> Response:
        """Give an account, or one user of it, a right to a model."""
        return bodies.answer(
            shapes.entitlement(await accounts.add_entitlement(office, operator, Right(**asked), seen)), 201
        )

    gone = described(status=204, security=OPERATOR)

    @app.delete("/v1/entitlements/{id_}", status_code=204, openapi_extra=gone, response_class=Response)
    async def delete_entitlement(request: Request, id_: str) -> Response:
        """Take a right away."""
        operator = await callers.operator(office, request)
        seen = callers.visit(office, request, office.admin_url)
        await accounts.remove_entitlement(office, operator, id_, seen)
        return Response(None, 204)

    @get("/v1/accounts/{name}/entitlements", shapes.ENTITLEMENTS, model=True)
    async def get_entitlements(request: Request, name: str) -> Response:
        """List the rights of an account to a model."""
        operator = await callers.operator(office, request)
        model = request.query_params.get("model", "")
        found = await accounts.list_entitlements(office, operator, name, model)
        return bodies.answer({"entitlements": [shapes.entitlement(one) for one in found]})

    @app.get("/healthz", openapi_extra=described(answer=HEALTH), response_class=Response)
    async def get_health() -> Response:
        """Tell whether releases would work."""
        return await health(office)


def _add_catalogue(app: FastAPI, office: Office) -> None:
    get = _get(app)

    @get("/v1/models", shapes.MODELS, paged=True)
    async def get_models(request: Request) -> Response:
        """List models by name."""
        operator = await callers.operator(office, request)
        found = await catalogue.list_models(office, operator, _after(request))
        rows: list[dict[str, JsonValue]] = [
            {"model": name, "channels": shapes.channels(channels)} for name, channels in found
        ]
        return bodies.answer(shapes.listed("models", rows, [name for name, _ in found]))

    @get("/v1/models/{model}", shapes.MODEL_FULL)
    async def get_model(request: Request, model: str) -> Response:
        """Show a model: channels, versions, and which place in order comes next."""
        operator = await callers.operator(office, request)
        return bodies.answer(shapes.model(await catalogue.show_model(office, operator, model)))

    @get("/v1/models/{model}/versions/{version}", shapes.VERSION_FULL)
    async def get_version(request: Request, model: str, version: str) -> Response:
        """Show a version and its files."""
        operator = await callers.operator(office, request)
        return bodies.answer(shapes.version_full(await catalogue.show_version(office, operator, model, version)))


def _add_publishing(app: FastAPI, office: Office, background: Background) -> None:
    post, get = _post(app, office), _get(app)

    @get("/v1/deposit-context", shapes.DEPOSIT_CONTEXT)
    async def get_deposit_context(request: Request) -> Response:
        """Tell a publisher what a deposit is bound to, and the trust document that names the deposit keys."""
        operator = await callers.operator(office, request)
        await accounts.allow(office, operator, publish.PUBLISHERS, "deposit context", request.state.reference)
        return bodies.answer(
            {
                "account": "",
                "publisher": operator.id,
                "server": office.public_url,
                "suites": list(office.policy.suites),
                "trust": list(office.trust_documents[-1]),
            }
        )

    @post("/v1/deposits", Deposit.SHAPE, shapes.DEPOSITED, (publish.PUBLISHERS, "deposit"), limit=Deposit.LIMIT)
    async def post_deposit(operator: Operator, asked: dict[str, Any], seen: Visit) -> Response:
        """Deposit the keys of a new version; returns where its files go."""
        files = tuple(DepositedFile(**file) for file in asked["files"])
        accepted = await publish.begin_deposit(office, operator, Deposit(**asked | {"files": files}), seen)
        uploads: list[Any] = [{"file_id": to_base64url(one.file_id), "url": one.url} for one in accepted.uploads]
        return bodies.answer({"version_id": accepted.version_id, "uploads": uploads}, 201)

    done = described(answer=shapes.STARTED, status=202, security=OPERATOR)
    path = "/v1/models/{model}/versions/{version}/complete"

    @app.post(path, status_code=202, openapi_extra=done, response_class=Response)
    async def post_complete(request: Request, model: str, version: str) -> Response:
        """Say that the files are uploaded; they are checked before the version becomes visible."""
        operator = await callers.operator(office, request)
        seen = callers.visit(office, request, office.admin_url)
        row = await publish.complete(office, operator, model, version, seen)
        if row.state == publish.CHECKING:
            background.check(row.id)
        return bodies.answer({"id": row.id, "model": row.model, "version": row.version, "state": row.state}, 202)


_Handler = Callable[..., Awaitable[Response]]
_Use = Callable[[Operator, dict[str, Any], Visit], Awaitable[Response]]


def _get(app: FastAPI) -> Callable[..., Callable[[_Handler], _Handler]]:
    def route(path: str, answer: Object, *, paged: bool = False, model: bool = False) -> Callable[[_Handler], _Handler]:
        query: dict[str, Shape] | None = (
            {"after": Text(AFTER, least=0)} if paged else {"model": Text(64)} if model else None
        )
        extra = described(answer=answer, security=OPERATOR, query=query)
        return app.get(path, openapi_extra=extra, response_class=Response)

    return route


def _post(app: FastAPI, office: Office) -> Callable[..., Callable[[_Use], _Handler]]:
    """Make routes that settle who is asking and in which role, then read and check the body, then call the use case.

    The use case looks at the role again: it cannot know who calls it.
    """
    turn = asyncio.Semaphore(1)

    def route(
        path: str, body: Object, answer: Object, may: tuple[Sequence[str], str], *, limit: int = LIMIT
    ) -> Callable[[_Use], _Handler]:
        extra = described(body=body, answer=answer, status=201, security=OPERATOR)

        def register(use: _Use) -> _Handler:
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


def _after(request: Request) -> str:
    after = request.query_params.get("after", "")
    if len(after) > AFTER or not (after.isascii() and after.isprintable()):
        raise InputError(Code.ARGUMENT, f"after is a name of at most {AFTER} characters", where="after")
    return after
