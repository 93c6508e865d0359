"""Watching the lease of an open model (docs/spec/protocol.md section 9).

While a model is open, time is written down each minute, so that cutting the power costs the lease no more than that.
When the lease is over, the model lends nothing more and opens no session. What was lent before stays until the block
ends and is wiped then: taking memory away under a running computation would crash the program.
"""

import contextlib
import threading
import weakref
from collections.abc import Callable

from strongroom.edge.clock import Anchor, since
from strongroom.edge.store import Store
from strongroom.errors import RefusedError, StrongroomError
from strongroom.wire.lease import check_open
from strongroom.wire.messages import Lease

BEAT = 60.0  # seconds


class Watch:
    """Keeps the clock while a model is open, and says when its lease is over. Its thread keeps no process alive."""

    def __init__(
        self, store: Store, anchor: Anchor, lease: Lease, renewed: Callable[[], Lease | None], *, beat: float = BEAT
    ) -> None:
        """Begin.

        Args:
            store: where the time is written down.
            anchor: the clock as it was when the model was opened, in this process.
            lease: the lease it was opened under.
            renewed: gives the lease the same install has by now, if it holds.
            beat: seconds between two notes of the time.
        """
        self._store = store
        self._anchor = anchor
        self._lease = lease
        self._renewed = renewed
        self._stopped = threading.Event()
        arguments = (weakref.ref(self), self._stopped, beat)
        threading.Thread(target=_run, args=arguments, name="strongroom-clock", daemon=True).start()

    def check(self) -> None:
        """Refuse if the lease is over now.

        Raises:
            RefusedError: LEASE_EXPIRED.
        """
        now = since(self._anchor, self._store.clocks())
        try:
            check_open(self._lease, now)
        except RefusedError:
            self._lease = self._renewed() or self._lease
            check_open(self._lease, now)

    def beat(self) -> None:
        """Write the time down. A disk that takes nothing stops nothing: `check` has the time in memory."""
        with contextlib.suppress(StrongroomError):
            self._store.tick()

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
