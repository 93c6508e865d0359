"""`strongroom init`: everything at once or nothing, private, and fitting together."""

import asyncio
import hashlib
import ipaddress
import os
import ssl
import stat
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from strongroom.errors import Code, InputError, SetupError, StoreError, StrongroomError
from strongroom.server import initialise, new_directory
from strongroom.server.initialise import init
from strongroom.server.ledger import current, head
from strongroom.server.ledger.engine import sqlite_url
from strongroom.server.ledger.sql import SqlLedger
from strongroom.server.settings import load
from strongroom.server.tokens import hash_token
from strongroom.server.wiring import open_vault
from strongroom.signing import ED25519, ML_DSA_65
from strongroom.wire import trust

NOW = 1_800_000_000
FILES = {
    "strongroom.toml",
    "attestation.toml",
    "risk.toml",
    "database/strongroom.db",
    "keys/keyring.json",
    "keys/vault.key",
    "owner/owner.key",
    "trust.json",
    "tls/ca.pem",
    "tls/server.pem",
    "tls/server.key",
    "tls/backup.pem",
    "tls/backup.key",
    "admin.token",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("init") / "room"
    return init(folder, now=NOW, hosts=["models.example.com", "10.0.0.7"])


def test_the_directory_is_the_described_one_and_private_whatever_the_umask(tmp_path):
    for mask in (0, 0o777):
        folder = tmp_path / f"room{mask}"
        before = os.umask(mask)
        try:
            init(folder, now=NOW)
        finally:
            os.umask(before)
        paths = [folder, *folder.rglob("*")]
        assert {str(path.relative_to(folder)) for path in paths if path.is_file()} == FILES
        assert {str(path.relative_to(folder)) for path in paths[1:] if path.is_dir()} == set(initialise._DIRECTORIES)
        assert all(stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600) for path in paths)
        assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_the_certificates_fit_the_hosts_and_the_pins(made):
    """R60, R79: own authority, P-256, a backup pin whose key is there to take over."""
    tls = made.directory / "tls"
    authority = x509.load_pem_x509_certificate((tls / "ca.pem").read_bytes())
    for name, spki in zip(("server", "backup"), made.spki, strict=True):
        certificate = x509.load_pem_x509_certificate((tls / f"{name}.pem").read_bytes())
        certificate.verify_directly_issued_by(authority)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.DNSName) == ["models.example.com", "localhost"]
        addresses = ["10.0.0.7", "127.0.0.1", "::1"]
        assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address(one) for one in addresses]
        key = serialization.load_pem_private_key((tls / f"{name}.key").read_bytes(), None)
        assert key.public_key() == certificate.public_key()
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        assert spki == hashlib.sha256(key.public_key().public_bytes(serialization.Encoding.DER, form)).digest()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls / f"{name}.pem", tls / f"{name}.key")
    assert made.spki[0] != made.spki[1]
    assert not list(tls.glob("ca*key"))


def test_python_itself_accepts_the_certificate_strictly(tmp_path):
    tls = init(tmp_path / "room", now=int(time.time()), hosts=["models.example.com"]).directory / "tls"
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tls / "server.pem", tls / "server.key")
    client = ssl.create_default_context(cafile=str(tls / "ca.pem"))
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(back, there, server_hostname="models.example.com")
    theirs = server.wrap_bio(there, back, server_side=True)
    for _ in range(4):
        for side in (ours, theirs):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    assert ours.version() == "TLSv1.3"


def test_the_trust_file_names_the_keys_that_were_made(made):
    document = trust.read(made.trust.read_bytes())
    ring = open_vault(load(made.directory))
    assert (document.version, document.server) == (1, made.public_url)
    assert document.expires > NOW
    assert [pin.host for pin in document.pins] == sorted(
        ["models.example.com", "10.0.0.7", "localhost", "127.0.0.1", "::1"]
    )
    assert all(pin.spki == made.spki for pin in document.pins)
    assert all(pin.ca == (made.directory / "tls/ca.pem").read_text() for pin in document.pins)
    assert [key.alg for key in document.owner.principals[0].keys] == [ED25519, ML_DSA_65]
    assert document.owner.threshold == document.release.threshold == document.order.threshold == 1
    assert document.release.key(ring.release_signer.public.key_id) is not None
    assert document.order.key(ring.order_signer.public.key_id) is not None
    assert document.recipient(NOW).key == ring.deposit_key.public
    assert document.recipient(NOW).kem == ring.deposit_key.kem


def test_the_owner_key_signs_what_trust_demands(made):
    from strongroom.operator.keys import read_owner_key

    keys = read_owner_key(made.owner_key)
    document = trust.read(made.trust.read_bytes())
    assert document.owner.satisfied({key.public.key_id for key in keys})
    assert not document.owner.satisfied({keys[0].public.key_id})


def test_the_first_admin_can_be_found_by_the_token_in_its_file(made):
    url = sqlite_url(made.directory / "database/strongroom.db")
    assert current(url) == head()
    token = made.admin_token.read_text()
    assert token.endswith("\n")

    async def look():
        ledger = SqlLedger.open(url)
        async with ledger.begin() as tx:
            found = await tx.operator_by_token(hash_token(token.strip())), await tx.audit()
        await ledger.close()
        return found

    operator, ((_, line),) = asyncio.run(look())
    assert (operator.name, operator.role, operator.state, operator.created) == ("admin", "admin", "active", NOW)
    assert (line.event, line.at, line.subject) == ("strongroom.initialised", NOW, operator.id)


def test_no_secret_lies_outside_its_file(made):
    ring = open_vault(load(made.directory))
    token = made.admin_token.read_bytes().strip()
    secrets = [token, ring.mac_key, ring.url_key, ring.release_signer.seed, *ring.wrapping.values()]
    secrets += [(made.directory / "keys/vault.key").read_bytes()]
    for path in made.directory.rglob("*"):
        if path.is_file() and path.name not in {"admin.token", "vault.key"}:
            data = path.read_bytes()
            assert not [secret for secret in secrets if secret in data], path.name
    assert token.decode() not in repr(made)


def test_its_settings_can_be_loaded_and_are_explained(made):
    settings = load(made.directory)
    assert (settings.public_url, settings.admin_url) == (made.public_url, made.admin_url)
    assert made.public_url == "https://models.example.com:8443"
    assert (settings.device_host, settings.admin_host) == ("0.0.0.0", "127.0.0.1")  # noqa: S104 - named hosts want to be reached
    text = made.config.read_text()
    assert "@" not in text
    for name in type(settings).model_fields:
        assert name in text, f"{name} is not in the template"


def test_every_commented_value_is_the_default(made, tmp_path):
    text = made.config.read_text()
    lines = [line.removeprefix("# ") for line in text.splitlines() if line.startswith("# ") and " = " in line]
    lines = [line for line in lines if not line.startswith(("passphrase_file", "alert_"))]  # examples: no default
    (tmp_path / "strongroom.toml").write_text("\n".join(lines))
    settings = load(tmp_path)
    for name in (line.split(" = ")[0] for line in lines):
        assert getattr(settings, name) == type(settings).model_fields[name].default


def test_a_passphrase_leaves_no_key_file(tmp_path):
    made = init(tmp_path / "room", now=NOW, passphrase=b"correct horse battery")
    assert not (made.directory / "keys/vault.key").exists()
    settings = load(made.directory)
    assert open_vault(settings, passphrase=b"correct horse battery")
    with pytest.raises(SetupError) as caught:
        open_vault(settings)
    assert caught.value.code == Code.VAULT_SEALED
    assert all(b"correct horse" not in path.read_bytes() for path in made.directory.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", ["phrase", 'a "quoted" \\ name', "tab\there", "ü\x7f"])
def test_the_passphrase_file_is_named_but_never_written(tmp_path, name):
    phrase = tmp_path / name
    phrase.write_bytes(b"correct horse battery\n")
    phrase.chmod(0o600)
    made = init(tmp_path / "room", now=NOW, passphrase=b"correct horse battery", passphrase_file=phrase)
    settings = load(made.directory)
    assert settings.passphrase_file == phrase
    assert open_vault(settings)


def test_an_empty_directory_is_filled_and_stays_the_same_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = tmp_path.stat().st_ino
    made = init(tmp_path, now=NOW)
    assert tmp_path.stat().st_ino == before
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()} == FILES
    assert made.directory == tmp_path
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def _file(folder):
    folder.write_text("mine")


def _filled(folder):
    folder.mkdir()
    (folder / "mine").write_text("mine")


@pytest.mark.parametrize(
    "prepare",
    [_file, _filled, lambda folder: folder.symlink_to("nowhere"), lambda folder: init(folder, now=NOW)],
    ids=["a file", "a full directory", "a link", "a strongroom"],
)
def test_what_is_there_is_never_touched(tmp_path, prepare):
    folder = tmp_path / "room"
    prepare(folder)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(InputError) as caught:
        init(folder, now=NOW)
    assert caught.value.code == Code.ALREADY_THERE
    assert caught.value.next_step
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("exists", [False, True], ids=["new", "into an empty directory"])
@pytest.mark.parametrize("step", ["strongroom.toml", "trust.json", "ca.pem", "keyring.json", "admin.token", "place"])
def test_a_failure_at_any_step_leaves_nothing(tmp_path, monkeypatch, step, exists):
    folder = tmp_path / "room"
    if exists:
        folder.mkdir()
    write, rename = new_directory.write, type(folder).rename

    def failing_write(path, data):
        if path.name == step:
            raise OSError(28, "No space left on device")
        write(path, data)

    def failing_rename(path, target):
        if step == "place" and path.name == ("strongroom.toml" if exists else path.name):
            raise OSError(5, "Input/output error")
        return rename(path, target)

    monkeypatch.setattr(initialise, "write", failing_write)
    monkeypatch.setattr(type(folder), "rename", failing_rename)
    with pytest.raises(StoreError) as caught:
        init(folder, now=NOW)
    assert caught.value.code == Code.STORE_IO
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == (["room"] if exists else [])


@pytest.mark.parametrize(
    "host", ["", "https://h", "h:1", "a b", "-a", "a..b", "h/../x", "1.2.3", "1.2.3.4.5", "ü.de", "x" * 64, "*", "a\n"]
)
def test_a_bad_host_is_refused_before_anything_is_made(tmp_path, host):
    with pytest.raises(InputError) as caught:
        init(tmp_path / "room", now=NOW, hosts=[host])
    assert caught.value.code == Code.ARGUMENT
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [{"device_port": 0}, {"admin_port": 65_536}, {"device_port": 8444}, {"passphrase": b"short"}],
    ids=["port 0", "port too large", "one port for both", "short passphrase"],
)
def test_a_bad_argument_is_refused_and_leaves_nothing(tmp_path, arguments):
    with pytest.raises(StrongroomError) as caught:
        init(tmp_path / "room", now=NOW, **arguments)
    assert caught.value.next_step or caught.value.code == Code.ARGUMENT
    assert list(tmp_path.iterdir()) == []


def test_a_missing_parent_is_named(tmp_path):
    with pytest.raises(InputError, match="parent"):
        init(tmp_path / "a" / "b", now=NOW)


def test_an_address_of_version_6_is_bracketed_in_urls(tmp_path):
    made = init(tmp_path / "room", now=NOW, hosts=["FD00::1"], device_port=1, admin_port=2)
    assert (made.public_url, made.admin_url) == ("https://[fd00::1]:1", "https://[fd00::1]:2")
