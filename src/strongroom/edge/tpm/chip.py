"""What this device asks of its TPM: keys that never leave it, quotes, and secrets that only it gives back.

One `Tpm` is one connection. It is opened for one piece of work and closed after it, so that others get their turn, and
everything it put into the TPM is taken out again.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from strongroom.edge.tpm import codes, endorsement, nv, templates
from strongroom.edge.tpm.commands import Channel
from strongroom.edge.tpm.objects import Blob, Objects
from strongroom.edge.tpm.transport import Transport, connect
from strongroom.errors import Code, InputError, InternalError, StoreError
from strongroom.sealed.wiping import wipe
from strongroom.wire.tpm.constants import DIGEST_SIZES, HASH_NAMES, Alg, Command, Handle, Tag
from strongroom.wire.tpm.signed import Attest, PcrSelection, Signature, read_selections, write_selections
from strongroom.wire.tpm.structs import Reader, Writer, wrong

MAX_SECRET = 128  # bytes that can be sealed (MAX_SYM_DATA)
QUOTE_TRIES = 5  # while registers change
MOST_REGISTERS = 24  # of a PC
BANKS = {name: int(alg) for alg, name in HASH_NAMES.items()}
Connector = Callable[[str], Transport]
Pcrs = dict[int, bytes]  # register number to its value


@dataclass(frozen=True, slots=True)
class Quote:
    """What a TPM says of its registers, signed.

    Attributes:
        attest: TPMS_ATTEST.
        signature: TPMT_SIGNATURE over it.
        bank: "sha256", …
        pcrs: the values it was made over.
    """

    attest: bytes
    signature: bytes
    bank: str
    pcrs: Pcrs


class Tpm:
    """An open TPM.

    Where the TPM refuses, every method raises `codes.TpmError`, a StoreError: STORE_IO, or LOCKED while it protects
    itself from a dictionary attack. STORE_DAMAGED says that it is another TPM than before; SetupError CONFIG that it
    was never started.

    Args:
        transport: the way to it.
        where: its address, for errors.
        root: Name of the storage key this device has used before, or None if it has not used any.
    """

    def __init__(self, transport: Transport, where: str, root: bytes | None = None) -> None:
        self._channel = Channel(transport, where)
        self._objects = Objects(self._channel, root)

    @classmethod
    def open(cls, address: str, *, root: bytes | None = None, connector: Connector = connect) -> Self:
        """Connect to the TPM at an address. Raises SetupError, StoreError."""
        return cls(connector(address), address, root)

    def close(self) -> None:
        """Take out what was put in, and let the TPM go."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def root_name(self) -> bytes:
        """Return the Name of the storage key, by which this TPM is known again."""
        return self._objects.storage()[0].name

    def create_ak(self) -> Blob:
        """Make an attestation key: it signs what the TPM says of itself, and nothing else."""
        return self._objects.create(templates.ATTESTATION.area)

    def create_signing_key(self) -> Blob:
        """Make an ES256 key that never leaves this TPM."""
        return self._objects.create(templates.SIGNING.area)

    def sign(self, key: Blob, digest: bytes) -> bytes:
        """Sign a SHA-256 digest with a signing key; return r || s, 32 bytes each (RFC 7518)."""
        parameters = Writer().u16(Alg.NULL, Tag.HASHCHECK).u32(Handle.NULL).sized(b"").bytes()
        with self._objects.loaded(key) as loaded, self._objects.hmac_session() as session:
            answer = self._channel.call(Command.SIGN, [loaded], parameters, [session], first=digest)
        r, s = self._objects.read(lambda: Signature.parse(answer.parameters.rest())).parts
        return r.rjust(32, b"\0") + s.rjust(32, b"\0")

    def quote(self, key: Blob, qualifying: bytes, registers: Sequence[int], bank: str = "sha256") -> Quote:
        """Have the attestation key sign the values of registers, for one purpose.

        Raises:
            StoreError: STORE_IO too, if the registers never hold still.
        """
        selection = selected(registers, bank)
        parameters = Writer().u16(Alg.NULL).raw(write_selections(selection)).bytes()
        with self._objects.loaded(key) as loaded, self._objects.hmac_session() as session:
            for _ in range(QUOTE_TRIES):
                values = self.read_pcrs(registers, bank)
                answer = self._channel.call(Command.QUOTE, [loaded], parameters, [session], first=qualifying)
                attest, signature = self._channel.sized(answer), answer.parameters.rest()
                if self._digest(attest) == hashlib.sha256(b"".join(values.values())).digest():
                    return Quote(attest, signature, bank, values)
        step = "wait until the machine has started up"
        what = "the TPM's registers change all the time"
        raise StoreError(Code.STORE_IO, what, where=self._channel.where, next_step=step)

    def read_pcrs(self, registers: Sequence[int], bank: str = "sha256") -> Pcrs:
        """Return the values of registers, in rising order.

        Raises:
            StoreError: STORE_IO too, if the TPM has no such bank or register.
        """
        wanted = selected(registers, bank)
        found: Pcrs = {}
        while missing := tuple(one for one in wanted.registers if one not in found):  # it gives eight at a time
            parameters = write_selections(PcrSelection(wanted.hash, missing))
            read = self._values(self._channel.call(Command.PCR_READ, parameters=parameters).parameters, wanted.hash)
            if not read:
                what = f"the TPM has no bank {bank} with register {missing[0]}"
                raise StoreError(Code.STORE_IO, what, where=self._channel.where)
            found |= read
        return {one: found[one] for one in wanted.registers}

    def seal(self, secret: bytes | bytearray, registers: Sequence[int] = (), bank: str = "sha256") -> Blob:
        """Encrypt a secret to this TPM, and to the present values of registers if any are named.

        The secret passes the bus encrypted. Nothing of the blob is of use to another TPM.
        """
        if not 1 <= len(secret) <= MAX_SECRET:
            raise InternalError(Code.INTERNAL, f"a secret of {len(secret)} bytes; a TPM seals {MAX_SECRET} at most")
        policy = b""
        if registers:
            values = self.read_pcrs(registers, bank)
            policy = templates.pcr_policy(selected(registers, bank), b"".join(values.values()))
        sensitive = bytearray(Writer().sized(b"").u16(len(secret)).bytes())
        sensitive += secret
        try:
            return self._objects.create(templates.sealed(policy), sensitive)
        finally:
            wipe(sensitive)

    def unseal(self, blob: Blob, registers: Sequence[int] = (), bank: str = "sha256") -> bytearray:
        """Return a sealed secret, for the caller to wipe; it passes the bus encrypted.

        Raises:
            StoreError: STORE_DAMAGED, if another TPM sealed it or the blob was changed; STORE_IO, if the registers have
                other values now.
        """
        objects = self._objects
        start = objects.policy_session(selected(registers, bank)) if registers else objects.hmac_session()
        with objects.loaded(blob) as loaded, start as session:
            try:
                return self._channel.call(Command.UNSEAL, [loaded], b"", [session.encrypting(answer=True)]).secret
            except codes.TpmError as error:
                if error.bare not in codes.POLICY:
                    raise
                what = "the TPM keeps a secret back: the machine booted other software than it was sealed for"
                step = "boot what was there before, or enrol this device anew"
                raise StoreError(Code.STORE_IO, what, where=self._channel.where, next_step=step) from None

    def ek_certificates(self) -> tuple[bytes, ...]:
        """Return the endorsement key's certificate, then its issuers' as far as the TPM holds them, DER; () if none."""
        known = endorsement.kind_and_certificates(self._objects)
        return () if known is None else known[1]

    def ek_public(self) -> bytes:
        """Return TPMT_PUBLIC of the endorsement key that the first certificate is for."""
        return endorsement.public(self._objects).raw

    def activate(self, key: Blob, credential: bytes) -> bytearray:
        """Open a credential for this TPM and an attestation key in it; the caller wipes it. See `endorsement.activate`.

        Raises:
            IntegrityError: SHAPE, SEALED_KEY.
        """
        return endorsement.activate(self._objects, key, credential)

    def make_ratchet(self, index: int) -> bool:
        """Make an index that only goes forward; False if there is anything in its place."""
        return nv.make_ratchet(self._objects, index)

    def is_ratchet(self, index: int) -> bool:
        """Say whether such an index, or nothing, is in that place: what another program put there is never touched."""
        return nv.is_ratchet(self._objects, index)

    def begin_ratchet(self, index: int, data: bytes) -> None:
        """Make an index that only goes forward, if it is not there, and add to it for the first time."""
        nv.begin_ratchet(self._objects, index, data)

    def turn_ratchet(self, index: int, data: bytes) -> None:
        """Add to an index that only goes forward; it is permanent then."""
        nv.turn_ratchet(self._objects, index, data)

    def read_ratchet(self, index: int) -> bytes | None:
        """Return what such an index has come to, or None if there is none."""
        return nv.read_ratchet(self._objects, index)

    def remove_ratchet(self, index: int) -> None:
        """Take such an index out of the TPM."""
        nv.remove_ratchet(self._objects, index)

    def _digest(self, attest: bytes) -> bytes:
        return self._objects.read(lambda: Attest.parse(attest)).digest

    def _values(self, reader: Reader, alg: int) -> Pcrs:
        return self._objects.read(lambda: _read_values(reader, alg))


def selected(registers: Sequence[int], bank: str) -> PcrSelection:
    """Return a selection of registers.

    Raises:
        InputError: ARGUMENT, if there is no such bank or register.
    """
    if bank not in BANKS or not registers or not all(0 <= one < MOST_REGISTERS for one in registers):
        step = f"name registers 0 to {MOST_REGISTERS - 1} of a bank: {', '.join(sorted(BANKS))}"
        raise InputError(Code.ARGUMENT, "no such registers", next_step=step)
    return PcrSelection(BANKS[bank], tuple(sorted(set(registers))))


def _read_values(reader: Reader, alg: int) -> Pcrs:
    """Read the answer of TPM2_PCR_Read (Part 3, 22.4). Raises IntegrityError(SHAPE)."""
    reader.u32()
    registers = [one for part in read_selections(reader) if part.hash == alg for one in part.registers]
    values = [reader.sized(64) for _ in range(reader.u32())]  # an answer is short: too many end in an error
    if len(values) != len(registers) or any(len(one) != DIGEST_SIZES[alg] for one in values):
        raise wrong("other registers than were asked for")
    return dict(zip(registers, values, strict=True))
