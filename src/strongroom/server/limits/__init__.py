"""How often who may ask: rates by address, user, device and account, noise, and quotas.

`RateLimits` is the port: `memory.py` counts in this process, an adapter that several processes share can follow.
Everything here fails closed, but for what `throttle.py` says.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from strongroom.errors import Code, RefusedError
from strongroom.server.limits.addresses import Network, address_of, counted
from strongroom.server.limits.quota import DailyQuota
from strongroom.server.limits.rates import By, Route
from strongroom.server.limits.throttle import AddressThrottle


class RateLimits(Protocol):
    """Counts requests."""

    async def allow(
        self, route: Route, keys: Mapping[By, str], *, now: int, factor: float = 1.0, paid: bool = False
    ) -> int:
        """Count one request for all of its callers, or for none if one of them has asked too often.

        Args:
            route: class of the route.
            keys: who asks: one name of each kind that is known.
            now: Unix seconds.
            factor: what the callers' rates are multiplied by, for this request.
            paid: it was counted at the usual rate already, and only the rest that `factor` asks for is added.

        Returns:
            0, or after how many seconds to ask again. At least a second then.
        """
        ...


class LimitedError(RefusedError):
    """Asked too often.

    Attributes:
        seconds: to wait, the answer's `Retry-After`.
    """

    def __init__(self, seconds: int, what: str, *, where: str) -> None:
        super().__init__(Code.RATE_LIMITED, what, where=where, next_step=f"wait {seconds} seconds, then try again")
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class Limits:
    """Every limit of one office.

    Attributes:
        rates: requests a minute.
        throttle: addresses from which noise came.
        releases: each account's in a day.
        trusted: networks of proxies whose `X-Forwarded-For` is believed.
        now: Unix seconds.
    """

    rates: RateLimits
    throttle: AddressThrottle
    releases: DailyQuota
    trusted: tuple[Network, ...]
    now: Callable[[], int]

    def address_of(self, peer: str, forwarded: Sequence[str]) -> str:
        """Return the address a request comes from; see `addresses.address_of`."""
        return address_of(peer, forwarded, self.trusted)

    async def allow_address(self, route: Route, address: str) -> int:
        """Count one request of an address, before anything is known of who it is. Returns as `RateLimits.allow`."""
        one, now = counted(address), self.now()
        return await self.rates.allow(route, {By.ADDRESS: one}, now=now, factor=self.throttle.factor(one, now))

    async def allow(self, route: Route, keys: Mapping[By, str], factor: float = 1.0, *, paid: bool = False) -> int:
        """Count one request of known callers. Arguments and result as those of `RateLimits.allow`."""
        return await self.rates.allow(route, keys, now=self.now(), factor=factor, paid=paid)

    def saw(self, address: str, user: str) -> None:
        """Note that a user was identified on an address."""
        self.throttle.saw(counted(address), user, self.now())

    def noise(self, address: str) -> bool:
        """Slow an address down from which noise came, for minutes. Returns False if known users share it."""
        return self.throttle.noise(counted(address), self.now())
