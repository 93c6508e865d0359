"""Attacks on the watch itself: ways to go on collecting models while it looks."""

import asyncio
from typing import Any, cast

from protocol_client import Bench, HandDevice, run
from strongroom.canonical import encode
from strongroom.server.watch import Watch
from strongroom.wire.messages import EnrolAnswer
from touching_decoys import route_of, touch
from watched_offices import bent, watching

MANY = 40  # models that the thief is entitled to, far more than people start with in a day


async def _signed_in(device: HandDevice, name: str) -> str:
    """Sign in again with the user's own password, as a thief's script does; "" or the code of the refusal."""
    device.bench.clock.advance(2)
    device.user_token = str((await device.bench.ask("POST", "/v1/tokens", {"user": name})).json()["token"])
    known, device.id = device.id, None
    try:
        answer = await device.try_enrol()
    except AssertionError:  # not even a challenge is given to who is stopped
        return "restricted"
    finally:
        device.id = known
    if answer.status_code == 201:
        device.token = EnrolAnswer.from_bytes(answer.content).token
        return ""
    return str(answer.json()["code"])


def test_signing_in_again_and_again_does_not_clear_who_collects_models() -> None:
    """R97: a thief who knows the password answers each step-up at once; the first one counts, and no other."""

    async def story(bench: Bench) -> None:
        for number in range(MANY):
            await bench.publish(f"m{number}")
        device = await bench.device("mal", *(f"m{number}" for number in range(MANY)))
        got, signed_in, ended = 0, 0, ""
        for number in range(MANY):
            bench.clock.advance(5)
            answer = await device.try_release(model=f"m{number}")
            if answer.status_code != 200 and answer.json()["code"] == "step-up":
                ended = await _signed_in(device, "mal")
                if ended:
                    break
                signed_in += 1
                answer = await device.try_release(model=f"m{number}")
            if answer.status_code != 200:
                ended = answer.json()["code"]
                break
            got += 1
        assert ended == "restricted"
        assert got <= 15, got
        assert 1 <= signed_in <= 3, signed_in

    run(story)


def test_a_grant_that_waits_is_not_given_to_who_is_stopped_meanwhile() -> None:
    """R97: ask for keys, and touch a decoy while a slowed answer is held back."""
    waits, go_on = asyncio.Event(), asyncio.Event()

    async def held(_: float) -> None:
        waits.set()
        await go_on.wait()

    async def story(bench: Bench) -> None:
        await bench.publish()
        device = await bench.device("mal", "digits")
        route = route_of(bench.office.traps.known.endpoints()[0])
        go_on.set()
        await device.release(signals={"tamper": "debugger"})  # 35 points: slowed down, and served
        waits.clear()
        go_on.clear()
        asked = asyncio.ensure_future(device.try_release())
        await asyncio.wait_for(waits.wait(), 10)
        await touch(device, *route, b"{}" if route[0] == "POST" else None)
        go_on.set()
        refused = await asked
        assert (refused.status_code, refused.json()["code"]) == (403, "order-pending")  # it holds the first one
        assert len(await bench.events("release.granted")) == 1

    watch: Watch = watching(bent(('step_up = "authenticate"\n', "")), sleep=held)
    run(story, watch=watch)


def test_a_stolen_login_does_not_get_its_victim_stopped() -> None:
    """R97: the thief of a user's token enrols devices on many networks; the victim signs in, and goes on."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        victim = await bench.device("ada", "digits")
        for _ in range(5):
            bench.clock.advance(86_400)
            assert (await victim.try_release()).status_code == 200
        stolen = str((await bench.ask("POST", "/v1/tokens", {"user": "ada"})).json()["token"])
        codes = []
        for number in range(12):
            bench.clock.advance(60)
            cast(Any, bench.devices)._transport.client = (f"203.0.{number}.7", 40_000)
            answer = await HandDevice(bench, stolen).try_enrol()
            codes.append(answer.status_code if answer.status_code == 201 else answer.json()["code"])
        assert codes[:2] == [201, 201]  # as people with a new phone on a journey
        assert codes[-1] == "step-up"
        assert "restricted" not in codes
        cast(Any, bench.devices)._transport.client = ("127.0.0.1", 40_000)
        assert await _signed_in(victim, "ada") == ""
        assert (await victim.try_release()).status_code == 200

    run(story)


def test_an_appeal_of_the_victim_does_not_let_the_thief_in_again() -> None:
    """R97: a thief's device touches a decoy and the user is stopped as well; the victim appeals."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        victim = await bench.device("ada", "digits")
        thief = HandDevice(bench, victim.user_token)
        await thief.enrol()
        route = route_of(bench.office.traps.known.endpoints()[0])
        await touch(thief, *route, b"{}" if route[0] == "POST" else None)
        said = await victim.send("/v1/appeals", encode({"reference": f"ref_{'A' * 22}", "text": "it was not me"}))
        appeal = said.json()["appeal"]
        decided = await bench.ask("POST", f"/v1/risk/appeals/{appeal}", {"restored": True, "why": "asked by telephone"})
        assert decided.status_code == 201
        assert (await victim.try_release()).status_code == 200
        refused = await thief.send("/v1/challenges", encode({"purpose": "release", "model": "digits"}))
        assert (refused.status_code, refused.json()["code"]) == (403, "restricted")

    run(story)
