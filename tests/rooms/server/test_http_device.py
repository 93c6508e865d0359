"""The device API as HTTP: sizes before parsing, types, trust, health, and its own description."""

import dataclasses
import os
import time
from collections.abc import AsyncIterator
from http import HTTPStatus

import pytest

from protocol_client import DEVICES, JSON, Bench, HandDevice, problem, run
from strongroom.server.http import app_device, bodies
from strongroom.server.http.app_device import create_device_app
from strongroom.wire import dpop
from strongroom.wire import trust as trust_file
from strongroom.wire.messages import ChallengeRequest, ReleaseRequest, TrustAnswer

PATHS = (
    "/v1/challenges",
    "/v1/devices",
    "/v1/releases",
    "/v1/releases/rel_AAAAAAAAAAAAAAAAAAAAAA/urls",
    "/v1/leases/lse_AAAAAAAAAAAAAAAAAAAAAA/renew",
    "/v1/orders/ord_AAAAAAAAAAAAAAAAAAAAAA/receipt",
)


def headers_of(device: HandDevice, path: str) -> dict[str, str]:
    """The headers of a genuine request: of a user who enrols, or of a device."""
    scheme, token = ("Bearer", device.user_token) if path == "/v1/devices" else ("DPoP", device.token)
    proof = dpop.make(device.key, "POST", DEVICES + path, token, device.bench.clock(), os.urandom(16))
    return JSON | {"Authorization": f"{scheme} {token}", "DPoP": proof}


@pytest.mark.parametrize("path", PATHS)
def test_nobody_gets_anything_without_credentials(path: str) -> None:
    """R15: deny by default, before a byte of the body is read."""

    async def story(bench: Bench) -> None:
        async def unread() -> AsyncIterator[bytes]:
            raise AssertionError("the body was read")
            yield b""

        response = await bench.devices.post(path, content=unread(), headers=JSON)
        assert (response.status_code, problem(response)["code"]) == (401, "unauthenticated")
        assert response.headers["www-authenticate"].startswith("DPoP")

    run(story)


@pytest.mark.parametrize("path", PATHS)
def test_sizes_are_checked_before_reading(path: str) -> None:
    """E13: 10 GiB declared, and a body without end: refused within the cap."""

    async def story(bench: Bench) -> None:
        sent = 0

        async def endless() -> AsyncIterator[bytes]:
            nonlocal sent
            while True:
                sent += 65_536
                yield b" " * 65_536

        device = await bench.device("ada", "digits")
        for extra, most in (({"Content-Length": str(10 * 2**30)}, 0), ({}, ReleaseRequest.LIMIT + 2 * 65_536)):
            sent = 0
            response = await bench.devices.post(path, content=endless(), headers=headers_of(device, path) | extra)
            assert (response.status_code, problem(response)["code"]) == (413, "too-large")
            assert sent <= most
        odd = await bench.devices.post(path, content=b"{}", headers=headers_of(device, path) | {"Content-Length": "+2"})
        assert odd.status_code == 400

    run(story)


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/xml", "application/json; charset=utf-16", "", "application/jsonx"]
)
def test_another_content_type_is_refused(kind: str) -> None:
    """E18."""

    async def story(bench: Bench) -> None:
        headers = {"Authorization": "Bearer x", "Content-Type": kind}
        response = await bench.devices.post("/v1/challenges", content=b"{}", headers=headers)
        assert (response.status_code, problem(response)["code"]) == (415, "content-type")
        packed = await bench.devices.post(
            "/v1/challenges", content=b"{}", headers=JSON | {"Authorization": "Bearer x", "Content-Encoding": "gzip"}
        )
        assert packed.status_code == 415

    run(story)


HOSTILE = {
    "deep": b"[" * 100_000,
    "deep objects": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "duplicate": b'{"model":"a","model":"b","purpose":"release"}',
    "infinite": b'{"model":1e400,"purpose":"release"}',
    "nan": b'{"model":NaN,"purpose":"release"}',
    "surrogate": b'{"model":"\\ud800","purpose":"release"}',
    "long number": b'{"model":' + b"9" * 900 + b',"purpose":"release"}',
    "bom": b'\xef\xbb\xbf{"model":"digits","purpose":"release"}',
    "utf-16": '{"model":"digits","purpose":"release"}'.encode("utf-16"),
    "space": b'{"model": "digits","purpose":"release"}',
    "order": b'{"purpose":"release","model":"digits"}',
    "trailing": b'{"model":"digits","purpose":"release"}\n',
    "unknown field": b'{"model":"digits","purpose":"release","x":1}',
    "array": b"[]",
    "null": b"null",
    "empty": b"",
    "no purpose": b'{"model":"digits"}',
    "other purpose": b'{"model":"digits","purpose":"steal"}',
    "path": b'{"model":"../digits","purpose":"release"}',
    "nul": b'{"model":"di\\u0000gits","purpose":"release"}',
    "homoglyph": b'{"model":"d\\u0456gits","purpose":"release"}',
    "upper": b'{"model":"Digits","purpose":"release"}',
    "long": b'{"model":"' + b"d" * 65 + b'","purpose":"release"}',
    "line feed": b'{"model":"digits\\n","purpose":"release"}',
}


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_hostile_json_is_a_400_and_cheap(name: str) -> None:
    """E14, E16: one spelling or none; under 50 ms."""

    async def story(bench: Bench) -> None:
        device = await bench.device("ada", "digits")
        started = time.process_time()
        response = await device.send("/v1/challenges", HOSTILE[name])
        assert time.process_time() - started < 1  # a proof is made and two are verified as well
        assert response.status_code == (413 if len(HOSTILE[name]) > ChallengeRequest.LIMIT else 400)
        problem(response)
        assert bench.ledger.tables.challenges == [] or len(bench.ledger.tables.challenges) == 1

    run(story)


def test_a_trickling_body_is_given_up() -> None:
    """E12: one byte and then nothing."""

    async def story(bench: Bench) -> None:
        class Slow:
            headers = __import__("starlette.datastructures", fromlist=["Headers"]).Headers(JSON)

            async def stream(self) -> AsyncIterator[bytes]:
                import asyncio

                yield b"{"
                await asyncio.Event().wait()

        with pytest.raises(Exception, match="did not arrive"):
            await bodies.read(Slow(), 100, marks=10, seconds=0.01)
        assert bench.ledger.tables.challenges == []

    run(story)


def test_a_proof_of_another_time_than_the_bodys_is_not_believed_longer() -> None:
    """Credentials come first, but what is judged afterwards is judged by the time at which the body was there."""

    async def story(bench: Bench) -> None:
        device = await bench.device("ada", "digits")
        await bench.publish()
        request, _ = await device.release_request()

        async def late() -> AsyncIterator[bytes]:
            bench.clock.advance(61)
            yield request.to_bytes()

        response = await bench.devices.post("/v1/releases", content=late(), headers=headers_of(device, "/v1/releases"))
        assert (response.status_code, problem(response)["code"]) == (403, "challenge")

    run(story)


def test_headers_sent_twice_are_refused() -> None:
    """E18: two readers could each believe another one."""

    async def story(bench: Bench) -> None:
        device = await bench.device("ada")
        request = (await device.send("/v1/challenges", b'{"model":"digits","purpose":"release"}')).request
        for name in ("authorization", "dpop"):
            headers = [*request.headers.raw, (name.encode(), request.headers[name].encode())]
            response = await bench.devices.post("/v1/challenges", content=request.content, headers=headers)
            assert (response.status_code, problem(response)["code"]) == (401, "unauthenticated")

    run(story)


def test_forwarded_headers_move_nothing() -> None:
    """E19: Host and X-Forwarded-* are the client's to choose; proofs are made over our own name."""

    async def story(bench: Bench) -> None:
        device = await bench.device("ada")
        body = b'{"model":"digits","purpose":"release"}'
        evil = await device.send("/v1/challenges", body, url="https://evil.test/v1/challenges")
        request = evil.request
        headers = dict(request.headers) | {"Host": "evil.test", "X-Forwarded-Host": "evil.test"}
        response = await bench.devices.post("/v1/challenges", content=body, headers=headers)
        assert (response.status_code, problem(response)["code"]) == (401, "proof")

    run(story)


def test_trust_documents_prove_themselves() -> None:
    """The chain after a version, without credentials."""

    async def story(bench: Bench) -> None:
        answer = TrustAnswer.from_bytes((await bench.devices.get("/v1/trust?from=0")).content)
        assert trust_file.read(trust_file.join(answer.trust[0])) == bench.trust
        assert TrustAnswer.from_bytes((await bench.devices.get("/v1/trust?from=1")).content).trust == ()
        assert (await bench.devices.get("/v1/trust")).status_code == 200
        for bad in ("-1", "x", "", "1e3", "9" * 30, "%00", "\u0661"):
            response = await bench.devices.get("/v1/trust", params={"from": bad})
            assert (response.status_code, problem(response)["code"]) == (400, "argument"), bad

    run(story)


@pytest.mark.parametrize("size", [1, 1000, 399_999, 400_000])
def test_a_chain_is_as_long_as_a_device_reads(size: int) -> None:
    """An answer over the reader's limit would end every device's following; a shorter one is followed and asked on."""
    documents = tuple(("x" * size,) * 3 for _ in range(256))
    sent = app_device._chain(documents)
    assert len(TrustAnswer(sent).to_bytes()) <= TrustAnswer.LIMIT
    assert sent == documents[: len(sent)]
    more = documents[: len(sent) + 1]
    assert sent == documents or len(TrustAnswer(more).to_bytes()) > TrustAnswer.LIMIT
    assert app_device._chain(()) == ()
    huge = (("x" * TrustAnswer.LIMIT,),) * 2
    assert app_device._chain(huge) == huge[:1]


def test_health_tells_which_part() -> None:
    """E06: degraded is a 503, and says no more than which part."""

    async def story(bench: Bench) -> None:
        for client in (bench.devices, bench.desk):
            well = await client.get("/healthz")
            parts = {"status": "ok", "database": "ok", "vault": "ok", "trust": "ok", "trust_version": 1}
            assert (well.status_code, well.json()) == (200, parts)

        async def ill(_: object) -> bool:
            return False

        object.__setattr__(bench.office, "trust", dataclasses.replace(bench.trust, version=7, expires=bench.clock()))
        expired = await bench.devices.get("/healthz")
        parts = {"status": "degraded", "database": "ok", "vault": "ok", "trust": "expired", "trust_version": 7}
        assert (expired.status_code, expired.json()) == (503, parts)
        object.__setattr__(bench.office, "trust", bench.trust)
        bench.ledger.__class__ = type("Ill", (type(bench.ledger),), {"healthy": ill})
        degraded = await bench.devices.get("/healthz")
        assert (degraded.status_code, degraded.json()["database"]) == (503, "degraded")
        assert degraded.json()["vault"] == "ok"

    run(story)


def test_openapi_says_what_the_code_checks() -> None:
    """R9: schemas are those of the messages; binary routes and pages of foreign scripts are not there."""

    async def story(bench: Bench) -> None:
        document = (await bench.devices.get("/openapi.json")).json()
        body = document["paths"]["/v1/releases"]["post"]["requestBody"]["content"]["application/json"]["schema"]
        assert set(body["properties"]) == set(ReleaseRequest.SHAPE.fields)
        assert body["additionalProperties"] is False
        assert set(document["components"]["securitySchemes"]) == {"user", "device", "proof"}
        decoys = {row.name.partition(" ")[2] for row in bench.office.traps.known.endpoints()}
        assert decoys < set(document["paths"])
        assert set(document["paths"]) - decoys == {
            "/v1/activations",
            "/v1/appeals",
            "/v1/challenges",
            "/v1/devices",
            "/v1/releases",
            "/v1/releases/{release_id}/urls",
            "/v1/leases/{lease_id}/renew",
            "/v1/orders/{order_id}/receipt",
            "/v1/trust",
            "/healthz",
        }

    run(story)


def test_a_challenge_fits_its_caller() -> None:
    async def story(bench: Bench) -> None:
        device = await bench.device("ada")
        unnamed = await device.send("/v1/challenges", b'{"purpose":"release"}')
        assert (unnamed.status_code, problem(unnamed)["code"]) == (400, "argument")
        assert (await device.send("/v1/challenges", b'{"purpose":"urls"}')).status_code == 200
        bench.clock.advance(61)
        await device.challenge()
        assert len(bench.ledger.tables.challenges) == 1  # old ones are forgotten

    run(story)


def test_the_app_stands_on_its_own() -> None:
    """A store that serves its own URLs elsewhere has no object routes here."""

    async def story(bench: Bench) -> None:
        class Elsewhere:
            signed_url = size = read = delete = None

        import dataclasses

        office = dataclasses.replace(bench.office, store=Elsewhere())
        paths = {getattr(route, "path", "") for route in create_device_app(office).routes}
        assert not any(path.startswith("/o/") for path in paths)
        assert HTTPStatus(200).phrase == "OK"
        assert HandDevice(bench, "").id is None
        assert office.public_url == DEVICES

    run(story)
