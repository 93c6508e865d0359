"""Judge a recording again, line by line: JSON in, one line of JSON out for each, in order.

    {"event_id":"e1","band":"medium","score":34.5,"rules":{"rush":34.5},"stop":[]}

What is not judged is set aside with a word, and its band is the one in force: malformed, late, duplicate, future.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from json.encoder import encode_basestring_ascii as quoted
from typing import Any, Final

from strongroom.errors import InputError
from strongroom.risk.bands import NAMES
from strongroom.risk.decision import Decision
from strongroom.risk.engine import decided, look
from strongroom.risk.entities import Entity
from strongroom.risk.events import Event, event_id_of, read_event
from strongroom.risk.intake import Intake, Settled
from strongroom.risk.plan import plan
from strongroom.risk.rules import Rules
from strongroom.risk.state import State
from strongroom.risk.stops import BIT
from strongroom.risk.weighing import Weighing, key_name, weigh

MAX_LINE: Final = 65_536  # bytes

_STOPS: Final = tuple(
    "[" + ",".join(f'"{word}"' for word, bit in BIT.items() if bits & bit) + "]" for bits in range(1 << len(BIT))
)
_MALFORMED: Final = '"band":"none","score":0,"rules":{},"stop":[],"set_aside":"malformed"}'


class Replay:
    """One recording judged by one set of rules, from nothing.

    Attributes:
        states: of every entity seen.
        counts: events by band, and by the word they were set aside with.
    """

    def __init__(self, rules: Rules, *, now: int | None = None) -> None:
        self.plan = plan(rules)
        self.states: dict[Entity, State] = {}
        self.counts: Counter[str] = Counter()
        self._intake = Intake(now)
        self._worst: dict[str, int] = {}

    def lines(self, lines: Iterable[bytes | str]) -> Iterator[str]:
        """Yield one line of JSON, without its end, for every line that is not blank."""
        ready, states, counts = self.plan, self.states, self.counts
        texts = [f'","band":"{name}","score":' for name in NAMES]
        for event, event_id, aside in self._settled(lines):
            if event is None:
                counts[aside] += 1
                yield f'{{"event_id":{quoted(event_id)},{_MALFORMED}'
                continue
            weighed = weigh(ready, event, states) if not aside else self._look(event)
            band = weighed.band
            self._count(aside, event.user_id, band)
            head = f'{{"event_id":{quoted(event.event_id)[:-1]}{texts[band]}'
            if not band and not weighed.score and not aside:
                yield head + '0,"rules":{},"stop":[]}'
            else:
                yield head + self._rest(weighed, aside)

    def results(self, lines: Iterable[bytes | str]) -> Iterator[tuple[Event | None, Decision]]:
        """Yield every event (None: malformed) and its decision in full."""
        for event, event_id, aside in self._settled(lines):
            if event is None:
                self.counts[aside] += 1
                nothing = decided(self.plan, event_id, None, None, 0, Weighing(self.plan, self.states, 0, None, None))
                yield None, replace(nothing, set_aside=aside)
                continue
            weighed = weigh(self.plan, event, self.states) if not aside else self._look(event)
            self._count(aside, event.user_id, weighed.band)
            decision = decided(self.plan, event.event_id, event.user_id, key_name(event), event.ts // 60, weighed)
            yield event, replace(decision, set_aside=aside) if aside else decision

    def _count(self, aside: str, user: str | None, band: int) -> None:
        self.counts[aside or NAMES[band]] += 1
        if band and user is not None and band > self._worst.get(user, 0):
            self._worst[user] = band

    def summary(self) -> dict[str, Any]:
        """Return counts: events by band and set aside, users by the worst band they were in."""
        users = Counter(NAMES[band] for band in self._worst.values())
        return {
            "events": {name: self.counts[name] for name in NAMES},
            "set_aside": {name: self.counts[name] for name in ("malformed", "late", "duplicate", "future")},
            "users": {name: users[name] for name in NAMES[1:]},
            "policy": self.plan.rules.version,
        }

    def _settled(self, lines: Iterable[bytes | str]) -> Iterator[Settled]:
        intake = self._intake
        feed = intake.feed
        loads = json.loads
        for line in lines:
            value: object = None
            try:
                value = loads(line) if len(line) <= MAX_LINE else None
                event = read_event(value)
            except (ValueError, RecursionError, InputError):
                if line.strip():
                    yield from feed(None, event_id_of(value))
                continue
            yield from feed(event)
        yield from intake.flush()

    def _look(self, event: Event) -> Weighing:
        newest = self._intake.newest
        return look(self.plan, event.user_id, key_name(event), event.ts if newest is None else newest, self.states)

    def _rest(self, weighed: Weighing, aside: str) -> str:
        rules: dict[str, int] = {}
        lines = self.plan.lines
        for pairs in (weighed.user_points, weighed.key_points):
            for rule, amount in pairs:
                name = lines[rule].id
                rules[name] = rules.get(name, 0) + amount
        stop = (weighed.user.stop if weighed.user is not None else 0) | (
            weighed.key.stop if weighed.key is not None else 0
        )
        shown = ",".join(f'"{name}":{amount / 100}' for name, amount in rules.items())
        end = f',"set_aside":"{aside}"}}' if aside else "}"
        return f'{weighed.score / 100},"rules":{{{shown}}},"stop":{_STOPS[stop]}{end}'


def replay(lines: Iterable[bytes | str], rules: Rules) -> Iterator[str]:
    """Yield what `Replay.lines` yields."""
    return Replay(rules).lines(lines)
