"""The spool and its delivery: a receiver that is down, slow, wrong, or back after hours; a server that dies between."""

import asyncio
import contextlib
import dataclasses
import io
import json
import os
import subprocess
import sys
import threading
import time

import pytest
import structlog

from fakes import MemoryLedger
from protocol_client import run
from strongroom.errors import Code, StoreError
from strongroom.server import initialise
from strongroom.server.alerts import delivery, webhook
from strongroom.server.alerts.alert import Alert, new_alert
from strongroom.server.alerts.delivery import AT_ONCE, CLAIM, GIVE_UP, LONGEST, Delivery, delay
from strongroom.server.alerts.webhook import Webhook, tls_context
from strongroom.server.audit import configure_logging
from strongroom.server.ledger.engine import sqlite_url
from strongroom.server.ledger.migrate import upgrade
from strongroom.server.ledger.sql import SqlLedger
from webhook_receivers import AUTHORITY, MADE, SECRET, Receiver, listening, status, tls


@pytest.fixture
def receiver(tmp_path):
    with listening(Receiver(), tls(tmp_path)) as found:
        yield found


@pytest.fixture
def log():
    stream = io.StringIO()
    configure_logging("info", stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    structlog.reset_defaults()


def hook(receiver):
    return Webhook(receiver.url, (SECRET,), tls_context(AUTHORITY))


async def spool(bench, *names, what=Alert.DECOY_HIT):
    async with bench.office.ledger.begin() as tx:
        for name in names:
            await tx.add_alert(new_alert(bench.office, what, bench.clock(), about=(name,), explain=name, decoy="dcy_1"))


async def alerts(bench):
    """Every row, the oldest first."""
    async with bench.office.ledger.begin() as tx:
        return sorted(await tx.alerts(), key=lambda row: (row.at, row.key))


async def one_round(going):
    await going.look()
    await going.drain()


def test_an_alert_is_delivered_once_with_the_bytes_of_the_spool(receiver):
    async def story(bench):
        await spool(bench, "dev_1")
        going = Delivery(bench.office, hook(receiver))
        await one_round(going)
        await one_round(going)
        (row,) = await alerts(bench)
        assert (row.attempts, row.sent) == (1, bench.clock())
        assert [one.body for one in receiver.told] == [row.body.encode()]
        assert receiver.ids() == [row.id]

    run(story)


def test_a_receiver_that_is_down_for_hours_gets_everything_when_it_is_back(tmp_path):
    """Same identifier at every attempt, a fresh time and signature, and no alert lost or doubled."""
    receiver, context = Receiver(), tls(tmp_path)
    with listening(receiver, context):
        pass  # its port is known now, and nobody listens there

    async def story(bench):
        going = Delivery(bench.office, hook(receiver))
        await spool(bench, "dev_1")
        for _ in range(40):
            await one_round(going)
            bench.clock.advance(LONGEST)
        await spool(bench, "dev_2")
        first, _ = await alerts(bench)
        assert (first.attempts, first.sent, first.given_up) == (40, None, None)
        with listening(receiver, context):
            await one_round(going)
            bench.clock.advance(LONGEST)
            await one_round(going)
        rows = await alerts(bench)
        assert all(row.sent for row in rows)
        assert sorted(receiver.ids()) == sorted(row.id for row in rows)
        assert int(receiver.told[0].headers["webhook-timestamp"]) >= rows[0].at + 40 * LONGEST

    run(story)


def test_attempts_grow_apart_and_end_after_three_days(receiver, log):
    """Given up: in the row, in the audit log and as an error in the log, with what to look at."""
    receiver.answer = lambda _: status(500, body=b"secret of the receiver")

    async def story(bench):
        going = Delivery(bench.office, hook(receiver))
        await spool(bench, "dev_1")
        start, waits = bench.clock(), []
        for _ in range(1000):
            await one_round(going)
            (row,) = await alerts(bench)
            if row.given_up is not None:
                break
            waits.append(row.due - bench.clock())
            bench.clock.now = row.due
        assert GIVE_UP <= row.given_up - start <= GIVE_UP + LONGEST
        assert 72 * 4 <= row.attempts == len(receiver.told) < 700
        assert [2 <= waits[0] <= 5, 5 <= waits[1] <= 10, max(waits) <= LONGEST] == [True] * 3
        assert min(waits[20:]) >= LONGEST // 2
        assert len(set(waits[20:])) > 20  # jitter
        bench.clock.advance(LONGEST)
        await one_round(going)
        assert len(receiver.told) == row.attempts
        async with bench.office.ledger.begin() as tx:
            (kept,) = [one for _, one in await tx.audit() if one.event == "alert.given-up"]
        assert (kept.subject, kept.detail) == (row.id, {"attempts": row.attempts, "code": "answer"})

    run(story)
    told = [line for line in log() if line["event"] == "alert given up"]
    assert [(line["level"], line["why"]) for line in told] == [("error", "the webhook answered with status 500")]
    assert sum(line["event"] == "alert" for line in log()) == 1  # not once an attempt
    assert sum(line["event"] == "alert not delivered" for line in log()) < 12
    assert "secret of the receiver" not in json.dumps(log())


def test_one_receiver_that_hangs_holds_nothing_else_up(receiver, monkeypatch):
    """The first alert gets no answer; the second is delivered meanwhile, and the ledger is free all the time."""
    monkeypatch.setattr(delivery, "POLL", 0.01)
    hold = threading.Event()
    receiver.answer = lambda _: status(200) if len(receiver.told) > 1 or hold.wait(20) else b""

    async def story(bench):
        going = Delivery(bench.office, hook(receiver))
        going.start()
        await spool(bench, "dev_1")
        await asyncio.to_thread(receiver.came.acquire, timeout=10)
        bench.clock.advance(1)
        await spool(bench, "dev_2")
        await until(lambda rows: rows[1].sent, bench)
        assert (await alerts(bench))[0].sent is None
        hold.set()
        await until(lambda rows: rows[0].sent, bench)
        await going.stop()

    run(story)


async def until(wanted, bench):
    async with asyncio.timeout(10):
        while not wanted(await alerts(bench)):  # noqa: ASYNC110 - a row changes, and nobody tells of it
            await asyncio.sleep(0.01)


def test_no_more_than_a_few_are_on_the_way_at_a_time(receiver, monkeypatch):
    hold = threading.Event()
    receiver.answer = lambda _: status(200) if hold.wait(20) else b""

    async def story(bench):
        going = Delivery(bench.office, hook(receiver))
        await spool(bench, *(f"dev_{number:02}" for number in range(AT_ONCE + 3)))
        assert await going.look() == AT_ONCE
        assert await going.look() == 0
        hold.set()
        await going.drain()
        assert await going.look() == 3
        await going.drain()
        assert len(set(receiver.ids())) == AT_ONCE + 3

    run(story)


def test_what_was_claimed_by_a_server_that_died_is_sent_after_a_minute(receiver):
    """At least once: the same identifier, so that a receiver that had it already can tell."""

    class Dies:
        async def send(self, id_, body, *, now):
            raise asyncio.CancelledError

    async def story(bench):
        await spool(bench, "dev_1")
        dying = Delivery(bench.office, Dies())
        await dying.look()
        with contextlib.suppress(asyncio.CancelledError):
            await dying.drain()
        going = Delivery(bench.office, hook(receiver))
        await one_round(going)
        assert receiver.told == []
        bench.clock.advance(CLAIM)
        await one_round(going)
        (row,) = await alerts(bench)
        assert receiver.ids() == [row.id]
        assert row.sent

    run(story)


def test_several_servers_on_one_database_send_each_alert_once(receiver, tmp_path):
    async def story(bench):
        url = sqlite_url(tmp_path / "room.db")
        ledgers = [SqlLedger.open(url) for _ in range(3)]
        offices = [dataclasses.replace(bench.office, ledger=one) for one in ledgers]
        async with ledgers[0].begin() as tx:
            for number in range(30):
                await tx.add_alert(new_alert(bench.office, Alert.DECOY_HIT, bench.clock(), about=(f"dev_{number}",)))
        all_of_them = [Delivery(one, hook(receiver)) for one in offices]
        while sum(await asyncio.gather(*(one.look() for one in all_of_them))):
            await asyncio.gather(*(one.drain() for one in all_of_them))
        assert len(receiver.ids()) == len(set(receiver.ids())) == 30
        for one in ledgers:
            await one.close()

    upgrade(sqlite_url(tmp_path / "room.db"))
    run(story)


def test_without_a_webhook_alerts_are_log_lines_and_stay_in_the_table(log):
    async def story(bench):
        await spool(bench, "dev_1")
        await spool(bench, "dev_2", what=Alert.TEST)
        await spool(bench, "dev_3", what=Alert.APPEAL_MADE)
        await one_round(Delivery(bench.office, None))
        await one_round(Delivery(bench.office, None))
        return await alerts(bench)

    rows = run(story)
    assert [(row.attempts, bool(row.sent)) for row in rows] == [(0, True)] * 3
    told = {line["about"]: line for line in log() if line["event"] == "alert"}
    levels = {about: line["level"] for about, line in told.items()}
    assert levels == {"decoy.hit": "error", "alert.test": "warning", "appeal.made": "warning"}
    assert told["decoy.hit"]["data"] == {"decoy": "dcy_1", "next": "strongroom risk explain dev_1"}


def test_what_is_over_costs_no_look_any_more(receiver, tmp_path):
    """The index of what is due holds only what waits: a hundred thousand old alerts are not read every two seconds."""

    async def story(bench):
        ledger = SqlLedger.open(sqlite_url(tmp_path / "room.db"))
        office = dataclasses.replace(bench.office, ledger=ledger)
        async with ledger.begin() as tx:
            for number in range(3):
                await tx.add_alert(new_alert(office, Alert.DECOY_HIT, bench.clock(), about=(f"dev_{number}",)))
        receiver.answer = lambda told: status(200 if len(receiver.told) < 3 else 500)
        going = Delivery(office, hook(receiver))
        await one_round(going)
        bench.clock.advance(GIVE_UP)
        await one_round(going)
        async with ledger.begin() as tx:
            rows = await tx.alerts()
        assert sorted(bool(row.sent) for row in rows) == [False, True, True]
        assert {row.due for row in rows} == {delivery.OVER}
        await ledger.close()

    upgrade(sqlite_url(tmp_path / "room.db"))
    run(story)


def test_a_database_that_is_away_ends_nothing(receiver, monkeypatch, log):
    """The task says so and looks again; the row is where it was."""
    monkeypatch.setattr(delivery, "POLL", 0.01)

    class Away(MemoryLedger):
        times = 3

        def begin(self):
            if self.times:
                self.times -= 1
                raise StoreError(Code.DATABASE, "the database is away")
            return super().begin()

    async def story(bench):
        await spool(bench, "dev_1")
        away = Away()
        away.tables = bench.ledger.tables
        going = Delivery(dataclasses.replace(bench.office, ledger=away), hook(receiver))
        going.start()
        await asyncio.to_thread(receiver.came.acquire, timeout=10)
        await going.stop()

    run(story)
    assert len(receiver.told) == 1
    assert [line["code"] for line in log() if line["event"] == "alerts cannot be read"] == ["database"] * 3


def test_a_body_that_is_no_json_is_sent_all_the_same(receiver, log):
    """The log line must not stand in the way of the delivery."""

    async def story(bench):
        async with bench.office.ledger.begin() as tx:
            row = new_alert(bench.office, Alert.TEST, bench.clock(), about=("x",))
            await tx.add_alert(dataclasses.replace(row, body="[1, no"))
        await one_round(Delivery(bench.office, hook(receiver)))

    run(story)
    assert receiver.told[0].body == b"[1, no"


def test_stopping_waits_for_what_is_on_the_way_but_not_for_ever(receiver, monkeypatch):
    monkeypatch.setattr(delivery, "FAREWELL", 0.05)
    monkeypatch.setattr(webhook, "TOTAL", 60.0)
    hold = threading.Event()
    receiver.answer = lambda _: status(200) if hold.wait(20) else b""

    async def story(bench):
        await spool(bench, "dev_1")
        going = Delivery(bench.office, hook(receiver))
        going.start()
        await asyncio.to_thread(receiver.came.acquire, timeout=10)
        await going.stop()
        assert (await alerts(bench))[0].sent is None

    run(story)
    hold.set()


def test_the_wait_doubles_up_to_its_end():
    most = [delay(attempts, lambda count: b"\xff" * count) for attempts in (1, 2, 3, 50, 10_000)]
    least = [delay(attempts, bytes) for attempts in (1, 2, 3, 50)]
    assert least == [2, 5, 10, 450]
    assert all(one <= whole for one, whole in zip(most, (5, 10, 20, 900, 900), strict=True))


@pytest.mark.slow
def test_a_served_strongroom_delivers_within_ten_seconds(receiver, tmp_path):
    """The whole process: settings, spool, webhook; an alert of another process of the same database is sent too."""
    folder = tmp_path / "strongroom"
    initialise.init(folder, now=int(time.time()))
    (folder / "alert.secret").touch(0o600)
    (folder / "alert.secret").write_text("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n")
    (folder / "ca.pem").write_bytes(MADE.authority)
    lines = (folder / "strongroom.toml").read_text().splitlines()
    mine = {"alert_url": receiver.url, "alert_secret_file": "alert.secret", "alert_ca_file": "ca.pem"}
    text = "\n".join([*lines, *(f'{name} = "{value}"' for name, value in mine.items()), ""])
    (folder / "strongroom.toml").write_text(text)
    command = [sys.executable, "-m", "strongroom", "serve", "--config", str(folder), "--device-port", "0"]
    process = subprocess.Popen([*command, "--admin-port", "0"], stderr=subprocess.PIPE, text=True)
    try:
        assert any('"server.ready"' in line for line in process.stderr)

        async def add():
            ledger = SqlLedger.open(sqlite_url(folder / "database/strongroom.db"))
            async with ledger.begin() as tx:
                row = new_alert(_Ids(), Alert.TEST, int(time.time()), about=("x",))
                await tx.add_alert(row)
            await ledger.close()
            return row

        row = asyncio.run(add())
        assert receiver.came.acquire(timeout=10), "not within ten seconds"
        assert receiver.told[0].body == row.body.encode()
        assert "v1," in receiver.told[0].headers["webhook-signature"]
    finally:
        process.terminate()
        process.communicate(timeout=20)


class _Ids:
    """All that `new_alert` asks of an office."""

    def new_id(self, prefix):
        return f"{prefix}_{os.urandom(8).hex()}"
