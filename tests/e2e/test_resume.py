"""A download through a line that breaks a hundred times and processes that are killed: a real server, real clients."""

import contextlib
import functools
import importlib
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import strongroom
from e2e.conftest import Office
from rooms.edge.memory_office import weights
from strongroom.cli.demo.processes import clean_environment, free_ports
from strongroom.operator import OfficeClient
from strongroom.wire import trust

MIB = 2**20
CUTS, KILLS = 100, 25
BLOCK = 4096  # bytes passed on at once, so that a cut falls on its byte

Passes = tuple[int, bool | None]  # how many bytes, and whether a cut (False) or a kill (True) follows

CLIENT = """
import mmap, struct, sys, threading
import strongroom
from strongroom.errors import UnreachableError
from strongroom.transport import Pinned

with open(sys.argv[1], "r+b") as file:
    counter = mmap.mmap(file.fileno(), 8)  # of the system: it outlives this process
lock, real = threading.Lock(), Pinned.read_range_into

def counted(self, url, offset, into, arrived=None):
    seen = 0
    def came(count):
        nonlocal seen
        with lock:
            struct.pack_into("<q", counter, 0, struct.unpack_from("<q", counter)[0] + count - seen)
        seen = count
        arrived(count)
    real(self, url, offset, into, came)

Pinned.read_range_into = counted
try:
    with strongroom.connect() as room:
        room.pull("digits")
except UnreachableError as error:
    sys.exit(error.exit_code)
"""


class Line:
    """A line between devices and a server that breaks at chosen bytes of what the server sends, some by a kill."""

    def __init__(self, port: int, target: int) -> None:
        self.passed = 0  # bytes the server sent since `arm`
        self.broken, self.killed = 0, 0
        self.client: subprocess.Popen[bytes] | None = None
        self._cuts: list[tuple[int, bool]] = []
        self._lock = threading.Lock()
        self._target = target
        self._socket = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._accept, daemon=True).start()

    def arm(self, cuts: list[tuple[int, bool]]) -> None:
        """Break at these bytes; a true one kills the client as well."""
        with self._lock:
            self.passed, self._cuts = 0, sorted(cuts, reverse=True)

    def close(self) -> None:
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target))
            threading.Thread(target=self._pump, args=(client, server, lambda size: (size, None)), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, self._count), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, count: Callable[[int], Passes]) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(BLOCK):
                size, kill = count(len(data))
                sink.sendall(data[:size])
                if kill is not None:
                    if kill and self.client is not None:
                        self.client.send_signal(signal.SIGKILL)
                    break
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        source.close()  # the other direction closes the other one

    def _count(self, size: int) -> Passes:
        """Return how many of these bytes pass, and what happens then."""
        with self._lock:
            kill = None
            if self._cuts and self.passed + size >= self._cuts[-1][0]:
                at, kill = self._cuts.pop()
                size = max(0, at - self.passed)
                self.broken += not kill
                self.killed += kill
            self.passed += size
            return size, kill


@pytest.fixture
def line(tmp_path):
    office = Office(tmp_path)
    port = int(office.url.rsplit(":", 1)[1])
    inner, _ = free_ports()
    config = Path(office.config)
    text = config.read_text(encoding="utf-8")
    changed = re.sub(rf"^(device_port *= *){port}", rf"\g<1>{inner}", text, flags=re.MULTILINE)
    assert changed != text
    config.write_text(changed, encoding="utf-8")
    line = Line(port, inner)
    office.server.start()
    yield office, line
    office.server.stop()
    line.close()


def publish(office: Office, content: bytes) -> int:
    """Publish a model in segments of 1 MiB; return the bytes of the sealed file."""
    publisher = office.admin("operator", "add", "pub", "--role", "publisher")["token"]
    document = trust.read(office.trust.read_bytes())
    owner = office.trust.parent / "owner" / "owner.key"
    connected = OfficeClient.connect(office.admin_url, token=publisher, trust=document, owner_keys=(owner,))
    protecting = importlib.import_module("strongroom.operator.protect")  # the package has a function of that name
    with connected as admin, pytest.MonkeyPatch.context() as patch:
        patch.setattr(protecting, "seal", functools.partial(protecting.seal, segment_size=MIB))
        out = office.folder / "upload.srm"
        with strongroom.protect(content, name="digits", version="1.0", out=out, office=admin) as protected:
            protected.publish(channel="stable")
    size = out.stat().st_size
    out.unlink()
    return size


@pytest.mark.slow
def test_a_hundred_interruptions_of_real_processes(line, tmp_path):
    """C17: 75 cuts and 25 kills at random bytes: bytes fetched at most 1.01 times the file and one segment."""
    office, wire = line
    content = weights(9, 48 * MIB + 4321)
    size = publish(office, content)
    environment = office.device("phone", office.customer("shop", "digits@stable"))
    counter = tmp_path / "counter"
    counter.write_bytes(bytes(8))
    chosen = random.Random(17)  # noqa: S311 - a fixed choice, no secret
    places = sorted(chosen.sample(range(1, size), CUTS))
    kills = {*chosen.sample(places, KILLS)}
    wire.arm([(at, at in kills) for at in places])
    ends: dict[int, int] = {}
    while ends.get(0) is None:
        command = [sys.executable, "-c", CLIENT, str(counter)]
        wire.client = subprocess.Popen(command, env=clean_environment(**environment), stderr=subprocess.DEVNULL)
        end = wire.client.wait(120)
        ends[end] = ends.get(end, 0) + 1
        assert end in {0, 7, -signal.SIGKILL}
        assert sum(ends.values()) < 2 * CUTS
    (fetched,) = struct.unpack("<q", counter.read_bytes())
    print(  # noqa: T201 - how much was tried is a result
        f"{wire.broken} cuts, {wire.killed} kills, {sum(ends.values())} processes; {fetched} bytes fetched of {size}: "
        f"{fetched / size:.4f}; {wire.passed} passed the line, TLS and requests included"
    )
    assert (wire.broken, wire.killed) == (CUTS - KILLS, KILLS)
    assert ends[-signal.SIGKILL] >= 20
    assert size <= fetched <= 1.01 * size + MIB
    home = Path(environment["STRONGROOM_HOME"])
    with strongroom.connect(home=home) as room, room.load("digits", offline="only") as model:
        assert model.bytes() == content
        assert room.store.need().partials == ()
    assert list((home / "incoming").iterdir()) == []
    assert len([*(home / "keystore").iterdir()]) == 3
