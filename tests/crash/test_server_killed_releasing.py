"""SIGKILL at every step of a challenge and a release, and the same device goes on afterwards."""

import pytest

from mortal_office import Asking, MortalOffice, challenge_in, code_of
from strongroom.wire import hpke

# CPython leaves a socket to its collector when the other side resets it before TLS has begun
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:Exception ignored in. <ssl.SSLSocket")]

LEAST = 30  # steps: statements, commits, answers


@pytest.fixture
def office(tmp_path):
    with MortalOffice(tmp_path) as office:
        office.publish("1.0")
        yield office


def consistent(office):
    """Every release has its one audit row and every audit row its one release."""
    with office.books() as books:
        released, granted = books.rows("select * from releases"), books.audit("release.granted")
    assert sorted(row["id"] for row in released) == sorted(row["release"] for row in granted)
    return {row["ephemeral"]: row for row in released}


def test_a_release_is_given_once_and_written_down(office):
    """E09: killed at any step of a release, a challenge wins at most once, and nothing is given that is not noted."""
    device = Asking(office, office.device("phone", office.customer("alice")))
    given, replays, kept = [], [], []

    def act():
        given[:] = [device.release()]

    def check():
        request, sent = device.asked(), device.sent("/v1/releases")
        promised = challenge_in(device.sent("/v1/challenges"))
        rows = office.rows("select * from challenges where hash = ?", promised)
        assert promised is None or len(rows) == 1  # what was said lasts
        released = consistent(office)
        if request is None or sent is None:
            assert given == [None]
        else:
            mine = released.get(hpke.ephemeral_digest(request.kem, request.public_key))
            assert given[0] is None or (mine is not None and mine["id"] == given[0])
            assert mine is None or rows[0]["used"] is not None
            codes = [code_of(device.again(sent)) for _ in range(2)]
            replays.append(codes[0])
            assert codes[1] == "challenge"
            assert codes[0] in (("challenge",) if rows[0]["used"] is not None else ("",))
            after = consistent(office)
            assert len(after) - len(released) == codes.count("")
            assert (mine is not None) + codes.count("") <= 1
            kept.append(mine is not None)
        assert device.release() is not None  # and it goes on

    deaths = office.sweep(act, check)
    print(f"releases: killed at {deaths} steps; {kept.count(True)} were written down, {replays.count('')} not begun")  # noqa: T201 - how much was tried is a result
    assert deaths >= LEAST
    assert True in kept
    assert False in kept
    assert "" in replays
