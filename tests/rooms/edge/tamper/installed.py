"""strongroom as an installer leaves it: its files in a directory, and a RECORD of their hashes."""

import base64
import csv
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import strongroom

SOURCE = Path(strongroom.__file__).parent
LOOK = "import dataclasses, json; from strongroom.edge.tamper import looking"
SAY = "print(json.dumps(dataclasses.asdict(looking.look())))"


def record(site: Path) -> Path:
    return site / f"strongroom-{strongroom.__version__}.dist-info" / "RECORD"


def install(site: Path) -> Path:
    """Copy the package and write its RECORD, by the rules of PyPA's specification."""
    shutil.copytree(SOURCE, site / "strongroom", ignore=shutil.ignore_patterns("__pycache__"))
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    for path in sorted((site / "strongroom").rglob("*")):
        if path.is_file():
            digest = base64.urlsafe_b64encode(hashlib.sha256(path.read_bytes()).digest()).decode().rstrip("=")
            rows.writerow([path.relative_to(site).as_posix(), f"sha256={digest}", path.stat().st_size])
    rows.writerow([f"{record(site).parent.name}/RECORD", "", ""])
    record(site).parent.mkdir()
    record(site).write_text(text.getvalue())
    return site


def looked(*before: str, site: Path | None = None, **environment: str) -> dict:
    """Return what a fresh process sees of itself after it did this."""
    given = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | environment
    given["PYTHONPATH"] = str(site or SOURCE.parent)
    done = subprocess.run(
        [sys.executable, "-c", "\n".join((LOOK, *before, SAY))],
        env=given,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
