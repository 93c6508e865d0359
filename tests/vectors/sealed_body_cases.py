"""Vectors whose head is right and whose segments are not: some not as the manifest says, some signed so."""

import hashlib
from collections.abc import Callable

from vectors.sealed_writer import CHUNK, MIB, Case, Plan, chunked, fixed, flipped, make

TWO = [("model", fixed("two chunks", 20_000))]
FOUR = [("model", fixed("four chunks", 3 * CHUNK + 5))]
_Parts = list[bytes]


def _bent(at: int, segment: int = 1) -> Callable[[int, _Parts], _Parts]:
    return lambda index, parts: [flipped(b"".join(parts), at)] if index == segment else parts


def _parts(change: Callable[[_Parts], _Parts]) -> Callable[[int, _Parts], _Parts]:
    return lambda index, parts: [*parts[:2], *change(parts[2:])] if index == 1 else parts


def altered(suite: int) -> list[Case]:
    """Return files of which something was changed after or before their owner signed."""
    prefix = "" if suite == 1 else "chacha-"

    def stored(name: str, comment: str, bend: Callable[[_Parts], _Parts]) -> Case:
        return Case(Plan(f"{prefix}stored-{name}", TWO, suite=suite, bend_stored=bend), "file-digest", comment)

    def signed(name: str, comment: str, files: list = TWO, **how: object) -> Case:
        return Case(Plan(f"{prefix}signed-{name}", files, suite=suite, **how), "file-segment", comment)

    def resealed(name: str, comment: str, seal: Callable[[Plan, bytes, bytes, bytes], _Parts]) -> Case:
        """Seal segment 1 with other inputs: salt, context, plaintext."""
        plan = Plan(f"{prefix}signed-{name}", TWO, suite=suite)
        made = make(plan)
        salt = fixed(f"salt {plan.name} 1", 24)
        plan.bend_segment = lambda index, parts: seal(made, salt, made.contexts[1], TWO[0][1]) if index == 1 else parts
        return Case(plan, "file-segment", comment)

    other_suite = 3 - suite
    elsewhere = make(Plan("somewhere else", TWO, suite=suite))
    return [
        stored("bit", "one bit of a stored segment", lambda all_: [all_[0], flipped(all_[1], 1000)]),
        stored("salt", "one bit of a salt", lambda all_: [all_[0], flipped(all_[1], 0)]),
        stored("contents-bit", "one bit of the stored table of contents", lambda all_: [flipped(all_[0], 80), all_[1]]),
        stored("last-bit", "the last bit of the file", lambda all_: [all_[0], flipped(all_[1], -1)]),
        signed("bit", "a chunk that was altered before the owner signed", bend_segment=_bent(1000)),
        signed("tag", "a tag that was altered before the owner signed", bend_segment=_bent(-1)),
        signed("commitment", "a segment's commitment altered", bend_segment=_bent(24)),
        signed("salt", "a salt altered", bend_segment=_bent(23)),
        signed("contents-bit", "the table of contents altered before the owner signed", bend_segment=_bent(100, 0)),
        signed(
            "chunks-swapped",
            "two chunks changed places",
            FOUR,
            bend_segment=_parts(lambda all_: [all_[1], all_[0], *all_[2:]]),
        ),
        signed(
            "chunk-twice",
            "a chunk in place of its neighbour",
            FOUR,
            bend_segment=_parts(lambda all_: [all_[0], all_[0], *all_[2:]]),
        ),
        signed("place", "a segment sealed for another place", segment_index=lambda index: 7 if index else 0),
        resealed(
            "other-file",
            "a segment sealed for another file",
            lambda made, salt, _, plain: chunked(made.keys.payload, salt, elsewhere.contexts[1], plain, suite),
        ),
        resealed(
            "other-count",
            "a segment sealed for a file of more segments",
            lambda made, salt, context, plain: chunked(made.keys.payload, salt, context[:-1] + b"\3", plain, suite),
        ),
        resealed(
            "other-key",
            "a segment sealed under the key of the names",
            lambda made, salt, context, plain: chunked(made.keys.blind, salt, context, plain, suite),
        ),
        resealed(
            "other-cipher",
            f"a segment sealed with the cipher of suite {other_suite}",
            lambda made, salt, context, plain: chunked(made.keys.payload, salt, context, plain, other_suite),
        ),
        resealed(
            "no-context",
            "a segment sealed without a context",
            lambda made, salt, _, plain: chunked(made.keys.payload, salt, b"", plain, suite),
        ),
    ]


def larger() -> list[Case]:
    """Return files of more than one segment of payload, and files that say they have one more or one less."""
    large = [("model", fixed("large", MIB + 9))]

    def shape(name: str, comment: str, bend: Callable[[_Parts], _Parts]) -> Case:
        return Case(Plan(name, bend_plain=bend), "file-format", comment)

    return [
        Case(
            Plan("signed-last", large, bend_segment=_bent(-1, 2)),
            "file-segment",
            "the payload's second segment is broken: a reader by segments may have given out its first",
            large[0][1][:MIB],
        ),
        shape("segment-empty", "an empty segment at the end, sealed, listed and signed", lambda all_: [*all_, b""]),
        shape("segments-uneven", "a payload in two halves", lambda all_: [all_[0], all_[1][:500], all_[1][500:]]),
        shape("segments-joined", "table of contents and payload in one segment", lambda all_: [all_[0] + all_[1]]),
    ]


def other_suites() -> list[Case]:
    """Return files of suite 2 that are tried with another key or under another number."""

    def number_1(data: bytes) -> bytes:
        return data[:9] + b"\1" + data[10:]

    return [
        Case(
            Plan("chacha-wrong-key", TWO, suite=2),
            "file-wrong-key",
            "suite 2: another key of 32 bytes",
            mek=fixed("wrong", 32),
        ),
        Case(
            Plan("chacha-mac", TWO, suite=2, bend_mac=lambda mac: hashlib.sha256(mac).digest()),
            "file-header-mac",
            "suite 2: another MAC",
        ),
        Case(
            Plan("chacha-downgrade", TWO, suite=2, bend_file=number_1),
            "file-signature",
            "suite 2 that calls itself suite 1",
        ),
        Case(
            Plan("chacha-downgrade-signed", TWO, suite=2, bend_file=number_1, bend_head=number_1),
            "file-wrong-key",
            "suite 2 that calls itself suite 1, signed so: no key of one suite is a key of another",
        ),
    ]


def segments() -> list[Case]:
    """Return files with wrong segments, of both suites."""
    return [*altered(1), *altered(2), *larger(), *other_suites()]
