"""Fold a verdict on a device into its key, and into the count of all verdicts."""

from typing import Final

from strongroom.risk.events import Event
from strongroom.risk.facts import Facts
from strongroom.risk.state import AllState, KeyState
from strongroom.risk.state_key import PASSED, POOR

FRESH: Final = 10  # minutes after a failed attestation in which others only repeat it
FORGIVEN: Final = 7 * 1440  # minutes after which a failed attestation is forgotten
TRIES: Final = 3  # failed attestations within FRESH that a restored phone may make
FULL: Final = 15  # fails and tries are kept in four bits
OUTAGE_SHARE: Final = 20  # one in so many verdicts
OUTAGE_LEAST: Final = 4  # devices that passed before and fail within the last ten to twenty minutes

VERDICTS: Final = frozenset({"attest", "key_request"})


def fold_verdict(f: Facts, event: Event, minutes: int, key: KeyState, everything: AllState) -> None:
    """Fold the verdict of an event into the states, and set `Facts.outage` and `Facts.attest_fails`."""
    failed = event.attestation == "fail"
    _count(minutes, key, everything, failed=failed)
    fails = sum(everything.fails)
    f.outage = fails >= OUTAGE_LEAST and fails * OUTAGE_SHARE > sum(everything.verdicts)
    if failed:
        key.verdicts |= POOR
        if not f.outage:
            _fail(event.type, minutes, key)
    elif event.attestation != "unavailable":
        key.fails = key.tries = 0
        key.verdicts = PASSED if event.attestation == "pass" else PASSED | POOR
    f.attest_fails = key.fails


def _count(minutes: int, key: KeyState, everything: AllState, *, failed: bool) -> None:
    """Count a device once in ten minutes, and its fail only if it passed before.

    New emulators that all fail at once are no outage of the attestation service.
    """
    tens = minutes // 10
    if everything.tens != tens:
        after = tens == everything.tens + 1
        everything.verdicts = (0, everything.verdicts[0] if after else 0)
        everything.fails = (0, everything.fails[0] if after else 0)
        everything.tens = tens
    if minutes - key.verdict > FRESH:
        key.verdict = minutes
        now, before = everything.verdicts
        everything.verdicts = (now + 1, before)
        if failed and key.verdicts & PASSED:
            now, before = everything.fails
            everything.fails = (now + 1, before)


def _fail(kind: str, minutes: int, key: KeyState) -> None:
    """Count a failed attestation.

    A phone restored from another fails, tries again within minutes, and is then enrolled anew: that is one fail. Who
    asks for keys in between, or tries for ever, does not mean to be enrolled anew.
    """
    later = minutes - key.fail
    if later > FORGIVEN:
        key.fails = key.tries = 0
    if later >= FRESH or not key.fails:
        key.fails = min(FULL, key.fails + 1)
        key.fail = minutes
    if kind == "attest":
        key.tries = min(FULL, key.tries + 1)
    if key.tries > TRIES or (kind != "attest" and key.tries > 1):
        key.fails = max(2, key.fails)
