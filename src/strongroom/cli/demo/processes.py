"""The real processes of the demo: commands of `strongroom`, one server, one device."""

import json
import os
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from strongroom.errors import Code, InternalError, UnreachableError

START_SECONDS = 30.0
STOP_SECONDS = 10.0
CALL_SECONDS = 120.0
DEVICE = "strongroom.cli.demo.device"


def clean_environment(**more: str) -> dict[str, str]:
    """Return the environment without anything that would configure strongroom from outside."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("STRONGROOM_")}
    return {**kept, **more}


def free_ports() -> tuple[int, int]:
    """Ask the system for two free ports; trust.json names the first, so they are needed before the server starts."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(2)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        first, second = (int(one.getsockname()[1]) for one in sockets)
    return first, second


@dataclass(frozen=True, slots=True)
class Command:
    """What a person would type, run as they would, against one office."""

    office: Path

    def __call__(self, *args: str) -> Any:  # noqa: ANN401 - a JSON document
        """Run `strongroom ARGS --json` and return its document.

        Raises:
            InternalError: the command failed; it must not, here.
        """
        command = [sys.executable, "-m", "strongroom", *args, "--json"]
        environment = clean_environment(STRONGROOM_DIR=str(self.office))
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, timeout=CALL_SECONDS, check=False
        )
        if done.returncode != 0:
            last = (done.stderr or done.stdout).strip().splitlines()[-3:]
            raise InternalError(Code.INTERNAL, f"`strongroom {' '.join(args)}` failed: {' / '.join(last)}")
        return json.loads(done.stdout) if done.stdout.strip() else {}


@dataclass(slots=True)
class Server:
    """`strongroom serve` as a process of its own; its log is a file of the demo."""

    config: Path
    log: Path
    device_url: str
    admin_url: str
    _process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    def start(self) -> Self:
        """Start, and wait for the ready line.

        Raises:
            UnreachableError: the server ended or did not become ready.
        """
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "strongroom", "serve", "--config", str(self.config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=clean_environment(),
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            if '"server.ready"' in self.log.read_text(encoding="utf-8", errors="replace"):
                return self
            time.sleep(0.02)
        self.stop()
        raise UnreachableError(Code.UNREACHABLE, "the server did not start", where=str(self.log))

    def stop(self) -> None:
        """Stop it as a service manager would, and by force if it does not listen. Stopping twice is no error."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def kill(self) -> None:
        """End it as a power cut would: SIGKILL, nothing finished."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@dataclass(frozen=True, slots=True)
class DeviceProcess:
    """A device: its own process each time, its own directory, nothing shared with the office but the network."""

    home: Path

    def __call__(self, do: str, **arguments: object) -> Any:  # noqa: ANN401 - a JSON document
        """Let the device do something that must work, and return what it says.

        Raises:
            InternalError: it did not work.
        """
        (told,) = self.attempt({"do": do, **arguments})
        if "error" in told:
            raise InternalError(Code.INTERNAL, f"the device failed at {do}: {told['error']}")
        return told

    def attempt(self, *acts: dict[str, object]) -> list[Any]:
        """Let one process do several things that may be refused: then the field `error` says by what.

        Raises:
            InternalError: the process failed in a way that is not part of the story.
        """
        done = subprocess.run(
            [sys.executable, "-m", DEVICE],
            input=json.dumps(acts),
            capture_output=True,
            text=True,
            env=clean_environment(STRONGROOM_HOME=str(self.home)),
            timeout=CALL_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            last = (done.stderr or done.stdout).strip().splitlines()[-3:]
            raise InternalError(Code.INTERNAL, f"the device's process failed: {' / '.join(last)}")
        return [*json.loads(done.stdout)]
