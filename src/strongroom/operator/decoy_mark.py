"""Weights that are worthless and marked: numbers change places inside a tensor, by a key (docs/decisions/0027).

Of each block of numbers, a share that the key picks go round in an order that the key picks; then each two neighbours
of that order stand so that a bit of the key says which is larger. Every number stays, so sizes, distributions and
entropy do. Who has the key sees all bits right; who asks with another key, or of another model, sees a fair coin, since
the bits do not depend on the weights. That also holds after training, rounding or pruning, as far as order lasts.
"""

import hashlib
import math
import sys
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from strongroom.canonical import encode
from strongroom.operator.weights import Run

KEY_SIZE = 32  # bytes
LEAST_DAMAGE = 0.1  # what every decoy has changed, and what the mark is read from
CERTAIN = 7.0  # standard deviations: one of 10^11 models that are not marked is beyond
_BLOCK = 1 << 18  # numbers: bounds the memory that a large tensor takes
_CODES = {1: "B", 2: "H", 4: "I", 8: "Q"}
_WORD = 1 << 32


@dataclass(frozen=True, slots=True)
class Mark:
    """How well a model fits a key: of so many pairs of different numbers, how many stand as the key says."""

    pairs: int
    fitting: int

    @property
    def z(self) -> float:
        """Standard deviations from a fair coin; 0.0 without pairs."""
        return (2 * self.fitting - self.pairs) / math.sqrt(self.pairs) if self.pairs else 0.0

    @property
    def found(self) -> bool:
        return self.z >= CERTAIN


def damage(files: Mapping[str, memoryview], runs: Iterable[Run], key: bytes, share: float) -> int:
    """Change a share of the numbers of each run where they lie; return how many.

    Args:
        files: path inside the model → its bytes, writable.
        runs: where the weights are, as `weights.find` gives them.
        key: KEY_SIZE secret bytes.
        share: of the numbers, from LEAST_DAMAGE to 1.
    """
    changed = 0
    for run, offset, count, seed in _blocks(runs, key):
        view = files[run.path][offset : offset + count * run.kind.width]
        numbers = _numbers(run, view)
        places = _places(seed, count, share)
        values = [numbers[at] for at in places]
        half = len(values) // 2
        values = values[half:] + values[:half]
        order = run.kind.order.key(run.kind.width)
        for pair, larger_first in enumerate(_bits(seed, half)):
            one, other = values[2 * pair : 2 * pair + 2]
            if (order(one) > order(other)) is not larger_first:
                values[2 * pair : 2 * pair + 2] = (other, one)
        for at, value in zip(places, values, strict=True):
            numbers[at] = value
        changed += len(places)
        view[:] = _little(numbers).tobytes()
    return changed


def read(files: Mapping[str, memoryview], runs: Iterable[Run], key: bytes) -> Mark:
    """Compare a model with a key. It takes no other copy of the model, and no word of how much was damaged."""
    pairs = fitting = 0
    for run, offset, count, seed in _blocks(runs, key):
        numbers = _numbers(run, files[run.path][offset : offset + count * run.kind.width])
        order = run.kind.order.key(run.kind.width)
        places = _places(seed, count, LEAST_DAMAGE)
        for pair, larger_first in enumerate(_bits(seed, len(places) // 2)):
            one, other = order(numbers[places[2 * pair]]), order(numbers[places[2 * pair + 1]])
            if one != other:
                pairs += 1
                fitting += (one > other) is larger_first
    return Mark(pairs, fitting)


def _blocks(runs: Iterable[Run], key: bytes) -> Iterable[tuple[Run, int, int, bytes]]:
    """Cut runs into blocks, each with a seed of its own.

    A seed says how long a tensor is and the how manieth of that length, not its name or format: a model that is
    exported again under other names keeps its mark.
    """
    met: dict[int, int] = {}
    for run in runs:
        nth = met[run.count] = met.get(run.count, 0) + 1
        for first in range(0, run.count, _BLOCK):
            seed = b"strongroom/decoy-mark/v1\0" + key + encode([run.count, nth, first])
            yield run, run.offset + first * run.kind.width, min(_BLOCK, run.count - first), seed


def _places(seed: bytes, count: int, share: float) -> list[int]:
    """Pick places in an order of the key; those of a smaller share are the first of a larger one's."""
    words = array("I", hashlib.shake_256(seed + b"places").digest(4 * count))
    limit = share * _WORD
    return sorted((at for at, word in enumerate(words) if word < limit), key=words.__getitem__)


def _bits(seed: bytes, count: int) -> Iterable[bool]:
    for byte in hashlib.shake_256(seed + b"order").digest(-(-count // 8)):
        for bit in range(min(8, count)):
            yield bool(byte >> bit & 1)
        count -= 8


def _numbers(run: Run, view: memoryview) -> "array[int]":
    return _little(array(_CODES[run.kind.width], bytes(view)))


def _little(numbers: "array[int]") -> "array[int]":
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
