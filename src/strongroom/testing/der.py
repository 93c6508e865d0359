"""Writing DER (X.690), as far as evidence needs it: what the readers of the room `attest` read, made to be read."""

INTEGER, OCTET_STRING, NULL, OID, ENUMERATED, UTF8_STRING = 0x02, 0x04, 0x05, 0x06, 0x0A, 0x0C
SEQUENCE, SET = 0x30, 0x31


def tlv(tag: int, content: bytes) -> bytes:
    """Return a value of one of the universal tags above."""
    return bytes([tag]) + _length(len(content)) + content


def integer(value: int, tag: int = INTEGER) -> bytes:
    """Return an INTEGER, or with its tag an ENUMERATED; not negative."""
    return tlv(tag, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def octets(value: bytes) -> bytes:
    """Return an OCTET STRING."""
    return tlv(OCTET_STRING, value)


def boolean(value: bool) -> bytes:  # noqa: FBT001 - it is the value that is written
    """Return a BOOLEAN; true is 0xFF in DER."""
    return b"\x01\x01\xff" if value else b"\x01\x01\x00"


def sequence(*parts: bytes) -> bytes:
    """Return a SEQUENCE of what is encoded already."""
    return tlv(SEQUENCE, b"".join(parts))


def set_of(*parts: bytes) -> bytes:
    """Return a SET OF, sorted as DER demands."""
    return tlv(SET, b"".join(sorted(parts)))


def oid(dotted: str) -> bytes:
    """Return an OBJECT IDENTIFIER."""
    first, second, *rest = (int(part) for part in dotted.split("."))
    return tlv(OID, b"".join(map(_base128, (first * 40 + second, *rest))))


def explicit(number: int, content: bytes) -> bytes:
    """Return a context-specific constructed value; the number may be larger than 30 (X.690 section 8.1.2.4)."""
    tag = bytes([0xA0 | number]) if number < 31 else b"\xbf" + _base128(number)
    return tag + _length(len(content)) + content


def indefinite(tag: bytes, *parts: bytes) -> bytes:
    """Return a constructed value of indefinite length: BER and not DER, as Apple writes its receipts."""
    return tag + b"\x80" + b"".join(parts) + b"\0\0"


def _length(size: int) -> bytes:
    if size < 0x80:
        return bytes([size])
    shown = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([0x80 | len(shown)]) + shown


def _base128(value: int) -> bytes:
    parts = [value & 0x7F]
    while value := value >> 7:
        parts.append(value & 0x7F | 0x80)
    return bytes(reversed(parts))
