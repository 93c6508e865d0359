"""Commands that are ended by real signals while they write: what is not whole is taken back, now or by the next."""

import fcntl
import os
import signal
import subprocess
import sys

import pytest

from strongroom.cli.model import _kept
from strongroom.operator.keys import write_owner_key
from strongroom.operator.protect import protect
from strongroom.signing import ED25519, SigningKey

MODEL = b"weights " * 1_000_000  # more than one step of progress
STOPPING = {signal.SIGTERM: 143, signal.SIGHUP: 129, signal.SIGINT: 130}
COMMANDS = {
    "open": ["open", "m.srm", "-o", "out", "--mek", "m.mek"],
    "seal": ["seal", "m.bin", "-o", "n.srm", "--mek", "n.mek"],
    "sign": ["sign", "m.srm", "--sign-with", "owner.key"],
}
TARGETS = {"open": "out", "seal": "n.srm", "sign": "m.srm"}

# The command itself, up to the first step of its work; there it says so and waits for a signal.
WAITING = """
import contextlib, os, signal, sys
from strongroom.cli import main, printing

@contextlib.contextmanager
def progress(label, total):
    def reached(done):
        os.write(1, b"here")
        while True:
            signal.pause()
    yield reached

printing.progress = progress
main(sys.argv[1:])
"""

PUBLISHING = """
import os, signal, sys
from strongroom.cli.model import _kept
from strongroom.cli.stopping import stop_on_signals
from strongroom.operator.protect import protect

stop_on_signals()
with _kept(None) as path:
    protect(b"weights", name="m", version="1", out=path).wipe()
    os.write(1, b"here")
    while True:
        signal.pause()
"""


@pytest.fixture
def desk(cli, tmp_path):
    """A model, the same sealed, its key, and an owner's key."""
    (tmp_path / "m.bin").write_bytes(MODEL)
    write_owner_key(tmp_path / "owner.key", (SigningKey.generate(ED25519),))
    assert cli("file", "seal", "m.bin", "-o", "m.srm", "--mek", "m.mek").code == 0
    return tmp_path


def contents(folder):
    return {str(one.relative_to(folder)): one.read_bytes() for one in folder.rglob("*") if one.is_file()}


def stopped(folder, number, code, *args, ignored=None):
    """Run until it says that it is in the middle, look at the directory, send the signal; return what was seen."""
    ignore = None if ignored is None else lambda: signal.signal(ignored, signal.SIG_IGN)
    with subprocess.Popen(
        [sys.executable, "-c", code, *args],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=ignore,  # noqa: PLW1509 - no threads here, and it is what nohup does
    ) as process:
        assert process.stdout is not None
        said = process.stdout.read(4)
        seen = contents(folder)
        if ignored is not None:
            process.send_signal(ignored)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert said == b"here", err
    assert b"Traceback" not in err or code is PUBLISHING
    return seen, process.returncode, err.decode()


@pytest.mark.parametrize("number", STOPPING, ids=lambda one: one.name)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_signal_takes_back_what_is_not_whole(desk, command, number):
    """R28: no plaintext, no draft and no key without its file stays behind, whichever way the command is ended."""
    before = contents(desk)
    seen, code, err = stopped(desk, number, WAITING, "file", *COMMANDS[command])
    assert any(one.startswith(f".{TARGETS[command]}.") for one in seen), "it was stopped before it wrote"
    assert code == STOPPING[number]
    assert err == ("interrupted\n" if number == signal.SIGINT else f"stopped by {number.name}\n")
    assert contents(desk) == before
    assert not list(desk.glob(".*"))


@pytest.mark.parametrize("command", COMMANDS)
def test_what_a_killed_command_left_is_removed_by_the_next(desk, cli, command):
    """C01, R28: also a draft with plaintext in directories; one that is being written is left alone."""
    _, code, _ = stopped(desk, signal.SIGKILL, WAITING, "file", *COMMANDS[command])
    assert code == -signal.SIGKILL
    (left,) = desk.glob(f".{TARGETS[command]}.*.part")
    if command == "open":
        assert (left / "m.bin").exists()
        (left / "deep" / "er").mkdir(parents=True)
        (left / "deep" / "er" / "plain").write_bytes(b"weights")
    if command == "seal":
        (desk / "n.mek").unlink()  # a key is never removed unasked
    other = desk / f".other.{'0' * 16}.part"
    other.write_bytes(b"another target's")
    alive = desk / f".{TARGETS[command]}.{'1' * 16}.part"
    if command == "open":
        alive.mkdir(0o700)
    else:
        alive.write_bytes(b"half")
    handle = os.open(alive, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        assert cli("file", *COMMANDS[command]).code == 0
    finally:
        os.close(handle)
    assert sorted(desk.glob(".*")) == sorted([alive, other])


def test_a_signal_that_is_to_be_ignored_is(desk):
    """As under nohup: SIGHUP does nothing, SIGTERM ends it."""
    _, code, err = stopped(desk, signal.SIGTERM, WAITING, "file", *COMMANDS["open"], ignored=signal.SIGHUP)
    assert (code, err) == (143, "stopped by SIGTERM\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda one: one.name)
def test_publishing_without_out_keeps_nothing(tmp_path, monkeypatch, number):
    """R28: the sealed file that nobody asked to keep goes away, after SIGKILL with the next publishing."""
    monkeypatch.chdir(tmp_path)
    seen, _, _ = stopped(tmp_path, number, PUBLISHING)
    assert len(seen) == 1
    assert (contents(tmp_path) == {}) == (number == signal.SIGTERM)
    with _kept(None) as path:
        protect(b"weights", name="m", version="1", out=path).wipe()
        (here,) = tmp_path.iterdir()
        assert list(here.iterdir()) == [here / path.name]
        with _kept(None) as other:  # another one at the same time takes nothing away
            assert len(list(tmp_path.iterdir())) == 2
            assert other.parent != path.parent
        assert path.exists()
    assert list(tmp_path.iterdir()) == []


def test_stopping_while_a_prompt_waits_is_told_apart(capsys):
    """A prompt makes another exception of an interrupt; the signal behind it decides the exit code."""
    import click

    from strongroom.cli.faults import run
    from strongroom.cli.stopping import Stopped

    def behaviour():
        try:
            raise Stopped(signal.SIGHUP)
        except KeyboardInterrupt:
            raise click.Abort from None

    assert run(click.Command("strongroom", callback=behaviour), []) == 129
    assert capsys.readouterr().err == "stopped by SIGHUP\n"
