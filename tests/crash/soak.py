"""Updates in a row: what must not grow is counted."""

import gc
import resource
import time
from dataclasses import dataclass
from pathlib import Path

from crash.acts import in_order
from rooms.edge.memory_office import Device, MemoryOffice

_PAGE = resource.getpagesize()


@dataclass(frozen=True)
class Grown:
    """What `cycles` updates left more of than there was after the first tenth of them."""

    cycles: int
    names: int  # in the device directory, deep
    disk: int  # bytes
    descriptors: int
    memory: int  # bytes that are resident
    lost: int  # updates after which another version opened, or none
    seconds: int

    @property
    def held(self) -> bool:
        """Whether nothing grew and nothing was lost; leases differ by some bytes, and a heap breathes."""
        still = (self.names, self.descriptors, self.lost) == (0, 0, 0)
        return still and abs(self.disk) < 1024 and self.memory < 8 * 2**20


def updates(home: Path, cycles: int) -> Grown:
    """Publish and pull version after version, from one room, and open each."""
    office = MemoryOffice()
    first, lost, begun = None, 0, time.monotonic()
    with in_order():
        device = Device(home, office)
        room = device.room()
        for number in range(1, cycles + 1):
            office.publish("digits", f"1.{number % 2}", {"w": number.to_bytes(8) * 32}, counter=number)
            room.pull("digits")
            with room.load("digits", offline="only") as model:
                lost += bytes(model.bytes()) != number.to_bytes(8) * 32
            _forget(office)
            if number == max(1, cycles // 10):
                first = _measured(home)
    assert first is not None
    names, disk, descriptors, memory = (now - before for now, before in zip(_measured(home), first, strict=True))
    return Grown(cycles, names, disk, descriptors, memory, lost, int(time.monotonic() - begun))


def _forget(office: MemoryOffice) -> None:
    """Drop what this office remembers of every request: it is the device's memory that is measured."""
    for one in (office.bodies, office.ephemerals, office.ranges, office.granted, office.links, office.challenges):
        one.clear()
    newest = {name for models in office.models.values() for made in models.values() for name in made.objects}
    for name in [*office.objects]:
        if name not in newest:
            del office.objects[name]


def _measured(home: Path) -> tuple[int, int, int, int]:
    gc.collect()
    there = [*home.rglob("*")]
    descriptors = len([*Path("/proc/self/fd").iterdir()])
    resident = int(Path("/proc/self/statm").read_text("ascii").split()[1]) * _PAGE
    return len(there), sum(one.lstat().st_size for one in there if one.is_file()), descriptors, resident
