"""From a directory to an open office, and every way that can go wrong."""

import asyncio
import dataclasses
import shutil

import pytest
import structlog

from strongroom.errors import Code, IntegrityError, RefusedError, SetupError, StrongroomError
from strongroom.operator.keys import read_owner_key
from strongroom.server.initialise import init
from strongroom.server.settings import load
from strongroom.server.wiring import open_office, open_vault
from strongroom.signing import ED25519, Principal, Role, SigningKey
from strongroom.wire import trust

NOW = 1_800_000_000


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return init(tmp_path_factory.mktemp("wiring") / "room", now=NOW).directory


@pytest.fixture
def room(original, tmp_path):
    return shutil.copytree(original, tmp_path / "room")


def test_a_fresh_strongroom_opens(room):
    office = open_office(load(room), now=lambda: NOW)
    assert office.now() == NOW
    assert office.trust.version == len(office.trust_documents) == 1
    assert office.public_url == office.tokens.issuer == office.trust.server
    assert asyncio.run(office.ledger.healthy())
    asyncio.run(office.ledger.close())


def test_an_office_prints_no_secret(room):
    """R49: repr is what ends up in tracebacks and logs."""
    settings = load(room)
    ring = open_vault(settings)
    text = repr(open_office(settings))
    for secret in (ring.mac_key, ring.url_key, ring.release_signer.seed, ring.token_signer.seed, ring.deposit_key.seed):
        assert repr(secret)[2:-1] not in text


def _replace(name, old, new):
    def spoil(room):
        path = room / name
        path.write_bytes(path.read_bytes().replace(old, new))

    return spoil


def _other_order_key(room):
    """The owners named another order key: this keyring's wipe orders would be refused by every device."""
    path = room / "trust.json"
    named = Role(1, (Principal((SigningKey.generate(ED25519).public,)),))
    document = dataclasses.replace(trust.read(path.read_bytes()), order=named)
    path.write_bytes(trust.encode(document, read_owner_key(room / "owner/owner.key")))


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda room: (room / "keys/keyring.json").unlink(), Code.NOT_INITIALISED),
        (lambda room: (room / "keys/vault.key").unlink(), Code.NOT_INITIALISED),
        (lambda room: (room / "keys/vault.key").write_bytes(bytes(32)), Code.VAULT_SEALED),
        (lambda room: (room / "keys/vault.key").write_bytes(bytes(33)), Code.CONFIG),
        (lambda room: (room / "keys/vault.key").chmod(0o640), Code.PERMISSIONS),
        (lambda room: (room / "keys/keyring.json").chmod(0o644), Code.PERMISSIONS),
        (lambda room: (room / "keys/keyring.json").write_bytes(b"{}"), Code.VAULT_SEALED),
        (lambda room: (room / "trust.json").unlink(), Code.NOT_INITIALISED),
        (lambda room: (room / "trust.json").write_bytes(b"[]"), Code.SHAPE),
        (lambda room: (room / "database/strongroom.db").unlink(), Code.DATABASE),
        (lambda room: (room / "database/strongroom.db").write_bytes(b""), Code.DATABASE),
        (lambda room: (room / "objects").rmdir(), Code.NOT_INITIALISED),
        (_replace("strongroom.toml", b"localhost:8443", b"localhost:9443"), Code.CONFIG),
        (_other_order_key, Code.CONFIG),
        (_replace("strongroom.toml", b"key_file =", b"# key_file ="), Code.VAULT_SEALED),
    ],
    ids=[
        "no keyring",
        "no key file",
        "wrong key",
        "long key",
        "key for the group",
        "keyring for all",
        "empty keyring",
        "no trust",
        "empty trust",
        "no database",
        "empty database",
        "no objects",
        "other url than trusted",
        "other order key than trusted",
        "nothing to open with",
    ],
)
def test_what_is_missing_or_wrong_is_named(room, spoil, code):
    spoil(room)
    with pytest.raises(StrongroomError) as caught:
        open_office(load(room))
    assert caught.value.code == code
    assert isinstance(caught.value, (SetupError, IntegrityError))
    assert caught.value.next_step or isinstance(caught.value, IntegrityError)


def _database(room):
    return room / "database/strongroom.db"


@pytest.mark.parametrize(
    ("spoil", "what", "step"),
    [
        (lambda path: path.unlink(), "cannot be opened", "restore it from a backup"),
        (lambda path: path.write_bytes(b""), "is empty", "entitle nobody"),
        (lambda path: path.write_bytes(b"not a database, " * 512), "is damaged", "restore it from a backup"),
        (lambda path: path.write_bytes(path.read_bytes()[:5000]), "is damaged", "restore it from a backup"),
    ],
    ids=["missing", "empty", "foreign", "cut"],
)
def test_a_lost_database_is_restored_and_not_made_anew(room, spoil, what, step):
    """An empty ledger in the place of a lost one would look well and know no account, no version and no device."""
    spoil(_database(room))
    with pytest.raises(StrongroomError) as caught:
        open_office(load(room))
    assert (caught.value.code, caught.value.where) == (Code.DATABASE, str(_database(room)))
    assert what in caught.value.what
    assert step in caught.value.next_step
    assert "init" not in str(caught.value)


def test_what_works_but_not_as_it_seems_is_logged_at_the_start(room, monkeypatch):
    expires = open_office(load(room), now=lambda: NOW).trust.expires
    monkeypatch.setenv("STRONGROOM_LEASE_SECOND", "60")
    for now, expected in ((expires - 1, []), (expires, ["trust.json has expired: nothing is released or deposited"])):
        with structlog.testing.capture_logs() as lines:
            open_office(load(room), now=lambda now=now: now)
        warnings = [line["event"] for line in lines if line["log_level"] == "warning"]
        assert warnings[:-2] == expected
        assert "devices that prove nothing are served" in warnings[-2]
        assert "STRONGROOM_LEASE_SECONDS meant" in warnings[-1]


def test_proofs_older_than_the_process_are_not_believed(room):
    """Counters that just began know nothing of what was used before."""
    office = open_office(load(room), now=lambda: NOW)

    def once(made):
        return asyncio.run(office.counters.once(f"made {made}", made=made, expires=NOW + 60, now=NOW))

    assert (once(NOW - 1), once(NOW)) == (False, True)


def test_keyring_and_trust_of_two_strongrooms_do_not_mix(room, tmp_path):
    other = init(tmp_path / "other", now=NOW).directory
    shutil.copy(other / "trust.json", room / "trust.json")
    with pytest.raises(SetupError, match="release key"):
        open_office(load(room))


def test_a_passphrase_comes_from_a_file(tmp_path):
    room = init(tmp_path / "room", now=NOW, passphrase=b"correct horse battery").directory
    secret = tmp_path / "phrase"
    secret.write_bytes(b"correct horse battery\n")
    secret.chmod(0o600)
    assert open_vault(load(room, passphrase_file=secret))
    secret.write_bytes(b"wrong horse battery\n")
    with pytest.raises(SetupError) as caught:
        open_vault(load(room, passphrase_file=secret))
    assert caught.value.code == Code.VAULT_SEALED
    assert "horse" not in str(caught.value)
    assert open_vault(load(room, passphrase_file=secret), passphrase=b"correct horse battery")


def _second_trust(room, **changes):
    first = trust.read((room / "trust.json").read_bytes())
    owners = read_owner_key(room / "owner/owner.key")
    second = trust.encode(dataclasses.replace(first, version=2, **changes), owners)
    (room / "trust.json").rename(room / "trust.1.json")
    (room / "trust.json").write_bytes(second)


def test_every_trust_document_is_served_in_order(room):
    _second_trust(room)
    office = open_office(load(room))
    documents = [trust.read(trust.join(one)) for one in office.trust_documents]
    assert [one.version for one in documents] == [1, 2]
    assert office.trust == documents[-1]


def test_a_gap_in_the_trust_documents_is_named(room, tmp_path):
    _second_trust(room)
    (room / "trust.1.json").unlink()
    with pytest.raises(SetupError) as caught:
        open_office(load(room))
    assert caught.value.where.endswith("trust.1.json")
    other = init(tmp_path / "other", now=NOW).directory
    shutil.copy(other / "trust.json", room / "trust.1.json")
    with pytest.raises(IntegrityError) as caught:
        open_office(load(room))
    assert caught.value.code == Code.TRUST_THRESHOLD


def test_a_chain_of_any_length_is_followed(room, monkeypatch):
    """More documents than a device follows in one answer; every one of them is checked all the same."""
    monkeypatch.setattr(trust, "MAX_STEPS", 2)
    owners = read_owner_key(room / "owner/owner.key")
    first = trust.read((room / "trust.json").read_bytes())
    for version in range(1, 7):
        name = f"trust.{version}.json" if version < 6 else "trust.json"
        (room / name).write_bytes(trust.encode(dataclasses.replace(first, version=version), owners))
    assert len(open_office(load(room)).trust_documents) == 6
    (room / "trust.5.json").write_bytes((room / "trust.4.json").read_bytes())
    with pytest.raises(RefusedError):
        open_office(load(room))


@pytest.mark.parametrize("name", ["keys/keyring.json", "keys/vault.key", "trust.json", "trust.1.json"])
def test_what_is_lost_comes_back_from_the_backup(room, name):
    """`init` would make another strongroom, to which no device belongs."""
    _second_trust(room)
    (room / name).unlink()
    with pytest.raises(SetupError) as caught:
        open_office(load(room))
    assert "backup" in caught.value.next_step
    assert "strongroom init" not in str(caught.value)
