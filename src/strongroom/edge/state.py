"""What the device remembers, under one MAC (docs/spec/protocol.md section 13).

High-water marks, installed versions, leases, the clock's anchor, the trust document and the device's identity are one
value: none of them can be rolled back or edited without the others. Fields are append-only once released.
"""

import hmac
from dataclasses import dataclass, field, replace
from typing import Self

from strongroom import canonical
from strongroom.edge.clock import Anchor
from strongroom.errors import Code, IntegrityError, StoreError
from strongroom.names import MODEL, VERSION, Reference
from strongroom.shapes import Array, Binary, Choice, Flag, Integer, Nullable, Object, Text
from strongroom.wire.messages import DIGEST32, DIGEST64, ID, JWS, SELECTOR, SIGNED, TIME, Message, Record
from strongroom.wire.orders import ABSENT, WIPED

LIMIT = 8_388_608  # bytes of state.json
FORMAT = 1
MAX_SELECTORS = 64
MOST_RUNS = 1_000_000  # openings that are counted
APP_INSTALL = 16  # bytes
_LABEL = b"strongroom/state/v1\0"
_OWN_NAME = Text(32, r"[0-9a-f]{32}")  # random names we gave
_NEXT_STEP = "move the whole device directory away and enrol again; models are then fetched anew"


@dataclass(frozen=True, slots=True)
class Identity(Message):
    """Who the server says this device is, and the token bound to the device key."""

    id: str
    account: str
    token: str
    token_expires: int

    SHAPE = Object({"id": ID, "account": ID, "token": JWS, "token_expires": TIME})

    def __repr__(self) -> str:
        return f"Identity(id={self.id!r}, account={self.account!r})"  # never the token


@dataclass(frozen=True, slots=True)
class LocalFile(Message):
    """One file of an installed version, as re-sealed here."""

    file_id: bytes  # of the file as published
    head: bytes  # SHA-512 of the head as published
    size: int  # bytes on this disk
    key: str  # name of its local key in the keystore

    SHAPE = Object({"file_id": DIGEST32, "head": DIGEST64, "size": Integer(1), "key": _OWN_NAME})


@dataclass(frozen=True, slots=True)
class Install(Message):
    """A version that is whole and ready to open. `id` names its directory."""

    id: str
    model: str
    version: str
    selectors: tuple[str, ...]  # what was asked for when it came: versions or "@channel"
    epoch: int
    counter: int
    files: tuple[LocalFile, ...]
    lease: tuple[str, ...] = field(repr=False)
    damaged: bool  # a check failed at opening: fetch it again rather than say we have it

    SHAPE = Object(
        {
            "id": _OWN_NAME,
            "model": Text(64, MODEL),
            "version": Text(64, VERSION),
            "selectors": Array(SELECTOR, most=MAX_SELECTORS),
            "epoch": Integer(1),
            "counter": Integer(1),
            "files": Array(Record(LocalFile), most=16, least=1),
            "lease": SIGNED,
            "damaged": Flag(),
        }
    )


@dataclass(frozen=True, slots=True)
class Mark(Message):
    """The newest (epoch, counter) of a model ever accepted: nothing older is taken."""

    model: str
    epoch: int
    counter: int

    SHAPE = Object({"model": Text(64, MODEL), "epoch": Integer(1), "counter": Integer(1)})


@dataclass(frozen=True, slots=True)
class Tombstone(Message):
    """A wipe order that was applied here, and how far its report has come (docs/spec/protocol.md section 14)."""

    order_id: str
    order: bytes  # SHA-256 of its payload
    model: str
    version: str
    expires: int
    outcome: str
    at: int
    receipt: str | None = field(repr=False)  # once key and files are gone
    sent: bool  # or given up: then without a receipt

    SHAPE = Object(
        {
            "order_id": ID,
            "order": DIGEST32,
            "model": Text(64, MODEL),
            "version": Text(64, VERSION),
            "expires": TIME,
            "outcome": Choice((WIPED, ABSENT)),
            "at": TIME,
            "receipt": Nullable(JWS),
            "sent": Flag(),
        }
    )


@dataclass(frozen=True, slots=True)
class PartialFile(Message):
    """One file of a version that is still on its way."""

    file_id: bytes
    head: bytes
    key: str

    SHAPE = Object({"file_id": DIGEST32, "head": DIGEST64, "key": _OWN_NAME})


@dataclass(frozen=True, slots=True)
class Partial(Message):
    """A version on its way in, to be gone on with; `id` names its directory in incoming/."""

    id: str
    model: str
    version: str
    files: tuple[PartialFile, ...]
    at: int  # when it was last gone on with, within a day

    SHAPE = Object(
        {
            "id": _OWN_NAME,
            "model": Text(64, MODEL),
            "version": Text(64, VERSION),
            "files": Array(Record(PartialFile), most=16, least=1),
            "at": TIME,
        }
    )


@dataclass(frozen=True, slots=True)
class Turn(Message):
    """The last turn of the keystore's ratchet that this state was written for (edge/turning.py)."""

    before: bytes  # where it stood
    nonce: bytes
    at: int  # the device's time then

    SHAPE = Object({"before": DIGEST32, "nonce": DIGEST32, "at": TIME})


@dataclass(frozen=True, slots=True)
class State(Message):
    """Everything the device remembers."""

    format: int
    trust: tuple[str, ...]  # the trust document, as signed
    identity: Identity | None
    clock: Anchor
    marks: tuple[Mark, ...]
    installs: tuple[Install, ...]
    tombstones: tuple[Tombstone, ...] = ()
    partials: tuple[Partial, ...] = ()
    turn: Turn | None = None  # of a keystore that has a ratchet
    app_install: bytes | None = None  # random, and of this directory alone: a new one is a reinstall
    runs: int = 0  # openings that no answered request told of yet; those within one second count once

    SHAPE = Object(
        {
            "format": Choice((FORMAT,)),
            "trust": Array(Text(400_000, r"[A-Za-z0-9_.-]+"), most=32, least=1),
            "identity": Nullable(Record(Identity)),
            "clock": Record(Anchor),
            "marks": Array(Record(Mark), most=4096),
            "installs": Array(Record(Install), most=4096),
            "tombstones": Array(Record(Tombstone), most=1024),
            "partials": Array(Record(Partial), most=64),
            "turn": Record(Turn),
            "app_install": Binary(16),
            "runs": Integer(),
        },
        frozenset({"tombstones", "partials", "turn", "app_install", "runs"}),  # a state of version 0.1 has none of them
    )
    LIMIT = LIMIT

    @classmethod
    def from_value(cls, value: canonical.JsonValue, where: str = "") -> Self:
        """Check a decoded value. Raises IntegrityError(SHAPE)."""
        fields = cls.SHAPE.check(value, where or cls.__name__)
        return cls(**{name: item for name, item in fields.items() if item is not None or name == "identity"})

    def trust_document(self) -> bytes:
        """Return the trust document in the bytes of its file."""
        return canonical.encode(list(self.trust))

    def mark(self, model: str) -> tuple[int, int] | None:
        """Return the high-water mark of a model, if it has one."""
        return next(((one.epoch, one.counter) for one in self.marks if one.model == model), None)

    def find(self, reference: Reference) -> Install | None:
        """Return what is installed for a reference."""
        mine = [one for one in self.installs if one.model == reference.model]
        found = [one for one in mine if reference.selector in one.selectors or one.version == reference.version]
        return found[0] if found else None

    def with_install(self, install: Install) -> Self:
        """Return the state with a version active for its selectors, its mark raised, and what it replaces gone."""
        kept: list[Install] = []
        for one in self.installs:
            if one.model != install.model:
                kept.append(one)
            elif one.version == install.version:
                merged = sorted({*one.selectors, *install.selectors})[:MAX_SELECTORS]
                install = replace(install, selectors=tuple(merged))
            else:
                left = tuple(selector for selector in one.selectors if selector not in install.selectors)
                if left:
                    kept.append(replace(one, selectors=left))
        newest = max(self.mark(install.model) or (0, 0), (install.epoch, install.counter))
        marks = tuple(one for one in self.marks if one.model != install.model)
        return replace(self, installs=(*kept, install), marks=(*marks, Mark(install.model, *newest)))

    def with_run(self) -> Self:
        """Return the state with one opening more."""
        return replace(self, runs=min(self.runs + 1, MOST_RUNS))

    def told(self, runs: int, fresh: bytes) -> Self:
        """Return the state after an answer to a request that told of openings.

        Args:
            runs: how many it told of.
            fresh: random, 16 bytes: names the installation if nothing does.
        """
        return replace(self, runs=max(0, self.runs - runs), app_install=self.app_install or fresh)

    def with_changed(self, install: Install) -> Self:
        """Return the state with one install's record replaced."""
        return replace(self, installs=tuple(install if one.id == install.id else one for one in self.installs))


def encode(state: State, key: bytes | bytearray) -> bytes:
    """Return the bytes of state.json."""
    value = state.to_value()
    return canonical.encode({"mac": canonical.to_base64url(_mac(canonical.encode(value), key)), "state": value})


def check_readable(data: bytes) -> None:
    """Check before state.json is replaced that `decode` would take the new one.

    Raises:
        StoreError: DISK_FULL, if it is larger, or names more, than is read again.
    """
    try:
        State.from_value(_FRAME.check(canonical.decode(data, limit=LIMIT), "")["state"], "state")
    except IntegrityError as error:
        what, step = f"this device's memory has no room: {error.what}", "remove models that are not needed any more"
        raise StoreError(Code.DISK_FULL, what, next_step=step) from None


def decode(data: bytes, key: bytes | bytearray, *, where: str) -> State:
    """Check the MAC over everything, then the shape.

    Raises:
        StoreError: STORE_DAMAGED, with how to begin anew. Nothing is changed or deleted.
    """
    try:
        fields = _FRAME.check(canonical.decode(data, limit=LIMIT, where=where), where)
    except IntegrityError as error:
        what = f"the device's memory cannot be read: {error.what}"
        raise StoreError(Code.STORE_DAMAGED, what, where=where, next_step=_NEXT_STEP) from None
    if not hmac.compare_digest(fields["mac"], _mac(canonical.encode(fields["state"]), key)):
        what = "the device's memory was altered, or belongs to another key"
        raise StoreError(Code.STORE_DAMAGED, what, where=where, next_step=_NEXT_STEP)
    try:
        return State.from_value(fields["state"], "state")
    except IntegrityError as error:  # nothing is wrong with it: it is not ours to read
        what, step = (
            f"another strongroom wrote the device's memory: {error.what}",
            f"update strongroom, or {_NEXT_STEP}",
        )
        raise StoreError(Code.STORE_DAMAGED, what, where=where, next_step=step) from None


def lost(where: str, what: str) -> StoreError:
    """Return the error for a memory that is gone or came without its key."""
    return StoreError(Code.STORE_DAMAGED, what, where=where, next_step=_NEXT_STEP)


def _mac(data: bytes, key: bytes | bytearray) -> bytes:
    return hmac.digest(key, _LABEL + data, "sha256")  # from the caller's own buffer, which it wipes


@dataclass(frozen=True, slots=True)
class _Anything:
    """A value whose shape is checked after its MAC."""

    def check(self, value: canonical.JsonValue, where: str) -> canonical.JsonValue:  # noqa: ARG002 - a Shape's signature
        return value

    def schema(self) -> dict[str, object]:
        return {}


_FRAME = Object({"mac": Binary(32), "state": _Anything()})
