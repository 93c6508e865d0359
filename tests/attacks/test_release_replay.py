"""B01, B21, B24: the same request again, an answer that got lost, a key used twice."""

import asyncio
from pathlib import Path

import pytest

from protocol_client import Bench, problem, run
from strongroom.server.counters.memory import MemoryCounters
from strongroom.server.ledger import upgrade
from strongroom.server.ledger.engine import sqlite_url
from strongroom.server.ledger.sql import SqlLedger
from strongroom.wire import hpke


def sqlite(folder: Path) -> SqlLedger:
    """A real database."""
    url = sqlite_url(folder / "strongroom.db")
    upgrade(url)
    return SqlLedger.open(url)


@pytest.mark.parametrize("where", ["memory", "sqlite"])
def test_fifty_copies_of_one_request_have_one_winner(where: str, tmp_path: Path) -> None:
    """B01: a whole valid request, 50 times at once; one release, 49 refusals, all of them audited.

    Each copy has a proof of possession of its own, as an attacker on the device could make it.
    """

    async def story(bench: Bench) -> None:
        await bench.publish()
        device = await bench.device("ada", "digits")
        request, _ = await device.release_request()
        answers = await asyncio.gather(*(device.try_release(request) for _ in range(50)))
        assert sorted(answer.status_code for answer in answers) == [200] + [403] * 49
        assert {problem(one)["code"] for one in answers if one.status_code == 403} == {"challenge"}
        assert len(await bench.events("release.granted")) == 1
        assert len(await bench.events("release.refused")) == 49

    run(story, ledger=sqlite(tmp_path) if where == "sqlite" else None)


def test_the_very_same_bytes_again() -> None:
    """B01: replayed with its headers, the proof of possession is refused before anything is used up."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        device = await bench.device("ada", "digits")
        first = await device.try_release()
        again = await bench.devices.post("/v1/releases", content=first.request.content, headers=first.request.headers)
        assert (first.status_code, again.status_code, problem(again)["code"]) == (200, 401, "proof")
        assert len(await bench.events("release.granted")) == 1

    run(story)


def test_the_very_same_bytes_after_a_restart() -> None:
    """N keeps a request until the server starts anew and has forgotten its proof: it is older than the process."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        device = await bench.device("ada", "digits")
        first = await device.try_release()
        bench.clock.advance(5)
        object.__setattr__(bench.office, "counters", MemoryCounters(started=bench.clock()))
        again = await bench.devices.post("/v1/releases", content=first.request.content, headers=first.request.headers)
        assert (first.status_code, again.status_code, problem(again)["code"]) == (200, 401, "proof")
        assert (await device.try_release()).status_code == 200

    run(story)


def test_refused_proofs_are_in_the_audit_log_and_fill_no_disk() -> None:
    """The refusal of a replay has a row that names the device; a thousand of them have one a minute."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        ada, eve = await bench.device("ada", "digits"), await bench.device("eve", "digits")
        for device in (ada, eve):
            first = (await device.try_release()).request
            for _ in range(10):
                answer = await bench.devices.post("/v1/releases", content=first.content, headers=first.headers)
                assert (answer.status_code, problem(answer)["code"]) == (401, "proof")
        rows = await bench.events("caller.refused")
        assert [(row.actor, row.detail["code"]) for row in rows] == [(ada.id, "proof"), (eve.id, "proof")]
        body = b'{"model":"digits","purpose":"release"}'
        stolen = await eve.send("/v1/challenges", body, token=ada.token)
        assert (stolen.status_code, problem(stolen)["code"]) == (401, "token")
        *_, row = await bench.events("caller.refused")
        assert (row.actor, row.detail["reference"]) == (ada.id, problem(stolen)["instance"])

    run(story)


def test_a_challenge_is_gone_whatever_came_of_it() -> None:
    """B08: used up before evidence is looked at, also when the request is refused later."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        device = await bench.device("ada", "digits")
        challenge = await device.challenge()
        refused = await device.try_release(version="9.9", challenge=challenge)
        assert problem(refused)["code"] == "not-found"
        again = await device.try_release(challenge=challenge)
        assert (again.status_code, problem(again)["code"]) == (403, "challenge")

    run(story)


@pytest.mark.parametrize(("seconds", "status"), [(59, 200), (60, 403), (61, 403)])
def test_a_challenge_lives_a_minute(seconds: int, status: int) -> None:
    """B08: 61 seconds old."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        device = await bench.device("ada", "digits")
        request, _ = await device.release_request()
        bench.clock.advance(seconds)
        assert (await device.try_release(request)).status_code == status

    run(story)


def test_a_challenge_is_for_one_device_purpose_and_model() -> None:
    """B01: another's, another purpose's, another model's."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        await bench.publish(model="letters")
        ada, eve = await bench.device("ada", "digits", "letters"), await bench.device("eve", "digits")
        for challenge in (
            await eve.challenge(),
            await ada.challenge("urls", None),
            await ada.challenge("release", "letters"),
        ):
            response = await ada.try_release(challenge=challenge)
            assert (response.status_code, problem(response)["code"]) == (403, "challenge")

    run(story)


def test_an_ephemeral_key_is_served_once() -> None:
    """B24, R37: the same public key in a second, otherwise fresh request; also for another device."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        ada, eve = await bench.device("ada", "digits"), await bench.device("eve", "digits")
        ephemeral = hpke.EphemeralKey.generate()
        assert (await ada.try_release(ephemeral=ephemeral)).status_code == 200
        for device in (ada, eve):
            response = await device.try_release(ephemeral=ephemeral)
            assert (response.status_code, problem(response)["code"]) == (403, "key-reused")
        assert len(await bench.events("release.granted")) == 1

    run(story)


def test_a_lost_answer_locks_nothing() -> None:
    """B21: the device asks again with a new challenge; two releases are on record."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        device = await bench.device("ada", "digits")
        await device.try_release()
        _, (key,) = await device.release()
        assert key.reveal()
        assert len(await bench.events("release.granted")) == 2

    run(story)
