"""Decoy twins: a second set of files of a version, for whom the risk engine deceives (docs/decisions/0027).

A twin is deposited like a version: signed by the owners for the same model, version, epoch and counter, its keys sealed
to a deposit key. Whatever a device or somebody on the line could measure is the same as of the real files, or the
deposit is refused with the difference.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from strongroom import names, sealed
from strongroom.errors import Code, DeniedError, InputError, StrongroomError
from strongroom.server import accounts
from strongroom.server.audit import Event, event
from strongroom.server.identify import Visit
from strongroom.server.office import Office
from strongroom.server.ports import Operator, StoredFile, Transaction, Version
from strongroom.server.publish import (
    ADMIN,
    CHECKING,
    FAILED,
    PUBLISHERS,
    READY,
    REPLACEABLE,
    UPLOADING,
    Accepted,
    Deposit,
    DepositedFile,
    Upload,
    accept,
    delete_objects,
)
from strongroom.server.twin_ports import TwinRow
from strongroom.wire.trust import check_fresh


@dataclass(frozen=True, slots=True)
class TwinView:
    """A twin, and the version it stands beside."""

    twin: TwinRow
    version: Version


async def begin(office: Office, operator: Operator, deposit: Deposit, visit: Visit) -> Accepted:
    """Check the deposit of a twin, wrap its keys, and say where its files go.

    A twin that is unfinished or failed is replaced.

    Raises:
        DeniedError: FORBIDDEN, for a role that does not publish or another's version; NOT_FOUND.
        InputError: NAME; DEPOSIT if anything in it does not fit; CONFLICT if the version is not ready, or has a twin.
        RefusedError: TRUST_EXPIRED, if trust.json is over.
    """
    await accounts.allow(office, operator, PUBLISHERS, "deposit a decoy twin", visit.reference)
    try:
        check_fresh(office.trust, visit.now)
        twin, files = await _begin(office, operator, deposit, visit)
    except StrongroomError as error:
        async with office.ledger.begin() as tx:
            subject, code = f"{deposit.model}@{deposit.version}", str(error.code)
            refused = event(
                Event.TWIN_REFUSED,
                at=visit.now,
                actor=operator.id,
                subject=subject,
                code=code,
                reference=visit.reference,
            )
            await tx.add_audit(refused)
        raise
    expires = visit.now + office.policy.upload_seconds
    uploads = [
        Upload(file.file_id, office.store.signed_url("PUT", file.object_name, expires=expires, size=file.size))
        for file in files
    ]
    return Accepted(twin.id, tuple(uploads))


async def complete(office: Office, operator: Operator, model: str, version: str, visit: Visit) -> TwinView:
    """Note that the files of a twin are uploaded; the check itself is `checking.check_twin`. Harmless to say again.

    Raises:
        DeniedError: FORBIDDEN for another role or another's version; NOT_FOUND.
        InputError: NAME; CONFLICT if an object is not there yet, or the twin has failed.
    """
    async with office.ledger.begin() as tx:
        row = await _version(tx, model, version)
        twin = await tx.twin_of(row.id)
        files = await tx.deposited_twin_files(twin.id) if twin else ()
    await _check_publisher(office, operator, row, visit)
    if twin is None:
        raise DeniedError(Code.NOT_FOUND, "this version has no decoy twin", where=f"{model}@{version}")
    if twin.state == FAILED:
        step = "seal and deposit it again"
        raise InputError(Code.CONFLICT, "this decoy twin has failed", where=twin.reason, next_step=step)
    for file in files:
        if twin.state == UPLOADING and await office.store.size(file.object_name) is None:
            raise InputError(Code.CONFLICT, "a file is not uploaded yet", where=f"file {file.position}")
    async with office.ledger.begin() as tx:
        current = await tx.twin(twin.id)
        if current is None:
            raise InputError(Code.CONFLICT, "another deposit took this one's place", where=f"{model}@{version}")
        if current.state == UPLOADING:
            await tx.set_twin_state(twin.id, CHECKING)
            subject = f"{model}@{version}"
            await tx.add_audit(
                event(Event.TWIN_CHECKING, at=visit.now, actor=operator.id, subject=subject, twin=twin.id)
            )
            current = replace(current, state=CHECKING)
    return TwinView(current, row)


async def show(office: Office, operator: Operator, model: str, version: str, visit: Visit) -> TwinView:
    """Return a version's twin.

    Raises:
        DeniedError: FORBIDDEN for another role or another's version; NOT_FOUND.
        InputError: NAME.
    """
    async with office.ledger.begin() as tx:
        row = await _version(tx, model, version)
        twin = await tx.twin_of(row.id)
    await _check_publisher(office, operator, row, visit)
    if twin is None:
        raise DeniedError(Code.NOT_FOUND, "this version has no decoy twin", where=f"{model}@{version}")
    return TwinView(twin, row)


async def _begin(
    office: Office, operator: Operator, deposit: Deposit, visit: Visit
) -> tuple[TwinRow, tuple[StoredFile, ...]]:
    async with office.ledger.begin() as tx:
        version = await _version(tx, deposit.model, deposit.version)
    await _check_publisher(office, operator, version, visit)
    async with office.ledger.begin() as tx:
        await _check_place(tx, version, deposit)
        _check_same(await tx.files(version.id), deposit.files)
    twin = TwinRow(
        id=office.new_id("twn"),
        version_id=version.id,
        state=UPLOADING,
        reason="",
        publisher=operator.id,
        created=visit.now,
    )
    asked = replace(version, publisher=operator.id)
    files = tuple(accept(office, asked, index, file, visit, twin=twin.id) for index, file in enumerate(deposit.files))
    left: Sequence[StoredFile] = ()
    async with office.ledger.begin() as tx:
        old = await _check_place(tx, version, deposit)  # again, with nothing in between
        if old is not None:
            left = await tx.deposited_twin_files(old.id)
            await tx.remove_twin(old.id)
        await tx.add_twin(twin, files)
        await tx.add_audit(
            event(
                Event.TWIN_ACCEPTED,
                at=visit.now,
                actor=operator.id,
                subject=f"{version.model}@{version.version}",
                twin=twin.id,
                replaced=old.id if old else "",
            )
        )
    await delete_objects(office, left)
    return twin, files


async def _check_place(tx: Transaction, version: Version, deposit: Deposit) -> TwinRow | None:
    """See that this twin may come now; return the one whose place it takes, if there is one."""
    where = f"{version.model}@{version.version}"
    current = await tx.version_by_id(version.id)
    if current is None or current.state != READY:
        state = "gone" if current is None else current.state
        raise InputError(Code.CONFLICT, f"this version is {state}, not ready: nothing to stand beside", where=where)
    if deposit.channel is not None:
        raise InputError(Code.DEPOSIT, "a decoy twin stands for no channel: it has its version's", where="channel")
    if (deposit.epoch, deposit.counter) != (version.epoch, version.counter):
        what = (
            f"epoch {deposit.epoch}, counter {deposit.counter}, but the version's are "
            f"{version.epoch}, {version.counter}"
        )
        raise InputError(Code.DEPOSIT, what, where="counter", next_step="seal the decoy for the version's own place")
    old = await tx.twin_of(version.id)
    if old is not None and old.state not in REPLACEABLE:
        step = "devices may have it; publish a new version with a new twin"
        raise InputError(Code.CONFLICT, "this version has a decoy twin already", where=where, next_step=step)
    return old


def _check_same(real: Sequence[StoredFile], decoys: Sequence[DepositedFile]) -> None:
    """Compare what is measurable before and after a download. What is left out is random in both."""
    if len(real) != len(decoys):
        what = f"{len(decoys)} files, but the version has {len(real)}"
        raise InputError(Code.DEPOSIT, what, where="files", next_step="make the decoy from the version itself")
    for index, (one, decoy) in enumerate(zip(real, decoys, strict=True)):
        try:
            heads = [sealed.parse_head(file.head_part, file_size=file.size) for file in (one, decoy)]
        except StrongroomError as error:
            what = f"the deposit does not fit: {error.what}, {error.code}"
            raise InputError(Code.DEPOSIT, what, where=f"files[{index}]", next_step="seal again") from None
        different = [
            f"{other} {name}, but {mine} in the real file"
            for (name, mine), (_, other) in zip(*map(_measures, heads), strict=True)
            if mine != other
        ]
        if different:
            step = "make the decoy from the version itself (strongroom decoy model), signed by the same owners"
            raise InputError(Code.DEPOSIT, "; ".join(different), where=f"files[{index}]", next_step=step)


def _measures(head: sealed.Head) -> Iterator[tuple[str, int | str]]:
    core = head.core
    yield "bytes", head.file_size
    yield "kind", core.kind
    yield "suite", head.suite
    yield "segment size", core.segment_size
    yield "bytes of payload", core.payload_length
    yield "bytes of table of contents", core.toc_length
    yield "bytes of head part", len(head.head_part)


async def _version(tx: Transaction, model: str, version: str) -> Version:
    names.check("model", model)
    names.check("version", version)
    row = await tx.version(model, version)
    if row is None:
        raise DeniedError(Code.NOT_FOUND, "there is no such version", where=f"{model}@{version}")
    return row


async def _check_publisher(office: Office, operator: Operator, version: Version, visit: Visit) -> None:
    what = f"see the decoy twin of {version.model}@{version.version}"
    await accounts.allow(office, operator, PUBLISHERS, what, visit.reference)
    if operator.role != ADMIN and version.publisher != operator.id:
        await accounts.forbid(office, operator, what, visit.reference, why="this version is another publisher's")
