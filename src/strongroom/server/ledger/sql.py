"""The ledger in an SQL database (SQLite or PostgreSQL) through SQLAlchemy Core."""

import dataclasses
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, CursorResult, Executable, Table, delete, insert, select, text, update
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from strongroom.canonical import decode, encode
from strongroom.errors import Code, InputError, InternalError, StrongroomError
from strongroom.server.ledger import tables as t
from strongroom.server.ledger.engine import is_unique_violation, open_engine, place, translate
from strongroom.server.ports import (
    Account,
    AuditEvent,
    ChallengeRow,
    DeviceRow,
    Entitlement,
    Operator,
    ReleaseRow,
    StoredFile,
    Transaction,
    User,
    Version,
)

_MAX_DETAIL = 65_536  # bytes
_Row = TypeVar("_Row")


class SqlLedger:
    """A Ledger in a database that `migrations.upgrade` brought up to date."""

    def __init__(self, engine: AsyncEngine) -> None:
        """Use an engine made by `open_engine`."""
        self._engine = engine

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
            raise translate(error, place(self._engine.url)) from None

    async def healthy(self) -> bool:
        """Tell whether the database answers."""
        try:
            async with self._engine.connect() as connection:
                await connection.execute(text("SELECT 1"))
        except SQLAlchemyError:
            return False
        return True

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()


class SqlTransaction:
    """Everything inside one `SqlLedger.begin()`."""

    def __init__(self, connection: AsyncConnection) -> None:
        """Use a connection on which a transaction has begun."""
        self._connection = connection

    async def add_account(self, row: Account) -> None:
        await self._insert(t.ACCOUNTS, row, f"an account named {row.name} is already there")

    async def account(self, id_or_name: str) -> Account | None:
        return await self._named(Account, t.ACCOUNTS, id_or_name)

    async def accounts(self, *, after: str = "", limit: int = 100) -> Sequence[Account]:
        columns = t.ACCOUNTS.c
        return await self._all(
            Account, select(t.ACCOUNTS).where(columns.name > after).order_by(columns.name).limit(limit)
        )

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
        return await self._one(Operator, t.OPERATORS, t.OPERATORS.c.token_hash == token_hash)

    async def add_device(self, row: DeviceRow) -> None:
        await self._insert(t.DEVICES, row, "a device with this key is already there")

    async def device(self, id_: str) -> DeviceRow | None:
        return await self._one(DeviceRow, t.DEVICES, t.DEVICES.c.id == id_)

    async def device_by_thumbprint(self, thumbprint: bytes) -> DeviceRow | None:
        return await self._one(DeviceRow, t.DEVICES, t.DEVICES.c.thumbprint == thumbprint)

    async def touch_device(self, id_: str, *, facts: str, seen: int) -> None:
        await self._update_one(t.DEVICES, id_, {"facts": facts, "seen": seen})

    async def devices(self, *, after: str = "", limit: int = 100) -> Sequence[DeviceRow]:
        columns = t.DEVICES.c
        return await self._all(DeviceRow, select(t.DEVICES).where(columns.id > after).order_by(columns.id).limit(limit))

    async def add_entitlement(self, row: Entitlement) -> None:
        await self._insert(t.ENTITLEMENTS, row, "this entitlement is already there")

    async def entitlements(self, account: str, model: str) -> Sequence[Entitlement]:
        columns = t.ENTITLEMENTS.c
        mine = select(t.ENTITLEMENTS).where(columns.account == account, columns.model == model)
        return await self._all(Entitlement, mine.order_by(columns.id))

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
        columns = t.VERSIONS.c
        return await self._one(Version, t.VERSIONS, columns.model == model, columns.version == version)

    async def version_by_id(self, id_: str) -> Version | None:
        return await self._one(Version, t.VERSIONS, t.VERSIONS.c.id == id_)

    async def channel_version(self, model: str, channel: str) -> Version | None:
        joined = select(t.VERSIONS).join(t.CHANNELS, t.CHANNELS.c.version_id == t.VERSIONS.c.id)
        found = await self._all(Version, joined.where(t.CHANNELS.c.model == model, t.CHANNELS.c.channel == channel))
        return found[0] if found else None

    async def channels(self, model: str) -> dict[str, str]:
        joined = select(t.CHANNELS.c.channel, t.VERSIONS.c.version).join(
            t.VERSIONS, t.CHANNELS.c.version_id == t.VERSIONS.c.id
        )
        rows = await self._execute(joined.where(t.CHANNELS.c.model == model).order_by(t.CHANNELS.c.channel))
        return {row.channel: row.version for row in rows}

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
        columns = t.FILES.c
        mine = select(t.FILES).where(columns.version_id == version_id)
        return await self._all(StoredFile, mine.order_by(columns.position, columns.file_id))

    async def file(self, file_id: bytes) -> StoredFile | None:
        return await self._one(StoredFile, t.FILES, t.FILES.c.file_id == file_id)

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
        columns = t.CHALLENGES.c
        mine = (columns.hash == hash_, columns.user == user, columns.device == device, columns.purpose == purpose)
        # one statement, so that of many copies of a request exactly one finds `used` empty
        winner = (
            update(t.CHALLENGES)
            .where(*mine, columns.used.is_(None), columns.expires > now)
            .values(used=now)
            .returning(*(columns[field.name] for field in dataclasses.fields(ChallengeRow)))
        )
        rows = (await self._execute(winner)).mappings().all()
        return ChallengeRow(**rows[0]) if rows else None

    async def drop_challenges(self, *, before: int) -> None:
        await self._execute(delete(t.CHALLENGES).where(t.CHALLENGES.c.expires < before))

    async def add_release(self, row: ReleaseRow) -> None:
        await self._insert(t.RELEASES, row, "this ephemeral key was used before", Code.KEY_REUSED)

    async def release(self, id_: str) -> ReleaseRow | None:
        return await self._one(ReleaseRow, t.RELEASES, t.RELEASES.c.id == id_)

    async def add_audit(self, event: AuditEvent) -> None:
        values = dataclasses.asdict(event) | {"detail": encode(dict(event.detail)).decode("ascii")}
        await self._execute(insert(t.AUDIT).values(values))

    async def audit(self, *, after: int = 0, limit: int = 100) -> Sequence[tuple[int, AuditEvent]]:
        columns = t.AUDIT.c
        rows = await self._execute(select(t.AUDIT).where(columns.seq > after).order_by(columns.seq).limit(limit))
        return [(row["seq"], _audit_event(dict(row))) for row in rows.mappings()]

    def _place(self) -> str:
        return place(self._connection.engine.url)

    async def _execute(self, statement: Executable) -> CursorResult[Any]:
        try:
            return await self._connection.execute(statement)
        except SQLAlchemyError as error:
            raise translate(error, self._place()) from None

    async def _insert(self, table: Table, row: Any, taken: str, code: Code = Code.CONFLICT) -> None:  # noqa: ANN401 - any row of ports
        values = {field.name: getattr(row, field.name) for field in dataclasses.fields(row)}
        try:
            await self._connection.execute(insert(table).values(values))
        except DBAPIError as error:
            raise _refused(error, taken, code, self._place()) from None
        except SQLAlchemyError as error:
            raise translate(error, self._place()) from None

    async def _update_one(self, table: Table, id_: str, values: Mapping[str, Any]) -> None:
        done = await self._execute(update(table).where(table.c.id == id_).values(values))
        if done.rowcount != 1:
            raise InternalError(Code.INTERNAL, f"no row of {table.name} to change", where=id_)

    async def _named(self, kind: type[_Row], table: Table, id_or_name: str) -> _Row | None:
        # the identifier first: a name that looks like another's identifier must not shadow it
        return await self._one(kind, table, table.c.id == id_or_name) or await self._one(
            kind, table, table.c.name == id_or_name
        )

    async def _one(self, kind: type[_Row], table: Table, *conditions: ColumnElement[bool]) -> _Row | None:
        found = await self._all(kind, select(table).where(*conditions))
        return found[0] if found else None

    async def _all(self, kind: type[_Row], statement: Executable) -> list[_Row]:
        rows = await self._execute(statement)
        return [kind(**row) for row in rows.mappings()]


def _audit_event(row: Mapping[str, Any]) -> AuditEvent:
    detail = decode(row["detail"].encode("ascii"), limit=_MAX_DETAIL, where="audit log")
    return AuditEvent(row["event"], row["at"], row["actor"], row["subject"], detail)  # type: ignore[arg-type]  # written by us, as such a map


def _refused(error: DBAPIError, taken: str, code: Code, where: str) -> StrongroomError:
    return InputError(code, taken) if is_unique_violation(error) else translate(error, where)
