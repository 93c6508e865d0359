"""Publish: deposit, upload, complete, wait; every refusal typed."""

import dataclasses

import pytest

from strongroom.errors import Code, DeniedError, InputError, RefusedError, StrongroomError, UnreachableError
from strongroom.operator.protect import protect
from strongroom.operator.publish import publish
from strongroom.transport import Response

NOW = 1_800_000_000  # as in conftest.py
YEAR = 365 * 86_400


@pytest.fixture
def protected(tmp_path):
    with protect(b"model" * 1000, name="digits", version="1.0", out=tmp_path / "d.srm") as made:
        yield made


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self):
        self.at = 0.0

    def __call__(self):
        return self.at

    def sleep(self, seconds):
        self.at += seconds


def send(office, protected, **more):
    clock = Clock()
    arguments = {"now": lambda: NOW, "monotonic": clock, "sleep": clock.sleep} | more
    return publish(office, protected.path, protected.head, protected.key, "digits", "1.0", **arguments)


def test_the_office_gets_the_key_and_the_file(office, desk, protected):
    """R34, R35: the key arrives encrypted to the deposit key, the file as ciphertext."""
    key = bytes(protected.key.reveal())
    done = send(office, protected, channel="stable")
    assert desk.keys == [protected.key]
    assert desk.uploaded["https://desk/o/x"] == protected.path.read_bytes()
    assert desk.deposits[0]["channel"] == "stable"
    assert (done.model, done.version, done.channel, done.size) == ("digits", "1.0", "stable", protected.head.file_size)
    for method, path, headers in desk.requests:
        assert key.hex() not in str((method, path, headers))
        assert headers["Authorization"] == "Bearer operator-token-s3cret"


def test_the_token_does_not_print(office):
    assert "s3cret" not in repr(office)


def test_order_of_the_steps(office, desk, protected):
    desk.states = ["uploading", "checking", "checking", "ready"]
    send(office, protected)
    steps = [f"{method} {path}" for method, path, _ in desk.requests]
    assert steps[:3] == [
        "GET /v1/deposit-context",
        "POST /v1/deposits",
        "POST /v1/models/digits/versions/1.0/complete",
    ]
    assert steps[3:] == ["GET /v1/models/digits/versions/1.0"] * 4


def test_a_refused_file_says_why(office, desk, protected):
    desk.states, desk.reason = ["failed"], "file-digest"
    with pytest.raises(InputError) as caught:
        send(office, protected)
    assert caught.value.code == Code.DEPOSIT
    assert "file-digest" in caught.value.what
    assert "run the same again" in caught.value.next_step


def test_a_broken_upload_says_what_is_unfinished(office, desk, protected):
    def broken(*_):
        raise UnreachableError(Code.UNREACHABLE, "gone", next_step="check the network")

    desk.upload = broken
    with pytest.raises(UnreachableError) as caught:
        send(office, protected)
    assert caught.value.next_step.startswith("check the network; digits@1.0 is unfinished and no device gets it; run")


@pytest.mark.parametrize(
    ("step", "left"),
    [("deposits", "digits@1.0 may be unfinished"), ("upload", "is unfinished"), ("complete", "strongroom model show")],
)
def test_an_interrupt_says_what_is_unfinished(office, desk, protected, step, left, monkeypatch):
    """Ctrl-C between the deposit and the end of the check; before the deposit there is nothing to say."""
    request = desk.request

    def interrupted(*arguments, **more):
        if step == "upload" or step in arguments[1]:
            raise KeyboardInterrupt
        return request(*arguments, **more)

    monkeypatch.setattr(desk, "upload" if step == "upload" else "request", interrupted)
    with pytest.raises(KeyboardInterrupt) as caught:
        send(office, protected)
    (note,) = caught.value.__notes__
    assert left in note
    assert "run the same again" in note


def test_waiting_has_an_end(office, desk, protected):
    desk.states = ["checking"]
    with pytest.raises(UnreachableError) as caught:
        send(office, protected, ready_seconds=5)
    assert "strongroom model show digits" in caught.value.next_step
    assert len(desk.requests) < 40


@pytest.mark.parametrize(
    ("expires", "deposit_expires"),
    [(NOW, NOW + YEAR), (NOW + YEAR, NOW)],
    ids=["trust is over", "deposit key is over"],
)
def test_expired_deposit_keys_get_nothing(office, desk, protected, make_trust, expires, deposit_expires):
    over = dataclasses.replace(office, trust=make_trust(expires=expires, deposit_expires=deposit_expires))
    with pytest.raises(RefusedError) as caught:
        send(over, protected)
    assert caught.value.code == Code.TRUST_EXPIRED
    assert desk.requests == []


def test_the_last_second_counts(office, protected, make_trust):
    send(dataclasses.replace(office, trust=make_trust(expires=NOW + 1, deposit_expires=NOW + 1)), protected)


def test_another_file_in_its_place_is_not_uploaded(office, desk, protected):
    """Attack F10's neighbour: what is uploaded is what was sealed."""
    data = bytearray(protected.path.read_bytes())
    data[40] ^= 1
    protected.path.write_bytes(data)
    with pytest.raises(InputError) as caught:
        send(office, protected)
    assert caught.value.code == Code.FILE_SOURCE_CHANGED
    assert desk.deposits == []


@pytest.mark.parametrize(
    ("status", "code", "family"),
    [
        (401, "token", DeniedError),
        (403, "forbidden", DeniedError),
        (404, "not-found", DeniedError),
        (409, "conflict", InputError),
        (422, "deposit", InputError),
        (503, "database", UnreachableError),
    ],
)
def test_refusals_keep_their_family_and_their_reason(office, desk, protected, status, code, family):
    desk.refusals["POST /v1/deposits"] = desk.problem(
        status, code, detail="there is a version 1.0", where="digits", next="choose 1.1"
    )
    with pytest.raises(family) as caught:
        send(office, protected)
    assert caught.value.code == code
    assert caught.value.what == "there is a version 1.0 (reference ref_1)"
    assert caught.value.next_step == "choose 1.1"
    assert desk.uploaded == {}


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[]", b"null", b'{"publisher":1}', b"\xff", b'{ "publisher":"x"}', b"[" * 100],
    ids=["nothing", "empty", "list", "null", "number", "not text", "not canonical", "deep"],
)
def test_answers_that_are_none(office, desk, protected, body):
    """Attack B22's neighbour: an answer of another shape is a typed error, never a stack trace."""
    desk.refusals["GET /v1/deposit-context"] = Response(200, {}, body)
    with pytest.raises(StrongroomError):
        send(office, protected)
    assert desk.deposits == []


@pytest.mark.parametrize(
    "place", [{}, {"epoch": 1}, {"epoch": "1", "counter": 1}, {"epoch": True, "counter": 1}], ids=str
)
def test_a_place_that_is_none(office, desk, place):
    desk.refusals["GET /v1/models/digits"] = desk.answer(200, {"next": place})
    with pytest.raises(UnreachableError) as caught:
        office.next_place("digits")
    assert caught.value.code == Code.ANSWER


def test_pages_are_followed_to_their_end(office, desk):
    desk.refusals["GET /v1/accounts"] = desk.answer(200, {"accounts": [{"name": "a"}], "next": "a"})
    desk.refusals["GET /v1/accounts?after=a"] = desk.answer(200, {"accounts": [{"name": "b"}], "next": "b"})
    desk.refusals["GET /v1/accounts?after=b"] = desk.answer(200, {"accounts": []})
    assert office.every("accounts") == [{"name": "a"}, {"name": "b"}]


def test_a_page_that_names_itself_ends_the_list(office, desk):
    """Attack B22: an office that never stops is stopped."""
    for path in ("GET /v1/accounts", "GET /v1/accounts?after=a"):
        desk.refusals[path] = desk.answer(200, {"accounts": [{"name": "a"}], "next": "a"})
    assert len(office.every("accounts")) == 2


def test_names_cannot_leave_their_place_in_the_path(office, desk):
    """Attack E17: a name is one segment of the path, whatever it holds."""
    desk.refusals["DELETE /v1/entitlements/..%2F..%2Foperators%3Fx"] = desk.answer(200, {})
    office.delete("entitlements", "../../operators?x")


def test_bad_channel(office, desk, protected):
    with pytest.raises(InputError) as caught:
        send(office, protected, channel="../x")
    assert caught.value.code == Code.NAME
    assert desk.requests == []
