"""What bands were worth: who was hit that should not have been, who was caught, and what was gone by then."""

import statistics
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from population.world import Json, World

RANK = {"none": 0, "medium": 1, "high": 2, "stop": 3}


@dataclass(slots=True)
class _Seen:
    worst: int = 0
    caught: bool = False
    out: set[object] = field(default_factory=set)  # models fetched since the attack began, until caught


def verdict(world: World, answers: Iterable[tuple[Json, str]]) -> dict[str, Any]:
    """Compare the band in force at each event with who everybody is.

    Args:
        world: the population.
        answers: its events in the order they were judged, each with the band.
    """
    seen: dict[str, _Seen] = defaultdict(_Seen)
    victims: dict[str, int] = defaultdict(int)
    for event, band in answers:
        rank, user, key = RANK[band], f"user:{event['user_id']}", f"key:{event['device_key']}"
        who = key if key in world.truth else user
        truth = world.truth.get(who)
        if truth is None:
            continue
        if truth.side == "victim":
            if event["device_key"] in world.own[user[5:]]:
                victims[who] = max(victims[who], rank)
            continue
        one = seen[who]
        one.worst = max(one.worst, rank)
        if truth.side == "attack" and float(str(event["ts"])) >= truth.since:
            one.caught = one.caught or rank >= RANK[truth.due]
            if not one.caught and event["type"] == "model_download":
                one.out.add(event["model"])
    return {
        "honest": _honest(world, seen),
        "attacks": _attacks(world, seen),
        "victims": [len(world.own), *(sum(rank >= least for rank in victims.values()) for least in (1, 2))],
    }


def _honest(world: World, seen: dict[str, _Seen]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for who, truth in world.truth.items():
        if truth.side == "honest":
            for kind in (truth.kind, *(("with a broken build",) if who in world.broken else ())):
                row, worst = found[kind], seen[who].worst
                row[0], row[1], row[2] = row[0] + 1, row[1] + (worst >= 1), row[2] + (worst >= RANK["high"])
    return dict(found)


def _attacks(world: World, seen: dict[str, _Seen]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for who, truth in world.truth.items():
        if truth.side == "attack":
            row = found.setdefault(truth.kind, {"due": truth.due, "hard": truth.hard, "caught": [], "out": []})
            row["caught"].append(seen[who].caught)
            row["out"].append(len(seen[who].out))
    return found


def summed(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Put several seeds together: shares of honest users, recall by kind and over kinds, models out, victims."""
    honest: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    attacks: dict[str, dict[str, Any]] = {}
    for one in found:
        for kind, row in one["honest"].items():
            honest[kind] = [sum(pair) for pair in zip(honest[kind], row, strict=True)]
        for kind, row in one["attacks"].items():
            into = attacks.setdefault(kind, {"due": row["due"], "hard": row["hard"], "caught": [], "out": []})
            into["caught"] += row["caught"]
            into["out"] += row["out"]
    everybody = [sum(column) for column in zip(*(honest[kind] for kind in honest if " " not in kind), strict=True)]
    recalls = {kind: statistics.mean(row["caught"]) for kind, row in attacks.items()}
    means = {kind: statistics.mean(row["out"]) for kind, row in attacks.items()}
    worst = max((kind for kind in means if not attacks[kind]["hard"]), key=lambda kind: means[kind])
    return {
        "honest": {"everybody": everybody, **dict(sorted(honest.items()))},
        "recall": recalls,
        "due": {kind: row["due"] for kind, row in attacks.items()},
        "hard": sorted(kind for kind, row in attacks.items() if row["hard"]),
        "mean_recall": statistics.mean(recalls.values()),
        "out": means,
        "median_out": statistics.median(count for row in attacks.values() for count in row["out"]),
        "worst_out": [worst, means[worst]],
        "victims": [sum(column) for column in zip(*(one["victims"] for one in found), strict=True)],
    }
