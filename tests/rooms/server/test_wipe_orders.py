"""Wipe orders and receipts at the office: who is ordered what, what is known of it, and what cannot be forged."""

import asyncio
import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from protocol_client import Bench, HandDevice, problem, run
from strongroom.server import renew, wipe_orders
from strongroom.server.ledger import upgrade
from strongroom.server.ledger.engine import sqlite_url
from strongroom.server.ledger.sql import SqlLedger
from strongroom.server.policy import Policy
from strongroom.signing import ED25519, ES256, Principal, Role, SigningKey
from strongroom.wire import orders
from strongroom.wire import trust as trust_file
from strongroom.wire.messages import Lease
from watched_offices import calm

PAGE = 20  # devices that one request orders, in the test of pages


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


def test_an_order_is_given_reported_and_seen() -> None:
    """From `device wipe` to "reported": each step is in `device show` and in the audit log, in this order."""

    async def story(bench: Bench) -> None:
        device, lease = await holder(bench)
        (held,) = (await shown(bench, device))["holds"]
        assert (held["version"], held["lease"], held["lease_over"]) == ("1.0", lease.lease_id, False)
        (ordered,) = await bench.wipe(device)
        assert (ordered["state"], ordered["fetched"], ordered["reported"]) == ("pending", None, None)

        bench.clock.advance(5)
        (order,) = await device.ordered(lease)
        assert (order.order_id, order.lease, order.model, order.version) == (
            ordered["id"], lease.lease_id, "digits", "1.0",
        )  # fmt: skip
        assert order.file_id == bench.ledger.tables.files[0].file_id
        assert order.expires - order.issued == bench.office.policy.order_seconds
        assert (await shown(bench, device))["orders"][0]["fetched"] == bench.clock()

        bench.clock.advance(5)
        assert (await device.try_receipt(order.order_id, device.receipt(order))).status_code == 200
        after = await shown(bench, device)
        (done,) = after["orders"]
        assert (done["state"], done["fetched"], done["reported"], done["outcome"]) == (
            "reported", bench.clock() - 5, bench.clock(), "wiped",
        )  # fmt: skip
        assert after["holds"] == []
        names = [event.event for event in bench.ledger.tables.audit if event.event.startswith("wipe.")]
        assert names == ["wipe.ordered", "wipe.fetched", "wipe.reported"]
        # what is public of an order holds nothing that could be sent in its place
        assert not {"jws", "signed", "payload", "receipt"} & done.keys()

    run(story)


def test_until_it_is_reported_nothing_of_the_model_is_released() -> None:
    """`order-pending` after the proof and before the entitlement; afterwards a release is a release again."""

    async def story(bench: Bench) -> None:
        device, lease = await holder(bench)
        await bench.publish(model="other", version="1.0", counter=1)
        right = {"account": "ada", "model": "other"}
        assert (await bench.ask("POST", "/v1/entitlements", right)).status_code == 201
        await bench.wipe(device)
        refused = await device.try_release()
        assert (refused.status_code, problem(refused)["code"]) == (403, "order-pending")
        assert set(problem(refused)) == {"type", "title", "status", "code", "instance"}
        assert (await device.try_release(model="other")).status_code == 200
        eve = await bench.device("eve", "digits")
        assert (await eve.try_release()).status_code == 200

        forged = dataclasses.replace((await device.release_request())[0], signals={"x": 1})
        assert problem(await device.try_release(forged))["code"] == "proof"
        (order,) = await device.ordered(lease)
        bench.ledger.tables.entitlements.clear()
        assert problem(await device.try_release())["code"] == "order-pending"
        assert (await device.try_receipt(order.order_id, device.receipt(order))).status_code == 200
        assert problem(await device.try_release())["code"] == "not-found"
        assert (await bench.ask("POST", "/v1/entitlements", right | {"model": "digits"})).status_code == 201
        assert (await device.try_release()).status_code == 200

    run(story)


def test_an_order_that_comes_during_a_release_stops_it() -> None:
    """Between the first look and the last transaction: the release is not written down, and no key leaves."""

    async def story(bench: Bench) -> None:
        device, lease = await holder(bench)
        request, _ = await device.release_request()
        renewal = await device.renew_request(lease)

        class Interrupting(type(bench.store)):  # type: ignore[misc] # the class of the bench's own store
            __slots__ = ()

            async def size(self, name: str) -> int | None:
                bench.store.__class__ = type(self).__mro__[1]
                await bench.wipe(device)
                return await bench.store.size(name)

        bench.store.__class__ = Interrupting
        response = await device.try_release(request)
        assert (response.status_code, problem(response)["code"]) == (403, "order-pending")
        assert len(bench.ledger.tables.releases) == 1
        answered = await device.try_renew(lease, renewal)
        assert answered.status_code == 200
        assert await bench.events("lease.renewed") == []

    run(story)


def test_an_order_that_comes_during_a_renewal_stops_it() -> None:
    """Between the first look and the last transaction: no lease; the next renewal brings the order."""

    async def story(bench: Bench) -> None:
        device, lease = await holder(bench)
        request = await device.renew_request(lease)
        await bench.wipe(device)
        (row,) = bench.ledger.tables.orders
        bench.ledger.tables.orders.clear()

        class Interrupting(type(bench.vault)):  # type: ignore[misc] # the class of the bench's own vault
            __slots__ = ()

            def mac(self, data: bytes) -> bytes:
                bench.ledger.tables.orders[:] = [row]
                return bytes(super().mac(data))

        bench.vault.__class__ = Interrupting
        response = await device.try_renew(lease, request)
        assert (response.status_code, problem(response)["code"]) == (403, "order-pending")
        assert await bench.events("lease.renewed") == []
        assert bench.ledger.tables.releases[0].lease_expires == lease.expires
        assert [order.order_id for order in await device.ordered(lease)] == [row.id]

    run(story)


@pytest.mark.parametrize(("state", "status"), [("active", 200), ("blocked", 401)])
def test_an_order_that_is_withdrawn_during_a_renewal_is_not_given(
    state: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operator is told that nobody fetched it, and nobody does; who is not barred gets a lease instead."""

    async def story(bench: Bench) -> None:
        device, lease = await holder(bench)
        (ordered,) = await bench.wipe(device)
        request, give = await device.renew_request(lease), renew._give_orders
        if state == "blocked":
            assert (await bench.ask("POST", f"/v1/devices/{device.id}/block")).status_code == 200

        async def later(*given: Any) -> Any:
            answer = await bench.ask("POST", f"/v1/orders/{ordered['id']}/withdraw")
            assert (answer.json()["state"], answer.json()["fetched"]) == ("withdrawn", None)
            return await give(*given)

        monkeypatch.setattr(renew, "_give_orders", later)
        answered = await device.try_renew(lease, request)
        assert answered.status_code == status
        assert len(await bench.events("lease.renewed")) == (status == 200)
        assert await bench.events("wipe.fetched") == []
        assert bench.ledger.tables.orders[0].fetched is None

    run(story)


def test_an_order_outlives_its_answer() -> None:
    """The answer that carried it is lost, ten times: the order stays, the first time it was fetched stays."""

    async def story(bench: Bench) -> None:
        device, lease = await holder(bench)
        (ordered,) = await bench.wipe(device)
        first = bench.clock()
        for _ in range(10):
            (order,) = await device.ordered(lease)
            assert order.order_id == ordered["id"]
            bench.clock.advance(60)
        assert (await shown(bench, device))["orders"][0]["fetched"] == first
        assert len(await bench.events("wipe.fetched")) == 1

    run(story)


def test_an_order_nobody_could_write_down_is_given_to_nobody() -> None:
    """Order and audit row are one transaction; and an answer whose row fails brings no order."""

    async def story(bench: Bench) -> None:
        device, lease = await holder(bench)
        request = await device.renew_request(lease)
        with failing(bench, "add_audit"):
            assert (await bench.ask("POST", "/v1/orders", {"device": device.id})).status_code == 500
        assert bench.ledger.tables.orders == []
        await bench.wipe(device)
        with failing(bench, "note_fetched"):
            answer = await device.try_renew(lease, request)
        assert answer.status_code == 500
        (row,) = bench.ledger.tables.orders
        assert row.fetched is None
        assert row.signed not in answer.text

    run(story)


@contextlib.contextmanager
def failing(bench: Bench, name: str) -> Iterator[None]:
    """Let one method of every transaction fail."""
    original = type(bench.ledger).begin
    type(bench.ledger).begin = lambda self: _Failing(original(self), name)
    try:
        with structlog.testing.capture_logs():  # traces in colour take seconds
            yield
    finally:
        type(bench.ledger).begin = original


class _Failing:
    """A transaction one of whose methods fails."""

    def __init__(self, inner: object, name: str) -> None:
        self._inner, self._name = inner, name

    async def __aenter__(self) -> object:
        tx = await self._inner.__aenter__()

        async def fails(*_: object, **__: object) -> None:
            raise OSError("disk full")

        setattr(tx, self._name, fails)
        return tx

    async def __aexit__(self, *error: object) -> object:
        return await self._inner.__aexit__(*error)


@pytest.mark.parametrize("alg", [ES256, ED25519])
def test_the_same_receipt_again_changes_nothing(alg: str) -> None:
    """B21: the answer got lost, so the device sends it again; another one, later and different, is refused."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        device = HandDevice(bench, await bench.customer("ada", "digits"), alg)
        await device.enrol()
        lease = await device.leased()
        await bench.wipe(device)
        (order,) = await device.ordered(lease)
        receipt = device.receipt(order)
        for _ in range(3):
            assert (await device.try_receipt(order.order_id, receipt)).status_code == 200
            bench.clock.advance(1)
        (row,) = bench.ledger.tables.orders
        assert (row.reported, row.receipt) == (bench.clock() - 3, receipt)
        assert len(await bench.events("wipe.reported")) == 1
        other = await device.try_receipt(order.order_id, device.receipt(order, orders.ABSENT))
        assert (other.status_code, problem(other)["code"]) == (422, "receipt")
        assert bench.ledger.tables.orders == [row]

    run(story)


def test_an_order_ends_and_a_late_receipt_touches_nothing_newer() -> None:
    """After `expires` releases go on; the receipt that comes later still is written down, for what was before."""

    async def story(bench: Bench) -> None:
        device, lease = await holder(bench)
        await bench.wipe(device)
        (order,) = await device.ordered(lease)
        bench.clock.advance(599)
        assert problem(await device.try_release())["code"] == "order-pending"
        bench.clock.advance(1)
        assert (await shown(bench, device))["orders"][0]["state"] == "expired"
        fresh = await device.leased()
        assert (await device.try_receipt(order.order_id, device.receipt(order))).status_code == 200
        assert (await shown(bench, device))["orders"][0]["state"] == "reported"
        assert (await device.renew(fresh))[1] is not None
        assert (await device.try_renew(lease)).status_code == 404

    run(story, policy=Policy(order_seconds=600))


def test_expired_trust_keeps_no_order_back() -> None:
    async def story(bench: Bench) -> None:
        device, lease = await holder(bench)
        object.__setattr__(bench.office, "trust", dataclasses.replace(bench.trust, expires=bench.clock()))
        await bench.wipe(device)
        (order,) = await device.ordered(lease)
        assert (await device.try_receipt(order.order_id, device.receipt(order))).status_code == 200

    run(story)


def test_what_is_ordered_is_what_was_asked_for() -> None:
    """Everything, one model, one version; said twice it is ordered once."""

    async def story(bench: Bench) -> None:
        device, _ = await holder(bench)
        await bench.publish(version="1.1", counter=2)
        await bench.publish(model="other", version="1.0", counter=1)
        assert (await bench.ask("POST", "/v1/entitlements", {"account": "ada", "model": "other"})).status_code == 201
        await device.release()
        bench.clock.advance(1)
        newest = await device.leased(model="other")
        (one,) = await bench.wipe(device, model="digits", version="1.0")
        assert (one["model"], one["version"]) == ("digits", "1.0")
        both = await bench.wipe(device, model="digits")
        assert {order["version"] for order in both} == {"1.0", "1.1"}
        assert one["id"] in {order["id"] for order in both}
        every = await bench.wipe(device)
        assert [(order["model"], order["version"]) for order in every] == [
            ("other", "1.0"), ("digits", "1.1"), ("digits", "1.0"),
        ]  # fmt: skip
        assert await bench.wipe(device) == every
        assert len(await bench.events("wipe.ordered")) == 3
        (order,) = await device.ordered(newest)
        assert order.lease == newest.lease_id

    run(story)


def test_one_answer_carries_all_orders_of_a_model() -> None:
    """A device with no lease left cannot ask for more, so of 20 versions it had, the 16 newest are ordered."""

    async def story(bench: Bench) -> None:
        device, lease = await holder(bench)
        for number in range(2, 21):
            await bench.publish(version=f"1.{number}", counter=number)
            bench.clock.advance(1)
            lease = await device.leased()
        assert len(await bench.wipe(device)) == 16
        found = await device.ordered(lease)
        assert {order.version for order in found} == {f"1.{number}" for number in range(5, 21)}
        for order in found:
            assert (await device.try_receipt(order.order_id, device.receipt(order, orders.ABSENT))).status_code == 200
        assert (await device.try_release()).status_code == 200

    run(story, watch=calm())


@pytest.mark.parametrize(
    ("asked", "status", "code"),
    [
        ({}, 400, "argument"),
        ({"model": "digits"}, 400, "argument"),
        ({"device": "dev_AAAAAAAAAAAAAAAAAAAAAA"}, 404, "not-found"),
        ({"device": "dev_AAAAAAAAAAAAAAAAAAAAAA", "version": "1.0"}, 400, "argument"),
        ({"device": "ada"}, 400, "shape"),
        ({"model": "digits", "version": "9.9"}, 404, "not-found"),
        ({"model": "../digits", "version": "1.0"}, 400, "shape"),
        ({"device": None, "model": None, "version": None, "after": None}, 400, "argument"),
    ],
    ids=str,
)
def test_orders_that_cannot_be(asked: dict[str, Any], status: int, code: str) -> None:
    async def story(bench: Bench) -> None:
        await holder(bench)
        response = await bench.ask("POST", "/v1/orders", asked)
        assert (response.status_code, problem(response)["code"]) == (status, code)
        assert bench.ledger.tables.orders == []

    run(story)


def test_a_device_that_holds_nothing_of_it_is_ordered_nothing() -> None:
    async def story(bench: Bench) -> None:
        await bench.publish()
        device = await bench.device("ada", "digits")
        response = await bench.ask("POST", "/v1/orders", {"device": device.id})
        assert (response.status_code, problem(response)["code"]) == (404, "not-found")
        assert "device show" in problem(response)["next"]

    run(story)


@pytest.mark.parametrize("role", ["admin", "operator", "publisher", "auditor", "security"])
def test_who_may_order_block_and_look(role: str) -> None:
    """R13, R59: admin and operator act; auditor and security read; a publisher sees no device. Refusals are audited."""

    async def story(bench: Bench) -> None:
        device, _ = await holder(bench)
        token = await bench.operator("someone", role)
        acts, reads = role in ("admin", "operator"), role != "publisher"
        for path, value in (
            ("/v1/orders", {"device": device.id}),
            ("/v1/orders/ord_AAAAAAAAAAAAAAAAAAAAAA/withdraw", None),
            (f"/v1/devices/{device.id}/block", None),
            (f"/v1/devices/{device.id}/unblock", None),
            ("/v1/accounts/ada/restrict", None),
            ("/v1/accounts/ada/restore", None),
            ("/v1/models/digits/versions/1.0/revoke", None),
        ):
            response = await bench.ask("POST", path, value, token)
            assert (response.status_code in (200, 201, 404)) == acts, path
            assert acts or problem(response)["code"] == "forbidden"
        for path in (f"/v1/devices/{device.id}", "/v1/orders"):
            assert ((await bench.ask("GET", path, token=token)).status_code == 200) == reads
        refused = await bench.events("operator.refused")
        assert len(refused) == (0 if acts else 7) + 2 * (not reads)

    run(story)


def test_a_version_is_wiped_wherever_it_is_held_page_by_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All who hold it, each once, whatever the number; who has reported or never had it is left alone."""

    async def story(bench: Bench) -> None:
        first, lease = await holder(bench)
        await bench.wipe(first)
        (order,) = await first.ordered(lease)
        assert (await first.try_receipt(order.order_id, first.receipt(order))).status_code == 200
        await bench.device("nobody", "digits")
        second = await bench.device("eve", "digits")
        await second.leased()
        async with bench.ledger.begin() as tx:
            (like,) = [row for row in await tx.devices() if row.id == second.id]
            (given,) = [await tx.release_of_lease(one.lease) for one in await tx.holdings(second.id)]
            assert given is not None
            for number in range(PAGE):
                name = f"{number:022}"
                await tx.add_device(dataclasses.replace(like, id=f"dev_{name}", thumbprint=number.to_bytes(32)))
                for turn in range(2):
                    ids = {"id": f"rel_{name}{turn}", "lease_id": f"lse_{number:021}{turn}"}
                    row = dataclasses.replace(
                        given, **ids, device=f"dev_{name}", ephemeral=bytes([turn]) + name.encode()
                    )
                    await tx.add_release(row)
        asked: dict[str, Any] = {"model": "digits", "version": "1.0"}
        found: list[str] = []
        for expected in (PAGE, 1):
            answer = (await bench.ask("POST", "/v1/orders", asked)).json()
            assert len(answer["orders"]) == expected
            found += [one["device"] for one in answer["orders"]]
            asked["after"] = answer.get("next")
        assert asked["after"] is None
        assert len(set(found)) == PAGE + 1
        assert second.id in found
        listed = (await bench.ask("GET", "/v1/orders")).json()["orders"]
        assert {one["device"] for one in listed if one["state"] == "pending"} == set(found)
        again = (await bench.ask("POST", "/v1/orders", {"model": "digits", "version": "1.0"})).json()
        assert again == {"orders": []}
        assert len(await bench.events("wipe.ordered")) == PAGE + 2

    monkeypatch.setattr(wipe_orders, "AT_ONCE", PAGE)
    url = sqlite_url(tmp_path / "strongroom.db")
    upgrade(url)
    run(story, ledger=SqlLedger.open(url))


def test_orders_and_receipts_at_once_end_well(tmp_path: Path) -> None:
    """Twenty operators order the same wipe at once, and the device reports twenty times: one order, one receipt."""

    async def story(bench: Bench) -> None:
        device, lease = await holder(bench)
        made = await asyncio.gather(*(bench.wipe(device) for _ in range(20)))
        assert len({one["id"] for (one,) in made}) == 1
        (order,) = await device.ordered(lease)
        texts = [device.receipt(order) for _ in range(20)]
        answers = await asyncio.gather(*(device.try_receipt(order.order_id, text) for text in texts))
        codes = sorted(answer.status_code for answer in answers)
        assert codes == [200] + [422] * 19  # ES256 signs differently each time: these are different receipts
        assert len(await bench.events("wipe.reported")) == 1

    url = sqlite_url(tmp_path / "strongroom.db")
    upgrade(url)
    run(story, ledger=SqlLedger.open(url))


def test_an_order_is_withdrawn() -> None:
    """Given to nobody any more, and the model released again; a device that had it may report all the same."""

    async def story(bench: Bench) -> None:
        device, lease = await holder(bench)
        bench.clock.advance(1)
        for fetch in (False, True):
            (ordered,) = await bench.wipe(device)
            found = await device.ordered(lease) if fetch else []
            assert problem(await device.try_release())["code"] == "order-pending"
            path = f"/v1/orders/{ordered['id']}/withdraw"
            for _ in range(2):
                answer = await bench.ask("POST", path)
                assert (answer.status_code, answer.json()["state"]) == (200, "withdrawn")
            assert (await device.renew(lease))[1] is not None
        bench.clock.advance(1)
        fresh = await device.leased()
        (order,) = found
        assert (await device.try_receipt(order.order_id, device.receipt(order))).status_code == 200
        assert (await device.renew(fresh))[1] is not None  # released after the order was withdrawn
        assert (await device.try_renew(lease)).status_code == 404
        late = await bench.ask("POST", path)
        assert (late.status_code, problem(late)["code"]) == (409, "conflict")
        none = await bench.ask("POST", "/v1/orders/ord_AAAAAAAAAAAAAAAAAAAAAA/withdraw")
        assert (none.status_code, problem(none)["code"]) == (404, "not-found")
        assert len(await bench.events("wipe.withdrawn")) == 2

    run(story)


def rotated(bench: Bench, *keys: SigningKey) -> None:
    """Let the next trust.json name other keys for the role `order`, and let the office open under it."""
    role = Role(1, tuple(Principal((key.public,)) for key in keys))
    bench.trust = dataclasses.replace(bench.trust, version=bench.trust.version + 1, order=role)
    signed = trust_file.split(trust_file.encode(bench.trust, (bench.owner,)))
    object.__setattr__(bench.office, "trust", bench.trust)
    object.__setattr__(bench.office, "trust_documents", (*bench.office.trust_documents, signed))
    object.__setattr__(bench.office, "order_signers", keys)


def test_an_order_outlives_the_key_that_signed_it() -> None:
    """Given under the key of the trust.json in force: same id, same digest, so receipts for either are receipts."""

    async def story(bench: Bench) -> None:
        device, lease = await holder(bench)
        await bench.wipe(device)
        (before,) = await device.ordered(lease)
        for _ in range(2):
            rotated(bench, SigningKey.generate(ED25519))
        (row,) = bench.ledger.tables.orders
        (order,) = await device.ordered(lease)
        assert order == before
        (kept,) = bench.ledger.tables.orders
        assert kept.signed != row.signed
        assert dataclasses.replace(kept, signed=row.signed) == row
        assert await device.ordered(lease) == [order]
        assert bench.ledger.tables.orders == [kept]  # once is enough
        assert (await device.try_receipt(order.order_id, device.receipt(before))).status_code == 200

    run(story)


def test_an_order_whose_key_is_still_named_stays_as_it_is() -> None:
    async def story(bench: Bench) -> None:
        device, lease = await holder(bench)
        await bench.wipe(device)
        (row,) = bench.ledger.tables.orders
        rotated(bench, bench.order_key, SigningKey.generate(ED25519))
        assert len(await device.ordered(lease)) == 1
        assert bench.ledger.tables.orders[0].signed == row.signed

    run(story)
