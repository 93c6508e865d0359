"""One connection of a client: how long it may stay silent, how many one address may have, how a refusal ends it.

uvicorn serves whatever connects for as long as it stays connected, and reads a body that nobody wants to its end. Here
a connection lives from one whole request head to the next by a clock that no single byte winds up again.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import h11
import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from strongroom.errors import Code, InputError, StrongroomError, UnreachableError
from strongroom.server.http.problems import SECURITY, problem_response
from strongroom.server.http.strict import BAD_REQUEST, HEADERS_TOO_LARGE, TARGET_TOO_LONG, StrictConnection
from strongroom.server.limits.addresses import of_one_hand

HEAD_SECONDS = 10  # for a whole request head to arrive, from the connection or the last answer on
MAX_CONNECTIONS = 1000  # at once and listener
MAX_PER_ADDRESS = 100  # of them from one address: offices behind one address share it; a tenth of all leaves the rest
STALL_SECONDS = 60  # that a client may leave a full answer lying before it reads on
LINGER_SECONDS = 1  # that an answer gets to arrive while a body nobody wants is still being sent
LINGER_BYTES = 65_536  # of such a body that are read and thrown away

_ANSWERING = (h11.SEND_RESPONSE, h11.SEND_BODY)  # states of ours
_ENDED = (h11.IDLE, h11.DONE, h11.MUST_CLOSE, h11.CLOSED)  # states of a client that has nothing left to send
_CODES = {TARGET_TOO_LONG: Code.TOO_LARGE, HEADERS_TOO_LARGE: Code.TOO_LARGE}


_log = structlog.get_logger(__name__)


class Connection(H11Protocol):
    """One connection.

    Args:
        config: uvicorn's.
        server_state: shared by all connections of a listener.
        addresses: how many connections each address has at this listener; shared as well.
        reference: makes references for refusals.
    """

    def __init__(
        self, config: Config, server_state: ServerState, *, addresses: Counter[str], reference: Callable[[], str]
    ) -> None:
        super().__init__(config, server_state, {})
        self.conn = self._strict = StrictConnection()
        self.app = self._closing_early(self.app)
        self._addresses = addresses
        self._reference = reference
        self._address: str | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._plain: asyncio.Transport | None = None
        self._left = LINGER_BYTES
        self._lingers = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Begin, or refuse who has too many already."""
        super().connection_made(transport)
        self._plain = transport
        self.transport = _Lingering(transport, self._close)
        address = of_one_hand(self.client[0]) if self.client else ""
        if self._addresses[address] < MAX_PER_ADDRESS and self._addresses.total() < MAX_CONNECTIONS:
            self._address = address
            self._addresses[address] += 1
            self._await_head()
        elif len(self.connections) > 2 * MAX_CONNECTIONS:  # as many as are served wait for their refusal already
            self.drop()
        else:
            self._refuse(UnreachableError(Code.UNREACHABLE, "too many connections", where=address), 503)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._stop_timer()
        self._plain = None
        if self._address is not None:
            self._addresses[self._address] -= 1
            self._addresses += Counter()  # drops what is at zero
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, or throw away what comes after a refusal."""
        if not self._lingers:
            super().data_received(data)
            return
        self._left -= len(data)
        if self._left < 0:
            self.drop()

    def handle_events(self) -> None:
        """Read events; a head that is there whole stops the clock."""
        super().handle_events()
        if not self._lingers and self.conn.their_state is not h11.IDLE:
            self._stop_timer()

    def on_response_complete(self) -> None:
        """Wait for the next request, by a clock of its own."""
        super().on_response_complete()
        if not self.transport.is_closing() and self.conn.their_state is h11.IDLE:
            self._await_head()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, or not in its only reading (called by uvicorn with h11's reason)."""
        status = self._strict.refused if self._strict.refused in _CODES else BAD_REQUEST
        self._refuse(InputError(_CODES.get(status, Code.ARGUMENT), msg), status)

    def pause_writing(self) -> None:
        """Give up a client that does not read, after a while."""
        super().pause_writing()
        self._stop_timer()
        self._timer = self.loop.call_later(STALL_SECONDS, self.drop)

    def resume_writing(self) -> None:
        """Go on with a client that reads again."""
        self._stop_timer()
        super().resume_writing()

    def shutdown(self) -> None:
        """End now if nobody waits for an answer, or after the answer."""
        if self.conn.our_state in _ANSWERING:
            self.cycle.keep_alive = False
        else:
            self.drop()

    def drop(self) -> None:
        """End at once: whoever waited long enough is not waited for."""
        self._stop_timer()
        if self._plain is not None:
            self._plain.close()  # says goodbye in TLS, if there is room for it
            self._plain.abort()

    def _should_upgrade(self) -> bool:
        return False  # to nothing, and it is not worth a line in the log

    def _await_head(self) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(HEAD_SECONDS, self.drop)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, error: StrongroomError, status: int) -> None:
        """Answer without the app: there is no request it could see."""
        reference = self._reference()
        _log.info(
            "refused", code=str(error.code), what=error.what, where=error.where, status=status, reference=reference
        )
        response = problem_response(error, reference, explain=False, status=status)
        headers = [*response.raw_headers, *self.server_state.default_headers, (b"connection", b"close")]
        headers += [(name.encode("ascii"), value.encode("ascii")) for name, value in SECURITY.items()]
        start = h11.Response(status_code=status, headers=headers, reason=HTTPStatus(status).phrase.encode("ascii"))
        events = (start, h11.Data(bytes(response.body)), h11.EndOfMessage())
        try:
            for event in events:
                self.transport.write(self.conn.send(event))
        except h11.LocalProtocolError:  # an answer is on its way already: it breaks off
            self.drop()
            return
        self._linger()

    def _close(self) -> None:
        if self._plain is None or self._lingers:
            return
        if self.conn.their_state in _ENDED:
            self._plain.close()
        else:
            self._linger()

    def _linger(self) -> None:
        """Let the answer arrive before the end: a reset, because the client is still sending, would overtake it."""
        self._lingers = True
        self._stop_timer()
        self._unset_keepalive_if_required()
        self.flow.resume_reading()
        self._timer = self.loop.call_later(LINGER_SECONDS, self.drop)

    def _closing_early(self, app: Any) -> ASGIApp:  # noqa: ANN401 - uvicorn's ASGI types and starlette's differ
        """Say `Connection: close` in an answer that does not wait for the rest of the body."""

        async def told(scope: Scope, receive: Receive, send: Send) -> None:
            async def say(message: Message) -> None:
                if message["type"] == "http.response.start" and self.conn.their_state is h11.SEND_BODY:
                    message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
                await send(message)

            await app(scope, receive, say)

        return told


class _Lingering(asyncio.Transport):
    """A transport whose `close` asks the connection how."""

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        super().__init__()
        self._transport = transport
        self._close = close
        self._closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._transport.write(data)

    def close(self) -> None:
        self._closing = True
        self._close()

    def is_closing(self) -> bool:
        return self._closing or self._transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - as asyncio has it
        return self._transport.get_extra_info(name, default)

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def abort(self) -> None:
        self._transport.abort()
