"""Bodies that cost more than they weigh: who may send them, and how much of them is looked at."""

import asyncio
import json
import os
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from protocol_client import DEVICES, JSON, Bench, HandDevice, problem, run
from strongroom.server.http import admin_routes, app_device, bodies
from strongroom.server.publish import Deposit
from strongroom.shapes import Object
from strongroom.signing import ES256, SigningKey
from strongroom.wire import dpop
from strongroom.wire.messages import EnrolRequest, Message, ReleaseRequest, UrlsRequest

PLACES: dict[str, type[Message]] = {
    "/v1/devices": EnrolRequest,
    "/v1/releases": ReleaseRequest,
    "/v1/releases/rel_AAAAAAAAAAAAAAAAAAAAAA/urls": UrlsRequest,
}


async def unread() -> AsyncIterator[bytes]:
    """A body that may not be read."""
    raise AssertionError("the body was read")
    yield b""


def credentials(device: HandDevice, path: str, **changes: Any) -> dict[str, str]:
    """The headers a device sends with a request: for enrolling, those of its user."""
    enrols = path == "/v1/devices"
    token = changes.get("token", device.user_token if enrols else device.token)
    key, now = changes.get("key", device.key), device.bench.clock()
    proof = dpop.make(key, "POST", DEVICES + path, token, now, os.urandom(16))
    return JSON | {"Authorization": f"{'Bearer' if enrols else 'DPoP'} {token}", "DPoP": proof}


@pytest.mark.parametrize("path", PLACES)
def test_a_stranger_costs_no_parsing(path: str) -> None:
    """The attacker sends large bodies with credentials that look like some: none of it is read."""

    async def story(bench: Bench) -> None:
        device = await bench.device("ada", "digits")
        forged = device.user_token[:-4] + "AAAA"
        for headers in (
            JSON | {"Authorization": "Bearer x"},
            JSON | {"Authorization": "DPoP x"},
            credentials(device, path, token=forged),
            {name: text for name, text in credentials(device, path).items() if name != "DPoP"},
            credentials(device, path) | {"DPoP": "a.b.c"},
        ):
            response = await bench.devices.post(path, content=unread(), headers=headers)
            assert response.status_code == 401
        if path != "/v1/devices":  # there any key is a new device's
            thief = credentials(device, path, key=SigningKey.generate(ES256))
            assert (await bench.devices.post(path, content=unread(), headers=thief)).status_code == 401

    run(story)


@pytest.mark.parametrize("path", PLACES)
def test_a_device_cannot_send_a_million_values(path: str) -> None:
    """The attacker has an account: what no message can be is refused by counting, before a parser sees it."""

    async def story(bench: Bench) -> None:
        device = await bench.device("ada", "digits")
        limit = PLACES[path].LIMIT
        for piece in (b"{},", b"[],", b'"":', b"\\u0041"):
            body = (piece * limit)[:limit]  # no JSON: a parser would say so
            if sum(body.count(mark) for mark in bodies.MARKS) > app_device.MAX_MARKS:
                response = await bench.devices.post(path, content=body, headers=credentials(device, path))
                assert (response.status_code, problem(response)["code"]) == (400, "shape"), piece

    run(story)


def test_the_largest_messages_are_below_the_counts() -> None:
    """No device and no publisher is ever refused for what it has to say."""

    async def story(bench: Bench) -> None:
        device = await bench.device("ada", "digits")
        await bench.publish()
        loud = "\U0001f600" * 100 + ":" * 100
        signals = {f"s{number}": loud for number in range(32)}
        facts = device.facts(os=loud[:120], arch=":" * 40, client="\u00e9" * 60)
        request, _ = await device.release_request(signals=signals, device=facts)
        response = await device.try_release(request)
        assert response.status_code == 200, response.text
        count = sum(request.to_bytes().count(mark) for mark in bodies.MARKS)
        assert app_device.MAX_MARKS / 4 < count < app_device.MAX_MARKS

    run(story)


def test_only_who_may_publish_is_read() -> None:
    """The attacker has an auditor's token: a deposit, or any other change, is refused unread."""

    async def story(bench: Bench) -> None:
        auditor = JSON | {"Authorization": f"Bearer {await bench.operator('eve', 'auditor')}"}
        for path in ("/v1/deposits", "/v1/accounts", "/v1/entitlements", "/v1/operators", "/v1/tokens"):
            response = await bench.desk.post(path, content=unread(), headers=auditor)
            assert (response.status_code, problem(response)["code"]) == (403, "forbidden")
        keeper = JSON | {"Authorization": f"Bearer {await bench.operator('kim', 'operator')}"}
        for path in ("/v1/deposits", "/v1/operators"):
            assert (await bench.desk.post(path, content=unread(), headers=keeper)).status_code == 403

    run(story)


def test_a_publisher_cannot_send_a_million_values() -> None:
    """The attacker has a publisher's token: counting comes before parsing here too."""

    async def story(bench: Bench) -> None:
        headers = JSON | {"Authorization": f"Bearer {await bench.operator('ci', 'publisher')}"}
        for piece in (b"{},", b"[],", b"\\u0041"):
            body = piece * (admin_routes.MAX_MARKS + 1)
            response = await bench.desk.post("/v1/deposits", content=body, headers=headers)
            assert (response.status_code, problem(response)["code"]) == (400, "shape")

    run(story)


def test_large_deposits_are_parsed_beside_the_loop_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three at once: devices are served meanwhile, and memory holds one of them in pieces."""
    inside, most, threads = 0, 0, set()
    real, lock = bodies.loose, threading.Lock()

    def watched(data: bytes, shape: Object, where: str) -> dict[str, Any]:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
            threads.add(threading.current_thread() is threading.main_thread())
        try:
            return real(data, shape, where)
        finally:
            with lock:
                inside -= 1

    async def story(bench: Bench) -> None:
        made = bench.seal("digits", "1.0")
        body = await bench.deposit_of(made)
        body["files"] = [body["files"][0] | {"head_part": "A" * 1_000_000}] * 4
        monkeypatch.setattr(bodies, "loose", watched)
        answers = await asyncio.gather(*(bench.ask("POST", "/v1/deposits", body) for _ in range(3)))
        assert [one.status_code for one in answers] == [422, 422, 422]

    run(story)
    assert (most, threads) == (1, {False})


def test_the_limit_of_a_deposit_is_what_a_deposit_needs() -> None:
    """The largest one that the format allows fits, with little to spare."""
    head_part = "A" * -(-4 * (32 + 32 + 65_536 + 1_048_576 + 65_536) // 3)  # docs/spec/sealed-file.md section 2
    file = {"head_part": head_part, "size": 2**53 - 1, "sealed": "A" * 5462, "kem": 65_535}
    value = dict.fromkeys(("model", "version", "channel"), "a" * 64) | {"epoch": 2**53 - 1, "counter": 2**53 - 1}
    needed = len(json.dumps(value | {"files": [file] * 16}, indent=4))
    assert needed <= Deposit.LIMIT < needed + 16_384
