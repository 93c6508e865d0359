"""What the admin API takes and gives: closed shapes, which are its OpenAPI schemas as well."""

from collections.abc import Sequence

from strongroom import canonical
from strongroom.canonical import JsonValue, to_base64url
from strongroom.errors import Code, IntegrityError, StoreError
from strongroom.names import CHANNEL, MODEL, PERSON, VERSION
from strongroom.server.accounts import MOST_LISTED, ROLES, AccountView, EntitlementView
from strongroom.server.catalogue import FileView, ModelView, VersionView
from strongroom.server.devices import MOST_SHOWN, DeviceView
from strongroom.server.ports import DeviceRow, Holding, Operator, OrderRow, Standing, Version
from strongroom.server.versions import Moved, Revoked
from strongroom.server.wipe_orders import MOST_HELD, Ordered
from strongroom.shapes import Array, Binary, Choice, Flag, Free, Integer, Nullable, Object, Text
from strongroom.wire.messages import ID, JWS
from strongroom.wire.orders import ABSENT, WIPED

TIME = Integer()
STATE = Text(16)
WHO = Text(64, rf"(?:{PERSON})|(?:[a-z]{{2,4}}_[A-Za-z0-9_-]{{22}})")  # a name or an identifier

NEW_ACCOUNT = Object({"name": Text(64, PERSON)})
ACCOUNT = Object({"id": ID, "name": Text(64), "state": STATE, "users": Array(Text(64), most=10_000), "created": TIME})
ACCOUNTS = Object({"accounts": Array(ACCOUNT, most=100), "next": Text(64)}, frozenset({"next"}))

NEW_ENTITLEMENT = Object(
    {
        "account": WHO,
        "model": Text(64, MODEL),
        "channel": Nullable(Text(31, CHANNEL)),
        "user": Nullable(WHO),
        "until": Nullable(TIME),
    },
    frozenset({"channel", "user", "until"}),
)
ENTITLEMENT = Object(
    {
        "id": ID,
        "account": ID,
        "account_name": Text(64),
        "user": Nullable(ID),
        "user_name": Nullable(Text(64)),
        "model": Text(64),
        "channel": Nullable(Text(31)),
        "until": Nullable(TIME),
        "created": TIME,
    }
)
ENTITLEMENTS = Object({"entitlements": Array(ENTITLEMENT, most=10_000)})

NEW_OPERATOR = Object({"name": Text(64, PERSON), "role": Choice(ROLES)})
OPERATOR = Object(
    {"id": ID, "name": Text(64), "role": Choice(ROLES), "state": STATE, "token": Text(64)}, frozenset({"token"})
)

NEW_TOKEN = Object({"user": WHO, "seconds": Nullable(Integer(1))}, frozenset({"seconds"}))
TOKEN = Object({"user": WHO, "token": JWS, "expires": TIME})

DEVICE = Object(
    {
        "id": ID,
        "account": ID,
        "user": ID,
        "thumbprint": Binary(32),
        "alg": Text(16),
        "state": STATE,
        "created": TIME,
        "seen": TIME,
        "facts": Free(16),
    }
)
DEVICES = Object({"devices": Array(DEVICE, most=100), "next": ID}, frozenset({"next"}))
HOLDING = Object(
    {
        "model": Text(64, MODEL),
        "version": Text(64, VERSION),
        "lease": ID,  # the newest
        "released": TIME,
        "lease_expires": TIME,
        "lease_over": Flag(),
    }
)
ORDER = Object(
    {
        "id": ID,
        "device": ID,
        "model": Text(64, MODEL),
        "version": Text(64, VERSION),
        "state": Choice(("pending", "reported", "withdrawn", "expired")),
        "operator": ID,
        "issued": TIME,
        "expires": TIME,
        "fetched": Nullable(TIME),  # when the device first had it
        "reported": Nullable(TIME),
        "outcome": Nullable(Choice((WIPED, ABSENT))),  # the device's word
        "withdrawn": Nullable(TIME),
    }
)
DEVICE_FULL = Object(
    {**DEVICE.fields, "holds": Array(HOLDING, most=MOST_SHOWN), "orders": Array(ORDER, most=MOST_SHOWN)}
)
NEW_ORDERS = Object(
    {
        "device": Nullable(ID),
        "model": Nullable(Text(64, MODEL)),
        "version": Nullable(Text(64, VERSION)),
        "after": Nullable(ID),
    },
    frozenset({"device", "model", "version", "after"}),
)
ORDERS = Object({"orders": Array(ORDER, most=100), "next": ID}, frozenset({"next"}))
ORDERED = Object({"orders": Array(ORDER, most=MOST_HELD), "next": ID}, frozenset({"next"}))

VERSION_SHORT = Object(
    {
        "id": ID,
        "model": Text(64),
        "version": Text(64),
        "epoch": Integer(1),
        "counter": Integer(1),
        "channel": Nullable(Text(31)),
        "state": Choice(("uploading", "checking", "ready", "failed", "revoked")),
        "reason": Text(80, least=0),
        "publisher": ID,
        "created": TIME,
    }
)
FILE = Object(
    {
        "file_id": Binary(32),
        "key_id": Binary(16),
        "kind": Text(16),
        "suite": Integer(1, 255),
        "head": Binary(64),
        "size": Integer(1),
    }
)
VERSION_FULL = Object({**VERSION_SHORT.fields, "files": Array(FILE, most=16)})
# Channel names may hold "-", which canonical JSON allows in no key: they are values.
CHANNELS = Array(Object({"channel": Text(31, CHANNEL), "version": Text(64, VERSION), "state": STATE}), most=1024)
NEW_CHANNEL = Object({"model": Text(64, MODEL), "version": Text(64, VERSION), "channel": Text(31, CHANNEL)})
CHANNEL_MOVED = Object({**NEW_CHANNEL.fields, "before": Nullable(Text(64, VERSION))})
REVOKED = Object(
    {
        "id": ID,
        "model": Text(64, MODEL),
        "version": Text(64, VERSION),
        "state": STATE,
        "channels": Array(Text(31, CHANNEL), most=1024),  # they give out nothing until a later version is promoted
    }
)
MODELS = Object(
    {"models": Array(Object({"model": Text(64, MODEL), "channels": CHANNELS}), most=100), "next": Text(64)},
    frozenset({"next"}),
)
MODEL_FULL = Object(
    {
        "model": Text(64, MODEL),
        "channels": CHANNELS,
        "versions": Array(VERSION_SHORT, most=100_000),
        "next": Object({"epoch": Integer(1), "counter": Integer(1)}),
    }
)
STARTED = Object({"id": ID, "model": Text(64, MODEL), "version": Text(64, VERSION), "state": STATE})

DEPOSIT_CONTEXT = Object(
    {
        "account": Text(64, least=0),
        "publisher": ID,
        "server": Text(512),
        "suites": Array(Integer(1, 255), most=8),
        "trust": Array(Text(400_000), most=32),
    }
)
DEPOSITED = Object(
    {"version_id": ID, "uploads": Array(Object({"file_id": Binary(32), "url": Text(2048)}), most=16, least=1)}
)


def account(view: AccountView) -> dict[str, JsonValue]:
    """An account with the names of its users."""
    row = view.account
    return {"id": row.id, "name": row.name, "state": row.state, "users": list(view.users), "created": row.created}


def entitlement(view: EntitlementView) -> dict[str, JsonValue]:
    """A right, with the names people know; its MAC stays in the database."""
    row = view.row
    return {
        "id": row.id,
        "account": row.account,
        "account_name": view.account_name,
        "user": row.user,
        "user_name": view.user_name,
        "model": row.model,
        "channel": row.channel,
        "until": row.until,
        "created": row.created,
    }


def operator(row: Operator) -> dict[str, JsonValue]:
    """An operator without anything of its token."""
    return {"id": row.id, "name": row.name, "role": row.role, "state": row.state}


def device(row: DeviceRow) -> dict[str, JsonValue]:
    """A device with what it said of itself.

    Raises:
        StoreError: STORE_DAMAGED, if what is kept of it is not what was written.
    """
    try:
        facts = canonical.decode(row.facts.encode("ascii"), limit=65_536, where="facts")
    except (IntegrityError, UnicodeEncodeError):  # ours to mend, not the caller's
        raise StoreError(Code.STORE_DAMAGED, "a row of the database was altered", where=f"device {row.id}") from None
    return {
        "id": row.id,
        "account": row.account,
        "user": row.user,
        "thumbprint": to_base64url(row.thumbprint),
        "alg": row.alg,
        "state": row.state,
        "created": row.created,
        "seen": row.seen,
        "facts": facts,
    }


def device_full(view: DeviceView) -> dict[str, JsonValue]:
    """A device with what it holds and what it was ordered. Raises as `device`."""
    holds: list[JsonValue] = [_holding(one, view.now) for one in view.holdings]
    orders: list[JsonValue] = [order(one, view.now) for one in view.orders]
    return device(view.row) | {"holds": holds, "orders": orders}


def order(row: OrderRow, now: int) -> dict[str, JsonValue]:
    """A wipe order and what became of it, without its signatures."""
    over = "expired" if now >= row.expires else "pending"
    state = "reported" if row.reported is not None else over if row.withdrawn is None else "withdrawn"
    return {
        "id": row.id,
        "device": row.device,
        "model": row.model,
        "version": row.version,
        "state": state,
        "operator": row.operator,
        "issued": row.issued,
        "expires": row.expires,
        "fetched": row.fetched,
        "reported": row.reported,
        "outcome": row.outcome,
        "withdrawn": row.withdrawn,
    }


def ordered(done: Ordered, now: int) -> dict[str, JsonValue]:
    """The orders in force; `next` is there if there may be further devices, and goes into `after`."""
    page: dict[str, JsonValue] = {"orders": [order(one, now) for one in done.orders]}
    return page | ({} if done.next is None else {"next": done.next})


def moved(done: Moved) -> dict[str, JsonValue]:
    """A channel and what it stands for now."""
    row = done.version
    return {"model": row.model, "version": row.version, "channel": done.channel, "before": done.before}


def revoked(done: Revoked) -> dict[str, JsonValue]:
    """A version that nobody can have any more."""
    row = done.version
    channels: list[JsonValue] = list(done.channels)
    return {"id": row.id, "model": row.model, "version": row.version, "state": row.state, "channels": channels}


def version(row: Version) -> dict[str, JsonValue]:
    """A version without its files."""
    return {
        "id": row.id,
        "model": row.model,
        "version": row.version,
        "epoch": row.epoch,
        "counter": row.counter,
        "channel": row.channel,
        "state": row.state,
        "reason": row.reason,
        "publisher": row.publisher,
        "created": row.created,
    }


def version_full(view: VersionView) -> dict[str, JsonValue]:
    """A version with its files."""
    return version(view.version) | {"files": [_file(one) for one in view.files]}


def channels(of: Sequence[Standing]) -> list[JsonValue]:
    """Channels, the version each points to, and whether that can be had."""
    return [{"channel": one.channel, "version": one.version, "state": one.state} for one in of]


def model(view: ModelView) -> dict[str, JsonValue]:
    """A model with its channels, versions, and the place that comes next."""
    epoch, counter = view.next
    return {
        "model": view.model,
        "channels": channels(view.channels),
        "versions": [version(row) for row in view.versions],
        "next": {"epoch": epoch, "counter": counter},
    }


def listed(name: str, items: Sequence[dict[str, JsonValue]], marks: Sequence[str]) -> dict[str, JsonValue]:
    """One page of a list; `next` is there if there may be more, and goes into `after`."""
    page: dict[str, JsonValue] = {name: list(items)}
    return page | ({"next": marks[-1]} if len(items) == MOST_LISTED else {})


def _holding(one: Holding, now: int) -> dict[str, JsonValue]:
    return {
        "model": one.model,
        "version": one.version,
        "lease": one.lease,
        "released": one.released,
        "lease_expires": one.expires,
        "lease_over": now >= one.expires,
    }


def _file(view: FileView) -> dict[str, JsonValue]:
    return {
        "file_id": to_base64url(view.file_id),
        "key_id": to_base64url(view.key_id),
        "kind": view.kind,
        "suite": view.suite,
        "head": to_base64url(view.head),
        "size": view.size,
    }
