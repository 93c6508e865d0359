"""What the office tells the risk engine, and what it remembers of the answers (docs/spec/protocol.md section 18)."""

import dataclasses
import json

import pytest

from protocol_client import Bench, HandDevice, run
from strongroom.attest.verdict import Reaction, Refusal, Rejection
from strongroom.canonical import to_base64url
from strongroom.errors import Code, DeniedError, InputError
from strongroom.server import tokens
from strongroom.server.alerts.alert import Alert, new_alert
from strongroom.server.alerts.delivery import OVER
from strongroom.server.identify import Visit
from strongroom.server.ports import AuditEvent
from strongroom.server.watching import explaining, judging, noticing, restoring, snoozing
from strongroom.server.watching.noticing import Said, read_signals
from strongroom.server.weighing import AttestationRefusedError
from strongroom.wire import dpop
from watched_offices import bent, watching

DAY = 86_400


@pytest.mark.parametrize(
    ("signals", "said"),
    [
        ({}, Said()),
        ({"tamper": "root,debugger"}, Said(("debugger", "root"))),
        ({"tamper": "root,aliens"}, Said(("root",), ignored=("tamper",))),
        ({"tamper": 7}, Said(ignored=("tamper",))),
        ({"install": "A" * 22}, Said(install="A" * 22)),
        ({"install": "A" * 21}, Said(ignored=("install",))),
        ({"build": "shop 4.2"}, Said(build="shop 4.2")),
        ({"build": "x" * 65}, Said(ignored=("build",))),
        ({"build": "\u202e"}, Said(ignored=("build",))),
        ({"app_sig": "bad"}, Said(app_sig="bad")),
        ({"app_sig": "excellent"}, Said(ignored=("app_sig",))),
        ({"resumed": 1}, Said(resumed=True)),
        ({"resumed": "1"}, Said()),
        ({"keystore": "file", "runs": 3, "place": "container", "elsewhere": "x"}, Said()),
        ({"score": 0}, Said(ignored=("score",))),
    ],
)
def test_of_signals_only_known_words_count(signals, said) -> None:
    """A14: a device cannot say more than there are words for, and what it says wrong is noted."""
    assert read_signals(signals) == said


async def recorded(bench: Bench) -> list[dict]:
    async with bench.ledger.begin() as tx:
        return [json.loads(row.body) for _, row in await tx.risk_log(limit=100)]


async def types(bench: Bench) -> list[str]:
    return [one["event"]["type"] for one in await recorded(bench)]


def visit(bench: Bench) -> Visit:
    return Visit(bench.clock(), "ref_test", "POST", "https://rooms.test:8443/v1/x", "192.0.2.7")


async def admin(bench: Bench):
    async with bench.ledger.begin() as tx:
        return await tx.operator_by_token(tokens.hash_token(bench.admin_token))


def test_an_ordinary_life_is_told_in_order() -> None:
    async def story(bench: Bench) -> None:
        await bench.publish()
        device = await bench.device("ada", "digits")
        assert await types(bench) == ["login"]
        lease = await device.leased(signals={"install": "A" * 22})
        assert (await types(bench))[1:] == ["app_install", "session_start", "key_request", "model_download"]
        bench.clock.advance(600)
        await device.renew(lease)
        assert (await types(bench))[5:] == ["lease_renew"]  # the session goes on
        bench.clock.advance(3000)
        await device.renew(lease)
        assert (await types(bench))[6:] == ["session_start", "lease_renew"]
        first, *_, last = await recorded(bench)
        assert first["event"]["session_id"] is None
        assert last["event"]["app_install_id"] == "A" * 22
        assert last["event"]["device_id"] == to_base64url(bytes(32))
        assert last["event"]["entitled"] == 1
        assert last["decision"]["band"] == "none"
        assert last["decision"]["policy"] == bench.office.watch.rules.version

    run(story)


def test_another_install_on_the_same_key_is_told() -> None:
    """R88."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        device = await bench.device("ada", "digits")
        for install in ("A" * 22, "A" * 22, "B" * 22):
            await device.release(signals={"install": install})
        assert (await types(bench)).count("app_install") == 2

    run(story)


def test_what_is_refused_counts_and_what_is_replayed_does_not() -> None:
    """R86: who tries names that are not theirs is seen; a challenge used twice says nothing about anybody."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        await bench.publish("faces", "1.0")
        device = await bench.device("ada", "digits")
        request, _ = await device.release_request()
        assert (await device.try_release(request)).status_code == 200
        before = len(await types(bench))
        assert (await device.try_release(request)).status_code == 403
        assert len(await types(bench)) == before
        refused, _ = await device.release_request("faces")
        assert (await device.try_release(refused)).status_code == 404
        *_, last = await recorded(bench)
        assert (last["event"]["type"], last["event"]["model"]) == ("key_request", "faces")

    run(story)


def test_a_row_that_somebody_altered_in_the_database_says_nothing_and_stops_nothing() -> None:
    async def story(bench: Bench) -> None:
        await bench.publish()
        device = await bench.device("ada", "digits")
        await device.release()
        events = bench.ledger.tables.watch.risk_events
        events[-1] = dataclasses.replace(events[-1], body="{not json")
        await device.release()
        assert (await types_from(bench, 4)) == ["session_start", "key_request", "model_download"]

    run(story)


async def types_from(bench: Bench, start: int) -> list[str]:
    async with bench.ledger.begin() as tx:
        rows = await tx.risk_log(after=start)
    return [json.loads(row.body)["event"]["type"] for _, row in rows]


def test_events_that_are_too_old_are_dropped() -> None:
    async def story(bench: Bench) -> None:
        await bench.publish()
        device = await bench.device("ada", "digits")
        await device.release()
        bench.clock.advance(31 * DAY - 1)
        device.token, _ = bench.office.tokens.device_token(
            device.id, _jkt(device), now=bench.clock(), seconds=600, random=bench.office.random
        )
        await device.release()
        kept = await recorded(bench)
        assert {one["event"]["ts"] for one in kept} == {bench.clock()}

    run(story)


def test_alerts_that_are_over_are_dropped_and_what_waits_is_not() -> None:
    """With the events, after thirty days; one that nobody could be told of yet is as old as it likes."""

    async def story(bench: Bench) -> None:
        device = await bench.device("ada")
        names, made = ("sent", "given up", "waits"), bench.clock()
        rows = {one: new_alert(bench.office, Alert.DECOY_HIT, made, about=(one,)) for one in names}
        async with bench.ledger.begin() as tx:
            for row in rows.values():
                await tx.add_alert(row)
            await tx.note_alert(rows["sent"].id, attempts=1, due=OVER, sent=made)
            await tx.note_alert(rows["given up"].id, attempts=9, due=OVER, given_up=made + DAY)

        async def left() -> set[str]:
            async with bench.ledger.begin() as tx:
                there = {row.id for row in await tx.alerts()}
            return {name for name, row in rows.items() if row.id in there}

        ends = ((30 * DAY, set(names)), (60, {"given up", "waits"}), (DAY, {"waits"}), (100 * DAY, {"waits"}))
        for seconds, kept in ends:
            bench.clock.advance(seconds)
            device.token, _ = bench.office.tokens.device_token(
                device.id, _jkt(device), now=bench.clock(), seconds=600, random=bench.office.random
            )
            assert (await device.try_release()).status_code == 404  # judged all the same
            assert await left() == kept

    run(story)


def _jkt(device: HandDevice) -> str:
    return dpop.jkt(device.key.public)


def test_a_class_of_users_is_named_by_user_or_account() -> None:
    """Fleets and staff have allowances of their own; whom the file names need not say so itself."""
    rules = bent(("[allow.user]", '[classes]\nstaff = ["ada"]\n\n[allow.user]'))

    async def story(bench: Bench) -> None:
        await bench.publish()
        device, other = await bench.device("ada", "digits"), await bench.device("bob", "digits")
        await device.release()
        await other.release()
        classes = {(one["event"]["user_id"], one["event"]["user_class"]) for one in await recorded(bench)}
        assert sorted(word for _, word in classes) == ["staff", "user"]

    run(story, watch=watching(rules))


def test_a_failed_sign_in_of_a_known_user_is_told_once_in_a_while() -> None:
    async def story(bench: Bench) -> None:
        token = await bench.customer("ada")
        device = HandDevice(bench, token)
        for _ in range(3):
            answer = await device.send("/v1/devices", b"{}", scheme="Bearer", token=token, url="https://x.test/")
            assert answer.status_code == 401
        answer = await device.send(
            "/v1/devices", b"{}", scheme="Bearer", token=token[:-2] + "AA", url="https://x.test/"
        )
        assert answer.status_code == 401
        assert await types(bench) == ["login_fail"]

    run(story)


def test_explaining_adds_up_and_goes_back_in_time() -> None:
    """R93: the points add up to the score; `at` says what was decided then."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        device = await bench.device("ada", "digits")
        refused, _ = await device.release_request(signals={"tamper": "debugger"})
        assert (await device.try_release(refused)).json()["code"] == "step-up"
        desk, seen = await admin(bench), visit(bench)
        by = {name: await explaining.explain(bench.office, desk, name, seen) for name in (device.id, "ada")}
        now = by[device.id]
        assert now.decision["band"] == "medium"
        points = [rule["points"] for rule in now.decision["rules"]]
        assert sum(points) == now.decision["score"] == 35
        assert "hook, debugger or emulator" in now.text
        assert by["ada"].decision["band"] == "none"  # the device is charged, and not its user
        bench.clock.advance(600)
        then = await explaining.explain(bench.office, desk, device.id, visit(bench), at=seen.now)
        assert then.decision["band"] == "medium"
        assert (await explaining.explain(bench.office, desk, device.id, seen, at=seen.now - 1)).decision == {}
        (one,) = await explaining.standing(bench.office, desk, seen)
        assert (one.kind, one.label, one.band, one.state) == ("key", device.id, "medium", "active")
        with pytest.raises(DeniedError):
            await explaining.explain(bench.office, desk, "nobody", seen)

    run(story)


def test_a_snooze_silences_one_rule_for_one_device_until_its_end() -> None:
    async def story(bench: Bench) -> None:
        await bench.publish()
        device = await bench.device("ada", "digits")
        desk, seen = await admin(bench), visit(bench)
        until = bench.clock() + DAY
        row = await snoozing.snooze(bench.office, desk, "tamper", f"device:{device.id}", until, "our debugger", seen)
        await device.release(signals={"tamper": "debugger"})
        for wrong in (("tampr", f"device:{device.id}", until), ("tamper", "user:ada", seen.now)):
            with pytest.raises(InputError):
                await snoozing.snooze(bench.office, desk, *wrong, "why", seen)
        await snoozing.unsnooze(bench.office, desk, row.id, seen)
        assert await snoozing.snoozes(bench.office, desk, seen) == []
        bench.clock.advance(4 * 3600)
        refused, _ = await device.release_request(signals={"tamper": "debugger"})
        assert (await device.try_release(refused)).json()["code"] == "step-up"

    run(story)


def test_a_snooze_of_the_file_may_name_the_user_as_people_do() -> None:
    rules = bent(
        (
            "[rules.tamper]",
            '[[snooze]]\nrule = "honey"\nentity = "user:ada"\nuntil = 2100-01-01\nby = "me"\nwhy = "x"\n[rules.tamper]',
        ),
    )

    async def story(bench: Bench) -> None:
        device = await bench.device("ada")
        async with bench.ledger.begin() as tx:
            row = await tx.device(device.id)
        weighed = await judging.trapped(bench.office, row, None, "", visit(bench), honey=True)
        assert weighed.decision.band == "none"

    run(story, watch=watching(rules))


def test_only_some_roles_forgive() -> None:
    async def story(bench: Bench) -> None:
        device = await bench.device("ada")
        seen = visit(bench)
        for role, may in (("auditor", False), ("publisher", False), ("security", True), ("operator", True)):
            token = await bench.operator(f"a-{role}", role)
            async with bench.ledger.begin() as tx:
                desk = await tx.operator_by_token(tokens.hash_token(token))
            work = restoring.restore(bench.office, desk, "device", device.id, "because", seen)
            if may:
                assert (await work).state == "active"
            else:
                with pytest.raises(DeniedError) as refused:
                    await work
                assert refused.value.code == Code.FORBIDDEN

    run(story)


def test_nobody_unknown_is_judged() -> None:
    async def story(bench: Bench) -> None:
        weighed = await judging.trapped(bench.office, None, None, "dcy", visit(bench))
        assert (weighed.decision, weighed.restricted) == (None, False)
        assert await recorded(bench) == []

    run(story)


def test_what_an_audit_row_of_a_stop_says() -> None:
    """R93: reference, score, rules, policy version: enough to ask `risk explain`."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        device = await bench.device("ada", "digits")
        await device.release()
        refused, _ = await device.release_request(signals={"app_sig": "bad"})
        answer = await device.try_release(refused)
        assert (answer.status_code, answer.json()["code"]) == (403, "restricted")
        (row,) = await bench.events("device.stopped")
        assert isinstance(row, AuditEvent)
        detail = row.detail
        assert detail["reference"] == answer.json()["instance"]
        assert (detail["band"], detail["rules"]) == ("stop", "signature")
        assert detail["policy_version"] == bench.office.watch.rules.version
        (refusal,) = await bench.events("release.refused")
        assert refusal.detail["code"] == "restricted"
        # without its proof of being stopped by the engine, nothing but renewals and receipts is open to it
        challenge = await device.send("/v1/challenges", b'{"model":"digits","purpose":"release"}')
        assert (challenge.status_code, challenge.json()["code"]) == (403, "restricted")
        renew = await device.send("/v1/challenges", b'{"model":"digits","purpose":"renew"}')
        assert renew.status_code == 200

    run(story)


def test_the_verdict_of_evidence_that_nobody_can_judge_is_no_verdict_on_the_device() -> None:
    """R89: cannot attest is never a stop."""
    notice = noticing.Notice(None, None, None, None, None, Visit(1, "r", "POST", "u"))
    for code, verdict in (
        (Refusal.UNAVAILABLE, "unavailable"),
        (Refusal.MALFORMED, "unavailable"),
        (Refusal.KEY, "fail"),
    ):
        error = AttestationRefusedError(Reaction.DENY, Rejection(code, "x"), "tpm", None)
        assert noticing.unproven(notice, error).verdict == verdict
    mild = AttestationRefusedError(Reaction.STEP_UP, Rejection(Refusal.PCR, "x"), "tpm", None)
    assert noticing.unproven(notice, mild).verdict == "unavailable"
    app = AttestationRefusedError(Reaction.DENY, Rejection(Refusal.APP, "x"), "play", None)
    assert noticing.unproven(notice, app).said.app_sig == "bad"
