"""Keys in 0600 files beside the store: works everywhere and protects least.

Whoever copies the whole directory has the keys too. Overwriting before unlinking is best effort: a copy-on-write or
wear-levelling disk may keep the old block. Stronger adapters replace this one where the machine has the hardware.
"""

import logging
import re
from pathlib import Path

from strongroom.edge.folder import FRESH, Folder
from strongroom.errors import Code, InternalError
from strongroom.sealed.wiping import wipe
from strongroom.signing import ES256, Signer, SigningKey

SIZE = 32  # bytes of every secret kept here
_DEVICE = "device"
SUFFIX = ".key"
_NAME = re.compile(r"[a-z0-9-]{1,64}")
_log = logging.getLogger(__name__)


class FileKeystore:
    """Secrets as files of one directory."""

    strength = "file"

    def __init__(self, path: Path) -> None:
        self._path = path

    def device_key(self) -> Signer | None:
        """Return the device key (ES256), or None before `make_device_key`.

        Raises:
            SetupError: PERMISSIONS, if others may read or write it.
            StoreError: STORE_DAMAGED if the key file has another size; else as `folder.translated`.
        """
        secret = self._read(_DEVICE)
        if secret is None:
            return None
        try:
            return SigningKey(ES256, bytes(secret))
        finally:
            wipe(secret)

    def make_device_key(self) -> Signer:
        """Make the device key if there is none, and say loudly how weakly it is kept. Raises StoreError."""
        known = self.device_key()
        if known is not None:
            return known
        _log.warning(
            "device keys are kept in plain files under %s: whoever copies this directory can open its models; "
            "use a machine with a TPM or platform keystore for anything valuable",
            self._path,
        )
        key = SigningKey.generate(ES256)
        self._write(_DEVICE, key.seed)
        return key

    def put(self, name: str, secret: bytes | bytearray) -> None:
        """Keep 32 secret bytes under a new name, durably. Raises StoreError."""
        self._write(_checked(name), secret)

    def get(self, name: str) -> bytearray | None:
        """Return a copy of a secret for the caller to wipe, or None if there is none. Raises StoreError."""
        return self._read(_checked(name))

    def destroy(self, name: str) -> None:
        """Overwrite and unlink a secret; a missing one is no error. Raises StoreError."""
        file = _checked(name) + SUFFIX
        with self._folder() as folder:
            if not folder.has(file):
                return
            folder.overwrite(file)
            folder.remove(file)
            folder.sync()

    def names(self) -> list[str]:
        """Return the names of the secrets kept by `put`, sorted. Raises StoreError."""
        with self._folder() as folder:
            found = [name.removesuffix(SUFFIX) for name in folder.names() if name.endswith(SUFFIX)]
        return [name for name in found if name != _DEVICE and _NAME.fullmatch(name)]

    def clean(self) -> None:
        """Remove half-written key files of an interrupted start. Raises StoreError."""
        with self._folder() as folder:
            for name in folder.names():
                if name.startswith(FRESH):
                    folder.remove(name)

    def _read(self, name: str) -> bytearray | None:
        with self._folder() as folder:
            return folder.read_secret(name + SUFFIX, size=SIZE)

    def _write(self, name: str, secret: bytes | bytearray) -> None:
        if len(secret) != SIZE:
            raise InternalError(Code.INTERNAL, f"a secret of {len(secret)} bytes; the keystore keeps {SIZE}")
        with self._folder() as folder:
            folder.write(name + SUFFIX, secret)

    def _folder(self) -> Folder:
        return Folder.open(self._path, ours=ours)


def ours(name: str) -> bool:
    """Tell names that only this keystore uses."""
    return name.startswith(FRESH) or (name.endswith(SUFFIX) and bool(_NAME.fullmatch(name.removesuffix(SUFFIX))))


def _checked(name: str) -> str:
    if name == _DEVICE or not _NAME.fullmatch(name):
        raise InternalError(Code.INTERNAL, "not a name of the keystore")
    return name
