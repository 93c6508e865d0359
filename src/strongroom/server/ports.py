"""What the use cases need from outside: Protocols, and the rows that pass through them. `wiring.py` picks adapters.

Row fields are append-only, since they are what the database holds.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from strongroom.server.twin_ports import TwinRow, TwinTransaction
from strongroom.server.watch_ports import WatchTransaction


class KeyVault(Protocol):
    """Keeps the keys that keep the keys. Nothing it wraps is readable without it."""

    def wrap(self, secret: bytes | bytearray, context: bytes) -> bytes:
        """Encrypt a secret under the current wrapping key, with `context` as associated data."""
        ...

    def unwrap(self, wrapped: bytes, context: bytes) -> bytearray:
        """Return the secret; the caller wipes it. Raises IntegrityError(VAULT_REFUSED) if bytes or context differ."""
        ...

    def mac(self, data: bytes) -> bytes:
        """Return a 32-byte MAC under a vault key, so that writing to the database alone forges nothing."""
        ...


class ObjectStore(Protocol):
    """Ciphertext by opaque name. Callers never choose a name; it is random (R18)."""

    def signed_url(self, method: str, name: str, *, expires: int, size: int | None = None) -> str:
        """Return a URL good for one method on one object until `expires` (Unix seconds); PUT is bound to `size`."""
        ...

    async def size(self, name: str) -> int | None:
        """Return the stored size in bytes, or None if there is no such object."""

    async def read(self, name: str, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes. Raises StoreError if they are not there."""
        ...

    async def delete(self, name: str) -> None:
        """Remove the object if it is there."""


@dataclass(frozen=True, slots=True)
class Account:
    """A customer. `state`: active or restricted."""

    id: str
    name: str
    state: str
    created: int


@dataclass(frozen=True, slots=True)
class User:
    """A person or robot of an account; tokens are issued to users."""

    id: str
    account: str
    name: str
    state: str
    created: int


@dataclass(frozen=True, slots=True)
class Operator:
    """Someone of the office. Roles: admin, publisher, operator, auditor, security."""

    id: str
    name: str
    role: str
    token_hash: bytes
    state: str
    created: int


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """An enrolled installation. `thumbprint`: SHA-256 of the device key's SPKI; `jkt`: RFC 7638, as tokens carry it."""

    id: str
    account: str
    user: str
    thumbprint: bytes
    jkt: str
    alg: str
    public_key: bytes
    facts: str  # canonical JSON of the Device message
    state: str  # active; blocked by an operator; stopped by the risk engine
    created: int
    seen: int


@dataclass(frozen=True, slots=True)
class Entitlement:
    """An account (or one user of it) may have a model, on one channel or on any, until a time or without end."""

    id: str
    account: str
    user: str | None
    model: str
    channel: str | None
    until: int | None
    created: int
    mac: bytes


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a model. `state`: uploading, checking, ready, failed, revoked."""

    id: str
    model: str
    version: str
    epoch: int
    counter: int
    channel: str | None  # promoted to this channel when it becomes ready
    state: str
    reason: str  # why it failed, for its publisher
    publisher: str
    created: int


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A sealed file of a version. Insert-only; unique on file_id and on commitment."""

    file_id: bytes
    version_id: str
    account: str | None  # None: for every entitled account
    position: int
    key_id: bytes
    kind: str
    suite: int
    head: bytes  # SHA-512 of the head
    commitment: bytes
    head_part: bytes  # what the publisher deposited; the stored object must begin with it
    size: int
    object_name: str
    wrapped: bytes
    created: int
    twin: str | None = None  # of this decoy twin of the version, which few are given; None: a real file


@dataclass(frozen=True, slots=True)
class ChallengeRow:
    """A challenge, stored hashed. `device`: thumbprint of the key that asked."""

    hash: bytes
    user: str
    device: bytes
    purpose: str
    model: str | None
    expires: int


@dataclass(frozen=True, slots=True)
class ReleaseRow:
    """That keys were given out. Unique on `ephemeral`: SHA-256(kem || public key) is never served twice."""

    id: str
    device: str
    account: str
    version_id: str
    request: bytes
    ephemeral: bytes
    lease_id: str
    lease_expires: int  # of the newest lease of this identifier
    created: int
    ended: int | None = None  # when the device reported that the version is wiped; its lease is not renewed any more
    twin: str | None = None  # whose files were given, if they were a decoy twin's


@dataclass(frozen=True, slots=True)
class OrderRow:
    """A wipe order, pending as long as it is neither reported nor withdrawn nor expired."""

    id: str
    device: str
    model: str
    version: str
    version_id: str
    payload: bytes  # as it was signed
    signed: str  # canonical JSON array of its JWS
    issued: int
    expires: int
    operator: str
    fetched: int | None = None  # when the device was first given it
    reported: int | None = None
    outcome: str | None = None  # what the device says: wiped or absent
    receipt: str | None = None  # its JWS
    withdrawn: int | None = None  # when an operator took it back


@dataclass(frozen=True, slots=True)
class Holding:
    """What a device was given the keys of and did not report wiped since: its newest lease, and the latest end."""

    device: str
    thumbprint: bytes
    model: str
    version: str
    version_id: str
    file_id: bytes  # of the version's first file for this account
    lease: str
    released: int
    expires: int


@dataclass(frozen=True, slots=True)
class AttestationRow:
    """What is remembered of a device's attested key, one of each kind of evidence that refers to an earlier one."""

    device: str
    kind: str  # of the evidence: app-attest or tpm
    known: str  # canonical JSON of attest.claims.Known: keys, counter, clock
    revision: int  # rises with every change
    attested: int  # when the key itself was attested
    verified: int  # when evidence by it was last accepted
    policy: str  # SHA-256 of the rules that accepted it, hexadecimal
    hardware: bytes  # SHA-256 of the key that no other phone or chip has: App Attest's own, a TPM's endorsement key
    mac: bytes


@dataclass(frozen=True, slots=True)
class Standing:
    """What a channel points to, and the state of that version."""

    model: str
    channel: str
    version: str
    state: str


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One line of the audit log. `event` is a name from `audit.Event`."""

    event: str
    at: int
    actor: str
    subject: str
    detail: dict[str, str | int] = field(default_factory=dict)


class Transaction(WatchTransaction, TwinTransaction, Protocol):
    """Everything inside one `Ledger.begin()`; all of it is written, or none."""

    async def add_account(self, row: Account) -> None: ...  # CONFLICT if the name is taken
    async def account(self, id_or_name: str) -> Account | None: ...
    async def accounts(self, *, after: str = "", limit: int = 100) -> Sequence[Account]: ...  # by name
    async def set_account_state(self, id_: str, state: str) -> None: ...
    async def add_user(self, row: User) -> None: ...  # CONFLICT if the name is taken
    async def user(self, id_or_name: str) -> User | None: ...
    async def users(self, account: str) -> Sequence[User]: ...  # of one account's id, by name
    async def add_operator(self, row: Operator) -> None: ...  # CONFLICT if the name is taken
    async def operator_by_token(self, token_hash: bytes) -> Operator | None: ...
    async def add_device(self, row: DeviceRow) -> None: ...
    async def device(self, id_: str) -> DeviceRow | None: ...
    async def device_by_thumbprint(self, thumbprint: bytes) -> DeviceRow | None: ...
    async def touch_device(self, id_: str, *, facts: str, seen: int) -> None: ...
    async def set_device_state(self, id_: str, state: str) -> None: ...
    async def devices(self, *, after: str = "", limit: int = 100) -> Sequence[DeviceRow]: ...  # by id
    async def devices_of(self, user: User, *, state: str, limit: int = 100) -> Sequence[DeviceRow]: ...  # by id

    async def attestations(self, device: str) -> Sequence[AttestationRow]: ...  # by kind
    async def keep_attestation(self, row: AttestationRow) -> None: ...  # in the place of the one of its kind
    async def devices_with(self, kind: str, hardware: bytes, *, besides: str, limit: int = 10) -> Sequence[DeviceRow]:
        """Return the devices with a row of this kind and hardware, but for one; blocked ones first, then by id."""

    async def advance_attestation(self, row: AttestationRow, *, before: AttestationRow) -> bool:
        """Put `row` in the place of `before` in one atomic update; False if that is not what is there any more."""

    async def add_entitlement(self, row: Entitlement) -> None: ...
    async def entitlements(self, account: str, model: str) -> Sequence[Entitlement]: ...
    async def entitled_models(self, account: str) -> int: ...  # how many models it has a right to, MACs not looked at
    async def remove_entitlement(self, id_: str) -> bool: ...

    async def add_version(self, row: Version, files: Sequence[StoredFile]) -> None: ...  # CONFLICT on any unique
    async def remove_version(self, id_: str) -> None: ...  # and its files; DATABASE if released or on a channel
    async def set_version_state(self, id_: str, state: str, *, reason: str = "") -> None: ...
    async def set_channel(self, model: str, channel: str, version_id: str) -> None: ...
    async def version(self, model: str, version: str) -> Version | None: ...
    async def version_by_id(self, id_: str) -> Version | None: ...
    async def channel_version(self, model: str, channel: str) -> Version | None: ...
    async def channels(self, model: str) -> dict[str, str]: ...  # channel -> version
    async def standings(self, models: Sequence[str]) -> Sequence[Standing]: ...  # by model and channel
    async def versions(self, model: str) -> Sequence[Version]: ...  # newest (epoch, counter) first
    async def models(self, *, after: str = "", limit: int = 100) -> Sequence[str]: ...  # names, sorted
    async def newest_counter(self, model: str) -> tuple[int, int] | None: ...  # (epoch, counter) of what is there
    async def files(self, version_id: str) -> Sequence[StoredFile]: ...  # real ones, by position
    async def add_twin(self, row: TwinRow, files: Sequence[StoredFile]) -> None: ...  # CONFLICT on any unique
    async def twin_files(self, version_id: str) -> Sequence[StoredFile]: ...  # of its ready twin, by position
    async def deposited_twin_files(self, id_: str) -> Sequence[StoredFile]: ...  # in whatever state
    async def file(self, file_id: bytes) -> StoredFile | None: ...
    async def version_of_object(self, object_name: str) -> Version | None: ...  # whose file lies under this name
    async def unfinished_versions(self) -> Sequence[Version]: ...  # state checking, for start-up

    async def add_challenge(self, row: ChallengeRow) -> None: ...
    async def use_challenge(
        self, hash_: bytes, *, user: str, device: bytes, purpose: str, now: int
    ) -> ChallengeRow | None:
        """Use the challenge up in one atomic update; None if unknown, used, expired or another's."""

    async def challenge(
        self, hash_: bytes, *, user: str, device: bytes, purpose: str, now: int
    ) -> ChallengeRow | None: ...  # as `use_challenge`, but it stays
    async def drop_challenges(self, *, before: int) -> None: ...
    async def add_release(self, row: ReleaseRow) -> None: ...  # KEY_REUSED if `ephemeral` is known
    async def release(self, id_: str) -> ReleaseRow | None: ...
    async def release_of_lease(self, lease_id: str) -> ReleaseRow | None: ...
    async def extend_lease(self, release_id: str, expires: int) -> None: ...
    async def end_leases(self, device: str, version_id: str, *, before: int, at: int) -> None:
        """Note for every release of a version to a device that was made `before` that it was reported wiped."""

    async def holdings(self, device: str, *, limit: int = 100) -> Sequence[Holding]: ...  # newest release first
    async def holders(
        self, version_id: str, *, now: int, after: str = "", limit: int = 100
    ) -> Sequence[Holding]:  # by device
        """Return who holds a version and has no pending order for it."""

    async def add_order(self, row: OrderRow) -> None: ...
    async def order(self, id_: str) -> OrderRow | None: ...
    async def orders(self, device: str, *, limit: int = 100) -> Sequence[OrderRow]: ...  # newest first
    async def all_orders(self, *, after: str = "", limit: int = 100) -> Sequence[OrderRow]: ...  # by id
    async def pending_orders(
        self, device: str, model: str, *, now: int, limit: int = 100
    ) -> Sequence[OrderRow]: ...  # oldest first
    async def sign_order(self, id_: str, *, signed: str) -> None: ...  # anew, the payload stays
    async def note_fetched(self, ids: Sequence[str], *, at: int) -> None: ...  # the first time counts
    async def note_withdrawn(self, id_: str, *, at: int) -> None: ...
    async def note_reported(self, id_: str, *, at: int, outcome: str, receipt: str) -> None: ...
    async def add_audit(self, event: AuditEvent) -> None: ...
    async def audit(self, *, after: int = 0, limit: int = 100) -> Sequence[tuple[int, AuditEvent]]: ...


class Ledger(Protocol):
    """The truth: rows in a database."""

    def begin(self) -> AbstractAsyncContextManager[Transaction]:
        """Open a write transaction; it commits when the block ends and rolls back when it raises."""

    async def healthy(self) -> bool:
        """Tell whether the database answers, and takes a row again after a transaction has failed."""

    async def close(self) -> None:
        """Give back every connection; the last thing a process does with a ledger."""


class Counters(Protocol):
    """What was seen already, for a while. The truth of single-use challenges is the ledger, never here."""

    async def once(self, key: str, *, made: int, expires: int, now: int) -> bool:
        """Tell whether `key` was surely never seen before; it is remembered until `expires` (Unix seconds).

        False also for one `made` before these counters began to remember: it may have been seen by those before.
        """
        ...


@runtime_checkable
class ServedObjects(ObjectStore, Protocol):
    """An ObjectStore whose signed URLs lead back to us: what `http/objects.py` needs besides `size` and `read`."""

    def check_url(self, method: str, name: str, query: Mapping[str, str], now: int) -> int | None:
        """Check a URL made by `signed_url`; return the size a PUT is bound to, None for GET (which HEAD may use).

        Raises DeniedError(URL_INVALID), or RefusedError(URL_EXPIRED) if it was good once; `name` and `query` are
        hostile text.
        """
        ...

    async def write(self, name: str, chunks: "Chunks", *, size: int) -> None:
        """Store a body of exactly `size` bytes, whole or not at all, never over an object that is there.

        Raises InputError(TOO_LARGE) as soon as more arrive, InputError(DEPOSIT) if fewer did,
        InputError(CONFLICT) if the object exists, StoreError(STORE_IO) if the disk refuses.
        """
        ...


@runtime_checkable
class LeavesParts(Protocol):
    """A store in which an interrupted upload leaves something behind."""

    def drop_unfinished(self) -> int:
        """Remove what is surely over and return how much there was; uploads of any process go on."""
        ...


class Chunks(Protocol):
    """A request body that arrives in pieces."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...
