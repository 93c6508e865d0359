"""Targets in the room `sealed`: its parsers one by one, and whole files with their keys (attacks A32, I01, I02)."""

import contextlib
import dataclasses
import hashlib
import json
import ntpath
import posixpath
import re
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

from fuzz import cases, mutation
from fuzz.cases import Case
from fuzz.judging import FORMS, Refusals, Target
from strongroom import canonical, sealed
from strongroom.errors import Code, IntegrityError
from strongroom.sealed import fields, header, paths, toc
from vectors.sealed_writer import Plan, dump, make

VECTORS = Path(__file__).parents[1] / "vectors" / "sealed-v1"
LARGEST_SEED = 18_000  # bytes: larger vectors only slow the rest down
STEPS = FORMS | {
    Code.FILE_KIND, Code.FILE_MISMATCH, Code.FILE_SIGNATURE, Code.FILE_WRONG_KEY, Code.FILE_HEADER_MAC,
    Code.FILE_SUBJECT, Code.FILE_DIGEST, Code.FILE_SEGMENT, Code.FILE_CONTENT, Code.FILE_CHECKSUM,
}  # fmt: skip
LEFT_OUT = {(Code.FILE_CHECKSUM, later) for later in (None, Code.FILE_DIGEST, Code.FILE_SEGMENT)}  # step 9
LIMIT = 65_536  # bytes of canonical JSON

CORE = fields.CoreHeader.from_value(json.loads(dump(make(Plan("fuzz")).core)))


def vectors() -> list[Case]:
    """Return the vectors that are small enough, as they stand in their folder."""
    found = (Case.read(path.read_bytes()) for path in sorted(VECTORS.glob("*.case")))
    return [case for case in found if case is not None and len(case.data) <= LARGEST_SEED]


def parts(which: int) -> Iterator[bytes]:
    """Yield one part of every vector's head."""
    for case in vectors():
        split = mutation.split_head(case.data)
        if split is not None:
            yield split[which]


def heads() -> Iterator[bytes]:
    for case in vectors():
        split = mutation.split_head(case.data)
        yield case.data[:200] if split is None else b"".join(split)


def tables() -> Iterator[bytes]:
    """Yield the tables of contents of the vectors that open, and one with every field."""
    for case in vectors():
        if case.fields.get("expect") == "success":
            with case.random_access() as access:
                yield access.toc.encode()
    full = {"path": "a/b.bin", "sha256": "A" * 43, "size": 0}
    yield dump(
        {
            "files": [full, full | {"path": "a/\u00e9", "size": 7}],
            "format": "onnx",
            "licence": "Apache-2.0",
            "metadata": {"epochs": 3, "note": "a\nb"},
            "origin": {"blind": "A" * 43, "head_part": "AAAA"},
            "overlayable": ["layer.0"],
            "runtimes": ["onnxruntime"],
        }
    )


def judge_head(data: bytes) -> None:
    """Preamble and head part; what is accepted writes itself again, byte for byte."""
    if len(data) % 2:
        sealed.read_preamble(data)
    head = sealed.parse_head(data, file_size=None)
    preamble, core, manifest, mac, block = mutation.split_head(data)
    known = canonical.decode(core, limit=header.MAX_CORE)
    assert canonical.encode(known) == core
    assert {name: known[name] for name in head.core.to_value()} == head.core.to_value()
    assert canonical.encode(fields.manifest_value(head.digests)) == manifest
    assert canonical.encode([one.to_value() for one in head.signatures]) == block
    assert header.with_signatures(head, head.signatures).head_part == data
    assert (head.head, head.mac) == (preamble[:20] + core + manifest, mac)
    assert int.from_bytes(preamble[24:], "big") == head.file_size
    assert head.file_size == head.offset(head.segment_count - 1) + head.stored_length(head.segment_count - 1)
    assert sum(head.plain_length(index) for index in range(1, head.segment_count)) == head.core.payload_length


def judge_core(data: bytes) -> None:
    """The core header: fields, extensions, numbers that agree."""
    value = canonical.decode(data, limit=header.MAX_CORE)
    core = fields.CoreHeader.from_value(value)
    assert {name: value[name] for name in core.to_value()} == core.to_value()
    assert fields.CoreHeader.from_value(core.to_value()) == core
    assert core.segments == 1 + -(-core.payload_length // core.segment_size)


def judge_manifest(data: bytes) -> None:
    """The manifest of a file of as many segments as it lists, or of another."""
    value = canonical.decode(data, limit=header.MAX_MANIFEST)
    listed = value.get("segments") if isinstance(value, dict) else None
    count = len(listed) if isinstance(listed, list) and len(data) % 4 else 2
    digests = fields.manifest_from(value, dataclasses.replace(CORE, segments=count))
    assert canonical.encode(fields.manifest_value(digests)) == data
    assert len(digests) == count
    assert all(len(one) == 32 for one in digests)


def judge_signatures(data: bytes) -> None:
    """The signature block."""
    signatures = fields.signatures_from(canonical.decode(data, limit=header.MAX_SIGNATURE_BLOCK))
    assert canonical.encode([one.to_value() for one in signatures]) == data
    assert len({one.key for one in signatures}) == len(signatures) <= fields.MAX_SIGNATURES


def judge_toc(data: bytes) -> None:
    """The table of contents of a payload as long as its files, or nearly."""
    try:
        length = sum(one["size"] for one in json.loads(data)["files"])
    except (ValueError, TypeError, KeyError, RecursionError):
        length = 0
    length = length + (len(data) % 5 == 4) if isinstance(length, int) else 0  # now and then not the sum
    table = toc.parse(data, length)
    assert table.encode() == data
    assert table.payload_length == length
    assert table.without_origin().description == table.description
    for one in table.files:
        start, end = table.range_of(one.path)
        assert 0 <= start <= end == start + one.size <= length


def judge_canonical(data: bytes) -> None:
    """The decoder against Python's own parser: both directions (I02)."""
    wanted = spelling_of(data)
    try:
        value = canonical.decode(data, limit=LIMIT)
    except IntegrityError:
        assert wanted is None, "a right spelling was refused"
        raise
    assert wanted is not None, "a wrong spelling was accepted"
    assert repr(value) == repr(wanted[0])  # repr: True is not 1
    assert canonical.encode(value) == data


def spelling_of(data: bytes) -> tuple[mutation.Json] | None:
    """Return the value, in a tuple, if Python's own parser and writer agree that these bytes are its only spelling."""
    try:
        value = json.loads(data.decode("ascii"))
        legal = _legal(value, 0)
    except (ValueError, RecursionError):
        return None
    return (value,) if legal and mutation.spelled(value) == data else None


def _legal(value: mutation.Json, depth: int) -> bool:
    if isinstance(value, dict):
        keys = all(re.fullmatch("[a-z][a-z0-9_]{0,63}", key) for key in value)
        return depth < 8 and keys and all(_legal(one, depth + 1) for one in value.values())
    if isinstance(value, list):
        return depth < 8 and all(_legal(one, depth + 1) for one in value)
    if isinstance(value, str):
        return not re.search("[\ud800-\udfff]", value)
    return value is None or (isinstance(value, int) and abs(value) < 2**53)


def judge_paths(data: bytes) -> None:
    """Paths inside a model, one a line: an accepted one stays inside its directory on every system."""
    lines = data.decode("utf-8", "surrogateescape" if len(data) % 2 else "replace").split("\n")[:8]
    good = [path for path in lines if paths.broken_path_rule(path) is None]
    for path in good:
        split = tuple(path.split("/"))
        windows = PureWindowsPath(path)
        assert PurePosixPath(path).parts == split == windows.parts, path
        assert not posixpath.isabs(path), path
        assert (windows.drive, windows.root) == ("", ""), path
        assert posixpath.normpath(path) == path == ntpath.normpath(path).replace("\\", "/"), path
        assert not any(_reserved(part) for part in split), path
        assert paths.conflict([path, path]) == path
    clash = paths.conflict(good)
    assert (clash is None) == (paths.conflict(good[::-1]) is None)
    if clash is None:
        assert len({path.casefold() for path in good}) == len(good)


def _reserved(part: str) -> bool:
    """Tell what Python says of a name on Windows; asked in two ways, since the older one is going away."""
    asked = getattr(ntpath, "isreserved", None)
    return asked(part) if asked else PureWindowsPath(part).is_reserved()


def judge_file(data: bytes) -> None:
    """A whole file, opened in every way there is; all ways must agree, and a failure leaves nothing behind."""
    case = Case.read(data)
    if case is None:
        return
    given: list[bytearray] = []

    def allocate(size: int) -> memoryview:
        given.append(bytearray(size))
        return memoryview(given[-1])

    try:
        opened = case.open(allocate)
    except IntegrityError as error:
        assert all(buffer.count(0) == len(buffer) for buffer in given), "plaintext was left behind"
        assert len(given) <= 1
        _refused_in_parts(case, error.code)
        raise
    assert sum(map(len, given)) == len(opened.payload) == opened.head.core.payload_length
    assert b"".join(opened.file(one.path) for one in opened.toc.files) == opened.payload
    with case.random_access() as access:
        assert access.toc == opened.toc
        assert access.read_at(0, access.size + 1) == opened.payload
        middle = access.size // 2
        assert access.read_at(middle, 5) == opened.payload[middle : middle + 5]
    assert case.proved_by_hand(opened.toc.encode())
    assert all(hashlib.sha256(opened.file(one.path)).digest() == one.sha256 for one in opened.toc.files)
    readable = sealed.BytesReadable(case.data)
    if case.origin_head is None:
        assert _streamed(case) == opened.payload
        assert sealed.verify_sealed(readable, case.owners) == opened.head
        assert sealed.missing_segments(readable, opened.head) == ()


def _refused_in_parts(case: Case, code: Code) -> None:
    """See that parts are not to be had of what was refused whole, but for the step that parts do without."""
    if case.origin_head is None:
        assert _outcome(lambda: _streamed(case)) == code
        without_key = _outcome(lambda: sealed.verify_sealed(sealed.BytesReadable(case.data), case.owners))
        assert without_key is None or without_key in STEPS
        assert without_key is not None or code not in FORMS | {Code.FILE_SIGNATURE, Code.FILE_DIGEST}
    in_parts = _outcome(lambda: _all_in_parts(case))
    assert in_parts == code or (code, in_parts) in LEFT_OUT, f"{code} whole, {in_parts} in parts"


def _streamed(case: Case) -> bytes:
    """Return the payload as a streaming reader gives it out."""
    with (
        sealed.open_stream(sealed.BytesReadable(case.data), case.mek, case.expected) as stream,
        contextlib.closing(stream.segments()) as segments,
    ):
        return b"".join(bytes(view) for view in segments)


def _all_in_parts(case: Case) -> None:
    with case.random_access() as access:
        try:
            access.read_at(0, access.size)
        except IntegrityError:
            assert _outcome(lambda: access.read_at(0, 1)) == Code.FILE_REFUSED, "a failure is final"
            raise


def _outcome(call: Callable[[], object]) -> Code | None:
    """Return the code of the refusal, or None."""
    try:
        call()
    except IntegrityError as error:
        return error.code
    return None


def _of(*codes: Code) -> Refusals:
    return {IntegrityError: frozenset(codes)}


def _paths(random: mutation.Random, data: bytes, raw: mutation.Bytewise) -> bytes:
    pieces = (
        b"/",
        b".",
        b"..",
        b"\\",
        b":",
        b"CON",
        b"nul.x",
        b" ",
        b"com1",
        "é".encode(),
        b"e\xcc\x81",
        b"\xc4\xb0",
        b"\n",
    )
    at = random.randrange(len(data) + 1)
    return raw(data) if random.random() < 0.4 else data[:at] + random.choice(pieces) + data[at:]


_CANONICAL = (Code.JSON_NOT_CANONICAL, Code.JSON_TOO_LARGE)
_PATHS = (
    b"model.onnx",
    b"a/b\na/B\na",
    b"../x\n/abs\nc:/x",
    b"con\naux.txt\nlpt1",
    "e\u0301\n\u00e9\nSS\n\u00df".encode(),
)

TARGETS = (
    Target(
        "canonical",
        judge_canonical,
        _of(*_CANONICAL),
        lambda: [*parts(1), *tables()],
        mutation.json_bytes,
        14_000,
        4096,
    ),
    Target("core", judge_core, {IntegrityError: FORMS}, lambda: parts(1), mutation.json_bytes, 10_000, 4096),
    Target("manifest", judge_manifest, {IntegrityError: FORMS}, lambda: parts(2), mutation.json_bytes, 8_000, 4096),
    Target("signatures", judge_signatures, {IntegrityError: FORMS}, lambda: parts(4), mutation.json_bytes, 8_000, 8192),
    Target("toc", judge_toc, _of(Code.FILE_CONTENT), tables, mutation.json_bytes, 10_000, 4096),
    Target("paths", judge_paths, {}, lambda: _PATHS, _paths, 8_000, 256),
    Target("head", judge_head, {IntegrityError: FORMS}, heads, mutation.head_bytes, 12_000, 8192),
    Target(
        "file", judge_file, {IntegrityError: STEPS}, lambda: [one.whole() for one in vectors()], cases.resealed, 12_000
    ),
)
