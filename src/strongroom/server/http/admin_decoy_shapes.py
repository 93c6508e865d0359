"""What the admin API takes and gives about decoys: closed shapes, which are its OpenAPI schemas as well."""

from strongroom.canonical import JsonValue, to_base64url
from strongroom.server.bait.board import KINDS
from strongroom.server.http.admin_shapes import TIME
from strongroom.server.traps.decoys import Shown
from strongroom.server.traps.exercises import AT_DESK, AT_DEVICES, BY_BEARER, BY_DEVICE, BY_NOBODY, BY_USER, Exercise
from strongroom.server.traps.wanted import MAX_NOTE, SORTS
from strongroom.server.watch_ports import DecoyRow
from strongroom.shapes import Array, Binary, Choice, Integer, Nullable, Object, Text
from strongroom.wire.messages import ID, JWS

_THING = Text(2048)

NEW_DECOY = Object(
    {
        "kind": Choice(KINDS),
        "name": Text(256),
        "note": Text(MAX_NOTE, least=0),
        "sort": Nullable(Choice(SORTS)),  # of a token
    },
    frozenset({"sort"}),
)
DECOY = Object(
    {
        "id": ID,
        "kind": Choice(KINDS),
        "name": Text(256),
        "note": Text(MAX_NOTE, least=0),
        "created": TIME,
        "hits": Integer(),
        "hit": Nullable(TIME),
        "tested": Nullable(TIME),
    }
)
SHOWN = Object(
    {
        "method": _THING,
        "path": _THING,
        "url": _THING,
        "token": _THING,
        "lease_id": _THING,
        "release_id": _THING,
        "key": _THING,
        "model": _THING,
        "field": _THING,
    },
    frozenset({"method", "path", "url", "token", "lease_id", "release_id", "key", "model", "field"}),
)
DECOY_FULL = Object({**DECOY.fields, "shows": SHOWN})
DECOYS = Object({"decoys": Array(DECOY, most=10_000)})
NEW_EXERCISE = Object({})
TRY = Object(
    {
        "decoy": ID,
        "at": Choice((AT_DEVICES, AT_DESK)),
        "method": Choice(("GET", "POST")),
        "path": _THING,
        "by": Choice((BY_DEVICE, BY_USER, BY_BEARER, BY_NOBODY)),
        "token": Nullable(Text(4096)),
        "body": Text(16_384, least=0),
    }
)
EXERCISE = Object({"began": TIME, "seed": Binary(32), "token": JWS, "tries": Array(TRY, most=10_000)})


def decoy(row: DecoyRow) -> dict[str, JsonValue]:
    """Write one decoy."""
    return {
        "id": row.id,
        "kind": row.kind,
        "name": row.name,
        "note": row.note,
        "created": row.created,
        "hits": row.hits,
        "hit": row.hit,
        "tested": row.tested,
    }


def shown(one: Shown) -> dict[str, JsonValue]:
    """Write a decoy with what it shows."""
    return {**decoy(one.row), "shows": dict(one.shows)}


def exercise(one: Exercise) -> dict[str, JsonValue]:
    """Write what an exercise needs."""
    tries: list[JsonValue] = [
        {
            "decoy": each.decoy,
            "at": each.at,
            "method": each.method,
            "path": each.path,
            "by": each.by,
            "token": each.token,
            "body": each.body,
        }
        for each in one.tries
    ]
    return {"began": one.began, "seed": to_base64url(one.seed), "token": one.token, "tries": tries}
