"""Publish: deposit a key, upload the file it seals, say it is done (docs/spec/protocol.md section 10).

Account and publisher come from the authentication, never from the body. A deposit is believed only when the key in it
opens the head beside it: commitment, MAC, subject and the owners' signatures. Nothing here gives a key back (R13).
"""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

import structlog

from strongroom import names, sealed
from strongroom.canonical import MAX_INTEGER
from strongroom.errors import Code, DeniedError, InputError, IntegrityError, StoreError, StrongroomError
from strongroom.names import CHANNEL, MODEL, VERSION
from strongroom.sealed.wiping import wipe
from strongroom.server import accounts
from strongroom.server.audit import Event, event
from strongroom.server.identify import Visit
from strongroom.server.office import Office
from strongroom.server.ports import Operator, StoredFile, Transaction, Version
from strongroom.server.release import wrap_context
from strongroom.shapes import Array, Binary, Integer, Nullable, Object, Text
from strongroom.wire import hpke
from strongroom.wire.trust import check_fresh

ADMIN, PUBLISHER = PUBLISHERS = ("admin", "publisher")
UPLOADING, CHECKING, READY, FAILED = "uploading", "checking", "ready", "failed"
KIND = "model"  # overlays and deltas have other owners and other rules
MAX_FILES = 16  # what one grant can name
MAX_HEAD_PART = 32 + 32 + 65_536 + 1_048_576 + 65_536  # bytes, docs/spec/sealed-file.md section 2
MAX_SEALED = 4096  # bytes of a MEK sealed to a deposit key; the largest KEM needs 1,200
MAX_STEP = 1_000_000  # how far a counter may go beyond the newest one: no single deposit uses up the order
REPLACEABLE = (UPLOADING, FAILED)  # states in which no device ever saw a version

_log = structlog.get_logger(__name__)

_FILE = Object(
    {
        "head_part": Binary(MAX_HEAD_PART, 64),
        "size": Integer(1),
        "sealed": Binary(MAX_SEALED, 32),
        "kem": Integer(1, 65_535),
    }
)


@dataclass(frozen=True, slots=True)
class DepositedFile:
    """One file of a deposit: its head part, its whole size in bytes, and its MEK sealed to a deposit key."""

    head_part: bytes
    size: int
    sealed: bytes
    kem: int


@dataclass(frozen=True, slots=True)
class Deposit:
    """`POST /v1/deposits`."""

    model: str
    version: str
    epoch: int
    counter: int
    files: tuple[DepositedFile, ...]
    channel: str | None

    SHAPE = Object(
        {
            "model": Text(64, MODEL),
            "version": Text(64, VERSION),
            "epoch": Integer(1),
            "counter": Integer(1),
            "channel": Nullable(Text(31, CHANNEL)),
            "files": Array(_FILE, most=MAX_FILES, least=1),
        },
        frozenset({"channel"}),
    )
    # bytes of the body: base64url of head part and sealed MEK takes 4/3, names, numbers and line ends the rest
    LIMIT = MAX_FILES * (4 * (MAX_HEAD_PART + MAX_SEALED) // 3 + 512) + 1024


@dataclass(frozen=True, slots=True)
class Upload:
    """Where one file of a deposit goes."""

    file_id: bytes
    url: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """A deposit that was accepted: nothing is visible before the files are there and checked."""

    version_id: str
    uploads: tuple[Upload, ...]


async def begin_deposit(office: Office, operator: Operator, deposit: Deposit, visit: Visit) -> Accepted:
    """Check a deposit, wrap its keys, and say where the files go.

    The same deposit sent again by its publisher before anything is uploaded gets fresh links: a lost answer loses
    nothing.
    Another deposit of a version that is unfinished or failed, by its publisher or an admin, takes its place.

    Raises:
        DeniedError: FORBIDDEN, for a role that does not publish.
        InputError: DEPOSIT if anything in it does not fit; CONFLICT if the version, a file or a key is there already.
        RefusedError: TRUST_EXPIRED, if trust.json is over.
    """
    await accounts.allow(office, operator, PUBLISHERS, "deposit", visit.reference)
    try:
        check_fresh(office.trust, visit.now)
        begun = await _begun_before(office, operator, deposit)
        if begun is None:
            begun = await _begin(office, operator, deposit, visit)
    except StrongroomError as error:
        async with office.ledger.begin() as tx:
            subject = f"{deposit.model}@{deposit.version}"
            code, reference = str(error.code), visit.reference
            await tx.add_audit(
                event(
                    Event.DEPOSIT_REFUSED,
                    at=visit.now,
                    actor=operator.id,
                    subject=subject,
                    code=code,
                    reference=reference,
                )
            )
        raise
    version_id, files = begun
    expires = visit.now + office.policy.upload_seconds
    uploads = [
        Upload(file.file_id, office.store.signed_url("PUT", file.object_name, expires=expires, size=file.size))
        for file in files
    ]
    return Accepted(version_id, tuple(uploads))


async def complete(office: Office, operator: Operator, model: str, version: str, visit: Visit) -> Version:
    """Note that the publisher has uploaded everything; the check itself is `checking.check_version`.

    Saying it again is harmless.

    Raises:
        DeniedError: FORBIDDEN for another role or another's deposit; NOT_FOUND.
        InputError: NAME; CONFLICT if an object is not there yet, or the version has failed.
    """
    await accounts.allow(office, operator, PUBLISHERS, "complete a deposit", visit.reference)
    names.check("model", model)
    names.check("version", version)
    async with office.ledger.begin() as tx:
        row = await tx.version(model, version)
        files = await tx.files(row.id) if row else ()
    if row is None:
        raise DeniedError(Code.NOT_FOUND, "there is no such version", where=f"{model}@{version}")
    if operator.role != ADMIN and row.publisher != operator.id:
        what = f"complete {model}@{version}"
        await accounts.forbid(office, operator, what, visit.reference, why="this deposit is another publisher's")
    if row.state in (CHECKING, READY):
        return row
    if row.state != UPLOADING:
        step = "seal and deposit it again"
        what = "this version has failed" if row.state == FAILED else f"this version is {row.state}"
        raise InputError(Code.CONFLICT, what, where=row.reason or row.state, next_step=step)
    for file in files:
        if await office.store.size(file.object_name) is None:
            raise InputError(Code.CONFLICT, "a file is not uploaded yet", where=f"file {file.position}")
    async with office.ledger.begin() as tx:
        current = await tx.version_by_id(row.id)
        if current is None:
            raise InputError(Code.CONFLICT, "another deposit took this one's place", where=f"{model}@{version}")
        if current.state != UPLOADING:  # another `complete` was faster: leave its check alone
            return current
        await tx.set_version_state(row.id, CHECKING)
        await tx.add_audit(
            event(Event.VERSION_CHECKING, at=visit.now, actor=operator.id, subject=f"{model}@{version}", version=row.id)
        )
    return dataclasses.replace(row, state=CHECKING)


async def _begun_before(
    office: Office, operator: Operator, deposit: Deposit
) -> tuple[str, tuple[StoredFile, ...]] | None:
    async with office.ledger.begin() as tx:
        row = await tx.version(deposit.model, deposit.version)
        files = tuple(await tx.files(row.id)) if row else ()
    if row is None or row.state != UPLOADING or row.publisher != operator.id or row.channel != deposit.channel:
        return None
    # The key was checked against this very head when the rows were made; a key sent along now is not looked at.
    if [file.head_part for file in files] != [file.head_part for file in deposit.files]:
        return None
    for file in files:
        if await office.store.size(file.object_name) is not None:  # a link to it would be refused: it begins anew
            return None
    return row.id, files


async def _begin(
    office: Office, operator: Operator, deposit: Deposit, visit: Visit
) -> tuple[str, tuple[StoredFile, ...]]:
    version = Version(
        id=office.new_id("ver"),
        model=deposit.model,
        version=deposit.version,
        epoch=deposit.epoch,
        counter=deposit.counter,
        channel=deposit.channel,
        state=UPLOADING,
        reason="",
        publisher=operator.id,
        created=visit.now,
    )
    async with office.ledger.begin() as tx:
        await _check_order(office, tx, operator, deposit)  # cheap, before any key is opened
    files = tuple(accept(office, version, index, file, visit) for index, file in enumerate(deposit.files))
    left: tuple[StoredFile, ...] = ()
    async with office.ledger.begin() as tx:
        old = await _check_order(office, tx, operator, deposit)  # again, with nothing in between
        if old is not None:
            left = tuple(await tx.files(old.id))
            await _remove(tx, operator, old, visit)
        await tx.add_version(version, files)
        await tx.add_audit(
            event(
                Event.DEPOSIT_ACCEPTED,
                at=visit.now,
                actor=operator.id,
                subject=f"{version.model}@{version.version}",
                version=version.id,
                files=len(files),
                bytes=sum(file.size for file in files),
            )
        )
    await delete_objects(office, left)
    return version.id, files


async def _remove(tx: Transaction, operator: Operator, old: Version, visit: Visit) -> None:
    await tx.remove_version(old.id)
    await tx.add_audit(
        event(
            Event.DEPOSIT_REPLACED,
            at=visit.now,
            actor=operator.id,
            subject=f"{old.model}@{old.version}",
            version=old.id,
            state=old.state,
            publisher=old.publisher,
        )
    )


async def delete_objects(office: Office, files: Iterable[StoredFile]) -> None:
    """Remove the objects of rows that are gone; one that stays behind takes room and nothing else."""
    for file in files:
        try:
            await office.store.delete(file.object_name)
        except StoreError as error:
            _log.warning("an object nobody needs was left behind", object=file.object_name, code=str(error.code))


async def _check_order(office: Office, tx: Transaction, operator: Operator, deposit: Deposit) -> Version | None:
    """See that the deposit may come next; return the version whose place it takes, if there is one."""
    old = await tx.version(deposit.model, deposit.version)
    if old is not None and (old.state not in REPLACEABLE or (operator.id != old.publisher and operator.role != ADMIN)):
        raise InputError(
            Code.CONFLICT,
            "this version is there already",
            where=deposit.version,
            next_step="publish under a new version",
        )
    wanted = office.trust.epoch_of(deposit.model)
    if deposit.epoch != wanted:
        raise InputError(
            Code.DEPOSIT,
            f"epoch {deposit.epoch}, but trust.json says {wanted} for this model",
            where="epoch",
            next_step="seal again, for the epoch of trust.json",
        )
    others = [row for row in await tx.versions(deposit.model) if old is None or row.id != old.id]
    newest = (others[0].epoch, others[0].counter) if others else (deposit.epoch, 0)
    if (deposit.epoch, deposit.counter) <= newest:
        raise InputError(
            Code.DEPOSIT,
            f"epoch {deposit.epoch}, counter {deposit.counter} do not come after {newest[0]}, {newest[1]}",
            where="counter",
            next_step="seal again with the next counter",
        )
    # the very last integer stays free, so that whatever is there has a next one
    last = min((newest[1] if newest[0] == deposit.epoch else 0) + MAX_STEP, MAX_INTEGER - 1)
    if deposit.counter > last:
        raise InputError(
            Code.DEPOSIT,
            f"counter {deposit.counter} is too far ahead: at most {last} may come now",
            where="counter",
            next_step="seal again with the next counter",
        )
    return old


def accept(
    office: Office, version: Version, index: int, file: DepositedFile, visit: Visit, *, twin: str | None = None
) -> StoredFile:
    """Check one file of a deposit and wrap its key; whatever does not fit is the depositor's to mend.

    Args:
        office: its owners and vault.
        version: what the file must be of; its publisher is who deposits.
        index: the file's place.
        file: what was deposited.
        visit: time.
        twin: the decoy twin it is a file of, if it is.

    Raises:
        InputError: DEPOSIT.
    """
    where = f"files[{index}]"
    try:
        head = sealed.parse_head(file.head_part, file_size=file.size)
        if head.suite not in office.policy.suites:
            raise InputError(Code.DEPOSIT, f"suite {head.suite} is not accepted here", where=where)
        key = _opened(office, version, head, file, visit, where)
        try:
            _check_key(office, version, head, key)
            context = wrap_context(None, version.model, version.version, head.core.file_id, twin=twin)
            wrapped = office.vault.wrap(key.reveal(), context)
        finally:
            key.wipe()
    except IntegrityError as error:
        raise InputError(
            Code.DEPOSIT, f"the deposit does not fit: {error.what}, {error.code}", where=where, next_step="seal again"
        ) from None
    return StoredFile(
        file_id=head.core.file_id,
        version_id=version.id,
        account=None,
        position=index,
        key_id=head.core.key_id,
        kind=head.core.kind,
        suite=head.suite,
        head=head.digest,
        commitment=head.core.commitment,
        head_part=file.head_part,
        size=file.size,
        object_name=office.random(16).hex(),
        wrapped=wrapped,
        created=visit.now,
        twin=twin,
    )


def _opened(
    office: Office, version: Version, head: sealed.Head, file: DepositedFile, visit: Visit, where: str
) -> sealed.ModelKey:
    """Open the MEK with a deposit key that the owners named and that has not expired."""
    info = hpke.deposit_info(None, version.publisher, version.model, version.version, head.core.file_id, head.digest)
    alive = {(one.kem, one.key) for one in office.trust.deposit if visit.now < one.expires}
    for key in _of_kem(office.deposit_keys, file.kem):
        if (key.kem, key.public) not in alive:
            continue
        try:
            secret = key.open(file.sealed, info)
        except IntegrityError:
            continue
        try:
            return sealed.ModelKey(secret)
        finally:
            wipe(secret)
    raise InputError(
        Code.DEPOSIT,
        "the key does not open: altered, or sealed to another office",
        where=where,
        next_step="check trust.json",
    )


def _of_kem(keys: Iterable[hpke.DepositKey], kem: int) -> list[hpke.DepositKey]:
    return [key for key in keys if key.kem == kem]


def expected(office: Office, version: Version) -> sealed.Expected:
    """What every file of a version must be: signed by the owners, for this model, version, epoch and counter."""
    return sealed.Expected(
        kind=KIND,
        subject=sealed.Subject(None, version.model, version.version, None),
        owners=office.trust.owner,
        epoch=version.epoch,
        counter=version.counter,
    )


def _check_key(office: Office, version: Version, head: sealed.Head, key: sealed.ModelKey) -> None:
    sealed.unlock(head, key, expected(office, version)).close()
