"""Ask every question in one run, and write what docs/performance.md shows: `python bench/all.py --docs`."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import attest
import chart
import device_start
import download
import load_onnx
import open_local
import parts
import peers
import release
import seal
from rounds import arguments, asked
from table import lines, show

QUESTIONS = [
    one.QUESTION for one in (open_local, peers, load_onnx, seal, download, release, attest, device_start, parts)
]
DOCS = Path(__file__).resolve().parents[1] / "docs"
_PLACE = re.compile(r"(<!-- figures of one run -->\n).*?(<!-- end of figures -->)", re.DOTALL)


def main() -> None:
    """Ask, and show, print or write the answers."""
    docs = ("--docs", {"action": "store_true", "help": "write docs/performance.{md,svg,json} as well"})
    options = arguments("All questions in one run.", docs)
    told = asked(QUESTIONS, options)
    if options.docs:
        write(told)
    if options.json:
        json.dump(told, sys.stdout, indent=1)
    else:
        show(told)


def write(told: dict[str, Any]) -> None:
    """Put a run's figures into the page."""
    page = DOCS / "performance.md"
    text = "\n".join(lines(told, bold=lambda title: f"### {title}"))
    page.write_text(_PLACE.sub(lambda found: f"{found[1]}\n{text}\n\n{found[2]}", page.read_text("utf-8")), "utf-8")
    (DOCS / "performance.svg").write_text(chart.drawn(told), encoding="utf-8")
    (DOCS / "performance.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
