"""May this account have this model, now? One look-up whose work does not depend on the answer (attacks B10, B11)."""

import dataclasses
import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from strongroom import sealed
from strongroom.canonical import JsonValue, encode
from strongroom.errors import Code, DeniedError, IntegrityError
from strongroom.sealed.reader import check_signatures
from strongroom.server.audit import Event, event
from strongroom.server.identify import ACTIVE, DeviceCaller, stopped, stops, token_refused
from strongroom.server.office import Office
from strongroom.server.ports import Entitlement, KeyVault, StoredFile, Transaction, Version
from strongroom.server.twin_ports import Given
from strongroom.signing import Role

READY = "ready"

_NOWHERE = "ver_AAAAAAAAAAAAAAAAAAAAAA"  # no version has this id: asked for when there is none, to do the same work


@dataclass(frozen=True, slots=True)
class Entitled:
    """A version this caller may have, and its files for this account, in order.

    Attributes:
        version: what it may have.
        files: what it is given of it; of `judge` always the real ones.
        twin: whose files they are, if they are a decoy twin's (docs/decisions/0027).
        twins: the files of its decoy twin, if there is one that devices would take. `twin` gives them out, if anybody.
        given: which set this device was given before.
    """

    version: Version
    files: tuple[StoredFile, ...]
    twin: str | None = None
    twins: tuple[StoredFile, ...] = ()
    given: Given | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What the ledger holds that bears on one version; nothing of it is judged yet."""

    rights: Sequence[Entitlement]
    channels: Mapping[str, str]
    version: Version | None
    files: Sequence[StoredFile]
    twins: Sequence[StoredFile]
    given: Given | None


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
    id_ = version.id if version else _NOWHERE
    files, twins = await tx.files(id_), await tx.twin_files(id_)
    return Seen(rights, channels, version, files, twins, await tx.given(caller.device.id, id_))


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
    # `Transaction.files` gives no twin's files; should it ever, they are not for who is not deceived
    mine = tuple(file for file in seen.files if file.account in (None, caller.account.id) and file.twin is None)
    if seen.version is None or seen.version.state != READY or not mine or not allowed:
        raise not_found(model)
    if not all(opens(file.head_part, file.size, office.trust.owner) for file in mine):
        # Only whoever is entitled gets this far. A device would refuse the files: their keys are not worth giving out.
        raise not_found(model, ": not signed by the owners in force")
    usable = all(opens(file.head_part, file.size, office.trust.owner) for file in seen.twins)
    return Entitled(seen.version, mine, twins=tuple(seen.twins) if usable else (), given=seen.given)


def twin(found: Entitled, *, deceived: bool) -> Entitled | None:
    """Say which of a version's two sets of files a device is given. Nothing is read for it, so both take as long.

    A device is deceived from its first release of a version or not at all: who holds the real files would see others,
    and lose nothing by them. Who was given a twin's gets those until its release is ended (`Transaction.end_twins`).

    Args:
        found: what `judge` said.
        deceived: whether policy wants this request answered with a decoy.

    Returns:
        What to give. None if it is to be a twin's and cannot be: refuse, as if there were no twins.
    """
    if found.given is None:
        wanted = deceived
    elif found.given.twin is None:
        return None if deceived else found
    else:
        wanted = True
    return _of_twin(found) if wanted else found


def released(found: Entitled, twin_id: str | None) -> Entitled:
    """Return what an earlier release gave of a version.

    Args:
        found: what `judge` said.
        twin_id: of the release's row.

    Raises:
        DeniedError: NOT_FOUND, if it gave a twin's files and those are there no more.
    """
    if twin_id is None:
        return found
    same = _of_twin(found)
    if same is None or same.twin != twin_id:
        raise not_found(found.version.model, ": its decoy twin is gone")
    return same


def _of_twin(found: Entitled) -> Entitled | None:
    files = found.twins
    return dataclasses.replace(found, files=files, twin=files[0].twin) if files else None


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
        RefusedError: RESTRICTED if device or user are stopped now.
    """
    model = found.version.model
    device, user = await tx.device(caller.device.id), await tx.user(caller.user.id)
    account = await tx.account(caller.account.id)
    if device is None or user is None or account is None:
        raise token_refused()
    if stops(device, user, account):
        raise stopped(device.id)
    if any(row.state != ACTIVE for row in (device, user, account)):
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
