"""Vectors whose head is right and whose body breaks one rule: segments, table of contents, local files."""

import dataclasses
import hashlib

from vectors.sealed_writer import CHUNK, MIB, Case, Plan, b64, chunked, fixed, flipped, key_id, make, owner, success


def segments() -> list[Case]:
    """Return files with wrong segments: some not as the manifest says, some signed so and found by the cipher."""
    two = [("model", fixed("two chunks", 20_000))]
    four = [("model", fixed("four chunks", 3 * CHUNK + 5))]
    large = [("model", fixed("large", MIB + 9))]

    def bent(at: int) -> object:
        return lambda index, parts: parts if index == 0 else [flipped(b"".join(parts), at)]

    def reordered(index: int, parts: list[bytes]) -> list[bytes]:
        return parts if index == 0 else [*parts[:2], parts[3], parts[2], *parts[4:]]

    def repeated(index: int, parts: list[bytes]) -> list[bytes]:
        return parts if index == 0 else [*parts[:2], parts[2], parts[2], *parts[4:]]

    def last(index: int, parts: list[bytes]) -> list[bytes]:
        return parts if index != 2 else [flipped(b"".join(parts), -1)]

    def signed(name: str, comment: str, **how: object) -> Case:
        return Case(Plan(f"signed-{name}", **({"files": two} | how)), "file-segment", comment)

    def stored(name: str, comment: str, bend: object) -> Case:
        return Case(Plan(f"stored-{name}", two, bend_stored=bend), "file-digest", comment)

    return [
        stored("bit", "one bit of a stored segment", lambda all_: [all_[0], flipped(all_[1], 1000)]),
        stored("salt", "one bit of a salt", lambda all_: [all_[0], flipped(all_[1], 0)]),
        stored("contents-bit", "one bit of the stored table of contents", lambda all_: [flipped(all_[0], 80), all_[1]]),
        signed("bit", "a chunk that was altered before the owner signed", bend_segment=bent(1000)),
        signed("tag", "a tag that was altered before the owner signed", bend_segment=bent(-1)),
        signed("commitment", "a segment's commitment altered", bend_segment=bent(24)),
        signed("salt", "a salt altered", bend_segment=bent(23)),
        signed("chunks-swapped", "two chunks changed places", files=four, bend_segment=reordered),
        signed("chunk-twice", "a chunk in place of its neighbour", files=four, bend_segment=repeated),
        signed("place", "a segment sealed for another place", segment_index=lambda index: 7 if index else 0),
        Case(
            Plan("signed-last", large, bend_segment=last),
            "file-segment",
            "the payload's second segment is broken: a reader by segments may have given out its first",
            large[0][1][:MIB],
        ),
    ]


def tables() -> list[Case]:
    """Return files whose table of contents breaks a rule: signed by an owner, under the right key."""
    one = fixed("one", 7)

    def paths(name: str, comment: str, *names: str) -> Case:
        return Case(Plan(f"path-{name}", [(path, one) for path in names]), "file-content", comment)

    def content(name: str, comment: str, **fields: object) -> Case:
        return Case(Plan(f"content-{name}", **fields), "file-content", comment)

    entry = {"path": "model", "sha256": b64(hashlib.sha256(one).digest()), "size": 7}
    origin = {"blind": b64(bytes(32)), "head_part": b64(b"head")}
    wrong_sum = Plan("checksum", [("model", one)], toc={"files": [entry | {"sha256": b64(bytes(32))}]})
    return [
        paths("parent", "a step up", "../model"),
        paths("absolute", "from the root", "/model"),
        paths("empty-part", "two slashes", "a//model"),
        paths("dot", "a part that is a dot", "./model"),
        paths("backslash", "a separator of Windows", "a\\model"),
        paths("drive", "a drive of Windows", "c:model"),
        paths("nul", "a NUL", "mod\0el"),
        paths("trailing-dot", "a trailing dot", "model."),
        paths("trailing-space", "a trailing space", "a /model"),
        paths("device", "a device of Windows", "weights/CON.bin"),
        paths("not-nfc", "an accent on its own", "mode\u0300le"),
        paths("long", "1,026 bytes in 513 letters", "\u00e9" * 513),
        paths("twice", "one path twice", "model", "model"),
        paths("case-twins", "twins after case folding", "Stra\u00dfe", "STRASSE"),
        paths("file-as-directory", "a file that is another's directory", "model", "model/weights"),
        content(
            "other", "another table of contents than the head names", bend_content=lambda digest: flipped(digest, 0)
        ),
        content(
            "sum", "sizes that do not sum to the payload", files=[("model", one)], toc={"files": [entry | {"size": 6}]}
        ),
        content("no-files", "no file", files=[], toc={"files": []}),
        content("not-canonical", "a space in it", bend_toc=lambda toc: toc.replace(b":", b": ", 1)),
        content("origin", "the origin of a local file, in a model", toc={"origin": origin}),
        Case(wrong_sum, "file-checksum", "a file with another SHA-256 than the table of contents says"),
    ]


def local_files() -> list[Case]:
    """Return files of a device's own store."""
    source = Plan("local-source")
    made = make(source)
    link = {"file_id": made.core["file_id"], "head": b64(hashlib.sha512(made.head).digest())}
    record = {"blind": b64(made.keys.blind), "head_part": b64(made.head_part)}
    unsigned = make(dataclasses.replace(source, signers=()))
    digest = hashlib.sha512(made.head).digest()

    def local(name: str, expect: str, comment: str, **how: object) -> Case:
        plan = Plan(
            f"local-{name}",
            kind="local",
            signers=(),
            toc={"origin": record | how.pop("record", {})},
            core={"origin": link | how.pop("link", {})} | how.pop("core", {}),
            **how.pop("plan", {}),
        )
        released = plan.files[0][1] if expect == "success" else b""
        return Case(plan, expect, comment, released, kind="local", **({"origin_head": digest} | how))

    by_owner = [{"alg": "Ed25519", "key": key_id(owner("first")), "sig": b64(owner("first").sign(b"anything"))}]
    other = {"files": [("model.onnx", fixed("another model", 1000))]}
    return [
        local("opens", "success", "a device's own copy"),
        local("from-network", "file-kind", "a local file that arrives from the network", origin_head=None),
        Case(source, "file-kind", "a model from the network, put into the store", origin_head=digest, kind="local"),
        local("wrong-origin", "file-mismatch", "the device recorded another origin", origin_head=bytes(64)),
        local(
            "unsigned-origin",
            "file-signature",
            "its origin lost its signatures",
            record={"head_part": b64(unsigned.head_part)},
        ),
        local(
            "other-blind",
            "file-subject",
            "a key that does not blind the origin's names",
            record={"blind": b64(bytes(32))},
        ),
        local("other-files", "file-content", "other files than its origin's", plan=other),
        local("other-counter", "file-mismatch", "another place in the order of versions", core={"counter": 2}),
        local(
            "signed", "file-format", "a local file that an owner signed", plan={"bend_signatures": lambda _: by_owner}
        ),
        local(
            "bit",
            "file-segment",
            "one bit of a stored segment; no manifest names it",
            plan={"bend_stored": lambda all_: [all_[0], flipped(all_[1], 100)]},
        ),
    ]


def second_suite() -> list[Case]:
    """Return files of suite 2: every boundary of a chunk and a segment, and one of each thing a cipher must notice."""
    two = [("model", fixed("two chunks", 20_000))]
    four = [("model", fixed("four chunks", 3 * CHUNK + 5))]

    def bent(at: int) -> object:
        return lambda index, parts: parts if index == 0 else [flipped(b"".join(parts), at)]

    def plan(name: str, **how: object) -> Plan:
        return Plan(f"chacha-{name}", **({"suite": 2, "files": two} | how))

    def signed(name: str, comment: str, **how: object) -> Case:
        return Case(plan(f"signed-{name}", **how), "file-segment", f"suite 2: {comment}")

    def reordered(index: int, parts: list[bytes]) -> list[bytes]:
        return parts if index == 0 else [*parts[:2], parts[3], parts[2], *parts[4:]]

    def other_suite(data: bytes) -> bytes:
        return data[:9] + b"\1" + data[10:]

    def segments_of_suite_1(index: int, parts: list[bytes]) -> list[bytes]:
        made = make(plan("signed-other-cipher"))
        return parts if index == 0 else chunked(made.keys.payload, parts[0], made.contexts[index], two[0][1], suite=1)

    return [
        *(
            success(plan(f"{size}", files=[("model", fixed(f"chacha {size}", size))]), f"suite 2: {size} bytes")
            for size in (0, 1, CHUNK - 1, CHUNK, CHUNK + 1)
        ),
        success(plan("segments", files=[("model", fixed("chacha", MIB + 1))]), "suite 2: a byte more than a segment"),
        Case(
            plan("stored-bit", bend_stored=lambda all_: [all_[0], flipped(all_[1], 1000)]),
            "file-digest",
            "suite 2: one bit of a stored segment",
        ),
        signed("bit", "a chunk that was altered before the owner signed", bend_segment=bent(1000)),
        signed("tag", "a tag that was altered before the owner signed", bend_segment=bent(-1)),
        signed("commitment", "a segment's commitment altered", bend_segment=bent(24)),
        signed("salt", "a salt altered", bend_segment=bent(23)),
        signed("chunks-swapped", "two chunks changed places", files=four, bend_segment=reordered),
        signed("place", "a segment sealed for another place", segment_index=lambda index: 7 if index else 0),
        signed("other-cipher", "a segment sealed with the cipher of suite 1", bend_segment=segments_of_suite_1),
        Case(plan("wrong-key"), "file-wrong-key", "suite 2: another key of 32 bytes", mek=fixed("wrong", 32)),
        Case(plan("downgrade", bend_file=other_suite), "file-signature", "suite 2 that calls itself suite 1"),
        Case(
            plan("downgrade-signed", bend_file=other_suite, bend_head=other_suite),
            "file-wrong-key",
            "suite 2 that calls itself suite 1, signed so: no key of one suite is a key of another",
        ),
    ]
