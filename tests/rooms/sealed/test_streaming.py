"""A payload in order and in bounded memory: what is given out before a failure, and that nothing is kept after it."""

import hashlib
import threading

import pytest

from strongroom import sealed
from strongroom.errors import IntegrityError
from strongroom.sealed.pool import Buffers
from vectors.sealed_writer import MIB, Plan, b64, fixed, flipped, make
from vectors.targets import SUBJECT

EXPECTED = sealed.Expected("model", SUBJECT, None)
FILES = [("a", fixed("a", MIB + 7)), ("empty", b""), ("d/b", fixed("b", 2 * MIB))]
PAYLOAD = b"".join(data for _, data in FILES)


def given_out(data: bytes, mek: bytes, found: list[bytes]) -> None:
    key = sealed.ModelKey(mek)
    with sealed.open_stream(sealed.BytesReadable(data), key, EXPECTED) as stream:
        found.extend(bytes(view) for view in stream.segments())


@pytest.mark.parametrize("suite", [1, 2])
@pytest.mark.parametrize(
    "files", [FILES, [("one", b"x")], [("none", b"")], [("full", bytes(2 * MIB))]], ids=lambda one: one[0][0]
)
def test_everything_in_order(files, suite):
    plan, found = Plan("stream", files, suite=suite), []
    given_out(make(plan).data, plan.key(), found)
    assert b"".join(found) == b"".join(data for _, data in files)
    assert all(len(one) == MIB for one in found[:-1])


@pytest.mark.parametrize("segment", [1, 2, 3, 4])
def test_a_segment_that_was_altered(segment):
    """R28: those before it were given out, it and those behind it were not."""
    plan = Plan("altered", FILES)
    made, found = make(plan), []
    at = len(made.head_part) + sum(map(len, made.segments[:segment])) + 10
    with pytest.raises(IntegrityError) as refusal:
        given_out(flipped(made.data, at), plan.key(), found)
    assert refusal.value.code == "file-digest"
    assert b"".join(found) == PAYLOAD[: (segment - 1) * MIB]


@pytest.mark.parametrize("segment", [1, 2, 3, 4])
def test_a_file_whose_checksum_is_another(segment):
    """Step 9: who holds the key altered a file below the table of contents; the last segment is never given out."""
    plan = Plan("checksum", FILES)
    plan.bend_plain = lambda plain: [*plain[:segment], flipped(plain[segment], 0), *plain[segment + 1 :]]
    found: list[bytes] = []
    with pytest.raises(IntegrityError) as refusal:
        given_out(make(plan).data, plan.key(), found)
    assert refusal.value.code == "file-checksum"
    assert len(found) < 4


BOUNDARY = [("a", fixed("ends", MIB)), ("empty", b""), ("b", fixed("follows", 2 * MIB)), ("c", b"last")]


@pytest.mark.parametrize(("wrong", "before"), [(0, 0), (1, 0), (2, 2), (3, 3)])
def test_a_wrong_file_that_ends_with_a_segment(wrong, before):
    """R28: nobody gets a whole file that is wrong, also where its last byte is a segment's last; nor an empty one."""
    plan, found = Plan("boundary", BOUNDARY), []
    listed = [
        {"path": path, "sha256": b64(hashlib.sha256(data).digest()), "size": len(data)} for path, data in BOUNDARY
    ]
    listed[wrong]["sha256"] = b64(bytes(32))
    plan.toc = {"files": listed}
    with pytest.raises(IntegrityError) as refusal:
        given_out(make(plan).data, plan.key(), found)
    assert refusal.value.code == "file-checksum"
    assert len(found) == before


def test_a_model_without_a_byte_has_checksums_too():
    plan = Plan("empty", [("empty", b"")])
    plan.toc = {"files": [{"path": "empty", "sha256": "A" * 43, "size": 0}]}
    with pytest.raises(IntegrityError) as refusal:
        given_out(make(plan).data, plan.key(), [])
    assert refusal.value.code == "file-checksum"


@pytest.mark.parametrize("budget", [52 * MIB, 3 * MIB], ids=["one ahead", "none ahead"])
def test_buffers_are_overwritten_and_no_thread_works_on(monkeypatch, budget):
    kept = []

    class Recorded(Buffers):
        def __init__(self, size: int, most: int) -> None:
            super().__init__(size, most)
            kept.append(self)

    monkeypatch.setattr("strongroom.sealed.streaming.Buffers", Recorded)
    monkeypatch.setattr("strongroom.sealed.streaming.BUDGET", budget)
    plan = Plan("wiped", FILES)
    with sealed.open_stream(sealed.BytesReadable(make(plan).data), sealed.ModelKey(plan.key()), EXPECTED) as stream:
        segments = stream.segments()
        assert bytes(next(segments)) == PAYLOAD[:MIB]
        segments.close()  # whoever reads it has enough
        assert not [one for one in threading.enumerate() if one.name.startswith("strongroom-segment")]
        plain = [made for one in kept for made in one._made if len(made) == MIB]
        assert len(plain) == (2 if budget > 3 * MIB else 1)
        assert not any(map(any, plain))
        with pytest.raises(IntegrityError) as refusal:
            next(stream.segments())
    assert refusal.value.code == "file-refused"


def test_without_room_for_two_segments_it_goes_one_by_one(monkeypatch):
    monkeypatch.setattr("strongroom.sealed.streaming.BUDGET", MIB)
    plan, found = Plan("large", FILES), []
    given_out(make(plan).data, plan.key(), found)
    assert b"".join(found) == PAYLOAD
