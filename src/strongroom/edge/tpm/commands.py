"""Commands as bytes: handles, authorisations, parameters; and the answer, checked (Part 1, section 18).

A `Channel` remembers every object and session it has put into the TPM and takes all of them out again when it closes:
a TPM without a resource manager has room for three, and keeps them when a program dies.
"""

import contextlib
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from strongroom.edge.tpm import codes
from strongroom.edge.tpm.sessions import Authorisation, Opening, Session
from strongroom.edge.tpm.transport import HEADER, Transport
from strongroom.errors import Code, IntegrityError, InternalError, StoreError, StrongroomError
from strongroom.wire.tpm.constants import Capability, Command, Handle, SessionAttribute, SessionType, Tag
from strongroom.wire.tpm.structs import Public, Reader, Writer

TRIES = 60  # of a command that a busy TPM puts off
PAUSE = 0.1  # seconds between them
TRANSIENT, LOADED_SESSIONS = 0x80000000, 0x02000000  # TPM_HT, Part 2, 7.2
_MOST_HANDLES = 254  # of one answer: MAX_CAP_HANDLES


@dataclass(frozen=True, slots=True)
class Named:
    """A handle with its Name, which authorisations cover (Part 1, section 16)."""

    handle: int
    name: bytes

    @classmethod
    def plain(cls, handle: int) -> Self:
        """Name a hierarchy, a register or a session, whose Name is its handle."""
        return cls(handle, handle.to_bytes(4, "big"))


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command gave.

    Attributes:
        handle: of the object it made, 0 if it makes none.
        secret: the first parameter if it was encrypted on the bus, for the caller to wipe; else empty.
        parameters: the other ones, or all.
    """

    handle: int
    secret: bytearray = field(repr=False)
    parameters: Reader


class Channel:
    """Commands to one TPM, one after the other. Not for several threads."""

    def __init__(self, transport: Transport, where: str) -> None:
        self._transport = transport
        self.where = where
        self._held: list[int] = []

    def call(
        self,
        command: Command,
        handles: Sequence[Named] = (),
        parameters: bytes = b"",
        auths: Sequence[Authorisation] = (),
        *,
        first: bytes | bytearray | None = None,
        makes: bool = False,
    ) -> Answer:
        """Run a command.

        Args:
            command: which.
            handles: what it is about; one authorisation for each that needs one comes first.
            parameters: marshalled, without `first`.
            auths: authorisations; only the first may be a session that encrypts.
            first: contents of the first parameter, a TPM2B, where it may have to be encrypted.
            makes: whether the answer begins with the handle of what was made.

        Raises:
            StoreError: `codes.TpmError` with the response code; STORE_IO if the answer is none; LOCKED.
            SetupError: CONFIG, if the TPM was never started.
        """
        try:
            try:
                return self._call(command, handles, parameters, auths, first, makes=makes)
            except codes.TpmError as error:
                if error.bare not in codes.NO_ROOM or not self._clear_leftovers():
                    raise
            return self._call(command, handles, parameters, auths, first, makes=makes)
        except IntegrityError as error:  # of the Reader: bytes that are no answer
            raise StoreError(
                Code.STORE_IO, f"the TPM's answer cannot be read: {error.what}", where=self.where
            ) from None

    def start_session(self, kind: SessionType, root: Named | None = None, public: Public | None = None) -> Session:
        """Start a session, salted to the loaded storage key if one is given. Raises as `call`."""
        opening = Opening.make(kind, public)
        key = Named.plain(Handle.NULL) if root is None else root
        answer = self.call(Command.START_AUTH_SESSION, [key, Named.plain(Handle.NULL)], opening.parameters, makes=True)
        return opening.session(answer.handle, self.sized(answer))

    def sized(self, answer: Answer) -> bytes:
        """Read a TPM2B of an answer. Raises StoreError: STORE_IO."""
        try:
            return answer.parameters.sized()
        except IntegrityError as error:
            raise StoreError(
                Code.STORE_IO, f"the TPM's answer cannot be read: {error.what}", where=self.where
            ) from None

    def handles(self, first: int) -> list[int]:
        """Return the handles of one kind that are in use, from `first` on. Raises as `call`."""
        wanted = Writer().u32(Capability.HANDLES, first, _MOST_HANDLES).bytes()
        reader = self.call(Command.GET_CAPABILITY, parameters=wanted).parameters
        try:
            reader.u8()
            reader.u32()
            return [reader.u32() for _ in range(min(reader.u32(), _MOST_HANDLES))]
        except IntegrityError as error:
            raise StoreError(
                Code.STORE_IO, f"the TPM's answer cannot be read: {error.what}", where=self.where
            ) from None

    def flush(self, handle: int) -> None:
        """Take an object or session out of the TPM. Raises as `call`."""
        self.call(Command.FLUSH_CONTEXT, parameters=Writer().u32(handle).bytes())
        if handle in self._held:
            self._held.remove(handle)

    def release(self, handle: int) -> None:
        """Flush at the end of a use; where that fails, `close` tries again. Never raises."""
        with contextlib.suppress(StrongroomError):
            self.flush(handle)

    def close(self) -> None:
        """Take everything out of the TPM that this channel put there, and let it go."""
        try:
            for handle in reversed(self._held.copy()):
                self.release(handle)  # over a broken line that fails: whoever comes next makes room
        finally:
            self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _call(
        self,
        command: Command,
        handles: Sequence[Named],
        parameters: bytes,
        auths: Sequence[Authorisation],
        first: bytes | bytearray | None,
        *,
        makes: bool,
    ) -> Answer:
        for auth in auths:
            auth.prepare()
        session = auths[0] if auths and isinstance(auths[0], Session) else None
        hidden = session.attributes if session is not None else SessionAttribute(0)
        if first is not None:
            if session is not None and hidden & SessionAttribute.DECRYPT:
                first = session.conceal(first)
            parameters = Writer().sized(bytes(first)).bytes() + parameters
        elif hidden & SessionAttribute.DECRYPT:
            raise InternalError(Code.INTERNAL, "a command without a first parameter cannot be encrypted")
        digest = hashlib.sha256(command.to_bytes(4, "big") + b"".join(one.name for one in handles) + parameters)
        body = Writer().u32(*(one.handle for one in handles))
        if auths:
            area = b"".join(auth.command(digest.digest()) for auth in auths)
            body.u32(len(area)).raw(area)
        reveals = bool(hidden & SessionAttribute.ENCRYPT)
        reader = self._exchange(command, body.raw(parameters).bytes(), sessions=bool(auths))
        handle = 0
        if makes:
            handle = reader.u32()
            self._held.append(handle)
        try:
            return Answer(handle, *self._checked(command, reader, auths, session if reveals else None))
        except StrongroomError:
            if makes:
                self.release(handle)  # what nobody knows of cannot be used, and takes room
            raise

    def _checked(
        self, command: Command, reader: Reader, auths: Sequence[Authorisation], revealing: Session | None
    ) -> tuple[bytearray, Reader]:
        """Check an answer's authorisations; return its first parameter if that was encrypted, and the others."""
        if not auths:
            return bytearray(), reader
        content = reader.take(reader.u32())
        digest = hashlib.sha256(bytes(4) + command.to_bytes(4, "big") + content).digest()
        for auth in auths:
            auth.answer(digest, reader)
        reader.end()
        rest = Reader(content)
        return (bytearray(), rest) if revealing is None else (revealing.reveal(rest.sized()), rest)

    def _exchange(self, command: Command, body: bytes, *, sessions: bool) -> Reader:
        """Send it until the TPM is not busy any more; return what follows the header of the answer."""
        tag = Tag.SESSIONS if sessions else Tag.NO_SESSIONS
        sent = Writer().u16(tag).u32(HEADER + len(body), command).raw(body).bytes()
        for count in range(TRIES):
            reader = Reader(self._transport.exchange(sent))
            reader.take(6)
            code = reader.u32()
            if code == codes.SUCCESS:
                return reader
            if code not in codes.AGAIN or count == TRIES - 1:
                break
            time.sleep(PAUSE)  # it took no notice of the command: the same bytes may be sent again
        raise codes.refused(code, command.name.lower(), self.where)

    def _clear_leftovers(self) -> bool:
        """Flush what a program that died left in a TPM without a resource manager; tell whether there was any."""
        found = [
            handle for kind in (TRANSIENT, LOADED_SESSIONS) for handle in self.handles(kind) if handle not in self._held
        ]
        for handle in found:
            self.flush(handle)
        return bool(found)
