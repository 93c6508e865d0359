"""Cuts acts short with strace: finds the calls that change the disk, and hits each in turn."""

import itertools
import re
import shutil
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from crash.far_office import receive, send

AT = 300  # which call of a kind strace hits in each process; no process makes as many of its own
KILL, EIO, ENOSPC = "signal=SIGKILL", "error=EIO", "error=ENOSPC"
_NAMES = """
open openat creat write pwrite64 writev pwritev fsync fdatasync ftruncate truncate fallocate flock rename renameat
renameat2 unlink unlinkat rmdir mkdir mkdirat link linkat symlink symlinkat chmod fchmod fchmodat fchmodat2 mknod
mknodat copy_file_range sendfile
"""
WATCHED = ",".join(f"?{name}" for name in _NAMES.split())  # with a question mark: not every machine has each
_CALL = re.compile(r"(\d+) +(\w+)\((.*)")
_KILLED = 9
_TAKES_ROOM = {"open", "openat", "write", "fsync", "mkdir", "mkdirat", "rename", "renameat"}


def available() -> bool:
    """Say whether strace is here."""
    return shutil.which("strace") is not None


@dataclass(frozen=True, slots=True)
class Call:
    """A call of an act: the `number`-th of its kind, counted from 1. `changes` the disk, unless it only reads."""

    act: str
    kind: str
    number: int
    place: int  # in the act
    changes: bool


@dataclass
class Counts:
    """What was found at each of the points of one kind."""

    points: int = 0
    found: Counter = field(default_factory=Counter)
    other: list[str] = field(default_factory=list)


class Driver:
    """The process that does the acts, and what its failing calls are called by the system."""

    def __init__(self) -> None:
        self.control, theirs = socket.socketpair()
        command = [sys.executable, "-W", "ignore", str(Path(__file__).with_name("driver.py")), str(theirs.fileno())]
        with theirs:
            self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()])
        self.pid = self._told()["pid"]
        self.failing: dict[str, str] = {}

    def ask(self, **what: object) -> dict:
        send(self.control, what)
        return self._told()

    def _told(self) -> dict:
        answer = receive(self.control)
        assert answer is not None, "the driver is gone"
        return answer[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.control.close()
        self._process.wait(60)

    @contextmanager
    def traced(self, *arguments: str, pid: int | None = None) -> Iterator[None]:
        """Have strace hold on to the driver, or to another process, and to whatever it starts."""
        command = ["strace", "-f", "-p", str(pid or self.pid), *arguments]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
            assert strace.stderr is not None
            first = strace.stderr.readline()
            assert "attached" in first, f"strace: {first}"
            try:
                yield
            finally:
                strace.terminate()
                strace.communicate()

    def calls(self, acts: Iterable[str], log: Path) -> list[Call]:
        """Do each act once, whole, and return the calls it made, in order."""
        with self.traced("-e", f"trace={WATCHED}", "-e", "signal=none", "-o", str(log)):
            failed = self.ask(do="fail")
            done = {name: self.ask(do="act", act=name, call=None) for name in acts}
        by_process: dict[int, list[tuple[str, str]]] = {}
        for line in log.read_text().splitlines():
            if found := _CALL.match(line):
                by_process.setdefault(int(found[1]), []).append((found[2], found[3]))
        kinds = [kind for kind, _ in by_process[failed["pid"]]]
        assert len(kinds) == len(failed["names"])
        self.failing = dict(zip(kinds, failed["names"], strict=True))
        assert {one["outcome"] for one in done.values()} == {"after"}
        return [call for name, one in done.items() for call in _of(name, by_process[one["pid"]])]

    def hit_threads(self, acts: Iterable[str], how: str) -> tuple[Counts, list[Call]]:
        """Hit the first calls of the threads that fetch; return also those that were made.

        Which thread makes how many is theirs to settle. Only that each kind is called once by one of them is sure.
        """
        counts, hits = Counts(), []
        for kind in ("openat", "fchmod", "write"):
            with self.traced(*_arguments(kind, how)):
                for act, number in itertools.product(acts, (1, 2, 3)):
                    call = Call(act, kind, number, 0, changes=True)
                    asked = {"call": self.failing[kind], "times": AT - number, "threads": True}
                    told = self.ask(do="act", act=act, **asked)
                    _count(counts, call, how, told, sure=False)
                    if told["status"] == _KILLED:
                        hits.append(call)
        return counts, hits

    def hit(self, calls: Iterable[Call], how: str) -> Counts:
        """Hit each of the calls, in a process of its own, and count what was left."""
        counts = Counts()
        by_kind: dict[str, list[Call]] = {}
        for call in calls:
            by_kind.setdefault(call.kind, []).append(call)
        for kind, mine in by_kind.items():
            with self.traced(*_arguments(kind, how)):
                for call in mine:
                    asked = {"act": call.act, "call": self.failing[kind], "times": AT - call.number}
                    _count(counts, call, how, self.ask(do="act", **asked))
        return counts


def _of(act: str, lines: list[tuple[str, str]]) -> Iterator[Call]:
    """Return the calls between the two marks."""
    begin, end = (
        next(i for i, (_, rest) in enumerate(lines) if f'/nonexistent/{mark}"' in rest) for mark in ("begin", "end")
    )
    seen: Counter = Counter()
    for place, (kind, rest) in enumerate(lines[begin + 1 : end]):
        seen[kind] += 1
        reads = (kind in {"open", "openat"} and "O_CREAT" not in rest) or "/nonexistent" in rest
        yield Call(act, kind, seen[kind], place, changes=not reads)


def spread(calls: list[Call], stride: int) -> list[Call]:
    """Take every `stride`-th call that changes something, and those right before and after a rename or fsync."""
    changing = [one for one in calls if one.changes]
    close = {"rename", "renameat", "renameat2", "fsync"}
    return [
        one
        for index, one in enumerate(changing)
        if index % stride == 0 or close & {near.kind for near in changing[max(0, index - 1) : index + 2]}
    ]


def takes_room(calls: Iterable[Call]) -> list[Call]:
    """Return the calls that a full disk can refuse."""
    return [one for one in calls if one.kind in _TAKES_ROOM and one.changes]


def _arguments(kind: str, how: str) -> tuple[str, ...]:
    return "-e", f"trace={kind}", "-e", "signal=none", "-e", f"inject={kind}:{how}:when={AT}", "-o", "/dev/null"


def _count(counts: Counts, call: Call, how: str, told: dict, *, sure: bool = True) -> None:
    counts.points += 1
    wrong = []
    if told["outcome"] not in {"before", "after"}:
        wrong.append(told["outcome"])
    if how == KILL and sure and told["status"] != _KILLED:
        wrong.append(f"it was not killed there: {told}")
    if how != KILL and told["status"] != 0:
        wrong.append(f"it ended: {told}")
    if how != KILL and not told["said"]:
        wrong.append("it did not say what was wrong")
    wrong += [one for one in told["said"] if "Traceback" in one or "no next step" in one]
    counts.found[call.act, "other" if wrong else told["outcome"]] += 1
    counts.other += [f"{call} {how}: {one}" for one in wrong]


def told(how: str, counts: Counts) -> str:
    """Say in one line what was found at how many points, by act."""
    acts = sorted({act for act, _ in counts.found})
    each = (f"{act} {counts.found[act, 'before']} + {counts.found[act, 'after']}" for act in acts)
    other = sum(number for (_, what), number in counts.found.items() if what == "other")
    return f"{how}: {counts.points} points, {other} other; before + after: {', '.join(each)}"
