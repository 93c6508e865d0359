"""What is known of a device beside what it does, and what that leads to at a real office (protocol.md section 18)."""

import dataclasses
from types import SimpleNamespace
from typing import Any, cast

from protocol_client import Bench, run
from strongroom.attest.claims import Level
from strongroom.attest.verdict import Reaction, Refusal, Rejection
from strongroom.server.attested import Attested
from strongroom.server.watching import judging, noticing
from strongroom.server.weighing import AttestationRefusedError
from watched_offices import bent, watching
from watched_people import DAY, HOUR, asked, noticed, standing


def test_a_device_that_fails_its_attestation_twice_is_stopped_whatever_its_score() -> None:
    """R89: bad evidence is a stop factor of the device; its user is not stopped for one device."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        device = await bench.device("ada", "digits")
        found = []
        for _ in range(2):
            bench.clock.advance(HOUR)
            notice = await noticed(bench, device)
            error = AttestationRefusedError(Reaction.DENY, Rejection(Refusal.KEY, "another key"), "tpm", None)
            weighed = await judging.refused(bench.office, notice, error, judging.KEYS)
            assert weighed.decision is not None
            found.append((weighed.restricted, weighed.decision.score < 30_00))
        assert found == [(False, True), (True, True)]
        assert await asked(device) == "restricted"
        assert await standing(bench, "ada") == "active"

    run(story)


def test_tampering_beside_weak_evidence_is_a_stop_and_beside_none_a_question() -> None:
    """R89, R91: facts of the device count by what it can prove."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        for name, verdict, answer in (("ada", "unavailable", ""), ("eve", "basic", "stop")):
            device = await bench.device(name, "digits")
            notice = dataclasses.replace(
                await noticed(bench, device), verdict=verdict, said=noticing.Said(tamper=("hook",))
            )
            weighed = await judging.judged(bench.office, notice, judging.KEYS)
            assert weighed.restricted == bool(answer)
            assert weighed.step_up == ("" if answer else "authenticate")

    run(story)


def test_at_medium_rules_may_ask_for_fresh_attestation_instead() -> None:
    """R91: refused until the device attests; that clears the band, once for as long as the trust it brought lasts."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        device = await bench.device("ada", "digits")
        bench.clock.advance(HOUR)
        assert await asked(device, signals={"tamper": "hook"}) == "attestation-needed"
        bench.clock.advance(60)
        notice = dataclasses.replace(await noticed(bench, device), verdict="pass", judged=True)
        weighed = await judging.judged(bench.office, notice, judging.KEYS)
        weighed.check("digits")
        assert weighed.attested
        await judging.stepped_up(bench.office, notice)
        assert len(await bench.events("risk.stepped-up")) == 1
        bench.clock.advance(60)
        assert await asked(device) == "got"

    run(story, watch=watching(bent(('step_up = "authenticate"', 'step_up = "attest"'))))


def test_at_medium_a_device_has_a_quarter_of_its_rate() -> None:
    """R91: limited API: the office's own numbers, 120 renewals a minute, and 30 of them at medium."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        device = await bench.device("ada", "digits")
        lease = await device.leased()
        bench.clock.advance(HOUR)
        found = []
        for _ in range(40):
            answer = await device.try_renew(lease, signals={"tamper": "debugger"})
            found.append(answer.status_code)
        assert found == [200] * 30 + [429] * 10

    run(story)


def test_what_a_store_says_of_a_device_s_activity() -> None:
    """Play's recent device activity reaches the rule: hyperactive charges the key, below any band by itself."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        device = await bench.device("ada", "digits")
        for level, charged in (("LEVEL_3", set()), ("UNEVALUATED", set()), ("LEVEL_4", {"hyperactive"})):
            bench.clock.advance(DAY)
            notice = await noticed(bench, device)
            claims = SimpleNamespace(
                stand_in=False, level=Level.DEVICE, app_ids=("app",), signers=(), signals={"device_activity": level}
            )
            proven = cast(Attested, Attested(cast(Any, None), judged=(cast(Any, SimpleNamespace(claims=claims)),)))
            weighed = await judging.judged(bench.office, noticing.proven(notice, proven), judging.KEYS)
            assert weighed.decision is not None
            assert {one.rule for one in weighed.decision.points} == charged
            assert weighed.decision.band == "none"

    run(story)
