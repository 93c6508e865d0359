"""How the leases of a device stand, without asking anybody and without writing anything (protocol.md section 9)."""

from dataclasses import dataclass

from strongroom.edge import clock
from strongroom.edge.opening import lease_of
from strongroom.edge.state import Install, State
from strongroom.edge.store import Store
from strongroom.errors import Code, RefusedError, StrongroomError
from strongroom.wire.lease import offline_until


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
