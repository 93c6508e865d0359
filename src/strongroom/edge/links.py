"""The links of a grant: renewed when their time is over, gone on with where a line broke (protocol.md section 8)."""

import time
from collections.abc import Callable
from threading import Lock
from typing import Protocol, runtime_checkable

from strongroom.edge.exchange import Exchange
from strongroom.errors import Code, DeniedError, RefusedError, UnreachableError

TRIES = 3  # of one range without progress, when the connection breaks
PROGRESS = 262_144  # bytes that begin the count of tries again; fewer would let a server go slower than is allowed
PAUSE = 0.5  # seconds before the second try without progress, and any later one
_LINK_OVER = {Code.URL_EXPIRED, Code.FORBIDDEN}

Arrived = Callable[[int], None]  # how many bytes of a memory are there


@runtime_checkable
class ReadsInto(Protocol):
    """An optional ability of an exchange: reading into memory that the caller uses again and again."""

    def read_range_into(self, url: str, offset: int, into: memoryview, arrived: Arrived | None = None) -> None:
        """Fill memory with exactly these bytes of an object; tell how many of it came. As `Exchange.read_range`."""
        ...


class Links:
    """The links of a grant. Safe to use from several threads."""

    def __init__(
        self,
        exchange: Exchange,
        urls: tuple[str, ...],
        renew: Callable[[], tuple[str, ...]],
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """Take the links of a grant; nothing is sent.

        Args:
            exchange: the way to whatever the links lead to.
            urls: a link for each file.
            renew: asks the office for fresh ones.
            pause: waits that many seconds.
        """
        self._exchange = exchange
        self._urls = urls
        self._renew = renew
        self._pause = pause
        self._lock = Lock()

    def read(self, index: int, offset: int, length: int) -> bytes:
        """Return exactly these bytes of a file. Raises as `read_into`."""
        data = bytearray(length)
        self.read_into(index, offset, memoryview(data))
        return bytes(data)

    def read_into(
        self, index: int, offset: int, into: memoryview, *, have: int = 0, arrived: Arrived | None = None
    ) -> None:
        """Fill memory with the bytes of a file from `offset` on, each of which is asked for until it has come once.

        Args:
            index: which file.
            offset: the first byte of `into` in the file.
            into: memory for the bytes.
            have: how many of them are there already.
            arrived: called with how many of them are there. After an error these, and no others, mean something.

        Raises:
            DeniedError, RefusedError: the link is over and no fresh one is given.
            UnreachableError: the connection broke again and again, or the answer is of another length.
            StrongroomError: whatever `arrived` raises.
        """
        done, tries, renewed = have, TRIES, False
        while done < len(into):
            begun, url = done, self._urls[index]

            def came(count: int, begun: int = begun) -> None:
                nonlocal done
                done = begun + count
                if arrived is not None:
                    arrived(done)

            try:
                self._fill(url, offset + begun, into[begun:], came)
            except (DeniedError, RefusedError) as error:
                if error.code not in _LINK_OVER or renewed:
                    raise
                renewed = True  # one renewal without progress: a second refusal is meant
                self._renewed(index, url)
            except UnreachableError as error:
                if done - begun >= PROGRESS:
                    tries, renewed = TRIES, False
                    continue
                tries -= 1
                if tries <= 0 or error.code == Code.PIN_MISMATCH:
                    raise
                if tries < TRIES - 1:
                    self._pause(PAUSE)

    def _fill(self, url: str, offset: int, into: memoryview, came: Arrived) -> None:
        if isinstance(self._exchange, ReadsInto):
            self._exchange.read_range_into(url, offset, into, came)
        else:
            data = self._exchange.read_range(url, offset, len(into))
            if len(data) != len(into):
                raise UnreachableError(Code.ANSWER, f"{len(data)} bytes came where {len(into)} were asked for")
            into[:] = data
        came(len(into))

    def _renewed(self, index: int, used: str) -> None:
        with self._lock:
            if self._urls[index] == used:  # no other thread was faster
                self._urls = self._renew()
