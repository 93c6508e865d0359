"""A strongroom to steal from: real files of every kind, so that a thief in a test has exactly the bytes he took."""

import asyncio
import hashlib
import shutil
import sqlite3
import threading
from pathlib import Path
from typing import Any, Self

import httpx

from fakes import FixedClock
from strongroom.canonical import encode, to_base64url
from strongroom.operator.keys import read_owner_key
from strongroom.operator.protect import protect
from strongroom.sealed import ModelKey
from strongroom.server.checking import Background
from strongroom.server.http.app_admin import create_admin_app
from strongroom.server.http.app_device import create_device_app
from strongroom.server.initialise import init
from strongroom.server.settings import load
from strongroom.server.vaults.keyring import Keyring
from strongroom.server.wiring import open_office, open_vault
from strongroom_in_memory import ADMIN, DEVICES, Street

WEIGHTS = hashlib.shake_256(b"weights").digest(300_000)


class Embedded(Street):
    """An office as `strongroom init` makes it: SQLite, a folder of objects, a keyring. Only the wires are calls."""

    def __init__(self, folder: Path, *, host: str = "rooms.test", port: int = 8443, now: int = 1_800_000_000) -> None:
        self.folder, self.clock = folder, FixedClock(now)
        made = init(folder / "room", now=now, hosts=(host,), device_port=port)
        self.directory, self.trust_path = made.directory, made.trust
        self.owners = read_owner_key(made.owner_key)
        self.office = open_office(load(made.directory), now=self.clock)
        self.ledger, self.store, self.vault = self.office.ledger, self.office.store, self.office.vault
        self.background = Background(self.office)
        apps = {DEVICES: create_device_app(self.office), ADMIN: create_admin_app(self.office, self.background)}
        self._clients = {url: httpx.AsyncClient(transport=httpx.ASGITransport(app)) for url, app in apps.items()}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> Self:
        self._thread.start()
        self.admin = self.desk((self.directory / "admin.token").read_text().strip())
        return self

    def __exit__(self, *error: object) -> None:
        self.do(self.background.stop())
        self.do(self.ledger.close())
        super().__exit__(*error)

    def publish(self, model: str = "digits", version: str = "1.0", content: bytes = WEIGHTS) -> bytes:
        """Publish a model, and return its key, which nobody but a test keeps."""
        out = self.folder / f"{model}-{version}.srm"
        with protect(
            content, name=model, version=version, out=out, sign_with=self.owners, office=self.admin
        ) as protected:
            key = bytes(protected.key.reveal())
            protected.publish(channel="stable")
        return key

    def stolen(self, *parts: str) -> Path:
        """Copy folders of the office to the thief, and nothing else."""
        loot = self.folder / "loot"
        for part in parts:
            shutil.copytree(self.directory / part, loot / part)
        return loot

    def keyring(self) -> Keyring:
        """Open the keyring: each of its keys may be stolen alone."""
        return open_vault(load(self.directory))


def rows(loot: Path, table: str) -> list[dict[str, Any]]:
    """Read a table of a stolen database."""
    with sqlite3.connect(loot / "database/strongroom.db") as database:
        database.row_factory = sqlite3.Row
        return [dict(row) for row in database.execute(f"SELECT * FROM {table}")]  # noqa: S608 - a name from the test


def context_of(file: dict[str, Any], version: dict[str, Any]) -> bytes:
    """The associated data under which the vault wrapped a key, which is no secret (protocol.md section 10)."""
    return encode([file["account"], version["model"], version["version"], to_base64url(file["file_id"])])


def contents(loot: Path) -> bytes:
    """Every byte of every file that was stolen."""
    return b"\0".join(path.read_bytes() for path in sorted(loot.rglob("*")) if path.is_file())


def spellings(secret: bytes) -> list[bytes]:
    """A secret as it might lie about."""
    return [secret, secret.hex().encode(), secret.hex().upper().encode(), to_base64url(secret).encode()]


def key_of(data: bytes) -> ModelKey:
    """A key from bytes that a thief has or guesses."""
    return ModelKey(bytearray(data))
