"""B27: what the theft of each thing the office keeps gives: bucket, database, vault, token, URL, deposit and TLS keys.

The thief has exactly the bytes that the test hands him, and tries what can be tried with them.
"""

import contextlib
import os
import sqlite3
from dataclasses import replace

import pytest

from attacks.proxying import Proxy
from attacks.thieving import WEIGHTS, Embedded, contents, context_of, key_of, rows, spellings
from strongroom import sealed
from strongroom.canonical import decode, from_base64url
from strongroom.errors import Code, DeniedError, StrongroomError
from strongroom.sealed.readable import BytesReadable
from strongroom.server import tokens
from strongroom.server.stores.folder import FolderStore
from strongroom.server.vaults.keyring import Keyring
from strongroom.wire import hpke, jws
from strongroom.wire.messages import Grant, ReleaseAnswer
from strongroom.wire.trust import read
from strongroom_in_memory import DEVICES


@pytest.fixture
def street(tmp_path):
    with Embedded(tmp_path) as street:
        yield street


@pytest.fixture
def mek(street):
    """The key of digits 1.0, which alice's phone has pulled."""
    made = street.publish()
    street.device("phone", street.customer("alice", "digits")).pull("digits")
    return made


def opened(street, data, key):
    """Open a sealed file with a key that a thief believes in."""
    owners = read(street.trust_path.read_bytes()).owner
    expected = sealed.Expected("model", sealed.Subject(None, "digits", "1.0", None), owners)
    return bytes(sealed.open_sealed(BytesReadable(data), key, expected).payload)


def refused(call, *arguments):
    with pytest.raises(StrongroomError) as caught:
        call(*arguments)
    return caught.value.code


def test_the_bucket_gives_ciphertext(street, mek):
    """B27, D14: no byte of the model, no name, no key; whatever the file itself says of its key opens nothing."""
    loot = contents(street.stolen("objects"))
    assert len(loot) > len(WEIGHTS)
    assert not any(WEIGHTS[at : at + 16] in loot for at in range(0, len(WEIGHTS), 4096))
    for secret in (*spellings(mek), b"digits", b"alice"):
        assert secret not in loot
    (path,) = (street.folder / "loot/objects").glob("*")
    data = path.read_bytes()
    core = sealed.read_head(BytesReadable(data)).core
    for guess in (bytes(32), core.file_id, core.key_id * 2, core.file_id[::-1]):
        assert refused(opened, street, data, key_of(guess)) == Code.FILE_WRONG_KEY
    assert opened(street, data, key_of(mek)) == WEIGHTS  # so that the refusals above mean something


def test_the_bucket_in_a_writers_hands(street, mek):
    """B27, B16: objects exchanged, and one replaced by another's genuine file: refused on the device."""
    street.publish("letters", content=WEIGHTS[::-1])
    objects = sorted((street.directory / "objects").glob("*"), key=lambda one: one.stat().st_mtime_ns)
    first, second = (one.read_bytes() for one in objects)
    for path, data in zip(objects, (second, first), strict=True):
        path.write_bytes(data)
    room = street.device("tablet", street.customer("bob", "digits", "letters"))
    assert {refused(room.pull, model) for model in ("digits", "letters")} <= {Code.FILE_MISMATCH, Code.FILE_WRONG_KEY}
    assert room.store.need().installs == ()


def test_the_database_gives_names_and_wrapped_keys(street, mek):
    """B27, D12: every byte of it searched; a keyring of the thief's own unwraps nothing."""
    token = street.device("phone").identity.token
    loot = street.stolen("database")
    everything = contents(loot)
    assert b"digits" in everything
    assert b"alice" in everything
    for secret in (*spellings(mek), token.encode(), street.admin.token.encode(), WEIGHTS[:16]):
        assert secret not in everything
    (file,), (version,) = rows(loot, "files"), rows(loot, "versions")
    ring = Keyring.generate()
    assert refused(ring.unwrap, file["wrapped"], context_of(file, version)) == Code.VAULT_REFUSED
    named = replace(ring, current=file["wrapped"][1:9], wrapping={file["wrapped"][1:9]: os.urandom(32)})
    assert refused(named.unwrap, file["wrapped"], context_of(file, version)) == Code.VAULT_REFUSED


def test_the_database_in_a_writers_hands(street, mek):
    """B27: a right copied from somebody who has one, and one of a MAC the thief made up, entitle nobody."""
    street.customer("eve")
    room = street.device("thief", str(street.admin.post("tokens", value={"user": "eve"})["token"]))
    with contextlib.closing(sqlite3.connect(street.directory / "database/strongroom.db")) as database:
        (eve,) = database.execute("SELECT id FROM accounts WHERE name = 'eve'").fetchone()
        row = database.execute(
            "SELECT id, account, user, model, channel, until, created, mac FROM entitlements"
        ).fetchone()
        for number, mac in enumerate((row[-1], bytes(32), os.urandom(32))):
            forged = (f"{row[0][:-1]}{number}", eve, *row[2:-1], mac)
            database.execute("INSERT INTO entitlements VALUES (?, ?, ?, ?, ?, ?, ?, ?)", forged)
        database.commit()
    assert refused(room.pull, "digits") == Code.NOT_FOUND
    assert street.device("phone").pull("digits", fresh=True).fetched


def test_bucket_and_database_together_open_nothing(street, mek):
    """B27, D14: a backup of both, without the keys: no key in it, in any spelling, and none that unwraps."""
    loot = street.stolen("objects", "database")
    assert not any(one in contents(loot) for one in spellings(mek))
    (path,) = (loot / "objects").glob("*")
    (file,) = rows(loot, "files")
    for guess in {file[name][:32] for name in ("file_id", "head", "commitment", "wrapped")}:
        assert refused(opened, street, path.read_bytes(), key_of(guess)) == Code.FILE_WRONG_KEY


def test_a_vault_credential_alone_has_nothing_to_unwrap(street, mek):
    """B27: the wrapping keys themselves, and the bucket as well: what they wrapped is in neither."""
    ring = street.keyring()
    loot = contents(street.stolen("objects", "keys"))
    assert bytes([1]) + ring.current not in loot  # how everything begins that this key has wrapped
    assert not any(one in loot for one in spellings(mek))
    (path,) = (street.folder / "loot/objects").glob("*")
    data = path.read_bytes()
    for at in range(0, 4096, 64):
        assert refused(ring.unwrap, data[at : at + 101], b"") == Code.VAULT_REFUSED
    for key in ring.wrapping.values():
        assert refused(opened, street, data, key_of(key)) == Code.FILE_WRONG_KEY
    assert bytes([1]) + ring.current in contents(street.stolen("database"))  # what is missing is there


def test_vault_and_database_give_the_keys(street, mek):
    """B27: shown to be so: two things that are kept apart on purpose; with the bucket, the model."""
    ring, loot = street.keyring(), street.stolen("database", "objects")
    (file,), (version,) = rows(loot, "files"), rows(loot, "versions")
    key = ring.unwrap(file["wrapped"], context_of(file, version))
    assert bytes(key) == mek
    assert opened(street, (loot / "objects" / file["object_name"]).read_bytes(), key_of(key)) == WEIGHTS


def test_the_token_key_makes_devices_of_any_account(street, mek):
    """B27: a device of its own in an account that it knows, no device that is there already, and no operator."""
    issuer = tokens.TokenIssuer(street.keyring().token_signer, DEVICES)
    (phone,) = rows(street.stolen("database"), "devices")  # how the thief may know names; they are no secrets
    now = {"now": street.clock(), "seconds": 3600, "random": os.urandom}
    mine, _ = issuer.user_token(phone["user"], **now)
    thief = street.device("thief", mine)
    assert thief.identity.id != phone["id"]
    assert thief.pull("digits").fetched  # what alice may have, and on record as hers
    thief.store.update(lambda state: _as(state, phone["id"], issuer.device_token(phone["id"], phone["jkt"], **now)[0]))
    assert refused(thief.pull, "digits") in {Code.TOKEN, Code.PROOF}
    for token in (mine, issuer.device_token("op_x", phone["jkt"], **now)[0]):
        assert refused(street.desk(token).get, "models") in {Code.TOKEN, Code.UNAUTHENTICATED}


def _as(state, device, token):
    return replace(state, identity=replace(state.identity, id=device, token=token))


def test_the_url_key_leads_to_ciphertext(street, mek):
    """B27, B16: links to whatever object a name is known of; nothing is overwritten, deleted or listed by them."""
    thief = FolderStore(street.folder, DEVICES, street.keyring().url_key)
    (path,) = (street.directory / "objects").glob("*")
    before, end = path.read_bytes(), street.clock() + 10**6
    answers = {
        method: street.do(street.send(method, thief.signed_url(of, path.name, expires=end, size=size), b"x", {}))
        for method, of, size in (
            ("GET", "GET", None),
            ("PUT", "PUT", 1),
            ("DELETE", "GET", None),
            ("POST", "GET", None),
        )
    }
    assert answers["GET"].body == before  # for as long as the thief says, and sealed
    assert {method: answer.status for method, answer in answers.items() if method != "GET"} == {
        "PUT": 409,
        "DELETE": 405,
        "POST": 405,
    }
    guess = FolderStore(street.folder, DEVICES, os.urandom(32)).signed_url("GET", path.name, expires=end)
    assert street.do(street.send("GET", guess, b"", {})).status == 403  # which is what the key is good for
    new = thief.signed_url("PUT", "ab" * 16, expires=end, size=1)
    assert street.do(street.send("PUT", new, b"x", {})).status in {403, 404, 409}
    assert [one.read_bytes() for one in (street.directory / "objects").glob("*")] == [before]


def test_the_deposit_key_opens_recorded_deposits_and_nothing_that_is_kept(street, mek):
    """B27: whoever has recorded a publisher's request inside TLS has that model's key; the rest is closed to him."""
    key = street.keyring().deposit_key
    (sent,) = [body for _, url, body, _ in street.admin.transport.sent if url.endswith("/deposits")]
    deposit = decode(sent, limit=10**6)
    (file,), (version,) = rows(street.stolen("database", "objects"), "files"), rows(street.folder / "loot", "versions")
    names = (version["publisher"], deposit["model"], deposit["version"], file["file_id"], file["head"])
    recorded = from_base64url(deposit["files"][0]["sealed"])
    assert bytes(key.open(recorded, hpke.deposit_info(None, *names))) == mek  # shown to be so
    assert refused(hpke.DepositKey.generate().open, recorded, hpke.deposit_info(None, *names)) == Code.SEALED_KEY
    assert recorded not in contents(street.folder / "loot")  # what the office keeps is wrapped anew, by the vault
    assert refused(key.open, file["wrapped"], hpke.deposit_info(None, *names)) == Code.SEALED_KEY


def test_the_tls_key_shows_names_and_no_keys(street, mek):
    """B27, G07: all that a pull says is read in the clear: the model's key is not in it, nor can it be opened."""
    proxy = Proxy(street)
    room = street.device("tablet", street.customer("bob", "digits"), proxy)
    room.pull("digits")
    seen = b"".join(sent.body + answer.body for sent, answer in proxy.seen)
    assert b"digits" in seen
    assert not any(one in seen for one in spellings(mek))
    assert not any(WEIGHTS[at : at + 16] in seen for at in range(0, len(WEIGHTS), 4096))
    (answer,) = proxy.bodies("/v1/releases", "answer")
    grant = Grant.from_bytes(jws.unverified_payload(ReleaseAnswer.from_bytes(answer).grant[0], "grant"))
    (request,) = proxy.bodies("/v1/releases", "request")
    asked = decode(request, limit=10**6)
    for kem in (asked["kem"],):
        mine = hpke.EphemeralKey.generate(kem)
        assert mine.public != from_base64url(asked["public_key"])
        assert refused(mine.open, grant.sealed, hpke.release_info(bytes(32), grant)) == Code.SEALED_KEY


def test_the_tls_key_hears_user_tokens(street, mek):
    """B27: shown to be so: who reads a user's token on the way enrols a device of his own, until it is over."""
    heard = []
    proxy = Proxy(street, on_request=lambda sent: heard.append(sent.headers.get("Authorization", "")) or sent)
    street.device("tablet", street.customer("bob", "digits"), proxy)
    token = next(one.removeprefix("Bearer ") for one in heard if one.startswith("Bearer "))
    assert street.device("thief", token).pull("digits").fetched
    street.clock.advance(street.office.policy.user_token_seconds)
    assert refused(street.device, "later", token) == Code.TOKEN


def test_a_device_token_is_worth_nothing_on_the_way(street, mek):
    """B13, B27: bound to the device's key: with any other key it is refused."""
    heard = []
    proxy = Proxy(street, on_request=lambda sent: heard.append(sent.headers.get("Authorization", "")) or sent)
    street.device("tablet", street.customer("bob", "digits"), proxy).pull("digits")
    token = next(one for one in heard if one.startswith("DPoP ")).removeprefix("DPoP ")
    thief = street.device("thief", street.customer("eve"))
    thief.store.update(lambda state: _as(state, state.identity.id, token))
    with pytest.raises(DeniedError) as caught:
        thief.pull("digits")
    assert caught.value.code == Code.TOKEN
