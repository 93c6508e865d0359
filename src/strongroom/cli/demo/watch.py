"""A pair of eyes on a device's line: what was sent, what came, and how long each took. Changes nothing."""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from strongroom.edge.client import Room, open_room
from strongroom.edge.clock import read_clocks
from strongroom.edge.exchange import Answer, Exchange
from strongroom.edge.keystore.file import FileKeystore
from strongroom.edge.store import KEYS
from strongroom.transport import Pinned, Response
from strongroom.wire.trust import Trust

RELEASES = "/v1/releases"


@dataclass(frozen=True, slots=True)
class Sent:
    """One call and its answer. Does not print: it holds a device's proofs."""

    path: str
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    answer: bytes = field(repr=False)
    started: float
    ended: float


@dataclass(slots=True)
class Watch:
    """An `Exchange` that passes everything on to the real one."""

    real: Exchange
    calls: list[Sent] = field(default_factory=list)
    fetched: int = 0  # bytes
    fetching: float = 0.0  # seconds spent waiting for the object store

    def request(
        self, method: str, path_or_url: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None, limit: int
    ) -> Answer:
        """Send one request and return the whole answer. Raises as the real exchange."""
        started = time.monotonic()
        answer = self.real.request(method, path_or_url, body=body, headers=headers or {}, limit=limit)
        self.calls.append(Sent(path_or_url, body, dict(headers or {}), answer.body, started, time.monotonic()))
        return answer

    def read_range(self, url: str, offset: int, length: int) -> bytes:
        """Return exactly these bytes of an object. Raises as the real exchange."""
        started = time.monotonic()
        data = self.real.read_range(url, offset, length)
        self.fetching += time.monotonic() - started
        self.fetched += len(data)
        return data

    def release(self) -> Sent:
        """Return the call that asked for keys."""
        return next(call for call in reversed(self.calls) if call.path == RELEASES)


@dataclass(frozen=True, slots=True)
class Replaced:
    """An `Exchange` that asks the real one, and gives another answer to the request for keys."""

    real: Exchange
    answer: bytes = field(repr=False)

    def request(
        self, method: str, path_or_url: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None, limit: int
    ) -> Answer:
        """Send one request; the answer to a request for keys is the one given. Raises as the real exchange."""
        answer = self.real.request(method, path_or_url, body=body, headers=headers or {}, limit=limit)
        return Response(200, {}, self.answer) if path_or_url == RELEASES else answer

    def read_range(self, url: str, offset: int, length: int) -> bytes:
        """Return exactly these bytes of an object. Raises as the real exchange."""
        return self.real.read_range(url, offset, length)


@contextmanager
def watched() -> Iterator[tuple[Room, Watch]]:
    """Open the device of $STRONGROOM_HOME with a watch on its line. Raises as `edge.client.open_room`."""
    home = Path(os.environ["STRONGROOM_HOME"]).resolve()
    made: list[Watch] = []

    def connector(trust: Trust) -> Watch:
        if not made:
            made.append(Watch(Pinned(trust.server, trust.pins)))
        return made[0]

    room = open_room(
        home, FileKeystore(home / KEYS), url=None, token=None, trust=None, connector=connector, clocks=read_clocks
    )
    yield room, connector(room.trust)
