"""The part of a transaction that is about watching: risk states and events, snoozes, decoys, alerts, appeals."""

import dataclasses
from collections.abc import Sequence
from types import ModuleType

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from strongroom.server.ledger import prepared, watch_prepared
from strongroom.server.ledger import tables as t
from strongroom.server.ledger.rows import Rows
from strongroom.server.ports import DeviceRow, User
from strongroom.server.watch_ports import AlertRow, AppealRow, DecoyRow, RiskEventRow, RiskRow, SnoozeRow

_EVENT = watch_prepared.EVENT
_RISK = tuple(one.name for one in dataclasses.fields(RiskRow))


class WatchRows(Rows):
    """What the risk engine and the traps remember. Every query of a request begins at an index."""

    def _dialect_name(self) -> str:
        return "postgresql" if self._connection.engine.url.get_backend_name() == "postgresql" else "sqlite"

    def _dialect(self) -> ModuleType:
        """Return the dialect with an insert that knows conflicts: SQL's own has none."""
        return postgresql if self._dialect_name() == "postgresql" else sqlite

    async def risk_states(self, entities: Sequence[bytes]) -> Sequence[RiskRow]:
        return await self._all(RiskRow, watch_prepared.STATES, {"entities": list(entities)}) if entities else []

    async def keep_risk_states(self, rows: Sequence[RiskRow]) -> None:
        if rows:
            values = [{one: getattr(row, one) for one in _RISK} for row in rows]
            await self._execute(watch_prepared.KEEP[self._dialect_name()], values)

    async def risk_standing(self, *, least: int, limit: int = 100) -> Sequence[RiskRow]:
        columns = t.RISK_STATES.c
        found = select(t.RISK_STATES).where(columns.band >= least)
        return await self._all(RiskRow, found.order_by(columns.moved.desc(), columns.entity).limit(limit))

    async def risk_count(self, *, least: int, since: int) -> int:
        columns = t.RISK_STATES.c
        wanted = (columns.band >= least, columns.moved >= since, columns.kind == "user")
        return int((await self._execute(select(func.count()).where(*wanted))).scalar_one())

    async def add_risk_event(self, row: RiskEventRow) -> None:
        await self._insert(t.RISK_EVENTS, row, "this event is already there")

    async def risk_events(
        self, *, user: str | None = None, key: str | None = None, until: int | None = None, limit: int = 100
    ) -> Sequence[RiskEventRow]:
        if key is not None and user is None and until is None and limit == 1:  # what every decision begins with
            return await self._all(RiskEventRow, watch_prepared.LAST_EVENT, {"key": key})
        columns = t.RISK_EVENTS.c
        wanted = [columns[name] == value for name, value in (("user", user), ("key", key)) if value is not None]
        found = select(*_EVENT).where(or_(*wanted)) if wanted else select(*_EVENT)
        if until is not None:
            found = found.where(columns.at <= until)
        return await self._all(RiskEventRow, found.order_by(columns.at.desc(), columns.seq.desc()).limit(limit))

    async def risk_event(self, id_: str) -> RiskEventRow | None:
        found = await self._all(RiskEventRow, watch_prepared.EVENT_OF, {"id": id_})
        return found[0] if found else None

    async def risk_log(self, *, after: int = 0, limit: int = 100) -> Sequence[tuple[int, RiskEventRow]]:
        seq = t.RISK_EVENTS.c.seq
        rows = await self._execute(select(t.RISK_EVENTS).where(seq > after).order_by(seq).limit(limit))
        return [(row["seq"], RiskEventRow(**{c.name: row[c.name] for c in _EVENT})) for row in rows.mappings()]

    async def drop_risk_events(self, *, before: int, limit: int = 1000) -> int:
        columns = t.RISK_EVENTS.c
        old = select(columns.seq).where(columns.at < before).order_by(columns.at).limit(limit)
        done = await self._execute(delete(t.RISK_EVENTS).where(columns.seq.in_(old)))
        return done.rowcount

    async def add_snooze(self, row: SnoozeRow) -> None:
        await self._insert(t.SNOOZES, row, "this snooze is already there")

    async def snooze(self, id_: str) -> SnoozeRow | None:
        return await self._one(SnoozeRow, t.SNOOZES, id=id_)

    async def snoozes(self, *, now: int | None = None) -> Sequence[SnoozeRow]:
        if now is not None:
            return await self._all(SnoozeRow, watch_prepared.SNOOZES, {"now": now})
        return await self._all(SnoozeRow, select(t.SNOOZES).order_by(t.SNOOZES.c.created, t.SNOOZES.c.id))

    async def end_snooze(self, id_: str, *, at: int) -> None:
        await self._update_one(t.SNOOZES, id_, {"ended": at})

    async def add_decoy(self, row: DecoyRow) -> None:
        await self._insert(t.DECOYS, row, f"a decoy of this kind named {row.name} is already there")

    async def decoy(self, id_: str) -> DecoyRow | None:
        return await self._one(DecoyRow, t.DECOYS, id=id_)

    async def decoy_named(self, kind: str, name: str) -> DecoyRow | None:
        named = prepared.of_table(t.DECOYS, ("kind", "name"))
        found = await self._all(DecoyRow, named, {"kind": kind, "name": name})
        return found[0] if found else None

    async def decoy_by_mark(self, mark: bytes) -> DecoyRow | None:
        return await self._one(DecoyRow, t.DECOYS, mark=mark)

    async def decoys(self) -> Sequence[DecoyRow]:
        columns = t.DECOYS.c
        return await self._all(DecoyRow, select(t.DECOYS).order_by(columns.kind, columns.name))

    async def note_decoy_hit(self, id_: str, *, at: int) -> None:
        columns = t.DECOYS.c
        await self._execute(update(t.DECOYS).where(columns.id == id_).values(hits=columns.hits + 1, hit=at))

    async def note_decoy_tested(self, id_: str, *, at: int) -> None:
        await self._update_one(t.DECOYS, id_, {"tested": at})

    async def set_decoy_state(self, id_: str, state: str) -> None:
        await self._update_one(t.DECOYS, id_, {"state": state})

    async def add_alert(self, row: AlertRow) -> bool:
        kept = self._dialect().insert(t.ALERTS).values(dataclasses.asdict(row)).on_conflict_do_nothing()
        return (await self._execute(kept)).rowcount == 1

    async def end_alert_hours(self, names: Sequence[str], *, since: int) -> None:
        if not names:
            return
        columns = t.ALERTS.c
        # LIKE takes `_`, which identifiers have, for any character, and SQLite's takes `a` for `A`: replace() does not
        named = or_(*(func.replace(columns.key, f":{one}:", "") != columns.key for one in names))
        await self._execute(update(t.ALERTS).where(columns.at >= since, named).values(key=columns.id))

    async def due_alerts(self, *, now: int, limit: int = 100) -> Sequence[AlertRow]:
        columns = t.ALERTS.c
        waiting = (columns.sent.is_(None), columns.given_up.is_(None), columns.due <= now)
        found = select(t.ALERTS).where(*waiting).order_by(columns.due, columns.at, columns.id).limit(limit)
        # who claims alerts notes them in the same transaction: PostgreSQL lets another process pass by these rows
        return await self._all(AlertRow, found.with_for_update(skip_locked=True))

    async def alerts(self, *, limit: int = 100) -> Sequence[AlertRow]:
        columns = t.ALERTS.c
        return await self._all(AlertRow, select(t.ALERTS).order_by(columns.at.desc(), columns.id).limit(limit))

    async def note_alert(
        self, id_: str, *, attempts: int, due: int, sent: int | None = None, given_up: int | None = None
    ) -> None:
        values = {"attempts": attempts, "due": due, "sent": sent, "given_up": given_up}
        await self._update_one(t.ALERTS, id_, values)

    async def drop_alerts(self, *, before: int, limit: int = 1000) -> int:
        columns = t.ALERTS.c
        over = func.coalesce(columns.sent, columns.given_up) < before  # of what waits it is NULL, and never true
        old = select(columns.id).where(columns.at < before, over).order_by(columns.at).limit(limit)
        return (await self._execute(delete(t.ALERTS).where(columns.id.in_(old)))).rowcount

    async def add_appeal(self, row: AppealRow) -> None:
        await self._insert(t.APPEALS, row, "this appeal is already there")

    async def appeal(self, id_: str) -> AppealRow | None:
        return await self._one(AppealRow, t.APPEALS, id=id_)

    async def appeals(self, *, waiting: bool, limit: int = 100) -> Sequence[AppealRow]:
        columns = t.APPEALS.c
        found = select(t.APPEALS).order_by(columns.created, columns.id).limit(limit)
        return await self._all(AppealRow, found.where(columns.closed.is_(None)) if waiting else found)

    async def close_appeal(self, id_: str, *, at: int, outcome: str, operator: str) -> None:
        await self._update_one(t.APPEALS, id_, {"closed": at, "outcome": outcome, "operator": operator})

    async def devices_of(self, user: User, *, state: str, limit: int = 100) -> Sequence[DeviceRow]:
        columns = t.DEVICES.c  # found by the account's index
        wanted = (columns.account == user.account, columns.user == user.id, columns.state == state)
        return await self._all(DeviceRow, select(t.DEVICES).where(*wanted).order_by(columns.id).limit(limit))

    async def entitled_models(self, account: str) -> int:
        return int((await self._execute(watch_prepared.ENTITLED, {"account": account})).scalar_one())

    async def set_user_state(self, id_: str, state: str) -> None:
        await self._update_one(t.USERS, id_, {"state": state})
