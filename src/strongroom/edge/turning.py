"""How the device's memory goes forward with its keystore's ratchet (docs/spec/protocol.md section 13).

A state says where the ratchet stood before it, and a nonce. It is in force when the ratchet stands where it comes to by
that nonce. A state is made durable first, and the ratchet is turned then; after a crash between the two it still stands
before, and whoever reads turns it. An older state, or another one that followed the same one, is never in force again.

What is added is an HMAC by the key of the memory's MAC: nobody without that key goes the same way on a new index.
"""

import hashlib
import hmac
from dataclasses import replace

from strongroom.edge.state import State, Turn

EVERY = 3600  # seconds of the device's time after which the clock alone is worth a turn: hardware wears by them
_LABEL = b"strongroom/ratchet/v1\0"


def step(turn: Turn, key: bytes | bytearray) -> bytes:
    """Return what is added to the ratchet for this turn."""
    return hmac.digest(key, _LABEL + turn.nonce, "sha256")


def after(turn: Turn, key: bytes | bytearray) -> bytes:
    """Return where the ratchet stands after this turn."""
    return _turned(turn.before, step(turn, key))


def stands(state: State, added: bytes, place: bytes | None) -> bool:
    """Say whether the ratchet stands where this state was written for.

    Args:
        state: as its MAC says.
        added: the step of its turn.
        place: where the ratchet stands; None if it is gone.
    """
    return state.turn is not None and place == _turned(state.turn.before, added)


def is_due(old: State, new: State) -> bool:
    """Say whether what changes must not be undone.

    It is anything but the clock and the count of openings; and of the clock, a new boot, a boot that cost an hour, and
    an hour in either direction. In one boot the machine's uptime goes on whatever is put back, so a note each minute
    needs no turn.
    """
    if old.turn is None or replace(old, clock=new.clock, runs=new.runs) != new:
        return True
    was, now = old.clock, new.clock
    same_boot = was.boot_id == now.boot_id and was.boot <= now.boot and was.slips >= now.slips
    return not (same_boot and old.turn.at <= now.seen < old.turn.at + EVERY)


def _turned(before: bytes, added: bytes) -> bytes:
    return hashlib.sha256(before + added).digest()
