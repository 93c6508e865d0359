"""The circuit breaker: when many verdicts fail at once, the fault is more likely a judge's than the devices'.

While it is open, what would be denied is a step-up instead: devices are told to attest anew and not that their evidence
is bad. It never turns a refusal into a grant. Time is an argument; one breaker counts for one process.
"""

from collections import deque
from dataclasses import dataclass, field

WINDOW = 600  # seconds that are looked back on
LEAST = 20  # verdicts in them before their share says anything
PERCENT = 5  # failed verdicts in a hundred that it takes


@dataclass(slots=True)
class _Second:
    at: int
    verdicts: int = 0
    failed: int = 0


@dataclass(slots=True)
class _Count:
    seconds: deque[_Second] = field(default_factory=deque)
    verdicts: int = 0
    failed: int = 0
    open: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """How the breaker stands after a verdict.

    Attributes:
        open: whether too many fail.
        changed: whether this verdict opened or closed it.
        verdicts: in the window.
        failed: of them.
    """

    open: bool
    changed: bool
    verdicts: int
    failed: int


class Breaker:
    """Counts verdicts, each kind of evidence for itself: one maker's trouble is not another's."""

    def __init__(self) -> None:
        self._kinds: dict[str, _Count] = {}

    def note(self, kind: str, at: int, *, failed: bool) -> Reading:
        """Count a verdict and say how the breaker stands.

        Args:
            kind: of the evidence; one of a closed list, since each has a count of its own.
            at: Unix seconds. A clock that went back counts for the newest second that was seen.
            failed: whether the evidence was refused.
        """
        count = self._kinds.setdefault(kind, _Count())
        _forget(count, at)
        if not count.seconds or count.seconds[-1].at < at:
            count.seconds.append(_Second(at))
        last = count.seconds[-1]
        last.verdicts, last.failed = last.verdicts + 1, last.failed + failed
        count.verdicts, count.failed = count.verdicts + 1, count.failed + failed
        before = count.open
        count.open = count.verdicts >= LEAST and count.failed * 100 > count.verdicts * PERCENT
        return Reading(count.open, count.open != before, count.verdicts, count.failed)


def _forget(count: _Count, at: int) -> None:
    while count.seconds and count.seconds[0].at <= at - WINDOW:
        old = count.seconds.popleft()
        count.verdicts, count.failed = count.verdicts - old.verdicts, count.failed - old.failed
