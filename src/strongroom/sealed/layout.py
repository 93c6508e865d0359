"""Where the segments of a file lie, and what binds each to its place (docs/spec/sealed-file.md sections 2 and 8)."""

import hashlib
import struct
from dataclasses import dataclass

from strongroom.sealed.fields import CoreHeader
from strongroom.sealed.suites import stored_size

_LABEL = b"strongroom/v1 segment"


@dataclass(frozen=True, slots=True)
class Layout:
    """Lengths and offsets of a file's segments, in bytes. Segment 0 is the table of contents."""

    core: CoreHeader
    head_part_size: int

    @property
    def file_size(self) -> int:
        last = self.core.segments - 1
        return self.offset(last) + self.stored_length(last)

    def plain_length(self, index: int) -> int:
        core = self.core
        if index == 0:
            return core.toc_length
        return min(core.segment_size, core.payload_length - (index - 1) * core.segment_size)

    def stored_length(self, index: int) -> int:
        return stored_size(self.plain_length(index))

    def offset(self, index: int) -> int:
        if index == 0:
            return self.head_part_size
        before = (index - 1) * stored_size(self.core.segment_size)
        return self.head_part_size + stored_size(self.core.toc_length) + before


@dataclass(frozen=True, slots=True)
class Binding:
    """What makes a segment openable in one file only, and there only in its own place."""

    label: bytes
    segments: int

    def context(self, index: int) -> bytes:
        """Return the context of segment `index`."""
        return self.label + struct.pack(">II", index, self.segments)


def binding(begin: bytes, core_bytes: bytes, segments: int) -> Binding:
    """Bind to the first 12 bytes of the file and to its core header as written."""
    return Binding(_LABEL + hashlib.sha512(begin + core_bytes).digest(), segments)
