"""Evidence: per rule and bearer one value that halves with time, in whole hundredths of a point.

Exponential decay folds: the sum over all hits of `weight * 2^(-age / half_life)` needs only the sum at the last hit
and its time. Whole hundredths make every sum exact, so an explanation's points add up to the score.
"""

from collections.abc import Mapping
from typing import Final

from strongroom.risk.state import EVIDENCE, Bearer

MOST: Final = 50_000  # hundredths one rule can hold, whatever its cap says


def decayed(value: int, minutes: int, half_life: int) -> int:
    """Return what is left of `value` after so many minutes; `half_life` in seconds."""
    if minutes <= 0 or not value:
        return value
    halves = minutes * 60 / half_life
    return 0 if halves > 60 else int(value * 2.0**-halves)


def charge(bearer: Bearer, rule: int, points: int, half_life: int, cap: int, minutes: int) -> None:
    """Add `points` hundredths of the rule with this tag, up to `cap`.

    With 0 points the hit is only remembered, for the quiet time and the baselines.
    """
    evidence = bearer.evidence
    held = evidence.get(rule)
    if held is None:
        if len(evidence) >= EVIDENCE:
            del evidence[min(evidence, key=lambda known: (evidence[known][0], evidence[known][1]))]
        evidence[rule] = [min(cap, points, MOST), minutes]
        return
    left = decayed(held[0], minutes - held[1], half_life)
    # a cap lowered by new rules does not take points away; it only stops more from coming
    held[0] = max(left, min(cap, left + points, MOST))
    held[1] = max(held[1], minutes)


def points(bearer: Bearer, rules: Mapping[int, tuple[int, int]], minutes: int) -> list[tuple[int, int]]:
    """Return (rule tag, hundredths now) of every rule that counts and has points left.

    Args:
        bearer: whose evidence.
        rules: rule tag -> (half-life in seconds, cap in hundredths) of the rules that count.
        minutes: now.
    """
    found = []
    for rule, (value, at) in bearer.evidence.items():
        known = rules.get(rule)
        if known is not None and value:
            left = min(known[1], decayed(value, minutes - at, known[0]))
            if left:
                found.append((rule, left))
    return found


def lessen(bearer: Bearer, factor: float) -> None:
    """Leave only `factor` of all evidence."""
    for held in bearer.evidence.values():
        held[0] = int(held[0] * factor)
