"""Attempts to get something out of a file that was refused (R4, R56)."""

import os
import threading

import pytest

from strongroom import sealed
from strongroom.errors import Code, InputError, IntegrityError
from strongroom.sealed.pool import in_order
from vectors.sealed_writer import fixed, flipped
from vectors.targets import EXPECTED, OWNERS, SUBJECT, local_file, network_file

MIB = 2**20


def unlocked_target(size: int = 50_000) -> tuple[sealed.Unlocked, list[bytes]]:
    data, mek, made = network_file(size=size)
    head = sealed.read_head(sealed.BytesReadable(data))
    return sealed.unlock(head, mek, EXPECTED), made.segments


def refused(opening) -> str:
    with pytest.raises(IntegrityError) as refusal:
        opening()
    return refusal.value.code


def test_use_after_failure():
    """A27: after one altered segment the genuine ones are refused too, for ever."""
    unlocked, stored = unlocked_target()
    into = memoryview(bytearray(50_000))
    unlocked.open_segment(1, stored[1], into)
    assert into == fixed("target", 50_000)
    assert refused(lambda: unlocked.open_segment(1, flipped(stored[1], 99), into)) == "file-digest"
    assert not any(into)
    for _ in range(2):
        into[:] = b"\xff" * 50_000
        assert refused(lambda: unlocked.open_segment(1, stored[1], into)) == "file-refused"
        assert not any(into)
        assert refused(lambda: unlocked.read_toc(stored[0])) == "file-refused"
        assert refused(lambda: unlocked.check_stored(1, stored[1])) == "file-refused"


def test_use_after_close():
    """A27: closing wipes the keys and refuses."""
    unlocked, stored = unlocked_target()
    unlocked.close()
    assert unlocked.blind == bytes(32)
    assert refused(lambda: unlocked.read_toc(stored[0])) == "file-refused"


def test_a_mistake_of_the_caller_is_no_refusal_of_the_file():
    unlocked, stored = unlocked_target()
    for index, into in ((1, bytearray(49_999)), (2, bytearray(1)), (-1, bytearray(1)), (1, bytes(50_000))):
        with pytest.raises(InputError):
            unlocked.open_segment(index, stored[1], memoryview(into))
    with pytest.raises(InputError):
        unlocked.open_segment(1, stored[1], memoryview(bytearray(100_000))[::2])
    into = memoryview(bytearray(50_000))
    unlocked.open_segment(1, stored[1], into)
    assert into == fixed("target", 50_000)


def test_a_segment_of_a_network_file_never_opens_without_its_digest():
    """Section 12: the short way is for local files only."""
    unlocked, stored = unlocked_target()
    into = memoryview(bytearray(50_000))
    assert refused(lambda: unlocked.open_local_pieces(1, [stored[1]], into)) == "file-kind"


@pytest.mark.parametrize("workers", [1, 3])
def test_nothing_stays_in_the_callers_memory(workers):
    """A02; pyca leaves plaintext it could not authenticate in the buffer: all of it is wiped, good segments too."""
    data, mek, _ = network_file(size=3 * MIB + 5)
    local, key, digest = local_file(size=3 * MIB + 5)
    kept: list[bytearray] = []

    def allocate(size: int) -> memoryview:
        kept.append(bytearray(b"\xff" * size))
        return memoryview(kept[-1])

    broken = sealed.BytesReadable(flipped(data, -1))
    assert (
        refused(lambda: sealed.open_sealed(broken, mek, EXPECTED, allocate=allocate, workers=workers)) == "file-digest"
    )
    broken = sealed.BytesReadable(flipped(local, -1))
    how = {"subject": SUBJECT, "owners": OWNERS, "origin_head": digest, "allocate": allocate, "workers": workers}
    assert refused(lambda: sealed.open_local(broken, key, **how)) == "file-segment"
    assert [len(one) for one in kept] == [3 * MIB + 5] * 2
    assert not any(any(one) for one in kept)


def test_a_caller_that_gives_up_in_the_middle_leaves_nothing():
    """A26: an exception in the progress callback is as good as a failure."""
    data, mek, _ = network_file(size=2 * MIB)
    kept = bytearray(2 * MIB)

    def stop(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sealed.open_sealed(
            sealed.BytesReadable(data), mek, EXPECTED, allocate=lambda _: memoryview(kept), workers=2, progress=stop
        )
    assert not any(kept)
    assert not [one for one in threading.enumerate() if one.name.startswith("strongroom-segment")]


class Dripping:
    """A source that gives a few bytes at a time."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def size(self) -> int:
        return len(self._data)

    def pread(self, offset: int, length: int) -> bytes:
        return self._data[offset : offset + min(length, 1000)]


def test_short_reads_change_nothing():
    """A26."""
    data, mek, _ = network_file()
    assert sealed.open_sealed(Dripping(data), mek, EXPECTED).payload == fixed("target", 50_000)
    assert sealed.verify_sealed(Dripping(data), OWNERS).file_size == len(data)


def test_the_file_changes_between_check_and_read(tmp_path):
    """A30: opened once and never again by path; what is read later is checked as it is read."""
    data, mek, made = network_file()
    path = tmp_path / "target.srm"
    path.write_bytes(data)
    with sealed.FileReadable.open(path) as readable:
        head = sealed.read_head(readable)
        path.unlink()
        path.write_bytes(b"another file")
        assert sealed.open_sealed(readable, mek, EXPECTED).head.digest == head.digest
    path.write_bytes(data)
    with sealed.FileReadable.open(path) as readable:
        unlocked = sealed.unlock(sealed.read_head(readable), mek, EXPECTED)
        with path.open("r+b") as changing:
            changing.seek(len(made.head_part) + 70)
            changing.write(b"\0\0\0\0\0\0\0\0")
        with pytest.raises(IntegrityError) as refusal:
            unlocked.read_toc(readable.pread(unlocked.head.offset(0), unlocked.head.stored_length(0)))
        assert refusal.value.code == "file-digest"
        os.truncate(path, len(data) - 1)
        assert refused(lambda: sealed.open_sealed(readable, mek, EXPECTED)) in ("file-truncated", "file-digest")


def test_a_symbolic_link_is_not_followed(tmp_path):
    """A30."""
    (tmp_path / "real").write_bytes(b"data")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(InputError) as refusal, sealed.FileReadable.open(tmp_path / "link"):
        pass
    assert refusal.value.code == "path"


def test_the_first_cause_is_told_whoever_meets_it_first():
    """Segments before a broken one are refused for it when threads overtake one another: the cause is what is told."""
    slow = threading.Event()

    def work(index):
        if index == 0:
            slow.wait(10)
            raise IntegrityError(Code.FILE_REFUSED, "this file was refused before")
        slow.set()
        raise IntegrityError(Code.FILE_DIGEST, "segment 1 is not the one the manifest names")

    with pytest.raises(IntegrityError) as told:
        list(in_order(work, range(2), 2))
    assert told.value.code == Code.FILE_DIGEST
