"""The table of contents: segment 0, encrypted (docs/spec/sealed-file.md section 9).

It names the files inside, says what they are, and in a local file carries what the origin said. Paths here are never
used to build a path on disk without the rules of `paths.py` having been checked first, which parsing does.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from strongroom import canonical
from strongroom.canonical import JsonValue, to_base64url
from strongroom.errors import Code, InputError, IntegrityError, InternalError, StrongroomError
from strongroom.sealed.fields import MAX_LOCAL_TOC
from strongroom.sealed.header import MAX_HEAD_PART
from strongroom.sealed.paths import broken_path_rule, conflict
from strongroom.shapes import Array, Binary, Free, Integer, Nullable, Object, Shape, Text

MAX_FILES = 65_536

_FORMAT = Text(40, r"[a-z0-9][a-z0-9._-]*")
_DESCRIPTION: dict[str, Shape] = {
    "format": Nullable(_FORMAT),
    "licence": Nullable(Text(200)),
    "metadata": Free(64),
    "overlayable": Array(Text(256), most=65_536),
    "runtimes": Array(_FORMAT, most=16),
}
_SHAPE = Object(
    {
        **_DESCRIPTION,
        "files": Array(Object({"path": Text(1024), "sha256": Binary(32), "size": Integer()}), most=MAX_FILES, least=1),
        "origin": Nullable(Object({"blind": Binary(32), "head_part": Binary(MAX_HEAD_PART, 1)})),
    }
)


@dataclass(frozen=True, slots=True)
class Description:
    """What a model is, for whoever opens it."""

    format: str | None = None  # "onnx", "safetensors", …
    runtimes: tuple[str, ...] = ()  # what can run it
    metadata: Mapping[str, str | int] = field(default_factory=dict)
    licence: str | None = None  # SPDX expression or a sentence
    overlayable: tuple[str, ...] = ()  # tensors an overlay may replace


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file: its path inside the model, its bytes, their SHA-256."""

    path: str
    size: int
    sha256: bytes

    def to_value(self) -> dict[str, JsonValue]:
        return {"path": self.path, "sha256": to_base64url(self.sha256), "size": self.size}


@dataclass(frozen=True, slots=True)
class OriginRecord:
    """In a local file: the head part it was made from, and the key that blinds its names. Never the model key."""

    head_part: bytes = field(repr=False)
    blind: bytes = field(repr=False)

    def to_value(self) -> dict[str, JsonValue]:
        return {"blind": to_base64url(self.blind), "head_part": to_base64url(self.head_part)}


@dataclass(frozen=True, slots=True)
class TableOfContents:
    """The files of a model in the order of their bytes, and its description."""

    files: tuple[FileEntry, ...]
    format: str | None = None
    runtimes: tuple[str, ...] = ()
    metadata: Mapping[str, str | int] = field(default_factory=dict)
    licence: str | None = None
    overlayable: tuple[str, ...] = ()
    origin: OriginRecord | None = None
    _ranges: dict[str, tuple[int, int]] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def description(self) -> Description:
        """The fields that are not files."""
        return Description(self.format, self.runtimes, self.metadata, self.licence, self.overlayable)

    @property
    def payload_length(self) -> int:
        """Bytes of all files."""
        return sum(entry.size for entry in self.files)

    def range_of(self, path: str) -> tuple[int, int]:
        """Return where a file's bytes begin and end in the payload.

        Raises:
            InputError: PATH.
        """
        if not self._ranges:
            start, ranges = 0, dict[str, tuple[int, int]]()
            for entry in self.files:
                ranges[entry.path] = start, start + entry.size
                start += entry.size
            self._ranges.update(ranges)  # in one step: another thread sees none of them, or all
        found = self._ranges.get(path)
        if found is None:
            raise InputError(Code.PATH, "the model has no such file", where=ascii(path[:200]))
        return found

    def without_origin(self) -> Self:
        """The table of contents as the origin has it."""
        return dataclasses.replace(self, origin=None)

    def encode(self) -> bytes:
        """Return the bytes of segment 0."""
        return canonical.encode(
            {
                "files": [entry.to_value() for entry in self.files],
                "format": self.format,
                "licence": self.licence,
                "metadata": dict(self.metadata),
                "origin": None if self.origin is None else self.origin.to_value(),
                "overlayable": list(self.overlayable),
                "runtimes": list(self.runtimes),
            }
        )


def describe(files: tuple[FileEntry, ...], description: Description) -> TableOfContents:
    """Join files and description, both checked as a reader will check them.

    Raises:
        InputError: PATH, ARGUMENT.
    """
    check_paths([entry.path for entry in files])
    toc = TableOfContents(files, **{name: getattr(description, name) for name in _DESCRIPTION})
    try:
        return parse(toc.encode(), toc.payload_length)
    except (IntegrityError, InternalError, TypeError, ValueError) as error:
        what = error.what if isinstance(error, StrongroomError) else "a field has the wrong type"
        raise InputError(Code.ARGUMENT, f"the description does not fit its form: {what}") from None


def check_paths(paths: Sequence[str]) -> None:
    """Check the paths of files that are to be sealed.

    Raises:
        InputError: PATH.
    """
    for path in paths:
        rule = broken_path_rule(path)
        if rule:
            what, next_step = f"a file inside a model cannot have this path: {rule}", "rename the file"
            raise InputError(Code.PATH, what, where=ascii(path[:200]), next_step=next_step)
    clash = conflict(paths)
    if clash:
        what, next_step = "two files of a model would be one on some systems", "rename one of them"
        raise InputError(Code.PATH, what, where=ascii(clash[:200]), next_step=next_step)


def parse(data: bytes | bytearray | memoryview, payload_length: int) -> TableOfContents:
    """Parse and check a table of contents: step 8 of section 10, after its keyed hash was compared.

    Raises:
        IntegrityError: FILE_CONTENT.
    """
    where = "table of contents"
    try:
        fields = _SHAPE.check(canonical.decode(bytes(data), limit=MAX_LOCAL_TOC, where=where), where)
    except IntegrityError as error:
        raise IntegrityError(Code.FILE_CONTENT, error.what, where=error.where) from None
    files = tuple(FileEntry(**entry) for entry in fields.pop("files"))
    origin = fields.pop("origin")
    for entry in files:
        rule = broken_path_rule(entry.path)
        if rule:
            raise IntegrityError(Code.FILE_CONTENT, f"a file's path is not allowed: {rule}", where=where)
    if conflict([entry.path for entry in files]):
        raise IntegrityError(Code.FILE_CONTENT, "two files get in each other's way", where=where)
    toc = TableOfContents(files, **fields, origin=None if origin is None else OriginRecord(**origin))
    if toc.payload_length != payload_length:
        raise IntegrityError(Code.FILE_CONTENT, "the files' sizes do not sum to the payload", where=where)
    return toc
