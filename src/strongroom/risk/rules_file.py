"""The rules as their owner writes them: risk.toml, read whole or refused with file and line.

    [bands]            where medium and high begin, in points, and how they are left again
    [trust]            what a passed step-up is worth
    [stops]            what each stop factor does: stop, medium or off
    [breaker]          how many users may move to high within an hour before the rules themselves are doubted
    [reactions.BAND]   what is done at medium, high and stop
    [allow.CLASS]      what is usual for a user, a fleet, a member of staff; `user` says all, the others what differs
    [rules.ID]         one rule: when it holds, for whom, and how many points
    [[snooze]]         one rule that does not count for one entity until an end
    [classes]          users that belong to a class whatever their events say

No field is guessed: an unknown one, one of another type, or one that contradicts another stops the reader.
"""

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Final

from strongroom.risk import facts
from strongroom.risk import rules_tables as tables
from strongroom.risk.events import TYPES
from strongroom.risk.expression import Expression, Kind, Name, RefusedExpression, compiled, nearest
from strongroom.risk.rules import (
    STOPS,
    WHO,
    Bands,
    Breaker,
    Mode,
    Rule,
    Rules,
    Snooze,
)
from strongroom.risk.state import rule_tag
from strongroom.toml import fields
from strongroom.toml.fields import Document, Field
from strongroom.toml.lines import Path

NAMES: Final[Mapping[str, Name]] = {
    **facts.NAMES,
    **{f"allow_{name}": Name(Kind.NUMBER, f"a.{name}") for name in facts.ALLOWANCES},
}
MOST_RULES: Final = 200
MOST_SNOOZES: Final = 2000
MOST_POINTS: Final = 500.0

_PERCENT = re.compile(r"([1-9][0-9]?)%")
_ID = re.compile(r"[a-z][a-z0-9_]{0,31}")
_TITLE = fields.text(r"[^\x00-\x1f\x7f]{1,120}", "a sentence of 1 to 120 characters")
_WHOSE = fields.text(r"(user|key):[!-~]{1,128}", 'whom, as "user:NAME" or "key:NAME"')
_POINTS = fields.number(0.01, MOST_POINTS)


def read_rules(text: str, where: str) -> Rules:
    """Read a file of rules.

    Args:
        text: its whole text.
        where: its name, for errors.

    Raises:
        SetupError: CONFIG, with file, line and the nearest valid name.
    """
    document = Document(text, where)
    top: dict[str, Field] = {
        "bands": tables.bands,
        "trust": tables.trust,
        "stops": tables.stops,
        "breaker": tables.breaker,
        "reactions": tables.reactions,
        "allow": tables.allow,
        "rules": _rules,
        "snooze": _snoozes,
        "classes": tables.classes,
    }
    found = fields.table(document, (), document.load(), top, ("reactions", "allow", "rules"))
    rules, snoozes = found["rules"], found.get("snooze", ())
    for at, one in enumerate(snoozes, 1):
        if one.rule not in {rule.id for rule in rules}:
            known = {rule.id: rule for rule in rules}
            path = ("snooze", str(at), "rule")
            raise document.wrong(path, nearest(one.rule, known), what=f"no rule is called {fields.shown(one.rule)}")
    return Rules(
        version=hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest(),
        rules=rules,
        allow=found["allow"],
        reactions=found["reactions"],
        bands=found.get("bands", Bands()),
        stops=found.get("stops", dict.fromkeys(STOPS, "stop")),
        breaker=found.get("breaker", Breaker()),
        snoozes=snoozes,
        classes=found.get("classes"),
        **found.get("trust", {}),
    )


def _rules(document: Document, path: Path, value: object) -> tuple[Rule, ...]:
    if not isinstance(value, dict) or not 1 <= len(value) <= MOST_RULES:
        raise document.wrong(path, f"1 to {MOST_RULES} tables, as [rules.ID]")
    tags: dict[int, str] = {}
    for name in value:
        if not _ID.fullmatch(name):
            what = f"{fields.shown(name)} is no name of a rule"
            raise document.wrong((*path, name), "use a-z, 0-9 and _, at most 32, a letter first", what=what)
        if (other := tags.setdefault(rule_tag(name), name)) != name:
            what = f"the rules {other} and {name} would be one in what is remembered"
            raise document.wrong((*path, name), "call one of them something else", what=what)
    return tuple(_rule(document, (*path, name), inner) for name, inner in value.items())


def _rule(document: Document, path: Path, value: object) -> Rule:
    spec: dict[str, Field] = {
        "title": _TITLE,
        "who": tables.one_of(WHO),
        "on": fields.several(tables.one_of(TYPES)),
        "when": _expression(Kind.FLAG),
        "times": _expression(Kind.NUMBER),
        "weight": _POINTS,
        "half_life": fields.seconds,
        "cap": _POINTS,
        "quiet": fields.seconds,
        "mode": _mode,
        "baseline": fields.flag,
    }
    found = fields.table(document, path, value, spec, ("title", "who", "when", "weight", "half_life", "cap"))
    found["on"] = frozenset(found.get("on", ()))
    found.setdefault("times", None)
    if found["cap"] < found["weight"]:
        what = f"cap ({found['cap']:g}) is below weight ({found['weight']:g}), so one hit would never count whole"
        raise document.wrong((*path, "cap"), "raise cap, or lower weight", what=what)
    return Rule(id=path[-1], **found)


def _expression(kind: Kind) -> Field:
    def read(document: Document, path: Path, value: object) -> Expression:
        if not isinstance(value, str):
            raise document.wrong(path, 'an expression in quotes, such as "devices_30d > allow_devices"')
        try:
            return compiled(value, NAMES, want=kind)
        except RefusedExpression as error:
            raise document.wrong(path, error.next_step, what=f"{'.'.join(path)}: {error.what}") from None

    return read


def _mode(document: Document, path: Path, value: object) -> Mode:
    if value in ("off", "shadow", "enforce"):
        return Mode(str(value))
    share = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    if share is None:
        raise document.wrong(path, '"off", "shadow", "enforce" or a share of the users from "1%" to "99%"')
    return Mode("percent", int(share[1]))


def _snoozes(document: Document, path: Path, value: object) -> tuple[Snooze, ...]:
    if not isinstance(value, list) or len(value) > MOST_SNOOZES:
        raise document.wrong(path, f"at most {MOST_SNOOZES} tables, as [[snooze]]")
    spec: dict[str, Field] = {
        "rule": fields.text(_ID.pattern, "the name of a rule"),
        "entity": _WHOSE,
        "until": _moment,
        "by": fields.text(r"[^\x00-\x1f\x7f]{1,64}", "who says so, in 1 to 64 characters"),
        "why": fields.text(r"[^\x00-\x1f\x7f]{1,200}", "a reason of 1 to 200 characters"),
    }
    found: dict[tuple[str, str], Snooze] = {}
    for at, inner in enumerate(value, 1):
        here = (*path, str(at))
        one = Snooze(**fields.table(document, here, inner, spec, tuple(spec)))
        if found.setdefault((one.rule, one.entity), one) is not one:
            raise document.wrong(here, "keep one of the two", what=f"{one.rule} is snoozed twice for {one.entity}")
    return tuple(found.values())


def _moment(document: Document, path: Path, value: object) -> int:
    """Read an end: a date (its first second), a date with a time, both UTC unless an offset is written."""
    seconds = 0.0
    if isinstance(value, date):
        whole = value if isinstance(value, datetime) else datetime(value.year, value.month, value.day, tzinfo=UTC)
        seconds = (whole if whole.tzinfo else whole.replace(tzinfo=UTC)).timestamp()
    if seconds < 1:
        raise document.wrong(path, "a date after 1970 such as 2026-12-01, or 2026-12-01T18:00:00Z")
    return int(seconds)
