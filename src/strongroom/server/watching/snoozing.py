"""Snoozes: one rule does not count for one user or device key, until an end and for a reason."""

from collections.abc import Sequence

from strongroom import canonical
from strongroom.errors import Code, DeniedError, InputError
from strongroom.server.accounts import READERS, allow
from strongroom.server.audit import Event, event
from strongroom.server.identify import Visit
from strongroom.server.office import Office
from strongroom.server.ports import Operator, Transaction
from strongroom.server.watch_ports import SnoozeRow

WATCHERS = ("admin", "operator", "security")  # who may forgive: keepers, and the people whose work this is
MOST_WHY = 500  # characters
LONGEST = 366 * 86_400  # seconds


async def snooze(
    office: Office, operator: Operator, rule: str, entity: str, until: int, why: str, visit: Visit
) -> SnoozeRow:
    """Silence a rule for one user or device.

    Args:
        office: its rules and ledger.
        operator: who says so.
        rule: one of the rules in force.
        entity: "user:ID" or "user:NAME", "key:THUMBPRINT", "device:ID".
        until: Unix seconds, at most a year ahead.
        why: a reason, for whoever reads it later.
        visit: time and reference.

    Raises:
        DeniedError: FORBIDDEN; NOT_FOUND for a user or device that is not there.
        InputError: ARGUMENT for a rule that is none, an end that is over, or no reason.
    """
    await allow(office, operator, WATCHERS, "silence a rule", visit.reference)
    check_why(why)
    rules = [one.id for one in office.watch.rules.rules]
    if rule not in rules:
        step = f"known are: {', '.join(sorted(rules))}"
        raise InputError(Code.ARGUMENT, f"no rule is called {rule[:40]!a}", where="rule", next_step=step)
    if not visit.now < until <= visit.now + LONGEST:
        raise InputError(Code.ARGUMENT, "a snooze ends in the future, within a year", where="until")
    async with office.ledger.begin() as tx:
        named = await _entity(tx, entity)
        row = SnoozeRow(office.new_id("snz"), rule, named, until, operator.id, why, visit.now)
        await tx.add_snooze(row)
        await tx.add_audit(
            event(
                Event.RISK_SNOOZED,
                at=visit.now,
                actor=operator.id,
                subject=row.entity,
                snooze=row.id,
                rule=rule,
                until=until,
                why=why,
                reference=visit.reference,
            )
        )
    return row


async def unsnooze(office: Office, operator: Operator, id_: str, visit: Visit) -> SnoozeRow:
    """Take a snooze back. Saying it again is harmless.

    Raises:
        DeniedError: FORBIDDEN or NOT_FOUND.
    """
    await allow(office, operator, WATCHERS, "let a rule speak again", visit.reference)
    async with office.ledger.begin() as tx:
        row = await tx.snooze(id_) if id_.isprintable() else None
        if row is None:
            raise DeniedError(Code.NOT_FOUND, "there is no such snooze", where=id_[:80])
        if row.ended is None:
            await tx.end_snooze(id_, at=visit.now)
            name, told = Event.RISK_UNSNOOZED, {"snooze": row.id, "rule": row.rule, "reference": visit.reference}
            await tx.add_audit(event(name, at=visit.now, actor=operator.id, subject=row.entity, **told))
        found = await tx.snooze(id_)
    return found or row


async def snoozes(office: Office, operator: Operator, visit: Visit, *, every: bool = False) -> Sequence[SnoozeRow]:
    """Return the snoozes in force, or all there ever were. Raises DeniedError(FORBIDDEN)."""
    await allow(office, operator, READERS, "list snoozes", visit.reference)
    async with office.ledger.begin() as tx:
        return await tx.snoozes(now=None if every else visit.now)


def check_why(why: str) -> None:
    """See that a reason is one.

    Raises:
        InputError: ARGUMENT.
    """
    if not why.strip() or len(why) > MOST_WHY or not why.isprintable():
        raise InputError(Code.ARGUMENT, f"say why, in 1 to {MOST_WHY} characters on one line", where="why")


async def _entity(tx: Transaction, text: str) -> str:
    kind, _, name = text.partition(":")
    if name.isprintable():
        if kind == "user" and (user := await tx.user(name)) is not None:
            return f"user:{user.id}"
        if kind == "device" and (device := await tx.device(name)) is not None:
            return f"key:{canonical.to_base64url(device.thumbprint)}"
        if kind == "key" and 0 < len(name) <= 43 and name.isascii():
            return text
    if kind not in ("user", "device", "key"):
        raise InputError(Code.ARGUMENT, "neither user:NAME nor device:ID nor key:THUMBPRINT", where="entity")
    raise DeniedError(Code.NOT_FOUND, f"there is no such {kind}", where=name[:80])
