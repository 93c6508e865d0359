"""Object store in a folder, with signed URLs of our own (docs/spec/protocol.md section 11).

Names are 32 random hexadecimal digits and never come from a caller (R18). A URL fits one method, one object, one size
and one time (R68, R70, R71). There is no listing: whoever has no name has nothing to ask for (R72).
"""

import asyncio
import contextlib
import hashlib
import hmac
import os
import re
import shutil
import stat
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from strongroom.canonical import encode, from_base64url, to_base64url
from strongroom.errors import Code, DeniedError, InputError, IntegrityError, InternalError, RefusedError, StoreError
from strongroom.server.ports import Chunks

DEFAULT_KEEP_FREE = 256 * 2**20  # bytes left free on the disk, for the database and its log
UNFINISHED_SECONDS = 86_400  # an upload nobody wrote to for so long is over; no link lives longer

_LABEL = b"strongroom/url/v1\0"
_NAME = re.compile(r"[0-9a-f]{32}\Z")
_NUMBER = re.compile(r"(?:0|[1-9][0-9]{0,15})\Z")


def new_name(random: Callable[[int], bytes] = os.urandom) -> str:
    """Make an object name: 16 random bytes in hexadecimal."""
    return random(16).hex()


class FolderStore:
    """Objects as files of one folder that only this user may enter."""

    def __init__(
        self,
        folder: Path,
        public_url: str,
        url_key: bytes,
        *,
        keep_free: int = DEFAULT_KEEP_FREE,
        now: Callable[[], int] = lambda: int(time.time()),  # noqa: TID251 - the rim: files have the machine's time
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """Use a folder that exists.

        Args:
            folder: where objects lie.
            public_url: what devices reach this server under, without a trailing slash.
            url_key: 32 secret bytes that sign URLs.
            keep_free: bytes an upload must leave free on the disk.
            now: Unix seconds of the clock that files get their times from.
            random: source of names for unfinished uploads.
        """
        self._folder = folder
        self._public_url = public_url.rstrip("/")
        self._url_key = url_key
        self._keep_free = keep_free
        self._now = now
        self._random = random

    def signed_url(self, method: str, name: str, *, expires: int, size: int | None = None) -> str:
        """Return a URL good for one method on one object until `expires` (Unix seconds); PUT is bound to `size`."""
        if method not in {"GET", "PUT"} or not _NAME.match(name) or (method == "PUT") != (size is not None):
            raise InternalError(Code.INTERNAL, "a URL was asked for that cannot be signed")
        extra = "" if size is None else f"&n={size}"
        signature = to_base64url(self._mac(method, name, expires, size))
        return f"{self._public_url}/o/{name}?m={method}&e={expires}{extra}&s={signature}"

    def check_url(self, method: str, name: str, query: Mapping[str, str], now: int) -> int | None:
        """Judge a signed URL.

        Args:
            method: the request's own method; a URL for another method is refused (HEAD asks for less than GET, so a
                GET URL serves it).
            name: the last part of the path; hostile text.
            query: the decoded query; hostile text.
            now: Unix seconds.

        Returns:
            The size an upload must have, or None for GET and HEAD.

        Raises:
            DeniedError: URL_INVALID, if any part is missing, doubled, changed or signed by another key.
            RefusedError: URL_EXPIRED, if it was good once; told apart only after the signature verified.
        """
        meant = "GET" if method == "HEAD" else method
        wanted = {"m", "e", "n", "s"} if meant == "PUT" else {"m", "e", "s"}
        if meant not in {"GET", "PUT"} or query.keys() != wanted or query["m"] != meant or not _NAME.match(name):
            raise _invalid()
        expires = _number(query["e"])
        size = _number(query["n"]) if meant == "PUT" else None
        try:
            signature = from_base64url(query["s"])
        except IntegrityError:
            raise _invalid() from None
        if not hmac.compare_digest(signature, self._mac(meant, name, expires, size)):
            raise _invalid()
        if now >= expires:
            raise RefusedError(Code.URL_EXPIRED, "this link has expired", next_step="ask the server for a fresh link")
        return size

    async def size(self, name: str) -> int | None:
        """Return the stored size in bytes, or None if there is no such object."""
        return await asyncio.to_thread(self._size, name)

    async def read(self, name: str, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes.

        Raises:
            StoreError: STORE_IO, if they are not there or cannot be read.
        """
        return await asyncio.to_thread(self._read, name, offset, length)

    async def delete(self, name: str) -> None:
        """Remove the object if it is there.

        Raises:
            StoreError: STORE_IO.
        """
        await asyncio.to_thread(self._delete, name)

    async def write(self, name: str, chunks: Chunks, *, size: int) -> None:
        """Store an object of exactly `size` bytes, all of it or nothing.

        A complete object is never overwritten: whoever replays an upload URL changes nothing.

        Raises:
            InputError: CONFLICT if the object is there; TOO_LARGE as soon as more bytes came than promised; DEPOSIT if
                fewer did.
            StoreError: STORE_IO, if there is no room or the disk fails.
        """
        if await self.size(name) is not None:
            raise _taken(name)
        # a random name of its own: two uploads of one object at once cannot write into each other
        unfinished = self._folder / f"{name}.{self._random(8).hex()}.part"
        try:
            handle = self._start(unfinished, size)
            try:
                await _pour(handle, size, chunks)
                await _in_thread(os.fsync, handle)
            finally:
                os.close(handle)
            await _in_thread(self._finish, unfinished, name)
        except OSError as error:
            raise _failed(name, error) from None
        finally:
            with contextlib.suppress(OSError):
                unfinished.unlink(missing_ok=True)

    def drop_unfinished(self) -> int:
        """Remove what uploads that were interrupted a day ago left behind.

        Younger ones may be under way in another process that serves the same folder.

        Returns:
            How many files were removed.

        Raises:
            StoreError: STORE_IO.
        """
        try:
            left = [path for path in self._folder.glob("*.part") if self._is_over(path)]
            for path in left:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise _failed(None, error) from None
        return len(left)

    def _is_over(self, path: Path) -> bool:
        try:
            return path.lstat().st_mtime <= self._now() - UNFINISHED_SECONDS
        except FileNotFoundError:  # finished by now
            return False

    def _mac(self, method: str, name: str, expires: int, size: int | None) -> bytes:
        data = _LABEL + encode([method, name, expires, size])
        return hmac.digest(self._url_key, data, hashlib.sha512)[:32]

    def _path(self, name: str) -> Path:
        if not _NAME.match(name):
            raise InternalError(Code.INTERNAL, "not an object name")
        return self._folder / name

    def _size(self, name: str) -> int | None:
        try:
            found = self._path(name).lstat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _failed(name, error) from None
        return _regular(found, name).st_size

    def _read(self, name: str, offset: int, length: int) -> bytes:
        try:
            # without O_NONBLOCK a pipe at this name would hold the thread until somebody writes to it
            handle = os.open(self._path(name), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                _regular(os.fstat(handle), name)
                parts = []
                while length > 0 and (part := os.pread(handle, length, offset)):
                    parts.append(part)
                    offset, length = offset + len(part), length - len(part)
            finally:
                os.close(handle)
        except OSError as error:
            raise _failed(name, error) from None
        if length > 0:
            raise StoreError(Code.STORE_IO, f"the object ends {length} bytes early", where=f"object {name}")
        return b"".join(parts)

    def _delete(self, name: str) -> None:
        try:
            self._path(name).unlink(missing_ok=True)
            _sync_folder(self._folder)
        except OSError as error:
            raise _failed(name, error) from None

    def _start(self, path: Path, size: int) -> int:
        free = shutil.disk_usage(self._folder).free
        if free - size < self._keep_free:
            raise StoreError(
                Code.STORE_IO,
                f"no room for {size} bytes: {free} are free and {self._keep_free} stay free",
                where="object store",
                next_step="make room on the disk of the object folder",
            )
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        os.fchmod(handle, 0o600)  # whatever the umask
        return handle

    def _finish(self, unfinished: Path, name: str) -> None:
        try:
            os.link(unfinished, self._path(name))  # unlike rename, refuses to replace what a faster upload finished
        except FileExistsError:
            raise _taken(name) from None
        _sync_folder(self._folder)


async def _pour(handle: int, size: int, chunks: Chunks) -> None:
    left = size
    async for chunk in chunks:
        left -= len(chunk)
        if left < 0:
            raise InputError(Code.TOO_LARGE, f"more than the {size} bytes this link is for")
        await _in_thread(_write_all, handle, chunk)
    if left:
        raise InputError(Code.DEPOSIT, f"{size - left} bytes came instead of {size}")


async def _in_thread(work: Callable[..., object], *arguments: object) -> None:
    """Run blocking work; if cancelled, wait for its end first, so that no thread writes to a handle closed by then."""
    task = asyncio.ensure_future(asyncio.to_thread(work, *arguments))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # seen; the cancellation is what is told
        raise


def _write_all(handle: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _regular(found: os.stat_result, name: str) -> os.stat_result:
    if not stat.S_ISREG(found.st_mode):
        raise StoreError(Code.STORE_IO, "this object is not a regular file", where=f"object {name}")
    return found


def _number(text: str) -> int:
    if not _NUMBER.match(text) or int(text) >= 2**53:
        raise _invalid()
    return int(text)


def _invalid() -> DeniedError:
    return DeniedError(Code.URL_INVALID, "this link is not valid for this request")


def _taken(name: str) -> InputError:
    return InputError(Code.CONFLICT, "this object is already stored", where=f"object {name}")


def _failed(name: str | None, error: OSError) -> StoreError:
    where = "object store" if name is None else f"object {name}"
    return StoreError(Code.STORE_IO, f"the object store failed: {error.strerror}", where=where)
