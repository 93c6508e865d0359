"""Refusals as they travel: a code chooses the error, and no body whatever makes it worse (R11 of the style, R16)."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.errors import Code, DeniedError, InputError, RefusedError, StrongroomError, UnreachableError
from strongroom.wire import problems


def body(**fields: object) -> bytes:
    return json.dumps(fields).encode("ascii")


@pytest.mark.parametrize("code", problems.REFUSALS, ids=str)
def test_every_refusal_arrives_as_what_it_is(code):
    status, family = problems.REFUSALS[code]
    error = problems.error_of(status, body(code=code, title="No.", status=status, instance="ref_123"))
    assert (type(error), error.code, error.what) == (family, code, "No.; its reference is ref_123")


@pytest.mark.parametrize(
    ("code", "step"), [("trust-expired", "owners must sign"), ("vault-refused", "with the reference")]
)
def test_what_only_the_server_can_mend_says_so(code, step):
    """Trying again later helps nobody."""
    error = problems.error_of(503, body(code=code, title="No."))
    assert (error.code, type(error)) == (code, UnreachableError)
    assert step in error.next_step


@pytest.mark.parametrize(
    ("status", "family", "code"),
    [
        (400, InputError, Code.ARGUMENT),
        (401, DeniedError, Code.UNAUTHENTICATED),
        (403, DeniedError, Code.FORBIDDEN),
        (404, DeniedError, Code.NOT_FOUND),
        (409, InputError, Code.CONFLICT),
        (413, InputError, Code.TOO_LARGE),
        (416, InputError, Code.RANGE),
        (429, RefusedError, Code.RATE_LIMITED),
        (500, UnreachableError, Code.UNREACHABLE),
        (503, UnreachableError, Code.UNREACHABLE),
        (200, UnreachableError, Code.ANSWER),
        (302, UnreachableError, Code.ANSWER),
        (999, UnreachableError, Code.ANSWER),
    ],
)
@pytest.mark.parametrize(
    "sent", [b"", b"<Error/>", b"[]", body(code="pin-mismatch"), body(code=5), b"\xff", b"[" * 9999]
)
def test_without_a_code_the_status_decides(status, family, code, sent):
    """Also for a code that is not a server's to give, such as `pin-mismatch`."""
    error = problems.error_of(status, sent)
    assert (type(error), error.code) == (family, code)


def test_a_refusal_is_never_a_server_error_and_the_other_way_round():
    assert problems.error_of(404, body(code="internal")).code == Code.NOT_FOUND
    assert problems.error_of(500, body(code="not-found")).code == Code.UNREACHABLE
    assert type(problems.error_of(403, body(code="url-expired"))) is RefusedError


@pytest.mark.parametrize("title", ["\x1b[31mred", "a\nb", "x" * 201, "", 5, None, "caf\u00e9"])
def test_titles_that_could_disturb_a_terminal_are_not_shown(title):
    assert problems.error_of(403, body(title=title, instance="a b")).what == "the server answers with status 403"


@given(st.integers(0, 999), st.binary(max_size=100))
def test_any_body_gives_an_error(status, sent):
    assert isinstance(problems.error_of(status, sent), StrongroomError)
