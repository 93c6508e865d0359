"""Refuse who asks too often, and write it down once a minute: 429 with the seconds to wait (protocol section 12)."""

from collections.abc import Mapping

from strongroom.server.audit import Event, event
from strongroom.server.limits import LimitedError
from strongroom.server.limits.addresses import counted
from strongroom.server.limits.rates import By, Route
from strongroom.server.office import Office

NOTE_SECONDS = 60  # one audit row in this time for the same caller and class: who floods fills no disk


async def check_address(office: Office, route: Route, address: str, reference: str) -> None:
    """Count a request of an address, before anything else is looked at.

    Raises:
        LimitedError: RATE_LIMITED.
    """
    wait = await office.limits.allow_address(route, address)
    if wait:
        raise await _refused(office, wait, route, {By.ADDRESS: counted(address)}, reference)


async def check(
    office: Office,
    route: Route,
    keys: Mapping[By, str],
    reference: str,
    *,
    factor: float = 1.0,
    paid: bool = False,
) -> None:
    """Count a request of callers that proved who they are.

    Args:
        office: limits, counters, ledger.
        route: class of the route.
        keys: one name of each kind that is known.
        reference: the request's.
        factor: what the callers' rates are multiplied by, for this request.
        paid: this request was counted at the usual rate already; the rest is added.

    Raises:
        LimitedError: RATE_LIMITED.
    """
    wait = await office.limits.allow(route, keys, factor, paid=paid)
    if wait:
        raise await _refused(office, wait, route, keys, reference)


async def count_release(office: Office, account: str, reference: str) -> None:
    """Count a release with keys against its account's day.

    Raises:
        LimitedError: RATE_LIMITED.
    """
    wait = office.limits.releases.take(account, office.now())
    if wait:
        raise await _refused(office, wait, Route.RELEASE, {By.ACCOUNT: account}, reference, what="quota of the day")


async def _refused(
    office: Office, wait: int, route: Route, keys: Mapping[By, str], reference: str, what: str = "rate"
) -> LimitedError:
    now = office.now()
    actor = keys.get(By.DEVICE) or keys.get(By.USER) or keys.get(By.ACCOUNT) or ""
    subject = actor or keys.get(By.ADDRESS, "")
    name = f"limited:{route}:{what}:{subject}"
    if await office.counters.once(name, made=now, expires=now + NOTE_SECONDS, now=now):
        async with office.ledger.begin() as tx:
            await tx.add_audit(
                event(
                    Event.CALLER_LIMITED,
                    at=now,
                    actor=actor,
                    subject=subject,
                    route=str(route),
                    limit=what,
                    seconds=wait,
                    reference=reference,
                )
            )
    return LimitedError(wait, f"too many requests: {what}", where=f"{route} {subject}")
