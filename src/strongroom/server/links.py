"""Fresh links to what was released before; no key comes with them (docs/spec/protocol.md section 8)."""

from strongroom.errors import Code, DeniedError, InputError, StrongroomError
from strongroom.server import challenges, entitled
from strongroom.server.audit import Event, event
from strongroom.server.entitled import Entitled
from strongroom.server.identify import DeviceCaller, Visit
from strongroom.server.office import Office
from strongroom.server.release import check_objects, refused
from strongroom.server.watching import judging, noticing
from strongroom.server.watching.reacting import Weighed
from strongroom.wire import proofs
from strongroom.wire.binding import Binding
from strongroom.wire.messages import UrlsAnswer, UrlsRequest


async def fresh_urls(
    office: Office, caller: DeviceCaller, release_id: str, request: UrlsRequest, visit: Visit
) -> UrlsAnswer:
    """Make new links to the files of an earlier release; no key comes with them.

    Raises:
        InputError: URL_LIFETIME, if links are wanted that live longer than policy allows.
        DeniedError: CHALLENGE, PROOF, or NOT_FOUND for a release that is not this device's, or no longer its right.
        RefusedError: RESTRICTED for who is stopped; RATE_LIMITED.
    """
    try:
        seconds = _url_seconds(office, request.seconds)
        await challenges.use(office, caller, request.challenge, challenges.URLS, visit)
        found = await _released(office, caller, release_id, request, visit)
        weighed = await _weighed(office, caller, found, visit)
        await check_objects(office, found.files)
        async with office.ledger.begin() as tx:
            await tx.add_audit(
                event(Event.URLS_GRANTED, at=visit.now, actor=caller.device.id, subject=release_id, seconds=seconds)
            )
    except StrongroomError as error:
        await refused(office, Event.URLS_REFUSED, caller, release_id, error, visit)
        raise
    await weighed.hold_back(office)
    expires = visit.now + seconds
    urls = tuple(office.store.signed_url("GET", file.object_name, expires=expires) for file in found.files)
    return UrlsAnswer(urls, expires)


async def _weighed(office: Office, caller: DeviceCaller, found: Entitled, visit: Visit) -> Weighed:
    """Let the risk engine weigh it: a download that goes on. Without a key there is nothing to step up for."""
    notice = noticing.of_device(office, caller, visit, None, {"resumed": 1}, found.version.model)
    weighed = await judging.judged(office, notice, judging.DOWNLOAD, deceivable=found.twin is not None)
    weighed.check_stopped(caller.device.id)
    await weighed.slow(office, notice)
    return weighed


def _url_seconds(office: Office, wanted: int | None) -> int:
    most = office.policy.url_seconds
    if wanted is not None and wanted > most:
        raise InputError(
            Code.URL_LIFETIME,
            f"links live at most {most} seconds here",
            where="seconds",
            next_step="ask for fewer seconds",
        )
    return most if wanted is None else wanted


async def _released(
    office: Office, caller: DeviceCaller, release_id: str, request: UrlsRequest, visit: Visit
) -> Entitled:
    """Find what a release gave out, if it was this device's, the proof holds and the right to it is still alive."""
    async with office.ledger.begin() as tx:
        row = await tx.release(release_id)
        version = await tx.version_by_id(row.version_id if row else release_id)
    if row is None or version is None or row.device != caller.device.id:
        raise DeniedError(Code.NOT_FOUND, "there is no such release for this device", where=release_id)
    binding = Binding.urls(
        challenge=request.challenge,
        account=caller.account.id,
        device=caller.device.id,
        device_key=caller.device.thumbprint,
        model=version.model,
        version=version.version,
    )
    proofs.verify_proof(
        request.proof,
        caller.key,
        expected_binding=binding,
        expected_method=visit.method,
        expected_url=visit.url,
        expected_body=proofs.body_without_proof(request),
        expected_token=caller.token,
    )
    found = await entitled.find(office, caller, version.model, version.version, visit.now)
    return entitled.released(found, row.twin)
