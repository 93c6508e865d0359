"""G01 to G05 with a whole device: a real server on loopback, and somebody else who answers at its address.

What the pinned transport does with each bad certificate is in tests/rooms/transport/test_transport.py, with the same
ids; here enrolling, pulling and renewing go through it, and nothing reaches the one in the middle.
"""

import asyncio
import socket
import ssl
import threading
import time
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import pytest

import strongroom
from attacks.thieving import WEIGHTS, Embedded
from strongroom.errors import Code, StrongroomError, UnreachableError
from strongroom.server import certificates
from strongroom.server.http.app_device import create_device_app
from strongroom.server.http.certificate import Tls, tls_context
from strongroom.server.http.listener import Listener, Server, bound
from strongroom.wire import trust
from strongroom_in_memory import ADMIN


class Middle:
    """Whoever answers at the office's address: with a certificate of his own, and an open ear."""

    def __init__(
        self, port: int, certificate: Path, key: Path, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
    ) -> None:
        self.heard, self.tried = bytearray(), 0
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1_2, newest
        context.load_cert_chain(certificate, key)
        self.context = context
        self.listener = socket.create_server(("127.0.0.1", port))
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()

    def _listen(self) -> None:
        with suppress(OSError):
            while True:
                plain, _ = self.listener.accept()
                self.tried += 1
                with suppress(OSError), closing(plain), self.context.wrap_socket(plain, server_side=True) as line:
                    line.settimeout(5)
                    while (piece := line.recv(65_536)) and b"\r\n\r\n" not in self.heard[-1000:] + piece:
                        self.heard += piece
                    self.heard += piece

    def stop(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(10)


class Office(Embedded):
    """An embedded office that serves its device API over real TLS, as long as it is told to."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        super().__init__(folder, host="127.0.0.1", port=self.port, now=int(time.time()))
        pins = tuple(
            replace(pin, ca=None) for pin in self.office.trust.pins
        )  # any authority of the machine's own store
        self.trust_path = folder / "trust.json"
        self.trust_path.write_bytes(trust.encode(replace(self.office.trust, pins=pins), self.owners))
        self._clients = {self.office.public_url: next(iter(self._clients.values())), ADMIN: self._clients[ADMIN]}

    def up(self) -> None:
        tls = self.directory / "tls"
        context = tls_context(Tls(tls / "server.pem", tls / "server.key"))
        self.server = Server(create_device_app(self.office), context, lambda: "ref_x")
        self.running = asyncio.run_coroutine_threadsafe(
            self.server.serve(sockets=[bound(Listener("127.0.0.1", self.port))]), self._loop
        )
        self.do(self.server.listening.wait())

    def down(self) -> None:
        self.server.should_exit = True
        self.running.result(30)


@pytest.fixture
def office(tmp_path, monkeypatch):
    with Office(tmp_path) as office:
        monkeypatch.setenv("SSL_CERT_FILE", str(office.directory / "tls/ca.pem"))
        office.publish()
        office.up()
        yield office
        office.down()


def connect(office, token=None):
    return strongroom.connect(
        office.office.public_url, home=office.folder / "phone", trust=office.trust_path, token=token
    )


def runs(office):
    with connect(office) as room, room.load("digits", offline="only") as model:
        assert bytes(model.bytes()) == WEIGHTS


def middles(folder):
    """Who may stand there: with an authority of his own, with one of the system's store, with old TLS."""
    own, tls = folder / "own", folder / "room/tls"
    own.mkdir()
    made = certificates.issue(certificates.LOOPBACK, now=int(time.time()))
    (own / "ca.pem").write_bytes(made.authority)
    (own / "server.pem").write_bytes(made.server.certificate)
    (own / "server.key").write_bytes(made.server.key)
    mine = own / "server.pem", own / "server.key"
    (own / "store.pem").write_bytes(made.authority + (tls / "ca.pem").read_bytes())
    genuine = tls / "server.pem", tls / "server.key"
    return {
        Code.CERTIFICATE: (*mine, ssl.TLSVersion.TLSv1_3, tls / "ca.pem"),
        Code.PIN_MISMATCH: (*mine, ssl.TLSVersion.TLSv1_3, own / "store.pem"),
        Code.UNREACHABLE: (*genuine, ssl.TLSVersion.TLSv1_2, tls / "ca.pem"),
    }


@pytest.mark.slow
def test_somebody_else_answers(office, monkeypatch):
    """G01, G02, G03, G04: he hears not one byte, the device says so and keeps what it has; then all goes on."""
    token = office.customer("alice", "digits")
    with connect(office, token) as room:
        assert room.pull("digits").fetched
        before = room.store.need()
    office.down()
    for code, (certificate, key, newest, store) in middles(office.folder).items():
        with monkeypatch.context() as patch:
            patch.setenv("SSL_CERT_FILE", str(store))
            middle = Middle(office.port, certificate, key, newest)
            for act in ("pull", "renew", "enrol"):
                with connect(office) as room, pytest.raises(StrongroomError) as caught:
                    getattr(room, act)(token if act == "enrol" else "digits")
                assert (type(caught.value), caught.value.code) == (UnreachableError, code)
            middle.stop()
        assert middle.tried >= 3
        without_pins = b"GET /v1/trust?from=1 HTTP/1.1"  # the one thing that is asked of whoever answers
        assert token.encode() not in middle.heard
        assert b"Authorization" not in middle.heard
        assert b"DPoP" not in middle.heard
        lines = [line for line in bytes(middle.heard).split(b"\r\n") if b" HTTP/1." in line]
        assert set(lines) <= {without_pins}
        runs(office)
    office.up()
    with connect(office) as room:
        assert room.renew("digits").lease_expires >= 0
        assert [one.id for one in room.store.need().installs] == [one.id for one in before.installs]


@pytest.mark.slow
def test_the_backup_key_takes_over(office):
    """G05: the server's key is lost: the backup key, pinned from the first day, serves the devices there are."""
    with connect(office, office.customer("alice", "digits")) as room:
        room.pull("digits")
    office.down()
    tls = office.directory / "tls"
    for kind in ("pem", "key"):
        (tls / f"server.{kind}").write_bytes((tls / f"backup.{kind}").read_bytes())
    office.up()
    with connect(office) as room:
        assert not room.pull("digits").fetched
