"""Vectors in which one JSON has a spelling that section 3 does not allow, and that some parser reads all the same.

Python's `json` and JavaScript's `JSON.parse` disagree on many of them: whether there is a value at all, which of two
wins, how large it is. MAC and signatures are made over the spelling as it stands.
"""

from collections.abc import Callable

from vectors.sealed_writer import Case, Plan

# name, what is replaced, by what, comment, and the extension field in which it stands, where none of version 1 can
_CORE = [
    ("duplicate-key", b'"counter":1,', b'"counter":1,"counter":1,', "a key twice"),
    ("duplicate-key-other", b'"counter":1,', b'"counter":2,"counter":1,', "a key twice, with two values"),
    ("unsorted", b'"critical":[],"epoch":1,', b'"epoch":1,"critical":[],', "keys out of order"),
    ("space", b'"counter":1', b'"counter": 1', "a space"),
    ("space-before", b'{"base"', b' {"base"', "a space before the value"),
    ("line-end", b"}", b"}\n", "a line end behind the value"),
    ("tab", b",", b",\t", "a tab"),
    ("no-break-space", b",", b",\xa0", "a no-break space, a space to some"),
    ("comment", b"{", b"{/**/", "a comment"),
    ("comma", b"}", b",}", "a comma too many"),
    ("two-values", b"}", b"}{}", "two values"),
    ("nul-behind", b"}", b"}\0", "a NUL behind the value"),
    ("byte-order-mark", b'{"base"', b'\xef\xbb\xbf{"base"', "a byte order mark"),
    ("utf-16", b'"counter":1', b'"\0counter":1', "half of UTF-16"),
    ("fraction", b'"counter":1', b'"counter":1.0', "a number with a fraction"),
    ("one-and-a-half", b'"counter":1', b'"counter":1.5', "one and a half"),
    ("exponent", b'"counter":1', b'"counter":1e0', "a number with an exponent"),
    ("large-exponent", b'"counter":1', b'"counter":1e400', "a number too large for a float"),
    ("small-exponent", b'"counter":1', b'"counter":10E-1', "an exponent below zero, in capitals"),
    ("minus-zero", b'"counter":1', b'"counter":-0', "minus zero"),
    ("plus", b'"counter":1', b'"counter":+1', "a plus"),
    ("leading-zero", b'"counter":1', b'"counter":01', "a leading zero"),
    ("hexadecimal", b'"counter":1', b'"counter":0x1', "hexadecimal"),
    ("2-to-53", b'"counter":1', b'"counter":9007199254740992', "2^53"),
    ("2-to-53-and-1", b'"counter":1', b'"counter":9007199254740993', "2^53 + 1, which a float does not hold"),
    ("minus-2-to-53", b'"counter":1', b'"counter":-9007199254740992', "-2^53"),
    ("2-to-64-and-1", b'"counter":1', b'"counter":18446744073709551617', "2^64 + 1, which is 1 in 64 bits"),
    ("5000-digits", b'"counter":1', b'"counter":' + b"1" * 5000, "5,000 digits, more than Python converts"),
    ("nan", b'"counter":1', b'"counter":NaN', "NaN"),
    ("infinity", b'"counter":1', b'"counter":Infinity', "Infinity"),
    ("minus-infinity", b'"counter":1', b'"counter":-Infinity', "-Infinity"),
    ("none", b'"base":null', b'"base":None', "None"),
    ("capital-null", b'"base":null', b'"base":NULL', "null in capitals"),
    ("undefined", b'"base":null', b'"base":undefined', "undefined"),
    ("single-quotes", b'"model"', b"'model'", "single quotes"),
    ("no-quotes", b'"counter"', b"counter", "a key without quotes"),
    ("escaped-letter", b'"model"', b'"mode\\u006c"', "a letter as its escape"),
    ("escaped-key", b'"counter"', b'"c\\u006funter"', "a letter of a key as its escape"),
]
_EXTENSION = [
    ("delete", b"\\u007f", b"\x7f", "U+007F as it is", "\x7f"),
    ("raw-utf-8", b"\\u00e9", b"\xc3\xa9", "a letter in UTF-8", "\u00e9"),
    ("raw-latin-1", b"\\u00e9", b"\xe9", "a byte that is no UTF-8", "\u00e9"),
    ("raw-control", b"\\u0001", b"\x01", "a control character as it is", "\x01"),
    ("raw-line-end", b"\\n", b"\n", "a line end inside a string", "\n"),
    ("long-line-end", b"\\n", b"\\u000a", "a line end as its long escape", "\n"),
    ("long-quote", b'\\"', b"\\u0022", "a quote as its long escape", '"'),
    ("capital-escape", b"\\u00e9", b"\\u00E9", "an escape in capitals", "\u00e9"),
    ("short-escape", b"\\u00e9", b"\\xe9", "an escape that JSON does not have", "\u00e9"),
    ("code-point-escape", b"\\u00e9", b"\\u{e9}", "an escape of JavaScript", "\u00e9"),
    ("escaped-slash", b'"a/b"', b'"a\\/b"', "an escape that is not needed", "a/b"),
    ("surrogate", b"\\u00e9", b"\\ud800", "the first half of a surrogate pair", "\u00e9"),
    ("surrogate-low", b"\\u00e9", b"\\udc00", "the second half of a surrogate pair", "\u00e9"),
    ("surrogates-low-twice", b"\\ud83d\\ude00", b"\\ude00\\ude00", "two second halves", "\U0001f600"),
    ("surrogates-reversed", b"\\ud83d\\ude00", b"\\ude00\\ud83d", "a surrogate pair the wrong way round", "\U0001f600"),
    ("surrogates-utf-8", b"\\ud83d\\ude00", b"\xed\xa0\xbd\xed\xb8\x80", "a surrogate pair in UTF-8", "\U0001f600"),
    ("integer-like-key", b'"hint"', b'"1"', "a key that starts with a digit", 1),
    ("integer-like-keys", b'"hint":1', b'"10":1,"9":1', "keys that JavaScript puts into another order", 1),
    ("prototype", b'"hint":{}', b'"__proto__":{"counter":2}', "the prototype of JavaScript", {}),
    ("capital-key", b'"hint"', b'"Hint"', "a capital in a key", 1),
    ("empty-key", b'"hint"', b'""', "an empty key", 1),
    ("key-65", b'"hint"', b'"' + b"h" * 65 + b'"', "a key of 65 characters", 1),
    ("deep", b"[[[[[[[1]]]]]]]", b"[[[[[[[[1]]]]]]]]", "nine levels", [[[[[[[1]]]]]]]),
    ("very-deep", b"[]", b"[" * 20_000 + b"]" * 20_000, "20,000 levels", []),
]


def _replaced(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    def bend(data: bytes) -> bytes:
        before, found, after = data.partition(old) if old != b"}" else data.rpartition(old)
        if not found:
            raise ValueError(f"{old!r} is not there")
        return before + new + after

    return bend


def _spare_bits(before: bytes) -> Callable[[bytes], bytes]:
    def bend(data: bytes) -> bytes:
        at = data.index(before) - 1  # a last letter, of whose six bits some are unused
        return data[:at] + bytes([data[at] + 1]) + data[at + 1 :]

    return bend


def core_headers() -> list[Case]:
    """Return files whose core header is not canonical JSON."""

    def spelled(name: str, old: bytes, new: bytes, comment: str, **core: object) -> Case:
        sound = Plan(f"json-{name}", core=core)
        plan = Plan(sound.name, core=core, bend_core=_replaced(old, new))
        return Case(plan, "json-not-canonical", comment, sound=sound)

    return [
        *(spelled(*case) for case in _CORE),
        *(spelled(*case, hint=hint) for *case, hint in _EXTENSION),
        Case(
            Plan("json-base64-bits", bend_core=_spare_bits(b'","kind"')),
            "json-not-canonical",
            "base64url whose unused last bits are not zero",
        ),
        Case(
            Plan("json-base64-alphabet", core={"file_id": "+" * 43}),
            "json-not-canonical",
            "base64 with + where base64url has -",
        ),
    ]


def other_parts() -> list[Case]:
    """Return files whose manifest or signature block is not canonical JSON."""

    def digest_bits(manifest: dict) -> dict:
        first, *rest = manifest["segments"]
        return {"segments": [first[:-1] + chr(ord(first[-1]) + 1), *rest]}

    def signature_bits(field: str) -> Callable[[list], list]:
        return lambda all_: [all_[0] | {field: all_[0][field][:-1] + chr(ord(all_[0][field][-1]) + 1)}]

    return [
        Case(
            Plan("manifest-space", bend_manifest_bytes=_replaced(b"}", b"} ")),
            "json-not-canonical",
            "a space behind the manifest",
        ),
        Case(
            Plan("manifest-spare-bits", bend_manifest=digest_bits),
            "json-not-canonical",
            "a digest whose unused last bits are not zero",
        ),
        Case(
            Plan("signatures-space", bend_block=_replaced(b"[", b"[ ")),
            "json-not-canonical",
            "a space in the signature block, which nobody signed",
        ),
        Case(
            Plan("signature-key-spare-bits", bend_signatures=signature_bits("key")),
            "json-not-canonical",
            "the name of a key whose unused last bits are not zero",
        ),
        Case(
            Plan("signature-spare-bits", bend_signatures=signature_bits("sig")),
            "json-not-canonical",
            "a signature whose unused last bits are not zero",
        ),
        Case(
            Plan("signature-padded", bend_signatures=lambda all_: [all_[0] | {"key": all_[0]["key"][:-1] + "="}]),
            "json-not-canonical",
            "the name of a key with padding",
        ),
    ]


def tables() -> list[Case]:
    """Return files whose table of contents is not canonical JSON: for a table that is `file-content`."""

    def spelled(name: str, old: bytes, new: bytes, comment: str, **metadata: object) -> Case:
        toc = {"metadata": metadata}
        plan = Plan(f"content-{name}", toc=toc, bend_toc=_replaced(old, new))
        return Case(plan, "file-content", comment, sound=Plan(plan.name, toc=toc))

    return [
        Case(
            Plan("content-not-canonical", bend_toc=lambda toc: toc.replace(b":", b": ", 1)),
            "file-content",
            "a space in it",
        ),
        spelled("delete", b"\\u007f", b"\x7f", "U+007F as it is, in metadata", text="\x7f"),
        spelled("surrogate", b"\\u00e9", b"\\ud800", "half a surrogate pair, in metadata", text="\u00e9"),
        spelled("fraction", b":15", b":1.5", "one and a half, in metadata", number=15),
        spelled("2-to-53-and-1", b":9007199254740991", b":9007199254740993", "2^53 + 1, in metadata", number=2**53 - 1),
        spelled(
            "integer-like-keys", b'"hint":1', b'"10":1,"9":1', "keys that JavaScript puts into another order", hint=1
        ),
        spelled("duplicate-key", b'"hint":1', b'"hint":1,"hint":1', "a key of the metadata twice", hint=1),
        spelled("prototype", b'"hint":1', b'"__proto__":1', "the prototype of JavaScript, in metadata", hint=1),
        spelled("deep", b'"hint":1', b'"hint":[[[[[[[1]]]]]]]', "nine levels, in metadata", hint=1),
        spelled("path-surrogate", b"model.onnx", b"\\ud800", "half a surrogate pair, in a path"),
    ]


def spellings() -> list[Case]:
    """Return files that hold JSON in another spelling than the legal one."""
    return [*core_headers(), *other_parts(), *tables()]
