"""An office whose store breaks off at chosen bytes, once or until told otherwise, or sends other bytes."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from rooms.edge.memory_office import MemoryOffice, problem
from strongroom.edge.exchange import accepted
from strongroom.errors import Code, UnreachableError

BLOCK = 16_384  # bytes of one TLS record: what a client gets at once


@dataclass
class CuttingOffice(MemoryOffice):
    """Counts each byte that leaves the store, and breaks the line at each of `cuts`, counted in the same way."""

    fetched: int = 0
    cuts: list[int] = field(default_factory=list)  # the next is the last
    outright: Callable[[int], bool] = lambda at: False  # whether a cut lasts until `down` is taken back
    altered: Callable[[int, bytes], bytes] = lambda offset, data: data
    over: int = 0  # how many links are over: the next reads with any other are refused

    def read_range_into(
        self, url: str, offset: int, into: memoryview, arrived: Callable[[int], None] | None = None
    ) -> None:
        stored = self.objects[url.rsplit("/", 1)[1].partition("?")[0]]
        if self.over:
            self.over -= 1
            accepted(problem(403, Code.URL_EXPIRED))
        done = 0
        while done < len(into):
            with self._counting:
                if self.down:
                    raise UnreachableError(Code.UNREACHABLE, "the store is down")
                size = min(BLOCK, len(into) - done)
                cut = bool(self.cuts) and self.fetched + size >= self.cuts[-1]
                if cut:
                    size = self.cuts[-1] - self.fetched
                    self.down = self.outright(self.cuts.pop())
                self.fetched += size
            start = offset + done
            into[done : done + size] = self.altered(start, bytes(stored[start : start + size]))
            done += size
            if arrived is not None:
                arrived(done)
            if cut:
                raise UnreachableError(Code.UNREACHABLE, "the connection broke")

    def __post_init__(self) -> None:
        super().__post_init__()
        self._counting = threading.Lock()


def size_of(office: MemoryOffice, model: str, version: str) -> int:
    """Return the bytes of a version as published."""
    return sum(len(office.objects[name]) for name in office.models[model][version].objects)


def arriving(home: Path) -> dict[str, bytes]:
    """Return what lies in the directory of versions on their way in, by path."""
    top = home / "incoming"
    return {str(one.relative_to(top)): one.read_bytes() for one in sorted(top.rglob("*")) if one.is_file()}
