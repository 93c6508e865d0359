"""What this process knows of its decoys, and what it has still to follow up. Part of the office."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field

import structlog

from strongroom.server.bait.marks import Marks
from strongroom.server.bait.shipped import ENDPOINT, shipped
from strongroom.server.watch_ports import DecoyRow

TOKEN, KEY, MODEL, CANARY, FIELD = "token", "key", "model", "canary", "field"
KINDS = (ENDPOINT, TOKEN, KEY, MODEL, CANARY, FIELD)
USER_TOKEN, DEVICE_TOKEN, OPERATOR_TOKEN = "user", "device", "operator"
LIVE = "active"

_EXERCISE = "exercise"

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Known:
    """The decoys in force, by what a hit shows.

    Attributes:
        rows: by identifier.
        by_thing: kind and thing → row: route, identifier, operator's token, model, path, field.
        models: names of decoy models.
        paths: of canaries.
        fields: honey fields.
    """

    rows: dict[str, DecoyRow]
    by_thing: dict[tuple[str, str], DecoyRow] = field(repr=False)
    models: frozenset[str]
    paths: frozenset[str]
    fields: frozenset[str]

    @classmethod
    def of(cls, rows: Iterable[DecoyRow], marks: Marks) -> "Known":
        """Make an index of the rows that are in force."""
        live = {row.id: row for row in rows if row.state == LIVE}
        things = {(row.kind, thing): row for row in live.values() for thing in things_of(row, marks)}
        named = {kind: frozenset(thing for one, thing in things if one == kind) for kind in (MODEL, CANARY, FIELD)}
        return cls(live, things, named[MODEL], named[CANARY], named[FIELD])

    def honey(self, signals: Mapping[str, object]) -> list[str]:
        """Return the honey fields among a request's signals, sorted."""
        return [one for one in sorted(self.fields) if one in signals]

    def endpoints(self) -> list[DecoyRow]:
        """Return the decoy routes, in an order that is always the same."""
        return sorted((row for row in self.rows.values() if row.kind == ENDPOINT), key=lambda row: row.name)


def things_of(row: DecoyRow, marks: Marks) -> tuple[str, ...]:
    """Return what a hit of a decoy shows: what `sight` finds in a request."""
    if row.kind == KEY:
        return marks.identifier("lse", row.id), marks.identifier("rel", row.id)
    if row.kind == CANARY:
        return (canary_path(row, marks),)
    if row.kind == TOKEN:
        return marks.identifier("usr", row.id), marks.identifier("dev", row.id), operator_secret(row, marks).hex()
    return (row.name,)


def canary_path(row: DecoyRow, marks: Marks) -> str:
    """Return the path of a canary: an object's, which are 16 random bytes as well."""
    return f"/o/{marks.random_of('canary', row.id, 16).hex()}"


def operator_secret(row: DecoyRow, marks: Marks) -> bytes:
    """Return the 32 bytes of a decoy operator's token."""
    return marks.random_of("operator", row.id, 32)


class Traps:
    """The decoys of one office, as this process knows them.

    Attributes:
        marks: make and recognise what decoys show.
        edition: grows whenever `known` changes, so that routes can follow.
        loaded: the ledger was read.
    """

    __slots__ = ("_known", "_tasks", "_windows", "edition", "loaded", "marks")

    def __init__(self, mac: Callable[[bytes], bytes]) -> None:
        """Begin with the shipped decoys alone.

        Args:
            mac: of the vault.
        """
        self.marks = Marks(mac)
        self.edition = 0
        self.loaded = False
        self._known: Known | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._windows: dict[str, int] = {}

    @property
    def known(self) -> Known:
        """The decoys in force, as they were last read."""
        if self._known is None:
            self._known = Known.of(shipped(self.marks), self.marks)
        return self._known

    def learn(self, rows: Iterable[DecoyRow]) -> Known:
        """Take what the ledger holds now."""
        fresh = Known.of(rows, self.marks)
        if self._known is None or set(fresh.by_thing) != set(self._known.by_thing):
            self.edition += 1
        self._known, self.loaded = fresh, True
        return fresh

    def exercise_account(self) -> str:
        """Return the id of the account whose device touches decoys for a test; nobody else can make it."""
        return self.marks.identifier("acc", _EXERCISE)

    def expect(self, decoy: str, until: int) -> None:
        """Take the next hit of a decoy by nobody known for an exercise, until a time in Unix seconds."""
        self._windows[decoy] = until

    def expected(self, decoy: str, now: int) -> bool:
        """Tell whether a hit by nobody known is an exercise; it is one once."""
        return now < self._windows.pop(decoy, 0)

    def follow(self, work: Coroutine[None, None, None]) -> None:
        """Do something after the answer; kept until it is done."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    async def settled(self) -> None:
        """Wait until nothing is left to do: at the end of a process, and in tests."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a decoy hit was not followed up", exc_info=error)
