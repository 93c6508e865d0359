"""Judge what happens at the office: one transaction that loads states, decides, remembers, and does what follows.

In PostgreSQL the states' rows are locked as they are read, in one order, so that two requests of one device are judged
one after the other; SQLite has one writer anyway.
"""

from collections.abc import Mapping, Sequence

import structlog

from strongroom import canonical
from strongroom.canonical import JsonValue
from strongroom.errors import Code, DeniedError, StrongroomError
from strongroom.risk import engine
from strongroom.risk.decision import Decision
from strongroom.risk.entities import Entity, Kind, tag
from strongroom.risk.events import Event as Judged
from strongroom.risk.rules import Rules
from strongroom.risk.state import KeyState, State
from strongroom.server import tokens
from strongroom.server.alerts.alert import KEPT_DAYS, Alert, new_alert
from strongroom.server.audit import Event, event
from strongroom.server.identify import Visit
from strongroom.server.office import Office
from strongroom.server.ports import DeviceRow, Transaction, User
from strongroom.server.watch_ports import RiskEventRow, RiskRow
from strongroom.server.watching import noticing
from strongroom.server.watching.deciding import (
    AUTHENTICATE,
    BANDS,
    MEDIUM,
    changed,
    entities_of,
    named,
    row_of,
    snoozes_of,
    weigh,
)
from strongroom.server.watching.noticing import Notice
from strongroom.server.watching.reacting import Weighed, order_for_stopped, react
from strongroom.server.weighing import AttestationRefusedError

LOGIN, LOGIN_FAIL, KEYS, DOWNLOAD, RENEWAL, BAIT = (
    "login", "login_fail", "key_request", "model_download", "lease_renew", "honeypot",
)  # fmt: skip
MAX_BODY = 65_536  # characters of a recorded event with its decision
SWEEP = 60  # seconds between two looks for events and alerts that are too old to keep
FAILS_APART = 10  # seconds in which one failed login of a user is judged: who guesses fills no disk
NOTE = 60  # seconds between two audit rows about an engine that fails

_DAY = 86_400
_log = structlog.get_logger(__name__)


async def judged(office: Office, notice: Notice, *types: str, deceivable: bool = False) -> Weighed:
    """Judge a request that is in order so far, before anything of worth is given out for it.

    Args:
        office: rules, ledger.
        notice: what the request says.
        types: what it asks for, in order; one is judged only if those before it were not refused.
        deceivable: whether there is a decoy twin it could be answered with.

    Raises:
        StoreError: DATABASE. Whatever fails in the engine is no error: the fixed policy answers.
    """
    rules, now = office.watch.rules, notice.visit.now
    async with office.ledger.begin() as tx:
        before = await _last(tx, notice.key)
        entitled = None if notice.account is None else await tx.entitled_models(notice.account.id)
        every = list(noticing.events_of(office, rules, notice, types, before, entitled))
        events = await _referred(tx, every, notice.visit.reference)
        snoozes = snoozes_of(rules, await tx.snoozes(now=now), notice)
        rows = await tx.risk_states([one.row() for one in _entities(events)])
        if LOGIN in types and _from_before(rules, rows, notice):
            return Weighed(step_up=AUTHENTICATE)
        outcome = weigh(rules, events, rows, snoozes, notice)
        await tx.keep_risk_states(changed(rows, outcome.kept))
        for made, decision in outcome.decided:
            await tx.add_risk_event(_recorded(made, decision, notice))
        if outcome.failed:
            await _tell_failure(office, tx, notice, outcome.failed)
        weighed = await react(office, tx, notice, outcome, deceivable=deceivable)
    await _sweep(office, now)
    return weighed


async def refused(office: Office, notice: Notice, error: StrongroomError, *types: str) -> Weighed:
    """Judge a request that was refused after its proof held: who is refused moves the score all the same.

    What failed on our side is nobody's fault, and nothing is judged.

    Args:
        office: rules, ledger.
        notice: what the request says.
        error: what it was refused with.
        types: what it asked for; refused evidence is judged instead of it.

    Raises:
        StoreError: DATABASE.
    """
    if isinstance(error, AttestationRefusedError):
        return await judged(office, noticing.unproven(notice, error))
    if error.code == Code.NOT_FOUND:  # what is not the account's, or not there: somebody may be trying names
        return await judged(office, notice, *types)
    return Weighed()


async def trapped(
    office: Office,
    device: DeviceRow | None,
    user: User | None,
    decoy: str,
    visit: Visit,
    *,
    honey: bool = False,
    alone: bool = False,
) -> Weighed:
    """Judge that a decoy was touched by somebody who is known, if only by a user's or a device's token.

    Args:
        office: rules, ledger.
        device: whose token it was; None for a user's.
        user: whose; None with a device finds it.
        decoy: its identifier.
        visit: time, reference, address.
        honey: a field that only bait shows was changed, which is evidence and no stop.
        alone: the device's key is charged and its user is not: somebody else may have put the decoy into its hands.

    Raises:
        StoreError: DATABASE.
    """
    if device is None and user is None:
        return Weighed()
    async with office.ledger.begin() as tx:
        user = None if alone else user if user is not None or device is None else await tx.user(device.user)
        account = None if user is None else await tx.account(user.account)
    key = None if device is None else canonical.to_base64url(device.thumbprint)
    notice = Notice(user, account, device, key, None, visit, decoy=None if honey else decoy, honey=honey)
    return await judged(office, notice, KEYS if honey else BAIT)


async def login_failed(office: Office, authorization: str | None, visit: Visit) -> None:
    """Judge that somebody showed a user's own token, and was refused all the same. Others are nobody we know.

    Raises:
        StoreError: DATABASE.
    """
    try:
        claims = office.tokens.read((authorization or "").rpartition(" ")[2], now=visit.now)
    except DeniedError:
        return
    async with office.ledger.begin() as tx:
        user = await tx.user(claims.subject) if claims.scope == tokens.USER else None
        account = None if user is None else await tx.account(user.account)
    if user is None:
        return
    name = f"risk:fail:{user.id}:{visit.now // FAILS_APART}"
    if await office.counters.once(name, made=visit.now, expires=visit.now + FAILS_APART, now=visit.now):
        await judged(office, Notice(user, account, None, None, None, visit), LOGIN_FAIL)


async def order_stopped(office: Office, device: str, visit: Visit) -> None:
    """Order what a device holds that is stopped, unless that was done before. Raises StoreError(DATABASE)."""
    async with office.ledger.begin() as tx:
        await order_for_stopped(office, tx, device, visit)


async def stepped_up(office: Office, notice: Notice) -> None:
    """Count a step-up that was passed: what was held against user and device weighs less, and both are trusted.

    Only a band of medium is cleared so. Nothing is cleared in advance, and high is an operator's to forgive. It counts
    once while the trust it brought lasts: attesting is repeated by a machine, and signing in by a thief who knows the
    password. Later ones let the requests pass that had to wait for them, and take nothing back.

    Raises:
        StoreError: DATABASE.
    """
    if notice.user is None or notice.key is None:
        return
    rules, now = office.watch.rules, notice.visit.now
    entities = (Entity(Kind.USER, notice.user.id), Entity(Kind.KEY, notice.key))
    async with office.ledger.begin() as tx:
        rows = {row.entity: row for row in await tx.risk_states([one.row() for one in entities])}
        if not any(row.band == MEDIUM for row in rows.values()) or any(row.band > MEDIUM for row in rows.values()):
            return
        try:
            states = {one: State.unpack(rows[one.row()].state) for one in entities if one.row() in rows}
            if _trusted(states.get(entities[1]), notice.user.id, now):
                return
            decision = engine.step_up(rules, notice.user.id, notice.key, now, states)
            kept = [row_of(one, states[one], rows.get(one.row()), now) for one in entities if one in states]
        except Exception as error:  # noqa: BLE001 - the band stays as it is: a broken engine clears nobody
            _log.error("the risk engine failed at a step-up", user=notice.user.id, error=named(error))
            await _tell_failure(office, tx, notice, named(error))
            return
        await tx.keep_risk_states(kept)
        await tx.add_audit(
            event(
                Event.RISK_STEPPED_UP,
                at=now,
                actor=notice.user.id,
                subject="" if notice.device is None else notice.device.id,
                band=decision.band,
                score=decision.score,
                policy_version=decision.policy,
                reference=notice.visit.reference,
            )
        )


def _trusted(state: State | None, user: str, now: int) -> bool:
    pair = state.users.get(tag(user)) if isinstance(state, KeyState) else None
    return pair is not None and pair[2] > now // 3600


def _from_before(rules: Rules, rows: Sequence[RiskRow], notice: Notice) -> bool:
    """Tell whether a user enrols by a token from before it was asked to sign in again.

    Such a login is refused and weighs nothing. Whoever stole the token has no other one, and would otherwise go on to
    enrol until the user is stopped, with all its devices.
    """
    if notice.user is None or notice.signed_in is None or rules.reactions["medium"].step_up != AUTHENTICATE:
        return False
    mine = Entity(Kind.USER, notice.user.id).row()
    return any(row.entity == mine and row.band == MEDIUM and notice.signed_in <= row.moved for row in rows)


def exact(value: object) -> JsonValue:
    """Return a value as canonical JSON can hold it: what has a fraction becomes text."""
    if isinstance(value, float):
        return int(value) if value.is_integer() else repr(value)
    if isinstance(value, Mapping):
        return {str(name): exact(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [exact(one) for one in value]
    return value if isinstance(value, bool | int | str) or value is None else str(value)


def _entities(events: list[Judged]) -> tuple[Entity, ...]:
    """Return them sorted by row: two requests that lock the same rows do so in one order."""
    try:
        return tuple(sorted(entities_of(events), key=Entity.row))
    except Exception:  # noqa: BLE001 - `weigh` fails the same way, and answers for it
        return ()


def _recorded(made: Judged, decision: Decision, notice: Notice) -> RiskEventRow:
    body: dict[str, JsonValue] = {"event": exact(made.to_value()), "decision": exact(decision.to_value())}
    if notice.said.ignored:
        body["ignored"] = [*notice.said.ignored[:8]]
    text = canonical.encode(body).decode("ascii")
    return RiskEventRow(
        made.event_id, made.ts, made.user_id or "", made.device_key or "", BANDS.index(decision.band), text
    )


async def _referred(tx: Transaction, events: list[Judged], reference: str) -> list[Judged]:
    """Let the first event of a request bear its reference, by which whoever was refused can be looked up."""
    named = f"rev_{reference[4:]}"
    if not events or not reference.startswith("ref_") or await tx.risk_event(named) is not None:
        return events
    return [events[0]._replace(event_id=named), *events[1:]]


async def _last(tx: Transaction, key: str | None) -> Mapping[str, JsonValue] | None:
    """Return the last event of a device key, as it was recorded; a row that somebody altered says nothing."""
    rows = await tx.risk_events(key=key, limit=1) if key is not None else ()
    try:
        body = canonical.decode(rows[0].body.encode("ascii"), limit=MAX_BODY) if rows else None
    except (StrongroomError, UnicodeEncodeError):
        return None
    found = body.get("event") if isinstance(body, dict) else None
    return found if isinstance(found, dict) else None


async def _tell_failure(office: Office, tx: Transaction, notice: Notice, failed: str) -> None:
    now = notice.visit.now
    if not await office.counters.once("risk:failed", made=now, expires=now + NOTE, now=now):
        return
    policy, reference = office.watch.rules.version, notice.visit.reference
    told = {"error": failed, "policy_version": policy, "reference": reference}
    await tx.add_audit(event(Event.RISK_FAILED, at=now, actor="", subject="risk", **told))
    await tx.add_alert(new_alert(office, Alert.ENGINE_FAILED, now, about=("risk",), **told))


async def _sweep(office: Office, now: int) -> None:
    """Drop events and alerts that are too old to keep, a few with every minute that something happens in."""
    if await office.counters.once("risk:sweep", made=now, expires=now + SWEEP, now=now):
        async with office.ledger.begin() as tx:
            await tx.drop_risk_events(before=now - office.watch.event_days * _DAY)
            await tx.drop_alerts(before=now - KEPT_DAYS * _DAY)
