"""The fields that only an attestation policy has: patch levels, digests, a TPM's registers."""

import re

from strongroom.toml.fields import Document, Field, several, shown, unknown
from strongroom.toml.lines import Path

DIGEST_SIZES = {"sha256": 32, "sha384": 48, "sha512": 64}  # SHA-1 is never enough
REGISTERS = 24  # of a PC's TPM


def month(document: Document, path: Path, value: object) -> int:
    """Read a patch level: YYYYMM or YYYYMMDD; 0 is any."""
    if isinstance(value, int) and not isinstance(value, bool):
        day = value if value > 999_999 else value * 100 + 1
        if value == 0 or (2000 <= day // 10_000 <= 2999 and 1 <= day // 100 % 100 <= 12 and 1 <= day % 100 <= 31):
            return value
    raise document.wrong(path, "a patch level as YYYYMM or YYYYMMDD, such as 202609, or 0 for any")


def digest(size: int) -> Field:
    """Return a field of a digest in hexadecimal, with or without colons between its bytes."""

    def read(document: Document, path: Path, value: object) -> bytes:
        plain = value.replace(":", "") if isinstance(value, str) else ""
        if not re.fullmatch(rf"[0-9A-Fa-f]{{{2 * size}}}", plain):
            raise document.wrong(path, f"a digest of {size} bytes in hexadecimal")
        return bytes.fromhex(plain)

    return read


def registers(document: Document, path: Path, value: object) -> dict[str, dict[int, tuple[bytes, ...]]]:
    """Read the digests allowed in a TPM's registers: bank, register number, one digest or an array of them."""
    if not isinstance(value, dict):
        raise document.wrong(path, "a table of banks")
    found: dict[str, dict[int, tuple[bytes, ...]]] = {}
    for bank, inner in value.items():
        here = (*path, bank)
        if bank not in DIGEST_SIZES:
            raise unknown(document, here, DIGEST_SIZES)
        if not isinstance(inner, dict) or not inner:
            raise document.wrong(here, "a table of register numbers")
        allowed = several(digest(DIGEST_SIZES[bank]))
        found[bank] = {}
        for number, values in inner.items():
            if not re.fullmatch(r"0|[1-9][0-9]?", number) or int(number) >= REGISTERS:
                raise document.wrong((*here, number), f"use 0 to {REGISTERS - 1}", what=f"no register {shown(number)}")
            found[bank][int(number)] = allowed(
                document, (*here, number), [values] if isinstance(values, str) else values
            )
    return found
