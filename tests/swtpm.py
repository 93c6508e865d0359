"""A real TPM 2.0 for tests: swtpm, a process of its own, over a unix socket, with a CA made on the spot.

Nothing of the machine's own swtpm set-up is read or written: three configuration files lie in a directory of the test.
A `conftest.py` that imports the fixtures `chip` and `other_chip` offers them: two TPMs that know nothing of each other,
made once per run; 3 s for both.
"""

import contextlib
import json
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

MISSING = "swtpm is not there: apt-get install swtpm swtpm-tools"
TOOLS = ("swtpm", "swtpm_setup", "swtpm_localca")
PATIENCE = 20  # seconds a start may take on a busy machine


class Swtpm:
    """One TPM. `address` is what strongroom takes; `reboot` keeps its state as turning a machine off and on does."""

    def __init__(self, place: Path, authority: Path, *, certified: bool = True) -> None:
        """Make the state of a fresh TPM, with endorsement certificates of the authority in that directory."""
        self.place = place
        self.authority = authority
        self.address = str(place / "tpm")
        self._process: subprocess.Popen[bytes] | None = None
        self._set_up(certified=certified)

    @property
    def root(self) -> Path:
        """PEM of the authority's root certificate."""
        return self.authority / "swtpm-localca-rootca-cert.pem"

    @property
    def issuer(self) -> Path:
        """PEM of the certificate under that root which signed the endorsement certificates."""
        return self.authority / "issuercert.pem"

    def start(self, *, startup: bool = True) -> None:
        """Turn it on; returns when it takes commands. Without `startup` no firmware ever starts it."""
        control = f"{self.address}.ctrl"
        for path in (self.address, control):
            Path(path).unlink(missing_ok=True)
        self._process = subprocess.Popen(
            [
                shutil.which("swtpm"), "socket", "--tpm2", "--tpmstate", f"dir={self.place / 'state'}",
                "--server", f"type=unixio,path={self.address}", "--ctrl", f"type=unixio,path={control}",
                "--flags", "not-need-init,startup-clear" if startup else "not-need-init",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self._wait(control)

    def _wait(self, control: str) -> None:
        """Ask for its state over the control socket: swtpm answers there before any client holds the other one."""
        import time

        deadline = time.monotonic() + PATIENCE
        while True:
            assert self._process is not None
            assert self._process.poll() is None, "swtpm ended"
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as line:
                line.settimeout(PATIENCE)
                line.connect(control)
                line.sendall(b"\0\0\0\1")  # CMD_GET_CAPABILITY
                if len(line.recv(8)) >= 4:
                    return
            assert time.monotonic() < deadline, "swtpm does not answer"
            time.sleep(0.01)

    def stop(self) -> None:
        """Pull the plug. After some uses of an endorsement key the TPM counts that as one wrong authorisation."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def reboot(self, *, startup: bool = True) -> None:
        """Turn it off and on: registers and transient objects are gone, seeds and NV memory stay."""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as line:  # or it counts as an attack
            line.settimeout(PATIENCE)
            line.connect(self.address)
            line.sendall(bytes.fromhex("80010000000c000001450000"))  # TPM2_Shutdown(CLEAR)
            line.recv(10)
        self.stop()
        self.start(startup=startup)

    def _set_up(self, *, certified: bool) -> None:
        state, files = self.place / "state", self.authority
        state.mkdir(parents=True)
        files.mkdir(exist_ok=True)
        options, ca, setup = files / "localca.options", files / "localca.conf", files / "setup.conf"
        options.write_text("--tpm-manufacturer id:00001014\n--tpm-model swtpm\n--tpm-version id:20191023\n")
        lines = [("statedir", files), ("signingkey", files / "signkey.pem"), ("issuercert", files / "issuercert.pem")]
        ca.write_text("".join(f"{key} = {value}\n" for key, value in [*lines, ("certserial", files / "certserial")]))
        tool = shutil.which("swtpm_localca")
        parts = [("create_certs_tool", tool), ("create_certs_tool_config", ca), ("create_certs_tool_options", options)]
        text = "".join(f"{key} = {value}\n" for key, value in [*parts, ("active_pcr_banks", "sha256")])
        setup.write_text(text)
        command = [shutil.which("swtpm_setup"), "--tpm2", "--tpm-state", f"dir://{state}", "--config", str(setup)]
        more = ["--create-ek-cert", "--lock-nvram"] if certified else []
        done = subprocess.run([*command, *more], capture_output=True, check=False)
        assert done.returncode == 0, json.dumps((done.stdout + done.stderr).decode("utf-8", "replace"))


@contextlib.contextmanager
def running(authority: Path | None = None, *, certified: bool = True) -> Iterator[Swtpm]:
    """Make a TPM and turn it on for the block; skips by name where swtpm is not installed."""
    if not all(map(shutil.which, TOOLS)):
        pytest.skip(MISSING)
    place = Path(tempfile.mkdtemp(prefix="swtpm-"))  # short: a socket's path has 107 bytes
    try:
        tpm = Swtpm(place, authority or place / "ca", certified=certified)
        try:
            tpm.start()
            yield tpm
        finally:
            tpm.stop()
    finally:
        shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="session")
def chip() -> Iterator[Swtpm]:
    """A TPM; tests share it, and leave it running."""
    with running() as tpm:
        yield tpm


@pytest.fixture(scope="session")
def other_chip(chip: Swtpm) -> Iterator[Swtpm]:
    """Another TPM, with certificates of the same authority."""
    with running(chip.authority) as tpm:
        yield tpm
