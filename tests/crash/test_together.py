"""Several processes at once, thousands of updates, and a directory that goes away while a model is open."""

import contextlib
import os
import shutil
import socket
import tempfile
import threading
import traceback
from pathlib import Path

import pytest

from crash import acts, soak
from crash.far_office import FarOffice, send, serve
from rooms.edge.memory_office import DAY, Device
from strongroom.edge import wiping
from strongroom.errors import Code, RefusedError, SetupError, StrongroomError
from strongroom.names import parse_reference

ACTS = {act.name: act for act in acts.ACTS}
PULL, RENEW = (lambda device: device.room().pull("digits")), (lambda device: device.room().renew("digits"))
FRESH = lambda device: device.room().pull("digits", fresh=True)  # noqa: E731 - one of a table
REMOVE = lambda device: wiping.remove(device.room().store, [parse_reference("digits")])  # noqa: E731 - as above
CYCLES = 200

# What may be in another's way: what one removes or was ordered to wipe, the other does not find.
CROSSING = {Code.NOT_INSTALLED, Code.WIPED, Code.ORDER_PENDING, Code.GRANT_ROLLBACK}
PAIRS = (("update", PULL, PULL), ("install", PULL, FRESH), ("update", PULL, RENEW), ("update", REMOVE, PULL))
PAIRS += (("renew", RENEW, REMOVE), ("wipe", RENEW, RENEW), ("wipe", RENEW, FRESH), ("remove", REMOVE, REMOVE))
PAIRS += (("resume", PULL, PULL), ("enrol", lambda device: device.room(), PULL))


@pytest.mark.slow
@pytest.mark.parametrize("number", range(20))
def test_two_processes_at_once(tmp_path, number):
    """C13: two processes install, update, renew, wipe, remove at once: one after the other, and both end well."""
    name, *both = PAIRS[number % len(PAIRS)]
    made = acts.scene(ACTS[name], tmp_path / "device")
    ready, go = os.pipe()
    lines, children = [], []
    for do in both:
        ours, theirs = socket.socketpair()
        children.append(_child(made, do, theirs, ready, [*lines, ours], go))
        theirs.close()
        lines.append(ours)
    said: list[list[dict]] = [[], []]
    threads = [
        threading.Thread(target=lambda at=at, line=line: said[at].extend(serve(line, made.office)))
        for at, line in enumerate(lines)
    ]
    for one in threads:
        one.start()
    os.close(go)
    ended = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    for one, line in zip(threads, lines, strict=True):
        one.join()
        line.close()
    os.close(ready)
    assert ended == [0, 0], said
    assert {one["said"] for those in said for one in those} <= {"done", *map(str, CROSSING)}
    device = made.device()
    with device.room(token=None).store.pulling(patience=0):
        pass
    acts.check_nothing_else(device)
    with contextlib.suppress(SetupError, RefusedError):  # not installed, or wiped
        _check_whole(device)
    assert made.office.pending == []
    device.room().pull("digits")
    assert _check_whole(device) == made.office.channels["digits", "stable"]
    acts.check_nothing_else(device)


def _check_whole(device: Device) -> str:
    with device.room(token=None).load("digits", offline="only") as model:
        assert model.bytes() == {"1.0": acts.OLD, "1.1": acts.NEW, "2.0": acts.LONG}[model.version]
        return model.version


def _child(made: acts.Scene, do: object, line: socket.socket, ready: int, others: list[socket.socket], go: int) -> int:
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.close(go)
        for one in others:
            one.close()
        device = made.device(office=FarOffice(line, made.office))
        os.read(ready, 1)  # until both are there, and the other end closes
        try:
            do(device)
            send(line, {"said": "done"})
        except StrongroomError as error:
            send(line, {"said": str(error.code)})
        status = 0
    finally:
        os._exit(status)


@pytest.mark.slow
def test_many_updates_in_a_row(tmp_path):
    """C20: no growth of the directory, of open files or of memory; each version opens. 10,000 in `make crash`."""
    grown = soak.updates(tmp_path / "device", CYCLES)
    print(grown)  # noqa: T201 - how much was tried is a result
    assert grown.held


@pytest.fixture
def home():
    """A directory that another user can reach, for root must become one to be refused anything."""
    with tempfile.TemporaryDirectory(prefix="strongroom-crash-") as name:
        Path(name).chmod(0o755)
        yield Path(name) / "device"


@pytest.mark.parametrize("gone", ["removed", "moved", "a file in its place", "not to be entered", "not to be written"])
def test_the_directory_goes_while_a_model_is_open(home, gone):
    """C05: the open model goes on to the end of its lease, and not beyond; the next opening says what is wrong."""
    made = acts.scene(ACTS["renew"], home)
    for path in (home, *home.rglob("*")):
        os.chown(path, *_nobody(), follow_symlinks=False)
    child = os.fork()
    if not child:
        status = 1
        try:
            os.setgroups([]) if os.geteuid() == 0 else None
            os.setgid(_nobody()[1])
            os.setuid(_nobody()[0])
            _open_while(made, home, gone)
            status = 0
        except BaseException:  # noqa: BLE001 - the process ends here
            traceback.print_exc()
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _nobody() -> tuple[int, int]:
    return (65_534, 65_534) if os.geteuid() == 0 else (os.getuid(), os.getgid())


def _open_while(made: acts.Scene, home: Path, gone: str) -> None:
    device = made.device()
    with device.room().load("digits", offline="only") as model:
        _take(home, gone)
        model._watch.beat()
        assert model.bytes() == acts.OLD
        device.office.now += 3 * DAY - 1  # this is what is left of it
        device.boot += 3 * DAY - 1
        model._watch.beat()
        assert model.bytes() == acts.OLD
        device.office.now += 1
        device.boot += 1
        with pytest.raises(RefusedError) as over:
            model.bytes()
        assert over.value.code == Code.LEASE_EXPIRED
    if gone == "not to be written":
        with pytest.raises(RefusedError) as refused, device.room().load("digits", offline="only"):
            pass
        assert refused.value.code == Code.LEASE_EXPIRED
        home.chmod(0o700)
        return
    with pytest.raises(StrongroomError) as caught, _again(device).load("digits", offline="only"):
        pass
    assert caught.value.next_step
    home.chmod(0o700) if home.is_dir() else None


def _again(device: Device) -> object:
    return acts.Kept(device.home, device.office, boot=device.boot).room(token=None)


def _take(home: Path, gone: str) -> None:
    if gone == "removed":
        for path in sorted(home.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
    elif gone == "moved":
        shutil.copytree(home / "models", home / "elsewhere")
        shutil.rmtree(home / "models")
    elif gone == "a file in its place":
        shutil.rmtree(home / "keystore")
        (home / "keystore").touch(mode=0o600)
    else:
        home.chmod(0o000 if gone == "not to be entered" else 0o500)
