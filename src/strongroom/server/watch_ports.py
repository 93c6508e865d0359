"""What watching needs of the ledger: states and events of the risk engine, snoozes, decoys, alerts, appeals.

Row fields are append-only, since they are what the database holds.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class RiskRow:
    """What the risk engine remembers of one entity."""

    entity: bytes  # risk.entities.Entity.row()
    kind: str
    name: str  # of users and device keys, so that people can find them; "" for all other kinds
    band: int  # 0 none, 1 medium, 2 high, 3 stop
    moved: int  # when the band last changed
    state: bytes = field(repr=False)  # risk.state.State.pack(), at most 256 bytes


@dataclass(frozen=True, slots=True)
class RiskEventRow:
    """One judged event with its decision: what explanations and back-tests read."""

    id: str
    at: int
    user: str
    key: str  # thumbprint of the device key, base64url, or ""
    band: int
    body: str  # canonical JSON: {"event": …, "decision": …}


@dataclass(frozen=True, slots=True)
class SnoozeRow:
    """One rule is silent for one user or device key, until a time and for a reason."""

    id: str
    rule: str
    entity: str
    until: int
    by: str  # operator's id
    why: str
    created: int
    ended: int | None = None  # when it was taken back early


@dataclass(frozen=True, slots=True)
class DecoyRow:
    """Something that no honest caller touches. `kind`: endpoint, token, key, model, canary or field."""

    id: str
    kind: str
    name: str  # what it looks like from outside: path, model, field, or a label
    note: str  # where it was planted
    mark: bytes  # SHA-256 of what a hit shows; never the thing itself
    created: int
    operator: str
    state: str  # active or removed
    tested: int | None = None  # when `decoy test` last saw it fire
    hits: int = 0
    hit: int | None = None  # when it was last hit


@dataclass(frozen=True, slots=True)
class AlertRow:
    """A message that waits to be delivered. `key` is unique: one for a decoy, actor and hour, until a restore."""

    id: str
    key: str
    at: int
    body: str  # canonical JSON, as it is signed and sent
    attempts: int
    due: int  # when it is tried next
    sent: int | None = None
    given_up: int | None = None


@dataclass(frozen=True, slots=True)
class AppealRow:
    """A stopped device asks to be let in again."""

    id: str
    device: str
    user: str
    reference: str  # of the refusal it is about
    text: str
    created: int
    closed: int | None = None
    outcome: str | None = None  # restored or upheld
    operator: str | None = None


class WatchTransaction(Protocol):
    """The part of a transaction that is about watching."""

    async def risk_states(self, entities: Sequence[bytes]) -> Sequence[RiskRow]: ...  # those that are there
    async def keep_risk_states(self, rows: Sequence[RiskRow]) -> None: ...  # each in the place of its entity's
    async def risk_standing(
        self, *, least: int, limit: int = 100
    ) -> Sequence[RiskRow]: ...  # at this band or above, the last moved first
    async def risk_count(self, *, least: int, since: int) -> int: ...  # users at this band or above, moved since
    async def add_risk_event(self, row: RiskEventRow) -> None: ...  # CONFLICT if the id is known
    async def risk_events(
        self, *, user: str | None = None, key: str | None = None, until: int | None = None, limit: int = 100
    ) -> Sequence[RiskEventRow]: ...  # newest first
    async def risk_event(self, id_: str) -> RiskEventRow | None: ...
    async def risk_log(self, *, after: int = 0, limit: int = 100) -> Sequence[tuple[int, RiskEventRow]]: ...
    async def drop_risk_events(self, *, before: int, limit: int = 1000) -> int: ...  # the oldest first; how many

    async def add_snooze(self, row: SnoozeRow) -> None: ...
    async def snooze(self, id_: str) -> SnoozeRow | None: ...
    async def snoozes(self, *, now: int | None = None) -> Sequence[SnoozeRow]: ...  # in force at `now`, or all
    async def end_snooze(self, id_: str, *, at: int) -> None: ...

    async def add_decoy(self, row: DecoyRow) -> None: ...  # CONFLICT if kind and name, or mark, are taken
    async def decoy(self, id_: str) -> DecoyRow | None: ...
    async def decoy_named(self, kind: str, name: str) -> DecoyRow | None: ...
    async def decoy_by_mark(self, mark: bytes) -> DecoyRow | None: ...
    async def decoys(self) -> Sequence[DecoyRow]: ...  # by kind and name
    async def note_decoy_hit(self, id_: str, *, at: int) -> None: ...
    async def note_decoy_tested(self, id_: str, *, at: int) -> None: ...
    async def set_decoy_state(self, id_: str, state: str) -> None: ...

    async def add_alert(self, row: AlertRow) -> bool: ...  # False if its key is there already
    async def end_alert_hours(
        self, names: Sequence[str], *, since: int
    ) -> None: ...  # alerts made since, whose key has one of the names between colons, take their own id as key
    async def due_alerts(self, *, now: int, limit: int = 100) -> Sequence[AlertRow]: ...  # the oldest first
    async def alerts(self, *, limit: int = 100) -> Sequence[AlertRow]: ...  # newest first
    async def drop_alerts(
        self, *, before: int, limit: int = 1000
    ) -> int: ...  # that were sent or given up before it, the oldest first; how many
    async def note_alert(
        self, id_: str, *, attempts: int, due: int, sent: int | None = None, given_up: int | None = None
    ) -> None: ...

    async def add_appeal(self, row: AppealRow) -> None: ...
    async def appeal(self, id_: str) -> AppealRow | None: ...
    async def appeals(self, *, waiting: bool, limit: int = 100) -> Sequence[AppealRow]: ...  # oldest first
    async def close_appeal(self, id_: str, *, at: int, outcome: str, operator: str) -> None: ...

    async def set_user_state(self, id_: str, state: str) -> None: ...
