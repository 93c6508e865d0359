"""SQLite for an event loop: one connection, one transaction at a time, and threads only for what may take its time.

SQLite answers a statement from memory in microseconds, so handing each one to a thread and back costs more than the
statement. Here statements run in the loop. A thread waits for the lock when another process holds it, and for the disk
when a commit has something to write.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, CursorResult, Engine, Executable
from sqlalchemy.engine import URL
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

_Result = TypeVar("_Result")


class SerialConnection:
    """A connection on which a transaction has begun; its results are read before the next statement."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def engine(self) -> Engine:
        return self._connection.engine

    async def execute(
        self, statement: Executable, values: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None
    ) -> CursorResult[Any]:
        """Run one statement, at once, or once for each of several rows of values. Raises SQLAlchemyError."""
        return self._connection.execute(statement, values)


class SerialEngine:
    """What the ledger uses of an `AsyncEngine`, over a synchronous engine for SQLite with a pool of one connection.

    Args:
        engine: its connections may be used by any thread, and wait `busy` for another process's lock.
        busy: milliseconds.
        patience: seconds that a transaction waits for those before it.
    """

    def __init__(self, engine: Engine, *, busy: int, patience: float) -> None:
        self.sync_engine = engine
        self._busy, self._patience = busy, patience
        self._turn = asyncio.Lock()
        self._opened = False

    @property
    def url(self) -> URL:
        return self.sync_engine.url

    @contextlib.asynccontextmanager
    async def begin(self) -> AsyncIterator[SerialConnection]:
        """Open a write transaction; it commits when the block ends and rolls back when it raises.

        Raises:
            SQLAlchemyError: also if those before it take too long.
        """
        await self._wait()
        try:
            connection = await self._begun()
            try:
                before = _changes(connection)
                yield SerialConnection(connection)
                if _changes(connection) == before:
                    connection.commit()  # nothing to write: no disk to wait for
                else:
                    await _settled(connection.commit)
            finally:
                connection.close()  # rolls back what was not committed
        finally:
            self._turn.release()

    connect = begin  # looking alone takes its turn as well

    async def dispose(self) -> None:
        """Close the connection."""
        await _settled(self.sync_engine.dispose)
        self._opened = False

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(self._patience):
                await self._turn.acquire()
        except TimeoutError:
            raise PoolTimeoutError("the transactions before it take too long") from None

    async def _begun(self) -> Connection:
        connection = self._try() if self._opened else None
        if connection is None:
            connection = await _settled(self._begin, Connection.close)
            self._opened = True
        return connection

    def _try(self) -> Connection | None:
        """Begin if nobody holds the lock in this moment."""
        connection = self.sync_engine.connect()
        try:
            _set_busy(connection, 0)
            try:
                connection.begin()
            finally:
                _set_busy(connection, self._busy)
        except OperationalError as error:
            connection.close()
            if getattr(error.orig, "sqlite_errorname", "").startswith("SQLITE_BUSY"):
                return None
            raise
        except BaseException:
            connection.close()
            raise
        return connection

    def _begin(self) -> Connection:
        connection = self.sync_engine.connect()
        try:
            connection.begin()
        except BaseException:
            connection.close()
            raise
        return connection


async def _settled(work: Callable[[], _Result], undo: Callable[[_Result], object] | None = None) -> _Result:
    """Run blocking work in a thread; if cancelled, wait for its end first, since nobody else may use the connection."""
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([task])
        if task.exception() is None and undo is not None:
            undo(task.result())
        raise


def _changes(connection: Connection) -> int:
    """Return how many rows this connection has ever changed."""
    return int(connection.connection.driver_connection.total_changes)  # type: ignore[union-attr]  # sqlite3.Connection


def _set_busy(connection: Connection, milliseconds: int) -> None:
    connection.connection.driver_connection.execute(f"PRAGMA busy_timeout = {milliseconds}")  # type: ignore[union-attr]  # as above
