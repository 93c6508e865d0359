"""Why the risk engine holds what against whom, in words and numbers an operator can check."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from strongroom import canonical
from strongroom.canonical import JsonValue
from strongroom.errors import Code, DeniedError, StrongroomError
from strongroom.risk import engine
from strongroom.risk.entities import Entity, Kind
from strongroom.risk.state import State
from strongroom.server.accounts import READERS, allow
from strongroom.server.identify import Visit
from strongroom.server.office import Office
from strongroom.server.ports import DeviceRow, Operator, Transaction, User
from strongroom.server.watch_ports import RiskEventRow, RiskRow, SnoozeRow
from strongroom.server.watching.deciding import BANDS, MEDIUM
from strongroom.server.watching.judging import MAX_BODY, exact

MOST = 100  # users and devices, and events, in one answer
SHOWN = 10  # events in an explanation


@dataclass(frozen=True, slots=True)
class Explanation:
    """What is held against a user and a device.

    Attributes:
        user: None if the name is nobody's any more.
        device: None if the name was a user's.
        decision: `Decision.to_value` as canonical JSON: now, or as it was recorded; {} if there was none yet.
        text: the same for people.
        at: Unix seconds it is about.
        events: the newest ones up to then.
        snoozes: in force then.
    """

    user: User | None
    device: DeviceRow | None
    decision: dict[str, JsonValue]
    text: str
    at: int
    events: tuple[RiskEventRow, ...]
    snoozes: tuple[SnoozeRow, ...]

    def to_value(self) -> dict[str, JsonValue]:
        """Return JSON terms."""
        return {
            "user": None
            if self.user is None
            else {"id": self.user.id, "name": self.user.name, "state": self.user.state},
            "device": None if self.device is None else {"id": self.device.id, "state": self.device.state},
            "decision": self.decision,
            "text": self.text,
            "at": self.at,
            "events": [event_value(row) for row in self.events],
            "snoozes": [snooze_value(row) for row in self.snoozes],
        }


@dataclass(frozen=True, slots=True)
class Standing:
    """A user or device key in a band, and what became of its row."""

    kind: str
    name: str  # user id, or thumbprint of a device key
    label: str  # user name, or device id; "" if it is gone
    band: str
    moved: int
    state: str

    def to_value(self) -> dict[str, JsonValue]:
        """Return JSON terms."""
        return {name: getattr(self, name) for name in ("kind", "name", "label", "band", "moved", "state")}


async def explain(office: Office, operator: Operator, name: str, visit: Visit, at: int | None = None) -> Explanation:
    """Explain what is held against a user or a device.

    Args:
        office: its ledger and rules.
        operator: who asks.
        name: id or name of a user, id of a device, thumbprint of a device key; or the reference of a request that was
            judged, or the id of an event: what was decided when that was.
        visit: time and reference.
        at: Unix seconds: what was decided last by then, instead of what would be now. What is to come is now.

    Raises:
        DeniedError: FORBIDDEN or NOT_FOUND.
    """
    await allow(office, operator, READERS, "explain a risk", visit.reference)
    at = None if at is not None and at > visit.now else at
    async with office.ledger.begin() as tx:
        name, at = await _by_event(tx, name, at)
        then = visit.now if at is None else at
        user, device = await find(tx, name)
        key = None if device is None else canonical.to_base64url(device.thumbprint)
        wanted = {"user": user.id} if key is None and user is not None else {"key": key or ""}
        events = await tx.risk_events(**wanted, until=then, limit=SHOWN)
        named = {f"user:{user.id}" if user else "", f"key:{key}"}
        snoozes = [row for row in await tx.snoozes(now=then) if row.entity in named]
        entities = _entities(user, key)
        rows = {row.entity: row for row in await tx.risk_states([one.row() for one in entities])}
    if at is not None:
        decision = _field(events[0], "decision") if events else {}
        return Explanation(user, device, decision, _words(decision), then, tuple(events), tuple(snoozes))
    states = {one: State.unpack(rows[one.row()].state) for one in entities if one.row() in rows}
    found = engine.standing(office.watch.rules, None if user is None else user.id, key, then, states)
    value = exact(found.to_value())
    decision = value if isinstance(value, dict) else {}
    return Explanation(user, device, decision, found.text(), then, tuple(events), tuple(snoozes))


async def standing(office: Office, operator: Operator, visit: Visit, *, least: str = "medium") -> tuple[Standing, ...]:
    """Return up to 100 users and device keys in a band or above, the last moved first.

    Raises:
        DeniedError: FORBIDDEN.
    """
    await allow(office, operator, READERS, "list who is watched", visit.reference)
    band = BANDS.index(least) if least in BANDS else MEDIUM
    async with office.ledger.begin() as tx:
        rows = await tx.risk_standing(least=band, limit=MOST)
        return tuple([await _standing(tx, row) for row in rows if row.kind in (Kind.USER, Kind.KEY)])


async def events(
    office: Office, operator: Operator, after: int, visit: Visit, limit: int = MOST
) -> Sequence[tuple[int, RiskEventRow]]:
    """Return recorded events in order, after a number. Raises DeniedError(FORBIDDEN)."""
    await allow(office, operator, READERS, "read judged events", visit.reference)
    async with office.ledger.begin() as tx:
        return await tx.risk_log(after=after, limit=min(limit, MOST))


def rules_in_force(office: Office) -> dict[str, JsonValue]:
    """Return by which rules is judged, and which file they come from."""
    return {"policy": office.watch.rules.version, "where": office.watch.in_force.where}


async def find(tx: Transaction, name: str) -> tuple[User | None, DeviceRow | None]:
    """Find whom a name is about.

    Raises:
        DeniedError: NOT_FOUND.
    """
    if name.isprintable():  # a database may choke on a NUL; no name has one
        device = await tx.device(name) if name.startswith("dev_") else None
        device = device or await _by_key(tx, name)
        user = await tx.user(device.user if device is not None else name)
        if user is not None or device is not None:
            return user, device
    step = "give a user's id or name, or a device's id"
    raise DeniedError(Code.NOT_FOUND, "there is no such user or device", where=name[:80], next_step=step)


async def _by_event(tx: Transaction, name: str, at: int | None) -> tuple[str, int | None]:
    """Return whom and which time a reference or an event is about; every other name as it is."""
    row = await tx.risk_event(f"rev_{name[4:]}") if name.startswith(("ref_", "rev_")) and name.isprintable() else None
    if row is None:
        return name, at
    known = row.key and await _by_key(tx, row.key) is not None
    return row.key if known else row.user, row.at


async def _by_key(tx: Transaction, name: str) -> DeviceRow | None:
    try:
        thumbprint = canonical.from_base64url(name)
    except StrongroomError:
        return None
    return await tx.device_by_thumbprint(thumbprint) if len(thumbprint) == 32 else None


async def _standing(tx: Transaction, row: RiskRow) -> Standing:
    label, state = "", ""
    if row.kind == Kind.USER:
        user = await tx.user(row.name)
        label, state = (user.name, user.state) if user is not None else ("", "")
    else:
        device = await _by_key(tx, row.name)
        label, state = (device.id, device.state) if device is not None else ("", "")
    return Standing(row.kind, row.name, label, BANDS[row.band], row.moved, state)


def _entities(user: User | None, key: str | None) -> list[Entity]:
    found = [] if user is None else [Entity(Kind.USER, user.id)]
    return found if key is None else [*found, Entity(Kind.KEY, key)]


def event_value(row: RiskEventRow) -> dict[str, JsonValue]:
    """Return a recorded event as JSON terms."""
    return {
        "id": row.id,
        "at": row.at,
        "user": row.user,
        "key": row.key,
        "band": BANDS[row.band],
        "event": _field(row, "event"),
        "decision": _field(row, "decision"),
    }


def snooze_value(row: SnoozeRow) -> dict[str, JsonValue]:
    """Return a snooze as JSON terms."""
    names = ("id", "rule", "entity", "until", "by", "why", "created", "ended")
    return {name: getattr(row, name) for name in names}


def _field(row: RiskEventRow, name: str) -> dict[str, JsonValue]:
    try:
        body: Any = canonical.decode(row.body.encode("ascii"), limit=MAX_BODY)
    except (StrongroomError, UnicodeEncodeError):
        return {}
    found = body.get(name) if isinstance(body, dict) else None
    return found if isinstance(found, dict) else {}


def _words(decision: dict[str, JsonValue]) -> str:
    return (
        f"{decision.get('band', 'none')}: {decision.get('score', 0)} points" if decision else "nothing was judged yet"
    )
