"""The part of the admin API that is about risks and alerts: who is watched and why, and letting in again.

`READERS` look. Letting in again, silencing a rule and deciding appeals is for `WATCHERS`: keepers, and `security`, who
is called at night. The use cases look at the role again.
"""

import dataclasses
import re
from typing import Any

from fastapi import FastAPI, Request, Response

from strongroom.canonical import JsonValue
from strongroom.errors import Code, InputError
from strongroom.server import accounts
from strongroom.server.alerts import listing
from strongroom.server.http import admin_risk_shapes as shapes
from strongroom.server.http import bodies, callers
from strongroom.server.http.admin_routes import OPERATOR, getting, posting
from strongroom.server.http.described import described
from strongroom.server.identify import Visit
from strongroom.server.office import Office
from strongroom.server.ports import Operator
from strongroom.server.watching import appealing, explaining, held, restoring, snoozing
from strongroom.server.watching.snoozing import WATCHERS
from strongroom.shapes import Choice, Integer

MOST_BODY, MOST_MARKS = 4096, 64  # of a decision
LEAST = ("medium", "high", "stop")
_NUMBER = re.compile(r"[0-9]{1,15}", re.ASCII)


def add_routes(app: FastAPI, office: Office) -> None:
    """Add the routes to the admin API."""
    _add_looking(app, office)
    _add_restoring(app, office)
    _add_snoozing(app, office)
    _add_alerts(app, office)


def _add_looking(app: FastAPI, office: Office) -> None:
    standing = described(answer=shapes.STANDING, security=OPERATOR, query={"least": Choice(LEAST)})

    @app.get("/v1/risk/standing", openapi_extra=standing, response_class=Response)
    async def get_standing(request: Request) -> Response:
        """List the users and devices in a band or above, why, and what their devices still hold."""
        operator, seen = await _who(office, request)
        least = request.query_params.get("least", LEAST[0])
        if least not in LEAST:
            raise InputError(Code.ARGUMENT, f"least is one of {', '.join(LEAST)}", where="least")
        rows: list[JsonValue] = [one.to_value() for one in await held.watched(office, operator, seen, least=least)]
        return bodies.answer({"standing": rows, "rules": explaining.rules_in_force(office)})

    explained = described(answer=shapes.EXPLANATION, security=OPERATOR, query={"at": Integer()})

    @app.get("/v1/risk/explain/{name}", openapi_extra=explained, response_class=Response)
    async def get_explanation(request: Request, name: str) -> Response:
        """Explain what is held against a user or a device, now or as it was decided last by a time."""
        operator, seen = await _who(office, request)
        at = _number(request, "at")
        return bodies.answer((await explaining.explain(office, operator, name, seen, at)).to_value())

    events = described(answer=shapes.EVENTS, security=OPERATOR, query={"after": Integer()})

    @app.get("/v1/risk/events", openapi_extra=events, response_class=Response)
    async def get_events(request: Request) -> Response:
        """Give out recorded events with their decisions in order; `next` goes into `after`."""
        operator, seen = await _who(office, request)
        found = await explaining.events(office, operator, _number(request, "after") or 0, seen)
        rows: list[JsonValue] = [explaining.event_value(row) | {"number": number} for number, row in found]
        return bodies.answer({"events": rows} | ({"next": found[-1][0]} if len(found) == shapes.MOST else {}))


def _add_restoring(app: FastAPI, office: Office) -> None:
    post = posting(app, office)

    @post("/v1/risk/restore", shapes.RESTORE, shapes.RESTORED, (WATCHERS, "restore after a risk"))
    async def post_restore(operator: Operator, asked: dict[str, Any], seen: Visit) -> Response:
        """Let a stopped device or user in again, and forget what was held against it."""
        done = await restoring.restore(office, operator, asked["kind"], asked["name"], asked["why"], seen)
        return bodies.answer(done.to_value(), 201)

    appeals = described(answer=shapes.APPEALS, security=OPERATOR, query={"every": Choice((0, 1))})

    @app.get("/v1/risk/appeals", openapi_extra=appeals, response_class=Response)
    async def get_appeals(request: Request) -> Response:
        """List the appeals that wait, the oldest first; with every=1 those that were decided too."""
        operator, seen = await _who(office, request)
        found = await appealing.appeals(office, operator, seen, waiting=not _number(request, "every"))
        return bodies.answer({"appeals": [dataclasses.asdict(row) for row in found]})

    decided = described(body=shapes.DECIDED, answer=shapes.APPEAL, status=201, security=OPERATOR)

    @app.post("/v1/risk/appeals/{id_}", status_code=201, openapi_extra=decided, response_class=Response)
    async def post_decision(request: Request, id_: str) -> Response:
        """Decide an appeal: restored lets its device in again, and its user if that was stopped."""
        operator, seen = await _who(office, request)
        await accounts.allow(office, operator, WATCHERS, "decide an appeal", seen.reference)
        data = await bodies.read(request, MOST_BODY, marks=MOST_MARKS)
        asked = bodies.loose(data, shapes.DECIDED, "body")
        row = await appealing.decide_appeal(
            office, operator, id_, restored=asked["restored"], why=asked["why"], visit=seen
        )
        return bodies.answer(dataclasses.asdict(row), 201)


def _add_snoozing(app: FastAPI, office: Office) -> None:
    post = posting(app, office)
    listed = described(answer=shapes.SNOOZES, security=OPERATOR, query={"every": Choice((0, 1))})

    @app.get("/v1/risk/snoozes", openapi_extra=listed, response_class=Response)
    async def get_snoozes(request: Request) -> Response:
        """List the snoozes in force; with every=1 those that are over too."""
        operator, seen = await _who(office, request)
        found = await snoozing.snoozes(office, operator, seen, every=bool(_number(request, "every")))
        return bodies.answer({"snoozes": [explaining.snooze_value(row) for row in found]})

    @post("/v1/risk/snoozes", shapes.NEW_SNOOZE, shapes.SNOOZE, (WATCHERS, "snooze a rule"))
    async def post_snooze(operator: Operator, asked: dict[str, Any], seen: Visit) -> Response:
        """Let one rule be silent for one user or device, until a time and for a reason."""
        row = await snoozing.snooze(
            office, operator, asked["rule"], asked["entity"], asked["until"], asked["why"], seen
        )
        return bodies.answer(explaining.snooze_value(row), 201)

    ended = described(answer=shapes.SNOOZE, security=OPERATOR)

    @app.post("/v1/risk/snoozes/{id_}/end", openapi_extra=ended, response_class=Response)
    async def post_end(request: Request, id_: str) -> Response:
        """End a snooze before its time."""
        operator, seen = await _who(office, request)
        return bodies.answer(explaining.snooze_value(await snoozing.unsnooze(office, operator, id_, seen)))


def _add_alerts(app: FastAPI, office: Office) -> None:
    get = getting(app)

    @get("/v1/alerts", shapes.ALERTS)
    async def get_alerts(request: Request) -> Response:
        """List the newest alerts, and what became of each."""
        operator, seen = await _who(office, request)
        return bodies.answer({"alerts": [one.to_value() for one in await listing.list_alerts(office, operator, seen)]})

    tested = described(answer=shapes.ALERT, status=201, security=OPERATOR)

    @app.post("/v1/alerts/test", status_code=201, openapi_extra=tested, response_class=Response)
    async def post_test(request: Request) -> Response:
        """Spool an alert that says nothing but that alerts arrive."""
        operator, seen = await _who(office, request)
        return bodies.answer((await listing.add_test(office, operator, seen)).to_value(), 201)


async def _who(office: Office, request: Request) -> tuple[Operator, Visit]:
    operator = await callers.operator(office, request)
    return operator, callers.visit(office, request, office.admin_url)


def _number(request: Request, name: str) -> int | None:
    text = request.query_params.get(name)
    if text is None:
        return None
    if not _NUMBER.fullmatch(text):
        raise InputError(Code.ARGUMENT, f"{name} is a number of at most 15 digits", where=name)
    return int(text)
