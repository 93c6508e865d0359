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
MOST_ELEMENTS: Final = 256  # of one list, and of one open element with all that are open in it
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
        found.append(_element(body, position))
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


def _element(data: bytes, at: int) -> Element:
    tag, start, length = _head(data, at)
    if length is not None:
        return Element(tag, data[start : start + length], start + length - at)
    end = _end_of_open(data, start)
    return Element(tag, data[start:end], end + len(END) - at)


def _end_of_open(data: bytes, position: int) -> int:
    """Return where the END of an open element stands, whose content begins at `position`.

    Its elements are counted with all that are in them and open too, so that nesting buys nobody more work.
    """
    depth = 1
    for _ in range(MOST_ELEMENTS):
        if data.startswith(END, position):
            depth -= 1
            if not depth:
                return position
            position += len(END)
            continue
        _, start, length = _head(data, position)
        position = start if length is None else start + length
        depth += length is None
        if depth > MOST_DEPTH:
            raise malformed(f"ASN.1 nested deeper than {MOST_DEPTH}")
    raise malformed(f"an ASN.1 list of more than {MOST_ELEMENTS} elements")


def _head(data: bytes, at: int) -> tuple[bytes, int, int | None]:
    """Return an element's tag, where its content begins, and its length, None if that is left open."""
    tag = _tag(data, at)
    start = at + len(tag) + 1
    if len(data) < start:
        raise malformed("an ASN.1 element is cut off")
    length = data[start - 1]
    if length == 0x80:
        if not tag[0] & CONSTRUCTED:
            raise malformed("an ASN.1 value of open length")
        return tag, start, None
    if length > 0x80:
        width = length & 0x7F
        if width > 4 or len(data) < start + width:
            raise malformed("an ASN.1 length that nobody needs, or is cut off")
        length = int.from_bytes(data[start : start + width], "big")
        start += width
    if length > len(data) - start:
        raise malformed("an ASN.1 element is cut off")
    return tag, start, length


def _tag(data: bytes, at: int) -> bytes:
    """Return an identifier of up to four bytes (X.690 section 8.1.2)."""
    found = data[at : at + 4]
    if found and found[0] & 0x1F != 0x1F:
        return found[:1]
    for width in range(2, len(found) + 1):
        if found[width - 1] < 0x80:
            return found[:width]
    raise malformed("an ASN.1 tag is cut off or too long")
