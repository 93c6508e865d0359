"""Strict CBOR for evidence: one meaning per string of bytes (RFC 8949 section 4.2, but for the order of a map's keys).

`cbor2` alone takes duplicate keys, long forms, open lengths, tags that compile regular expressions and trailing bytes.
So the bytes are walked before it sees them. The order of keys is not judged: Apple never promised one.
"""

from typing import Final

import cbor2

from strongroom.attest.verdict import malformed

MOST_BYTES: Final = 65_536  # the cap on any evidence
MOST_DEPTH: Final = 8  # App Attest nests 4 deep
MOST_ENTRIES: Final = 64  # of one array or map; App Attest has 5

UNSIGNED, NEGATIVE, BYTES, TEXT, ARRAY, MAP, TAG, SIMPLE = range(8)  # major types, RFC 8949 section 3.1
FALSE, TRUE, NULL = 20, 21, 22

Value = int | bytes | str | bool | None | list["Value"] | dict["int | str", "Value"]


def item(data: bytes) -> Value:
    """Return the one item that `data` holds.

    Raises:
        RefusedEvidence: malformed: nothing, more than one item, or an item that is not written in its one way.
    """
    value, rest = first(data)
    if rest:
        raise malformed(f"{len(rest)} bytes follow the CBOR item")
    return value


def first(data: bytes) -> tuple[Value, bytes]:
    """Return the first item of `data`, and the bytes that follow it.

    Raises:
        RefusedEvidence: malformed, as for `item`.
    """
    if len(data) > MOST_BYTES:
        raise malformed(f"{len(data)} bytes of CBOR, at most {MOST_BYTES} are read")
    end = _end(data, 0, 0)
    try:
        value: Value = cbor2.loads(
            data[:end],
            allow_indefinite=False,
            allow_duplicate_keys=False,
            semantic_decoders={},
            max_depth=MOST_DEPTH + 1,
        )
    except Exception as error:  # noqa: BLE001 - whatever a parser of strangers' bytes raises, the bytes are at fault
        raise malformed(f"CBOR: {type(error).__name__}") from None
    return value, data[end:]


def _end(data: bytes, start: int, depth: int) -> int:
    """Return where the item that starts at `start` ends. Every length is compared with what is there first."""
    if depth > MOST_DEPTH:
        raise malformed(f"CBOR nested deeper than {MOST_DEPTH}")
    major, number, position = _head(data, start)
    if major in {BYTES, TEXT}:
        if number > len(data) - position:
            raise malformed("a CBOR string is cut off")
        return position + number
    if major in {ARRAY, MAP}:
        return _end_of_entries(data, position, number, is_map=major == MAP, depth=depth + 1)
    if major == TAG:
        raise malformed(f"CBOR tag {number}")
    if major == SIMPLE and number not in {FALSE, TRUE, NULL}:
        raise malformed("a CBOR float or simple value")
    return position


def _end_of_entries(data: bytes, position: int, number: int, *, is_map: bool, depth: int) -> int:
    if number > MOST_ENTRIES:
        raise malformed(f"a CBOR list of {number} entries, at most {MOST_ENTRIES} are read")
    for _ in range(number):
        if is_map:
            position = _key(data, position, depth)
        position = _end(data, position, depth)
    return position


def _key(data: bytes, start: int, depth: int) -> int:
    """Return where a map's key ends: an integer or text. Python's True is 1 and NaN is not NaN, so nothing else."""
    if _head(data, start)[0] not in {UNSIGNED, NEGATIVE, TEXT}:
        raise malformed("a CBOR key that is neither a number nor text")
    return _end(data, start, depth)


def _head(data: bytes, start: int) -> tuple[int, int, int]:
    """Return major type, number and the position behind them; the number is in its shortest form.

    Of SIMPLE only the one-byte forms are returned as they are: any longer one is a float, or is not shortest.
    """
    if start >= len(data):
        raise malformed("CBOR is cut off")
    major, short = data[start] >> 5, data[start] & 0x1F
    position = start + 1
    if short < 24:
        return major, short, position
    if short > 27:
        raise malformed("a CBOR item of open length or reserved form")
    if major == SIMPLE:
        raise malformed("a CBOR float or simple value")
    width = 1 << (short - 24)
    if width > len(data) - position:
        raise malformed("CBOR is cut off")
    number = int.from_bytes(data[position : position + width], "big")
    if number < (24, 1 << 8, 1 << 16, 1 << 32)[short - 24]:
        raise malformed("a CBOR number longer than it need be")
    return major, number, position + width
