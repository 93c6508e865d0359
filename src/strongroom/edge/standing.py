"""How the leases of a device and its own token stand, without asking anybody or writing anything (protocol.md 7, 9)."""

import json
import logging
from dataclasses import dataclass
from datetime import UTC, datetime

from strongroom.edge import clock
from strongroom.edge.opening import lease_of
from strongroom.edge.state import Identity, Install, State
from strongroom.edge.store import Store
from strongroom.errors import Code, IntegrityError, RefusedError, StrongroomError
from strongroom.wire import jws
from strongroom.wire.lease import offline_until

RUNNING, ENDING, OVER = "running", "ending", "over"  # of a device's own token
_YEAR_9999 = 253_370_764_800  # Unix seconds beyond which Python writes no date
_USUAL = 30 * 86_400  # seconds of a token's life, where the token does not say when it began
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Standing:
    """One installed version and its lease; times are Unix seconds, and None where the lease does not verify.

    Attributes:
        model: its name.
        version: its exact version.
        issued: when the server last spoke for it.
        expires: the lease's own end.
        max_offline: seconds after `issued` at which it also ends.
        offline_until: the first of the two.
        remains: seconds until then by this device's clock; 0 if it is over.
        mark: newest (epoch, counter) of the model ever accepted.
        error: why it does not open now, or None.
    """

    model: str
    version: str
    issued: int | None
    expires: int | None
    max_offline: int | None
    offline_until: int | None
    remains: int
    mark: tuple[int, int]
    error: StrongroomError | None


def standings(store: Store) -> tuple[Standing, ...]:
    """Return how each installed version stands.

    Raises:
        SetupError: NOT_ENROLLED.
        StoreError: as `Store.read`. What is wrong with one lease is in its standing.
    """
    state = store.need()
    return tuple(_stand(store, state, one) for one in state.installs)


def _stand(store: Store, state: State, install: Install) -> Standing:
    mark = state.mark(install.model) or (install.epoch, install.counter)
    try:
        lease = lease_of(store, state, install)
    except StrongroomError as error:
        return Standing(install.model, install.version, None, None, None, None, 0, mark, error)
    end, remains, why = offline_until(lease), 0, None
    try:
        remains = max(0, end - clock.advance(state.clock, store.clocks()).seen)
    except RefusedError as error:
        why = error
    if why is None and remains == 0:
        why = RefusedError(Code.LEASE_EXPIRED, f"the lease for {install.model} {install.version} is over")
    return Standing(
        install.model, install.version, lease.issued, lease.expires, lease.max_offline, end, remains, mark, why
    )


def token_state(identity: Identity, now: int) -> str:
    """Say whether a device's own token is RUNNING, ENDING (less than a quarter of its life is left) or OVER.

    Args:
        identity: who this device is, with the token.
        now: Unix seconds.
    """
    left = identity.token_expires - now
    if left <= 0:
        return OVER
    return ENDING if left < (identity.token_expires - _began(identity)) // 4 else RUNNING


class TokenWatch:
    """Warns once of each token that ends soon or is over."""

    def __init__(self) -> None:
        self._warned: str | None = None

    def look(self, identity: Identity | None, now: int) -> None:
        """Log a warning if one is due at `now`, in Unix seconds."""
        if identity is None or identity.token == self._warned or token_state(identity, now) == RUNNING:
            return
        self._warned = identity.token
        verb = "is over since" if now >= identity.token_expires else "ends at"
        when = datetime.fromtimestamp(min(identity.token_expires, _YEAR_9999), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        _log.warning("this device's own token %s %s: enrol it again with a user's token", verb, when)


def _began(identity: Identity) -> int:
    """Return when the office gave the token: it is our own, and this decides when to warn, and nothing else."""
    try:
        began = json.loads(jws.unverified_payload(identity.token, "token"))["iat"]
    except (IntegrityError, ValueError, KeyError, TypeError, RecursionError):  # only the office knows what is in it
        began = None
    return began if isinstance(began, int) else identity.token_expires - _USUAL
