"""What the person on call types: who is watched and why, letting in again, silencing, appeals, alerts, the export."""

import json
import re
import stat
from decimal import Decimal

import pytest

import strongroom
from strongroom.cli import places, risk_events
from strongroom.cli.risk_events import read_past
from strongroom.errors import Code, InputError, RefusedError
from strongroom.risk.defaults import default_rules
from strongroom.server.identify import Visit
from strongroom.server.watch_ports import AppealRow
from strongroom.server.watching import judging
from strongroom_in_memory import Street

NOW = 1_800_000_000  # 2027-01-15T08:00:00Z
RULE = default_rules().rules[0].id


@pytest.fixture
def street(tmp_path, monkeypatch):
    """An office with a device of ada that holds digits; commands reach it."""
    folder = tmp_path / "street"
    folder.mkdir()
    with Street(folder) as street:
        with strongroom.protect(
            bytes(range(256)) * 40,
            name="digits",
            version="1.0",
            out=folder / "1.0.srm",
            sign_with=street.owners,
            office=street.admin,
        ) as protected:
            protected.publish(channel="stable")
        street.device("phone", street.customer("ada", "digits")).pull("digits")
        monkeypatch.setattr(places, "office", lambda _at: street.admin)
        yield street


@pytest.fixture
def stopped(street):
    """The same, and that device touched a decoy a minute later; its identifier."""
    street.clock.advance(60)
    (row,) = street.ledger.tables.devices
    visit = Visit(street.clock(), "ref_1", "GET", "https://rooms.test:8443/v0/keys", "192.0.2.7")
    street.do(judging.trapped(street.office, row, None, "dcy_1", visit))
    return row.id


def test_status_shows_who_why_and_what_is_still_held(cli, street, stopped):
    shown = cli("risk", "status")
    assert shown.code == 0
    head, *lines = shown.out.splitlines()
    assert head.split() == ["BAND", "WHO", "STATE", "SINCE", "WHY", "HOLDS", "WIPES", "PENDING"]
    device, user = sorted(lines, key=lambda line: " user " in line)  # what runs the tests may be evidence too: root
    assert re.fullmatch(rf"stop +device {stopped} +stopped +2027-01-15T08:01:00Z +decoy.* +1 +1", device)
    assert re.fullmatch(r"stop +user ada +stopped +2027-01-15T08:01:00Z +decoy.* +1 +1", user)
    assert "2 of these may still hold a model: strongroom device orders" in shown.err
    assert "next: strongroom risk explain" in shown.err
    assert cli("risk", "status", "--json").json["rules"]["policy"] == default_rules().version


def test_status_of_a_quiet_office_is_a_bare_head(cli, street):
    shown = cli("risk", "status", "--least", "high")
    assert (shown.code, len(shown.out.splitlines()), shown.err) == (0, 1, "")


def test_explain_adds_up_and_says_what_to_do(cli, street, stopped):
    for name in (stopped, "ada"):
        shown = cli("risk", "explain", name)
        assert shown.code == 0
        assert re.search(r"^user +ada  usr_\S+  stopped$", shown.out, re.MULTILINE)
        assert re.search(r"^band +stop, ", shown.out, re.MULTILINE)
        assert re.search(r"^reaction +refuse, restrict, wipe$", shown.out, re.MULTILINE)
        assert default_rules().version[:16] in shown.out
        assert "stop: decoy (user:" in shown.out
        assert "a false alarm: strongroom risk restore ada --why TEXT" in shown.err
    assert re.search(
        r"^2027-01-15T08:01:00Z +honeypot +stop ",
        cli("risk", "explain", stopped).out,
        re.MULTILINE,
    )
    assert f"a real one: strongroom device show {stopped}" in cli("risk", "explain", stopped).err
    before = cli("risk", "explain", stopped, "--at", "2027-01-15T08:00:30Z")
    assert re.search(r"^band +none, ", before.out, re.MULTILINE)
    assert "honeypot" not in before.out
    assert before.err == ""
    assert cli("risk", "restore", "ada", "--why", "a test").code == 0
    now = cli("risk", "explain", "ada").out
    assert "stop: decoy" not in now
    assert cli("risk", "explain", "ada", "--at", "2999-01-01").out == now, "what is to come is now"


def test_the_points_of_an_explanation_stand_in_columns_and_sum_up(cli, street, monkeypatch):
    """Points that have no exact binary form are added exactly, and hostile words cannot steer the terminal."""
    rules = [
        {"rule": name, "entity": "user:usr_1", "points": points, "text": "\x1b[31mtoo many"}
        for name, points in (("breadth", "30.1"), ("places", "0.2"), ("twin", 16))
    ]
    decision = {
        "band": "high",
        "score": "46.3",
        "rules": rules,
        "reaction": {"refuse": True, "delay": [2, 10], "rate": "0.25", "lease": 3600},
    }
    answer = {
        "user": {"id": "usr_1", "name": "ada", "state": "active"},
        "device": None,
        "decision": decision,
        "text": "",
        "at": NOW,
        "events": [],
        "snoozes": [{"rule": "places", "until": NOW, "why": "ticket 411"}],
    }

    class Desk:
        def get(self, *_, **__):
            return answer

    monkeypatch.setattr(places, "office", lambda _at: Desk())
    shown = cli("risk", "explain", "ada")
    assert re.search(r"^band +high, 46.30 points$", shown.out, re.MULTILINE)
    points = [line.split() for line in shown.out.splitlines() if "too many" in line]
    assert sum(Decimal(one[0]) for one in points) == Decimal("46.30")
    assert "46.30  sum" in shown.out
    assert re.search(r"^reaction +delay 2 to 10, lease 3600, rate 0.25, refuse$", shown.out, re.MULTILINE)
    assert "snoozed: places until 2027-01-15T08:00:00Z: ticket 411" in shown.out
    assert "\x1b" not in shown.out
    assert "strongroom risk snooze breadth ada --until 7d --why TEXT" in shown.err
    assert "strongroom risk status says which devices" in shown.err


def test_restore_lets_a_user_and_its_devices_in_again(cli, street, stopped):
    done = cli("risk", "restore", stopped, "--why", "our own pen test")
    assert done.out == f"{stopped}  active\n"
    assert "withdrawn: ord_" in done.err
    assert "its user is stopped as well, and so is this device: strongroom risk restore ada" in done.err
    done = cli("risk", "restore", "ada", "--why", "our own pen test")
    assert done.out.endswith("active\n")
    assert done.err == ""
    assert len(cli("risk", "status").out.splitlines()) == 1
    assert cli("risk", "restore", "ada", "--why", "again", "--json").json["state"] == "active"
    assert cli("risk", "restore", "nobody", "--why", "x").code == 4
    assert cli("risk", "restore", "ada").code == 2


def test_a_snooze_is_made_listed_and_taken_back(cli, street, stopped, monkeypatch):
    monkeypatch.setattr("time.time", lambda: float(NOW))
    made = cli("risk", "snooze", RULE, "ada", "--until", "7d", "--why", "ticket 411")
    assert made.code == 0
    (row,) = made.out.splitlines()[1:]
    id_ = row.split()[0]
    assert re.fullmatch(rf"snz_\S+ +{RULE} +user:usr_\S+ +2027-01-22T08:00:00Z +opr_\S+ +ticket 411", row)
    assert cli("risk", "snoozes").out == made.out
    assert (
        cli("risk", "snooze", RULE, stopped, "--until", "7d", "--why", "x", "--json").json["entity"].startswith("key:")
    )
    ended = cli("risk", "unsnooze", id_)
    assert "2027-01-15T08:01:00Z (ended)" in ended.out
    assert len(cli("risk", "snoozes", "--json").json["snoozes"]) == 1
    assert len(cli("risk", "snoozes", "--all", "--json").json["snoozes"]) == 2
    wrong = cli("risk", "snooze", "no_such_rule", "ada", "--until", "7d", "--why", "x")
    assert wrong.code == 2
    assert RULE in wrong.err
    assert cli("risk", "snooze", RULE, "ada", "--until", "yesterday", "--why", "x").code == 2


def test_appeals_are_read_and_decided(cli, street, stopped):
    async def add():
        async with street.ledger.begin() as tx:
            user = street.ledger.tables.devices[0].user
            for number in range(2):
                id_ = f"apl_{number}{'A' * 21}"
                await tx.add_appeal(AppealRow(id_, stopped, user, "ref_1", "it was \x1b[2Jour scanner", street.clock()))

    street.do(add())
    listed = cli("risk", "appeals")
    assert len(listed.out.splitlines()) == 3
    assert "\\u001b[2Jour scanner" in listed.out
    assert f"next: strongroom risk explain {stopped}" in listed.err
    assert "2 appeals waiting: strongroom risk appeals" in cli("risk", "status").err
    first, second = f"apl_0{'A' * 21}", f"apl_1{'A' * 21}"
    assert cli("risk", "decide", first, "--why", "x").code == 2
    assert cli("risk", "decide", first, "--uphold", "--restore", "--why", "x").code == 2
    assert cli("risk", "decide", first, "--uphold", "--why", "a decoy").out == f"{first}  upheld\n"
    assert cli("risk", "decide", second, "--restore", "--why", "it was").out == f"{second}  restored\n"
    assert street.ledger.tables.devices[0].state == "active"
    assert cli("risk", "appeals", "--json").json["appeals"] == []
    outcomes = {row["id"]: row["outcome"] for row in cli("risk", "appeals", "--all", "--json").json["appeals"]}
    assert outcomes == {first: "upheld", second: "restored"}


def test_the_export_is_what_replay_reads(cli, street, stopped, tmp_path):
    out = tmp_path / "events.jsonl"
    done = cli("risk", "events", "-o", out)
    assert done.code == 0
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert lines[-1]["type"] == "honeypot"
    assert all("band" not in one and "decision" not in one for one in lines)
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert f"{len(lines)} events" in done.err
    replayed = cli("risk", "replay", out, "--json")
    assert [json.loads(line)["band"] for line in replayed.out.splitlines()][-1] == "stop"
    again = cli("risk", "events", "-o", out)
    assert (again.code, "nothing is written over" in again.err) == (2, True)
    assert cli("risk", "events", "-o", tmp_path / "no" / "such").code == 2
    only = cli("risk", "events", "-o", tmp_path / "late.jsonl", "--since", "2027-01-15T08:00:30Z")
    assert "1 events" in only.err


def test_an_export_that_is_told_to_slow_down_goes_on_and_one_that_breaks_off_leaves_nothing(
    cli, street, stopped, tmp_path, monkeypatch
):
    waited = []
    monkeypatch.setattr(risk_events.time, "sleep", waited.append)
    real, busy = type(street.admin).get, [True, True]

    def get(self, *path, **query):
        if path == ("risk", "events") and busy and busy.pop():
            raise RefusedError(Code.RATE_LIMITED, "too many requests")
        return real(self, *path, **query)

    monkeypatch.setattr(type(street.admin), "get", get)
    assert cli("risk", "events", "-o", tmp_path / "a.jsonl").code == 0
    assert waited == [risk_events.PATIENCE] * 2
    busy[:] = [True] * 100
    broken = cli("risk", "events", "-o", tmp_path / "b.jsonl")
    assert broken.code == 6
    assert not (tmp_path / "b.jsonl").exists()


def test_alerts_are_listed_and_can_be_tried(cli, street, stopped):
    tried = cli("risk", "alerts", "--test")
    assert tried.out.splitlines()[1].split()[1:4] == ["alert.test", "waiting", "0"]
    assert "next: strongroom risk alerts" in tried.err
    listed = cli("risk", "alerts")
    types = [line.split()[1] for line in listed.out.splitlines()[1:]]
    assert "alert.test" in types
    assert "risk.stopped" in types
    assert any(stopped in line for line in listed.out.splitlines())
    assert "docs/how-to/webhook.md" in listed.err
    assert {row["state"] for row in cli("risk", "alerts", "--json").json["alerts"]} == {"waiting"}


@pytest.mark.parametrize(
    ("word", "seconds"),
    [
        ("20m", NOW - 1200),
        ("2h", NOW - 7200),
        ("3d", NOW - 3 * 86_400),
        ("999999w", 0),
        ("2026-11-23", 1_795_392_000),
        ("2026-11-23T03:00:00Z", 1_795_402_800),
        ("2026-11-23T03:00:00+01:00", 1_795_399_200),
        ("1960-01-01", 0),
    ],
)
def test_times_that_are_over(word, seconds):
    assert read_past(word, now=NOW) == seconds


@pytest.mark.parametrize("word", ["", "h", "2x", "-2h", "now", "2026-13-01", "2h\n", "\u0665h", "9" * 40])
def test_what_is_no_time_is_refused(word):
    with pytest.raises(InputError):
        read_past(word, now=NOW)
