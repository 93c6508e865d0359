"""One request weighed, without a database: rows of states and events in, a decision and rows to keep out.

Whatever goes wrong in here ends in the fixed policy: medium, with nothing remembered. A broken engine opens no door,
stops nobody and wipes nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath

import structlog

from strongroom.risk import engine
from strongroom.risk.decision import Decision
from strongroom.risk.entities import Entity, Kind
from strongroom.risk.events import Event
from strongroom.risk.rules import Rules, Snooze
from strongroom.risk.state import Bearer, State
from strongroom.server.ports import User
from strongroom.server.watch_ports import RiskRow, SnoozeRow
from strongroom.server.watching.noticing import Notice

NONE, MEDIUM, HIGH, STOP = 0, 1, 2, 3
BANDS = ("none", "medium", "high", "stop")
AUTHENTICATE, ATTEST = "authenticate", "attest"
PASSED = ("pass", "basic")  # verdicts that a demand for attestation is satisfied with
SIGN_IN_AGAIN = 86_400  # seconds a sign-in satisfies the fixed policy for: without an engine nobody knows of what since

_NAMED = (Kind.USER, Kind.KEY)  # whose names people look for
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one request.

    Attributes:
        decided: each event with its decision; the last one holds for the request.
        kept: rows of states in their new form.
        moved: users and device keys whose band is another now, with the band from before; stops count as a band.
        step_up: what is still asked for before keys are given: "", AUTHENTICATE or ATTEST.
        failed: name of the exception that made this the fixed policy, or "".
    """

    decided: tuple[tuple[Event, Decision], ...]
    kept: tuple[RiskRow, ...] = ()
    moved: tuple[tuple[RiskRow, int], ...] = ()
    step_up: str = ""
    failed: str = ""

    @property
    def decision(self) -> Decision:
        """The one that holds."""
        return self.decided[-1][1]


def entities_of(events: Iterable[Event]) -> tuple[Entity, ...]:
    """Return every entity whose state judging these events needs."""
    return tuple(dict.fromkeys(one for made in events for one in engine.entities(made)))


def weigh(
    rules: Rules, events: Sequence[Event], rows: Sequence[RiskRow], snoozes: Sequence[Snooze], notice: Notice
) -> Outcome:
    """Judge the events of one request, in order, until one of them is not answered as it was asked.

    Args:
        rules: in force.
        events: at least one.
        rows: of the states that are there.
        snoozes: in force now.
        notice: the request: what its user did of late.
    """
    at, event, decided = events[0].ts, events[0], []
    known = {row.entity: row for row in rows}
    step_up = ""
    try:
        wanted = entities_of(events)
        states = {one: State.unpack(known[one.row()].state) for one in wanted if one.row() in known}
        for event in events:
            decision = engine.judge(rules, event, states, snoozes=snoozes)
            decided.append((event, decision))
            step_up = "" if decision.reaction.refuse else _due(decision, notice, _since(states, known, at))
            if decision.reaction.refuse or step_up:
                break
        kept = tuple(row_of(one, states[one], known.get(one.row()), at) for one in wanted if one in states)
    except Exception as error:  # noqa: BLE001 - whatever it is, the answer is the fixed policy: never open, never a stop
        failed = named(error)
        _log.error("the risk engine failed; the fixed policy answers", event_id=event.event_id, error=failed)
        fixed = engine.fixed_medium(rules, event.event_id)
        return Outcome(((event, fixed),), (), (), _due(fixed, notice, at - SIGN_IN_AGAIN), failed)
    before = {row.entity: row.band for row in rows}
    moved = [(row, before.get(row.entity, NONE)) for row in kept if row.kind in _NAMED]
    return Outcome(tuple(decided), kept, tuple(one for one in moved if one[0].band != one[1]), step_up)


def _due(decision: Decision, notice: Notice, since: int) -> str:
    """Say what a band still asks for: what was done since it was entered satisfies it."""
    wanted = decision.reaction.step_up
    if wanted == AUTHENTICATE:  # in the second it was entered in, nobody can say which came first
        return "" if notice.signed_in is None or notice.signed_in > since else AUTHENTICATE
    return ATTEST if wanted == ATTEST and notice.verdict not in PASSED else ""


def _since(states: Mapping[Entity, State], known: Mapping[bytes, RiskRow], at: int) -> int:
    """Return when the newest band of those that hold was entered."""
    entered = [0]
    for one, state in states.items():
        band, row = band_of(state), known.get(one.row())
        if band >= MEDIUM:
            entered.append(row.moved if row is not None and row.band == band else at)
    return max(entered)


def changed(before: Iterable[RiskRow], after: Iterable[RiskRow]) -> list[RiskRow]:
    """Return the rows that are not as they were, in the order they are locked in."""
    known = {row.entity: row for row in before}
    return sorted((row for row in after if known.get(row.entity) != row), key=lambda row: row.entity)


def named(error: Exception) -> str:
    """Return an exception's name and the line it comes from: what it says may hold anything."""
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    line = "" if at is None else f" at {PurePath(at.tb_frame.f_code.co_filename).name} line {at.tb_lineno}"
    return type(error).__name__ + line


def row_of(entity: Entity, state: State, before: RiskRow | None, at: int) -> RiskRow:
    """Return the row of a state."""
    band = band_of(state)
    moved = before.moved if before is not None and before.band == band else at
    return RiskRow(
        entity.row(), str(entity.kind), entity.name if entity.kind in _NAMED else "", band, moved, state.pack()
    )


def band_of(state: State) -> int:
    """Return the band that is in force, of score and stops together."""
    if not isinstance(state, Bearer):
        return NONE
    return STOP if state.stop else max(state.band, MEDIUM if state.floor else NONE)


def snoozes_of(rules: Rules, rows: Iterable[SnoozeRow], notice: Notice) -> tuple[Snooze, ...]:
    """Return the snoozes that bear on a request: those of the database, and those of the file that name its user.

    The file's author writes names; the engine knows identifiers.
    """
    found = [Snooze(row.rule, row.entity, row.until, row.by, row.why) for row in rows]
    if notice.user is not None:
        found += [replace(one, entity=f"user:{notice.user.id}") for one in rules.snoozes if _names(one, notice.user)]
    return tuple(found)


def _names(one: Snooze, user: User) -> bool:
    return one.entity == f"user:{user.name}" != f"user:{user.id}"
