"""B08, B09: evidence of another request, another device or another TPM, counters again, and two at once."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from attesting_devices import KITS, AttestingDevice, new, office
from fakes import MemoryStore
from protocol_client import DEVICES, Bench, problem, run
from stand_ins import kits
from strongroom.server.attestation import Attestation
from strongroom.server.identify import thumbprint
from strongroom.server.ledger import upgrade
from strongroom.server.ledger.engine import sqlite_url
from strongroom.server.ledger.sql import SqlLedger
from strongroom.testing import TestChip
from strongroom.wire.activation import ActivationAnswer
from strongroom.wire.binding import Binding
from strongroom.wire.messages import Evidence
from watched_offices import calm


def both() -> Attestation:
    """An office of its own: its breaker counts this test alone."""
    return office("app-attest", "tpm")


async def enrolled(bench: Bench, name: str = "ada", **its: Any) -> AttestingDevice:
    """A device with a phone's key and a chip, both attested."""
    device = await new(bench, name, **its)
    await device.enrol_phone()
    assert (await device.enrol_chip()).status_code == 201
    return device


def makers(device: AttestingDevice) -> dict[str, Any]:
    """How each kind of evidence is made."""
    return {"app-attest": device.assertion, "tpm": device.quote}


async def refused_as(bench: Bench, response: Any, verdict: str) -> None:
    """See that a request was refused, and by which check; the answer says nothing of it."""
    body = problem(response)
    assert (response.status_code, body["code"], body["title"]) == (403, "evidence", "attestation refused")
    assert body.keys() == {"type", "title", "status", "code", "instance"}
    rows = [one for one in await bench.events("attestation.refused") if one.detail["reference"] == body["instance"]]
    assert [one.detail["verdict"] for one in rows] == [verdict]


@pytest.mark.parametrize("kind", ["app-attest", "tpm"])
def test_evidence_of_an_earlier_request_is_refused(kind: str) -> None:
    """B08: genuine, by the right key, for the challenge before."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        ada = await enrolled(bench)
        request, _ = await ada.ask(makers(ada)[kind])
        assert (await ada.device.try_release(request)).status_code == 200
        again = await ada.release(lambda _: request.evidence)
        await refused_as(bench, again, "binding")

    run(story, attestation=both())


FIELDS = {
    "purpose": "renew",
    "challenge": bytes(32),
    "public_key": bytes(32),
    "account": "acc_AAAAAAAAAAAAAAAAAAAAAA",
    "device": "dev_AAAAAAAAAAAAAAAAAAAAAA",
    "device_key": bytes(32),
    "platform": "ios",
    "model": "letters",
    "version": "1.0",
}


@pytest.mark.parametrize("field", sorted(FIELDS))
@pytest.mark.parametrize("kind", ["app-attest", "tpm"])
def test_evidence_for_another_request_is_refused(kind: str, field: str) -> None:
    """B08: made for a request that differs in one field alone."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        ada = await enrolled(bench)
        other = await ada.release(lambda binding: makers(ada)[kind](replace(binding, **{field: FIELDS[field]})))
        await refused_as(bench, other, "binding")

    run(story, attestation=both())


@pytest.mark.parametrize("kind", ["app-attest", "tpm"])
def test_evidence_of_one_device_does_not_serve_another(kind: str) -> None:
    """B09: ada's phone signs the very binding of eve's request, by eve's device key; the attested key is ada's."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        ada, eve = await enrolled(bench), await enrolled(bench, "eve")
        relayed = await eve.release(makers(ada)[kind])
        await refused_as(bench, relayed, "binding" if kind == "app-attest" else "key")
        assert (await eve.release(makers(eve)[kind])).status_code == 200

    run(story, attestation=both())


def test_evidence_of_one_device_with_the_key_of_another() -> None:
    """B09: ada's evidence, made for ada's own request, in a request that eve's key proves."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        ada, eve = await enrolled(bench), await enrolled(bench, "eve")
        request, _ = await ada.ask(ada.quote)
        stolen = await eve.release(lambda _: request.evidence)
        await refused_as(bench, stolen, "key")

    run(story, attestation=both())


def test_a_new_key_is_not_slipped_in_with_a_request() -> None:
    """B09: a genuine attestation of a fresh key, or of another chip, in the place of what is known."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        ada = await enrolled(bench)
        await refused_as(bench, await ada.release(ada.attestation), "key")
        for chip in (KITS.tpm.chip(), ada.chip):

            def anew(binding: Binding, chip: TestChip = chip) -> tuple[Evidence, ...]:
                return (Evidence("tpm", chip.enrol(binding.digest(), activation=bytes(32))),)

            await refused_as(bench, await ada.release(anew), "key")

    run(story, attestation=both(), watch=calm())


@pytest.mark.parametrize("counter", [0, 1, 2, 3])
def test_a_counter_that_does_not_rise_is_refused(counter: int) -> None:
    """B08: a cloned key would count for itself."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        ada = await enrolled(bench)
        for _ in range(3):
            assert (await ada.release(ada.assertion)).status_code == 200

        def old(binding: Binding) -> tuple[Evidence, ...]:
            return (Evidence("app-attest", ada.phone.sign(binding.digest(), counter)),)

        await refused_as(bench, await ada.release(old), "replay")
        ada.phone.counter = 3
        assert (await ada.release(ada.assertion)).status_code == 200

    run(story, attestation=both())


def test_a_counter_that_a_renewal_used_is_used() -> None:
    """B08: whichever request comes first."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        ada = await enrolled(bench)
        lease = await ada.lease(ada.assertion)
        assert (await ada.renew(lease, ada.assertion)).status_code == 200

        def old(binding: Binding) -> tuple[Evidence, ...]:
            return (Evidence("app-attest", ada.phone.sign(binding.digest(), 2)),)

        await refused_as(bench, await ada.release(old), "replay")
        await refused_as(bench, await ada.renew(lease, old), "replay")

    run(story, attestation=both(), watch=calm())


def test_a_chip_whose_clock_goes_back_is_refused() -> None:
    """B08: a software TPM put back to an older copy of its state."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        chip = KITS.tpm.chip()
        chip.clock, chip.reset_count = 1_000_000, 5
        ada = await enrolled(bench, chip=chip)
        clock, resets = ada.chip.clock, ada.chip.reset_count
        for bend in ({"clock": clock - 100_000}, {"reset_count": resets - 1}):
            assert (await ada.release(ada.quote)).status_code == 200
            before = {name: getattr(ada.chip, name) for name in bend}
            for name, value in bend.items():
                setattr(ada.chip, name, value)
            await refused_as(bench, await ada.release(ada.quote), "replay")
            for name, value in before.items():
                setattr(ada.chip, name, value)

    run(story, attestation=both())


@pytest.mark.parametrize("where", ["memory", "sqlite"])
def test_of_many_releases_with_one_counter_one_wins(where: str, tmp_path: Path) -> None:
    """B08: ten requests at once, each genuine but for its counter, which is that of all the others."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        ada = await enrolled(bench)

        def same(binding: Binding) -> tuple[Evidence, ...]:
            return (Evidence("app-attest", ada.phone.sign(binding.digest(), 1)),)

        requests = [(await ada.ask(same))[0] for _ in range(10)]
        answers = await asyncio.gather(*map(ada.device.try_release, requests))
        assert sorted(answer.status_code for answer in answers) == [200] + [403] * 9
        assert {row.detail["verdict"] for row in await bench.events("attestation.refused")} == {"replay"}
        assert len(await bench.events("release.granted")) == 1

    ledger = None
    if where == "sqlite":
        url = sqlite_url(tmp_path / "strongroom.db")
        upgrade(url)
        ledger = SqlLedger.open(url)
    run(story, attestation=both(), ledger=ledger)


def test_who_judged_by_an_older_state_loses() -> None:
    """B08: the counter moved while a request was being judged; its evidence was genuine, and is too late."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        ada = await enrolled(bench)
        slow, quick = (await ada.ask(ada.assertion))[0], (await ada.ask(ada.assertion))[0]
        size, waiting = bench.store.size, asyncio.Event()

        async def late(name: str) -> int | None:  # between judging and the transaction
            if not waiting.is_set():
                waiting.set()
                assert (await ada.device.try_release(quick)).status_code == 200
            return await size(name)

        bench.store.size = late
        await refused_as(bench, await ada.device.try_release(slow), "replay")
        assert len(await bench.events("release.granted")) == 1

    run(story, attestation=both(), store=SlowStore(DEVICES))


class SlowStore(MemoryStore):
    """One whose methods a test may put others in the place of."""

    __slots__ = ("__dict__",)


def test_a_device_that_proves_nothing_is_refused() -> None:
    """B09: whatever else is right with its request."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        ada = await new(bench)
        await ada.device.enrol()
        response = await ada.release(None)
        assert (response.status_code, problem(response)["code"]) == (403, "attestation-needed")
        assert not await bench.events("release.granted")

    run(story, attestation=both())


@pytest.mark.parametrize("activation", [b"", bytes(32), b"x"], ids=["none", "zeros", "short"])
def test_a_chip_that_was_not_activated_does_not_enrol(activation: bytes) -> None:
    """B09: certificate and keys of a genuine chip are no secret; opening a credential is what only it can do."""

    async def story(bench: Bench) -> None:
        ada = await new(bench)
        await refused_as(bench, await ada.enrol_chip(activation=activation), "key")
        async with bench.ledger.begin() as tx:
            assert await tx.device_by_thumbprint(thumbprint(ada.device.key.public)) is None
        assert not await bench.events("device.enrolled")

    run(story, attestation=both())


def test_the_credential_of_another_chip_activates_nothing() -> None:
    """B09: a genuine chip of eve's opens its own credential, to enrol a key that lives in software as hers."""

    async def story(bench: Bench) -> None:
        ada = await new(bench)
        mine, genuine = ada.chip, KITS.tpm.chip()
        challenge = await ada.device.challenge("enrol", None)
        answer = await ada.activation(challenge, genuine)
        opened = genuine.activate(ActivationAnswer.from_bytes(answer.content).credential)
        hybrid = replace(mine, ek_certificates=genuine.ek_certificates, ek=genuine.ek)

        def make(binding: Binding) -> tuple[Evidence, ...]:
            return (Evidence("tpm", hybrid.enrol(binding.digest(), activation=opened)),)

        await refused_as(bench, await ada.enrol_with(make, challenge), "key")

    run(story, attestation=both())


def test_an_activation_is_for_one_challenge() -> None:
    """B08: a secret from an earlier enrolment of the same keys."""

    async def story(bench: Bench) -> None:
        ada = await new(bench)
        before = await ada.activated(await ada.device.challenge("enrol", None))
        await refused_as(bench, await ada.enrol_chip(activation=before), "key")

    run(story, attestation=both())


def test_activations_are_for_challenges_that_are_outstanding() -> None:
    """B08: unknown, another's, of another purpose, used up or over: no credential."""

    async def story(bench: Bench) -> None:
        ada, eve = await new(bench), await new(bench, "eve")
        hers = await eve.device.challenge("enrol", None)
        used = await ada.device.challenge("enrol", None)
        assert (await ada.enrol_with(ada.attestation, used)).status_code == 201
        release = await ada.device.challenge("release")
        old = await ada.device.challenge("enrol", None)
        for challenge in (bytes(32), hers, used, release):
            response = await ada.activation(challenge)
            assert (response.status_code, problem(response)["code"]) == (403, "challenge")
        assert (await ada.activation(old)).status_code == 200
        bench.clock.advance(61)
        response = await ada.activation(old)
        assert (response.status_code, problem(response)["code"]) == (403, "challenge")
        assert len(await bench.events("activation.refused")) == 5

    run(story, attestation=both())


def test_keys_of_no_known_maker_get_no_credential() -> None:
    """B09: a chip that anybody could have made in software."""

    async def story(bench: Bench) -> None:
        ada = await new(bench, chip=kits(seed=99).tpm.chip())
        response = await ada.activation(await ada.device.challenge("enrol", None))
        assert (response.status_code, problem(response)["code"]) == (403, "evidence")
        (row,) = await bench.events("activation.refused")
        assert row.detail["verdict"] == "chain"

    run(story, attestation=both())


def test_where_nobody_asks_for_a_chip_there_is_no_activation() -> None:
    """B09: and no credential is made for whoever asks."""

    async def story(bench: Bench) -> None:
        ada = await new(bench)
        response = await ada.activation(await ada.device.challenge("enrol", None))
        assert (response.status_code, problem(response)["code"]) == (404, "not-found")

    run(story, attestation=office("app-attest"))
