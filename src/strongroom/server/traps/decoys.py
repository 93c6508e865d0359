"""Decoys as operators handle them: add, list, remove. What a decoy shows is made from its row and kept nowhere."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field

from strongroom.canonical import to_base64url
from strongroom.errors import Code, DeniedError, InputError
from strongroom.server import accounts, tokens
from strongroom.server.audit import Event, event
from strongroom.server.bait.board import (
    CANARY,
    KEY,
    LIVE,
    MODEL,
    OPERATOR_TOKEN,
    TOKEN,
    USER_TOKEN,
    canary_path,
    operator_secret,
    things_of,
)
from strongroom.server.bait.marks import mark_of
from strongroom.server.bait.shipped import ENDPOINT
from strongroom.server.identify import ACTIVE, Visit
from strongroom.server.office import Office
from strongroom.server.policy import MAX_USER_TOKEN_SECONDS
from strongroom.server.ports import Operator, ServedObjects, Transaction
from strongroom.server.traps.loading import load
from strongroom.server.traps.wanted import Wanted, checked
from strongroom.server.watch_ports import DecoyRow

TRAPPERS = ("admin", "security")
REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Shown:
    """A decoy and what it shows: what is planted.

    Attributes:
        row: as it is kept.
        shows: words that say what to plant.
    """

    row: DecoyRow
    shows: dict[str, str] = field(repr=False)


async def add(office: Office, operator: Operator, wanted: Wanted, visit: Visit) -> Shown:
    """Add a decoy; it is in force at once here, and within seconds in every other process.

    Raises:
        DeniedError: FORBIDDEN.
        InputError: ARGUMENT or NAME for what cannot be a decoy; CONFLICT for one that is there, and for a model that
            devices hold.
    """
    await accounts.allow(office, operator, TRAPPERS, "add a decoy", visit.reference)
    name = checked(wanted)
    async with office.ledger.begin() as tx:
        if wanted.kind == MODEL:
            await _refuse_held(tx, name, visit.now)
        row = await tx.decoy_named(wanted.kind, name)
        if row is not None and row.state != LIVE:
            await tx.set_decoy_state(row.id, LIVE)
            row = dataclasses.replace(row, state=LIVE)
        else:
            row = _row(office, operator, wanted, name, visit)
            await tx.add_decoy(row)
        await tx.add_audit(
            event(Event.DECOY_ADDED, at=visit.now, actor=operator.id, subject=row.id, kind=row.kind, name=row.name)
        )
    await load(office)
    return Shown(row, shows(office, row, visit.now))


async def _refuse_held(tx: Transaction, model: str, now: int) -> None:
    """See that nobody in good standing holds a model: the next request of each of them would be a stop.

    Who was stopped does not count: a decoy that caught somebody may be taken out of force and put into it again.
    """
    for version in await tx.versions(model):
        after = ""
        while held := await tx.holders(version.id, now=now, after=after):
            after = held[-1].device
            for one in held:
                device = await tx.device(one.device) if now < one.expires else None
                if device is not None and device.state == ACTIVE:
                    what = "devices use this model: as a decoy it would stop every one of them"
                    step = f"use another model, or first: strongroom device wipe {one.device} --model {model}"
                    raise InputError(Code.CONFLICT, what, where=model, next_step=step)


async def list_decoys(office: Office, operator: Operator) -> Sequence[DecoyRow]:
    """Return every decoy that was not removed. Raises DeniedError(FORBIDDEN)."""
    await accounts.allow(office, operator, accounts.READERS, "list decoys")
    await load(office)
    async with office.ledger.begin() as tx:
        return [row for row in await tx.decoys() if row.state == LIVE]


async def show(office: Office, operator: Operator, id_: str, visit: Visit) -> Shown:
    """Return a decoy with what it shows, to be planted again.

    Raises:
        DeniedError: FORBIDDEN or NOT_FOUND.
    """
    await accounts.allow(office, operator, TRAPPERS, "show a decoy", visit.reference)
    async with office.ledger.begin() as tx:
        row = await tx.decoy(id_) if id_.isprintable() else None
    if row is None or row.state != LIVE:
        raise _no_decoy(id_)
    return Shown(row, shows(office, row, visit.now))


async def remove(office: Office, operator: Operator, id_: str, visit: Visit) -> DecoyRow:
    """Take a decoy out of force; what was planted of it is then refused without a word to anybody.

    Raises:
        DeniedError: FORBIDDEN or NOT_FOUND.
    """
    await accounts.allow(office, operator, TRAPPERS, "remove a decoy", visit.reference)
    async with office.ledger.begin() as tx:
        row = await tx.decoy(id_) if id_.isprintable() else None
        if row is None or row.state != LIVE:
            raise _no_decoy(id_)
        await tx.set_decoy_state(row.id, REMOVED)
        await tx.add_audit(
            event(Event.DECOY_REMOVED, at=visit.now, actor=operator.id, subject=row.id, kind=row.kind, name=row.name)
        )
    await load(office)
    return dataclasses.replace(row, state=REMOVED)


def shows(office: Office, row: DecoyRow, now: int) -> dict[str, str]:
    """Return what a decoy shows, from the generators of the real things."""
    marks = office.traps.marks
    if row.kind == ENDPOINT:
        method, _, path = row.name.partition(" ")
        return {"method": method, "path": path, "url": office.public_url + path}
    if row.kind == TOKEN:
        return {"token": _token(office, row, now)}
    if row.kind == KEY:
        lease, release = things_of(row, marks)
        return {"lease_id": lease, "release_id": release, "key": marks.random_of("mek", row.id, 32).hex()}
    if row.kind == CANARY:
        path = canary_path(row, marks)
        if not isinstance(office.store, ServedObjects):  # its links lead elsewhere
            return {"url": office.public_url + path}
        expires = now + office.policy.url_seconds
        return {"url": office.store.signed_url("GET", path.removeprefix("/o/"), expires=expires)}
    return {row.kind: row.name}


def _token(office: Office, row: DecoyRow, now: int) -> str:
    marks, sort = office.traps.marks, row.name.partition(" ")[0]
    if sort == OPERATOR_TOKEN:
        return tokens.operator_token(lambda _: operator_secret(row, marks))
    if sort == USER_TOKEN:
        user = marks.identifier("usr", row.id)
        return office.tokens.user_token(user, now=now, seconds=MAX_USER_TOKEN_SECONDS, random=office.random)[0]
    device, jkt = marks.identifier("dev", row.id), to_base64url(marks.random_of("jkt", row.id, 32))
    seconds = office.policy.device_token_seconds
    return office.tokens.device_token(device, jkt, now=now, seconds=seconds, random=office.random)[0]


def _row(office: Office, operator: Operator, wanted: Wanted, name: str, visit: Visit) -> DecoyRow:
    id_ = office.new_id("dcy")
    blank = DecoyRow(id_, wanted.kind, name, wanted.note, b"", visit.now, operator.id, LIVE)
    return dataclasses.replace(blank, mark=mark_of(f"{wanted.kind} {things_of(blank, office.traps.marks)[0]}"))


def _no_decoy(id_: str) -> DeniedError:
    return DeniedError(Code.NOT_FOUND, "there is no such decoy", where=id_)
