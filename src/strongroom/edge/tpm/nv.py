"""A TPM's permanent memory: what its maker left in it, and counters that only rise (Part 3, section 31).

A counter is what makes an old copy of this device's memory recognisable: whoever puts the disk back cannot put it back.
"""

import hashlib

from strongroom.edge.tpm import codes
from strongroom.edge.tpm.commands import Channel, Named
from strongroom.edge.tpm.objects import EMPTY, Objects
from strongroom.errors import Code, IntegrityError, StoreError
from strongroom.wire.tpm.constants import Alg, Command, Handle, NvAttribute
from strongroom.wire.tpm.structs import Reader, Writer

FIRST = 0x01000000  # TPM_HT_NV_INDEX
COUNTER = 0x01805352  # of this device: in the owner's range (TCG registry of reserved handles, 2.2.2)
CHUNK = 512  # bytes of one read: TPM_PT_NV_BUFFER_MAX is no less on any TPM known
MAX_SIZE = 8192  # bytes of a certificate that is read
_ATTRIBUTES = (
    NvAttribute.COUNTER | NvAttribute.AUTH_WRITE | NvAttribute.AUTH_READ | NvAttribute.OWNER_READ | NvAttribute.NO_DA
)


def read(channel: Channel, index: int) -> bytes | None:
    """Return what anyone may read at an index, or None if nothing is there. Raises StoreError."""
    name = Named.plain(index)
    try:
        reader = Reader(channel.sized(channel.call(Command.NV_READ_PUBLIC, [name])))
    except codes.TpmError as error:
        if error.bare == codes.HANDLE:
            return None
        raise
    try:
        reader.take(10)  # index, hash, attributes
        reader.sized()
        size = reader.u16()
    except IntegrityError as error:
        raise StoreError(Code.STORE_IO, f"the TPM's answer cannot be read: {error.what}", where=channel.where) from None
    if size > MAX_SIZE:
        raise StoreError(Code.STORE_IO, f"{size} bytes in the TPM's memory at {index:#x}", where=channel.where)
    data = b""
    while len(data) < size:
        parameters = Writer().u16(min(CHUNK, size - len(data)), len(data)).bytes()
        piece = channel.sized(channel.call(Command.NV_READ, [name, name], parameters, [EMPTY]))
        if not piece:
            break
        data += piece
    return data


def define_counter(objects: Objects, index: int = COUNTER) -> int:
    """Make a counter and return its first value: higher than that of any counter this TPM ever had.

    Raises:
        StoreError: STORE_IO, if the index is in use.
    """
    public = Writer().sized(b"").sized(_public(index, written=False)).bytes()
    objects.channel.call(Command.NV_DEFINE_SPACE, [Named.plain(Handle.OWNER)], public, [EMPTY])
    return increment_counter(objects, index)


def increment_counter(objects: Objects, index: int = COUNTER) -> int:
    """Raise a counter by one and return its value; it is permanent when this returns. Raises StoreError."""
    try:
        _increment(objects, index, written=True)
    except codes.TpmError as error:
        if error.bare not in {codes.AUTH_FAIL, codes.BAD_AUTH}:
            raise
        _increment(objects, index, written=False)  # its Name changes with the first time
    return read_counter(objects, index)


def read_counter(objects: Objects, index: int = COUNTER) -> int:
    """Return a counter's value, as the TPM itself says it: what stands between cannot change it.

    Raises:
        StoreError: STORE_IO too, if there is none.
    """
    name = Named(index, _name(index, written=True))
    with objects.hmac_session() as session:
        auths = [session.encrypting()]
        answer = objects.channel.call(Command.NV_READ, [name, name], Writer().u16(8, 0).bytes(), auths)
        return objects.read(lambda: Reader(answer.parameters.sized(8)).u64())


def remove_counter(objects: Objects, index: int = COUNTER) -> None:
    """Take a counter out of the TPM. Raises StoreError."""
    names = [Named.plain(Handle.OWNER), Named.plain(index)]
    objects.channel.call(Command.NV_UNDEFINE_SPACE, names, b"", [EMPTY])


def _increment(objects: Objects, index: int, *, written: bool) -> None:
    name = Named(index, _name(index, written=written))
    with objects.hmac_session() as session:
        objects.channel.call(Command.NV_INCREMENT, [name, name], b"", [session.encrypting()])


def _public(index: int, *, written: bool) -> bytes:
    """TPMS_NV_PUBLIC of a counter (Part 2, 13.5)."""
    attributes = _ATTRIBUTES | (NvAttribute.WRITTEN if written else NvAttribute(0))
    return Writer().u32(index).u16(Alg.SHA256).u32(attributes).sized(b"").u16(8).bytes()


def _name(index: int, *, written: bool) -> bytes:
    return Alg.SHA256.to_bytes(2, "big") + hashlib.sha256(_public(index, written=written)).digest()
