"""`strongroom risk events`: what the office recorded, as a file that other rules can judge."""

import json
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from strongroom.cli import printing
from strongroom.cli.lazy import Command
from strongroom.cli.options import OfficeAt, office_options
from strongroom.errors import Code, InputError, RefusedError, StoreError

if TYPE_CHECKING:
    from strongroom.operator.office import OfficeClient

PATIENCE = 5.0  # seconds before a page is asked for again, when too many were
TRIES = 24

_UNITS = {"m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}


@click.command(
    "events",
    cls=Command,
    examples=["strongroom risk events -o events.jsonl", "strongroom risk events -o - --since 7d"],
)
@click.option("-o", "--out", required=True, metavar="FILE|-", help="A new file, or - for standard output.")
@click.option("--since", metavar="TIME", help="Only later ones: 7d, 12h, or 2026-11-01. [default: all there are]")
@office_options
def events(out: str, since: str | None, *, at: OfficeAt) -> None:
    """Write the recorded events as JSON lines, which `risk replay` and `risk backtest` read.

    Only what was judged is in them: no decision, so that other rules can decide. They name people and addresses: the
    file is readable for you alone.
    """
    from strongroom.cli.places import office

    start = 0 if since is None else read_past(since, now=int(time.time()))  # noqa: TID251 - the rim: "7d" is ago
    client = office(at)
    count = 0
    with _output(out) as file:
        for row in _every_event(client):
            event = row.get("event")
            if isinstance(event, dict) and event and int(row.get("at") or 0) >= start:
                file.write(json.dumps(event, sort_keys=True, separators=(",", ":")).encode("utf-8") + b"\n")
                count += 1
    printing.note(f"{count} events")
    if out != "-":
        printing.note(f"next: strongroom risk backtest --rules new.toml --events {out}")


def read_past(word: str, *, now: int) -> int:
    """Read a time that is over: 20m, 2h, 3d, 1w (ago), a date (its first second) or a moment; UTC without an offset.

    Raises:
        InputError: ARGUMENT.
    """
    if span := re.fullmatch(r"([0-9]{1,6})([mhdw])", word):
        return max(0, now - int(span[1]) * _UNITS[span[2]])
    try:
        read = datetime.fromisoformat(word)
        return max(0, int((read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()))
    except (ValueError, OverflowError):
        step = "write 20m, 2h, 3d, 1w, 2026-11-23 or 2026-11-23T03:00:00Z"
        raise InputError(Code.ARGUMENT, f"not a time: {word[:40]!a}", next_step=step) from None


def _every_event(client: "OfficeClient") -> Iterator[dict[str, Any]]:
    from strongroom.operator.office import rows

    after: str | None = None
    while True:
        answer = _patient(client, after)
        yield from rows(answer, "events")
        mark = answer.get("next")
        if not isinstance(mark, int) or str(mark) == after:
            return
        after = str(mark)


def _patient(client: "OfficeClient", after: str | None) -> dict[str, Any]:
    """Ask for a page; a long export may be told to slow down."""
    for _ in range(TRIES):
        try:
            return client.get("risk", "events", after=after)
        except RefusedError as error:
            if error.code != Code.RATE_LIMITED:
                raise
            time.sleep(PATIENCE)
    return client.get("risk", "events", after=after)


@contextmanager
def _output(out: str) -> Iterator[BinaryIO]:
    """Open what is written to; a file that does not become whole is gone again."""
    if out == "-":
        sys.stdout.flush()
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(out)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        step = "name another one: nothing is written over"
        raise InputError(Code.ALREADY_THERE, "this file is there already", where=out, next_step=step) from None
    except OSError as error:
        raise InputError(Code.PATH, f"cannot be written: {error.strerror}", where=out) from None
    done = False
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        done = True
    except OSError as error:
        raise StoreError(Code.STORE_IO, f"cannot be written: {error.strerror}", where=out) from None
    finally:
        if not done:
            path.unlink(missing_ok=True)
