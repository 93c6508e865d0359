"""What a caller hands the device, judged before it is used: paths, texts, and the trust document's file."""

import os
import re
import stat
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_der_x509_certificate, load_pem_x509_certificates

from strongroom.edge.folder import Folder
from strongroom.edge.store import OURS, TRUST
from strongroom.errors import Code, InputError, IntegrityError, RefusedError, SetupError
from strongroom.wire import trust as trust_of
from strongroom.wire.trust import Trust

MAX_CERTIFICATES = 65_536  # bytes of a file of certificates
_PLAIN_URL = re.compile(r"https?://[A-Za-z0-9.:\[\]-]{1,300}/?")
_TRUST_STEP = "name the trust.json that the owners of your strongroom gave you"


def text(value: object, what: str) -> str:
    """Return a caller's text. Raises InputError(ARGUMENT) for anything but a str, without repeating it."""
    if not isinstance(value, str):
        step = f"give {what} as a str"
        raise InputError(Code.ARGUMENT, f"{what} is of type {type(value).__name__}", next_step=step)
    return value


def token(value: object) -> None:
    """Refuse what cannot be an access token. Raises InputError(ARGUMENT)."""
    written = text(value, "token")
    if not written.isascii() or not written.isprintable() or not 1 <= len(written) <= 16_384 or " " in written:
        step = "copy the whole token, as `strongroom token issue` printed it"
        raise InputError(Code.ARGUMENT, "not an access token", next_step=step)


def path(value: object, what: str) -> Path:
    """Return a caller's path with "~" expanded.

    Raises:
        InputError: ARGUMENT for another type, PATH for one that no file can have.
    """
    if not isinstance(value, (str, os.PathLike)) or not isinstance(os.fspath(value), str):
        step = f"give {what} as a str or a Path"
        raise InputError(Code.ARGUMENT, f"{what} is of type {type(value).__name__}", next_step=step)
    written = os.fspath(value)
    if "\0" in written:
        raise InputError(Code.PATH, f"{what} holds a NUL", next_step="give a path without one")
    try:
        return Path(written).expanduser()
    except RuntimeError:
        what = f"{what} begins with the home of a user who has none here"
        raise InputError(Code.PATH, what, where=ascii(written[:200]), next_step="write the whole path") from None


def registers(value: object) -> tuple[int, ...]:
    """Return a caller's numbers of registers. Raises InputError(ARGUMENT) for anything but whole numbers."""
    if isinstance(value, (list, tuple)) and all(type(one) is int for one in value):
        return tuple(value)
    raise InputError(Code.ARGUMENT, "pcrs is no list of numbers", next_step="give pcrs as a list such as [0, 2, 4, 7]")


def certificates(value: object, what: str) -> tuple[bytes, ...]:
    """Return the certificates, DER, of a file that a caller names: PEM, or one as DER.

    Raises:
        InputError: as `path`; PATH if it is no regular file; TOO_LARGE; ARGUMENT if there are no certificates in it.
    """
    file = path(value, what)
    step = "give a PEM file of certificates"
    data = _read(file, MAX_CERTIFICATES, what, step)
    try:
        read = load_pem_x509_certificates(data) if b"-----BEGIN" in data else [load_der_x509_certificate(data)]
        return tuple(one.public_bytes(Encoding.DER) for one in read)
    except (ValueError, UnsupportedAlgorithm):
        raise InputError(Code.ARGUMENT, f"{what} holds no certificates", where=str(file), next_step=step) from None


def directory(value: object, what: str) -> Path:
    """Return the directory a caller means, without links in its path. Raises InputError, as `path`."""
    try:
        return path(value, what).resolve()
    except (OSError, RuntimeError):  # links that go in a circle
        raise InputError(Code.PATH, f"{what} leads nowhere", next_step="give another directory") from None


def home(home: object) -> Path:
    """Return the device directory: as given, else $STRONGROOM_HOME, else the user's own. Raises as `directory`."""
    if home is not None:
        return directory(home, "home")
    named = os.environ.get("STRONGROOM_HOME")
    return directory(named or "~/.local/share/strongroom", "STRONGROOM_HOME" if named else "home")


def own_trust(home: Path) -> bytes:
    """Return the trust document that its user put into a device directory.

    Raises:
        SetupError: CONFIG, if there is none; PERMISSIONS.
        StoreError: as `folder.translated`.
    """
    with Folder.open(home, ours=OURS.__contains__) as folder:
        data = folder.read(TRUST, limit=trust_of.MAX_SIZE)
    if data is None:
        step = f"put the trust.json of your strongroom there, or name it: --trust FILE, trust={TRUST!r}"
        raise SetupError(Code.CONFIG, "this device has no trust.json", where=str(home / TRUST), next_step=step)
    return data


def server(url: object, trust: Trust) -> None:
    """Check that a URL is the server of the trust document.

    Raises:
        InputError: ARGUMENT; a URL that may hold a password or a token is not repeated.
    """
    if text(url, "url").rstrip("/") == trust.server:
        return
    if not _PLAIN_URL.fullmatch(text(url, "url")):
        what, step = "url is more than https://HOST:PORT, or not that", f"connect to {trust.server}"
        raise InputError(Code.ARGUMENT, what, next_step=step)
    what, step = "trust.json names another server", f"connect to {trust.server}, or use the right trust.json"
    raise InputError(Code.ARGUMENT, what, where=ascii(url), next_step=step)


def read_trust(place: Path) -> bytes:
    """Read the file of a trust document, which its owners must have signed.

    Raises:
        InputError: PATH if there is none or it is no regular file; TOO_LARGE.
        IntegrityError: as `trust.read`, with the file's name.
    """
    data = _read(place, trust_of.MAX_SIZE, "the trust document", _TRUST_STEP)
    check_trust(data, place)
    return data


def check_trust(data: bytes, place: Path) -> Trust:
    """Read a document that came from a file. Raises IntegrityError, as `trust.read`, with the file's name."""
    try:
        return trust_of.read(data)
    except IntegrityError as error:
        what = f"not a trust document that its owners signed: {error.what}"
        raise IntegrityError(error.code, what, where=str(place), next_step=_TRUST_STEP) from None


def next_trust(old: Trust, data: bytes, place: Path) -> Trust:
    """Take the step from the document in force to the one in a file.

    Raises:
        RefusedError: TRUST_VERSION, with what to do instead.
        IntegrityError: as `trust.advance`.
    """
    new = check_trust(data, place)
    if not _owner_keys(old) & _owner_keys(new):
        what = "this device already follows another strongroom's trust"
        step = f"leave the trust document out to go on with {old.server}, or give the other its own directory (home)"
        raise RefusedError(Code.TRUST_VERSION, what, where=str(place), next_step=step)
    try:
        return trust_of.advance(old, data)
    except (RefusedError, IntegrityError) as error:
        if new.version <= old.version:
            step = f"leave it out: this device follows version {old.version} already"
        elif new.version > old.version + 1:
            step = "leave it out and connect: the documents between come from the server"
        else:
            step = "ask the owners for a document that they all signed"
        raise type(error)(error.code, error.what, where=str(place), next_step=step) from None


def _owner_keys(trust: Trust) -> set[str]:
    return {key.key_id for one in trust.owner.principals for key in one.keys}


def _read(place: Path, limit: int, what: str, step: str) -> bytes:
    """Read a file that must be a regular one. Raises InputError: PATH or TOO_LARGE."""
    try:
        # NONBLOCK: opening a FIFO would wait for somebody to write into it
        handle = os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise InputError(Code.PATH, f"{what} is no regular file", where=str(place), next_step=step)
            if status.st_size > limit:
                large = f"{what} has {status.st_size} bytes; at most {limit} are read"
                raise InputError(Code.TOO_LARGE, large, where=str(place), next_step=step)
            with os.fdopen(handle, "rb", closefd=False) as file:
                return file.read(limit)
        finally:
            os.close(handle)
    except OSError as error:
        why = f"{what} cannot be read: {(error.strerror or 'failed').lower()}"
        raise InputError(Code.PATH, why, where=str(place), next_step=step) from None
