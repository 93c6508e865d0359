"""What this machine says of itself in a request: for context and audit, naming no person (R8, R39, R40)."""

import hashlib
import platform
import sys
from pathlib import Path

from strongroom import __version__
from strongroom.wire.messages import Device

_LABEL = b"strongroom/fingerprint/v1\0"
_MACHINE_ID = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
_PLATFORMS = {"linux": "linux", "win32": "windows", "darwin": "macos", "android": "android", "ios": "ios"}


def describe(device_id: str | None) -> Device:
    """Return the facts about this machine.

    Args:
        device_id: the identifier the server gave, or None while enrolling.
    """
    return Device(
        id=device_id,
        platform=_PLATFORMS.get(sys.platform, "other"),
        os=_plain(f"{platform.system()} {platform.release()}", 120),
        arch=_plain(platform.machine(), 40),
        client=_plain(f"strongroom-python/{__version__}", 60),
        fingerprint=hashlib.sha256(_LABEL + _machine_id()).digest(),
    )


def _machine_id() -> bytes:
    """Return what identifies this machine; only its digest ever leaves."""
    for path in _MACHINE_ID:
        try:
            text = path.read_bytes()[:256].strip()
        except OSError:
            continue
        if text:
            return text
    return platform.node().encode("utf-8", "replace")


def _plain(text: str, most: int) -> str:
    kept = "".join(sign if " " <= sign <= "~" else "?" for sign in text)[:most].strip()
    return kept or "unknown"
