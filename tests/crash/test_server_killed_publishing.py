"""SIGKILL at every step of a publication: deposit, upload, completion, check; and the same publisher goes on."""

import hashlib
import os

import pytest

import strongroom
from mortal_office import MODEL, Asking, MortalOffice, Way
from strongroom.errors import Code, InputError, UnreachableError
from strongroom.operator import OfficeClient
from strongroom.operator.publish import publish

# CPython leaves a socket to its collector when the other side resets it before TLS has begun
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:Exception ignored in. <ssl.SSLSocket")]

LEAST = 60  # steps: statements, commits, system calls of the store, answers
SEGMENT = 300_000  # bytes


@pytest.fixture
def office(tmp_path):
    with MortalOffice(tmp_path) as office:
        yield office


class Publisher:
    """One publisher and one sealed file for each version, published again until it is there."""

    def __init__(self, office):
        self.office, self.way, self.number = office, Way(office, admin=True), 0
        self.desk = OfficeClient(self.way, office.trust, office.admin.token, (office.made.owner_key,))
        self.protected = None

    def next(self):
        """Seal the next version; nothing is sent but the question for its counter."""
        self.number += 1
        out = self.office.folder / f"{self.number}.srm"
        content = os.urandom(SEGMENT)
        self.protected = strongroom.protect(content, name=MODEL, version=f"1.{self.number}", out=out, office=self.desk)
        self.whole = hashlib.sha256(out.read_bytes()).digest()
        self.way.said.clear()

    def try_it(self):
        """Publish; tell whether it is known to be there."""
        one = self.protected
        try:
            publish(self.desk, one.path, one.head, one.key, one.name, one.version, channel="stable", sleep=self.wait)
        except UnreachableError:
            return False
        except InputError as error:
            if error.code != Code.CONFLICT:
                raise
            return self.wait() == "ready"  # this deposit was taken already, in a life before: it is only waited for
        return True

    def wait(self, _=None):
        """Wait until no check is under way, or nobody is there to do it; return the version's state."""
        while (state := self.state()) == "checking" and self.office.there():
            pass
        return state

    def state(self):
        rows = self.office.rows("select state from versions where version = ?", self.protected.version)
        return rows[0]["state"] if rows else None

    def answered(self, part):
        """Tell whether a request whose path holds this was answered well."""
        return any(part in one.path and one.answer and one.answer.status in {201, 202} for one in self.way.said)


def consistent(office):
    """What devices may have is whole and checked; a channel never stands for anything else."""
    objects = office.made.directory / "objects"
    with office.books() as books:
        versions = {row["id"]: row for row in books.rows("select * from versions")}
        files, channels = books.rows("select * from files"), books.rows("select * from channels")
        said = {name: [row["version"] for row in books.audit(f"version.{name}")] for name in ("ready", "checking")}
        moved = [row["version"] for row in books.audit("channel.moved")]
    ready = [id_ for id_, row in versions.items() if row["state"] == "ready"]
    assert sorted(said["ready"]) == sorted(ready)
    assert moved == said["ready"]
    assert {one for one, row in versions.items() if row["state"] in {"checking", "ready"}} <= set(said["checking"])
    assert all(row["state"] in {"uploading", "checking", "ready"} for row in versions.values())
    assert all(versions[row["version_id"]]["state"] == "ready" for row in channels)
    assert {row["version_id"] for row in files} == set(versions)
    for row in files:
        stored = objects / row["object_name"]
        assert not stored.exists() or stored.stat().st_size == row["size"]  # it has its name only when it is whole
        assert stored.exists() or versions[row["version_id"]]["state"] == "uploading"
    return ready


def test_a_version_is_there_whole_or_not_at_all(office):
    """E09: killed at any step of publishing, what is visible is whole and checked, and it can be done again."""
    publisher, found = Publisher(office), []
    device = Asking(office, office.device("phone", office.customer("alice")))
    publisher.next()
    assert publisher.try_it()

    def act():
        # sealed before the server is to die at a step: what follows is only the publication
        found[:] = [publisher.try_it()]

    def check():
        consistent(office)
        state = publisher.wait()  # what was to be checked when it died is checked after it
        ready = consistent(office)
        assert publisher.answered("/v1/deposits") <= (state is not None)
        assert publisher.answered("/complete") <= (state == "ready")
        assert found[0] <= (state == "ready")
        asked = device.release()
        assert asked is not None
        (newest,) = office.rows("select version from versions join releases on version_id = versions.id "
                                "where releases.id = ?", asked)  # fmt: skip
        own = publisher.protected.version
        assert newest["version"] == (own if state == "ready" else f"1.{publisher.number - 1}")
        assert publisher.try_it()
        assert len(consistent(office)) == len(ready) + (state != "ready")
        (row,) = office.rows("select object_name from files join versions on version_id = versions.id "
                             "where version = ?", own)  # fmt: skip
        stored = office.made.directory / "objects" / row["object_name"]
        assert hashlib.sha256(stored.read_bytes()).digest() == publisher.whole
        states.append(state)
        publisher.protected.path.unlink()
        publisher.next()

    states = []
    publisher.next()
    deaths = office.sweep(act, check)
    told = {state or "nothing": states.count(state) for state in (None, "uploading", "ready")}
    print(f"publications: killed at {deaths} steps; what was left: {told}")  # noqa: T201 - how much was tried is a result
    assert deaths >= LEAST
    assert all(told.values())
