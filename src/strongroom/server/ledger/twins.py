"""The part of a transaction that is about decoy twins."""

from collections.abc import Sequence

from sqlalchemy import delete, select, update

from strongroom.errors import Code, InternalError
from strongroom.server.ledger import prepared
from strongroom.server.ledger import tables as t
from strongroom.server.ledger.rows import Rows
from strongroom.server.ports import StoredFile
from strongroom.server.twin_ports import Given, TwinRow


class TwinRows(Rows):
    """Twins, their files, and who was given them. What a release asks begins at an index."""

    async def add_twin(self, row: TwinRow, files: Sequence[StoredFile]) -> None:
        await self._insert(t.TWINS, row, "this version has a decoy twin already")
        for file in files:
            await self._insert(t.FILES, file, "a file with this identifier or key is already there")

    async def remove_twin(self, id_: str) -> None:
        await self._execute(delete(t.FILES).where(t.FILES.c.twin == id_))
        done = await self._execute(delete(t.TWINS).where(t.TWINS.c.id == id_))
        if done.rowcount != 1:
            raise InternalError(Code.INTERNAL, "no row of twins to remove", where=id_)

    async def twin(self, id_: str) -> TwinRow | None:
        return await self._one(TwinRow, t.TWINS, id=id_)

    async def twin_of(self, version_id: str) -> TwinRow | None:
        return await self._one(TwinRow, t.TWINS, version_id=version_id)

    async def twin_of_object(self, object_name: str) -> TwinRow | None:
        joined = select(t.TWINS).join(t.FILES, t.FILES.c.twin == t.TWINS.c.id)
        found = await self._all(TwinRow, joined.where(t.FILES.c.object_name == object_name))
        return found[0] if found else None

    async def twin_files(self, version_id: str) -> Sequence[StoredFile]:
        """Return the files of a version's twin in order; none if it has no twin that is ready."""
        return await self._all(StoredFile, prepared.TWIN_FILES, {"version_id": version_id})

    async def deposited_twin_files(self, id_: str) -> Sequence[StoredFile]:
        """Return the files of a twin in order, whatever its state."""
        mine = select(t.FILES).where(t.FILES.c.twin == id_).order_by(t.FILES.c.position, t.FILES.c.file_id)
        return await self._all(StoredFile, mine)

    async def unfinished_twins(self) -> Sequence[TwinRow]:
        columns = t.TWINS.c
        return await self._all(TwinRow, select(t.TWINS).where(columns.state == "checking").order_by(columns.id))

    async def set_twin_state(self, id_: str, state: str, *, reason: str = "") -> None:
        await self._update_one(t.TWINS, id_, {"state": state, "reason": reason})

    async def given(self, device: str, version_id: str) -> Given | None:
        found = await self._all(Given, prepared.GIVEN, {"device": device, "version_id": version_id})
        return found[0] if found else None

    async def end_twins(self, device: str, *, at: int) -> int:
        """End every release of a twin to a device, so that it is given real files again; return how many."""
        columns = t.RELEASES.c
        mine = (columns.device == device, columns.twin.is_not(None), columns.ended.is_(None))
        return int((await self._execute(update(t.RELEASES).where(*mine).values(ended=at))).rowcount)
