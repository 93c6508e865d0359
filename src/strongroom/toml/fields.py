"""The words of a file in TOML, field by field: what each may be, said in an error that names the line."""

import difflib
import re
import tomllib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from strongroom.errors import Code, SetupError
from strongroom.toml.lines import Path, line_of

MAX_TEXT = 1_048_576  # bytes of a file
MAX_SECONDS = 366 * 86_400

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_LENGTH = re.compile(r"([0-9]{1,9})([smhd])")
_PLACE = re.compile(r"\(at line (\d+), column \d+\)")
_TWICE = ("Cannot overwrite", "Cannot declare", "Duplicate", "Cannot mutate")  # how tomllib begins to say so
_SHOWN = 40  # characters of what was found, in an error

Field = Callable[["Document", Path, Any], Any]
Word = TypeVar("Word", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Document:
    """A text of TOML with the name it has for people."""

    text: str
    where: str

    def load(self) -> dict[str, Any]:
        """Parse it. Raises SetupError(CONFIG)."""
        if len(self.text.encode("utf-8", "surrogatepass")) > MAX_TEXT:
            raise SetupError(
                Code.CONFIG, f"more than {MAX_TEXT} bytes", where=self.where, next_step="is this the right file?"
            )
        try:
            return tomllib.loads(self.text)
        except (ValueError, RecursionError) as error:  # not only TOMLDecodeError: Python's own limit on digits
            place = _PLACE.search(str(error))
            lines = self.text.removesuffix("\n").split("\n")
            line = int(place[1]) if place else max(len(lines), 1)  # "at end of document" is the other place it names
            if not isinstance(error, tomllib.TOMLDecodeError):  # it names no place: too many digits, or too deep
                line = 1 + max(range(len(lines)), key=lambda at: len(lines[at]))
            what, step = "not valid TOML", "mend this line"
            if str(error).startswith(_TWICE):
                name = lines[line - 1].partition("=")[0].strip()
                what, step = f"{shown(name)} is set twice", "keep one of the two"
            raise SetupError(Code.CONFIG, what, where=f"{self.where} line {line}", next_step=step) from None

    def place(self, path: Path) -> str:
        """Return file and line of what stands at `path`."""
        line = line_of(self.text, path)
        return f"{self.where} line {line}" if line else self.where

    def wrong(self, path: Path, wanted: str, *, what: str = "") -> SetupError:
        """Return the error for a value that is not what it must be."""
        return SetupError(
            Code.CONFIG,
            what or f"{'.'.join(path)} is not {wanted}",
            where=self.place(path),
            next_step=f"set it to {wanted}" if not what else wanted,
        )


def shown(value: object) -> str:
    """Return what was found in a few printable characters."""
    try:
        text = ascii(value)
    except ValueError:  # a whole number of more digits than Python writes
        return "a number of thousands of digits"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def table(
    document: Document, path: Path, value: object, fields: Mapping[str, Field], required: Collection[str] = ()
) -> dict[str, Any]:
    """Return the fields of a table in Python's terms.

    Raises:
        SetupError: CONFIG; an unknown field with the nearest name, a missing one, or a value of another type.
    """
    if not isinstance(value, dict):
        raise document.wrong(path, "a table")
    for name in value:
        if name not in fields:
            raise unknown(document, (*path, name), fields)
    for name in required:
        if name not in value:
            what = f"{'.'.join(path)} says no {name}" if path else f"the file says no {name}"
            raise document.wrong(path, f"add {name}", what=what)
    return {name: fields[name](document, (*path, name), inner) for name, inner in value.items()}


def unknown(document: Document, path: Path, known: Iterable[str]) -> SetupError:
    """Return the error for a name that nothing has, with the nearest ones that something has."""
    names = sorted(known)
    close = difflib.get_close_matches(path[-1], names, n=1, cutoff=0.6)
    step = f"is {close[0]} meant? " if close else ""
    inside = f" in [{'.'.join(path[:-1])}]" if path[:-1] else ""
    what = f"unknown field {shown(path[-1])}{inside}"
    return SetupError(Code.CONFIG, what, where=document.place(path), next_step=f"{step}known are: {', '.join(names)}")


def flag(document: Document, path: Path, value: object) -> bool:
    """Read true or false."""
    if not isinstance(value, bool):
        raise document.wrong(path, "true or false")
    return value


def whole(low: int, high: int) -> Field:
    """Return a field of whole numbers."""

    def read(document: Document, path: Path, value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise document.wrong(path, f"a whole number from {low} to {high}")
        return value

    return read


def seconds(document: Document, path: Path, value: object) -> int:
    """Read a length of time: seconds, or text such as "7d", "12h", "30m", "90s"."""
    found = _LENGTH.fullmatch(value) if isinstance(value, str) else None
    length = int(found[1]) * _UNITS[found[2]] if found else value
    if not isinstance(length, int) or isinstance(length, bool) or not 1 <= length <= MAX_SECONDS:
        raise document.wrong(path, 'a length of time such as "7d", "12h", "30m" or "90s", of at most 366 days')
    return length


def text(pattern: str, wanted: str) -> Field:
    """Return a field of text that wholly matches a pattern."""

    def read(document: Document, path: Path, value: object) -> str:
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise document.wrong(path, wanted)
        return value

    return read


def word(kind: type[Word]) -> Callable[[Document, Path, object], Word]:
    """Return a field that takes one word of an enumeration."""

    def read(document: Document, path: Path, value: object) -> Word:
        if not isinstance(value, str) or value not in list(kind):
            raise document.wrong(path, f"one of {', '.join(kind)}")
        return kind(value)

    return read


def choice(*words: str) -> Field:
    """Return a field that takes one of these words."""

    def read(document: Document, path: Path, value: object) -> str:
        if not isinstance(value, str) or value not in words:
            raise document.wrong(path, f"one of {', '.join(words)}")
        return value

    return read


def several(one: Field, *, most: int = 256) -> Field:
    """Return a field of an array whose entries are all different.

    An empty one is refused: whether it means all or nothing, somebody would take it for the other.
    """

    def read(document: Document, path: Path, value: object) -> tuple[Any, ...]:
        if value == []:
            step = f"make it an array of 1 to {most}, or leave it out"
            raise document.wrong(path, step, what=f"{'.'.join(path)} is not an array of 1 to {most}: it is empty")
        if not isinstance(value, list) or len(value) > most:
            raise document.wrong(path, f"an array of 1 to {most}")
        found = tuple(one(document, path, entry) for entry in value)
        for at, entry in enumerate(found):
            if entry in found[:at]:
                raise document.wrong(path, "name it once", what=f"{'.'.join(path)} has {shown(value[at])} twice")
        return found

    return read


def number(low: float, high: float, *, above: bool = False) -> Field:
    """Return a field of numbers, whole or not; `above`: the lowest is not one of them."""
    wanted = f"a number above {low:g}, at most {high:g}" if above else f"a number from {low:g} to {high:g}"

    def read(document: Document, path: Path, value: object) -> float:
        if (
            isinstance(value, (int, float))
            and not isinstance(value, bool)
            and low <= value <= high
            and not (above and value == low)
        ):
            return float(value)
        raise document.wrong(path, wanted)  # what is not a number at all is not between two either

    return read
