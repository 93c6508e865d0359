"""A real strongroom on loopback: one `strongroom serve` process over TLS, and the command line as its users run it."""

import json
import os
import secrets
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

SECONDS = 60  # for any one command; a hang is a failure, not a slow pass


def run(*arguments, env=None, expect=0, text=True):
    """Run a strongroom command and return what it printed, `--json` parsed."""
    done = subprocess.run(
        [sys.executable, "-m", "strongroom", *map(str, arguments)],
        env=_environment() | (env or {}),
        capture_output=True,
        timeout=SECONDS,
        text=text,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == expect, (arguments, done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout) if "--json" in arguments else done.stdout


def free_ports(number):
    """Find ports nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _environment():
    return {name: value for name, value in os.environ.items() if not name.startswith("STRONGROOM_")}


class Server:
    """A running strongroom and its directory."""

    def __init__(self, folder):
        self.folder = Path(folder)
        device, admin = free_ports(2)
        self.made = run("init", self.folder / "room", "--device-port", device, "--admin-port", admin, "--json")
        self.config, self.trust = self.made["config"], Path(self.made["trust"])
        self.url, self.admin_url = self.made["public_url"], self.made["admin_url"]
        self.process = None
        self.log = self.folder / "server.log"

    def start(self):
        """Start the process and wait until it says that both ports are open."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "strongroom", "serve", "--config", self.config],
            stderr=subprocess.PIPE,
            env=_environment(),
            stdin=subprocess.DEVNULL,
        )
        ready = threading.Event()
        self._reader = threading.Thread(target=self._copy_log, args=(ready,), daemon=True)
        self._reader.start()
        assert ready.wait(SECONDS), self.log.read_text()
        assert self.process.poll() is None, self.log.read_text()
        return self

    def stop(self, kill=False):
        """Stop the process: SIGTERM, or SIGKILL."""
        self.process.kill() if kill else self.process.terminate()
        code = self.process.wait(SECONDS)
        self._reader.join(SECONDS)
        self.process.stderr.close()
        return code

    def admin(self, *arguments):
        """Run an admin command against it."""
        return run(*arguments, "--config", self.config, "--json")

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

    def _copy_log(self, ready):
        with self.log.open("ab") as log:
            for line in self.process.stderr:
                log.write(line)
                if b'"server.ready"' in line:
                    ready.set()
        ready.set()  # it ended: the waiter looks why


@pytest.fixture
def server(tmp_path):
    server = Server(tmp_path).start()
    yield server
    if server.process.poll() is None:
        server.stop()


@pytest.fixture
def command():
    return run
