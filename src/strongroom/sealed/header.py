"""The head part: preamble, core header, manifest, MAC, signatures (docs/spec/sealed-file.md section 2).

Parsing is steps 1 and 2 of section 10: lengths against caps before anything is allocated, then canonical JSON and
schema. It needs no secret and proves nothing about who made the file.
"""

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from strongroom import canonical
from strongroom.canonical import JsonValue
from strongroom.errors import Code, InputError, IntegrityError, InternalError
from strongroom.sealed.fields import (
    LOCAL,
    MAX_SEGMENTS,
    MAX_SIGNATURES,
    CoreHeader,
    Signature,
    manifest_from,
    manifest_value,
    signatures_from,
)
from strongroom.sealed.keys import FileKeys, header_mac
from strongroom.sealed.layout import Binding, Layout, binding
from strongroom.sealed.suites import SUITES
from strongroom.signing import SIGNATURE_SIZES, Signer

MAGIC = b"\x89SRM\r\n\x1a\n"
MAJOR = 1
PREAMBLE_SIZE = 32
MAC_SIZE = 32
MAX_CORE, MAX_MANIFEST, MAX_SIGNATURE_BLOCK = 65_536, 1_048_576, 65_536  # bytes
MAX_MANIFEST_MARKS = 2 * MAX_SEGMENTS + 4  # texts, brackets and commas of the longest list of digests
MAX_HEAD_PART = PREAMBLE_SIZE + MAC_SIZE + MAX_CORE + MAX_MANIFEST + MAX_SIGNATURE_BLOCK

_PREAMBLE = struct.Struct(">8sBBHIIIQ")
_HINTS = struct.Struct(">IQ")
_COVERED = 20  # bytes of the preamble under MAC and signatures: all but the two hints
_SIGNED = b"strongroom/v1 file\0"


@dataclass(frozen=True, slots=True)
class Preamble:
    """The first 32 bytes, checked against every cap. `signatures` and `total` are hints that nothing authenticates."""

    suite: int
    core: int  # bytes
    manifest: int  # bytes
    signatures: int  # bytes
    total: int  # bytes

    @property
    def head_part_size(self) -> int:
        """How many bytes come before the first segment."""
        return PREAMBLE_SIZE + self.core + self.manifest + MAC_SIZE + self.signatures


def read_preamble(first: bytes | bytearray | memoryview) -> Preamble:
    """Read the preamble from the first 32 bytes of a file (section 2).

    Raises:
        IntegrityError: FILE_FORMAT, FILE_UNSUPPORTED, FILE_LIMIT, FILE_TRUNCATED.
    """
    data = bytes(first[:PREAMBLE_SIZE])
    where = "preamble"
    if not data or data[: len(MAGIC)] != MAGIC[: len(data)]:
        raise IntegrityError(Code.FILE_FORMAT, "not a sealed model", where=where)
    if len(data) < PREAMBLE_SIZE:
        raise IntegrityError(Code.FILE_TRUNCATED, f"{len(data)} bytes are no whole preamble", where=where)
    _, major, suite, flags, core, manifest, signatures, total = _PREAMBLE.unpack(data)
    if major != MAJOR:
        raise IntegrityError(
            Code.FILE_UNSUPPORTED, f"format version {major}", where=where, next_step="update strongroom"
        )
    if suite not in SUITES:
        raise IntegrityError(Code.FILE_UNSUPPORTED, f"cipher suite {suite}", where=where, next_step="update strongroom")
    if flags:
        raise IntegrityError(Code.FILE_FORMAT, f"flags {flags:#06x}; version 1 has none", where=where)
    caps = (("core header", core, 1, MAX_CORE), ("manifest", manifest, 1, MAX_MANIFEST))
    for name, length, least, most in (*caps, ("signature block", signatures, 2, MAX_SIGNATURE_BLOCK)):
        if not least <= length <= most:
            raise IntegrityError(Code.FILE_LIMIT, f"{name} of {length} bytes; {least} to {most} are read", where=where)
    preamble = Preamble(suite, core, manifest, signatures, total)
    if total < preamble.head_part_size:
        raise IntegrityError(Code.FILE_TRUNCATED, "the file ends inside its own head", where=where)
    return preamble


@dataclass(frozen=True, slots=True)
class Head:
    """Everything before the first segment, parsed. Until `unlock` says otherwise it is somebody's claim."""

    core: CoreHeader
    suite: int
    digests: tuple[bytes, ...] = field(repr=False)  # SHA-256 of each stored segment; none for a local file
    mac: bytes = field(repr=False)
    signatures: tuple[Signature, ...] = field(repr=False)
    head: bytes = field(repr=False)  # what MAC and signatures cover
    head_part: bytes = field(repr=False)  # the bytes as read
    digest: bytes = field(repr=False)  # SHA-512 of `head`
    layout: Layout = field(repr=False)
    binding: Binding = field(repr=False)

    @property
    def signed_bytes(self) -> bytes:
        """What an owner signs (section 7)."""
        return _SIGNED + self.digest

    @property
    def segment_count(self) -> int:
        """Number of segments, the table of contents included."""
        return self.core.segments

    @property
    def file_size(self) -> int:
        """Bytes of the whole file, from the lengths."""
        return self.layout.file_size

    def plain_length(self, index: int) -> int:
        """Return how many bytes segment `index` holds."""
        return self.layout.plain_length(index)

    def stored_length(self, index: int) -> int:
        """Return how many bytes segment `index` takes in the file."""
        return self.layout.stored_length(index)

    def offset(self, index: int) -> int:
        """Return where in the file segment `index` begins."""
        return self.layout.offset(index)


def parse_head(head_part: bytes | bytearray | memoryview, *, file_size: int | None) -> Head:
    """Parse the head part: steps 1 and 2 of section 10.

    Args:
        head_part: exactly the bytes before the first segment.
        file_size: size of the whole file in bytes, or None while it is not known.

    Raises:
        IntegrityError: FILE_FORMAT, FILE_UNSUPPORTED, FILE_LIMIT, FILE_TRUNCATED, FILE_TRAILING, JSON_NOT_CANONICAL.
    """
    preamble = read_preamble(head_part)
    data = bytes(head_part)
    _compare_sizes(len(data), preamble.head_part_size, "the head part")
    if file_size is not None:
        _compare_sizes(file_size, preamble.total, "the file")
    core_end = PREAMBLE_SIZE + preamble.core
    manifest_end = core_end + preamble.manifest
    core_bytes, manifest_bytes = data[PREAMBLE_SIZE:core_end], data[core_end:manifest_end]
    core = CoreHeader.from_value(canonical.decode(core_bytes, limit=MAX_CORE, where="core header"))
    digests = manifest_from(_manifest_value(manifest_bytes), core)
    block = data[manifest_end + MAC_SIZE :]
    signatures = signatures_from(canonical.decode(block, limit=MAX_SIGNATURE_BLOCK, where="signature block"))
    if signatures and core.kind == LOCAL:
        raise IntegrityError(Code.FILE_FORMAT, "a local file is not signed", where="signature block")
    covered = data[:_COVERED] + data[PREAMBLE_SIZE:manifest_end]
    head = Head(
        core=core,
        suite=preamble.suite,
        digests=digests,
        mac=data[manifest_end : manifest_end + MAC_SIZE],
        signatures=signatures,
        head=covered,
        head_part=data,
        digest=hashlib.sha512(covered).digest(),
        layout=Layout(core, len(data)),
        binding=binding(_begin(preamble.suite), core_bytes, core.segments),
    )
    _compare_sizes(preamble.total, head.file_size, "the file, by its own lengths,")
    return head


def build_head(
    core: CoreHeader, digests: tuple[bytes, ...], suite: int, keys: FileKeys, signers: Sequence[Signer]
) -> Head:
    """Write, MAC and sign a head part, and read it back.

    Raises:
        InternalError: the parts do not fit together; nothing a caller passes may lead here.
    """
    core_bytes, manifest = canonical.encode(core.to_value()), canonical.encode(manifest_value(digests))
    sizes = (len(core_bytes), len(manifest), signature_block_size(signers))
    total = Layout(core, PREAMBLE_SIZE + MAC_SIZE + sum(sizes)).file_size
    preamble = _PREAMBLE.pack(MAGIC, MAJOR, suite, 0, *sizes, total)
    covered = preamble[:_COVERED] + core_bytes + manifest
    message = _SIGNED + hashlib.sha512(covered).digest()
    signatures = [Signature(one.public.key_id, one.public.alg, one.sign(message)) for one in signers]
    block = canonical.encode([one.to_value() for one in signatures])
    try:
        head_part = preamble + core_bytes + manifest + header_mac(keys.mac, covered) + block
        return parse_head(head_part, file_size=total)
    except IntegrityError as error:
        raise InternalError(Code.INTERNAL, f"a head was built that cannot be read: {error.what}") from None


def with_signatures(head: Head, signatures: Sequence[Signature]) -> Head:
    """Return a head with another signature block. Its length and the total follow; what MAC and signatures cover stays.

    Raises:
        InputError: FILE_LIMIT: more signatures than a file holds.
    """
    block = canonical.encode([one.to_value() for one in signatures])
    before = read_preamble(head.head_part)
    total = before.total - before.signatures + len(block)
    if len(signatures) > MAX_SIGNATURES or len(block) > MAX_SIGNATURE_BLOCK:
        raise InputError(Code.FILE_LIMIT, f"{len(signatures)} signatures of {len(block)} bytes are more than fit")
    unsigned = head.head_part[PREAMBLE_SIZE : len(head.head_part) - before.signatures]
    hints = _HINTS.pack(len(block), total)
    try:
        return parse_head(head.head_part[:_COVERED] + hints + unsigned + block, file_size=total)
    except IntegrityError as error:
        raise InternalError(Code.INTERNAL, f"a head was signed that cannot be read: {error.what}") from None


def planned(core: CoreHeader, suite: int, signers: Sequence[Signer]) -> tuple[Layout, Binding]:
    """Return layout and binding of a file before its segments are sealed: every length is known by then."""
    core_bytes = canonical.encode(core.to_value())
    manifest = canonical.encode(manifest_value((bytes(32),) * (0 if core.kind == LOCAL else core.segments)))
    head_part_size = PREAMBLE_SIZE + len(core_bytes) + len(manifest) + MAC_SIZE + signature_block_size(signers)
    return Layout(core, head_part_size), binding(_begin(suite), core_bytes, core.segments)


def signature_block_size(signers: Sequence[Signer]) -> int:
    """Return how many bytes the signatures of these signers will take, before they sign."""
    blank = [Signature("A" * 43, one.public.alg, bytes(SIGNATURE_SIZES[one.public.alg])) for one in signers]
    return len(canonical.encode([one.to_value() for one in blank]))


def _manifest_value(data: bytes) -> JsonValue:
    """Decode a manifest. Nobody has proved anything yet, so 1 MiB of it must not become 40 MiB of small objects."""
    try:
        return canonical.decode(data, limit=MAX_MANIFEST, where="manifest", marks=MAX_MANIFEST_MARKS)
    except IntegrityError as error:
        if error.code is not Code.JSON_TOO_LARGE:
            raise
        raise IntegrityError(Code.FILE_FORMAT, error.what, where=error.where) from None


def _begin(suite: int) -> bytes:
    return MAGIC + bytes([MAJOR, suite, 0, 0])  # bytes 0 to 11 of the file


def _compare_sizes(actual: int, expected: int, what: str) -> None:
    if actual < expected:
        raise IntegrityError(Code.FILE_TRUNCATED, f"{what} has {actual} bytes of {expected}")
    if actual > expected:
        raise IntegrityError(Code.FILE_TRAILING, f"{what} has {actual} bytes, {actual - expected} too many")
