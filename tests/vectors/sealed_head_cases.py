"""Vectors whose head breaks one rule: preamble, core header, manifest, signature block, keys."""

import struct
from collections.abc import Callable

from vectors.sealed_opening_cases import LINK
from vectors.sealed_writer import CHUNK, MIB, SUBJECT, Case, Plan, b64, fixed, flipped


def preambles() -> list[Case]:
    """Return files whose first 32 bytes are wrong."""

    def patched(name: str, at: int, value: bytes, expect: str, comment: str) -> Case:
        plan = Plan(name, bend_file=lambda data: data[:at] + value + data[at + len(value) :])
        return Case(plan, expect, comment)

    def total(name: str, by: int, expect: str, comment: str) -> Case:
        def bend(data: bytes) -> bytes:
            return data[:24] + struct.pack(">Q", len(data) + by) + data[32:]

        return Case(Plan(name, bend_file=bend), expect, comment)

    def shortened(data: bytes) -> bytes:
        return data[:24] + struct.pack(">Q", len(data) - 1) + data[32:-1]

    def lengthened(data: bytes) -> bytes:
        return data[:24] + struct.pack(">Q", len(data) + 1) + data[32:] + b"\0"

    return [
        patched("magic", 0, b"\x88", "file-format", "one bit of the magic"),
        Case(
            Plan("text-mode", bend_file=lambda data: data.replace(b"\r\n", b"\n")),
            "file-format",
            "mangled as if it were text",
        ),
        patched("version-0", 8, b"\0", "file-unsupported", "format version 0"),
        patched("version-2", 8, b"\2", "file-unsupported", "format version 2"),
        patched("suite-0", 9, b"\0", "file-unsupported", "cipher suite 0"),
        patched("suite-99", 9, b"\x63", "file-unsupported", "cipher suite 99"),
        patched("suite-3", 9, b"\3", "file-unsupported", "cipher suite 3, which is reserved"),
        patched("flags", 10, b"\0\1", "file-format", "a flag, where version 1 has none"),
        patched("flags-high", 10, b"\x80\0", "file-format", "the highest flag"),
        patched("core-empty", 12, bytes(4), "file-limit", "core header of no bytes"),
        patched("core-65537", 12, struct.pack(">I", 65_537), "file-limit", "core header one byte above its cap"),
        patched("manifest-zero", 16, bytes(4), "file-limit", "manifest of no bytes"),
        patched("manifest-1048577", 16, struct.pack(">I", MIB + 1), "file-limit", "manifest one byte above its cap"),
        patched("manifest-4-gib", 16, b"\xff" * 4, "file-limit", "manifest of 4 GiB less one byte"),
        patched("signatures-65537", 20, struct.pack(">I", 65_537), "file-limit", "signature block above its cap"),
        patched("signatures-1", 20, struct.pack(">I", 1), "file-limit", "signature block of one byte"),
        total("total-short", -1, "file-trailing", "declared one byte shorter than it is"),
        total("total-long", 1, "file-truncated", "declared one byte longer than it is"),
        patched("total-huge", 24, b"\xff" * 8, "file-truncated", "declared 2^64 - 1 bytes long"),
        patched("total-zero", 24, bytes(8), "file-truncated", "declared no bytes long"),
        Case(Plan("total-below-segments", bend_file=shortened), "file-truncated", "a byte less, and declared so"),
        Case(Plan("total-above-segments", bend_file=lengthened), "file-trailing", "a byte more, and declared so"),
        Case(Plan("no-bytes", bend_file=lambda data: b""), "file-format", "no byte at all"),
        Case(Plan("one-byte", bend_file=lambda data: data[:1]), "file-truncated", "the first byte of the magic"),
        Case(Plan("text", bend_file=lambda data: b"PK\3\4"), "file-format", "four bytes of something else"),
        Case(Plan("cut-preamble", bend_file=lambda data: data[:31]), "file-truncated", "31 bytes"),
        Case(Plan("cut-head", bend_file=lambda data: data[:400]), "file-truncated", "ends inside the core header"),
        Case(
            Plan("cut-head-only", bend_file=lambda data: data[: data.index(b"}]") + 2]),
            "file-truncated",
            "the head part alone",
        ),
        Case(Plan("cut-end", bend_file=lambda data: data[:-1]), "file-truncated", "the last byte is missing"),
        Case(Plan("twice", bend_file=lambda data: data * 2), "file-trailing", "the file twice"),
        Case(Plan("trailing", bend_file=lambda data: data + b"\0"), "file-trailing", "one byte too many"),
    ]


def heads() -> list[Case]:
    """Return files whose core header follows the grammar and breaks a rule of section 4."""
    hints = {"hint": 1, "aint": 2}
    many = {f"hint_{number:02}": number for number in range(17)}

    def core(name: str, expect: str, comment: str, sound: dict | None = None, **fields: object) -> Case:
        return Case(Plan(name, core=(sound or {}) | fields), expect, comment, sound=Plan(name, core=sound or {}))

    def form(name: str, comment: str, **fields: object) -> Case:
        return core(name, "file-format", comment, **fields)

    def limit(name: str, comment: str, **fields: object) -> Case:
        return core(name, "file-limit", comment, **fields)

    return [
        form("field-missing", "no `epoch`", epoch=...),
        form("field-negative", "a counter below 1", counter=-1),
        form("epoch-0", "an epoch of 0", epoch=0),
        form("epoch-true", "an epoch that is true, which is 1 to some", epoch=True),
        form("epoch-text", "an epoch that is a string", epoch="1"),
        form("segments-0", "no segment", segments=0),
        form("toc-length-0", "a table of contents of no bytes", toc_length=0),
        form("payload-negative", "a payload of -1 bytes", payload_length=-1),
        form("file-id-31", "31 bytes where 32 are expected", file_id=b64(bytes(31))),
        form("key-id-null", "a field that is null", key_id=None),
        form("kind-unknown", "a kind nobody knows", kind="pickle"),
        form("kind-list", "a kind that is a list", kind=["model"]),
        form("model-with-base", "a model that names a base", base=LINK),
        form("model-with-origin", "a model that names an origin", origin=LINK),
        form("overlay-without-base", "an overlay without a base", kind="overlay"),
        form("delta-without-base", "a delta without a base", kind="delta"),
        _overlay("base-more", "a base with a third field", LINK | {"kind": "model"}),
        _overlay("base-head-32", "a base named by 32 bytes of 64", LINK | {"head": b64(bytes(32))}),
        limit("segments-65537", "65,537 segments", segments=65_537, payload_length=65_536 * MIB),
        limit("segments-16385", "16,385 segments", segments=16_385, payload_length=16_384 * MIB),
        limit("segment-size-odd", "a segment size that is no power of two", segment_size=MIB + CHUNK),
        limit("segment-size-zero", "segments of no bytes", segment_size=0),
        limit("segment-size-half", "segments of 2^19 bytes", segment_size=2**19),
        limit("segment-size-double", "segments of 2^27 bytes", segment_size=2**27),
        limit("toc-too-long", "a table of contents above its cap", toc_length=2**22 + 1),
        limit("toc-above-segment", "a table of contents longer than a segment", toc_length=MIB + 1),
        limit("payload-2-to-53", "2^53 - 1 bytes of payload", payload_length=2**53 - 1, segments=2**33),
        form("segments-one-more", "one segment more than the payload needs", segments=3),
        form("segments-one-less", "one segment less than the payload needs", segments=1),
        form("payload-none", "no payload, where there is a segment for it", payload_length=0),
        core("critical", "file-unsupported", "an extension that must be understood", {"hint": 1}, critical=["hint"]),
        core("critical-two", "file-unsupported", "two extensions, in order", hints, critical=["aint", "hint"]),
        form("critical-absent", "a critical field that is not there", critical=["hint"]),
        form(
            "critical-constructor",
            "a critical field that is absent, but not from objects of JavaScript",
            critical=["constructor"],
        ),
        form("critical-known", "a field of version 1 called critical", critical=["epoch"]),
        form("critical-unsorted", "critical fields out of order", sound=hints, critical=["hint", "aint"]),
        form("critical-twice", "a critical field named twice", sound=hints, critical=["hint", "hint"]),
        form("critical-17", "17 critical fields", sound=many, critical=sorted(many)),
        form("critical-text", "a string where a list is expected", sound=hints, critical="hint"),
        form("critical-key", "a name that is no key", sound=hints, critical=["Hint"]),
        Case(
            Plan("core-list", bend_core=lambda data: b"[" + data + b"]"), "file-format", "a list around the core header"
        ),
    ]


def _overlay(name: str, comment: str, base: dict) -> Case:
    sound = Plan(name, kind="overlay", core={"base": LINK})
    return Case(Plan(name, kind="overlay", core={"base": base}), "file-format", comment, sound=sound, kind="overlay")


def lists() -> list[Case]:
    """Return files whose manifest or signature block breaks a rule of section 5 or 7."""
    nothing = b64(bytes(32))

    def manifest(name: str, expect: str, comment: str, bend: Callable[[list], object]) -> Case:
        return Case(Plan(name, bend_manifest=lambda value: bend(value["segments"])), expect, comment)

    def block(name: str, comment: str, bend: Callable[[list], object]) -> Case:
        return Case(Plan(name, bend_signatures=bend), "file-format", comment)

    def crowd(all_: list) -> list:
        return [*all_, *(all_[0] | {"key": b64(fixed(f"nobody {number}", 32))} for number in range(64))]

    return [
        manifest("manifest-short", "file-format", "one digest too few", lambda all_: {"segments": all_[:-1]}),
        manifest("manifest-long", "file-format", "one digest too many", lambda all_: {"segments": [*all_, nothing]}),
        manifest("manifest-empty", "file-format", "no digest, as if it were local", lambda all_: {"segments": []}),
        manifest("manifest-field", "file-format", "a second field", lambda all_: {"segments": all_, "more": 1}),
        manifest("manifest-list", "file-format", "a list, not an object", lambda all_: all_),
        manifest("manifest-31", "file-format", "31 bytes", lambda all_: {"segments": [b64(bytes(31)), all_[1]]}),
        manifest("manifest-null", "file-format", "null for a digest", lambda all_: {"segments": [None, all_[1]]}),
        manifest(
            "manifest-swapped", "file-digest", "two digests changed places", lambda all_: {"segments": all_[::-1]}
        ),
        block("signature-size", "an Ed25519 signature of 65 bytes", lambda all_: [all_[0] | {"sig": b64(bytes(65))}]),
        block("signature-short", "an Ed25519 signature of 63 bytes", lambda all_: [all_[0] | {"sig": b64(bytes(63))}]),
        block("signature-algorithm", "an algorithm of other uses", lambda all_: [all_[0] | {"alg": "ES256"}]),
        block("signature-small-alg", "an algorithm in small letters", lambda all_: [all_[0] | {"alg": "ed25519"}]),
        block("signature-ml-dsa-64", "64 bytes for ML-DSA-65", lambda all_: [all_[0] | {"alg": "ML-DSA-65"}]),
        block("signature-field", "a fourth field", lambda all_: [all_[0] | {"time": 1}]),
        block("signature-no-key", "no name of a key", lambda all_: [{"alg": "Ed25519", "sig": all_[0]["sig"]}]),
        block("signature-key-31", "a key named by 31 bytes", lambda all_: [all_[0] | {"key": b64(bytes(31))}]),
        block("signatures-object", "an object, not a list", lambda all_: all_[0]),
        block("signatures-65", "65 signatures", crowd),
        block("signed-twice", "two signatures by one key", lambda all_: all_ * 2),
    ]


def secrets() -> list[Case]:
    """Return files that their key or their place refuses."""
    bob, alpha = ["ac_other", *SUBJECT[1:]], [SUBJECT[0], "alpha", *SUBJECT[2:]]
    everybody = [None, *SUBJECT[1:]]

    def case(name: str, expect: str, comment: str, **how: object) -> Case:
        ask = {key: how.pop(key) for key in ("mek", "kind") if key in how}
        if "asked" in how:
            ask["subject"] = how.pop("asked")
        return Case(Plan(name, **how), expect, comment, **ask)

    def last_bit(mac: bytes) -> bytes:
        return flipped(mac, 31, 0x80)

    other = b64(fixed("other id", 32))
    return [
        case("wrong-key", "file-wrong-key", "another key of 32 bytes", mek=fixed("wrong", 32)),
        case("key-bit", "file-wrong-key", "the key with one bit changed", mek=flipped(fixed("mek key-bit", 32), 31)),
        case("commitment", "file-wrong-key", "a commitment to no key", core={"commitment": b64(bytes(32))}),
        case("file-id", "file-wrong-key", "the identifier of another file", core={"file_id": other}),
        case("mac", "file-header-mac", "the MAC's last bit", bend_mac=last_bit),
        case("mac-zero", "file-header-mac", "a MAC of zeros", bend_mac=lambda mac: bytes(32)),
        case(
            "wrong-key-and-mac",
            "file-wrong-key",
            "wrong key and wrong MAC: the key is noticed first",
            bend_mac=lambda mac: flipped(mac, 0),
            mek=fixed("wrong", 32),
        ),
        case("account", "file-subject", "sealed for another account", subject=bob, asked=SUBJECT),
        case("account-of-all", "file-subject", "sealed for every account, asked for as one's own", asked=everybody),
        case("account-empty", "file-subject", "an empty account is not every account", asked=["", *SUBJECT[1:]]),
        case("model", "file-subject", "another model was asked for", asked=alpha),
        case("version", "file-subject", "another version was asked for", asked=[*SUBJECT[:2], "1.1", None]),
        case("user", "file-subject", "sealed for one user", subject=[*SUBJECT[:3], "us_anna"], asked=SUBJECT),
        case("subject", "file-subject", "a subject that is no hash of this one", core={"subject": b64(bytes(32))}),
        case("kind", "file-kind", "a model, where an overlay was expected", kind="overlay"),
        case("kind-delta", "file-kind", "a model, where a delta was expected", kind="delta"),
    ]
