"""Two guards against our own mistakes: a broken build must not punish its users, a broken rule not everybody.

Users are counted, not events: a user's first event of a day makes one active user of a build, a user's first hit of a
rule on a day one hit user. Both counts decay, so no list of users is kept.
"""

from typing import Final

from strongroom.risk.state import AllState, BuildState, forget
from strongroom.risk.state_shared import BASELINES

FAST: Final = 720  # minutes: half-life of what is counted as now
SLOW: Final = 14 * 1440  # minutes: half-life of what is counted as usual
# A build is to blame if so many of its users are hit now, and such a share of those active now. A few attackers may
# well do the same on the same day: the fewer users are hit, the more of the build's users they must be.
BLAME: Final = ((1.5, 0.5), (3.0, 0.1), (5.0, 0.025))
TIMES: Final = 5.0  # so many times the usual share of its users


def _decay(build: BuildState, minutes: int) -> None:
    age = minutes - build.at
    if age <= 0:
        return
    fast, slow = 2.0 ** -(age / FAST), 2.0 ** -(age / SLOW)
    build.at = minutes
    build.active *= fast
    build.usual *= slow
    for counts in build.hits.values():
        counts[0] *= fast
        counts[1] *= slow


def count_active(build: BuildState, minutes: int) -> None:
    """Count a user's first event of a day on this build."""
    _decay(build, minutes)
    build.active += 1.0
    build.usual += 1.0


def muted(build: BuildState, rule: int, minutes: int, *, first: bool) -> bool:
    """Count a hit of the rule with this tag and return whether the build is to blame.

    Args:
        build: the build the event came from.
        rule: the tag of a rule that has a baseline.
        minutes: now.
        first: the first hit of this rule on its bearer today.
    """
    _decay(build, minutes)
    counts = build.hits.get(rule)
    if counts is None:
        forget(build.hits, BASELINES)
        build.hits[rule] = counts = [0.0, 0.0, 0.0]
    if first:
        counts[0] += 1.0
    hit = counts[0]
    usual = counts[1] / build.usual if build.usual > 100.0 else 0.0
    mute = hit >= TIMES * usual * build.active and any(
        hit >= least and hit >= share * build.active for least, share in BLAME
    )
    if first and not mute:
        counts[1] += 1.0  # what a mute explains is not usual, and does not become so
    counts[2] = 1.0 if mute else 0.0
    return mute


def count_user(everything: AllState, minutes: int) -> None:
    """Count a user's first event of a day."""
    age = minutes - everything.at
    if age > 0:
        everything.active *= 2.0 ** -(age / FAST)
        everything.at = minutes
    everything.active += 1.0


def _turn(everything: AllState, minutes: int, window: int) -> None:
    current = minutes // max(1, window // 60)
    if current != everything.window:
        everything.moved = (0, everything.moved[0] if current == everything.window + 1 else 0)
        everything.window = current


def count_high(everything: AllState, minutes: int, window: int) -> None:
    """Count a bearer that moved, or would have moved, to high."""
    _turn(everything, minutes, window)
    now, before = everything.moved
    everything.moved = (now + 1, before)


def frozen(everything: AllState, minutes: int, share: float, window: int, least: int) -> bool:
    """Say whether more than `share` of the active users moved to high within a window or two."""
    _turn(everything, minutes, window)
    moved = sum(everything.moved)
    return moved >= least and moved > share * everything.active
