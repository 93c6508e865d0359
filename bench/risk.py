"""Whom do the shipped rules hit: honest people with awkward lives, attackers of many kinds, several seeds.

Beside them stand flat counters over the same list of signals, which is what most people would build, on the same
events in the same run. Every seed is another population, and its attackers' pace and appetite are others too; the same
seed is always the same events, so all figures but the time are the same on every machine.
"""

import argparse
import json
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from population.attackers import attack
from population.flat import Flat
from population.honest import populate
from population.verdict import summed, verdict
from population.world import Json, World
from strongroom.risk.defaults import default_rules
from strongroom.risk.replay import Replay
from table import columns, machine

DOCS = Path(__file__).resolve().parents[1] / "docs"
_PLACE = re.compile(r"(<!-- figures of one run -->\n).*?(<!-- end of figures -->)", re.DOTALL)
GOALS = (  # text, path of the figure, limit, whether at least
    ("honest users ever at medium", "medium", 0.010, False),
    ("honest users ever at high", "high", 0.002, False),
    ("recall at the due band, mean over kinds", "mean_recall", 0.90, True),
    ("lowest recall of a kind that is not slow or inside", "lowest_recall", 0.80, True),
    ("models out before an attacker is caught, median", "median_out", 2, False),
    ("models out, worst kind's mean", "worst_mean", 15, False),
    ("takeover victims locked out", "locked", 0, False),
    ("events a second and core", "speed", 20_000, True),
    ("bytes of state of one entity, most", "bytes", 256, False),
)


def main() -> None:
    """Ask, and show or print the answers."""
    parser = argparse.ArgumentParser(description="Whom the shipped rules hit, and whom they miss.")
    parser.add_argument("--seeds", default="21,22,23,24,25", help="populations (default: %(default)s)")
    parser.add_argument("--users", type=int, default=1500, help="honest users of each (default: %(default)s)")
    parser.add_argument("--days", type=int, default=45, help="how long they live (default: %(default)s)")
    parser.add_argument("--attackers", type=int, default=6, help="of each kind (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="see that it runs; figures mean nothing")
    parser.add_argument("--json", action="store_true", help="write JSON to stdout")
    parser.add_argument("--docs", action="store_true", help="write docs/risk-figures.{md,json} as well")
    options = parser.parse_args()
    if options.quick:
        options.seeds, options.users, options.days, options.attackers = "1", 60, 20, 1
    told = asked([int(seed) for seed in options.seeds.split(",")], options.users, options.days, options.attackers)
    if options.docs:
        write(told)
    if options.json:
        json.dump(told, sys.stdout, indent=1)
    else:
        print("\n".join(lines(told)))


def asked(seeds: list[int], users: int, days: int, attackers: int) -> dict[str, Any]:
    """Let rules and flat counters judge every population; return what was found."""
    found: dict[str, list[dict[str, Any]]] = {"rules": [], "flat": []}
    costs: dict[str, list[float]] = {"rules": [], "flat": []}  # events a second of processor time
    sizes: list[int] = []
    events = 0
    for seed in seeds:
        world = World(seed, days)
        populate(world, users)
        attack(world, attackers)
        given = list(world.lines())
        events += len(given)
        replay = Replay(default_rules())
        for name, judge in (("rules", replay.lines), ("flat", _flat)):
            answers, speed = _timed(judge, given)
            found[name].append(verdict(world, _answered(world, answers)))
            costs[name].append(speed)
        sizes += [len(state.pack()) for state in replay.states.values()]
        if sys.stderr.isatty():
            print(f"\rseed {seed} ", end="", file=sys.stderr)
    told = {name: _figures(summed(found[name]), costs[name]) for name in found}
    told["rules"] |= {"bytes": max(sizes), "mean_bytes": statistics.mean(sizes), "entities": len(sizes)}
    ratio = statistics.median(two / one for one, two in zip(costs["rules"], costs["flat"], strict=True))
    return {
        "machine": machine(),
        "policy": default_rules().version,
        "seeds": seeds,
        "users": users,
        "days": days,
        "attackers": attackers,
        "events": events,
        "cost_ratio": ratio,
        "goals": [_judged(goal, told["rules"]) for goal in GOALS],
        **told,
    }


def _answered(world: World, answers: list[str]) -> Iterator[tuple[Json, str]]:
    """Yield each event that was judged with its band, in the order of the answers."""
    events = {str(event["event_id"]): event for event in world.events}
    for answer in map(json.loads, answers):
        if not answer.get("set_aside"):
            yield events[answer["event_id"]], answer["band"]


def write(told: dict[str, Any]) -> None:
    """Put a run's figures into the page."""
    page = DOCS / "risk-figures.md"
    text = "\n".join(lines(told))
    page.write_text(_PLACE.sub(lambda found: f"{found[1]}\n{text}\n\n{found[2]}", page.read_text("utf-8")), "utf-8")
    (DOCS / "risk-figures.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def _flat(given: list[bytes]) -> Iterator[str]:
    flat = Flat()
    for line in given:
        event = json.loads(line)
        yield json.dumps({"event_id": event["event_id"], "band": flat.band(event)})


def _timed(judge: Callable[[list[bytes]], Iterator[str]], given: list[bytes]) -> tuple[list[str], float]:
    begin = time.process_time()
    answers = list(judge(given))
    return answers, len(given) / (time.process_time() - begin)


def _figures(found: dict[str, Any], speeds: list[float]) -> dict[str, Any]:
    count, medium, high = found["honest"]["everybody"]
    usual = [recall for kind, recall in found["recall"].items() if kind not in found["hard"]]
    return found | {
        "medium": medium / count,
        "high": high / count,
        "lowest_recall": min(usual),
        "worst_mean": found["worst_out"][1],
        "locked": found["victims"][2],
        "speed": statistics.median(speeds),
    }


def _judged(goal: tuple[str, str, float, bool], told: dict[str, Any]) -> dict[str, Any]:
    text, name, limit, least = goal
    figure = told[name]
    return {
        "text": text,
        "figure": figure,
        "limit": limit,
        "least": least,
        "met": figure >= limit if least else figure <= limit,
    }


def lines(told: dict[str, Any]) -> Iterator[str]:
    """Yield the result as lines that are readable as they are and as Markdown."""
    rules, flat = told["rules"], told["flat"]
    people = rules["honest"]["everybody"][0]
    seeds = ", ".join(map(str, told["seeds"]))
    yield (
        f"{len(told['seeds'])} populations, of the seeds {seeds} ({told['events']:,} events, {people:,} honest users, "
        f"{told['attackers']} attackers of each kind in each, {told['days']} days). Rules {told['policy'][:16]}."
    )
    yield ""
    head = ("goal", "limit", "rules", "", "flat counters")
    yield from columns([head, *(_goal(goal, flat.get(GOALS[at][1])) for at, goal in enumerate(told["goals"]))])
    yield ""
    yield (
        f"Beside flat counters, judging costs {told['cost_ratio']:.1f} times the processor time; {rules['entities']:,} "
        f"entities have {rules['mean_bytes']:.0f} bytes each on average. Of {rules['victims'][0]} victims of "
        f"takeovers, {rules['victims'][1]} were at medium themselves at some time."
    )
    yield ""
    rows = [
        (kind, str(row[0]), *(_share(side["honest"][kind], column) for side in (rules, flat) for column in (1, 2)))
        for kind, row in rules["honest"].items()
    ]
    yield from columns([("honest", "users", "rules: medium", "high", "flat: medium", "high"), *rows])
    yield ""
    rows = [
        (
            f"{kind}{' *' if kind in rules['hard'] else ''}",
            rules["due"][kind],
            *(text for side in (rules, flat) for text in (f"{side['recall'][kind]:.2f}", f"{side['out'][kind]:.1f}")),
        )
        for kind in rules["recall"]
    ]
    yield from columns([("attack", "due", "rules: recall", "models out", "flat: recall", "models out"), *rows])
    yield ""
    yield "\\* slow and low, or an insider: less is asked."


def _share(row: list[int], column: int) -> str:
    return f"{row[column] / row[0]:.1%}"


def _goal(goal: dict[str, Any], flat: float | None) -> tuple[str, ...]:
    sign, limit = "≥" if goal["least"] else "≤", goal["limit"]
    return (
        goal["text"],
        f"{sign} {_number(limit, limit)}",
        _number(goal["figure"], limit),
        "met" if goal["met"] else "missed",
        "-" if flat is None else _number(flat, limit),
    )


def _number(figure: float, limit: float) -> str:
    if limit < 0.05 and limit:
        return f"{figure:.2%}"
    return f"{figure:,.0f}" if limit > 20 else f"{figure:.2f}".rstrip("0").rstrip(".")


if __name__ == "__main__":
    main()
