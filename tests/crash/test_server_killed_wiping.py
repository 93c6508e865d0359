"""SIGKILL at every step of a wipe order: given, fetched, carried out, reported; and both ends go on afterwards."""

import pytest

from mortal_office import MODEL, MortalOffice, Way
from strongroom.errors import Code, DeniedError, RefusedError, SetupError, UnreachableError

# CPython leaves a socket to its collector when the other side resets it before TLS has begun
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:Exception ignored in. <ssl.SSLSocket")]

LEAST = 60  # steps: statements, commits, answers


@pytest.fixture
def office(tmp_path):
    with MortalOffice(tmp_path) as office:
        office.publish("1.0")
        yield office


def consistent(office):
    """Whatever the rows say happened to an order is in the audit log once, and nothing else is."""
    with office.books() as books:
        orders, releases = books.rows("select * from orders"), books.rows("select * from releases")
        ordered = sorted(row["order"] for row in books.audit("wipe.ordered"))
        said = {name: sorted(row["subject"] for row in books.audit(f"wipe.{name}")) for name in ("fetched", "reported")}
    assert ordered == sorted(row["id"] for row in orders)
    for name, subjects in said.items():
        assert subjects == sorted(row["id"] for row in orders if row[name] is not None)
    assert all(row["fetched"] is not None for row in orders if row["reported"] is not None)
    assert all((row["receipt"] is None) == (row["reported"] is None) for row in orders)
    open_orders, open_leases = ([row for row in orders if row["reported"] is None],
                                [row for row in releases if row["ended"] is None])  # fmt: skip
    assert len(open_orders) <= 1
    assert len(open_leases) <= 1
    assert not open_orders or open_leases
    return orders, open_orders, open_leases


class Ends:
    """The operator who gives the order, and the device that is to carry it out."""

    def __init__(self, office):
        self.office, self.way = office, Way(office, admin=False)
        self.room = office.device("phone", office.customer("alice"), self.way)
        self.ordered = None

    def order(self):
        """Order that everything on the device be wiped; return the order's name, None if it holds nothing."""
        try:
            (one,) = self.office.admin.post("orders", value={"device": self.room.identity.id})["orders"]
        except DeniedError as error:
            if error.code != Code.NOT_FOUND:
                raise
            return None
        return one["id"]

    def hears(self):
        """Let the device hear of it; tell whether it says that everything is gone."""
        try:
            self.room.renew(MODEL)
        except (RefusedError, SetupError) as error:
            if error.code not in (Code.WIPED, Code.NOT_INSTALLED):
                raise
            return True
        return False

    def act(self):
        """Order, and carry it out."""
        self.ordered = None
        self.way.said.clear()
        try:
            self.ordered = self.order()
            self.hears()
        except UnreachableError:
            return

    def reported(self):
        """Tell whether the device was told that its receipt is there."""
        return any(one.path.endswith("/receipt") and one.answer and one.answer.status == 200 for one in self.way.said)


def test_an_order_is_carried_out_once_and_reported_once(office):
    """E09: killed at any step of a wipe: what an operator or a device was told lasts, and the wipe comes to its end."""
    ends, left = Ends(office), []
    ends.room.pull(MODEL)

    def check():
        orders, pending, leases = consistent(office)
        assert ends.ordered is None or ends.ordered in {row["id"] for row in orders}
        if ends.reported():
            assert (pending, leases) == ([], [])
        left.append(stage(pending, leases))
        again = ends.order()
        assert (again is None) == (not leases)
        assert not pending or again == pending[0]["id"]
        assert ends.hears()
        assert not ends.room.store.need().installs
        _, pending, leases = consistent(office)
        assert (pending, leases) == ([], [])
        office.pass_time()
        ends.room.pull(MODEL)
        assert len(consistent(office)[2]) == 1

    deaths = office.sweep(ends.act, check)
    told = {one: left.count(one) for one in sorted(set(left))}
    print(f"wipes: killed at {deaths} steps; what was left: {told}")  # noqa: T201 - how much was tried is a result
    assert deaths >= LEAST
    assert set(left) == {"nothing", "ordered", "fetched", "reported"}


def stage(pending, leases):
    """How far a wipe came, by what is written down."""
    if not leases:
        return "reported"
    if not pending:
        return "nothing"
    return "fetched" if pending[0]["fetched"] else "ordered"
