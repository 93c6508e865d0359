"""One alert and one webhook: what is sent, how it is signed, whom it is sent to, and what answers it survives."""

import asyncio
import base64
import hashlib
import hmac
import json
import threading

import pytest

from protocol_client import Bench, run
from strongroom.errors import Code, SetupError, UnreachableError
from strongroom.server import wiring
from strongroom.server.alerts import webhook
from strongroom.server.alerts.alert import MAX_BODY, Alert, new_alert
from strongroom.server.alerts.webhook import Webhook, is_url, read_secrets, sign, tls_context
from strongroom.server.settings import load
from webhook_receivers import AUTHORITY, MADE, SECRET, Receiver, listening, status, tls

NOW = 1_800_000_000
BODY = b'{"data":{},"timestamp":"2027-01-15T08:00:00Z","type":"alert.test"}'


@pytest.fixture
def receiver(tmp_path):
    with listening(Receiver(), tls(tmp_path)) as found:
        yield found


def send(receiver, *, secrets=(SECRET,), url=None, authority=AUTHORITY):
    hook = Webhook(url or receiver.url, secrets, tls_context(authority))
    asyncio.run(hook.send("alr_1", BODY, now=NOW))


def refused(receiver, **options):
    with pytest.raises(UnreachableError) as caught:
        send(receiver, **options)
    assert "/alerts" not in str(caught.value)
    return caught.value


def test_the_signature_is_the_one_of_the_standard():
    """A vector that the reference libraries of Standard Webhooks test with."""
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signed = sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_body_arrives_byte_for_byte_and_signed(receiver):
    send(receiver)
    (told,) = receiver.told
    assert (told.path, told.body) == ("/alerts?room=1", BODY)
    signed = b"alr_1." + str(NOW).encode() + b"." + BODY
    mac = base64.b64encode(hmac.new(SECRET, signed, hashlib.sha256).digest()).decode()
    wanted = {"webhook-id": "alr_1", "webhook-timestamp": str(NOW), "webhook-signature": f"v1,{mac}"}
    assert {name: told.headers[name] for name in wanted} == wanted
    assert told.headers["content-type"] == "application/json"
    assert told.headers["host"] == f"localhost:{receiver.port}"


def test_two_secrets_make_two_signatures(receiver):
    """So that a secret can be changed while alerts go on."""
    other = bytes(32)
    send(receiver, secrets=(SECRET, other))
    given = receiver.told[0].headers["webhook-signature"].split(" ")
    assert given == [sign(one, "alr_1", NOW, BODY) for one in (SECRET, other)]


@pytest.mark.parametrize("code", [200, 201, 202, 204, 299])
def test_every_2xx_is_taken(receiver, code):
    receiver.answer = lambda _: status(code)
    send(receiver)


@pytest.mark.parametrize("code", [300, 400, 401, 404, 410, 429, 500, 503])
def test_every_other_status_is_a_failure(receiver, code):
    receiver.answer = lambda _: status(code, body=b"a hint that is nobody's concern")
    error = refused(receiver)
    assert (error.code, error.what) == (Code.ANSWER, f"the webhook answered with status {code}")


@pytest.mark.parametrize("code", [301, 302, 307, 308])
def test_a_redirect_is_never_followed(receiver, code):
    """E17: whoever answers for the webhook cannot send our requests elsewhere."""
    receiver.answer = lambda told: (
        status(200) if told.path == "/b" else status(code, f"Location: https://localhost:{receiver.port}/b")
    )
    refused(receiver)
    assert [one.path for one in receiver.told] == ["/alerts?room=1"]


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 20\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 200" + b"x" * 100_000,
        b"HTTP/1.1 103 Early Hints\r\n" + b"Link: x\r\n" * 100_000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000,
        b"\x00" * 1_000_000,
    ],
    ids=["nothing", "ssh", "http2", "short", "long", "endless line", "endless head", "endless hints", "zeros"],
)
def test_what_is_no_answer_is_a_failure(receiver, answer):
    receiver.answer = lambda _: answer
    assert refused(receiver).code in {Code.ANSWER, Code.UNREACHABLE}


def test_interim_answers_are_passed_over(receiver):
    receiver.answer = lambda _: b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" + status(200)
    send(receiver)


def test_a_huge_answer_is_not_read(receiver):
    """The status is all that counts: the connection is dropped behind it."""
    receiver.answer = lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 9000000000\r\n\r\n" + bytes(1_000_000)
    send(receiver)


def test_a_webhook_that_never_answers_ends(receiver, monkeypatch):
    monkeypatch.setattr(webhook, "TOTAL", 0.3)
    hold = threading.Event()
    receiver.answer = lambda _: status(200) if hold.wait(20) else b""
    assert refused(receiver).what == "the webhook did not answer in time"
    hold.set()


def test_a_certificate_of_nobody_we_believe_is_refused(receiver):
    error = refused(receiver, authority=None)
    assert error.code == Code.CERTIFICATE
    assert receiver.told == []


def test_a_certificate_for_another_name_is_refused(receiver):
    """The authority is right, the name is not: 0.0.0.0 leads to this machine too."""
    error = refused(receiver, url=f"https://0.0.0.0:{receiver.port}/")
    assert error.code == Code.CERTIFICATE
    assert receiver.told == []


def test_a_proxy_of_the_environment_is_not_used(receiver, monkeypatch):
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    send(receiver)
    assert len(receiver.told) == 1


@pytest.mark.parametrize(
    "url", ["https://a.example", "https://a.example:8443/x/y?z=1", "https://[::1]:9/", "https://10.0.0.1/"]
)
def test_urls_that_can_be_told(url):
    assert is_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://a.example/",
        "https://",
        "https://A.example/",
        "https://ann:secret@a.example/",
        "https://a.example/#x",
        "https://a.example:99999/",
        "https://a.example:0/",
        "https://a.example/a b",
        "https://a.example/a\r\nHost: b",
        "https://a.example/\u00e9",
        "https://a.example/" + "a" * 1001,
        "file:///etc/passwd",
    ],
)
def test_urls_that_cannot(url):
    assert not is_url(url)


def test_secrets_are_read_and_never_shown():
    lines = b"whsec_" + base64.b64encode(SECRET) + b"\n\nwhsec_" + base64.b64encode(bytes(24)) + b"\r\n"
    assert read_secrets(lines, where="f") == (SECRET, bytes(24))
    hook = Webhook("https://a.example/T0P5ECRET", (SECRET,), tls_context(None))
    assert "T0P5ECRET" not in repr(hook)
    assert repr(SECRET) not in repr(hook)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"whsec_",
        b"whsec_" + base64.b64encode(bytes(23)),
        b"whsec_" + base64.b64encode(bytes(65)),
        b"whpk_" + base64.b64encode(bytes(32)),
        base64.b64encode(bytes(32)),
        b"whsec_!!!!" + base64.b64encode(bytes(32)),
        b"whsec_" + base64.b64encode(bytes(32)) + b"\nand a note",
        b"\n".join([b"whsec_" + base64.b64encode(bytes(32))] * 5),
        bytes(range(256)),
    ],
)
def test_what_is_no_file_of_secrets_is_refused_unrepeated(data):
    with pytest.raises(SetupError) as caught:
        read_secrets(data, where="alert.secret")
    assert caught.value.code == Code.CONFIG
    assert base64.b64encode(bytes(23)).decode() not in str(caught.value)
    assert "note" not in str(caught.value)


def settings(folder, lines):
    (folder / "strongroom.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return load(folder)


def test_settings_open_a_webhook(tmp_path, receiver):
    secret = tmp_path / "alert.secret"
    secret.touch(0o600)
    secret.write_bytes(b"whsec_" + base64.b64encode(SECRET) + b"\n")
    (tmp_path / "ca.pem").write_bytes(MADE.authority)
    lines = [f'alert_url = "{receiver.url}"', 'alert_secret_file = "alert.secret"', 'alert_ca_file = "ca.pem"']
    hook = wiring.open_webhook(settings(tmp_path, lines))
    asyncio.run(hook.send("alr_2", BODY, now=NOW))
    assert receiver.told[0].headers["webhook-signature"] == sign(SECRET, "alr_2", NOW, BODY)
    assert wiring.open_webhook(settings(tmp_path, [])) is None


@pytest.mark.parametrize(
    ("lines", "mode", "code"),
    [
        (['alert_url = "https://a.example/"'], 0o600, Code.CONFIG),
        (['alert_url = "https://a.example/"', 'alert_secret_file = "absent"'], 0o600, Code.NOT_INITIALISED),
        (['alert_url = "https://a.example/"', 'alert_secret_file = "secret"'], 0o640, Code.PERMISSIONS),
        (
            ['alert_url = "https://a.example/"', 'alert_secret_file = "secret"', 'alert_ca_file = "secret"'],
            0o600,
            Code.CONFIG,
        ),
    ],
    ids=["no secret", "absent", "readable by others", "no certificates"],
)
def test_settings_that_cannot_work_stop_the_start(tmp_path, lines, mode, code):
    (tmp_path / "secret").write_bytes(b"whsec_" + base64.b64encode(SECRET))
    (tmp_path / "secret").chmod(mode)
    with pytest.raises(SetupError) as caught:
        wiring.open_webhook(settings(tmp_path, lines))
    assert caught.value.code == code
    assert caught.value.next_step


def test_a_wrong_url_is_told_with_its_line(tmp_path):
    with pytest.raises(SetupError) as caught:
        settings(tmp_path, ["", 'alert_url = "http://a.example/x"'])
    assert caught.value.where.endswith("strongroom.toml line 2")
    assert "https://HOST/PATH" in caught.value.what


def test_one_alert_an_hour_about_the_same():
    async def story(bench: Bench) -> None:
        def made(at, who="dev_1", what=Alert.DECOY_HIT):
            return new_alert(bench.office, what, at, about=("dcy_1", who), explain=who, kind="endpoint")

        async with bench.office.ledger.begin() as tx:
            hour = NOW - NOW % 3600
            assert await tx.add_alert(made(hour))
            assert not await tx.add_alert(made(hour + 3599))
            assert await tx.add_alert(made(hour + 3600))
            assert await tx.add_alert(made(hour, who="dev_2"))
            assert await tx.add_alert(made(hour, what=Alert.DECOY_FETCHED))
            assert len(await tx.alerts()) == 4

    run(story)


def test_an_alert_is_a_payload_of_the_standard():
    async def story(bench: Bench) -> None:
        row = new_alert(bench.office, Alert.DECOY_HIT, NOW, about=("x" * 300,), explain="dev_1", decoy="dcy_1")
        assert json.loads(row.body) == {
            "type": "decoy.hit",
            "timestamp": "2027-01-15T08:00:00Z",
            "data": {"decoy": "dcy_1", "next": "strongroom risk explain dev_1"},
        }
        assert (row.attempts, row.due, row.sent, row.given_up) == (0, NOW, None, None)
        assert len(row.key) <= 256
        with pytest.raises(ValueError, match="at most"):
            new_alert(bench.office, Alert.DECOY_HIT, NOW, about=("x",), text="a" * MAX_BODY)

    run(story)
