"""The part of a transaction that is about devices' attested keys."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from sqlalchemy import update

from strongroom.server.ledger import prepared
from strongroom.server.ledger import tables as t
from strongroom.server.ledger.rows import Rows
from strongroom.server.ports import AttestationRow, DeviceRow

_KEY = ("device", "kind")


class AttestationRows(Rows):
    """What is remembered of attested keys; every query begins at the device."""

    async def attestations(self, device: str) -> Sequence[AttestationRow]:
        return await self._all(AttestationRow, prepared.ATTESTATIONS, {"device": device})

    async def keep_attestation(self, row: AttestationRow) -> None:
        columns = t.ATTESTATIONS.c
        mine = (columns.device == row.device, columns.kind == row.kind)
        kept = await self._execute(update(t.ATTESTATIONS).where(*mine).values(_changed(row)))
        if kept.rowcount == 0:
            await self._insert(t.ATTESTATIONS, row, "what is known of this device's key is already there")

    async def devices_with(self, kind: str, hardware: bytes, *, besides: str, limit: int = 10) -> Sequence[DeviceRow]:
        """Return the devices with a row of this kind and hardware, but for one; blocked ones first, then by id."""
        values = {"kind": kind, "hardware": hardware, "besides": besides, "most": limit}
        return await self._all(DeviceRow, prepared.DEVICES_WITH, values)

    async def advance_attestation(self, row: AttestationRow, *, before: AttestationRow) -> bool:
        """Put `row` in the place of `before` in one atomic update; False if that is not what is there any more."""
        its = {f"its_{name}": getattr(before, name) for name in (*_KEY, "known", "revision")}
        done = await self._execute(prepared.ADVANCE_ATTESTATION, its | _changed(row))
        return done.rowcount == 1


def _changed(row: AttestationRow) -> dict[str, Any]:
    return {one.name: getattr(row, one.name) for one in dataclasses.fields(row) if one.name not in _KEY}
