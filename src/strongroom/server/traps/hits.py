"""What follows a hit, after the answer: the stop, one row in the audit log, one alert an hour.

Who is known by this very request, or by the key that made its proof, is stopped. Nobody is stopped for what an address
did; it is slowed down.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from strongroom.errors import StrongroomError
from strongroom.server.alerts.alert import Alert, new_alert
from strongroom.server.audit import Event, event
from strongroom.server.bait.board import CANARY, FIELD, TOKEN
from strongroom.server.identify import PROOF_LIFE, Visit, thumbprint
from strongroom.server.limits.addresses import counted
from strongroom.server.office import Office
from strongroom.server.ports import DeviceRow, User
from strongroom.server.traps.loading import load
from strongroom.server.traps.sight import Seen
from strongroom.server.watch_ports import DecoyRow
from strongroom.server.watching import judging
from strongroom.wire import dpop

NOISE_SECONDS = 60  # one audit row in this time for the same address
ALARMING = frozenset({TOKEN, CANARY})  # kinds of which a hit by nobody known is more than noise
PAUSES = (0.2, 1.0, 5.0)  # seconds before each further attempt, if the database does not answer

_log = structlog.get_logger(__name__)


async def settle(
    office: Office, seen: Sequence[Seen], *, pause: Callable[[float], Awaitable[object]] = asyncio.sleep
) -> None:
    """Follow up what one request touched; a database that does not answer is asked again.

    Args:
        office: ledger, limits, counters, traps.
        seen: decoys that were touched.
        pause: waits.
    """
    for one in seen:
        for seconds in (*PAUSES, None):
            try:
                await _settle_one(office, one)
                break
            except StrongroomError as error:
                _log.warning("a decoy hit waits", code=str(error.code), reference=one.visit.reference)
                if seconds is None:  # `keeper.recover` finds it at the next start
                    _log.error("a decoy hit was not followed up", kind=one.kind, reference=one.visit.reference)
                else:
                    await pause(seconds)


async def _settle_one(office: Office, seen: Seen) -> None:
    decoy = office.traps.known.by_thing.get((seen.kind, seen.thing))
    if decoy is None or not office.traps.loaded:  # added by another process a moment ago, or removed
        decoy = (await load(office)).by_thing.get((seen.kind, seen.thing))
    if decoy is None:
        return
    device, user = seen.device, seen.user
    proven = device is None and bool(seen.proof)
    if proven:
        device, user = await _prover(office, seen)
    if await _exercised(office, decoy, device, seen.visit):
        return
    await hit(office, decoy, device, user, seen.visit, alone=proven)


async def hit(
    office: Office, decoy: DecoyRow, device: DeviceRow | None, user: User | None, visit: Visit, *, alone: bool = False
) -> None:
    """Act on one hit.

    Args:
        office: ledger, limits, counters.
        decoy: what was touched.
        device: whose key made the request, if that is known.
        user: whose device it is, or who showed a token of their own.
        visit: the request.
        alone: stop the device and not its user: an app can be made to show a token that somebody gave it.

    Raises:
        StoreError: DATABASE; nothing was written down then, and it may be done again.
    """
    known = device is not None or user is not None
    if not known:
        if decoy.kind != CANARY:
            office.limits.noise(visit.address)
        if decoy.kind not in ALARMING:
            await _note_noise(office, decoy, visit)
            return
    actor = device.id if device else user.id if user else counted(visit.address)
    facts = {"device": device.id if device else "", "user": user.id if user else "", "address": visit.address}
    stopped = await _weigh(office, decoy, device, user, visit, alone=alone) if known else False
    what = Alert.DECOY_FETCHED if decoy.kind == CANARY else Alert.DECOY_HIT
    told = new_alert(
        office,
        what,
        visit.now,
        about=(decoy.id, actor),
        explain=user.id if user else "",
        decoy=decoy.id,
        kind=decoy.kind,
        name=decoy.name,
        note=decoy.note,
        stopped=stopped,
        reference=visit.reference,
        **facts,
    )
    written = known or await _first(office, f"decoy-hit:{decoy.id}:{actor}", visit)
    async with office.ledger.begin() as tx:
        await tx.note_decoy_hit(decoy.id, at=visit.now)
        await tx.add_alert(told)
        if not written:  # nobody known: a row a minute, so that no stranger fills the disk; all are counted
            return
        await tx.add_audit(
            event(
                Event.DECOY_HIT,
                at=visit.now,
                actor=actor[:128],
                subject=decoy.id,
                kind=decoy.kind,
                name=decoy.name,
                stopped=int(stopped),
                reference=visit.reference,
                **facts,
            )
        )


async def _note_noise(office: Office, decoy: DecoyRow, visit: Visit) -> None:
    if await _first(office, f"decoy-noise:{counted(visit.address)}", visit):
        async with office.ledger.begin() as tx:
            await tx.add_audit(
                event(
                    Event.DECOY_NOISE,
                    at=visit.now,
                    actor=visit.address,
                    subject=decoy.id,
                    kind=decoy.kind,
                    name=decoy.name,
                    reference=visit.reference,
                )
            )


async def _first(office: Office, name: str, visit: Visit) -> bool:
    """Tell whether this is the first of its name within a minute."""
    return await office.counters.once(name, made=visit.now, expires=visit.now + NOISE_SECONDS, now=visit.now)


async def _exercised(office: Office, decoy: DecoyRow, device: DeviceRow | None, visit: Visit) -> bool:
    traps = office.traps
    if device is not None and device.account != traps.exercise_account():
        return False
    if device is None and not traps.expected(decoy.id, visit.now):
        return False
    async with office.ledger.begin() as tx:
        await tx.note_decoy_tested(decoy.id, at=visit.now)
        await tx.add_audit(
            event(
                Event.DECOY_TESTED,
                at=visit.now,
                actor=device.id if device else visit.address,
                subject=decoy.id,
                kind=decoy.kind,
                name=decoy.name,
                reference=visit.reference,
            )
        )
    return True


async def _prover(office: Office, seen: Seen) -> tuple[DeviceRow | None, User | None]:
    """Return the device whose key made the proof that a decoy token came with; nobody else can have made it."""
    visit = seen.visit
    try:
        made = dpop.verify(seen.proof, visit.method, visit.url, seen.token, visit.now, leeway=PROOF_LIFE)
    except StrongroomError:
        return None, None
    async with office.ledger.begin() as tx:
        device = await tx.device_by_thumbprint(thumbprint(made.key))
        return device, await tx.user(device.user) if device else None


async def _weigh(
    office: Office, decoy: DecoyRow, device: DeviceRow | None, user: User | None, visit: Visit, *, alone: bool
) -> bool:
    """Let the risk engine do what its rules say; returns whether somebody is stopped."""
    if decoy.kind == CANARY:  # mail scanners and resolvers fetch what they find
        return False
    weighed = await judging.trapped(office, device, user, decoy.id, visit, honey=decoy.kind == FIELD, alone=alone)
    return weighed.restricted
