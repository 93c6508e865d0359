"""How often who may ask for what: classes of routes, kinds of callers, and a number a minute for each pair.

The numbers are far above what an honest device does, also one on a network that breaks off again and again: it needs a
challenge and a request for each model it holds, a few times a day. Many devices share an address, a user or an account,
so these get more.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

MOST = 1_000_000  # requests a minute that a setting may allow


class Route(StrEnum):
    """Classes of routes. Each has its own count, so that nobody's downloads use up their releases."""

    CHALLENGE = "challenge"
    ENROL = "enrol"  # activations too
    RELEASE = "release"  # and every path that has no class of its own: see `route_of`
    URLS = "urls"
    RENEW = "renew"
    RECEIPT = "receipt"
    OBJECT = "object"
    PUBLIC = "public"
    ADMIN_READ = "admin_read"
    ADMIN_WRITE = "admin_write"


class By(StrEnum):
    """Who is counted. An operator is counted as a user."""

    ADDRESS = "address"
    USER = "user"
    DEVICE = "device"
    ACCOUNT = "account"


RateTable = Mapping[Route, Mapping[By, int]]  # requests a minute; as many may come at once

# requests a minute by address, user, device, account; what nobody can be counted by before or after is not there
DEFAULTS: Final[RateTable] = MappingProxyType(
    {
        Route.CHALLENGE: {By.ADDRESS: 2400, By.USER: 2400, By.DEVICE: 240, By.ACCOUNT: 12_000},
        Route.ENROL: {By.ADDRESS: 300, By.USER: 300, By.ACCOUNT: 1200},
        Route.RELEASE: {By.ADDRESS: 1200, By.USER: 1200, By.DEVICE: 120, By.ACCOUNT: 6000},
        Route.URLS: {By.ADDRESS: 1200, By.USER: 1200, By.DEVICE: 120, By.ACCOUNT: 6000},
        Route.RENEW: {By.ADDRESS: 1200, By.USER: 1200, By.DEVICE: 120, By.ACCOUNT: 6000},
        Route.RECEIPT: {By.ADDRESS: 1200, By.USER: 1200, By.DEVICE: 240, By.ACCOUNT: 6000},
        Route.OBJECT: {By.ADDRESS: 6000},
        Route.PUBLIC: {By.ADDRESS: 1200},
        Route.ADMIN_READ: {By.ADDRESS: 2400, By.USER: 1200},
        Route.ADMIN_WRITE: {By.ADDRESS: 1200, By.USER: 600},
    }
)

_PAIR = re.compile(r"\s*([a-z]{1,16})\s+([0-9]{1,9})\s*", re.ASCII)
_FIRST = {"challenges": Route.CHALLENGE, "devices": Route.ENROL, "activations": Route.ENROL, "trust": Route.PUBLIC}
_RELEASES = re.compile(r"/v1/releases/[^/]+/urls")
_PLAIN = frozenset({"/healthz", "/openapi.json"})


def device_route(_method: str, path: str) -> Route:
    """Return the class of a request to the device API.

    A path that is nobody's counts as a release: what only looks like a route has the limits of the real ones.
    """
    if path.startswith("/o/"):
        return Route.OBJECT
    if path in _PLAIN:
        return Route.PUBLIC
    if path.startswith("/v1/leases/"):
        return Route.RENEW
    if path.startswith("/v1/orders/"):
        return Route.RECEIPT
    if _RELEASES.fullmatch(path):
        return Route.URLS
    return _FIRST.get(path.removeprefix("/v1/"), Route.RELEASE) if path.startswith("/v1/") else Route.RELEASE


def admin_route(method: str, path: str) -> Route:
    """Return the class of a request to the admin API."""
    if path in _PLAIN:
        return Route.PUBLIC
    return Route.ADMIN_READ if method in {"GET", "HEAD"} else Route.ADMIN_WRITE


def read_rates(route: Route, text: str) -> Mapping[By, int]:
    """Read `"address 1200, user 600"`: requests a minute. What is not named keeps its default.

    Raises:
        ValueError: not such a text, a kind of caller that this class is not counted by, or one named twice.
    """
    defaults = DEFAULTS[route]
    found: dict[By, int] = {}
    for part in text.split(","):
        match = _PAIR.fullmatch(part)
        by = match and next((one for one in defaults if one == match[1]), None)
        if match is None or by is None or by in found or not 1 <= int(match[2]) <= MOST:
            raise ValueError(rule_of(route))
        found[by] = int(match[2])
    return MappingProxyType({**defaults, **found})


def write_rates(route: Route) -> str:
    """Return the defaults of a class as `read_rates` reads them."""
    return ", ".join(f"{by} {number}" for by, number in DEFAULTS[route].items())


def rule_of(route: Route) -> str:
    """Say in words what `read_rates` takes."""
    return f"requests a minute, 1 to {MOST}, for any of {', '.join(DEFAULTS[route])}: {write_rates(route)!r}"
