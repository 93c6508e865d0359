"""The same story, each way it must fail: who may not, what was altered, what came twice, what came too late."""

import dataclasses
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

import strongroom
from strongroom.errors import Code, DeniedError, IntegrityError, RefusedError, StrongroomError
from strongroom.wire.messages import ReleaseAnswer
from strongroom_in_memory import DEVICES, Street, Wire

WEIGHTS = os.urandom(300_000)


@pytest.fixture
def street(tmp_path):
    with Street(tmp_path) as street:
        out = tmp_path / "digits.srm"
        with strongroom.protect(
            WEIGHTS, name="digits", version="1.0", out=out, sign_with=street.owners, office=street.admin
        ) as protected:
            protected.publish(channel="stable")
        yield street


@pytest.fixture
def phone(street):
    return street.device("phone", street.customer("alice", "digits"))


def audit(street):
    async def read():
        async with street.ledger.begin() as tx:
            return [event for _, event in await tx.audit(limit=1000)]

    return street.do(read())


def refused_by(call, *args, **named):
    with pytest.raises(StrongroomError) as refused:
        call(*args, **named)
    return refused.value


def test_not_yours_and_not_there_are_one_answer(street):
    """B10, B11: the refusal for a model that exists and one that does not differ in nothing but the reference."""
    answers = []
    wire = Wire(street, DEVICES, lambda url, answer: answers.append(answer) or answer)
    room = street.device("phone", street.customer("mallory"), wire)
    errors = [refused_by(room.pull, name) for name in ("digits", "nothing")]
    assert [error.code for error in errors] == [Code.NOT_FOUND] * 2
    there, absent = (answer for answer in answers if answer.status == 404)
    assert len(there.body) == len(absent.body)
    assert {name: value for name, value in there.headers.items() if name != "date"} == absent.headers


def test_the_first_refusal_is_in_the_audit_log(street):
    """R40: what was refused, to which device, is written down; the device is told a code and a reference only."""
    room = street.device("phone", street.customer("mallory"))
    refused_by(room.pull, "digits")
    last = audit(street)[-1]
    assert (last.event, last.subject, last.detail["code"]) == ("release.refused", "digits@@stable", "not-found")


def test_a_revoked_right_stops_the_next_release(street, phone):
    phone.pull("digits")
    right = street.admin.get("accounts", "alice", "entitlements", model="digits")["entitlements"][0]
    street.admin.delete("entitlements", right["id"])
    assert refused_by(phone.pull, "digits").code == Code.NOT_FOUND


def test_an_entitlement_written_into_the_database_entitles_nobody(street):
    """B27: the database alone, without the vault's MAC key."""
    room = street.device("phone", street.customer("mallory", "other"))

    async def forge():
        async with street.ledger.begin() as tx:
            account = await tx.account("mallory")
            row = (await tx.entitlements(account.id, "other"))[0]
            await tx.add_entitlement(dataclasses.replace(row, id=street.office.new_id("ent"), model="digits"))

    street.do(forge())
    assert refused_by(room.pull, "digits").code == Code.NOT_FOUND


@pytest.mark.parametrize("place", ["head", "middle", "end"])
def test_a_tampered_file_is_refused_and_nothing_of_it_is_used(street, phone, place):
    """R28, R19: one bit of the stored ciphertext, wherever it is; what an honest store sends then completes it."""
    name, stored = next(iter(street.store.objects.items()))
    at = {"head": 40, "middle": len(stored) // 2, "end": len(stored) - 1}[place]
    street.store.objects[name] = stored[:at] + bytes([stored[at] ^ 1]) + stored[at + 1 :]
    error = refused_by(phone.pull, "digits")
    assert isinstance(error, IntegrityError)
    assert list((street.folder / "phone" / "models").glob("*")) == []
    street.store.objects[name] = stored
    phone.pull("digits")
    with phone.load("digits", offline="only") as model:
        assert model.bytes() == WEIGHTS


def test_a_tampered_update_leaves_the_old_version_running(street, phone):
    phone.pull("digits")
    with strongroom.protect(
        WEIGHTS[::-1],
        name="digits",
        version="2.0",
        out=street.folder / "2.srm",
        sign_with=street.owners,
        office=street.admin,
    ) as protected:
        protected.publish(channel="stable")
    name = list(street.store.objects)[-1]
    stored = street.store.objects[name]
    street.store.objects[name] = stored[:-1] + bytes([stored[-1] ^ 1])
    assert isinstance(refused_by(phone.pull, "digits"), (IntegrityError, RefusedError))
    with phone.load("digits", offline="only") as model:
        assert model.version == "1.0"
        assert model.bytes() == WEIGHTS


def test_of_fifty_copies_of_one_request_one_wins(street):
    """B01, R37: the very same bytes, all at once."""
    wire = Wire(street, DEVICES)
    room = street.device("phone", street.customer("alice", "digits"), wire)
    held = []

    def hold(url, answer):
        return answer

    wire.bend = hold
    original = wire.request

    def capture(method, path, *, body=b"", headers=None, limit):
        if path == "/v1/releases" and not held:
            held.append((body, dict(headers)))
            raise DeniedError(Code.NOT_FOUND, "kept back by the test")
        return original(method, path, body=body, headers=headers, limit=limit)

    wire.request = capture
    refused_by(room.pull, "digits")
    body, headers = held[0]
    with ThreadPoolExecutor(50) as pool:
        answers = list(
            pool.map(lambda _: street.do(street.send("POST", f"{DEVICES}/v1/releases", body, headers)), range(50))
        )
    assert sorted(answer.status for answer in answers).count(200) == 1
    assert ReleaseAnswer.from_bytes(next(answer.body for answer in answers if answer.status == 200))
    assert sum(event.event == "release.granted" for event in audit(street)) == 1


def test_a_request_replayed_with_a_fresh_proof_is_refused(street):
    """B01: even the device itself cannot use a challenge twice."""
    wire = Wire(street, DEVICES)
    room = street.device("phone", street.customer("alice", "digits"), wire)
    room.pull("digits")
    _, _, body, headers = next(one for one in wire.sent if one[1].endswith("/v1/releases"))
    line = room._line(room.store.keystore.device_key())
    token = headers["Authorization"].split(" ")[1]
    from strongroom.edge.exchange import Token

    error = refused_by(line.post, "/v1/releases", body, Token("DPoP", token), limit=ReleaseAnswer.LIMIT)
    assert error.code == Code.CHALLENGE


def test_a_link_dies_at_its_second(street, phone):
    """R71: 299 s after it was made it serves, at 300 s it does not."""
    name = next(iter(street.store.objects))
    url = street.store.signed_url("GET", name, expires=street.clock() + 300)
    street.clock.advance(299)
    assert street.do(street.send("GET", url, b"", {})).status == 200
    street.clock.advance(1)
    assert street.do(street.send("GET", url, b"", {})).status == 403


def test_an_object_is_reachable_by_its_signed_link_only(street):
    """R68: bare, with another method, or with a borrowed signature, there is nothing to read."""
    name = next(iter(street.store.objects))
    good = street.store.signed_url("GET", name, expires=street.clock() + 300)
    other = good.replace(name, "0" * len(name))
    for method, url in [("GET", good.split("?")[0]), ("DELETE", good), ("PUT", good), ("GET", other)]:
        assert street.do(street.send(method, url, b"", {})).status in {403, 405}, (method, url)


def test_a_lease_ends_offline(street, phone):
    """R25, C19: a second before its end it opens, a second after it does not."""
    expires = phone.pull("digits").lease_expires
    seconds = min(expires - street.clock(), street.office.policy.max_offline)
    street.clock.advance(seconds - 1)
    with phone.load("digits", offline="only") as model:
        assert model.bytes() == WEIGHTS
    street.clock.advance(2)
    assert refused_by(lambda: phone.load("digits", offline="only").__enter__()).code == Code.LEASE_EXPIRED


def test_a_publisher_can_put_keys_in_but_never_read_one(street):
    """R13: no route of the admin API gives a key back, whoever asks."""
    made = street.admin.post("operators", value={"name": "trainer", "role": "publisher"})
    publisher = street.desk(made["token"])
    assert publisher.get("whoami")["role"] == "publisher"
    for path in (("accounts",), ("devices",)):
        assert refused_by(publisher.get, *path).code == Code.FORBIDDEN
    assert refused_by(publisher.post, "tokens", value={"user": "alice"}).code == Code.FORBIDDEN
    version = publisher.get("models", "digits", "versions", "1.0")
    kept = [secret for secret, _ in street.vault.kept.values()]
    text = repr(version)
    assert kept
    assert all(secret.hex() not in text and repr(secret) not in text for secret in kept)
