"""What every PlayDecoder must do: one suite over the in-memory fake and the adapter, which asks a stub of Google."""

import asyncio
import base64
import contextlib
import functools
import hashlib
import json
import re
import socket
import ssl
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from fakes import FixedClock
from play_minting import PACKAGE, MemoryDecoder, verdict
from strongroom.attest.play import Decoded
from strongroom.errors import Code, SetupError, UnreachableError
from strongroom.server.attestation import google_account, google_play
from strongroom.server.attestation.google_account import read_account
from strongroom.server.attestation.google_play import GooglePlay
from strongroom.server.attestation.play_port import ask
from strongroom.server.certificates import issue

TOKEN = b"eyJ.standard-token_1"
NO_TOKENS = (b"", b"\0", b"\xff" * 40, b"two words", b'"}', b"a\nb", b"A" * 65_537)
NO_PACKAGES = (
    "",
    "example",
    "com.example/../x",
    "com.example.app:delete",
    "com..app",
    "com.example.app\n",
    "com.é.app",
)
SECRET = "ya29.an-access-token"
CLOCK = FixedClock()


@functools.cache
def rsa_key(bits=2048):
    return rsa.generate_private_key(65_537, bits)


def pem(key):
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def account_file(**changes):
    value = {
        "type": "service_account",
        "project_id": "example",
        "private_key_id": "0123456789abcdef",
        "private_key": pem(rsa_key()),
        "client_email": "strongroom@example.iam.gserviceaccount.com",
        "client_id": "1",
        "token_uri": "https://oauth2.googleapis.com/token",
    }
    return json.dumps({name: part for name, part in (value | changes).items() if part is not None}).encode()


@functools.cache
def account():
    return read_account(account_file())


@functools.cache
def certificates():
    return issue(["127.0.0.1", "localhost"], now=int(time.time()))


@dataclass
class StubGoogle:
    """Both hosts of Google on 127.0.0.1, which can be told to answer otherwise: path to status, headers and body."""

    known: dict[bytes, tuple[str, dict]] = field(default_factory=dict)
    odd: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)
    seen: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    bearer: str = SECRET
    lives: int = 3599
    hold: threading.Event | None = None

    def paths(self):
        return [path for path, _, _ in self.seen]

    def answer(self, path, headers, body):
        self.seen.append((path, headers, body))
        if self.hold is not None:
            self.hold.wait(30)
        if path in self.odd:
            return self.odd[path]
        if path == "/token":
            given = {"access_token": self.bearer, "expires_in": self.lives, "token_type": "Bearer"}
            return 200, {}, json.dumps(given).encode()
        package = re.fullmatch(r"/v1/([A-Za-z0-9_.]+):decodeIntegrityToken", path)[1]
        if headers["Authorization"] != f"Bearer {self.bearer}":
            return 401, {}, b'{"error":{"code":401,"message":"a secret hint","status":"UNAUTHENTICATED"}}'
        name, value = self.known.get(json.loads(body)["integrity_token"].encode(), ("", {}))
        if name != package:
            return 400, {}, b'{"error":{"code":400,"message":"a secret hint","status":"INVALID_ARGUMENT"}}'
        return 200, {"Content-Type": "application/json"}, json.dumps({"tokenPayloadExternal": value}).encode()


DECODE = f"/v1/{PACKAGE}:decodeIntegrityToken"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status, headers, answer = self.server.google.answer(self.path, dict(self.headers), body)
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(answer))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(OSError):  # the other side may have had enough
            self.wfile.write(answer)
        self.close_connection = True

    def log_message(self, *_):
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, google, folder):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.google = google
        made = certificates().server
        (folder / "server.pem").write_bytes(made.certificate + made.key)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(folder / "server.pem")

    def finish_request(self, request, address):
        with self.context.wrap_socket(request, server_side=True) as secure:
            super().finish_request(secure, address)

    def handle_error(self, request, address):
        pass  # a client that does not believe the certificate


@pytest.fixture
def google(tmp_path):
    stub = StubGoogle()
    with _Server(stub, tmp_path) as server:
        stub.url = f"https://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield stub
        if stub.hold is not None:
            stub.hold.set()
        server.shutdown()
        thread.join()


@contextlib.contextmanager
def opened(google, *, clock=CLOCK, url=None, authorities=None):
    url = url or google.url
    trusted = certificates().authority.decode() if authorities is None else authorities
    adapter = GooglePlay(account(), clock, decode_url=url, token_url=f"{url}/token", authorities=trusted)
    try:
        yield adapter
    finally:
        adapter.close()


@dataclass
class Side:
    """A decoder, and how to teach it tokens and to take its other side away."""

    decoder: object
    teach: object
    break_off: object
    mend: object


@pytest.fixture(params=["google", "memory"])
def side(request):
    if request.param == "memory":
        memory = MemoryDecoder()
        yield Side(memory, memory.teach, lambda: setattr(memory, "down", True), lambda: setattr(memory, "down", False))
        return
    stub = request.getfixturevalue("google")
    down = {DECODE: (503, {}, b'{"error":{"status":"UNAVAILABLE"}}')}
    with opened(stub) as adapter:
        teach = lambda token, package, value: stub.known.update({token: (package, value)})  # noqa: E731 - one line
        yield Side(adapter, teach, lambda: stub.odd.update(down), stub.odd.clear)


def _decode(decoder, token=TOKEN, package=PACKAGE):
    return asyncio.run(decoder.decode(package, token))


def _fails(decoder, token=TOKEN, package=PACKAGE):
    with pytest.raises(UnreachableError) as caught:
        _decode(decoder, token, package)
    text = f"{caught.value!r} {caught.value} {caught.value.to_value()}"
    assert SECRET not in text
    assert "secret hint" not in text
    assert TOKEN.decode() not in text
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return caught.value.code


# --- every decoder


def test_the_verdict_comes_back_as_it_was_said(side):
    side.teach(TOKEN, PACKAGE, verdict())
    assert json.loads(_decode(side.decoder)) == verdict()


def test_what_is_no_token_of_this_package_is_told_from_an_outage(side):
    side.teach(TOKEN, PACKAGE, verdict())
    assert _fails(side.decoder, b"eyJ.another") == Code.EVIDENCE
    assert _fails(side.decoder, TOKEN, "com.example.other") == Code.EVIDENCE
    side.break_off()
    assert _fails(side.decoder) not in {Code.EVIDENCE, Code.INTERNAL}
    side.mend()
    assert json.loads(_decode(side.decoder)) == verdict()


@pytest.mark.parametrize("token", NO_TOKENS)
def test_garbage_is_no_token(side, token):
    assert _fails(side.decoder, token) == Code.EVIDENCE


@pytest.mark.parametrize("package", NO_PACKAGES)
def test_a_package_is_a_name_and_no_path(side, package):
    assert _fails(side.decoder, TOKEN, package) == Code.EVIDENCE


def test_many_at_once_get_each_their_own(side):
    tokens = [b"eyJ.%d" % number for number in range(40)]
    for number, token in enumerate(tokens):
        side.teach(token, PACKAGE, verdict(at=1_800_000_000 + number))

    async def all_of_them():
        return await asyncio.gather(*(side.decoder.decode(PACKAGE, token) for token in tokens))

    stamps = [json.loads(answer)["requestDetails"]["timestampMillis"] for answer in asyncio.run(all_of_them())]
    assert stamps == [str((1_800_000_000 + number) * 1000) for number in range(40)]


def test_the_packages_are_tried_in_their_order(side):
    """A standard token does not say in clear which app it is for."""
    beta = "com.example.beta"
    side.teach(TOKEN, beta, verdict())
    decoded = asyncio.run(ask(side.decoder, TOKEN, (PACKAGE, beta)))
    assert (decoded.package, json.loads(decoded.verdict)) == (beta, verdict())
    assert decoded == Decoded(beta, hashlib.sha256(TOKEN).digest(), decoded.verdict)
    for packages in ((), (PACKAGE,), (PACKAGE, "com.example.other")):
        with pytest.raises(UnreachableError) as caught:
            asyncio.run(ask(side.decoder, TOKEN, packages))
        assert caught.value.code == Code.EVIDENCE
    side.break_off()
    with pytest.raises(UnreachableError) as caught:
        asyncio.run(ask(side.decoder, TOKEN, (PACKAGE, "com.example.other")))
    assert caught.value.code != Code.EVIDENCE


# --- the adapter


def test_google_is_asked_as_it_documents(google):
    google.known[TOKEN] = (PACKAGE, verdict())
    with opened(google) as adapter:
        _decode(adapter)
    (_, form_head, form), (path, head, body) = google.seen
    assert google.paths() == ["/token", DECODE]
    assert (path, json.loads(body)) == (DECODE, {"integrity_token": TOKEN.decode()})
    assert (head["Authorization"], head["Content-Type"]) == (f"Bearer {SECRET}", "application/json")
    assert form_head["Content-Type"] == "application/x-www-form-urlencoded"
    assert "Authorization" not in form_head
    fields = parse_qs(form.decode(), strict_parsing=True)
    assert fields.pop("grant_type") == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
    assert list(fields) == ["assertion"]
    signed, _, signature = fields["assertion"][0].rpartition(".")
    header, claims = (json.loads(_from64(part)) for part in signed.split("."))
    rsa_key().public_key().verify(_from64(signature), signed.encode(), padding.PKCS1v15(), SHA256())
    assert header == {"alg": "RS256", "typ": "JWT", "kid": "0123456789abcdef"}
    assert claims == {
        "iss": "strongroom@example.iam.gserviceaccount.com",
        "scope": "https://www.googleapis.com/auth/playintegrity",
        "aud": "https://oauth2.googleapis.com/token",
        "iat": CLOCK(),
        "exp": CLOCK() + 600,
    }


def _from64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_garbage_is_not_sent(google):
    with opened(google) as adapter:
        for token in NO_TOKENS:
            assert _fails(adapter, token) == Code.EVIDENCE
        for package in NO_PACKAGES:
            assert _fails(adapter, TOKEN, package) == Code.EVIDENCE
    assert google.seen == []


def test_in_production_the_hosts_are_googles():
    adapter = GooglePlay(account(), CLOCK)
    adapter.close()
    assert adapter._decode_url == google_play.DECODE_URL == "https://playintegrity.googleapis.com"
    assert adapter._token_url == google_account.TOKEN_URL == "https://oauth2.googleapis.com/token"
    assert adapter._context.verify_mode == ssl.CERT_REQUIRED
    assert adapter._context.check_hostname


def test_an_access_token_is_used_until_shortly_before_its_end(google):
    google.known[TOKEN] = (PACKAGE, verdict())
    clock = FixedClock()
    with opened(google, clock=clock) as adapter:
        for seconds, asked in ((0, 1), (3599 - google_play.EARLY - 1, 1), (1, 2), (1, 2)):
            clock.advance(seconds)
            _decode(adapter)
            assert google.paths().count("/token") == asked


@pytest.mark.parametrize("lives", [0, -5, google_play.EARLY])
def test_an_access_token_that_ends_soon_is_used_once(google, lives):
    google.known[TOKEN] = (PACKAGE, verdict())
    google.lives = lives
    with opened(google) as adapter:
        _decode(adapter)
        _decode(adapter)
    assert google.paths() == ["/token", DECODE] * 2


def test_an_access_token_is_not_believed_for_longer_than_an_hour(google):
    google.known[TOKEN] = (PACKAGE, verdict())
    google.lives = 10**12
    clock = FixedClock()
    with opened(google, clock=clock) as adapter:
        _decode(adapter)
        clock.advance(3600)
        _decode(adapter)
    assert google.paths().count("/token") == 2


def test_an_access_token_that_google_takes_no_more_is_forgotten(google):
    google.known[TOKEN] = (PACKAGE, verdict())
    with opened(google) as adapter:
        _decode(adapter)
        google.bearer = "ya29.another"
        assert _fails(adapter) == Code.ANSWER
        assert json.loads(_decode(adapter)) == verdict()
    assert google.paths().count("/token") == 2


def test_many_who_wait_for_an_access_token_ask_for_one(google):
    google.known[TOKEN] = (PACKAGE, verdict())

    async def eight(adapter):
        await asyncio.gather(*(adapter.decode(PACKAGE, TOKEN) for _ in range(8)))

    with opened(google) as adapter:
        asyncio.run(eight(adapter))
    assert google.paths().count("/token") == 1


ANSWERS = {
    "refused": (403, {}, b'{"error":{"code":403,"message":"a secret hint","status":"PERMISSION_DENIED"}}'),
    "not found": (404, {}, b"<html>"),
    "quota": (429, {}, b'{"error":{"status":"RESOURCE_EXHAUSTED"}}'),
    "broken": (500, {}, b""),
    "down": (503, {}, b"null"),
    "no JSON": (200, {}, b"<html>secret hint</html>"),
    "nothing": (200, {}, b""),
    "list": (200, {}, b"[]"),
    "deep": (200, {}, b"[" * 60_000),
    "empty": (200, {}, b"{}"),
    "other type": (200, {}, b'{"tokenPayloadExternal":"{}","access_token":1,"expires_in":3599}'),
    "header in it": (200, {}, b'{"access_token":"a\\r\\nX: y","expires_in":3599}'),
    "long token": (200, {}, json.dumps({"access_token": "a" * 9000, "expires_in": 3599}).encode()),
    "no end": (200, {}, b'{"access_token":"a","expires_in":"3599"}'),
    "created": (201, {}, b'{"tokenPayloadExternal":{},"access_token":"a","expires_in":3599}'),
    "redirect": (302, {"Location": "/elsewhere"}, b""),
    "moved": (307, {"Location": "https://example.com/"}, b""),
    "large": (
        200,
        {},
        json.dumps({"tokenPayloadExternal": {}, "access_token": "a", "expires_in": 9}).encode().ljust(65_537),
    ),
    "announced": (200, {"Content-Length": "99999999999"}, b"{}"),
    "cut": (200, {"Content-Length": "400"}, b'{"tokenPayloadExternal":{}}'),
    "packed": (200, {"Content-Encoding": "gzip"}, b"{}"),
}


@pytest.mark.parametrize("name", sorted(ANSWERS))
@pytest.mark.parametrize("path", ["/token", DECODE])
def test_an_answer_that_is_none_is_an_outage(google, path, name):
    """An outage is never a verdict, and what Google says in clear goes into no error."""
    google.known[TOKEN] = (PACKAGE, verdict())
    google.odd[path] = ANSWERS[name]
    clock = FixedClock()
    with opened(google, clock=clock) as adapter:
        assert _fails(adapter) in {Code.ANSWER, Code.UNREACHABLE}
        assert google.paths() == (["/token"] if path == "/token" else ["/token", DECODE])  # nothing was followed
        google.odd.clear()
        clock.advance(google_play.PAUSE)
        assert json.loads(_decode(adapter)) == verdict()


def test_nothing_is_asked_for_a_while_after_the_quota_is_used_up(google):
    google.known[TOKEN] = (PACKAGE, verdict())
    google.odd[DECODE] = ANSWERS["quota"]
    clock = FixedClock()
    with opened(google, clock=clock) as adapter:
        assert _fails(adapter) == Code.ANSWER
        google.odd.clear()
        clock.advance(google_play.PAUSE - 1)
        assert _fails(adapter) == Code.UNREACHABLE
        assert google.paths() == ["/token", DECODE]
        clock.advance(1)
        assert json.loads(_decode(adapter)) == verdict()


def test_googles_word_for_a_refusal_is_told(google):
    google.odd[DECODE] = ANSWERS["refused"]
    with opened(google) as adapter, pytest.raises(UnreachableError, match="status 403, PERMISSION_DENIED"):
        _decode(adapter)
    google.odd["/token"] = (400, {}, b'{"error":"invalid_grant","error_description":"a secret hint"}')
    with opened(google) as adapter, pytest.raises(UnreachableError, match="status 400, invalid_grant"):
        _decode(adapter)


def test_another_authority_is_not_believed(google):
    """A proxy between us and Google, with a certificate of its own."""
    other = issue(["127.0.0.1"], now=int(time.time())).authority.decode()
    with opened(google, authorities=other) as adapter:
        assert _fails(adapter) == Code.CERTIFICATE
    with contextlib.closing(
        GooglePlay(read_account(account_file()), CLOCK, token_url=f"{google.url}/token")
    ) as adapter:
        assert _fails(adapter) == Code.CERTIFICATE  # the machine's own authorities do not know it
    assert google.seen == []


def test_another_name_is_not_believed(google, monkeypatch):
    """The right authority, a certificate of another host."""
    monkeypatch.setattr("socket.getaddrinfo", _to_loopback(google))
    with opened(google, url="https://playintegrity.example.com:443") as adapter:
        assert _fails(adapter) == Code.CERTIFICATE
    assert google.seen == []


def _to_loopback(google):
    port = int(google.url.rpartition(":")[2])
    place = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))
    return lambda *_, **__: [place]


def test_nobody_there(google):
    with opened(google, url="https://127.0.0.1:1") as adapter:
        assert _fails(adapter) == Code.UNREACHABLE


@pytest.mark.parametrize("greets", [True, False])
def test_who_never_answers_is_not_waited_for(google, monkeypatch, greets):
    """One makes a TLS connection and says no more, the other takes the call and says nothing at all."""
    monkeypatch.setattr(google_play, "WAIT", 0.2)
    google.hold = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = google.url if greets else f"https://127.0.0.1:{silent.getsockname()[1]}"
        with opened(google, url=url) as adapter, pytest.raises(UnreachableError, match=r"the server|too slow"):
            _decode(adapter)


def test_a_question_has_an_end_even_where_each_step_has_time(google, monkeypatch):
    monkeypatch.setattr(google_play, "TOTAL", 0.2)
    google.hold = threading.Event()
    with opened(google) as adapter, pytest.raises(UnreachableError, match="Google did not answer in time"):
        _decode(adapter)


def test_more_questions_than_there_is_room_for_are_refused_at_once(google, monkeypatch):
    monkeypatch.setattr(google_play, "MAX_ASKING", 3)
    google.known[TOKEN] = (PACKAGE, verdict())
    google.hold = threading.Event()

    async def crowd(adapter):
        waiting = [asyncio.ensure_future(adapter.decode(PACKAGE, TOKEN)) for _ in range(3)]
        await asyncio.sleep(0)  # until each has its place
        with pytest.raises(UnreachableError) as caught:
            await adapter.decode(PACKAGE, TOKEN)
        google.hold.set()
        await asyncio.gather(*waiting)
        return caught.value.code

    with opened(google) as adapter:
        assert asyncio.run(crowd(adapter)) == Code.UNREACHABLE
        for _ in range(5):  # every place is free again
            assert json.loads(_decode(adapter)) == verdict()


def test_a_proxy_in_the_environment_is_not_asked(google, monkeypatch):
    google.known[TOKEN] = (PACKAGE, verdict())
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with opened(google) as adapter:
        assert json.loads(_decode(adapter)) == verdict()


def test_a_closed_adapter_asks_nobody(google):
    with opened(google) as adapter:
        adapter.close()
        assert _fails(adapter) == Code.UNREACHABLE
    assert google.seen == []


def test_neither_account_nor_adapter_print_a_key(google):
    with opened(google) as adapter:
        shown = repr(account()) + repr(adapter)
    assert "PRIVATE" not in shown
    assert "strongroom@example" in shown
    assert not re.search(r"[A-Za-z0-9_-]{40,}", shown)


def _encrypted():
    hidden = BestAvailableEncryption(b"passphrase")
    return rsa_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, hidden).decode()


NO_FILES = (b"", b"[]", b"\xff", b"null", b"[" * 9000, b'{"type":')
NO_FIELDS = {  # said in the error: changes of a good file; functions make keys when they are needed
    "JSON": ({"padding": "x" * 16_384},),
    '"type"': ({"type": "authorized_user"}, {"type": None}),
    "token_uri": ({"token_uri": "https://example.com/token"}, {"token_uri": 1}),
    "client_email": ({"client_email": None, "token_uri": None}, {"client_email": "me"}, {"client_email": ["a@b"]}),
    "private_key_id": ({"private_key_id": None}, {"private_key_id": 7}),
    '"private_key"': (
        {"private_key": None},
        {"private_key": 7},
        {"private_key": ""},
        {"private_key": "é"},
        {"private_key": lambda: pem(rsa_key())[:-200]},
        {"private_key": lambda: pem(rsa_key(1024))},
        {"private_key": lambda: pem(ec.generate_private_key(ec.SECP256R1()))},
        {"private_key": _encrypted},
    ),
}


@pytest.mark.parametrize("data", NO_FILES)
def test_a_file_that_is_no_object_is_no_account(data):
    with pytest.raises(SetupError, match="JSON"):
        read_account(data)


@pytest.mark.parametrize(("said", "changes"), [(said, one) for said, several in NO_FIELDS.items() for one in several])
def test_a_file_that_is_no_account_is_named_and_not_shown(said, changes):
    data = account_file(**{name: value() if callable(value) else value for name, value in changes.items()})
    with pytest.raises(SetupError, match=said) as caught:
        read_account(data, where="google.json")
    assert (caught.value.code, caught.value.where) == (Code.CONFIG, "google.json")
    assert caught.value.next_step
    assert "PRIVATE" not in str(caught.value)
    assert caught.value.__context__ is None or caught.value.__suppress_context__
