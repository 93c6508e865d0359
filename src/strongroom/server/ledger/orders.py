"""The part of a transaction that is about leases, who holds what, and wipe orders."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Select, and_, exists, func, or_, select, update

from strongroom.server.ledger import prepared
from strongroom.server.ledger import tables as t
from strongroom.server.ledger.rows import Rows
from strongroom.server.ports import Holding, OrderRow


class OrderRows(Rows):
    """Leases, holdings and orders. Every query begins at an index: device, or version and device."""

    async def extend_lease(self, release_id: str, expires: int) -> None:
        await self._update_one(t.RELEASES, release_id, {"lease_expires": expires})

    async def end_leases(self, device: str, version_id: str, *, before: int, at: int) -> None:
        """Note for every release of a version to a device that was made `before` that it was reported wiped."""
        columns = t.RELEASES.c
        mine = (columns.version_id == version_id, columns.device == device, columns.ended.is_(None))
        await self._execute(update(t.RELEASES).where(*mine, columns.created < before).values(ended=at))

    async def holdings(self, device: str, *, limit: int = 100) -> Sequence[Holding]:
        found, newest = _holdings(t.RELEASES.c.device == device)
        return await self._all(
            Holding, found.order_by(newest.desc(), t.VERSIONS.c.epoch.desc(), t.VERSIONS.c.counter.desc()).limit(limit)
        )

    async def holders(self, version_id: str, *, now: int, after: str = "", limit: int = 100) -> Sequence[Holding]:
        """Return who holds a version and has no pending order for it."""
        releases, orders = t.RELEASES.c, t.ORDERS.c
        told = exists().where(
            orders.device == releases.device,
            orders.version_id == releases.version_id,
            _pending(now),
        )
        mine = (releases.version_id == version_id, releases.device > after, releases.ended.is_(None))
        # the devices first: ranking their releases is for as many as are asked for, and not for all there are
        devices = select(releases.device).distinct().where(*mine, ~told).order_by(releases.device).limit(limit)
        found, _ = _holdings(releases.version_id == version_id, releases.device.in_(devices))
        return await self._all(Holding, found.order_by(t.DEVICES.c.id))

    async def add_order(self, row: OrderRow) -> None:
        await self._insert(t.ORDERS, row, "this order is already there")

    async def order(self, id_: str) -> OrderRow | None:
        return await self._one(OrderRow, t.ORDERS, id=id_)

    async def orders(self, device: str, *, limit: int = 100) -> Sequence[OrderRow]:
        columns = t.ORDERS.c
        mine = select(t.ORDERS).where(columns.device == device)
        return await self._all(OrderRow, mine.order_by(columns.issued.desc(), columns.id).limit(limit))

    async def all_orders(self, *, after: str = "", limit: int = 100) -> Sequence[OrderRow]:
        columns = t.ORDERS.c
        return await self._all(OrderRow, select(t.ORDERS).where(columns.id > after).order_by(columns.id).limit(limit))

    async def pending_orders(self, device: str, model: str, *, now: int, limit: int = 100) -> Sequence[OrderRow]:
        wanted = {"device": device, "model": model, "now": now, "most": limit}
        return await self._all(OrderRow, prepared.PENDING_ORDERS, wanted)

    async def sign_order(self, id_: str, *, signed: str) -> None:
        await self._update_one(t.ORDERS, id_, {"signed": signed})

    async def note_fetched(self, ids: Sequence[str], *, at: int) -> None:
        columns = t.ORDERS.c
        await self._execute(update(t.ORDERS).where(columns.id.in_(ids), columns.fetched.is_(None)).values(fetched=at))

    async def note_withdrawn(self, id_: str, *, at: int) -> None:
        await self._update_one(t.ORDERS, id_, {"withdrawn": at})

    async def note_reported(self, id_: str, *, at: int, outcome: str, receipt: str) -> None:
        await self._update_one(t.ORDERS, id_, {"reported": at, "outcome": outcome, "receipt": receipt})


def _pending(now: int) -> ColumnElement[bool]:
    columns = t.ORDERS.c
    return and_(columns.reported.is_(None), columns.withdrawn.is_(None), columns.expires > now)


def _holdings(*conditions: ColumnElement[bool]) -> tuple[Select[tuple[object, ...]], ColumnElement[int]]:
    """Return the query of what is held, of the releases that fit, and the column that says when it was released."""
    releases, versions, files = t.RELEASES.c, t.VERSIONS.c, t.FILES.c
    of_one = (releases.device, releases.version_id)
    newest_first = (releases.created.desc(), releases.id.desc())
    ranked = (
        select(
            releases.device,
            releases.account,
            releases.version_id,
            releases.lease_id,
            releases.created,
            releases.twin,
            func.row_number().over(partition_by=of_one, order_by=newest_first).label("place"),
            func.max(releases.lease_expires).over(partition_by=of_one).label("expires"),
        )
        .where(*conditions, releases.ended.is_(None))
        .subquery()
    )
    one = ranked.c
    first_file = (
        select(files.file_id)
        .where(
            files.version_id == one.version_id,
            files.twin.is_not_distinct_from(one.twin),  # of what it was given, and it may have been a decoy
            or_(files.account.is_(None), files.account == one.account),
        )
        .order_by(files.position, files.file_id)
        .limit(1)
        .scalar_subquery()
    )
    found = (
        select(
            one.device,
            t.DEVICES.c.thumbprint,
            versions.model,
            versions.version,
            one.version_id,
            first_file.label("file_id"),
            one.lease_id.label("lease"),
            one.created.label("released"),
            one.expires,
        )
        .join_from(ranked, t.VERSIONS, versions.id == one.version_id)
        .join(t.DEVICES, t.DEVICES.c.id == one.device)
        .where(one.place == 1)
    )
    return found, one.created
