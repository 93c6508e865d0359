"""Closed shapes of JSON values: what a message may hold, checked field by field.

A shape checks a decoded value and returns it in Python's terms (base64url text becomes bytes, arrays become tuples).
Objects are closed: an unknown or missing field is refused. Each shape also describes itself as JSON Schema, so that
the OpenAPI description says what the code checks and cannot drift from it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from strongroom.canonical import MAX_INTEGER, JsonValue, from_base64url
from strongroom.errors import Code, IntegrityError


class Shape(Protocol):
    """One kind of value."""

    def check(self, value: JsonValue, where: str) -> Any:  # noqa: ANN401 - each shape returns its own Python type
        """Return the checked value, or raise IntegrityError(SHAPE) naming `where`."""
        ...

    def schema(self) -> dict[str, Any]:
        """Describe the value as JSON Schema (2020-12)."""
        ...


def _wrong(where: str, wanted: str) -> IntegrityError:
    return IntegrityError(Code.SHAPE, f"expected {wanted}", where=where)


@dataclass(frozen=True, slots=True)
class Text:
    """A string of at most `most` characters, wholly matching `pattern` if one is given."""

    most: int
    pattern: str | None = None
    least: int = 1

    def check(self, value: JsonValue, where: str) -> str:
        if not isinstance(value, str) or not self.least <= len(value) <= self.most:
            raise _wrong(where, f"text of {self.least} to {self.most} characters")
        if self.pattern is not None and not re.fullmatch(self.pattern, value):
            raise _wrong(where, f"text matching {self.pattern}")
        return value

    def schema(self) -> dict[str, Any]:
        schema: dict[str, Any] = {"type": "string", "minLength": self.least, "maxLength": self.most}
        return schema if self.pattern is None else schema | {"pattern": f"^(?:{self.pattern})$"}


@dataclass(frozen=True, slots=True)
class Integer:
    """An integer from `low` to `high`, both included."""

    low: int = 0
    high: int = MAX_INTEGER

    def check(self, value: JsonValue, where: str) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not self.low <= value <= self.high:
            raise _wrong(where, f"an integer from {self.low} to {self.high}")
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.low, "maximum": self.high}


@dataclass(frozen=True, slots=True)
class Flag:
    """True or false."""

    def check(self, value: JsonValue, where: str) -> bool:
        if not isinstance(value, bool):
            raise _wrong(where, "true or false")
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Binary:
    """Bytes as base64url without padding, from `least` to `most` bytes (`most` alone: exactly that many)."""

    most: int
    least: int | None = None

    def check(self, value: JsonValue, where: str) -> bytes:
        low = self.most if self.least is None else self.least
        wanted = f"{self.most} bytes as base64url" if low == self.most else f"{low} to {self.most} bytes as base64url"
        if not isinstance(value, str) or len(value) > (self.most * 4 + 2) // 3:
            raise _wrong(where, wanted)
        data = from_base64url(value, where=where)
        if not low <= len(data) <= self.most:
            raise _wrong(where, wanted)
        return data

    def schema(self) -> dict[str, Any]:
        low = self.most if self.least is None else self.least
        sizes = {"minLength": (low * 4 + 2) // 3, "maxLength": (self.most * 4 + 2) // 3}
        return {"type": "string", "contentEncoding": "base64url", "pattern": "^[A-Za-z0-9_-]*$", **sizes}


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the given strings or integers."""

    values: tuple[str | int, ...]

    def check(self, value: JsonValue, where: str) -> str | int:
        for known in self.values:
            if type(value) is type(known) and value == known:
                return known
        raise _wrong(where, f"one of {', '.join(map(str, self.values))}")

    def schema(self) -> dict[str, Any]:
        return {"enum": list(self.values)}


@dataclass(frozen=True, slots=True)
class Array:
    """An array of `least` to `most` values of one shape; becomes a tuple."""

    of: Shape
    most: int
    least: int = 0

    def check(self, value: JsonValue, where: str) -> tuple[Any, ...]:
        if not isinstance(value, list) or not self.least <= len(value) <= self.most:
            raise _wrong(where, f"an array of {self.least} to {self.most}")
        return tuple(self.of.check(item, f"{where}[{index}]") for index, item in enumerate(value))

    def schema(self) -> dict[str, Any]:
        return {"type": "array", "items": self.of.schema(), "minItems": self.least, "maxItems": self.most}


@dataclass(frozen=True, slots=True)
class Nullable:
    """A value of one shape, or null; the field itself must be there."""

    of: Shape

    def check(self, value: JsonValue, where: str) -> Any:  # noqa: ANN401 - the type is that of the inner shape
        return None if value is None else self.of.check(value, where)

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [self.of.schema(), {"type": "null"}]}


@dataclass(frozen=True, slots=True)
class Object:
    """An object with exactly these fields; those in `optional` may be absent and then become None."""

    fields: Mapping[str, Shape]
    optional: frozenset[str] = frozenset()

    def check(self, value: JsonValue, where: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _wrong(where, "an object")
        unknown = sorted(value.keys() - self.fields.keys())
        missing = sorted(self.fields.keys() - self.optional - value.keys())
        if unknown or missing:
            raise _wrong(where, f"other fields (unknown: {unknown[:4]}, missing: {missing[:4]})")
        return {
            name: shape.check(value[name], f"{where}.{name}") if name in value else None
            for name, shape in self.fields.items()
        }

    def schema(self) -> dict[str, Any]:
        required = sorted(self.fields.keys() - self.optional)
        properties = {name: shape.schema() for name, shape in self.fields.items()}
        return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


@dataclass(frozen=True, slots=True)
class Free:
    """An object of short strings and integers whose names the sender chooses (metadata); at most `most` fields."""

    most: int
    text: int = 1024

    def check(self, value: JsonValue, where: str) -> dict[str, str | int]:
        if not isinstance(value, dict) or len(value) > self.most:
            raise _wrong(where, f"an object of at most {self.most} fields")
        result: dict[str, str | int] = {}
        for name, item in value.items():
            if (
                isinstance(item, bool)
                or not isinstance(item, (str, int))
                or (isinstance(item, str) and len(item) > self.text)
            ):
                raise _wrong(f"{where}.{name}", f"an integer or text of at most {self.text} characters")
            result[name] = item
        return result

    def schema(self) -> dict[str, Any]:
        items = {"anyOf": [{"type": "integer"}, {"type": "string", "maxLength": self.text}]}
        return {"type": "object", "additionalProperties": items, "maxProperties": self.most}
