"""Signatures of Ed25519 on which implementations are known to disagree, made by plain arithmetic (RFC 8032).

Nothing here is secret and nothing is fast. A point of order 8 is added where "mixed" is said: the equation with the
cofactor then still holds, and the one without it need not.
"""

import hashlib
from collections.abc import Callable

from vectors.sealed_signers import b64, fixed, id_of

FIELD = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, FIELD) % FIELD
_Point = tuple[int, int]

NEUTRAL: _Point = (0, 1)
BASE: _Point = (
    15112221349535400772501151409588531511454012693041857206046113283949847762202,
    4 * pow(5, -1, FIELD) % FIELD,
)
EIGHTH: _Point = (  # of order 8
    14399317868200118260347934320527232580618823971194345261214217575416788799818,
    55188659117513257062467267217118295137698188065244968500265048394206261417927,
)


def add(one: _Point, other: _Point) -> _Point:
    """Add two points of the curve."""
    (x1, y1), (x2, y2) = one, other
    bent = _D * x1 * x2 * y1 * y2 % FIELD
    x = (x1 * y2 + x2 * y1) * pow(1 + bent, -1, FIELD)
    return x % FIELD, (y1 * y2 + x1 * x2) * pow(1 - bent, -1, FIELD) % FIELD


def times(number: int, point: _Point) -> _Point:
    """Multiply a point by a number."""
    total = NEUTRAL
    for bit in f"{number:b}":
        total = add(total, total)
        if bit == "1":
            total = add(total, point)
    return total


def encoded(point: _Point) -> bytes:
    """Return the 32 bytes of a point."""
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def scalar(name: str) -> int:
    """Return the secret number of a key made here."""
    return int.from_bytes(fixed(f"scalar {name}", 32), "little") % ORDER


MIXED = f"raw {encoded(add(times(scalar('mixed'), BASE), EIGHTH)).hex()}"  # a key with a part of order 8
PLAIN = f"raw {encoded(times(scalar('mixed'), BASE)).hex()}"  # the same key without it


def signing(
    fits: Callable[[int], bool] = lambda _: True, *, extra: _Point = NEUTRAL, r: int | None = None, raw: bytes = b""
) -> Callable[[str, bytes], dict]:
    """Return a way to sign with the key made here.

    Args:
        fits: which values of the hash, reduced by the order, to take.
        extra: what to add to R.
        r: the number R is made of, if it is not to be drawn.
        raw: 32 bytes that stand for R, whatever R is.
    """

    def sign(name: str, message: bytes) -> dict:
        public = bytes.fromhex(name.removeprefix("raw "))
        for attempt in range(256):
            number = r if r is not None else scalar(f"r {attempt} {message.hex()}")
            first = raw or encoded(add(times(number, BASE), extra))
            hashed = int.from_bytes(hashlib.sha512(first + public + message).digest(), "little") % ORDER
            if fits(hashed):
                last = (number + hashed * scalar("mixed")) % ORDER
                return {"alg": "Ed25519", "key": id_of(name), "sig": b64(first + last.to_bytes(32, "little"))}
        raise ValueError("no such hash in 256 attempts")

    return sign
