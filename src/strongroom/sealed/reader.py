"""Deciding whether a file may be opened, and opening its segments (docs/spec/sealed-file.md section 10).

`unlock` is the only way to get an `Unlocked`, and an `Unlocked` the only way to plaintext, so that no step can be left
out. Steps 1 and 2 are `parse_head`; 3 to 6 are here; 7 and 8 are methods of `Unlocked`; 9 is `FileChecker`.
"""

import hashlib
import hmac
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from strongroom.errors import Code, InputError, IntegrityError
from strongroom.sealed import toc as contents
from strongroom.sealed.fields import LOCAL
from strongroom.sealed.header import Head
from strongroom.sealed.keys import FileKeys, ModelKey, Subject, blind_content, blind_subject, derive, header_mac
from strongroom.sealed.segments import open_pieces_into
from strongroom.sealed.toc import TableOfContents
from strongroom.sealed.wiping import wipe
from strongroom.signing import Role

Stored = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class Expected:
    """What a caller knows about the file it wants, from elsewhere. None means: not asked for."""

    kind: str
    subject: Subject | None
    owners: Role | None
    file_id: bytes | None = None
    key_id: bytes | None = None
    suite: int | None = None
    head: bytes | None = None  # SHA-512 of the head
    epoch: int | None = None
    counter: int | None = None
    size: int | None = None  # bytes of the whole file
    base: bytes | None = None  # SHA-512 of the head of the file an overlay or delta belongs to
    suites: tuple[int, ...] | None = None  # the suites allowed, by trust.json for one


def check_head(head: Head, expected: Expected) -> None:
    """Compare a head with what was expected, then verify the owners' signatures. Needs no secret.

    Raises:
        IntegrityError: FILE_KIND, FILE_MISMATCH, FILE_SIGNATURE.
    """
    core = head.core
    if core.kind != expected.kind:
        raise IntegrityError(Code.FILE_KIND, f"a file of kind {core.kind}, where {expected.kind} was expected")
    pairs = (
        ("file_id", core.file_id, expected.file_id),
        ("key_id", core.key_id, expected.key_id),
        ("suite", head.suite, expected.suite),
        ("head", head.digest, expected.head),
        ("epoch", core.epoch, expected.epoch),
        ("counter", core.counter, expected.counter),
        ("size", head.file_size, expected.size),
        ("base", None if core.base is None else core.base.head, expected.base),
    )
    for name, actual, wanted in pairs:
        if wanted is not None and actual != wanted:
            raise IntegrityError(Code.FILE_MISMATCH, f"another {name} than the one asked for", where=name)
    check_suite(head, expected.suites)
    if expected.owners is not None:
        check_signatures(head, expected.owners)


def check_suite(head: Head, allowed: tuple[int, ...] | None) -> None:
    """Refuse a suite that this version knows and whoever decides does not allow. None allows all.

    Raises:
        IntegrityError: FILE_MISMATCH.
    """
    if allowed is not None and head.suite not in allowed:
        raise IntegrityError(Code.FILE_MISMATCH, f"cipher suite {head.suite} is not allowed here", where="suite")


def check_signatures(head: Head, owners: Role) -> None:
    """Verify that enough owners signed a head (step 3). Signatures of others neither help nor harm.

    Raises:
        IntegrityError: FILE_SIGNATURE.
    """
    message = head.signed_bytes
    verified: set[str] = set()
    for signature in head.signatures:
        key = owners.key(signature.key)
        if key is not None and key.alg == signature.alg and key.verify(signature.sig, message):
            verified.add(signature.key)
    if not owners.satisfied(verified):
        raise IntegrityError(Code.FILE_SIGNATURE, "not signed by enough of its owners")


def unlock(head: Head, mek: ModelKey, expected: Expected) -> "Unlocked":
    """Check a head whole: what was expected, owners, commitment, MAC, subject (steps 3 to 6).

    A file of kind `local` is never unlocked here: it opens through `open_local` only, with its origin's checks.

    Raises:
        IntegrityError: FILE_KIND, FILE_MISMATCH, FILE_SIGNATURE, FILE_WRONG_KEY, FILE_HEADER_MAC, FILE_SUBJECT.
    """
    if LOCAL in (head.core.kind, expected.kind):
        raise IntegrityError(Code.FILE_KIND, "a local file opens on its own device only, from its store")
    return unlock_any_kind(head, mek, expected)


def unlock_any_kind(head: Head, mek: ModelKey, expected: Expected) -> "Unlocked":
    """Check a head whole, of kind `local` too: for this room only, see `local.py`.

    Raises:
        IntegrityError: as `unlock`.
    """
    check_head(head, expected)
    keys = derive(mek, head.core.file_id, head.suite)
    try:
        _check_secrets(head, keys, expected.subject)
    except IntegrityError:
        keys.wipe()
        raise
    return Unlocked(head, keys)


def _check_secrets(head: Head, keys: FileKeys, subject: Subject | None) -> None:
    # The commitment comes first: under a wrong key nothing else of the file is looked at.
    if not hmac.compare_digest(keys.commitment, head.core.commitment):
        raise IntegrityError(Code.FILE_WRONG_KEY, "this key is not the one the file was sealed with")
    if not hmac.compare_digest(header_mac(keys.mac, head.head), head.mac):
        raise IntegrityError(Code.FILE_HEADER_MAC, "the file's head was altered")
    if subject is not None and not hmac.compare_digest(blind_subject(keys.blind, subject), head.core.subject):
        raise IntegrityError(Code.FILE_SUBJECT, "the file was sealed for another account, model, version or user")


class Unlocked:
    """A file whose head was checked whole. Opens its segments, in any order and from any thread.

    The first failure is final: from then on everything is refused.
    """

    __slots__ = ("_keys", "_refused", "head")

    def __init__(self, head: Head, keys: FileKeys) -> None:
        """Not for callers: `unlock` is the way here."""
        self.head = head
        self._keys = keys
        self._refused = False

    @property
    def blind(self) -> bytes:
        """The key that blinds names, zeros after `close`. A local file keeps it; it opens nothing."""
        return self._keys.blind

    def check_stored(self, index: int, stored: Stored) -> None:
        """Compare a stored segment with its length and with its SHA-256 in the signed manifest (first half of step 7).

        Raises:
            IntegrityError: FILE_TRUNCATED, FILE_TRAILING, FILE_DIGEST, FILE_REFUSED.
            InputError: ARGUMENT: there is no such segment.
        """
        self._require_segment(index)
        with self._or_refuse():
            check_stored(self.head, index, stored)

    def open_segment(self, index: int, stored: Stored, into: memoryview) -> None:
        """Open a stored segment into the caller's memory (step 7). On failure `into` is zeros.

        Digest and cipher see the same bytes, which must not change meanwhile. Everyone who shares a model key could
        forge segments that pass the cipher's tags, so the digest is never left out, except for a local file.

        Args:
            index: which segment; 0 is the table of contents.
            stored: the whole segment as stored.
            into: writable, exactly as long as the segment's plaintext.

        Raises:
            IntegrityError: FILE_TRUNCATED, FILE_TRAILING, FILE_DIGEST, FILE_SEGMENT, FILE_REFUSED.
            InputError: ARGUMENT: no such segment, or `into` has another length.
        """
        self._require_room(index, into)
        with self._or_refuse(into):
            check_stored(self.head, index, stored)
            self._open(index, (stored,), into)

    def open_local_pieces(self, index: int, pieces: Iterable[Stored], into: memoryview) -> None:
        """Open a segment of a local file as it is read, without holding it whole.

        Raises:
            IntegrityError: FILE_KIND, FILE_SEGMENT, FILE_TRUNCATED, FILE_REFUSED.
            InputError: ARGUMENT: no such segment, or `into` has another length.
            StoreError: STORE_IO, from the pieces.
        """
        self._require_room(index, into)
        with self._or_refuse(into):
            if self.head.core.kind != LOCAL:
                raise IntegrityError(Code.FILE_KIND, "only a local file opens without its digests")
            self._open(index, pieces, into)

    def read_toc(self, stored: Stored) -> TableOfContents:
        """Open and check the table of contents: step 7 for segment 0, then step 8.

        Raises:
            IntegrityError: as `open_segment`, and FILE_CONTENT.
        """
        plain = bytearray(self.head.core.toc_length)
        try:
            self.open_segment(0, stored, memoryview(plain))
            with self._or_refuse():
                if not hmac.compare_digest(blind_content(self.blind, plain), self.head.core.content):
                    raise IntegrityError(Code.FILE_CONTENT, "another table of contents than the head names")
                toc = contents.parse(plain, self.head.core.payload_length)
                if (toc.origin is not None) != (self.head.core.kind == LOCAL):
                    raise IntegrityError(Code.FILE_CONTENT, f"`origin` does not fit kind {self.head.core.kind}")
                return toc
        finally:
            wipe(plain)

    def require_usable(self) -> None:
        """Refuse what was refused before, for whoever keeps plaintext of this file.

        Raises:
            IntegrityError: FILE_REFUSED.
        """
        with self._or_refuse():
            pass

    def close(self) -> None:
        """Overwrite the derived keys, best effort, and refuse everything from now on."""
        self._refused = True
        self._keys.wipe()

    def _open(self, index: int, pieces: Iterable[Stored], into: memoryview) -> None:
        context = self.head.binding.context(index)
        open_pieces_into(self.head.suite, self._keys.payload, context, pieces, into)

    def _require_segment(self, index: int) -> None:
        if not 0 <= index < self.head.segment_count:
            raise InputError(Code.ARGUMENT, f"no segment {index}; the file has {self.head.segment_count}")

    def _require_room(self, index: int, into: memoryview) -> None:
        self._require_segment(index)
        fits = into.nbytes == self.head.plain_length(index) and into.itemsize == 1
        if into.readonly or not into.c_contiguous or not fits:
            raise InputError(Code.ARGUMENT, f"segment {index} needs a buffer of {self.head.plain_length(index)} bytes")

    @contextmanager
    def _or_refuse(self, into: memoryview | None = None) -> Iterator[None]:
        fit = False
        try:
            if self._refused:
                raise IntegrityError(Code.FILE_REFUSED, "this file was refused before, or closed")
            yield
            fit = True
        finally:
            if not fit:
                self._refused = True
                if into is not None:
                    wipe(into)


def check_stored(head: Head, index: int, stored: Stored) -> None:
    """Compare a stored segment with its length and, but for a local file, with its SHA-256 in the manifest.

    Raises:
        IntegrityError: FILE_TRUNCATED, FILE_TRAILING, FILE_DIGEST.
    """
    wanted = head.stored_length(index)
    if len(stored) != wanted:
        code = Code.FILE_TRUNCATED if len(stored) < wanted else Code.FILE_TRAILING
        raise IntegrityError(code, f"segment {index} has {len(stored)} bytes of {wanted}")
    if head.core.kind != LOCAL and hashlib.sha256(stored).digest() != head.digests[index]:
        raise IntegrityError(Code.FILE_DIGEST, f"segment {index} is not the one the manifest names")
