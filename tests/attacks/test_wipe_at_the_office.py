"""Wipe orders at the office: forged and replayed receipts, copies, a kill (B01, B10, B26, B27, C07, E09, G06)."""

import dataclasses
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from protocol_client import Bench, HandDevice, problem, run
from strongroom.canonical import encode
from strongroom.errors import Code, IntegrityError
from strongroom.server.ledger import upgrade
from strongroom.server.ledger.engine import sqlite_url
from strongroom.server.ledger.sql import SqlLedger
from strongroom.server.tokens import TokenIssuer
from strongroom.signing import ED25519, ES256, Principal, Role, SigningKey
from strongroom.wire import orders
from strongroom.wire.messages import Lease

NOWHERE = "ord_AAAAAAAAAAAAAAAAAAAAAA"


async def holder(bench: Bench) -> tuple[HandDevice, Lease]:
    """A device of ada with a lease of digits 1.0."""
    await bench.publish()
    device = await bench.device("ada", "digits")
    return device, await device.leased()


async def shown(bench: Bench, device: HandDevice) -> dict[str, Any]:
    """What an operator sees of a device."""
    answer = await bench.ask("GET", f"/v1/devices/{device.id}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_an_order_is_durable_before_it_is_given(tmp_path: Path) -> None:
    """E09: the office is killed behind its answer to the operator, and behind its answer to the device.

    The database is read by another one, as a new process would; nothing was closed, so nothing was written late.
    """

    async def story(bench: Bench) -> None:
        device, lease = await holder(bench)
        (ordered,) = await bench.wipe(device)

        async def kept() -> Any:
            ledger = SqlLedger.open(url)
            try:
                async with ledger.begin() as tx:
                    return await tx.order(ordered["id"]), [event.event for _, event in await tx.audit(limit=1000)]
            finally:
                await ledger.close()

        row, events = await kept()
        assert (row.fetched, events[-1]) == (None, "wipe.ordered")
        (order,) = await device.ordered(lease)
        row, events = await kept()
        assert (row.fetched, events[-1]) == (bench.clock(), "wipe.fetched")
        assert (await device.try_receipt(order.order_id, device.receipt(order))).status_code == 200
        row, events = await kept()
        assert (row.outcome, events[-1]) == ("wiped", "wipe.reported")

    url = sqlite_url(tmp_path / "strongroom.db")
    upgrade(url)
    run(story, ledger=SqlLedger.open(url))


def test_a_receipt_replayed_with_its_headers_is_refused() -> None:
    """B01: N sends the whole request again: its proof of possession was used."""

    async def story(bench: Bench) -> None:
        device, lease = await holder(bench)
        await bench.wipe(device)
        (order,) = await device.ordered(lease)
        first = await device.try_receipt(order.order_id, device.receipt(order))
        path = f"/v1/orders/{order.order_id}/receipt"
        again = await bench.devices.post(path, content=first.request.content, headers=first.request.headers)
        assert (first.status_code, again.status_code, problem(again)["code"]) == (200, 401, "proof")

    run(story)


def test_receipts_that_do_not_hold_are_refused() -> None:
    """G06: another key's, another order's, altered in each field, or no receipt at all: pending it stays."""

    async def story(bench: Bench) -> None:
        device, lease = await holder(bench)
        await bench.wipe(device)
        (order,) = await device.ordered(lease)
        genuine = device.receipt(order)
        head, payload, signature = genuine.split(".")
        mine = orders.Receipt(order.order_id, orders.digest(order), order.device, orders.WIPED, bench.clock())
        bad = [
            orders.sign_receipt(mine, SigningKey.generate(ES256)),
            orders.sign_receipt(mine, bench.order_key),
            device.receipt(order, order_id=NOWHERE),
            device.receipt(order, order=bytes(32)),
            device.receipt(order, device=bytes(32)),
            device.receipt(order, outcome="kept"),
            f"{head}.{payload}.{'A' * len(signature)}",
            f"{head}.{payload[::-1]}.{signature}",
            "a.b.c",
        ]
        for receipt in bad:
            response = await device.try_receipt(order.order_id, receipt)
            assert (response.status_code, problem(response)["code"]) == (422, "receipt"), receipt
        assert {event.detail["code"] for event in await bench.events("wipe.refused")} == {"receipt"}
        (row,) = bench.ledger.tables.orders
        assert row.reported is None
        assert (await device.try_receipt(order.order_id, genuine)).status_code == 200

    run(story)


def test_the_orders_of_others_cannot_be_told_from_none() -> None:
    """B10, B11: receipts for an order of somebody else, for none and for no order at all are one answer."""

    async def story(bench: Bench) -> None:
        device, lease = await holder(bench)
        await bench.wipe(device)
        (order,) = await device.ordered(lease)
        eve = await bench.device("eve", "digits")
        answers = [await eve.try_receipt(one, device.receipt(order)) for one in (order.order_id, NOWHERE, "x")]
        bodies = [problem(answer) | {"instance": ""} for answer in answers]
        assert bodies[0] == bodies[1] == bodies[2]
        assert bodies[0]["code"] == "not-found"
        (row,) = bench.ledger.tables.orders
        assert row.reported is None

    run(story)


def test_a_wiped_version_is_not_renewed_from_a_copy() -> None:
    """C07: the device reported, and a snapshot of it from before asks for a longer lease; a fresh release is fresh."""

    async def story(bench: Bench) -> None:
        device, lease = await holder(bench)
        await bench.wipe(device)
        (order,) = await device.ordered(lease)
        assert (await device.try_receipt(order.order_id, device.receipt(order))).status_code == 200
        response = await device.try_renew(lease)
        assert (response.status_code, problem(response)["code"]) == (404, "not-found")
        fresh = await device.leased()
        assert (await device.renew(fresh))[1] is not None
        assert (await device.try_renew(lease)).status_code == 404
        assert [one["lease"] for one in (await shown(bench, device))["holds"]] == [fresh.lease_id]

    run(story)


@pytest.mark.parametrize("how", ["device", "account"])
def test_who_is_barred_hears_of_orders_and_of_nothing_else(how: str) -> None:
    """B26: blocked or restricted, with an order waiting: challenge, order, receipt; no lease, no release, no links."""

    async def story(bench: Bench) -> None:
        device, lease = await holder(bench)
        grant, _ = await device.release()
        shut = f"/v1/devices/{device.id}/block" if how == "device" else "/v1/accounts/ada/restrict"
        assert (await bench.ask("POST", shut)).status_code == 200
        renew = b'{"model":"digits","purpose":"renew"}'
        before = await device.send("/v1/challenges", renew)
        assert (before.status_code, problem(before)["code"]) == (401, "token")
        await bench.wipe(device)

        for purpose in (b'{"model":"digits","purpose":"release"}', b'{"purpose":"urls"}'):
            assert problem(await device.send("/v1/challenges", purpose))["code"] == "token"
        for path in ("/v1/releases", f"/v1/releases/{grant.release_id}/urls"):
            assert problem(await device.send(path, b"{}"))["code"] == "token"
        (order,) = await device.ordered(lease)
        receipt = device.receipt(order)
        assert (await device.try_receipt(order.order_id, receipt)).status_code == 200
        # with the order reported there is nothing more to hear, but a lost answer to the receipt is said again
        response = await device.try_renew(lease)
        assert (response.status_code, problem(response)["code"]) == (401, "token")
        assert (await device.try_receipt(order.order_id, receipt)).status_code == 200
        assert await bench.events("lease.renewed") == []
        stranger = await device.send("/v1/challenges", renew, key=SigningKey.generate(ES256))
        assert problem(stranger)["code"] == "token"

    run(story)


def test_an_answer_with_orders_tells_a_barred_device_nothing_new() -> None:
    """B10: the newest version is not named to who may not have it any more."""

    async def story(bench: Bench) -> None:
        device, lease = await holder(bench)
        await bench.publish(version="1.1", counter=2)
        await bench.wipe(device)
        assert (await bench.ask("POST", f"/v1/devices/{device.id}/block")).status_code == 200
        answer, _ = await device.renew(lease)
        assert (answer.latest.version, answer.latest.counter) == ("1.0", 1)

    run(story)


def test_an_order_is_signed_by_the_order_role_and_no_other() -> None:
    """B27: the release key alone orders nothing: a device refuses what it signed."""

    async def story(bench: Bench) -> None:
        device, lease = await holder(bench)
        object.__setattr__(bench.office, "order_signers", (bench.release_key,))
        await bench.wipe(device)
        with pytest.raises(IntegrityError) as caught:
            await device.ordered(lease)
        assert caught.value.code == Code.SIGNATURE

    run(story)


@pytest.mark.parametrize("forged", ["payload", "signature", "both"])
def test_who_writes_to_the_database_gets_nothing_signed(forged: str) -> None:
    """B27: an order is signed anew only for a signature that once counted, never for what stands in a row."""

    async def story(bench: Bench) -> None:
        device, lease = await holder(bench)
        await bench.wipe(device)
        (row,) = bench.ledger.tables.orders
        other = dataclasses.replace(orders.Order.from_bytes(row.payload), version="9.9")
        payload = row.payload if forged == "signature" else other.to_bytes()
        signed = row.signed
        if forged != "payload":
            signed = encode(list(orders.issue(orders.Order.from_bytes(payload), (bench.release_key,)))).decode()
        changed = dataclasses.replace(row, payload=payload, signed=signed)
        bench.ledger.tables.orders[:] = [changed]
        role = Role(1, (Principal((SigningKey.generate(ED25519).public,)),))
        bench.trust = dataclasses.replace(bench.trust, version=2, order=role)
        object.__setattr__(bench.office, "trust", bench.trust)
        object.__setattr__(bench.office, "trust_documents", (*bench.office.trust_documents, ("not read",)))
        with pytest.raises(IntegrityError) as caught:
            await device.ordered(lease)
        assert caught.value.code == Code.SIGNATURE
        assert bench.ledger.tables.orders[0].signed == signed

    run(story)


async def _block(bench: Bench, device: HandDevice) -> None:
    assert (await bench.ask("POST", f"/v1/devices/{device.id}/block")).status_code == 200


async def _nothing(_bench: Bench, _device: HandDevice) -> None:
    return


@pytest.mark.parametrize("bar", [_block, _nothing])
def test_who_has_no_token_any_more_still_hears_of_orders(bar: Callable[[Bench, HandDevice], Awaitable[None]]) -> None:
    """B26: who is blocked gets no new token. With the old one, over, it hears of orders; with their end, of nothing."""

    async def story(bench: Bench) -> None:
        device, lease = await holder(bench)
        await bar(bench, device)
        bench.clock.advance(bench.office.policy.device_token_seconds)
        renew = b'{"model":"digits","purpose":"renew"}'
        none = await device.send("/v1/challenges", renew)
        assert (none.status_code, problem(none)["code"]) == (401, "token")
        (ordered,) = await bench.wipe(device)

        for purpose in (b'{"model":"digits","purpose":"release"}', b'{"purpose":"urls"}'):
            assert problem(await device.send("/v1/challenges", purpose))["code"] == "token"
        stranger = await device.send("/v1/challenges", renew, key=SigningKey.generate(ES256))
        assert problem(stranger)["code"] == "token"
        (order,) = await device.ordered(lease)
        receipt = device.receipt(order)
        for _ in range(2):  # the answer to the first was lost
            assert (await device.try_receipt(order.order_id, receipt)).status_code == 200
        response = await device.try_renew(lease)
        assert (response.status_code, problem(response)["code"]) == (401, "token")
        assert await bench.events("lease.renewed") == []
        bench.clock.advance(ordered["expires"] - bench.clock())
        over = await device.send("/v1/challenges", renew)
        assert (over.status_code, problem(over)["code"]) == (401, "token")

    run(story)


def test_a_token_of_somebody_else_that_is_over_is_a_token_of_nobody() -> None:
    """B26: over and forged, over and another office's, over and a user's: refused as before."""

    async def story(bench: Bench) -> None:
        device, _ = await holder(bench)
        await bench.wipe(device)
        bench.clock.advance(bench.office.policy.device_token_seconds)
        renew = b'{"model":"digits","purpose":"renew"}'
        assert (await device.send("/v1/challenges", renew)).status_code == 200
        head, payload, _ = device.token.split(".")
        other = TokenIssuer(SigningKey.generate(ED25519), bench.office.public_url)
        forged, _ = other.device_token(str(device.id), "A" * 43, now=1, seconds=1, random=os.urandom)
        for token in (device.user_token, forged, f"{head}.{payload}.{'A' * 86}"):
            refused = await device.send("/v1/challenges", renew, token=token)
            assert (refused.status_code, problem(refused)["code"]) == (401, "token")

    run(story)
