"""What tests do to a TPM that strongroom never does."""

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from enum import IntEnum

from strongroom.edge.tpm.chip import Tpm
from strongroom.edge.tpm.codes import TpmError
from strongroom.edge.tpm.commands import LOADED_SESSIONS, TRANSIENT, Named
from strongroom.edge.tpm.objects import EMPTY
from strongroom.wire.tpm.constants import Alg, Attribute, Command, Handle
from strongroom.wire.tpm.structs import Reader, Writer


class Rude(IntEnum):
    """TPM_CC of commands that only tests send."""

    HIERARCHY_CHANGE_AUTH = 0x0129
    DICTIONARY_ATTACK_LOCK_RESET = 0x0139
    DICTIONARY_ATTACK_PARAMETERS = 0x013A


SEALED_WITH_PASSWORD = (
    Writer().u16(Alg.KEYEDHASH, Alg.SHA256)
    .u32(Attribute.FIXED_TPM | Attribute.FIXED_PARENT | Attribute.USER_WITH_AUTH)
    .sized(b"").u16(Alg.NULL).sized(b"").bytes()
)  # fmt: skip


def extend(tpm: Tpm, register: int, data: bytes) -> None:
    """Measure something into a register."""
    parameters = Writer().u32(1).u16(Alg.SHA256).raw(hashlib.sha256(data).digest()).bytes()
    tpm._channel.call(Command.PCR_EXTEND, [Named.plain(register)], parameters, [EMPTY])


def held(tpm: Tpm) -> list[int]:
    """Return every object and session in the TPM."""
    return [one for kind in (TRANSIENT, LOADED_SESSIONS) for one in tpm._channel.handles(kind)]


class Password:
    """Authorises with a password, which passes the bus as it is."""

    def __init__(self, password: bytes) -> None:
        self._password = password

    def prepare(self) -> None:
        """Nothing is fresh about it."""

    def command(self, digest: bytes) -> bytes:
        del digest
        return Writer().u32(Handle.PASSWORD).sized(b"").u8(1).sized(self._password).bytes()

    def answer(self, digest: bytes, reader: Reader) -> None:
        EMPTY.answer(digest, reader)


def owner_password(tpm: Tpm, *, old: bytes, new: bytes) -> None:
    """Change the password of the owner hierarchy."""
    tpm._channel.call(
        Rude.HIERARCHY_CHANGE_AUTH, [Named.plain(Handle.OWNER)], Writer().sized(new).bytes(), [Password(old)]
    )


@contextlib.contextmanager
def locked_out(tpm: Tpm) -> Iterator[Callable[[], object]]:
    """Try wrong passwords until the TPM locks; yields a use that it refuses then."""
    lockout = [Named.plain(Handle.LOCKOUT)]
    channel = tpm._channel
    channel.call(Rude.DICTIONARY_ATTACK_PARAMETERS, lockout, Writer().u32(1, 1000, 1000).bytes(), [EMPTY])
    sensitive = Writer().sized(b"password").sized(b"data").bytes()
    blob = tpm._objects.create(SEALED_WITH_PASSWORD, sensitive)
    try:
        with tpm._objects.loaded(blob) as loaded:

            def use() -> object:
                return channel.call(Command.UNSEAL, [loaded], b"", [EMPTY])  # the wrong password: none

            with contextlib.suppress(TpmError):
                use()
            yield use
    finally:
        channel.call(Rude.DICTIONARY_ATTACK_PARAMETERS, lockout, Writer().u32(32, 600, 600).bytes(), [EMPTY])
        channel.call(Rude.DICTIONARY_ATTACK_LOCK_RESET, lockout, b"", [EMPTY])
