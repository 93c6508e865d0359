"""Where the device's own keys live: one port, one adapter a file (docs/spec/protocol.md section 13)."""

from typing import Protocol

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
