"""The check between `complete` and `ready`: what lies in the store is what was deposited, byte for byte.

It needs no key. A version that is not ready is invisible to devices; a version that fails says why to its publisher.
"""

import asyncio
import hashlib
from collections.abc import Callable, Coroutine, Sequence

import structlog

from strongroom import sealed
from strongroom.errors import Code, IntegrityError, StoreError, StrongroomError
from strongroom.server.audit import Event, event
from strongroom.server.office import Office
from strongroom.server.ports import ObjectStore, StoredFile, Transaction, Version
from strongroom.server.publish import CHECKING, FAILED, READY, UPLOADING, expected

PIECE = 1_048_576  # bytes read at once, whatever the size of a segment

_log = structlog.get_logger(__name__)


async def check_version(office: Office, version_id: str) -> str:
    """Check the files of a version and make it ready, or failed; return the state it ends in.

    A store that does not answer is nobody's fault: the version goes back to `uploading`, so that `complete` may be
    sent again. Running it twice at once is harmless: only a version that is still `checking` changes.
    """
    async with office.ledger.begin() as tx:
        version = await tx.version_by_id(version_id)
        files = await tx.files(version_id)
    if version is None or version.state != CHECKING:
        return version.state if version else FAILED
    return await _end(office, version, *await _judged(office, version, files))


async def check_twin(office: Office, twin_id: str) -> str:
    """Check the files of a decoy twin, as `check_version` does those of a version."""
    async with office.ledger.begin() as tx:
        twin = await tx.twin(twin_id)
        version = await tx.version_by_id(twin.version_id) if twin else None
        files = await tx.deposited_twin_files(twin_id)
    if twin is None or version is None or twin.state != CHECKING:
        return twin.state if twin else FAILED
    state, reason = await _judged(office, version, files)
    async with office.ledger.begin() as tx:
        twin = await tx.twin(twin_id)
        if twin is None or twin.state != CHECKING:
            return twin.state if twin else FAILED
        await tx.set_twin_state(twin_id, state, reason=reason)
        name = Event.TWIN_READY if state == READY else Event.TWIN_FAILED
        subject = f"{version.model}@{version.version}"
        await tx.add_audit(event(name, at=office.now(), actor="", subject=subject, twin=twin_id, reason=reason))
    return state


async def _judged(office: Office, version: Version, files: Sequence[StoredFile]) -> tuple[str, str]:
    try:
        for file in files:
            await _check_file(office, version, file)
    except StoreError as error:
        return UPLOADING, str(error.code)
    except StrongroomError as error:
        return FAILED, str(error.code)
    return READY, ""


async def _check_file(office: Office, version: Version, file: StoredFile) -> None:
    size = await office.store.size(file.object_name)
    if size != file.size:
        raise IntegrityError(Code.FILE_TRUNCATED, "the stored object has another size than was deposited")
    if await office.store.read(file.object_name, 0, len(file.head_part)) != file.head_part:
        raise IntegrityError(Code.FILE_MISMATCH, "the stored object begins with another head than was deposited")
    head = sealed.parse_head(file.head_part, file_size=file.size)
    sealed.check_head(head, expected(office, version))
    for index, digest in enumerate(head.digests):
        found = await _digest(office.store, file.object_name, head.offset(index), head.stored_length(index))
        if found != digest:
            raise IntegrityError(Code.FILE_DIGEST, f"segment {index} is not the one that was signed")


async def _digest(store: ObjectStore, name: str, offset: int, length: int) -> bytes:
    hasher = hashlib.sha256()
    for start in range(offset, offset + length, PIECE):
        hasher.update(await store.read(name, start, min(PIECE, offset + length - start)))
    return hasher.digest()


async def _end(office: Office, version: Version, state: str, reason: str) -> str:
    async with office.ledger.begin() as tx:
        current = await tx.version_by_id(version.id)
        if current is None or current.state != CHECKING:
            return current.state if current else FAILED
        await tx.set_version_state(version.id, state, reason=reason)
        name = Event.VERSION_READY if state == READY else Event.VERSION_FAILED
        subject = f"{version.model}@{version.version}"
        await tx.add_audit(event(name, at=office.now(), actor="", subject=subject, version=version.id, reason=reason))
        if state == READY:
            await _promote(office, tx, version)
    return state


async def _promote(office: Office, tx: Transaction, version: Version) -> None:
    """Point the channel here, unless it already points to a later version: two checks may end in either order."""
    if version.channel is None:
        return
    current = await tx.channel_version(version.model, version.channel)
    if current is not None and (current.epoch, current.counter) > (version.epoch, version.counter):
        return
    await tx.set_channel(version.model, version.channel, version.id)
    await tx.add_audit(
        event(
            Event.CHANNEL_MOVED,
            at=office.now(),
            actor="",
            subject=f"{version.model}@{version.channel}",
            version=version.id,
            before=current.version if current else "",
        )
    )


class Background:
    """Checks that run beside the requests; at most `most` at once, and none is lost by a restart."""

    def __init__(self, office: Office, most: int = 2) -> None:
        self._office = office
        self._places = asyncio.Semaphore(most)
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def check(self, version_id: str) -> None:
        """Start checking a version, unless that is under way."""
        self._start(version_id, check_version)

    def check_twin(self, twin_id: str) -> None:
        """Start checking a decoy twin, unless that is under way."""
        self._start(twin_id, check_twin)

    def _start(self, id_: str, check: Callable[[Office, str], Coroutine[None, None, str]]) -> None:
        if id_ not in self._tasks:
            task = asyncio.get_running_loop().create_task(self._run(check, id_))
            self._tasks[id_] = task
            task.add_done_callback(lambda _: self._tasks.pop(id_, None))

    async def resume(self) -> int:
        """Start again what a stopped process left in `checking`; return how many."""
        async with self._office.ledger.begin() as tx:
            versions, twins = await tx.unfinished_versions(), await tx.unfinished_twins()
        for version in versions:
            self.check(version.id)
        for twin in twins:
            self.check_twin(twin.id)
        return len(versions) + len(twins)

    async def drain(self) -> None:
        """Wait until every check that is under way has ended."""
        while self._tasks:
            await asyncio.gather(*self._tasks.values())

    async def stop(self) -> None:
        """Cancel what is under way; `resume` finds it again."""
        for task in list(self._tasks.values()):
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _run(self, check: Callable[[Office, str], Coroutine[None, None, str]], version_id: str) -> None:
        async with self._places:
            try:
                state = await check(self._office, version_id)
                _log.info("version checked", version=version_id, state=state)
            except StrongroomError as error:  # the database is away: the version stays `checking` until `resume`
                _log.warning("a check did not end", version=version_id, code=str(error.code))
            except Exception:  # noqa: BLE001 - the rim of a task: nobody else would ever hear of it
                _log.exception("a check failed in a way that cannot happen", version=version_id)
