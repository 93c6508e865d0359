"""`strongroom risk backtest` and `shadow`: whom other rules would have hit, on events that happened."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import tee
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from strongroom.cli import printing
from strongroom.cli.lazy import Command
from strongroom.cli.options import PATH, json_option

if TYPE_CHECKING:
    from strongroom.risk.decision import Decision
    from strongroom.risk.events import Event
    from strongroom.risk.rules import Rules

BANDS: Final = ("none", "medium", "high", "stop")
MOST_NAMED: Final = 1000  # users and keys, in --json; all are counted
_SHOWN: Final = 20  # of them, for people
_EVENTS = click.option("--events", required=True, metavar="EVENTS", help="Recorded events, JSON lines; - is stdin.")


@dataclass(slots=True)
class Hit:
    """The worst that befell a user or a device key under two sets of rules."""

    word: str  # the class
    before: int = 0
    after: int = 0
    event_id: str = ""  # that moved it furthest under the new rules
    why: tuple[str, ...] = ()


@dataclass(slots=True)
class Compared:
    """Two sets of rules on the same events."""

    whoever: dict[str, Hit] = field(default_factory=dict)  # "user:NAME" or "key:NAME"
    judged: int = 0
    set_aside: int = 0
    hits: Counter[str] = field(default_factory=Counter)  # how often each rule hit, under the new rules
    whom: dict[str, set[str]] = field(default_factory=dict)

    def moved(self) -> list[tuple[str, Hit]]:
        """Return who would be in another band, those hit harder first."""
        changed = [(name, hit) for name, hit in self.whoever.items() if hit.before != hit.after]
        return sorted(changed, key=lambda one: (one[1].before - one[1].after, one[0]))

    def table(self) -> list[dict[str, Any]]:
        """Return, by band, kind and class, how many are newly in it or above, no longer, and in both."""
        rows = []
        for band in (1, 2, 3):
            for kind, word in sorted({(name.partition(":")[0], hit.word) for name, hit in self.whoever.items()}):
                hits = [hit for name, hit in self.whoever.items() if hit.word == word and name.startswith(f"{kind}:")]
                both = [(hit.before >= band, hit.after >= band) for hit in hits]
                row: dict[str, Any] = {"band": BANDS[band], "who": kind, "class": word, "seen": len(both)}
                row |= {
                    "newly": both.count((False, True)),
                    "no_longer": both.count((True, False)),
                    "still": both.count((True, True)),
                }
                rows.append(row)
        return rows


@click.command(
    "backtest",
    cls=Command,
    examples=[
        "strongroom risk backtest --rules new.toml --events events.jsonl",
        "strongroom risk backtest --rules new.toml --against risk.toml --events events.jsonl --labels known.txt --json",
    ],
)
@click.option("--rules", "rules_path", type=PATH, required=True, metavar="FILE", help="The rules to try.")
@_EVENTS
@click.option("--against", type=PATH, metavar="FILE", help="Rules to compare with. [default: the shipped ones]")
@click.option("--labels", type=PATH, metavar="FILE", help="What is known: lines such as user:ann bad, key:x good.")
@json_option
def backtest(rules_path: Path, events: str, *, against: Path | None, labels: Path | None, as_json: bool) -> None:
    """Say who would newly be hit by other rules, and who no longer, by band and class.

    Everybody counts once, with the worst band that any of their events was answered in. Where a device key alone is
    the reason, the key counts and not its user, who may have been robbed. How many of those hit deserve it can be said
    only where it is known who is bad (--labels); where it is not known, no share is printed.
    """
    from strongroom.cli import risk_inputs as inputs

    new, old = inputs.rules(rules_path), inputs.rules(against)
    known = inputs.labels(labels) if labels else {}
    with inputs.events(events) as lines:
        found = compare(old, new, lines)
    precision = [_precision(found, band, known) for band in (1, 2, 3)]
    if as_json:
        moved = found.moved()
        printing.document(
            {
                "policy": new.version,
                "against": old.version,
                "events": found.judged,
                "set_aside": found.set_aside,
                "bands": found.table(),
                "moved": [_moved(name, hit) for name, hit in moved[:MOST_NAMED]],
                "moved_in_all": len(moved),
                "labelled": len(known.keys() & found.whoever.keys()),
                "precision": precision,
            }
        )
        return
    _show(found)
    for row in precision:
        printing.line(_sentence(row, given=labels is not None))


@click.command("shadow", cls=Command, examples=["strongroom risk shadow --rules risk.toml --events events.jsonl"])
@click.option("--rules", "rules_path", type=PATH, metavar="FILE", help="Rules. [default: the shipped ones]")
@_EVENTS
@json_option
def shadow(rules_path: Path | None, events: str, *, as_json: bool) -> None:
    """Say what rules that do not count yet would have done: those in shadow, and those for a share of the users.

    The events are judged as they were and once more with these rules in force for everybody.
    """
    from strongroom.cli import risk_inputs as inputs

    old = inputs.rules(rules_path)
    new, words = enforced(old)
    with inputs.events(events) as lines:
        found = compare(old, new, lines)
    rows = [
        {"rule": rule, "mode": mode, "hits": found.hits[rule], "users": len(found.whom.get(rule, ()))}
        for rule, mode in words.items()
    ]
    if as_json:
        moved = found.moved()
        printing.document(
            {
                "policy": old.version,
                "events": found.judged,
                "set_aside": found.set_aside,
                "rules": rows,
                "bands": found.table(),
                "moved": [_moved(name, hit) for name, hit in moved[:MOST_NAMED]],
                "moved_in_all": len(moved),
            }
        )
        return
    if not words:
        printing.note("no rule is in shadow or for a share of the users: there is nothing that they would have done")
        return
    printing.table(("RULE", "MODE", "HITS", "USERS"), [tuple(row.values()) for row in rows])
    _show(found)


def enforced(rules: "Rules") -> tuple["Rules", dict[str, str]]:
    """Return the rules with everything that is in shadow, or for a share, in force; and which rules those are."""
    from strongroom.risk.rules import Mode

    waiting = {rule.id: rule.mode for rule in rules.rules if rule.mode.word in {"shadow", "percent"}}
    ready = tuple(replace(rule, mode=Mode()) if rule.id in waiting else rule for rule in rules.rules)
    words = {name: f"{mode.percent}%" if mode.word == "percent" else mode.word for name, mode in waiting.items()}
    return replace(rules, rules=ready), words


def compare(old: "Rules", new: "Rules", lines: Iterable[bytes]) -> Compared:
    """Judge the same events by both, side by side: neither keeps more than its states."""
    from strongroom.risk.replay import Replay

    first, second = tee(lines)
    found = Compared()
    results: Iterator[tuple[tuple[Event | None, Decision], tuple[Event | None, Decision]]]
    results = zip(Replay(old).results(first), Replay(new).results(second), strict=True)
    for (_, before), (event, after) in results:
        if event is None or after.set_aside:
            found.set_aside += 1
            continue
        found.judged += 1
        for rule in after.hits:
            found.hits[rule] += 1
            found.whom.setdefault(rule, set()).add(event.user_id or "")
        for name in _names(event):
            found.whoever.setdefault(name, Hit(event.user_class))
        if event.user_id is None:
            continue
        hit = found.whoever[_whose(event, before)]
        hit.before = max(hit.before, BANDS.index(before.band))
        hit = found.whoever[_whose(event, after)]
        if (rank := BANDS.index(after.band)) > hit.after:
            stops = [stop.word for stop in after.stops]
            hit.after, hit.event_id = rank, after.event_id
            hit.why = tuple(dict.fromkeys([*stops, *(one.rule for one in after.points)]))
    return found


def _names(event: "Event") -> list[str]:
    from strongroom.risk.weighing import key_name

    return [f"{kind}:{name}" for kind, name in (("user", event.user_id), ("key", key_name(event))) if name]


def _whose(event: "Event", decision: "Decision") -> str:
    """Return who is hit: the user, or the device key if it alone is in that band."""
    alone = decision.key_band == decision.band != decision.user_band
    return _names(event)[-1 if alone else 0]


def _precision(found: Compared, band: int, known: dict[str, str]) -> dict[str, Any]:
    """Return how many of those hit are bad, among those of whom it is known; no share of nobody."""
    row: dict[str, Any] = {"band": BANDS[band]}
    for side in ("before", "after"):
        hit = [known[name] for name, one in found.whoever.items() if getattr(one, side) >= band and name in known]
        row[side] = {"known": len(hit), "bad": hit.count("bad")}
        row[side]["precision"] = hit.count("bad") / len(hit) if hit else None
    return row


def _sentence(row: dict[str, Any], *, given: bool) -> str:
    if not given:
        return f"{row['band']}: how many of those hit deserve it is not known: no labels were given (--labels)"
    parts = []
    for name, side in (("before", row["before"]), ("now", row["after"])):
        share = "not known, none of those hit is labelled"
        if side["known"]:
            share = f"{side['precision']:.0%} ({side['bad']} of {side['known']} labelled)"
        parts.append(f"{name} {share}")
    return f"{row['band']}: of those hit, bad: {'; '.join(parts)}"


def _show(found: Compared) -> None:
    head = ("BAND", "WHO", "CLASS", "SEEN", "NEWLY", "NO LONGER", "STILL")
    printing.table(head, [tuple(row.values()) for row in found.table()])
    moved = found.moved()
    if moved:
        rows = [(name, hit.word, BANDS[hit.before], BANDS[hit.after], " ".join(hit.why)) for name, hit in moved]
        printing.table(("WHO", "CLASS", "BEFORE", "NOW", "WHY"), rows[:_SHOWN])
    more = f"; {len(moved) - _SHOWN} more changed band, --json names them" if len(moved) > _SHOWN else ""
    printing.note(f"{found.judged} events judged, {found.set_aside} set aside{more}")


def _moved(name: str, hit: Hit) -> dict[str, Any]:
    return {
        "entity": name,
        "class": hit.word,
        "before": BANDS[hit.before],
        "after": BANDS[hit.after],
        "event_id": hit.event_id,
        "rules": list(hit.why),
    }
