"""Floods of requests that are each well formed: who asks too often waits, whoever it claims to be, and nobody else.

The offices here have small numbers, so that a flood is a few hundred requests; one test shows what the shipped ones do.
"""

import asyncio
import dataclasses
import os
from pathlib import Path
from typing import Any

import httpx
import pytest

from protocol_client import ADMIN, DEVICES, JSON, Bench, HandDevice, run
from served_device_api import Served, serving
from strongroom.canonical import encode
from strongroom.errors import Code
from strongroom.server import limited
from strongroom.server.audit import Event
from strongroom.server.http.app_admin import create_admin_app
from strongroom.server.http.app_device import create_device_app
from strongroom.server.identify import thumbprint
from strongroom.server.limits import LimitedError
from strongroom.server.limits.addresses import read_networks
from strongroom.server.limits.memory import in_memory
from strongroom.server.limits.quota import DAY
from strongroom.server.limits.rates import DEFAULTS, By, Route
from strongroom.server.limits.throttle import MAX_SECONDS
from strongroom.server.ports import DeviceRow
from strongroom.signing import ED25519, SigningKey
from strongroom.wire import dpop
from strongroom.wire.messages import Have

CHALLENGE = encode({"purpose": "release", "model": "digits"})
PLENTY = {By.ADDRESS: 100_000, By.USER: 100_000, By.DEVICE: 100_000, By.ACCOUNT: 100_000}


class Gate:
    """The two APIs of a bench behind numbers of the test's own; requests come from `address`."""

    def __init__(self, bench: Bench, trusted: str = "", per_day: int = 1000, **rates: dict[By, int]) -> None:
        table = {Route(name): {**(PLENTY if name != "object" else {}), **kinds} for name, kinds in rates.items()}
        limits = in_memory(bench.clock, table, trusted=read_networks(trusted), releases_per_day=per_day)
        self.bench = bench
        self.office = bench.office = dataclasses.replace(bench.office, limits=limits)
        self._doors = (
            httpx.ASGITransport(create_device_app(self.office)),
            httpx.ASGITransport(create_admin_app(self.office, bench.background)),
        )
        bench.devices = httpx.AsyncClient(transport=self._doors[0], base_url=DEVICES)
        bench.desk = httpx.AsyncClient(transport=self._doors[1], base_url=ADMIN)
        self.come_from("198.51.100.1")

    def come_from(self, address: str) -> None:
        """Let the next requests come from there."""
        for door in self._doors:
            door.client = (address, 4711)

    async def stranger(self, path: str = "/v1/releases", **headers: str) -> httpx.Response:
        """Send what has no credential that is any good."""
        made_up = {"Authorization": "DPoP a.b.c", "DPoP": "a.b.c"} | JSON | headers
        return await self.bench.devices.post(path, content=b"{}", headers=made_up)

    async def devices(self, count: int, users: int = 1) -> list[HandDevice]:
        """Enrol many devices of one account, straight into the ledger; the tokens are the issuer's own."""
        token = await self.bench.customer("fleet", "digits")
        first = self.office.tokens.read(token, now=self.bench.clock()).subject
        async with self.bench.ledger.begin() as tx:
            owner = await tx.user(first)
            assert owner is not None
            owners = [
                owner,
                *(dataclasses.replace(owner, id=self.office.new_id("usr"), name=f"u{n}") for n in range(1, users)),
            ]
            for one in owners[1:]:
                await tx.add_user(one)
            made = []
            for number in range(count):
                device = HandDevice(self.bench, token, ED25519)
                device.id, device.account = self.office.new_id("dev"), owner.account
                public = device.key.public
                row = DeviceRow(
                    id=device.id,
                    user=owners[number % users].id,
                    account=owner.account,
                    thumbprint=thumbprint(public),
                    jkt=dpop.jkt(public),
                    alg=ED25519,
                    public_key=public.raw,
                    facts="{}",
                    state="active",
                    created=self.bench.clock(),
                    seen=self.bench.clock(),
                )
                await tx.add_device(row)
                device.token, _ = self.office.tokens.device_token(
                    row.id, row.jkt, now=self.bench.clock(), seconds=DAY, random=os.urandom
                )
                made.append(device)
        return made

    async def limited(self) -> list[Any]:
        """Return the rows that say who was kept waiting."""
        return await self.bench.events(Event.CALLER_LIMITED)


def waits(answer: httpx.Response) -> int:
    """See that a refusal is a whole 429, and return its seconds."""
    assert answer.status_code == 429, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["strict-transport-security"]
    assert answer.json()["code"] == Code.RATE_LIMITED
    assert set(answer.json()) == {"type", "title", "status", "code", "instance"}
    assert answer.headers["retry-after"].isdecimal()
    assert int(answer.headers["retry-after"]) >= 1
    return int(answer.headers["retry-after"])


async def challenged(device: HandDevice) -> httpx.Response:
    """Ask for a challenge."""
    return await device.send("/v1/challenges", CHALLENGE)


def test_a_burst_of_one_device_is_cut_and_others_go_on() -> None:
    """E19, R61: a device asks hundreds of times at once; it waits as told, and its neighbour does not."""

    async def story(bench: Bench) -> None:
        gate = Gate(bench, challenge={By.DEVICE: 60})
        loud, quiet = await gate.devices(2)
        answers = [await challenged(loud) for _ in range(300)]
        assert [one.status_code for one in answers] == [200] * 60 + [429] * 240
        assert {waits(one) for one in answers[60:]} == {1}
        assert (await challenged(quiet)).status_code == 200
        bench.clock.advance(1)
        assert [(await challenged(loud)).status_code for _ in range(2)] == [200, 429]

    run(story)


def test_the_shipped_numbers_stop_a_burst_of_hundreds_and_no_honest_device() -> None:
    """E19: a network that breaks off forty times in a minute is not enough; three hundred requests are too many."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        device = await bench.device("ada", "digits")
        lease = await device.leased()
        for _ in range(40):
            await device.release_request()  # it has its challenge, and what it asks then is lost on the way
            await device.renew_request(lease)  # so is this
            await device.renew(lease)
        codes = [(await challenged(device)).status_code for _ in range(300)]
        assert codes == [200] * (240 - 121) + [429] * 181
        assert all(kinds[By.ADDRESS] >= 300 for kinds in DEFAULTS.values())

    run(story)


def test_a_flood_is_written_down_once_a_minute() -> None:
    """E19: who floods fills no disk with rows about it, and can be found by the reference."""

    async def story(bench: Bench) -> None:
        gate = Gate(bench, challenge={By.DEVICE: 6})
        (device,) = await gate.devices(1)
        answers = [await challenged(device) for _ in range(206)]
        (row,) = await gate.limited()
        assert (row.actor, row.subject, row.detail["route"]) == (device.id, device.id, "challenge")
        assert row.detail["reference"] == answers[6].json()["instance"]
        bench.clock.advance(61)
        for _ in range(20):
            await challenged(device)
        assert len(await gate.limited()) == 2
        for _ in range(50):
            gate.come_from("198.51.100.9")
            await gate.stranger()
        assert len(await gate.limited()) == 2

    run(story)


def test_a_thousand_devices_of_one_user_are_one_user() -> None:
    """E19: the flood is spread over a thousand device ids and as many addresses: user and account are counted."""

    async def story(bench: Bench) -> None:
        gate = Gate(bench, challenge={By.DEVICE: 60, By.USER: 200, By.ACCOUNT: 300})
        devices = await gate.devices(1000, users=4)
        codes = []
        for number, device in enumerate(devices[::4]):  # the first user's
            gate.come_from(f"10.1.{number // 250}.{number % 250}")
            codes.append((await challenged(device)).status_code)
        assert codes == [200] * 200 + [429] * 50
        codes = [(await challenged(device)).status_code for device in devices[1::4] + devices[2::4]]
        assert codes == [200] * 100 + [429] * 400

    run(story)


def test_a_thousand_made_up_devices_at_one_address_are_one_address() -> None:
    """E19: tokens that never were, each another; after the address's share no signature is looked at."""

    async def story(bench: Bench) -> None:
        gate = Gate(bench, release={By.ADDRESS: 30})
        looked = 0
        real = gate.office.tokens

        class Counting:
            def read(self, *args: Any, **options: Any) -> Any:
                nonlocal looked
                looked += 1
                return real.read(*args, **options)

        object.__setattr__(gate.office, "tokens", Counting())
        codes = []
        for number in range(1000):
            answer = await gate.stranger(Authorization=f"DPoP {number}.b.c")
            codes.append(answer.status_code)
        assert codes == [401] * 30 + [429] * 970
        assert looked == 30
        gate.come_from("198.51.100.2")
        assert (await gate.stranger()).status_code == 401

    run(story)


def test_a_device_with_another_clock_gains_nothing() -> None:
    """E19: proofs dated as far ahead and behind as they may be are counted by the office's clock alone."""

    async def story(bench: Bench) -> None:
        gate = Gate(bench, challenge={By.DEVICE: 6})
        (device,) = await gate.devices(1)
        codes = []
        for skew in (-59, -30, 0, 30, 59) * 3:
            proof = dpop.make(
                device.key, "POST", f"{DEVICES}/v1/challenges", device.token, bench.clock() + skew, os.urandom(16)
            )
            headers = JSON | {"Authorization": f"DPoP {device.token}", "DPoP": proof}
            codes.append((await bench.devices.post("/v1/challenges", content=CHALLENGE, headers=headers)).status_code)
        assert codes == [200] * 6 + [429] * 9

    run(story)


def test_a_forwarded_address_is_the_senders_own_word() -> None:
    """E19: X-Forwarded-For names another address each time; nobody but a proxy of the settings is believed."""

    async def story(bench: Bench) -> None:
        gate = Gate(bench, release={By.ADDRESS: 10})
        spoofed = [{"X-Forwarded-For": f"192.0.2.{number}"} for number in range(40)]
        assert [(await gate.stranger(**one)).status_code for one in spoofed] == [401] * 10 + [429] * 30

    run(story)


def test_behind_a_proxy_only_its_own_word_counts() -> None:
    """E19: through a trusted proxy the attacker writes hops of its own to the left; clients are still told apart."""

    async def story(bench: Bench) -> None:
        gate = Gate(bench, trusted="10.0.0.0/8", release={By.ADDRESS: 10})
        gate.come_from("10.0.0.1")
        said = [f"192.0.2.{number}, 203.0.113.7" for number in range(40)]
        codes = [(await gate.stranger(**{"X-Forwarded-For": one})).status_code for one in said]
        assert codes == [401] * 10 + [429] * 30
        assert (await gate.stranger(**{"X-Forwarded-For": "203.0.113.8"})).status_code == 401

    run(story)


def test_no_header_breaks_the_count() -> None:
    """E19: malformed lists of hops, through a proxy: never a 5xx, and all of them count as the proxy itself."""

    async def story(bench: Bench) -> None:
        gate = Gate(bench, trusted="10.0.0.0/8", release={By.ADDRESS: 10})
        gate.come_from("10.0.0.1")
        odd = [
            "",
            ",",
            "x",
            "1.2.3",
            "1.2.3.4.5",
            ":::",
            "[",
            "1.1.1.1:",
            "%",
            "9" * 9000,
            "1.1.1.1,\t",
            "\xff\xfe",
            "-1",
        ]
        codes = []
        for one in odd:
            headers = [(b"X-Forwarded-For", one.encode("latin-1")), (b"Authorization", b"DPoP a.b.c"), (b"DPoP", b"x")]
            codes.append((await bench.devices.post("/v1/releases", content=b"{}", headers=headers)).status_code)
        assert codes == [401] * 10 + [429] * (len(odd) - 10)

    run(story)


def test_an_ipv6_network_is_one_address() -> None:
    """E19: one host takes a new address of its /64 for each request."""

    async def story(bench: Bench) -> None:
        gate = Gate(bench, release={By.ADDRESS: 10})
        codes = []
        for number in range(40):
            gate.come_from(f"2001:db8::{number:x}")
            codes.append((await gate.stranger()).status_code)
        assert codes == [401] * 10 + [429] * 30
        gate.come_from("2001:db8:0:1::1")
        assert (await gate.stranger()).status_code == 401

    run(story)


def test_a_stolen_token_uses_up_nothing_of_its_owners() -> None:
    """E19, B06: a thief without the key sends the owner's token as often as the address may; the owner goes on."""

    async def story(bench: Bench) -> None:
        gate = Gate(bench, challenge={By.DEVICE: 6, By.USER: 6, By.ACCOUNT: 6})
        (device,) = await gate.devices(1)
        thief = SigningKey.generate(ED25519)
        stolen = [await device.send("/v1/challenges", CHALLENGE, key=thief) for _ in range(60)]
        assert {one.status_code for one in stolen} == {401}
        assert [(await challenged(device)).status_code for _ in range(7)] == [200] * 6 + [429]

    run(story)


@pytest.mark.parametrize("path", ["/v1/keys/export", "/v1/models", "/internal/mek", "/v1/releases/all", "/admin"])
def test_what_only_looks_like_a_route_has_the_limits_of_real_ones(path: str) -> None:
    """H06: a prober counts until it is refused, at a path that may be a decoy and at a real one: no difference."""

    async def story(bench: Bench) -> None:
        seen = []
        for one in ("/v1/releases", path):
            gate = Gate(bench, release={By.ADDRESS: 12})
            answers = [await gate.stranger(one) for _ in range(20)]
            refused = [answer.status_code == 429 for answer in answers]
            body = {name: value for name, value in answers[-1].json().items() if name != "instance"}
            headers = [(name, value) for name, value in answers[-1].headers.items()]
            seen.append((refused, body, headers))
            assert waits(answers[-1]) == 5
            gate.come_from("198.51.100.2")  # the two also share one count: none is a way around the other
            mixed = [
                (await gate.stranger(each)).status_code == 429 for _ in range(10) for each in ("/v1/releases", path)
            ]
            assert mixed == [False] * 12 + [True] * 8
        assert seen[0] == seen[1]

    run(story)


def test_an_address_of_noise_is_slow_for_minutes_unless_people_share_it() -> None:
    """H06, E19: after a decoy was touched without credentials; an office full of people is never slowed."""

    async def story(bench: Bench) -> None:
        gate = Gate(bench, release={By.ADDRESS: 20}, challenge={})
        for _ in range(10):
            assert gate.office.limits.noise("198.51.100.1")
        assert [(await gate.stranger()).status_code for _ in range(4)] == [401, 401, 429, 429]
        bench.clock.advance(MAX_SECONDS)
        assert [(await gate.stranger()).status_code for _ in range(22)] == [401] * 20 + [429] * 2
        bench.clock.advance(60)
        for device in await gate.devices(4, users=4):
            assert (await challenged(device)).status_code == 200
        assert not gate.office.limits.noise("198.51.100.1")
        assert [(await gate.stranger()).status_code for _ in range(22)] == [401] * 20 + [429] * 2

    run(story)


def test_a_caller_under_suspicion_asks_at_a_quarter() -> None:
    """E19: what was counted before it was known who asks is not counted twice."""

    async def story(bench: Bench) -> None:
        gate = Gate(bench, release={By.DEVICE: 40})
        (device,) = await gate.devices(1)
        keys = {By.DEVICE: str(device.id)}
        for _ in range(10):
            await limited.check(gate.office, Route.RELEASE, keys, "ref_x")
            await limited.check(gate.office, Route.RELEASE, keys, "ref_x", factor=0.25, paid=True)
        with pytest.raises(LimitedError) as caught:
            await limited.check(gate.office, Route.RELEASE, keys, "ref_x")
        assert caught.value.seconds == 2  # of the two that one costs

    run(story)


def test_an_accounts_releases_of_a_day_are_counted() -> None:
    """R17, E19: the account's day is used up: no key until midnight; what needs no key, and other accounts, go on."""

    async def story(bench: Bench) -> None:
        gate = Gate(bench, per_day=3)
        made = await bench.publish()
        ada, ben = await bench.device("ada", "digits"), await bench.device("ben", "digits")
        for _ in range(3):
            await ada.release()
        refused = await ada.try_release()
        assert waits(refused) == DAY - bench.clock() % DAY
        (row,) = await bench.events(Event.RELEASE_REFUSED)
        assert row.detail["code"] == Code.RATE_LIMITED
        assert [one.detail["limit"] for one in await gate.limited()] == ["quota of the day"]
        assert len((await ben.release())[1]) == 1
        have = Have(made.version, made.head.core.file_id)
        grant, keys = await ada.release(have=have)
        assert (grant.sealed, keys) == (None, ())
        bench.clock.advance(DAY - bench.clock() % DAY)
        assert len((await ada.release())[1]) == 1

    run(story)


def test_an_operators_token_floods_nothing() -> None:
    """E19: a script gone wild at the admin API waits as well, and is told why."""

    async def story(bench: Bench) -> None:
        Gate(bench, admin_write={By.USER: 10}, admin_read={})
        codes = [(await bench.ask("POST", "/v1/accounts", {"name": f"a{number}"})).status_code for number in range(15)]
        assert codes == [201] * 10 + [429] * 5
        told = (await bench.ask("POST", "/v1/accounts", {"name": "b"})).json()
        assert told["next"] == "wait 6 seconds, then try again"
        assert (await bench.ask("GET", "/v1/accounts")).status_code == 200

    run(story)


def test_over_real_connections(tmp_path: Path) -> None:
    """E19: the same over TLS: 429 with its header, before the body, and the connection goes on where it can."""
    gate = Gate(Bench(), public={By.ADDRESS: 5}, release={By.ADDRESS: 1})

    async def story(served: Served) -> None:
        reader, writer = await served.connect()
        heads = []
        for number in range(8):
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.%d\r\n\r\n" % number)
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            length = next(one for one in heads[-1].lower().split(b"\r\n") if one.startswith(b"content-length:"))
            await reader.readexactly(int(length.split(b":")[1]))
        writer.close()
        assert [head[9:12] for head in heads] == [b"200"] * 5 + [b"429"] * 3
        assert all(b"\r\nretry-after: 12\r\n" in head.lower() for head in heads[5:])
        flood = (
            b"POST /v1/releases HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99999\r\n\r\n"
        )
        assert (await served.ask(flood))[9:12] == b"401"
        answer = await served.ask(flood)  # no byte of the body was sent, and none is waited for
        assert answer[9:12] == b"429"
        assert b"connection: close" in answer.lower()
        assert b'"rate-limited"' in answer

    serving(tmp_path, story, create_device_app(gate.office))
    asyncio.run(gate.bench.devices.aclose())
