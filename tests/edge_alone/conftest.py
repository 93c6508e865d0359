"""A device as it is delivered: the wheel and its hashed requirements in an environment of their own, nothing else."""

import subprocess
import sys
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FETCHED = Path(sys.prefix) / "device"  # what `make` downloaded for requirements/device.txt; else the index is asked


@dataclass(frozen=True)
class Device:
    """A bare installation."""

    python: Path
    wheel: Path
    home: Path

    def run(self, *args: str, code: int = 0) -> str:
        """Run the device's Python and return what it printed; an unexpected exit code fails the test."""
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(self.home), "STRONGROOM_HOME": str(self.home / "room")}
        done = subprocess.run(
            [str(self.python), "-I", *args],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env=environment,
            cwd=self.home,
        )
        assert done.returncode == code, f"{args}: exit {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def script(self, source: str) -> str:
        """Run a few lines of Python on the device."""
        return self.run("-W", "error", "-c", source)


def _call(*command: str | Path) -> None:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


@pytest.fixture(scope="session")
def device(tmp_path_factory: pytest.TempPathFactory) -> Device:
    """Build the wheel, make an environment, install."""
    place: Callable[[str], Path] = lambda name: tmp_path_factory.mktemp("edge", numbered=True) / name  # noqa: E731 - one short name for one short thing
    wheels, environment, home = place("wheels"), place("device"), place("home")
    home.mkdir()
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    _call(*build, "--wheel-dir", wheels, ROOT)
    (wheel,) = wheels.glob("strongroom-*.whl")
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"
    source = ["--no-index", "--find-links", FETCHED] if FETCHED.is_dir() else []
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _call(*install, *source, "--require-hashes", "--only-binary", ":all:", "-r", ROOT / "requirements" / "device.txt")
    _call(*install, "--no-index", "--no-deps", wheel)
    return Device(python, wheel, home)
