"""Enrol: once per installation, repeatable for the same key and user (protocol.md section 7)."""

import dataclasses
import os

from protocol_client import DEVICES, Bench, HandDevice, problem, run
from strongroom.signing import ED25519, ML_DSA_65, SigningKey
from strongroom.wire.messages import EnrolAnswer, Evidence


def test_enrolling_gives_an_identity() -> None:
    """The device's facts, key and user are on record; the token is bound to the key."""

    async def story(bench: Bench) -> None:
        device = await bench.device("ada")
        (row,) = bench.ledger.tables.devices
        assert (row.id, row.user, row.alg) == (device.id, bench.ledger.tables.users[0].id, "ES256")
        assert '"platform":"linux"' in row.facts
        claims = bench.office.tokens.read(device.token, now=bench.clock())
        assert (claims.scope, claims.subject, claims.jkt) == ("device", row.id, row.jkt)
        assert len(await bench.events("device.enrolled")) == 1

    run(story)


def test_an_ed25519_key_enrols_too() -> None:
    async def story(bench: Bench) -> None:
        await HandDevice(bench, await bench.customer("ada"), ED25519).enrol()

    run(story)


def test_the_same_key_again_gets_the_same_id() -> None:
    """A lost answer or a run-out token costs nothing."""

    async def story(bench: Bench) -> None:
        device = await bench.device("ada")
        first, old = device.id, device.token
        device.id = None
        bench.clock.advance(10)
        answer = await device.enrol()
        assert answer.device_id == first
        assert answer.token != old
        assert len(bench.ledger.tables.devices) == 1

    run(story)


def test_another_users_key_is_a_conflict() -> None:
    async def story(bench: Bench) -> None:
        ada = await bench.device("ada")
        eve = HandDevice(bench, await bench.customer("eve"))
        eve.key = ada.key
        response = await eve.try_enrol()
        assert (response.status_code, problem(response)["code"]) == (409, "conflict")

    run(story)


def test_a_blocked_device_does_not_come_back() -> None:
    async def story(bench: Bench) -> None:
        device = await bench.device("ada")
        rows = bench.ledger.tables.devices
        rows[0] = dataclasses.replace(rows[0], state="blocked")
        device.id = None
        response = await device.try_enrol()
        assert (response.status_code, problem(response)["code"]) == (403, "forbidden")
        refused = await device.send("/v1/challenges", b'{"model":"digits","purpose":"release"}')
        assert (refused.status_code, problem(refused)["code"]) == (401, "token")

    run(story)


def test_each_part_of_the_request_is_bound() -> None:
    """Changed after the proof, or contradicting it: refused, and the challenge is gone."""

    async def story(bench: Bench) -> None:
        device = HandDevice(bench, await bench.customer("ada"))
        other = SigningKey.generate(ED25519).public
        bent = {
            "platform": lambda one: dataclasses.replace(one, device=dataclasses.replace(one.device, platform="other")),
            "os": lambda one: dataclasses.replace(one, device=dataclasses.replace(one.device, os="x")),
            "challenge": lambda one: dataclasses.replace(one, challenge=os.urandom(32)),
            "key": lambda one: dataclasses.replace(one, public_key=other),
            "evidence": lambda one: dataclasses.replace(one, evidence=(Evidence("tpm", b""),)),
            "proof": lambda one: dataclasses.replace(one, proof="a.b.c"),
        }
        got = {}
        for name, bend in bent.items():
            request = await device.enrol_request()
            got[name] = problem(await device.try_enrol(bend(request)))["code"]
            if name != "challenge":
                assert problem(await device.try_enrol(request))["code"] == "challenge"
        assert got == {
            "platform": "proof",
            "os": "proof",
            "challenge": "challenge",
            "key": "argument",
            "evidence": "proof",
            "proof": "proof",
        }
        assert bench.ledger.tables.devices == []
        assert len(await bench.events("device.refused")) == 5

    run(story)


def test_evidence_nobody_knows_and_a_device_id_have_no_place() -> None:
    async def story(bench: Bench) -> None:
        device = HandDevice(bench, await bench.customer("ada"))
        judged = await device.try_enrol(await device.enrol_request(evidence=(Evidence("sgx", b"quote"),)))
        assert problem(judged)["code"] == "evidence"
        named = device.facts(id="dev_AAAAAAAAAAAAAAAAAAAAAA")
        assert problem(await device.try_enrol(await device.enrol_request(device=named)))["code"] == "argument"

    run(story)


def test_a_key_of_a_wrong_kind_does_not_enrol() -> None:
    """Only ES256 and Ed25519: DPoP knows no other, so the key never equals the proof's."""

    async def story(bench: Bench) -> None:
        device = HandDevice(bench, await bench.customer("ada"))
        request = await device.enrol_request(public_key=SigningKey.generate(ML_DSA_65).public)
        assert problem(await device.try_enrol(request))["code"] == "argument"

    run(story)


def test_a_user_token_enrols_and_does_nothing_else() -> None:
    """Least privilege: no release and no fresh links by a user token; no enrolment by a device token."""

    async def story(bench: Bench) -> None:
        device = await bench.device("ada", "digits")
        body = b'{"model":"digits","purpose":"release"}'
        for scheme, token in (("DPoP", device.user_token), ("Bearer", device.user_token), ("Bearer", device.token)):
            response = await device.send("/v1/challenges", body, scheme=scheme, token=token)
            assert response.status_code == 401
        enrol = b'{"purpose":"enrol"}'
        for scheme, token in (("DPoP", device.token), ("Bearer", device.token)):
            assert (await device.send("/v1/challenges", enrol, scheme=scheme, token=token)).status_code == 401
        good = await device.send("/v1/challenges", enrol, scheme="Bearer", token=device.user_token)
        assert good.status_code == 200

    run(story)


def test_a_proof_is_for_one_url_and_one_use() -> None:
    """RFC 9449: method, URL, token, time and jti."""

    async def story(bench: Bench) -> None:
        device = await bench.device("ada")
        body = b'{"model":"digits","purpose":"release"}'
        elsewhere = await device.send("/v1/challenges", body, url=f"{DEVICES}/v1/releases")
        assert problem(elsewhere)["code"] == "proof"
        sent = (await device.send("/v1/challenges", body)).request
        again = await bench.devices.post("/v1/challenges", content=body, headers=sent.headers)
        assert (again.status_code, problem(again)["code"]) == (401, "proof")

    run(story)


def test_answers_have_their_shape() -> None:
    async def story(bench: Bench) -> None:
        device = HandDevice(bench, await bench.customer("ada"))
        response = await device.try_enrol()
        answer = EnrolAnswer.from_bytes(response.content)
        assert answer.server_time == bench.clock()
        assert answer.token_expires == bench.clock() + bench.office.policy.device_token_seconds

    run(story)
