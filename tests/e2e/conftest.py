"""A real strongroom on loopback: one `strongroom serve` process over TLS, and the command line as its users run it."""

import json
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from strongroom.cli.demo.processes import Server, clean_environment, free_ports
from swtpm import chip, other_chip  # noqa: F401 - fixtures are found by their names

SECONDS = 60  # for any one command; a hang is a failure, not a slow pass


def run(*arguments, env=None, expect=0):
    """Run a strongroom command and return what it printed, `--json` parsed."""
    done = subprocess.run(
        [sys.executable, "-m", "strongroom", *map(str, arguments)],
        env=clean_environment(**(env or {})),
        capture_output=True,
        timeout=SECONDS,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == expect, (arguments, done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout) if "--json" in arguments else done.stdout


class Office:
    """A strongroom of its own: directory, running server, admin commands, customers, devices."""

    def __init__(self, folder):
        self.folder = folder
        device, admin = free_ports()
        self.made = run("init", folder / "room", "--device-port", device, "--admin-port", admin, "--json")
        self.config, self.trust = self.made["config"], Path(self.made["trust"])
        self.url, self.admin_url = self.made["public_url"], self.made["admin_url"]
        self.server = Server(Path(self.config), folder / "server.log", self.url, self.admin_url)

    def admin(self, *arguments):
        """Run an admin command against it."""
        return run(*arguments, "--config", self.config, "--json")

    def publish(self, content, name, version="1.0"):
        """Publish a model to its channel `stable`, and leave no plaintext behind."""
        path = self.folder / f"{secrets.token_hex(4)}.bin"
        path.write_bytes(content)
        done = self.admin("model", "publish", path, "--name", name, "--version", version, "--channel", "stable")
        path.unlink()
        return done

    def customer(self, name, *models):
        """Add an account, entitle it, and return a file with a token."""
        self.admin("account", "add", name)
        for model in models:
            self.admin("entitle", name, model)
        return self.token(name)

    def token(self, user):
        """Return a file with a fresh token of a user."""
        path = self.folder / f"{user}-{secrets.token_hex(4)}.token"
        run("token", "issue", "--user", user, "--out", path, "--config", self.config)
        return path

    def device(self, name, token):
        """Enrol a device with a home of its own; return its environment."""
        env = {"STRONGROOM_HOME": str(self.folder / name)}
        run("enrol", "--server", self.url, "--trust", self.trust, "--token-file", token, "--json", env=env)
        return env


@pytest.fixture(scope="module")
def office(tmp_path_factory):
    """One running office for the tests of a module that leave it as it was."""
    office = Office(tmp_path_factory.mktemp("office"))
    office.server.start()
    yield office
    office.server.stop()


@pytest.fixture
def own_office(tmp_path):
    """A running office that a test may break."""
    office = Office(tmp_path)
    office.server.start()
    yield office
    office.server.stop()


@pytest.fixture
def command():
    return run
