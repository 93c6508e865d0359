"""Keys of a TPM 2.0: the device key never leaves the chip, and secrets are sealed to it.

What lies on the disk is of no use to another TPM, and says so: a copied device directory opens nothing. It does not
hide keys from software that runs as this user on this machine: the chip works for whoever may use it. An old copy put
back on its own machine is known by an index of the chip's permanent memory, which only goes forward. Secrets may be
sealed to the state of the machine as well (registers); then a firmware update takes them away until the device is
enrolled anew.

Reading and writing `/dev/tpmrm0` is all the permission that is needed (often: membership in the group tss). No
password of the owner or endorsement hierarchy is used: both must be empty, as they are unless someone sets them.
"""

import contextlib
import hashlib
import hmac
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from strongroom.edge.folder import FRESH, Folder
from strongroom.edge.keystore.marker import MARKER, Marker
from strongroom.edge.tpm import nv
from strongroom.edge.tpm.chip import Connector, Tpm
from strongroom.edge.tpm.objects import Blob
from strongroom.edge.tpm.transport import connect
from strongroom.errors import Code, IntegrityError, InternalError, StoreError, StrongroomError
from strongroom.sealed.wiping import wipe
from strongroom.signing import ES256, PublicKey, Signer
from strongroom.wire.tpm.structs import Public

SIZE = 32  # bytes of every secret kept here
SEALED, KEY = ".sealed", ".tpmkey"  # ends of names: secrets, and keys of the chip
_DEVICE, _ATTESTATION = "device", "attestation"
_NEW = "attestation-new"  # the key of an enrolment that no office has said yes to
_LIMIT = 2048  # bytes of a blob
_DRAWS = 64  # of a place in the TPM's memory that nobody uses
_NAME = re.compile(r"[a-z0-9-]{1,64}")


class TpmKeystore:
    """Secrets and keys as encrypted files of one directory, and the TPM that opens them.

    Args:
        path: the directory.
        address: of the TPM, as `transport.connect` takes it.
        registers: of the machine's state that new secrets are sealed to; none by default. Fixed at the first use.
        bank: of the registers.
        connector: opens the way to the TPM.
    """

    strength = "tpm"

    def __init__(
        self,
        path: Path,
        address: str,
        *,
        registers: Sequence[int] = (),
        bank: str = "sha256",
        connector: Connector = connect,
    ) -> None:
        self._path = path
        self._address = address
        self._registers = tuple(sorted(set(registers)))
        self._bank = bank
        self._connector = connector

    @contextlib.contextmanager
    def opened(self) -> Iterator[Tpm]:
        """Open the TPM for the block; the first time, note which one it is. Never within another such block.

        Raises:
            SetupError: CONFIG, if it is not there; PERMISSIONS.
            StoreError: STORE_IO, LOCKED. In the block STORE_DAMAGED, if it is another TPM than was noted.
        """
        with self._opened() as (tpm, _):
            yield tpm

    def device_key(self) -> Signer | None:
        """Return the device key (ES256), or None before `make_device_key`; the TPM is asked when it signs.

        Raises:
            StoreError: STORE_DAMAGED if its file is no such key; else as `folder.translated`.
        """
        blob = self._read_key(_DEVICE)
        return None if blob is None else _Chip(blob, self)

    def make_device_key(self) -> Signer:
        """Make the device key in the TPM if there is none.

        Raises:
            SetupError: as `opened`.
            StoreError: as `opened`, or as `folder.translated`.
        """
        known = self.device_key()
        if known is not None:
            with self.opened() as tpm:
                tpm.root_name()  # or a copied directory would show only at the signature
            self._moved()
            return known
        with self.opened() as tpm:
            blob = tpm.create_signing_key()
        self._write(_DEVICE + KEY, blob)
        return _Chip(blob, self)

    def attestation_key(self) -> Blob | None:
        """Return the key of the TPM's quotes, or None before `keep_attestation_key`. Raises StoreError."""
        return self._read_key(_ATTESTATION)

    def make_attestation_key(self) -> Blob:
        """Return the attestation key; make one if there is none, which counts only from `keep_attestation_key` on.

        One that an interrupted enrolment left is gone on with: an office may have said yes, unheard. Raises as
        `make_device_key`.
        """
        known = self.attestation_key() or self._read_key(_NEW)
        if known is not None:
            return known
        with self.opened() as tpm:
            blob = tpm.create_ak()
        self._write(_NEW + KEY, blob)
        return blob

    def keep_attestation_key(self) -> None:
        """Have the key that was just made sign this device's quotes from now on. Raises StoreError."""
        made = self._read_key(_NEW)
        if made is not None:
            self._write(_ATTESTATION + KEY, made)
            self._remove(_NEW + KEY)

    def drop_new_attestation_key(self) -> None:
        """Remove the key that no office took; one that was attested before stays. Raises StoreError."""
        self._remove(_NEW + KEY)

    def forget_attestation_key(self) -> None:
        """Remove the attestation key; a missing one is no error. Raises StoreError."""
        self._remove(_ATTESTATION + KEY)
        self._remove(_NEW + KEY)

    def quoted(self) -> tuple[tuple[int, ...], str] | None:
        """Return the registers that this device quotes and their bank, None for the usual ones. Raises StoreError."""
        with self._folder() as folder:
            marker = Marker.read(folder)
        return (marker.quoted, marker.quoted_bank) if marker is not None and marker.quoted else None

    def note_quoted(self, registers: Sequence[int], bank: str) -> None:
        """Note which registers this device quotes from now on. Raises as `opened`."""
        noted = tuple(sorted(set(registers)))
        with self._opened() as (_, marker):
            if (marker.quoted, marker.quoted_bank) != (noted, bank):
                with self._folder() as folder:
                    replace(marker, quoted=noted, quoted_bank=bank).write(folder)

    def put(self, name: str, secret: bytes | bytearray) -> None:
        """Keep 32 secret bytes under a new name, durably, sealed to this TPM. Raises as `opened`."""
        if len(secret) != SIZE:
            raise InternalError(Code.INTERNAL, f"a secret of {len(secret)} bytes; the keystore keeps {SIZE}")
        content = bytearray(_label(_checked(name)))
        content += secret
        try:
            with self._opened() as (tpm, marker):
                blob = tpm.seal(content, marker.registers, marker.bank)
        finally:
            wipe(content)
        self._write(name + SEALED, blob)

    def get(self, name: str) -> bytearray | None:
        """Return a copy of a secret for the caller to wipe, or None if there is none.

        Raises:
            SetupError: as `opened`.
            StoreError: STORE_DAMAGED, if it was sealed by another TPM or under another name; STORE_IO, if the machine's
                state is another than it was sealed to; else as `opened`.
        """
        blob = self._read(_checked(name) + SEALED)
        if blob is None:
            return None
        with self._opened() as (tpm, marker):
            content = tpm.unseal(blob, marker.registers, marker.bank)
        try:
            label = _label(name)
            if len(content) != len(label) + SIZE or not hmac.compare_digest(content[: len(label)], label):
                raise self._damaged(name + SEALED, "a sealed secret lies under another name than it was given")
            return content[len(label) :]
        finally:
            wipe(content)

    def destroy(self, name: str) -> None:
        """Overwrite and unlink a sealed secret; a missing one is no error. Raises StoreError.

        Its plaintext was never on the disk. What a disk may keep of the old block opens on this machine alone.
        """
        file = _checked(name) + SEALED
        with self._folder() as folder:
            if not folder.has(file):
                return
            folder.overwrite(file)
            folder.remove(file)
            folder.sync()

    def names(self) -> list[str]:
        """Return the names of the secrets kept by `put`, sorted. Raises StoreError."""
        with self._folder() as folder:
            found = [name.removesuffix(SEALED) for name in folder.names() if name.endswith(SEALED)]
        return [name for name in found if _NAME.fullmatch(name)]

    def clean(self) -> None:
        """Remove half-written files of an interrupted start. Raises StoreError."""
        with self._folder() as folder:
            for name in folder.names():
                if name.startswith(FRESH):
                    folder.remove(name)

    def begin_ratchet(self) -> None:
        """Make the index that goes forward with this device's memory, and move it to where it never was.

        Its place is noted only when it is ours; a power cut right before that leaves an index that nobody uses. Raises
        as `opened`.
        """
        with self._opened() as (tpm, marker):
            index = marker.ratchet
            if index is None or not tpm.is_ratchet(index):
                index = self._new_ratchet(tpm, marker)
            tpm.begin_ratchet(index, os.urandom(nv.SIZE))

    def _new_ratchet(self, tpm: Tpm, marker: Marker) -> int:
        """Make an index where nothing is, and note it."""
        for _ in range(_DRAWS):
            index = nv.RATCHETS + int.from_bytes(os.urandom(2), "big")  # one each for many directories
            if not tpm.make_ratchet(index):
                continue
            try:
                with self._folder() as folder:
                    replace(marker, ratchet=index).write(folder)
            except BaseException:
                with contextlib.suppress(StrongroomError):
                    tpm.remove_ratchet(index)
                raise
            return index
        what = f"{_DRAWS} places of the TPM's memory were drawn, and each is in use"
        step = "take out what nobody needs: `tpm2_getcap handles-nv-index`, then `tpm2_nvundefine` with one of them"
        raise StoreError(Code.STORE_IO, what, where=self._address, next_step=step)

    def read_ratchet(self) -> bytes | None:
        """Return what that index holds, or None if it is gone. Raises as `opened`."""
        with self._opened() as (tpm, marker):
            return None if marker.ratchet is None else tpm.read_ratchet(marker.ratchet)

    def turn_ratchet(self, data: bytes) -> None:
        """Add to that index. Raises as `opened`; it may have gone forward all the same."""
        with self._opened() as (tpm, marker):
            if marker.ratchet is None:
                raise self._damaged(MARKER, "the note of a place in the TPM's memory is gone")
            tpm.turn_ratchet(marker.ratchet, data)

    def sign(self, key: Blob, data: bytes) -> bytes:
        """Have the TPM sign with a key of this keystore: ES256, r || s. Raises as `opened`."""
        with self.opened() as tpm:
            return tpm.sign(key, hashlib.sha256(data).digest())

    @contextlib.contextmanager
    def _opened(self) -> Iterator[tuple[Tpm, Marker]]:
        with self._folder() as folder:
            marker = Marker.read(folder)
        root = None if marker is None else marker.root
        with Tpm.open(self._address, root=root, connector=self._connector) as tpm:
            if marker is None:
                marker = Marker(self._address, tpm.root_name(), self._registers, self._bank)
                with self._folder() as folder:
                    marker.write(folder)
            yield tpm, marker

    def _moved(self) -> None:
        """Note another address of the same TPM."""
        with self._folder() as folder:
            marker = Marker.read(folder)
            if marker is not None and marker.address != self._address:
                marker.at(self._address).write(folder)

    def _read_key(self, name: str) -> Blob | None:
        return self._read(name + KEY)

    def _read(self, file: str) -> Blob | None:
        with self._folder() as folder:
            data = folder.read(file, limit=_LIMIT)
        try:
            return None if data is None else Blob.from_bytes(data)
        except IntegrityError:
            raise self._damaged(file, "a key file is not what was written") from None

    def _write(self, file: str, blob: Blob) -> None:
        with self._folder() as folder:
            folder.write(file, blob.to_bytes())

    def _remove(self, file: str) -> None:
        with self._folder() as folder:
            if folder.has(file):
                folder.remove(file)
                folder.sync()

    def _damaged(self, file: str, what: str) -> StoreError:
        step = "move the device directory away and enrol again"
        return StoreError(Code.STORE_DAMAGED, what, where=str(self._path / file), next_step=step)

    def _folder(self) -> Folder:
        return Folder.open(self._path, ours=ours)


@dataclass(frozen=True, slots=True)
class _Chip:
    """A signing key inside the TPM."""

    blob: Blob
    keystore: TpmKeystore

    @property
    def public(self) -> PublicKey:
        return PublicKey(ES256, b"\x04" + Public.read(self.blob.public).unique)

    def sign(self, data: bytes) -> bytes:
        """Return r || s. Raises SetupError and StoreError as `TpmKeystore.opened`."""
        return self.keystore.sign(self.blob, data)

    def __repr__(self) -> str:
        return f"TpmKey({self.public.key_id})"


def ours(name: str) -> bool:
    """Tell names that only this keystore uses."""
    stem, dot, end = name.partition(".")
    known = dot + end in {SEALED, KEY} and _NAME.fullmatch(stem) is not None
    return known or name == MARKER or name.startswith(FRESH)


def _label(name: str) -> bytes:
    """What is sealed in front of a secret, so that a renamed file is noticed."""
    return hashlib.sha256(b"strongroom/tpm-secret/v1\0" + name.encode("ascii")).digest()


def _checked(name: str) -> str:
    if name == _DEVICE or not _NAME.fullmatch(name):
        raise InternalError(Code.INTERNAL, "not a name of the keystore")
    return name
