"""Telling two kinds of answers apart, as somebody would who suspects decoys: naive Bayes on what they say, and ranks.

An answer is reduced to words (status, headers and their order, keys of the body, the shape of each value) and to
numbers (length, entropy, compressed length). The words are learnt on one half and judged on the other.
"""

import math
import re
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import httpx

from strongroom.canonical import decode

_SIGN = re.compile(r"[A-Za-z0-9_-]")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a classifier sees of one answer."""

    words: tuple[str, ...]
    numbers: tuple[float, ...]


def seen(response: httpx.Response) -> Answer:
    """Reduce a response."""
    names = [name for name, _ in response.headers.raw]
    body = response.content
    value = decode(body, limit=1 << 20) if body else {}
    assert isinstance(value, dict)
    words = [f"status {response.status_code}", f"order {names}", f"keys {list(value)}", f"length {len(body)}"]
    words += [f"header {name!r} {_shape(text.decode())}" for name, text in response.headers.raw]
    words += [f"value {name} {_shape(str(text)) if name == 'instance' else text}" for name, text in value.items()]
    return Answer(tuple(words), (float(len(body)), _entropy(body), float(len(zlib.compress(body, 9)))))


def best_guess(real: Sequence[Answer], decoys: Sequence[Answer]) -> dict[str, float]:
    """Return the area under the curve of each way of telling them apart; 0.5 is a coin, 1.0 is certainty."""
    half = min(len(real), len(decoys)) // 2
    counts = [Counter(word for one in kind[:half] for word in set(one.words)) for kind in (real, decoys)]

    def score(one: Answer) -> float:
        return sum(math.log((counts[1][word] + 1) / (counts[0][word] + 1)) for word in set(one.words))

    found = {"words": area([score(one) for one in real[half:]], [score(one) for one in decoys[half:]])}
    for place in range(len(real[0].numbers)):
        found[f"number {place}"] = area([one.numbers[place] for one in real], [one.numbers[place] for one in decoys])
    return {name: max(value, 1 - value) for name, value in found.items()}


def area(low: Sequence[float], high: Sequence[float]) -> float:
    """Return the probability that one of `high` is above one of `low`, ties counting half (Mann-Whitney)."""
    every = sorted([(value, 0) for value in low] + [(value, 1) for value in high])
    rank, total, at = 1, 0.0, 0
    while at < len(every):
        end = at
        while end < len(every) and every[end][0] == every[at][0]:
            end += 1
        middle = rank + (end - at - 1) / 2
        total += middle * sum(kind for _, kind in every[at:end])
        rank, at = rank + end - at, end
    return (total - len(high) * (len(high) + 1) / 2) / (len(low) * len(high))


def _shape(text: str) -> str:
    return _SIGN.sub("a", text) if len(text) < 80 else str(len(text))


def _entropy(data: bytes) -> float:
    counts = Counter(data)
    return -sum(n / len(data) * math.log2(n / len(data)) for n in counts.values()) if data else 0.0
