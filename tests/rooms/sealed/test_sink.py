"""Where a sealed file is written: by position, from threads, into what is a plain file and what only looks like one."""

import errno
import io
import os
import resource
import threading

import pytest

from strongroom import sealed
from strongroom.errors import StoreError
from strongroom.sealed.sink import Sink
from vectors.sealed_writer import fixed

SUBJECT = sealed.Subject(None, "m", "1", None)
MIB = 2**20


def sealed_into(stream, size: int = 6 * MIB) -> tuple[sealed.ModelKey, bytes]:
    mek, data = sealed.ModelKey.generate(), fixed("model", size)
    sealed.seal([sealed.Source.of_bytes("m", data)], stream, mek=mek, subject=SUBJECT, segment_size=MIB, workers=2)
    return mek, data


def opens(written: bytes, mek: sealed.ModelKey, data: bytes) -> bool:
    expected = sealed.Expected("model", SUBJECT, None)
    return sealed.open_sealed(sealed.BytesReadable(written), mek, expected).payload == data


@pytest.mark.parametrize("buffering", [0, -1], ids=["raw", "buffered"])
@pytest.mark.parametrize("mode", ["wb", "w+b"])
def test_a_file_that_something_was_written_to_before(tmp_path, mode, buffering):
    """The sealed file begins where the stream stands, behind what is still in its buffer."""
    with (tmp_path / "f").open(mode, buffering=buffering) as file:
        file.write(b"before")
        mek, data = sealed_into(file)
    written = (tmp_path / "f").read_bytes()
    assert written[:6] == b"before"
    assert opens(written[6:], mek, data)
    head = sealed.read_head(sealed.BytesReadable(written[6:]))
    assert head.file_size == len(written) - 6


class Counted(io.FileIO):
    """A file of somebody's own, which counts what goes through it."""

    taken = 0

    def write(self, data, /) -> int:
        self.taken += len(data)
        return super().write(data)


class CountedBuffer(io.BufferedWriter):
    """A buffer of somebody's own."""

    taken = 0

    def write(self, data, /) -> int:
        self.taken += len(data)
        return super().write(data)


@pytest.mark.parametrize("kind", ["raw", "buffered raw", "buffer"])
def test_a_stream_of_a_class_of_its_own_is_not_passed_by(tmp_path, kind):
    counted = CountedBuffer(io.FileIO(tmp_path / "f", "w")) if kind == "buffer" else Counted(tmp_path / "f", "w")
    with io.BufferedWriter(counted) if kind == "buffered raw" else counted as stream:
        mek, data = sealed_into(stream)
        stream.flush()
        size = counted.taken
    written = (tmp_path / "f").read_bytes()
    assert size == len(written)
    assert opens(written, mek, data)


def test_what_the_stream_has_read_ahead_is_forgotten(tmp_path):
    """Whoever reads the stream afterwards reads what was written past its buffer."""
    (tmp_path / "f").write_bytes(bytes(500))
    with (tmp_path / "f").open("r+b") as file:
        assert file.read(6) == bytes(6)
        sealed_into(file)
        file.seek(6)
        assert file.read(4) == b"\x89SRM"


def test_many_threads_write_at_once(tmp_path):
    blocks = [fixed(f"block {number}", 5000) for number in range(200)]
    with (tmp_path / "f").open("w+b") as file:
        sink = Sink(file)
        threads = [
            threading.Thread(
                target=lambda begin=begin: [
                    sink.write(5000 * number, blocks[number]) for number in range(begin, len(blocks), 4)
                ]
            )
            for begin in range(4)
        ]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
    assert (tmp_path / "f").read_bytes() == b"".join(blocks)


def test_a_disk_that_fills_up(tmp_path):
    """C04: a typed error, no head, and no thread works on."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    with (tmp_path / "f").open("w+b") as file:
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (5 * MIB, old[1]))
            with pytest.raises(StoreError) as refusal:
                sealed_into(file, 12 * MIB)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert refusal.value.code == "disk-full"
    assert refusal.value.next_step
    assert (tmp_path / "f").read_bytes()[:8] == bytes(8)
    assert not [one for one in threading.enumerate() if one.name.startswith("strongroom-")]


@pytest.mark.parametrize(
    ("number", "code", "step"),
    [
        (errno.ENOSPC, "disk-full", "free some space"),
        (errno.EDQUOT, "disk-full", "free some space"),
        (errno.EFBIG, "disk-full", "free some space"),
        (errno.EIO, "store-io", "look at the disk"),
    ],
)
def test_a_full_disk_and_a_broken_one_are_told_apart(number, code, step):
    """C04: the same names that opening has, and no advice about room where room is not what is missing."""

    class Failing(io.BytesIO):
        def write(self, data) -> int:
            raise OSError(number, os.strerror(number))

    with pytest.raises(StoreError) as refusal:
        sealed_into(Failing())
    assert refusal.value.code == code
    assert refusal.value.next_step.startswith(step)
