"""The admin API about risks and alerts: who is watched, why, letting in again, silencing, appeals, and who may."""

import json
from typing import Any

import pytest

from protocol_client import JSON, Bench, HandDevice, problem, run
from strongroom.canonical import to_base64url
from strongroom.risk.defaults import default_rules
from strongroom.risk.events import read_event
from strongroom.risk.replay import Replay
from strongroom.server.alerts.alert import Alert, new_alert
from strongroom.server.http import admin_risk_shapes as shapes
from strongroom.server.identify import Visit
from strongroom.server.watch_ports import AppealRow, RiskEventRow
from strongroom.server.watching import judging

READERS = ("admin", "operator", "auditor", "security")
WATCHERS = ("admin", "operator", "security")
ROLES = (*READERS, "publisher")


async def ask(bench: Bench, method: str, path: str, value: Any = None, token: str | None = None) -> Any:
    response = await bench.ask(method, path, value, token)
    assert response.status_code in {200, 201}, response.text
    return response.json()


async def trapped(bench: Bench, devices: int = 1) -> Any:
    """A device of ada's that holds digits touches a decoy, and is stopped; returns its row."""
    await bench.publish()
    token = await bench.customer("ada", "digits")
    for _ in range(devices):
        device = HandDevice(bench, token)
        await device.enrol()
        await device.release()
    bench.clock.advance(60)
    row = bench.ledger.tables.devices[0]
    visit = Visit(bench.clock(), "ref_1", "GET", "https://rooms.test:8443/v0/keys")
    assert (await judging.trapped(bench.office, row, None, "dcy_1", visit)).restricted
    row = bench.ledger.tables.devices[0]
    assert row.state == "stopped"
    return row


def test_standing_says_who_why_and_what_is_still_held() -> None:
    async def story(bench: Bench) -> None:
        device = await trapped(bench)
        found = await ask(bench, "GET", "/v1/risk/standing")
        shapes.STANDING.check(found, "answer")
        (row,) = [one for one in found["standing"] if one["kind"] == "key"]
        assert (row["label"], row["band"], row["state"], row["moved"]) == (device.id, "stop", "stopped", bench.clock())
        assert (row["holds"], row["pending"]) == (1, 1)
        assert "decoy" in row["why"]
        (user,) = [one for one in found["standing"] if one["kind"] == "user"]
        assert (user["label"], user["holds"], user["pending"]) == ("ada", 1, 1)
        assert found["rules"]["policy"] == default_rules().version
        bench.clock.advance(366 * 86_400)  # the lease is over, and the order too
        (row,) = [
            one for one in (await ask(bench, "GET", "/v1/risk/standing?least=stop"))["standing"] if one["kind"] == "key"
        ]
        assert (row["holds"], row["pending"]) == (0, 0)

    run(story)


def test_a_stopped_users_other_devices_count_too() -> None:
    """They hold models and were never stopped themselves: nobody must be forgotten."""

    async def story(bench: Bench) -> None:
        first = await trapped(bench, devices=3)
        rows = (await ask(bench, "GET", "/v1/risk/standing?least=high"))["standing"]
        told = {one["kind"]: (one["label"], one["holds"]) for one in rows}
        assert told == {"user": ("ada", 3), "key": (first.id, 1)}

    run(story)


def test_an_explanation_adds_up_and_names_its_rules() -> None:
    async def story(bench: Bench) -> None:
        device = await trapped(bench)
        for name in (device.id, to_base64url(device.thumbprint), "ada"):
            found = await ask(bench, "GET", f"/v1/risk/explain/{name}")
            shapes.EXPLANATION.check(found, "answer")
            assert found["user"]["name"] == "ada"
        now = await ask(bench, "GET", f"/v1/risk/explain/{device.id}")
        decision = now["decision"]
        assert decision["band"] == "stop"
        assert sum(float(one["points"]) for one in decision["rules"]) == float(decision["score"])
        assert decision["policy"] == default_rules().version
        assert now["events"][0]["event"]["type"] == "honeypot"
        before = await ask(bench, "GET", f"/v1/risk/explain/{device.id}?at={bench.clock() - 30}")
        assert before["decision"]["band"] == "none"
        assert all(one["at"] <= bench.clock() - 30 for one in before["events"])

    run(story)


def test_a_reference_leads_to_what_was_decided_then() -> None:
    """The reference of the request that was judged, as alerts name it; so does an event's identifier."""

    async def story(bench: Bench) -> None:
        device = await trapped(bench)
        bench.clock.advance(86_400)
        told = (await ask(bench, "GET", "/v1/alerts"))["alerts"]
        (reference,) = {one["data"]["reference"] for one in told if one["type"] == "risk.stopped"}
        found = await ask(bench, "GET", f"/v1/risk/explain/{reference}")
        told = found["device"]["id"], found["at"], found["decision"]["band"], found["events"][0]["event"]["type"]
        assert told == (device.id, bench.clock() - 86_400, "stop", "honeypot")
        first = (await ask(bench, "GET", "/v1/risk/explain/ada"))["events"][-1]
        then = await ask(bench, "GET", f"/v1/risk/explain/{first['id']}")
        assert (then["user"]["name"], then["decision"]["band"]) == ("ada", "none")
        assert (await bench.ask("GET", "/v1/risk/explain/ref_nobody")).status_code == 404

    run(story)


def test_restoring_lets_in_and_withdraws_what_nobody_fetched() -> None:
    async def story(bench: Bench) -> None:
        device = await trapped(bench)
        asked = {"kind": "device", "name": device.id, "why": "our own pen test"}
        done = await ask(bench, "POST", "/v1/risk/restore", asked, await bench.operator("sam", "security"))
        shapes.RESTORED.check(done, "answer")
        assert (done["id"], done["state"], len(done["withdrawn"])) == (device.id, "active", 1)
        assert bench.ledger.tables.devices[0].state == "active"
        (kept,) = await bench.events("risk.restored")
        assert (kept.subject, kept.detail["why"]) == (device.id, "our own pen test")
        explained = await ask(bench, "GET", f"/v1/risk/explain/{device.id}")
        decision, user = explained["decision"], explained["user"]
        assert (decision["key_band"], decision["user_band"], user["state"]) == ("none", "stop", "stopped")
        await ask(bench, "POST", "/v1/risk/restore", {"kind": "user", "name": "ada", "why": "the same"})
        explained = await ask(bench, "GET", f"/v1/risk/explain/{device.id}")
        assert (explained["decision"]["band"], explained["user"]["state"]) == ("none", "active")

    run(story)


def test_a_snooze_has_an_end_a_reason_and_a_way_back() -> None:
    async def story(bench: Bench) -> None:
        await bench.device("ada", "digits")
        rule, until = default_rules().rules[0].id, bench.clock() + 86_400
        asked = {"rule": rule, "entity": "user:ada", "until": until, "why": "ticket 411"}
        made = await ask(bench, "POST", "/v1/risk/snoozes", asked)
        shapes.SNOOZE.check(made, "answer")
        listed = (await ask(bench, "GET", "/v1/risk/snoozes"))["snoozes"]
        assert [one["id"] for one in listed] == [made["id"]]
        assert (await ask(bench, "GET", "/v1/risk/explain/ada"))["snoozes"] == listed
        ended = await ask(bench, "POST", f"/v1/risk/snoozes/{made['id']}/end")
        assert ended["ended"] == bench.clock()
        assert (await ask(bench, "GET", "/v1/risk/snoozes"))["snoozes"] == []
        assert len((await ask(bench, "GET", "/v1/risk/snoozes?every=1"))["snoozes"]) == 1
        for change in ({"rule": "no_such"}, {"until": bench.clock()}, {"why": " "}, {"entity": "user:nobody"}):
            response = await bench.ask("POST", "/v1/risk/snoozes", asked | change)
            assert response.status_code in {400, 404}, change

    run(story)


def test_an_appeal_is_read_and_decided_once() -> None:
    async def story(bench: Bench) -> None:
        device = await trapped(bench)
        row = AppealRow("apl_" + "A" * 22, device.id, device.user, "ref_1", "it was our scanner", bench.clock())
        async with bench.office.ledger.begin() as tx:
            await tx.add_appeal(row)
        found = await ask(bench, "GET", "/v1/risk/appeals")
        shapes.APPEALS.check(found, "answer")
        assert [one["text"] for one in found["appeals"]] == ["it was our scanner"]
        done = await ask(bench, "POST", f"/v1/risk/appeals/{row.id}", {"restored": True, "why": "it was"})
        shapes.APPEAL.check(done, "answer")
        assert done["outcome"] == "restored"
        assert bench.ledger.tables.devices[0].state == "active"
        assert (await ask(bench, "GET", "/v1/risk/appeals"))["appeals"] == []
        assert len((await ask(bench, "GET", "/v1/risk/appeals?every=1"))["appeals"]) == 1
        again = await bench.ask("POST", f"/v1/risk/appeals/{row.id}", {"restored": False, "why": "no"})
        assert problem(again)["code"] == "conflict"

    run(story)


def test_events_come_in_pages_and_can_be_judged_again() -> None:
    """What is exported is what `risk replay` reads: the same band comes out of every event."""

    async def story(bench: Bench) -> None:
        await trapped(bench)
        recorded = len((await ask(bench, "GET", "/v1/risk/events"))["events"])
        first = (await ask(bench, "GET", "/v1/risk/events"))["events"][0]
        body = json.dumps({"decision": first["decision"], "event": first["event"]})
        async with bench.office.ledger.begin() as tx:
            for number in range(150):
                await tx.add_risk_event(RiskEventRow(f"rev_more_{number}", bench.clock(), "", "", 0, body))
        page = await ask(bench, "GET", "/v1/risk/events")
        shapes.EVENTS.check(page, "answer")
        rest = await ask(bench, "GET", f"/v1/risk/events?after={page['next']}")
        assert (len(page["events"]), len(rest["events"])) == (100, recorded + 50)
        assert "next" not in rest
        numbers = [one["number"] for one in page["events"] + rest["events"]]
        assert numbers == sorted(set(numbers))
        mine = page["events"][:recorded]
        for one in mine:
            read_event(one["event"])
        lines = [json.dumps(one["event"]).encode() for one in mine]
        assert [decision.band for _, decision in Replay(default_rules()).results(lines)] == [
            one["band"] for one in mine
        ]

    run(story)


def test_alerts_are_listed_with_what_became_of_them() -> None:
    async def story(bench: Bench) -> None:
        now = bench.clock()
        states = {"waiting": {}, "delivered": {"sent": now}, "logged": {"sent": now}, "given up": {"given_up": now}}
        async with bench.office.ledger.begin() as tx:
            for word, ends in states.items():
                row = new_alert(bench.office, Alert.DECOY_HIT, now, about=(word,), device=word)
                await tx.add_alert(row)
                await tx.note_alert(row.id, attempts=0 if word == "logged" else 3, due=now + 9, **ends)
        found = await ask(bench, "GET", "/v1/alerts")
        shapes.ALERTS.check(found, "answer")
        told = {one["data"]["device"]: one for one in found["alerts"]}
        assert {word: one["state"] for word, one in told.items()} == {word: word for word in states}
        assert (told["waiting"]["next_attempt"], told["given up"]["ended"]) == (now + 9, now)

    run(story)


def test_a_test_alert_is_spooled_and_written_down() -> None:
    async def story(bench: Bench) -> None:
        for _ in range(2):  # each is one of its own
            made = await ask(bench, "POST", "/v1/alerts/test")
            shapes.ALERT.check(made, "answer")
        assert (made["type"], made["state"], made["data"]) == ("alert.test", "waiting", {"operator": "admin"})
        async with bench.office.ledger.begin() as tx:
            assert len(await tx.due_alerts(now=bench.clock())) == 2
        assert len(await bench.events("alert.tested")) == 2

    run(story)


LOOKING = [
    "/v1/risk/standing",
    "/v1/risk/explain/ada",
    "/v1/risk/events",
    "/v1/risk/snoozes",
    "/v1/risk/appeals",
    "/v1/alerts",
]
CHANGING = {
    "/v1/risk/restore": {"kind": "user", "name": "ada", "why": "x"},
    "/v1/risk/snoozes": {"rule": "places", "entity": "user:ada", "until": 2**40, "why": "x"},
    "/v1/risk/snoozes/snz_A/end": {},
    "/v1/risk/appeals/apl_A": {"restored": True, "why": "x"},
    "/v1/alerts/test": {},
}


@pytest.mark.parametrize("role", ROLES)
def test_who_may_look_and_who_may_change(role: str) -> None:
    """R13: readers look; keepers and security change; a publisher does neither, and each refusal is written down."""

    async def story(bench: Bench) -> None:
        await bench.device("ada", "digits")
        token = await bench.operator("sam", role)
        for path in LOOKING:
            response = await bench.ask("GET", path, None, token)
            assert (response.status_code == 200) == (role in READERS), path
            assert role in READERS or problem(response)["code"] == "forbidden"
        for path, body in CHANGING.items():
            response = await bench.ask("POST", path, body, token)
            assert (response.status_code != 403) == (role in WATCHERS), path
        expected = 0 if role in WATCHERS else len(CHANGING) + (0 if role in READERS else len(LOOKING))
        assert len(await bench.events("operator.refused")) == expected

    run(story)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/risk/standing?least=none",
        "/v1/risk/standing?least=" + "9" * 500,
        "/v1/risk/explain/ada?at=-1",
        "/v1/risk/explain/ada?at=1e9",
        "/v1/risk/explain/ada?at=" + "9" * 16,
        "/v1/risk/events?after=x",
        "/v1/risk/events?after=\u0665",
        "/v1/risk/snoozes?every=yes",
    ],
)
def test_odd_queries_are_refused(path: str) -> None:
    """E17: a 400 that names the parameter."""

    async def story(bench: Bench) -> None:
        await bench.device("ada", "digits")
        response = await bench.ask("GET", path)
        assert response.status_code == 400
        assert problem(response)["where"] in {"least", "at", "after", "every"}

    run(story)


@pytest.mark.parametrize(
    "name", ["nobody", "dev_" + "A" * 22, "%00", "..%2f..", "A" * 43, "'%20OR%201=1--", "%F0%9F%92%A9"]
)
def test_names_that_are_nobodys_are_not_found(name: str) -> None:
    """E17: never a 500, whatever stands in the path."""

    async def story(bench: Bench) -> None:
        for path in (f"/v1/risk/explain/{name}",):
            response = await bench.ask("GET", path)
            assert response.status_code == 404, response.text
        for path in (f"/v1/risk/snoozes/{name}/end", f"/v1/risk/appeals/{name}"):
            response = await bench.ask("POST", path, {"restored": True, "why": "x"})
            assert response.status_code in {404, 405}, response.text

    run(story)


@pytest.mark.parametrize(
    "body", [b"[]", b"{}", b'{"restored":1,"why":"x"}', b'{"restored":true,"why":""}', b"x" * 5000]
)
def test_a_decision_that_is_none_is_refused(body: bytes) -> None:
    """E14, E16: before anything is looked up."""

    async def story(bench: Bench) -> None:
        headers = JSON | {"Authorization": f"Bearer {bench.admin_token}"}
        response = await bench.desk.post("/v1/risk/appeals/apl_A", content=body, headers=headers)
        assert response.status_code in {400, 413}

    run(story)
