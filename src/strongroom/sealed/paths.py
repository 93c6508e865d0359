"""Which paths a file inside a model may have (docs/spec/sealed-file.md section 9).

The rules keep a path harmless on every system it may be written to, and keep two paths from meaning one file there.
"""

import re
import unicodedata
from collections.abc import Sequence

MAX_PATH = 1024  # bytes of UTF-8

_FORBIDDEN = '\\:*?"<>|'  # separators, streams and wildcards of Windows
_DEVICE = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9\u00b9\u00b2\u00b3])\Z", re.IGNORECASE)


def broken_path_rule(path: str) -> str | None:
    """Return the rule a path breaks, or None."""
    try:
        size = len(path.encode("utf-8"))
    except UnicodeEncodeError:
        return "it must be Unicode text"
    if size > MAX_PATH:
        return f"at most {MAX_PATH} bytes of UTF-8"
    if unicodedata.normalize("NFC", path) != path:
        return "it must be in Unicode normal form NFC"
    if any(sign in _FORBIDDEN or unicodedata.category(sign) == "Cc" for sign in path):
        return f"no control characters and none of {_FORBIDDEN}"
    return next((rule for part in path.split("/") if (rule := _broken_part_rule(part))), None)


def conflict(paths: Sequence[str]) -> str | None:
    """Return a path that is another's twin after case folding, or a directory of another; else None."""
    folded = [_fold(path) for path in paths]
    files = set(folded)
    seen: set[str] = set()
    for path, key in zip(paths, folded, strict=True):
        if key in seen:
            return path
        seen.add(key)
        parent = key
        while "/" in parent:
            parent = parent.rpartition("/")[0]
            if parent in files:
                return path
    return None


def _fold(path: str) -> str:
    return unicodedata.normalize("NFC", path.casefold())


def _broken_part_rule(part: str) -> str | None:
    if part in ("", ".", ".."):
        return 'relative, with "/" between its parts, and no part empty, "." or ".."'
    if part[-1] in ". ":
        return "no part may end with a dot or a space"
    if _DEVICE.match(part.partition(".")[0].rstrip(" ")):
        return "no part may be a device name of Windows"
    return None
