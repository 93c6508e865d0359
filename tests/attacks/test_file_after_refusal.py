"""Attempts to get something out of a file that was refused (R4, R56)."""

import threading
from collections.abc import Callable

import pytest
from cryptography.exceptions import AlreadyFinalized, InvalidTag

from strongroom import sealed
from strongroom.errors import Code, InputError, IntegrityError
from strongroom.sealed.pool import in_order
from vectors.sealed_writer import MIB, fixed, flipped
from vectors.targets import EXPECTED, FORMS, Target, network_file, refused


def unlocked_target(size: int = 50_000, suite: int = 1) -> tuple[sealed.Unlocked, list[bytes]]:
    data, mek, made = network_file(size=size, suite=suite)
    head = sealed.read_head(sealed.BytesReadable(data))
    return sealed.unlock(head, mek, EXPECTED), made.segments


@pytest.mark.parametrize("suite", [1, 2])
def test_use_after_failure(suite):
    """A27: after one altered segment the genuine ones are refused too, for ever, and memory is zeros each time."""
    unlocked, stored = unlocked_target(suite=suite)
    into = memoryview(bytearray(50_000))
    unlocked.open_segment(1, stored[1], into)
    assert into == fixed("target", 50_000)
    assert refused(lambda: unlocked.open_segment(1, flipped(stored[1], 99), into)) == "file-digest"
    assert not any(into)
    for _ in range(2):
        into[:] = b"\xff" * 50_000
        assert refused(lambda: unlocked.open_segment(1, stored[1], into)) == "file-refused"
        assert not any(into)
        assert refused(lambda: unlocked.read_toc(stored[0])) == "file-refused"
        assert refused(lambda: unlocked.check_stored(1, stored[1])) == "file-refused"
        assert refused(unlocked.require_usable) == "file-refused"


def room() -> memoryview:
    return memoryview(bytearray(50_000))


FAILURES: dict[str, Callable[[sealed.Unlocked, list[bytes]], object]] = {
    "an altered segment": lambda one, stored: one.open_segment(1, flipped(stored[1], 60), room()),
    "a segment too short": lambda one, stored: one.open_segment(1, stored[1][:-1], room()),
    "a segment too long": lambda one, stored: one.check_stored(1, stored[1] + b"\0"),
    "an altered table of contents": lambda one, stored: one.read_toc(flipped(stored[0], 60)),
    "another segment in its place": lambda one, stored: one.check_stored(0, stored[1]),
    "the short way of local files": lambda one, stored: one.open_local_pieces(1, stored, room()),
    "closing": lambda one, _: one.close(),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_every_refusal_is_final(failure):
    """A27: whatever was refused, nothing else is given out afterwards."""
    unlocked, stored = unlocked_target()
    if failure == "closing":
        FAILURES[failure](unlocked, stored)
    else:
        assert refused(lambda: FAILURES[failure](unlocked, stored)) != "file-refused"
    into = memoryview(bytearray(50_000))
    for use in (
        lambda: unlocked.open_segment(1, stored[1], into),
        lambda: unlocked.read_toc(stored[0]),
        lambda: unlocked.check_stored(0, stored[0]),
        lambda: unlocked.open_local_pieces(1, [stored[1]], into),
        unlocked.require_usable,
    ):
        assert refused(use) == "file-refused"
    assert not any(into)


@pytest.mark.parametrize(("form", "suite"), FORMS)
def test_parts_after_failure(form, suite):
    """A27: a file object refuses for ever after one altered segment, what it had read before included."""
    target = Target.of(form, suite, 2 * MIB)
    data = bytearray(target.made.data)
    with target.parts(data) as access:
        file = access.open_payload()
        assert file.read(10) == target.plain[:10]
        data[-1] ^= 1
        assert refused(lambda: access.read_at(2 * MIB - 1, 1)) == target.broken
        data[-1] ^= 1
        for use in (file.read, lambda: file.read(1), lambda: access.read_at(0, 1), lambda: access.read_at(0, 0)):
            assert refused(use) == "file-refused"
        again = access.open_file("model")
        assert refused(again.read) == "file-refused"
    assert target.open(data) == target.plain, "only that reader refuses: whoever opens the file anew may"


def test_use_after_close():
    """A27: closing wipes the keys and refuses."""
    unlocked, stored = unlocked_target()
    unlocked.close()
    assert unlocked.blind == bytes(32)
    assert refused(lambda: unlocked.read_toc(stored[0])) == "file-refused"


@pytest.mark.parametrize("given", [b"", bytes(99), bytes(101)], ids=len)
def test_a_checker_that_refused_once(given):
    """A27: step 9: after wrong bytes, too few or too many, the right ones are refused too: nothing is whole."""
    data, mek, _ = network_file(size=100)
    checker = sealed.FileChecker(sealed.open_sealed(sealed.BytesReadable(data), mek, EXPECTED).toc)

    def refuse() -> None:
        checker.update(given)
        checker.finish()

    assert refused(refuse) == "file-checksum"
    assert refused(lambda: checker.update(fixed("target", 100))) == "file-refused"
    assert refused(checker.finish) == "file-refused"


@pytest.mark.parametrize("suite", [1, 2])
def test_a_cipher_that_refused_once(suite):
    """A27: below everything: after an altered chunk, update and finalize of the same message are refused for good."""
    _, _, made = network_file(size=50_000, suite=suite)
    into = memoryview(bytearray(60_000))
    for bent in (flipped(made.segments[1], 100), flipped(made.segments[1], 30)):
        cipher = sealed.SUITES[suite].decryptor(made.keys.payload, made.contexts[1])
        with pytest.raises(InvalidTag):
            cipher.update_into(bent, into)
        for again in (lambda cipher=cipher: cipher.update_into(made.segments[1], into), cipher.finalize):
            with pytest.raises((AlreadyFinalized, InvalidTag)):
                again()
    cipher = sealed.SUITES[suite].decryptor(made.keys.payload, made.contexts[1])
    cipher.update_into(flipped(made.segments[1], -1), into)
    for _ in range(2):
        with pytest.raises((AlreadyFinalized, InvalidTag)):
            cipher.finalize()


def test_a_mistake_of_the_caller_is_no_refusal_of_the_file():
    """A27: the counterpart: a wrong index or buffer is the caller's, and the file goes on."""
    unlocked, stored = unlocked_target()
    for index, into in ((1, bytearray(49_999)), (2, bytearray(1)), (-1, bytearray(1)), (1, bytes(50_000))):
        with pytest.raises(InputError):
            unlocked.open_segment(index, stored[1], memoryview(into))
    with pytest.raises(InputError):
        unlocked.open_segment(1, stored[1], memoryview(bytearray(100_000))[::2])
    into = memoryview(bytearray(50_000))
    unlocked.open_segment(1, stored[1], into)
    assert into == fixed("target", 50_000)


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize(("form", "suite"), FORMS)
def test_nothing_stays_in_the_callers_memory(form, suite, workers):
    """A02, A27: ciphers leave plaintext they could not authenticate: all of it is wiped, good segments too."""
    target = Target.of(form, suite, 3 * MIB + 5)
    kept: list[bytearray] = []

    def allocate(size: int) -> memoryview:
        kept.append(bytearray(b"\xff" * size))
        return memoryview(kept[-1])

    assert target.code(flipped(target.made.data, -1), allocate=allocate, workers=workers) == target.broken
    assert [len(one) for one in kept] == [3 * MIB + 5]
    assert kept[0].count(0) == len(kept[0])


def test_a_segment_of_a_network_file_never_opens_without_its_digest():
    """A24, A27: section 12: the short way is for local files only."""
    unlocked, stored = unlocked_target()
    into = memoryview(bytearray(50_000))
    assert refused(lambda: unlocked.open_local_pieces(1, [stored[1]], into)) == "file-kind"


def test_the_first_cause_is_told_whoever_meets_it_first():
    """A27: segments before a broken one are refused for it when threads overtake one another: the cause is told."""
    slow = threading.Event()

    def work(index):
        if index == 0:
            slow.wait(10)
            raise IntegrityError(Code.FILE_REFUSED, "this file was refused before")
        slow.set()
        raise IntegrityError(Code.FILE_DIGEST, "segment 1 is not the one the manifest names")

    with pytest.raises(IntegrityError) as told:
        list(in_order(work, range(2), 2))
    assert told.value.code == Code.FILE_DIGEST
