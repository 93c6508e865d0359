"""The story, in memory: a model is protected, published, released to one device, opened and run (R9, R14, R27 to R49).

Read this first, then follow the calls. The office is the real one over fakes; see strongroom_in_memory.py.
"""

import os

import pytest

import strongroom
from strongroom.errors import Code, DeniedError, IntegrityError
from strongroom.wire import jws
from strongroom.wire.hpke import EphemeralKey
from strongroom.wire.messages import Grant, ReleaseAnswer
from strongroom_in_memory import DEVICES, Street, Wire

WEIGHTS = os.urandom(3_000_000)  # three segments' worth would be 48 MB: the size changes nothing in the story


@pytest.fixture
def street(tmp_path):
    with Street(tmp_path) as street:
        yield street


def publish(street, version="1.0"):
    """The publisher seals the model beside the trainer; the key goes to the vault, the ciphertext to the store."""
    out = street.folder / f"{version}.srm"
    with strongroom.protect(
        WEIGHTS, name="digits", version=version, out=out, sign_with=street.owners, office=street.admin
    ) as protected:
        return protected.publish(channel="stable")


def test_a_model_reaches_the_device_it_was_released_to(street):
    publish(street)
    assert all(WEIGHTS[:32] not in stored for stored in street.store.objects.values())  # only ciphertext is stored

    room = street.device("phone", street.customer("alice", "digits"))  # enrols with alice's token
    with room.load("digits@stable") as model:  # request, release, fetch, re-seal, open
        assert model.bytes() == WEIGHTS
        view = model.bytes()
    with pytest.raises(ValueError, match="released"):
        bytes(view)  # wiped and gone with the block

    with room.load("digits@stable", offline="only") as model:  # within its lease it needs nobody
        assert model.bytes() == WEIGHTS


def test_another_accounts_device_cannot_open_what_was_released_to_the_first(street):
    """The answer to alice's request, delivered to bob's device, gives him nothing (R29, R42, attacks B02, B27)."""
    publish(street)
    heard = []

    def listen(url, answer):
        if url.endswith("/v1/releases"):
            heard.append(answer)
        return answer

    street.device("alice", street.customer("alice", "digits"), Wire(street, DEVICES, listen)).pull("digits")

    def deliver_alices_answer(url, answer):
        return heard[0] if url.endswith("/v1/releases") else answer

    bob = street.device("bob", street.customer("bob", "digits"), Wire(street, DEVICES, deliver_alices_answer))
    with pytest.raises(IntegrityError) as refused:
        bob.pull("digits")
    assert refused.value.code == Code.GRANT_MISMATCH

    answer = ReleaseAnswer.from_bytes(heard[0].body)  # and past every check of his own, HPKE refuses him too
    grant = Grant.from_bytes(jws.unverified_payload(answer.grant[0], "grant"))
    with pytest.raises(IntegrityError) as refused:
        EphemeralKey.generate().open(grant.sealed, b"whatever bob tries")
    assert refused.value.code == Code.SEALED_KEY


def test_a_new_version_replaces_the_old_one_whole(street):
    publish(street)
    room = street.device("phone", street.customer("alice", "digits"))
    assert room.pull("digits").fetched
    assert not room.pull("digits").fetched  # "you have the newest", signed
    publish(street, "1.1")
    assert room.pull("digits").version == "1.1"


def test_nobody_is_entitled_by_default(street):
    publish(street)
    room = street.device("phone", street.customer("mallory"))
    with pytest.raises(DeniedError) as refused:
        room.pull("digits")
    assert refused.value.code == Code.NOT_FOUND
