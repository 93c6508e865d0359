"""The ledger in an SQL database (SQLite or PostgreSQL) through SQLAlchemy Core."""

import dataclasses
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from sqlalchemy import delete, insert, select, text, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from strongroom.canonical import decode, encode
from strongroom.errors import Code, InternalError, StrongroomError
from strongroom.server.ledger import prepared
from strongroom.server.ledger import tables as t
from strongroom.server.ledger.attestations import AttestationRows
from strongroom.server.ledger.engine import open_engine, place, translate
from strongroom.server.ledger.orders import OrderRows
from strongroom.server.ledger.serial import SerialEngine
from strongroom.server.ledger.twins import TwinRows
from strongroom.server.ledger.watching import WatchRows
from strongroom.server.ports import (
    Account,
    AuditEvent,
    ChallengeRow,
    DeviceRow,
    Entitlement,
    Operator,
    ReleaseRow,
    Standing,
    StoredFile,
    Transaction,
    User,
    Version,
)

_MAX_DETAIL = 65_536  # bytes
_PROBE = ChallengeRow(hash=bytes(32), user="", device=bytes(32), purpose="health", model=None, expires=0)


class SqlLedger:
    """A Ledger in a database that `migrations.upgrade` brought up to date."""

    def __init__(self, engine: AsyncEngine | SerialEngine) -> None:
        """Use an engine made by `open_engine`."""
        self._engine = engine
        self._failed = False  # a transaction did, and nothing has shown since that one can be written

    @classmethod
    def open(cls, url: str) -> "SqlLedger":
        """Use the database of this URL; nothing is read yet.

        Raises:
            SetupError: DATABASE.
        """
        return cls(open_engine(url))

    def begin(self) -> AbstractAsyncContextManager[Transaction]:
        """Open a write transaction; it commits when the block ends and rolls back when it raises.

        Do not open one inside another: the second would wait for the first.

        Raises:
            SetupError: DATABASE, if the tables are missing.
            StoreError: DATABASE, if the database is locked, full or failing.
        """
        return self._begin()

    @asynccontextmanager
    async def _begin(self) -> AsyncIterator[Transaction]:
        try:
            async with self._engine.begin() as connection:
                yield SqlTransaction(connection)
        except SQLAlchemyError as error:
            self._failed = True
            raise translate(error, place(self._engine.url)) from None
        except StrongroomError as error:
            self._failed = self._failed or error.code == Code.DATABASE
            raise

    async def healthy(self) -> bool:
        """Tell whether the database answers, and takes a row again after a transaction has failed.

        As long as none has failed nothing is written: who only asks must not cost a write to the disk.
        """
        try:
            if self._failed:
                await self._write()
                self._failed = False
            async with self._engine.connect() as connection:
                await connection.execute(text("SELECT 1"))
        except SQLAlchemyError:
            return False
        return True

    async def _write(self) -> None:
        async with self._engine.begin() as connection:
            await connection.execute(prepared.DROP_CHALLENGES, {"before": 1})  # the one from before
            await connection.execute(prepared.into(t.CHALLENGES), dataclasses.asdict(_PROBE))

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()


class SqlTransaction(OrderRows, AttestationRows, WatchRows, TwinRows):
    """Everything inside one `SqlLedger.begin()`."""

    async def add_account(self, row: Account) -> None:
        await self._insert(t.ACCOUNTS, row, f"an account named {row.name} is already there")

    async def account(self, id_or_name: str) -> Account | None:
        return await self._named(Account, t.ACCOUNTS, id_or_name)

    async def accounts(self, *, after: str = "", limit: int = 100) -> Sequence[Account]:
        columns = t.ACCOUNTS.c
        return await self._all(
            Account, select(t.ACCOUNTS).where(columns.name > after).order_by(columns.name).limit(limit)
        )

    async def set_account_state(self, id_: str, state: str) -> None:
        await self._update_one(t.ACCOUNTS, id_, {"state": state})

    async def add_user(self, row: User) -> None:
        await self._insert(t.USERS, row, f"a user named {row.name} is already there")

    async def user(self, id_or_name: str) -> User | None:
        return await self._named(User, t.USERS, id_or_name)

    async def users(self, account: str) -> Sequence[User]:
        columns = t.USERS.c
        return await self._all(User, select(t.USERS).where(columns.account == account).order_by(columns.name))

    async def add_operator(self, row: Operator) -> None:
        await self._insert(t.OPERATORS, row, f"an operator named {row.name} is already there")

    async def operator_by_token(self, token_hash: bytes) -> Operator | None:
        return await self._one(Operator, t.OPERATORS, token_hash=token_hash)

    async def add_device(self, row: DeviceRow) -> None:
        await self._insert(t.DEVICES, row, "a device with this key is already there")

    async def device(self, id_: str) -> DeviceRow | None:
        return await self._one(DeviceRow, t.DEVICES, id=id_)

    async def device_by_thumbprint(self, thumbprint: bytes) -> DeviceRow | None:
        return await self._one(DeviceRow, t.DEVICES, thumbprint=thumbprint)

    async def touch_device(self, id_: str, *, facts: str, seen: int) -> None:
        await self._update_one(t.DEVICES, id_, {"facts": facts, "seen": seen})

    async def set_device_state(self, id_: str, state: str) -> None:
        await self._update_one(t.DEVICES, id_, {"state": state})

    async def devices(self, *, after: str = "", limit: int = 100) -> Sequence[DeviceRow]:
        columns = t.DEVICES.c
        return await self._all(DeviceRow, select(t.DEVICES).where(columns.id > after).order_by(columns.id).limit(limit))

    async def add_entitlement(self, row: Entitlement) -> None:
        await self._insert(t.ENTITLEMENTS, row, "this entitlement is already there")

    async def entitlements(self, account: str, model: str) -> Sequence[Entitlement]:
        return await self._all(Entitlement, prepared.ENTITLEMENTS, {"account": account, "model": model})

    async def remove_entitlement(self, id_: str) -> bool:
        done = await self._execute(delete(t.ENTITLEMENTS).where(t.ENTITLEMENTS.c.id == id_))
        return done.rowcount == 1

    async def add_version(self, row: Version, files: Sequence[StoredFile]) -> None:
        await self._insert(t.VERSIONS, row, f"{row.model} {row.version}, or its epoch and counter, is already there")
        for file in files:
            await self._insert(t.FILES, file, "a file with this identifier or key is already there")

    async def remove_version(self, id_: str) -> None:
        await self._execute(delete(t.FILES).where(t.FILES.c.version_id == id_))
        done = await self._execute(delete(t.VERSIONS).where(t.VERSIONS.c.id == id_))
        if done.rowcount != 1:
            raise InternalError(Code.INTERNAL, "no row of versions to remove", where=id_)

    async def set_version_state(self, id_: str, state: str, *, reason: str = "") -> None:
        await self._update_one(t.VERSIONS, id_, {"state": state, "reason": reason})

    async def set_channel(self, model: str, channel: str, version_id: str) -> None:
        columns = t.CHANNELS.c
        moved = await self._execute(
            update(t.CHANNELS).where(columns.model == model, columns.channel == channel).values(version_id=version_id)
        )
        if moved.rowcount == 0:
            await self._execute(insert(t.CHANNELS).values(model=model, channel=channel, version_id=version_id))

    async def version(self, model: str, version: str) -> Version | None:
        return await self._one(Version, t.VERSIONS, model=model, version=version)

    async def version_by_id(self, id_: str) -> Version | None:
        return await self._one(Version, t.VERSIONS, id=id_)

    async def channel_version(self, model: str, channel: str) -> Version | None:
        found = await self._all(Version, prepared.CHANNEL_VERSION, {"model": model, "channel": channel})
        return found[0] if found else None

    async def channels(self, model: str) -> dict[str, str]:
        rows = await self._execute(prepared.CHANNELS, {"model": model})
        return {row.channel: row.version for row in rows}

    async def standings(self, models: Sequence[str]) -> Sequence[Standing]:
        channels, versions = t.CHANNELS.c, t.VERSIONS.c
        joined = select(channels.model, channels.channel, versions.version, versions.state).join(
            t.VERSIONS, channels.version_id == versions.id
        )
        wanted = joined.where(channels.model.in_(models)).order_by(channels.model, channels.channel)
        return await self._all(Standing, wanted)

    async def versions(self, model: str) -> Sequence[Version]:
        columns = t.VERSIONS.c
        mine = select(t.VERSIONS).where(columns.model == model)
        return await self._all(Version, mine.order_by(columns.epoch.desc(), columns.counter.desc()))

    async def models(self, *, after: str = "", limit: int = 100) -> Sequence[str]:
        model = t.VERSIONS.c.model
        rows = await self._execute(select(model).distinct().where(model > after).order_by(model).limit(limit))
        return [name for (name,) in rows]

    async def newest_counter(self, model: str) -> tuple[int, int] | None:
        newest = await self.versions(model)
        return (newest[0].epoch, newest[0].counter) if newest else None

    async def files(self, version_id: str) -> Sequence[StoredFile]:
        return await self._all(StoredFile, prepared.FILES, {"version_id": version_id})

    async def file(self, file_id: bytes) -> StoredFile | None:
        return await self._one(StoredFile, t.FILES, file_id=file_id)

    async def version_of_object(self, object_name: str) -> Version | None:
        joined = select(t.VERSIONS).join(t.FILES, t.FILES.c.version_id == t.VERSIONS.c.id)
        found = await self._all(Version, joined.where(t.FILES.c.object_name == object_name))
        return found[0] if found else None

    async def unfinished_versions(self) -> Sequence[Version]:
        columns = t.VERSIONS.c
        return await self._all(Version, select(t.VERSIONS).where(columns.state == "checking").order_by(columns.id))

    async def add_challenge(self, row: ChallengeRow) -> None:
        await self._insert(t.CHALLENGES, row, "this challenge is already there")

    async def use_challenge(
        self, hash_: bytes, *, user: str, device: bytes, purpose: str, now: int
    ) -> ChallengeRow | None:
        """Use the challenge up in one atomic update; None if unknown, used, expired or another's."""
        its = {"its_hash": hash_, "its_user": user, "its_device": device, "its_purpose": purpose}
        rows = (await self._execute(prepared.USE_CHALLENGE, its | {"now": now})).mappings().all()
        return ChallengeRow(**rows[0]) if rows else None

    async def challenge(self, hash_: bytes, *, user: str, device: bytes, purpose: str, now: int) -> ChallengeRow | None:
        its = {"hash": hash_, "user": user, "device": device, "purpose": purpose, "now": now}
        found = await self._all(ChallengeRow, prepared.OUTSTANDING, its)
        return found[0] if found else None

    async def drop_challenges(self, *, before: int) -> None:
        await self._execute(prepared.DROP_CHALLENGES, {"before": before})

    async def add_release(self, row: ReleaseRow) -> None:
        await self._insert(t.RELEASES, row, "this ephemeral key was used before", Code.KEY_REUSED)

    async def release(self, id_: str) -> ReleaseRow | None:
        return await self._one(ReleaseRow, t.RELEASES, id=id_)

    async def release_of_lease(self, lease_id: str) -> ReleaseRow | None:
        return await self._one(ReleaseRow, t.RELEASES, lease_id=lease_id)

    async def add_audit(self, event: AuditEvent) -> None:
        values = dataclasses.asdict(event) | {"detail": encode(dict(event.detail)).decode("ascii")}
        await self._execute(prepared.into(t.AUDIT), values)

    async def audit(self, *, after: int = 0, limit: int = 100) -> Sequence[tuple[int, AuditEvent]]:
        columns = t.AUDIT.c
        rows = await self._execute(select(t.AUDIT).where(columns.seq > after).order_by(columns.seq).limit(limit))
        return [(row["seq"], _audit_event(dict(row))) for row in rows.mappings()]


def _audit_event(row: Mapping[str, Any]) -> AuditEvent:
    detail = decode(row["detail"].encode("ascii"), limit=_MAX_DETAIL, where="audit log")
    return AuditEvent(row["event"], row["at"], row["actor"], row["subject"], detail)  # type: ignore[arg-type]  # written by us, as such a map
