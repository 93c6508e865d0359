"""Keeps the few inputs of a long run that reach something no seed and no kept input reaches (docs/fuzzing.md).

    python tests/fuzz/keep.py DIR

`DIR` is what `run.py --corpus` filled. The smallest inputs come first, so few and small ones are kept.
"""

import hashlib
import sys
from pathlib import Path
from types import FrameType

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from fuzz.run import CORPUS  # noqa: E402 - after the path to it
from fuzz.targets import TARGETS  # noqa: E402 - after the path to it

MOST = 40  # of one target
LARGEST = 4096  # bytes
Step = tuple[str, int, int]


def reached(target, data: bytes) -> set[Step]:
    """Return every step from line to line in the package while one input is judged."""
    found: set[Step] = set()

    def enter(frame: FrameType, event: str, _: object):
        path, last = frame.f_code.co_filename, 0
        if "strongroom" not in path:
            return None

        def step(inner: FrameType, event: str, _: object):
            nonlocal last
            found.add((path, last, inner.f_lineno))
            last = inner.f_lineno
            return step

        return step

    sys.settrace(enter)
    try:
        target(data)
    finally:
        sys.settrace(None)
    return found


def keep(name: str, source: Path) -> int:
    """Keep what is new of one target's inputs; return how many."""
    target, folder = TARGETS[name], CORPUS / name
    folder.mkdir(parents=True, exist_ok=True)
    before = [*target.seeds(), *(path.read_bytes() for path in sorted(folder.iterdir()))]
    known: set[Step] = set().union(*(reached(target, data) for data in before))
    kept = len(list(folder.iterdir()))
    begun = kept
    for data in sorted((path.read_bytes() for path in source.iterdir()), key=len):
        if kept >= MOST or len(data) > LARGEST:
            break
        new = reached(target, data) - known
        if new:
            known |= new
            kept += 1
            (folder / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
    return kept - begun


if __name__ == "__main__":
    for each in TARGETS:
        if (Path(sys.argv[1]) / each).is_dir():
            sys.stdout.write(f"{each}: {keep(each, Path(sys.argv[1]) / each)} kept\n")
