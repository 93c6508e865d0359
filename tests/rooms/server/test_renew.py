"""Renew: what a device that holds a version gets, and the order in which it is refused (protocol.md section 9)."""

import dataclasses

import pytest

from protocol_client import Bench, HandDevice, problem, run
from strongroom.wire.lease import offline_until
from strongroom.wire.messages import Evidence, Lease


async def holder(bench: Bench, channel: str | None = None) -> tuple[HandDevice, Lease]:
    """A device of ada with a lease of digits 1.0."""
    await bench.publish()
    device = HandDevice(bench, await bench.customer("ada", "digits", channel=channel))
    await device.enrol()
    return device, await device.leased()


def test_a_renewal_is_a_longer_lease_of_the_same_name() -> None:
    """No key is touched; the row keeps its identifier, the device is seen, and the audit log has one line."""

    async def story(bench: Bench) -> None:
        device, lease = await holder(bench)
        bench.vault.kept.clear()  # an unwrap would fail now
        bench.clock.advance(86_400)
        answer, new = await device.renew(lease)
        assert new is not None
        assert (new.lease_id, new.version, new.files) == (lease.lease_id, "1.0", lease.files)
        assert (new.issued, new.expires) == (bench.clock(), bench.clock() + bench.office.policy.lease_seconds)
        assert offline_until(new) == offline_until(lease) + 86_400
        assert (answer.latest.version, answer.orders, answer.server_time) == ("1.0", (), bench.clock())
        (row,) = bench.ledger.tables.releases
        assert (row.lease_id, row.lease_expires) == (lease.lease_id, new.expires)
        assert bench.ledger.tables.devices[0].seen == bench.clock()
        (event,) = await bench.events("lease.renewed")
        assert (event.actor, event.subject) == (device.id, "digits@1.0")
        assert (event.detail["lease"], event.detail["expires"]) == (lease.lease_id, new.expires)

    run(story)


def test_a_lease_that_is_over_is_renewed_all_the_same() -> None:
    """The device holds the file; what it needs is an answer, and no key."""

    async def story(bench: Bench) -> None:
        device, lease = await holder(bench)
        bench.clock.advance(bench.office.policy.lease_seconds + 1)
        _, new = await device.renew(lease)
        assert new is not None
        assert new.expires > bench.clock()

    run(story)


@pytest.mark.parametrize("channel", [None, "stable"])
def test_a_channel_that_moves_on_does_not_end_a_lease(channel: str | None) -> None:
    """The right was to the channel; the version it pointed to before is renewed, and `latest` says what is newer."""

    async def story(bench: Bench) -> None:
        device, lease = await holder(bench, channel)
        await bench.publish(version="1.1", counter=2)
        answer, new = await device.renew(lease)
        assert new is not None
        assert (answer.version, answer.latest.version, answer.latest.counter) == ("1.0", "1.1", 2)
        exact, _ = await device.renew(lease, version="1.0")
        assert (exact.latest.version, exact.latest.counter) == ("1.0", 1)

    run(story)


def test_a_restored_account_and_an_unblocked_device_go_on() -> None:
    async def story(bench: Bench) -> None:
        device, lease = await holder(bench)
        for shut, again in (
            (f"/v1/devices/{device.id}/block", f"/v1/devices/{device.id}/unblock"),
            ("/v1/accounts/ada/restrict", "/v1/accounts/ada/restore"),
        ):
            for _ in range(2):  # twice is as once
                assert (await bench.ask("POST", shut)).status_code == 200
            refused = await device.send("/v1/challenges", b'{"model":"digits","purpose":"release"}')
            assert problem(refused)["code"] == "token"
            assert (await bench.ask("POST", again)).json()["state"] == "active"
            assert (await device.renew(lease))[1] is not None
        for name in ("device.blocked", "device.unblocked", "account.restricted", "account.restored"):
            assert len(await bench.events(name)) == 1

    run(story)


def test_evidence_nobody_can_judge_is_refused() -> None:
    """Fails closed, as a release does."""

    async def story(bench: Bench) -> None:
        device, lease = await holder(bench)
        response = await device.try_renew(lease, evidence=(Evidence("sgx", b"x"),))
        assert (response.status_code, problem(response)["code"]) == (403, "evidence")
        (event,) = await bench.events("lease.refused")
        assert (event.subject, event.detail["code"]) == (lease.lease_id, "evidence")
        assert event.detail["reference"] == problem(response)["instance"]

    run(story)


def test_an_expired_trust_document_renews_nothing() -> None:
    """Its expiry is the owners' word that nothing is granted under it any more."""

    async def story(bench: Bench) -> None:
        device, lease = await holder(bench)
        object.__setattr__(bench.office, "trust", dataclasses.replace(bench.trust, expires=bench.clock()))
        response = await device.try_renew(lease)
        assert (response.status_code, problem(response)["code"]) == (503, "trust-expired")

    run(story)
