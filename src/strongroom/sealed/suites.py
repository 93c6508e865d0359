"""The payload ciphers by their number in the file (docs/spec/sealed-file.md sections 2 and 8).

A number is never reused. Unknown numbers are refused, and the number is part of every derived key, so that a file
cannot be opened under another suite than it was sealed with.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from cryptography import cobblestone

CHUNK = 16_384  # bytes of plaintext in each chunk but the last (C2SP chunked encryption)
TAG = 16  # bytes
SEGMENT_OVERHEAD = 56  # bytes: salt 24, commitment 32


class Cipher(Protocol):
    """One pass over one segment, in either direction."""

    def update_into(self, data: bytes | bytearray | memoryview, buf: bytearray | memoryview) -> int:
        """Process input and write every finished byte to `buf`; return how many."""
        ...

    def finalize(self) -> bytes:
        """Process the last, short chunk and return it."""
        ...


@dataclass(frozen=True, slots=True)
class Suite:
    """A payload cipher: its number, its name, and how to begin a segment with key and context."""

    number: int
    name: str
    encryptor: Callable[[bytes, bytes], Cipher]
    decryptor: Callable[[bytes, bytes], Cipher]


COBBLESTONE_256 = Suite(1, "Cobblestone-256", cobblestone.Cobblestone256Encryptor, cobblestone.Cobblestone256Decryptor)
SUITES = {suite.number: suite for suite in (COBBLESTONE_256,)}


def stored_size(plain: int) -> int:
    """Return how many bytes a segment of `plain` bytes takes in the file."""
    return SEGMENT_OVERHEAD + plain + TAG * (plain // CHUNK + 1)
