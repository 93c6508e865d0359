"""Stop factors: facts that need no score. They act on the device key, and on the user only where that hurts no victim.

The user is stopped by a decoy, unless the device is far (a stranger's new device on a stolen login), and by the second
of the user's own devices that is stopped. Otherwise a thief's emulator would lock out the person robbed.
"""

from typing import Final

from strongroom.risk.events import Event
from strongroom.risk.facts import Facts
from strongroom.risk.state import KeyState, UserState
from strongroom.risk.state_key import PASSED, POOR

WORDS: Final = ("tamper", "rooted", "signature", "attestation", "decoy", "devices")
BIT: Final = {word: 1 << at for at, word in enumerate(WORDS)}
WHY: Final = {
    "tamper": "the device reports tampering and its attestation is not a pass",
    "rooted": "the device is rooted, never passed an attestation and fails it",
    "signature": "the app's signature is not one of ours",
    "attestation": "the device failed its attestation twice and did not pass between",
    "decoy": "a decoy was used",
    "devices": "two of the user's own devices were stopped",
}
FAILS: Final = 2  # failed attestations without a pass between


def found(event: Event, f: Facts, key: KeyState | None, *, lenient: bool) -> tuple[str, ...]:
    """Return the stop words of one event.

    Args:
        event: what happened.
        f: its facts.
        key: the state of its device key.
        lenient: devices of this class may be tampered with and run builds of one's own.
    """
    words: list[str] = []
    if event.type == "honeypot" or event.decoy:
        words.append("decoy")
    if not lenient:
        if event.app_sig == "bad":
            words.append("signature")
        verdict = event.attestation
        poor = verdict in ("basic", "fail") or (verdict == "unavailable" and key is not None and key.verdicts & POOR)
        if event.tamper and poor and not f.outage:
            if f.hard_tamper:
                words.append("tamper")
            elif verdict == "fail" and key is not None and not key.verdicts & PASSED:
                words.append("rooted")
        if f.attest_fails >= FAILS and verdict == "fail" and not f.outage:
            words.append("attestation")
    return tuple(words)


def apply(word: str, action: str, user: UserState | None, key: KeyState | None, *, far: bool) -> bool:
    """Put one stop word in force and say whether that is new, for the key or for the user.

    Args:
        word: one of WORDS.
        action: "stop" or "medium".
        user: the state of the event's user, if it had one.
        key: the state of its device key, if it had one.
        far: the device is new and a stranger's, as far as one can tell.
    """
    bit = BIT[word]
    if action == "medium":
        new = key is not None and not key.floor & bit
        if key is not None:
            key.floor |= bit
        return new
    first = key is not None and key.stop == 0
    new = key is not None and not key.stop & bit
    if key is not None:
        key.stop |= bit
    if user is not None and not far:
        if word == "decoy" and not user.stop & bit:
            user.stop |= bit
            new = True
        if first:
            user.stopped = min(15, user.stopped + 1)
            if user.stopped > 1:
                user.stop |= BIT["devices"]
    return new
