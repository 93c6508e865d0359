"""Statements that every decision of the risk engine asks, built once; see prepared.py."""

import dataclasses
from types import ModuleType

from sqlalchemy import Insert, bindparam, func, select
from sqlalchemy.dialects import postgresql, sqlite

from strongroom.server.ledger import tables as t
from strongroom.server.watch_ports import RiskEventRow

EVENT = tuple(t.RISK_EVENTS.c[one.name] for one in dataclasses.fields(RiskEventRow))

# PostgreSQL locks them in this order until the transaction ends; SQLite, which has one writer, leaves it out
STATES = (
    select(t.RISK_STATES)
    .where(t.RISK_STATES.c.entity.in_(bindparam("entities", expanding=True)))
    .order_by(t.RISK_STATES.c.entity)
    .with_for_update()
)
LAST_EVENT = (
    select(*EVENT)
    .where(t.RISK_EVENTS.c.key == bindparam("key"))
    .order_by(t.RISK_EVENTS.c.at.desc(), t.RISK_EVENTS.c.seq.desc())
    .limit(1)
)
EVENT_OF = select(*EVENT).where(t.RISK_EVENTS.c.id == bindparam("id"))
SNOOZES = (
    select(t.SNOOZES)
    .where(t.SNOOZES.c.until > bindparam("now"), t.SNOOZES.c.ended.is_(None))
    .order_by(t.SNOOZES.c.created, t.SNOOZES.c.id)
)
ENTITLED = select(func.count(t.ENTITLEMENTS.c.model.distinct())).where(t.ENTITLEMENTS.c.account == bindparam("account"))


def _keep(dialect: ModuleType) -> Insert:
    kept = dialect.insert(t.RISK_STATES)
    changed = {one.name: kept.excluded[one.name] for one in t.RISK_STATES.c if one.name != "entity"}
    insert: Insert = kept.on_conflict_do_update(index_elements=["entity"], set_=changed)
    return insert


KEEP = {"postgresql": _keep(postgresql), "sqlite": _keep(sqlite)}
