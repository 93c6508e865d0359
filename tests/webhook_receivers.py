"""A webhook that somebody else runs: a real TLS listener on loopback that behaves as a test tells it to."""

import contextlib
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from strongroom.server import certificates

SECRET = bytes(range(32))
MADE = certificates.issue(certificates.LOOPBACK, now=1_767_225_600)
AUTHORITY = MADE.authority.decode("ascii")


@dataclass(frozen=True)
class Told:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """What came, and what is answered: the bytes after the status line are the test's own."""

    url: str = ""
    port: int = 0
    answer: Callable[[Told], bytes] = lambda _: status(204)
    told: list[Told] = field(default_factory=list)
    came: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def ids(self) -> list[str]:
        return [one.headers["webhook-id"] for one in self.told]


def status(code: int, *headers: str, body: bytes = b"") -> bytes:
    """A whole answer."""
    lines = [f"HTTP/1.1 {code} Word", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        told = Told(
            self.path,
            {n.lower(): v for n, v in self.headers.items()},
            self.rfile.read(int(self.headers["Content-Length"])),
        )
        receiver: Receiver = self.server.receiver  # type: ignore[attr-defined] # set where the server is made
        receiver.told.append(told)
        receiver.came.release()
        answer = receiver.answer(told)
        with contextlib.suppress(OSError):  # the other side may have had enough
            self.wfile.write(answer)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, receiver: Receiver, context: ssl.SSLContext, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.receiver, self._context = receiver, context

    def finish_request(self, request, client_address) -> None:
        with self._context.wrap_socket(request, server_side=True) as secure:
            super().finish_request(secure, client_address)

    def handle_error(self, request, client_address) -> None:
        """Say nothing: a client that does not believe the certificate."""


def tls(folder: Path) -> ssl.SSLContext:
    """The receiver's own certificate."""
    (folder / "receiver.pem").write_bytes(MADE.server.certificate + MADE.server.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "receiver.pem")
    return context


@contextlib.contextmanager
def listening(receiver: Receiver, context: ssl.SSLContext) -> Iterator[Receiver]:
    """Listen, on the port it had before if it had one."""
    with _Server(receiver, context, receiver.port) as server:
        receiver.port = server.server_port
        receiver.url = f"https://localhost:{receiver.port}/alerts?room=1"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
