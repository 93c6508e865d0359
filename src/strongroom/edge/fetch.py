"""Fetching: ciphertext in, ciphertext out, plaintext of one segment in between (docs/spec/protocol.md section 8).

The head part of every file comes first and decides whether the rest is worth fetching. Then each stored segment is
read once into memory, matched to its signed digest, decrypted from those same bytes, sealed again under a fresh local
key and written. The model key never touches the disk. A download that broke off goes on where it was.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from strongroom import sealed
from strongroom.edge.arriving import AHEAD, Arriving, largest
from strongroom.edge.incoming import Staging, file_name, make_key
from strongroom.edge.keystore import Keystore
from strongroom.edge.links import Links
from strongroom.edge.memory import PrivateBuffer
from strongroom.edge.resealing import LocalCopy, Resealing
from strongroom.edge.state import LocalFile
from strongroom.errors import Code, IntegrityError, StoreError
from strongroom.sealed import Expected, ModelKey, Subject, Unlocked, wipe
from strongroom.signing import Role
from strongroom.wire.messages import Grant, GrantFile

Progress = Callable[[int, int], None]  # bytes done, bytes in all


@dataclass(frozen=True, slots=True)
class Heading:
    """A file whose head part has been checked and unlocked; none of its segments has been fetched yet."""

    index: int
    file: GrantFile
    unlocked: Unlocked


def subject_of(model: str, version: str) -> Subject:
    """Return what a file of kind `model` is sealed for: every entitled account."""
    return Subject(None, model, version, None)


@contextlib.contextmanager
def read_headings(
    links: Links, grant: Grant, keys: tuple[ModelKey, ...], owners: Role
) -> Iterator[tuple[Heading, ...]]:
    """Fetch and check the head part of every file of a grant, before any segment; derived keys go with the block.

    Raises:
        IntegrityError: FILE_*, if a head differs from the grant, is not the owners', or belongs to another key.
        DeniedError, RefusedError, UnreachableError: as `Links.read`.
    """
    with contextlib.ExitStack() as stack:
        headings = []
        for index, (file, key) in enumerate(zip(grant.files, keys, strict=True)):
            heading = Heading(index, file, _unlocked(links, grant, index, key, owners))
            stack.callback(heading.unlocked.close)
            headings.append(heading)
        yield tuple(headings)


def _unlocked(links: Links, grant: Grant, index: int, key: ModelKey, owners: Role) -> Unlocked:
    file = grant.files[index]
    if file.kind != sealed.MODEL:
        what = f"a file of kind {file.kind}; this client takes whole models only"
        raise IntegrityError(Code.FILE_KIND, what, where=grant.model, next_step="update strongroom")
    preamble = sealed.read_preamble(links.read(index, 0, sealed.PREAMBLE_SIZE))
    if preamble.total != file.size:
        what = f"the file says {preamble.total} bytes, the grant {file.size}"
        raise IntegrityError(Code.FILE_MISMATCH, what, where=grant.model)
    head = sealed.parse_head(links.read(index, 0, preamble.head_part_size), file_size=file.size)
    expected = Expected(
        kind=file.kind,
        subject=subject_of(grant.model, grant.version),
        owners=owners,
        file_id=file.file_id,
        key_id=file.key_id,
        suite=file.suite,
        head=file.head,
        epoch=grant.epoch,
        counter=grant.counter,
        size=file.size,
    )
    return sealed.unlock(head, key, expected)


def named(grant: Grant) -> tuple[tuple[bytes, bytes], ...]:
    """Return what a partial download must have been of to be gone on with: file_id and head of each file."""
    return tuple((file.file_id, file.head) for file in grant.files)


def size_on_disk(headings: tuple[Heading, ...]) -> int:
    """Return how many bytes the files take at most while they are fetched.

    Each re-sealed file keeps its published head inside; of one of them some segments lie there as they were sent.
    """
    sizes = [one.file.size + 2 * len(one.unlocked.head.head_part) + 1_048_576 for one in headings]
    waiting = [min(one.file.size, (AHEAD + 1) * largest(one.unlocked.head)) for one in headings]
    return sum(sizes) + max(waiting)


def fetch(
    links: Links,
    headings: tuple[Heading, ...],
    staging: Staging,
    keystore: Keystore,
    subject: Subject,
    progress: Progress | None,
) -> tuple[LocalFile, ...]:
    """Fetch every segment that a staging directory lacks and write the files, re-sealed, into it, durably.

    Raises:
        IntegrityError: FILE_*, at the first segment or file that is not what the owners signed.
        StoreError: DISK_FULL, STORE_IO.
        DeniedError, RefusedError, UnreachableError: as `Links.read_into`.
    """
    counter = _Counter(sum(one.file.size for one in headings), progress)
    files = tuple(_fetch_one(links, one, staging, keystore, subject, counter) for one in headings)
    staging.keep_only(frozenset(file_name(one.index) for one in headings))
    return files


class _Counter:
    """Bytes done of all files."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self._done, self._total, self._progress = 0, total, progress

    def add(self, size: int) -> None:
        self._done += size
        if self._progress is not None:
            self._progress(self._done, self._total)


def _fetch_one(
    links: Links, heading: Heading, staging: Staging, keystore: Keystore, subject: Subject, counter: _Counter
) -> LocalFile:
    key = _local_key(staging, heading.index, keystore)
    handle = staging.open(heading.index)
    try:
        head, local = heading.unlocked.head, LocalCopy(handle, staging.folder.path / file_name(heading.index))
        arriving = Arriving(links, heading.index, head, staging.folder)
        plain = max(head.plain_length(index) for index in (0, min(1, head.segment_count - 1)))
        with PrivateBuffer(plain) as buffer:
            counter.add(len(head.head_part))
            work = Resealing(heading.unlocked, key, subject, local, buffer.view, counter.add)
            with contextlib.closing(work):
                first = work.go_on()
                try:
                    with contextlib.closing(arriving.segments(first)) as stored:
                        work.finish(first, stored)
                except IntegrityError as error:
                    if error.code == Code.FILE_DIGEST:  # what is sealed again before it was matched to its own digest
                        arriving.discard()
                    raise
        size = local.sync()
    finally:
        key.wipe()
        os.close(handle)
    return LocalFile(heading.file.file_id, heading.file.head, size, staging.keys[heading.index])


def _local_key(staging: Staging, index: int, keystore: Keystore) -> ModelKey:
    if index == len(staging.keys):
        staging.keys.append(os.urandom(16).hex())
        return make_key(keystore, staging.keys[index])
    secret = keystore.get(staging.keys[index])
    if secret is None:
        raise StoreError(Code.STORE_DAMAGED, "the key of a download that was begun is gone", where=staging.name)
    try:
        return ModelKey(secret)
    finally:
        wipe(secret)
