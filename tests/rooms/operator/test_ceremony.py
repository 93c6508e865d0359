"""The next trust document: what is named changes, what is not stays, and what cannot be is refused."""

from dataclasses import replace

import pytest

from strongroom.errors import Code, InputError
from strongroom.operator import ceremony
from strongroom.operator.ceremony import Changes
from strongroom.signing import ED25519, Principal, Role, SigningKey
from strongroom.wire import hpke
from strongroom.wire.trust import DepositRecipient, Pin, Trust

NOW = 1_800_000_000
FIRST, SECOND, RELEASE, ORDER = (SigningKey(ED25519, bytes([n]) * 32) for n in range(1, 5))
DEPOSIT = hpke.DepositKey.from_seed(hpke.DEFAULT_KEM, b"s" * 32)


def one(key):
    return Role(1, (Principal((key.public,)),))


TRUST = Trust(
    version=4,
    expires=NOW + 10,
    server="https://models.example:8443",
    pins=(Pin("models.example", "PEM", (b"1" * 32, b"2" * 32)),),
    owner=one(FIRST),
    release=one(RELEASE),
    order=one(ORDER),
    deposit=(DepositRecipient(DEPOSIT.kem, DEPOSIT.public, NOW + 500),),
    suites=(1,),
    kems=(hpke.MLKEM768_X25519,),
    epochs=(("digits", 2),),
)


def test_what_is_not_named_stays():
    made = ceremony.next_document(TRUST, Changes(lifetime=100), now=NOW)
    assert made == replace(TRUST, version=5, expires=NOW + 100)
    assert ceremony.differences(TRUST, made) == ()


def test_each_change_is_made_and_said():
    changes = Changes(
        lifetime=100,
        add=(("owner", (SECOND.public,)), ("release", (SECOND.public,))),
        drop=(("release", RELEASE.public.key_id[:8]),),
        threshold={"owner": 2},
        pins={"models.example": (b"2" * 32, b"3" * 32), "store.example": (b"4" * 32,)},
        server="https://new.example",
        epochs={"digits": 3, "letters": 2},
        suites=(1, 2),
        kems=(hpke.X25519,),
    )
    made = ceremony.next_document(TRUST, changes, now=NOW)
    assert made.owner.threshold == 2
    assert made.release == one(SECOND)
    assert made.epochs == (("digits", 3), ("letters", 2))
    assert [pin.host for pin in made.pins] == ["models.example", "store.example"]
    assert made.pins[0].ca == "PEM"  # the authorities stay with the host
    said = ceremony.differences(TRUST, made)
    assert [line.split(":")[0] for line in said] == [
        "server", "suites", "kems", "owner key added", "owner", "release key removed", "release key added",
        "pin removed", "pin added", "pin added", "epoch of digits", "epoch of letters",
    ]  # fmt: skip


def test_deposit_keys_that_are_over_go():
    over = replace(TRUST, deposit=(DepositRecipient(DEPOSIT.kem, DEPOSIT.public, NOW - 1),))
    assert ceremony.next_document(over, Changes(lifetime=100), now=NOW).deposit == ()


@pytest.mark.parametrize(
    "changes",
    [
        Changes(0),
        Changes(9, drop=(("owner", FIRST.public.key_id),)),  # nobody would be left
        Changes(9, drop=(("release", "AAAAAAAA"),)),
        Changes(9, drop=(("release", RELEASE.public.key_id[:7]),)),  # too short to name a key
        Changes(9, add=(("owner", (FIRST.public,)),)),
        Changes(9, threshold={"owner": 2}),
        Changes(9, threshold={"order": 0}),
        Changes(9, epochs={"digits": 2}),
        Changes(9, epochs={"letters": 1}),
    ],
)
def test_what_cannot_be_is_refused(changes):
    with pytest.raises(InputError) as caught:
        ceremony.next_document(TRUST, changes, now=NOW)
    assert caught.value.code == Code.ARGUMENT


def test_public_halves_are_read_as_they_were_written(tmp_path):
    path = tmp_path / "a.pub"
    path.write_bytes(ceremony.encode_public_keys([FIRST.public]))
    assert ceremony.read_public_keys(path) == (FIRST.public,)
    recipient = DepositRecipient(DEPOSIT.kem, DEPOSIT.public, 7)
    path.write_bytes(ceremony.encode_key(recipient))
    assert ceremony.read_deposit_key(path, 7) == recipient
    for call in (ceremony.read_public_keys, lambda one: ceremony.read_deposit_key(one, 7)):
        path.write_bytes(b'{"keys":[]}')
        with pytest.raises(InputError):
            call(path)
