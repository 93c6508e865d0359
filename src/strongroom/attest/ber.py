"""A reader of BER elements, with lengths left open, as Apple writes its receipts (X.690 section 8.1).

It finds where elements begin and end and judges nothing: what it yields is only believed under a signature. What must
have one encoding only is not read here.
"""

from dataclasses import dataclass
from typing import Final

from strongroom.attest.verdict import malformed

INTEGER, OCTETS, OID, SEQUENCE, SET = b"\x02", b"\x04", b"\x06", b"\x30", b"\x31"
OPEN_OCTETS: Final = b"\x24"  # an OCTET STRING in pieces
END: Final = b"\x00\x00"  # of an element whose length was left open
MOST_DEPTH: Final = 12  # a receipt nests 6 open elements
MOST_ELEMENTS: Final = 256  # of one list
CONSTRUCTED: Final = 0x20


@dataclass(frozen=True, slots=True)
class Element:
    """One element. `tag` is its identifier as it was written, `body` its content, `size` its length with the head."""

    tag: bytes
    body: bytes
    size: int


def only(data: bytes, tag: bytes) -> bytes:
    """Return the body of the one element that `data` holds. Raises RefusedEvidence: malformed."""
    found = first(data, tag)
    if found.size != len(data):
        raise malformed(f"{len(data) - found.size} bytes follow an ASN.1 element")
    return found.body


def first(data: bytes, tag: bytes) -> Element:
    """Return the first element of `data`, which must have this tag. Raises RefusedEvidence: malformed."""
    found = _element(data, 0)
    if found.tag != tag:
        raise malformed(f"ASN.1 tag {found.tag.hex()} where {tag.hex()} belongs")
    return found


def each(body: bytes) -> tuple[Element, ...]:
    """Return the elements of a list. Raises RefusedEvidence: malformed."""
    found: list[Element] = []
    position = 0
    while position < len(body):
        if len(found) == MOST_ELEMENTS:
            raise malformed(f"an ASN.1 list of more than {MOST_ELEMENTS} elements")
        found.append(_element(body[position:], 0))
        position += found[-1].size
    return tuple(found)


def octets(element: Element) -> bytes:
    """Return an OCTET STRING, whole or in pieces. Raises RefusedEvidence: malformed."""
    if element.tag == OCTETS:
        return element.body
    pieces = each(element.body) if element.tag == OPEN_OCTETS else ()
    if not pieces or any(piece.tag != OCTETS for piece in pieces):
        raise malformed("no ASN.1 octet string where one belongs")
    return b"".join(piece.body for piece in pieces)


def _element(data: bytes, depth: int) -> Element:
    if depth > MOST_DEPTH:
        raise malformed(f"ASN.1 nested deeper than {MOST_DEPTH}")
    tag = _tag(data)
    start = len(tag) + 1
    if len(data) < start:
        raise malformed("an ASN.1 element is cut off")
    short = data[len(tag)]
    if short == 0x80:
        return _open_element(data, tag, start, depth)
    length = short
    if short > 0x80:
        width = short & 0x7F
        if width > 4 or len(data) < start + width:
            raise malformed("an ASN.1 length that nobody needs, or is cut off")
        length = int.from_bytes(data[start : start + width], "big")
        start += width
    if length > len(data) - start:
        raise malformed("an ASN.1 element is cut off")
    return Element(tag, data[start : start + length], start + length)


def _open_element(data: bytes, tag: bytes, start: int, depth: int) -> Element:
    """Return an element that ends where its END stands, among the elements in it."""
    if not tag[0] & CONSTRUCTED:
        raise malformed("an ASN.1 value of open length")
    position = start
    for _ in range(MOST_ELEMENTS):
        if data[position : position + 2] == END:
            return Element(tag, data[start:position], position + 2)
        position += _element(data[position:], depth + 1).size
    raise malformed(f"an ASN.1 list of more than {MOST_ELEMENTS} elements")


def _tag(data: bytes) -> bytes:
    """Return an identifier of up to four bytes (X.690 section 8.1.2)."""
    if data and data[0] & 0x1F != 0x1F:
        return data[:1]
    for width in range(2, 5):
        if len(data) >= width and data[width - 1] < 0x80:
            return data[:width]
    raise malformed("an ASN.1 tag is cut off or too long")
