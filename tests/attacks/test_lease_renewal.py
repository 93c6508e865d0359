"""Renewing what is not one's own, what was taken back, or the same again: B01, B10, B11, B21, B25, B26, B27."""

import asyncio
import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from protocol_client import Bench, HandDevice, problem, run
from strongroom.server import release as release_module
from strongroom.server import renew as renew_module
from strongroom.server.entitled import entitlement_mac
from strongroom.wire.messages import Lease

NOWHERE = "lse_AAAAAAAAAAAAAAAAAAAAAA"


async def holder(bench: Bench, channel: str | None = None) -> tuple[HandDevice, Lease]:
    """A device of ada with a lease of digits 1.0."""
    await bench.publish()
    device = HandDevice(bench, await bench.customer("ada", "digits", channel=channel))
    await device.enrol()
    return device, await device.leased()


def drop_rights(bench: Bench) -> None:
    bench.ledger.tables.entitlements.clear()


def test_not_yours_and_not_there_are_one_answer() -> None:
    """B10, B11: the lease of another, one that never was, and no lease at all differ in nothing; nor do they change."""

    async def story(bench: Bench) -> None:
        _, lease = await holder(bench)
        eve = await bench.device("eve", "digits")
        before = list(bench.ledger.tables.releases)
        answers = [
            await eve.try_renew(dataclasses.replace(lease, lease_id=one)) for one in (lease.lease_id, NOWHERE, "x")
        ]
        assert [answer.status_code for answer in answers] == [404] * 3
        bodies = [problem(answer) | {"instance": ""} for answer in answers]
        assert bodies[0] == bodies[1] == bodies[2]
        assert bench.ledger.tables.releases == before
        assert [event.detail["code"] for event in await bench.events("lease.refused")] == ["not-found"] * 2

    run(story)


def test_enumerating_leases_costs_the_same_for_each() -> None:
    """B11: the same number of look-ups for another's lease and for none, so time tells nothing either."""

    async def story(bench: Bench) -> None:
        _, lease = await holder(bench)
        eve = await bench.device("eve", "digits")
        counts = []
        for one in (lease.lease_id, NOWHERE):
            asked = dataclasses.replace(lease, lease_id=one)
            request = await eve.renew_request(asked)
            with listening(bench) as calls:
                await eve.try_renew(asked, request)
            counts.append(calls)
        assert counts[0] == counts[1]
        assert "release_of_lease" in counts[0]

    run(story)


@contextlib.contextmanager
def listening(bench: Bench) -> Iterator[list[str]]:
    """Collect what every transaction is asked."""
    calls: list[str] = []
    original = type(bench.ledger).begin
    type(bench.ledger).begin = lambda self: _Counted(original(self), calls)
    try:
        yield calls
    finally:
        type(bench.ledger).begin = original


class _Counted:
    """A transaction that remembers what it was asked."""

    def __init__(self, inner: object, calls: list[str]) -> None:
        self._inner, self._calls = inner, calls

    async def __aenter__(self) -> object:
        tx, calls = await self._inner.__aenter__(), self._calls

        class Listening:
            def __getattr__(self, name: str) -> object:
                calls.append(name)
                return getattr(tx, name)

        return Listening()

    async def __aexit__(self, *error: object) -> object:
        return await self._inner.__aexit__(*error)


async def _revoke_version(bench: Bench, _: HandDevice) -> None:
    assert (await bench.ask("POST", "/v1/models/digits/versions/1.0/revoke")).status_code == 200


async def _drop_right(bench: Bench, _: HandDevice) -> None:
    (right,) = bench.ledger.tables.entitlements
    assert (await bench.ask("DELETE", f"/v1/entitlements/{right.id}")).status_code == 204


async def _end_right(bench: Bench, _: HandDevice) -> None:
    drop_rights(bench)
    right = {"account": "ada", "model": "digits", "until": bench.clock() + 10}
    assert (await bench.ask("POST", "/v1/entitlements", right)).status_code == 201
    bench.clock.advance(10)


async def _forge_right(bench: Bench, _: HandDevice) -> None:
    (right,) = bench.ledger.tables.entitlements
    drop_rights(bench)
    bench.ledger.tables.entitlements.append(dataclasses.replace(right, created=right.created + 1))


async def _right_of_another_user(bench: Bench, _: HandDevice) -> None:
    (right,) = bench.ledger.tables.entitlements
    drop_rights(bench)
    await bench.customer("eve")
    other = dataclasses.replace(right, user=bench.ledger.tables.users[-1].id)
    genuine = dataclasses.replace(other, mac=entitlement_mac(bench.vault, other))
    bench.ledger.tables.entitlements.append(genuine)


async def _block(bench: Bench, device: HandDevice) -> None:
    assert (await bench.ask("POST", f"/v1/devices/{device.id}/block")).json()["state"] == "blocked"


async def _restrict(bench: Bench, _: HandDevice) -> None:
    assert (await bench.ask("POST", "/v1/accounts/ada/restrict")).json()["state"] == "restricted"


async def _suspend_user(bench: Bench, _: HandDevice) -> None:
    tables = bench.ledger.tables
    tables.users[:] = [dataclasses.replace(user, state="restricted") for user in tables.users]


TAKEN = {
    "version": (_revoke_version, 404, "not-found"),
    "right": (_drop_right, 404, "not-found"),
    "time": (_end_right, 404, "not-found"),
    "forged": (_forge_right, 404, "not-found"),
    "other user": (_right_of_another_user, 404, "not-found"),
    "device": (_block, 401, "token"),
    "account": (_restrict, 401, "token"),
    "user": (_suspend_user, 401, "token"),
}


@pytest.mark.parametrize("what", sorted(TAKEN))
def test_what_was_taken_back_is_neither_released_nor_renewed(what: str) -> None:
    """B26: version, right, device, account, user: the very next release and the very next renewal are refused.

    B27: a right that was written into the database counts for neither.
    """
    take, status, code = TAKEN[what]

    async def story(bench: Bench) -> None:
        device, lease = await holder(bench)
        release = (await device.release_request())[0]
        renewal = await device.renew_request(lease)
        assert (await device.try_renew(lease)).status_code == 200
        await take(bench, device)
        for response in (await device.try_release(release), await device.try_renew(lease, renewal)):
            assert (response.status_code, problem(response)["code"]) == (status, code)
        assert len(await bench.events("lease.renewed")) == 1

    run(story)


@pytest.mark.parametrize("what", sorted(TAKEN.keys() - {"time"}))  # one operation has one time
@pytest.mark.parametrize("where", ["release", "renewal"])
def test_what_is_taken_back_meanwhile_is_not_given(where: str, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """B26: taken back after the request was judged and before it is written down: refused, and nothing is written."""
    take, status, code = TAKEN[what]

    async def story(bench: Bench) -> None:
        device, lease = await holder(bench)
        release, renewal = (await device.release_request())[0], await device.renew_request(lease)

        async def sooner(*given: Any) -> Any:
            monkeypatch.undo()
            await take(bench, device)
            return await later(*given)

        before = list(bench.ledger.tables.releases)
        if where == "release":
            later = release_module.check_objects
            monkeypatch.setattr(release_module, "check_objects", sooner)
            response = await device.try_release(release)
        else:
            later = renew_module._latest
            monkeypatch.setattr(renew_module, "_latest", sooner)
            response = await device.try_renew(lease, renewal)
        assert (response.status_code, problem(response)["code"]) == (status, code)
        assert bench.ledger.tables.releases == before
        assert await bench.events("lease.renewed") == []

    run(story)


def test_a_lease_reported_wiped_meanwhile_is_not_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    """C07: the receipt comes after the renewal was judged: a copy that asks at the same time gets no lease either."""

    async def story(bench: Bench) -> None:
        device, lease = await holder(bench)
        (ordered,) = await bench.wipe(device)
        (order,) = await device.ordered(lease)
        assert (await bench.ask("POST", f"/v1/orders/{ordered['id']}/withdraw")).status_code == 200
        bench.clock.advance(1)
        request, later = await device.renew_request(lease), renew_module._latest

        async def sooner(*given: Any) -> Any:
            assert (await device.try_receipt(order.order_id, device.receipt(order))).status_code == 200
            return await later(*given)

        # released before the order was withdrawn, so the receipt ends it
        bench.ledger.tables.releases[0] = dataclasses.replace(bench.ledger.tables.releases[0], created=1)
        monkeypatch.setattr(renew_module, "_latest", sooner)
        response = await device.try_renew(lease, request)
        assert (response.status_code, problem(response)["code"]) == (404, "not-found")
        assert await bench.events("lease.renewed") == []

    run(story)


def test_fifty_copies_of_one_renewal_have_one_winner() -> None:
    """B01: a whole valid request, 50 times at once, each with a proof of possession of its own."""

    async def story(bench: Bench) -> None:
        device, lease = await holder(bench)
        request = await device.renew_request(lease)
        answers = await asyncio.gather(*(device.try_renew(lease, request) for _ in range(50)))
        assert sorted(answer.status_code for answer in answers) == [200] + [403] * 49
        assert {problem(one)["code"] for one in answers if one.status_code == 403} == {"challenge"}
        assert len(await bench.events("lease.renewed")) == 1

    run(story)


def test_a_renewal_again_is_refused() -> None:
    """B01, B21: with its headers by its proof, with fresh ones by its challenge; asked anew it is answered anew."""

    async def story(bench: Bench) -> None:
        device, lease = await holder(bench)
        request = await device.renew_request(lease)
        first = await device.try_renew(lease, request)
        path = f"/v1/leases/{lease.lease_id}/renew"
        again = await bench.devices.post(path, content=first.request.content, headers=first.request.headers)
        assert (again.status_code, problem(again)["code"]) == (401, "proof")
        assert problem(await device.try_renew(lease, request))["code"] == "challenge"
        assert (await device.try_renew(lease)).status_code == 200

    run(story)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"version": "1.0"}, "proof"),
        ({"signals": {"x": 1}}, "proof"),
        ({"device": {"platform": "other"}}, "proof"),
        ({"device": {"os": "other"}}, "proof"),
        ({"device": {"id": "dev_AAAAAAAAAAAAAAAAAAAAAA"}}, "argument"),
        ({"challenge": bytes(32)}, "challenge"),
    ],
    ids=str,
)
def test_every_field_of_a_renewal_is_bound(change: dict[str, object], code: str) -> None:
    """B25, G06: whatever is altered on the way is refused, and nothing is renewed."""

    async def story(bench: Bench) -> None:
        device, lease = await holder(bench)
        request = await device.renew_request(lease)
        altered = {
            name: dataclasses.replace(request.device, **value)
            if isinstance(value, dict) and name == "device"
            else value
            for name, value in change.items()
        }
        response = await device.try_renew(lease, dataclasses.replace(request, **altered))
        assert problem(response)["code"] == code
        assert await bench.events("lease.renewed") == []

    run(story)


def test_a_renewal_is_for_its_own_lease() -> None:
    """B25: a request proven for one lease and sent to another of the same device; and a challenge for another model."""

    async def story(bench: Bench) -> None:
        device, lease = await holder(bench)
        other = await device.leased()
        request = await device.renew_request(lease)
        moved = await device.try_renew(other, request)
        assert (moved.status_code, problem(moved)["code"]) == (401, "proof")
        for purpose, model in (("renew", "other"), ("release", "digits")):
            challenge = await device.challenge(purpose, model)
            wrong = await device.try_renew(lease, await device.renew_request(lease, challenge=challenge))
            assert (wrong.status_code, problem(wrong)["code"]) == (403, "challenge")
        bare = await device.send("/v1/challenges", b'{"purpose":"renew"}')
        assert (bare.status_code, problem(bare)["code"]) == (400, "argument")

    run(story)


@pytest.mark.parametrize("selector", ["@beta", "2.0", "@nothing", "9.9"])
def test_latest_tells_nothing_a_caller_may_not_have(selector: str) -> None:
    """B10: a channel or version beyond its right, or that is not there: it hears of what it holds."""

    async def story(bench: Bench) -> None:
        device, lease = await holder(bench, "stable")
        await bench.publish(version="2.0", counter=2, channel="beta")
        answer, new = await device.renew(lease, version=selector)
        assert new is not None
        assert (answer.latest.version, answer.latest.counter) == ("1.0", 1)

    run(story)
