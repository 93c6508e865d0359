"""What a server sends back, read under limits of size, speed and time (docs/spec/protocol.md section 1)."""

import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Never, Protocol

import urllib3

from strongroom.errors import Code, UnreachableError
from strongroom.wire import problems

MIN_SPEED = 16_384  # bytes a second, beyond the timeout: slower is refused (slow retrieval)
BLOCK = 65_536  # bytes


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Refusal(Protocol):
    """What an answer must have to be raised; a Response has it."""

    @property
    def status(self) -> int: ...
    @property
    def body(self) -> bytes: ...


def raise_problem(response: Refusal) -> Never:
    """Raise the error that a refusing answer stands for.

    Raises:
        DeniedError: 401, 403, 404.
        RefusedError: 403 with a code that policy gives.
        InputError: other 4xx.
        UnreachableError: 5xx; ANSWER for a status that is no refusal.
    """
    raise problems.error_of(response.status, response.body)


class Answer:
    """The head of an answer, and its body under limits."""

    def __init__(self, raw: urllib3.HTTPResponse, sock: socket.socket | None, timeout: float) -> None:
        self.status = raw.status
        self.headers = {name.lower(): value for name, value in raw.headers.items()}
        self.over = False
        self._raw = raw
        self._sock = sock
        self._timeout = timeout

    def read(self, limit: int) -> bytes:
        """Return the whole body, which must be at most `limit` bytes."""
        declared = self.headers.get("content-length", "0")
        if declared.isdecimal() and len(declared) < 20 and int(declared) > limit and self._raw.length_remaining != 0:
            raise bad_answer(f"the server announces {declared} bytes; at most {limit} are read")
        data = bytearray()
        for block in self._pieces(limit + 1):
            data += block
        if len(data) > limit:
            raise bad_answer(f"the server sends more than {limit} bytes")
        return bytes(data)

    def fill(self, into: memoryview, arrived: Callable[[int], None] | None = None) -> None:
        """Read a body of exactly the buffer's size; `arrived` is told how much of it is there."""
        at = 0
        for block in self._pieces(len(into) + 1):
            if at + len(block) > len(into):
                raise bad_answer("the server sends more than was asked for")
            into[at : at + len(block)] = block
            at += len(block)
            if arrived is not None:
                arrived(at)
        if at != len(into):
            raise bad_answer("the server sends less than was asked for")

    def _pieces(self, most: int) -> Iterator[bytes]:
        """Yield the body up to `most` bytes, with a least speed between pieces and a deadline over all of them."""
        start, got = time.monotonic(), 0
        with deadline(self._sock, self._timeout + most / MIN_SPEED):
            while got < most:
                block = self._raw.read1(min(BLOCK, most - got), decode_content=False)
                if not block:
                    self.over = True
                    return
                got += len(block)
                yield block
                check_speed(start, got, self._timeout)


@contextmanager
def deadline(sock: socket.socket | None, seconds: float) -> Iterator[None]:
    """Shut the socket down after `seconds`: a socket's own timeout starts again with every byte that trickles in."""
    late = threading.Event()

    def shut() -> None:
        late.set()
        if sock is not None:
            try:
                socket.socket.shutdown(sock, socket.SHUT_RDWR)  # not SSLSocket's: that one would drop TLS first
            except OSError:
                return  # closed in the meantime, which is what was wanted

    timer = threading.Timer(seconds, shut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
    if late.is_set():  # what was read may be cut short in a way that parses
        raise too_slow()


def check_speed(start: float, done: int, timeout: float) -> None:
    """Refuse a transfer that is below the least speed. Raises UnreachableError(UNREACHABLE)."""
    if time.monotonic() - start > timeout + done / MIN_SPEED:
        raise too_slow()


def too_slow() -> UnreachableError:
    """Return the error for a transfer that takes too long."""
    return UnreachableError(Code.UNREACHABLE, "the connection is too slow", next_step="try again later")


def bad_answer(what: str) -> UnreachableError:
    """Return the error for an answer that is none."""
    return UnreachableError(Code.ANSWER, what)
