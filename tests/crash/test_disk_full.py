"""C04: the disk is full after so many bytes."""

import errno
import os
import resource
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from crash import acts
from strongroom.edge import incoming
from strongroom.edge.folder import Folder
from strongroom.errors import Code, RefusedError, StoreError

ACTS = {act.name: act for act in acts.ACTS}
ALL = int(os.environ.get("STRONGROOM_CRASH_BYTES", "0"))  # each so many bytes; by default around each write


class Room:
    """A disk that takes `left` bytes more, and then none until the end."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left, self.sizes = sys.maxsize, list[int]()
        self._write = os.write
        monkeypatch.setattr(os, "write", self.write)

    def write(self, handle: int, data: bytes | memoryview) -> int:
        self.sizes.append(len(data))
        if not self.left and len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done = self._write(handle, data[: self.left])
        self.left -= done
        return done


def where(sizes: list[int]) -> Iterator[int]:
    """Yield the numbers of bytes around each write, or as many as are asked for."""
    total = sum(sizes)
    if ALL:
        yield from range(0, total, ALL)
        return
    at = 0
    for size in sizes:
        yield from sorted({at, at + 1, at + size // 2, at + size - 1})
        at += size


def test_a_file_is_put_in_place_whole_or_not_at_all(tmp_path, monkeypatch):
    """C04: every number of bytes: the old content stays, whole, and nothing lies beside it."""
    new = os.urandom(3000)
    with Folder.open(tmp_path / "home") as home:
        home.write("state.json", b"old")
        with monkeypatch.context() as patch:
            room = Room(patch)
            for count in range(len(new)):
                room.left = count
                with pytest.raises(StoreError) as caught:
                    home.write("state.json", new)
                assert caught.value.code == Code.DISK_FULL
                assert home.names() == ["state.json"]
                assert home.read("state.json", limit=10) == b"old"
            room.left = len(new)
            home.write("state.json", new)
        assert home.read("state.json", limit=3000) == new


@pytest.mark.slow
@pytest.mark.parametrize("name", ["install", "update", "renew", "remove", "wipe"])
def test_an_act_on_a_disk_that_fills_up(tmp_path, monkeypatch, name):
    """C04: around every write (each byte, if asked for): DISK_FULL, what was there opens, no temporary file is left."""
    made = acts.scene(ACTS[name], tmp_path / "first")
    pending, home = list(made.office.pending), tmp_path / "device"
    sizes = _sizes(made, home, monkeypatch)
    seen, points = {acts.BEFORE: 0, acts.AFTER: 0}, [*where(sizes)]
    for count in points:
        acts.copy(made, home)
        made.office.pending = list(pending)
        device = made.device(home)
        with monkeypatch.context() as patch, acts.in_order():
            Room(patch).left = count
            try:
                made.act.do(device)
                acknowledged = True
            except (StoreError, RefusedError) as error:
                assert error.code in {Code.DISK_FULL, Code.WIPED}  # noqa: PT017 - refused or not, both are judged
                assert error.next_step  # noqa: PT017 - as above
                acknowledged = False
            assert not [*home.rglob(".new-*")]
            with device.room().load("other") as model:
                assert model.bytes() == acts.OTHER
        seen[acts.judge(made, device, acknowledged=acknowledged)] += 1
        shutil.rmtree(home)
    assert seen[acts.BEFORE]
    print(f"{name}: {sum(sizes)} bytes, full after {len(points)} numbers of them: {seen}")  # noqa: T201 - how much was tried is a result


def _sizes(made: acts.Scene, home: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    pending = list(made.office.pending)
    acts.copy(made, home)
    with monkeypatch.context() as patch, acts.in_order():
        room = Room(patch)
        made.act.do(made.device(home))
    made.office.pending = pending
    shutil.rmtree(home)
    return room.sizes


@pytest.mark.parametrize("name", ["install", "update", "renew", "wipe"])
def test_the_kernel_refuses_to_make_a_file_longer(tmp_path, name):
    """C04: a limit on the length of files (RLIMIT_FSIZE), the kernel's own: DISK_FULL, and old or new as ever."""
    made = acts.scene(ACTS[name], tmp_path / "first")
    longest = max(path.stat().st_size for path in made.home.rglob("*") if path.is_file())
    seen = []
    for limit in (0, 1, 31, 32, 33, 1000, longest // 2, longest - 1, longest, longest + 1, 4 * longest):
        home = tmp_path / "device"
        acts.copy(made, home)
        pending = list(made.office.pending)
        status = _limited(made, home, limit)
        assert status in {0, 3}
        seen.append(acts.judge(made, made.device(home), acknowledged=status == 0))
        made.office.pending = pending
        shutil.rmtree(home)
    assert seen[0] == acts.BEFORE
    assert seen[-1] == acts.AFTER


def _limited(made: acts.Scene, home: Path, limit: int) -> int:
    """Do an act in a process whose files may not grow beyond `limit` bytes; 3 if it said that the disk is full."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 1
    try:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then the call fails with EFBIG
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        with acts.in_order():
            made.act.do(made.device(home))
        status = 0
    except (StoreError, RefusedError) as error:
        status = 3 if error.code in {Code.DISK_FULL, Code.WIPED} and error.next_step else 4
    finally:
        os._exit(status)


def test_room_is_looked_for_before_anything_is_written(tmp_path, monkeypatch):
    """C04: a disk with too little room is refused by its own word; neither a key nor a directory is made for it."""
    made = acts.scene(ACTS["install"], tmp_path / "device")
    device = made.device()
    room = device.room()
    before = {path: path.read_bytes() for path in made.home.rglob("*") if path.is_file()}
    monkeypatch.setattr(incoming, "SPARE", 1 << 60)
    with pytest.raises(StoreError) as caught:
        room.pull("digits")
    assert caught.value.code == Code.DISK_FULL
    assert {path: path.read_bytes() for path in made.home.rglob("*") if path.is_file()} == before
    assert [*made.home.glob("incoming/*")] == []
