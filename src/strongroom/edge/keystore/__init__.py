"""Where the device's own keys live: one port, one adapter a file (docs/spec/protocol.md section 13)."""

from typing import Protocol, runtime_checkable

from strongroom.signing import Signer


class Keystore(Protocol):
    """Keeps the device key and small secrets. Names are ours: `[a-z0-9-]{1,64}`, never a caller's text."""

    @property
    def strength(self) -> str:
        """What an attacker with the disk must break: "file" (nothing), later "tpm", …; sent as a signal."""
        ...

    def device_key(self) -> Signer | None:
        """Return the device key, or None before `make_device_key`. Raises StoreError."""
        ...

    def make_device_key(self) -> Signer:
        """Make the device key if there is none and return it. Raises StoreError."""
        ...

    def put(self, name: str, secret: bytes | bytearray) -> None:
        """Keep 32 secret bytes under a new name, durably. Raises StoreError."""
        ...

    def get(self, name: str) -> bytearray | None:
        """Return a copy of a secret for the caller to wipe, or None if there is none. Raises StoreError."""
        ...

    def destroy(self, name: str) -> None:
        """Make a secret unreadable for ever; a missing one is no error. Raises StoreError."""
        ...

    def names(self) -> list[str]:
        """Return the names of the secrets kept by `put`, sorted. Raises StoreError."""
        ...

    def clean(self) -> None:
        """Remove what an interrupted `put` left behind. Raises StoreError."""
        ...


@runtime_checkable
class Ratchet(Protocol):
    """What a keystore in hardware can do besides: hold a digest that only goes forward, for ever.

    Whoever puts back an old copy of the device directory cannot put this back (docs/spec/protocol.md section 13).
    """

    def begin_ratchet(self) -> None:
        """Make it if there is none, and move it to a place where it never was. Raises StoreError."""
        ...

    def read_ratchet(self) -> bytes | None:
        """Return its 32 bytes; None if it is gone. Raises StoreError."""
        ...

    def turn_ratchet(self, data: bytes) -> None:
        """Replace it by SHA-256(it || data), durably and at once; on an error it may have moved. Raises StoreError."""
        ...
