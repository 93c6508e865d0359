"""The one canonical JSON of strongroom: file, wire and store (docs/spec/sealed-file.md section 3).

JSON parsers disagree on duplicate keys, large numbers, lone surrogates and more, so exactly one spelling of each
value is legal here. The decoder scans size and depth first, parses, encodes again and compares the bytes.
"""

import base64
import binascii
import json
import re
from typing import TypeAlias

from strongroom.errors import Code, IntegrityError, InternalError

JsonValue: TypeAlias = "bool | int | str | list[JsonValue] | dict[str, JsonValue] | None"

MAX_INTEGER = 2**53 - 1  # what every JSON parser in use holds exactly
MAX_DEPTH = 8
MAX_KEY = 64  # characters
MAX_MARKS = 1_000_000  # texts, brackets and commas: the largest legal table of contents has fewer than 800,000

_KEY = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")
_NOT_PLAIN = re.compile(r'[^\x20-\x7e]|["\\]')
_SHORT = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_MARK = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[{]|[\]}]|,', re.DOTALL)  # a text is one mark, whatever is in it
_BASE64URL = re.compile(r"[A-Za-z0-9_-]*")


def encode(value: JsonValue) -> bytes:
    """Encode a value in its only legal spelling.

    Raises:
        InternalError: the value has no canonical spelling (a float, a bad key, a lone surrogate, too deep).
    """
    parts: list[str] = []
    try:
        _write(value, parts, 0)
        return "".join(parts).encode("ascii")
    except _NoSpellingError as error:
        raise InternalError(Code.INTERNAL, f"a value has no canonical JSON spelling: {error}") from None


def decode(data: bytes, *, limit: int, where: str = "JSON", marks: int = MAX_MARKS) -> JsonValue:
    """Decode bytes that must be the only legal spelling of their value.

    Args:
        data: the bytes as received.
        limit: largest size accepted, in bytes; checked before anything else.
        where: what the bytes are, for the error.
        marks: most texts, brackets and commas accepted; what the parsed value takes in memory follows from them.

    Raises:
        IntegrityError: JSON_TOO_LARGE or JSON_NOT_CANONICAL.
    """
    if len(data) > limit:
        raise IntegrityError(Code.JSON_TOO_LARGE, f"JSON of {len(data)} bytes; at most {limit} are read", where=where)
    _scan(data, where, marks)
    try:
        value: JsonValue = json.loads(
            data.decode("ascii"),
            parse_float=_refuse,
            parse_constant=_refuse,
            object_pairs_hook=_pairs,
            parse_int=_integer,
        )
        parts: list[str] = []
        _write(value, parts, 0)
    except (ValueError, RecursionError, _NoSpellingError):
        raise _not_canonical(where) from None
    if "".join(parts).encode("ascii") != data:
        raise _not_canonical(where)
    return value


def to_base64url(data: bytes | bytearray | memoryview) -> str:
    """Encode bytes as base64url without padding (RFC 4648 section 5)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def from_base64url(text: str, *, where: str = "base64url") -> bytes:
    """Decode base64url without padding; only the canonical spelling is accepted.

    Raises:
        IntegrityError: JSON_NOT_CANONICAL.
    """
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)) if _BASE64URL.fullmatch(text) else None
    except binascii.Error:
        data = None
    if data is None:
        raise IntegrityError(Code.JSON_NOT_CANONICAL, "text is not base64url without padding", where=where)
    if to_base64url(data) != text:  # unused trailing bits must be zero
        raise IntegrityError(Code.JSON_NOT_CANONICAL, "text is not canonical base64url", where=where)
    return data


class _NoSpellingError(Exception):
    """Carries why a value cannot be written, to the two public functions only."""


def _not_canonical(where: str) -> IntegrityError:
    return IntegrityError(Code.JSON_NOT_CANONICAL, "not canonical JSON", where=where)


def _refuse(text: str) -> JsonValue:
    raise _NoSpellingError(text[:20])


def _integer(text: str) -> int:
    if len(text) > 17:  # before int(): its cost grows with the square of the length
        raise _NoSpellingError("integer out of range")
    return int(text)


def _pairs(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise _NoSpellingError("duplicate key")
    return value


def _scan(data: bytes, where: str, marks: int) -> None:
    """Refuse nesting before the parser recurses, and numbers of values that would fill the memory with objects."""
    depth = 0
    for number, piece in enumerate(_MARK.finditer(data)):
        if number >= marks:
            raise IntegrityError(Code.JSON_TOO_LARGE, f"JSON of more than {marks} marks", where=where)
        mark = piece[0][:1]
        if mark in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise IntegrityError(Code.JSON_NOT_CANONICAL, f"JSON nested deeper than {MAX_DEPTH}", where=where)
        elif mark in b"]}":
            depth -= 1


def _write(value: JsonValue, parts: list[str], depth: int) -> None:
    if value is None:
        parts.append("null")
    elif value is True:
        parts.append("true")
    elif value is False:
        parts.append("false")
    elif isinstance(value, str):
        _write_text(value, parts)
    elif isinstance(value, int):
        if abs(value) > MAX_INTEGER:
            raise _NoSpellingError("integer out of range")
        parts.append(str(value))
    elif isinstance(value, (list, dict)):
        if depth >= MAX_DEPTH:
            raise _NoSpellingError("too deep")
        _write_container(value, parts, depth + 1)
    else:
        raise _NoSpellingError(type(value).__name__)


def _write_container(value: list[JsonValue] | dict[str, JsonValue], parts: list[str], depth: int) -> None:
    if isinstance(value, list):
        parts.append("[")
        for index, item in enumerate(value):
            if index:
                parts.append(",")
            _write(item, parts, depth)
        parts.append("]")
        return
    parts.append("{")
    for index, key in enumerate(sorted(value)):
        if not _KEY.match(key):
            raise _NoSpellingError("key")
        parts.append(f',"{key}":' if index else f'"{key}":')
        _write(value[key], parts, depth)
    parts.append("}")


def _write_text(text: str, parts: list[str]) -> None:
    parts.append('"')
    parts.append(_NOT_PLAIN.sub(_escape, text) if _NOT_PLAIN.search(text) else text)
    parts.append('"')


def _escape(match: re.Match[str]) -> str:
    sign = match[0]
    if sign in _SHORT:
        return _SHORT[sign]
    number = ord(sign)
    if 0xD800 <= number <= 0xDFFF:
        raise _NoSpellingError("lone surrogate")
    if number > 0xFFFF:
        number -= 0x10000
        return f"\\u{0xD800 + (number >> 10):04x}\\u{0xDC00 + (number & 0x3FF):04x}"
    return f"\\u{number:04x}"
