"""The scripts that measure still run, refuse wrong results, and the page shows one run and nothing else."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

ROOT = Path(__file__).resolve().parents[2]
BENCH, DOCS = ROOT / "bench", ROOT / "docs"
PEERS = {"tink": "Tink", "pyrage": "age"}  # packages that only `make bench` installs


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.fixture(scope="module")
def told():
    done = run("bench/all.py", "--quick", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_every_question_is_answered(told):
    """Every row of every question ran once, was found right, and is compared with its base and its goals."""
    names = ["open", "peers", "onnx", "seal", "download", "release", "attest", "start", "parts"]
    assert [one["name"] for one in told["questions"]] == names
    missing = [name for package, name in PEERS.items() if not importlib.util.find_spec(package)]
    for question in told["questions"]:
        base = next(row for row in question["rows"] if row["name"] == question["base"])
        assert (base["wall_ratio"], base["cpu_ratio"]) == (1.0, 1.0)
        assert all(row["wall"] > 0 and row["cpu"] > 0 and row["wall_ratio"] > 0 for row in question["rows"])
        for goal in question["goals"]:
            absent = any(f"{name}'s" in goal["text"] for name in missing)
            assert (goal["figure"] is None) == absent, goal
            assert absent or goal["met"] == (
                goal["figure"] >= goal["limit"] if goal["least"] else goal["figure"] <= goal["limit"]
            )
    left_out = [text for question in told["questions"] for text in question["left_out"]]
    assert len(left_out) == 3 * len(missing)  # a peer stands in two rows of one question and in one of another
    assert all(any(name in text for name in missing) for text in left_out)


@pytest.mark.slow
def test_a_wrong_result_is_no_figure(tmp_path):
    """Whatever opens faster by not opening what was sealed is refused."""
    code = (
        "from pathlib import Path; import sys; from material import sealed_and_local\n"
        "with sealed_and_local(Path(sys.argv[1]), 2**20): (Path(sys.argv[1]) / 'plain').write_bytes(bytes(2**20))"
    )
    made = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=BENCH, capture_output=True, check=False)
    assert made.returncode == 0, made.stderr
    assert run("bench/open_local.py", "--act", "read", str(tmp_path)).returncode == 0
    done = run("bench/open_local.py", "--act", "open-1", str(tmp_path))
    assert done.returncode == 1
    assert "the result is wrong" in done.stderr
    assert not done.stdout


def test_the_page_shows_the_run_it_says(monkeypatch):
    """Table and picture are made of docs/performance.json, and of no figure besides."""
    monkeypatch.syspath_prepend(str(BENCH))
    import chart
    import table

    told = json.loads((DOCS / "performance.json").read_text(encoding="utf-8"))
    assert not told["machine"]["quick"]
    page = (DOCS / "performance.md").read_text(encoding="utf-8")
    shown = page.partition("<!-- figures of one run -->\n")[2].partition("<!-- end of figures -->")[0]
    assert shown.strip() == "\n".join(table.lines(told, bold=lambda title: f"### {title}"))
    picture = (DOCS / "performance.svg").read_text(encoding="utf-8")
    assert picture == chart.drawn(told)
    bars = [one for one in ET.fromstring(picture) if one.tag.endswith("rect")]  # noqa: S314 - our own picture
    assert len(bars) == 1 + sum(len(one["rows"]) for one in told["questions"] if one["name"] in drawn_questions(chart))


def drawn_questions(chart):
    return {panel.question for panel in chart.PANELS}
