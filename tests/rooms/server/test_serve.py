"""The process: two listeners, TLS 1.3 only, one ready line, a graceful end."""

import dataclasses
import hashlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import load_pem_x509_certificate

from protocol_client import Bench, run
from served_device_api import make_tls
from strongroom.errors import Code, SetupError
from strongroom.server import initialise
from strongroom.server.http.certificate import Tls, check_certificate, tls_context
from strongroom.server.http.listener import Listener, bound
from strongroom.server.http.serve import run as serve
from strongroom.server.office import Office
from strongroom.server.settings import load
from strongroom.server.wiring import open_office
from strongroom.wire.trust import Pin

JSON = b"Host: x\r\nContent-Type: application/json\r\n"


@dataclass
class Running:
    """A server process and where it listens."""

    process: "subprocess.Popen[str]"
    device: int
    admin: int
    folder: Path
    lines: list[str]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A freshly made strongroom, served on free ports."""
    folder = tmp_path_factory.mktemp("served") / "strongroom"
    initialise.init(folder, now=int(time.time()))
    command = [
        sys.executable,
        "-m",
        "strongroom",
        "serve",
        "--config",
        str(folder),
        "--device-port",
        "0",
        "--admin-port",
        "0",
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if '"server.ready"' in line:
            break
    assert lines, process.wait()
    assert '"server.ready"' in lines[-1], lines
    ready = json.loads(lines[-1])
    assert ready["pid"] == process.pid
    ports = [int(ready[name].rpartition(":")[2]) for name in ("device_url", "admin_url")]
    yield Running(process, *ports, folder, lines)
    process.kill()
    process.communicate()


def talk(running: Running, port: int, data: bytes, context: ssl.SSLContext | None = None) -> bytes:
    """Send bytes over TLS and read until the other side closes or falls silent."""
    context = context or ssl.create_default_context(cafile=running.folder / "tls" / "ca.pem")
    with (
        socket.create_connection(("127.0.0.1", port), 5) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as tls,
    ):
        tls.settimeout(1)
        tls.sendall(data)
        parts = []
        try:
            while part := tls.recv(65_536):
                parts.append(part)
        except (TimeoutError, ConnectionError, ssl.SSLError):
            pass
        return b"".join(parts)


def get(path: str) -> bytes:
    """A plain request."""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()


def test_both_apis_answer_on_their_own_port(server: Running) -> None:
    """R65: health on both, the other's routes on neither."""
    well = b'{"database":"ok","status":"ok","trust":"ok","trust_version":1,"vault":"ok"}'
    for port, mine, other in ((server.device, "/v1/trust", "/v1/whoami"), (server.admin, "/v1/whoami", "/v1/trust")):
        assert well in talk(server, port, get("/healthz"))
        assert not talk(server, port, get(mine)).startswith(b"HTTP/1.1 404")
        assert talk(server, port, get(other)).startswith(b"HTTP/1.1 404")


def test_answers_name_no_server_but_carry_the_date(server: Running) -> None:
    """R62; devices learn the office's clock from the date."""
    head = talk(server, server.device, get("/healthz")).lower()
    assert b"\r\nserver:" not in head
    assert b"\r\ndate:" in head
    assert b"strict-transport-security" in head


def test_tls_1_2_is_refused(server: Running) -> None:
    """R60, G04."""
    old = ssl.create_default_context(cafile=server.folder / "tls" / "ca.pem")
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    for port in (server.device, server.admin):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            talk(server, port, get("/healthz"), old)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 40_000 + b"\r\n\r\n",
        b"POST /v1/challenges HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST /v1/challenges HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /v1/challenges HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"\x16\x03\x01 this is no HTTP\r\n\r\n",
        b"POST /v1/challenges HTTP/1.1\r\nAuthorization: Bearer x\r\n" + JSON + b"Content-Length: 10737418240\r\n\r\n{",
    ],
    ids=["huge header", "two lengths", "length and chunks", "odd coding", "no HTTP", "10 GiB declared"],
)
def test_odd_requests_are_refused(server: Running, data: bytes) -> None:
    """E13, E18: 4xx or a closed connection; the server lives on."""
    answer = talk(server, server.device, data)
    assert answer == b"" or answer.split(b" ")[1][:1] == b"4", answer[:200]
    assert b"Traceback" not in answer
    assert talk(server, server.device, get("/healthz")).startswith(b"HTTP/1.1 200")


def test_the_ready_line_stands_out(server: Running) -> None:
    """Nobody has to search for it among the lines of libraries."""
    *before, ready = [json.loads(line) for line in server.lines]
    assert ready["event"] == "server.ready"
    assert [line["level"] for line in before] == ["warning"]  # that a fresh strongroom asks nothing of devices
    assert "devices that prove nothing are served" in before[0]["event"]


def test_one_port_for_both_apis_is_told_in_words() -> None:
    """Two sockets may be bound to one port, and then each would get some of the other's requests."""
    with bound(Listener("127.0.0.1", 0)) as first, pytest.raises(SetupError) as caught:
        bound(Listener("127.0.0.1", first.getsockname()[1]))
    assert (caught.value.code, bool(caught.value.next_step)) == (Code.CONFIG, True)


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".test", "\ud800", "a\0b", "no.such.host.invalid"])
def test_a_host_that_is_none_is_told_in_words(host: str) -> None:
    with pytest.raises(SetupError) as caught:
        bound(Listener(host, 0))
    assert (caught.value.code, bool(caught.value.next_step)) == (Code.CONFIG, True)


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    tls = make_tls(tmp_path)
    assert tls_context(tls)
    for mode in (0o640, 0o604, 0o620):
        tls.key.chmod(mode)
        with pytest.raises(SetupError) as caught:
            tls_context(tls)
        assert caught.value.code is Code.PERMISSIONS
        assert caught.value.next_step == f"run: chmod 600 {tls.key}"


def test_a_certificate_that_devices_would_refuse_is_refused(tmp_path: Path) -> None:
    """Not pinned for the server's host, or expired: nobody could connect, so nothing is served."""

    async def story(bench: Bench) -> None:
        tls = make_tls(tmp_path, now=bench.clock())
        key = load_pem_x509_certificate(tls.certificate.read_bytes()).public_key()
        spki = hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()

        def office(pin: Pin, later: int = 0) -> Office:
            trust = dataclasses.replace(bench.trust, pins=(pin,))
            return dataclasses.replace(bench.office, trust=trust, now=lambda: bench.clock() + later)

        check_certificate(tls, office(Pin("rooms.test", None, (bytes(32), spki))))
        for wrong, word in (
            (office(Pin("rooms.test", None, (bytes(32),))), "pin"),
            (office(Pin("other.test", None, (spki,))), "pin"),
            (office(Pin("rooms.test", None, (spki,)), 11 * 366 * 86_400), "expired"),
        ):
            with pytest.raises(SetupError, match=word) as caught:
                check_certificate(tls, wrong)
            assert (caught.value.code, bool(caught.value.next_step)) == (Code.CONFIG, True)
        tls.certificate.write_text("no certificate")
        with pytest.raises(SetupError):
            check_certificate(tls, bench.office)

    run(story)


def test_what_an_office_asks_others_with_ends_with_it(tmp_path: Path) -> None:
    """The threads that ask Google do not outlive the server, however it ends."""

    class Decoder:
        closed = 0

        async def decode(self, package: str, token: bytes) -> bytes:
            raise AssertionError

        def close(self) -> None:
            self.closed += 1

    room = initialise.init(tmp_path / "strongroom", now=int(time.time())).directory
    settings, decoder = load(room), Decoder()
    office = open_office(settings)
    office = dataclasses.replace(office, attestation=dataclasses.replace(office.attestation, decoder=decoder))
    tls = Tls(settings.resolve(settings.tls_certificate), settings.resolve(settings.tls_key))
    anywhere = Listener("127.0.0.1", 0)
    serve(office, device=anywhere, admin=anywhere, tls=tls, ready=lambda _: os.kill(os.getpid(), signal.SIGTERM))
    assert decoder.closed == 1


def test_a_taken_port_is_told_in_words(server: Running) -> None:
    with pytest.raises(SetupError) as caught:
        bound(Listener("127.0.0.1", server.device))
    assert caught.value.code is Code.CONFIG
    assert str(server.device) in caught.value.where


def test_a_wrong_certificate_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "x.pem").write_text("no certificate")
    for path in (tmp_path / "x.pem", tmp_path / "absent.pem"):
        with pytest.raises(SetupError) as caught:
            tls_context(Tls(path, path))
        assert caught.value.code is Code.CONFIG


def test_sigterm_ends_it_gracefully(server: Running) -> None:
    """Runs last: the process ends by itself, with exit code 0 and nothing on standard output."""
    os.kill(server.process.pid, signal.SIGTERM)
    out, rest = server.process.communicate(timeout=20)
    assert (server.process.returncode, out) == (0, "")
    assert "Traceback" not in rest
    for line in rest.splitlines():
        assert json.loads(line)["level"] not in {"error", "critical"}
