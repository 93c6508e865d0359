"""A31, I02: both readers of the sealed file on thousands of mutated files, not only on the vectors.

The mutations are those of the target `file`, and files of several segments with one thing wrong. A file on which the
verdict differs, or the bytes given out before it, is a gap in the specification, or a defect in one of the two.
"""

import hashlib
import json
from random import Random

from fuzz import cases, file_targets, mutation
from fuzz.cases import Case
from strongroom import sealed
from strongroom.errors import StrongroomError
from vectors.sealed_writer import MIB, Plan, b64, flipped
from vectors.sealed_writer import Case as SealedCase
from vectors.test_sealed_vectors import Vector, segment_by_segment
from vectors.test_second_language import node

FILES = 2000


LONG = 30  # files of several segments
SIZES = (0, 0, 1, MIB - 1, MIB, MIB, MIB + 1)  # of a file in them: many end where a segment ends


def of_several_segments(random: Random, name: str) -> bytes:
    """Return a vector's file of which one checksum or one segment is wrong, all the rest right."""
    files = [(f"{number}", random.randbytes(random.choice(SIZES))) for number in range(random.randrange(2, 5))]
    plan, wrong = Plan(name, files), random.randrange(len(files))
    if random.random() < 0.7:
        listed = [{"path": path, "sha256": b64(hashlib.sha256(one).digest()), "size": len(one)} for path, one in files]
        listed[wrong]["sha256"] = b64(bytes(32))
        plan.toc = {"files": listed}
    else:
        plan.bend_segment = lambda index, parts: [flipped(b"".join(parts), 70)] if index == wrong else parts
    return SealedCase(plan, "", "").text()


def ours(data: bytes) -> tuple[str, str, int]:
    """Return this reader's verdict, and SHA-256 and length of what it gave out before: the payload if it opens."""
    vector, released, verdict = Vector.of(data), bytearray(), "success"
    try:
        if "origin-head" in vector.fields:
            own_copy(vector, released)
        else:
            segment_by_segment(vector, released)
    except StrongroomError as refusal:
        verdict = str(refusal.code)
    return verdict, hashlib.sha256(released).hexdigest(), len(released)


def own_copy(vector: Vector, released: bytearray) -> None:
    """Read a device's own copy, each file's SHA-256 compared as the second reader does it: section 12 leaves it out."""
    with sealed.open_local_random_access(sealed.BytesReadable(vector.data), vector.mek, **vector.recorded) as parts:
        checker = sealed.FileChecker(parts.toc)
        for index in range(1, parts.head.segment_count):
            segment = parts.read_at((index - 1) * parts.head.core.segment_size, parts.head.plain_length(index))
            checker.update(segment)
            released += segment
        checker.finish()


def test_both_readers_say_the_same_of_mutated_files(tmp_path, record_property):
    random, wanted = Random(11), {}  # noqa: S311 - the same files every time
    seeds = [case.whole() for case in file_targets.vectors()]
    while len(wanted) < FILES:
        data = random.choice(seeds)
        for _ in range(random.choice((1, 1, 2))):
            data = cases.resealed(random, data, lambda some: mutation.bytewise(random, some))
        case = Case.read(data)
        if case is not None and "ML-DSA-65:" not in case.fields["owners"]:  # the second reader may not know it
            name = f"{len(wanted):05}"
            (tmp_path / f"{name}.case").write_bytes(data)
            wanted[name] = ours(data)
    for number in range(LONG):
        data, name = of_several_segments(random, f"long-{number}"), f"long-{number}"
        (tmp_path / f"{name}.case").write_bytes(data)
        wanted[name] = ours(data)
    done = node("bin/strongroom-file.js", "vectors", str(tmp_path), "--json")
    assert done.stdout, done.stderr
    theirs = {one["name"]: (one["verdict"], one["payload"], one["released"]) for one in json.loads(done.stdout)}
    assert {name: (both, theirs[name]) for name, both in wanted.items() if both != theirs[name]} == {}
    record_property("executions", len(wanted))
    assert len({verdict for verdict, _, _ in wanted.values()}) > 12
    before = {(verdict, released) for verdict, _, released in wanted.values() if verdict != "success" and released}
    assert len(before) > 4, "several lengths given out before several refusals"
