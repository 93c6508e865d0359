"""What `strongroom doctor` looks at on this machine and on a device. Each finding says how to mend it."""

import importlib.metadata
import importlib.util
import platform
import resource
import shutil
import stat
import sys
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from strongroom.cli import printing
from strongroom.errors import StrongroomError

SOON = 30 * 86_400  # seconds before an end from which it is worth a word
SCARCE, TOO_SCARCE = 2**30, 256 * 2**20  # bytes free on a disk

_OLDEST_PYTHON = (3, 11)
_EXTRAS = {"server": ("fastapi", "sqlalchemy", "uvicorn"), "onnx": ("numpy", "onnxruntime")}
_CPU = Path("/proc/cpuinfo")

State = Literal["ok", "warn", "bad"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's report."""

    subject: str
    state: State
    what: str
    mend: str = ""


TOKEN_SOON = 7 * 86_400  # a device renews its own token while it is used


def examined(subject: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """Look at something; what cannot be looked at is a finding too."""
    try:
        yield from look()
    except StrongroomError as error:
        what = f"{error.what} ({error.where})" if error.where else error.what
        yield Finding(subject, "bad", what, error.next_step or "look at it, or put it back from a backup")
    except OSError as error:
        yield Finding(
            subject, "bad", f"cannot be looked at: {error.strerror}", "run the doctor as the user that owns it"
        )


def machine() -> Iterator[Finding]:
    """Look at Python, the packages, the processor and the process's limits."""
    version = platform.python_version()
    if sys.version_info[:2] >= _OLDEST_PYTHON:
        yield Finding("python", "ok", version)
    else:
        yield Finding("python", "bad", f"{version} is too old", "use Python 3.11 or newer")
    yield _cryptography()
    for extra, packages in _EXTRAS.items():
        missing = [name for name in packages if importlib.util.find_spec(name) is None]
        what = f"not installed ({', '.join(missing)})" if missing else "installed"
        yield Finding(f"extra {extra}", "ok", what, f'if needed: pip install "strongroom[{extra}]"' if missing else "")
    yield _aes()
    soft, _ = resource.getrlimit(resource.RLIMIT_CORE)
    if soft == 0:
        yield Finding("core dumps", "ok", "off")
    else:
        yield Finding("core dumps", "warn", "a crash may write keys and models to disk", "run: ulimit -c 0")


def device(home: Path, now: int) -> Iterator[Finding]:
    """Look at a device directory, without changing anything in it."""
    from strongroom.edge.keystore.opening import open_keystore
    from strongroom.edge.store import KEYS, Store
    from strongroom.wire import trust

    if not home.is_dir():
        yield Finding("device", "ok", f"none at {home}")
        return
    yield from modes("device files", [home, *home.iterdir(), *(home / KEYS).glob("*")])
    keystore = open_keystore(home / KEYS)
    state = Store(home, keystore).read()
    if state is None or state.identity is None:
        yield Finding("device", "warn", "not enrolled", "run: strongroom enrol --trust FILE")
        return
    yield Finding("device", "ok", f"enrolled as {state.identity.id}, {len(state.installs)} model(s) installed")
    yield ending(
        "device token",
        state.identity.token_expires,
        now,
        "run: strongroom enrol … again, with a user's token",
        soon=TOKEN_SOON,
    )
    yield ending(
        "device trust",
        trust.read(state.trust_document()).expires,
        now,
        "connect, or ask the owners for a newer trust.json",
    )
    damaged = [f"{one.model}@{one.version}" for one in state.installs if one.damaged]
    if damaged:
        yield Finding("models", "bad", f"damaged: {', '.join(damaged)}", f"run: strongroom pull {damaged[0]}")
    if keystore.strength == "file":
        what = "keys lie in files: whoever copies the device directory can open its models"
        yield Finding("keystore", "warn", what, "enrol with --tpm on a machine that has a TPM, for anything valuable")
    yield disk("device disk", home)


def modes(subject: str, paths: list[Path], public: Collection[Path] = ()) -> Iterator[Finding]:
    """Look whether anyone else may read or write these files and directories; links are not followed.

    Args:
        subject: of the findings.
        paths: what is looked at.
        public: those of them that others may read, and must not write.
    """
    allowed = {path: stat.S_IRGRP | stat.S_IROTH if path in public else 0 for path in paths}
    found = [(path, what) for path in paths if (what := _open_to_others(path, allowed[path]))]
    if not found:
        yield Finding(subject, "ok", "only their owner may read what is secret, and write any of them")
    for path, what in found:
        close = "go-w" if allowed[path] else "go-rwx"
        yield Finding(subject, "bad", f"others may {what} {path}", f"run: chmod {close} {path}")


def ending(subject: str, end: int, now: int, mend: str, *, soon: int = SOON) -> Finding:
    """Judge how far away an end is."""
    if now >= end:
        return Finding(subject, "bad", f"over since {printing.moment(end)}", mend)
    if end - now < soon:
        return Finding(subject, "warn", f"ends {printing.moment(end)}", mend)
    return Finding(subject, "ok", f"until {printing.moment(end)}")


def disk(subject: str, path: Path) -> Finding:
    """Judge the space left where `path` lies."""
    free = shutil.disk_usage(path).free
    what = f"{printing.size(free)} free"
    if free < TOO_SCARCE:
        return Finding(subject, "bad", what, "free some space")
    return Finding(subject, "warn" if free < SCARCE else "ok", what, "free some space" if free < SCARCE else "")


def _cryptography() -> Finding:
    try:
        version = importlib.metadata.version("cryptography")
        from cryptography import cobblestone  # noqa: F401 - there from 50 on
        from cryptography.hazmat.primitives.asymmetric import mldsa  # noqa: F401 - whether it is there is all that is asked
    except ImportError:
        return Finding("cryptography", "bad", "missing or too old", 'run: pip install "cryptography>=50"')
    return Finding("cryptography", "ok", version)


def _aes() -> Finding:
    try:
        words = set(_CPU.read_text("utf-8", "replace").split())
    except OSError:
        return Finding("AES hardware", "ok", "unknown on this system")
    if "aes" in words:
        return Finding("AES hardware", "ok", "used")
    return Finding(
        "AES hardware", "warn", "none: opening large models is slow here", "use a processor with AES instructions"
    )


def _open_to_others(path: Path, allowed: int) -> str:
    """Return what others may do with it that they must not; "" if nothing."""
    state = path.lstat()
    bits = 0 if stat.S_ISLNK(state.st_mode) else stat.S_IMODE(state.st_mode) & 0o077 & ~allowed
    rights = (("read", 0o044), ("write", 0o022), ("enter" if stat.S_ISDIR(state.st_mode) else "run", 0o011))
    return " and ".join(word for word, mask in rights if bits & mask)
