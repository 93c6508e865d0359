"""docs/risk-rules.md says what rules may use. Run this file to write its tables of facts and allowances anew."""

import re
from pathlib import Path

import pytest

from strongroom.risk import events, intake, replay
from strongroom.risk.expression import Kind, compiled
from strongroom.risk.facts import ALLOWANCES, FACTS
from strongroom.risk.rules import STOPS
from strongroom.risk.rules_file import NAMES, read_rules

DOCUMENT = Path(__file__).parents[3] / "docs" / "risk-rules.md"
BEGIN, END = "compared by the tests: from here -->\n", "<!-- to here. -->\n"
KINDS = {Kind.FLAG: "flag", Kind.NUMBER: "number", Kind.TEXT: "text"}
TYPED = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LEAST = "[reactions.medium]\n[reactions.high]\n[reactions.stop]\n[allow.user]\n"


def tables():
    """The generated part of the document."""
    facts = "".join(f"| `{name}` | {KINDS[kind]} | {what} |\n" for name, (kind, what) in FACTS.items())
    allowances = "".join(f"| `allow_{name}` | `{name}` | {what} |\n" for name, what in ALLOWANCES.items())
    return (
        f"\n## Facts\n\n| fact | kind | meaning |\n|---|---|---|\n{facts}"
        "\n## Allowances\n\nWhat is usual for the class of the event's user. All are numbers.\n\n"
        f"| in expressions | in `[allow.CLASS]` | meaning |\n|---|---|---|\n{allowances}\n"
    )


def parts():
    """The document before, between and after the marks."""
    before, begin, rest = DOCUMENT.read_text("utf-8").partition(BEGIN)
    between, end, after = rest.partition(END)
    return before + begin, between, end + after


def fenced(language):
    return [block for named, block in TYPED.findall(DOCUMENT.read_text("utf-8")) if named == language]


def rows(heading):
    """First cells of the rows in a section, by their words in code."""
    section = DOCUMENT.read_text("utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    first = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return {word for cell in first for word in re.findall(r"`([^`]+)`", cell)}


def test_the_page_has_every_fact_and_allowance_as_the_code_says_it():
    assert parts()[1] == tables(), f"run: python {Path(__file__).relative_to(DOCUMENT.parents[1])}"


def test_the_page_names_every_field_of_an_event_and_every_reason_to_set_one_aside():
    aside = set(replay.Replay(read_rules(whole_file(), "risk.toml")).summary()["set_aside"])
    assert rows("Events") == {*events.Event._fields} | aside
    text = DOCUMENT.read_text("utf-8").partition("\n## Events\n")[2]
    for words in (events.TYPES, events.CLASSES, events.ATTESTATIONS, events.SIGNATURES, events.TAMPER):
        assert [word for word in sorted(words) if f"`{word}`" not in text] == []
    for number in (f"{replay.MAX_LINE:,} bytes", f"{intake.LATE // 60} minutes behind", f"up to {intake.HELD} events"):
        assert number in text


def test_the_page_names_every_stop_factor():
    assert set(STOPS) <= rows("Tables")


def whole_file():
    """The rule of the page in the smallest file that holds one."""
    (rule,) = fenced("toml")
    return LEAST + "".join(f"{name} = 1\n" for name in ALLOWANCES) + rule


def test_the_rule_on_the_page_is_one():
    (rule,) = read_rules(whole_file(), "risk.toml").rules
    assert (rule.id, rule.mode.word) == ("many_devices", "shadow")


def test_the_expressions_on_the_page_are_some():
    (block,) = fenced("text")
    condition, amount = block.splitlines()
    assert compiled(condition, NAMES).kind == Kind.FLAG
    assert compiled(amount, NAMES, want=Kind.NUMBER).kind == Kind.NUMBER


@pytest.mark.parametrize("setting", ["bands", "trust", "stops", "breaker", "classes"])
def test_a_table_the_page_names_is_read(setting):
    assert f"`[{setting}]`" in DOCUMENT.read_text("utf-8")
    read_rules(f"{whole_file()}\n[{setting}]\n", "risk.toml")


def test_the_event_on_the_page_is_one():
    (line,) = fenced("json")
    (judged,) = replay.replay([line], read_rules(whole_file(), "risk.toml"))
    assert "set_aside" not in judged


if __name__ == "__main__":
    before, _, after = parts()
    DOCUMENT.write_text(before + tables() + after, "utf-8")
