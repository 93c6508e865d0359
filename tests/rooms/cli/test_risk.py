"""`strongroom risk`: recorded events judged again, rules tried on them, and mistakes said with their line."""

import io
import json
import sys

import pytest

from strongroom.cli import risk_inputs
from strongroom.risk.defaults import default_text
from strongroom.risk.facts import ALLOWANCES

START = 1_795_000_000
ALLOW = "\n".join(f"{name} = {0 if name == 'tamper' else 6}" for name in ALLOWANCES)
RULES = f"""\
[bands]
medium = 30
high = 70
[reactions.medium]
step_up = "authenticate"
[reactions.high]
refuse = true
[reactions.stop]
refuse = true
[allow.user]
{ALLOW}
[rules.many_models]
title = "More models than anybody needs"
who = "user"
on = ["model_download"]
when = "model_new and models_30d > allow_models"
weight = 36
half_life = "7d"
cap = 108
"""


def event(number, user, **its):
    one = {
        "event_id": f"e{number}",
        "ts": START + 60 * number,
        "type": "model_download",
        "user_id": user,
        "user_class": "user",
        "device_id": f"d-{user}",
        "device_key": f"k-{user}",
        "session_id": f"s-{user}",
        "app_install_id": f"i-{user}",
        "ip": "198.51.100.7",
        "model": "digits",
        "ver": "1.0",
        "attestation": "pass",
        "app_sig": "ok",
        "tamper": [],
        "decoy": None,
        "resumed": False,
    }
    return one | its


@pytest.fixture
def recording(tmp_path):
    """Ada runs her model; mallory takes ten; trudy's application was changed; some lines are no events."""
    events = []
    for number in range(0, 30, 3):
        events.append(event(number, "ada", type="model_run"))
        events.append(event(number + 1, "mallory", model=f"model-{number}"))
        events.append(event(number + 2, "trudy", app_sig="bad" if number > 20 else "ok", type="model_run"))
    lines = [json.dumps(one) for one in events]
    lines[5:5] = ["not json", json.dumps(events[0]), json.dumps(event(9000, "ada", ts=START - 9_000_000)), "{}"]
    path = tmp_path / "events.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def rules(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(RULES, encoding="utf-8")
    return path


def bands(out):
    """The last band of each event, by id."""
    return {one["event_id"]: one["band"] for one in map(json.loads, out.splitlines()) if not one.get("set_aside")}


def test_replay_answers_every_line_with_the_band_in_force(cli, recording, rules):
    done = cli("risk", "replay", recording, "--rules", rules, "--json")
    assert done.code == 0
    assert len(done.out.splitlines()) == len(recording.read_text().splitlines())
    found = bands(done.out)
    assert {found[f"e{number}"] for number in range(0, 30, 3)} == {"none"}
    assert found["e16"] == "none"  # her sixth model
    assert (found["e19"], found["e22"], found["e25"]) == ("medium", "high", "high")
    assert (found["e20"], found["e23"], found["e29"]) == ("none", "stop", "stop")
    words = [one["set_aside"] for one in map(json.loads, done.out.splitlines()) if one.get("set_aside")]
    assert words == ["malformed", "duplicate", "late", "malformed"]
    assert "malformed" in done.err
    assert "30" in done.err


def test_replay_with_the_shipped_rules_stops_the_changed_application_only(cli, recording):
    done = cli("risk", "replay", recording, "--json")
    assert done.code == 0
    found = bands(done.out)
    assert found["e29"] == "stop"
    assert {found[f"e{number}"] for number in range(0, 30, 3)} == {"none"}


def test_replay_is_the_same_twice_and_reads_standard_input(cli, recording, rules, monkeypatch):
    first = cli("risk", "replay", recording, "--rules", rules, "--json").out
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(recording.read_bytes())))
    assert cli("risk", "replay", "-", "--rules", rules, "--json").out == first


def test_replay_for_people_says_why(cli, recording, rules):
    lines = cli("risk", "replay", recording, "--rules", rules).out.splitlines()
    [line] = [one for one in lines if one.startswith("e22 ")]
    assert "high" in line
    assert "many_models=" in line
    [line] = [one for one in lines if one.startswith("e29 ")]
    assert "signature!" in line
    assert sum("set-aside:" in one for one in lines) == 4


def test_a_line_without_end_is_set_aside_and_the_next_one_judged(cli, tmp_path, rules):
    path = tmp_path / "long.jsonl"
    huge = json.dumps(event(1, "ada", model="x" * 300_000))
    path.write_text(f"{huge}\n{json.dumps(event(2, 'ada'))}\n{huge}", encoding="utf-8")
    done = cli("risk", "replay", path, "--rules", rules, "--json")
    answers = [json.loads(line) for line in done.out.splitlines()]
    assert [one.get("set_aside", "") for one in answers] == ["malformed", "", "malformed"]
    assert answers[1]["event_id"] == "e2"


def test_no_line_is_held_in_memory_whole(tmp_path):
    path = tmp_path / "long.jsonl"
    path.write_bytes(b"x" * 1_000_000 + b"\n{}\n")
    with risk_inputs.events(str(path)) as lines:
        assert [len(line) for line in lines] == [risk_inputs.MAX_LINE, 3]


@pytest.mark.parametrize("name", ["absent.jsonl", "."])
def test_events_that_cannot_be_opened(cli, name, rules):
    done = cli("risk", "replay", name, "--rules", rules)
    assert (done.code, done.out) == (2, "")
    assert "cannot be opened" in done.err
    assert "next:" in done.err


def test_check_says_what_a_file_says(cli, rules):
    done = cli("risk", "check", rules)
    assert done.code == 0
    assert "many_models" in done.out
    assert "model_new and models_30d > allow_models" in done.out
    found = cli("risk", "check", rules, "--json").json
    assert found["bands"] == {"medium": 30.0, "high": 70.0}
    assert found["allow"]["staff"]["models"] == 6.0
    assert [(one["id"], one["half_life"], one["mode"]) for one in found["rules"]] == [
        ("many_models", 604_800, "enforce")
    ]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("model_new and", "model_knew and", "is model_new meant?"),
        ('"7d"', '"0d"', "half_life is not a length of time"),
        ("high = 70", "high = 20", "high (20) is not above medium (30)"),
        ("allow_models", "models.allow", "a part of something (a dot)"),
    ],
)
def test_a_mistake_is_said_with_file_line_and_the_nearest_name(cli, rules, recording, old, new, said):
    wrong = rules.with_name("wrong.toml")
    wrong.write_text(RULES.replace(old, new), encoding="utf-8")
    line = RULES[: RULES.index(old)].count("\n") + 1
    for words in (
        ("check", wrong),
        ("replay", recording, "--rules", wrong),
        ("shadow", "--events", recording, "--rules", wrong),
    ):
        done = cli("risk", *words)
        assert (done.code, done.out) == (1, "")
        assert said in done.err
        assert f"wrong.toml line {line}" in done.err


def test_the_shipped_rules_are_printed_as_they_are_and_pass_their_own_check(cli, tmp_path):
    done = cli("risk", "rules")
    assert done.out == default_text()
    (tmp_path / "risk.toml").write_text(done.out, encoding="utf-8")
    assert cli("risk", "check", "risk.toml").code == 0


def test_backtest_says_who_would_newly_be_hit_and_who_no_longer(cli, recording, rules):
    strict = rules.with_name("strict.toml")
    strict.write_text(RULES.replace("models = 6\n", "models = 2\n", 1), encoding="utf-8")
    lax = rules.with_name("lax.toml")
    lax.write_text(RULES.replace("cap = 108", 'cap = 108\nmode = "off"'), encoding="utf-8")
    same = cli("risk", "backtest", "--rules", rules, "--against", rules, "--events", recording, "--json").json
    assert same["moved_in_all"] == 0
    assert (same["events"], same["set_aside"]) == (30, 4)
    gone = cli("risk", "backtest", "--rules", lax, "--against", rules, "--events", recording, "--json").json
    assert [(one["entity"], one["before"], one["after"]) for one in gone["moved"]] == [("user:mallory", "high", "none")]
    new = cli("risk", "backtest", "--rules", rules, "--against", lax, "--events", recording, "--json").json
    [mallory] = new["moved"]
    assert (mallory["entity"], mallory["after"], mallory["event_id"], mallory["rules"]) == (
        "user:mallory",
        "high",
        "e22",
        ["many_models"],
    )
    columns = ("seen", "newly", "no_longer", "still")
    rows = {(one["band"], one["who"]): tuple(one[name] for name in columns) for one in new["bands"]}
    assert {one["class"] for one in new["bands"]} == {"user"}
    assert rows == {
        ("medium", "user"): (3, 1, 0, 0),
        ("high", "user"): (3, 1, 0, 0),
        ("stop", "user"): (3, 0, 0, 0),
        ("medium", "key"): (3, 0, 0, 1),  # trudy's application is on her device
        ("high", "key"): (3, 0, 0, 1),
        ("stop", "key"): (3, 0, 0, 1),
    }
    assert cli("risk", "backtest", "--rules", strict, "--against", rules, "--events", recording).code == 0


def test_backtest_says_how_many_deserve_it_only_where_that_is_known(cli, recording, rules, tmp_path):
    words = ("risk", "backtest", "--rules", rules, "--against", rules, "--events", recording)
    done = cli(*words)
    assert "is not known: no labels were given" in done.out
    assert "%" not in done.out
    labels = tmp_path / "known.txt"
    labels.write_text("# from support\nuser:mallory bad\n\nuser:ada good\n", encoding="utf-8")
    done = cli(*words, "--labels", labels)
    assert "high: of those hit, bad: before 100% (1 of 1 labelled); now 100% (1 of 1 labelled)" in done.out
    assert "stop: of those hit, bad: before not known, none of those hit is labelled" in done.out
    found = cli(*words, "--labels", labels, "--json").json
    assert found["labelled"] == 2
    assert found["precision"][1]["after"] == {"known": 1, "bad": 1, "precision": 1.0}
    assert found["precision"][2]["after"] == {"known": 0, "bad": 0, "precision": None}
    for wrong in ("user:mallory good", "mallory bad", "user:ada maybe", "user:ada", "key:a good bad"):
        labels.write_text(f"user:mallory bad\n{wrong}\n", encoding="utf-8")
        done = cli(*words, "--labels", labels)
        assert done.code == 2
        assert "known.txt line 2" in done.err


def test_shadow_says_what_rules_in_waiting_would_have_done(cli, recording, rules):
    waiting = rules.with_name("waiting.toml")
    for mode in ("shadow", "1%"):
        waiting.write_text(RULES.replace("cap = 108", f'cap = 108\nmode = "{mode}"'), encoding="utf-8")
        found = cli("risk", "shadow", "--rules", waiting, "--events", recording, "--json").json
        assert found["rules"] == [{"rule": "many_models", "mode": mode, "hits": 4, "users": 1}]
        assert [(one["entity"], one["before"], one["after"]) for one in found["moved"]] == [
            ("user:mallory", "none", "high")
        ]
    done = cli("risk", "shadow", "--rules", rules, "--events", recording)
    assert done.code == 0
    assert "no rule is in shadow" in done.err
