"""Promoting and revoking: channels only move on, and what is revoked is had by nobody."""

import dataclasses
from typing import Any

import pytest

from protocol_client import Bench, HandDevice, problem, run
from strongroom.wire import orders


async def promote(bench: Bench, version: str, channel: str = "stable", token: str | None = None) -> Any:
    asked = {"model": "digits", "version": version, "channel": channel}
    return await bench.ask("POST", "/v1/channels", asked, token)


async def revoke(bench: Bench, version: str) -> Any:
    return await bench.ask("POST", f"/v1/models/digits/versions/{version}/revoke")


async def standing(bench: Bench) -> list[tuple[str, str, str]]:
    found = (await bench.ask("GET", "/v1/models/digits")).json()["channels"]
    listed = (await bench.ask("GET", "/v1/models")).json()["models"]
    assert listed == [{"model": "digits", "channels": found}]
    return [(one["channel"], one["version"], one["state"]) for one in found]


def test_a_promoted_version_is_what_the_channel_gives() -> None:
    """Said twice it is done once; `before` says what the channel stood for."""

    async def story(bench: Bench) -> None:
        await bench.publish(version="1.0", counter=1)
        await bench.publish(version="1.1", counter=2, channel=None)
        device = await bench.device("ada", "digits")
        assert (await device.release())[0].version == "1.0"
        moved = (await promote(bench, "1.1")).json()
        assert moved == {"model": "digits", "version": "1.1", "channel": "stable", "before": "1.0"}
        assert (await device.release())[0].version == "1.1"
        again = await promote(bench, "1.1")
        assert (again.status_code, again.json()["before"]) == (201, None)
        assert (await promote(bench, "1.0", "older")).status_code == 201  # a channel of its own begins anywhere
        assert await standing(bench) == [("older", "1.0", "ready"), ("stable", "1.1", "ready")]
        moves = [event.subject for event in await bench.events("channel.moved") if event.actor]
        assert moves == ["digits@stable", "digits@older"]

    run(story)


def test_a_channel_does_not_move_back() -> None:
    """B17: not to an older version, not when the later one is revoked; the refusal says what to do instead."""

    async def story(bench: Bench) -> None:
        await bench.publish(version="1.0", counter=1)
        await bench.publish(version="1.1", counter=2)
        for _ in range(2):
            refused = await promote(bench, "1.0")
            assert (refused.status_code, problem(refused)["code"]) == (409, "conflict")
            assert "publish" in problem(refused)["next"]
            assert (await revoke(bench, "1.1")).status_code == 200
        assert await standing(bench) == [("stable", "1.1", "revoked")]
        await bench.publish(version="1.2", counter=3)
        assert await standing(bench) == [("stable", "1.2", "ready")]

    run(story)


def test_only_what_is_ready_is_promoted() -> None:
    async def story(bench: Bench) -> None:
        made = bench.seal("digits", "1.0")
        assert (await bench.ask("POST", "/v1/deposits", await bench.deposit_of(made, channel=None))).status_code == 201
        for answer in (await promote(bench, "1.0"), await revoke(bench, "1.0")):
            assert (answer.status_code, problem(answer)["code"]) == (409, "conflict")
            assert "uploading" in problem(answer)["detail"]
        for answer in (await promote(bench, "9.9"), await revoke(bench, "9.9")):
            assert (answer.status_code, problem(answer)["code"]) == (404, "not-found")
        assert bench.ledger.tables.channels == {}

    run(story)


@pytest.mark.parametrize("selector", ["@stable", "1.1"])
def test_a_revoked_version_is_had_by_nobody(selector: str) -> None:
    """B26: by channel or by name, a key or fresh links; its channel gives out nothing, and an older version is had."""

    async def story(bench: Bench) -> None:
        await bench.publish(version="1.0", counter=1)
        await bench.publish(version="1.1", counter=2)
        device = await bench.device("ada", "digits")
        grant, _ = await device.release(version=selector)
        done = (await revoke(bench, "1.1")).json()
        assert (done["state"], done["channels"]) == ("revoked", ["stable"])
        mine = await device.try_release(version=selector)
        for response in (mine, await device.try_urls(grant.release_id, version="1.1")):
            assert (response.status_code, problem(response)["code"]) == (404, "not-found")
        unknown = await device.try_release(version="9.9")
        assert problem(mine) | {"instance": ""} == problem(unknown) | {"instance": ""}
        assert (await device.try_release(version="1.0")).status_code == 200
        assert (await revoke(bench, "1.1")).json() == done
        assert len(await bench.events("version.revoked")) == 1

    run(story)


def test_a_revoked_version_does_not_come_back() -> None:
    """Its name, its counter and its state are used up: no deposit, no `complete` and no channel revive it."""

    async def story(bench: Bench) -> None:
        made = await bench.publish(version="1.0", counter=1)
        await revoke(bench, "1.0")
        refused = [
            await bench.ask("POST", "/v1/deposits", await bench.deposit_of(made)),
            await bench.ask("POST", "/v1/models/digits/versions/1.0/complete"),
            await promote(bench, "1.0", "other"),
        ]
        assert [problem(one)["code"] for one in refused] == ["conflict"] * 3
        assert (await bench.ask("GET", "/v1/models/digits/versions/1.0")).json()["state"] == "revoked"

    run(story)


def test_a_device_that_holds_a_revoked_version_is_told_of_nothing_until_it_is_ordered() -> None:
    """Revoked alone, the renewal is refused; with an order, the order comes first."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        device = await bench.device("ada", "digits")
        lease = await device.leased()
        await revoke(bench, "1.0")
        assert problem(await device.try_renew(lease))["code"] == "not-found"
        wiped = await bench.ask("POST", "/v1/orders", {"model": "digits", "version": "1.0"})
        assert len(wiped.json()["orders"]) == 1
        (order,) = await device.ordered(lease)
        receipt = device.receipt(order, orders.ABSENT)
        assert (await device.try_receipt(order.order_id, receipt)).status_code == 200
        assert problem(await device.try_renew(lease))["code"] == "not-found"

    run(story)


@pytest.mark.parametrize("role", ["admin", "operator", "publisher", "auditor", "security"])
def test_who_may_promote(role: str) -> None:
    """A publisher promotes what it published itself and nothing else, and revokes nothing."""

    async def story(bench: Bench) -> None:
        await bench.publish(version="1.0", counter=1, channel=None)
        token = await bench.operator("someone", role)
        answer = await promote(bench, "1.0", token=token)
        assert (answer.status_code == 201) == (role in ("admin", "operator")), answer.text
        if role == "publisher":
            (row,) = bench.ledger.tables.versions
            me = (await bench.ask("GET", "/v1/whoami", token=token)).json()["id"]
            object.__setattr__(row, "publisher", me)
            assert (await promote(bench, "1.0", token=token)).status_code == 201
        assert len(await bench.events("operator.refused")) == (role not in ("admin", "operator"))

    run(story)


def test_a_right_to_a_channel_is_no_right_to_what_was_revoked() -> None:
    async def story(bench: Bench) -> None:
        await bench.publish()
        device = HandDevice(bench, await bench.customer("ada", "digits", channel="stable"))
        await device.enrol()
        lease = await device.leased()
        await revoke(bench, "1.0")
        for version in ("@stable", "1.0"):
            assert problem(await device.try_release(version=version))["code"] == "not-found"
        assert problem(await device.try_renew(lease))["code"] == "not-found"

    run(story)


def test_what_is_of_another_epoch_is_neither_promoted_nor_released() -> None:
    """The owners raised the epoch: no device would take it, so it is said before, and to the device "not found"."""

    async def story(bench: Bench) -> None:
        await bench.publish(version="1.0", counter=1)
        device = await bench.device("ada", "digits")
        lease = await device.leased()
        raised = dataclasses.replace(bench.trust, version=2, epochs=(("digits", 2),))
        object.__setattr__(bench.office, "trust", raised)
        refused = await promote(bench, "1.0", "beta")
        assert (refused.status_code, problem(refused)["code"]) == (409, "conflict")
        assert "epoch 1, but trust.json says 2" in problem(refused)["detail"]
        assert "publish" in problem(refused)["next"]
        released = await device.try_release()
        assert (released.status_code, problem(released)["code"]) == (404, "not-found")
        assert set(problem(released)) == {"type", "title", "status", "code", "instance"}
        (event,) = await bench.events("release.refused")
        assert event.detail["where"] == "digits: epoch 1, but 2 in trust.json"
        assert (await device.renew(lease))[1] is not None  # what it has it keeps

    run(story)
