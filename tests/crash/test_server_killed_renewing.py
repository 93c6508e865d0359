"""SIGKILL at every step of a renewal, and the same device goes on afterwards."""

import pytest

from mortal_office import MODEL, Asking, MortalOffice, Way, challenge_in, code_of
from strongroom.errors import UnreachableError
from strongroom.wire import lease as leases

# CPython leaves a socket to its collector when the other side resets it before TLS has begun
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:Exception ignored in. <ssl.SSLSocket")]

LEAST = 30  # steps: statements, commits, answers


@pytest.fixture
def office(tmp_path):
    with MortalOffice(tmp_path) as office:
        office.publish("1.0")
        yield office


def consistent(office):
    """The end of a lease is the one that was written down last, and what was written down came of a used challenge."""
    with office.books() as books:
        (row,), renewed = books.rows("select * from releases"), books.audit("lease.renewed")
        used = books.rows("select * from challenges where purpose = 'renew' and used is not null")
    assert all(one["lease"] == row["lease_id"] for one in renewed)
    assert row["lease_expires"] == (renewed[-1]["expires"] if renewed else office.first)
    assert len({one["expires"] for one in renewed}) == len(renewed)  # one second passes between any two
    return row["lease_expires"], len(renewed), {one["hash"] for one in used}


def test_a_lease_ends_when_the_office_says(office):
    """E09: killed at any step of a renewal: no lease without its audit row, none longer than what is written down."""
    way = Way(office, admin=False)
    room = office.device("phone", office.customer("alice"), way)
    device = Asking(office, room, way)
    office.first = room.pull(MODEL).lease_expires
    answers, kept, replays = [], [], []

    def holds():
        (install,) = room.store.need().installs
        return leases.read_signed(install.lease, office.trust).expires

    def renews():
        way.said.clear()
        try:
            return room.renew(MODEL).lease_expires
        except UnreachableError:
            return None

    def act():
        act.before = consistent(office)
        answers[:] = [renews()]

    def check():
        promised, sent = challenge_in(device.sent("/v1/challenges")), device.sent("/renew")
        assert promised is None or office.rows("select 1 from challenges where hash = ?", promised)
        end, count, used = consistent(office)
        assert count - act.before[1] in (0, 1)
        assert holds() <= end
        assert answers[0] in (None, end)
        assert count == act.before[1] or promised in used
        if sent is not None and sent.answer is None:
            office.pass_time()
            codes = [code_of(device.again(sent)) for _ in range(2)]
            assert codes == ["challenge" if promised in used else "", "challenge"]
            replays.append(codes[0])
        kept.append(count != act.before[1])
        office.pass_time()
        end = renews()
        assert end == holds() == consistent(office)[0]

    deaths = office.sweep(act, check)
    print(f"renewals: killed at {deaths} steps; {kept.count(True)} were written down, {replays.count('')} not begun")  # noqa: T201 - how much was tried is a result
    assert deaths >= LEAST
    assert {True, False} == set(kept)
    assert {"", "challenge"} == set(replays)
