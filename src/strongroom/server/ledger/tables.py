"""The tables, as SQLAlchemy Core sees them; `migrations/` brings a database to this state.

Only types that SQLite and PostgreSQL share. Columns have the names of the row fields in `ports.py`, so that a row
goes in and comes out without a mapping of its own.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_ID, _NAME, _WORD = String(64), String(64), String(32)

ACCOUNTS = Table(
    "accounts",
    METADATA,
    Column("id", _ID, primary_key=True),
    Column("name", _NAME, nullable=False, unique=True),
    Column("state", _WORD, nullable=False),
    Column("created", BigInteger, nullable=False),
)

USERS = Table(
    "users",
    METADATA,
    Column("id", _ID, primary_key=True),
    Column("account", _ID, ForeignKey("accounts.id"), nullable=False, index=True),
    Column("name", _NAME, nullable=False, unique=True),
    Column("state", _WORD, nullable=False),
    Column("created", BigInteger, nullable=False),
)

OPERATORS = Table(
    "operators",
    METADATA,
    Column("id", _ID, primary_key=True),
    Column("name", _NAME, nullable=False, unique=True),
    Column("role", _WORD, nullable=False),
    Column("token_hash", LargeBinary(32), nullable=False, unique=True),
    Column("state", _WORD, nullable=False),
    Column("created", BigInteger, nullable=False),
)

DEVICES = Table(
    "devices",
    METADATA,
    Column("id", _ID, primary_key=True),
    Column("account", _ID, ForeignKey("accounts.id"), nullable=False, index=True),
    Column("user", _ID, ForeignKey("users.id"), nullable=False),
    Column("thumbprint", LargeBinary(32), nullable=False, unique=True),
    Column("jkt", _ID, nullable=False),
    Column("alg", _WORD, nullable=False),
    Column("public_key", LargeBinary, nullable=False),
    Column("facts", Text, nullable=False),
    Column("state", _WORD, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("seen", BigInteger, nullable=False),
)

ENTITLEMENTS = Table(
    "entitlements",
    METADATA,
    Column("id", _ID, primary_key=True),
    Column("account", _ID, ForeignKey("accounts.id"), nullable=False),
    Column("user", _ID, ForeignKey("users.id")),
    Column("model", _NAME, nullable=False),
    Column("channel", _WORD),
    Column("until", BigInteger),
    Column("created", BigInteger, nullable=False),
    Column("mac", LargeBinary(32), nullable=False),
    Index(None, "account", "model"),
)

VERSIONS = Table(
    "versions",
    METADATA,
    Column("id", _ID, primary_key=True),
    Column("model", _NAME, nullable=False),
    Column("version", _NAME, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("counter", BigInteger, nullable=False),
    Column("channel", _WORD),
    Column("state", _WORD, nullable=False, index=True),
    Column("reason", Text, nullable=False),
    Column("publisher", _ID, nullable=False),
    Column("created", BigInteger, nullable=False),
    UniqueConstraint("model", "version"),
    UniqueConstraint("model", "epoch", "counter"),
)

CHANNELS = Table(
    "channels",
    METADATA,
    Column("model", _NAME, primary_key=True),
    Column("channel", _WORD, primary_key=True),
    Column("version_id", _ID, ForeignKey("versions.id"), nullable=False),
)

FILES = Table(
    "files",
    METADATA,
    Column("file_id", LargeBinary(32), primary_key=True),
    Column("version_id", _ID, ForeignKey("versions.id"), nullable=False, index=True),
    Column("account", _ID, ForeignKey("accounts.id")),
    Column("position", Integer, nullable=False),
    Column("key_id", LargeBinary(16), nullable=False),
    Column("kind", _WORD, nullable=False),
    Column("suite", Integer, nullable=False),
    Column("head", LargeBinary(64), nullable=False),
    Column("commitment", LargeBinary(32), nullable=False, unique=True),
    Column("head_part", LargeBinary, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("object_name", _NAME, nullable=False, unique=True),
    Column("wrapped", LargeBinary, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("twin", _ID),  # null: a real file; else of this decoy twin of the version
)

TWINS = Table(
    "twins",
    METADATA,
    Column("id", _ID, primary_key=True),
    Column("version_id", _ID, ForeignKey("versions.id"), nullable=False, unique=True),
    Column("state", _WORD, nullable=False, index=True),
    Column("reason", Text, nullable=False),
    Column("publisher", _ID, nullable=False),
    Column("created", BigInteger, nullable=False),
)

CHALLENGES = Table(
    "challenges",
    METADATA,
    Column("hash", LargeBinary(32), primary_key=True),
    Column("user", _ID, nullable=False),
    Column("device", LargeBinary(32), nullable=False),
    Column("purpose", _WORD, nullable=False),
    Column("model", _NAME),
    Column("expires", BigInteger, nullable=False, index=True),
    Column("used", BigInteger),  # when it was used up; null as long as it was not
)

RELEASES = Table(
    "releases",
    METADATA,
    Column("id", _ID, primary_key=True),
    Column("device", _ID, ForeignKey("devices.id"), nullable=False, index=True),
    Column("account", _ID, ForeignKey("accounts.id"), nullable=False),
    Column("version_id", _ID, ForeignKey("versions.id"), nullable=False),
    Column("request", LargeBinary(32), nullable=False),
    Column("ephemeral", LargeBinary(32), nullable=False, unique=True),
    Column("lease_id", _ID, nullable=False, unique=True),
    Column("lease_expires", BigInteger, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("ended", BigInteger),
    Column("twin", _ID),  # null: the version's real files were given
    Index(None, "version_id", "device"),
)

ORDERS = Table(
    "orders",
    METADATA,
    Column("id", _ID, primary_key=True),
    Column("device", _ID, ForeignKey("devices.id"), nullable=False),
    Column("model", _NAME, nullable=False),
    Column("version", _NAME, nullable=False),
    Column("version_id", _ID, ForeignKey("versions.id"), nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("signed", Text, nullable=False),
    Column("issued", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False),
    Column("operator", _ID, nullable=False),
    Column("fetched", BigInteger),
    Column("reported", BigInteger),
    Column("outcome", _WORD),
    Column("receipt", Text),
    Column("withdrawn", BigInteger),
    Index(None, "device", "model"),
)

ATTESTATIONS = Table(
    "device_attestations",
    METADATA,
    Column("device", _ID, ForeignKey("devices.id"), primary_key=True),
    Column("kind", _WORD, primary_key=True),
    Column("known", Text, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("attested", BigInteger, nullable=False),
    Column("verified", BigInteger, nullable=False),
    Column("policy", _ID, nullable=False),
    Column("hardware", LargeBinary(32), nullable=False, index=True),
    Column("mac", LargeBinary(32), nullable=False),
)

AUDIT = Table(
    "audit",
    METADATA,
    # SQLite numbers rows by itself only where the type is plain INTEGER, which is 64 bits wide there
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("event", _NAME, nullable=False, index=True),
    Column("at", BigInteger, nullable=False),
    Column("actor", String(128), nullable=False),
    Column("subject", String(256), nullable=False),
    Column("detail", Text, nullable=False),  # canonical JSON
    sqlite_autoincrement=True,  # a number is never given out twice
)

RISK_STATES = Table(
    "risk_states",
    METADATA,
    Column("entity", LargeBinary(16), primary_key=True),
    Column("kind", _WORD, nullable=False),
    Column("name", _ID, nullable=False),
    Column("band", Integer, nullable=False),
    Column("moved", BigInteger, nullable=False),
    Column("state", LargeBinary(256), nullable=False),
    Index(None, "band", "moved"),
)

RISK_EVENTS = Table(
    "risk_events",
    METADATA,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("id", _ID, nullable=False, unique=True),
    Column("at", BigInteger, nullable=False, index=True),
    Column("user", _ID, nullable=False),
    Column("key", _ID, nullable=False),
    Column("band", Integer, nullable=False),
    Column("body", Text, nullable=False),
    Index(None, "user", "at"),
    Index(None, "key", "at"),
    sqlite_autoincrement=True,
)

SNOOZES = Table(
    "risk_snoozes",
    METADATA,
    Column("id", _ID, primary_key=True),
    Column("rule", _ID, nullable=False),
    Column("entity", _ID, nullable=False),
    Column("until", BigInteger, nullable=False, index=True),
    Column("by", _ID, nullable=False),
    Column("why", Text, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("ended", BigInteger),
)

DECOYS = Table(
    "decoys",
    METADATA,
    Column("id", _ID, primary_key=True),
    Column("kind", _WORD, nullable=False),
    Column("name", String(256), nullable=False),
    Column("note", Text, nullable=False),
    Column("mark", LargeBinary(32), nullable=False, unique=True),
    Column("created", BigInteger, nullable=False),
    Column("operator", _ID, nullable=False),
    Column("state", _WORD, nullable=False),
    Column("tested", BigInteger),
    Column("hits", BigInteger, nullable=False),
    Column("hit", BigInteger),
    UniqueConstraint("kind", "name"),
)

ALERTS = Table(
    "alerts",
    METADATA,
    Column("id", _ID, primary_key=True),
    Column("key", String(256), nullable=False, unique=True),
    Column("at", BigInteger, nullable=False, index=True),
    Column("body", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due", BigInteger, nullable=False, index=True),
    Column("sent", BigInteger),
    Column("given_up", BigInteger),
)

APPEALS = Table(
    "appeals",
    METADATA,
    Column("id", _ID, primary_key=True),
    Column("device", _ID, ForeignKey("devices.id"), nullable=False, index=True),
    Column("user", _ID, nullable=False),
    Column("reference", _ID, nullable=False),
    Column("text", Text, nullable=False),
    Column("created", BigInteger, nullable=False, index=True),
    Column("closed", BigInteger),
    Column("outcome", _WORD),
    Column("operator", _ID),
)
