"""Authorisation sessions: who may use an object, and that nobody on the bus reads or changes what passes (Part 1, 19).

A salted session has a key that both sides derive from a secret sealed to a key inside the TPM. It authenticates every
command and answer with HMAC, and encrypts the first parameter of either where it is told to (Part 1, section 21).
"""

import hmac
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric import ec

from strongroom.edge.tpm.derivation import conceal, kdf_a, kdf_e, reveal
from strongroom.errors import Code, StoreError
from strongroom.sealed.wiping import wipe, wipe_bytes
from strongroom.wire.tpm.constants import Alg, Handle, SessionAttribute, SessionType
from strongroom.wire.tpm.structs import Public, Reader, Writer

NONCE = 32  # bytes, as many as the session's hash has


class Authorisation(Protocol):
    """One entry of a command's authorisation area."""

    def prepare(self) -> None:
        """Draw what must be fresh for the next command."""
        ...

    def command(self, digest: bytes) -> bytes:
        """Return the TPMS_AUTH_COMMAND for a command with this cpHash."""
        ...

    def answer(self, digest: bytes, reader: Reader) -> None:
        """Read the TPMS_AUTH_RESPONSE and check it against the answer's rpHash. Raises StoreError."""
        ...


class EmptyPassword:
    """Authorises with an empty password: for hierarchies without one, and what anyone on the machine may use."""

    def prepare(self) -> None:
        """Nothing is fresh about it."""

    def command(self, digest: bytes) -> bytes:
        """Return the TPMS_AUTH_COMMAND, which does not depend on the command."""
        del digest
        return Writer().u32(Handle.PASSWORD).sized(b"").u8(SessionAttribute.CONTINUE).sized(b"").bytes()

    def answer(self, digest: bytes, reader: Reader) -> None:
        """Skip what says nothing."""
        del digest
        reader.sized()
        reader.u8()
        reader.sized()


@dataclass(slots=True)
class Session:
    """A session that was started in the TPM; its owner flushes its handle and wipes it.

    Attributes:
        handle: in the TPM.
        key: session key, empty for one without salt, which proves and hides nothing.
        tpm: the TPM's newest nonce.
        attributes: what the next command asks for: CONTINUE, and DECRYPT or ENCRYPT.
        random: draws nonces.
    """

    handle: int
    key: bytearray = field(repr=False)
    tpm: bytes
    attributes: SessionAttribute = SessionAttribute.CONTINUE
    random: Callable[[int], bytes] = os.urandom
    caller: bytes = b""

    def prepare(self) -> None:
        """Draw a nonce for the next command."""
        self.caller = self.random(NONCE)

    def encrypting(self, *, command: bool = False, answer: bool = False) -> "Session":
        """Say what is encrypted in the next command, and return the session."""
        self.attributes = SessionAttribute.CONTINUE
        if command:
            self.attributes |= SessionAttribute.DECRYPT  # named from the TPM's side
        if answer:
            self.attributes |= SessionAttribute.ENCRYPT
        return self

    def command(self, digest: bytes) -> bytes:
        """Return the TPMS_AUTH_COMMAND for a command with this cpHash."""
        code = self._code(digest, self.caller, self.tpm)
        return Writer().u32(self.handle).sized(self.caller).u8(self.attributes).sized(code).bytes()

    def answer(self, digest: bytes, reader: Reader) -> None:
        """Take the TPM's next nonce, and check that the TPM itself answered.

        Raises:
            StoreError: STORE_IO, if somebody between changed the answer.
        """
        self.tpm = reader.sized(64)
        attributes, code = reader.u8(), reader.sized(64)
        own = self._code(digest, self.tpm, self.caller, attributes)
        if not hmac.compare_digest(own, code):
            step = "nothing may stand between this machine and its TPM; if nothing does, try again"
            raise StoreError(Code.STORE_IO, "the TPM's answer was changed on its way", next_step=step)

    def conceal(self, data: bytes | bytearray) -> bytes:
        """Encrypt the first parameter of the command that is being made."""
        return conceal(self.key, self.caller, self.tpm, data)

    def reveal(self, data: bytes) -> bytearray:
        """Decrypt the first parameter of the answer that was just checked."""
        return reveal(self.key, self.tpm, self.caller, data)

    def wipe(self) -> None:
        """Forget the session key."""
        wipe(self.key)

    def _code(self, digest: bytes, newer: bytes, older: bytes, attributes: int | None = None) -> bytes:
        if not self.key:  # a policy session without salt, of an object without a password: Part 1, 19.6.5
            return b""
        flags = self.attributes if attributes is None else attributes
        return hmac.digest(self.key, digest + newer + older + bytes([flags]), "sha256")


@dataclass(frozen=True, slots=True)
class Opening:
    """What TPM2_StartAuthSession is told; `salt` stays here."""

    parameters: bytes
    nonce: bytes
    salt: bytes = field(repr=False)

    @classmethod
    def make(cls, kind: SessionType, root: Public | None, random: Callable[[int], bytes] = os.urandom) -> "Opening":
        """Draw a nonce, and a salt if there is a P-256 key in the TPM to seal it to."""
        nonce = random(NONCE)
        salt, sealed = (b"", b"") if root is None else _salt(root)
        writer = Writer().sized(nonce).sized(sealed).u8(kind)
        return cls(writer.u16(Alg.AES, 128, Alg.CFB, Alg.SHA256).bytes(), nonce, salt)

    def session(self, handle: int, tpm_nonce: bytes) -> Session:
        """Return the session that the TPM started; the salt is gone then."""
        if not self.salt:
            return Session(handle, bytearray(), tpm_nonce)
        key = kdf_a(self.salt, b"ATH", tpm_nonce + self.nonce, 32)
        wipe_bytes(self.salt)
        return Session(handle, key, tpm_nonce)


def _salt(root: Public) -> tuple[bytes, bytes]:
    """Return a salt, and the point from which only the TPM derives it (Part 1, annex C.6.1)."""
    key = root.key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise StoreError(Code.STORE_IO, "the TPM's storage key is no P-256 key")
    ephemeral = ec.generate_private_key(key.curve)
    own, theirs = ephemeral.public_key().public_numbers(), key.public_numbers()
    z = ephemeral.exchange(ec.ECDH(), key)
    x, y = own.x.to_bytes(32, "big"), own.y.to_bytes(32, "big")
    salt = kdf_e(z, b"SECRET", x, theirs.x.to_bytes(32, "big"), "sha256", 32)
    wipe_bytes(z)
    return salt, Writer().sized(x).sized(y).bytes()
