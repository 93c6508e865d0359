"""Output that cannot be written: an error with a name, never a stack trace, never a success."""

import io
import os
import shutil
import socket
import subprocess
import sys
import threading

import pytest

from strongroom.cli import places
from strongroom.cli.handover import hand_over
from strongroom.cli.streams import OutputError, _wrapped
from strongroom.errors import Code, InputError, StoreError, UnreachableError

SHELL = shutil.which("sh") or "sh"
STRONGROOM = f"{sys.executable} -m strongroom"


def shell(line, tmp_path, **environment):
    return subprocess.run(
        [SHELL, "-c", line],
        capture_output=True,
        cwd=tmp_path,
        env=os.environ | {"STRONGROOM_HOME": str(tmp_path / "none")} | environment,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("command", ["--version", "model --help", "doctor --json", "config show --json"])
@pytest.mark.parametrize(("where", "reason"), [(">/dev/full", b"no space left"), (">&-", b"it is closed")])
def test_data_that_cannot_be_written_is_an_error(tmp_path, command, where, reason):
    done = shell(f"{STRONGROOM} {command} {where}", tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(b"error: cannot write the output: " + reason)
    assert b"[store-io]" in done.stderr
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr


@pytest.mark.parametrize("where", ["2>/dev/full", "2>&-", "<&-", "<&- 2>&-"])
def test_messages_that_nobody_can_read_change_nothing(tmp_path, where):
    done = shell(f"{STRONGROOM} --version {where}", tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith(b"strongroom ")
    done = shell(f"{STRONGROOM} config show {where}", tmp_path)
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr


def test_a_file_never_becomes_standard_output(tmp_path):
    """A closed descriptor 1 is the next one opened: what is printed must not end up inside a file."""
    (tmp_path / "m").write_bytes(b"model")
    done = shell(f"{STRONGROOM} file seal m -o m.srm --mek m.mek >&-", tmp_path)
    assert done.returncode == 1
    for name in ("m.srm", "m.mek"):
        assert b"file id" not in (tmp_path / name).read_bytes()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_terminals_that_know_few_letters(tmp_path, encoding):
    raw = io.FileIO(tmp_path / "out", "w")
    stream = _wrapped(raw, io.TextIOWrapper(io.BytesIO(), encoding=encoding))
    stream.write("for 5 € … ✓")
    stream.flush()
    raw.close()
    assert b"\\u20ac" in (tmp_path / "out").read_bytes()
    for command in ("run --help", "doctor --config '€'"):
        done = shell(f"{STRONGROOM} {command}", tmp_path, PYTHONIOENCODING=encoding)
        assert b"internal" not in done.stderr
        assert b"Traceback" not in done.stderr


# --- tokens that are shown once


def made():
    return {"name": "ci", "token": "the-token"}


def test_a_token_goes_to_its_file(tmp_path):
    out, shown = tmp_path / "t", []
    hand_over(out, made, shown.append, lost="lost", again="again")
    assert out.read_bytes() == b"the-token\n"
    assert out.stat().st_mode & 0o777 == 0o600
    assert shown == [{"name": "ci"}]


def test_nothing_is_made_without_a_place_for_the_token(tmp_path, monkeypatch):
    calls = []
    (tmp_path / "taken").write_bytes(b"x")
    for out in (tmp_path / "taken", tmp_path / "none" / "t"):
        with pytest.raises(InputError):
            hand_over(out, lambda: calls.append(1), calls.append, lost="", again="")
    with open("/dev/full", "w") as full, monkeypatch.context() as patch:  # noqa: PTH123 - a device, no file
        patch.setattr(sys, "stdout", full)
        with pytest.raises(OutputError):
            hand_over(None, lambda: calls.append(1), calls.append, lost="", again="")
    assert calls == []
    assert (tmp_path / "taken").read_bytes() == b"x"


def test_the_place_is_there_before_and_goes_away_with_a_failure(tmp_path):
    out = tmp_path / "t"

    def refuse():
        assert out.exists()
        raise UnreachableError(Code.UNREACHABLE, "no")

    with pytest.raises(UnreachableError):
        hand_over(out, refuse, print, lost="", again="")
    assert list(tmp_path.iterdir()) == []


def test_a_token_that_is_lost_is_said_to_be(tmp_path):
    import resource

    old = resource.getrlimit(resource.RLIMIT_FSIZE)

    def make_and_fill_the_disk():
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, old[1]))
        return made()

    try:
        with pytest.raises(StoreError) as caught:
            hand_over(tmp_path / "t", make_and_fill_the_disk, print, lost="ci was made", again="add another one")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert caught.value.what.startswith("ci was made: the disk is full")
    assert caught.value.next_step == "add another one"
    assert "the-token" not in str(caught.value)

    def fail(_made):
        raise BrokenPipeError

    with pytest.raises(OutputError) as caught:
        hand_over(None, made, fail, lost="ci was made", again="add another one")
    assert caught.value.what == "ci was made: nobody read it"


# --- servers that are about to listen


def test_a_server_that_starts_is_waited_for(monkeypatch, capsys):
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        timer = threading.Timer(0.3, bound.listen)
        timer.start()
        places.await_local(f"https://127.0.0.1:{bound.getsockname()[1]}")
        assert not timer.is_alive()
        socket.create_connection(bound.getsockname()).close()
    assert "waiting for a server" in capsys.readouterr().err


def test_waiting_for_a_server_has_an_end(monkeypatch, capsys):
    monkeypatch.setattr(places, "START_SECONDS", 0.2)
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        places.await_local(f"https://localhost:{bound.getsockname()[1]}/")
    monkeypatch.setattr(places, "START_SECONDS", 1e9)
    for elsewhere in ("https://models.example.com:1", "https://127.0.0.1.example.com", "no address"):
        places.await_local(elsewhere)
    assert capsys.readouterr().err.count("waiting") == 1
