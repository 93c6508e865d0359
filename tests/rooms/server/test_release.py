"""Release: what a device gets, and the order in which it is refused (protocol.md section 8)."""

import dataclasses

import pytest

from protocol_client import PLAIN, Bench, HandDevice, have, open_model, problem, run
from strongroom.server.policy import Policy
from strongroom.wire import hpke
from strongroom.wire.messages import Evidence, UrlsAnswer


def test_a_release_opens_the_model() -> None:
    """R39 to R46: the sealed key opens with the ephemeral key, the link leads to the file, the file opens with it."""

    async def story(bench: Bench) -> None:
        made = await bench.publish()
        device = await bench.device("ada", "digits")
        grant, (key,) = await device.release()
        assert key == made.key
        assert (grant.model, grant.version, grant.counter) == ("digits", "1.0", 1)
        assert grant.urls_expire == bench.clock() + 300
        body = await bench.devices.get(grant.files[0].url)
        assert open_model(body.content, key, bench, made) == PLAIN

    run(story)


@pytest.mark.parametrize("kem", sorted(hpke.KEMS))
def test_every_kem_is_served(kem: int) -> None:
    """R41, R52."""

    async def story(bench: Bench) -> None:
        made = await bench.publish()
        device = await bench.device("ada", "digits")
        _, (key,) = await device.release(ephemeral=hpke.EphemeralKey.generate(kem))
        assert key == made.key

    run(story)


def test_the_release_and_its_audit_row_are_one_transaction() -> None:
    """E01: no release without its audit row, no audit row without its release."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        device = await bench.device("ada", "digits")
        grant, _ = await device.release()
        (event,) = await bench.events("release.granted")
        assert event.detail["release"] == grant.release_id
        assert event.detail["platform"] == "linux"  # R40: device facts are in the audit line
        assert [row.id for row in bench.ledger.tables.releases] == [grant.release_id]

        async def fails(_event: object) -> None:
            raise OSError("disk full")

        request, _ = await device.release_request()
        original = type(bench.ledger).begin

        def begin(self: object) -> object:
            return _Breaking(original(self), fails)

        type(bench.ledger).begin = begin
        try:
            response = await device.try_release(request)
        finally:
            type(bench.ledger).begin = original
        assert response.status_code == 500
        assert problem(response)["code"] == "internal"
        assert "disk" not in response.text
        assert len(bench.ledger.tables.releases) == 1

    run(story)


class _Breaking:
    """A transaction whose audit log fails."""

    def __init__(self, inner: object, fails: object) -> None:
        self._inner, self._fails = inner, fails

    async def __aenter__(self) -> object:
        tx = await self._inner.__aenter__()
        tx.add_audit = self._fails
        return tx

    async def __aexit__(self, *error: object) -> object:
        return await self._inner.__aexit__(*error)


def test_who_has_the_newest_gets_a_grant_without_keys() -> None:
    """A signed answer with a lease, and no unwrap at all."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        device = await bench.device("ada", "digits")
        first, _ = await device.release()
        bench.vault.kept.clear()  # an unwrap would fail now
        second, keys = await device.release(have=have(first))
        assert second.sealed is None
        assert keys == ()
        assert second.lease
        (_, event) = await bench.events("release.granted")
        assert event.detail["keys"] == 0

    run(story)


def test_a_new_version_on_the_channel_is_what_is_released() -> None:
    """Who has the old version gets the keys of the new one."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        device = await bench.device("ada", "digits")
        first, _ = await device.release()
        made = await bench.publish(version="1.1", counter=2)
        second, (key,) = await device.release(have=have(first))
        assert (second.version, second.latest.version) == ("1.1", "1.1")
        assert key == made.key
        old, _ = await device.release(version="1.0")
        assert old.version == "1.0"

    run(story)


def test_a_missing_object_gives_no_key() -> None:
    """E05: the MEK is not given if the object is absent, and not even unwrapped."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        device = await bench.device("ada", "digits")
        request, _ = await device.release_request()
        bench.store.objects.clear()
        unwrapped = []
        bench.vault.__class__ = type(
            "Watched", (type(bench.vault),), {"__slots__": (), "unwrap": lambda *a: unwrapped.append(a)}
        )
        response = await device.try_release(request)
        assert response.status_code == 503
        assert unwrapped == []

    run(story)


def test_an_expired_trust_document_grants_nothing() -> None:
    """Its expiry is the owners' word that nothing is granted under it any more; the challenge is not used up."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        device = await bench.device("ada", "digits")
        request, _ = await device.release_request()
        expires = bench.trust.expires
        object.__setattr__(bench.office, "trust", dataclasses.replace(bench.trust, expires=bench.clock()))
        response = await device.try_release(request)
        assert (response.status_code, problem(response)["code"]) == (503, "trust-expired")
        (event,) = await bench.events("release.refused")
        assert event.detail["code"] == "trust-expired"
        object.__setattr__(bench.office, "trust", dataclasses.replace(bench.trust, expires=expires))
        assert (await device.try_release(request)).status_code == 200

    run(story)


def test_an_altered_wrapped_key_is_named_and_not_a_mistake_of_ours(capsys: pytest.CaptureFixture[str]) -> None:
    """D flips a bit of a wrapped key: no key, an audit row that says so, and no trace in the log."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        device = await bench.device("ada", "digits")
        (file,) = bench.ledger.tables.files
        wrapped = bytes([file.wrapped[0] ^ 1]) + file.wrapped[1:]
        bench.ledger.tables.files[:] = [dataclasses.replace(file, wrapped=wrapped)]
        response = await device.try_release()
        assert (response.status_code, problem(response)["code"]) == (503, "vault-refused")
        (event,) = await bench.events("release.refused")
        assert event.detail["code"] == "vault-refused"
        assert event.detail["reference"] == problem(response)["instance"]

    run(story)
    printed = "".join(capsys.readouterr())
    assert "Traceback" not in printed


def test_evidence_nobody_can_judge_is_refused() -> None:
    """Fails closed: evidence that is not judged never looks as if it had been."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        device = await bench.device("ada", "digits")
        response = await device.try_release(evidence=(Evidence("sgx", b"x"),))
        assert (response.status_code, problem(response)["code"]) == (403, "evidence")
        (event,) = await bench.events("release.refused")
        assert event.detail["code"] == "evidence"
        assert event.detail["reference"] == problem(response)["instance"]

    run(story)


def test_a_right_to_a_channel_is_a_right_to_what_it_points_to_now() -> None:
    """Asked for by channel or by that version; nothing else."""

    async def story(bench: Bench) -> None:
        await bench.publish(version="1.0", counter=1)
        await bench.publish(version="1.1", counter=2)
        await bench.publish(version="2.0", counter=3, channel="beta")
        device = HandDevice(bench, await bench.customer("ada", "digits", channel="stable"))
        await device.enrol()
        got = {
            one: (await device.try_release(version=one)).status_code
            for one in ("@stable", "1.1", "1.0", "@beta", "2.0")
        }
        assert got == {"@stable": 200, "1.1": 200, "1.0": 404, "@beta": 404, "2.0": 404}

    run(story)


def test_a_right_ends() -> None:
    """Until a time, and not a second longer."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        device = await bench.device("ada")
        right = {"account": "ada", "model": "digits", "user": "ada", "until": bench.clock() + 50}
        assert (await bench.ask("POST", "/v1/entitlements", right)).status_code == 201
        bench.clock.advance(49)
        assert (await device.try_release()).status_code == 200
        bench.clock.advance(1)
        assert (await device.try_release()).status_code == 404

    run(story)


def test_a_right_written_into_the_database_entitles_nobody() -> None:
    """B27: the database alone; a forged MAC, a copied one, and a changed row."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        await bench.publish(model="other", counter=1)
        eve = await bench.device("eve", "other")
        (genuine,) = bench.ledger.tables.entitlements
        forged = dataclasses.replace(genuine, id=bench.office.new_id("ent"), model="digits")
        bench.ledger.tables.entitlements.append(forged)
        assert (await eve.try_release()).status_code == 404
        assert [event.subject for event in await bench.events("entitlement.forged")] == [forged.id]
        bench.ledger.tables.entitlements[:] = [dataclasses.replace(genuine, until=bench.clock() + 10**6)]
        assert (await eve.try_release(model="other")).status_code == 404
        bench.ledger.tables.entitlements[:] = [genuine]
        assert (await eve.try_release(model="other")).status_code == 200

    run(story)


def test_fresh_links_come_without_a_key() -> None:
    """R70, R71: shorter on request, never longer than policy."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        device = await bench.device("ada", "digits")
        grant, _ = await device.release()
        bench.clock.advance(301)
        assert (await bench.devices.get(grant.files[0].url)).status_code == 403
        answer = UrlsAnswer.from_bytes((await device.try_urls(grant.release_id, seconds=20)).content)
        assert answer.urls_expire == bench.clock() + 20
        assert (await bench.devices.get(answer.urls[0])).status_code == 200
        for seconds in (301, 86_400):
            response = await device.try_urls(grant.release_id, seconds=seconds)
            assert (response.status_code, problem(response)["code"]) == (422, "url-lifetime")

    run(story)


def test_fresh_links_need_a_right_that_is_alive() -> None:
    """B26: taken away, the next request is refused."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        device = await bench.device("ada", "digits")
        grant, _ = await device.release()
        (right,) = bench.ledger.tables.entitlements
        assert (await bench.ask("DELETE", f"/v1/entitlements/{right.id}")).status_code == 204
        for response in (await device.try_urls(grant.release_id), await device.try_release()):
            assert (response.status_code, problem(response)["code"]) == (404, "not-found")

    run(story)


def test_fresh_links_are_for_the_device_of_the_release() -> None:
    """Another's release and no release are one answer."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        ada, eve = await bench.device("ada", "digits"), await bench.device("eve", "digits")
        grant, _ = await ada.release()
        others = await eve.try_urls(grant.release_id)
        nobodys = await eve.try_urls("rel_AAAAAAAAAAAAAAAAAAAAAA")
        assert (others.status_code, nobodys.status_code) == (404, 404)
        assert {**problem(others), "instance": ""} == {**problem(nobodys), "instance": ""}

    run(story)


def test_policy_decides_lifetimes() -> None:
    """R70."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        device = await bench.device("ada", "digits")
        grant, _ = await device.release()
        assert grant.urls_expire == bench.clock() + 1
        bench.clock.advance(1)
        response = await bench.devices.get(grant.files[0].url)
        assert (response.status_code, problem(response)["code"]) == (403, "url-expired")

    run(story, policy=Policy(url_seconds=1))
