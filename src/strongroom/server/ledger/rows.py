"""Rows in and rows out: what every query of the ledger has in common."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import CursorResult, Executable, Table
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from strongroom.errors import Code, InputError, InternalError, StrongroomError
from strongroom.server.ledger import prepared
from strongroom.server.ledger.engine import is_unique_violation, place, translate
from strongroom.server.ledger.serial import SerialConnection

_Row = TypeVar("_Row")


class Rows:
    """A connection on which a transaction has begun, and statements whose errors are ours."""

    def __init__(self, connection: AsyncConnection | SerialConnection) -> None:
        """Use a connection on which a transaction has begun."""
        self._connection = connection

    def _place(self) -> str:
        return place(self._connection.engine.url)

    async def _execute(
        self, statement: Executable, values: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None
    ) -> CursorResult[Any]:
        try:
            return await self._connection.execute(statement, values)
        except SQLAlchemyError as error:
            raise translate(error, self._place()) from None

    async def _insert(self, table: Table, row: Any, taken: str, code: Code = Code.CONFLICT) -> None:  # noqa: ANN401 - any row of ports
        values = {field.name: getattr(row, field.name) for field in dataclasses.fields(row)}
        try:
            await self._connection.execute(prepared.into(table), values)
        except DBAPIError as error:
            raise _refused(error, taken, code, self._place()) from None
        except SQLAlchemyError as error:
            raise translate(error, self._place()) from None

    async def _update_one(self, table: Table, id_: str, values: Mapping[str, Any]) -> None:
        done = await self._execute(prepared.row_of(table), {prepared.ROW: id_, **values})
        if done.rowcount != 1:
            raise InternalError(Code.INTERNAL, f"no row of {table.name} to change", where=id_)

    async def _named(self, kind: type[_Row], table: Table, id_or_name: str) -> _Row | None:
        # the identifier first: a name that looks like another's identifier must not shadow it
        return await self._one(kind, table, id=id_or_name) or await self._one(kind, table, name=id_or_name)

    async def _one(self, kind: type[_Row], table: Table, **equal: str | bytes) -> _Row | None:
        found = await self._all(kind, prepared.of_table(table, tuple(equal)), equal)
        return found[0] if found else None

    async def _all(
        self, kind: type[_Row], statement: Executable, values: Mapping[str, Any] | None = None
    ) -> list[_Row]:
        rows = await self._execute(statement, values)
        return [kind(**row) for row in rows.mappings()]


def _refused(error: DBAPIError, taken: str, code: Code, where: str) -> StrongroomError:
    return InputError(code, taken) if is_unique_violation(error) else translate(error, where)
