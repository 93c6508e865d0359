"""Does acts in processes that strace cuts short, and judges in fresh ones what they left.

Started by `cutting.py` with a socket on which it is told what to do. It is warm: everything is imported, every act was
done once. Then it splits: one half is the office and the judge, the other, which alone is traced, forks a process for
each point. That one makes so many failing calls of the kind that is to be hit that the one call which strace hits,
always the same by number, is the right one of the act.
"""

import contextlib
import ctypes
import fcntl
import json
import logging
import os
import shutil
import socket
import sys
import tempfile
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from crash import acts
from crash.far_office import FarOffice, receive, send, serve
from strongroom.edge import arriving
from strongroom.errors import StrongroomError

_NO_FILE = 1_000_000  # no descriptor
_PR_SET_PTRACER, _ANYBODY = 0x59616D61, -1
NOTHING = Path("/nonexistent")
BEGIN, END = NOTHING / "begin", NOTHING / "end"  # their removal, which fails, marks the act in strace's log

# Calls that fail, each by the very call of the system that the device store uses.
FAILING: dict[str, Callable[[], object]] = {
    "open": lambda: os.open(NOTHING, os.O_RDONLY),
    "write": lambda: os.write(_NO_FILE, b"x"),
    "fsync": lambda: os.fsync(_NO_FILE),
    "ftruncate": lambda: os.ftruncate(_NO_FILE, 0),
    "rename": lambda: NOTHING.rename(NOTHING),
    "renameat": lambda: os.rename("a", "a", src_dir_fd=_NO_FILE, dst_dir_fd=_NO_FILE),
    "unlink": NOTHING.unlink,
    "unlinkat": lambda: os.unlink("a", dir_fd=_NO_FILE),
    "mkdir": (NOTHING / "a").mkdir,
    "mkdirat": lambda: os.mkdir("a", dir_fd=_NO_FILE),
    "rmdir": NOTHING.rmdir,
    "chmod": lambda: NOTHING.chmod(0),
    "fchmodat": lambda: os.chmod("a", 0, dir_fd=_NO_FILE),
    "fchmod": lambda: os.fchmod(_NO_FILE, 0),
    "flock": lambda: fcntl.flock(_NO_FILE, fcntl.LOCK_UN),
}


def main(control: socket.socket) -> None:
    """Rehearse, then do what comes over the socket until it closes."""
    logging.disable(logging.CRITICAL)
    ctypes.CDLL(None).prctl(_PR_SET_PTRACER, ctypes.c_long(_ANYBODY), 0, 0, 0)  # where only parents may trace
    with tempfile.TemporaryDirectory(prefix="strongroom-crash-") as scratch, acts.in_order():
        scenes = {act.name: _rehearsed(act, Path(scratch)) for act in acts.ACTS}
        ours, theirs = socket.socketpair()
        stage = _forked(lambda: (ours.close(), control.close(), _stage(theirs, scenes, Path(scratch) / "device")))
        theirs.close()
        send(control, {"pid": stage})
        while (asked := receive(control)) is not None:
            what = asked[0]
            if what["do"] == "fail":
                _ask_stage(ours, what, [])
                send(control, receive(ours)[0] | {"names": list(FAILING)})
            else:
                send(control, _point(scenes[what["act"]], Path(scratch) / "device", what, ours))
        ours.close()
        os.waitpid(stage, 0)


def _stage(line: socket.socket, scenes: dict[str, acts.Scene], home: Path) -> None:
    """Fork a process for each thing to be done, with the socket that came along, and say how it ended."""
    while True:
        asked, handles, _, _ = socket.recv_fds(line, 65_536, 1)
        if not asked:
            return
        what = json.loads(asked)
        if what["do"] == "fail":
            child = _forked(lambda: [_fail(call, 1) for call in FAILING.values()])
        else:
            device = socket.socket(fileno=handles[0])
            child = _forked(lambda made=scenes[what["act"]], device=device, what=what: _do(made, home, what, device))
            device.close()
        send(line, {"pid": child, "status": os.waitpid(child, 0)[1]})


def _ask_stage(line: socket.socket, what: dict, handles: list[int]) -> None:
    socket.send_fds(line, [json.dumps(what).encode()], handles)


def _rehearsed(act: acts.Act, scratch: Path) -> acts.Scene:
    made = acts.scene(act, scratch / f"first-{act.name}")
    home = scratch / "device"
    acts.copy(made, home)
    act.do(made.device(home))
    assert acts.judge(made, made.device(home), acknowledged=True) == acts.AFTER
    shutil.rmtree(home)
    return acts.scene(act, scratch / act.name)


def _point(made: acts.Scene, home: Path, what: dict, stage: socket.socket) -> dict:
    """Do an act in a process of its own, which may not come to its end, and judge it in another."""
    acts.copy(made, home)
    pending = list(made.office.pending)
    ours, theirs = socket.socketpair()
    with theirs:
        _ask_stage(stage, what, [theirs.fileno()])
    with ours:
        said = serve(ours, made.office)
    ended = receive(stage)[0]
    outcome = _judged(made, home, acknowledged={"said": "done"} in said)
    if made.act.name == "wipe" and made.office.pending:
        outcome += "; the office has no receipt"
    made.office.pending = pending
    shutil.rmtree(home, ignore_errors=True)
    return ended | {"said": [one["said"] for one in said], "outcome": outcome}


def _judged(made: acts.Scene, home: Path, *, acknowledged: bool) -> str:
    ours, theirs = socket.socketpair()
    child = _forked(lambda: (ours.close(), _judge(made, home, theirs, acknowledged=acknowledged)))
    theirs.close()
    with ours:
        said = serve(ours, made.office)
    os.waitpid(child, 0)
    return said[-1]["said"] if said else "the judge said nothing"


def _forked(work: Callable[[], object]) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        work()
        status = 0
    except BaseException:  # noqa: BLE001 - the process ends here
        traceback.print_exc()
    finally:
        os._exit(status)


def _fail(call: Callable[[], object], times: int) -> None:
    for _ in range(times):
        with contextlib.suppress(OSError):
            call()


def _do(made: acts.Scene, home: Path, what: dict, line: socket.socket) -> None:
    device = made.device(home, FarOffice(line, made.office))
    if what.get("threads"):
        arriving.ThreadPoolExecutor = partial(
            ThreadPoolExecutor, initializer=_fail, initargs=(FAILING[what["call"]], what["times"])
        )
    elif what["call"]:
        _fail(FAILING[what["call"]], what["times"])
    else:
        _fail(BEGIN.unlink, 1)
    try:
        made.act.do(device)
        send(line, {"said": "done"})
    except StrongroomError as error:
        send(line, {"said": f"{error.code}{'' if error.next_step else ': no next step'}"})
    except Exception:  # noqa: BLE001 - no other one may leave strongroom: what it was is told
        send(line, {"said": traceback.format_exc()})
    try:
        if made.act is not acts.ENROL:  # whatever failed, what is installed opens in this very process
            with device.room().load("other") as model:
                assert model.bytes() == acts.OTHER
    except StrongroomError as error:
        send(line, {"said": f"{error.code}{'' if error.next_step else ': no next step'}"})
    except Exception:  # noqa: BLE001 - as above
        send(line, {"said": traceback.format_exc()})
    if not what["call"]:
        _fail(END.unlink, 1)


def _judge(made: acts.Scene, home: Path, line: socket.socket, *, acknowledged: bool) -> None:
    try:
        outcome = acts.judge(made, made.device(home, FarOffice(line, made.office)), acknowledged=acknowledged)
    except BaseException:  # noqa: BLE001 - every failure is a verdict
        outcome = traceback.format_exc()
    send(line, {"said": outcome})


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
