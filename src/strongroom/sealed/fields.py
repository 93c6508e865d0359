"""The fields of the core header and of the signature block (docs/spec/sealed-file.md sections 4 and 7).

Field names and meanings are append-only once released.
"""

from dataclasses import dataclass
from typing import Any, Self

from strongroom.canonical import JsonValue, to_base64url
from strongroom.errors import Code, IntegrityError
from strongroom.shapes import Array, Binary, Choice, Integer, Nullable, Object, Shape, Text
from strongroom.signing import ED25519, MAX_SIGNATURE, ML_DSA_65, SIGNATURE_SIZES

MODEL, OVERLAY, DELTA, LOCAL = "model", "overlay", "delta", "local"
KINDS = (MODEL, OVERLAY, DELTA, LOCAL)
SIGNATURE_ALGORITHMS = (ED25519, ML_DSA_65)  # offline owners; ES256 is for device keys

MIN_SEGMENT, MAX_SEGMENT = 2**20, 2**26  # bytes of plaintext
MAX_SEGMENTS = 16_384  # what a manifest of 1 MiB can list, with room
MAX_TOC = 2**22  # bytes
MAX_LOCAL_TOC = 2**23  # bytes: the largest table of contents with the largest head part in base64url inside
MAX_SIGNATURES = 64

_LINK = Object({"file_id": Binary(32), "head": Binary(64)})
_SHAPE = Object(
    {
        "base": Nullable(_LINK),
        "commitment": Binary(32),
        "content": Binary(32),
        "counter": Integer(1),
        "critical": Array(Text(64, r"[a-z][a-z0-9_]{0,63}"), most=16),
        "epoch": Integer(1),
        "file_id": Binary(32),
        "key_id": Binary(16),
        "kind": Choice(KINDS),
        "origin": Nullable(_LINK),
        "payload_length": Integer(),
        "segment_size": Integer(),
        "segments": Integer(1),
        "subject": Binary(32),
        "toc_length": Integer(1),
    }
)
_SIGNATURE = Object({"alg": Choice(SIGNATURE_ALGORITHMS), "key": Binary(32), "sig": Binary(MAX_SIGNATURE, 64)})
_SIGNATURE_BY = {
    alg: Object({"alg": Choice((alg,)), "key": Binary(32), "sig": Binary(SIGNATURE_SIZES[alg])})
    for alg in SIGNATURE_ALGORITHMS
}
_UPDATE = "update strongroom"
_MANIFEST = Object({"segments": Array(Binary(32), most=MAX_SEGMENTS)})


@dataclass(frozen=True, slots=True)
class FileLink:
    """Another sealed file, named by its identifier and the SHA-512 of its head."""

    file_id: bytes
    head: bytes

    def to_value(self) -> dict[str, JsonValue]:
        return {"file_id": to_base64url(self.file_id), "head": to_base64url(self.head)}


@dataclass(frozen=True, slots=True)
class CoreHeader:
    """What a sealed file says of itself in the clear. Lengths are in bytes of plaintext."""

    file_id: bytes
    kind: str
    key_id: bytes
    subject: bytes
    content: bytes
    commitment: bytes
    segment_size: int
    toc_length: int
    payload_length: int
    segments: int  # the table of contents included
    epoch: int
    counter: int
    base: FileLink | None = None  # of an overlay or delta
    origin: FileLink | None = None  # of a local file
    critical: tuple[str, ...] = ()  # extension fields a reader must know; v1 knows none

    def to_value(self) -> dict[str, JsonValue]:
        return {
            "base": None if self.base is None else self.base.to_value(),
            "commitment": to_base64url(self.commitment),
            "content": to_base64url(self.content),
            "counter": self.counter,
            "critical": list(self.critical),
            "epoch": self.epoch,
            "file_id": to_base64url(self.file_id),
            "key_id": to_base64url(self.key_id),
            "kind": self.kind,
            "origin": None if self.origin is None else self.origin.to_value(),
            "payload_length": self.payload_length,
            "segment_size": self.segment_size,
            "segments": self.segments,
            "subject": to_base64url(self.subject),
            "toc_length": self.toc_length,
        }

    @classmethod
    def from_value(cls, value: JsonValue) -> Self:
        """Check a decoded core header: shape, extensions, limits, and that its numbers agree.

        Raises:
            IntegrityError: FILE_FORMAT, FILE_UNSUPPORTED, FILE_LIMIT, JSON_NOT_CANONICAL.
        """
        where = "core header"
        unknown: set[str] = set()
        if isinstance(value, dict):
            # Extension fields are ignored unless `critical` names them; MAC and signatures cover them all the same.
            unknown = value.keys() - _SHAPE.fields.keys()
            value = {name: item for name, item in value.items() if name in _SHAPE.fields}
        fields = shaped(_SHAPE, value, where)
        critical = fields["critical"]
        if list(critical) != sorted(set(critical)) or not unknown.issuperset(critical):
            raise IntegrityError(Code.FILE_FORMAT, "`critical` must name extensions, sorted, each once", where=where)
        if critical:
            what = f"this file needs a reader that knows {critical[0]!r}"
            raise IntegrityError(Code.FILE_UNSUPPORTED, what, where=where, next_step=_UPDATE)
        for name in ("base", "origin"):
            fields[name] = None if fields[name] is None else FileLink(**fields[name])
        core = cls(**fields)
        core._check_links()
        core._check_lengths()
        return core

    def _check_links(self) -> None:
        if (self.base is not None) != (self.kind in (OVERLAY, DELTA)):
            raise IntegrityError(Code.FILE_FORMAT, f"`base` does not fit kind {self.kind}", where="core header")
        if (self.origin is not None) != (self.kind == LOCAL):
            raise IntegrityError(Code.FILE_FORMAT, f"`origin` does not fit kind {self.kind}", where="core header")

    def _check_lengths(self) -> None:
        where = "core header"
        if not MIN_SEGMENT <= self.segment_size <= MAX_SEGMENT or self.segment_size & (self.segment_size - 1):
            raise IntegrityError(
                Code.FILE_LIMIT, f"segment size must be a power of two from {MIN_SEGMENT} to {MAX_SEGMENT}", where=where
            )
        if self.toc_length > toc_limit(self.kind, self.segment_size):
            raise IntegrityError(Code.FILE_LIMIT, f"table of contents of {self.toc_length} bytes", where=where)
        if self.segments > MAX_SEGMENTS:
            raise IntegrityError(Code.FILE_LIMIT, f"{self.segments} segments; at most {MAX_SEGMENTS}", where=where)
        if self.segments != segment_count(self.payload_length, self.segment_size):
            raise IntegrityError(Code.FILE_FORMAT, "number of segments does not fit the payload's length", where=where)


@dataclass(frozen=True, slots=True)
class Signature:
    """One owner's signature over a head. `key` is the identifier of the key, `sig` raw bytes."""

    key: str
    alg: str
    sig: bytes

    def to_value(self) -> dict[str, JsonValue]:
        return {"alg": self.alg, "key": self.key, "sig": to_base64url(self.sig)}


class _SignatureShape:
    """One signature, its bytes as many as its algorithm makes (section 3: where n bytes are expected)."""

    def check(self, value: JsonValue, where: str) -> dict[str, Any]:
        alg = value.get("alg") if isinstance(value, dict) else None
        shape = _SIGNATURE_BY.get(alg, _SIGNATURE) if isinstance(alg, str) else _SIGNATURE
        return shape.check(value, where)

    def schema(self) -> dict[str, Any]:
        return {"oneOf": [shape.schema() for shape in _SIGNATURE_BY.values()]}


_SIGNATURES = Array(_SignatureShape(), most=MAX_SIGNATURES)


def signatures_from(value: JsonValue) -> tuple[Signature, ...]:
    """Check a decoded signature block.

    Raises:
        IntegrityError: FILE_FORMAT, JSON_NOT_CANONICAL.
    """
    where = "signature block"
    found = shaped(_SIGNATURES, value, where)
    signatures = tuple(Signature(to_base64url(one["key"]), one["alg"], one["sig"]) for one in found)
    if len({one.key for one in signatures}) != len(signatures):
        raise IntegrityError(Code.FILE_FORMAT, "two signatures by one key", where=where)
    return signatures


def manifest_from(value: JsonValue, core: CoreHeader) -> tuple[bytes, ...]:
    """Check a decoded manifest against its core header; return the segments' SHA-256, none for a local file.

    Raises:
        IntegrityError: FILE_FORMAT, JSON_NOT_CANONICAL.
    """
    digests: tuple[bytes, ...] = shaped(_MANIFEST, value, "manifest")["segments"]
    if len(digests) != (0 if core.kind == LOCAL else core.segments):
        raise IntegrityError(Code.FILE_FORMAT, "manifest does not list the segments of this file", where="manifest")
    return digests


def manifest_value(digests: tuple[bytes, ...]) -> dict[str, JsonValue]:
    """Return the manifest as a value."""
    return {"segments": [to_base64url(digest) for digest in digests]}


def segment_count(payload_length: int, segment_size: int) -> int:
    """Return the number of segments, the table of contents included."""
    return 1 + -(-payload_length // segment_size)


def toc_limit(kind: str, segment_size: int) -> int:
    """Return how many bytes the table of contents may have."""
    return MAX_LOCAL_TOC if kind == LOCAL else min(segment_size, MAX_TOC)


def shaped(shape: Shape, value: JsonValue, where: str) -> Any:  # noqa: ANN401 - each shape returns its own Python type
    """Check a value of the head, with the file's own code for a wrong shape.

    Raises:
        IntegrityError: FILE_FORMAT, JSON_NOT_CANONICAL (base64url).
    """
    try:
        return shape.check(value, where)
    except IntegrityError as error:
        if error.code is not Code.SHAPE:
            raise
        raise IntegrityError(Code.FILE_FORMAT, error.what, where=error.where) from None
