"""Where something stands in a TOML text, for errors that name a line; tomllib itself tells no lines.

The text is split into statements (a table's head, or a key with its value), each of which is TOML by itself. Only a
text that tomllib has accepted as a whole is looked at, and only once something in it is wrong.

In a path, the tables of an array that is written [[so]] have a number, from "1".
"""

import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping

Path = tuple[str, ...]

_ENDS = ("]", "}", '"""', "'''")  # what the last line of a value of several lines has


def line_of(text: str, path: Path) -> int:
    """Return the line on which the value at `path` begins, or the nearest thing around it; 0 if nothing is there."""
    best, found = 0, 0
    for line, one in _places(text):
        shared = 0
        while shared < min(len(one), len(path)) and one[shared] == path[shared]:
            shared += 1
        if shared > best and (shared == len(one) or shared == len(path)):
            best, found = shared, line
    return found


def _places(text: str) -> Iterator[tuple[int, Path]]:
    """Yield every path that is given a value, with the line its statement begins on."""
    table: Path = ()
    seen: Counter[Path] = Counter()
    statement, begin = "", 0
    for number, line in enumerate(text.split("\n"), 1):  # not splitlines: to TOML nothing else ends a line
        begin = number if not statement else begin
        statement += line + "\n"
        if begin != number and not any(end in line for end in _ENDS):
            continue  # a statement of many lines is parsed once, not once a line
        try:
            value = tomllib.loads(statement)
        except tomllib.TOMLDecodeError:
            continue  # it goes on in the next line
        if statement.lstrip().startswith("["):
            table = _deepest(value)
            if statement.lstrip().startswith("[["):
                seen[table] += 1
                table = (*table, str(seen[table]))
            yield begin, table
        else:
            yield from ((begin, (*table, *path)) for path in _paths(value))
        statement = ""


def _deepest(value: object) -> Path:
    """Return the path that a table's head names."""
    path: Path = ()
    while value:
        inner = value[0] if isinstance(value, list) else value
        if not isinstance(inner, Mapping) or not inner:
            break
        name = next(iter(inner))
        path, value = (*path, name), inner[name]
    return path


def _paths(value: object, before: Path = ()) -> Iterator[Path]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield (*before, name)
            yield from _paths(inner, (*before, name))
