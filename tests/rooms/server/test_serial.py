"""SQLite in the event loop: who waits for a lock holds nobody up, who is cancelled leaves nothing behind."""

import asyncio
import errno
import fcntl
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from strongroom.errors import Code, SetupError, StoreError
from strongroom.server.ledger import migrate, serial, upgrade
from strongroom.server.ledger.engine import open_engine, sqlite_url
from strongroom.server.ledger.sql import SqlLedger
from strongroom.server.ports import Account, User

WRITES = (sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE)


@pytest.fixture
def path(tmp_path):
    upgrade(sqlite_url(tmp_path / "ledger.db"))
    return tmp_path / "ledger.db"


def told(path, story):
    """Run a story with a ledger, and with another process's connection to the same database."""

    async def tell():
        ledger = SqlLedger.open(sqlite_url(path))
        other = sqlite3.connect(path, timeout=0, isolation_level=None)
        try:
            return await story(ledger, other)
        finally:
            other.close()
            await ledger.close()

    return asyncio.run(tell())


def row(name):
    return Account(f"acc_{name}", name, "active", 1)


async def add(ledger, name):
    async with ledger.begin() as tx:
        await tx.add_account(row(name))


def names(other):
    return [name for (name,) in other.execute("select name from accounts order by name")]


async def broken(ledger):
    async with ledger.begin() as tx:
        await tx.add_user(User("usr_1", "acc_none", "nobody", "active", 1))


async def turns(count=50):
    """Let everything go on that can."""
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.parametrize("warm", [True, False])
def test_waiting_for_another_process_holds_nobody_up(path, warm):
    """The lock is waited for in a thread: the loop turns meanwhile, and the transaction comes when the lock goes."""

    async def story(ledger, other):
        if warm:
            await add(ledger, "first")
        other.execute("BEGIN IMMEDIATE")
        waiting = asyncio.create_task(add(ledger, "late"))
        await turns()
        assert not waiting.done()
        other.execute("COMMIT")
        await waiting
        return names(other)

    assert told(path, story) == ["first", "late"][not warm :]


def test_a_wait_that_is_cancelled_leaves_no_lock_and_no_row(path):
    """Cancelled while it waits for another process: the lock that comes too late is given back at once."""

    async def story(ledger, other):
        await add(ledger, "first")
        other.execute("BEGIN IMMEDIATE")
        waiting = asyncio.create_task(add(ledger, "never"))
        await turns()
        waiting.cancel()
        await turns()
        assert not waiting.done()  # its thread still holds the connection
        other.execute("COMMIT")
        with pytest.raises(asyncio.CancelledError):
            await waiting
        other.execute("BEGIN IMMEDIATE")  # nobody holds it
        other.execute("COMMIT")
        await add(ledger, "next")
        return names(other)

    assert told(path, story) == ["first", "next"]


def test_a_transaction_that_is_cancelled_is_rolled_back(path):
    async def story(ledger, other):
        begun = asyncio.Event()

        async def stays():
            async with ledger.begin() as tx:
                await tx.add_account(row("never"))
                begun.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(stays())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await add(ledger, "next")
        return names(other)

    assert told(path, story) == ["next"]


def test_a_commit_that_has_begun_is_finished(path, monkeypatch):
    """Cancelled while the disk is waited for: the row is there, and the next transaction comes after it."""

    async def story(ledger, other):
        engine = ledger._engine.sync_engine
        commit, reached, go = engine.dialect.do_commit, asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        def slowly(connection):
            loop.call_soon_threadsafe(reached.set)
            asyncio.run_coroutine_threadsafe(go.wait(), loop).result()
            commit(connection)

        monkeypatch.setattr(engine.dialect, "do_commit", slowly)
        task = asyncio.create_task(add(ledger, "first"))
        await reached.wait()
        task.cancel()
        second = asyncio.create_task(add(ledger, "second"))
        await turns()
        assert not task.done()
        assert not second.done()
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        await second
        return names(other)

    assert told(path, story) == ["first", "second"]


def test_the_queue_has_an_end(path):
    """Who waits too long for those before it is told so."""

    async def story(ledger, other):
        engine = open_engine(sqlite_url(path))
        impatient = SqlLedger(serial.SerialEngine(engine.sync_engine, busy=10, patience=0.01))
        async with impatient.begin():
            with pytest.raises(StoreError) as refused:
                await add(impatient, "late")
        assert refused.value.code == Code.DATABASE
        await add(impatient, "next")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError):
            await add(impatient, "locked out")
        other.execute("COMMIT")
        await impatient.close()
        return names(other)

    assert told(path, story) == ["next"]


def test_a_look_does_not_wait_for_the_disk(path, monkeypatch):
    """A transaction that changed nothing ends in the loop; one that did, in a thread."""

    async def story(ledger, other):
        settled, real = [], serial._settled

        async def noted(work, undo=None):
            settled.append(work.__name__)
            return await real(work, undo)

        monkeypatch.setattr(serial, "_settled", noted)
        await add(ledger, "first")
        async with ledger.begin() as tx:
            assert await tx.account("first")
        return list(settled)

    assert told(path, story) == ["_begin", "commit"]


def test_a_database_that_takes_no_row_is_not_well(path):
    """It answers, but is not well until a row can be written again; as long as none failed, asking writes none."""

    async def story(ledger, other):
        await add(ledger, "first")
        raw = ledger._engine.sync_engine.raw_connection()  # the pool has this one alone
        driver = raw.driver_connection
        raw.close()
        before = driver.total_changes
        assert await ledger.healthy()
        assert driver.total_changes == before

        driver.set_authorizer(lambda action, *_: sqlite3.SQLITE_DENY if action in WRITES else sqlite3.SQLITE_OK)
        with pytest.raises(StoreError):
            await add(ledger, "lost")
        async with ledger.begin() as tx:
            assert await tx.account("first")  # that it can be read mends nothing
        for _ in range(2):
            assert not await ledger.healthy()

        driver.set_authorizer(None)
        for _ in range(2):
            assert await ledger.healthy()
        with pytest.raises(StoreError):  # refused, but not ill: this is found by writing, and written over
            await broken(ledger)
        for _ in range(2):
            assert await ledger.healthy()
        async with ledger.begin() as tx:
            await tx.drop_challenges(before=1)
        return names(other)

    assert told(path, story) == ["first"]


LOOK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
print(connection.execute("select count(*) from accounts").fetchone()[0])
connection.close()
"""


def test_opening_the_database_again_drops_no_lock(path):
    """POSIX: closing any descriptor of a file drops every lock of the process on it.

    Then the next process that closes the database takes itself for the last one and removes the log that this one
    still writes to: what is committed afterwards is seen by nobody, and lost with this process.
    """

    def looked():
        done = subprocess.run([sys.executable, "-c", LOOK, str(path)], capture_output=True, text=True, check=True)
        return int(done.stdout)

    async def story(ledger, other):
        other.close()
        await add(ledger, "first")
        SqlLedger.open(sqlite_url(path))
        migrate.make_private(migrate.read_url(sqlite_url(path)), create=True)
        assert looked() == 1
        await add(ledger, "second")
        return looked()

    assert told(path, story) == 2


def test_several_may_make_the_database_at_one_moment(tmp_path):
    """Each of them finds it made, whoever was first; a round in five was lost before."""
    together = threading.Barrier(4)

    def made(path):
        together.wait()
        migrate.make_private(migrate.read_url(sqlite_url(path)), create=True)

    with ThreadPoolExecutor(4) as pool:
        for number in range(100):
            list(pool.map(made, [tmp_path / f"{number}.db"] * 4))
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_a_directory_that_cannot_be_locked_is_told(tmp_path, monkeypatch):
    def flock(_descriptor, _how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(SetupError, match="No locks available") as refused:
        upgrade(sqlite_url(tmp_path / "ledger.db"))
    assert (refused.value.code, refused.value.where) == (Code.DATABASE, str(tmp_path))
