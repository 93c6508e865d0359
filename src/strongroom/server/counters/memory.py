"""Counters in this process: what was seen already, for a while (docs/spec/protocol.md section 2)."""

import heapq
from dataclasses import dataclass, field

DEFAULT_LIMIT = 100_000  # keys held at once; about 20 MB


@dataclass(slots=True)
class MemoryCounters:
    """Remembers keys until they expire. One process only; several processes need a shared adapter.

    Attributes:
        limit: keys held at once.
        started: Unix seconds at which this process began to remember.
    """

    limit: int = DEFAULT_LIMIT
    started: int = 0
    _live: set[str] = field(default_factory=set, repr=False)
    _order: list[tuple[int, str]] = field(default_factory=list, repr=False)

    async def once(self, key: str, *, made: int, expires: int, now: int) -> bool:
        """Tell whether `key` was surely never seen before; it is remembered until `expires` (Unix seconds).

        What was made before the start may have been seen by the process before: the answer is False.
        So it is when all places are taken by live keys: forgetting one early would let it be replayed.
        """
        # no await in here, so nothing else of the event loop runs between the question and the note
        while self._order and self._order[0][0] <= now:
            self._live.discard(heapq.heappop(self._order)[1])
        if made < self.started or key in self._live or len(self._live) >= self.limit:
            return False
        self._live.add(key)
        heapq.heappush(self._order, (expires, key))
        return True
