"""One database connection pool, set up so that a transaction is what it says it is.

SQLite by default: write-ahead log, every commit on the disk (synchronous FULL), foreign keys on, and each transaction
takes the write lock when it begins, so that what it read is still true when it writes.
"""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, QueuePool, create_engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from strongroom.errors import Code, SetupError, StoreError, StrongroomError
from strongroom.server.ledger.serial import SerialEngine

BUSY_MILLISECONDS = 10_000  # how long a transaction waits for another process's
POOL_SECONDS = 20  # how long it waits for this process's own

_PRAGMAS = (
    f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}",  # first, since the next one may have to wait
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA wal_autocheckpoint = 2500",  # pages: fewer than one judged request in a hundred pays for moving the log
    "PRAGMA foreign_keys = ON",
    "PRAGMA trusted_schema = OFF",
)
EMPTY_STEP = "restore it from a backup; `strongroom db upgrade` would fill in tables, but empty ones entitle nobody"

_DAMAGED = {"SQLITE_NOTADB", "SQLITE_CORRUPT"}
_MISSING = ("no such table", "no such column", "UndefinedTable", "UndefinedColumn")


def sqlite_url(path: Path) -> str:
    """Return the URL of an SQLite database file."""
    return URL.create("sqlite+aiosqlite", database=str(path)).render_as_string(hide_password=False)


def read_url(url: str) -> URL:
    """Parse a database URL.

    Raises:
        SetupError: DATABASE. The URL is not repeated, since it may hold a password.
    """
    try:
        return make_url(url)
    except (ArgumentError, ValueError):
        raise SetupError(Code.DATABASE, "not a database URL", next_step="set database in strongroom.toml") from None


def open_engine(url: str) -> AsyncEngine | SerialEngine:
    """Make the pool for a database URL; nothing is read yet.

    Raises:
        SetupError: DATABASE, if there is no driver, or no such SQLite file.
    """
    parsed = read_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _open_sqlite(parsed)
    try:
        return create_async_engine(parsed, hide_parameters=True)
    except (NoSuchModuleError, ModuleNotFoundError, ArgumentError):
        raise SetupError(
            Code.DATABASE,
            f"no driver for a {parsed.get_backend_name()} database",
            next_step="install strongroom[server]",
        ) from None


def _open_sqlite(url: URL) -> SerialEngine:
    make_private(url, create=False)
    # SQLite has one writer at a time: waiting in our own queue is fair, waiting for its lock is not
    engine = create_engine(
        url.set(drivername="sqlite"),
        hide_parameters=True,
        poolclass=QueuePool,
        pool_size=1,
        max_overflow=0,
        connect_args={"check_same_thread": False},
    )
    set_up_sqlite(engine)
    return SerialEngine(engine, busy=BUSY_MILLISECONDS, patience=POOL_SECONDS)


def set_up_sqlite(engine: Engine) -> None:
    """Make SQLite keep its promises on every connection of this engine."""
    event.listen(engine, "connect", _on_connect)
    event.listen(engine, "begin", _on_begin)


def _on_connect(connection: Any, _record: object) -> None:  # noqa: ANN401 - a driver's connection
    connection.isolation_level = None  # else the driver begins transactions of its own, late and read-only
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(pragma)
    cursor.close()


def _on_begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def make_private(url: URL, *, create: bool) -> None:
    """Give an SQLite file mode 0600, whatever the umask; the files SQLite puts beside it take over that mode.

    Args:
        url: its URL.
        create: make an empty one if it is missing.

    Raises:
        SetupError: DATABASE, if it or its directory is missing or may not be written.
    """
    if not url.database or url.database == ":memory:":
        return
    try:
        if create:
            with suppress(FileExistsError):  # also where another process makes it at this very moment
                os.close(os.open(url.database, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        # by its name: to close any descriptor of it would drop the locks that SQLite holds for this process
        if Path(url.database).is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        Path(url.database).chmod(0o600)
        if not os.access(url.database, os.R_OK | os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        step = "mend database in strongroom.toml, or the modes of this file and its directory"
        if isinstance(error, FileNotFoundError) and not create:
            step = "restore it from a backup, or mend database in strongroom.toml"
        raise SetupError(
            Code.DATABASE, f"the database cannot be opened: {error.strerror}", where=url.database, next_step=step
        ) from None


@contextmanager
def alone(url: URL) -> Iterator[None]:
    """Keep other processes from upgrading the same SQLite file: a new one is given its log, and that waits for nobody.

    The lock is on the directory, since to close any descriptor of the file would drop the locks that SQLite holds.

    Raises:
        SetupError: DATABASE, if the directory cannot be read or locked.
    """
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        yield
        return
    parent = Path(url.database).absolute().parent
    with ExitStack() as held:
        try:
            directory = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            held.callback(os.close, directory)
            fcntl.flock(directory, fcntl.LOCK_EX)
        except OSError as error:
            what = f"the database's directory cannot be locked: {error.strerror}"
            step = "mend its mode, or use a local file system"
            raise SetupError(Code.DATABASE, what, where=str(parent), next_step=step) from None
        yield


def is_unique_violation(error: DBAPIError) -> bool:
    """Tell whether a unique constraint or a primary key refused a row (SQLite and PostgreSQL)."""
    name = getattr(error.orig, "sqlite_errorname", "")
    state = getattr(error.orig, "sqlstate", "") or ""
    return name in {"SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY"} or state == "23505"


def place(url: URL) -> str:
    """Return where a database is, as an error may tell it: a path, or nothing of a URL."""
    return url.database or "" if url.get_backend_name() == "sqlite" else ""


def translate(error: SQLAlchemyError, where: str = "") -> StrongroomError:
    """Turn a database error into ours, without SQL and without values; `where` is the database's `place`."""
    kind = getattr(getattr(error, "orig", None), "sqlite_errorname", "") or type(getattr(error, "orig", error)).__name__
    text = str(getattr(error, "orig", ""))
    if any(word in text or word == kind for word in _MISSING):
        step = "run `strongroom db upgrade`"
        return SetupError(Code.DATABASE, "the database has not this version's tables", where=where, next_step=step)
    if kind.startswith(tuple(_DAMAGED)):  # extended codes begin with them
        step = "stop the server and restore it from a backup"
        return StoreError(Code.DATABASE, f"the database is damaged: {kind}", where=where, next_step=step)
    own_fault = isinstance(error, IntegrityError)  # a row that names what is not there
    step = "" if own_fault else "see whether its disk is full or failing, or another process holds it"
    return StoreError(Code.DATABASE, f"the database failed: {kind}", where=where, next_step=step)
