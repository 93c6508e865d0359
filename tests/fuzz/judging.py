"""What every input must come to: accepted, or refused with an error of ours, in bounded memory.

A target is a function of bytes that returns or raises; anything else than a refusal that its documentation names is a
finding. Memory is measured for every 64th input, chosen by the input itself, so that a finding is found again.
"""

import tracemalloc
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random

from fuzz.mutation import Bytewise
from strongroom.errors import Code, StrongroomError

MEMORY = 16 * 2**20  # bytes that judging one input may take at most
MEASURED = 64  # one input in so many
FORMS = frozenset(  # what a head may be refused with before anything secret is known: steps 1 and 2
    (
        Code.FILE_FORMAT, Code.FILE_UNSUPPORTED, Code.FILE_LIMIT, Code.FILE_TRUNCATED, Code.FILE_TRAILING,
        Code.JSON_NOT_CANONICAL,
    )
)  # fmt: skip

Refusals = dict[type[StrongroomError], frozenset[Code]]


@dataclass(frozen=True, slots=True)
class Target:
    """One thing to be fuzzed.

    Attributes:
        name: as on the command line.
        judge: takes one input; returns if it was accepted or is no input at all, raises what `refusals` names.
        refusals: the errors its documentation names, by family.
        seeds: makes the inputs to begin with.
        mutate: changes an input, knowing its form.
        runs: executions of one run in CI.
        longest: bytes of the longest input tried.
    """

    name: str
    judge: Callable[[bytes], None]
    refusals: Refusals
    seeds: Callable[[], Iterable[bytes]]
    mutate: Callable[[Random, bytes, Bytewise], bytes]
    runs: int
    longest: int = field(default=65_536)

    def __call__(self, data: bytes) -> None:
        """Judge one input; whatever this raises is a finding."""
        if zlib.crc32(data) % MEASURED:
            self._refused(data)
            return
        tracemalloc.start()
        try:
            self._refused(data)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak <= MEMORY, f"{peak} bytes were taken for an input of {len(data)}"

    def _refused(self, data: bytes) -> None:
        try:
            self.judge(data)
        except StrongroomError as error:
            if error.code not in self.refusals.get(type(error), ()) or not str(error).isprintable():
                raise
