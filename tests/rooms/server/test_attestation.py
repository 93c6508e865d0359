"""Evidence at enrolment, release and renewal: what is accepted, remembered, refused, and told to whom."""

from dataclasses import replace
from typing import Any

import pytest

from attesting_devices import KITS, AttestingDevice, new, office, rules, unavailable
from protocol_client import Bench, have, problem, run
from stand_ins import APP_ID, description, kits
from strongroom.attest.claims import IN_HARDWARE
from strongroom.attest.policy import TpmRules
from strongroom.attest.verdict import Reaction, Refusal
from strongroom.errors import Code, IntegrityError, UnreachableError
from strongroom.testing.android_description import AGREE_KEY
from strongroom.wire.binding import Binding
from strongroom.wire.hpke import P256, EphemeralKey
from strongroom.wire.lease import read_signed
from strongroom.wire.messages import Evidence

DAY = 86_400


def refused(response: Any, code: str) -> dict[str, Any]:
    """See that an answer says nothing but that, and return it."""
    body = problem(response)
    title = {"evidence": "attestation refused", "attestation-needed": "attestation needed"}[code]
    assert (response.status_code, body["code"], body["title"]) == (403, code, title)
    assert body.keys() == {"type", "title", "status", "code", "instance"}
    return body


async def audited(bench: Bench, response: Any, name: str = "attestation.refused") -> dict[str, Any]:
    """Return what the audit log says of a refusal, found by its reference."""
    reference = problem(response)["instance"]
    (row,) = [one for one in await bench.events(name) if one.detail["reference"] == reference]
    return row.detail


async def phone(bench: Bench, **its: Any) -> AttestingDevice:
    """An enrolled phone."""
    made = await new(bench, **its)
    await made.enrol_phone()
    return made


async def machine(bench: Bench, **its: Any) -> AttestingDevice:
    """An enrolled machine with a TPM."""
    made = await new(bench, **its)
    response = await made.enrol_chip()
    assert response.status_code == 201, response.text
    return made


def test_a_phone_enrols_once_and_asserts_for_each_release() -> None:
    async def story(bench: Bench) -> None:
        made, ada = await bench.publish(), await phone(bench)
        for counter in (1, 2):
            grant, keys = await ada.given(ada.assertion)
            assert (grant.credential, keys[0].reveal(), ada.phone.counter) == (None, made.key.reveal(), counter)
        first, last = await bench.events("release.granted")
        assert first.detail["evidence"] == last.detail["evidence"] == "app-attest"
        assert last.detail["policy_digest"] == bench.office.attestation.policies.default.digest.hex()
        assert (last.detail["level"], last.detail["stand_in"]) == ("hardware", "yes")
        (attested,) = await bench.events("device.attested")
        assert attested.detail["kind"] == "app-attest"
        async with bench.ledger.begin() as tx:
            (row,) = await tx.attestations(ada.device.id)
        assert (row.revision, row.verified) == (3, bench.clock())

    run(story, attestation=office("app-attest"))


def test_a_machine_is_activated_and_opens_what_is_wrapped_for_it() -> None:
    async def story(bench: Bench) -> None:
        made, ada = await bench.publish(), await machine(bench)
        grant, keys = await ada.given(ada.quote)
        assert grant.credential is not None
        assert keys[0].reveal() == made.key.reveal()
        (granted,) = await bench.events("release.granted")
        assert granted.detail["key_binding"] == IN_HARDWARE
        chip, stranger = ada.chip, KITS.tpm.chip()

        def quoted(binding: Binding) -> tuple[Evidence, ...]:
            ada.chip = stranger  # quoted here, opened there, by somebody who has the HPKE key
            return (Evidence("tpm", chip.quote(binding.digest())),)

        with pytest.raises(IntegrityError) as caught:
            await ada.given(quoted)
        assert caught.value.code == Code.SEALED_KEY

    run(story, attestation=office("tpm", key_binding=IN_HARDWARE))


def test_who_has_the_newest_gets_no_credential() -> None:
    async def story(bench: Bench) -> None:
        await bench.publish()
        ada = await machine(bench)
        grant, _ = await ada.given(ada.quote)
        again, keys = await ada.given(ada.quote, have=have(grant))
        assert (again.sealed, again.credential, keys) == (None, None, ())

    run(story, attestation=office("tpm"))


@pytest.mark.parametrize("make", [None, unavailable(), unavailable("")], ids=["nothing", "a reason", "no reason"])
def test_who_cannot_attest_is_asked_to_and_not_called_bad(make: Any) -> None:
    async def story(bench: Bench) -> None:
        await bench.publish()
        ada = await phone(bench)
        response = await ada.release(make)
        refused(response, "attestation-needed")
        assert (await audited(bench, response, "attestation.needed"))["verdict"] == "unavailable"
        assert not await bench.events("attestation.refused")
        (row,) = await bench.events("release.refused")
        assert row.detail["code"] == "attestation-needed"

    run(story, attestation=office("app-attest"))


@pytest.mark.parametrize(
    ("reaction", "lasts", "told"),
    [(Reaction.OBSERVE, 7 * DAY, ()), (Reaction.SHORT_LEASE, 600, ("short-lease",))],
)
def test_rules_may_be_milder_to_who_cannot_attest(reaction: Reaction, lasts: int, told: tuple[str, ...]) -> None:
    async def story(bench: Bench) -> None:
        await bench.publish()
        ada = await phone(bench)
        grant, _ = await ada.given(unavailable("quota"))
        lease = read_signed(grant.lease, bench.trust)
        assert (lease.expires - lease.issued, grant.reactions) == (lasts, told)
        (row,) = await bench.events("release.granted")
        assert (row.detail["evidence"], row.detail["missing"], row.detail["reaction"]) == ("none", "quota", reaction)
        async with bench.ledger.begin() as tx:
            held = await tx.release(grant.release_id)
        assert held.lease_expires == lease.expires

    reactions = {Refusal.UNAVAILABLE: reaction}
    run(story, attestation=office("app-attest", reactions=reactions, short_lease=600))


def test_rules_may_be_harder_to_who_cannot_attest() -> None:
    async def story(bench: Bench) -> None:
        await bench.publish()
        refused(await (await phone(bench)).release(None), "evidence")

    run(story, attestation=office("app-attest", reactions={Refusal.UNAVAILABLE: Reaction.DENY}))


def test_a_finding_may_shorten_the_lease() -> None:
    """A machine whose registers are not those the rules name, where the rules answer that mildly."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        ada = await machine(bench)
        ada.chip.extend(7, b"another boot loader")
        grant, _ = await ada.given(ada.quote)
        lease = read_signed(grant.lease, bench.trust)
        assert (lease.expires - lease.issued, grant.reactions) == (3600, ("short-lease",))
        (row,) = await bench.events("release.granted")
        assert (row.detail["findings"], row.detail["reaction"]) == ("pcr", "short-lease")

    run(story, attestation=office("tpm", reactions={Refusal.PCR: Reaction.SHORT_LEASE}))


def test_wrong_registers_are_refused_and_their_value_is_for_the_audit_log() -> None:
    async def story(bench: Bench) -> None:
        await bench.publish()
        ada = await machine(bench)
        ada.chip.extend(7, b"another boot loader")
        response = await ada.release(ada.quote)
        refused(response, "evidence")
        detail = await audited(bench, response)
        assert (detail["kind"], detail["verdict"], detail["step"]) == ("tpm", "pcr", "policy: register sha256:7")
        assert ada.chip.pcrs["sha256"][7].hex() in detail["detail"]
        assert detail["policy_digest"] == bench.office.attestation.policies.default.digest.hex()

    run(story, attestation=office("tpm"))


def test_a_key_is_attested_anew_after_its_time() -> None:
    async def story(bench: Bench) -> None:
        await bench.publish()
        ada = await machine(bench)
        bench.clock.advance(DAY - 1)
        assert (await ada.release(ada.quote)).status_code == 200
        bench.clock.advance(1)
        await _fresh_tokens(bench, ada)
        response = await ada.release(ada.quote)
        refused(response, "attestation-needed")
        assert (await audited(bench, response, "attestation.needed"))["step"] == "age of the key"
        async with bench.ledger.begin() as tx:
            (before,) = await tx.attestations(ada.device.id)
        assert (await ada.enrol_chip()).status_code == 201
        async with bench.ledger.begin() as tx:
            (after,) = await tx.attestations(ada.device.id)
        assert (after.attested, after.revision) == (bench.clock(), before.revision + 1)
        assert (await ada.release(ada.quote)).status_code == 200

    run(story, attestation=office("tpm", attest_again=DAY))


async def _fresh_tokens(bench: Bench, ada: AttestingDevice) -> None:
    ada.device.user_token = (await bench.ask("POST", "/v1/tokens", {"user": "ada"})).json()["token"]


def test_what_was_never_attested_is_needed_and_not_bad() -> None:
    """A device from before the rules: its key is nobody's yet."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        ada = await new(bench)
        await ada.device.enrol()
        response = await ada.release(ada.quote)
        refused(response, "attestation-needed")
        assert "was not attested" in (await audited(bench, response, "attestation.needed"))["detail"]

    run(story, attestation=office("tpm"))


def test_renewals_are_judged_like_releases() -> None:
    async def story(bench: Bench) -> None:
        await bench.publish()
        ada = await machine(bench)
        lease = await ada.lease(ada.quote)
        refused(await ada.renew(lease, None), "attestation-needed")
        refused(await ada.renew(lease, ada.attestation), "evidence")
        assert (await ada.renew(lease, ada.quote)).status_code == 200
        (row,) = await bench.events("lease.renewed")
        assert row.detail["evidence"] == "tpm"
        ada.chip.extend(7, b"another boot loader")
        refused(await ada.renew(lease, ada.quote), "evidence")
        assert len(await bench.events("lease.refused")) == 3

    run(story, attestation=office("tpm", key_binding=IN_HARDWARE))


def test_a_renewal_with_a_finding_gets_a_short_lease() -> None:
    async def story(bench: Bench) -> None:
        await bench.publish()
        ada = await machine(bench)
        lease = await ada.lease(ada.quote)
        response = await ada.renew(lease, unavailable())
        assert response.status_code == 200, response.text
        async with bench.ledger.begin() as tx:
            row = await tx.release_of_lease(lease.lease_id)
        assert row.lease_expires == bench.clock() + 60

    reactions = {Refusal.UNAVAILABLE: Reaction.SHORT_LEASE}
    run(story, attestation=office("tpm", reactions=reactions, short_lease=60))


@pytest.mark.parametrize(
    ("evidence", "verdict"),
    [
        ((Evidence("sgx", b"x"),), "unsupported"),
        ((Evidence("tpm", b"x"), Evidence("tpm", b"x")), "malformed"),
        ((Evidence("tpm", b""),), "malformed"),
        ((Evidence("tpm", b"\xff" * 65_536),), "malformed"),
        ((Evidence("play", b"x"),), "policy"),
        ((Evidence("sgx", b"x"), Evidence("unavailable", b"")), "unsupported"),
    ],
    ids=["unknown kind", "one kind twice", "empty", "large", "kind not taken", "unknown beside unavailable"],
)
def test_garbage_is_refused_without_a_word(evidence: tuple[Evidence, ...], verdict: str) -> None:
    async def story(bench: Bench) -> None:
        await bench.publish()
        ada = await machine(bench)
        response = await ada.release(lambda _: evidence)
        refused(response, "evidence")
        assert (await audited(bench, response))["verdict"] == verdict
        assert (await ada.release(ada.quote)).status_code == 200  # and nothing was changed by it

    run(story, attestation=office("tpm"))


def test_one_piece_of_a_kind_is_judged_and_no_more() -> None:
    async def story(bench: Bench) -> None:
        await bench.publish()
        ada = await machine(bench)
        twice = await ada.release(lambda binding: ada.quote(binding) + ada.quote(binding))
        refused(twice, "evidence")
        assert (await audited(bench, twice))["detail"] == "two pieces of evidence of one kind"

    run(story, attestation=office("tpm"))


def test_what_a_rule_does_not_take_is_not_even_read() -> None:
    async def story(bench: Bench) -> None:
        await bench.publish()
        ada = await machine(bench)
        grant, _ = await ada.given(lambda binding: (*ada.quote(binding), Evidence("play", b"whatever")))
        assert grant.credential is not None
        (row,) = await bench.events("release.granted")
        assert row.detail["evidence"] == "tpm"

    run(story, attestation=office("tpm"))


def test_every_piece_must_hold() -> None:
    """A good quote does not hide a bad assertion."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        ada = await machine(bench)
        assert (await ada.enrol_with(ada.attestation)).status_code == 201
        both = await ada.release(lambda binding: ada.quote(binding) + ada.assertion(binding))
        assert both.status_code == 200, both.text
        (row,) = await bench.events("release.granted")
        assert row.detail["evidence"] == "tpm app-attest"

        def bad(binding: Any) -> tuple[Evidence, ...]:
            return (*ada.quote(binding), Evidence("app-attest", ada.phone.sign(bytes(32))))

        refused(await ada.release(bad), "evidence")

    run(story, attestation=office("tpm", "app-attest"))


def test_a_model_without_rules_is_nobodys() -> None:
    async def story(bench: Bench) -> None:
        await bench.publish()
        ada = await new(bench)
        await ada.device.enrol()
        refused(await ada.release(None), "evidence")
        refused(await ada.release(unavailable()), "evidence")

    run(story, attestation=office())


def test_models_that_ask_for_nothing_stand_beside_those_that_ask() -> None:
    """A device shows its quote to every model; one that asks for nothing does not mind, and does not look."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        await bench.publish("secret")
        ada = await new(bench)
        right = {"account": "ada", "model": "secret", "channel": None}
        assert (await bench.ask("POST", "/v1/entitlements", right)).status_code == 201
        assert (await ada.enrol_chip()).status_code == 201
        for make in (None, unavailable(), ada.quote, ada.assertion):
            grant, _ = await ada.given(make)
            assert grant.credential is None
        rows = [row.detail for row in await bench.events("release.granted")]
        assert {one["evidence"] for one in rows} == {"none"}
        assert [one.get("not_judged") for one in rows] == [None, None, "tpm", "app-attest"]
        refused(await ada.release(lambda _: (Evidence("sgx", b"x"),)), "evidence")
        refused(await ada.release(None, model="secret"), "attestation-needed")
        grant, _ = await ada.given(ada.quote, model="secret")
        assert grant.credential is not None

    secret = rules("tpm", name="secret")
    run(story, attestation=office(models={"secret": secret}, unattested=True))


def test_who_asks_for_nothing_minds_nothing() -> None:
    """The rules are taken away, or are not written yet: what devices show of themselves is not held against them."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        ada = await new(bench)
        assert (await ada.enrol_with(ada.attestation)).status_code == 201
        (row,) = await bench.events("device.enrolled")
        assert (row.detail["evidence"], row.detail["not_judged"]) == ("none", "app-attest")
        assert (await ada.release(ada.assertion)).status_code == 200
        refused(await ada.enrol_with(lambda _: (Evidence("sgx", b"x"),)), "evidence")
        assert not await bench.events("device.attested")

    run(story, attestation=office(unattested=True))


def test_rules_that_ask_but_serve_everybody_refuse_bad_evidence_alone() -> None:
    """What could not be had, or is too old, is as if nothing had been sent; what is bad is bad."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        ada = await new(bench)
        await ada.device.enrol()

        def standard(binding: Any) -> tuple[Evidence, ...]:
            return (Evidence("play", KITS.play.standard(KITS.play.verdict(binding.digest(), bench.clock()))),)

        for make, why in ((ada.quote, "was not attested"), (standard, "did not answer")):
            assert (await ada.release(make)).status_code == 200
            row = (await bench.events("release.granted"))[-1]
            assert row.detail["evidence"] == "none"
            assert why in row.detail["missing"]
        assert (await ada.enrol_chip()).status_code == 201
        assert (await ada.release(ada.quote)).status_code == 200
        bench.clock.advance(DAY)
        await _fresh_tokens(bench, ada)
        grant, _ = await ada.given(ada.quote)
        assert grant.credential is None
        row = (await bench.events("release.granted"))[-1]
        assert (row.detail["evidence"], row.detail["missing"]) == ("none", "tpm: its key was attested too long ago")
        refused(await ada.release(lambda binding: ada.quote(replace(binding, challenge=bytes(32)))), "evidence")

    run(story, attestation=office("tpm", "play", unattested=True, attest_again=DAY, decoder=Down()))


def test_a_row_that_the_vault_did_not_vouch_for_is_not_believed() -> None:
    """Whoever writes to the database alone puts no key of their own in a device's place."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        ada, eve = await machine(bench), await machine(bench, name="eve")
        async with bench.ledger.begin() as tx:
            (mine,) = await tx.attestations(ada.device.id)
            (hers,) = await tx.attestations(eve.device.id)
            await tx.keep_attestation(replace(hers, device=mine.device))
        ada.chip = eve.chip
        refused(await ada.release(ada.quote), "attestation-needed")
        (row,) = await bench.events("attestation.forged")
        assert row.subject == ada.device.id

    run(story, attestation=office("tpm"))


def test_stand_ins_vouch_only_where_the_rules_say_so() -> None:
    async def story(bench: Bench) -> None:
        ada = await new(bench)
        response = await ada.enrol_with(ada.attestation)
        refused(response, "evidence")
        detail = await audited(bench, response)
        assert (detail["verdict"], detail["step"]) == ("policy", "policy: authority")
        assert len(await bench.events("device.refused")) == 1

    run(story, attestation=office("app-attest", stand_ins=False))


def test_enrolling_needs_no_evidence_and_takes_none_that_fails() -> None:
    async def story(bench: Bench) -> None:
        ada = await new(bench)
        assert (await ada.enrol_with(lambda _: ())).status_code == 201
        assert (await ada.enrol_with(unavailable("no service"))).status_code == 201
        rows = [one.detail for one in (*await bench.events("device.enrolled"), *await bench.events("device.renewed"))]
        assert [(one["evidence"], one.get("missing")) for one in rows] == [("none", None), ("none", "no service")]
        for bad in (ada.assertion, ada.quote, lambda _: (Evidence("sgx", b"x"),)):
            refused(await ada.enrol_with(bad), "evidence")
        async with bench.ledger.begin() as tx:
            assert await tx.attestations(ada.device.id) == []

    run(story, attestation=office("app-attest", "tpm"))


def test_it_is_enough_that_the_rules_of_one_model_take_it() -> None:
    async def story(bench: Bench) -> None:
        await bench.publish()
        ada = await machine(bench)
        (row,) = await bench.events("device.attested")
        assert row.detail["policy"] == "digits"
        assert (await ada.release(ada.quote)).status_code == 200

    other = rules("tpm", name="other", tpm=TpmRules({"sha256": {0: (b"x" * 32,)}}))
    run(story, attestation=office(models={"digits": rules("tpm", name="digits"), "other": other}))


def test_play_tokens_are_opened_here_or_by_google() -> None:
    async def story(bench: Bench) -> None:
        await bench.publish()
        ada = await new(bench)
        await ada.device.enrol()

        def classic(binding: Any) -> tuple[Evidence, ...]:
            verdict = KITS.play.verdict(binding.digest(), bench.clock(), classic=True)
            return (Evidence("play", KITS.play.token(verdict)),)

        def standard(binding: Any) -> tuple[Evidence, ...]:
            return (Evidence("play", KITS.play.standard(KITS.play.verdict(binding.digest(), bench.clock()))),)

        for make in (classic, standard):
            assert (await ada.release(make)).status_code == 200
        verdict = KITS.play.verdict(bytes(32), bench.clock())
        stranger = kits(2).play.standard(verdict)
        foreign = await ada.release(lambda _: (Evidence("play", stranger),))
        refused(foreign, "evidence")
        assert (await audited(bench, foreign))["step"] == "decoded by Google"

    run(story, attestation=office("play", decoder=KITS.play))


class Down:
    """Google does not answer."""

    async def decode(self, package: str, token: bytes) -> bytes:
        raise UnreachableError(Code.UNREACHABLE, "Google did not answer in time")


def test_google_being_down_is_not_the_devices_fault() -> None:
    async def story(bench: Bench) -> None:
        await bench.publish()
        ada = await new(bench)
        await ada.device.enrol()

        def standard(binding: Any) -> tuple[Evidence, ...]:
            return (Evidence("play", KITS.play.standard(KITS.play.verdict(binding.digest(), bench.clock()))),)

        response = await ada.release(standard)
        refused(response, "attestation-needed")
        assert "did not answer" in (await audited(bench, response, "attestation.needed"))["detail"]
        assert (await ada.enrol_with(standard)).status_code == 201  # enrolled, and nothing attested

    run(story, attestation=office("play", decoder=Down()))


def test_an_android_key_may_be_the_key_that_opens_the_answer() -> None:
    async def story(bench: Bench) -> None:
        await bench.publish()
        ada = await new(bench)
        await ada.device.enrol()
        at = bench.clock()

        def hashed(binding: Any) -> tuple[Evidence, ...]:
            made = KITS.android.attest(description(challenge=binding.digest()), at)
            return (Evidence("android-key", made.evidence),)

        refused(await ada.release(hashed), "evidence")  # the rules ask for a key in hardware
        made = KITS.android.attest(description(), at)
        key, public = made.private_key, made.public_key

        def itself(binding: Any) -> tuple[Evidence, ...]:
            keyless = replace(binding, kem=0, public_key=b"").digest()
            made = KITS.android.attest(description(challenge=keyless, purposes=(AGREE_KEY,)), at, key=key)
            return (Evidence("android-key", made.evidence),)

        grant, keys = await ada.given(itself, ephemeral=EphemeralKey(P256, key, public))
        assert (grant.credential, len(keys)) == (None, 1)

    attestation = office("android-key", key_binding=IN_HARDWARE)
    run(story, attestation=replace(attestation, revoked=lambda now: KITS.android.revocation_list(at=now)))


def test_when_many_verdicts_fail_denials_become_step_ups_and_never_grants() -> None:
    async def story(bench: Bench) -> None:
        await bench.publish()
        ada = await machine(bench)
        bad = [Evidence("tpm", b"x")]
        for _ in range(18):  # and one good verdict, of the enrolment
            refused(await ada.release(lambda _: tuple(bad)), "evidence")
        refused(await ada.release(lambda _: tuple(bad)), "attestation-needed")
        (opened,) = await bench.events("attestation.breaker-opened")
        assert (opened.subject, opened.detail) == ("tpm", {"verdicts": 20, "failed": 19})
        assert (await ada.release(ada.quote)).status_code == 200  # who is good is not kept waiting
        refused(await ada.release(lambda _: tuple(bad)), "attestation-needed")
        bench.clock.advance(600)
        assert (await ada.release(ada.quote)).status_code == 200
        assert len(await bench.events("attestation.breaker-closed")) == 1
        refused(await ada.release(lambda _: tuple(bad)), "evidence")
        assert len(await bench.events("attestation.breaker-opened")) == 1

    run(story, attestation=office("tpm"))


def test_a_phone_of_another_app_is_refused() -> None:
    async def story(bench: Bench) -> None:
        await bench.publish()
        ada = await new(bench, phone=KITS.apple.phone("TEAM123456.com.example.other", bundle_version="2", category=4))
        response = await ada.enrol_with(ada.attestation)
        refused(response, "evidence")
        assert (await audited(bench, response))["verdict"] == "app"
        assert APP_ID not in response.text

    run(story, attestation=office("app-attest"))
