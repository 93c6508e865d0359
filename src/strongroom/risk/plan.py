"""Rules made ready to run: one generated function per event type, numbers in hundredths, allowances as attributes."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from types import SimpleNamespace
from typing import Final

from strongroom.risk.bands import Thresholds
from strongroom.risk.events import TYPES
from strongroom.risk.expression import gathered
from strongroom.risk.facts import Facts
from strongroom.risk.rules import Rule, Rules, Snooze
from strongroom.risk.state import rule_tag
from strongroom.risk.stops import WORDS

Gather = Callable[[Facts, object], list[tuple[int, float]]]


class Line:
    """One rule as the engine reads it."""

    __slots__ = ("baseline", "cap", "half_life", "id", "percent", "quiet", "rule", "tag", "weight", "who")

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.id = rule.id
        self.tag = rule_tag(rule.id)
        self.who = rule.who
        self.weight = rule.weight * 100
        self.cap = round(rule.cap * 100)
        self.half_life = rule.half_life
        self.quiet = -(-rule.quiet // 60)
        self.baseline = rule.baseline
        self.percent = {"off": -1, "shadow": 0, "enforce": 100}.get(rule.mode.word, rule.mode.percent)


class Plan:
    """All of one `Rules`, ready to run.

    Attributes:
        gathers: event type -> (function that says which rules hold, those rules).
        counted: rule tag -> (half-life, cap) of the rules in force for everybody.
        shadow: the same of the rules that only watch.
        partial: rule tag -> share in per cent, of the rules in force for some.
        stops: stop word -> "stop", "medium" or "off".
    """

    __slots__ = (
        "allow", "breaker", "classes", "counted", "gathers", "lines", "partial", "rules", "shadow", "snoozes", "stops",
        "thresholds",
    )  # fmt: skip

    def __init__(self, rules: Rules) -> None:
        lines = tuple(Line(rule) for rule in rules.rules if rule.mode.word != "off")
        self.rules = rules
        self.lines: Final[Mapping[int, Line]] = {line.tag: line for line in lines}
        self.gathers: Final[Mapping[str, tuple[Gather, tuple[Line, ...]]]] = {
            kind: chosen for kind in TYPES if (chosen := _gather(kind, lines)) is not None
        }
        self.counted = {line.tag: (line.half_life, line.cap) for line in lines if line.percent == 100}
        self.shadow = {line.tag: (line.half_life, line.cap) for line in lines if line.percent < 100}
        self.partial = {line.tag: line.percent for line in lines if 0 < line.percent < 100}
        self.allow = {name: SimpleNamespace(**numbers) for name, numbers in rules.allow.items()}
        bands = rules.bands
        self.thresholds = Thresholds(
            round(bands.medium * 100), round(bands.high * 100), round(bands.down * 100), bands.hold // 60
        )
        stops = rules.stops or {}
        self.stops = {word: stops.get(word, "stop") for word in WORDS}
        self.breaker = rules.breaker
        self.classes = {user: name for name, users in (rules.classes or {}).items() for user in users}
        self.snoozes = tuple(rules.snoozes)

    def allowances(self, user_class: str, entitled: int | None) -> SimpleNamespace:
        """Return what a class may do; models a user is entitled to are never too many."""
        allow = self.allow[user_class]
        if entitled is None or entitled <= allow.models:
            return allow
        return SimpleNamespace(**(vars(allow) | {"models": float(entitled)}))


def _gather(kind: str, lines: Sequence[Line]) -> tuple[Gather, tuple[Line, ...]] | None:
    chosen = tuple(line for line in lines if not line.rule.on or kind in line.rule.on)
    if not chosen:
        return None
    return gathered(("f", "a"), [(line.rule.when, line.rule.times) for line in chosen]), chosen


def snoozed(snoozes: Sequence[Snooze], entity: str, seconds: int) -> frozenset[int]:
    """Return the tags of the rules that are asleep for an entity ("user:NAME" or "key:NAME")."""
    return frozenset(rule_tag(snooze.rule) for snooze in snoozes if snooze.entity == entity and seconds < snooze.until)


@lru_cache(maxsize=8)
def plan(rules: Rules) -> Plan:
    """Make rules ready to run, once for each `Rules` object."""
    return Plan(rules)
