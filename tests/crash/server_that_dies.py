"""The real server in a process that ends by SIGKILL at its n-th step: `server_that_dies.py CONFIG SHARED`.

A step is a statement or a commit of the ledger, a system call of the object store, a request that has arrived, an
answer before and after it is sent. Each line on stdin forks a server, so that one import serves many deaths; what is
forked is what `strongroom serve` runs, and nothing in it knows that it is counted.
"""

import ctypes
import mmap
import os
import signal
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from strongroom.server.audit import configure_logging
from strongroom.server.http.certificate import Tls
from strongroom.server.http.listener import Listener
from strongroom.server.http.problems import Guard
from strongroom.server.http.serve import run
from strongroom.server.office import Office
from strongroom.server.settings import load
from strongroom.server.wiring import open_office

CALLS = ("open", "write", "fsync", "link", "unlink")  # of the object store
FORMAT = struct.Struct("=qq100s")  # steps left to the end, 0 for none; the time; what the last step was
UNCOUNTED = "/v1/trust"  # asked to see whether somebody is there


def main() -> None:
    """Fork a server for each line on stdin, and say how it ended."""
    die_with_parent()
    config = Path(sys.argv[1])
    with Path(sys.argv[2]).open("r+b") as shared:
        memory = mmap.mmap(shared.fileno(), FORMAT.size)
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            die_with_parent()
            serve(config, memory)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        told(f"ended {os.waitstatus_to_exitcode(status)}")


def serve(config: Path, memory: mmap.mmap) -> None:
    """What `strongroom serve` does, on free ports, by the time that the test sets."""

    def now() -> int:
        return int(FORMAT.unpack(memory[:])[1])

    def step(what: str) -> None:
        left, time, _ = FORMAT.unpack(memory[:])
        if left:
            memory[:] = FORMAT.pack(left - 1, time, what.encode()[:100])
            if left == 1:
                os.kill(os.getpid(), signal.SIGKILL)

    settings = load(config)
    configure_logging(settings.log_level)
    office = open_office(settings, now=now)
    count(office, step)
    tls = Tls(settings.resolve(settings.tls_certificate), settings.resolve(settings.tls_key))
    run(office, device=Listener("127.0.0.1", 0), admin=Listener("127.0.0.1", 0), tls=tls, ready=told)


def count(office: Office, step: Callable[[str], None]) -> None:
    """Make everything that lasts, and everything that is said, a step."""
    from sqlalchemy import event

    engine = office.ledger._engine.sync_engine
    commit = engine.dialect.do_commit

    def on_statement(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        step(f"statement {statement}")

    def do_commit(connection: Any) -> None:
        step("before a commit")
        commit(connection)
        step("after a commit")

    event.listen(engine, "before_cursor_execute", on_statement)
    engine.dialect.do_commit = do_commit
    for name in CALLS:
        setattr(os, name, counted(name, getattr(os, name), step))
    answer = Guard.__call__

    async def answering(self: Guard, scope: Any, receive: Any, send: Any) -> None:
        path = scope.get("path", UNCOUNTED)

        async def sending(message: Any) -> None:
            if message["type"] == "http.response.start" and path != UNCOUNTED:
                step(f"before the answer of {path}")
            await send(message)

        if path == UNCOUNTED:
            await answer(self, scope, receive, sending)
            return
        step(f"asked {path}")
        await answer(self, scope, receive, sending)
        step(f"after the answer of {path}")

    Guard.__call__ = answering


def counted(name: str, call: Callable[..., Any], step: Callable[[str], None]) -> Callable[..., Any]:
    """Return a system call that is a step."""

    def stepping(*args: Any, **kwargs: Any) -> Any:
        step(f"os.{name}")
        return call(*args, **kwargs)

    return stepping


def die_with_parent() -> None:
    """Stay behind nobody: a test that is stopped leaves no server."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def told(line: str) -> None:
    """Say something to the test."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
