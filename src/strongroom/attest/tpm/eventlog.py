"""What a firmware's event log says about the registers (TCG PC Client Platform Firmware Profile, section 10).

An explanation for whoever must understand a changed register, and never more: a log that replays to the quoted values
has the right digests in the right order, but nobody signed the *types* of its events and most of their data.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from strongroom.wire.tpm.constants import DIGEST_SIZES, HASH_NAMES
from strongroom.wire.tpm.structs import Reader, wrong

MOST_EVENTS: Final = 4096
NO_ACTION: Final = 0x00000003  # EV_NO_ACTION: said, never measured
_AGILE: Final = b"Spec ID Event03\0"
_LOCALITY: Final = b"StartupLocality\0"
KINDS: Final = {
    0x00: "EV_PREBOOT_CERT", 0x01: "EV_POST_CODE", 0x03: "EV_NO_ACTION", 0x04: "EV_SEPARATOR", 0x05: "EV_ACTION",
    0x06: "EV_EVENT_TAG", 0x07: "EV_S_CRTM_CONTENTS", 0x08: "EV_S_CRTM_VERSION", 0x09: "EV_CPU_MICROCODE",
    0x0A: "EV_PLATFORM_CONFIG_FLAGS", 0x0B: "EV_TABLE_OF_DEVICES", 0x0C: "EV_COMPACT_HASH", 0x0D: "EV_IPL",
    0x0E: "EV_IPL_PARTITION_DATA", 0x11: "EV_NONHOST_INFO", 0x12: "EV_OMIT_BOOT_DEVICE_EVENTS",
    0x80000001: "EV_EFI_VARIABLE_DRIVER_CONFIG", 0x80000002: "EV_EFI_VARIABLE_BOOT",
    0x80000003: "EV_EFI_BOOT_SERVICES_APPLICATION", 0x80000004: "EV_EFI_BOOT_SERVICES_DRIVER",
    0x80000005: "EV_EFI_RUNTIME_SERVICES_DRIVER", 0x80000006: "EV_EFI_GPT_EVENT", 0x80000007: "EV_EFI_ACTION",
    0x80000008: "EV_EFI_PLATFORM_FIRMWARE_BLOB", 0x80000009: "EV_EFI_HANDOFF_TABLES",
    0x8000000A: "EV_EFI_PLATFORM_FIRMWARE_BLOB2", 0x80000010: "EV_EFI_HCRTM_EVENT",
    0x800000E0: "EV_EFI_VARIABLE_AUTHORITY",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Event:
    """One event of the log, in order.

    Attributes:
        register: that it was extended into.
        type: its number; `kind` has its name. Not authenticated.
        digests: bank to digest.
        data: what the firmware wrote beside it. Not authenticated.
    """

    register: int
    type: int
    digests: Mapping[str, bytes]
    data: bytes = field(repr=False)

    @property
    def kind(self) -> str:
        """The name of its type."""
        return KINDS.get(self.type, f"{self.type:#010x}")


@dataclass(frozen=True, slots=True)
class Explained:
    """One quoted register beside the log.

    Attributes:
        bank: such as "sha256".
        register: its number.
        quoted: what the TPM signed.
        replayed: what the log's digests come to; None if the log has not this bank.
        events: that were extended into it.
    """

    bank: str
    register: int
    quoted: bytes
    replayed: bytes | None
    events: tuple[Event, ...]

    @property
    def agrees(self) -> bool:
        """Whether the log accounts for the register's value."""
        return self.quoted == self.replayed


def explain(event_log: bytes, pcrs: Mapping[str, Mapping[int, bytes]]) -> list[Explained]:
    """Set quoted registers beside a log.

    Args:
        event_log: as the firmware left it (in Linux binary_bios_measurements).
        pcrs: registers that a quote proved.

    Raises:
        IntegrityError: SHAPE, when it is no such log.
    """
    events = parse(event_log)
    found = []
    for bank, registers in pcrs.items():
        values = replay(events, bank)
        known = any(bank in event.digests for event in events)
        for register, quoted in sorted(registers.items()):
            own = tuple(event for event in events if event.register == register and event.type != NO_ACTION)
            replayed = values.get(register, bytes(len(quoted))) if known else None
            found.append(Explained(bank, register, quoted, replayed, own))
    return found


def replay(events: list[Event], bank: str) -> dict[int, bytes]:
    """Return what each register of a bank holds after these events; those that nothing was extended into are absent.

    Register 0 starts with the locality that started the TPM, if the log names one before it measures anything there:
    a later one would take away what was measured, and the log would show events that no register holds.
    """
    values: dict[int, bytes] = {}
    size = hashlib.new(bank, usedforsecurity=False).digest_size
    for event in events:
        if event.type == NO_ACTION:
            named = event.data[: len(_LOCALITY)] == _LOCALITY and len(event.data) == len(_LOCALITY) + 1
            if named and event.register == 0 and 0 not in values:
                values[0] = bytes(size - 1) + event.data[-1:]
        elif bank in event.digests:
            before = values.get(event.register, bytes(size))
            values[event.register] = hashlib.new(bank, before + event.digests[bank], usedforsecurity=False).digest()
    return values


def parse(log: bytes) -> list[Event]:
    """Read a log of either format: one with a digest a bank, or the older one with SHA-1 alone.

    Raises:
        IntegrityError: SHAPE.
    """
    reader = _Little(log)
    register, kind, sha1, data = reader.u32(), reader.u32(), reader.take(20), reader.take(reader.u32())
    if kind != NO_ACTION or data[:16] != _AGILE:
        events = [Event(register, kind, {"sha1": sha1}, data)]
        while reader.left:
            _room(events)
            register, kind, sha1 = reader.u32(), reader.u32(), reader.take(20)
            events.append(Event(register, kind, {"sha1": sha1}, reader.take(reader.u32())))
        return events
    sizes = _banks(data)
    events = []
    while reader.left:
        _room(events)
        register, kind, count = reader.u32(), reader.u32(), reader.u32()
        if count > len(sizes):
            raise wrong("an event with more digests than the log has banks")
        digests: dict[str, bytes] = {}
        for _ in range(count):
            alg = reader.u16()
            if alg not in sizes:
                raise wrong("an event with a digest of an unnamed bank")
            value = reader.take(sizes[alg])
            if alg in HASH_NAMES:
                digests[HASH_NAMES[alg]] = value
        events.append(Event(register, kind, digests, reader.take(reader.u32())))
    return events


def _room(events: list[Event]) -> None:
    if len(events) >= MOST_EVENTS:
        raise wrong(f"a log of more than {MOST_EVENTS} events")


def _banks(data: bytes) -> dict[int, int]:
    """Read the banks and digest sizes from the first event of a log with several."""
    reader = _Little(data)
    reader.take(16 + 4 + 1 + 1 + 1 + 1)  # signature, class of platform, minor, major, errata, size of an integer
    count = reader.u32()
    if not 1 <= count <= 16:
        raise wrong("a log without banks")
    sizes = {reader.u16(): reader.u16() for _ in range(count)}
    if any(DIGEST_SIZES.get(alg, size) != size or size > 64 for alg, size in sizes.items()):
        raise wrong("a log with a bank of a wrong size")
    return sizes


class _Little:
    """Reads the log's little-endian numbers; a TPM's own structures are big-endian."""

    def __init__(self, data: bytes) -> None:
        self._reader = Reader(data)

    @property
    def left(self) -> int:
        return self._reader.left

    def take(self, size: int) -> bytes:
        return self._reader.take(size)

    def u16(self) -> int:
        return int.from_bytes(self._reader.take(2), "little")

    def u32(self) -> int:
        return int.from_bytes(self._reader.take(4), "little")
