"""What a caller gives: typed refusals that name the caller's own file and what to do, and repeat no secret."""

import dataclasses
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from rooms.edge.memory_office import SERVER, USER_TOKEN, Device, MemoryOffice, problem
from strongroom import connect, signing
from strongroom.edge import client, given
from strongroom.edge.keystore.file import FileKeystore
from strongroom.errors import (
    Code,
    InputError,
    IntegrityError,
    RefusedError,
    SetupError,
    StrongroomError,
    UnreachableError,
)
from strongroom.server import certificates
from strongroom.signing import SigningKey
from strongroom.wire import trust


def opened(
    device: Device, *, token: str | None = None, named: Path | None = None, connector: object = None
) -> client.Room:
    """A room by `--trust FILE`, without a trust.json in the directory."""
    return client.open_room(
        device.home,
        FileKeystore(device.home / "keystore"),
        url=SERVER,
        token=token,
        trust=named,
        connector=connector or (lambda _: device.office),
        clocks=device.clocks,
    )


@pytest.fixture
def document(tmp_path: Path, office: MemoryOffice) -> Path:
    path = tmp_path / "given.json"
    path.write_bytes(office.trust_documents[0])
    return path


@pytest.mark.parametrize("kind", ["fifo", "directory", "device", "absent", "huge", "huge link"])
def test_a_trust_file_that_is_none(device, tmp_path, kind):
    """Nothing but a regular file of a legal size is read: a FIFO must not hang the start for ever."""
    path = tmp_path / "trust"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    elif kind == "device":
        path = Path("/dev/zero")
    elif kind.startswith("huge"):
        with path.open("wb") as file:
            file.truncate(trust.MAX_SIZE + 1)
        if kind == "huge link":
            (tmp_path / "link").symlink_to(path)
            path = tmp_path / "link"
    with pytest.raises(InputError) as caught:
        opened(device, named=path)
    assert caught.value.code in {Code.PATH, Code.TOO_LARGE}
    assert str(path) in caught.value.where
    assert caught.value.next_step


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'["a.b.c"]', b"\0" * 50])
def test_a_trust_file_that_nobody_signed(device, tmp_path, data):
    """The error names the file that was given, not a word of the protocol."""
    path = tmp_path / "mine.json"
    path.write_bytes(data)
    with pytest.raises(IntegrityError) as caught:
        opened(device, named=path)
    assert caught.value.where == str(path)
    assert "trust.json" in caught.value.next_step
    device.room(token=None)
    (device.home / "trust.json").write_bytes(data)
    with pytest.raises(IntegrityError) as own:
        opened(device)
    assert own.value.where == str(device.home / "trust.json")


def test_another_strongrooms_trust(device, tmp_path, document):
    """A device that follows one strongroom is told so, and what to do, whatever the other's version is."""
    opened(device, token=USER_TOKEN, named=document)
    stranger = MemoryOffice(owner=SigningKey.generate(signing.ED25519))
    for _ in range(3):
        path = tmp_path / "other.json"
        path.write_bytes(stranger.trust_documents[-1])
        with pytest.raises(RefusedError) as caught:
            opened(device, named=path)
        assert caught.value.code == Code.TRUST_VERSION
        assert "another strongroom" in caught.value.what
        assert caught.value.where == str(path)
        assert "home" in caught.value.next_step
        stranger.new_trust()


def test_an_older_and_a_far_newer_trust(device, office, tmp_path, document):
    opened(device, token=USER_TOKEN, named=document)
    for _ in range(3):
        office.new_trust()
    path = tmp_path / "third.json"
    path.write_bytes(office.trust_documents[2])
    with pytest.raises(RefusedError) as caught:
        opened(device, named=path)
    assert "leave it out" in caught.value.next_step
    second = tmp_path / "second.json"
    second.write_bytes(office.trust_documents[1])
    assert opened(device, named=second).trust.version == 2
    assert opened(device, named=document).trust.version == 2  # a program goes on naming the document it began with
    office.trust = dataclasses.replace(office.trust, version=1, expires=office.trust.expires - 1)
    office.new_trust()
    second.write_bytes(office.trust_documents[-1])
    with pytest.raises(RefusedError) as caught:
        opened(device, named=second)
    assert "version 2" in caught.value.next_step
    assert caught.value.where == str(second)


@pytest.mark.parametrize("code", [Code.PIN_MISMATCH, Code.CERTIFICATE])
def test_a_server_that_is_not_the_documents(device, document, code):
    """The likely cause is the wrong trust.json, so it is named."""

    def refuse(*_: object, **__: object) -> None:
        raise UnreachableError(code, "no", next_step="check the clock")

    with pytest.raises(UnreachableError) as caught:
        opened(device, token=USER_TOKEN, named=document, connector=lambda _: SimpleNamespace(request=refuse))
    assert caught.value.code == code
    assert str(document) in caught.value.next_step
    assert "check the clock" in caught.value.next_step


def test_another_users_device(device, office, document):
    real = office._enrol
    office._enrol = lambda *_: problem(409, Code.CONFLICT)
    with pytest.raises(StrongroomError) as caught:
        opened(device, token=USER_TOKEN, named=document)
    assert caught.value.code == Code.CONFLICT
    assert "another device directory" in caught.value.next_step
    office._enrol = real
    assert opened(device, token=USER_TOKEN, named=document).enrolled


def test_a_refused_first_enrolment_can_be_repeated(device, office, document):
    """What was left is whole: the same call works, and so does one that leaves the document out."""
    with pytest.raises(StrongroomError):
        opened(device, token="not.the.token", named=document)
    with pytest.raises(SetupError) as caught:
        opened(device).pull("digits")
    assert caught.value.code == Code.NOT_ENROLLED
    key = (device.home / "keystore" / "device.key").read_bytes()
    assert opened(device, token=USER_TOKEN).enrolled
    assert (device.home / "keystore" / "device.key").read_bytes() == key
    assert opened(device, token=USER_TOKEN, named=document).enrolled


@pytest.mark.parametrize(
    "url",
    ["https://ada:s3cret@office.test:8443", "https://office.test:8443/?token=s3cret", "s3cret", "https://s3cret@"],
)
def test_a_url_with_a_password_is_not_repeated(device, url):
    with pytest.raises(InputError) as caught:
        device.room(url=url)
    assert "s3cret" not in str(caught.value)
    assert SERVER in caught.value.next_step


@pytest.mark.parametrize("where", ["home", "trust"])
@pytest.mark.parametrize("value", ["~no-such-user-here/x", "a\0b", 5, b"bytes", ["x"]])
def test_a_path_that_none_can_be(tmp_path, where, value):
    arguments = {"home": tmp_path / "device", where: value}
    with pytest.raises(InputError) as caught:
        connect(**arguments)
    assert caught.value.code == (Code.PATH if isinstance(value, str) else Code.ARGUMENT)
    assert caught.value.next_step
    assert not (tmp_path / "device").exists()


def test_arguments_of_another_type(device):
    """A typed refusal for each, and nothing of it said again."""
    room = device.room()
    calls = (
        lambda: connect(5, home=device.home),
        lambda: connect(home=device.home, token=5),
        lambda: room.enrol(None),
        lambda: room.enrol(b"token"),
        lambda: room.pull(5),
        lambda: room.pull(None),
        lambda: room.pull("digits", progress=5),
        lambda: room.load(b"digits").__enter__(),
        lambda: room.load("digits", offline="never").__enter__(),
        lambda: room.load("digits", offline=[]).__enter__(),
        lambda: device.room(token=b"x"),
        lambda: device.room(url=b"x"),
    )
    for call in calls:
        with pytest.raises(InputError) as caught:
            call()
        assert caught.value.code == Code.ARGUMENT
        assert caught.value.next_step


def test_the_default_directory(monkeypatch, tmp_path):
    monkeypatch.delenv("STRONGROOM_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert given.home(None) == tmp_path / ".local" / "share" / "strongroom"
    monkeypatch.setenv("STRONGROOM_HOME", "~/other")
    assert given.home(None) == tmp_path / "other"
    assert given.directory(tmp_path, "home") == tmp_path


def pem() -> bytes:
    return certificates.issue(["chip.test"], now=1_800_000_000).authority


@pytest.mark.parametrize("kind", ["absent", "fifo", "directory", "huge", "empty", "no certificate", "half of one"])
def test_issuers_of_a_tpm_that_are_none(tmp_path, kind):
    path = tmp_path / "issuers.pem"
    make = {
        "fifo": lambda: os.mkfifo(path),
        "directory": path.mkdir,
        "huge": lambda: path.write_bytes(b" " * 65_537),
        "empty": lambda: path.write_bytes(b""),
        "no certificate": lambda: path.write_bytes(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        "half of one": lambda: path.write_bytes(pem()[:200]),
    }
    make.get(kind, lambda: None)()
    with pytest.raises(InputError) as caught:
        connect(home=tmp_path / "device", tpm="/dev/none", tpm_issuers=path)
    assert caught.value.code in {Code.PATH, Code.TOO_LARGE, Code.ARGUMENT}
    assert str(path) in caught.value.where
    assert caught.value.next_step


@pytest.mark.parametrize(
    "said",
    [{"pcrs": [7]}, {"tpm_issuers": "issuers.pem"}, {"pcrs": "7"}, {"pcrs": [True]}, {"pcrs": 7},
     {"pcrs": [24], "tpm": "/dev/none"}, {"pcrs": [7], "tpm": "/dev/none", "attestor": SimpleNamespace(kind="tpm")}],
    ids=["no TPM", "issuers of none", "text", "a truth", "a number", "no such register", "another attestor"],
)  # fmt: skip
def test_what_is_said_of_a_tpm_that_does_not_vouch(tmp_path, monkeypatch, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "issuers.pem").write_bytes(pem() * 2)
    assert len(given.certificates("issuers.pem", "tpm_issuers")) == 2
    with pytest.raises(InputError) as caught:
        connect(home=tmp_path / "device", **said)
    assert caught.value.code == Code.ARGUMENT
    assert caught.value.next_step
