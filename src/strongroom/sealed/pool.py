"""Segments on several threads, in order and in bounded memory.

The cipher and SHA-256 release the interpreter's lock, so threads give real parallelism. What is held at once is
bounded by `BUDGET`, whatever the size of the model.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from strongroom.errors import Code, InputError, IntegrityError
from strongroom.sealed.wiping import wipe

BUDGET = 52 * 2**20  # bytes of segment buffers above the caller's own; a single larger segment is still worked on
_MOST = 4  # more threads than this wait for memory, not for each other

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def thread_count(workers: int | None, held: int) -> int:
    """Return how many threads to use.

    Args:
        workers: what the caller asked for, or None for what suits the machine.
        held: bytes each thread holds.

    Raises:
        InputError: ARGUMENT.
    """
    if workers is not None and workers < 1:
        raise InputError(Code.ARGUMENT, f"{workers} workers")
    return max(1, min(workers or min(_MOST, os.cpu_count() or 1), BUDGET // held))


def in_order(work: Callable[[_Item], _Result], items: Iterable[_Item], threads: int) -> Generator[_Result]:
    """Work on items on threads and yield the results in the order of the items.

    Items are taken in the caller's thread, a few ahead. When the generator ends, for whatever reason, no thread works
    on: buffers may be wiped then. Close it (`contextlib.closing`) where the consumer may stop early.
    """
    if threads == 1:
        for item in items:
            yield work(item)
        return
    executor = ThreadPoolExecutor(threads, thread_name_prefix="strongroom-segment")
    pending: deque[Future[_Result]] = deque()
    try:
        for item in items:
            pending.append(executor.submit(work, item))
            if len(pending) > threads + 1:
                yield _result(pending.popleft(), pending)
        while pending:
            yield _result(pending.popleft(), pending)
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _result(future: Future[_Result], later: Iterable[Future[_Result]]) -> _Result:
    """Return a result, or raise why there is none: after a failure, items before it in order are refused for it."""
    try:
        return future.result()
    except IntegrityError as error:
        if error.code is not Code.FILE_REFUSED:
            raise
        causes = (one.exception() for one in later)
        cause = next((one for one in causes if isinstance(one, IntegrityError) and one.code is not error.code), error)
        raise cause from None


class Buffers:
    """At most `most` buffers of one size, made when needed and used again. Shared between threads."""

    def __init__(self, size: int, most: int) -> None:
        self._size = size
        self._most = most
        self._made: list[bytearray] = []
        self._free: list[bytearray] = []
        self._ready = threading.Condition()

    def take(self) -> bytearray:
        """Take a buffer, waiting for one if all are taken; its content is what the last user left."""
        with self._ready:
            while not self._free:
                if len(self._made) < self._most:
                    self._made.append(bytearray(self._size))
                    return self._made[-1]
                self._ready.wait()
            return self._free.pop()

    def give(self, buffer: bytearray) -> None:
        """Give a buffer back."""
        with self._ready:
            self._free.append(buffer)
            self._ready.notify()

    @contextmanager
    def lent(self) -> Iterator[memoryview]:
        """Take a buffer for the length of a `with` block."""
        buffer = self.take()
        try:
            yield memoryview(buffer)
        finally:
            self.give(buffer)

    def wipe(self) -> None:
        """Overwrite all buffers. Only right once no thread uses one."""
        for buffer in self._made:
            wipe(buffer)
