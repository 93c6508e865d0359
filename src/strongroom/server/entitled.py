"""May this account have this model, now? One look-up whose work does not depend on the answer (attacks B10, B11)."""

import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from strongroom import sealed
from strongroom.canonical import JsonValue, encode
from strongroom.errors import Code, DeniedError, IntegrityError
from strongroom.sealed.reader import check_signatures
from strongroom.server.audit import Event, event
from strongroom.server.identify import ACTIVE, DeviceCaller, token_refused
from strongroom.server.office import Office
from strongroom.server.ports import Entitlement, KeyVault, StoredFile, Transaction, Version
from strongroom.signing import Role

READY = "ready"

_NOWHERE = "ver_AAAAAAAAAAAAAAAAAAAAAA"  # no version has this id: asked for when there is none, to do the same work


@dataclass(frozen=True, slots=True)
class Entitled:
    """A version this caller may have, and its files for this account, in order."""

    version: Version
    files: tuple[StoredFile, ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """What the ledger holds that bears on one version; nothing of it is judged yet."""

    rights: Sequence[Entitlement]
    channels: Mapping[str, str]
    version: Version | None
    files: Sequence[StoredFile]


def entitlement_mac(vault: KeyVault, row: Entitlement) -> bytes:
    """MAC every field of an entitlement with a vault key: writing to the database alone entitles nobody."""
    fields: list[JsonValue] = [row.id, row.account, row.user, row.model, row.channel, row.until, row.created]
    return vault.mac(b"strongroom/entitlement/v1\0" + encode(fields))


async def find(office: Office, caller: DeviceCaller, model: str, selector: str, now: int) -> Entitled:
    """Return what the selector ("@channel" or a version) stands for, if this caller may have it now.

    "Not yours" and "not there" are one answer after the same queries and at least one MAC.

    Raises:
        DeniedError: NOT_FOUND, whatever the reason.
    """
    async with office.ledger.begin() as tx:
        seen = await look_up(tx, caller, model, await selected(tx, model, selector))
    return await judge(office, caller, seen, model, now, selector=selector)


async def look_up(tx: Transaction, caller: DeviceCaller, model: str, version: Version | None) -> Seen:
    """Read what `judge` needs: the same queries whether the version is there or not."""
    rights = await tx.entitlements(caller.account.id, model)
    channels = await tx.channels(model)
    return Seen(rights, channels, version, await tx.files(version.id if version else _NOWHERE))


async def judge(
    office: Office, caller: DeviceCaller, seen: Seen, model: str, now: int, *, selector: str | None
) -> Entitled:
    """Say whether this caller may have a version now.

    Args:
        office: its vault, and its ledger for rows that somebody forged.
        caller: the device.
        seen: what `look_up` read.
        model: model name.
        now: Unix seconds.
        selector: how it was asked for; None for a version the device holds already, to which a right on any channel
            counts: a channel that moves on takes nothing away.

    Raises:
        DeniedError: NOT_FOUND, whatever the reason.
    """
    genuine = _genuine(office.vault, seen.rights)
    await _report(office, [row for row in seen.rights if row not in genuine], caller, now)
    allowed = _allowed(genuine, seen.channels, caller, now, selector)
    mine = tuple(file for file in seen.files if file.account in (None, caller.account.id))
    if seen.version is None or seen.version.state != READY or not mine or not allowed:
        raise not_found(model)
    if not all(opens(file.head_part, file.size, office.trust.owner) for file in mine):
        # Only whoever is entitled gets this far. A device would refuse the files: their keys are not worth giving out.
        raise not_found(model, ": not signed by the owners in force")
    return Entitled(seen.version, mine)


async def still(
    tx: Transaction, office: Office, caller: DeviceCaller, found: Entitled, now: int, *, selector: str | None
) -> None:
    """Look once more, in the transaction that gives a version out: what was taken back meanwhile is not given.

    The files of a version that was ready do not change, so they are not looked at again.

    Args:
        tx: the transaction that the grant or lease is written down in.
        office: its vault.
        caller: the device.
        found: what `judge` said.
        now: Unix seconds.
        selector: as for `judge`.

    Raises:
        DeniedError: TOKEN if device, user or account are barred now; NOT_FOUND if version or right are gone.
    """
    model = found.version.model
    rows = (await tx.device(caller.device.id), await tx.user(caller.user.id), await tx.account(caller.account.id))
    if any(row is None or row.state != ACTIVE for row in rows):
        raise token_refused()
    version = await tx.version_by_id(found.version.id)
    rights, channels = await tx.entitlements(caller.account.id, model), await tx.channels(model)
    allowed = _allowed(_genuine(office.vault, rights), channels, caller, now, selector)
    if version is None or version.state != READY or not allowed:
        raise not_found(model)


def not_found(model: str, why: str = "") -> DeniedError:
    """Return the one answer to who may not have a model; `why` is for the audit log."""
    return DeniedError(Code.NOT_FOUND, "there is no such model for this account", where=f"{model}{why}")


@lru_cache(maxsize=4096)
def opens(head_part: bytes, size: int, owners: Role) -> bool:
    """Tell whether enough of these owners signed a file's head; remembered, since the answer never changes."""
    try:
        check_signatures(sealed.parse_head(head_part, file_size=size), owners)
    except IntegrityError:
        return False
    return True


async def selected(tx: Transaction, model: str, selector: str) -> Version | None:
    """Return what "@channel" or a version stands for, whoever asks."""
    if selector.startswith("@"):
        return await tx.channel_version(model, selector[1:])
    return await tx.version(model, selector)


def _allowed(
    genuine: Iterable[Entitlement],
    channels: Mapping[str, str],
    caller: DeviceCaller,
    now: int,
    selector: str | None,
) -> bool:
    return any(_lives(row, caller, now) and _reaches(row, selector, channels) for row in genuine)


def _genuine(vault: KeyVault, rows: Iterable[Entitlement]) -> list[Entitlement]:
    rows = list(rows)
    if not rows:
        vault.mac(b"strongroom/entitlement/v1\0nothing")  # the same work where there is nothing to check
    return [row for row in rows if hmac.compare_digest(entitlement_mac(vault, row), row.mac)]


async def _report(office: Office, forged: list[Entitlement], caller: DeviceCaller, now: int) -> None:
    """Write down rows that somebody put into the database without the vault's key."""
    if forged:
        async with office.ledger.begin() as tx:
            for row in forged:
                await tx.add_audit(event(Event.ENTITLEMENT_FORGED, at=now, actor=caller.device.id, subject=row.id))


def _lives(row: Entitlement, caller: DeviceCaller, now: int) -> bool:
    if row.account != caller.account.id or row.user not in (None, caller.user.id):
        return False
    return row.until is None or now < row.until


def _reaches(row: Entitlement, selector: str | None, channels: Mapping[str, str]) -> bool:
    if selector is None or row.channel is None or selector == f"@{row.channel}":
        return True
    # A right to a channel is a right to the version it points to now, by whatever name it is asked for.
    return channels.get(row.channel) == selector
