"""What the admin API takes and gives about risks and alerts."""

from dataclasses import dataclass
from typing import Any

from strongroom.canonical import JsonValue
from strongroom.errors import Code, IntegrityError
from strongroom.server.http.admin_shapes import STATE, TIME, WHO
from strongroom.shapes import Array, Choice, Flag, Integer, Nullable, Object, Text
from strongroom.wire.messages import ID

BAND = Choice(("none", "medium", "high", "stop"))
MOST = 100  # of anything, in one answer
WHY = Text(500)
RULE = Text(32, "[a-z0-9_]+")
ENTITY = Text(128, r"[a-z]{2,8}:[A-Za-z0-9._@+-]{1,100}")  # user:NAME, key:THUMBPRINT, device:ID


@dataclass(frozen=True, slots=True)
class Open:
    """An object whose fields another room defines: what the risk engine says of a decision or an event."""

    def check(self, value: JsonValue, where: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise IntegrityError(Code.SHAPE, "expected an object", where=where)
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "object", "additionalProperties": True}


SNOOZE = Object(
    {
        "id": ID,
        "rule": RULE,
        "entity": ENTITY,
        "until": TIME,
        "by": ID,
        "why": WHY,
        "created": TIME,
        "ended": Nullable(TIME),
    }
)
SNOOZES = Object({"snoozes": Array(SNOOZE, most=10_000)})
NEW_SNOOZE = Object({"rule": RULE, "entity": ENTITY, "until": TIME, "why": WHY})

WATCHED = Object(
    {
        "kind": Choice(("user", "key")),
        "name": Text(64),  # a user's id, or the thumbprint of a device key
        "label": Text(64, least=0),  # a user's name, or a device's id; "" if it is gone
        "band": BAND,
        "moved": TIME,
        "state": Text(16, least=0),
        "why": Text(400, least=0),  # one line: the stops, or the rules with the most points
        "holds": Nullable(Integer()),  # models whose lease is not over and that were not reported wiped
        "pending": Nullable(Integer()),  # wipe orders that were not reported on
    }
)
POLICY = Object({"policy": Text(64), "where": Text(4096, least=0)})
STANDING = Object({"standing": Array(WATCHED, most=MOST), "rules": POLICY})

EVENT = Object(
    {
        "id": Text(64),
        "at": TIME,
        "user": Text(64, least=0),
        "key": Text(64, least=0),
        "band": BAND,
        "event": Open(),
        "decision": Open(),
    }
)
NUMBERED = Object({**EVENT.fields, "number": Integer(1)})
EVENTS = Object({"events": Array(NUMBERED, most=MOST), "next": Integer(1)}, frozenset({"next"}))
EXPLANATION = Object(
    {
        "user": Nullable(Object({"id": ID, "name": Text(64), "state": STATE})),
        "device": Nullable(Object({"id": ID, "state": STATE})),
        "decision": Open(),
        "text": Text(65_536, least=0),
        "at": TIME,
        "events": Array(EVENT, most=MOST),
        "snoozes": Array(SNOOZE, most=10_000),
    }
)

RESTORE = Object({"kind": Choice(("user", "device")), "name": WHO, "why": WHY})
RESTORED = Object(
    {
        "kind": Choice(("user", "device")),
        "id": ID,
        "state": STATE,
        "withdrawn": Array(ID, most=10_000),  # wipe orders that nobody had fetched
        "appeals": Array(ID, most=10_000),  # closed by this
    }
)

APPEAL = Object(
    {
        "id": ID,
        "device": ID,
        "user": ID,
        "reference": Text(64, least=0),
        "text": Text(500, least=0),
        "created": TIME,
        "closed": Nullable(TIME),
        "outcome": Nullable(Choice(("restored", "upheld"))),
        "operator": Nullable(ID),
    }
)
APPEALS = Object({"appeals": Array(APPEAL, most=MOST)})
DECIDED = Object({"restored": Flag(), "why": WHY})

ALERT = Object(
    {
        "id": ID,
        "at": TIME,
        "type": Text(64, least=0),
        "data": Open(),
        "state": Choice(("waiting", "delivered", "logged", "given up")),
        "attempts": Integer(),
        "next_attempt": TIME,
        "ended": TIME,
    },
    frozenset({"next_attempt", "ended"}),
)
ALERTS = Object({"alerts": Array(ALERT, most=MOST)})
NOTHING = Object({})
