"""Problems: one table from code to status, nothing of the inside to the outside (protocol.md section 12)."""

import json

import pytest
from structlog.testing import capture_logs

from protocol_client import Bench, problem, run
from strongroom import errors
from strongroom.errors import Code, DeniedError, InputError, IntegrityError, SetupError, StoreError, StrongroomError
from strongroom.server.http.problems import problem_response, status_of
from strongroom.wire.problems import error_of

SECRET = "the password is swordfish"


def test_every_code_of_the_table_has_a_status_that_its_reader_expects() -> None:
    assert status_of(DeniedError(Code.NOT_FOUND, "")) == 404
    assert status_of(InputError(Code.CONFLICT, "")) == 409
    assert status_of(StoreError(Code.DATABASE, "")) == 503
    assert status_of(SetupError(Code.VAULT_SEALED, "")) == 503  # E06


@pytest.mark.parametrize("code", list(Code))
def test_every_code_has_an_answer(code: Code) -> None:
    """No code and no family without a status, and no detail without leave."""
    families = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, StrongroomError)]
    for family in families:
        response = problem_response(family(code, SECRET, where=SECRET, next_step=SECRET), "ref_x", explain=False)
        body = json.loads(response.body)
        assert 400 <= response.status_code < 600
        assert "swordfish" not in str(body)
        assert body["type"] == f"urn:strongroom:problem:{body['code']}"


@pytest.mark.parametrize("status", [413, 414, 431])
def test_what_is_too_large_is_the_callers_to_mend(status: int) -> None:
    """A body, a URL, headers: with our own body or a proxy's, the client says the same."""
    response = problem_response(InputError(Code.TOO_LARGE, SECRET), "ref_x", explain=False, status=status)
    for body in (bytes(response.body), b"<html>"):
        error = error_of(status, body)
        assert (type(error), error.code) == (InputError, Code.TOO_LARGE)


def test_an_inner_failure_tells_nothing_even_to_operators() -> None:
    """A damaged row is ours to mend; its code stays inside."""
    response = problem_response(IntegrityError(Code.SIGNATURE, SECRET), "ref_x", explain=True)
    assert (response.status_code, json.loads(response.body)["code"]) == (500, "internal")
    assert b"swordfish" not in response.body


def test_hostile_text_in_an_explanation_is_encodable() -> None:
    response = problem_response(InputError(Code.NAME, "\ud800 not a name"), "ref_x", explain=True)
    assert json.loads(response.body)["detail"]


def test_an_unexpected_exception_is_a_500_with_a_reference() -> None:
    """R16: no stack trace, no message; the log has the reference."""

    async def story(bench: Bench) -> None:
        def broken(_: object) -> None:
            raise RuntimeError(SECRET)

        bench.ledger.__class__ = type("Broken", (type(bench.ledger),), {"begin": broken})
        with capture_logs() as lines:
            response = await bench.ask("GET", "/v1/whoami")
        assert (response.status_code, problem(response)["code"]) == (500, "internal")
        assert "swordfish" not in response.text
        assert any(line.get("reference") == problem(response)["instance"] for line in lines)

    run(story)


def test_a_database_that_is_away_is_a_503() -> None:
    """E01, E02."""

    async def story(bench: Bench) -> None:
        def away(_: object) -> None:
            raise StoreError(Code.DATABASE, SECRET)

        bench.ledger.__class__ = type("Away", (type(bench.ledger),), {"begin": away})
        response = await bench.ask("GET", "/v1/whoami")
        assert (response.status_code, problem(response)["code"]) == (503, "database")
        assert response.headers["retry-after"]
        assert "swordfish" not in response.text

    run(story)


def test_every_answer_has_the_security_headers() -> None:
    """R62: success, refusal, unknown route, object."""

    async def story(bench: Bench) -> None:
        for client in (bench.devices, bench.desk):
            for path in ("/healthz", "/openapi.json", "/nothing", "/v1/whoami", "/v1/releases", "/o/x"):
                headers = (await client.get(path)).headers
                assert headers["cache-control"] == "no-store"
                assert headers["x-content-type-options"] == "nosniff"
                assert headers["content-security-policy"].startswith("default-src 'none'")
                assert "server" not in headers

    run(story)


def test_unknown_routes_and_verbs_are_problems() -> None:
    """R65: the wrong port is a 404; E18: wrong verbs 405."""

    async def story(bench: Bench) -> None:
        for client, path in ((bench.devices, "/v1/accounts"), (bench.desk, "/v1/releases"), (bench.desk, "/o/x")):
            assert problem(await client.get(path))["code"] == "not-found"
        wrong = await bench.devices.delete("/v1/releases")
        assert (problem(wrong)["code"], wrong.headers["allow"]) == ("method", "POST")
        for path in ("/v1/trust%0a", "/healthz%0a", "/o/%00", "/v1/models/digits%7f", "/v1/models/%c2%85"):
            for client in (bench.devices, bench.desk):
                odd = await client.get(path)
                assert (odd.status_code, problem(odd)["code"]) == (404, "not-found"), path
        for path in ("/docs", "/redoc", "/v1/releases/", "//v1/releases", "/v1/models/"):
            assert (await bench.devices.get(path)).status_code == 404

    run(story)
