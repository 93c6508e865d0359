"""Step 9: each file's SHA-256 over the payload as it passes, however it is cut."""

import dataclasses
import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom import sealed
from strongroom.errors import IntegrityError

FILES = st.lists(st.binary(max_size=40), min_size=1, max_size=6)


def toc_of(files: list[bytes]) -> sealed.TableOfContents:
    digests = (hashlib.sha256(data).digest() for data in files)
    return sealed.TableOfContents(
        tuple(
            sealed.FileEntry(str(number), len(data), digest)
            for number, (data, digest) in enumerate(zip(files, digests, strict=True))
        )
    )


def check(toc: sealed.TableOfContents, payload: bytes, step: int) -> None:
    checker = sealed.FileChecker(toc)
    for at in range(0, len(payload), step):
        checker.update(payload[at : at + step])
    checker.finish()


@settings(deadline=None)
@given(FILES, st.integers(1, 50))
def test_any_cut_of_the_right_bytes(files, step):
    check(toc_of(files), b"".join(files), step)


@settings(deadline=None)
@given(FILES, st.integers(1, 50), st.data())
def test_any_other_bytes(files, step, data):
    payload = b"".join(files)
    other = data.draw(st.binary(max_size=len(payload) + 3).filter(lambda drawn: drawn != payload))
    with pytest.raises(IntegrityError) as refusal:
        check(toc_of(files), other, step)
    assert refusal.value.code == "file-checksum"


def test_a_file_is_judged_with_its_last_byte():
    """Not with the next one, before which a caller may have given this one out; an empty file with the byte before."""
    toc = toc_of([b"right", b"", b"more"])
    for wrong in (0, 1):
        files = list(toc.files)
        files[wrong] = dataclasses.replace(files[wrong], sha256=bytes(32))
        checker = sealed.FileChecker(sealed.TableOfContents(tuple(files)))
        checker.update(b"righ")
        with pytest.raises(IntegrityError) as refusal:
            checker.update(b"t")
        assert refusal.value.code == "file-checksum"


def test_refusal_is_final():
    checker = sealed.FileChecker(toc_of([b"right"]))
    with pytest.raises(IntegrityError):
        checker.update(b"wrong and long")
    for call in (lambda: checker.update(b""), checker.finish):
        with pytest.raises(IntegrityError) as refusal:
            call()
        assert refusal.value.code == "file-refused"


def test_an_empty_file_has_a_checksum_too():
    toc = sealed.TableOfContents((sealed.FileEntry("empty", 0, bytes(32)),))
    with pytest.raises(IntegrityError):
        check(toc, b"", 1)
