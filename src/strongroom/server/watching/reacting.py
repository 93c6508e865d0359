"""What a decision does: to the rows of a device and its user, and to the answer of the request it was made for.

| band | a request for keys | a renewal | rows |
|---|---|---|---|
| none | as usual | as usual | none |
| medium | sign in again, or attest; then a short lease, fewer requests, an answer that waits | short lease | none |
| high, stop | refused: RESTRICTED | the orders to wipe | device stopped, orders; the user, if its own band says so |
| the same with `deceive` | the keys of the decoy twin, if there is one to give | as high, for what is real | none |

A deceived device is told nothing, so nothing of what it could ask for changes: no state, no order.

While the breaker is open no score moves anybody beyond medium. Stops are facts about one device, and pass it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from strongroom.errors import Code, RefusedError
from strongroom.risk.decision import Decision
from strongroom.server import limited, wipe_orders
from strongroom.server.alerts.alert import Alert, new_alert
from strongroom.server.audit import Event, event
from strongroom.server.identify import ACTIVE, STOPPED, Visit, stopped
from strongroom.server.limits.rates import By
from strongroom.server.office import Office
from strongroom.server.ports import AuditEvent, DeviceRow, Transaction
from strongroom.server.watching.deciding import ATTEST, AUTHENTICATE, BANDS, HIGH, MEDIUM, Outcome
from strongroom.server.watching.noticing import Notice
from strongroom.server.wipe_orders import RISK, Wipe

EVERYTHING = Wipe(None, None, None, None)
SHORT_LEASE, SLOW_DOWN, SIGN_IN_AGAIN = "short-lease", "slow-down", "sign-in-again"
MOST_RULES = 8  # that an audit row or an alert names

_FROZEN = "breaker"  # the engine's note: too many moved to high at once, so medium is the most a score does
_STEPS = 1024  # in which a delay is drawn


@dataclass(frozen=True, slots=True)
class Weighed:
    """What the answer to one request must mind.

    Attributes:
        decision: None where nobody is known whom it could be about.
        restricted: the device, or its user, is stopped.
        deceive: the request is answered with a decoy twin's files.
        step_up: what is still asked for before keys are given: "", AUTHENTICATE or ATTEST.
    """

    decision: Decision | None = None
    restricted: bool = False
    deceive: bool = False
    step_up: str = ""

    @property
    def attested(self) -> bool:
        """Tell whether fresh evidence, which the band asks for, is what let the request pass."""
        return self.decision is not None and self.decision.reaction.step_up == ATTEST and not self.step_up

    def check(self, where: str) -> None:
        """Let a request for keys pass, or not.

        Raises:
            RefusedError: RESTRICTED, STEP_UP or ATTESTATION_NEEDED.
        """
        self.check_stopped(where)
        if self.step_up == ATTEST:
            raise RefusedError(Code.ATTESTATION_NEEDED, "fresh attestation is needed", where=where)
        if self.step_up:
            raise RefusedError(Code.STEP_UP, "the user must sign in again", where=where)

    def check_stopped(self, where: str) -> None:
        """Let a request pass that brings no key, or not.

        Raises:
            RefusedError: RESTRICTED.
        """
        if self.restricted:
            raise stopped(where)

    def lease_seconds(self, usual: int) -> int:
        """Return how long a lease may run."""
        most = None if self.decision is None or self.deceive else self.decision.reaction.lease
        return usual if most is None else min(usual, most)

    def words(self, before: Sequence[str] = ()) -> tuple[str, ...]:
        """Return the words that a grant or renewal tells the device, those of its attestation among them."""
        found = list(before)
        if self.decision is not None and not self.deceive:
            reaction = self.decision.reaction
            found += [SHORT_LEASE] if reaction.lease is not None else []
            found += [SLOW_DOWN] if reaction.rate < 1 else []
            found += [SIGN_IN_AGAIN] if self.step_up == AUTHENTICATE else []
        return tuple(dict.fromkeys(found))

    async def slow(self, office: Office, notice: Notice) -> None:
        """Count the request once more, as dear as the band makes it.

        Raises:
            RefusedError: RATE_LIMITED.
        """
        rate = 1.0 if self.decision is None or self.deceive else self.decision.reaction.rate
        if rate < 1 and notice.device is not None:
            visit, keys = notice.visit, {By.DEVICE: notice.device.id}
            await limited.check(office, visit.route, keys, visit.reference, factor=rate, paid=True)

    async def hold_back(self, office: Office) -> None:
        """Wait as long as the band makes an answer wait. Not inside a transaction: others would wait with it."""
        if self.decision is None or self.restricted:
            return
        least, most = self.decision.reaction.delay
        if most > 0:
            drawn = int.from_bytes(office.watch.random(2), "big") % _STEPS / (_STEPS - 1)
            await office.watch.sleep(least + (most - least) * drawn)


async def react(office: Office, tx: Transaction, notice: Notice, outcome: Outcome, *, deceivable: bool) -> Weighed:
    """Write down what a decision does, in the transaction that it is recorded in.

    Args:
        office: signs orders.
        tx: the transaction.
        notice: the request.
        outcome: what was decided.
        deceivable: whether there is a decoy twin to answer with.

    Raises:
        StoreError: DATABASE.
    """
    decision, visit = outcome.decision, notice.visit
    await _tell_moves(office, tx, notice, outcome)
    reaction = decision.reaction
    if not reaction.refuse:
        return Weighed(decision, step_up=outcome.step_up)
    if reaction.deceive and deceivable:
        await tx.add_audit(_row(Event.RISK_DECEIVED, notice, decision, _device(notice)))
        return Weighed(decision, deceive=True)
    own = BANDS.index(decision.user_band) >= HIGH
    if own and reaction.restrict and notice.user is not None and notice.user.state == ACTIVE:
        await tx.set_user_state(notice.user.id, STOPPED)
        await tx.add_audit(_row(Event.USER_STOPPED, notice, decision, notice.user.id))
    if notice.device is not None:
        await stop_device(office, tx, notice.device, notice, decision)
        if reaction.wipe:
            await wipe_orders.order_device(office, tx, RISK, EVERYTHING, notice.device.id, visit)
    return Weighed(decision, restricted=True)


async def stop_device(office: Office, tx: Transaction, device: DeviceRow, notice: Notice, decision: Decision) -> None:
    """Stop a device that is active still; one that an operator has blocked stays what it is."""
    now = await tx.device(device.id)
    if now is None or now.state != ACTIVE:
        return
    await tx.set_device_state(device.id, STOPPED)
    await tx.add_audit(_row(Event.DEVICE_STOPPED, notice, decision, device.id))
    what = {"device": device.id, "user": device.user, "band": decision.band, "reference": notice.visit.reference}
    told = new_alert(office, Alert.DEVICE_STOPPED, notice.visit.now, about=(device.id,), explain=device.id, **what)
    await tx.add_alert(told)


async def order_for_stopped(office: Office, tx: Transaction, device: str, visit: Visit) -> None:
    """Order what a device holds that became stopped without asking for anything: with its user, or before it pulled."""
    if office.watch.rules.reactions["stop"].wipe:
        await wipe_orders.order_device(office, tx, RISK, EVERYTHING, device, visit)


async def _tell_moves(office: Office, tx: Transaction, notice: Notice, outcome: Outcome) -> None:
    decision, visit = outcome.decision, notice.visit
    for row, before in outcome.moved:
        subject = _device(notice) if row.name == notice.key else row.name
        how = {"before": BANDS[before], "after": BANDS[row.band]}
        await tx.add_audit(_row(Event.RISK_BAND_CHANGED, notice, decision, subject, entity=row.kind, **how))
        if row.band > max(before, MEDIUM):
            rules = " ".join(rules_of(decision))
            what = {"entity": row.kind, "name": subject, "rules": rules, "reference": visit.reference, **how}
            about = (row.kind, subject, BANDS[row.band])
            await tx.add_alert(new_alert(office, Alert.BAND_RISEN, visit.now, about=about, explain=subject, **what))
    if any(_FROZEN in one.notes for _, one in outcome.decided):
        told = new_alert(
            office, Alert.BREAKER_FROZEN, notice.visit.now, about=("risk",), policy_version=decision.policy
        )
        if await tx.add_alert(told):
            await tx.add_audit(_row(Event.RISK_FROZEN, notice, decision, "risk"))


def _row(name: Event, notice: Notice, decision: Decision, subject: str, **more: str) -> AuditEvent:
    return event(
        name,
        at=notice.visit.now,
        actor=RISK,
        subject=subject,
        band=decision.band,
        score=decision.score,  # hundredths of a point
        rules=" ".join(rules_of(decision)),
        policy_version=decision.policy,
        decided=decision.event_id,
        user="" if notice.user is None else notice.user.id,
        reference=notice.visit.reference,
        **more,
    )


def _device(notice: Notice) -> str:
    return notice.device.id if notice.device is not None else notice.key or ""


def rules_of(decision: Decision) -> list[str]:
    """Return the rules and stops behind a decision, the heaviest first."""
    stops = [one.word for one in decision.stops]
    points = sorted(decision.points, key=lambda one: (-one.points, one.rule))
    return list(dict.fromkeys([*stops, *(one.rule for one in points)]))[:MOST_RULES]
