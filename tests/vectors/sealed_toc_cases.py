"""Vectors whose table of contents breaks one rule of section 9: signed by an owner, under the right key."""

import hashlib

from vectors.sealed_writer import MIB, Case, Plan, b64, fixed, flipped

ONE = fixed("one", 7)
ENTRY = {"path": "model", "sha256": b64(hashlib.sha256(ONE).digest()), "size": 7}
SOUND = [("model", ONE)]


def paths() -> list[Case]:
    """Return tables of contents with a path that some system would take for another place."""

    def case(name: str, comment: str, *names: str) -> Case:
        plan = Plan(f"path-{name}", [(path, ONE) for path in names])
        sound = Plan(plan.name, [(f"model-{number}", ONE) for number in range(len(names))])
        return Case(plan, "file-content", comment, sound=sound)

    return [
        case("empty", "a path of no character", ""),
        case("parent", "a step up", "../model"),
        case("parent-inside", "a step up further on", "a/../../model"),
        case("absolute", "from the root", "/model"),
        case("empty-part", "two slashes", "a//model"),
        case("slash-behind", "a slash at the end", "model/"),
        case("dot", "a part that is a dot", "./model"),
        case("backslash", "a separator of Windows", "a\\model"),
        case("drive", "a drive of Windows", "c:model"),
        case("star", "a wildcard", "mod*l"),
        case("question-mark", "a wildcard for one character", "mod?l"),
        case("quote", "a quote", 'mo"del'),
        case("pipe", "a pipe", "mo|del"),
        case("less-than", "a redirection", "mo<del"),
        case("nul", "a NUL", "mod\0el"),
        case("line-end", "a line end", "mod\nel"),
        case("c1-control", "U+0085, a control character above ASCII", "mod\x85el"),
        case("trailing-dot", "a trailing dot", "model."),
        case("trailing-space", "a trailing space", "a /model"),
        case("device", "a device of Windows", "weights/CON.bin"),
        case("device-space", "a device of Windows before a space and a dot", "weights/nul .bin"),
        case("device-superscript", "a device of Windows with a superscript", "com\u00b9"),
        case("device-console", "the console of Windows", "conout$.txt"),
        case("not-nfc", "an accent on its own", "mode\u0300le"),
        case("not-nfc-hangul", "a syllable in its parts", "\u1112\u1161\u11ab"),
        case("not-nfc-ohm", "a letter that NFC replaces", "\u2126"),
        case("1025", "1,025 bytes", "m" * 1025),
        case("1025-bytes", "1,025 bytes in 513 letters", "\u00e9" * 512 + "m"),
        case("long", "1,026 bytes in 513 letters", "\u00e9" * 513),
        case("twice", "one path twice", "model", "model"),
        case("case-twins", "twins after case folding", "Stra\u00dfe", "STRASSE"),
        case("case-twins-sigma", "twins by a letter that looks back", "\u03c2", "\u03c3"),
        case("case-twins-cherokee", "twins of a script whose capitals came first", "\u13a0", "\uab70"),
        case("case-twins-directory", "a directory in two cases, one of them a file", "A/b", "a"),
        case("file-as-directory", "a file that is another's directory", "model", "model/weights"),
        case("file-as-far-directory", "a file that is a directory further up", "model/a/b/c", "model/a"),
    ]


def fields() -> list[Case]:
    """Return tables of contents whose fields, lists and texts are not as they may be."""

    def toc(name: str, comment: str, **values: object) -> Case:
        return Case(Plan(f"content-{name}", SOUND, toc=values), "file-content", comment)

    def entry(name: str, comment: str, **values: object) -> Case:
        made = {key: value for key, value in (ENTRY | values).items() if value is not ...}
        return toc(name, comment, files=[made])

    numbers = {f"k{number}": number for number in range(65)}
    return [
        Case(
            Plan("content-no-files", []),
            "file-content",
            "no file, and no payload",
            sound=Plan("content-no-files", [("empty", b"")]),
        ),
        toc("files-object", "an object where a list is expected", files=ENTRY),
        entry("sum", "sizes that do not sum to the payload", size=6),
        entry("size-negative", "a file of -7 bytes", size=-7),
        entry("size-text", "a size that is a string", size="7"),
        entry("sha256-31", "a digest of 31 bytes", sha256=b64(bytes(31))),
        entry("sha256-padded", "a digest with padding", sha256=ENTRY["sha256"][:-1] + "="),
        entry("path-number", "a path that is a number", path=7),
        entry("file-field", "a fourth field of a file", mode=493),
        entry("file-no-digest", "a file without a digest", sha256=...),
        toc(
            "sizes-cancel",
            "sizes that sum only because one is negative",
            files=[ENTRY | {"size": 8}, ENTRY | {"path": "b", "size": -1}],
        ),
        toc("field", "an eighth field", more=1),
        toc("format-capital", "a format in capitals", format="ONNX"),
        toc("format-41", "a format of 41 characters", format="a" * 41),
        toc("format-empty", "a format of no character", format=""),
        toc("format-line-end", "a format and a line end", format="onnx\n"),
        toc("runtimes-17", "17 runtimes", runtimes=["a"] * 17),
        toc("runtimes-41", "a runtime of 41 characters", runtimes=["a" * 41]),
        toc("runtimes-null", "null for a list", runtimes=None),
        toc("metadata-65", "65 fields of metadata", metadata=numbers),
        toc("metadata-1025", "a text of 1,025 characters in metadata", metadata={"text": "\u00e9" * 1025}),
        toc("metadata-true", "true in metadata", metadata={"text": True}),
        toc("metadata-null", "null in metadata", metadata={"text": None}),
        toc("metadata-list", "a list in metadata", metadata={"text": ["a"]}),
        toc("licence-201", "a licence of 201 characters", licence="\u00e9" * 201),
        toc("licence-empty", "a licence of no character", licence=""),
        toc("overlayable-257", "the name of a tensor with 257 characters", overlayable=["w" * 257]),
        toc("overlayable-empty", "the name of a tensor with no character", overlayable=[""]),
        toc(
            "origin",
            "the origin of a local file, in a model",
            origin={"blind": b64(bytes(32)), "head_part": b64(b"head")},
        ),
        Case(
            Plan("content-no-field", SOUND, bend_toc=lambda data: data.replace(b'"licence":null,', b"")),
            "file-content",
            "no `licence`",
        ),
        Case(
            Plan("content-list", SOUND, bend_toc=lambda data: b"[" + data + b"]"),
            "file-content",
            "a list around the table of contents",
        ),
        Case(
            Plan("content-other", bend_content=lambda digest: flipped(digest, 0)),
            "file-content",
            "another table of contents than the head names",
        ),
    ]


def checksums() -> list[Case]:
    """Return files whose payload is genuine and whose checksums are not: what only step 9 finds."""
    zeros = b64(bytes(32))
    first, second = fixed("late", MIB), fixed("late 2", 9)
    late = [_entry("first", first), _entry("second", second) | {"sha256": zeros}]
    whole = fixed("late, a whole segment", MIB)
    at_boundary = [_entry("a", first), _entry("b", whole) | {"sha256": zeros}, _entry("c", second)]
    with_empty = [_entry("a", first), _entry("b", b"") | {"sha256": zeros}, _entry("c", second)]
    empty = [ENTRY, {"path": "empty", "sha256": zeros, "size": 0}]
    return [
        Case(
            Plan("checksum", SOUND, toc={"files": [ENTRY | {"sha256": zeros}]}),
            "file-checksum",
            "a file with another SHA-256 than the table of contents says",
        ),
        Case(
            Plan("checksum-of-nothing", [*SOUND, ("empty", b"")], toc={"files": empty}),
            "file-checksum",
            "an empty file with another SHA-256 than that of nothing",
        ),
        Case(
            Plan("checksum-swapped", [("a", b"one"), ("b", b"two")], toc={"files": _swapped()}),
            "file-checksum",
            "two files with each other's SHA-256",
        ),
        Case(
            Plan("checksum-late", [("first", first), ("second", second)], toc={"files": late}),
            "file-checksum",
            "the file in the last segment has another SHA-256: the segment before holds a whole file that is right",
            first,
        ),
        Case(
            Plan("checksum-boundary", [("a", first), ("b", whole), ("c", second)], toc={"files": at_boundary}),
            "file-checksum",
            "a file that ends with the second of three segments has another SHA-256: that one is held back too",
            first,
        ),
        Case(
            Plan("checksum-boundary-empty", [("a", first), ("b", b""), ("c", second)], toc={"files": with_empty}),
            "file-checksum",
            "an empty file behind the first segment has another SHA-256: it ends with the byte before it",
        ),
    ]


def _entry(path: str, data: bytes) -> dict:
    """Return what a table of contents says of a file."""
    return {"path": path, "sha256": b64(hashlib.sha256(data).digest()), "size": len(data)}


def _swapped() -> list[dict]:
    digests = [b64(hashlib.sha256(data).digest()) for data in (b"two", b"one")]
    return [{"path": path, "sha256": digest, "size": 3} for path, digest in zip("ab", digests, strict=True)]


def tables() -> list[Case]:
    """Return files whose table of contents breaks a rule."""
    return [*paths(), *fields(), *checksums()]
