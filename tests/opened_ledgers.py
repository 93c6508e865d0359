"""Every ledger there is, opened in a folder: what the contract suites run over, so that none forgets one."""

from pathlib import Path

from fakes import MemoryLedger
from strongroom.server.ledger import upgrade
from strongroom.server.ledger.engine import sqlite_url
from strongroom.server.ledger.sql import SqlLedger
from strongroom.server.ports import Ledger


def _sql(folder: Path) -> Ledger:
    url = sqlite_url(folder / "strongroom.db")
    upgrade(url)
    return SqlLedger.open(url)


OPEN = {"memory": lambda _folder: MemoryLedger(), "sqlite": _sql}
