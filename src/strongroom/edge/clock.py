"""The device's idea of the time, which its owner cannot turn back (docs/spec/protocol.md section 9).

now = max(seen, wall clock, seen + time since then in the same boot), written down at each opening, each minute while
a model is open, and when it is closed. Only the server's signed answer to a fresh challenge sets `seen`, downwards
too. Whoever puts back an older state.json, or the whole directory, puts back the time in it. Only a keystore with a
ratchet bounds that, to an hour for each reboot (section 13).
"""

import time
from dataclasses import dataclass
from pathlib import Path

from strongroom.errors import Code, RefusedError
from strongroom.shapes import Integer, Text
from strongroom.shapes import Object as ObjectShape
from strongroom.wire.messages import TIME, Message

SLIP_COST = 3600  # seconds a boot costs whose wall clock is behind what was seen
MARGIN = 60  # seconds a boot must be later than what was seen: no machine is off for less, and use is noted each minute
MAX_SLIPS = 3  # such boots until the server must be asked
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Reading:
    """What the machine's clocks say now. `boot_id` is "" where the machine names no boot."""

    wall: int  # seconds since 1970 UTC
    boot: int  # seconds since boot, sleep included
    boot_id: str


@dataclass(frozen=True, slots=True)
class Anchor(Message):
    """The last time known for certain, and where in which boot it was known."""

    seen: int
    boot: int
    boot_id: str
    slips: int  # boots whose wall clock was behind, since the last contact

    SHAPE = ObjectShape({"seen": TIME, "boot": TIME, "boot_id": Text(64, least=0), "slips": Integer(0, 100)})


def read_clocks() -> Reading:
    """Read this machine's clocks."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    try:
        boot_id = _BOOT_ID.read_text("ascii").strip()[:64]
    except (OSError, ValueError):
        boot_id = ""
    wall = time.time()  # noqa: TID251 - the rim: the one place of this room that asks for the wall clock
    return Reading(int(wall), int(time.clock_gettime(clock)), boot_id)


def start(reading: Reading) -> Anchor:
    """Return the first anchor of an installation: the wall clock, until the server has spoken."""
    return Anchor(max(reading.wall, 0), reading.boot, reading.boot_id, 0)


def advance(anchor: Anchor, reading: Reading) -> Anchor:
    """Return the anchor moved to now; its `seen` is the time to judge leases by. It never goes back.

    Raises:
        RefusedError: CLOCK, after too many boots with a wall clock in the past.
    """
    slips, same = anchor.slips, reading.boot_id == anchor.boot_id and reading.boot >= anchor.boot
    elapsed = reading.boot - anchor.boot if same else 0  # at least that much, in this boot or a later one
    named = reading.boot_id != ""  # a machine that names no boot may have started again: its wall clock must go along
    if not (same and named) and reading.wall < anchor.seen + (-MARGIN if same else MARGIN):
        if slips >= MAX_SLIPS:
            what = f"the clock of this machine was behind at {MAX_SLIPS} starts in a row"
            raise RefusedError(Code.CLOCK, what, next_step="set the clock and connect to the server once")
        elapsed, slips = max(elapsed, SLIP_COST), slips + 1
    return Anchor(max(anchor.seen + elapsed, reading.wall), reading.boot, reading.boot_id, slips)


def contact(server_time: int, asked: Reading, now: Reading) -> Anchor:
    """Return the anchor set by the server's signed answer to this device's own fresh challenge.

    Args:
        server_time: as the answer says.
        asked: the clocks before the request was sent: whatever passed since then counts, a slow download too.
        now: the clocks now, in the same process and so the same boot.
    """
    return Anchor(server_time + max(0, now.boot - asked.boot), now.boot, now.boot_id, 0)


def since(anchor: Anchor, reading: Reading) -> int:
    """Return the time by an anchor that this very process made, and so in this boot."""
    return max(anchor.seen + max(0, reading.boot - anchor.boot), reading.wall)
