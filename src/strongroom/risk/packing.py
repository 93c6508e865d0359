"""Bytes of a state: fixed-width fields, little-endian, one writer and one reader.

Minutes (3 bytes) and hours (2 bytes) are written as distances from a base. What does not fit is cut to the widest that
does; the lengths of the lists and `state.aged` keep that from happening.
"""

import struct
from typing import Final

_U8, _U16, _U32 = 0xFF, 0xFFFF, 0xFFFF_FFFF
_PAIR: Final = struct.Struct("<BH")


class Writer:
    """Collects the fields of one state; `base` in minutes."""

    __slots__ = ("_base", "_parts")

    def __init__(self, letter: int, base: int) -> None:
        self._base = base
        self._parts = bytearray((letter,))
        self.u32(base)

    def u8(self, number: int) -> None:
        self._parts.append(min(number, _U8))

    def u16(self, number: int) -> None:
        self._parts += min(number, _U16).to_bytes(2, "little")

    def u32(self, number: int) -> None:
        self._parts += min(number, _U32).to_bytes(4, "little")

    def f64(self, number: float) -> None:
        self._parts += struct.pack("<d", number)

    def minutes(self, number: int) -> None:
        """0 stands for never; else one more than the distance."""
        gap = 0 if not number else min(max(number - self._base + 1, 1), 0xFF_FFFF)
        self._parts += _PAIR.pack(gap >> 16, gap & _U16)

    def hours(self, number: int) -> None:
        """0 stands for never; else one more than the distance."""
        gap = 0 if not number else min(max(number - self._base // 60 + 1, 1), _U16)
        self._parts += gap.to_bytes(2, "little")

    def done(self) -> bytes:
        return bytes(self._parts)


class Reader:
    """Reads what a `Writer` wrote; IndexError or struct.error where the bytes end too soon."""

    __slots__ = ("_at", "_base", "_data", "base", "letter")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 1
        self.letter = data[0]
        self.base = self._base = self.u32()

    def _take(self, count: int) -> int:
        data = self._data[self._at : self._at + count]
        if len(data) != count:
            raise IndexError("cut")
        self._at += count
        return int.from_bytes(data, "little")

    def u8(self) -> int:
        return self._take(1)

    def u16(self) -> int:
        return self._take(2)

    def u32(self) -> int:
        return self._take(4)

    def f64(self) -> float:
        (number,) = struct.unpack_from("<d", self._data, self._at)
        self._at += 8
        return float(number)

    def minutes(self) -> int:
        high = self._take(1)
        gap = high << 16 | self._take(2)
        return self._base + gap - 1 if gap else 0

    def hours(self) -> int:
        gap = self._take(2)
        return self._base // 60 + gap - 1 if gap else 0

    @property
    def rest(self) -> int:
        """Bytes that were not read."""
        return len(self._data) - self._at
