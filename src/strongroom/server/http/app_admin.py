"""The admin API: a listener of its own, so that a firewall can keep it apart (R65). Bearer operator tokens only.

Who is asking, and in which role, is settled before a byte of the body is read. No route gives a model key back, to
nobody (R13).
"""

from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from strongroom.canonical import JsonValue, to_base64url
from strongroom.server import accounts, catalogue, publish, versions
from strongroom.server.accounts import Right
from strongroom.server.checking import Background
from strongroom.server.http import admin_decoys, admin_devices, admin_risk, admin_twins, bodies, callers
from strongroom.server.http import admin_shapes as shapes
from strongroom.server.http.admin_routes import OPERATOR, after, getting, posting
from strongroom.server.http.aftermath import Aftermath
from strongroom.server.http.described import HEALTH, described, secured
from strongroom.server.http.health import health
from strongroom.server.http.problems import Guard, on_http_exception
from strongroom.server.http.turnstile import Turnstile
from strongroom.server.identify import Visit
from strongroom.server.limits.rates import admin_route
from strongroom.server.office import Office
from strongroom.server.ports import Operator
from strongroom.server.publish import Deposit, DepositedFile

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
    app.add_middleware(Turnstile, office=office, route=admin_route)
    app.add_middleware(Guard, office=office, explain=True)
    app.add_middleware(Aftermath, office=office, base=office.admin_url)
    app.add_exception_handler(HTTPException, on_http_exception)
    _add_people(app, office)
    _add_entitlements(app, office)
    admin_devices.add_routes(app, office)
    admin_risk.add_routes(app, office)
    admin_decoys.add_routes(app, office)
    _add_catalogue(app, office)
    _add_publishing(app, office, background)
    admin_twins.add_routes(app, office, background)
    return app


class _Described(FastAPI):
    def openapi(self) -> dict[str, Any]:
        return secured(super().openapi(), SCHEMES)


def _add_people(app: FastAPI, office: Office) -> None:
    post, get = posting(app, office), getting(app)

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
        found = await accounts.list_accounts(office, operator, after(request))
        rows = [shapes.account(one) for one in found]
        return bodies.answer(shapes.listed("accounts", rows, [one.account.name for one in found]))

    async def restricted(request: Request, name: str, *, restricted: bool) -> Response:
        operator = await callers.operator(office, request)
        seen = callers.visit(office, request, office.admin_url)
        view = await accounts.set_restricted(office, operator, name, seen, restricted=restricted)
        return bodies.answer(shapes.account(view))

    changed = described(answer=shapes.ACCOUNT, security=OPERATOR)

    @app.post("/v1/accounts/{name}/restrict", openapi_extra=changed, response_class=Response)
    async def post_restrict(request: Request, name: str) -> Response:
        """Restrict an account: no release and no renewal to its devices, no enrolment by its users."""
        return await restricted(request, name, restricted=True)

    @app.post("/v1/accounts/{name}/restore", openapi_extra=changed, response_class=Response)
    async def post_restore(request: Request, name: str) -> Response:
        """Restore a restricted account."""
        return await restricted(request, name, restricted=False)

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


def _add_entitlements(app: FastAPI, office: Office) -> None:
    post, get = posting(app, office), getting(app)

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
    post, get = posting(app, office), getting(app)

    @get("/v1/models", shapes.MODELS, paged=True)
    async def get_models(request: Request) -> Response:
        """List models by name."""
        operator = await callers.operator(office, request)
        found = await catalogue.list_models(office, operator, after(request))
        rows: list[dict[str, JsonValue]] = [
            {"model": name, "channels": shapes.channels(standing)} for name, standing in found
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

    @post("/v1/channels", shapes.NEW_CHANNEL, shapes.CHANNEL_MOVED, (versions.PROMOTERS, "promote a version"))
    async def post_channel(operator: Operator, asked: dict[str, Any], seen: Visit) -> Response:
        """Let a channel stand for a version; it only moves on, to a later one."""
        moved = await versions.promote(office, operator, asked["model"], asked["version"], asked["channel"], seen)
        return bodies.answer(shapes.moved(moved), 201)

    revoked = described(answer=shapes.REVOKED, security=OPERATOR)

    @app.post("/v1/models/{model}/versions/{version}/revoke", openapi_extra=revoked, response_class=Response)
    async def post_revoke(request: Request, model: str, version: str) -> Response:
        """Let nobody have a version any more: no release, no renewal."""
        operator = await callers.operator(office, request)
        seen = callers.visit(office, request, office.admin_url)
        return bodies.answer(shapes.revoked(await versions.revoke(office, operator, model, version, seen)))


def _add_publishing(app: FastAPI, office: Office, background: Background) -> None:
    post, get = posting(app, office), getting(app)

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
