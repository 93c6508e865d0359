"""A copy of the database while the server runs: one moment of it, whole, checked before it gets its name."""

import os
import secrets
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from strongroom.errors import Code, InputError, SetupError, StoreError
from strongroom.server.ledger.engine import read_url

PAGES = 256  # copied at once; between two steps the server writes

Progress = Callable[[int, int], None]  # pages done, pages in all


def backup(url: str, target: Path, progress: Progress | None = None) -> int:
    """Copy an SQLite database to a new file of mode 0600, by SQLite's online backup.

    The copy is of one moment: what is committed while it is made is in it whole or not at all. It is checked
    (`PRAGMA integrity_check`) and durable before it gets its name; on any failure there is no file.

    Args:
        url: of the database.
        target: the new file.
        progress: called in this thread.

    Returns:
        Its size in bytes.

    Raises:
        InputError: ALREADY_THERE.
        SetupError: DATABASE, for a database that is not there, or is no SQLite file: its own tools copy that.
        StoreError: DATABASE, STORE_IO.
    """
    parsed = read_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        step = "use the tool of its make (PostgreSQL: pg_dump)"
        raise SetupError(Code.DATABASE, "only an SQLite database is copied by this command", next_step=step)
    if os.path.lexists(target):
        step = "choose another name, or move the old file away"
        raise InputError(Code.ALREADY_THERE, "no backup is written over a file", where=str(target), next_step=step)
    draft = target.with_name(f".{target.name[:100]}.{secrets.token_hex(8)}.part")
    try:
        os.close(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        _copy(parsed.database, draft, progress)
        _settle(draft, target)
    except sqlite3.Error as error:
        what = f"the database was not copied: {getattr(error, 'sqlite_errorname', type(error).__name__)}"
        step = "see whether its disk is full or failing, or another process holds it"
        raise StoreError(Code.DATABASE, what, where=parsed.database, next_step=step) from None
    except FileExistsError:
        raise InputError(Code.ALREADY_THERE, "something has this name by now", where=str(target)) from None
    except OSError as error:
        what, step = f"the backup was not written: {error.strerror}", "choose a directory that is yours and has room"
        raise StoreError(Code.STORE_IO, what, where=str(target), next_step=step) from None
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
    return target.stat().st_size


def _copy(database: str, draft: Path, progress: Progress | None) -> None:
    source = f"{Path(database).absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(source, uri=True)) as old, closing(sqlite3.connect(draft)) as new:
        old.execute("PRAGMA busy_timeout = 10000")
        old.backup(new, pages=PAGES, progress=lambda _, left, total: progress and progress(total - left, total))
        new.execute("PRAGMA journal_mode = DELETE")  # one file, without a log beside it
        found = [row[0] for row in new.execute("PRAGMA integrity_check")]
        if found != ["ok"]:
            what, step = "the database is damaged; its copy is worth nothing", "restore an older backup"
            raise StoreError(Code.DATABASE, what, where=database, next_step=step)


def _settle(draft: Path, target: Path) -> None:
    for path, flags in ((draft, os.O_RDONLY), (target.parent, os.O_RDONLY | os.O_DIRECTORY)):
        handle = os.open(path, flags | os.O_CLOEXEC)
        try:
            if path == target.parent:
                os.link(draft, target)  # unlike a rename it never replaces a file
            os.fsync(handle)
        finally:
            os.close(handle)
