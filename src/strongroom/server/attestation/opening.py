"""From the files that an operator wrote to an office's attestation, once when a server starts.

Only the revocation list is looked at again: whoever fetches it puts a newer one in its place while the server runs.
"""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import structlog

from strongroom.attest import authorities_file, policy_file
from strongroom.attest.authorities import Authorities, RevocationList
from strongroom.attest.policy_file import PolicySet, Sources
from strongroom.errors import Code, SetupError, StrongroomError

MAX_POLICY = 1_048_576  # bytes of attestation.toml
MAX_FILE = 16_777_216  # bytes of any file that it names; Google's revocation list has about 200,000
LOOK_AGAIN = 60  # seconds between two looks at the revocation list

_WRITE_ONE = (
    "write one (docs/how-to/attestation.md), or let devices that prove nothing be served with these three lines: "
    "version = 1, then [default], then unattested = true"
)
_OTHERS_WRITE = 0o022
_log = structlog.get_logger(__name__)


def read_policies(path: Path) -> PolicySet:
    """Read the policies of an office.

    Raises:
        SetupError: NOT_INITIALISED if there is no such file; CONFIG with file and line; PERMISSIONS.
    """
    try:
        return policy_file.read(_read(path, MAX_POLICY).decode("utf-8"), str(path))
    except UnicodeDecodeError:
        raise SetupError(Code.CONFIG, "not UTF-8 text", where=str(path), next_step="is this the right file?") from None
    except SetupError as error:
        if error.code == Code.NOT_INITIALISED:
            error.what, error.next_step = "there is no attestation policy", _WRITE_ONE
        raise


class Believed:
    """The files that a policy names.

    Args:
        path: of the policy file; names in it are relative to its directory.
        sources: its [authorities].
    """

    def __init__(self, path: Path, sources: Sources) -> None:
        self._folder = path.parent
        self._sources = sources
        self._secret = {*(one.decryption for one in sources.play.values()), sources.play_service_account}

    def authorities(self, now: int) -> Authorities:
        """Read all of them.

        Raises:
            SetupError: CONFIG or PERMISSIONS, with file and line.
        """
        return authorities_file.load(self.read, self.changed, self._sources, now)

    def revoked(self, now: int) -> RevocationList | None:
        """Read the revocation list. Raises SetupError, as `authorities`."""
        return authorities_file.revoked(self.read, self.changed, self._sources, now)

    def read(self, name: str) -> bytes:
        """Return the bytes of a file; one with a secret must be its owner's alone.

        Raises:
            SetupError: CONFIG or PERMISSIONS.
        """
        try:
            return _read(self._folder / name, MAX_FILE, secret=name in self._secret)
        except SetupError as error:
            if error.code == Code.NOT_INITIALISED:  # the office is set up; a name in its policy is wrong
                error.code = Code.CONFIG
            raise

    def changed(self, name: str) -> int:
        """Return when a file was last written, in Unix seconds. Raises SetupError: CONFIG or PERMISSIONS."""
        try:
            return int((self._folder / name).stat().st_mtime)
        except OSError as error:
            raise _unreadable(error, self._folder / name) from None


def public_files(path: Path, sources: Sources) -> tuple[Path, ...]:
    """Return a policy file and what it names that is no secret: others may read these, and must not write them."""
    keys = (one.verification for one in sources.play.values())
    lists = () if sources.revocation_list is None else (sources.revocation_list,)
    named = (*sources.tpm_roots, *sources.stand_ins, *lists, *keys)
    return (path, *(path.parent / name for name in dict.fromkeys(named)))


def written_by_others(path: Path, sources: Sources) -> tuple[Path, ...]:
    """Return which of these files others may write: whoever does says what devices must prove, or to whom."""
    return tuple(one for one in public_files(path, sources) if one.exists() and one.stat().st_mode & _OTHERS_WRITE)


class Revocation:
    """The revocation list as it is by now. One that cannot be read any more is kept until it is too old to count."""

    def __init__(self, files: Believed, name: str, first: RevocationList | None, now: int) -> None:
        """Begin with the list that was read at the start.

        Args:
            files: reads it again.
            name: of its file.
            first: as it was read.
            now: Unix seconds.
        """
        self._files, self._name, self._list = files, name, first
        self._looked, self._changed = now, files.changed(name)

    def __call__(self, now: int) -> RevocationList | None:
        """Return the newest list there is."""
        if now < self._looked + LOOK_AGAIN:
            return self._list
        self._looked = now
        try:
            changed = self._files.changed(self._name)
            if changed != self._changed:
                self._list, self._changed = self._files.revoked(now), changed
        except StrongroomError as error:
            _log.warning("the revocation list cannot be read again", what=error.what, where=error.where)
        return self._list


def revocation(
    files: Believed, sources: Sources, believed: Authorities, now: int
) -> Callable[[int], RevocationList | None] | None:
    """Return what gives the newest revocation list, None if no list is named."""
    name = sources.revocation_list
    return None if name is None else Revocation(files, name, believed.revoked, now)


def _read(path: Path, limit: int, *, secret: bool = False) -> bytes:
    try:
        # NONBLOCK: opening a FIFO that nobody writes to would wait for ever; what is no regular file is refused below
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            state = os.fstat(file.fileno())
            if not stat.S_ISREG(state.st_mode) or state.st_size > limit:
                what, step = f"not a regular file of at most {limit} bytes", "mend its name"
                raise SetupError(Code.CONFIG, what, where=str(path), next_step=step)
            if secret and state.st_mode & 0o077:
                what, step = "others may read this secret", f"run: chmod 600 {path}"
                raise SetupError(Code.PERMISSIONS, what, where=str(path), next_step=step)
            return file.read(limit)
    except OSError as error:
        raise _unreadable(error, path) from None


def _unreadable(error: OSError, path: Path) -> SetupError:
    code = Code.NOT_INITIALISED if isinstance(error, FileNotFoundError) else Code.PERMISSIONS
    step = "put it there, or mend its name"
    return SetupError(code, f"cannot be read: {error.strerror}", where=str(path), next_step=step)
