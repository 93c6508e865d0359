"""Who is asking: from the texts of two headers to a user, a device or an operator, or a refusal.

Cheap before costly: the token's one signature, the proof's one signature, how often this caller has asked, and only
then the database. Who holds a stolen token without its key uses up nobody's requests. Everything that can be wrong with
a token or a proof gives the same answer, whatever it was.
"""

import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from strongroom.errors import Code, DeniedError, RefusedError
from strongroom.server import limited, tokens
from strongroom.server.audit import Event, event
from strongroom.server.limits.rates import By, Route
from strongroom.server.office import Office
from strongroom.server.ports import Account, DeviceRow, Operator, User
from strongroom.signing import PublicKey
from strongroom.wire import dpop

ACTIVE = "active"
STOPPED = "stopped"  # by the risk engine, where "blocked" and "restricted" are an operator's
PROOF_LIFE = 60  # seconds a DPoP proof may be old, and may be ahead (docs/spec/protocol.md section 2)
REFUSAL_SECONDS = 60  # one audit row in this time for the same caller and code: who guesses fills no disk

_CREDENTIAL = re.compile(r"(\w{1,16}) ([A-Za-z0-9._~+/=-]{1,4096})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Visit:
    """One request as the use cases see it.

    Attributes:
        now: Unix seconds; the one time of the whole operation.
        reference: identifier a refusal carries, so that its audit row can be found.
        method: HTTP method.
        url: the public URL asked for, without its query: what proofs are made over.
        address: the caller's network address, or "".
        route: class of the route, by which requests are counted.
    """

    now: int
    reference: str
    method: str
    url: str
    address: str = ""
    route: Route = Route.RELEASE


@dataclass(frozen=True, slots=True)
class UserCaller:
    """A user about to enrol a device, and the key of that device."""

    user: User
    account: Account
    key: PublicKey
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class DeviceCaller:
    """An enrolled device, its key proven by this very request.

    `barred`: blocked or stopped, of a user or account that is, or with a token that is over; it may hear of wipe orders
    and report on them.
    """

    user: User
    account: Account
    device: DeviceRow
    key: PublicKey
    token: str = field(repr=False)
    barred: bool = False


Caller = UserCaller | DeviceCaller


def thumbprint(key: PublicKey) -> bytes:
    """SHA-256 of a key's SubjectPublicKeyInfo: how devices are told apart."""
    return hashlib.sha256(key.spki()).digest()


async def identify_user(office: Office, visit: Visit, authorization: str | None, proof: str | None) -> UserCaller:
    """Identify the bearer of a user token (`Authorization: Bearer`), who also proves the device's new key.

    Raises:
        DeniedError: UNAUTHENTICATED, TOKEN or PROOF.
        RefusedError: RESTRICTED for a user that is stopped.
        LimitedError: RATE_LIMITED.
    """
    token = _credential(authorization, "Bearer")
    async with _noting(office, "user", visit.now, visit.reference) as caller:
        claims = office.tokens.read(token, now=visit.now)
        caller.actor = claims.subject
        if claims.scope != tokens.USER:
            raise token_refused()
        seen = _verified(visit, proof, token)
        await _once(office, visit, seen, {By.USER: claims.subject})
        async with office.ledger.begin() as tx:
            user = await tx.user(claims.subject)
            account = await tx.account(user.account if user else claims.subject)  # as many queries for nobody's token
        if user is None or account is None or user.state not in (ACTIVE, STOPPED) or account.state != ACTIVE:
            raise token_refused()
        if user.state == STOPPED:
            raise stopped(user.id)
        await limited.check(office, visit.route, {By.ACCOUNT: account.id}, visit.reference)
        office.limits.saw(visit.address, user.id)
        return UserCaller(user, account, seen.key, token)


async def identify_device(
    office: Office, visit: Visit, authorization: str | None, proof: str | None, *, even_barred: bool = False
) -> DeviceCaller:
    """Identify a device by its bound token (`Authorization: DPoP`) and a proof by the same key (RFC 9449).

    Args:
        office: tokens, counters, ledger.
        visit: the request.
        authorization: the header's text.
        proof: the text of the header `DPoP`.
        even_barred: let a barred device in as well if it was ever ordered to wipe something: whoever blocks a device
            still wants it to hear of the order. So is one whose token is over, as long as its newest order is not:
            who is barred gets no new token. One that is stopped is let in whatever was ordered: its order may be made
            in this very visit. Only for what gives it nothing else.

    Raises:
        DeniedError: UNAUTHENTICATED, TOKEN or PROOF.
        RefusedError: RESTRICTED for who is stopped.
        LimitedError: RATE_LIMITED.
    """
    token = _credential(authorization, "DPoP")
    async with _noting(office, "device", visit.now, visit.reference) as caller:
        claims = office.tokens.read(token, now=visit.now, even_expired=even_barred)
        caller.actor = claims.subject
        if claims.scope != tokens.DEVICE:
            raise token_refused()
        seen = _verified(visit, proof, token)
        if dpop.jkt(seen.key) != claims.jkt:  # a stolen token with the thief's own key
            raise token_refused()
        await _once(office, visit, seen, {By.DEVICE: claims.subject})
        async with office.ledger.begin() as tx:
            device = await tx.device(claims.subject)
            user = await tx.user(device.user if device else claims.subject)  # as many queries for nobody's token
            account = await tx.account(device.account if device else claims.subject)
            over = visit.now >= claims.expires
            barred = over or any(row is not None and row.state != ACTIVE for row in (device, user, account))
            ordered = await tx.orders(claims.subject, limit=1) if barred and even_barred else ()
        if device is None or user is None or account is None or device.thumbprint != thumbprint(seen.key):
            raise token_refused()
        if stops(device, user, account):
            if not even_barred:
                raise stopped(device.id)
        elif barred and not any(visit.now < one.expires or not over for one in ordered):
            raise token_refused()
        await limited.check(office, visit.route, {By.USER: user.id, By.ACCOUNT: account.id}, visit.reference)
        if not barred:
            office.limits.saw(visit.address, user.id)
        return DeviceCaller(user, account, device, seen.key, token, barred)


async def identify_operator(office: Office, authorization: str | None, reference: str = "") -> Operator:
    """Identify an operator by a bearer token of the admin API; `reference` is what a refusal is written down under.

    Raises:
        DeniedError: UNAUTHENTICATED or TOKEN.
    """
    token = _credential(authorization, "Bearer")
    async with _noting(office, "operator", office.now(), reference) as caller:
        async with office.ledger.begin() as tx:
            # looked up by its hash: how long the search takes says nothing about a token that is not there
            operator = await tx.operator_by_token(tokens.hash_token(token))
        if operator is not None:
            caller.actor = operator.id
        caller.shown = tokens.trace(token)  # of any token: a decoy's row looks like every other
        if operator is None or operator.state != ACTIVE:
            raise token_refused()
        return operator


@dataclass(slots=True)
class _Caller:
    """Who it is, as far as a token that verified has told: "" before that.

    `shown`: the trace of an operator token, "" of all others.
    """

    actor: str = ""
    shown: str = ""


@asynccontextmanager
async def _noting(office: Office, kind: str, now: int, reference: str) -> AsyncIterator[_Caller]:
    """Write refusals of this block into the audit log, one a minute for the same caller and code."""
    caller = _Caller()
    try:
        yield caller
    except (DeniedError, RefusedError) as error:
        if error.code == Code.RATE_LIMITED:  # written down where it was counted
            raise
        name = f"refused:{kind}:{caller.actor}:{error.code}"
        if await office.counters.once(name, made=now, expires=now + REFUSAL_SECONDS, now=now):
            async with office.ledger.begin() as tx:
                code = str(error.code)
                await tx.add_audit(
                    event(
                        Event.CALLER_REFUSED,
                        at=now,
                        actor=caller.actor,
                        subject=kind,
                        code=code,
                        where=error.where,
                        reference=reference,
                        **({"shown": caller.shown} if caller.shown else {}),
                    )
                )
        raise


def _verified(visit: Visit, proof: str | None, token: str) -> dpop.DpopProof:
    if proof is None:
        raise DeniedError(Code.PROOF, "a proof of possession is needed", where="DPoP")
    return dpop.verify(proof, visit.method, visit.url, token, visit.now, leeway=PROOF_LIFE)


async def _once(office: Office, visit: Visit, seen: dpop.DpopProof, keys: dict[By, str]) -> None:
    """Take a proof once, from a caller that does not ask too often: the places for proofs are everybody's."""
    await limited.check(office, visit.route, keys, visit.reference)
    name = f"dpop:{dpop.jkt(seen.key)}:{seen.jti}"
    expires = seen.iat + PROOF_LIFE + 1
    if not await office.counters.once(name, made=seen.iat, expires=expires, now=visit.now):
        step = "try again with a fresh proof"
        raise DeniedError(Code.PROOF, "this proof was used before, or may have been", where="DPoP", next_step=step)


def _credential(authorization: str | None, scheme: str) -> str:
    if authorization is None:
        raise DeniedError(Code.UNAUTHENTICATED, "authentication is needed", next_step="send an access token")
    match = _CREDENTIAL.fullmatch(authorization)
    if match is None or match[1].lower() != scheme.lower():
        raise DeniedError(Code.UNAUTHENTICATED, f"an access token of scheme {scheme} is needed")
    return match[2]


def stops(device: DeviceRow, user: User, account: Account) -> bool:
    """Tell whether the risk engine keeps this device out, and nobody else does."""
    states = {device.state, user.state, account.state}
    return STOPPED in states and states <= {ACTIVE, STOPPED}


def stopped(who: str) -> RefusedError:
    """Return the one answer to who is stopped, whatever the reason."""
    return RefusedError(Code.RESTRICTED, "this device is restricted", where=who)


def token_refused() -> DeniedError:
    """Return the one answer to a token that is not good, whatever is wrong with it."""
    return DeniedError(Code.TOKEN, "the token is not valid here, or no longer", next_step="ask for a new token")
