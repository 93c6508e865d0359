"""Attempts to alter a sealed file, bit by bit (R19, R28)."""

import pytest

from strongroom import sealed
from strongroom.errors import IntegrityError
from vectors.sealed_writer import CHUNK, fixed, flipped
from vectors.targets import FORMS, OWNERS, Target, refused

SIZE = 5 * CHUNK + 1000  # six chunks
LENGTHS = {"file-limit", "file-truncated", "file-trailing", "json-not-canonical", "file-format"}
FORM = {"json-not-canonical", "file-format", "file-limit", "file-unsupported", "file-truncated", "file-trailing"}


@pytest.fixture(scope="module", params=FORMS, ids=str)
def target(request):
    return Target.of(*request.param, SIZE)


def regions(target: Target) -> list[tuple[str, int, set[str]]]:
    """Return each part of the head part: its name, where it ends, and what may be said of a bit flipped in it."""
    data = target.made.data
    core, manifest = (int.from_bytes(data[at : at + 4], "big") for at in (12, 16))
    signed = {"network": {"file-signature", "file-kind"}, "local": {"file-wrong-key", "file-header-mac", "file-kind"}}
    return [
        ("magic", 8, {"file-format"}),
        ("version and suite", 10, {"file-unsupported"}),
        ("flags", 12, {"file-format"}),
        ("lengths", 20, LENGTHS),
        ("hint: length of the signature block", 24, LENGTHS - {"file-trailing"}),
        ("hint: total", 32, {"file-truncated", "file-trailing"}),
        ("core header", 32 + core, FORM | signed[target.form]),
        ("manifest", 32 + core + manifest, FORM | signed[target.form]),
        ("MAC", 64 + core + manifest, {"file-header-mac"}),
        ("signatures", len(target.head.head_part), {"json-not-canonical", "file-format", "file-signature"}),
    ]


def test_the_targets_open_as_they_are(target):
    """A01, A02: what the flips below are compared with."""
    assert target.open(target.made.data) == fixed("target", SIZE)
    with target.parts(target.made.data) as parts:
        assert parts.read_at(0, SIZE) == fixed("target", SIZE)


def test_flip_every_bit_of_the_head_part(target):
    """A01: preamble, core header, manifest, MAC, signature block: all bits (6,000 to 9,000 a file), each refused.

    Hints that nothing authenticates are refused too, as lengths that are wrong; every part with its own kind.
    """
    bent, begin, counted = bytearray(target.made.data), 0, 0
    for name, end, allowed in regions(target):
        for bit in range(begin * 8, end * 8):
            bent[bit // 8] ^= 1 << bit % 8
            code = target.code(bent)
            assert code in allowed, f"{name}, bit {bit}: {code}"
            bent[bit // 8] ^= 1 << bit % 8
            counted += 1
        begin = end
    assert counted == len(target.head.head_part) * 8 >= 4800
    assert bent == target.made.data


def test_flip_a_bit_of_each_byte_of_the_table_of_contents(target):
    """A01, A02: in a local file the origin's head part lies there: a bit of each byte as stored, each refused."""
    begin, length = target.head.offset(0), target.head.stored_length(0)
    bent = bytearray(target.made.data)
    for byte in range(begin, begin + length):
        bent[byte] ^= 1 << byte % 8
        assert target.code(bent) == target.broken
        bent[byte] ^= 1 << byte % 8


def test_flip_the_edges_of_every_chunk_and_tag(target):
    """A02: first and last byte of each chunk and of each tag, of salt and commitment: 28 places, each refused."""
    edges, length = {0, 23, 24, 55}, target.head.stored_length(1)
    for chunk in range(6):
        start = 56 + chunk * (CHUNK + 16)
        end = min(start + CHUNK + 16, length)
        edges |= {start, end - 17, end - 16, end - 1}
    assert len(edges) == 28
    for at in edges:
        assert target.code(flipped(target.made.data, target.head.offset(1) + at)) == target.broken


def test_verify_finds_an_altered_segment_without_a_key(target):
    """A02: whoever has no key finds a bit in any segment too; a local file only its own device can judge."""
    if target.form == "local":
        assert refused(lambda: sealed.verify_sealed(sealed.BytesReadable(target.made.data), OWNERS)) == "file-kind"
        return
    for at in (target.head.offset(0), target.head.offset(1), -1):
        bent = sealed.BytesReadable(flipped(target.made.data, at))
        assert refused(lambda bent=bent: sealed.verify_sealed(bent, OWNERS)) == "file-digest"


def test_nothing_of_an_altered_head_is_looked_up_in_the_cipher(target, monkeypatch):
    """A01: no bit flip of a head gets as far as a segment: the cipher is never begun."""
    begun = []
    suite = sealed.SUITES[target.head.suite]
    never = type(suite)(suite.number, suite.name, suite.encryptor, lambda *given: begun.append(given))
    monkeypatch.setitem(sealed.SUITES, target.head.suite, never)
    for byte in range(len(target.head.head_part)):
        with pytest.raises(IntegrityError):
            target.open(flipped(target.made.data, byte, 0x10))
    assert begun == []
