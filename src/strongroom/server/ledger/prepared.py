"""Statements that every release asks, built once: SQLAlchemy takes longer to build one than SQLite to answer it."""

import dataclasses
from functools import cache

from sqlalchemy import Delete, Insert, Select, Table, Update, and_, bindparam, delete, insert, select, update

from strongroom.server.ledger import tables as t
from strongroom.server.ports import ChallengeRow

ROW = "row_id"  # a name that is no column's: SQLAlchemy keeps those of columns for what an update sets


@cache
def of_table(table: Table, names: tuple[str, ...]) -> Select[tuple[object, ...]]:
    """Select the rows whose columns of these names equal the parameters of these names."""
    return select(table).where(*(table.c[name] == bindparam(name) for name in names))


@cache
def into(table: Table) -> Insert:
    """Insert a row; its columns are the parameters."""
    return insert(table)


@cache
def row_of(table: Table) -> Update:
    """Update the row whose identifier is the parameter ROW; what is set are the other parameters."""
    return update(table).where(table.c.id == bindparam(ROW))


ENTITLEMENTS = of_table(t.ENTITLEMENTS, ("account", "model")).order_by(t.ENTITLEMENTS.c.id)
_BY_POSITION = (t.FILES.c.position, t.FILES.c.file_id)
# a twin's files have the version of the real ones: whoever asks for a version's files never gets them
FILES = of_table(t.FILES, ("version_id",)).where(t.FILES.c.twin.is_(None)).order_by(*_BY_POSITION)
TWIN_FILES = (
    select(t.FILES)
    .join(t.TWINS, t.FILES.c.twin == t.TWINS.c.id)
    .where(t.FILES.c.version_id == bindparam("version_id"), t.TWINS.c.state == "ready")
    .order_by(*_BY_POSITION)
)
GIVEN = (
    select(t.RELEASES.c.id.label("release"), t.RELEASES.c.twin)
    .where(
        t.RELEASES.c.device == bindparam("device"),
        t.RELEASES.c.version_id == bindparam("version_id"),
        t.RELEASES.c.ended.is_(None),
    )
    .order_by(t.RELEASES.c.created.desc(), t.RELEASES.c.id.desc())
    .limit(1)
)
CHANNELS = (
    select(t.CHANNELS.c.channel, t.VERSIONS.c.version)
    .join(t.VERSIONS, t.CHANNELS.c.version_id == t.VERSIONS.c.id)
    .where(t.CHANNELS.c.model == bindparam("model"))
    .order_by(t.CHANNELS.c.channel)
)
CHANNEL_VERSION = (
    select(t.VERSIONS)
    .join(t.CHANNELS, t.CHANNELS.c.version_id == t.VERSIONS.c.id)
    .where(t.CHANNELS.c.model == bindparam("model"), t.CHANNELS.c.channel == bindparam("channel"))
)
# one statement, so that of many copies of a request exactly one finds `used` empty
USE_CHALLENGE: Update = (
    update(t.CHALLENGES)
    .where(
        *(t.CHALLENGES.c[name] == bindparam(f"its_{name}") for name in ("hash", "user", "device", "purpose")),
        t.CHALLENGES.c.used.is_(None),
        t.CHALLENGES.c.expires > bindparam("now"),
    )
    .values(used=bindparam("now"))
    .returning(*(t.CHALLENGES.c[field.name] for field in dataclasses.fields(ChallengeRow)))
)
OUTSTANDING = select(*(t.CHALLENGES.c[field.name] for field in dataclasses.fields(ChallengeRow))).where(
    *(t.CHALLENGES.c[name] == bindparam(name) for name in ("hash", "user", "device", "purpose")),
    t.CHALLENGES.c.used.is_(None),
    t.CHALLENGES.c.expires > bindparam("now"),
)
DROP_CHALLENGES: Delete = delete(t.CHALLENGES).where(t.CHALLENGES.c.expires < bindparam("before"))
ATTESTATIONS = of_table(t.ATTESTATIONS, ("device",)).order_by(t.ATTESTATIONS.c.kind)
DEVICES_WITH = (
    select(t.DEVICES)
    .join(t.ATTESTATIONS, t.ATTESTATIONS.c.device == t.DEVICES.c.id)
    .where(
        t.ATTESTATIONS.c.hardware == bindparam("hardware"),
        t.ATTESTATIONS.c.kind == bindparam("kind"),
        t.DEVICES.c.id != bindparam("besides"),
    )
    .order_by((t.DEVICES.c.state != "active").desc(), t.DEVICES.c.id)
    .limit(bindparam("most"))
)
# one statement, so that of two requests judged against one state exactly one changes it
ADVANCE_ATTESTATION: Update = update(t.ATTESTATIONS).where(
    *(t.ATTESTATIONS.c[name] == bindparam(f"its_{name}") for name in ("device", "kind", "known", "revision"))
)
PENDING_ORDERS = (
    select(t.ORDERS)
    .where(
        t.ORDERS.c.device == bindparam("device"),
        t.ORDERS.c.model == bindparam("model"),
        and_(t.ORDERS.c.reported.is_(None), t.ORDERS.c.withdrawn.is_(None), t.ORDERS.c.expires > bindparam("now")),
    )
    .order_by(t.ORDERS.c.issued, t.ORDERS.c.id)
    .limit(bindparam("most"))
)
