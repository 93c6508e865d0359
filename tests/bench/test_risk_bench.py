"""The made-up population: one seed is one population, every kind is in it, and the shipped rules meet their goals."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BENCH, DOCS = ROOT / "bench", ROOT / "docs"


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))


def small(seed):
    from population.attackers import attack
    from population.honest import populate
    from population.world import World

    world = World(seed, days=12)
    populate(world, 40)
    attack(world, 1)
    return world, list(world.lines())


def test_a_seed_is_a_population(bench):
    (one, first), (_, again), (_, other) = small(3), small(3), small(4)
    assert first == again
    assert first != other
    assert {truth.side for truth in one.truth.values()} == {"honest", "attack", "victim"}
    events = [json.loads(line) for line in first]
    known = {f"user:{event['user_id']}" for event in events} | {f"key:{event['device_key']}" for event in events}
    assert set(one.truth) <= known


def test_every_kind_is_there(bench):
    from population import attackers, honest

    world, _ = small(5)
    there = {(truth.side, truth.kind) for truth in world.truth.values()}
    assert {kind for side, kind in there if side == "honest"} == set(honest.SHARES)
    assert {kind for side, kind in there if side == "attack"} == set(attackers.KINDS) - {"scanner"}
    assert len(honest.SHARES) >= 18
    assert len(attackers.KINDS) >= 20


def test_what_is_late_or_there_twice_comes_after_younger_events(bench):
    """At least one event each comes late, and a second time, or the intake is never asked."""
    _, lines = small(6)
    ids = [json.loads(line)["event_id"] for line in lines]
    assert len(set(ids)) < len(ids)
    times = [json.loads(line)["ts"] for line in lines]
    assert times != sorted(times)


def test_the_verdict_counts_whom_it_should(bench):
    """Bands that are known beforehand give shares that are known beforehand."""
    from population.verdict import summed, verdict

    world, lines = small(7)
    events = [json.loads(line) for line in lines]
    nobody = summed([verdict(world, ((event, "none") for event in events))])
    everybody = summed([verdict(world, ((event, "stop") for event in events))])
    count = nobody["honest"]["everybody"][0]
    assert nobody["honest"]["everybody"] == [count, 0, 0]
    assert everybody["honest"]["everybody"] == [count, count, count]
    assert (nobody["mean_recall"], everybody["mean_recall"]) == (0, 1)
    assert nobody["victims"][1:] == [0, 0]
    assert everybody["victims"][2] == everybody["victims"][0] > 0
    once = set()
    first = ((event, _once(event, once)) for event in events)
    assert summed([verdict(world, first)])["mean_recall"] > 0.5  # who was caught once is caught
    assert nobody["worst_out"][1] > everybody["worst_out"][1] == 0


def _once(event, seen):
    """High for the first model each user fetches once eight days are over, and for nothing else."""
    new = (
        event["type"] == "model_download" and event["user_id"] not in seen and event["ts"] > 1_793_491_200 + 8 * 86_400
    )
    seen.update([event["user_id"]] if new else [])
    return "high" if new else "none"


def test_the_script_runs_and_judges_its_goals():
    done = subprocess.run(
        [sys.executable, "bench/risk.py", "--quick", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    for goal in told["goals"]:
        assert goal["met"] == (goal["figure"] >= goal["limit"] if goal["least"] else goal["figure"] <= goal["limit"])
    assert set(told["rules"]["recall"]) == set(told["flat"]["recall"])


@pytest.mark.slow
def test_the_shipped_rules_on_a_population_they_were_not_tuned_on(bench):
    """Not the goals of the whole run, whose populations are larger, but near enough to see a rule that broke."""
    import risk

    told = risk.asked([97], 700, 40, 4)
    figures = {goal["text"]: goal["figure"] for goal in told["goals"]}
    assert figures["honest users ever at medium"] <= 0.02
    assert figures["honest users ever at high"] <= 0.005
    assert figures["recall at the due band, mean over kinds"] >= 0.88
    assert figures["models out before an attacker is caught, median"] <= 2
    assert figures["takeover victims locked out"] == 0
    assert figures["bytes of state of one entity, most"] <= 256


def test_the_page_shows_the_run_it_says(bench):
    import risk

    told = json.loads((DOCS / "risk-figures.json").read_text(encoding="utf-8"))
    page = (DOCS / "risk-figures.md").read_text(encoding="utf-8")
    shown = page.partition("<!-- figures of one run -->\n")[2].partition("<!-- end of figures -->")[0]
    assert shown.strip() == "\n".join(risk.lines(told))
