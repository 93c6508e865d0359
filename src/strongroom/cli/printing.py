"""What commands print: tables and JSON on stdout, notes and progress on stderr."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import click


def printable(text: str) -> str:
    """Return the text with everything that could steer a terminal made visible (it may come from another machine)."""
    return "".join(sign if sign.isprintable() else f"\\u{ord(sign):04x}" for sign in text)


def styled(text: str, colour: str) -> str:
    """Colour a word for stderr or stdout; click drops the colour where the stream is no terminal."""
    return text if os.environ.get("NO_COLOR") else click.style(text, fg=colour, bold=True)


def document(value: Any) -> None:  # noqa: ANN401 - any JSON value
    """Print one JSON document."""
    click.echo(json.dumps(value, indent=2, sort_keys=True))


def line(text: str) -> None:
    """Print a line of data."""
    click.echo(printable(text))


def note(text: str) -> None:
    """Print a line for the person watching."""
    click.echo(printable(text), err=True)


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print aligned columns under a head; without rows the head alone, so that a script sees the columns."""
    cells = [list(head), *([printable("-" if cell is None else str(cell)) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    for row in cells:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def fields(pairs: Sequence[tuple[str, object]]) -> None:
    """Print names and values, one a line."""
    width = max(len(name) for name, _ in pairs)
    for name, value in pairs:
        click.echo(f"{name.ljust(width)}  {printable('-' if value is None else str(value))}")


def moment(seconds: object) -> str:
    """Write Unix seconds as UTC; "-" for anything else."""
    if not isinstance(seconds, int):
        return "-"
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return f"{seconds} s"


def size(count: int) -> str:
    """Write a number of bytes for people."""
    amount, unit = float(count), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if round(amount, 1) < 1024 or unit == "TiB":
            break
        amount /= 1024
    return f"{count} B" if unit == "B" else f"{amount:.1f} {unit}"


@contextmanager
def progress(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar while the block runs, on a terminal only; yields a function that takes the bytes done so far."""
    with steps(label) as reached:
        yield lambda done: reached(done, total)


@contextmanager
def steps(label: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar as `progress` does, for work whose size is known only once it has begun."""
    if not sys.stderr.isatty():
        yield lambda done, total: None  # noqa: ARG005 - the shape of a progress function
        return
    bars: list[Any] = []

    def reached(done: int, total: int) -> None:
        if not bars:
            bars.append(click.progressbar(length=max(total, 1), label=label, file=sys.stderr, show_pos=False))
            bars[0].__enter__()
        bars[0].update(max(0, min(done, total) - bars[0].pos))

    try:
        yield reached
    finally:
        if bars:
            bars[0].__exit__(None, None, None)
