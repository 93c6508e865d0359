"""`strongroom decoy test`: sends the office's own exercises to it, from outside, as anybody would."""

import os
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from strongroom.canonical import JsonValue, from_base64url
from strongroom.errors import Code, InputError, UnreachableError

if TYPE_CHECKING:
    from strongroom.operator.office import OfficeClient, Transport
    from strongroom.signing import SigningKey

SECONDS = 10.0  # for all decoys to be seen to fire
POLL = 0.2  # seconds
ANSWER = 65_536  # bytes of an answer to an exercise

Values = dict[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Rim:
    """Time and waiting, so that tests need neither."""

    clock: Callable[[], float] = time.time  # noqa: TID251 - the rim
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True, slots=True)
class _Sender:
    devices: "Transport"
    desk: "Transport"
    server: str
    key: "SigningKey" = field(repr=False)
    token: str = field(repr=False)
    clock: Callable[[], float]

    def send(self, one: Mapping[str, JsonValue]) -> None:
        """Send one exercise; what is answered is a refusal, and does not matter."""
        method, path, by = str(one["method"]), str(one["path"]), one["by"]
        body = str(one["body"]).encode()
        headers = {"Content-Type": "application/json"} if body else {}
        token = str(one["token"] or self.token)
        if by == "bearer":
            headers["Authorization"] = f"Bearer {token}"
        elif by in {"device", "user"}:
            headers |= self._proven(method, path, token, "DPoP" if by == "device" else "Bearer")
        to = self.desk if one["at"] == "admin" else self.devices
        to.request(method, path, body=body, headers=headers, limit=ANSWER)

    def _proven(self, method: str, path: str, token: str, scheme: str) -> dict[str, str]:
        from strongroom.wire import dpop

        proof = dpop.make(self.key, method, self.server + path, token, int(self.clock()), os.urandom(16))
        return {"Authorization": f"{scheme} {token}", "DPoP": proof}


def exercise(
    office: "OfficeClient", only: str | None, *, devices: "Transport | None" = None, rim: Rim | None = None
) -> list[tuple[Values, bool]]:
    """Make decoys fire and see that each did.

    Args:
        office: the admin API.
        only: identifier of one decoy; None for all.
        devices: connections to the device API; None: those that the trust file names.
        rim: clocks.

    Returns:
        Each decoy that was tried, and whether it fired.

    Raises:
        InputError: ARGUMENT, there is no such decoy.
        UnreachableError: one of both APIs is not in reach.
        DeniedError: FORBIDDEN.
    """
    from strongroom.operator.office import rows
    from strongroom.signing import ED25519, SigningKey
    from strongroom.transport import Pinned

    rim = rim or Rim()
    begun = office.post("exercises")
    tries = [one for one in rows(begun, "tries") if only in (None, one["decoy"])]
    if not tries:
        raise InputError(Code.ARGUMENT, "there is no such decoy", next_step="run: strongroom decoy list")
    server = office.trust.server
    key = SigningKey(ED25519, from_base64url(str(begun["seed"])))
    with ExitStack() as stack:
        line = devices if devices is not None else stack.enter_context(Pinned(server, office.trust.pins))
        sender = _Sender(line, office.transport, server, key, str(begun["token"]), rim.clock)
        try:
            for one in tries:
                sender.send(one)
        except UnreachableError as error:
            step = "run it where both the admin port and the device port can be reached"
            raise UnreachableError(error.code, error.what, where=error.where, next_step=step) from None
    return _watched(office, {str(one["decoy"]) for one in tries}, begun["began"], rim)


def _watched(office: "OfficeClient", wanted: set[str], began: JsonValue, rim: Rim) -> list[tuple[Values, bool]]:
    from strongroom.operator.office import rows

    deadline = rim.monotonic() + SECONDS
    while True:
        found = [row for row in rows(office.get("decoys"), "decoys") if row["id"] in wanted]
        fired = [(row, _since(row.get("tested"), began)) for row in found]
        if all(ok for _, ok in fired) or rim.monotonic() >= deadline:
            return fired
        rim.sleep(POLL)


def _since(tested: JsonValue, began: JsonValue) -> bool:
    return isinstance(tested, int) and isinstance(began, int) and tested >= began
