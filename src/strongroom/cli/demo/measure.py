"""The measure: how often the model is right, on files whose type their extension tells.

The model is magika's (Apache-2.0): bytes of a file in, one of 214 file types out. Its inputs need no download: the
files of the environment the demo runs in are labelled by their extensions. Only what the model's documentation says of
its input is repeated here; the package itself is never imported.
"""

import hashlib
import json
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from strongroom.canonical import JsonValue
from strongroom.errors import Code, SetupError

PACKAGE = "magika"
FOLDER = "magika/models/standard_v3_3"
BLOCK, EDGE, PADDING = 4096, 1024, 256  # bytes looked at on each end, bytes kept of them, token for "nothing"
MOST_PER_LABEL = 60
LEAST_SIZE = 64  # bytes; shorter files say too little about themselves
BATCH = 16

LABELS = {
    ".c": "c", ".cpp": "cpp", ".css": "css", ".csv": "csv", ".exe": "pebin", ".gz": "gzip", ".h": "c", ".html": "html",
    ".ini": "ini", ".js": "javascript", ".json": "json", ".mako": "jinja", ".md": "markdown", ".npy": "npy",
    ".npz": "npz", ".onnx": "onnx", ".pdf": "pdf", ".pem": "pem", ".png": "png", ".proto": "proto", ".py": "python",
    ".pyc": "pythonbytecode", ".rst": "rst", ".sh": "shell", ".so": "elf", ".sql": "sql", ".svg": "svg",
    ".toml": "toml", ".ts": "typescript", ".txt": "txt", ".whl": "zip", ".xml": "xml",
    ".yaml": "yaml", ".yml": "yaml", ".zip": "zip",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Specimen:
    """The model the demo protects, as it lies in an installed package."""

    path: Path
    labels: tuple[str, ...]
    size: int  # bytes


@dataclass(frozen=True, slots=True)
class Score:
    """What a model said about the files: the share it got right, and a fingerprint of every single answer."""

    right: int
    total: int
    answers: str

    @property
    def share(self) -> str:
        return f"{100 * self.right / self.total:.1f} %"

    def to_value(self) -> dict[str, JsonValue]:
        return {"right": self.right, "total": self.total, "answers": self.answers}


def find_specimen() -> Specimen:
    """Find the model inside the installed package.

    Raises:
        SetupError: MISSING_EXTRA.
    """
    try:
        folder = Path(str(metadata.distribution(PACKAGE).locate_file(FOLDER)))
        path = folder / "model.onnx"
        labels = json.loads((folder / "config.min.json").read_text(encoding="utf-8"))["target_labels_space"]
        return Specimen(path, tuple(labels), path.stat().st_size)
    except (metadata.PackageNotFoundError, OSError, KeyError, ValueError):
        raise SetupError(
            Code.MISSING_EXTRA,
            "the demo's model is not here",
            where=PACKAGE,
            next_step="run: pip install 'strongroom[demo]'",
        ) from None


def labelled_files() -> list[tuple[str, str]]:
    """Return (path, label) of files in this environment, sorted, at most MOST_PER_LABEL of a label."""
    root = Path(sysconfig.get_path("purelib"))
    taken: dict[str, int] = {}
    found: list[tuple[str, str]] = []
    for path in sorted(root.rglob("*")):
        label = LABELS.get(path.suffix)
        if label is None or taken.get(label, 0) >= MOST_PER_LABEL or path.is_symlink() or not path.is_file():
            continue
        if path.stat().st_size < LEAST_SIZE:
            continue
        taken[label] = taken.get(label, 0) + 1
        found.append((str(path), label))
    return found


def features(path: str) -> list[int]:
    """Return the 2,048 tokens the model wants: the first and the last 1,024 bytes, whitespace stripped."""
    with Path(path).open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        first = file.read(BLOCK)
        file.seek(max(0, size - BLOCK))
        last = file.read(BLOCK)
    head, tail = first.lstrip()[:EDGE], last.rstrip()[-EDGE:]
    return [*head, *[PADDING] * (EDGE - len(head)), *[PADDING] * (EDGE - len(tail)), *tail]


def score(session: Any, files: Sequence[tuple[str, str]], labels: Sequence[str]) -> Score:  # noqa: ANN401 - onnxruntime ships no types
    """Ask an onnxruntime session about every file."""
    name = session.get_inputs()[0].name
    answers: list[str] = []
    for start in range(0, len(files), BATCH):
        batch = np.array([features(path) for path, _ in files[start : start + BATCH]], dtype=np.int32)
        (scores,) = session.run(None, {name: batch})
        answers.extend(labels[int(best)] for best in scores.argmax(axis=1))
    right = sum(_same(answer, label) for answer, (_, label) in zip(answers, files, strict=True))
    return Score(right, len(files), hashlib.sha256("\n".join(answers).encode()).hexdigest())


def _same(answer: str, label: str) -> bool:
    return ("txt" if answer == "randomtxt" else answer) == label  # the model's own configuration joins these two
