"""E14, E17, E20, I03: any bytes and any values at every route; never a 5xx, never a stack trace."""

import asyncio
import json
import os

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocol_client import DEVICES, JSON, Bench, problem
from strongroom.canonical import encode
from strongroom.wire import dpop
from strongroom.wire.messages import ChallengeRequest, EnrolRequest, Message, ReleaseRequest, UrlsRequest

MESSAGES: dict[str, type[Message]] = {
    "/v1/challenges": ChallengeRequest,
    "/v1/devices": EnrolRequest,
    "/v1/releases": ReleaseRequest,
    "/v1/releases/rel_AAAAAAAAAAAAAAAAAAAAAA/urls": UrlsRequest,
}
NASTY = (
    "../..",
    "a\r\nX: y",
    "' OR 1=1 --",
    "{{7*7}}",
    "${jndi:ldap://x}",
    "\0",
    "\u202e",
    "\ud800",
    "a" * 4096,
    "e\u0301",
)
TEXT = st.text(max_size=80) | st.sampled_from(NASTY)
LEAF = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
VALUE = st.recursive(
    LEAF, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=8
)
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


def shaped(kind: type[Message]) -> st.SearchStrategy[dict[str, object]]:
    """Objects with the right field names and any values, or nearly right ones."""
    good: dict[str, st.SearchStrategy[object]] = {
        "model": st.just("digits"),
        "version": st.sampled_from(("@stable", "1.0")),
        "purpose": st.sampled_from(("enrol", "release", "urls")),
        "kem": st.sampled_from((0x647A, 0x0020, 0x0010, 1)),
        "challenge": st.just("A" * 43),
        "public_key": st.sampled_from(("A" * 43, "B" * 43, "A" * 1622)),
        "evidence": st.just([]),
        "signals": st.just({}),
        "proof": st.sampled_from(("a.b.c", "e30.e30.AA")),
        "seconds": st.integers(-1, 10**6),
    }
    fields = {name: good.get(name, VALUE) | VALUE for name in kind.SHAPE.fields}
    optional = {name: fields.pop(name) for name in list(fields) if name in kind.SHAPE.optional}
    return st.fixed_dictionaries(fields, optional=optional)


def test_no_value_makes_the_device_api_fail() -> None:
    """E20: with a real device's token and proofs, so that everything behind them is reached."""
    with asyncio.Runner() as runner:
        bench = Bench()
        runner.run(bench.__aenter__())
        runner.run(bench.publish())
        device = runner.run(bench.device("ada", "digits"))

        @QUICK
        @given(st.sampled_from(sorted(MESSAGES)).flatmap(lambda path: st.tuples(st.just(path), shaped(MESSAGES[path]))))
        def fuzz(case: tuple[str, dict[str, object]]) -> None:
            path, value = case
            scheme, token = ("Bearer", device.user_token) if path == "/v1/devices" else ("DPoP", device.token)
            try:
                body = encode(value)
            except Exception:  # noqa: BLE001 - what has no canonical spelling is sent as any JSON
                body = json.dumps(value, separators=(",", ":"), sort_keys=True).encode("utf-8", "replace")
            response = runner.run(device.send(path, body, scheme=scheme, token=token))
            assert response.status_code < 500
            if response.status_code >= 400:
                problem(response)

        fuzz()
        runner.run(bench.__aexit__())


def test_no_bytes_make_any_route_fail() -> None:
    """I03: bytes, headers and methods of every kind at every route of both APIs."""
    with asyncio.Runner() as runner:
        bench = Bench()
        runner.run(bench.__aenter__())
        paths = {
            bench.devices: [*MESSAGES, "/v1/trust", "/healthz", "/openapi.json", "/o/x", "/"],
            bench.desk: [
                "/v1/accounts",
                "/v1/entitlements",
                "/v1/operators",
                "/v1/tokens",
                "/v1/deposits",
                "/v1/models/x",
            ],
        }
        headers = st.dictionaries(
            st.sampled_from(("Authorization", "DPoP", "Content-Type", "Range", "Content-Length", "Host", "Accept")),
            st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60)
            | st.sampled_from(("Bearer x", "DPoP a.b.c")),
        )

        @QUICK
        @given(
            st.sampled_from([(client, path) for client, some in paths.items() for path in some]),
            st.sampled_from(("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE")),
            st.binary(max_size=200) | VALUE.map(lambda value: json.dumps(value).encode("utf-8", "replace")),
            headers,
            st.booleans(),
        )
        def fuzz(place: tuple[object, str], method: str, body: bytes, extra: dict[str, str], known: bool) -> None:  # noqa: FBT001 - drawn by hypothesis
            client, path = place
            if known:
                extra = JSON | {"Authorization": f"Bearer {bench.admin_token}"}
            response = runner.run(client.request(method, path, content=body, headers=extra))
            assert response.status_code < 500, (method, path, body, extra)
            if response.status_code >= 400 and method != "HEAD":
                problem(response)

        fuzz()
        runner.run(bench.__aexit__())


def test_no_proof_makes_the_device_api_fail() -> None:
    """B12: anything at all in the two headers that say who is asking."""
    with asyncio.Runner() as runner:
        bench = Bench()
        runner.run(bench.__aenter__())
        device = runner.run(bench.device("ada"))
        body = encode({"model": "digits", "purpose": "release"})
        good = dpop.make(device.key, "POST", f"{DEVICES}/v1/challenges", device.token, bench.clock(), os.urandom(16))
        printable = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=200)

        @QUICK
        @given(printable | st.just(device.token), printable | st.integers(0, len(good) - 1))
        def fuzz(token: str, proof: str | int) -> None:
            if isinstance(proof, int):
                proof = good[:proof] + ("A" if good[proof] != "A" else "B") + good[proof + 1 :]
            headers = JSON | {"Authorization": f"DPoP {token}", "DPoP": proof}
            response = runner.run(bench.devices.post("/v1/challenges", content=body, headers=headers))
            assert response.status_code == 401
            assert problem(response)["code"] in {"token", "proof", "unauthenticated"}

        fuzz()
        runner.run(bench.__aexit__())
