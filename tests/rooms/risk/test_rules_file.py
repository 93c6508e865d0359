"""risk.toml: what its owner wrote is what holds, and anything else stops the reader with file, line and a way out."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.errors import Code, SetupError
from strongroom.risk import facts
from strongroom.risk.reaction import Reaction
from strongroom.risk.rules import Bands, Breaker, Mode, Snooze
from strongroom.risk.rules_file import read_rules

ALLOW = "\n".join(f"{name} = {at + 2}" for at, name in enumerate(facts.ALLOWANCES))
REACTIONS = """\
[reactions.medium]
step_up = "authenticate"
lease = "1h"
rate = 0.25
delay = ["2s", "10s"]
[reactions.high]
refuse = true
wipe = true
restrict = true
[reactions.stop]
refuse = true
wipe = true
"""
SMALL = f"""\
{REACTIONS}
[allow.user]
{ALLOW}

[rules.switch]
title = "New devices under one user"
who = "user"
when = "devices_30d > allow_devices"
weight = 16
half_life = "7d"
cap = 70
"""
WHOLE = f"""\
[bands]
medium = 25
high = 60.5
down = 5
hold = "12h"

[trust]
days = 7
step_up_factor = 0.5

[stops]
rooted = "medium"
tamper = "off"

[breaker]
share = 0.01
window = "2h"
least = 5

{SMALL}
[allow.fleet]
devices = 200

[rules.burst]
title = "The same model again and again"
who = "responsible"
on = ["model_download", "key_request"]
when = "downloads_same > allow_downloads and not resumed"
times = "1 + 0.1 * (downloads_same - allow_downloads)"
weight = 6
half_life = "90m"
cap = 40.5
quiet = "6h"
mode = "10%"
baseline = true

[[snooze]]
rule = "burst"
entity = "user:u1"
until = 2026-12-01
by = "ann"
why = "support ticket 411"

[[snooze]]
rule = "switch"
entity = "key:Zm9v"
until = 2026-12-01T18:00:00+01:00
by = "ann"
why = "a clinic's shared tablet"

[classes]
staff = ["ann", "bo"]
fleet = ["robot-7"]
"""
FIRST, SECOND = 'rule = "burst"\nentity = "user:u1"', 'rule = "switch"\nentity = "key:Zm9v"'


def refused(text: str) -> SetupError:
    with pytest.raises(SetupError) as caught:
        read_rules(text, "risk.toml")
    error = caught.value
    assert error.code == Code.CONFIG
    assert error.where.startswith("risk.toml")
    assert error.next_step
    return error


def changed(old: str, new: str, text: str = WHOLE) -> tuple[SetupError, int]:
    """Return the error for a text with one change, and the line that the change is on."""
    assert old in text
    return refused(text.replace(old, new, 1)), text[: text.index(old)].count("\n") + 1


def test_everything_that_can_be_written_is_read():
    rules = read_rules(WHOLE, "risk.toml")
    assert rules.version == hashlib.sha256(WHOLE.encode()).hexdigest()
    assert rules.bands == Bands(25.0, 60.5, 5.0, 43_200)
    assert (rules.trust_days, rules.step_up_factor) == (7, 0.5)
    assert rules.stops == {
        "tamper": "off",
        "rooted": "medium",
        "signature": "stop",
        "attestation": "stop",
        "decoy": "stop",
    }
    assert rules.breaker == Breaker(0.01, 7200, 5)
    assert rules.reactions["none"] == Reaction()
    assert rules.reactions["medium"] == Reaction(step_up="authenticate", lease=3600, rate=0.25, delay=(2.0, 10.0))
    assert rules.reactions["high"] == Reaction(refuse=True, wipe=True, restrict=True)
    assert set(rules.allow) == {"user", "fleet", "staff"}
    assert rules.allow["fleet"] == rules.allow["user"] | {"devices": 200.0}
    assert rules.allow["staff"] == rules.allow["user"]
    switch, burst = rules.rules
    assert (switch.id, switch.who, switch.on, switch.times, switch.quiet) == ("switch", "user", frozenset(), None, 0)
    assert (switch.weight, switch.half_life, switch.cap) == (16.0, 7 * 86_400, 70.0)
    assert (switch.mode, switch.baseline) == (Mode(), False)
    assert (burst.mode, burst.baseline, burst.quiet) == (Mode("percent", 10), True, 21_600)
    assert burst.on == {"model_download", "key_request"}
    assert burst.when.source == "((f.downloads_same > a.downloads) and (not f.resumed))"
    assert rules.snoozes == (
        Snooze("burst", "user:u1", 1_796_083_200, "ann", "support ticket 411"),
        Snooze("switch", "key:Zm9v", 1_796_144_400, "ann", "a clinic's shared tablet"),
    )
    assert rules.classes == {"staff": frozenset({"ann", "bo"}), "fleet": frozenset({"robot-7"})}


def test_what_is_left_out_has_its_default():
    rules = read_rules(SMALL, "risk.toml")
    assert rules.bands == Bands()
    assert rules.breaker == Breaker()
    assert (rules.trust_days, rules.step_up_factor, rules.snoozes) == (14, 0.25, ())
    assert set(rules.stops.values()) == {"stop"}


@pytest.mark.parametrize(
    ("old", "new", "what", "step"),
    [
        ("[bands]", "[band]", "unknown field 'band'", "is bands meant?"),
        ("down = 5", "dwon = 5", "unknown field 'dwon'", "is down meant?"),
        ("half_life", "halflife", "unknown field 'halflife'", "is half_life meant?"),
        ("weight = 16", "wieght = 16", "unknown field 'wieght'", "is weight meant?"),
        ("[allow.fleet]", "[allow.fleets]", "unknown field 'fleets'", "is fleet meant?"),
        ("devices = 200", "device = 200", "unknown field 'device'", "is devices meant?"),
        ('tamper = "off"', 'temper = "off"', "unknown field 'temper'", "is tamper meant?"),
        ('tamper = "off"', 'tamper = "of"', "stops.tamper cannot be 'of'", "is off meant?"),
        ('who = "user"', 'who = "usr"', "rules.switch.who cannot be 'usr'", "is user meant?"),
        ('step_up = "authenticate"', 'step_up = "attested"', "cannot be 'attested'", "is attest meant?"),
        ('"key_request"]', '"key_requests"]', "rules.burst.on cannot be 'key_requests'", "is key_request meant?"),
        ("devices_30d >", "device_30d >", "rules.switch.when: unknown name device_30d", "is devices_30d meant?"),
        ("> allow_devices", "> allow_device", "unknown name allow_device", "is allow_devices meant?"),
        ('and not resumed"', 'and len(type)"', "a call in an expression", "use words"),
        ('and not resumed"', 'and type.x"', "a part of something", "use words"),
        ('"1 + 0.1 * (', '"1 / 0 * (', "a division by 0", "another number"),
        ('times = "1 +', 'times = "1 <', "it gives true or false, not a number", "amounts to"),
        ('when = "devices_30d > allow_devices"', 'when = "devices_30d"', "it gives a number", "compare"),
        ('when = "devices_30d > allow_devices"', "when = 3", "rules.switch.when is not", "in quotes"),
        ('half_life = "7d"', 'half_life = "0d"', "rules.switch.half_life is not", '"7d"'),
        ('half_life = "7d"', "half_life = 0", "rules.switch.half_life is not", '"7d"'),
        ('half_life = "7d"', 'half_life = "-7d"', "rules.switch.half_life is not", '"7d"'),
        ('half_life = "7d"', 'half_life = "7 days"', "rules.switch.half_life is not", '"7d"'),
        ("weight = 16", "weight = 0", "rules.switch.weight is not", "0.01 to 500"),
        ("weight = 16", "weight = nan", "rules.switch.weight is not", "0.01 to 500"),
        ("weight = 16", "weight = inf", "rules.switch.weight is not", "0.01 to 500"),
        ("weight = 16", 'weight = "16"', "rules.switch.weight is not", "0.01 to 500"),
        ("weight = 16", "weight = true", "rules.switch.weight is not", "0.01 to 500"),
        ("cap = 70", "cap = 15", "cap (15) is below weight (16)", "raise cap"),
        ("high = 60.5", "high = 25", "high (25) is not above medium (25)", "above bands.medium"),
        ("high = 60.5", "high = -1", "bands.high is not", "above 0"),
        ("down = 5", "down = 25", "down (25) is not below medium", "below bands.medium"),
        ("step_up_factor = 0.5", "step_up_factor = 1.5", "trust.step_up_factor is not", "from 0 to 1"),
        ("share = 0.01", "share = 0", "breaker.share is not", "above 0"),
        ("least = 5", "least = 0", "breaker.least is not", "whole number"),
        ("rate = 0.25", "rate = 0", "reactions.medium.rate is not", "above 0"),
        ('delay = ["2s", "10s"]', 'delay = ["10s", "2s"]', "reactions.medium.delay is not", "least and most"),
        ('delay = ["2s", "10s"]', 'delay = ["2s", "2h"]', "reactions.medium.delay is not", "least and most"),
        ('delay = ["2s", "10s"]', 'delay = [false, "10s"]', "reactions.medium.delay is not", "length of time"),
        ('delay = ["2s", "10s"]', "delay = 2", "reactions.medium.delay is not", "least and most"),
        ('mode = "10%"', 'mode = "0%"', "rules.burst.mode is not", '"1%"'),
        ('mode = "10%"', 'mode = "100%"', "rules.burst.mode is not", '"1%"'),
        ('mode = "10%"', 'mode = "enforced"', "rules.burst.mode is not", '"shadow"'),
        ("[rules.switch]", "[rules.Switch]", "'Switch' is no name of a rule", "a-z"),
        ('rule = "burst"', 'rule = "brust"', "no rule is called 'brust'", "is burst meant?"),
        ('entity = "user:u1"', 'entity = "u1"', "snooze.1.entity is not", '"user:NAME"'),
        ("until = 2026-12-01\n", "until = 1969-12-31\n", "snooze.1.until is not", "2026-12-01"),
        ("until = 2026-12-01\n", 'until = "tomorrow"\n', "snooze.1.until is not", "2026-12-01"),
        ("until = 2026-12-01\n", "until = 0001-01-01T00:00:00+23:59\n", "snooze.1.until is not", "2026-12-01"),
        ("until = 2026-12-01\n", "until = 12:00:00\n", "snooze.1.until is not", "2026-12-01"),
        ("until = 2026-12-01T18:00:00+01:00", "until = false", "snooze.2.until is not", "2026-12-01"),
        ('why = "support ticket 411"', 'why = ""', "snooze.1.why is not", "a reason"),
        ('["ann", "bo"]', '["ann", "ann"]', "classes.staff has 'ann' twice", "once"),
        ("baseline = true", "baseline = 1", "rules.burst.baseline is not", "true or false"),
    ],
)  # fmt: skip
def test_a_mistake_is_refused_with_its_line_and_the_nearest_name(old, new, what, step):
    error, line = changed(old, new)
    assert what in error.what
    assert step in error.next_step
    assert error.where == f"risk.toml line {line}"


@pytest.mark.parametrize(
    ("old", "new", "what", "line_of"),
    [
        ('by = "ann"\n', "", "snooze.1 says no by", "[[snooze]]"),
        ("until = 2026-12-01\n", "", "snooze.1 says no until", "[[snooze]]"),
        ('why = "a clinic\'s shared tablet"\n', "", "snooze.2 says no why", '[[snooze]]\nrule = "switch"'),
        ("weight = 16\n", "", "rules.switch says no weight", "[rules.switch]"),
        ('fleet = ["robot-7"]', 'fleet = ["bo"]', "'bo' stands in two classes", "fleet = ["),
        (SECOND, FIRST, "snoozed twice", f"[[snooze]]\n{FIRST}\nuntil = 2026-12-01T"),
        ("[rules.burst]", "[rules.switch]", "is set twice", "[rules.burst]"),
        ("devices = 2\n", "", "allow.user says no devices", "[allow.user]"),
    ],
)  # fmt: skip
def test_what_is_missing_or_there_twice_is_refused_where_it_belongs(old, new, what, line_of):
    error, _ = changed(old, new)
    text = WHOLE.replace(old, new, 1)
    assert what in error.what
    at = text.rindex("[rules.switch]") if line_of == "[rules.burst]" else text.index(line_of)
    assert error.where == f"risk.toml line {text[:at].count(chr(10)) + 1}"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "the file says no reactions"),
        (SMALL.replace("[rules.switch]", "[other.switch]"), "unknown field 'other'"),
        (SMALL[: SMALL.index("[rules.switch]")], "the file says no rules"),
        (SMALL[: SMALL.index("[rules.switch]")] + "[rules]\n", "rules is not 1 to"),
        (SMALL + "x = " + "9" * 5000, "not valid TOML"),
        (SMALL + "x = " + "[" * 5000, "not valid TOML"),
        (SMALL + "#" * 2_000_000, "more than 1048576 bytes"),
        (SMALL.replace("weight = 16", f"weight = 0x{'f' * 5000}"), "rules.switch.weight is not"),
        (SMALL.replace('who = "user"', f"who = 0x{'f' * 5000}"), "rules.switch.who cannot be a number of thousands"),
        (SMALL.replace("weight = 16", "weight = [[16]]"), "rules.switch.weight is not"),
        (SMALL + "snooze = 3", "unknown field 'snooze'"),
        ("snooze = 3\n" + SMALL, "snooze is not at most"),
        ("snooze = [3]\n" + SMALL, "snooze.1 is not a table"),
        ("\udcff = 1\n" + SMALL, "not valid TOML"),
    ],
)
def test_a_file_that_is_no_set_of_rules_is_refused(text, what):
    assert what in refused(text).what


def test_a_value_of_many_lines_does_not_move_what_comes_after_it():
    several = "staff = [\n" + "".join(f'  "u{number}",  # one\n' for number in range(300)) + "]\nfleets = 3\n"
    text = WHOLE.replace("ticket 411", "ticket\u2028411").partition("staff = ")[0] + several
    assert refused(text).where == f"risk.toml line {text[: text.index('fleets')].count(chr(10)) + 1}"


def test_two_rules_that_would_be_remembered_as_one_are_refused(monkeypatch):
    monkeypatch.setattr("strongroom.risk.rules_file.rule_tag", lambda name: 7)
    assert "the rules switch and burst would be one" in refused(WHOLE).what


def test_any_change_of_the_text_is_another_version():
    assert read_rules(SMALL, "a").version != read_rules(SMALL + "\n", "a").version


SCALARS = st.one_of(
    st.integers(),
    st.floats(allow_nan=True),
    st.booleans(),
    st.text(max_size=20),
    st.sampled_from(["7d", "enforce", "10%", "devices_30d > 3", "user", "stop", "user:u1"]),
    st.dates(),
)


def written(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(sign):08x}" for sign in value if not 0xD800 <= ord(sign) < 0xE000) + '"'
    return str(value)


@settings(max_examples=300)
@given(st.integers(0, WHOLE.count("\n") - 1), st.one_of(SCALARS, st.lists(SCALARS, max_size=3)))
def test_any_value_on_any_line_is_taken_or_refused_as_a_mistake_of_the_file(at, value):
    lines = WHOLE.splitlines()
    key, found, _ = lines[at].partition(" = ")
    if not found:
        return
    shown = f"[{', '.join(map(written, value))}]" if isinstance(value, list) else written(value)
    lines[at] = f"{key} = {shown}"
    _taken_or_refused("\n".join(lines))


@settings(max_examples=300)
@given(st.integers(0, len(WHOLE)), st.integers(0, 40), st.text(max_size=12))
def test_any_cut_and_any_insertion_is_taken_or_refused_as_a_mistake_of_the_file(at, gone, more):
    _taken_or_refused(WHOLE[:at] + more + WHOLE[at + gone :])


def _taken_or_refused(text: str) -> None:
    try:
        read_rules(text, "risk.toml")
    except SetupError as error:
        mistake = error
    else:
        return
    assert mistake.code == Code.CONFIG
    assert mistake.next_step
