"""Results as text, and what machine they are from, without its name."""

import os
import platform
import ssl
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

_PACKAGES = ("cryptography", "tink", "pyrage", "urllib3", "uvicorn")


def machine() -> dict[str, Any]:
    """Say what a reader needs to judge figures by, and nothing that names a machine."""
    return {
        "processor": _field("/proc/cpuinfo", "model name"),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(int(_field("/proc/meminfo", "MemTotal").split()[0]) / 2**20),
        "virtual": "hypervisor" in _field("/proc/cpuinfo", "flags").split(),
        "kernel": platform.release().split("-")[0],
        "huge_pages": _chosen("/sys/kernel/mm/transparent_hugepage/enabled"),
        "python": platform.python_version(),
        "openssl": _openssl(),
        "packages": {name: version for name in _PACKAGES if (version := _version(name))},
    }


def show(told: dict[str, Any]) -> None:
    """Print every question's table and goals for a terminal."""
    for line in lines(told, bold=lambda text: text):
        print(line)


def lines(told: dict[str, Any], bold: Callable[[str], str]) -> Iterator[str]:
    """Yield the whole result as lines that are readable as they are and as Markdown."""
    yield f"{told['size'] // 2**20} MiB, {told['rounds']} rounds. {where(told['machine'])}"
    for question in told["questions"]:
        yield ""
        yield bold(question["title"])
        yield ""
        yield from columns(_CELLS[question.get("counts", "bytes")](question))
        if question.get("shares"):
            yield ""
            shares = sorted(question["shares"].items(), key=lambda one: -one[1])
            yield from columns([("of the server's processor time", "share"), *((k, f"{v:.0%}") for k, v in shares)])
        if question["goals"]:
            yield ""
            yield from columns([("goal", "limit", "seen", ""), *(_goal(goal) for goal in question["goals"])])
        if question["left_out"]:
            yield ""
            yield f"Left out, since it is not installed: {'; '.join(question['left_out'])}."


def where(told: dict[str, Any]) -> str:
    """Say on what machine, in one sentence."""
    packages = ", ".join(f"{name} {version}" for name, version in told["packages"].items())
    kind = "virtual machine" if told["virtual"] else "machine"
    return (
        f"One {kind}: {told['cores']} cores of {told['processor']}, {told['memory_gib']} GiB, Linux {told['kernel']}, "
        f"huge pages `{told['huge_pages']}`, load average {told['load_before']:.1f} before and "
        f"{told['load_after']:.1f} after; Python {told['python']}, {told['openssl']}, {packages}."
    )


def _cells(question: dict[str, Any]) -> list[tuple[str, ...]]:
    beside = any(row["beside"] for row in question["rows"])
    titles = ("", "ms", "x base", "lowest, highest", "CPU ms", "CPU x base", "GB/s", "peak MiB")
    cells: list[tuple[str, ...]] = [(*titles, "server CPU ms") if beside else titles]
    for row in question["rows"]:
        low, high = row["wall_spread"]
        shown = (
            row["text"] + (" (base)" if row["name"] == question["base"] else ""),
            f"{row['wall'] * 1e3:.0f}",
            f"{row['wall_ratio']:.2f}",
            f"{low:.2f}, {high:.2f}",
            f"{row['cpu'] * 1e3:.0f}",
            f"{row['cpu_ratio']:.2f}",
            f"{row['size'] / row['wall'] / 1e9:.2f}",
            f"{row['peak'] / 2**20:.1f}",
        )
        cells.append((*shown, f"{row['beside'] * 1e3:.0f}") if beside else shown)
    return cells


def _requests(question: dict[str, Any]) -> list[tuple[str, ...]]:
    """Show requests: a second on the clock, and a second of the processor time of whoever serves them."""
    cells: list[tuple[str, ...]] = [("", "a second", "x base", "lowest, highest", "server CPU ms each", "a CPU second")]
    for row in question["rows"]:
        count, (low, high) = row["size"] / 2**20, row["wall_spread"]
        cells.append(
            (
                row["text"] + (" (base)" if row["name"] == question["base"] else ""),
                f"{count / row['wall']:.0f}",
                f"{1 / row['wall_ratio']:.2f}",
                f"{1 / high:.2f}, {1 / low:.2f}",
                f"{row['beside'] / count * 1e3:.2f}",
                f"{count / row['beside']:.0f}" if row["beside"] else "-",
            )
        )
    return cells


def _starts(question: dict[str, Any]) -> list[tuple[str, ...]]:
    """Show programs from their start to their end, and what each takes beyond the base."""
    cells: list[tuple[str, ...]] = [("", "ms", "above base", "x base", "lowest, highest", "CPU ms")]
    base = next(row for row in question["rows"] if row["name"] == question["base"])
    for row in question["rows"]:
        low, high = row["wall_spread"]
        cells.append(
            (
                row["text"] + (" (base)" if row is base else ""),
                f"{row['wall'] * 1e3:.0f}",
                f"{(row['wall'] - base['wall']) * 1e3:.0f}",
                f"{row['wall_ratio']:.2f}",
                f"{low:.2f}, {high:.2f}",
                f"{row['cpu'] * 1e3:.0f}",
            )
        )
    return cells


def _checks(question: dict[str, Any]) -> list[tuple[str, ...]]:
    """Show what is done once for each request, one after the other in one thread."""
    cells: list[tuple[str, ...]] = [("", "ms each", "x base", "lowest, highest", "CPU ms each", "a CPU second")]
    for row in question["rows"]:
        count, (low, high) = row["size"] / 2**20, row["wall_spread"]
        cells.append(
            (
                row["text"] + (" (base)" if row["name"] == question["base"] else ""),
                f"{row['wall'] / count * 1e3:.2f}",
                f"{row['wall_ratio']:.2f}",
                f"{low:.2f}, {high:.2f}",
                f"{row['cpu'] / count * 1e3:.2f}",
                f"{count / row['cpu']:.0f}",
            )
        )
    return cells


_CELLS = {"bytes": _cells, "checks": _checks, "requests": _requests, "starts": _starts}


def _goal(goal: dict[str, Any]) -> tuple[str, ...]:
    sign = "≥" if goal["least"] else "≤"
    if goal["figure"] is None:
        return goal["text"], f"{sign} {goal['limit']:g}", "-", "not measured"
    return goal["text"], f"{sign} {goal['limit']:g}", f"{goal['figure']:.2f}", "met" if goal["met"] else "missed"


def columns(cells: list[tuple[str, ...]]) -> Iterator[str]:
    """Yield a table as lines, the first row as its head."""
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    titles, *rest = (_line(row, widths) for row in cells)
    yield titles
    yield "|" + "|".join("-" * (width + 1) + ("-:"[at > 0]) for at, width in enumerate(widths)) + "|"
    yield from rest


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    first, *others = row
    padded = [first.ljust(widths[0]), *(text.rjust(width) for text, width in zip(others, widths[1:], strict=True))]
    return f"| {' | '.join(padded)} |"


def _field(path: str, name: str) -> str:
    for line in Path(path).read_text(encoding="ascii", errors="replace").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "unknown"


def _chosen(path: str) -> str:
    """Return the word in brackets, as files under /sys have it."""
    try:
        return Path(path).read_text(encoding="ascii").partition("[")[2].partition("]")[0]
    except OSError:
        return "none"


def _openssl() -> str:
    try:
        from cryptography.hazmat.backends.openssl.backend import backend
    except ImportError:
        return ssl.OPENSSL_VERSION
    return f"{backend.openssl_version_text().rsplit(' ', 3)[0]} in cryptography"


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
