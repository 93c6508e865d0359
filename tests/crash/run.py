"""Cuts every act of a device short at every call of the system that strace can hit; the long run of `make crash`.

    python tests/crash/run.py [ACT …] [--stride N] [--cycles N] [--bytes N]

It prints what was found at how many points. Anything that is neither before nor after ends the run with status 1. Then
it updates a device again and again, and fills its disk after each N bytes.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from crash import cutting, soak
from crash.acts import ACTS

HERE = Path(__file__).parent
NAMES = tuple(act.name for act in ACTS)


def main(arguments: list[str]) -> int:
    """Run what is asked for; return the status of the process."""
    parser = argparse.ArgumentParser(prog="run.py", description="Kill and fail the acts of a device, call by call.")
    parser.add_argument("acts", nargs="*", metavar="ACT", help=f"of {', '.join(NAMES)}; all by default")
    parser.add_argument("--stride", type=int, default=1, help="only each N-th call (default 1: all of them)")
    parser.add_argument("--cycles", type=int, default=10_000, help="updates in a row afterwards (default 10,000)")
    parser.add_argument("--bytes", type=int, default=16, help="fill the disk after each so many bytes (default 16)")
    asked = parser.parse_args(arguments)
    if unknown := sorted({*asked.acts} - {*NAMES}):
        parser.error(f"no such act: {', '.join(unknown)}")
    if not cutting.available():
        _say("strace is not here: install it (Debian: apt-get install strace)")
        return 2
    with tempfile.TemporaryDirectory(prefix="strongroom-crash-") as scratch:
        other = _cut(asked.acts or [*NAMES], asked.stride, Path(scratch))
        if asked.cycles:
            grown = soak.updates(Path(scratch) / "device", asked.cycles)
            _say(str(grown))
            other += [] if grown.held else ["something grew, or was lost"]
    if asked.bytes:
        os.environ["STRONGROOM_CRASH_BYTES"] = str(asked.bytes)
        ended = pytest.main(["-q", "-s", str(HERE / "test_disk_full.py"), "-k", "fills_up"])
        other += [f"pytest ended with {ended}"] if ended else []
    return int(bool(other))


def _cut(names: list[str], stride: int, scratch: Path) -> list[str]:
    with cutting.Driver() as driver:
        calls = driver.calls(names, scratch / "calls.log")
        changing = [one for one in calls if one.changes]
        chosen = {
            cutting.KILL: changing[::stride],
            cutting.EIO: calls[::stride],
            cutting.ENOSPC: cutting.takes_room(calls)[::stride],
        }
        _say(f"{len(names)} acts: {len(changing)} calls that change something, {len(calls) - len(changing)} that open")
        other = []
        for how, mine in chosen.items():
            counts = driver.hit(mine, how)
            _say(cutting.told(how, counts))
            other += counts.other
    for one in other:
        _say(one)
    return other


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
