"""Fetching: ciphertext in, ciphertext out, plaintext of one segment in between (docs/spec/protocol.md section 8).

The head part of every file comes first and decides whether the rest is worth fetching. Then each stored segment is
read once into memory, matched to its signed digest, decrypted from those same bytes, sealed again under a fresh local
key and written. The model key never touches the disk.
"""

import contextlib
import os
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from strongroom import sealed
from strongroom.edge.exchange import Exchange
from strongroom.edge.folder import translated, write_all
from strongroom.edge.keystore import Keystore
from strongroom.edge.memory import PrivateBuffer
from strongroom.edge.state import LocalFile
from strongroom.edge.store import Staging, file_name
from strongroom.errors import Code, DeniedError, IntegrityError, RefusedError, UnreachableError
from strongroom.sealed import Expected, Head, ModelKey, Subject, Unlocked
from strongroom.signing import Role
from strongroom.wire.messages import Grant, GrantFile

Progress = Callable[[int, int], None]  # bytes done, bytes in all

AHEAD = 2  # segments being downloaded while one is worked on
TRIES = 3  # of one range, when the connection breaks
_LINK_OVER = {Code.URL_EXPIRED, Code.FORBIDDEN}


class Links:
    """The links of a grant, renewed when their time is over. Safe to use from several threads."""

    def __init__(self, exchange: Exchange, urls: tuple[str, ...], renew: Callable[[], tuple[str, ...]]) -> None:
        self._exchange = exchange
        self._urls = urls
        self._renew = renew
        self._lock = Lock()

    def read(self, index: int, offset: int, length: int) -> bytes:
        """Return exactly these bytes of a file.

        Raises:
            DeniedError, RefusedError: the link is over and no fresh one is given.
            UnreachableError: the connection broke again and again, or the answer is of another length.
        """
        tries, renewed = TRIES, False
        while True:
            url = self._urls[index]
            try:
                data = self._exchange.read_range(url, offset, length)
            except (DeniedError, RefusedError) as error:
                if error.code not in _LINK_OVER or renewed:
                    raise
                renewed = True  # one renewal a range: a second refusal is meant
                self._renewed(index, url)
                continue
            except UnreachableError as error:
                tries -= 1
                if tries <= 0 or error.code == Code.PIN_MISMATCH:
                    raise
                continue
            if len(data) != length:
                raise UnreachableError(Code.ANSWER, f"{len(data)} bytes came where {length} were asked for")
            return data

    def _renewed(self, index: int, used: str) -> None:
        with self._lock:
            if self._urls[index] == used:  # no other thread was faster
                self._urls = self._renew()


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


def size_on_disk(headings: tuple[Heading, ...]) -> int:
    """Return how many bytes the re-sealed files take at most: each keeps its published head inside."""
    return sum(one.file.size + 2 * len(one.unlocked.head.head_part) + 1_048_576 for one in headings)


def fetch(
    links: Links,
    headings: tuple[Heading, ...],
    staging: Staging,
    keystore: Keystore,
    subject: Subject,
    progress: Progress | None,
) -> tuple[LocalFile, ...]:
    """Fetch every segment and write the files, re-sealed, into a staging directory, durably.

    Raises:
        IntegrityError: FILE_*, at the first segment or file that is not what the owners signed.
        StoreError: DISK_FULL, STORE_IO.
        DeniedError, RefusedError, UnreachableError: as `Links.read`.
    """
    counter = _Counter(sum(one.file.size for one in headings), progress)
    return tuple(_fetch_one(links, one, staging, keystore, subject, counter) for one in headings)


class _Counter:
    """Bytes done of all files."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self._done, self._total, self._progress = 0, total, progress

    def add(self, size: int) -> None:
        self._done += size
        if self._progress is not None:
            self._progress(self._done, self._total)


class _Sink:
    """A new file on its way to the disk."""

    def __init__(self, handle: int, where: Path) -> None:
        self.size = 0  # bytes written
        self._handle, self._where = handle, where

    def write(self, data: bytes) -> None:
        with translated(self._where):
            write_all(self._handle, data)
        self.size += len(data)

    def sync(self) -> None:
        with translated(self._where):
            os.fsync(self._handle)


def _fetch_one(
    links: Links, heading: Heading, staging: Staging, keystore: Keystore, subject: Subject, counter: _Counter
) -> LocalFile:
    head = heading.unlocked.head
    largest = max(head.plain_length(index) for index in (0, *([1] if head.segment_count > 1 else [])))
    name = os.urandom(16).hex()
    key = ModelKey.generate()
    handle = staging.create(heading.index)
    try:
        staging.keys.append(name)
        keystore.put(name, key.reveal())
        sink = _Sink(handle, staging.folder.path / file_name(heading.index))
        with PrivateBuffer(largest) as buffer, contextlib.closing(_stored(links, heading.index, head)) as stored:
            _reseal(heading.unlocked, stored, key, subject, sink, buffer.view, counter)
        sink.sync()
    finally:
        key.wipe()
        os.close(handle)
    return LocalFile(heading.file.file_id, heading.file.head, sink.size, name)


def _reseal(
    origin: Unlocked,
    stored: Iterator[bytes],
    key: ModelKey,
    subject: Subject,
    sink: _Sink,
    buffer: memoryview,
    counter: _Counter,
) -> None:
    """Carry a file over from its model key to its local key."""
    head = origin.head
    counter.add(len(head.head_part))
    first = next(stored)
    toc_bytes = buffer[: head.plain_length(0)]
    origin.open_segment(0, first, toc_bytes)
    toc = origin.read_toc(first)
    checker = sealed.FileChecker(toc)
    with contextlib.closing(sealed.start_local(origin, toc, toc_bytes, key, subject)) as writer:
        sink.write(writer.head_part)
        sink.write(writer.first)
        counter.add(len(first))
        for index, piece in enumerate(stored, start=1):
            plain = buffer[: head.plain_length(index)]
            origin.open_segment(index, piece, plain)
            checker.update(plain)
            sink.write(writer.seal_segment(index, plain))
            counter.add(len(piece))
    checker.finish()


def _stored(links: Links, file: int, head: Head) -> Generator[bytes, None, None]:
    """Give out the stored segments in order, downloading a few ahead: only ciphertext waits in memory."""
    waiting: deque[Future[bytes]] = deque()
    with ThreadPoolExecutor(AHEAD, thread_name_prefix="strongroom-fetch") as pool:
        try:
            for index in range(head.segment_count):
                waiting.append(pool.submit(links.read, file, head.offset(index), head.stored_length(index)))
                if len(waiting) > AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
