"""The payload ciphers by their number in the file (docs/spec/sealed-file.md sections 2 and 8).

A number is never reused. Unknown numbers are refused, and the number is part of every derived key, so that a file
cannot be opened under another suite than it was sealed with.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from cryptography import cobblestone

from strongroom.sealed.chunked import CHACHA20_POLY1305, CHUNK, SEGMENT_OVERHEAD, TAG, Decryptor, Encryptor


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
CHUNKED_CHACHA20 = Suite(
    2, "C2SP-ChaCha20-Poly1305", partial(Encryptor, CHACHA20_POLY1305), partial(Decryptor, CHACHA20_POLY1305)
)
SUITES = {suite.number: suite for suite in (COBBLESTONE_256, CHUNKED_CHACHA20)}


def stored_size(plain: int) -> int:
    """Return how many bytes a segment of `plain` bytes takes in the file."""
    return SEGMENT_OVERHEAD + plain + TAG * (plain // CHUNK + 1)
