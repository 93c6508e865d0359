"""Accounts, users, rights, operators, user tokens: what the office's people do (R13, R59).

Roles: `admin` may do everything; `operator` keeps accounts, rights and tokens; `publisher` publishes; `auditor` and
`security` read. Each function checks the role first, so that no caller can forget to.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from strongroom import names
from strongroom.errors import Code, DeniedError, InputError
from strongroom.server import tokens
from strongroom.server.audit import Event, event
from strongroom.server.entitled import entitlement_mac
from strongroom.server.identify import ACTIVE, STOPPED, Visit
from strongroom.server.office import Office
from strongroom.server.policy import MAX_USER_TOKEN_SECONDS
from strongroom.server.ports import Account, DeviceRow, Entitlement, Operator, Transaction, User

ROLES = ("admin", "publisher", "operator", "auditor", "security")
KEEPERS = ("admin", "operator")
READERS = ("admin", "operator", "auditor", "security")
MOST_LISTED = 100
RESTRICTED = "restricted"


@dataclass(frozen=True, slots=True)
class AccountView:
    """An account and the names of its users."""

    account: Account
    users: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NewOperator:
    """An operator just added, with the token that is shown this once."""

    operator: Operator
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class EntitlementView:
    """A right, with the names of whom it is for."""

    row: Entitlement
    account_name: str
    user_name: str | None


@dataclass(frozen=True, slots=True)
class Right:
    """What `add_entitlement` is asked for: names, or identifiers, as people write them."""

    account: str
    model: str
    channel: str | None
    user: str | None
    until: int | None


async def add_account(office: Office, operator: Operator, name: str, visit: Visit) -> AccountView:
    """Add an account and its first user, who has the account's name.

    Raises:
        DeniedError: FORBIDDEN.
        InputError: NAME, or CONFLICT if an account or user has this name.
    """
    await allow(office, operator, KEEPERS, "add an account", visit.reference)
    names.check("account", name)
    account = Account(office.new_id("acc"), name, ACTIVE, visit.now)
    user = User(office.new_id("usr"), account.id, name, ACTIVE, visit.now)
    async with office.ledger.begin() as tx:
        await tx.add_account(account)
        await tx.add_user(user)
        await tx.add_audit(event(Event.ACCOUNT_ADDED, at=visit.now, actor=operator.id, subject=account.id, name=name))
        await tx.add_audit(event(Event.USER_ADDED, at=visit.now, actor=operator.id, subject=user.id, name=name))
    return AccountView(account, (name,))


async def list_accounts(office: Office, operator: Operator, after: str) -> tuple[AccountView, ...]:
    """Return up to 100 accounts by name, after the given name. Raises DeniedError(FORBIDDEN)."""
    await allow(office, operator, READERS, "list accounts")
    async with office.ledger.begin() as tx:
        rows = await tx.accounts(after=after, limit=MOST_LISTED)
        return tuple([AccountView(row, tuple(user.name for user in await tx.users(row.id))) for row in rows])


async def set_restricted(
    office: Office, operator: Operator, account: str, visit: Visit, *, restricted: bool
) -> AccountView:
    """Restrict an account, or restore it. Saying it again is harmless.

    While it is restricted, its users enrol nothing and its devices get no release and no renewal; they can still fetch
    wipe orders and report on them.

    Raises:
        DeniedError: FORBIDDEN or NOT_FOUND.
    """
    what = "restrict an account" if restricted else "restore an account"
    await allow(office, operator, KEEPERS, what, visit.reference)
    state, name = (RESTRICTED, Event.ACCOUNT_RESTRICTED) if restricted else (ACTIVE, Event.ACCOUNT_RESTORED)
    async with office.ledger.begin() as tx:
        row = await _account(tx, account)
        if row.state != state:
            await tx.set_account_state(row.id, state)
            await tx.add_audit(
                event(name, at=visit.now, actor=operator.id, subject=row.id, name=row.name, reference=visit.reference)
            )
        users = tuple(user.name for user in await tx.users(row.id))
    return AccountView(dataclasses.replace(row, state=state), users)


async def add_entitlement(office: Office, operator: Operator, right: Right, visit: Visit) -> EntitlementView:
    """Give an account, or one user of it, a right to a model. The model need not be there yet.

    Raises:
        DeniedError: FORBIDDEN; NOT_FOUND for an account or user that is not there.
        InputError: NAME; ARGUMENT for a time that is over.
    """
    await allow(office, operator, KEEPERS, "add a right", visit.reference)
    names.check("model", right.model)
    if right.channel is not None:
        names.check("channel", right.channel)
    if right.until is not None and right.until <= visit.now:
        raise InputError(Code.ARGUMENT, "a right cannot end before it begins", where="until")
    async with office.ledger.begin() as tx:
        account = await _account(tx, right.account)
        user = await tx.user(right.user) if right.user is not None else None
        if right.user is not None and (user is None or user.account != account.id):
            raise DeniedError(Code.NOT_FOUND, "there is no such user of this account", where=right.user)
        bare = Entitlement(
            id=office.new_id("ent"),
            account=account.id,
            user=user.id if user else None,
            model=right.model,
            channel=right.channel,
            until=right.until,
            created=visit.now,
            mac=b"",
        )
        row = dataclasses.replace(bare, mac=entitlement_mac(office.vault, bare))
        await tx.add_entitlement(row)
        await tx.add_audit(
            event(
                Event.ENTITLEMENT_ADDED,
                at=visit.now,
                actor=operator.id,
                subject=row.id,
                account=account.id,
                model=row.model,
            )
        )
    return EntitlementView(row, account.name, user.name if user else None)


async def remove_entitlement(office: Office, operator: Operator, id_: str, visit: Visit) -> None:
    """Take a right away; the next release and the next fresh link are refused.

    Raises:
        DeniedError: FORBIDDEN or NOT_FOUND.
    """
    await allow(office, operator, KEEPERS, "remove a right", visit.reference)
    async with office.ledger.begin() as tx:
        if not await tx.remove_entitlement(id_):
            raise DeniedError(Code.NOT_FOUND, "there is no such right", where=id_)
        await tx.add_audit(event(Event.ENTITLEMENT_REMOVED, at=visit.now, actor=operator.id, subject=id_))


async def list_entitlements(
    office: Office, operator: Operator, account: str, model: str
) -> tuple[EntitlementView, ...]:
    """Return an account's rights to a model. Raises DeniedError(FORBIDDEN or NOT_FOUND), InputError(NAME)."""
    await allow(office, operator, READERS, "list rights")
    names.check("model", model)
    async with office.ledger.begin() as tx:
        owner = await _account(tx, account)
        users = {user.id: user.name for user in await tx.users(owner.id)}
        rows = await tx.entitlements(owner.id, model)
    return tuple(EntitlementView(row, owner.name, users.get(row.user) if row.user else None) for row in rows)


async def add_operator(office: Office, operator: Operator, name: str, role: str, visit: Visit) -> NewOperator:
    """Add an operator; the token is returned once and kept only as a hash.

    Raises:
        DeniedError: FORBIDDEN.
        InputError: NAME; ARGUMENT for a role that is none; CONFLICT.
    """
    await allow(office, operator, ("admin",), "add an operator", visit.reference)
    names.check("operator", name)
    if role not in ROLES:
        raise InputError(Code.ARGUMENT, "not a role", where="role", next_step=f"use one of {', '.join(ROLES)}")
    token = tokens.operator_token(office.random)
    row = Operator(office.new_id("opr"), name, role, tokens.hash_token(token), ACTIVE, visit.now)
    async with office.ledger.begin() as tx:
        await tx.add_operator(row)
        await tx.add_audit(
            event(Event.OPERATOR_ADDED, at=visit.now, actor=operator.id, subject=row.id, name=name, role=role)
        )
    return NewOperator(row, token)


async def issue_token(
    office: Office, operator: Operator, user: str, seconds: int | None, visit: Visit
) -> tuple[str, int]:
    """Issue a token by which a user enrols devices; return it and when it expires.

    Raises:
        DeniedError: FORBIDDEN; NOT_FOUND for a user that is not there.
        InputError: ARGUMENT for a life longer than 7 days; CONFLICT for a user that is stopped.
    """
    await allow(office, operator, KEEPERS, "issue a token", visit.reference)
    life = office.policy.user_token_seconds if seconds is None else seconds
    if not 1 <= life <= MAX_USER_TOKEN_SECONDS:
        raise InputError(Code.ARGUMENT, f"a user token lives 1 to {MAX_USER_TOKEN_SECONDS} seconds", where="seconds")
    async with office.ledger.begin() as tx:
        row = await tx.user(user)
        if row is not None and row.state == STOPPED:
            step = f"strongroom risk explain {user}"
            raise InputError(Code.CONFLICT, "the risk engine stopped this user", where=user, next_step=step)
        if row is None or row.state != ACTIVE:
            raise DeniedError(Code.NOT_FOUND, "there is no such user", where=user)
        await tx.add_audit(event(Event.TOKEN_ISSUED, at=visit.now, actor=operator.id, subject=row.id, seconds=life))
    return office.tokens.user_token(row.id, now=visit.now, seconds=life, random=office.random)


async def list_devices(office: Office, operator: Operator, after: str) -> Sequence[DeviceRow]:
    """Return up to 100 devices by id, after the given id. Raises DeniedError(FORBIDDEN)."""
    await allow(office, operator, READERS, "list devices")
    async with office.ledger.begin() as tx:
        return await tx.devices(after=after, limit=MOST_LISTED)


async def allow(office: Office, operator: Operator, roles: Sequence[str], what: str, reference: str = "") -> None:
    """Refuse every role but these, and write the refusal into the audit log.

    Args:
        office: its ledger and its clock.
        operator: who asks.
        roles: who may.
        what: what is asked for, in a word or two.
        reference: of the request, if the caller has it.

    Raises:
        DeniedError: FORBIDDEN.
    """
    if operator.role not in roles:
        await forbid(office, operator, what, reference, why="this role may not do that")


async def forbid(office: Office, operator: Operator, what: str, reference: str, *, why: str) -> NoReturn:
    """Refuse an operator something, and write it down.

    Raises:
        DeniedError: FORBIDDEN.
    """
    async with office.ledger.begin() as tx:
        await tx.add_audit(
            event(
                Event.OPERATOR_REFUSED,
                at=office.now(),
                actor=operator.id,
                subject=what,
                code=str(Code.FORBIDDEN),
                role=operator.role,
                reference=reference,
            )
        )
    raise DeniedError(Code.FORBIDDEN, why, where=what)


async def _account(tx: Transaction, id_or_name: str) -> Account:
    # a database may choke on a NUL; no name has one
    row = await tx.account(id_or_name) if id_or_name.isprintable() else None
    if row is None:
        raise DeniedError(Code.NOT_FOUND, "there is no such account", where=id_or_name)
    return row
