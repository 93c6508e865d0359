"""Attempts to make randomness repeat: the same key and content ten thousand times, forks at every moment (R33, R50).

A repeated pair of key and nonce would give the content away. Each segment's AES or ChaCha key follows from the model
key, `file_id`, the segment's salt and its place; nonces count from a base that follows from the same. So it is enough
that no `file_id` and no salt comes twice, and the segments' commitments, one for each derived key, show that none does.
"""

import subprocess
import sys
from collections.abc import Sequence

import pytest

WRITER = """
import io, os, sys
from strongroom import sealed

SUBJECT = sealed.Subject(None, "m", "1", None)
MEK = bytes(range(32))

def one(suite=1, size=1, workers=1, **how):
    mek, sink = sealed.ModelKey(MEK), io.BytesIO()
    source = sealed.Source.of_bytes("m", b"x" * size)
    head = sealed.seal(
        [source], sink, mek=mek, subject=SUBJECT, workers=workers, segment_size=2**20, suite=suite, **how
    )
    data = sink.getvalue()
    segments = [data[head.offset(at) : head.offset(at) + 56] for at in range(head.segment_count)]
    return [head.core.file_id, head.core.key_id, *segments]

def tell(found):
    # One write: lines of several processes must not mix.
    os.write(1, (" ".join(one.hex() for one in found) + "\\n").encode())
"""

MANY = (
    WRITER
    + """
for number in range(int(sys.argv[1])):
    tell(one(suite=1 + number % 2))
"""
)

FORKS = (
    WRITER
    + """
import threading
from strongroom.signing import ED25519, SigningKey

def everything():
    for suite in (1, 2):
        tell(one(suite))
        tell(one(suite, size=2**20 + 5, workers=2))
    tell([bytes(sealed.ModelKey.generate().reveal()), SigningKey.generate(ED25519).seed])

def children(count):
    made = []
    for _ in range(count):
        child = os.fork()
        if child == 0:
            try:
                everything()
                os._exit(0)
            finally:
                os._exit(1)
        made.append(child)
    assert [os.waitpid(child, 0)[1] for child in made] == [0] * count

children(4)                       # after the import, before anything was sealed
everything()
children(4)                       # after the process has used every source of randomness
over = threading.Event()
def busy():
    while not over.is_set():
        one(size=100_000)
threads = [threading.Thread(target=busy) for _ in range(2)]
for thread in threads:
    thread.start()
children(4)                       # while other threads are sealing
over.set()
for thread in threads:
    thread.join()
everything()
"""
)

MIDDLE = (
    WRITER
    + """
child = None
def fork_once(done):
    global child
    if child is None:
        child = os.fork()
found = one(int(sys.argv[1]), size=3 * 2**20, progress=fork_once)
tell(found)
if child == 0:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""
)


def run(*scripts: Sequence[str]) -> list[list[bytes]]:
    """Run programs at the same time; return what they told, a list of random values for each file or key."""
    started = [subprocess.Popen([sys.executable, "-c", *one], stdout=subprocess.PIPE, text=True) for one in scripts]
    answers = [one.communicate(timeout=300)[0] for one in started]
    assert [one.returncode for one in started] == [0] * len(scripts)
    return [[bytes.fromhex(word) for word in line.split()] for answer in answers for line in answer.splitlines()]


@pytest.mark.slow
def test_two_writers_with_one_key_and_one_content():
    """A28: two processes seal the same byte under the same key, 10,000 files in all, of both suites.

    10,000 file_ids and key ids, 20,000 salts and 20,000 segment keys: all different.
    """
    files = run((MANY, "5000"), (MANY, "5000"))
    assert len(files) == 10_000
    for position, size in ((0, 32), (1, 16)):
        assert len({one[position] for one in files}) == 10_000
        assert all(len(one[position]) == size for one in files)
    segments = [part for one in files for part in one[2:]]
    assert len(segments) == 20_000
    assert len({part[:24] for part in segments}) == len({part[24:] for part in segments}) == 20_000


def test_every_child_seals_with_randomness_of_its_own():
    """A29: 12 children and their parent, forked after the import, after sealing, and while threads seal.

    56 files and 14 pairs of keys: no value twice.
    """
    told = run((FORKS,))
    files, keys = [one for one in told if len(one) > 2], [one for one in told if len(one) == 2]
    assert (len(files), len(keys)) == (14 * 4, 14)
    values = [value for one in told for value in one]
    salts = [part[:24] for one in files for part in one[2:]]
    assert len(salts) == 14 * 2 * (2 + 3)
    assert len(set(values)) == len(values)
    assert len(set(salts)) == len(salts)


@pytest.mark.parametrize("suite", ["1", "2"])
def test_a_fork_in_the_middle_of_a_file(suite):
    """A29: both halves finish the file begun together: one file_id, and no segment after the fork has one salt."""
    mine, theirs = run((MIDDLE, suite))
    assert mine[0] == theirs[0], "it was drawn before the fork"
    same = [left == right for left, right in zip(mine[2:], theirs[2:], strict=True)]
    assert same == [True, True, False, False]
    after = [part[:24] for one in (mine, theirs) for part in one[4:]]
    assert len(set(after)) == len(after) == 4
