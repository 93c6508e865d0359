"""Attacks H01 to H07: telling decoys from real things, and touching them."""

import dataclasses
import os
import random
from pathlib import Path
from typing import Any

import pytest

import strongroom
from protocol_client import DEVICES, JSON, Bench, HandDevice, problem, run
from strongroom.server.identify import Visit
from strongroom.server.limits.rates import Route, device_route
from strongroom.server.traps.sight import Request, decoys_in
from strongroom.wire.messages import UrlsRequest
from strongroom_in_memory import Street, Wire
from telling_apart import Answer, best_guess, seen
from touching_decoys import added, alerts, decoy_events, proof_of, touch

MOST = 0.55  # area under the curve that a classifier may reach


async def _asked(device: HandDevice, path: str, stage: int) -> Answer:
    """Ask a route that takes the message of `urls`, wrong in one of five ways."""
    bench, token = device.bench, device.token
    body = b"{}"
    if stage == 4:
        body = UrlsRequest(await device.challenge("urls", None), "a.b.c", None).to_bytes()
    elif stage == 3:
        body = UrlsRequest(os.urandom(32), "a.b.c", None).to_bytes()
    headers = dict(JSON)
    if stage > 0:
        proof = proof_of(device, "POST", path if stage > 1 else path + "x", token)
        headers |= {"Authorization": f"DPoP {token}", "DPoP": proof}
    return seen(await bench.devices.post(path, content=body, headers=headers))


@pytest.mark.slow
def test_answers_of_decoy_routes_look_like_those_of_real_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """H01: 2,000 answers of each, of every way to be refused, interleaved; the same for tokens. AUC at most 0.55."""

    async def story(bench: Bench) -> None:
        object.__setattr__(bench.office, "random", random.Random(7).randbytes)  # noqa: S311 - the same ids each time
        await added(bench, "endpoint", "POST /v1/releases/{release_id}/raw")
        device = await bench.device("ada")
        monkeypatch.setattr(type(bench.office.traps), "exercise_account", lambda _: device.account)
        real: list[Answer] = []
        decoys: list[Answer] = []
        for number in range(2000):
            name = f"rel_{bench.office.new_id('rel')[4:]}"
            for kind, path in ((real, "urls"), (decoys, "raw")):
                kind.append(await _asked(device, f"/v1/releases/{name}/{path}", number % 5))
            bench.clock.advance(1)
            bench.ledger.tables.audit.clear()  # copied whole for each transaction
        guesses = best_guess(real, decoys)
        assert max(guesses.values()) <= MOST, guesses
        bent = [dataclasses.replace(one, words=(*one.words, "server x")) for one in decoys]
        assert best_guess(real, bent)["words"] > 0.95  # the classifier sees what there is to be seen
        longer = [dataclasses.replace(one, numbers=(one.numbers[0] + 1, *one.numbers[1:])) for one in decoys]
        assert best_guess(real, longer)["number 0"] > MOST

    run(story)


def test_a_decoy_token_is_refused_like_a_barred_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """H01: the token of a device that was barred, and one that nobody was ever given."""

    async def story(bench: Bench) -> None:
        made = await added(bench, "token", "ci", sort="device")
        device, barred = await bench.device("ada"), await bench.device("eve")
        await bench.ask("POST", f"/v1/devices/{barred.id}/block")
        monkeypatch.setattr(type(bench.office.traps), "exercise_account", lambda _: device.account)
        real, decoys = [], []
        for _ in range(200):
            for kind, token in ((real, barred.token), (decoys, made["shows"]["token"])):
                proof = proof_of(device, "POST", "/v1/challenges", token)
                headers = JSON | {"Authorization": f"DPoP {token}", "DPoP": proof}
                body = b'{"purpose":"urls"}'
                kind.append(seen(await bench.devices.post("/v1/challenges", content=body, headers=headers)))
        assert {one.words for one in real} == {one.words for one in decoys}

    run(story)


def test_a_decoy_token_gives_nothing_and_says_who() -> None:
    """H03: refused wherever a real one would be of use; the alert is there when the follow-up of the request is."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        made = await added(bench, "token", "ci", sort="user")
        thief = await bench.device("eve", "digits")
        token = made["shows"]["token"]
        answer = await touch(thief, "POST", "/v1/devices", b"{}", token=token, by="Bearer")
        assert problem(answer)["code"] == "token"
        assert len(await alerts(bench)) == 1
        request, _ = await thief.release_request(challenge=os.urandom(32))
        assert (await thief.try_release(request)).status_code in {401, 403}
        async with bench.ledger.begin() as tx:
            assert await tx.holdings(thief.id or "") == []

    run(story)


def test_honest_devices_touch_no_decoy(tmp_path: Path) -> None:
    """H05: whatever the client library sends in its life, with every kind of decoy in force, is none."""
    with Street(tmp_path) as street:
        _fill(street)
        with strongroom.protect(
            os.urandom(300_000),
            name="digits",
            version="1.0",
            out=tmp_path / "digits.srm",
            sign_with=street.owners,
            office=street.admin,
        ) as protected:
            protected.publish(channel="stable")
        wire = Wire(street, DEVICES)
        room = street.device("phone", street.customer("ada", "digits"), wire)
        for _ in range(3):
            with room.load("digits") as model:
                assert len(model.bytes()) == 300_000
            street.clock.advance(5 * 86_400)
        street.do(street.office.traps.settled())
        assert len(wire.sent) > 6
        assert street.do(_touched(street)) == []


def test_a_hundred_thousand_honest_sessions_touch_no_decoy() -> None:
    """H05: the recogniser over what 10^5 sessions say: real identifiers, models, tokens, signals. No hit."""

    async def story(bench: Bench) -> None:
        for kind, name in (("key", "app"), ("model", "digits-full"), ("canary", "page"), ("field", "is_staff")):
            await added(bench, kind, name)
        for sort in ("device", "user", "operator"):
            await added(bench, "token", "ci", sort=sort)
        device = await bench.device("ada", "digits")
        traps, new = bench.office.traps, bench.office.new_id
        request, _ = await device.release_request(signals={"install": "x", "resumed": 1})
        routes = ("/v1/leases/{}/renew", "/v1/releases/{}/urls", "/v1/orders/{}/receipt", "/o/{}")
        for number in range(100_000):
            prefix = ("lse", "rel", "ord")[number % 3]
            name = os.urandom(16).hex() if number % 4 == 3 else new(prefix)
            visit = Visit(bench.clock(), "ref", "POST", "")
            authorization = f"DPoP {device.token}" if number % 100 == 0 else ""
            path = routes[number % 4].format(name)
            assert not decoys_in(traps, Request(visit, path, None, request, "", authorization, ""))

    run(story)


def test_decoys_are_limited_like_real_routes() -> None:
    """H06: a decoy route has the class, and so the rates, of the real route it stands beside."""

    async def story(bench: Bench) -> None:
        device = await bench.device("ada")
        monkey: list[int] = []
        await added(bench, "endpoint", "GET /v1/releases/{release_id}/raw")
        assert device_route("GET", f"/v1/releases/rel_{'A' * 22}/raw") == Route.RELEASE
        path = f"/v1/releases/rel_{'A' * 22}/raw"
        for _ in range(200):
            headers = {"Authorization": f"DPoP {device.token}", "DPoP": proof_of(device, "GET", path, device.token)}
            answer = await bench.devices.get(path, headers=headers)
            monkey.append(answer.status_code)
        assert monkey.index(429) == 120  # as many as releases in a minute and device
        assert int(answer.headers["Retry-After"]) >= 1

    run(story)


def test_the_key_of_a_decoy_model_is_never_unwrapped_in_silence() -> None:
    """H07: whoever is given the key of a model that nobody needs is stopped, and the alert says who."""

    async def story(bench: Bench) -> None:
        await bench.publish("digits-full")
        made = await added(bench, "model", "digits-full")
        thief = await bench.device("eve", "digits-full")
        await thief.release(model="digits-full")
        await bench.office.traps.settled()
        assert [(one.subject, one.actor) for one in await decoy_events(bench)] == [(made["id"], thief.id)]
        assert len(await alerts(bench)) == 1
        request, _ = await thief.release_request(model="digits-full", challenge=os.urandom(32))
        assert (await thief.try_release(request)).status_code in {401, 403}

    run(story)


def _fill(street: Street) -> None:
    for kind, name in (("key", "app"), ("model", "digits-full"), ("canary", "page"), ("field", "is_staff")):
        street.admin.post("decoys", value={"kind": kind, "name": name, "note": ""})


async def _touched(street: Street) -> Any:
    async with street.ledger.begin() as tx:
        return [row for _, row in await tx.audit(limit=10_000) if row.event in {"decoy.hit", "decoy.noise"}]
