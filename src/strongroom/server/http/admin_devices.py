"""The part of the admin API that is about devices: what they hold, wipe orders, blocking."""

from typing import Any

from fastapi import FastAPI, Request, Response

from strongroom.server import accounts, devices, wipe_orders
from strongroom.server.http import admin_shapes as shapes
from strongroom.server.http import bodies, callers
from strongroom.server.http.admin_routes import OPERATOR, after, getting, posting
from strongroom.server.http.described import described
from strongroom.server.identify import Visit
from strongroom.server.office import Office
from strongroom.server.ports import Operator
from strongroom.server.wipe_orders import Wipe


def add_routes(app: FastAPI, office: Office) -> None:
    """Add the routes to the admin API."""
    _add_devices(app, office)
    _add_orders(app, office)


def _add_devices(app: FastAPI, office: Office) -> None:
    get = getting(app)

    @get("/v1/devices", shapes.DEVICES, paged=True)
    async def get_devices(request: Request) -> Response:
        """List devices by identifier."""
        operator = await callers.operator(office, request)
        found = await accounts.list_devices(office, operator, after(request))
        return bodies.answer(shapes.listed("devices", [shapes.device(one) for one in found], [one.id for one in found]))

    @get("/v1/devices/{device}", shapes.DEVICE_FULL)
    async def get_device(request: Request, device: str) -> Response:
        """Show a device: what it holds, what it was ordered, and what it reported."""
        operator = await callers.operator(office, request)
        seen = callers.visit(office, request, office.admin_url)
        return bodies.answer(shapes.device_full(await devices.show_device(office, operator, device, seen)))

    async def change(request: Request, device: str, *, blocked: bool) -> Response:
        operator = await callers.operator(office, request)
        seen = callers.visit(office, request, office.admin_url)
        return bodies.answer(shapes.device(await devices.set_blocked(office, operator, device, seen, blocked=blocked)))

    changed = described(answer=shapes.DEVICE, security=OPERATOR)

    @app.post("/v1/devices/{device}/block", openapi_extra=changed, response_class=Response)
    async def post_block(request: Request, device: str) -> Response:
        """Block a device: no release, no renewal; it can still fetch wipe orders and report on them."""
        return await change(request, device, blocked=True)

    @app.post("/v1/devices/{device}/unblock", openapi_extra=changed, response_class=Response)
    async def post_unblock(request: Request, device: str) -> Response:
        """Let a blocked device in again."""
        return await change(request, device, blocked=False)


def _add_orders(app: FastAPI, office: Office) -> None:
    post, get = posting(app, office), getting(app)

    @get("/v1/orders", shapes.ORDERS, paged=True)
    async def get_orders(request: Request) -> Response:
        """List wipe orders by identifier."""
        operator = await callers.operator(office, request)
        found = await wipe_orders.list_orders(office, operator, after(request))
        rows = [shapes.order(one, office.now()) for one in found]
        return bodies.answer(shapes.listed("orders", rows, [one.id for one in found]))

    @post("/v1/orders", shapes.NEW_ORDERS, shapes.ORDERED, (accounts.KEEPERS, "order a wipe"))
    async def post_orders(operator: Operator, asked: dict[str, Any], seen: Visit) -> Response:
        """Order a wipe: on one device, or of one version wherever it is held; `next` goes into `after`."""
        done = await wipe_orders.order_wipe(office, operator, Wipe(**asked), seen)
        return bodies.answer(shapes.ordered(done, seen.now), 201)

    withdrawn = described(answer=shapes.ORDER, security=OPERATOR)

    @app.post("/v1/orders/{order}/withdraw", openapi_extra=withdrawn, response_class=Response)
    async def post_withdraw(request: Request, order: str) -> Response:
        """Take an order back; a device that has fetched it may carry it out all the same."""
        operator = await callers.operator(office, request)
        seen = callers.visit(office, request, office.admin_url)
        return bodies.answer(shapes.order(await wipe_orders.withdraw(office, operator, order, seen), seen.now))
