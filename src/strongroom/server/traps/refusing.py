"""What a decoy route does with a request: the work of a real one that finds nothing, and its answer.

Written after `links.fresh_urls` for a release that is not the caller's; whoever changes that one, change this.
"""

from typing import NoReturn

from strongroom.errors import Code, DeniedError, StrongroomError
from strongroom.server import challenges
from strongroom.server.audit import Event, event
from strongroom.server.identify import DeviceCaller, Visit
from strongroom.server.office import Office
from strongroom.wire.messages import UrlsRequest

NOWHERE = "rel_AAAAAAAAAAAAAAAAAAAAAA"  # no release has this id: asked for where a route names none


async def refuse(
    office: Office, caller: DeviceCaller, route: str, asked: UrlsRequest | None, visit: Visit, *, subject: str = NOWHERE
) -> NoReturn:
    """Do the work of a refusal and raise it.

    Args:
        office: ledger.
        caller: the device.
        route: the decoy's name.
        asked: the message, where the route takes one; its challenge is used up, as by a real route.
        visit: the request.
        subject: what the path names.

    Raises:
        DeniedError: CHALLENGE or NOT_FOUND, always.
        StoreError: DATABASE.
    """
    try:
        if asked is not None:
            await challenges.use(office, caller, asked.challenge, challenges.URLS, visit)
        async with office.ledger.begin() as tx:
            row = await tx.release(subject)
            await tx.version_by_id(row.version_id if row else subject)
        raise DeniedError(Code.NOT_FOUND, "there is no such thing for this device", where=subject)
    except StrongroomError as error:
        await _refused(office, caller, route, subject, error, visit)
        raise


async def _refused(
    office: Office, caller: DeviceCaller, route: str, subject: str, error: StrongroomError, visit: Visit
) -> None:
    async with office.ledger.begin() as tx:
        await tx.add_audit(
            event(
                Event.DECOY_REFUSED,
                at=visit.now,
                actor=caller.device.id,
                subject=subject,
                code=str(error.code),
                account=caller.account.id,
                user=caller.user.id,
                route=route,
                reference=visit.reference,
            )
        )
