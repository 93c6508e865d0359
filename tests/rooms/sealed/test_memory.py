"""What each way of reading takes beyond the caller's own buffer, each in a process of its own (R22)."""

import subprocess
import sys
from pathlib import Path

import pytest

from strongroom import sealed

MIB = 2**20
SIZE = 64 * MIB
MOST = 64  # MiB above the level after imports and above the caller's buffer

# Every import comes first; VmHWM, the highest resident size, starts again from what is resident then.
MEASURE = """
import io, os, sys
from pathlib import Path
from strongroom import sealed
from strongroom.signing import ED25519, SigningKey

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
    mek, subject = sealed.ModelKey(bytes(range(32))), sealed.Subject(None, "m", "1", None)
    with (folder / "sealed").open("w+b") as sink:
        sealed.seal(sealed.sources_of(folder / "plain"), sink, mek=mek, subject=subject, suite=request.param)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("way", "most"), [("open", MOST), ("seal", MOST), ("parts", 40), ("missing", 16), ("sign", 16)]
)
def test_memory_above_the_callers_buffer(folder, way, most):
    """Whole files within 64 MiB on four threads; parts within two segments; the rest piece by piece."""
    assert above(folder, way) <= most
