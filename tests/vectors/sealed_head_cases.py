"""Vectors whose head opens, or breaks one rule: preamble, canonical JSON, fields, owners, keys."""

import base64
import struct

from vectors.sealed_writer import CHUNK, MIB, SUBJECT, Case, Plan, b64, fixed, flipped, key_id, owner, success

NOTHING = b64(bytes(32))
GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493  # of Ed25519


def opening() -> list[Case]:
    """Return files that open."""
    several = [("model.onnx", fixed("a", 300)), ("labels/names.txt", b"cat\ndog\n"), ("empty", b"")]
    named = [("mod\u00e8le-\u6a21\u578b.bin", fixed("b", 40))]
    described = {
        "format": "onnx",
        "licence": "Apache-2.0",
        "metadata": {"classes": 10, "name": "Ziffern \u2013 \U0001f522"},
        "overlayable": ["head.weight"],
        "runtimes": ["onnx"],
    }
    link = {"file_id": b64(fixed("base id", 32)), "head": b64(fixed("base head", 64))}
    return [
        *(
            success(Plan(f"bytes-{size}", [("model", fixed(f"payload {size}", size))]), f"a model of {size} bytes")
            for size in (0, 1, 16_383, 16_384, 16_385)
        ),
        success(Plan("two-segments", [("model", fixed("large", MIB + 1))]), "one byte more than a segment"),
        success(Plan("several-files", several), "three files, one of them empty"),
        success(Plan("described", named, toc=described), "a description, and names beyond ASCII"),
        success(Plan("overlay", kind="overlay", core={"base": link}), "an overlay names its base", kind="overlay"),
        success(Plan("for-one-user", subject=["ac_customer", "digits", "1.0", "us_anna"]), "sealed for one user"),
        success(Plan("for-all-accounts", subject=[None, "digits", "1.0", None]), "sealed for every account"),
        success(Plan("large-segments", segment_size=2**26), "the largest segment size, a small model"),
        success(
            Plan("extension", core={"hint": {"any": ["thing"]}}), "an unknown field that is not critical is ignored"
        ),
        success(
            Plan("two-of-three", signers=("third", "stranger", "first")),
            "two owners of three signed, and a stranger, who changes nothing",
            owners=("first", "second", "third"),
            threshold=2,
        ),
    ]


def preambles() -> list[Case]:
    """Return files whose first 32 bytes are wrong."""

    def patched(name: str, at: int, value: bytes, expect: str, comment: str) -> Case:
        plan = Plan(name, bend_file=lambda data: data[:at] + value + data[at + len(value) :])
        return Case(plan, expect, comment)

    def total(name: str, by: int, expect: str, comment: str) -> Case:
        def bend(data: bytes) -> bytes:
            return data[:24] + struct.pack(">Q", len(data) + by) + data[32:]

        return Case(Plan(name, bend_file=bend), expect, comment)

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
        patched("flags", 10, b"\0\1", "file-format", "a flag, where version 1 has none"),
        patched("core-empty", 12, bytes(4), "file-limit", "core header of no bytes"),
        patched("core-65537", 12, struct.pack(">I", 65_537), "file-limit", "core header one byte above its cap"),
        patched("manifest-4-gib", 16, b"\xff" * 4, "file-limit", "manifest of 4 GiB less one byte"),
        patched("signatures-65537", 20, struct.pack(">I", 65_537), "file-limit", "signature block above its cap"),
        total("total-short", -1, "file-trailing", "declared one byte shorter than it is"),
        total("total-long", 1, "file-truncated", "declared one byte longer than it is"),
        patched("total-huge", 24, b"\xff" * 8, "file-truncated", "declared 2^64 - 1 bytes long"),
        Case(Plan("cut-preamble", bend_file=lambda data: data[:31]), "file-truncated", "31 bytes"),
        Case(Plan("cut-head", bend_file=lambda data: data[:400]), "file-truncated", "ends inside the core header"),
        Case(Plan("cut-end", bend_file=lambda data: data[:-1]), "file-truncated", "the last byte is missing"),
        Case(Plan("trailing", bend_file=lambda data: data + b"\0"), "file-trailing", "one byte too many"),
    ]


def json_forms() -> list[Case]:
    """Return files whose core header is not canonical JSON, under a MAC and signatures that are right for it."""

    def spelled(name: str, old: bytes, new: bytes, comment: str, **core: object) -> Case:
        plan = Plan(f"json-{name}", bend_core=lambda data: data.replace(old, new, 1), core=core)
        return Case(plan, "json-not-canonical", comment)

    def spare_bits(data: bytes) -> bytes:
        at = data.index(b'","kind"') - 1  # the last letter of key_id: four of its six bits are unused
        return data[:at] + bytes([data[at] + 1]) + data[at + 1 :]

    return [
        spelled("duplicate-key", b'"counter":1,', b'"counter":1,"counter":1,', "a key twice"),
        spelled("unsorted", b'"critical":[],"epoch":1,', b'"epoch":1,"critical":[],', "keys out of order"),
        spelled("space", b'"counter":1', b'"counter": 1', "a space"),
        spelled("fraction", b'"counter":1', b'"counter":1.0', "a number with a fraction"),
        spelled("exponent", b'"counter":1', b'"counter":1e0', "a number with an exponent"),
        spelled("minus-zero", b'"counter":1', b'"counter":-0', "minus zero"),
        spelled("2-to-53", b'"counter":1', b'"counter":9007199254740992', "2^53"),
        spelled("delete", b"\\u007f", b"\x7f", "U+007F as it is", hint="\x7f"),
        spelled("surrogate", b"", b"", "half a surrogate pair", hint="\ud800"),
        spelled("capital-escape", b"\\u00e9", b"\\u00E9", "an escape in capitals", hint="\u00e9"),
        spelled("escaped-slash", b'"a/b"', b'"a\\/b"', "an escape that is not needed", hint="a/b"),
        spelled("deep", b"", b"", "nine levels", hint=[[[[[[[[1]]]]]]]]),
        spelled("integer-like-key", b'"hint"', b'"1"', "a key that starts with a digit", hint=1),
        Case(
            Plan("json-base64-bits", bend_core=spare_bits),
            "json-not-canonical",
            "base64url whose unused last bits are not zero",
        ),
        spelled("byte-order-mark", b'{"base"', b'\xef\xbb\xbf{"base"', "a byte order mark"),
    ]


def heads() -> list[Case]:
    """Return files whose head follows the grammar and breaks a rule."""
    link = {"file_id": b64(fixed("base id", 32)), "head": b64(fixed("base head", 64))}

    def core(name: str, expect: str, comment: str, **fields: object) -> Case:
        return Case(Plan(name, core=fields), expect, comment)

    def doubled(signatures: list) -> list:
        return signatures * 2

    def listed(digests: list) -> dict:
        return {"segments": digests}

    return [
        core("field-missing", "file-format", "no `epoch`", epoch=...),
        core("field-negative", "file-format", "a counter below 1", counter=-1),
        core("kind-unknown", "file-format", "a kind nobody knows", kind="pickle"),
        core("model-with-base", "file-format", "a model that names a base", base=link),
        core("overlay-without-base", "file-format", "an overlay without a base", kind="overlay"),
        Case(
            Plan(
                "segments-wrong",
                core={"segments": 3},
                bend_manifest=lambda value: listed([*value["segments"], NOTHING]),
            ),
            "file-format",
            "one segment more than the payload needs, listed in the manifest too",
        ),
        core("model-with-origin", "file-format", "a model that names an origin", origin=link),
        Case(
            Plan("local-without-origin", kind="local", signers=()),
            "file-format",
            "a local file of no origin",
            kind="local",
        ),
        core("segments-65537", "file-limit", "65,537 segments", segments=65_537, payload_length=65_536 * MIB),
        core("segment-size-odd", "file-limit", "a segment size that is no power of two", segment_size=MIB + CHUNK),
        core("segment-size-zero", "file-limit", "segments of no bytes", segment_size=0),
        core("toc-too-long", "file-limit", "a table of contents above its cap", toc_length=2**22 + 1),
        core("payload-2-to-53", "file-limit", "2^53 - 1 bytes of payload", payload_length=2**53 - 1, segments=2**33),
        core("critical", "file-unsupported", "an extension that must be understood", hint=1, critical=["hint"]),
        core("critical-absent", "file-format", "a critical field that is not there", critical=["hint"]),
        core("critical-known", "file-format", "a field of version 1 called critical", critical=["epoch"]),
        Case(
            Plan("manifest-short", bend_manifest=lambda value: listed(value["segments"][:-1])),
            "file-format",
            "a manifest that leaves out a segment",
        ),
        Case(
            Plan("signature-size", bend_signatures=lambda all_: [all_[0] | {"sig": b64(bytes(65))}]),
            "file-format",
            "an Ed25519 signature of 65 bytes",
        ),
        Case(Plan("signed-twice", bend_signatures=doubled), "file-format", "two signatures by one key"),
    ]


def trust() -> list[Case]:
    """Return files that their owners did not sign as they stand."""

    def beyond_order(signatures: list) -> list:
        raw = base64.urlsafe_b64decode(signatures[0]["sig"] + "==")
        scalar = int.from_bytes(raw[32:], "little") + GROUP_ORDER
        return [signatures[0] | {"sig": b64(raw[:32] + scalar.to_bytes(32, "little"))}]

    three = ("first", "second", "third")
    return [
        Case(Plan("unsigned", signers=()), "file-signature", "signatures stripped"),
        Case(Plan("stranger", signers=("stranger",)), "file-signature", "signed by a key that is no owner's"),
        Case(
            Plan("other-head", bend_head=lambda head: flipped(head, -9)),
            "file-signature",
            "signature over another head",
        ),
        Case(
            Plan("scalar", bend_signatures=beyond_order), "file-signature", "an Ed25519 scalar beyond the group's order"
        ),
        Case(Plan("one-of-two"), "file-signature", "one owner signed, two are needed", owners=three, threshold=2),
        Case(
            Plan("claimed", bend_signatures=lambda all_: [all_[0] | {"key": key_id(owner("second"))}]),
            "file-signature",
            "one owner's signature under another owner's name",
            owners=three,
        ),
    ]


def secrets() -> list[Case]:
    """Return files that their key or their place refuses."""
    bob = ["ac_other", *SUBJECT[1:]]
    return [
        Case(Plan("wrong-key"), "file-wrong-key", "another key of 32 bytes", mek=fixed("wrong", 32)),
        Case(Plan("commitment", core={"commitment": b64(bytes(32))}), "file-wrong-key", "a commitment to no key"),
        Case(Plan("mac", bend_mac=lambda mac: flipped(mac, 31, 0x80)), "file-header-mac", "the MAC's last bit"),
        Case(
            Plan("wrong-key-and-mac", bend_mac=lambda mac: flipped(mac, 0)),
            "file-wrong-key",
            "wrong key and wrong MAC: the key is noticed first",
            mek=fixed("wrong", 32),
        ),
        Case(Plan("account"), "file-subject", "sealed for another account", subject=bob),
        Case(Plan("version"), "file-subject", "sealed for another version", subject=[*SUBJECT[:2], "1.1", None]),
        Case(Plan("user", subject=[*SUBJECT[:3], "us_anna"]), "file-subject", "sealed for one user", subject=SUBJECT),
        Case(Plan("kind"), "file-kind", "a model, where an overlay was expected", kind="overlay"),
    ]
