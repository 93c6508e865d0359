"""The admin API as HTTP: who is asking first, strict JSON, and no way back to a key."""

import dataclasses
import json
from typing import Any

import pytest

from protocol_client import JSON, Bench, decoded, problem, run
from strongroom.canonical import to_base64url


def sweep(document: dict[str, Any]) -> list[tuple[str, str]]:
    """Every method and path of an OpenAPI document, with parameters filled in."""
    filled = {"{name}": "ada", "{model}": "digits", "{version}": "1.0", "{id_}": "ent_AAAAAAAAAAAAAAAAAAAAAA"}
    filled |= {"{device}": "dev_AAAAAAAAAAAAAAAAAAAAAA", "{order}": "ord_AAAAAAAAAAAAAAAAAAAAAA"}
    found = []
    for path, methods in document["paths"].items():
        place = path
        for name, value in filled.items():
            place = place.replace(name, value)
        found += [(method.upper(), place) for method in methods]
    return found


def test_every_route_wants_a_token() -> None:
    """R15: no credentials, a wrong scheme, an unknown token, a device's token; on every route there is."""

    async def story(bench: Bench) -> None:
        device = await bench.device("ada")
        document = (await bench.desk.get("/openapi.json")).json()
        routes = [one for one in sweep(document) if one[1] != "/healthz"]
        assert len(routes) == 44
        for value in (
            None,
            "Basic YTpi",
            "Bearer sro_" + "A" * 43,
            f"DPoP {device.token}",
            f"Bearer {device.token}",
            "Bearer",
        ):
            headers = JSON | ({} if value is None else {"Authorization": value})
            for method, path in routes:
                response = await bench.desk.request(method, path, headers=headers, content=b"{" * 100)
                assert response.status_code == 401, (method, path, value)
                assert problem(response)["code"] in {"unauthenticated", "token"}

    run(story)


def test_no_route_gives_a_key_back() -> None:
    """R13, R16: every answer of every route to every role, searched for the MEK in each spelling."""

    async def story(bench: Bench) -> None:
        made = await bench.publish()
        await bench.device("ada", "digits")
        secret = bytes(made.key.reveal())
        (file,) = bench.ledger.tables.files
        needles = [
            secret,
            secret.hex().encode(),
            to_base64url(secret).encode(),
            file.wrapped,
            file.wrapped.hex().encode(),
        ]
        needles += [to_base64url(file.wrapped).encode(), file.object_name.encode()]
        document = (await bench.desk.get("/openapi.json")).json()
        for role in ("admin", "publisher", "operator", "auditor", "security"):
            token = await bench.operator(role + "2", role)
            for method, path in sweep(document):
                response = await bench.ask(method, path, {} if method == "POST" else None, token)
                assert not any(needle in response.content for needle in needles), (role, method, path)
                assert response.status_code < 500
        for table in vars(type(bench.ledger.tables)).get("__slots__", ()):
            assert secret not in repr(getattr(bench.ledger.tables, table)).encode(), table

    run(story)


HOSTILE = {
    "duplicate": b'{"name":"a","name":"b"}',
    "float": b'{"name":1.5}',
    "infinite": b'{"name":1e400}',
    "nan": b'{"name":NaN}',
    "surrogate": b'{"name":"\\ud800"}',
    "deep": b'{"name":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
    "long number": b'{"name":' + b"9" * 5000 + b"}",
    "utf-16": '{"name":"ada"}'.encode("utf-16"),
    "bom": b'\xef\xbb\xbf{"name":"ada"}',
    "array": b"[]",
    "null": b"null",
    "empty": b"",
    "cut": b'{"name":"ad',
    "unknown": b'{"name":"ada","admin":true}',
    "missing": b"{}",
    "path": b'{"name":"../ada"}',
    "encoded": b'{"name":"%2e%2e%2fada"}',
    "nul": b'{"name":"a\\u0000da"}',
    "zero width": b'{"name":"a\\u200bda"}',
    "right to left": b'{"name":"\\u202eada"}',
    "decomposed": b'{"name":"ae\\u0301"}',
    "crlf": b'{"name":"ada\\r\\nX: y"}',
    "sql": b'{"name":"a\' OR 1=1 --"}',
    "template": b'{"name":"{{7*7}}"}',
    "long": b'{"name":"' + b"a" * 4096 + b'"}',
    "keys": b"{" + b",".join(b'"k%d":1' % number for number in range(5000)) + b"}",
}


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_hostile_json_is_a_400(name: str) -> None:
    """E14, E16, E17: refused with a code, and nothing is written."""

    async def story(bench: Bench) -> None:
        headers = JSON | {"Authorization": f"Bearer {bench.admin_token}"}
        response = await bench.desk.post("/v1/accounts", content=HOSTILE[name], headers=headers)
        assert response.status_code == 400, response.text
        assert problem(response)["code"] in {"json-not-canonical", "shape"}
        assert bench.ledger.tables.accounts == []

    run(story)


def test_people_may_write_spaces_and_any_order() -> None:
    async def story(bench: Bench) -> None:
        await bench.customer("ada")
        headers = JSON | {"Authorization": f"Bearer {bench.admin_token}"}
        body = json.dumps({"model": "digits", "account": "ada"}, indent=2).encode()
        response = await bench.desk.post("/v1/entitlements", content=body, headers=headers)
        assert response.status_code == 201
        assert b" " not in response.content  # answers are canonical

    run(story)


def test_sizes_are_capped() -> None:
    """E13: small everywhere but for deposits, and capped there too."""

    async def story(bench: Bench) -> None:
        headers = JSON | {"Authorization": f"Bearer {bench.admin_token}"}
        for path, size in (("/v1/accounts", 65_537), ("/v1/deposits", 2**30)):
            declared = headers | {"Content-Length": str(size)}
            response = await bench.desk.post(path, content=b"{}", headers=declared)
            assert (response.status_code, problem(response)["code"]) == (413, "too-large")

    run(story)


def test_names_in_paths_are_names() -> None:
    """E16: what is no name is refused; no file name is ever built from it."""

    async def story(bench: Bench) -> None:
        for name in ("%2e%2e", "a%00b", "a%0d%0ab", "A", "%F0%9F%98%80", "a" * 65, "-a"):
            for path in (f"/v1/models/{name}", f"/v1/models/{name}/versions/1.0", f"/v1/models/digits/versions/{name}"):
                response = await bench.ask("GET", path)
                assert response.status_code in {400, 404}, path
                problem(response)
            assert (await bench.ask("GET", f"/v1/accounts?after={name}x")).status_code in {200, 400}

    run(story)


def test_operators_are_told_what_was_wrong() -> None:
    """Bad input gets a code, a place and a next step; devices get the code alone."""

    async def story(bench: Bench) -> None:
        response = await bench.ask("POST", "/v1/operators", {"name": "x", "role": "king"})
        assert problem(response)["where"] == "body.role"
        assert "admin" in problem(response)["detail"]
        device = await bench.device("ada")
        refused = await device.send("/v1/challenges", b"{}")
        assert set(problem(refused)) == {"type", "title", "status", "code", "instance"}

    run(story)


def test_the_deposit_context_is_what_a_publisher_needs() -> None:
    async def story(bench: Bench) -> None:
        token = await bench.operator("ci", "publisher")
        context = (await bench.ask("GET", "/v1/deposit-context", None, token)).json()
        me = (await bench.ask("GET", "/v1/whoami", None, token)).json()
        assert (context["account"], context["publisher"]) == ("", me["id"])
        assert len(context["trust"]) == 1
        assert decoded(context["trust"][0].split(".")[1])

    run(story)


def test_openapi_is_complete() -> None:
    """R9: every body and answer has a schema; binary fields say so."""

    async def story(bench: Bench) -> None:
        document = (await bench.desk.get("/openapi.json")).json()
        for path, methods in document["paths"].items():
            for method, about in methods.items():
                success = next(one for status, one in about["responses"].items() if status.startswith("2"))
                assert method == "delete" or success["content"]["application/json"]["schema"], (method, path)
                assert path == "/healthz" or about["security"] == [{"operator": []}]

    run(story)


@pytest.mark.parametrize("facts", ["{", '{"a": 1}', "\u00e9", "[" * 20])
def test_a_damaged_row_is_the_offices_fault(facts: str) -> None:
    """D wrote into the row of a device: whoever lists devices is told that the store is damaged."""

    async def story(bench: Bench) -> None:
        await bench.device("ada")
        (row,) = bench.ledger.tables.devices
        bench.ledger.tables.devices[:] = [dataclasses.replace(row, facts=facts)]
        response = await bench.ask("GET", "/v1/devices")
        assert (response.status_code, problem(response)["code"]) == (503, "store-damaged")

    run(story)
