"""Versions: which one a channel stands for, and which ones may not be had any more.

A channel only ever moves on in the order of (epoch, counter): devices refuse what is older than what they had, so
moving it back would leave them without updates instead of giving them the old version.
"""

from dataclasses import dataclass

from strongroom import names
from strongroom.errors import Code, DeniedError, InputError
from strongroom.server.accounts import KEEPERS, allow, forbid
from strongroom.server.audit import Event, event
from strongroom.server.identify import Visit
from strongroom.server.office import Office
from strongroom.server.ports import Operator, Transaction, Version
from strongroom.server.publish import PUBLISHER, READY

PROMOTERS = ("admin", "operator", "publisher")
REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class Moved:
    """A channel and the version it stands for; `before` if it stood for another one."""

    version: Version
    channel: str
    before: str | None


@dataclass(frozen=True, slots=True)
class Revoked:
    """A version that may not be had any more, and the channels that are left without one."""

    version: Version
    channels: tuple[str, ...]


async def promote(office: Office, operator: Operator, model: str, version: str, channel: str, visit: Visit) -> Moved:
    """Let a channel stand for a version. Saying it again is harmless.

    Raises:
        DeniedError: FORBIDDEN, for a publisher also where the version is another's; NOT_FOUND.
        InputError: NAME; CONFLICT if the version is not ready, the channel stands for a later one, or trust.json
            names another epoch for the model.
    """
    await allow(office, operator, PROMOTERS, "promote a version", visit.reference)
    names.check("channel", channel)
    async with office.ledger.begin() as tx:
        row = await _version(tx, model, version)
    if operator.role == PUBLISHER and row.publisher != operator.id:
        what = f"promote {model}@{version}"
        await forbid(office, operator, what, visit.reference, why="this version is another publisher's")
    async with office.ledger.begin() as tx:
        row = await _version(tx, model, version)
        before = await tx.channel_version(model, channel)
        _check_move(row, before, channel)
        _check_epoch(row, office.trust.epoch_of(model))
        if before is None or before.id != row.id:
            await tx.set_channel(model, channel, row.id)
            await tx.add_audit(
                event(
                    Event.CHANNEL_MOVED,
                    at=visit.now,
                    actor=operator.id,
                    subject=f"{model}@{channel}",
                    version=row.id,
                    before=before.version if before else "",
                    reference=visit.reference,
                )
            )
    return Moved(row, channel, before.version if before and before.id != row.id else None)


async def revoke(office: Office, operator: Operator, model: str, version: str, visit: Visit) -> Revoked:
    """Let nobody have a version any more: the next release and the next renewal of it are refused.

    What devices hold opens until their leases end, unless they are ordered to wipe it. A channel that stands for the
    version keeps its place in the order and gives out nothing until a later one is promoted. Saying it again is
    harmless.

    Raises:
        DeniedError: FORBIDDEN or NOT_FOUND.
        InputError: NAME; CONFLICT if the version was never ready.
    """
    await allow(office, operator, KEEPERS, "revoke a version", visit.reference)
    async with office.ledger.begin() as tx:
        row = await _version(tx, model, version)
        if row.state not in (READY, REVOKED):
            what = f"this version is {row.state}: no device can have it"
            raise InputError(Code.CONFLICT, what, where=f"{model}@{version}")
        if row.state == READY:
            await tx.set_version_state(row.id, REVOKED)
            await tx.add_audit(
                event(
                    Event.VERSION_REVOKED,
                    at=visit.now,
                    actor=operator.id,
                    subject=f"{model}@{version}",
                    version=row.id,
                    reference=visit.reference,
                )
            )
        row = await _version(tx, model, version)
        standing = await tx.channels(model)
    return Revoked(row, tuple(name for name, stands_for in sorted(standing.items()) if stands_for == version))


async def _version(tx: Transaction, model: str, version: str) -> Version:
    names.check("model", model)
    names.check("version", version)
    row = await tx.version(model, version)
    if row is None:
        raise DeniedError(Code.NOT_FOUND, "there is no such version", where=f"{model}@{version}")
    return row


def _check_move(row: Version, before: Version | None, channel: str) -> None:
    where = f"{row.model}@{row.version}"
    if row.state != READY:
        raise InputError(Code.CONFLICT, f"this version is {row.state}, not ready", where=where)
    if before is not None and (row.epoch, row.counter) < (before.epoch, before.counter):
        what = f"{channel} stands for {before.version}, which is later: devices that had it refuse what is older"
        step = "publish the old model again under a new version; `strongroom model revoke` stops the later one"
        raise InputError(Code.CONFLICT, what, where=where, next_step=step)


def _check_epoch(row: Version, wanted: int) -> None:
    if row.epoch != wanted:
        what = f"this version is of epoch {row.epoch}, but trust.json says {wanted}: no device would take it"
        step = "publish the model again under a new version, in the epoch of trust.json"
        raise InputError(Code.CONFLICT, what, where=f"{row.model}@{row.version}", next_step=step)
