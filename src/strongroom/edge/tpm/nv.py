"""A TPM's permanent memory: what its maker left in it, and indices that only go forward (Part 3, section 31).

An extend index holds a digest; whoever adds to it gets SHA-256(digest || what was added), and nobody puts it back. That
is what makes an old copy of this device's memory recognisable. A counter would do less: of two memories that follow the
same one, each with the next number, it could not tell which came to be.
"""

import hashlib

from strongroom.edge.tpm import codes
from strongroom.edge.tpm.commands import Channel, Named
from strongroom.edge.tpm.objects import EMPTY, Objects
from strongroom.errors import Code, IntegrityError, StoreError
from strongroom.wire.tpm.constants import Alg, Command, Handle, NvAttribute
from strongroom.wire.tpm.structs import Reader, Writer

FIRST = 0x01000000  # TPM_HT_NV_INDEX
RATCHETS = 0x01850000  # of our devices, 65,536 of them, in the owner's range (TCG registry of reserved handles)
CHUNK = 512  # bytes of one read: TPM_PT_NV_BUFFER_MAX is no less on any TPM known
MAX_SIZE = 8192  # bytes of a certificate that is read
SIZE = 32  # bytes of an extend index: a SHA-256 digest
_ATTRIBUTES = (
    NvAttribute.EXTEND | NvAttribute.AUTH_WRITE | NvAttribute.AUTH_READ | NvAttribute.OWNER_READ | NvAttribute.NO_DA
)


def read(channel: Channel, index: int) -> bytes | None:
    """Return what anyone may read at an index, or None if nothing is there. Raises StoreError."""
    name, held = Named.plain(index), _held(channel, index)
    if held is None:
        return None
    reader = Reader(held)
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


def make_ratchet(objects: Objects, index: int) -> bool:
    """Make an extend index; False if there is anything in its place. Raises StoreError."""
    if _held(objects.channel, index) is not None:
        return False
    public = Writer().sized(b"").sized(_public(index, written=False)).bytes()
    try:
        objects.channel.call(Command.NV_DEFINE_SPACE, [Named.plain(Handle.OWNER)], public, [EMPTY])
    except codes.TpmError as error:
        if error.bare != codes.NV_DEFINED:  # another program was quicker
            raise
        return False
    return True


def is_ratchet(objects: Objects, index: int) -> bool:
    """Say whether there is an extend index of ours, or nothing, and so not somebody else's. Raises StoreError."""
    held = _held(objects.channel, index)
    return held is None or held in {_public(index, written=written) for written in (False, True)}


def begin_ratchet(objects: Objects, index: int, data: bytes) -> None:
    """Make an extend index, if it is not there yet, and add to it for the first time. Raises StoreError."""
    make_ratchet(objects, index)
    _extend(objects, index, data)


def turn_ratchet(objects: Objects, index: int, data: bytes) -> None:
    """Add to an extend index; it is permanent when this returns. The data pass the bus encrypted. Raises StoreError."""
    _extend(objects, index, data)


def read_ratchet(objects: Objects, index: int) -> bytes | None:
    """Return an extend index's digest, as the TPM itself says it: what stands between cannot change it.

    Returns:
        None if there is none, or one of another kind in its place.

    Raises:
        StoreError: as `Objects.hmac_session`.
    """
    if _held(objects.channel, index) != _public(index, written=True):
        return None
    name = Named(index, _name(index, written=True))
    with objects.hmac_session() as session:
        parameters = Writer().u16(SIZE, 0).bytes()
        answer = objects.channel.call(Command.NV_READ, [name, name], parameters, [session.encrypting()])
        return objects.read(lambda: answer.parameters.sized(SIZE))


def remove_ratchet(objects: Objects, index: int) -> None:
    """Take an extend index out of the TPM. Raises StoreError."""
    names = [Named.plain(Handle.OWNER), Named.plain(index)]
    objects.channel.call(Command.NV_UNDEFINE_SPACE, names, b"", [EMPTY])


def _extend(objects: Objects, index: int, data: bytes) -> None:
    held = _held(objects.channel, index)
    written = held == _public(index, written=True)
    if not written and held != _public(index, written=False):
        what = f"the TPM's memory at {index:#x} holds nothing of this device, or something of another program"
        step = "move the device directory away and enrol again"
        raise StoreError(Code.STORE_DAMAGED, what, where=objects.channel.where, next_step=step)
    name = Named(index, _name(index, written=written))  # its Name changes with the first time
    with objects.hmac_session() as session:
        auths = [session.encrypting(command=True)]
        objects.channel.call(Command.NV_EXTEND, [name, name], b"", auths, first=data)


def _held(channel: Channel, index: int) -> bytes | None:
    """Return the TPMS_NV_PUBLIC of what is at an index, None if nothing is.

    Asked before every authorised command: where another program's index is, ours would be a wrong authorisation, and
    enough of those lock the whole TPM.
    """
    try:
        return channel.sized(channel.call(Command.NV_READ_PUBLIC, [Named.plain(index)]))
    except codes.TpmError as error:
        if error.bare != codes.HANDLE:
            raise
        return None


def _public(index: int, *, written: bool) -> bytes:
    """TPMS_NV_PUBLIC of an extend index (Part 2, 13.5)."""
    attributes = _ATTRIBUTES | (NvAttribute.WRITTEN if written else NvAttribute(0))
    return Writer().u32(index).u16(Alg.SHA256).u32(attributes).sized(b"").u16(SIZE).bytes()


def _name(index: int, *, written: bool) -> bytes:
    return Alg.SHA256.to_bytes(2, "big") + hashlib.sha256(_public(index, written=written)).digest()
