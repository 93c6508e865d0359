"""Vectors of a device's own copies (section 12): one for each thing their origin must still prove."""

import dataclasses
import hashlib
import struct

from vectors.sealed_opening_cases import LINK, THREE
from vectors.sealed_signers import signed
from vectors.sealed_writer import MIB, Case, Made, Plan, b64, fixed, flipped, make, success

MODEL = [("model.onnx", fixed("small model", 1000))]


def link_to(made: Made) -> dict:
    """Return what a local file's core header says of its origin."""
    return {"file_id": made.core["file_id"], "head": b64(hashlib.sha512(made.head).digest())}


def copy_of(source: Plan, name: str, **how: object) -> tuple[Plan, bytes]:
    """Return the plan of a device's copy, and the SHA-512 of the origin's head."""
    made = make(source)
    record = {"blind": b64(made.keys.blind), "head_part": b64(made.head_part)}
    plan = Plan(
        name, source.files, kind="local", signers=(), toc={"origin": record}, core={"origin": link_to(made)}, **how
    )
    plan.segment_size = source.segment_size
    return plan, hashlib.sha512(made.head).digest()


def opening() -> list[Case]:
    """Return copies that open."""

    def case(source: Plan, name: str, comment: str, suite: int = 1, **ask: object) -> Case:
        plan, digest = copy_of(source, name, suite=suite)
        return success(plan, comment, **({"origin_head": digest, "kind": source.kind} | ask))

    source = Plan("local-source")
    return [
        case(source, "local-opens", "a device's own copy"),
        case(Plan("local-of-2", suite=2), "local-of-suite-2", "a copy of suite 1 of a model of suite 2"),
        case(source, "chacha-local", "a copy of suite 2 of a model of suite 1", suite=2),
        case(Plan("local-of-overlay", kind="overlay", core={"base": LINK}), "local-overlay", "a copy of an overlay"),
        case(Plan("local-of-delta", kind="delta", core={"base": LINK}), "local-delta", "a copy of a delta"),
        case(Plan("local-of-empty", [("empty", b"")]), "local-empty", "a copy of a model without a byte"),
        case(
            Plan("local-of-three", signers=THREE),
            "local-of-many",
            "a copy of what three signed",
            owners=THREE,
            threshold=3,
        ),
        case(Plan("local-of-64", segment_size=2**26), "local-large", "a copy with the largest segment size"),
    ]


def broken() -> list[Case]:
    """Return copies that are refused."""
    source = Plan("local-source")
    made = make(source)
    record = {"blind": b64(made.keys.blind), "head_part": b64(made.head_part)}
    digest = hashlib.sha512(made.head).digest()

    def case(
        name: str, expect: str, comment: str, *, toc: dict | None = None, core: dict | None = None, **how: object
    ) -> Case:
        sound, _ = copy_of(source, f"local-{name}")
        ask = {key: how.pop(key) for key in ("mek", "subject", "kind", "owners", "threshold") if key in how}
        plan = dataclasses.replace(sound, toc=sound.toc | (toc or {}), core=sound.core | (core or {}), **how)
        return Case(plan, expect, comment, sound=sound, origin_head=digest, **ask)

    def origin(name: str, expect: str, comment: str, **fields: object) -> Case:
        return case(name, expect, comment, toc={"origin": record | fields})

    def of(other: Plan, name: str, expect: str, comment: str) -> Case:
        """Return a copy whose origin is another file, and that is right about it in everything."""
        plan, recorded = copy_of(other, f"local-{name}")
        sound, right = copy_of(source, plan.name)
        ask = {"origin_head": recorded, "sound_ask": {"origin_head": right}}
        return Case(plan, expect, comment, sound=sound, **ask)

    def part(at: int, new: bytes) -> str:
        return b64(made.head_part[:at] + new + made.head_part[at + len(new) :])

    unsigned = make(dataclasses.replace(source, signers=())).head_part
    other_files = [("model.onnx", fixed("another model", 1000))]
    total = struct.pack(">Q", len(made.data) + 1)
    signer = [signed("first", b"anything")]
    sound, _ = copy_of(source, "local-copy")
    asked, _ = copy_of(source, "local-kind")
    itself, _ = copy_of(source, "local-wrong-origin")
    return [
        Case(
            dataclasses.replace(sound, name="local-from-network"),
            "file-kind",
            "a local file that arrives from the network",
            sound=dataclasses.replace(sound, name="local-from-network"),
            sound_ask={"origin_head": digest},
        ),
        Case(
            source,
            "file-kind",
            "a model from the network, put into the store",
            origin_head=digest,
            sound=source,
            sound_ask={"origin_head": None},
        ),
        Case(
            dataclasses.replace(sound, name="local-asked-for"),
            "file-kind",
            "a local file that arrives from the network, asked for as such",
            kind="local",
            sound=dataclasses.replace(sound, name="local-asked-for"),
            sound_ask={"origin_head": digest, "kind": "model"},
        ),
        case("wrong-key", "file-wrong-key", "another device's key", mek=fixed("wrong", 32)),
        case("mac", "file-header-mac", "a MAC altered", bend_mac=lambda mac: flipped(mac, 0)),
        case(
            "subject", "file-subject", "another version was asked for", subject=["ac_customer", "digits", "1.1", None]
        ),
        Case(
            asked,
            "file-kind",
            "a copy of a model, where an overlay was asked for",
            kind="overlay",
            sound=asked,
            origin_head=digest,
            sound_ask={"kind": "model"},
        ),
        case("without-origin", "file-format", "a local file of no origin", core={"origin": None}),
        case("signed", "file-format", "a local file that an owner signed", bend_signatures=lambda _: signer),
        case(
            "manifest",
            "file-format",
            "a local file that lists its segments",
            bend_manifest=lambda _: {"segments": [b64(bytes(32))] * 2},
        ),
        case("base", "file-format", "a local file that names a base", core={"base": LINK}),
        case(
            "bit",
            "file-segment",
            "one bit of a stored segment; no manifest names it",
            bend_stored=lambda all_: [all_[0], flipped(all_[1], 100)],
        ),
        case(
            "contents-bit",
            "file-segment",
            "one bit of the stored table of contents",
            bend_stored=lambda all_: [flipped(all_[0], 100), all_[1]],
        ),
        case("cut", "file-truncated", "the last byte is missing", bend_file=lambda data: data[:-1]),
        case("trailing", "file-trailing", "one byte too many", bend_file=lambda data: data + b"\0"),
        case("no-record", "file-content", "a copy without its origin's record", toc={"origin": None}),
        origin("record-field", "file-content", "a record with a third field", mek=b64(bytes(32))),
        origin("blind-31", "file-content", "a record with a key of 31 bytes", blind=b64(bytes(31))),
        origin("head-empty", "file-content", "a record with an empty head part", head_part=""),
        origin("head-text", "file-content", "a record whose head part is no base64url", head_part="=" * 8),
        origin("head-cut", "file-truncated", "a head part without its last byte", head_part=b64(made.head_part[:-1])),
        origin(
            "head-trailing", "file-trailing", "a head part with a byte too many", head_part=b64(made.head_part + b" ")
        ),
        origin("head-magic", "file-format", "a head part that is none", head_part=part(0, b"\0")),
        origin("head-version", "file-unsupported", "a head part of another version", head_part=part(8, b"\2")),
        origin(
            "head-core-cap", "file-limit", "a head part with a length above its cap", head_part=part(12, b"\xff" * 4)
        ),
        origin(
            "head-total",
            "file-trailing",
            "a head part whose total is another than its parts",
            head_part=part(24, total),
        ),
        origin("head-space", "json-not-canonical", "a head part in another spelling", head_part=part(32, b" ")),
        origin(
            "head-counter",
            "file-mismatch",
            "a head part that was altered: it is not the one that the device recorded",
            head_part=part(made.head_part.index(b'"counter":1') + 10, b"2"),
        ),
        origin("unsigned-origin", "file-signature", "its origin lost its signatures", head_part=b64(unsigned)),
        _others(source, digest),
        Case(
            itself,
            "file-mismatch",
            "the device recorded another origin",
            sound=itself,
            origin_head=bytes(64),
            sound_ask={"origin_head": digest},
        ),
        case(
            "wrong-file-id",
            "file-mismatch",
            "another file_id of its origin",
            core={"origin": link_to(made) | {"file_id": b64(bytes(32))}},
        ),
        case(
            "wrong-head",
            "file-mismatch",
            "another head of its origin",
            core={"origin": link_to(made) | {"head": b64(bytes(64))}},
        ),
        case("other-counter", "file-mismatch", "another counter than its origin's", core={"counter": 2}),
        case("other-epoch", "file-mismatch", "another epoch than its origin's", core={"epoch": 2}),
        case("other-segment-size", "file-mismatch", "other segments than its origin's", segment_size=2 * MIB),
        case(
            "other-length",
            "file-mismatch",
            "a payload of another length than its origin's",
            files=[("model.onnx", bytes(999))],
        ),
        origin("other-blind", "file-subject", "a key that does not blind the origin's names", blind=b64(bytes(32))),
        of(
            Plan("local-for-bob", subject=["ac_bob", "digits", "1.0", None]),
            "other-subject",
            "file-subject",
            "a copy of what was sealed for another account",
        ),
        case("other-files", "file-content", "other files than its origin's", files=other_files),
        case("other-licence", "file-content", "another description than its origin's", toc={"licence": "MIT"}),
        of(sound, "of-a-local", "file-kind", "a copy of a copy"),
        of(
            Plan("local-of-a-delta", kind="delta", core={"base": LINK}),
            "of-another-kind",
            "file-kind",
            "a copy of a delta, where a model was asked for",
        ),
        _late(),
    ]


def _others(source: Plan, digest: bytes) -> Case:
    sound, _ = copy_of(source, "local-other-owners")
    ask = {"owners": ("second",), "sound_ask": {"owners": ("first",)}}
    return Case(sound, "file-signature", "its origin was signed by others", sound=sound, origin_head=digest, **ask)


def _late() -> Case:
    source = Plan("local-late-source", [("model", fixed("local late", MIB + 1))])
    sound, digest = copy_of(source, "local-last")
    plan = dataclasses.replace(sound, bend_stored=lambda all_: [*all_[:2], flipped(all_[2], -1)])
    first = source.files[0][1][:MIB]
    comment = "the last bit of a copy: a reader by segments may have given out the first segment"
    return Case(plan, "file-segment", comment, first, sound=sound, origin_head=digest)


def local_files() -> list[Case]:
    """Return files of a device's own store."""
    return [*opening(), *broken()]
