"""Objects in a TPM: the storage key that all of ours lie under, keys and sealed secrets, and sessions salted to it.

A storage key is made from the TPM's own seed and always the same one, so its Name says which TPM this is. A device that
has seen it once takes no other: neither a cloned disk nor a false chip on the bus gets past that.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Self, TypeVar

from strongroom.edge.tpm import codes, templates
from strongroom.edge.tpm.commands import Channel, Named
from strongroom.edge.tpm.sessions import EmptyPassword, Session
from strongroom.errors import Code, IntegrityError, StoreError
from strongroom.wire.tpm.constants import Command, Handle, SessionType
from strongroom.wire.tpm.signed import PcrSelection, write_selections
from strongroom.wire.tpm.structs import Public, Reader, Writer

PERSISTENT_ROOT = 0x81000001  # where the TCG's provisioning guidance keeps a storage key
EMPTY = EmptyPassword()
Read = TypeVar("Read")


@dataclass(frozen=True, slots=True)
class Blob:
    """A key or sealed secret as it lies on the disk: nothing without the TPM that made it.

    Attributes:
        private: TPM2B_PRIVATE, encrypted by the TPM under its storage key.
        public: TPMT_PUBLIC.
    """

    private: bytes = field(repr=False)
    public: bytes

    def to_bytes(self) -> bytes:
        return Writer().sized(self.private).sized(self.public).bytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what `to_bytes` wrote. Raises IntegrityError(SHAPE)."""
        reader = Reader(data)
        found = cls(reader.sized(), reader.sized())
        reader.end()
        Public.read(found.public)
        return found


class Objects:
    """The objects of one connection to a TPM.

    Args:
        channel: to the TPM.
        expected: Name of the storage key this device has used before, or None.
    """

    def __init__(self, channel: Channel, expected: bytes | None) -> None:
        self.channel = channel
        self._expected = expected
        self._root: tuple[Named, Public] | None = None

    def storage(self) -> tuple[Named, Public]:
        """Return the storage key, loaded; the persistent one if it is of our kind, for that costs nothing."""
        if self._root is None:
            found = self._persistent_root()
            if found is None or (self._expected is not None and found[0].name != self._expected):
                found = self.primary(Handle.OWNER, templates.ROOT.area)
            if self._expected is not None and found[0].name != self._expected:
                what = "the device directory has keys of another TPM: it was copied, or the TPM was replaced or cleared"
                step = "enrol this machine anew with a device directory of its own"
                raise StoreError(Code.STORE_DAMAGED, what, where=self.channel.where, next_step=step)
            self._root = found
        return self._root

    def _persistent_root(self) -> tuple[Named, Public] | None:
        if PERSISTENT_ROOT not in self.channel.handles(PERSISTENT_ROOT):
            return None
        public = self.read_public(PERSISTENT_ROOT)
        like = public is not None and templates.ROOT.fits(public)
        return (Named(PERSISTENT_ROOT, public.name()), public) if like and public is not None else None

    def read_public(self, handle: int) -> Public | None:
        """Return the public area of a loaded key, or None for one of a kind we do not read."""
        raw = self.channel.sized(self.channel.call(Command.READ_PUBLIC, [Named.plain(handle)]))
        try:
            return Public.read(raw)
        except IntegrityError:
            return None

    def read(self, structure: Callable[[], Read]) -> Read:
        """Read what the TPM wrote. Raises StoreError: STORE_IO, if it is no such structure."""
        try:
            return structure()
        except IntegrityError as error:
            what = f"the TPM's answer cannot be read: {error.what}"
            raise StoreError(Code.STORE_IO, what, where=self.channel.where) from None

    def primary(self, hierarchy: Handle, template: bytes) -> tuple[Named, Public]:
        parameters = Writer().sized(template).sized(b"").u32(0).bytes()
        answer = self.channel.call(
            Command.CREATE_PRIMARY, [Named.plain(hierarchy)], parameters, [EMPTY], first=bytes(4), makes=True
        )
        public = self.read(lambda: Public.read(answer.parameters.sized()))
        return Named(answer.handle, public.name()), public

    def create(self, template: bytes, sensitive: bytes | bytearray = bytes(4)) -> Blob:
        root, _ = self.storage()
        parameters = Writer().sized(template).sized(b"").u32(0).bytes()
        with self.hmac_session() as session:
            auths = [session.encrypting(command=True)]
            answer = self.channel.call(Command.CREATE, [root], parameters, auths, first=sensitive)
            return Blob(self.channel.sized(answer), self.channel.sized(answer))

    @contextlib.contextmanager
    def loaded(self, blob: Blob) -> Iterator[Named]:
        """Load a key or sealed secret for the block. Raises StoreError: STORE_DAMAGED, if it is another TPM's."""
        root, _ = self.storage()
        parameters = Writer().sized(blob.public).bytes()
        with self.hmac_session() as session:
            try:
                answer = self.channel.call(Command.LOAD, [root], parameters, [session], first=blob.private, makes=True)
            except codes.TpmError as error:
                if error.bare != codes.INTEGRITY:
                    raise
                what = "a key file of this device was made by another TPM, or changed"
                step = "restore it, or enrol this machine anew with a device directory of its own"
                raise StoreError(Code.STORE_DAMAGED, what, where=self.channel.where, next_step=step) from None
        try:
            yield Named(answer.handle, Public.read(blob.public).name())
        finally:
            self.channel.release(answer.handle)

    @contextlib.contextmanager
    def hmac_session(self) -> Iterator[Session]:
        """Start a session salted to the storage key; whoever it authorises has an empty password."""
        with self._session(SessionType.HMAC, salted=True) as session:
            yield session

    @contextlib.contextmanager
    def policy_session(self, selection: PcrSelection) -> Iterator[Session]:
        """Start a session that may use what is sealed to the present values of registers."""
        with self._session(SessionType.POLICY, salted=True) as session:
            parameters = Writer().sized(b"").raw(write_selections(selection)).bytes()
            self.channel.call(Command.POLICY_PCR, [Named.plain(session.handle)], parameters)
            yield session

    @contextlib.contextmanager
    def endorsed(self) -> Iterator[Session]:
        """Start a session that may use an endorsement key: PolicySecret(endorsement), Part 3, 23.4."""
        with self._session(SessionType.POLICY, salted=False) as session:
            parameters = Writer().sized(b"").sized(b"").sized(b"").u32(0).bytes()
            names = [Named.plain(Handle.ENDORSEMENT), Named.plain(session.handle)]
            self.channel.call(Command.POLICY_SECRET, names, parameters, [EMPTY])
            yield session

    @contextlib.contextmanager
    def _session(self, kind: SessionType, *, salted: bool) -> Iterator[Session]:
        root, public = self.storage() if salted else (None, None)
        session = self.channel.start_session(kind, root, public)
        try:
            yield session
        finally:
            session.wipe()
            self.channel.release(session.handle)
