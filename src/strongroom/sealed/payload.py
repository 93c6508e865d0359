"""Each file's SHA-256 against the table of contents: step 9 of docs/spec/sealed-file.md section 10."""

import hashlib
from typing import Never

from strongroom.errors import Code, IntegrityError
from strongroom.sealed.toc import TableOfContents


class FileChecker:
    """Compares each file's SHA-256 while the payload passes in order: step 9 of section 10.

    A file is judged with its last byte, and one without a byte with the byte before it: when `update` has returned,
    every file that ends in what it was given is right. Nothing may call the model whole before `finish` has returned.
    """

    def __init__(self, toc: TableOfContents) -> None:
        self._files = iter(toc.files)
        self._left = 0  # bytes of the file at hand
        self._expected = hashlib.sha256(b"").digest()  # before the first file: nothing, which is right
        self._digest = hashlib.sha256()
        self._refused = False

    def update(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next bytes of the payload.

        Raises:
            IntegrityError: FILE_CHECKSUM, or FILE_REFUSED after an earlier failure.
        """
        self._require_fit()
        view = memoryview(data)
        while view:
            while not self._left:
                if not self._next():
                    self._refuse("the payload is longer than its files")
            part = view[: self._left]
            self._digest.update(part)
            self._left -= len(part)
            view = view[len(part) :]
        while not self._left and self._next():
            pass  # not with the next byte: by then the caller has given out the one before

    def finish(self) -> None:
        """Compare the last file, and see that none is missing.

        Raises:
            IntegrityError: FILE_CHECKSUM, or FILE_REFUSED after an earlier failure.
        """
        self._require_fit()
        while self._next():
            pass

    def _next(self) -> bool:
        """End a file and begin the next; tell whether there is one."""
        if self._left or self._digest.digest() != self._expected:
            self._refuse("a file does not have the SHA-256 it should have")
        following = next(self._files, None)
        if following is None:
            return False
        self._left, self._expected = following.size, following.sha256
        self._digest = hashlib.sha256()
        return True

    def _refuse(self, what: str) -> Never:
        self._refused = True
        raise IntegrityError(Code.FILE_CHECKSUM, what)

    def _require_fit(self) -> None:
        if self._refused:
            raise IntegrityError(Code.FILE_REFUSED, "these files were refused before")
