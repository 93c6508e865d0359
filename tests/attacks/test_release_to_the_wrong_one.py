"""B03, B04, B05, B10 to B13: the wrong key, the wrong account, the wrong token."""

import dataclasses
import os
from typing import Self

import pytest

from protocol_client import DEVICES, JSON, Bench, HandDevice, problem, run
from strongroom.canonical import encode, to_base64url
from strongroom.signing import ED25519, ES256, SigningKey
from strongroom.wire import dpop, hpke
from watched_offices import calm


def test_not_yours_and_not_there_are_one_answer() -> None:
    """B10, B11: status, headers and body are equal but for the reference; and the same work was done."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        await bench.publish(model="letters")
        eve = await bench.device("eve", "letters")
        asked = {
            "not mine": {"model": "digits"},
            "not mine by version": {"model": "digits", "version": "1.0"},
            "no such model": {"model": "nothing"},
            "no such version": {"model": "nothing", "version": "1.0"},
            "no such version of mine": {"model": "letters", "version": "9.9"},
            "no such channel of mine": {"model": "letters", "version": "@beta"},
        }
        seen, work = set(), set()
        await eve.release(model="letters")  # so that a session has begun
        for about in asked.values():
            request, _ = await eve.release_request(**about)
            calls = Calls(bench)
            response = await eve.try_release(request)
            work.add((about.get("version", "@stable")[0] == "@", calls.stop()))
            body = problem(response) | {"instance": ""}
            headers = {name: value for name, value in response.headers.items() if name != "date"}
            seen.add((response.status_code, str(sorted(body.items())), str(sorted(headers.items()))))
        assert len(seen) == 1
        assert {status for status, _, _ in seen} == {404}
        assert len(work) == 2, work  # by channel and by version; whether anything is there makes no difference

    run(story, watch=calm())


@pytest.mark.slow
def test_a_thousand_names_tell_nothing() -> None:
    """B11: of a thousand models every second is there, for somebody else: one answer, by the same work.

    Not time is compared, which a busy machine decides, but what takes it: queries, MACs, and looks at the store.
    """

    async def story(bench: Bench) -> None:
        made = await bench.publish()
        tables = bench.ledger.tables
        ((version, file),) = zip(tables.versions, tables.files, strict=True)
        for number in range(0, 1000, 2):  # rows as publishing writes them, without sealing five hundred files
            one = dataclasses.replace(version, id=bench.office.new_id("ver"), model=f"model-{number:03}")
            fresh = {"file_id": os.urandom(32), "commitment": os.urandom(32), "object_name": os.urandom(16).hex()}
            tables.versions.append(one)
            tables.channels[one.model, "stable"] = one.id
            tables.files.append(dataclasses.replace(file, version_id=one.id, **fresh))
        assert made.version == version.version
        eve = await bench.device("eve")
        await eve.try_release((await eve.release_request(model="model-000"))[0])  # so that a session has begun
        macs, sizes = count(bench, "vault", "mac"), count(bench, "store", "size")
        seen: dict[object, list[int]] = {}
        for number in range(1000):
            bench.clock.advance(60)  # nobody is asked to slow down
            request, _ = await eve.release_request(model=f"model-{number:03}")
            calls, before = Calls(bench), (len(macs), len(sizes))
            response = await eve.try_release(request)
            body = problem(response) | {"instance": len(problem(response)["instance"])}
            headers = sorted((name, value) for name, value in response.headers.items() if name != "date")
            work = (calls.stop(), len(macs) - before[0], len(sizes) - before[1])
            seen.setdefault((response.status_code, str(sorted(body.items())), str(headers), work), []).append(number)
        assert [len(numbers) for numbers in seen.values()] == [1000]
        assert {status for status, *_ in seen} == {404}
        assert macs

    run(story, watch=calm())


def count(bench: Bench, part: str, method: str) -> list[int]:
    """Note each call of a method of the office's vault or store."""
    noted: list[int] = []
    real = getattr(bench.office, part)

    class Counting:
        def __getattr__(self, name: str) -> object:
            if name == method:
                noted.append(1)
            return getattr(real, name)

    object.__setattr__(bench.office, part, Counting())
    return noted


class Calls:
    """Counts what a request asks of the ledger, by method."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.names = bench, []
        self.kind = type(bench.ledger)
        names = self.names
        original = self.kind.begin

        def begin(ledger: object) -> object:
            return Counted(original(ledger), names)

        bench.ledger.__class__ = type("Counting", (self.kind,), {"begin": begin})

    def stop(self) -> tuple[str, ...]:
        """Stop counting and return what was asked, in order."""
        self.bench.ledger.__class__ = self.kind
        return tuple(self.names)


class Counted:
    """A transaction that notes which methods are called."""

    def __init__(self, inner: object, names: list[str]) -> None:
        self.inner, self.names = inner, names

    async def __aenter__(self) -> Self:
        self.names.append("begin")
        self.tx = await self.inner.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> object:
        return await self.inner.__aexit__(*error)

    def __getattr__(self, name: str) -> object:
        self.names.append(name)
        return getattr(self.tx, name)


def test_another_user_of_the_same_account_has_no_part_in_a_users_right() -> None:
    """B10: a right of one user is not the account's."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        ada = await bench.device("ada")
        right = {"account": "ada", "model": "digits", "user": "ada"}
        assert (await bench.ask("POST", "/v1/entitlements", right)).status_code == 201
        assert (await ada.try_release()).status_code == 200
        users, devices = bench.ledger.tables.users, bench.ledger.tables.devices
        users.append(dataclasses.replace(users[0], id=bench.office.new_id("usr"), name="second"))
        devices[0] = dataclasses.replace(devices[0], user=users[1].id)
        assert (await ada.try_release()).status_code == 404

    run(story)


def test_a_released_key_opens_for_nobody_else() -> None:
    """R42, B03: account, device, model, version, challenge and key are all in the HPKE info."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        device = await bench.device("ada", "digits")
        request, _ = await device.release_request()
        eve = hpke.EphemeralKey.generate(hpke.X25519)
        swapped = dataclasses.replace(request, public_key=eve.public)
        response = await device.try_release(swapped)
        assert (response.status_code, problem(response)["code"]) == (401, "proof")

    run(story)


BENT = {
    "kem": lambda one: dataclasses.replace(one, kem=0x0010, public_key=hpke.EphemeralKey.generate(0x0010).public),
    "version": lambda one: dataclasses.replace(one, version="1.0"),
    "platform": lambda one: dataclasses.replace(one, device=dataclasses.replace(one.device, platform="ios")),
    "fingerprint": lambda one: dataclasses.replace(one, device=dataclasses.replace(one.device, fingerprint=b"\1" * 32)),
    "signals": lambda one: dataclasses.replace(one, signals={"rooted": 0}),
    "proof": lambda one: dataclasses.replace(one, proof="a.b.c"),
}


@pytest.mark.parametrize("field", sorted(BENT))
def test_every_field_is_bound(field: str) -> None:
    """B03, B04: changed on the way, the device's own proof does not fit."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        device = await bench.device("ada", "digits")
        request, _ = await device.release_request()
        response = await device.try_release(BENT[field](request))
        assert (response.status_code, problem(response)["code"]) == (401, "proof")
        assert bench.ledger.tables.releases == []

    run(story)


P256_OFF = b"\x04" + b"\1" * 64
BAD_KEYS = {
    "low order X25519": (0x0020, bytes(32)),
    "another low order X25519": (0x0020, bytes([1]) + bytes(31)),
    "short X25519": (0x0020, bytes(31) + b"\1" + b"\1"),
    "off the curve P-256": (0x0010, P256_OFF),
    "compressed P-256": (0x0010, b"\x02" + b"\1" * 32),
    "ML-KEM above the modulus": (0x647A, b"\xff" * 1216),
    "hybrid with a low order half": (0x647A, bytes(1216)),
    "an unknown KEM": (0x0021, b"\1" * 56),
}


@pytest.mark.parametrize("name", sorted(BAD_KEYS))
def test_a_bad_ephemeral_key_costs_nothing(name: str) -> None:
    """B05: 400, no vault call, no 500, and the challenge is still good."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        device = await bench.device("ada", "digits")
        kem, raw = BAD_KEYS[name]
        challenge = await device.challenge()
        kept = dict(bench.vault.kept)
        bench.vault.kept.clear()
        response = await device.try_release(challenge=challenge, kem=kem, public_key=raw)
        assert response.status_code == 400
        assert problem(response)["code"] in {"public-key", "kem-unsupported"}
        bench.vault.kept.update(kept)
        assert (await device.try_release(challenge=challenge)).status_code == 200

    run(story)


def test_a_stolen_token_with_another_key() -> None:
    """B13: bound to the device's key; the thief's own key, and no key at all."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        device = await bench.device("ada", "digits")
        body = encode({"model": "digits", "purpose": "release"})
        for alg in (ES256, ED25519):
            response = await device.send("/v1/challenges", body, key=SigningKey.generate(alg))
            assert (response.status_code, problem(response)["code"]) == (401, "token")
        bare = await bench.devices.post(
            "/v1/challenges", content=body, headers=JSON | {"Authorization": f"DPoP {device.token}"}
        )
        assert (bare.status_code, problem(bare)["code"]) == (401, "proof")

    run(story)


def test_a_proof_for_another_token() -> None:
    """B13: `ath` ties the proof to the token."""

    async def story(bench: Bench) -> None:
        ada = await bench.device("ada")
        body = encode({"model": "digits", "purpose": "release"})
        proof = dpop.make(ada.key, "POST", f"{DEVICES}/v1/challenges", ada.user_token, bench.clock(), os.urandom(16))
        headers = JSON | {"Authorization": f"DPoP {ada.token}", "DPoP": proof}
        response = await bench.devices.post("/v1/challenges", content=body, headers=headers)
        assert (response.status_code, problem(response)["code"]) == (401, "proof")

    run(story)


def test_tokens_that_are_over_revoked_or_anothers() -> None:
    """B12: expired, another device's, a restricted account's, a closed user's, a device that is gone."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        ada, eve = await bench.device("ada", "digits"), await bench.device("eve")
        body = encode({"model": "digits", "purpose": "release"})
        swapped = await ada.send("/v1/challenges", body, token=eve.token)
        assert problem(swapped)["code"] == "token"
        tables = bench.ledger.tables
        for name in ("accounts", "users", "devices"):
            rows = getattr(tables, name)
            good = rows[0]
            rows[0] = dataclasses.replace(good, state="restricted")
            assert problem(await ada.send("/v1/challenges", body))["code"] == "token", name
            rows[0] = good
        assert (await ada.send("/v1/challenges", body)).status_code == 200
        bench.clock.advance(bench.office.policy.device_token_seconds)
        assert problem(await ada.send("/v1/challenges", body))["code"] == "token"

    run(story)


def test_a_wrapped_key_moved_to_another_row_does_not_unwrap() -> None:
    """B27: writing to the database swaps ciphertexts, and gets nothing but a refusal."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        secret = await bench.publish(model="secret")
        eve = await bench.device("eve", "digits")
        files = bench.ledger.tables.files
        (mine,) = [one for one in files if one.file_id != secret.head.core.file_id]
        (other,) = [one for one in files if one is not mine]
        files[files.index(mine)] = dataclasses.replace(mine, wrapped=other.wrapped)
        response = await eve.try_release()
        assert (response.status_code, problem(response)["code"]) == (503, "vault-refused")
        assert bench.ledger.tables.releases == []
        (event,) = await bench.events("release.refused")
        assert event.detail["code"] == "vault-refused"

    run(story)


def test_refusals_to_a_device_carry_a_code_and_a_reference_only() -> None:
    """R16: the detail is in the audit log under the reference."""

    async def story(bench: Bench) -> None:
        eve = HandDevice(bench, await bench.customer("eve"))
        await eve.enrol()
        response = await eve.try_release(model="topsecret")
        assert set(problem(response)) == {"type", "title", "status", "code", "instance"}
        assert "topsecret" not in response.text
        (event,) = await bench.events("release.refused")
        assert (event.subject, event.detail["reference"]) == ("topsecret@@stable", problem(response)["instance"])
        assert to_base64url(b"") == ""

    run(story)
