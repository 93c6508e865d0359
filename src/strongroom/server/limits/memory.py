"""Rate limits in this process: the generic cell rate algorithm, one number for each caller.

The number is the time at which all that a caller has asked for would have been asked at its rate; it may lie at most a
minute ahead. A caller whose number is past is as good as unknown, so nothing is kept of who stays below its rate.
docs/decisions/0028 says why the package `limits` is not used.
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

from strongroom.server.limits import Limits
from strongroom.server.limits.addresses import Network
from strongroom.server.limits.quota import RELEASES_PER_DAY, DailyQuota
from strongroom.server.limits.rates import DEFAULTS, By, RateTable, Route
from strongroom.server.limits.throttle import AddressThrottle

CALLERS = 50_000  # of one class and kind that are remembered at once, about 10 MB; the next new one is refused
FULL_SECONDS = 5  # after which who found all places taken may ask again

_SECOND = 1_000_000  # of the counts: microseconds
_MINUTE = 60 * _SECOND
_SWEPT = 2  # places looked at for each that is taken: what is past leaves faster than new ones come


class MemoryRateLimits:
    """Counts in this process; several processes count each for itself until a shared adapter takes this one's place.

    A clock that is set back keeps nobody out for longer than a minute; one that is set forward gives everybody at most
    what they may ask at once.
    """

    def __init__(self, rates: RateTable = DEFAULTS, *, callers: int = CALLERS) -> None:
        """Begin with nobody.

        Args:
            rates: requests a minute; as many may come at once. What is not in it is not limited.
            callers: remembered at once, for each class and kind.
        """
        self._places = {
            (route, by): _Places(_MINUTE // number, callers)
            for route, kinds in rates.items()
            for by, number in kinds.items()
        }

    async def allow(
        self, route: Route, keys: Mapping[By, str], *, now: int, factor: float = 1.0, paid: bool = False
    ) -> int:
        """Count one request, unless one of its callers has asked too often; see `limits.RateLimits`."""
        # no await in here, so nothing else of the event loop runs between the question and the note
        moment = now * _SECOND
        taken: list[tuple[_Places, str, int]] = []
        wait = 0
        for by, name in keys.items():
            places = self._places.get((route, by))
            if places is None:
                continue
            until = places.ask(name, moment, factor, paid=paid)
            wait = max(wait, FULL_SECONDS if until is None else math.ceil((until - moment - _MINUTE) / _SECOND))
            taken.append((places, name, until or 0))
        if wait <= 0:
            for places, name, until in taken:
                places.take(name, until, moment)
        return max(wait, 0)

    def held(self) -> int:
        """Return how many callers are remembered."""
        return sum(len(one) for one in self._places.values())


class _Places:
    """The callers of one class and kind."""

    __slots__ = ("_most", "_step", "_swept", "_times")

    def __init__(self, step: int, most: int) -> None:
        self._step = step  # microseconds that one request costs
        self._most = most
        self._times: OrderedDict[str, int] = OrderedDict()  # in the order of the last request
        self._swept = 0

    def __len__(self) -> int:
        return len(self._times)

    def ask(self, name: str, moment: int, factor: float, *, paid: bool) -> int | None:
        """Return the caller's time after one more request, or None if no place is left."""
        known = self._times.get(name)
        if known is None and len(self._times) >= self._most and not self._make_room(moment):
            return None
        if known is not None and known > moment + _MINUTE:  # the clock was set back: from here on a minute ends it
            known = self._times[name] = moment + _MINUTE
        begin = max(moment, known or 0)
        # the smallest rate is one request a minute, whatever the factor: nobody is shut out by arithmetic (nor by NaN)
        cost = round(self._step / factor) if factor * _MINUTE > self._step else _MINUTE
        return begin + cost - (self._step if paid else 0)

    def take(self, name: str, until: int, moment: int) -> None:
        for _ in range(_SWEPT):
            if self._times and next(iter(self._times.values())) <= moment:
                self._times.popitem(last=False)
        self._times[name] = until
        self._times.move_to_end(name)

    def _make_room(self, moment: int) -> bool:
        """Forget everybody whose time is past; at most once a second, since it looks at all of them."""
        if not self._swept <= moment < self._swept + _SECOND:
            self._swept = moment
            self._times = OrderedDict((name, time) for name, time in self._times.items() if time > moment)
        return len(self._times) < self._most


def in_memory(
    now: Callable[[], int],
    rates: RateTable = DEFAULTS,
    *,
    trusted: Sequence[Network] = (),
    releases_per_day: int = RELEASES_PER_DAY,
) -> Limits:
    """Return limits that are kept in this process alone.

    Args:
        now: Unix seconds.
        rates: requests a minute.
        trusted: networks of proxies whose `X-Forwarded-For` is believed.
        releases_per_day: of one account.
    """
    return Limits(MemoryRateLimits(rates), AddressThrottle(), DailyQuota(releases_per_day), tuple(trusted), now)
