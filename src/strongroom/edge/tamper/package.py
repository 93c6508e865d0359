"""Whether strongroom's own files are those that were installed, by the hashes of its RECORD.

RECORD is that of PyPA's "Recording installed projects". It is signed by nobody, and compiled files under __pycache__
are in it without a hash: this finds who edits or adds a module, and not who also writes the list anew.
"""

import csv
import hashlib
import hmac
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.machinery import all_suffixes
from pathlib import Path

from strongroom import canonical
from strongroom.errors import IntegrityError

OK, BAD, UNKNOWN = "ok", "bad", "unknown"
MOST_RECORD, MOST_FILE = 4_194_304, 16_777_216  # bytes of RECORD, and of a file of ours
_HASH = "sha256="
_CACHES = "__pycache__"
_IMPORTED = tuple(all_suffixes())  # an added one can take the place of a listed one

_Stamp = tuple[int, int, int, int]  # what differs when a file was written: its number, size, times


def listed(record: bytes, package: str) -> dict[str, bytes]:
    """Return the SHA-256 of each file of a package, by its path, from a RECORD; what cannot be read is left out."""
    found: dict[str, bytes] = {}
    try:
        for row in csv.reader(record.decode("utf-8").splitlines()):
            if len(row) == 3 and row[0].startswith(f"{package}/") and row[1].startswith(_HASH):
                found[row[0]] = canonical.from_base64url(row[1].removeprefix(_HASH), where="RECORD")
    except (UnicodeDecodeError, csv.Error, IntegrityError):
        return {}
    return found


def fits(data: bytes, digest: bytes) -> bool:
    """Say whether a file is the one that was listed."""
    return hmac.compare_digest(hashlib.sha256(data).digest(), digest)


@dataclass(slots=True)
class Package:
    """The files of one installed package; what did not change since is not read again.

    Attributes:
        root: the directory that the package and its dist-info lie in.
        name: the package.
        dist_info: directory of its RECORD in the root.
    """

    root: Path
    name: str
    dist_info: str
    _seen: dict[str, tuple[_Stamp, bool]] = field(default_factory=dict, repr=False)
    _listed: tuple[_Stamp, dict[str, bytes]] | None = field(default=None, repr=False)

    def look(self) -> str:
        """Return OK, BAD for a file that is not as listed or not listed at all, or UNKNOWN where that cannot be said.

        An editable install and a copy that is run where it lies list no files: UNKNOWN.

        Raises:
            OSError: a file cannot be read.
        """
        wanted = self._record()
        if f"{self.name}/__init__.py" not in wanted:
            return UNKNOWN
        left = dict(wanted)
        for path, status in _modules(self.root, self.name):
            digest = left.pop(path, None)
            if digest is None:
                if path.endswith(_IMPORTED):
                    return BAD
            elif not self._fits(path, status, digest):
                return BAD
        return UNKNOWN if left else OK  # who distributes it may have left parts out

    def _record(self) -> dict[str, bytes]:
        place = self.root / self.dist_info / "RECORD"
        try:
            stamp = _stamp(place.stat())
        except FileNotFoundError:
            return {}
        if self._listed is None or self._listed[0] != stamp:
            self._seen.clear()
            self._listed = stamp, listed(_read(place, MOST_RECORD), self.name)
        return self._listed[1]

    def _fits(self, path: str, status: os.stat_result, digest: bytes) -> bool:
        stamp = _stamp(status)
        known = self._seen.get(path)
        if known is None or known[0] != stamp:
            self._seen[path] = known = stamp, fits(_read(self.root / path, MOST_FILE), digest)
        return known[1]


def of(init: str, version: str) -> Callable[[], str]:
    """Return what looks at strongroom's own files.

    Args:
        init: path of the package's __init__.py, as it was imported.
        version: of the package.
    """
    place = Path(init).absolute().parent
    return Package(place.parent, place.name, f"{place.name}-{version}.dist-info").look


def _modules(root: Path, name: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield path and status of every file below a package but for compiled ones."""
    folders = [name]
    while folders:
        folder = folders.pop()
        with os.scandir(root / folder) as entries:
            for entry in entries:
                path = f"{folder}/{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    if entry.name != _CACHES:
                        folders.append(path)
                else:
                    yield path, entry.stat()


def _stamp(status: os.stat_result) -> _Stamp:
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _read(place: Path, most: int) -> bytes:
    with place.open("rb") as file:
        return file.read(most + 1)
