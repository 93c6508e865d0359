"""R42, B01: many at once on a real database: every device gets its own keys, once for each request, all on record."""

import asyncio
import hashlib
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from protocol_client import Bench, HandDevice, problem, run
from strongroom.server.ledger import engine, upgrade
from strongroom.server.ledger.engine import sqlite_url
from strongroom.server.ledger.sql import SqlLedger
from strongroom.server.vaults.keyring import Keyring
from strongroom.wire import grant as grants

DEVICES, EACH = 20, 50
AT_ONCE = 100  # as many connections as the server takes from one address


def rows(path: Path, table: str) -> list[dict[str, object]]:
    """Read a table as it lies in the database's file."""
    with closing(sqlite3.connect(path)) as database:
        database.row_factory = sqlite3.Row
        return [dict(row) for row in database.execute(f"SELECT * FROM {table}")]  # noqa: S608 - a name from the test


async def once(bench: Bench, device: HandDevice, number: int, turn: int, seen: Counter[str]) -> None:
    """Ask once: mostly for one's own model, sometimes for another's, sometimes the same request twice at once."""
    mine = f"model-{number}"
    if turn % 10 == 9:
        answer = await device.try_release(model=f"model-{(number + 1) % DEVICES}")
        assert (answer.status_code, problem(answer)["code"]) == (404, "not-found")
        seen["not mine"] += 1
    request, ephemeral = await device.release_request(model=mine)
    copies = 2 if turn % 10 == 5 else 1
    answers = await asyncio.gather(*(device.try_release(request) for _ in range(copies)))
    assert sorted(answer.status_code for answer in answers) == [200, 403][:copies]
    (won,) = [answer for answer in answers if answer.status_code == 200]
    grant = device.read(won, request)  # as a device does: signature, request, challenge, account, device, model, lease
    (key,) = grants.open_grant(grant, ephemeral, device.binding(request))
    assert hashlib.sha256(key.reveal()).digest() == bench.published[mine]
    seen["grants"] += 1
    seen["twice"] += copies - 1


@pytest.mark.slow
def test_a_thousand_releases_of_twenty_devices_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """B01, B10, B21: 0 wrong: every grant opens to the asker's own key, one release and one audit row for each."""
    quick = tuple(one.replace("synchronous = FULL", "synchronous = OFF") for one in engine._PRAGMAS)
    monkeypatch.setattr(engine, "_PRAGMAS", quick)  # nobody cuts the power here
    url = sqlite_url(tmp_path / "strongroom.db")
    upgrade(url)

    async def story(bench: Bench) -> None:
        bench.published = {}
        devices = []
        for number in range(DEVICES):
            made = await bench.publish(model=f"model-{number}")
            bench.published[f"model-{number}"] = hashlib.sha256(made.key.reveal()).digest()
            devices.append(await bench.device(f"user{number}", f"model-{number}"))
        assert len(set(bench.published.values())) == DEVICES
        seen: Counter[str] = Counter()
        turns = asyncio.Semaphore(AT_ONCE)

        async def one(number: int, turn: int) -> None:
            async with turns:
                await once(bench, devices[number], number, turn, seen)

        await asyncio.gather(*(one(number, turn) for turn in range(EACH) for number in range(DEVICES)))
        released = rows(tmp_path / "strongroom.db", "releases")
        granted = await bench.events("release.granted")
        assert seen["grants"] == len(released) == len(granted) == DEVICES * EACH
        assert Counter(row["device"] for row in released) == {device.id: EACH for device in devices}
        assert (
            len({row["ephemeral"] for row in released}) == len({row["lease_id"] for row in released}) == seen["grants"]
        )
        assert Counter(event.actor for event in granted) == Counter(row["device"] for row in released)
        assert len(await bench.events("release.refused")) == seen["not mine"] + seen["twice"]
        assert seen["twice"] == seen["not mine"] == DEVICES * EACH // 10

    run(story, ledger=SqlLedger.open(url), vault=Keyring.generate())
