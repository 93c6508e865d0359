"""Huge pages are asked for when the caller says so, and never otherwise (docs/performance.md)."""

import ctypes
import re
from pathlib import Path

import pytest

from rooms.edge.memory_office import weights


@pytest.mark.parametrize("huge", [True, False])
def test_a_model_in_huge_pages(device, office, huge):
    office.publish("large", "1.0", {"w": weights(3, 5 * 2**20 + 77)}, counter=1)
    room = device.room()
    room.pull("large")
    known = Path("/sys/kernel/mm/transparent_hugepage").is_dir()
    with room.load("large", offline="only", huge_pages=huge) as model:
        assert model.bytes() == weights(3, 5 * 2**20 + 77)
        inside = ctypes.addressof(ctypes.c_char.from_buffer(model._buffers[0].view))
        for entry in re.split(r"\n(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text()):
            first, last = (int(number, 16) for number in entry.split(maxsplit=1)[0].split("-"))
            if first <= inside < last:
                assert (" hg" in re.search(r"VmFlags:.*", entry)[0]) == (huge and known)
                return
    raise AssertionError("not mapped")
