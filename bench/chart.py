"""A bar chart of a run, as SVG: `python bench/chart.py docs/performance.json > docs/performance.svg`."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

WIDTH, LABELS, BARS, LINE, GAP = 860, 380, 380, 22, 46  # px
OURS, THEIRS, BASE, INK, FAINT = "#2f6f8f", "#b3b8bf", "#d9a441", "#1d2329", "#6a737d"

HALO = 'stroke="#ffffff" stroke-width="3" paint-order="stroke"'  # so that text is readable over a line


@dataclass(frozen=True, slots=True)
class Panel:
    """One question as bars."""

    question: str
    figure: str
    unit: str
    ours: tuple[str, ...]  # how the names of strongroom's own rows begin


PANELS = (
    Panel("open", "wall_ratio", "time, in units of read() of the plaintext", ("open",)),
    Panel("peers", "cpu_ratio", "processor time, in units of read() of the plaintext", ("open",)),
    Panel("onnx", "wall_ratio", "time, in units of onnxruntime with the plaintext by path", ("sealed",)),
    Panel("seal", "wall_ratio", "time, in units of read and write without a cipher", ("seal",)),
    Panel("download", "wall_ratio", "time, in units of a bare download", ("pull",)),
)


def drawn(told: dict[str, Any]) -> str:
    """Return the picture of a run; shorter bars are better everywhere."""
    parts: list[str] = []
    y = 34
    for panel in PANELS:
        question = next((one for one in told["questions"] if one["name"] == panel.question), None)
        if question is not None:
            y = _panel(parts, panel, question, y)
    height = y - GAP + 36
    note = f"{told['size'] // 2**20} MiB, median of {told['rounds']} rounds, one machine; shorter is better"
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'font-family="system-ui, sans-serif" font-size="13"><title>{note}</title>'
        f'<rect width="{WIDTH}" height="{height}" rx="8" fill="#ffffff"/>'
    )
    foot = _text(WIDTH - 16, height - 10, note, anchor="end", fill=FAINT, size=11)
    return "\n".join([head, *parts, foot, "</svg>", ""])


def _panel(parts: list[str], panel: Panel, question: dict[str, Any], y: int) -> int:
    parts.append(_text(16, y, question["title"], weight=600))
    parts.append(_text(16, y + 17, panel.unit, fill=FAINT, size=11))
    y += 28
    rows = question["rows"]
    scale = BARS / max(row[panel.figure] for row in rows)
    one = LABELS + scale
    parts.append(f'<path d="M{one:.1f} {y}v{LINE * len(rows)}" stroke="{FAINT}" stroke-dasharray="2 3"/>')
    for row in rows:
        value = row[panel.figure]
        colour = BASE if row["name"] == question["base"] else OURS if row["name"].startswith(panel.ours) else THEIRS
        parts.append(_text(LABELS - 8, y + 14, row["text"], anchor="end", size=12))
        parts.append(f'<rect x="{LABELS}" y="{y + 3}" width="{value * scale:.1f}" height="15" rx="2" fill="{colour}"/>')
        parts.append(_text(LABELS + value * scale + 6, y + 15, f"{value:.2f}", size=12))
        y += LINE
    return y + GAP


def _text(
    x: float, y: float, text: str, *, anchor: str = "start", fill: str = INK, size: int = 13, weight: int = 400
) -> str:
    style = f'text-anchor="{anchor}" fill="{fill}" font-size="{size}" font-weight="{weight}" {HALO}'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(text)}</text>'


if __name__ == "__main__":
    sys.stdout.write(drawn(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
