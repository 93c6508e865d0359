"""The database's history leads to the tables the code uses, and only forward."""

import asyncio
import os
import sqlite3
import stat
import threading
from contextlib import closing

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, event, inspect, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from strongroom.errors import Code, SetupError, StoreError, StrongroomError
from strongroom.server.ledger import current, head, migrate, upgrade
from strongroom.server.ledger.engine import sqlite_url
from strongroom.server.ledger.sql import SqlLedger
from strongroom.server.ledger.tables import METADATA
from strongroom.server.ports import AttestationRow, Holding, OrderRow, ReleaseRow


@pytest.fixture
def url(tmp_path):
    return sqlite_url(tmp_path / "strongroom.db")


def _file(url):
    return url.removeprefix("sqlite+aiosqlite:///")


def test_from_empty_to_head_is_what_the_code_uses(url):
    """What `alembic check` asks: nothing is left to migrate."""
    assert upgrade(url) == current(url) == head()
    engine = create_engine(f"sqlite:///{_file(url)}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, METADATA) == []
        assert set(inspect(connection).get_table_names()) == {*METADATA.tables, "alembic_version"}
    engine.dispose()


def test_rows_of_the_first_tables_stay_and_work(url):
    """A strongroom of 0.1.0 with a device and a release: the release is a holding that can be ordered to be wiped."""
    engine = migrate.sync_engine(url, create=True)
    with engine.begin() as connection:
        migrate.command.upgrade(migrate._config(connection), "0001")
    engine.dispose()
    assert current(url) == "0001"
    rows = {
        "accounts": ("acc_1", "ada", "active", 1),
        "users": ("usr_1", "acc_1", "ada", "active", 1),
        "devices": ("dev_1", "acc_1", "usr_1", b"t" * 32, "jkt", "ES256", b"p" * 65, "{}", "active", 1, 1),
        "versions": ("ver_1", "digits", "1.0", 1, 1, None, "ready", "", "opr_1", 1),
        "files": (b"f" * 32, "ver_1", None, 0, b"k" * 16, "model", 1, b"h" * 64, b"c" * 32, b"part", 9, "00", b"w", 1),
        "releases": ("rel_1", "dev_1", "acc_1", "ver_1", b"r" * 32, b"e" * 32, "lse_1", 2000, 1000),
    }
    with closing(sqlite3.connect(_file(url))) as connection, connection:
        for table, values in rows.items():
            connection.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(values))})", values)  # noqa: S608 - our own names
    assert upgrade(url) == head()

    async def use():
        ledger = SqlLedger.open(url)
        async with ledger.begin() as tx:
            (held,) = await tx.holdings("dev_1")
            release = await tx.release("rel_1")
            assert release is not None
            await tx.add_order(OrderRow("ord_1", "dev_1", "digits", "1.0", "ver_1", b"x", "[]", 1500, 2500, "opr_1"))
            assert await tx.pending_orders("dev_1", "digits", now=1500)
        await ledger.close()
        return held, release

    held, release = asyncio.run(use())
    assert held == Holding("dev_1", b"t" * 32, "digits", "1.0", "ver_1", b"f" * 32, "lse_1", 1000, 2000)
    assert release == ReleaseRow(*rows["releases"], ended=None)


def test_what_is_asked_often_is_found_by_an_index(url):
    """Pending orders, holdings and leases: no query of the release path or of a page reads a whole table."""
    upgrade(url)
    asked = []

    async def ask():
        ledger = SqlLedger.open(url)
        event.listen(ledger._engine.sync_engine, "before_cursor_execute", lambda *a: asked.append((a[2], a[3])))
        async with ledger.begin() as tx:
            await tx.pending_orders("dev_1", "digits", now=1, limit=1)
            await tx.release_of_lease("lse_1")
            await tx.holdings("dev_1")
            await tx.holders("ver_1", now=1, after="dev_1")
            await tx.orders("dev_1")
            await tx.standings(["digits"])
            await tx.end_leases("dev_1", "ver_1", before=1, at=1)
            await tx.attestations("dev_1")
            await tx.challenge(b"c" * 32, user="usr_1", device=b"t" * 32, purpose="enrol", now=1)
            row = AttestationRow("dev_1", "tpm", "{}", 1, 1, 1, "", b"w" * 32, b"m" * 32)
            await tx.devices_with("tpm", b"w" * 32, besides="dev_1")
            await tx.advance_attestation(row, before=row)
        await ledger.close()

    asyncio.run(ask())
    with closing(sqlite3.connect(_file(url))) as connection:
        queries = [one for one in asked if one[0].startswith(("SELECT", "UPDATE"))]
        assert len(queries) == 11
        used = ""
        for statement, values in queries:
            plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", values)]
            whole = [line for line in plan if line.startswith("SCAN") and " anon_" not in line and "(" not in line]
            assert not whole, (statement, plan)
            used += " ".join(plan)
    for index in ("ix_orders_device_model", "ix_releases_version_id_device", "(lease_id=?)"):
        assert index in used, index


def test_upgrading_twice_changes_nothing(url):
    upgrade(url)
    with closing(sqlite3.connect(_file(url))) as connection, connection:
        before = connection.execute("SELECT sql FROM sqlite_master").fetchall()
    connection.close()
    assert upgrade(url) == head()
    with closing(sqlite3.connect(_file(url))) as connection, connection:
        assert connection.execute("SELECT sql FROM sqlite_master").fetchall() == before
    connection.close()


def test_two_processes_may_upgrade_at_once(url):
    results = []
    threads = [threading.Thread(target=lambda: results.append(upgrade(url))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [head()] * 4


def test_there_is_one_line_of_steps_and_no_way_back():
    scripts = ScriptDirectory.from_config(migrate._config())
    steps = list(scripts.walk_revisions())
    assert len(scripts.get_heads()) == 1
    assert [step.revision for step in reversed(steps)] == [f"{number:04}" for number in range(1, len(steps) + 1)]
    assert not [step for step in steps if hasattr(step.module, "downgrade")]
    assert not hasattr(migrate, "downgrade")


def test_a_step_that_fails_leaves_the_database_as_it_was(url):
    # a table of ours is in the way already, so a later statement of the step fails
    with closing(sqlite3.connect(_file(url))) as connection, connection:
        connection.execute("CREATE TABLE versions (x)")
    connection.close()
    with pytest.raises(StoreError) as caught:
        upgrade(url)
    assert caught.value.code == Code.DATABASE
    assert current(url) is None
    with closing(sqlite3.connect(_file(url))) as connection, connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("versions",)]
    connection.close()


def test_a_database_of_a_newer_strongroom_is_not_touched(url):
    upgrade(url)
    with closing(sqlite3.connect(_file(url))) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(SetupError, match="newer strongroom"):
        upgrade(url)
    assert current(url) == "9999"


def test_the_file_and_what_sqlite_puts_beside_it_are_private(url, tmp_path):
    before = os.umask(0)
    try:
        upgrade(url)

        async def look():
            ledger = SqlLedger.open(url)
            async with ledger.begin() as tx:
                await tx.drop_challenges(before=0)
                found = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
            await ledger.close()
            return found

        modes = asyncio.run(look())
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(["strongroom.db", "strongroom.db-wal", "strongroom.db-shm"], 0o600)


def test_every_connection_keeps_its_promises(url):
    upgrade(url)
    wanted = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 10_000}

    async def look():
        ledger = SqlLedger.open(url)
        async with ledger._engine.connect() as connection:
            found = {name: (await connection.execute(text(f"PRAGMA {name}"))).scalar() for name in wanted}
        await ledger.close()
        return found

    assert asyncio.run(look()) == wanted


def test_a_transaction_takes_the_write_lock_when_it_begins(url):
    upgrade(url)

    async def look():
        ledger = SqlLedger.open(url)
        other = sqlite3.connect(_file(url), timeout=0, isolation_level=None)
        async with ledger.begin() as tx:
            await tx.account("nobody")
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                other.execute("BEGIN IMMEDIATE")
        other.execute("BEGIN IMMEDIATE")
        other.close()
        await ledger.close()

    asyncio.run(look())


@pytest.mark.parametrize(
    ("spoil", "family"),
    [
        (lambda file: file.unlink(), SetupError),
        (lambda file: file.write_bytes(b"not a database" * 100), StoreError),
        (lambda file: file.write_bytes(b""), SetupError),
        (lambda file: (file.unlink(), file.mkdir()), SetupError),
    ],
    ids=["gone", "garbage", "empty", "a directory"],
)
def test_a_spoilt_database_is_told_with_a_next_step(url, tmp_path, spoil, family):
    upgrade(url)
    spoil(tmp_path / "strongroom.db")

    async def use():
        ledger = SqlLedger.open(url)
        try:
            async with ledger.begin() as tx:
                await tx.account("nobody")
        finally:
            assert isinstance(await ledger.healthy(), bool)
            await ledger.close()

    with pytest.raises(StrongroomError) as caught:
        asyncio.run(use())
    assert isinstance(caught.value, family)
    assert caught.value.code == Code.DATABASE
    assert caught.value.next_step
    assert "SELECT" not in str(caught.value)


@pytest.mark.parametrize("bad", ["", "nonsense", "mysql://u:hunter2@h/d", "nope+driver://x", "sqlite+nope:///x"])
def test_a_bad_url_is_refused_without_repeating_it(bad):
    for work in (upgrade, current, SqlLedger.open):
        if work in (upgrade, current) and bad.startswith("sqlite+nope"):
            continue
        with pytest.raises(SetupError) as caught:
            work(bad)
        assert caught.value.code == Code.DATABASE
        assert "hunter2" not in str(caught.value)


def test_the_tables_speak_postgresql_too():
    text = "".join(str(CreateTable(table).compile(dialect=postgresql.dialect())) for table in METADATA.sorted_tables)
    assert "BIGSERIAL" in text
    assert "BYTEA" in text
