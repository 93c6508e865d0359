"""The note of which TPM holds this device's keys: `keystore/tpm.json` (docs/spec/protocol.md section 17).

It is no secret and has no MAC: whoever changes it makes keys or memory unreadable, and reads nothing.
"""

from dataclasses import dataclass, replace
from typing import Self

from strongroom import canonical
from strongroom.edge.folder import Folder
from strongroom.errors import Code, IntegrityError, StoreError
from strongroom.shapes import Array, Binary, Choice, Integer, Object, Text

MARKER = "tpm.json"
LIMIT = 4096  # bytes
FORMAT = 1  # fields are append-only
_BANK = Choice(("sha256", "sha384", "sha512", "sha1"))
_SHAPE = Object(
    {
        "format": Choice((FORMAT,)),
        "address": Text(1024),
        "root": Binary(66, 34),
        "registers": Array(Integer(0, 23), most=24),
        "bank": _BANK,
        "ratchet": Integer(0x01000000, 0x01FFFFFF),
        "quoted": Array(Integer(0, 23), most=24, least=1),
        "quoted_bank": _BANK,
    },
    frozenset({"ratchet", "quoted", "quoted_bank"}),
)


@dataclass(frozen=True, slots=True)
class Marker:
    """Which TPM it is.

    Attributes:
        address: where it was last found.
        root: Name of its storage key: what it is known by.
        registers: that secrets are sealed to, rising; empty for none.
        bank: of the registers.
        ratchet: NV index that goes forward with this device's memory; None before there is one.
        quoted: registers that this device quotes, rising; empty for the usual ones.
        quoted_bank: of those registers.
    """

    address: str
    root: bytes
    registers: tuple[int, ...] = ()
    bank: str = "sha256"
    ratchet: int | None = None
    quoted: tuple[int, ...] = ()
    quoted_bank: str = "sha256"

    @classmethod
    def read(cls, folder: Folder) -> Self | None:
        """Return the note, or None if there is none.

        Raises:
            StoreError: STORE_DAMAGED if it cannot be read; else as `folder.translated`.
        """
        data = folder.read(MARKER, limit=LIMIT)
        if data is None:
            return None
        where = str(folder.path / MARKER)
        try:
            fields = _SHAPE.check(canonical.decode(data, limit=LIMIT, where=where), where)
        except IntegrityError as error:
            step = "restore it, or move the device directory away and enrol again"
            what = f"the note of which TPM holds this device's keys is damaged: {error.what}"
            raise StoreError(Code.STORE_DAMAGED, what, where=where, next_step=step) from None
        return cls(
            fields["address"],
            fields["root"],
            tuple(fields["registers"]),
            fields["bank"],
            fields["ratchet"],
            tuple(fields["quoted"] or ()),
            fields["quoted_bank"] or "sha256",
        )

    def write(self, folder: Folder) -> None:
        """Write it durably. Raises StoreError."""
        value: dict[str, canonical.JsonValue] = {
            "format": FORMAT,
            "address": self.address,
            "root": canonical.to_base64url(self.root),
            "registers": list(self.registers),
            "bank": self.bank,
        }
        if self.ratchet is not None:
            value["ratchet"] = self.ratchet
        if self.quoted:
            value |= {"quoted": list(self.quoted), "quoted_bank": self.quoted_bank}
        folder.write(MARKER, canonical.encode(value))

    def at(self, address: str) -> Self:
        """Return it with another address."""
        return replace(self, address=address)
