"""How the office knows its own decoys again: by a keyed MAC inside what is random in the real thing.

Identifiers have 16 random bytes and operator tokens 32. Half of a decoy's are a MAC of the other half, under a key that
only the vault can derive: without it they are random, with it no list is needed. The first half comes from the decoy's
row, so that the same decoy can be made again for a test, and its secret is kept nowhere.
"""

import hashlib
import hmac
import re
from collections.abc import Callable

from strongroom.canonical import from_base64url, to_base64url
from strongroom.errors import StrongroomError

OPERATOR_PREFIX = "sro_"

_LABEL = b"strongroom/decoy/v1"
_ID = re.compile(r"([a-z]{2,4})_([A-Za-z0-9_-]{22})", re.ASCII)
_OPERATOR = re.compile(r"sro_([A-Za-z0-9_-]{43})", re.ASCII)


class Marks:
    """Makes and recognises what decoys show of themselves.

    Args:
        mac: of the vault; asked once, when the first mark is needed.
    """

    __slots__ = ("_key", "_mac")

    def __init__(self, mac: Callable[[bytes], bytes]) -> None:
        self._mac = mac
        self._key: bytes | None = None

    def identifier(self, prefix: str, decoy: str) -> str:
        """Return an identifier of the real look that belongs to a decoy."""
        return f"{prefix}_{to_base64url(self.random_of(f'id {prefix}', decoy, 16))}"

    def random_of(self, label: str, decoy: str, size: int) -> bytes:
        """Return `size` bytes, an even number up to 64, in the place of what a real generator draws."""
        half = size // 2
        first = self._digest(b"first", label, decoy.encode())[:half]
        return first + self._second(label, first)

    def is_identifier(self, text: str) -> bool:
        """Tell whether an identifier is a decoy's. Costs two hashes; nothing but the key can make one."""
        match = _ID.fullmatch(text)
        return match is not None and self._is_marked(f"id {match[1]}", match[2])

    def is_operator_token(self, token: str) -> bool:
        """Tell whether an operator's token is a decoy."""
        match = _OPERATOR.fullmatch(token)
        return match is not None and self._is_marked("operator", match[1])

    def _is_marked(self, label: str, text: str) -> bool:
        try:
            raw = from_base64url(text)
        except (StrongroomError, ValueError):
            return False
        half = len(raw) // 2
        return hmac.compare_digest(raw[half:], self._second(label, raw[:half]))

    def _second(self, label: str, first: bytes) -> bytes:
        return self._digest(b"second", label, first)[: len(first)]

    def _digest(self, part: bytes, label: str, data: bytes) -> bytes:
        if self._key is None:
            self._key = self._mac(_LABEL)
        return hmac.digest(self._key, b"\0".join((part, label.encode(), data)), hashlib.sha256)


def mark_of(shown: str) -> bytes:
    """Return what a decoy's row keeps of what it shows."""
    return hashlib.sha256(shown.encode()).digest()
