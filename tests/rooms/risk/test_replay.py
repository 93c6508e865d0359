"""A recording judged again: a line for a line, the same bytes every time, bad input counted and set aside."""

import json

from rooms.risk.people import crowded
from strongroom.risk.defaults import default_rules
from strongroom.risk.replay import Replay, replay


def recording(count=1500, seed=5):
    return [json.dumps(event.to_value()).encode() for event in crowded(seed, count)]


def test_the_same_recording_gives_the_same_bytes():
    lines = recording()
    assert list(replay(lines, default_rules())) == list(replay(lines, default_rules()))


def test_a_line_for_a_line_in_order_and_points_add_up():
    lines = recording()
    found = [json.loads(line) for line in replay(lines, default_rules())]
    assert [one["event_id"] for one in found] == [json.loads(line)["event_id"] for line in lines]
    for one in found:
        assert sum(round(points * 100) for points in one["rules"].values()) == round(one["score"] * 100)
        assert one["band"] in ("none", "medium", "high", "stop")
    assert {one["band"] for one in found} >= {"none", "medium", "high"}


def test_lines_and_full_decisions_agree():
    lines = recording()
    short = [json.loads(line) for line in Replay(default_rules()).lines(lines)]
    for told, (event, decision) in zip(short, Replay(default_rules()).results(lines), strict=True):
        assert event is not None
        assert (told["event_id"], told["band"]) == (decision.event_id, decision.band)
        assert round(told["score"] * 100) == decision.score
        assert told["stop"] == sorted({s.word for s in decision.stops if s.action == "stop"}, key=told["stop"].index)
        assert told.get("set_aside", "") == decision.set_aside


def test_bad_lines_are_counted_and_change_nothing():
    """Bad input of the issue: malformed, late, duplicated and future events never move a score."""
    lines = recording()
    first, last = json.loads(lines[0]), json.loads(lines[-1])
    big = json.dumps(last | {"event_id": "big", "more": "x" * 70_000}).encode()
    bad = [
        (b"", None), (b"{", "malformed"), (b'{"event_id":"x"}', "malformed"), (b"[]", "malformed"),
        (b"\xff\xfe", "malformed"), (b'{"a":' * 5000, "malformed"), (big, "malformed"),
        (lines[700], "duplicate"),
        (json.dumps(first | {"event_id": "late"}).encode(), "late"),
        (json.dumps(last | {"event_id": "future", "ts": last["ts"] + 10**7}).encode(), "future"),
    ]  # fmt: skip
    plain = Replay(default_rules())
    clean = list(plain.lines(lines))
    mixed = [*lines[:800], *(line for line, _ in bad), *lines[800:]]
    run = Replay(default_rules())
    out = list(run.lines(mixed))
    told = [json.loads(line).get("set_aside") for line in out]
    assert [word for word in told if word] == [word for _, word in bad if word]
    judged = [line for line in out if "set_aside" not in json.loads(line)]
    assert judged == [line for line in clean if "set_aside" not in json.loads(line)]
    assert {entity: state.pack() for entity, state in run.states.items()} == {
        entity: state.pack() for entity, state in plain.states.items()
    }
    assert run.summary()["set_aside"]["malformed"] == 6
    assert run.summary()["set_aside"]["future"] == 1
    other = Replay(default_rules())
    list(other.results(mixed))
    assert other.summary() == run.summary(), "whichever way the answers are told"
    assert sum(run.summary()["events"].values()) > 1000


def test_an_event_set_aside_is_answered_with_the_band_in_force():
    def line(number, **more):
        told = {"event_id": f"e{number}", "ts": 1000 + number, "type": "attest", "user_id": "ann", "device_key": "k"}
        return json.dumps(told | more).encode()

    out = [json.loads(one) for one in replay([line(0), line(1, app_sig="bad"), line(1)], default_rules())]
    assert [(one["band"], one.get("set_aside")) for one in out] == [
        ("none", None),
        ("stop", None),
        ("stop", "duplicate"),
    ]


def test_text_lines_and_names_that_need_escapes():
    told = {"event_id": 'a"\\\u2028é', "ts": 5, "type": "login", "user_id": "\ud800"}
    (out,) = replay([json.dumps(told)], default_rules())
    assert json.loads(out)["event_id"] == told["event_id"]
