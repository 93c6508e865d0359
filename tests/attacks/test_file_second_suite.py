"""Attempts to make one cipher suite pass for another (R19, R28). Every other attack runs against both."""

from functools import partial

import pytest

from strongroom import sealed
from strongroom.sealed.segments import open_pieces_into
from vectors.sealed_writer import Keys, chunked, flipped
from vectors.targets import EXPECTED, FORMS, SUBJECT, Target, network_file, opener, refused

SIZE = 40_000


@pytest.mark.parametrize(("form", "suite"), FORMS)
def test_the_suite_byte_of_a_whole_file(form, suite):
    """A19: a file of one suite that calls itself the other: not signed so, and under no key of its own."""
    target = Target.of(form, suite, SIZE)
    other = flipped(target.made.data, 9, 3)
    assert other[9] == 3 - suite
    assert target.code(other) == ("file-signature" if form == "network" else "file-wrong-key")
    if form == "network":
        unsigned = sealed.Expected("model", SUBJECT, None)
        assert refused(partial(sealed.open_sealed, sealed.BytesReadable(other), target.key, unsigned)) == (
            "file-wrong-key"
        )


def test_a_suite_that_was_not_asked_for():
    """A19: a reader that asks for suite 1, or whose trust allows that alone, takes no other, however genuine."""
    data, mek, _ = network_file(suite=2)
    readable = sealed.BytesReadable(data)
    for asked in ({"suite": 1}, {"suites": (1,)}, {"suites": ()}):
        expected = sealed.Expected("model", SUBJECT, EXPECTED.owners, **asked)
        assert refused(partial(sealed.open_sealed, readable, mek, expected)) == "file-mismatch"
    allowed = sealed.Expected("model", SUBJECT, EXPECTED.owners, suite=2, suites=(1, 2))
    assert sealed.open_sealed(readable, mek, allowed).head.suite == 2


def test_no_two_suites_share_a_key_or_a_context():
    """A19: one model key and one file id give each suite keys of its own, and segments contexts of their own."""
    one, two = (Keys.derive(bytes(32), bytes(32), suite) for suite in (1, 2))
    for name in ("commitment", "mac", "payload", "blind"):
        assert getattr(one, name) != getattr(two, name)
    ours = [sealed.derive(sealed.ModelKey(bytes(32)), bytes(32), suite) for suite in (1, 2)]
    assert [ours[0].payload, ours[1].payload] == [one.payload, two.payload]
    contexts = [Target.of("network", suite, SIZE).head.binding.context(1) for suite in (1, 2)]
    assert contexts[0] != contexts[1]
    salt = bytes(24)
    assert chunked(one.payload, salt, b"", b"x", suite=1)[1] != chunked(one.payload, salt, b"", b"x", suite=2)[1]


@pytest.mark.parametrize("suite", [1, 2])
def test_a_segment_made_with_the_other_cipher(suite):
    """A19: under the right key and context, signed by the owner: the suite is in the cipher's own derivation."""
    _, _, made = network_file(suite=suite)

    def other(index: int, parts: list[bytes]) -> list[bytes]:
        plain = bytes(50_000)
        return parts if index == 0 else chunked(made.keys.payload, parts[0], made.contexts[1], plain, suite=3 - suite)

    data, mek, bent = network_file(suite=suite, bend_segment=other)
    assert refused(opener(data, mek)) == "file-segment"
    into = memoryview(bytearray(50_000))
    open_pieces_into(3 - suite, made.keys.payload, made.contexts[1], [bent.segments[1]], into)
    assert into == bytes(50_000), "the segment must be good but for its suite"
