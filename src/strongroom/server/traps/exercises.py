"""Exercises: requests that make every decoy fire, from a device that nobody is punished for.

The office writes the requests; whoever sends them (`strongroom decoy test`) goes through TLS, proxies and the whole of
the server like anybody else.
"""

from contextlib import suppress
from dataclasses import dataclass, field

from strongroom.canonical import encode
from strongroom.errors import InputError
from strongroom.server import accounts
from strongroom.server.audit import Event, event
from strongroom.server.bait.board import (
    CANARY,
    DEVICE_TOKEN,
    FIELD,
    KEY,
    MODEL,
    OPERATOR_TOKEN,
    TOKEN,
    canary_path,
)
from strongroom.server.bait.shipped import ENDPOINT
from strongroom.server.identify import ACTIVE, Visit, thumbprint
from strongroom.server.office import Office
from strongroom.server.ports import Account, DeviceRow, Operator, User
from strongroom.server.traps.decoys import TRAPPERS, shows
from strongroom.server.traps.loading import load
from strongroom.server.watch_ports import DecoyRow
from strongroom.signing import ED25519, SigningKey
from strongroom.wire import dpop
from strongroom.wire.messages import Device, ReleaseRequest

SECONDS = 120  # that an exercise's token lives
WINDOW = 60  # seconds in which one hit by nobody known is the exercise's
AT_DEVICES, AT_DESK = "device", "admin"
BY_DEVICE, BY_USER, BY_BEARER, BY_NOBODY = "device", "user", "bearer", "nobody"

_NOWHERE = "A" * 22


@dataclass(frozen=True, slots=True)
class Try:
    """A request that makes one decoy fire.

    Attributes:
        decoy: its identifier.
        at: the device API or the admin API.
        method: GET or POST.
        path: where.
        by: who sends it: the exercise's device, a user, the bearer of `token`, or nobody.
        token: to show instead of the exercise's own, or None.
        body: canonical JSON, or "".
    """

    decoy: str
    at: str
    method: str
    path: str
    by: str
    token: str | None = field(repr=False)
    body: str


@dataclass(frozen=True, slots=True)
class Exercise:
    """What is needed to try decoys.

    Attributes:
        began: Unix seconds; a decoy that fires is tested then or later.
        seed: of the exercise's Ed25519 key, which no right belongs to.
        token: of its device.
        tries: one or more for each decoy.
    """

    began: int
    seed: bytes = field(repr=False)
    token: str = field(repr=False)
    tries: tuple[Try, ...]


async def begin(office: Office, operator: Operator, visit: Visit) -> Exercise:
    """Prepare an exercise of every decoy in force.

    Raises:
        DeniedError: FORBIDDEN.
        StoreError: DATABASE.
    """
    await accounts.allow(office, operator, TRAPPERS, "test decoys", visit.reference)
    known = await load(office)
    key = SigningKey(ED25519, office.traps.marks.random_of("exercise", "key", 32))
    device = await _device(office, key, visit)
    token, _ = office.tokens.device_token(
        device, dpop.jkt(key.public), now=visit.now, seconds=SECONDS, random=office.random
    )
    tries = tuple(_try(office, row, device, visit.now) for row in known.rows.values())
    for one in tries:
        if one.by in {BY_BEARER, BY_NOBODY}:
            office.traps.expect(one.decoy, visit.now + WINDOW)
    async with office.ledger.begin() as tx:
        about = event(
            Event.DECOY_EXERCISED,
            at=visit.now,
            actor=operator.id,
            subject=device,
            decoys=len(tries),
            reference=visit.reference,
        )
        await tx.add_audit(about)
    return Exercise(visit.now, key.seed, token, tries)


async def _device(office: Office, key: SigningKey, visit: Visit) -> str:
    """Return the id of the exercise's device, which is made the first time."""
    marks, account = office.traps.marks, office.traps.exercise_account()
    user, device = marks.identifier("usr", account), marks.identifier("dev", account)
    async with office.ledger.begin() as tx:
        if await tx.device(device) is not None:
            return device
    name = f"decoy-test.{marks.random_of('exercise', 'name', 8).hex()[:8]}"
    facts = Device(device, "linux", "exercise", "exercise", "exercise", bytes(32))
    row = DeviceRow(
        id=device,
        account=account,
        user=user,
        thumbprint=thumbprint(key.public),
        jkt=dpop.jkt(key.public),
        alg=ED25519,
        public_key=key.public.raw,
        facts=encode(facts.to_value()).decode("ascii"),
        state=ACTIVE,
        created=visit.now,
        seen=visit.now,
    )
    with suppress(InputError):  # CONFLICT: another process was first
        async with office.ledger.begin() as tx:
            await tx.add_account(Account(account, name, ACTIVE, visit.now))
            await tx.add_user(User(user, account, name, ACTIVE, visit.now))
            await tx.add_device(row)
    return device


def _try(office: Office, row: DecoyRow, device: str, now: int) -> Try:
    shown = shows(office, row, now)
    if row.kind == ENDPOINT:
        path = shown["path"].replace("{release_id}", f"rel_{_NOWHERE}").replace("{lease_id}", f"lse_{_NOWHERE}")
        path = "/".join("digits" if part.startswith("{") else part for part in path.split("/"))
        return Try(
            row.id, AT_DEVICES, shown["method"], path, BY_DEVICE, None, "{}" if shown["method"] == "POST" else ""
        )
    if row.kind == TOKEN:
        sort = row.name.partition(" ")[0]
        if sort == OPERATOR_TOKEN:
            return Try(row.id, AT_DESK, "GET", "/v1/whoami", BY_BEARER, shown["token"], "")
        by = BY_DEVICE if sort == DEVICE_TOKEN else BY_USER
        body = '{"purpose":"urls"}' if sort == DEVICE_TOKEN else '{"purpose":"enrol"}'
        return Try(row.id, AT_DEVICES, "POST", "/v1/challenges", by, shown["token"], body)
    if row.kind == KEY:
        return Try(row.id, AT_DEVICES, "POST", f"/v1/releases/{shown['release_id']}/urls", BY_DEVICE, None, "{}")
    if row.kind == CANARY:
        path = canary_path(row, office.traps.marks)
        return Try(row.id, AT_DEVICES, "GET", path, BY_NOBODY, None, "")
    model = row.name if row.kind == MODEL else "digits"
    return Try(row.id, AT_DEVICES, "POST", "/v1/releases", BY_DEVICE, None, _request(row, model, device))


def _request(row: DecoyRow, model: str, device: str) -> str:
    """Write a release request that is refused for its proof, after it has been read."""
    facts = Device(device, "linux", "exercise", "exercise", "exercise", bytes(32))
    signals: dict[str, str | int] = {row.name: 1} if row.kind == FIELD else {}
    asked = ReleaseRequest(model, "@stable", bytes(32), 0x0020, bytes(32), facts, (), signals, "a.b.c")
    return asked.to_bytes().decode("utf-8")
