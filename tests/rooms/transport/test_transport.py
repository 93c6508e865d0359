"""The pinned transport against a real TLS server on 127.0.0.1 that can be told to lie (attacks B22, G01 to G04)."""

import datetime as dt
import hashlib
import io
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from strongroom.errors import Code, DeniedError, InputError, RefusedError, SetupError, StrongroomError, UnreachableError
from strongroom.transport import Pinned, Response, fetch_trust, raise_problem, spki_digest
from strongroom.wire.trust import Pin

NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
DATA = bytes(range(256)) * 64


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


@dataclass(frozen=True)
class Identity:
    """A key and a certificate for it."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def pin(self) -> bytes:
        return spki_digest(self.certificate.public_bytes(serialization.Encoding.DER))


def identity(
    issuer: Identity | None = None, *, address: str = "127.0.0.1", start: dt.datetime = NOW - DAY, days: int = 30
) -> Identity:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name("server" if issuer else "authority"))
        .issuer_name(issuer.certificate.subject if issuer else _name("authority"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + days * DAY)
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
    )
    return Identity(key, builder.sign(issuer.key if issuer else key, hashes.SHA256()))


@cache
def authority() -> Identity:
    return identity()


@cache
def server_identity() -> Identity:
    return identity(authority())


Reply = bytes | Iterable[bytes]


@dataclass
class Server:
    """A TLS server that records every decrypted byte it is sent, and answers as it is told."""

    folder: Path
    reply: Callable[[bytes], Reply] = lambda _: OK
    keep: bool = True
    newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
    received: bytearray = field(default_factory=bytearray)
    requests: list[bytes] = field(default_factory=list)
    handshakes: int = 0
    failed_handshakes: int = 0

    def start(self, shown: Identity) -> int:
        self.show(shown)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.threads = [threading.Thread(target=self._accept, daemon=True)]
        self.open: list[socket.socket] = []
        self.threads[0].start()
        self.port: int = self.listener.getsockname()[1]
        return self.port

    def show(self, shown: Identity) -> None:
        """Present this certificate from the next connection on."""
        path = self.folder / "server.pem"
        form, no_password = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        path.write_bytes(
            shown.key.private_bytes(serialization.Encoding.PEM, form, no_password) + shown.pem.encode("ascii")
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.maximum_version = self.newest
        context.load_cert_chain(path)
        self.context = context

    def hang_up(self) -> None:
        """Close every open connection."""
        for connection in self.open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self.threads[1:]:
            thread.join(5)

    def stop(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.threads[0].join(5)
        self.hang_up()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                plain, _ = self.listener.accept()
                thread = threading.Thread(target=self._serve, args=(plain,), daemon=True)
                self.threads.append(thread)
                thread.start()

    def _serve(self, plain: socket.socket) -> None:
        with plain:
            try:
                connection = self.context.wrap_socket(plain, server_side=True)
            except OSError:
                self.failed_handshakes += 1
                return
        self.handshakes += 1
        self.open.append(connection)
        with connection, suppress(OSError):
            while (request := self._read(connection)) is not None:
                self.requests.append(request)
                reply = self.reply(request)
                for piece in (reply,) if isinstance(reply, bytes) else reply:
                    connection.sendall(piece)
                if not self.keep:
                    connection.unwrap()
                    return

    def _read(self, connection: ssl.SSLSocket) -> bytes | None:
        data = b""
        while b"\r\n\r\n" not in data:
            data += (piece := self._recv(connection))
            if not piece:
                return None
        head, _, body = data.partition(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
        )
        if b"Expect-No-Body" in head or b"/early" in head.split(b"\r\n")[0]:
            return data
        while len(body) < length:
            body += (piece := self._recv(connection))
            if not piece:
                return None
        return head + b"\r\n\r\n" + body

    def _recv(self, connection: ssl.SSLSocket) -> bytes:
        piece = connection.recv(65_536)
        self.received += piece
        return piece


@pytest.fixture
def server(tmp_path):
    server = Server(tmp_path)
    server.start(server_identity())
    yield server
    server.stop()


def pinned(server: Server, *pins: bytes, ca: str | None = "", timeout: float = 5.0, host: str = "127.0.0.1") -> Pinned:
    ca = authority().pem if ca == "" else ca
    return Pinned(
        f"https://127.0.0.1:{server.port}", (Pin(host, ca, pins or (server_identity().pin,)),), timeout=timeout
    )


def refused(
    client: Pinned, path: str = "/", *, method: str = "GET", body: bytes = b"", limit: int = 1000
) -> StrongroomError:
    with client, pytest.raises(StrongroomError) as caught:
        client.request(method, path, body=body, headers={"Authorization": "secret-token"}, limit=limit)
    return caught.value


def test_a_pinned_server_is_spoken_to(server):
    with pinned(server) as client:
        answer = client.request("POST", "/v1/things?a=b", body=b"{}", headers={"DPoP": "x"}, limit=5)
    assert answer == Response(200, {"content-length": "5"}, b"hello")
    (request,) = server.requests
    assert request.startswith(b"POST /v1/things?a=b HTTP/1.1\r\n")
    assert request.endswith(b"\r\n\r\n{}")
    assert b"Accept-Encoding: identity\r\n" in request


def test_a_wrong_pin_is_refused_before_any_byte_of_the_request_is_sent(server):
    """G01: the server gets its handshake and nothing else, no header and no token."""
    error = refused(pinned(server, bytes(32)))
    server.hang_up()
    assert error.code == Code.PIN_MISMATCH
    assert server.handshakes == 1
    assert bytes(server.received) == b""


def test_the_chain_of_trust_is_fetched_without_pins(server):
    """G05: of whoever answers at the address, and of no other; nothing but the version is told."""
    assert fetch_trust(f"https://127.0.0.1:{server.port}", 7) == Response(200, {"content-length": "5"}, b"hello")
    (request,) = server.requests
    assert request.startswith(b"GET /v1/trust?from=7 HTTP/1.1\r\n")
    assert not any(word in request.lower() for word in (b"authorization", b"dpop", b"cookie"))


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 302 Found\r\nLocation: https://127.0.0.1/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 8388609\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n[]",
    ],
    ids=["a redirect", "too large", "no length"],
)
def test_without_pins_every_other_limit_holds(server, reply):
    server.reply = lambda _: reply
    with pytest.raises(UnreachableError) as caught:
        fetch_trust(f"https://127.0.0.1:{server.port}", 1)
    assert caught.value.code == Code.ANSWER
    server.newest = ssl.TLSVersion.TLSv1_2
    server.show(server_identity())
    with pytest.raises(UnreachableError) as caught:
        fetch_trust(f"https://127.0.0.1:{server.port}", 1)
    assert caught.value.code == Code.UNREACHABLE


def test_no_pins_match_no_server(server):
    client = Pinned(f"https://127.0.0.1:{server.port}", (Pin("127.0.0.1", authority().pem, ()),))
    assert refused(client).code == Code.PIN_MISMATCH


def test_the_backup_pin_works(server):
    """G05: the server goes over to its backup key and old devices follow."""
    with pinned(server, bytes(32), server_identity().pin) as client:
        assert client.request("GET", "/", limit=10).body == b"hello"


@pytest.mark.parametrize(
    ("shown", "ca"),
    [
        pytest.param(lambda: identity(authority(), start=NOW - 60 * DAY), "", id="expired"),
        pytest.param(lambda: identity(authority(), start=NOW + DAY), "", id="not yet valid"),
        pytest.param(lambda: identity(authority(), address="127.0.0.2"), "", id="another name"),
        pytest.param(identity, "", id="self-signed"),
        pytest.param(lambda: identity(identity()), "", id="another authority"),
        pytest.param(server_identity, None, id="not in the system store"),
    ],
)
def test_a_bad_certificate_is_refused_although_its_key_is_pinned(server, shown, ca):
    """G02: pins come on top of the certificate's own checks, they do not replace them."""
    bad = shown()
    server.show(bad)
    error = refused(pinned(server, bad.pin, ca=ca))
    server.hang_up()
    assert error.code == Code.CERTIFICATE
    assert bytes(server.received) == b""


def test_an_authority_in_the_system_store_does_not_replace_the_pin(server, tmp_path, monkeypatch):
    """G03: an interceptor's authority in the system store is believed, and its key is still not the pinned one."""
    store = tmp_path / "system.pem"
    store.write_text(authority().pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(store))
    with pinned(server, ca=None) as client:
        assert client.request("GET", "/", limit=10).status == 200
    interceptor = identity(authority())
    server.show(interceptor)
    server.received.clear()
    error = refused(pinned(server, ca=None))
    server.hang_up()
    assert error.code == Code.PIN_MISMATCH
    assert bytes(server.received) == b""


def test_tls_1_2_is_refused(server):
    """G04."""
    server.newest = ssl.TLSVersion.TLSv1_2
    server.show(server_identity())
    error = refused(pinned(server))
    server.hang_up()
    assert (error.code, bytes(server.received)) == (Code.UNREACHABLE, b"")


def test_authorities_that_cannot_be_read_are_a_setup_error(server):
    error = refused(pinned(server, ca="-----BEGIN CERTIFICATE-----\nnot one\n-----END CERTIFICATE-----\n"))
    assert isinstance(error, SetupError)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_refused(server, status):
    """B22: not followed, be it to the same server."""
    place = f"https://127.0.0.1:{server.port}/elsewhere"
    server.reply = lambda _: f"HTTP/1.1 {status} Go\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n".encode("ascii")
    assert refused(pinned(server)).code == Code.ANSWER
    assert len(server.requests) == 1


def _endless() -> Iterable[bytes]:
    yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    while True:
        yield b"1000\r\n" + bytes(4096) + b"\r\n"


def _trickle(head: bytes) -> Iterable[bytes]:
    yield head
    pause = threading.Event()
    while not pause.wait(0.05):
        yield b"a"


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        pytest.param(_endless, Code.ANSWER, id="endless body"),
        pytest.param(lambda: b"HTTP/1.1 200 OK\r\n\r\n" + bytes(5000), Code.ANSWER, id="oversize without a length"),
        pytest.param(
            lambda: b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n", Code.ANSWER, id="oversize length"
        ),
        pytest.param(lambda: b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort", Code.UNREACHABLE, id="length lies"),
        pytest.param(
            lambda: b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n" + bytes(2000), Code.ANSWER, id="negative"
        ),
        pytest.param(
            lambda: b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx", Code.ANSWER, id="gzip"
        ),
        pytest.param(lambda: b"SSH-2.0-OpenSSH\r\n\r\n", Code.UNREACHABLE, id="not HTTP"),
        pytest.param(lambda: b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200 + b"\r\n", Code.UNREACHABLE, id="200 headers"),
        pytest.param(lambda: b"", Code.UNREACHABLE, id="no answer"),
        pytest.param(lambda: b"HTTP/1.1 200 OK\r\nContent-Len", Code.ANSWER, id="cut in a header"),
        pytest.param(lambda: b"HTTP/1.1 200 OK\r\n\r\nhello", Code.ANSWER, id="no length"),
    ],
)
def test_answers_that_are_no_answers(server, reply, code):
    """B22: nothing beyond the limit is kept, and the error says so."""
    server.keep = False
    server.reply = lambda _: reply()
    error = refused(pinned(server))
    assert (type(error), error.code) == (UnreachableError, code)


@pytest.mark.parametrize(
    "head",
    [b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n", b"HTTP/1.1 200 OK\r\nX-Long: ", b"HTTP/1.1 "],
    ids=["in the body", "in a header", "in the status line"],
)
def test_a_trickle_is_refused(server, head):
    """B22: a byte now and then keeps a socket's own timeout from ever running out."""
    server.reply = lambda _: _trickle(head)
    error = refused(pinned(server, timeout=0.4))
    assert error.code == Code.UNREACHABLE


def test_silence_is_a_timeout(server):
    server.reply = lambda _: (threading.Event().wait(2.0) and b"") or b""
    error = refused(pinned(server, timeout=0.3))
    assert error.code == Code.UNREACHABLE


def test_nothing_listening_is_unreachable():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    client = Pinned(f"https://127.0.0.1:{port}", (Pin("127.0.0.1", None, (bytes(32),)),))
    error = refused(client)
    assert (error.code, error.what) == (Code.UNREACHABLE, "the server cannot be reached")  # and not "in time"


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:80/",
        "https://user:secret-word@127.0.0.1/",
        "https://127.0.0.1:99999/",
        "https://127.0.0.1/a#b",
        "https://127.0.0.1/a b",
        "https://127.0.0.1/a\r\nX: y",
        "https://127.0.0.1\\@evil.example/",
        "https://127.0.0.1?secret-word",
        "ftp://127.0.0.1/",
        "//evil.example/",
        "file:///etc/passwd",
        "",
    ],
)
def test_addresses_that_are_not_https_are_refused(server, url):
    error = refused(pinned(server), url)
    assert error.code == Code.ANSWER
    assert "secret-word" not in str(error)
    assert bytes(server.received) == b""


@pytest.mark.parametrize(
    "url", ["https://evil.example/", "https://169.254.169.254/latest", "https://127.0.0.1.evil.example/"]
)
def test_a_host_that_is_not_pinned_is_refused(server, url):
    """B22: an address from the server leads nowhere but to the hosts of trust.json."""
    assert refused(pinned(server), url).code == Code.PIN_MISMATCH


def test_the_base_must_be_a_pinned_https_address():
    with pytest.raises(InputError):
        Pinned("http://127.0.0.1", (Pin("127.0.0.1", None, (bytes(32),)),))
    with pytest.raises(UnreachableError) as caught:
        Pinned("https://models.example", (Pin("127.0.0.1", None, (bytes(32),)),))
    assert caught.value.code == Code.PIN_MISMATCH


def test_proxies_and_key_logs_from_the_environment_are_ignored(server, tmp_path, monkeypatch):
    log = tmp_path / "keys.log"
    monkeypatch.setenv("SSLKEYLOGFILE", str(log))
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with pinned(server) as client:
        assert client.request("GET", "/", limit=10).body == b"hello"
    assert not log.exists()


def test_connections_are_used_again(server):
    with pinned(server) as client:
        bodies = {client.request("GET", "/", limit=10).body for _ in range(5)}
    assert (bodies, server.handshakes, len(server.requests)) == ({b"hello"}, 1, 5)


def test_a_new_connection_is_checked_again(server):
    """G01: no reuse and no silent reconnect skips the pin."""
    with pinned(server) as client:
        assert client.request("GET", "/", limit=10).status == 200
        server.show(identity(authority()))
        server.hang_up()
        server.received.clear()
        with pytest.raises(UnreachableError) as caught:
            client.request("GET", "/", limit=10)
    server.hang_up()
    assert caught.value.code == Code.PIN_MISMATCH
    assert bytes(server.received) == b""
    assert server.handshakes == 2


@pytest.mark.parametrize("size", [8192, 40_000], ids=["already decrypted", "still to be read"])
def test_what_a_server_sends_unasked_is_no_answer(server, size):
    """Bytes behind an answer must not become the answer to the next request."""
    surplus = OK.ljust(size, b"x") + OK.replace(b"hello", b"false")  # begins where one buffer of the reader ends
    server.reply = lambda request: surplus if b"/first" in request else OK
    with pinned(server) as client:
        assert client.request("GET", "/first", limit=10).body == b"hello"
        assert client.request("GET", "/second", limit=10).body == b"hello"
    assert server.handshakes == 2


def test_a_post_is_not_repeated(server):
    """B21: a release asked for once is asked for once, even if its answer is lost."""
    server.reply = lambda request: OK if request.startswith(b"GET") else b""
    with pinned(server) as client:
        client.request("GET", "/", limit=10)
        server.keep = False
        with pytest.raises(UnreachableError):
            client.request("POST", "/v1/releases", body=b"{}", limit=10)
    assert [request[:4] for request in server.requests] == [b"GET ", b"POST"]


def test_threads_share_a_client(server):
    server.reply = lambda request: OK.replace(b"hello", request.split(b" ")[1][1:6])
    with pinned(server) as client, ThreadPoolExecutor(4) as pool:
        paths = [f"/{number:05}" for number in range(20)]
        answers = list(pool.map(lambda path: client.request("GET", path, limit=10).body.decode(), paths))
    assert answers == [path[1:] for path in paths]


def _range_reply(request: bytes) -> bytes:
    wanted = next(line for line in request.split(b"\r\n") if line.startswith(b"Range: bytes="))[13:].split(b"-")
    start, end = int(wanted[0]), int(wanted[1])
    return _partial(f"bytes {start}-{end}/{len(DATA)}", DATA[start : end + 1])


def test_a_range_is_read_exactly(server):
    server.reply = _range_reply
    url = f"https://127.0.0.1:{server.port}/o/name?m=GET&s=signature"
    with pinned(server) as client:
        assert client.read_range(url, 0, len(DATA)) == DATA
        assert client.read_range(url, 1000, 1) == DATA[1000:1001]
        buffer = bytearray(b"\xff" * 30)
        client.read_range_into(url, 256, memoryview(buffer)[10:20])
    assert buffer == b"\xff" * 10 + DATA[256:266] + b"\xff" * 10
    assert server.handshakes == 1


def _partial(content_range: str, body: bytes, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return (
        f"HTTP/1.1 206 Partial\r\nContent-Range: {content_range}\r\nContent-Length: {size}\r\n\r\n".encode("ascii")
        + body
    )


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789", id="200"),
        pytest.param(b"HTTP/1.1 206 Partial\r\nContent-Length: 10\r\n\r\n0123456789", id="no content-range"),
        pytest.param(_partial("bytes 6-15/100", b"0123456789"), id="another offset"),
        pytest.param(_partial("bytes 5-15/100", b"01234567890"), id="a longer range"),
        pytest.param(_partial("bytes 5-14/100", b"01234567890"), id="more bytes than it says"),
        pytest.param(_partial("bytes 5-14/100", b"012345678"), id="fewer bytes than it says"),
        pytest.param(_partial("bytes 5-14/100", b"012345678", 10), id="cut"),
        pytest.param(_partial("octets 5-14/100", b"0123456789"), id="another unit"),
        pytest.param(_partial("bytes 5-14/100, bytes 5-14/100", b"0123456789"), id="twice"),
    ],
)
def test_a_range_that_lies_is_refused(server, reply):
    server.keep = False
    server.reply = lambda _: reply
    with pinned(server) as client, pytest.raises(UnreachableError) as caught:
        client.read_range(f"https://127.0.0.1:{server.port}/o/name", 5, 10)
    assert caught.value.code in {Code.ANSWER, Code.UNREACHABLE}


def _problem(status: int, code: str) -> bytes:
    body = f'{{"type":"urn:strongroom:problem:{code}","title":"No.","status":{status},"code":"{code}"}}'.encode("ascii")
    return f"HTTP/1.1 {status} No\r\nContent-Length: {len(body)}\r\n\r\n".encode("ascii") + body


@pytest.mark.parametrize(
    ("status", "word", "family", "code"),
    [
        (403, "url-expired", RefusedError, Code.URL_EXPIRED),
        (403, "url-invalid", DeniedError, Code.URL_INVALID),
        (404, "not-found", DeniedError, Code.NOT_FOUND),
        (416, "range", InputError, Code.RANGE),
        (503, "nonsense", UnreachableError, Code.UNREACHABLE),
    ],
)
def test_a_refused_range_says_why(server, status, word, family, code):
    server.reply = lambda _: _problem(status, word)
    with pinned(server) as client, pytest.raises(family) as caught:
        client.read_range(f"https://127.0.0.1:{server.port}/o/name?s=secret-word", 0, 10)
    assert (type(caught.value), caught.value.code) == (family, code)
    assert "secret-word" not in str(caught.value)


def test_a_file_is_uploaded_exactly(server):
    server.reply = lambda _: b"HTTP/1.1 204 Done\r\n\r\n"
    data = DATA * 20
    seen: list[int] = []
    with pinned(server) as client:
        client.upload("/o/name?m=PUT", io.BytesIO(data + b"more"), len(data), seen.append)
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"PUT /o/name?m=PUT HTTP/1.1\r\n")
    assert b"chunked" not in head
    assert hashlib.sha256(body).digest() == hashlib.sha256(data).digest()
    assert seen[-1] == len(data)
    assert seen == sorted(seen)


def test_a_file_that_became_shorter_is_not_uploaded(server):
    with pinned(server) as client, pytest.raises(InputError) as caught:
        client.upload("/o/name", io.BytesIO(b"short"), 10)
    server.hang_up()
    assert caught.value.code == Code.FILE_SOURCE_CHANGED
    assert server.requests == []


def test_a_refused_upload_says_why(server):
    server.reply = lambda _: _problem(409, "conflict")
    with pinned(server) as client, pytest.raises(InputError) as caught:
        client.upload("/o/name", io.BytesIO(b"12345"), 5)
    assert caught.value.code == Code.CONFLICT


def test_a_server_may_refuse_a_large_upload_before_it_has_read_it(server):
    server.keep = False
    server.reply = lambda _: _problem(413, "too-large")
    with pinned(server) as client, pytest.raises((InputError, UnreachableError)) as caught:
        client.upload("/early", io.BytesIO(bytes(20_000_000)), 20_000_000)
    assert caught.value.code in {Code.TOO_LARGE, Code.UNREACHABLE}


def test_a_problem_becomes_an_error():
    with pytest.raises(DeniedError) as caught:
        raise_problem(Response(401, {}, b'{"code":"proof","title":"No."}'))
    assert caught.value.code == Code.PROOF


def test_what_is_no_certificate_has_no_pin():
    with pytest.raises(InputError):
        spki_digest(b"not a certificate")
