"""A client for one server and the other hosts its trust document pins (docs/spec/protocol.md section 1)."""

import re
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import BinaryIO, Final, Never, Self

from strongroom import __version__
from strongroom.errors import Code, InputError, StoreError, StrongroomError, UnreachableError
from strongroom.transport.answers import BLOCK, Answer, Response, bad_answer, check_speed, raise_problem
from strongroom.transport.connection import FAILURES, PinnedConnection, make_context, translate
from strongroom.wire.trust import Pin

ANSWER_SECONDS = 60.0  # how long a server may think about an upload
_IDLE = 8  # connections kept for each host
_PATH = r"/(?!/)[!-\"$-~]*|/"  # printable ASCII, no fragment
_URL = re.compile(
    rf"https://(?P<host>[A-Za-z0-9.-]{{1,253}}|\[[0-9a-fA-F:]{{2,45}}\])(?::(?P<port>[0-9]{{1,5}}))?(?P<path>{_PATH})?"
)
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,16})-([0-9]{1,16})/(?:[0-9]{1,16}|\*)")
_SAFE = frozenset({"GET", "HEAD"})
_HEADERS: Final = {"Accept-Encoding": "identity", "User-Agent": f"strongroom/{__version__}"}


class Pinned:
    """A client for one server and the other hosts its trust document pins. Safe to share between threads."""

    def __init__(self, base_url: str, pins: tuple[Pin, ...], *, timeout: float = 10.0) -> None:
        """Prepare a client; nothing is sent.

        Args:
            base_url: "https://host[:port][/prefix]", where paths are resolved.
            pins: the hosts that may be reached, from trust.json.
            timeout: seconds to wait for a connection, and for the first byte of an answer.

        Raises:
            InputError: ARGUMENT, when the URL is not an https URL.
            UnreachableError: PIN_MISMATCH, when its host is not pinned.
        """
        if not _URL.fullmatch(base_url):
            step = "write it as https://host:port"
            raise InputError(Code.ARGUMENT, "not the address of a server", where=base_url[:200], next_step=step)
        self._base = base_url.rstrip("/")
        self._pins = {pin.host: pin for pin in pins}
        self._timeout = timeout
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._idle: dict[tuple[str, int], list[PinnedConnection]] = {}
        self._resolve(self._base)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the idle connections; the client may be used again."""
        for idle in self._idle.values():
            while idle:
                idle.pop().close()

    def request(
        self,
        method: str,
        path_or_url: str,
        *,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        limit: int,
    ) -> Response:
        """Make one request and read the whole answer, whatever its status; only a redirect is refused.

        Args:
            method: HTTP method in capitals.
            path_or_url: "/path" at the base URL, or an https URL of a pinned host.
            body: request body, sent with its length.
            headers: further headers.
            limit: largest answer read, in bytes.

        Raises:
            UnreachableError: UNREACHABLE, CERTIFICATE, PIN_MISMATCH, ANSWER.
        """
        sent = {"Content-Length": str(len(body))} if body or method not in _SAFE else {}
        with self._exchange(method, path_or_url, body or None, {**sent, **(headers or {})}, self._timeout) as answer:
            return Response(answer.status, answer.headers, answer.read(limit))

    def read_range(self, url: str, offset: int, length: int) -> bytes:
        """Return exactly these bytes of an object.

        Raises:
            UnreachableError, DeniedError, InputError: as `read_range_into`.
        """
        data = bytearray(length)
        self.read_range_into(url, offset, memoryview(data))
        return bytes(data)

    def read_range_into(
        self, url: str, offset: int, into: memoryview, arrived: Callable[[int], None] | None = None
    ) -> None:
        """Fill a buffer with the bytes of an object from `offset` on.

        Args:
            url: where the object is, an https URL of a pinned host or a path.
            offset: its first byte that is wanted.
            into: memory for the bytes.
            arrived: called with how many bytes of `into` are there. After an error these, and no others, came.

        Raises:
            UnreachableError: UNREACHABLE, CERTIFICATE, PIN_MISMATCH, or ANSWER (not exactly this range came).
            DeniedError, RefusedError: NOT_FOUND, URL_INVALID, URL_EXPIRED as the store answers.
            InputError: RANGE, when the object has no such bytes.
        """
        last = offset + len(into) - 1
        with self._exchange("GET", url, None, {"Range": f"bytes={offset}-{last}"}, self._timeout) as answer:
            if answer.status != 206:
                _not_partial(Response(answer.status, answer.headers, answer.read(BLOCK)))
            match = _CONTENT_RANGE.fullmatch(answer.headers.get("content-range", ""))
            if match is None or (int(match[1]), int(match[2])) != (offset, last):
                raise bad_answer("the server sent another part of the file than was asked for")
            answer.fill(into, arrived)

    def upload(self, url: str, source: BinaryIO, size: int, progress: Callable[[int], None] | None = None) -> None:
        """PUT exactly `size` bytes of a file to a signed URL; not repeated on failure.

        Args:
            url: where to, an https URL of a pinned host or a path.
            source: read from its present position on.
            size: how many bytes it has, and the URL is for.
            progress: called with the number of bytes sent so far.

        Raises:
            UnreachableError: UNREACHABLE, CERTIFICATE, PIN_MISMATCH, ANSWER.
            InputError: FILE_SOURCE_CHANGED, when the file is shorter; CONFLICT, TOO_LARGE as the store answers.
            StoreError: STORE_IO, when the file cannot be read.
            DeniedError, RefusedError: URL_INVALID, URL_EXPIRED as the store answers.
        """
        blocks = self._blocks(source, size, progress)
        headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
        with self._exchange("PUT", url, blocks, headers, max(self._timeout, ANSWER_SECONDS)) as answer:
            response = Response(answer.status, answer.headers, answer.read(BLOCK))
        if response.status not in {200, 201, 204}:
            raise_problem(response)

    def _blocks(self, source: BinaryIO, size: int, progress: Callable[[int], None] | None) -> Iterator[bytes]:
        start, sent = time.monotonic(), 0
        while sent < size:
            try:
                block = source.read(min(BLOCK, size - sent))
            except OSError:
                raise StoreError(Code.STORE_IO, "a file to upload cannot be read") from None
            if not block:
                raise InputError(Code.FILE_SOURCE_CHANGED, f"a file to upload ends after {sent} of {size} bytes")
            yield block
            sent += len(block)
            check_speed(start, sent, self._timeout)
            if progress is not None:
                progress(sent)

    @contextmanager
    def _exchange(
        self,
        method: str,
        path_or_url: str,
        body: bytes | Iterator[bytes] | None,
        headers: Mapping[str, str],
        wait: float,
    ) -> Iterator["Answer"]:
        """Send one request and give out its answer; the connection is kept only if the answer was read to its end."""
        host, port, path = self._resolve(path_or_url)
        where = f"{host}:{port}"
        connection = self._connection(host, port)
        keep = False
        try:
            try:
                answer = connection.ask(method, path, body, {**_HEADERS, **headers}, wait)
            except FAILURES:
                if method not in _SAFE or not connection.reused:
                    raise
                connection.close()  # the server had closed an idle connection: asked again once, on a fresh one
                connection = self._fresh(host, port)
                answer = connection.ask(method, path, body, {**_HEADERS, **headers}, wait)
            yield answer
            keep = answer.over and not connection.broken
        except StrongroomError as error:
            error.where = error.where or where
            raise
        except FAILURES as error:
            raise translate(error, where) from None
        finally:
            self._put_back(connection, (host, port), keep=keep)

    def _put_back(self, connection: "PinnedConnection", place: tuple[str, int], *, keep: bool) -> None:
        idle = self._idle.setdefault(place, [])
        if keep and len(idle) < _IDLE:
            connection.reused = True
            idle.append(connection)
        else:
            connection.close()

    def _connection(self, host: str, port: int) -> "PinnedConnection":
        idle = self._idle.get((host, port), [])
        while idle:
            connection = idle.pop()
            if connection.quiet:
                return connection
            connection.close()
        return self._fresh(host, port)

    def _fresh(self, host: str, port: int) -> "PinnedConnection":
        if host not in self._contexts:
            self._contexts[host] = make_context(self._pins[host])
        pinned = frozenset(self._pins[host].spki)
        return PinnedConnection(host, port, context=self._contexts[host], pinned=pinned, timeout=self._timeout)

    def _resolve(self, path_or_url: str) -> tuple[str, int, str]:
        url = self._base + path_or_url if path_or_url.startswith("/") else path_or_url
        match = _URL.fullmatch(url)
        host = match["host"].strip("[]").lower() if match else ""
        port = int(match["port"] or 443) if match else 0
        if match is None or not 1 <= port <= 65_535:
            raise bad_answer("an address is not an https address")  # without the address: it may hold a signature
        if host not in self._pins:
            step = "check the server's address, or get a newer trust.json"
            raise UnreachableError(Code.PIN_MISMATCH, "trust.json does not pin this host", where=host, next_step=step)
        return host, port, match["path"] or "/"


def _not_partial(response: Response) -> Never:
    if response.status < 400:
        raise bad_answer("the server ignored the range that was asked for")
    raise_problem(response)
