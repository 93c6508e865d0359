"""Private memory: wiped at the end, whatever happens, and never usable afterwards."""

import ctypes
import os
import re
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from strongroom.edge import memory
from strongroom.edge.memory import PrivateBuffer, TransientBytes
from strongroom.errors import Code, InputError, StoreError


def test_wiped_released_and_given_back():
    """R49: after the block the pages are zeros, and then gone."""
    seen = {}
    with PrivateBuffer(100_000) as buffer:
        buffer.view[:] = b"\x5a" * 100_000
        lent = buffer.lend(buffer.view[10:20])
        assert bytes(lent) == b"\x5a" * 10
        assert lent.readonly
        pages, real = buffer._pages, buffer.view
        kept = memoryview(pages)  # an array somebody built over the pages keeps them mapped
        seen["before"] = kept[50_000]
    assert seen["before"] == 0x5A
    assert kept.tobytes() == bytes(len(kept))
    kept.release()
    for view in (lent, real):
        with pytest.raises(ValueError, match="released"):
            bytes(view)
    with pytest.raises(InputError) as caught:
        buffer.view[0]
    assert caught.value.code == Code.CLOSED
    buffer.close()


def test_the_mapping_is_unmapped_when_nobody_holds_it():
    buffer = PrivateBuffer(4096)
    buffer.lend(buffer.view[:10])
    buffer.close()
    assert buffer._pages.closed


def test_wiped_on_an_exception():
    buffer = PrivateBuffer(64)
    pages = memoryview(buffer._pages)
    buffer.view[:] = b"s" * 64
    with pytest.raises(ZeroDivisionError), buffer:
        _ = 1 / buffer.view[0:0].nbytes
    assert pages[:64].tobytes() == bytes(64)


def test_not_in_core_dumps_and_not_in_children():
    """D04, D15: the pages are marked so that the kernel leaves them out."""
    size = 13 * 4096 + 4096 * 1000
    with PrivateBuffer(size) as buffer:
        buffer.view[0] = 1
        text = Path("/proc/self/smaps").read_text()
        entries = re.split(r"\n(?=[0-9a-f]+-[0-9a-f]+ )", text)
        marked = [one for one in entries if re.search(r"VmFlags:.*\bdc\b.*\bdd\b|VmFlags:.*\bdd\b.*\bdc\b", one)]
        assert any(int(re.search(r"Size:\s+(\d+) kB", one)[1]) * 1024 >= size for one in marked)


def flags(address: int) -> set[str]:
    """What the kernel was told about the page at an address."""
    for entry in re.split(r"\n(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text()):
        first, last = (int(number, 16) for number in entry.split(maxsplit=1)[0].split("-"))
        if first <= address < last:
            return set(re.search(r"VmFlags: (.*)", entry)[1].split())
    raise AssertionError("not mapped")


def in_a_child(what: Callable[[], bool]) -> int:
    """How a forked child that does this ends: 0 if it was well."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if what() else 1)
        finally:
            os._exit(2)
    return os.waitpid(child, 0)[1]


def test_a_child_that_leaves_the_block_goes_on():
    """A program that forks inside the block, and leaves it in the child too, is not killed for it."""
    with PrivateBuffer(100_000) as buffer:
        buffer.view[:] = b"\x5a" * 100_000
        lent = buffer.lend(buffer.view[:10])

        def leave() -> bool:
            try:
                _ = buffer.view
            except InputError as error:
                refused = error.code == Code.CLOSED
            try:
                buffer.lend(lent)
            except InputError:
                buffer.close()
            try:
                lent[0]
            except ValueError:
                return refused
            return False

        assert in_a_child(leave) == 0
        assert buffer.view == b"\x5a" * 100_000


def test_a_child_inherits_no_transient_copy():
    """D15: the copy for a runtime is zeros in a child, which may go on allocating where it was."""
    with PrivateBuffer(1_000_000) as buffer:
        buffer.view[:] = b"\x5a" * 1_000_000
        block = TransientBytes(buffer.view)
        with block as handed:

            def look() -> bool:
                inside = bytes(1_000_000 - 8192) in handed
                block.__exit__(None, None, None)
                return inside and len(bytearray(2_000_000)) > 0

            assert in_a_child(look) == 0
            assert handed == buffer.view
            middle = id(handed) + 500_000
            assert flags(middle) >= {"dd", "wf"}
        assert not {"dd", "wf"} & flags(middle)


def test_kept_out_of_swap_where_the_limit_allows():
    """R49: and it says so when it is not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    with PrivateBuffer(4096) as buffer:
        buffer.view[0] = 1
        address = ctypes.addressof(ctypes.c_char.from_buffer(buffer.view))
        assert buffer.locked == ("lo" in flags(address))
        assert buffer.locked == (soft != 0)
    with PrivateBuffer(0) as empty:
        assert not empty.locked

    def without() -> bool:
        memory._LIBC = None
        with PrivateBuffer(4096) as buffer:
            return not buffer.locked and buffer.view[0] == 0

    assert hard
    assert in_a_child(without) == 0


@pytest.mark.parametrize("huge", [True, False])
def test_huge_pages_are_asked_for_where_the_kernel_has_them(huge):
    known = Path("/sys/kernel/mm/transparent_hugepage").is_dir()
    with PrivateBuffer(5 * 2**20 + 77, huge=huge) as buffer:
        buffer.view[:] = b"\x5a" * buffer.size
        address = ctypes.addressof(ctypes.c_char.from_buffer(buffer.view))
        assert ("hg" in flags(address)) == (huge and known)
        assert flags(address) >= {"dd", "dc"}
        buffer.wipe()
        assert buffer.view == bytes(buffer.size)


def test_too_large_is_a_typed_error():
    with pytest.raises(StoreError) as caught:
        PrivateBuffer(1 << 60)
    assert caught.value.code == Code.MEMORY
    with PrivateBuffer(0) as buffer:
        assert len(buffer.view) == 0


def test_transient_bytes_are_zeros_afterwards():
    """D08: the object that a runtime parsed holds nothing once the session stands."""
    plain = os.urandom(50_000)
    with PrivateBuffer(50_000) as buffer:
        buffer.view[:] = plain
        with TransientBytes(buffer.view.toreadonly()) as handed:
            assert type(handed) is bytes
            assert handed == plain
        assert handed == bytes(50_000)
        assert buffer.view == plain
    with pytest.raises(InputError):
        TransientBytes(memoryview(b"x"))
