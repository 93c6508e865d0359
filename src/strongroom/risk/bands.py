"""Bands: up at once, down only after a while and well below the threshold, so that nobody flaps at its edge."""

from typing import Final

from strongroom.risk.state import Bearer

NAMES: Final = ("none", "medium", "high", "stop")
NONE, MEDIUM, HIGH, STOP = range(4)


class Thresholds:
    """Where the bands begin, in hundredths, and the hold in minutes."""

    __slots__ = ("down", "high", "hold", "medium")

    def __init__(self, medium: int, high: int, down: int, hold: int) -> None:
        self.medium = medium
        self.high = high
        self.down = down
        self.hold = hold

    def of(self, score: int) -> int:
        """Return the band of a score, without memory."""
        return HIGH if score >= self.high else MEDIUM if score >= self.medium else NONE

    def move(self, bearer: Bearer, score: int, minutes: int, *, most: int = HIGH) -> int:
        """Move a bearer to the band its score asks for and return it.

        Args:
            bearer: whose band.
            score: of the bearer alone, in hundredths.
            minutes: now.
            most: the highest band to move up to; one that is already higher stays.
        """
        asked = min(self.of(score), max(most, bearer.band))
        if asked >= bearer.band:
            if asked:
                bearer.band = asked
                bearer.since = minutes
        elif minutes - bearer.since > self.hold:
            edge = self.high if bearer.band == HIGH else self.medium
            if score < edge - self.down:
                bearer.band = asked
                bearer.since = minutes
        return bearer.band
