"""The decoy twins' part of the ledger in memory; `MemoryTransaction` in fakes.py inherits it."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from strongroom.errors import Code, InternalError
from strongroom.server.ports import StoredFile
from strongroom.server.twin_ports import Given, TwinRow


class TwinMemory:
    """Mixin over `self._t`, the tables."""

    _t: Any
    _add: Any

    async def add_twin(self, row: TwinRow, files: Sequence[StoredFile]) -> None:
        self._add("twins", row)
        for file in files:
            self._add("files", file)

    async def remove_twin(self, id_: str) -> None:
        if await self.twin(id_) is None:
            raise InternalError(Code.INTERNAL, "no row to remove")
        self._t.files[:] = [row for row in self._t.files if row.twin != id_]
        self._t.twins[:] = [row for row in self._t.twins if row.id != id_]

    async def twin(self, id_: str) -> TwinRow | None:
        return next((row for row in self._t.twins if row.id == id_), None)

    async def twin_of(self, version_id: str) -> TwinRow | None:
        return next((row for row in self._t.twins if row.version_id == version_id), None)

    async def twin_of_object(self, object_name: str) -> TwinRow | None:
        file = next((row for row in self._t.files if row.object_name == object_name), None)
        return await self.twin(file.twin) if file and file.twin else None

    async def twin_files(self, version_id: str) -> Sequence[StoredFile]:
        row = await self.twin_of(version_id)
        return await self.deposited_twin_files(row.id) if row and row.state == "ready" else []

    async def deposited_twin_files(self, id_: str) -> Sequence[StoredFile]:
        mine = [row for row in self._t.files if row.twin == id_]
        return sorted(mine, key=lambda row: (row.position, row.file_id))

    async def unfinished_twins(self) -> Sequence[TwinRow]:
        return sorted((row for row in self._t.twins if row.state == "checking"), key=lambda row: row.id)

    async def set_twin_state(self, id_: str, state: str, *, reason: str = "") -> None:
        before = await self.twin(id_)
        if before is None:
            raise InternalError(Code.INTERNAL, "no row to change")
        self._t.twins[self._t.twins.index(before)] = dataclasses.replace(before, state=state, reason=reason)

    async def given(self, device: str, version_id: str) -> Given | None:
        mine = [
            row for row in self._t.releases if (row.device, row.version_id, row.ended) == (device, version_id, None)
        ]
        newest = max(mine, key=lambda row: (row.created, row.id), default=None)
        return None if newest is None else Given(newest.id, newest.twin)

    async def end_twins(self, device: str, *, at: int) -> int:
        mine = [row for row in self._t.releases if row.device == device and row.twin and row.ended is None]
        for row in mine:
            self._t.releases[self._t.releases.index(row)] = dataclasses.replace(row, ended=at)
        return len(mine)
