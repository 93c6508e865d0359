"""Watching the lease of an open model, and for orders to wipe it (docs/spec/protocol.md sections 9 and 14).

While a model is open, time is written down each minute, so that cutting the power costs the lease no more than that.
When the lease is over, or any process wiped the version by order, the model lends nothing more and opens no session.
What was lent before stays until the block ends and is wiped then: taking memory away under a running computation would
crash the program.
"""

import contextlib
import threading
import weakref
from collections.abc import Callable

from strongroom.edge import tombstones
from strongroom.edge.clock import since
from strongroom.edge.state import State
from strongroom.edge.store import Store
from strongroom.errors import RefusedError, StrongroomError
from strongroom.wire.lease import check_open
from strongroom.wire.messages import Lease

BEAT = 60.0  # seconds


class Watch:
    """Keeps the clock while a model is open, and says when its lease is over. Its thread keeps no process alive."""

    def __init__(
        self, store: Store, state: State, lease: Lease, renewed: Callable[[], Lease | None], *, beat: float = BEAT
    ) -> None:
        """Begin.

        Args:
            store: where the time is written down.
            state: as it was when the model was opened, in this process: its clock, and which orders were known then.
            lease: the lease it was opened under.
            renewed: gives the lease the same install has by now, if it holds.
            beat: seconds between two notes of the time.
        """
        self._store = store
        self._anchor = state.clock
        self._lease = lease
        self._renewed = renewed
        self._known = tombstones.ordered(state, lease.model, lease.version)
        self._wiped: str | None = None  # by which order
        self._glanced: object = None
        self._stopped = threading.Event()
        arguments = (weakref.ref(self), self._stopped, beat)
        threading.Thread(target=_run, args=arguments, name="strongroom-clock", daemon=True).start()

    def check(self) -> None:
        """Refuse if the version was wiped, or the lease is over now.

        Raises:
            RefusedError: WIPED, LEASE_EXPIRED.
        """
        glance = self._store.glance()
        if glance is None or glance != self._glanced:  # reading the state costs a hundred times as much as this
            with contextlib.suppress(StrongroomError):  # a store that is gone takes nothing from who runs already
                self._look(self._store.need())
                self._glanced = glance
        if self._wiped is not None:
            raise tombstones.refusal(self._lease.model, self._lease.version, self._wiped)
        now = since(self._anchor, self._store.clocks())
        try:
            check_open(self._lease, now)
        except RefusedError:
            self._lease = self._renewed() or self._lease
            check_open(self._lease, now)

    def beat(self) -> None:
        """Write the time down. A disk that takes nothing stops nothing: `check` has the time in memory."""
        with contextlib.suppress(StrongroomError):
            self._look(self._store.tick())

    def _look(self, state: State) -> None:
        new = tombstones.ordered(state, self._lease.model, self._lease.version) - self._known
        if new:
            self._wiped = min(new)

    def stop(self) -> None:
        """Stop writing. Stopping twice is no error."""
        self._stopped.set()


def _run(watched: weakref.ref[Watch], stopped: threading.Event, beat: float) -> None:
    while not stopped.wait(beat):
        watch = watched()
        if watch is None:  # its model was dropped without being closed
            return
        watch.beat()
        del watch
