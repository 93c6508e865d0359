"""What does a decision of the risk engine cost at the office, while it remembers a million users and devices?

An office of its own with its SQLite database, in which half a million users and as many device keys have states. One
decision is what a release pays for: the last event of the key and the snoozes looked up, six states read, judged and
kept, the event with its decision written down, one commit. Beside it stands one plain UPSERT with its commit, on the
same database in the same run: what remembering anything at all costs there.
"""

import argparse
import asyncio
import json
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from strongroom.risk import engine
from strongroom.risk.defaults import default_rules
from strongroom.risk.entities import Entity, Kind
from strongroom.risk.events import Event
from strongroom.risk.state import State
from strongroom.server.identify import Visit
from strongroom.server.initialise import init
from strongroom.server.office import Office
from strongroom.server.ports import Account, User
from strongroom.server.settings import load
from strongroom.server.watch_ports import RiskRow
from strongroom.server.watching import judging
from strongroom.server.watching.noticing import Notice, Said
from strongroom.server.wiring import open_office
from table import columns, machine

GOAL = 0.005  # seconds, of a decision's 99th percentile
NOW = 1_800_000_000
AT_ONCE = 10_000  # rows written in one go
STRIDE = 104_729  # a prime: one user after another, none next to the one before

Act = Callable[[], Awaitable[object]]


def main() -> None:
    """Ask, and show or print the answers."""
    parser = argparse.ArgumentParser(description="What a decision of the risk engine costs at the office.")
    parser.add_argument("--entities", type=int, default=1_000_000, help="with a state (default: %(default)s)")
    parser.add_argument("--decisions", type=int, default=5000, help="measured (default: %(default)s)")
    parser.add_argument("--folder", type=Path, default=None, help="where the database is made (default: temporary)")
    parser.add_argument("--quick", action="store_true", help="see that it runs; figures mean nothing")
    parser.add_argument("--json", action="store_true", help="write JSON to stdout")
    options = parser.parse_args()
    if options.quick:
        options.entities, options.decisions = 2000, 100
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="strongroom-bench-") as folder:
        told = asked(Path(folder) / "office", options.entities, options.decisions)
    if options.json:
        json.dump(told, sys.stdout, indent=1)
    else:
        print("\n".join(lines(told)))


def asked(folder: Path, entities: int, decisions: int) -> dict[str, Any]:
    """Make the office, fill it, and measure both acts in turns."""
    made = init(folder, now=NOW - 86_400)
    database = folder / "database" / "strongroom.db"
    fill(database, entities // 2)
    office = open_office(load(made.config), now=lambda: NOW)
    times = asyncio.run(_measured(office, entities // 2, decisions))
    return {
        "machine": machine(),
        "entities": entities,
        "decisions": decisions,
        "bytes": database.stat().st_size,
        "rows": {name: summed(found) for name, found in times.items()},
        "goal": {"text": "99th percentile of a decision, milliseconds", "limit": GOAL * 1000},
    }


def fill(database: Path, users: int) -> None:
    """Give so many users and as many device keys the state that a first morning leaves behind."""
    user, key = templates()
    with closing(sqlite3.connect(database)) as connection:
        for start in range(0, users, AT_ONCE):
            numbers = range(start, min(start + AT_ONCE, users))
            rows = [(Entity(Kind.USER, user_of(n)).row(), "user", user_of(n), 0, NOW, user) for n in numbers]
            rows += [(Entity(Kind.KEY, key_of(n)).row(), "key", key_of(n), 0, NOW, key) for n in numbers]
            connection.executemany(
                "INSERT INTO risk_states (entity, kind, name, band, moved, state) VALUES (?, ?, ?, ?, ?, ?)", rows
            )
            connection.commit()


def templates() -> tuple[bytes, bytes]:
    """Return the packed states of a user and of a device key after a few events."""
    states: dict[Entity, State] = {}
    types = ("app_install", "login", "session_start", "key_request", "model_download", "lease_renew")
    for number, type_ in enumerate(types):
        event = Event(
            f"rev_{number}", NOW - 86_400 + number, type_, user_of(0), "user", "id", key_of(0), "ses", "i", "192.0.2.1",
            "digits", "1.0",
        )  # fmt: skip
        engine.judge(default_rules(), event, states)
    return states[Entity(Kind.USER, user_of(0))].pack(), states[Entity(Kind.KEY, key_of(0))].pack()


def user_of(number: int) -> str:
    """Return a user's name."""
    return f"usr_{number:022d}"


def key_of(number: int) -> str:
    """Return a device key's name."""
    return f"{number:043d}"


async def _measured(office: Office, users: int, decisions: int) -> dict[str, list[float]]:
    _, state = templates()
    found: dict[str, list[float]] = {"decision": [], "upsert": []}
    for number in range(decisions + decisions // 20):
        who, other = number * STRIDE % users, (number * STRIDE + users // 2) % users
        for name, act in (("decision", _decision(office, who)), ("upsert", _upsert(office, other, state))):
            began = time.perf_counter()
            await act()
            if number >= decisions // 20:  # the first ones warm what stays warm in a server that runs
                found[name].append(time.perf_counter() - began)
    await office.ledger.close()
    return found


def _decision(office: Office, who: int) -> Act:
    user = User(user_of(who), "acc_0", f"user{who}", "active", NOW)
    visit = Visit(NOW, "ref", "POST", "https://localhost:8443/v1/releases", f"10.{who % 250}.{who // 250 % 250}.7")
    said = Said(install="A" * 22, build="app 1.0")
    account = Account("acc_0", "customer", "active", NOW)
    notice = Notice(user, account, None, key_of(who), f"id{who}", visit, said, "digits")
    return lambda: judging.judged(office, notice, judging.KEYS)


def _upsert(office: Office, who: int, state: bytes) -> Act:
    row = RiskRow(Entity(Kind.KEY, key_of(who)).row(), "key", key_of(who), 0, NOW, state)

    async def act() -> None:
        async with office.ledger.begin() as tx:
            await tx.keep_risk_states([row])

    return act


def summed(seconds: list[float]) -> dict[str, float]:
    """Return what a list of times comes to, in milliseconds."""
    cuts = statistics.quantiles(seconds, n=100)
    return {"p50": cuts[49] * 1000, "p99": cuts[98] * 1000, "most": max(seconds) * 1000}


def lines(told: dict[str, Any]) -> list[str]:
    """Write the answers as people read them."""
    rows = told["rows"]
    table: list[tuple[str, ...]] = [("", "median, ms", "99th percentile, ms", "most, ms")]
    for name, text in (("decision", "one decision"), ("upsert", "one plain UPSERT")):
        table.append((text, *(f"{rows[name][cut]:.2f}" for cut in ("p50", "p99", "most"))))
    met = "met" if rows["decision"]["p99"] <= told["goal"]["limit"] else "MISSED"
    times = rows["decision"]["p99"] / rows["upsert"]["p99"]
    size = f"a database of {told['bytes'] / 2**20:.0f} MiB"
    head = f"{told['entities']:,} entities, {told['decisions']:,} decisions, {size}"
    goal = f"goal: {told['goal']['text']} at most {told['goal']['limit']:.0f}: {met}; {times:.1f} times the UPSERT's"
    return [head, *columns(table), goal]


if __name__ == "__main__":
    main()
