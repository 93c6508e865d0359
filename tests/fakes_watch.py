"""The watching part of the ledger in memory; `MemoryTransaction` in fakes.py inherits it."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from strongroom.errors import Code, InputError
from strongroom.server.watch_ports import AlertRow, AppealRow, DecoyRow, RiskEventRow, RiskRow, SnoozeRow


@dataclass
class WatchTables:
    """Rows as the risk engine and the traps leave them."""

    risk_states: dict[bytes, RiskRow] = field(default_factory=dict)
    risk_events: list[RiskEventRow] = field(default_factory=list)
    risk_seq: int = 0
    dropped: int = 0
    snoozes: dict[str, SnoozeRow] = field(default_factory=dict)
    decoys: dict[str, DecoyRow] = field(default_factory=dict)
    alerts: dict[str, AlertRow] = field(default_factory=dict)
    appeals: dict[str, AppealRow] = field(default_factory=dict)

    def copy(self) -> "WatchTables":
        values = {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}
        return WatchTables(**{k: v if isinstance(v, int) else v.copy() for k, v in values.items()})


class WatchMemory:
    """Mixin over `self._w`, a WatchTables, and `self._t`, the other tables."""

    _w: WatchTables
    _t: Any

    async def risk_states(self, entities: Sequence[bytes]) -> Sequence[RiskRow]:
        return [self._w.risk_states[one] for one in dict.fromkeys(entities) if one in self._w.risk_states]

    async def keep_risk_states(self, rows: Sequence[RiskRow]) -> None:
        self._w.risk_states.update({row.entity: row for row in rows})

    async def risk_standing(self, *, least: int, limit: int = 100) -> Sequence[RiskRow]:
        rows = (row for row in self._w.risk_states.values() if row.band >= least)
        return sorted(rows, key=lambda row: (-row.moved, row.entity))[:limit]

    async def risk_count(self, *, least: int, since: int) -> int:
        rows = self._w.risk_states.values()
        return sum(row.band >= least and row.moved >= since and row.kind == "user" for row in rows)

    async def add_risk_event(self, row: RiskEventRow) -> None:
        if any(old.id == row.id for old in self._w.risk_events):
            raise InputError(Code.CONFLICT, "this event is already there")
        self._w.risk_events.append(row)

    async def risk_events(
        self, *, user: str | None = None, key: str | None = None, until: int | None = None, limit: int = 100
    ) -> Sequence[RiskEventRow]:
        def fits(row: RiskEventRow) -> bool:
            named = (user is None and key is None) or (user is not None and row.user == user)
            return (named or (key is not None and row.key == key)) and (until is None or row.at <= until)

        found = [(row.at, place, row) for place, row in enumerate(self._w.risk_events) if fits(row)]
        return [row for _, _, row in sorted(found, key=lambda one: one[:2], reverse=True)][:limit]

    async def risk_event(self, id_: str) -> RiskEventRow | None:
        return next((row for row in self._w.risk_events if row.id == id_), None)

    async def risk_log(self, *, after: int = 0, limit: int = 100) -> Sequence[tuple[int, RiskEventRow]]:
        numbered = enumerate(self._w.risk_events, self._w.dropped + 1)
        return [(seq, row) for seq, row in numbered if seq > after][:limit]

    async def drop_risk_events(self, *, before: int, limit: int = 1000) -> int:
        old = sorted((row.at, place) for place, row in enumerate(self._w.risk_events) if row.at < before)[:limit]
        places = {place for _, place in old}
        self._w.risk_events[:] = [row for place, row in enumerate(self._w.risk_events) if place not in places]
        self._w.dropped += len(places)
        return len(places)

    async def add_snooze(self, row: SnoozeRow) -> None:
        _add(self._w.snoozes, row)

    async def snooze(self, id_: str) -> SnoozeRow | None:
        return self._w.snoozes.get(id_)

    async def snoozes(self, *, now: int | None = None) -> Sequence[SnoozeRow]:
        rows = sorted(self._w.snoozes.values(), key=lambda row: (row.created, row.id))
        return [row for row in rows if now is None or (row.until > now and row.ended is None)]

    async def end_snooze(self, id_: str, *, at: int) -> None:
        _change(self._w.snoozes, id_, ended=at)

    async def add_decoy(self, row: DecoyRow) -> None:
        if any((old.kind, old.name) == (row.kind, row.name) or old.mark == row.mark for old in self._w.decoys.values()):
            raise InputError(Code.CONFLICT, f"a decoy of this kind named {row.name} is already there")
        _add(self._w.decoys, row)

    async def decoy(self, id_: str) -> DecoyRow | None:
        return self._w.decoys.get(id_)

    async def decoy_named(self, kind: str, name: str) -> DecoyRow | None:
        return next((row for row in self._w.decoys.values() if (row.kind, row.name) == (kind, name)), None)

    async def decoy_by_mark(self, mark: bytes) -> DecoyRow | None:
        return next((row for row in self._w.decoys.values() if row.mark == mark), None)

    async def decoys(self) -> Sequence[DecoyRow]:
        return sorted(self._w.decoys.values(), key=lambda row: (row.kind, row.name))

    async def note_decoy_hit(self, id_: str, *, at: int) -> None:
        _change(self._w.decoys, id_, hits=self._w.decoys[id_].hits + 1, hit=at)

    async def note_decoy_tested(self, id_: str, *, at: int) -> None:
        _change(self._w.decoys, id_, tested=at)

    async def set_decoy_state(self, id_: str, state: str) -> None:
        _change(self._w.decoys, id_, state=state)

    async def add_alert(self, row: AlertRow) -> bool:
        if any(old.key == row.key for old in self._w.alerts.values()):
            return False
        _add(self._w.alerts, row)
        return True

    async def end_alert_hours(self, names: Sequence[str], *, since: int) -> None:
        for row in [*self._w.alerts.values()]:
            if row.at >= since and any(f":{one}:" in row.key for one in names):
                _change(self._w.alerts, row.id, key=row.id)

    async def due_alerts(self, *, now: int, limit: int = 100) -> Sequence[AlertRow]:
        rows = (row for row in self._w.alerts.values() if row.sent is None and row.given_up is None and row.due <= now)
        return sorted(rows, key=lambda row: (row.due, row.at, row.id))[:limit]

    async def alerts(self, *, limit: int = 100) -> Sequence[AlertRow]:
        return sorted(self._w.alerts.values(), key=lambda row: (-row.at, row.id))[:limit]

    async def note_alert(
        self, id_: str, *, attempts: int, due: int, sent: int | None = None, given_up: int | None = None
    ) -> None:
        _change(self._w.alerts, id_, attempts=attempts, due=due, sent=sent, given_up=given_up)

    async def drop_alerts(self, *, before: int, limit: int = 1000) -> int:
        def over(row: AlertRow) -> bool:
            ended = row.given_up if row.sent is None else row.sent
            return row.at < before and ended is not None and ended < before

        old = sorted((row.at, row.id) for row in self._w.alerts.values() if over(row))[:limit]
        for _, id_ in old:
            del self._w.alerts[id_]
        return len(old)

    async def add_appeal(self, row: AppealRow) -> None:
        _add(self._w.appeals, row)

    async def appeal(self, id_: str) -> AppealRow | None:
        return self._w.appeals.get(id_)

    async def appeals(self, *, waiting: bool, limit: int = 100) -> Sequence[AppealRow]:
        rows = sorted(self._w.appeals.values(), key=lambda row: (row.created, row.id))
        return [row for row in rows if not waiting or row.closed is None][:limit]

    async def close_appeal(self, id_: str, *, at: int, outcome: str, operator: str) -> None:
        _change(self._w.appeals, id_, closed=at, outcome=outcome, operator=operator)

    async def devices_of(self, user: Any, *, state: str, limit: int = 100) -> Sequence[Any]:
        rows = [row for row in self._t.devices if (row.account, row.user, row.state) == (user.account, user.id, state)]
        return sorted(rows, key=lambda row: row.id)[:limit]

    async def entitled_models(self, account: str) -> int:
        return len({row.model for row in self._t.entitlements if row.account == account})

    async def set_user_state(self, id_: str, state: str) -> None:
        users = self._t.users
        place = next(index for index, row in enumerate(users) if row.id == id_)
        users[place] = dataclasses.replace(users[place], state=state)


def _add(table: dict[str, Any], row: Any) -> None:
    if row.id in table:
        raise InputError(Code.CONFLICT, "this row is already there")
    table[row.id] = row


def _change(table: dict[str, Any], id_: str, **values: Any) -> None:
    table[id_] = dataclasses.replace(table[id_], **values)
