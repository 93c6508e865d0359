"""What do verifying, opening and sealing again add to a download?

A real server in a process of its own, TLS 1.3 with its pinned key, one device. Asking for keys and links comes before
the window. The bare download uses the same client, the same links and the same ranges, two at once, and writes what
comes to a file. The server shares the machine: its own processor time is shown beside the client's.
"""

import os
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from http.client import HTTPSConnection
from pathlib import Path
from urllib.parse import urlsplit

import strongroom
from material import BLOCK, PLAIN, SUBJECT, equal, plain_only
from rounds import Goal, Question, Row, main
from strongroom import sealed
from strongroom.cli.demo.processes import Command, Server, free_ports
from strongroom.edge import fetch, request
from strongroom.edge.clock import read_clocks
from strongroom.edge.exchange import Line
from strongroom.edge.incoming import Staging, file_name
from strongroom.edge.keystore.file import FileKeystore
from strongroom.edge.links import Arrived, Links
from strongroom.edge.request import Release
from strongroom.edge.store import KEYS, Store
from strongroom.names import parse_reference
from strongroom.operator import OfficeClient
from strongroom.transport import Pinned, Response
from strongroom.wire import trust as trust_of
from strongroom.wire.trust import Trust
from window import Work

OFFICE, DEVICE, PID, OUT = "office", "device", "server.pid", "downloaded"
GIGABIT = 125e6  # bytes a second
MODEL, VERSION = SUBJECT.model, SUBJECT.version


@contextmanager
def served(folder: Path, size: int) -> Iterator[None]:
    """Make an office, publish the model to it, and enrol a device."""
    command = Command(folder / OFFICE)
    device_port, admin_port = free_ports()
    ports = ("--device-port", str(device_port), "--admin-port", str(admin_port))
    init = command("init", str(folder / OFFICE), "--host", "localhost", *ports)
    server = Server(Path(init["config"]), folder / "server.log", init["public_url"], init["admin_url"]).start()
    try:
        with plain_only(folder, size):
            _publish(folder, command, server)
        process = server._process  # noqa: SLF001 - the demo has no use for its number
        (folder / PID).write_text(str(process.pid if process else 0), encoding="ascii")
        yield
    finally:
        server.stop()


def _publish(folder: Path, command: Command, server: Server) -> None:
    trust = folder / OFFICE / "trust.json"
    publisher = command("operator", "add", "bench", "--role", "publisher")["token"]
    owner = folder / OFFICE / "owner" / "owner.key"
    document = trust_of.read(trust.read_bytes())
    office = OfficeClient.connect(server.admin_url, token=publisher, trust=document, owner_keys=(owner,))
    out = folder / "upload.srm"
    with strongroom.protect(folder / PLAIN, name=MODEL, version=VERSION, out=out, office=office) as protected:
        protected.publish(channel="stable")
    out.unlink()
    command("account", "add", "bench")
    command("entitle", "bench", f"{MODEL}@stable")
    token = command("token", "issue", "--user", "bench")["token"]
    strongroom.connect(server.device_url, token=token, home=folder / DEVICE, trust=trust).close()


class Narrow:
    """The real client behind a link of a known speed: each range takes its time on the link, one after the other."""

    def __init__(self, real: Pinned, rate: float) -> None:
        self._real, self._rate = real, rate  # bytes a second
        self._lock, self._free = threading.Lock(), 0.0

    def request(
        self, method: str, path_or_url: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None, limit: int
    ) -> Response:
        return self._real.request(method, path_or_url, body=body, headers=headers, limit=limit)

    def read_range(self, url: str, offset: int, length: int) -> bytes:
        return self._real.read_range(url, offset, length)

    def read_range_into(self, url: str, offset: int, into: memoryview, arrived: Arrived | None = None) -> None:
        with self._lock:
            self._free = over = max(self._free, time.monotonic()) + len(into) / self._rate
        self._real.read_range_into(url, offset, into, arrived)
        time.sleep(max(0.0, over - time.monotonic()))


@dataclass(frozen=True, slots=True)
class Granted:
    """A release and the way to its files."""

    store: Store
    trust: Trust
    release: Release
    links: Links
    server: int  # process


def granted(folder: Path, rate: float = 0.0) -> Granted:
    """Ask for the model as `pull` does; a rate is that of the link in bytes a second."""
    home = folder / DEVICE
    store = Store(home, FileKeystore(home / KEYS), clocks=read_clocks)
    state = store.need()
    trust, signer = trust_of.read(state.trust_document()), store.keystore.device_key()
    if state.identity is None or signer is None:
        raise SystemExit("the device is not enrolled")
    real = Pinned(trust.server, trust.pins)
    line = Line(Narrow(real, rate) if rate else real, trust.server, signer, store.clocks)
    wanted = parse_reference(f"{MODEL}@stable")
    release = request.ask(line, trust, state.identity, wanted, have=None, high_water=None, signals={})
    renew = partial(request.fresh_links, line, state.identity, release.grant)
    links = Links(line.exchange, tuple(one.url for one in release.grant.files), renew)
    return Granted(store, trust, release, links, int((folder / PID).read_text(encoding="ascii")))


def pulling(folder: Path, rate: float = 0.0) -> Work:
    """What a device does: verify, open, seal again, write, sync."""
    have, stack = granted(folder, rate), ExitStack()

    def run() -> Staging:
        grant = have.release.grant
        headings = stack.enter_context(fetch.read_headings(have.links, grant, have.release.keys, have.trust.owner))
        staging = stack.enter_context(
            have.store.staging(MODEL, grant.version, fetch.named(grant), fetch.size_on_disk(headings))
        )
        fetch.fetch(have.links, headings, staging, have.store.keystore, SUBJECT, None)
        return staging

    def opens(staging: Staging) -> bool:
        path = folder / DEVICE / "incoming" / staging.name / file_name(0)
        with sealed.FileReadable.open(path) as readable:
            key = have.store.keystore.get(staging.keys[0])
            opened = sealed.open_local(
                readable,
                sealed.ModelKey(bytes(key or b"")),
                subject=SUBJECT,
                owners=have.trust.owner,
                origin_head=have.release.grant.files[0].head,
            )
        path.unlink()
        return equal(folder / PLAIN, opened.payload)

    return Work(run, opens, have.server)


def downloading(folder: Path, *, at_once: int, rate: float = 0.0) -> Work:
    """The same transport, ranges and reused buffers, bytes to a file."""
    have = granted(folder, rate)
    size, step = have.release.grant.files[0].size, sealed.stored_size(sealed.DEFAULT_SEGMENT)

    def parts() -> Iterator[memoryview]:
        buffers = [memoryview(bytearray(step)) for _ in range(at_once + 1)]
        ranges = [(start, min(step, size - start)) for start in range(0, size, step)]

        def fetched(index: int) -> memoryview:
            start, length = ranges[index]
            part = buffers[index % len(buffers)][:length]
            have.links.read_into(0, start, part)
            return part

        waiting: deque[Future[memoryview]] = deque()
        with ThreadPoolExecutor(at_once) as pool:
            for index in range(len(ranges) + at_once):
                if index < len(ranges):
                    waiting.append(pool.submit(fetched, index))
                if index >= at_once:
                    yield waiting.popleft().result()

    return Work(lambda: _written(folder, parts), partial(_whole, folder, size), have.server)


def downloading_plainly(folder: Path) -> Work:
    """One GET of the whole object by Python's own client, which checks no pin and no least speed."""
    have = granted(folder)
    url = urlsplit(have.links._urls[0])  # noqa: SLF001 - links are not for callers; this one is not a client
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    size = have.release.grant.files[0].size

    def parts() -> Iterator[memoryview]:
        connection = HTTPSConnection(url.hostname or "", url.port, context=context, timeout=60)
        connection.request("GET", f"{url.path}?{url.query}")
        answer, buffer = connection.getresponse(), memoryview(bytearray(BLOCK))
        while count := answer.readinto(buffer):
            yield buffer[:count]
        connection.close()

    return Work(lambda: _written(folder, parts), partial(_whole, folder, size), have.server)


def _written(folder: Path, parts: Callable[[], Iterator[bytes | memoryview]]) -> None:
    with (folder / OUT).open("wb", buffering=0) as sink:
        for part in parts():
            sink.write(part)
        os.fsync(sink.fileno())


def _whole(folder: Path, size: int, _: object) -> bool:
    done = (folder / OUT).stat().st_size
    (folder / OUT).unlink()
    return done == size


QUESTION = Question(
    name="download",
    title="Download, verify and seal again, against a bare download from the same server",
    script="download.py",
    made=served,
    base="bare",
    rows=(
        Row("bare", "bare download, 2 ranges at once", partial(downloading, at_once=2)),
        Row("bare-1", "bare download, 1 range at once", partial(downloading, at_once=1)),
        Row("plain", "one GET by Python's own client", downloading_plainly),
        Row("pull", "download, verify, open, seal again", pulling),
        Row("bare-narrow", "bare download, by a link of 1 Gbit/s", partial(downloading, at_once=2, rate=GIGABIT)),
        Row("pull-narrow", "download, verify, open, seal again, the same link", partial(pulling, rate=GIGABIT)),
    ),
    goals=(
        Goal("time / bare download", "pull", "wall", 1.1, "bare"),
        Goal("by a link of 1 Gbit/s: time / bare download", "pull-narrow", "wall", 1.1, "bare-narrow"),
    ),
)

if __name__ == "__main__":
    main(QUESTION)
