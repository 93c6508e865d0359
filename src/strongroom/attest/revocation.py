"""Google's list of revoked Android attestation keys: the status document, and the rule that nobody passes without it.

The document is JSON, keyed by serial number, published at android.googleapis.com/attestation/status. The operator's
cron fetches it; nothing here does.
"""

import json
from collections.abc import Iterable
from typing import Any, Never

from strongroom.attest.authorities import RevocationList
from strongroom.attest.verdict import Refusal, RefusedEvidence, Trail
from strongroom.errors import Code, IntegrityError

MAX_LIST = 64 << 20  # bytes; the real one has less than 1 MiB
_WHERE = "revocation list"
_HEX, _DECIMAL = frozenset("0123456789abcdef"), frozenset("0123456789")
_LATEST = 253_402_300_799  # the last second of year 9999: milliseconds are more, and a list dated so would never age
_LONGEST = 64  # digits; a serial number has at most 20 bytes (RFC 5280 section 4.1.2.2), here with room


def read(data: bytes, *, fetched: int, max_age: int) -> RevocationList:
    """Read the document as it was fetched. Whatever status an entry has, the key is refused.

    Keys are lower-case hexadecimal in the live document and decimal in Google's sample. A key of decimal digits alone
    could be either, so both serial numbers are then refused: that a genuine one is hit by chance is not to be expected.

    Args:
        data: the document.
        fetched: Unix seconds, unless the document says so itself under "fetched".
        max_age: seconds after which the list is believed no more.

    Raises:
        IntegrityError: SHAPE.
    """
    if len(data) > MAX_LIST:
        raise _wrong(f"{len(data)} bytes; at most {MAX_LIST} are read")
    try:
        document = json.loads(data, object_pairs_hook=_once, parse_float=_no_number, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise _wrong("not JSON, or a key stands twice") from None
    entries = document.get("entries") if isinstance(document, dict) else None
    if not isinstance(entries, dict):
        raise _wrong('no object "entries"')
    own = document.get("fetched", fetched)
    if not isinstance(own, int) or isinstance(own, bool) or not 0 <= own <= _LATEST:
        raise _wrong('"fetched" is not a whole number of Unix seconds')
    serials: dict[str, str] = {}
    for key, entry in entries.items():
        status = entry.get("status") if isinstance(entry, dict) else None
        if not isinstance(status, str):
            raise _wrong(f"entry {key[:_LONGEST]!r} has no status")
        for serial in _serials(key):
            serials[serial] = status
    return RevocationList(serials, own, max_age)


def check(serials: Iterable[int], revoked: RevocationList | None, at: int, trail: Trail) -> None:
    """Refuse a chain of which any certificate is on the list, and every chain if there is no list or an old one.

    Args:
        serials: serial numbers of all certificates of the chain.
        revoked: the list, None if there is none.
        at: Unix seconds of judging.
        trail: takes the step.

    Raises:
        RefusedEvidence: STALE_REVOCATION_LIST or REVOKED.
    """
    trail.step("revocation list")
    if revoked is None:
        raise RefusedEvidence(Refusal.STALE_REVOCATION_LIST, "there is no revocation list")
    age = at - revoked.fetched
    trail.must(
        age <= revoked.max_age,
        Refusal.STALE_REVOCATION_LIST,
        f"the revocation list is {age} s old, at most {revoked.max_age} s are allowed",
    )
    for serial in serials:
        name = format(serial, "x")
        status = revoked.serials.get(name)
        trail.must(status is None, Refusal.REVOKED, f"certificate {name} is {status}")


def _serials(key: str) -> list[str]:
    if not 1 <= len(key) <= _LONGEST or not _HEX.issuperset(key.lower()):
        raise _wrong(f"entry {key[:_LONGEST]!r} is not a serial number")
    numbers = [int(key, 16), int(key)] if _DECIMAL.issuperset(key) else [int(key, 16)]
    return [format(number, "x") for number in numbers]


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("duplicate key")
    return value


def _no_number(_text: str) -> Never:
    raise ValueError("no number that this document has")


def _wrong(what: str) -> IntegrityError:
    return IntegrityError(Code.SHAPE, what, where=_WHERE, next_step="fetch Google's status document again")
