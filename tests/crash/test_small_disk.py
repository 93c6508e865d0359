"""C04: a real file system that is full, page by page: a tmpfs of our own, in a mount namespace that ends with it."""

import ctypes
import os
import shutil
import socket
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from crash import acts
from crash.far_office import receive, send
from strongroom.edge import incoming
from strongroom.errors import Code, RefusedError, StoreError

ACTS = {act.name: act for act in acts.ACTS}
PAGE = 4096
_NEWNS, _NEWUSER, _PRIVATE, _REMOUNT = 0x20000, 0x10000000, 1 << 18 | 1 << 14, 32  # sched.h, sys/mount.h
_libc = ctypes.CDLL(None, use_errno=True)


def _called(name: str, *arguments: object) -> None:
    if getattr(_libc, name)(*arguments):
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")


def _mounted(at: Path, pages: int, flags: int = 0) -> None:
    options = f"size={pages * PAGE},mode=700".encode()
    _called("mount", b"tmpfs", bytes(at), b"tmpfs", ctypes.c_ulong(flags), options)


def _own_namespace() -> None:
    who, group = os.geteuid(), os.getegid()
    _called("unshare", _NEWNS if who == 0 else _NEWNS | _NEWUSER)
    if who:
        Path("/proc/self/setgroups").write_text("deny", "ascii")
        Path("/proc/self/uid_map").write_text(f"{who} {who} 1", "ascii")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1", "ascii")
    _called("mount", b"none", b"/", None, ctypes.c_ulong(_PRIVATE), None)


def apart(work: Callable[[], object]) -> object:
    """Do something in a process with mounts of its own; return what it returned, or fail with its traceback."""
    ours, theirs = socket.socketpair()
    child = os.fork()
    if not child:
        try:
            _own_namespace()
            send(theirs, {"done": work()})
        except BaseException:  # noqa: BLE001 - the process ends here, and says why
            send(theirs, {"failed": traceback.format_exc()})
        finally:
            os._exit(0)
    theirs.close()
    with ours:
        told = receive(ours)
    os.waitpid(child, 0)
    assert told is not None
    assert "failed" not in told[0], told[0]["failed"]
    return told[0]["done"]


@pytest.fixture(scope="module", autouse=True)
def _may_mount(tmp_path_factory: pytest.TempPathFactory) -> None:
    place = tmp_path_factory.mktemp("mount")
    try:
        apart(lambda: _mounted(place, 1))
    except AssertionError as error:
        if "PermissionError" in str(error) or "EPERM" in str(error) or "not permitted" in str(error):
            pytest.skip("this machine lets us mount nothing: run as root, or allow user namespaces")
        raise


@pytest.mark.slow
@pytest.mark.parametrize("name", ["install", "update", "renew", "remove", "wipe"])
def test_a_file_system_that_is_full_at_any_page(tmp_path, name):
    """C04: from no page more than there is to enough of them: DISK_FULL or done, old or new, nothing left over."""
    made = acts.scene(ACTS[name], tmp_path / "first")
    disk = tmp_path / "disk"
    disk.mkdir()

    def at(pages: int) -> tuple[bool, str, int]:
        incoming.check_room = lambda *_: None  # it would refuse before the kernel does
        _mounted(disk, 4096)
        acts.copy(made, disk / "device")
        used = _used(disk)
        _mounted(disk, used + pages, _REMOUNT)
        device, acknowledged = made.device(disk / "device"), False
        with acts.in_order():
            try:
                made.act.do(device)
                acknowledged = True
            except (StoreError, RefusedError) as error:
                assert error.code in {Code.DISK_FULL, Code.WIPED}  # noqa: PT017 - refused or not, both are judged
                assert error.next_step  # noqa: PT017 - as above
            assert not [*device.home.rglob(".new-*")]
            with device.room(token=None).load("other", offline="only") as model:
                assert model.bytes() == acts.OTHER
            _mounted(disk, 4096, _REMOUNT)
            return acknowledged, acts.judge(made, device, acknowledged=acknowledged), used

    seen, pages = [], 0
    while not seen or not seen[-1][0]:
        seen.append(apart(lambda pages=pages: at(pages)))
        pages += 1
        assert pages < 100
    assert seen[-1][1] == acts.AFTER
    assert name == "remove" or seen[0][1] == acts.BEFORE
    print(f"{name}: full at {[found for _, found, _ in seen]} pages")  # noqa: T201 - how much was tried is a result


def test_too_little_room_is_seen_by_the_file_systems_own_word(tmp_path):
    """C04: 1 MiB, as the attack has it: refused before anything is written."""
    made = acts.scene(ACTS["install"], tmp_path / "first")
    disk = tmp_path / "disk"
    disk.mkdir()

    def work() -> str:
        _mounted(disk, 2**20 // PAGE)
        acts.copy(made, disk / "device")
        device = made.device(disk / "device")
        before = sorted(path for path in device.home.rglob("*") if path.suffix in {".key", ".srm", ".part"})
        with pytest.raises(StoreError) as caught:
            device.room().pull("digits")
        after = sorted(path for path in device.home.rglob("*") if path.suffix in {".key", ".srm", ".part"})
        assert before == after
        assert [*device.home.glob("incoming/*")] == []
        return str(caught.value.code)

    assert apart(work) == Code.DISK_FULL


def _used(disk: Path) -> int:
    status = os.statvfs(disk)
    return status.f_blocks - status.f_bfree


def test_the_namespace_ends_with_the_process(tmp_path):
    """C04: what is mounted here is nobody else's: the directory is empty again."""
    place = tmp_path / "place"
    place.mkdir()

    def work() -> int:
        _mounted(place, 4)
        (place / "file").write_bytes(b"x")
        with pytest.raises(OSError, match="space"):
            (place / "large").write_bytes(bytes(5 * PAGE))
        return len([*place.iterdir()])

    assert apart(work) == 2
    assert [*place.iterdir()] == []
    shutil.rmtree(place)
