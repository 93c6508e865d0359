"""Two guards against our own mistakes: a broken build must not punish its users, a broken rule not everybody.

Users are counted, not events: a user's first event of a day makes one active user of a build, a user's first hit of a
rule on a day one hit user. Of a version of a model, each session that fetches it is counted. All counts decay, so no
list of users is kept.
"""

from typing import Final, NamedTuple

from strongroom.risk.state import AllState, BuildState, forget
from strongroom.risk.state_shared import BASELINES

FAST: Final = 720  # minutes: half-life of what is counted as now
SLOW: Final = 14 * 1440  # minutes: half-life of what is counted as usual


class Blame(NamedTuple):
    """When a build is to blame for hits.

    Attributes:
        tiers: so many of its users are hit now, and such a share of those active now.
        creeping: also for what begins slowly: hits of now do not count as usual.
    """

    tiers: tuple[tuple[float, float], ...]
    creeping: bool = False


# A few attackers may well do the same on the same day: the fewer users are hit, the more of the build's they must be.
APP: Final = Blame(((1.5, 0.5), (3.0, 0.1), (5.0, 0.025)))
# Who fetches one version of one model again and again has it only once: a wrong mute gives nothing away.
MODEL: Final = Blame(((1.5, 0.3), (2.5, 0.02)), creeping=True)
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
    """Count a user's first event of a day on this build, or a session's first fetch of this model."""
    _decay(build, minutes)
    build.active += 1.0
    build.usual += 1.0


def muted(build: BuildState, rule: int, minutes: int, blame: Blame, *, first: bool) -> bool:
    """Count a hit of the rule with this tag and return whether the build is to blame.

    Args:
        build: the build the event came from.
        rule: the tag of a rule that has a baseline.
        minutes: now.
        blame: when it is.
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
    before = max(0.0, counts[1] - hit) if blame.creeping else counts[1]
    usual = before / build.usual if build.usual > 100.0 else 0.0
    mute = hit >= TIMES * usual * build.active and any(
        hit >= least and hit >= share * build.active for least, share in blame.tiers
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
