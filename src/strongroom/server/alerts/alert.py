"""One alert: a row that is written in the transaction of what it tells of, so that neither is there without the other.

Its body is what is signed and sent, byte for byte: a payload of Standard Webhooks 1.0.0 as canonical JSON.
"""

import hashlib
from datetime import UTC, datetime
from enum import StrEnum

from strongroom import canonical
from strongroom.canonical import JsonValue
from strongroom.server.office import Office
from strongroom.server.watch_ports import AlertRow

HOUR = 3600
MAX_BODY = 16_384  # bytes; receivers are told to expect less than 20 kB
MAX_KEY = 256  # characters, as the table has it
KEPT_DAYS = 30  # that an alert is kept after it was sent or given up; what waits stays


class Alert(StrEnum):
    """What an alert is about. Append only: receivers route by these words."""

    DECOY_HIT = "decoy.hit"
    DECOY_FETCHED = "decoy.fetched"
    DEVICE_STOPPED = "risk.stopped"
    BAND_RISEN = "risk.raised"
    ENGINE_FAILED = "risk.failed"
    BREAKER_FROZEN = "risk.frozen"
    APPEAL_MADE = "appeal.made"
    TEST = "alert.test"


MILD = frozenset(
    {Alert.DECOY_FETCHED, Alert.APPEAL_MADE, Alert.TEST}
)  # a warning in the log, where all others are errors


def new_alert(
    office: Office, what: Alert, at: int, /, *, about: tuple[str, ...], explain: str = "", **data: JsonValue
) -> AlertRow:
    """Make the row of an alert; `add_alert` keeps the first one of an hour, which a restore ends early.

    Args:
        office: its identifiers.
        what: the kind.
        at: when it happened, in Unix seconds.
        about: identifiers that make this alert one an hour: a decoy and who touched it, a user, a device. A restore
            finds them in the key, unless that was too long and is a hash: then its hour goes on.
        explain: what `strongroom risk explain` is to be called with, if that says more.
        data: names, identifiers and bands, and `next` where another command says more. Never a secret, and no text that
            a caller wrote: receivers show it to people and paste it into other systems.

    Raises:
        ValueError: the body is too large, which is the caller's mistake.
    """
    told: dict[str, JsonValue] = {**data}
    if explain:
        told["next"] = f"strongroom risk explain {explain}"
    body = canonical.encode({"type": str(what), "timestamp": _moment(at), "data": told})
    if len(body) > MAX_BODY:
        raise ValueError(f"an alert of {len(body)} bytes; at most {MAX_BODY} are sent")
    return AlertRow(office.new_id("alr"), _key(what, about, at), at, body.decode("utf-8"), 0, at)


def _key(what: Alert, about: tuple[str, ...], at: int) -> str:
    key = ":".join((what, *about, str(at // HOUR)))
    return key if len(key) <= MAX_KEY else hashlib.sha256(key.encode("utf-8")).hexdigest()


def _moment(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
