"""`strongroom risk`: rules that weigh what users and devices do; try them on recorded events before they act."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from strongroom.cli import printing
from strongroom.cli.lazy import Noun
from strongroom.cli.options import PATH, json_option
from strongroom.cli.risk_amends import appeals, decide, restore, snooze, snoozes, unsnooze
from strongroom.cli.risk_backtest import backtest, shadow
from strongroom.cli.risk_events import events
from strongroom.cli.risk_office import alerts, explain, status

if TYPE_CHECKING:
    from strongroom.risk.decision import Decision
    from strongroom.risk.rules import Rule

RULES = click.option("--rules", "rules_path", type=PATH, metavar="FILE", help="Rules. [default: the shipped ones]")

OFFICE = (status, explain, alerts, restore, snooze, unsnooze, snoozes, appeals, decide, events)


@click.group(cls=Noun, commands=[*OFFICE, backtest, shadow])
def risk() -> None:
    """Rules that weigh what users and devices do, tried on recorded events."""


@risk.command(
    "replay",
    examples=[
        "strongroom risk replay events.jsonl --json > decisions.jsonl",
        "strongroom risk replay - --rules new.toml",
    ],
)
@click.argument("events", metavar="EVENTS")
@RULES
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line, with everything it rests on.")
def replay(events: str, rules_path: Path | None, *, as_json: bool) -> None:
    """Judge recorded events as the server would have judged them.

    EVENTS has one JSON object a line, in time order; - is standard input. Each is answered by one line: the event's
    id, the band in force when it is answered, and the points. The same events and the same rules always give the same
    lines. What is no event, or came late, twice or from the future, is answered too and moves nothing;
    standard error says how many there were. A recording holds no restores and no fresh sign-ins: who was forgiven is
    judged as if nobody had been.
    """
    from strongroom.cli import risk_inputs as inputs
    from strongroom.risk.replay import Replay

    run = Replay(inputs.rules(rules_path))
    with inputs.events(events) as lines:
        if as_json:
            for answer in run.lines(lines):
                sys.stdout.write(answer + "\n")
        else:
            for _, decision in run.results(lines):
                printing.line(_short(decision))
    summary = run.summary()
    printing.note("; ".join(f"{name.replace('_', ' ')}: {_said(value)}" for name, value in summary.items()))


@risk.command("check", examples=["strongroom risk check risk.toml"])
@click.argument("file", type=PATH, metavar="FILE")
@json_option
def check(file: Path, *, as_json: bool) -> None:
    """Say whether a file of rules can be put into force, and what it says; if not, on which line, and what was meant.

    The file is data: nothing in it is run.
    """
    from strongroom.cli import risk_inputs as inputs

    found = inputs.rules(file)
    if as_json:
        printing.document(
            {
                "policy": found.version,
                "bands": {"medium": found.bands.medium, "high": found.bands.high},
                "allow": {name: dict(several) for name, several in found.allow.items()},
                "rules": [_value(rule) for rule in found.rules],
                "snoozes": len(found.snoozes),
            }
        )
        return
    head = ("RULE", "FOR", "POINTS", "HALF-LIFE", "CAP", "MODE", "WHEN")
    printing.table(head, [_row(rule) for rule in found.rules])
    printing.note(
        f"{file}: {len(found.rules)} rules, {len(found.snoozes)} snoozed; medium from {found.bands.medium:g} points, "
        f"high from {found.bands.high:g}; version {found.version[:16]}"
    )


@risk.command("rules", examples=["strongroom risk rules > risk.toml"])
def rules() -> None:
    """Print the rules that are shipped, as a file to begin with."""
    from strongroom.risk.defaults import default_text

    click.echo(default_text(), nl=False)


def _short(decision: "Decision") -> str:
    why = " ".join(f"{one.rule}={one.points / 100:.2f}" for one in decision.points)
    stops = " ".join(f"{stop.word}!" for stop in decision.stops)
    aside = f"set-aside:{decision.set_aside}" if decision.set_aside else ""
    parts = (decision.event_id or "-", decision.band, f"{decision.score / 100:.2f}", aside, stops, why)
    return "  ".join(part for part in parts if part)


def _said(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{count} {name}" for name, count in value.items()) or "none"
    return str(value)


def _row(rule: "Rule") -> tuple[object, ...]:
    return (
        rule.id,
        rule.who,
        f"{rule.weight:g}",
        _length(rule.half_life),
        f"{rule.cap:g}",
        _mode(rule),
        rule.when.text,
    )


def _value(rule: "Rule") -> dict[str, Any]:
    return {
        "id": rule.id,
        "title": rule.title,
        "who": rule.who,
        "on": sorted(rule.on),
        "when": rule.when.text,
        "times": rule.times.text if rule.times else None,
        "weight": rule.weight,
        "half_life": rule.half_life,
        "cap": rule.cap,
        "quiet": rule.quiet,
        "mode": _mode(rule),
    }


def _mode(rule: "Rule") -> str:
    return f"{rule.mode.percent}%" if rule.mode.word == "percent" else rule.mode.word


def _length(seconds: int) -> str:
    for unit, letter in ((86_400, "d"), (3600, "h"), (60, "m")):
        if seconds % unit == 0:
            return f"{seconds // unit}{letter}"
    return f"{seconds}s"
