"""Accounts, rights, operators, tokens: who may do what (R13, R59), and what is written down."""

import pytest

from protocol_client import Bench, problem, run
from strongroom.server.policy import MAX_USER_TOKEN_SECONDS

ROLES = ("admin", "operator", "publisher", "auditor", "security")
WRITE = {
    ("POST", "/v1/accounts"): {"name": "bob"},
    ("POST", "/v1/entitlements"): {"account": "ada", "model": "digits"},
    ("DELETE", "/v1/entitlements/ent_AAAAAAAAAAAAAAAAAAAAAA"): None,
    ("POST", "/v1/tokens"): {"user": "ada"},
}
READ = ("/v1/accounts", "/v1/devices", "/v1/accounts/ada/entitlements?model=digits")
MODELS = ("/v1/models", "/v1/models/digits", "/v1/whoami")


@pytest.mark.parametrize("role", ROLES)
def test_each_role_does_its_own_work_only(role: str) -> None:
    """R13, R59: the whole table of roles and routes."""

    async def story(bench: Bench) -> None:
        await bench.customer("ada")
        token = await bench.operator("someone", role)
        for (method, path), body in WRITE.items():
            status = (await bench.ask(method, path, body, token)).status_code
            assert (status != 403) == (role in {"admin", "operator"}), (method, path)
        for path in READ:
            status = (await bench.ask("GET", path, None, token)).status_code
            assert status == (403 if role == "publisher" else 200), path
        for path in MODELS:
            assert (await bench.ask("GET", path, None, token)).status_code == 200, path
        made = await bench.ask("POST", "/v1/operators", {"name": "x", "role": "auditor"}, token)
        assert made.status_code == (201 if role == "admin" else 403)

    run(story)


def test_what_a_role_may_not_do_is_written_down() -> None:
    """An auditor who tries doors leaves a row for each, under the reference of its refusal where there is one."""

    async def story(bench: Bench) -> None:
        token = await bench.operator("curious", "auditor")
        answers = [
            await bench.ask("POST", "/v1/accounts", {"name": "bob"}, token),
            await bench.ask("POST", "/v1/tokens", {"user": "ada"}, token),
            await bench.ask("GET", "/v1/deposit-context", None, token),
            await bench.ask("POST", "/v1/models/digits/versions/1.0/complete", None, token),
        ]
        assert {answer.status_code for answer in answers} == {403}
        rows = await bench.events("operator.refused")
        assert [row.detail["reference"] for row in rows] == [problem(answer)["instance"] for answer in answers]
        assert [row.subject for row in rows] == [
            "add an account",
            "issue a token",
            "deposit context",
            "complete a deposit",
        ]
        assert {(row.detail["role"], row.detail["code"]) for row in rows} == {("auditor", "forbidden")}
        assert (await bench.ask("GET", "/v1/accounts", None, await bench.operator("p", "publisher"))).status_code == 403
        assert [row.subject for row in await bench.events("operator.refused")][4:] == ["list accounts"]

    run(story)


def test_a_guessed_operator_token_is_written_down_once_a_minute() -> None:
    async def story(bench: Bench) -> None:
        for _ in range(5):
            answer = await bench.ask("GET", "/v1/whoami", None, "sro_guess")
            assert (answer.status_code, problem(answer)["code"]) == (401, "token")
        (row,) = await bench.events("caller.refused")
        assert (row.actor, row.subject, row.detail["code"]) == ("", "operator", "token")
        assert row.detail["reference"]
        assert "guess" not in repr(row)
        bench.clock.advance(60)
        await bench.ask("GET", "/v1/whoami", None, "sro_guess")
        assert len(await bench.events("caller.refused")) == 2

    run(story)


def test_an_account_comes_with_its_first_user() -> None:
    async def story(bench: Bench) -> None:
        made = await bench.ask("POST", "/v1/accounts", {"name": "ada"})
        assert made.status_code == 201
        assert (made.json()["name"], made.json()["users"], made.json()["state"]) == ("ada", ["ada"], "active")
        again = await bench.ask("POST", "/v1/accounts", {"name": "ada"})
        assert (again.status_code, problem(again)["code"]) == (409, "conflict")
        listed = (await bench.ask("GET", "/v1/accounts")).json()
        assert [one["name"] for one in listed["accounts"]] == ["ada"]
        assert "next" not in listed
        assert {event.subject[:3] for event in await bench.events("account.added")} == {"acc"}

    run(story)


def test_long_lists_come_in_pages() -> None:
    async def story(bench: Bench) -> None:
        for number in range(101):
            await bench.ask("POST", "/v1/accounts", {"name": f"user{number:03}"})
        first = (await bench.ask("GET", "/v1/accounts")).json()
        assert (len(first["accounts"]), first["next"]) == (100, "user099")
        second = (await bench.ask("GET", f"/v1/accounts?after={first['next']}")).json()
        assert [one["name"] for one in second["accounts"]] == ["user100"]

    run(story)


def test_rights_are_given_listed_and_taken_away() -> None:
    async def story(bench: Bench) -> None:
        await bench.customer("ada")
        right = {"account": "ada", "model": "digits", "channel": "beta", "user": "ada", "until": bench.clock() + 9}
        made = (await bench.ask("POST", "/v1/entitlements", right)).json()
        assert (made["account_name"], made["user_name"], made["channel"]) == ("ada", "ada", "beta")
        assert "mac" not in made
        path = "/v1/accounts/ada/entitlements?model=digits"
        assert (await bench.ask("GET", path)).json()["entitlements"] == [made]
        assert (await bench.ask("DELETE", f"/v1/entitlements/{made['id']}")).status_code == 204
        assert (await bench.ask("DELETE", f"/v1/entitlements/{made['id']}")).status_code == 404
        assert (await bench.ask("GET", path)).json()["entitlements"] == []

    run(story)


@pytest.mark.parametrize(
    ("right", "status"),
    [
        ({"account": "nobody", "model": "digits"}, 404),
        ({"account": "ada", "model": "digits", "user": "eve"}, 404),
        ({"account": "ada", "model": "../digits"}, 400),
        ({"account": "ada", "model": "digits", "channel": "Beta"}, 400),
        ({"account": "ada", "model": "digits", "until": 1}, 400),
        ({"account": "ada", "model": "digits", "until": -1}, 400),
        ({"account": "ada", "model": "digits", "forever": True}, 400),
        ({"account": "ada"}, 400),
        ({"account": "ada", "model": 7}, 400),
    ],
    ids=[
        "no account",
        "another's user",
        "a path",
        "no channel",
        "over",
        "negative",
        "unknown field",
        "missing",
        "number",
    ],
)
def test_a_wrong_right_is_refused_with_a_reason(right: dict[str, object], status: int) -> None:
    async def story(bench: Bench) -> None:
        await bench.customer("ada")
        await bench.customer("eve")
        response = await bench.ask("POST", "/v1/entitlements", right)
        assert response.status_code == status
        assert problem(response)["detail"]
        assert bench.ledger.tables.entitlements == []

    run(story)


def test_an_operators_token_is_shown_once() -> None:
    """R16: no later answer and no row holds it."""

    async def story(bench: Bench) -> None:
        made = (await bench.ask("POST", "/v1/operators", {"name": "ci", "role": "publisher"})).json()
        assert (await bench.ask("GET", "/v1/whoami", None, made["token"])).json()["name"] == "ci"
        assert made["token"] not in repr(bench.ledger.tables)
        again = await bench.ask("GET", "/v1/whoami", None, made["token"])
        assert "token" not in again.json()

    run(story)


def test_user_tokens_live_as_long_as_asked_and_no_longer_than_a_week() -> None:
    async def story(bench: Bench) -> None:
        await bench.customer("ada")
        made = (await bench.ask("POST", "/v1/tokens", {"user": "ada"})).json()
        assert made["expires"] == bench.clock() + 3600
        made = (await bench.ask("POST", "/v1/tokens", {"user": "ada", "seconds": 5})).json()
        assert made["expires"] == bench.clock() + 5
        for seconds in (MAX_USER_TOKEN_SECONDS + 1, 0, -5):
            refused = await bench.ask("POST", "/v1/tokens", {"user": "ada", "seconds": seconds})
            assert refused.status_code == 400
        assert (await bench.ask("POST", "/v1/tokens", {"user": "nobody"})).status_code == 404

    run(story)
