"""A listening address and the server behind it: sockets, TLS timeouts, and an end that waits for no idle client."""

import asyncio
import contextlib
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import structlog
import uvicorn
from fastapi import FastAPI

from strongroom.errors import Code, SetupError
from strongroom.server.http.connection import HEAD_SECONDS, MAX_CONNECTIONS, MAX_PER_ADDRESS, Connection
from strongroom.server.http.strict import MAX_HEADERS
from strongroom.server.limits.addresses import of_one_hand

KEEP_ALIVE = 10  # seconds an idle connection stays
GRACE = 10  # seconds that running requests get when the process is asked to end
GOODBYE = 2  # seconds that a client gets to answer the end of TLS
SCARCE = 0.5  # seconds to wait when no file descriptor is left
BACKLOG = 256

_TICK = 0.05  # seconds

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Listener:
    """Where one API listens. Port 0: any free one, told in the ready line."""

    host: str
    port: int


def bound(listener: Listener) -> socket.socket:
    """Return a socket that listens there already, so that nobody else can.

    Raises:
        SetupError: CONFIG.
    """
    where = f"{listener.host}:{listener.port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            listener.host, listener.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        made = socket.socket(family, kind, protocol)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(address)
            made.listen(BACKLOG)  # now: two sockets may be bound to one port, but only one of them can listen
        except OSError:
            made.close()
            raise
    except OSError as error:
        step = "choose another address or port in strongroom.toml, or stop what uses it"
        raise SetupError(Code.CONFIG, f"cannot listen: {error.strerror}", where=where, next_step=step) from None
    except ValueError:  # UnicodeError is one: a label that is too long, or empty
        step = "choose another address in strongroom.toml"
        raise SetupError(Code.CONFIG, "cannot listen: not a host name", where=where, next_step=step) from None
    return made


class Server(uvicorn.Server):
    """A server that leaves signals to the one loop both run in, and tells when it listens.

    Args:
        app: what it serves.
        context: for TLS.
        reference: makes references for refusals that no app has seen.
    """

    def __init__(self, app: FastAPI, context: ssl.SSLContext, reference: Callable[[], str]) -> None:
        super().__init__(_config(app))
        self.listening = asyncio.Event()
        self._context = context
        self._reference = reference
        self._accepting: set[asyncio.Task[None]] = set()
        self._greeting: set[asyncio.Task[None]] = set()
        self._greeted: Counter[str] = Counter()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections; each has its time for TLS, and for the end of it."""
        addresses: Counter[str] = Counter()

        def connection() -> Connection:
            return Connection(self.config, self.server_state, addresses=addresses, reference=self._reference)

        self._accepting = {asyncio.create_task(self._accept(one, connection)) for one in sockets or []}
        self.started = True
        self.listening.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no more, drop idle connections at once, and give running requests their grace."""
        ending = [*self._accepting, *self._greeting]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        for one in sockets or []:
            one.close()
        for connection in self._connections():
            connection.shutdown()
        if not await self._quiet(GRACE):
            _log.warning("requests broken off", requests=len(self.server_state.tasks))
            for connection in self._connections():
                connection.drop()
            if not await self._quiet(GOODBYE):
                for running in self.server_state.tasks:
                    running.cancel()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield

    async def _accept(self, listening: socket.socket, connection: Callable[[], Connection]) -> None:
        """Take connections, so many from one address, before anything is computed for them."""
        loop = asyncio.get_running_loop()
        listening.settimeout(0)
        while True:
            try:
                client, (host, *_) = await loop.sock_accept(listening)
            except OSError as error:  # no file descriptor is left: some end soon
                _log.warning("cannot accept", error=error.strerror)
                await asyncio.sleep(SCARCE)
                continue
            hand = of_one_hand(host)
            if self._greeted[hand] >= MAX_PER_ADDRESS or len(self._greeting) >= MAX_CONNECTIONS:
                client.close()  # before TLS there are no words
                continue
            self._greeted[hand] += 1
            task = loop.create_task(self._greet(client, hand, connection))
            self._greeting.add(task)
            task.add_done_callback(self._greeting.discard)

    async def _greet(self, client: socket.socket, hand: str, connection: Callable[[], Connection]) -> None:
        """Do TLS, within its time."""
        client.settimeout(0)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                connection,
                client,
                ssl=self._context,
                ssl_handshake_timeout=HEAD_SECONDS,
                ssl_shutdown_timeout=GOODBYE,
            )
        except OSError:  # no TLS, an old one, or silence: nobody we know yet, and nothing for the log
            client.close()
        finally:
            self._greeted -= Counter((hand,))  # drops what is at zero

    def _connections(self) -> list[Connection]:
        return [one for one in self.server_state.connections if isinstance(one, Connection)]

    async def _quiet(self, seconds: float) -> bool:
        for _ in range(int(seconds / _TICK)):
            if not self.server_state.connections and not self.server_state.tasks:
                return True
            await asyncio.sleep(_TICK)
        return False


def _config(app: FastAPI) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,  # logging is set up once, with redaction, by whoever starts the process
        access_log=False,  # its lines would hold signed URLs
        proxy_headers=False,  # nobody's X-Forwarded-For is believed
        server_header=False,
        limit_concurrency=None,  # connections are counted where they are made
        timeout_keep_alive=KEEP_ALIVE,
        h11_max_incomplete_event_size=MAX_HEADERS,
    )
