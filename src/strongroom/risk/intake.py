"""Which events are judged at all: not twice, not long after their time, and not before it.

With a clock the future is what lies ahead of it. A recording has none: an event far ahead of all before it may be the
first after a quiet week or come from a device whose clock is wrong. It is held until the next few events tell.
"""

from collections import deque
from typing import Final

from strongroom.risk.events import Event

LATE: Final = 600  # seconds behind the newest event
AHEAD: Final = 300  # seconds ahead of the clock, where there is one
JUMP: Final = 86_400  # seconds ahead of the newest event, where there is none
HELD: Final = 6  # events that a jump waits for
WITNESSES: Final = 2  # of other users and devices, that make a jump true though some events still go the old way
REMEMBERED: Final = 65_536  # event ids, twice
HEAL: Final = 64  # events after a jump in which it can still turn out to have been wrong


Settled = tuple[Event | None, str, str]  # the event, what was carried beside it, and "" or why it is not judged


class Intake:
    """Remembers the newest time and the last event ids; the same stream gives the same answers."""

    __slots__ = ("_before", "_held", "_ids", "_jump", "_now", "newest")

    def __init__(self, now: int | None = None) -> None:
        self._now = now
        self.newest: int | None = None
        self._ids: dict[str, None] = {}
        self._before: dict[str, None] = {}
        self._held: deque[tuple[Event | None, str]] = deque()
        self._jump: _Jump | None = None

    def check(self, event: Event) -> str:
        """Return "" for an event to judge, else why not: "late", "duplicate" or "future".

        Nothing waits here: without a clock a jump ahead is believed. `feed` is for recordings.
        """
        if self._known(event.event_id):
            return "duplicate"
        if self._now is not None and event.ts > self._now + AHEAD:
            return "future"
        return self._in_time(event)

    def feed(self, event: Event | None, carried: str = "") -> list[Settled]:
        """Take the next event of a recording and return those that are settled by it, in order.

        Args:
            event: the next one; None for a line that holds none, which comes back "malformed" in its turn.
            carried: whatever belongs to it; handed back beside it.
        """
        if event is None:
            if not self._held:
                return [(None, carried, "malformed")]
            self._held.append((None, carried))
            return []
        newest = self.newest
        if not self._held and newest is not None and self._now is None and event.ts <= newest + JUMP:
            if self._jump is None:  # the usual case, without detours
                return [(event, carried, "duplicate" if self._known(event.event_id) else self._in_time(event))]
            return [(event, carried, self.check(event))]
        if self._now is not None:
            return [(event, carried, self.check(event))]
        self._held.append((event, carried))
        return self._settled() if len(self._held) > HELD else []

    def flush(self) -> list[Settled]:
        """Return what is still held; a recording has ended."""
        found = []
        while self._held:
            found += self._settled()
        return found

    def _settled(self) -> list[Settled]:
        """Decide about the first one held, and about those after it that no longer wait."""
        first, carried = self._held.popleft()
        found: list[Settled]
        if first is None:
            found = [(None, carried, "malformed")]
        elif self._known(first.event_id):
            found = [(first, carried, "duplicate")]
        elif self._believed(first):
            if self.newest is not None and first.ts > self.newest + JUMP:
                self._jump = _Jump(self.newest, first.ts)
            found = [(first, carried, self._in_time(first))]
        else:
            self._ids.pop(first.event_id, None)
            found = [(first, carried, "future")]
        while self._held:
            event, carried = self._held[0]
            if event is None:
                found.append((None, carried, "malformed"))
            elif self.newest is not None and event.ts <= self.newest + JUMP:
                found.append((event, carried, self.check(event)))
            else:
                break
            self._held.popleft()
        return found

    def _believed(self, first: Event) -> bool:
        if self.newest is not None and first.ts <= self.newest + JUMP:
            return True
        after = [event for event, _ in self._held if event is not None]
        least = 0 if self.newest is None else self.newest - LATE  # what is late anyway is no witness of the old time
        old = [event for event in after if least <= event.ts < first.ts - JUMP and not self._seen(event.event_id)]
        if not old:
            return bool(after) or self.newest is None
        others = [
            event
            for event in after
            if abs(event.ts - first.ts) <= JUMP
            and event.user_id != first.user_id
            and (event.device_key or event.device_id) != (first.device_key or first.device_id)
        ]
        return len(others) >= WITNESSES and len(others) > len(old)

    def _in_time(self, event: Event) -> str:
        newest = self.newest
        if newest is not None and event.ts < newest - LATE:
            if self._jump is None or not self._jump.was_wrong(event):
                return "late"
            self.newest, self._jump = event.ts, None
            return ""
        if newest is None or event.ts > newest:
            self.newest = event.ts
        if self._jump is not None and self._jump.over():
            self._jump = None
        return ""

    def _seen(self, event_id: str) -> bool:
        return event_id in self._ids or event_id in self._before

    def _known(self, event_id: str) -> bool:
        if self._seen(event_id):
            return True
        ids = self._ids
        if len(ids) >= REMEMBERED:
            self._before = ids
            self._ids = ids = {}
        ids[event_id] = None
        return False


class _Jump:
    """A jump ahead that was believed: a few events later it may turn out that one device's clock was wrong."""

    __slots__ = ("_late", "_old", "_seen", "_to", "_users")

    def __init__(self, old: int, to: int) -> None:
        self._old = old
        self._to = to
        self._late = 0
        self._seen = 0
        self._users: set[str | None] = set()

    def was_wrong(self, event: Event) -> bool:
        """Count an event that comes late after the jump."""
        if not self._old - LATE <= event.ts < self._to - LATE:
            return False
        self._late += 1
        self._users.add(event.user_id)
        return self._late >= 8 and len(self._users) >= 3 and self._late * 2 > self._seen

    def over(self) -> bool:
        """Count an event in time after the jump; say whether the jump is settled."""
        self._seen += 1
        return self._seen >= HEAL
