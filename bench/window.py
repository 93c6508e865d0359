"""One measurement: a piece of work in a process of its own, and what it cost there.

Imports, keys and handles come before the window, the check of the result behind it. The peak is the kernel's own
(VmHWM), set back to what is resident when the window opens.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Work:
    """What is measured, and how to see afterwards that it was done right."""

    run: Callable[[], Any]
    check: Callable[[Any], bool]
    beside: int = 0  # another process whose CPU time counts too, such as a server's; 0 is none


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run took."""

    wall: float  # seconds
    cpu: float  # seconds of this process and those it waited for, all threads, system time included
    peak: int  # bytes of resident memory above those before the window
    beside: float  # seconds of CPU of the other process


Prepare = Callable[[Path], Work]


def serve(acts: Mapping[str, Prepare]) -> None:
    """Run the act that the arguments name, and write its cost to stdout: `SCRIPT --act NAME FOLDER`."""
    _, name, folder = sys.argv[1:]
    work = acts[name](Path(folder))
    cost, result = measured(work)
    if not work.check(result):
        sys.exit(f"{name}: the result is wrong")
    json.dump(asdict(cost), sys.stdout)
    sys.stdout.flush()
    os._exit(0)  # tearing down a mapping of this size is nobody's question


def measured(work: Work) -> tuple[Cost, Any]:
    """Run a piece of work once."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before, other = _peak(), _cpu_of(work.beside)
    cpu, wall = _cpu(), time.perf_counter()
    result = work.run()
    wall, cpu = time.perf_counter() - wall, _cpu() - cpu
    return Cost(wall, cpu, max(0, _peak() - before), _cpu_of(work.beside) - other), result


def _cpu() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _peak() -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024


def _cpu_of(pid: int) -> float:
    if not pid:
        return 0.0
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
