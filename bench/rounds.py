"""Questions: acts that run in turn, round after round, each time in a fresh process; medians of what they cost.

Ratios are taken within a round, between neighbours in time, and their median is what counts: on a machine that other
work slows down, both sides are slowed.
"""

import argparse
import contextlib
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from table import machine, show
from window import Prepare, serve

MIB = 2**20
QUIET = 1.0  # load average of a machine that does little else
_MOST_SECONDS = 600
_UPSIDE_DOWN = {"speed": "wall", "served": "beside"}


@dataclass(frozen=True, slots=True)
class Row:
    """One act of a question."""

    name: str
    text: str
    prepare: Prepare = field(repr=False)
    needs: str = ""  # a package of the group `bench` without which the row is left out
    size: float = 1.0  # its share of the size asked for


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure that was set as a goal before anything was measured."""

    text: str
    row: str
    figure: (
        str  # "wall" or "cpu", by that of `against`; "speed" and "served" (by the server's CPU), the same upside down;
        # "peak", by the size if by nothing
    )
    limit: float
    against: str = ""
    least: bool = False  # the figure must be at least the limit, not at most


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, in one script."""

    name: str
    title: str
    script: str
    rows: tuple[Row, ...]
    base: str  # the row that ratios are to
    goals: tuple[Goal, ...]
    made: Callable[[Path, int], contextlib.AbstractContextManager[None]] = field(repr=False)  # the files, once
    counts: str = "bytes"  # what the size is made of: bytes, "checks" or "requests" (one a MiB), "starts" of a program
    shares: Callable[[Path], dict[str, float]] | None = field(default=None, repr=False)  # where the time goes


def main(question: Question) -> None:
    """Be the script of a question: one act of it for its own processes, the whole of it for people."""
    if sys.argv[1:2] == ["--act"]:
        serve({row.name: row.prepare for row in question.rows})
        return
    options = arguments(question.title)
    told = asked([question], options)
    if options.json:
        json.dump(told, sys.stdout, indent=1)
    else:
        show(told)


def arguments(what: str, *more: tuple[str, dict[str, Any]]) -> argparse.Namespace:
    """Read the options that every script has."""
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("--size", type=int, default=256, help="MiB of the model (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=9, help="rounds; medians are taken (default: %(default)s)")
    parser.add_argument("--folder", type=Path, default=None, help="where files are made (default: memory, /dev/shm)")
    parser.add_argument(
        "--quick", action="store_true", help="see that it runs: 20 MiB, one round; figures mean nothing"
    )
    parser.add_argument("--json", action="store_true", help="write JSON to stdout")
    for name, how in more:
        parser.add_argument(name, **how)
    options = parser.parse_args()
    if options.quick:
        options.size, options.rounds = 20, 1
    return options


def asked(questions: list[Question], options: argparse.Namespace) -> dict[str, Any]:
    """Ask questions one after the other; return everything that was found."""
    place = options.folder or (Path("/dev/shm") if Path("/dev/shm").is_dir() else None)  # noqa: S108 - a fresh folder in it
    before = os.getloadavg()[0]
    found = []
    for question in questions:
        with tempfile.TemporaryDirectory(dir=place, prefix="strongroom-bench-") as folder:
            found.append(_answer(question, Path(folder), options))
    told = machine() | {"load_before": before, "load_after": os.getloadavg()[0], "quick": options.quick}
    return {"machine": told, "size": options.size * MIB, "rounds": options.rounds, "questions": found}


def _answer(question: Question, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    rows = [row for row in question.rows if not row.needs or importlib.util.find_spec(row.needs)]
    size = options.size * MIB
    costs: dict[str, list[dict[str, float]]] = {row.name: [] for row in rows}
    with question.made(folder, size):
        for number in range(options.rounds + (not options.quick)):
            for row in _turned(rows, number):
                cost = _run(question, row, folder)
                if number or options.quick:  # the first round warms the page cache and the kernel's memory
                    costs[row.name].append(cost)
            if sys.stderr.isatty():
                print(f"\r{question.name}: round {number} of {options.rounds} ", end="", file=sys.stderr)
        shares = question.shares(folder) if question.shares else {}
    return {
        "name": question.name,
        "title": question.title,
        "base": question.base,
        "counts": question.counts,
        "shares": shares,
        "rows": [_summary(row, costs, question.base, size) for row in rows],
        "goals": [_judged(goal, costs, {row.name: size * row.size for row in rows}) for goal in question.goals],
        "left_out": [row.text for row in question.rows if row not in rows],
    }


def _turned(rows: list[Row], number: int) -> Iterator[Row]:
    """Begin each round at another row, so that none is always behind the same one."""
    first = number % len(rows)
    yield from rows[first:]
    yield from rows[:first]


def _run(question: Question, row: Row, folder: Path) -> dict[str, float]:
    command = [sys.executable, str(Path(__file__).with_name(question.script)), "--act", row.name, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_MOST_SECONDS, check=False)
    if done.returncode:
        sys.exit(f"{question.name}: {row.name} failed\n{done.stderr}")
    return dict(json.loads(done.stdout))


def _summary(row: Row, costs: Mapping[str, list[dict[str, float]]], base: str, size: int) -> dict[str, Any]:
    own = costs[row.name]
    share = row.size
    walls = ratios(own, costs[base], "wall")
    return {
        "name": row.name,
        "text": row.text,
        "size": size * share,
        "wall": statistics.median(one["wall"] for one in own),
        "cpu": statistics.median(one["cpu"] for one in own),
        "beside": statistics.median(one["beside"] for one in own),
        "peak": max(one["peak"] for one in own),
        "wall_ratio": statistics.median(walls) / share,
        "wall_spread": [min(walls) / share, max(walls) / share],
        "cpu_ratio": statistics.median(ratios(own, costs[base], "cpu")) / share,
    }


def ratios(own: list[dict[str, float]], other: list[dict[str, float]], figure: str) -> list[float]:
    """Return the ratio of two rows in each round."""
    return [one[figure] / two[figure] for one, two in zip(own, other, strict=True)]


def _most(own: list[dict[str, float]]) -> float:
    return max(one["peak"] for one in own)


def _judged(goal: Goal, costs: Mapping[str, list[dict[str, float]]], sizes: Mapping[str, float]) -> dict[str, Any]:
    figure = None
    if goal.row in costs and (not goal.against or goal.against in costs):
        if goal.figure == "peak":
            figure = _most(costs[goal.row]) / (_most(costs[goal.against]) if goal.against else sizes[goal.row])
        elif goal.figure in _UPSIDE_DOWN:
            figure = statistics.median(ratios(costs[goal.against], costs[goal.row], _UPSIDE_DOWN[goal.figure]))
        else:
            figure = statistics.median(ratios(costs[goal.row], costs[goal.against], goal.figure))
    met = None if figure is None else (figure >= goal.limit if goal.least else figure <= goal.limit)
    return {"text": goal.text, "figure": figure, "limit": goal.limit, "least": goal.least, "met": met}
