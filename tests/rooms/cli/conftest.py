"""Running the command line inside the test's own process."""

import json
import logging
from dataclasses import dataclass

import pytest

from strongroom.cli import places, root
from strongroom.cli.faults import run


@dataclass(frozen=True)
class Outcome:
    """What a command returned and printed."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def cli(capsys, monkeypatch, tmp_path):
    """Run `strongroom ARGS` in an empty directory, with an empty environment of ours; never a stack trace (D10)."""
    for name in (
        "ADMIN_TOKEN", "ADMIN_URL", "CONFIG", "DIR", "HOME", "TOKEN", "TOKEN_FILE", "TRACE", "TRUST",
    ):  # fmt: skip
        monkeypatch.delenv(f"STRONGROOM_{name}", raising=False)
    monkeypatch.setenv("STRONGROOM_HOME", str(tmp_path / "device"))
    monkeypatch.setattr(places, "START_SECONDS", 0.0)  # no server is about to start here
    monkeypatch.chdir(tmp_path)

    def call(*args):
        capsys.readouterr()
        code = run(root, [str(arg) for arg in args])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        assert "internal" not in err
        return Outcome(code, out, err)

    handlers, level = list(logging.root.handlers), logging.root.level
    yield call
    logging.root.handlers[:], logging.root.level = handlers, level  # `serve` sets up logging for a whole process
