"""An office whose server dies at any step that a test names, real clients of it, and what its database says.

The server is tests/crash/server_that_dies.py: real directory, real database, real TLS. The clients are those of a
device and of a publisher; only names are not resolved, since every life of the server has ports of its own.
"""

import hashlib
import http.client
import json
import mmap
import os
import signal
import sqlite3
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self
from urllib.parse import urlsplit

import strongroom
from crash.server_that_dies import FORMAT, UNCOUNTED
from strongroom.edge import client, request
from strongroom.edge.clock import Reading
from strongroom.edge.exchange import Line
from strongroom.edge.keystore.file import FileKeystore
from strongroom.errors import Code, UnreachableError
from strongroom.names import parse_reference
from strongroom.operator import OfficeClient
from strongroom.server.initialise import init
from strongroom.transport import Response, raise_problem
from strongroom.wire import dpop
from strongroom.wire import trust as trust_file
from strongroom.wire.messages import ChallengeAnswer, ReleaseRequest
from watched_offices import CALM, bent_text, patient_settings

KILLED = "ended -9"
MOST_STEPS = 400  # of one act; more is a loop that never ends
SECONDS = 30.0  # for one answer
MODEL = "digits"

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Said:
    """One request, and the answer to it if one came."""

    path: str
    body: bytes
    headers: Mapping[str, str]
    answer: Response | None


class Way:
    """HTTPS to whichever life of the server there is, remembering what was said; one for each of its two ports."""

    def __init__(self, office: "MortalOffice", *, admin: bool) -> None:
        self._office, self._admin = office, admin
        self._made: tuple[int, http.client.HTTPSConnection] | None = None
        self._turn = threading.Lock()  # a device fetches by several threads
        self.said: list[Said] = []
        office.ways.append(self)

    def request(
        self,
        method: str,
        path_or_url: str,
        *,
        body: bytes | BinaryIO = b"",
        headers: Mapping[str, str] | None = None,
        limit: int,
    ) -> Response:
        parts = urlsplit(path_or_url)
        # links to objects lead to the device port, also for a publisher
        port = self._office.ports[self._admin and not parts.path.startswith("/o/")]
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        answer = None
        try:
            with self._turn:
                answer = self._ask(port, method, target, body, dict(headers or {}))
        except (OSError, http.client.HTTPException) as error:
            self._drop()
            raise UnreachableError(Code.UNREACHABLE, f"the server is gone: {type(error).__name__}") from None
        finally:
            self.said.append(Said(parts.path, body if isinstance(body, bytes) else b"", dict(headers or {}), answer))
        assert len(answer.body) <= limit
        return answer

    def read_range(self, url: str, offset: int, length: int) -> bytes:
        wanted = {"Range": f"bytes={offset}-{offset + length - 1}"}
        answer = self.request("GET", url, headers=wanted, limit=length + 65_536)
        if answer.status != 206:
            raise_problem(answer)
        return answer.body

    def upload(self, url: str, source: BinaryIO, size: int, progress: Callable[[int], None] | None = None) -> None:
        answer = self.request("PUT", url, body=source, headers={"Content-Length": str(size)}, limit=65_536)
        if answer.status != 201:
            raise_problem(answer)

    def close(self) -> None:
        self._drop()

    def _ask(self, port: int, method: str, target: str, body: bytes | BinaryIO, headers: dict[str, str]) -> Response:
        if self._made is None or self._made[0] != port:
            self._drop()
            made = http.client.HTTPSConnection("127.0.0.1", port, timeout=SECONDS, context=self._office.tls)
            self._made = port, made
        connection = self._made[1]
        connection.request(method, target, body or None, headers)
        answer = connection.getresponse()
        return Response(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())

    def _drop(self) -> None:
        made, self._made = self._made, None
        if made is not None:
            made[1].close()


class MortalOffice:
    """One strongroom in a directory, and the process that serves it until it dies. Use as a context manager."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.now = folder, int(time.time())
        self.made = init(folder / "room", now=self.now)
        (folder / "room" / "risk.toml").write_text(bent_text(*CALM))  # one device asks a hundred times in a second
        with Path(self.made.config).open("a") as config:
            config.write(patient_settings())
        self.trust = trust_file.read(self.made.trust.read_bytes())
        self.tls = ssl.create_default_context(cafile=str(self.made.directory / "tls" / "ca.pem"))
        self.ports = (0, 0)  # device API, admin API
        self.ways: list[Way] = []
        self.deaths, self.last = 0, ""
        shared = folder / "shared"
        shared.write_bytes(FORMAT.pack(0, self.now, b""))
        with shared.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), FORMAT.size)
        script = Path(__file__).parent / "crash" / "server_that_dies.py"
        self._log = (folder / "server.log").open("wb")
        self._process = subprocess.Popen(
            [sys.executable, str(script), str(self.made.config), str(shared)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )

    def __enter__(self) -> Self:
        self.live()
        self._probe = Way(self, admin=False)
        self.admin = OfficeClient(
            Way(self, admin=True), self.trust, self.made.admin_token.read_text().strip(), (self.made.owner_key,)
        )
        return self

    def __exit__(self, *_: object) -> None:
        for way in self.ways:
            way.close()
        os.kill(self._pid, signal.SIGKILL)
        self._process.communicate()  # no more lives
        self._log.close()
        self._memory.close()

    def live(self) -> None:
        """Start the server on what is there."""
        self._set(0)
        assert self._process.stdin is not None
        self._process.stdin.write("live\n")
        self._process.stdin.flush()
        line = self._line()
        assert '"server.ready"' in line, (line, (self.folder / "server.log").read_text())
        ready = json.loads(line)
        self._pid = int(ready["pid"])
        self.ports = tuple(urlsplit(ready[name]).port for name in ("device_url", "admin_url"))

    def pass_time(self) -> None:
        """One second passes, for everybody."""
        self.now += 1
        self._set(0)

    def dies_within(self, act: Callable[[], None], step: int) -> bool:
        """Do something while the server is to die at this step; tell whether it came to that, and start it again.

        Whatever `act` does must bear the server's death.
        """
        self._set(step)
        act()
        if self.there():
            self._set(0)
            return False
        line = self._line()
        assert line == KILLED, line
        self.last = FORMAT.unpack(self._memory[:])[2].rstrip(b"\0").decode()
        self.deaths += 1
        self.live()
        return True

    def sweep(self, act: Callable[[], None], check: Callable[[], None]) -> int:
        """Let it die at the first step of an act, at the second and so on, and check after each; return how many.

        `check` runs once more after the act that nobody disturbed.
        """
        before = self.deaths
        for step in range(1, MOST_STEPS):
            self.pass_time()
            died = self.dies_within(act, step)
            check()
            if not died:
                return self.deaths - before
        raise AssertionError(f"no end after {MOST_STEPS} steps")

    def device(self, name: str, token: str | None = None, way: Way | None = None) -> client.Room:
        """Open a device's directory; with a token it is enrolled."""
        home, way = self.folder / name, way or Way(self, admin=False)
        return client.open_room(
            home,
            FileKeystore(home / "keystore"),
            url=self.made.public_url,
            token=token,
            trust=self.made.trust,
            connector=lambda _: way,
            clocks=lambda: Reading(self.now, self.now, "boot"),
        )

    def publish(self, version: str) -> None:
        """Publish a small model to the channel `stable`."""
        out = self.folder / f"{version}.srm"
        with strongroom.protect(os.urandom(5000), name=MODEL, version=version, out=out, office=self.admin) as protected:
            protected.publish(channel="stable")

    def customer(self, name: str) -> str:
        """Add an account that is entitled to the model, and return its user's token."""
        self.admin.post("accounts", value={"name": name})
        self.admin.post("entitlements", value={"account": name, "model": MODEL})
        return str(self.admin.post("tokens", value={"user": name})["token"])

    @contextmanager
    def books(self) -> Iterator["Books"]:
        """Read the database as it is at one moment."""
        path = self.made.directory / "database" / "strongroom.db"
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, isolation_level=None)) as connection:
            connection.row_factory = sqlite3.Row
            connection.execute("begin")
            yield Books(connection)

    def rows(self, query: str, *values: object) -> list[Row]:
        """Read the database once."""
        with self.books() as books:
            return books.rows(query, *values)

    def there(self) -> bool:
        """Ask for something that is no step; whoever was to die before has died by the answer."""
        try:
            found = self._probe.request("GET", UNCOUNTED, limit=2**20).status
        except UnreachableError:
            return False
        assert found == 200
        return True

    def _set(self, step: int) -> None:
        self._memory[:] = FORMAT.pack(step, self.now, b"")

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


class Books:
    """The database at one moment."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def rows(self, query: str, *values: object) -> list[Row]:
        """Read rows."""
        return [dict(row) for row in self._connection.execute(query, values)]

    def audit(self, event: str) -> list[Row]:
        """Return the details of all audit rows of a name, `at`, `actor` and `subject` among them."""
        found = self.rows("select * from audit where event = ? order by seq", event)
        return [json.loads(row["detail"]) | {name: row[name] for name in ("at", "actor", "subject")} for row in found]


class Asking:
    """A device that asks for keys and remembers exactly what it said, so that it can say it again."""

    def __init__(self, office: MortalOffice, room: client.Room, way: Way | None = None) -> None:
        self.office, self.room = office, room
        self.way = way or Way(office, admin=False)
        signer = room.store.keystore.device_key()
        assert signer is not None
        self.line = Line(self.way, office.trust.server, signer, room.store.clocks)

    def release(self) -> str | None:
        """Ask for the model; return the release's name, None if the server was gone."""
        self.way.said.clear()
        try:
            found = request.ask(
                self.line,
                self.office.trust,
                self.room.identity,
                parse_reference(f"{MODEL}@stable"),
                have=None,
                high_water=None,
                signals={},
            )
        except UnreachableError:
            return None
        found.wipe()
        return found.grant.release_id

    def again(self, said: Said) -> Response:
        """Send a request's very bytes once more, under a fresh proof."""
        token = self.room.identity.token
        proof = dpop.make(self.line.signer, "POST", self.line.url(said.path), token, self.office.now, os.urandom(16))
        headers = {**said.headers, "DPoP": proof}
        return self.way.request("POST", said.path, body=said.body, headers=headers, limit=2**20)

    def asked(self) -> ReleaseRequest | None:
        """The release request that was sent, if it came to that."""
        sent = self.sent("/v1/releases")
        return None if sent is None else ReleaseRequest.from_bytes(sent.body)

    def sent(self, path: str) -> Said | None:
        """The last request to a path that ends like this."""
        return next((one for one in reversed(self.way.said) if one.path.endswith(path)), None)


def challenge_in(said: Said | None) -> bytes | None:
    """The hash of the challenge that an answer brought, if it came."""
    if said is None or said.answer is None or said.answer.status != 200:
        return None
    return hashlib.sha256(ChallengeAnswer.from_bytes(said.answer.body).challenge).digest()


def code_of(answer: Response) -> str:
    """The code of a refusal, "" for what was granted."""
    return "" if answer.status == 200 else str(json.loads(answer.body)["code"])
