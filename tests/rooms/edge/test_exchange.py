"""A device's calls: proofs, and a clock that is wrong."""

import email.utils

import pytest

from rooms.edge.memory_office import SERVER, START, ok, problem
from strongroom.edge.clock import Reading
from strongroom.edge.exchange import Line, Token
from strongroom.errors import Code, DeniedError, InputError, RefusedError, UnreachableError
from strongroom.signing import ES256, SigningKey
from strongroom.transport import Response
from strongroom.wire import dpop


class StrictOffice:
    """Answers only to proofs of its own time, and says what time it is."""

    def __init__(self, *, says_time: bool) -> None:
        self.calls, self.says_time = 0, says_time

    def request(self, method, path_or_url, *, body=b"", headers=None, limit):
        self.calls += 1
        try:
            dpop.verify(headers["DPoP"], method, SERVER + path_or_url, "a.b.c", START)
        except DeniedError:
            refused = problem(401, Code.PROOF)
            date = {"date": email.utils.formatdate(START, usegmt=True)} if self.says_time else {"date": "yesterday"}
            return Response(refused.status, date, refused.body)
        return ok(b"{}")

    def read_range(self, url, offset, length):
        raise AssertionError


def line(office: StrictOffice, wall: int) -> Line:
    return Line(office, SERVER, SigningKey.generate(ES256), lambda: Reading(wall, 1, "boot"))


@pytest.mark.parametrize("wall", [0, START - 86_400, START + 10 * 365 * 86_400])
def test_a_wrong_clock_does_not_keep_a_device_out(wall):
    office = StrictOffice(says_time=True)
    called = line(office, wall)
    assert called.post("/v1/x", b"{}", Token("DPoP", "a.b.c"), limit=100) == b"{}"
    assert office.calls == 2
    called.post("/v1/x", b"{}", Token("DPoP", "a.b.c"), limit=100)
    assert office.calls == 3


def test_a_refusal_is_a_refusal():
    office = StrictOffice(says_time=False)
    with pytest.raises(DeniedError):
        line(office, 0).post("/v1/x", b"{}", Token("DPoP", "a.b.c"), limit=100)
    assert office.calls == 1
    assert "a.b.c" not in repr(Token("DPoP", "a.b.c"))


@pytest.mark.parametrize(
    ("status", "code", "family"),
    [
        (404, Code.NOT_FOUND, DeniedError),
        (403, Code.EVIDENCE, RefusedError),
        (409, Code.CONFLICT, InputError),
        (503, Code.DATABASE, UnreachableError),
    ],
)
def test_problems_become_errors(status, code, family):
    from strongroom.edge.exchange import accepted

    with pytest.raises(family) as caught:
        accepted(problem(status, code))
    assert caught.value.code == code
    with pytest.raises(UnreachableError):
        accepted(Response(204, {}, b""))
