"""What every remembered state has in common: how it is packed, and what a user and a device key can be charged with."""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from strongroom.errors import Code, IntegrityError
from strongroom.risk.packing import Reader, Writer

EVIDENCE: Final = 8  # rules one entity is charged by at a time; the smallest gives way
OLD_HOURS: Final = 40_000  # a base older than this (4.5 years) is moved
KEPT_HOURS: Final = 10_000  # to this far back


class State:
    """The state of one entity; which kind, its first packed byte says."""

    __slots__ = ()
    letter: ClassVar[int] = 0
    readers: ClassVar[dict[int, Callable[[Reader], "State"]]] = {}

    def __init_subclass__(cls) -> None:
        if cls.letter:
            State.readers[cls.letter] = cls.read

    @staticmethod
    def read(read: Reader) -> "State":
        """Read the packed fields of one kind of state."""
        raise NotImplementedError

    def pack(self) -> bytes:
        """Return at most 256 bytes that `unpack` turns into an equal state."""
        raise NotImplementedError

    @staticmethod
    def unpack(data: bytes) -> "State":
        """Read what `pack` gave.

        Raises:
            IntegrityError: STORE_DAMAGED.
        """
        try:
            read = Reader(data)
            state = State.readers[read.letter](read)
        except (IndexError, KeyError, struct.error):
            raise _damaged() from None
        if read.rest:
            raise _damaged()
        return state


@dataclass(slots=True)
class Bearer(State):
    """What a user and a key have in common: evidence, a band and stops.

    Attributes:
        base: minutes; no time in the state is before it.
        born: minutes; the first event.
        band: 0 none, 1 medium, 2 high, by the score alone.
        since: minutes; when the band was entered or last confirmed.
        stop: bits of `stops.WORDS` that are in force.
        floor: bits of `stops.WORDS` that hold the band at medium.
        evidence: rule tag -> [points in hundredths, minutes of the last hit].
    """

    base: int
    born: int
    band: int = 0
    since: int = 0
    stop: int = 0
    floor: int = 0
    evidence: dict[int, list[int]] = field(default_factory=dict)

    def _written(self) -> Writer:
        write = Writer(self.letter, self.base)
        write.minutes(self.born)
        write.u8(self.band)
        write.minutes(self.since)
        write.u8(self.stop)
        write.u8(self.floor)
        write.u8(len(self.evidence))
        for rule, (points, minutes) in self.evidence.items():
            write.u16(rule)
            write.u16(points)
            write.minutes(minutes)
        return write

    def aged(self, hours: int) -> None:
        """Move the base when it is years old, and forget what is far too old for any rule."""
        if hours - self.base // 60 <= OLD_HOURS:
            return
        old = self.base = (hours - KEPT_HOURS) * 60
        self.born, self.since = max(self.born, old), max(self.since, old)
        self.evidence = {rule: held for rule, held in self.evidence.items() if held[1] >= old}


def read_bearer(read: Reader) -> tuple[int, int, int, int, int, int, dict[int, list[int]]]:
    """Read what `Bearer` begins with, in the order of its fields."""
    born, band, since, stop, floor = read.minutes(), read.u8(), read.minutes(), read.u8(), read.u8()
    evidence = {read.u16(): [read.u16(), read.minutes()] for _ in range(read.u8())}
    return read.base, born, band, since, stop, floor, evidence


def forget(entries: dict[int, Any], most: int) -> None:
    """Make room for one more by dropping the oldest entry."""
    while len(entries) >= most:
        del entries[next(iter(entries))]


def _damaged() -> IntegrityError:
    """Return the refusal of a packed state that cannot be read."""
    return IntegrityError(Code.STORE_DAMAGED, "a packed risk state cannot be read", next_step="restore the database")
