"""What each way of reading takes beyond the caller's own buffer, each in a process of its own (R22)."""

import subprocess
import sys
from pathlib import Path

import pytest

from strongroom import sealed
from strongroom.signing import ED25519, SigningKey

MIB = 2**20
SUBJECT = sealed.Subject(None, "m", "1", None)
SIZE, LARGE = 64 * MIB, 256 * MIB
MOST = 64  # MiB above the level after imports and above the caller's buffer

# Every import comes first; VmHWM, the highest resident size, starts again from what is resident then.
MEASURE = """
import io, os, sys
from pathlib import Path
from strongroom import sealed
from strongroom.signing import ED25519, Principal, Role, SigningKey

def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) // 1024

folder, way, workers = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
subject, mek = sealed.Subject(None, "m", "1", None), sealed.ModelKey(bytes(range(32)))
expected = sealed.Expected("model", subject, None)
own = 0
Path("/proc/self/clear_refs").write_text("5")
before = peak()
with sealed.FileReadable.open(folder / "sealed") as readable:
    if way == "open":
        own = len(sealed.open_sealed(readable, mek, expected, workers=workers).payload)
    elif way == "parts":
        with sealed.open_random_access(readable, mek, expected) as access:
            file = access.open_file("plain")
            while file.read(100_000):
                pass
    elif way == "stream":
        with sealed.open_stream(readable, mek, expected) as stream:
            assert sum(map(len, stream.segments())) == stream.toc.payload_length
    elif way == "local":
        owners = Role(1, (Principal((SigningKey(ED25519, bytes(32)).public,)),))
        kept = {"subject": subject, "owners": owners, "origin_head": (folder / "origin-head").read_bytes()}
        own = len(sealed.open_local(readable, mek, **kept, workers=workers).payload)
    elif way == "missing":
        assert sealed.missing_segments(readable, sealed.read_head(readable)) == ()
    elif way == "sign":
        with (folder / "signed").open("w+b") as sink:
            sealed.copy_signed(readable, sink, SigningKey(ED25519, bytes(32)))
    elif way == "seal":
        with (folder / "again").open("w+b") as sink:
            suite = sealed.read_head(readable).suite
            sources = sealed.sources_of(folder / "plain")
            fresh = sealed.ModelKey.generate()
            sealed.seal(sources, sink, mek=fresh, subject=subject, workers=workers, suite=suite)
print(peak() - before - own // 2**20)
"""


def above(folder: Path, way: str, workers: int = 4) -> int:
    """MiB of peak memory above what was there after imports, without the caller's buffer."""
    answer = subprocess.run(
        [sys.executable, "-c", MEASURE, str(folder), way, str(workers)],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    return int(answer.stdout)


@pytest.fixture(scope="module", params=[1, 2], ids=["suite 1", "suite 2"])
def folder(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("memory")
    with (folder / "plain").open("wb") as file:
        file.truncate(SIZE)
    mek = sealed.ModelKey(bytes(range(32)))
    with (folder / "sealed").open("w+b") as sink:
        sealed.seal(sealed.sources_of(folder / "plain"), sink, mek=mek, subject=SUBJECT, suite=request.param)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("way", "most"), [("open", MOST), ("seal", 32), ("parts", 40), ("missing", 16), ("sign", 16)])
def test_memory_above_the_callers_buffer(folder, way, most):
    """Opening whole files takes 64 MiB on four threads; parts two segments; the rest goes piece by piece."""
    assert above(folder, way) <= most


@pytest.fixture(scope="module", params=[1, 2], ids=["suite 1", "suite 2"])
def large(request, tmp_path_factory):
    """A signed model of 256 MiB, and a device's own copy of it, in a folder each."""
    folder = tmp_path_factory.mktemp("large")
    (folder / "local").mkdir()
    with (folder / "plain").open("wb") as file:
        file.truncate(LARGE)
    owner, mek, subject = SigningKey(ED25519, bytes(32)), sealed.ModelKey(bytes(range(32))), SUBJECT
    with (folder / "sealed").open("w+b") as sink:
        sources = sealed.sources_of(folder / "plain")
        head = sealed.seal(sources, sink, mek=mek, subject=subject, signers=[owner], suite=request.param)
    (folder / "local" / "origin-head").write_bytes(head.digest)
    with sealed.FileReadable.open(folder / "sealed") as readable, (folder / "local" / "sealed").open("wb") as copy:
        unlocked = sealed.unlock(head, mek, sealed.Expected("model", subject, None))
        toc = unlocked.read_toc(readable.pread(head.offset(0), head.stored_length(0)))
        writer = sealed.start_local(unlocked, toc, toc.encode(), mek, subject)  # under the same key: nobody looks
        copy.write(writer.head_part + writer.first)
        plain = memoryview(bytearray(head.plain_length(1)))
        for index in range(1, head.segment_count):
            copy.write(writer.seal_segment(index, plain[: head.plain_length(index)]))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("way", "most"), [("stream", MOST), ("local", 24)])
def test_memory_does_not_grow_with_the_model(large, way, most):
    """R22: in order, and a device's own copy: as much for 256 MiB as for 64, and so for any length."""
    assert above(large / "local" if way == "local" else large, way) <= most
