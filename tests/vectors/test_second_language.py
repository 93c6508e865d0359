"""The sealed file in a second language: clients/js, written from the specification alone, says what this reader says.

Two readers that agree on every vector, and on what may be given out before a refusal, are what makes the specification
the contract and not one of the programs (docs/spec/sealed-file.md, section 14).
"""

import hashlib
import json
import shutil
import subprocess
import unicodedata
from pathlib import Path

import pytest

from strongroom.errors import StrongroomError
from vectors import make_sealed
from vectors.test_sealed_vectors import FILES, Vector, segment_by_segment, whole

CLIENT = Path(__file__).resolve().parents[2] / "clients" / "js"
FOLDS = """
import { fold } from "./src/paths.js";
for (let point = 0; point < 0x110000; point += 1) {
  const letter = String.fromCodePoint(point);
  if (!/[\\p{Cn}\\p{Cs}]/u.test(letter)) console.log(point, JSON.stringify(fold(letter).normalize("NFC")));
}
"""


def node(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Node.js in the client's folder."""
    command = shutil.which("node")
    if command is None:
        pytest.skip("Node.js 18 or newer is not there: apt-get install nodejs")
    run = [command, *arguments]
    return subprocess.run(run, cwd=CLIENT, capture_output=True, text=True, encoding="utf-8", timeout=300, check=False)


@pytest.fixture(scope="module")
def verdicts() -> dict[str, dict[str, str]]:
    """What the second reader says, by name of the vector."""
    done = node("bin/strongroom-file.js", "vectors", str(make_sealed.FOLDER), "--json")
    assert done.stdout, done.stderr
    return {one["name"]: one for one in json.loads(done.stdout)}


def ours(vector: Vector) -> tuple[str, bytes | None]:
    """Return what this reader says, and what it gave out; `None` where only the verdict can be compared."""
    released = bytearray()
    try:
        if "origin-head" in vector.fields:
            released += whole(vector)
        else:
            segment_by_segment(vector, released)
    except StrongroomError as refusal:
        # This one gives out the segment in which a file ends before it compares the file; the other one, after.
        return refusal.code, None if refusal.code == "file-checksum" else bytes(released)
    return "success", bytes(released)


def test_the_client_passes_its_own_tests():
    done = node("--test")
    assert done.returncode == 0, done.stdout[-10_000:] + done.stderr


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_both_readers_agree(path, verdicts):
    """R28, R56: the same verdict and the same bytes given out, in two languages, for each vector."""
    vector = Vector.read(path)
    theirs = verdicts[path.stem]
    code, released = ours(vector)
    assert theirs["verdict"] == code == vector.fields["expect"]
    assert theirs["payload"] == vector.fields["payload"]
    if released is not None:
        assert theirs["payload"] == hashlib.sha256(released).hexdigest()


def test_both_readers_judged_the_same_vectors(verdicts):
    assert sorted(verdicts) == sorted(path.stem for path in FILES)


def test_both_readers_fold_every_letter_into_the_same_class():
    """R28: two paths are twins for one reader if they are for the other (section 9), for every letter both know."""
    done = node("--input-type=module", "--eval", FOLDS)
    assert done.returncode == 0, done.stderr
    pairs = set()
    for line in done.stdout.rstrip("\n").split("\n"):  # splitlines would also split at U+0085 and U+2028
        point, folded = line.split(" ", 1)
        letter = chr(int(point))
        if unicodedata.category(letter) != "Cn":
            pairs.add((unicodedata.normalize("NFC", letter.casefold()), json.loads(folded)))
    assert len({left for left, _ in pairs}) == len({right for _, right in pairs}) == len(pairs)
