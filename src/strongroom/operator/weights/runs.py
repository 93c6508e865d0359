"""Runs of numbers inside files: which bytes they take, and how two of them compare."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from strongroom.errors import Code, InputError

FEWEST = 64  # numbers: shorter tensors are scales, shapes, bounds, and a model without them may not run


class Order(Enum):
    """How the bits of a number say which of two is larger."""

    FLOAT = "float"  # the highest bit is the sign, the others the amount
    SIGNED = "signed"  # two's complement
    UNSIGNED = "unsigned"

    def key(self, width: int) -> Callable[[int], int]:
        """Return what turns the bits of a number of `width` bytes into an integer of the same order."""
        sign = 1 << (8 * width - 1)
        if self is Order.FLOAT:
            return lambda bits: sign - bits if bits & sign else bits
        if self is Order.SIGNED:
            return lambda bits: bits - 2 * sign if bits & sign else bits
        return lambda bits: bits


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of numbers: `width` bytes each, little-endian."""

    order: Order
    width: int


FLOAT8, FLOAT16, FLOAT32, FLOAT64 = (Kind(Order.FLOAT, width) for width in (1, 2, 4, 8))
INT8, UINT8 = Kind(Order.SIGNED, 1), Kind(Order.UNSIGNED, 1)


@dataclass(frozen=True, slots=True)
class Run:
    """The numbers of one tensor: `count` of a kind, from byte `offset` of the file at `path`."""

    path: str
    offset: int
    count: int
    kind: Kind = field(repr=False)

    @property
    def end(self) -> int:
        return self.offset + self.count * self.kind.width


def broken(path: str, what: str) -> InputError:
    """Return the error for a file that does not hold what its name says."""
    step = "give the model as its framework wrote it"
    return InputError(Code.ARGUMENT, f"this file cannot be read: {what}", where=path, next_step=step)
