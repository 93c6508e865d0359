"""Vectors that their owners did not sign as they stand (section 7), one for each way to misread Ed25519 among them."""

import base64
import dataclasses
import hashlib
from collections.abc import Callable

from vectors.ed25519_points import EIGHTH, FIELD, MIXED, NEUTRAL, ORDER, PLAIN, encoded, signing
from vectors.sealed_opening_cases import HYBRID, THREE
from vectors.sealed_signers import b64, id_of, owner, signed
from vectors.sealed_writer import Case, Plan, flipped


def _raw(signature: dict) -> bytes:
    return base64.urlsafe_b64decode(signature["sig"] + "==")


def _beyond_order(times: int) -> Callable[[list], list]:
    def bend(signatures: list) -> list:
        raw = _raw(signatures[0])
        scalar = int.from_bytes(raw[32:], "little") + times * ORDER
        return [signatures[0] | {"sig": b64(raw[:32] + scalar.to_bytes(32, "little"))}]

    return bend


def _over(change: Callable[[bytes], bytes]) -> Callable[[str, bytes], dict]:
    return lambda name, message: {
        "alg": "Ed25519",
        "key": id_of(name),
        "sig": b64(owner(name).sign(change(message))),
    }


def trust() -> list[Case]:
    """Return files that too few owners signed, or that they signed otherwise."""

    def case(name: str, comment: str, sound: tuple[str, ...] = ("first",), **how: object) -> Case:
        ask = {"owners": how.pop("owners", ("first",)), "threshold": how.pop("threshold", 1)}
        return Case(Plan(name, **how), "file-signature", comment, sound=Plan(name, signers=sound), **ask)

    digest = hashlib.sha512
    return [
        case("unsigned", "signatures stripped", signers=()),
        case("stranger", "signed by a key that is no owner's", signers=("stranger",)),
        case("other-head", "signature over another head", bend_head=lambda head: flipped(head, -9)),
        case("scalar", "an Ed25519 scalar beyond the group's order", bend_signatures=_beyond_order(1)),
        case("scalar-twice", "an Ed25519 scalar beyond twice the group's order", bend_signatures=_beyond_order(2)),
        case("one-of-two", "one owner signed, two are needed", THREE[:2], owners=THREE, threshold=2),
        case(
            "two-of-three-needed",
            "two owners signed, three are needed",
            THREE,
            signers=THREE[:2],
            owners=THREE,
            threshold=3,
        ),
        case(
            "one-and-a-stranger",
            "one owner and a stranger signed, two owners are needed",
            THREE[:2],
            signers=("first", "stranger"),
            owners=THREE,
            threshold=2,
        ),
        case(
            "claimed",
            "one owner's signature under another owner's name",
            owners=THREE,
            bend_signatures=lambda all_: [all_[0] | {"key": id_of("second")}],
        ),
        case(
            "algorithm-of-the-file",
            "a known key of Ed25519, called ML-DSA-65 in the block",
            bend_signatures=lambda all_: [all_[0] | {"alg": "ML-DSA-65", "sig": b64(_raw(all_[0]) + bytes(3245))}],
        ),
        case("signed-without-label", "signed without the label", sign=_over(lambda message: message[19:])),
        case("signed-short-digest", "a digest of 32 bytes was signed", sign=_over(lambda message: message[:51])),
        case(
            "signed-digest-twice",
            "the digest of the message was signed",
            sign=_over(lambda message: digest(message).digest()),
        ),
    ]


def hybrids() -> list[Case]:
    """Return files of an owner with two keys that did not both sign."""
    both = ("first", "pq first")

    def case(name: str, comment: str, **how: object) -> Case:
        return Case(Plan(name, **how), "file-signature", comment, owners=(HYBRID,), sound=Plan(name, signers=both))

    def broken(at: int) -> Callable[[str, bytes], dict]:
        def sign(name: str, message: bytes) -> dict:
            made = signed(name, message)
            return made if not name.startswith("pq ") else made | {"sig": b64(flipped(_raw(made), at))}

        return sign

    return [
        case("hybrid-ed25519-only", "an owner with two keys signed with Ed25519 alone", signers=both[:1]),
        case("hybrid-ml-dsa-only", "an owner with two keys signed with ML-DSA-65 alone", signers=both[1:]),
        case(
            "hybrid-ml-dsa-bit", "an owner with two keys, one bit of ML-DSA-65 changed", signers=both, sign=broken(1000)
        ),
        case(
            "hybrid-ml-dsa-hint",
            "an owner with two keys, the hints of ML-DSA-65 changed",
            signers=both,
            sign=broken(-1),
        ),
        Case(
            Plan("hybrid-counts-once", signers=both),
            "file-signature",
            "an owner with two keys is one owner, two are needed",
            owners=(HYBRID, "second"),
            threshold=2,
            sound=Plan("hybrid-counts-once", signers=(*both, "second")),
        ),
    ]


def points() -> list[Case]:
    """Return signatures that only a lax verification of Ed25519 accepts."""
    neutral = encoded(NEUTRAL)

    def case(name: str, comment: str, key: str = PLAIN, **bent: object) -> Case:
        sound = Plan(f"ed25519-{name}", signers=(key,), sign=signing(lambda hashed: hashed % 8 == 0))
        plan = dataclasses.replace(sound, sign=signing(**bent))
        return Case(plan, "file-signature", comment, owners=(key,), sound=sound)

    above = (FIELD + 1).to_bytes(32, "little")
    return [
        case(
            "cofactor-key",
            "only the equation with the cofactor holds: the key has a part of order 8",
            MIXED,
            fits=lambda hashed: hashed % 8,
        ),
        case("cofactor-r", "only the equation with the cofactor holds: R has a part of order 8", extra=EIGHTH),
        case("r-above-field", "R is the neutral element, spelled with y = p + 1", r=0, raw=above),
        case(
            "r-sign", "R is the neutral element, spelled with the sign of a zero", r=0, raw=flipped(neutral, 31, 0x80)
        ),
        case("r-no-point", "R is no point of the curve", raw=(2).to_bytes(32, "little")),
    ]
