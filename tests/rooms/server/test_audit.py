"""Event names, and what never reaches a log line."""

import io
import json
import logging

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from strongroom.canonical import to_base64url
from strongroom.server.audit import REDACTED, Event, configure_logging, event, redact
from strongroom.server.ports import AuditEvent

TOKEN = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJ1c18xIn0.c2lnbmF0dXJlLXNpZ25hdHVyZQ"


@pytest.fixture
def log():
    stream = io.StringIO()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    configure_logging("info", stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_event_names_are_static_noun_and_verb():
    assert all(str(name).count(".") == 1 and str(name).islower() for name in Event)


def test_an_event_becomes_a_row():
    row = event(Event.ACCOUNT_ADDED, at=5, actor="op_1", subject="ac_1", name="acme", size=3)
    assert row == AuditEvent("account.added", 5, "op_1", "ac_1", {"name": "acme", "size": 3})
    assert type(row.event) is str


def test_a_line_is_one_json_object_with_static_name_and_fields(log):
    structlog.get_logger("strongroom.server").info("release.granted", device="de_1", size=3)
    logging.getLogger("uvicorn.error").warning("worker %s stopped", 7)
    structlog.get_logger().debug("quiet")
    first, second = log()
    assert (first["event"], first["device"], first["size"], first["level"]) == ("release.granted", "de_1", 3, "info")
    assert second["event"] == "worker 7 stopped"
    assert first["timestamp"].endswith("Z")


def test_tokens_keys_and_queries_are_taken_out(log):
    """R66: logs go to many readers; none of them may learn a secret."""
    logger = structlog.get_logger()
    logger.info(
        "request",
        url=f"https://h/o/abc?m=GET&e=1&s={'A' * 43}",
        authorization="Bearer x",
        admin_token="x",
        mek=b"secret",
        headers={"Authorization": "x", "dpop": "y", "accept": "z"},
        text=f"got {TOKEN} and {to_base64url(bytes(32))}",
        items=[{"passphrase": "x"}, b"raw"],
    )
    logging.getLogger("uvicorn.access").info('"GET /o/abc?m=GET&s=%s HTTP/1.1" 200', "secret")
    try:
        int(f"bad {TOKEN} at https://h/o/x?s=topsecret")
    except ValueError:
        logger.exception("failed", seed="x")
    text = json.dumps(log())
    for secret in ("AAAAA", "Bearer", "eyJ", '"x"', '"y"', "m=GET", "topsecret", "s=secret", "raw"):
        assert secret not in text, secret
    assert REDACTED in text
    assert log()[0]["mek"] == REDACTED
    assert log()[0]["headers"]["accept"] == "z"
    assert "ValueError" in log()[2]["exception"]


@given(st.binary(min_size=32, max_size=64), st.text(max_size=20), st.integers(0, 8))
def test_no_32_byte_secret_comes_through_in_any_place(secret, around, depth):
    value = f"{around} {to_base64url(secret)} {secret.hex()}"
    for _ in range(depth):
        value = {"inner": [value]}
    shown = str(redact(None, "", {"event": value, "data": secret}))
    assert to_base64url(secret) not in shown
    assert secret.hex() not in shown
