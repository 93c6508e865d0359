"""A strict reader of DER (ITU-T X.690 section 10): one spelling for each value, and every other one is refused.

Indefinite and over-long lengths, tags and integers longer than they must be, booleans that are neither 00 nor FF, and
bytes behind the value: certificates are signed, but what lies inside an extension was written by a device, and readers
that disagree about it are how one value is checked and another believed. Each call reads one level and never recurses.
"""

from dataclasses import dataclass
from typing import Self

from strongroom.attest.verdict import malformed

UNIVERSAL, CONTEXT = 0, 2
BOOLEAN, INTEGER, OCTET_STRING, NULL, ENUMERATED, SEQUENCE, SET = 1, 2, 4, 5, 10, 16, 17

MOST_ELEMENTS = 512  # in one sequence or set; the longest list of Android's schema has 60
INTEGER_SIZE = 9  # bytes: 64 bits without a sign take nine
TAG_SIZE = 3  # bytes of a high tag number: up to 2^21 - 1, and Android's end at 724
LENGTH_SIZE = 3  # bytes of a long length: evidence has at most 64 KiB


@dataclass(frozen=True, slots=True)
class Element:
    """One value: its tag and its contents, with `where` it was found, for the refusal.

    Every method returns the contents as one type, or raises RefusedEvidence(MALFORMED) if they are of another or not
    in the only spelling.
    """

    tag_class: int
    constructed: bool
    number: int
    content: bytes
    where: str

    def sequence(self) -> tuple[Self, ...]:
        """The values of a SEQUENCE."""
        self._be(SEQUENCE, constructed=True, name="SEQUENCE")
        return self._inside()

    def set_of(self) -> tuple[Self, ...]:
        """The values of a SET OF, in the order given: genuine keystores do not sort them, though DER says so."""
        self._be(SET, constructed=True, name="SET")
        return self._inside()

    def explicit(self) -> Self:
        """The one value inside an explicit context tag."""
        if self.tag_class != CONTEXT or not self.constructed:
            raise malformed(f"{self.where}: expected an explicit context tag")
        inside = self._inside()
        if len(inside) != 1:
            raise malformed(f"{self.where}: {len(inside)} values in an explicit tag")
        return inside[0]

    def integer(self) -> int:
        """An INTEGER of at most 64 bits."""
        self._be(INTEGER, constructed=False, name="INTEGER")
        return self._number()

    def enumerated(self) -> int:
        """An ENUMERATED of at most 64 bits."""
        self._be(ENUMERATED, constructed=False, name="ENUMERATED")
        return self._number()

    def boolean(self) -> bool:
        """A BOOLEAN: FF is true, 00 is false, and nothing else is either."""
        self._be(BOOLEAN, constructed=False, name="BOOLEAN")
        if self.content not in {b"\x00", b"\xff"}:
            raise malformed(f"{self.where}: a BOOLEAN is neither 00 nor FF")
        return self.content == b"\xff"

    def octets(self) -> bytes:
        """An OCTET STRING."""
        self._be(OCTET_STRING, constructed=False, name="OCTET STRING")
        return self.content

    def null(self) -> None:
        """A NULL, which has no contents."""
        self._be(NULL, constructed=False, name="NULL")
        if self.content:
            raise malformed(f"{self.where}: a NULL with contents")

    def _be(self, number: int, *, constructed: bool, name: str) -> None:
        if (self.tag_class, self.constructed, self.number) != (UNIVERSAL, constructed, number):
            raise malformed(f"{self.where}: expected {name}, found class {self.tag_class} tag {self.number}")

    def _number(self) -> int:
        content = self.content
        if not 1 <= len(content) <= INTEGER_SIZE:
            raise malformed(f"{self.where}: an integer of {len(content)} bytes")
        if len(content) > 1 and (content[0], content[1] >> 7) in {(0x00, 0), (0xFF, 1)}:
            raise malformed(f"{self.where}: an integer is longer than it must be")
        return int.from_bytes(content, "big", signed=True)

    def _inside(self) -> tuple[Self, ...]:
        found: list[Self] = []
        at = 0
        while at < len(self.content):
            if len(found) == MOST_ELEMENTS:
                raise malformed(f"{self.where}: more than {MOST_ELEMENTS} values")
            element, at = self._at(self.content, at, self.where)
            found.append(element)
        return tuple(found)

    @classmethod
    def _at(cls, data: bytes, at: int, where: str) -> tuple[Self, int]:
        """Read the value at an offset; returns it and the offset behind it."""
        first = _byte(data, at, where)
        number, at = _tag_number(data, at, where)
        length, at = _length(data, at, where)
        if length > len(data) - at:
            raise malformed(f"{where}: a value of {length} bytes where {len(data) - at} are left")
        return cls(first >> 6, bool(first & 0x20), number, data[at : at + length], where), at + length


def read(data: bytes, where: str) -> Element:
    """Read bytes that are exactly one value.

    Args:
        data: the whole of it.
        where: what it is, for the refusal.

    Raises:
        RefusedEvidence: MALFORMED.
    """
    element, end = Element._at(data, 0, where)  # noqa: SLF001 - the class and its two readers are one
    if end != len(data):
        raise malformed(f"{where}: {len(data) - end} bytes behind the value")
    return element


def split(data: bytes, most: int, where: str) -> tuple[bytes, ...]:
    """Return the encodings of values that stand one behind the other.

    Args:
        data: the whole of it.
        most: values accepted.
        where: what they are, for the refusal.

    Raises:
        RefusedEvidence: MALFORMED.
    """
    parts: list[bytes] = []
    at = 0
    while at < len(data):
        if len(parts) == most:
            raise malformed(f"{where}: more than {most}")
        _, end = Element._at(data, at, where)  # noqa: SLF001 - as above
        parts.append(data[at:end])
        at = end
    return tuple(parts)


def _byte(data: bytes, at: int, where: str) -> int:
    if at >= len(data):
        raise malformed(f"{where}: ends in the middle of a value")
    return data[at]


def _tag_number(data: bytes, at: int, where: str) -> tuple[int, int]:
    number = data[at] & 0x1F
    at += 1
    if number != 0x1F:
        return number, at
    number = 0
    for taken in range(TAG_SIZE):
        byte = _byte(data, at + taken, where)
        number = number << 7 | byte & 0x7F
        if taken == 0 and byte == 0x80:
            break  # a leading zero
        if byte < 0x80:
            if number < 0x1F:
                break  # it fits into one byte
            return number, at + taken + 1
    raise malformed(f"{where}: a tag number is longer than it must be")


def _length(data: bytes, at: int, where: str) -> tuple[int, int]:
    first = _byte(data, at, where)
    at += 1
    if first < 0x80:
        return first, at
    size = first & 0x7F
    if not 1 <= size <= LENGTH_SIZE:
        raise malformed(f"{where}: a length is indefinite or of {size} bytes")
    if at + size > len(data):
        raise malformed(f"{where}: ends in the middle of a length")
    length = int.from_bytes(data[at : at + size], "big")
    if length < 0x80 or data[at] == 0:
        raise malformed(f"{where}: a length is longer than it must be")
    return length, at + size
