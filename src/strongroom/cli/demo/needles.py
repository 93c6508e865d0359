"""The search: is any piece of the model, or its key, in any file that was written?

Needles are 16-byte samples of the plaintext every 4 KiB, and the key in every spelling someone might have logged it in.
A sample that says nothing (one byte repeated, or one that stands in the model twice) is left out.
"""

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

WORD = 8  # bytes of a needle that are compared first
NEEDLE = 16  # bytes; by chance a search of 1 GiB finds one of them with a probability below 2^-80
STRIDE = 4096  # bytes; one AES-GCM chunk of the sealed file holds four of them
LEAST_DISTINCT = 6  # different bytes in a needle, so that padding and tables of zeros are no needles


@dataclass(frozen=True, slots=True)
class Needles:
    """What is searched for."""

    model: frozenset[bytes]
    key: frozenset[bytes]


@dataclass(frozen=True, slots=True)
class Search:
    """What a search looked at and where it found something."""

    files: int
    size: int  # bytes
    hits: tuple[str, ...]


def needles_of(model: bytes, key: bytes) -> Needles:
    """Sample the model and spell the key."""
    samples = (model[start : start + NEEDLE] for start in range(0, len(model) - NEEDLE, STRIDE))
    telling = frozenset(one for one in samples if len(set(one)) >= LEAST_DISTINCT and model.count(one) == 1)
    texts = {key.hex(), key.hex().upper(), base64.b64encode(key).decode(), base64.urlsafe_b64encode(key).decode()}
    return Needles(telling, frozenset({key, *(text.rstrip("=").encode() for text in texts)}))


def found_in(data: bytes, needles: Needles) -> int:
    """Count the needles that stand anywhere in the data, at any offset."""
    heads = np.array(sorted({int.from_bytes(one[:WORD], "little") for one in needles.model}), dtype="<u8")
    seen: set[bytes] = set()
    for shift in range(min(WORD, max(0, len(data) - WORD + 1))):  # every offset: eight rows, each one byte further on
        words = np.frombuffer(data, dtype="<u8", offset=shift, count=(len(data) - shift) // WORD)
        for at in np.flatnonzero(np.isin(words, heads)) * WORD + shift:
            seen.add(data[at : at + NEEDLE])
    return len(seen & needles.model) + sum(one in data for one in needles.key)


def search(root: Path, needles: Needles) -> Search:
    """Look at every byte of every file under a directory."""
    files = sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    return _search(((str(path.relative_to(root)), path.read_bytes()) for path in files), needles)


def _search(contents: Iterable[tuple[str, bytes]], needles: Needles) -> Search:
    files, size, hits = 0, 0, []
    for name, data in contents:
        files, size = files + 1, size + len(data)
        if found_in(data, needles):
            hits.append(name)
    return Search(files, size, tuple(hits))


def sharp(model: bytes, key: bytes, needles: Needles) -> bool:
    """Tell whether the search finds the model and the key where they are: one that cannot fail says nothing."""
    planted: Sequence[bytes] = (b"..." + model[1:], b"key=" + key.hex().encode(), b"\0" + key)
    return all(found_in(data, needles) for data in planted)
