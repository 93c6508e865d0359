"""In-memory stand-ins, held to the same contract suites as the real adapters (tests/adapters). For tests only."""

import asyncio
import dataclasses
import hashlib
import hmac
import os
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from fakes_twins import TwinMemory
from fakes_watch import WatchMemory, WatchTables
from strongroom.canonical import encode, to_base64url
from strongroom.errors import Code, DeniedError, InputError, IntegrityError, InternalError, RefusedError, StoreError
from strongroom.server.ports import (
    Account,
    AttestationRow,
    AuditEvent,
    ChallengeRow,
    Chunks,
    DeviceRow,
    Entitlement,
    Holding,
    Operator,
    OrderRow,
    ReleaseRow,
    Standing,
    StoredFile,
    Transaction,
    User,
    Version,
)
from strongroom.server.twin_ports import TwinRow

Row = TypeVar("Row")
Named = TypeVar("Named", Account, User)


@dataclass(slots=True)
class FixedClock:
    """A clock that stands still until it is moved; call it for Unix seconds."""

    now: int = 1_800_000_000

    def __call__(self) -> int:
        return self.now

    def advance(self, seconds: int) -> int:
        """Move the clock and return the new time."""
        self.now += seconds
        return self.now


@dataclass(slots=True)
class MemoryVault:
    """A KeyVault whose blobs are tickets for secrets it keeps in a dictionary."""

    kept: dict[bytes, tuple[bytes, bytes]] = field(default_factory=dict, repr=False)
    key: bytes = field(default_factory=lambda: os.urandom(32), repr=False)

    def wrap(self, secret: bytes | bytearray, context: bytes) -> bytes:
        ticket = os.urandom(48)
        self.kept[ticket] = (bytes(secret), context)
        return ticket

    def unwrap(self, wrapped: bytes, context: bytes) -> bytearray:
        secret, expected_context = self.kept.get(bytes(wrapped), (b"", None))
        if expected_context != context:
            raise IntegrityError(Code.VAULT_REFUSED, "the vault refused to unwrap")
        return bytearray(secret)

    def mac(self, data: bytes) -> bytes:
        return hmac.digest(self.key, data, hashlib.sha256)


@dataclass(slots=True)
class MemoryStore:
    """A ServedObjects that keeps objects in a dictionary and remembers nothing but a key about its URLs."""

    public_url: str = "https://localhost:8443"
    objects: dict[str, bytes] = field(default_factory=dict, repr=False)
    key: bytes = field(default_factory=lambda: os.urandom(32), repr=False)

    def signed_url(self, method: str, name: str, *, expires: int, size: int | None = None) -> str:
        if (method == "PUT") != (size is not None):
            raise InternalError(Code.INTERNAL, "a PUT needs a size, a GET has none")
        extra = "" if size is None else f"&n={size}"
        return f"{self.public_url}/o/{name}?m={method}&e={expires}{extra}&s={self._sign(method, name, expires, size)}"

    def check_url(self, method: str, name: str, query: Mapping[str, str], now: int) -> int | None:
        meant = "GET" if method == "HEAD" else method
        try:
            size = int(query["n"]) if meant == "PUT" else None
            signed = self._sign(query["m"], name, int(query["e"]), size)
        except (KeyError, ValueError):
            raise DeniedError(Code.URL_INVALID, "this link is not valid") from None
        spelled = {"m": meant, "e": str(int(query["e"])), "s": signed} | ({} if size is None else {"n": str(size)})
        if dict(query) != spelled:
            raise DeniedError(Code.URL_INVALID, "this link is not valid")
        if now >= int(query["e"]):
            raise RefusedError(Code.URL_EXPIRED, "this link has expired")
        return size

    async def size(self, name: str) -> int | None:
        return len(self.objects[name]) if name in self.objects else None

    async def read(self, name: str, offset: int, length: int) -> bytes:
        data = self.objects.get(name, b"")[offset : offset + length]
        if len(data) != length or name not in self.objects:
            raise StoreError(Code.STORE_IO, "these bytes are not there")
        return data

    async def delete(self, name: str) -> None:
        self.objects.pop(name, None)

    async def write(self, name: str, chunks: Chunks, *, size: int) -> None:
        if name in self.objects:
            raise InputError(Code.CONFLICT, "this object is already stored")
        data = b""
        async for chunk in chunks:
            data += chunk
            if len(data) > size:
                raise InputError(Code.TOO_LARGE, "more bytes than promised")
        if len(data) < size:
            raise InputError(Code.DEPOSIT, "fewer bytes than promised")
        if name in self.objects:
            raise InputError(Code.CONFLICT, "this object is already stored")
        self.objects[name] = data

    def _sign(self, method: str, name: str, expires: int, size: int | None) -> str:
        return to_base64url(hmac.digest(self.key, repr((method, name, expires, size)).encode(), hashlib.sha256))


@dataclass(slots=True)
class MemoryTables:
    """Every row of a MemoryLedger, by table."""

    accounts: list[Account] = field(default_factory=list)
    users: list[User] = field(default_factory=list)
    operators: list[Operator] = field(default_factory=list)
    devices: list[DeviceRow] = field(default_factory=list)
    entitlements: list[Entitlement] = field(default_factory=list)
    versions: list[Version] = field(default_factory=list)
    files: list[StoredFile] = field(default_factory=list)
    channels: dict[tuple[str, str], str] = field(default_factory=dict)
    challenges: list[ChallengeRow] = field(default_factory=list)
    used: set[bytes] = field(default_factory=set)
    releases: list[ReleaseRow] = field(default_factory=list)
    orders: list[OrderRow] = field(default_factory=list)
    attestations: list[AttestationRow] = field(default_factory=list)
    audit: list[AuditEvent] = field(default_factory=list)
    twins: list[TwinRow] = field(default_factory=list)
    watch: WatchTables = field(default_factory=WatchTables)

    def copy(self) -> "MemoryTables":
        """Copy every table; rows are frozen and shared."""
        return MemoryTables(**{one.name: getattr(self, one.name).copy() for one in dataclasses.fields(self)})


_UNIQUE: dict[str, tuple[tuple[str, ...], ...]] = {
    "accounts": (("id",), ("name",)),
    "users": (("id",), ("name",)),
    "operators": (("id",), ("name",), ("token_hash",)),
    "devices": (("id",), ("thumbprint",)),
    "entitlements": (("id",),),
    "versions": (("id",), ("model", "version"), ("model", "epoch", "counter")),
    "files": (("file_id",), ("commitment",), ("object_name",)),
    "challenges": (("hash",),),
    "releases": (("id",), ("ephemeral",), ("lease_id",)),
    "orders": (("id",),),
    "twins": (("id",), ("version_id",)),
    "attestations": (("device", "kind"),),
}
_REFERENCES: dict[str, dict[str, str]] = {
    "users": {"account": "accounts"},
    "devices": {"account": "accounts", "user": "users"},
    "entitlements": {"account": "accounts", "user": "users"},
    "files": {"account": "accounts", "version_id": "versions"},
    "releases": {"account": "accounts", "device": "devices", "version_id": "versions"},
    "orders": {"device": "devices", "version_id": "versions"},
    "twins": {"version_id": "versions"},
    "attestations": {"device": "devices"},
}


class MemoryLedger:
    """A Ledger in memory. `tables` may be looked at and bent from outside."""

    def __init__(self) -> None:
        self.tables = MemoryTables()
        self._turn = asyncio.Lock()

    def begin(self) -> AbstractAsyncContextManager[Transaction]:
        return self._begin()

    @asynccontextmanager
    async def _begin(self) -> AsyncIterator[Transaction]:
        async with self._turn:
            before = self.tables.copy()
            try:
                yield MemoryTransaction(self.tables)
            except BaseException:
                self.tables = before
                raise

    async def healthy(self) -> bool:
        return True

    async def close(self) -> None:
        return None


class MemoryTransaction(WatchMemory, TwinMemory):
    """Everything inside one `MemoryLedger.begin()`."""

    def __init__(self, tables: MemoryTables) -> None:
        self._t, self._w = tables, tables.watch

    async def add_account(self, row: Account) -> None:
        self._add("accounts", row)

    async def account(self, id_or_name: str) -> Account | None:
        return _named(self._t.accounts, id_or_name)

    async def accounts(self, *, after: str = "", limit: int = 100) -> Sequence[Account]:
        return _page(self._t.accounts, lambda row: row.name, after, limit)

    async def set_account_state(self, id_: str, state: str) -> None:
        _change(self._t.accounts, id_, state=state)

    async def add_user(self, row: User) -> None:
        self._add("users", row)

    async def user(self, id_or_name: str) -> User | None:
        return _named(self._t.users, id_or_name)

    async def users(self, account: str) -> Sequence[User]:
        return sorted((row for row in self._t.users if row.account == account), key=lambda row: row.name)

    async def add_operator(self, row: Operator) -> None:
        self._add("operators", row)

    async def operator_by_token(self, token_hash: bytes) -> Operator | None:
        return _first(row for row in self._t.operators if row.token_hash == token_hash)

    async def add_device(self, row: DeviceRow) -> None:
        self._add("devices", row)

    async def device(self, id_: str) -> DeviceRow | None:
        return _first(row for row in self._t.devices if row.id == id_)

    async def device_by_thumbprint(self, thumbprint: bytes) -> DeviceRow | None:
        return _first(row for row in self._t.devices if row.thumbprint == thumbprint)

    async def touch_device(self, id_: str, *, facts: str, seen: int) -> None:
        _change(self._t.devices, id_, facts=facts, seen=seen)

    async def set_device_state(self, id_: str, state: str) -> None:
        _change(self._t.devices, id_, state=state)

    async def devices(self, *, after: str = "", limit: int = 100) -> Sequence[DeviceRow]:
        return _page(self._t.devices, lambda row: row.id, after, limit)

    async def attestations(self, device: str) -> Sequence[AttestationRow]:
        return sorted((row for row in self._t.attestations if row.device == device), key=lambda row: row.kind)

    async def keep_attestation(self, row: AttestationRow) -> None:
        mine = (row.device, row.kind)
        self._t.attestations[:] = [old for old in self._t.attestations if (old.device, old.kind) != mine]
        self._add("attestations", row)

    async def devices_with(self, kind: str, hardware: bytes, *, besides: str, limit: int = 10) -> Sequence[DeviceRow]:
        ids = {row.device for row in self._t.attestations if (row.kind, row.hardware) == (kind, hardware)} - {besides}
        rows = [row for row in self._t.devices if row.id in ids]
        return sorted(rows, key=lambda row: (row.state == "active", row.id))[:limit]

    async def advance_attestation(self, row: AttestationRow, *, before: AttestationRow) -> bool:
        wanted = (before.device, before.kind, before.known, before.revision)
        for index, old in enumerate(self._t.attestations):
            if (old.device, old.kind, old.known, old.revision) == wanted:
                self._t.attestations[index] = row
                return True
        return False

    async def add_entitlement(self, row: Entitlement) -> None:
        self._add("entitlements", row)

    async def entitlements(self, account: str, model: str) -> Sequence[Entitlement]:
        mine = (row for row in self._t.entitlements if (row.account, row.model) == (account, model))
        return sorted(mine, key=lambda row: row.id)

    async def remove_entitlement(self, id_: str) -> bool:
        before = len(self._t.entitlements)
        self._t.entitlements[:] = [row for row in self._t.entitlements if row.id != id_]
        return len(self._t.entitlements) < before

    async def add_version(self, row: Version, files: Sequence[StoredFile]) -> None:
        self._add("versions", row)
        for file in files:
            self._add("files", file)

    async def remove_version(self, id_: str) -> None:
        named = id_ in self._t.channels.values() or any(row.version_id == id_ for row in self._t.releases)
        if named:
            raise StoreError(Code.DATABASE, "a channel or a release names this version")
        if await self.version_by_id(id_) is None:
            raise InternalError(Code.INTERNAL, "no row to remove")
        self._t.files[:] = [row for row in self._t.files if row.version_id != id_]
        self._t.versions[:] = [row for row in self._t.versions if row.id != id_]

    async def set_version_state(self, id_: str, state: str, *, reason: str = "") -> None:
        _change(self._t.versions, id_, state=state, reason=reason)

    async def set_channel(self, model: str, channel: str, version_id: str) -> None:
        if await self.version_by_id(version_id) is None:
            raise StoreError(Code.DATABASE, "no such version")
        self._t.channels[model, channel] = version_id

    async def version(self, model: str, version: str) -> Version | None:
        return _first(row for row in self._t.versions if (row.model, row.version) == (model, version))

    async def version_by_id(self, id_: str) -> Version | None:
        return _first(row for row in self._t.versions if row.id == id_)

    async def channel_version(self, model: str, channel: str) -> Version | None:
        return await self.version_by_id(self._t.channels.get((model, channel), ""))

    async def channels(self, model: str) -> dict[str, str]:
        names = {row.id: row.version for row in self._t.versions}
        return {channel: names[id_] for (of, channel), id_ in sorted(self._t.channels.items()) if of == model}

    async def standings(self, models: Sequence[str]) -> Sequence[Standing]:
        found = {row.id: row for row in self._t.versions}
        return [
            Standing(model, channel, found[id_].version, found[id_].state)
            for (model, channel), id_ in sorted(self._t.channels.items())
            if model in models
        ]

    async def versions(self, model: str) -> Sequence[Version]:
        mine = [row for row in self._t.versions if row.model == model]
        return sorted(mine, key=lambda row: (row.epoch, row.counter), reverse=True)

    async def models(self, *, after: str = "", limit: int = 100) -> Sequence[str]:
        return sorted({row.model for row in self._t.versions if row.model > after})[:limit]

    async def newest_counter(self, model: str) -> tuple[int, int] | None:
        newest = await self.versions(model)
        return (newest[0].epoch, newest[0].counter) if newest else None

    async def files(self, version_id: str) -> Sequence[StoredFile]:
        mine = [row for row in self._t.files if row.version_id == version_id and row.twin is None]
        return sorted(mine, key=lambda row: (row.position, row.file_id))

    async def file(self, file_id: bytes) -> StoredFile | None:
        return _first(row for row in self._t.files if row.file_id == file_id)

    async def version_of_object(self, object_name: str) -> Version | None:
        file = _first(row for row in self._t.files if row.object_name == object_name)
        return await self.version_by_id(file.version_id) if file else None

    async def unfinished_versions(self) -> Sequence[Version]:
        return sorted((row for row in self._t.versions if row.state == "checking"), key=lambda row: row.id)

    async def add_challenge(self, row: ChallengeRow) -> None:
        self._add("challenges", row)

    async def use_challenge(
        self, hash_: bytes, *, user: str, device: bytes, purpose: str, now: int
    ) -> ChallengeRow | None:
        found = await self.challenge(hash_, user=user, device=device, purpose=purpose, now=now)
        if found is not None:
            self._t.used.add(hash_)
        return found

    async def challenge(self, hash_: bytes, *, user: str, device: bytes, purpose: str, now: int) -> ChallengeRow | None:
        found = _first(row for row in self._t.challenges if row.hash == hash_ and hash_ not in self._t.used)
        if (
            found is None
            or (found.user, found.device, found.purpose) != (user, device, purpose)
            or found.expires <= now
        ):
            return None
        return found

    async def drop_challenges(self, *, before: int) -> None:
        self._t.challenges[:] = [row for row in self._t.challenges if row.expires >= before]

    async def add_release(self, row: ReleaseRow) -> None:
        self._add("releases", row, Code.KEY_REUSED)

    async def release(self, id_: str) -> ReleaseRow | None:
        return _first(row for row in self._t.releases if row.id == id_)

    async def release_of_lease(self, lease_id: str) -> ReleaseRow | None:
        return _first(row for row in self._t.releases if row.lease_id == lease_id)

    async def extend_lease(self, release_id: str, expires: int) -> None:
        _change(self._t.releases, release_id, lease_expires=expires)

    async def end_leases(self, device: str, version_id: str, *, before: int, at: int) -> None:
        for row in self._t.releases[:]:
            mine = (row.device, row.version_id, row.ended) == (device, version_id, None)
            if mine and row.created < before:
                _change(self._t.releases, row.id, ended=at)

    async def holdings(self, device: str, *, limit: int = 100) -> Sequence[Holding]:
        found = self._held(lambda row: row.device == device)
        versions = {row.id: row for row in self._t.versions}

        def newest(one: Holding) -> tuple[int, int, int]:
            return one.released, versions[one.version_id].epoch, versions[one.version_id].counter

        return sorted(found, key=newest, reverse=True)[:limit]

    async def holders(self, version_id: str, *, now: int, after: str = "", limit: int = 100) -> Sequence[Holding]:
        told = {row.device for row in self._t.orders if row.version_id == version_id and _pending(row, now)}
        found = self._held(lambda row: row.version_id == version_id and row.device > after and row.device not in told)
        return sorted(found, key=lambda one: one.device)[:limit]

    async def add_order(self, row: OrderRow) -> None:
        self._add("orders", row)

    async def order(self, id_: str) -> OrderRow | None:
        return _first(row for row in self._t.orders if row.id == id_)

    async def orders(self, device: str, *, limit: int = 100) -> Sequence[OrderRow]:
        mine = [row for row in self._t.orders if row.device == device]
        return sorted(mine, key=lambda row: (-row.issued, row.id))[:limit]

    async def all_orders(self, *, after: str = "", limit: int = 100) -> Sequence[OrderRow]:
        return _page(self._t.orders, lambda row: row.id, after, limit)

    async def pending_orders(self, device: str, model: str, *, now: int, limit: int = 100) -> Sequence[OrderRow]:
        mine = [row for row in self._t.orders if (row.device, row.model) == (device, model) and _pending(row, now)]
        return sorted(mine, key=lambda row: (row.issued, row.id))[:limit]

    async def sign_order(self, id_: str, *, signed: str) -> None:
        _change(self._t.orders, id_, signed=signed)

    async def note_fetched(self, ids: Sequence[str], *, at: int) -> None:
        for row in self._t.orders[:]:
            if row.id in ids and row.fetched is None:
                _change(self._t.orders, row.id, fetched=at)

    async def note_withdrawn(self, id_: str, *, at: int) -> None:
        _change(self._t.orders, id_, withdrawn=at)

    async def note_reported(self, id_: str, *, at: int, outcome: str, receipt: str) -> None:
        _change(self._t.orders, id_, reported=at, outcome=outcome, receipt=receipt)

    def _held(self, wanted: Callable[[ReleaseRow], bool]) -> list[Holding]:
        groups: dict[tuple[str, str], list[ReleaseRow]] = {}
        for row in self._t.releases:
            if row.ended is None and wanted(row):
                groups.setdefault((row.device, row.version_id), []).append(row)
        return [self._holding(rows) for rows in groups.values()]

    def _holding(self, rows: list[ReleaseRow]) -> Holding:
        newest = max(rows, key=lambda row: (row.created, row.id))
        device = next(row for row in self._t.devices if row.id == newest.device)
        version = next(row for row in self._t.versions if row.id == newest.version_id)
        same = [row for row in self._t.files if (row.version_id, row.twin) == (version.id, newest.twin)]
        mine = [row for row in same if row.account in (None, newest.account)]
        first = min(mine, key=lambda row: (row.position, row.file_id))
        return Holding(
            device=device.id,
            thumbprint=device.thumbprint,
            model=version.model,
            version=version.version,
            version_id=version.id,
            file_id=first.file_id,
            lease=newest.lease_id,
            released=newest.created,
            expires=max(row.lease_expires for row in rows),
        )

    async def add_audit(self, event: AuditEvent) -> None:
        encode(dict(event.detail))  # as strict as the database about what a detail may be
        self._t.audit.append(event)

    async def audit(self, *, after: int = 0, limit: int = 100) -> Sequence[tuple[int, AuditEvent]]:
        return list(enumerate(self._t.audit, 1))[after : after + limit]

    def _add(self, table: str, row: Any, code: Code = Code.CONFLICT) -> None:
        rows = getattr(self._t, table)
        for key in _UNIQUE[table]:
            mine = tuple(getattr(row, name) for name in key)
            if any(tuple(getattr(old, name) for name in key) == mine for old in rows):
                raise InputError(code, f"already there in {table}: {key}")
        for name, other in _REFERENCES.get(table, {}).items():
            wanted = getattr(row, name)
            if wanted is not None and all(old.id != wanted for old in getattr(self._t, other)):
                raise StoreError(Code.DATABASE, f"{table}.{name} names no row of {other}")
        rows.append(row)


def _first(rows: Iterable[Row]) -> Row | None:
    return next(iter(rows), None)


def _pending(row: OrderRow, now: int) -> bool:
    return row.reported is None and row.withdrawn is None and row.expires > now


def _named(rows: Sequence[Named], id_or_name: str) -> Named | None:
    by_id = _first(row for row in rows if row.id == id_or_name)
    return by_id or _first(row for row in rows if row.name == id_or_name)


def _page(rows: Sequence[Row], key: Callable[[Row], str], after: str, limit: int) -> list[Row]:
    return sorted((row for row in rows if key(row) > after), key=key)[:limit]


def _change(rows: list[Any], id_: str, **values: Any) -> None:
    for index, row in enumerate(rows):
        if row.id == id_:
            rows[index] = dataclasses.replace(row, **values)
            return
    raise InternalError(Code.INTERNAL, "no row to change")
