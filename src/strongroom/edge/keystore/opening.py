"""Which keystore a device directory has: the one it was enrolled with, for as long as it lives."""

from pathlib import Path

from strongroom.edge.folder import Folder, translated
from strongroom.edge.keystore import Keystore
from strongroom.edge.keystore import file as in_files
from strongroom.edge.keystore import tpm as in_tpm
from strongroom.edge.keystore.file import FileKeystore
from strongroom.edge.keystore.marker import Marker
from strongroom.edge.keystore.tpm import TpmKeystore
from strongroom.edge.tpm.transport import absolute
from strongroom.errors import Code, SetupError, StoreError


def open_keystore(path: Path, tpm: str | None = None) -> Keystore:
    """Return the keystore of a directory; nothing is made, and no TPM is spoken to, before it is used.

    Args:
        path: the keystore's directory; it need not be there.
        tpm: address of the TPM to keep keys in from the first enrolment on, or where a known one is found today;
            None for the one that the directory names, else files.

    Raises:
        SetupError: ALREADY_THERE, if its keys lie in files and a TPM is named; PERMISSIONS.
        StoreError: STORE_DAMAGED, if keys of a TPM are there without the note of which; else as `folder.translated`.
    """
    address = None if tpm is None else absolute(tpm)
    with translated(path):
        there = path.is_dir()
    if not there:
        return FileKeystore(path) if address is None else TpmKeystore(path, address)
    with Folder.open(path, ours=_ours) as folder:
        marker, names = Marker.read(folder), folder.names()
    if marker is not None:
        return TpmKeystore(path, address or marker.address)
    if any(name.endswith((in_tpm.SEALED, in_tpm.KEY)) for name in names):
        what, step = "the note of which TPM holds this device's keys is gone", "restore it, or enrol again elsewhere"
        raise StoreError(Code.STORE_DAMAGED, what, where=str(path), next_step=step)
    if address is None:
        return FileKeystore(path)
    if any(name.endswith(in_files.SUFFIX) for name in names):
        what = "this device keeps its keys in files already, and keys do not move into a TPM"
        step = "enrol with a device directory of its own: another --home, or move this one away"
        raise SetupError(Code.ALREADY_THERE, what, where=str(path), next_step=step)
    return TpmKeystore(path, address)


def _ours(name: str) -> bool:
    return in_tpm.ours(name) or in_files.ours(name)
