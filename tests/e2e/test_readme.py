"""What README.md shows is run as it stands there; only addresses, ports and names of one's own are filled in."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from strongroom.cli.demo.measure import find_specimen
from strongroom.cli.demo.processes import Server, free_ports

pytestmark = pytest.mark.slow

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
DEVICE, PUBLISHER = (text for language, text in BLOCKS if language == "python")
(SHELL,) = (text for _, text in BLOCKS if "strongroom init" in text)


BASH = shutil.which("bash") or "bash"


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    """Run the shell block in an empty directory, line by line; yield the directory, the server and what was printed."""
    place = tmp_path_factory.mktemp("readme")
    (place / "digits.onnx").write_bytes(find_specimen().path.read_bytes())
    np.save(place / "image.npy", np.zeros((1, 2048), dtype=np.int32))
    device_port, admin_port = free_ports()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STRONGROOM_")}
    environment["STRONGROOM_HOME"] = str(place / "device")
    urls = [f"https://localhost:{port}" for port in (device_port, admin_port)]
    server = Server(place / "strongroom" / "strongroom.toml", place / "server.log", *urls)
    printed = {}
    try:
        for line in filter(None, SHELL.splitlines()):
            if line == "strongroom serve &":
                server.start()
                continue
            words = shlex.split(line)
            if line == "strongroom init":
                words += ["--device-port", str(device_port), "--admin-port", str(admin_port)]
            done = subprocess.run(
                [sys.executable, "-m", *words],
                cwd=place,
                env=environment,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
            printed[line] = done.stdout
        yield place, server, printed
    finally:
        server.stop()


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """A directory with `strongroom` in it, as an installation puts it on the path."""
    place = tmp_path_factory.mktemp("bin")
    (place / "strongroom").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m strongroom "$@"\n')
    (place / "strongroom").chmod(0o755)
    return place


def test_the_shell_block_runs_when_it_is_pasted(tmp_path, program):
    """One script, nothing between its lines: the commands wait for the server that the second line starts."""
    (tmp_path / "digits.onnx").write_bytes(find_specimen().path.read_bytes())
    np.save(tmp_path / "image.npy", np.zeros((1, 2048), dtype=np.int32))
    device_port, admin_port = free_ports()
    made = f"strongroom init --device-port {device_port} --admin-port {admin_port}"
    assert "strongroom init\n" in SHELL
    script = "set -e\ntrap 'kill $(jobs -p)' EXIT\n" + SHELL.replace("strongroom init\n", f"{made}\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STRONGROOM_")}
    environment |= {"STRONGROOM_HOME": str(tmp_path / "device"), "PATH": f"{program}:{os.environ['PATH']}"}
    done = subprocess.run(
        [BASH, "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("target_label ")


def test_the_shell_block_runs(lines):
    _, _, printed = lines
    assert printed["strongroom run digits --input image.npy"].startswith("target_label ")


def test_the_publishers_block_runs(lines, monkeypatch):
    place, server, _ = lines
    monkeypatch.chdir(place)
    (place / "trust.json").write_bytes((place / "strongroom" / "trust.json").read_bytes())
    (place / "owner.key").write_bytes((place / "strongroom" / "owner" / "owner.key").read_bytes())
    (place / "owner.key").chmod(0o600)
    token = (place / "strongroom" / "admin.token").read_text().strip()
    source = PUBLISHER.replace("https://models.example.com:8444", server.admin_url)
    for version in ("1.1", "1.2"):  # the next version has a file of its own beside the source
        again = source.replace('"1.1"', f'"{version}"')
        exec(compile(again, "README.md", "exec"), {"publisher_token": f"{token}\n"})  # noqa: S102 - it is what is tested
        assert (place / f"digits-{version}.srm").is_file()


def test_the_three_lines_run(lines, monkeypatch):
    place, server, _ = lines
    monkeypatch.setenv("STRONGROOM_HOME", str(place / "device"))
    assert "https://models.example.com:8443" in DEVICE  # the port that `strongroom init` chooses
    source = DEVICE.replace("https://models.example.com:8443", server.device_url)
    names = {"my_token": (place / "ada.token").read_text().strip(), "inputs": {"bytes": np.load(place / "image.npy")}}
    exec(compile(source, "README.md", "exec"), names)  # noqa: S102 - it is what is tested
    names["room"].close()
    assert names["outputs"][0].shape == (1, 214)
