"""trust.json: who signed it, in which order it may change, and until when it holds (B19, B27, G05)."""

import dataclasses

import pytest

from strongroom import canonical
from strongroom.errors import Code, IntegrityError, RefusedError, StrongroomError
from strongroom.signing import ED25519, ML_DSA_65, Principal, Role, SigningKey
from strongroom.wire import hpke, jws, trust
from strongroom.wire.trust import DepositRecipient, Pin, Trust

NOW = 1_800_000_000
A, B, C, D, STRANGER = (SigningKey(ED25519, bytes([n]) * 32) for n in range(1, 6))
LATTICE = SigningKey(ML_DSA_65, b"p" * 32)
DEPOSIT = hpke.DepositKey.from_seed(hpke.X25519, b"s" * 32)


def role(threshold: int, *groups: tuple[SigningKey, ...]) -> Role:
    return Role(threshold, tuple(Principal(tuple(key.public for key in keys)) for keys in groups))


FIRST = Trust(
    version=1,
    expires=NOW + 1000,
    server="https://models.example:8443",
    pins=(Pin("models.example", None, (b"1" * 32, b"2" * 32)), Pin("store.example", "PEM", (b"3" * 32,))),
    owner=role(2, (A,), (B,), (C,)),
    release=role(1, (D,)),
    order=role(1, (D,)),
    deposit=(DepositRecipient(hpke.X25519, DEPOSIT.public, NOW + 500),),
    suites=(1,),
    kems=(hpke.MLKEM768_X25519, hpke.X25519),
    epochs=(("digits", 2), ("faces", 1)),
)
SECOND = dataclasses.replace(FIRST, version=2, expires=NOW + 2000)


def code_of(call: object, *arguments: object) -> Code:
    with pytest.raises(StrongroomError) as caught:
        call(*arguments)
    return caught.value.code


def test_what_was_signed_is_read():
    assert trust.read(trust.encode(FIRST, (A, C))) == FIRST


def test_the_file_is_an_array_of_signed_values():
    data = trust.encode(FIRST, (A, B))
    assert trust.split(data) == jws.sign("sr-trust", canonical.encode(FIRST.to_value()), (A, B))
    assert trust.join(trust.split(data)) == data


@pytest.mark.parametrize(
    ("signers", "code"),
    [
        pytest.param((A,), Code.TRUST_THRESHOLD, id="one of two"),
        pytest.param((A, STRANGER), Code.TRUST_THRESHOLD, id="one and a stranger"),
        pytest.param((A, D), Code.TRUST_THRESHOLD, id="one and the release key"),
        pytest.param((A, A), Code.SIGNATURE, id="one twice"),
        pytest.param((STRANGER, D), Code.TRUST_THRESHOLD, id="strangers"),
    ],
)
def test_too_few_owners_are_refused(signers, code):
    """B27: the online keys cannot change who is trusted."""
    assert code_of(trust.read, trust.encode(FIRST, signers)) == code


def test_a_hybrid_owner_needs_both_signatures():
    hybrid = dataclasses.replace(FIRST, owner=role(1, (A, LATTICE)))
    assert trust.read(trust.encode(hybrid, (A, LATTICE))) == hybrid
    for alone in (A, LATTICE):
        assert code_of(trust.read, trust.encode(hybrid, (alone,))) == Code.TRUST_THRESHOLD


def test_every_field_is_signed():
    """One field changed after signing; the old signatures do not cover it."""
    heads = [text.split(".") for text in trust.split(trust.encode(FIRST, (A, B)))]
    changes = {
        "version": 2,
        "expires": NOW + 10_000,
        "server": "https://evil.example",
        "pins": (Pin("models.example", None, (b"9" * 32,)),),
        "owner": role(1, (A,)),
        "release": role(1, (STRANGER,)),
        "order": role(1, (STRANGER,)),
        "deposit": (),
        "suites": (1, 2),
        "kems": (hpke.X25519,),
        "epochs": (),
    }
    assert set(changes) == {field.name for field in dataclasses.fields(Trust)}
    for name, value in changes.items():
        payload = canonical.to_base64url(canonical.encode(dataclasses.replace(FIRST, **{name: value}).to_value()))
        bent = trust.join([f"{head}.{payload}.{signature}" for head, _, signature in heads])
        assert code_of(trust.read, bent) == Code.SIGNATURE


def test_the_next_version_is_followed():
    assert trust.advance(FIRST, trust.encode(SECOND, (B, C))) == SECOND


@pytest.mark.parametrize("version", [1, 3, 257])
def test_versions_go_up_in_steps_of_one(version):
    """Rollback and leaps."""
    other = dataclasses.replace(FIRST, version=version)
    assert code_of(trust.advance, FIRST, trust.encode(other, (A, B))) == Code.TRUST_VERSION


def test_new_owners_need_the_old_ones():
    new = dataclasses.replace(SECOND, owner=role(2, (D,), (STRANGER,)))
    assert trust.advance(FIRST, trust.encode(new, (A, B, D, STRANGER))) == new
    assert code_of(trust.advance, FIRST, trust.encode(new, (D, STRANGER))) == Code.TRUST_THRESHOLD
    assert code_of(trust.advance, FIRST, trust.encode(new, (A, D, STRANGER))) == Code.TRUST_THRESHOLD


def test_old_owners_need_the_new_ones():
    new = dataclasses.replace(SECOND, owner=role(2, (C,), (D,)))
    assert code_of(trust.advance, FIRST, trust.encode(new, (A, B))) == Code.TRUST_THRESHOLD
    assert code_of(trust.advance, FIRST, trust.encode(new, (A, B, C))) == Code.TRUST_THRESHOLD
    assert trust.advance(FIRST, trust.encode(new, (A, C, D))) == new


def test_a_chain_is_followed_to_its_end():
    documents = [trust.encode(dataclasses.replace(FIRST, version=number), (A, B)) for number in range(2, 6)]
    assert trust.follow(FIRST, documents).version == 5
    assert trust.follow(FIRST, []) == FIRST
    assert code_of(trust.follow, FIRST, documents[1:]) == Code.TRUST_VERSION
    assert code_of(trust.follow, FIRST, documents[::-1]) == Code.TRUST_VERSION
    assert code_of(trust.follow, FIRST, documents * 65) == Code.TRUST_VERSION


def test_epochs_only_rise():
    """B19: a higher epoch is the recovery from a fast-forward; it is never taken back."""
    higher = dataclasses.replace(SECOND, epochs=(("digits", 3), ("faces", 1)))
    assert trust.advance(FIRST, trust.encode(higher, (A, B))).epoch_of("digits") == 3
    for epochs in ((("digits", 1), ("faces", 1)), ()):
        lower = dataclasses.replace(SECOND, epochs=epochs)
        assert code_of(trust.advance, FIRST, trust.encode(lower, (A, B))) == Code.TRUST_VERSION
    assert FIRST.epoch_of("letters") == 1


def test_trust_expires():
    trust.check_fresh(FIRST, NOW + 999)
    with pytest.raises(RefusedError) as caught:
        trust.check_fresh(FIRST, NOW + 1000)
    assert caught.value.code == Code.TRUST_EXPIRED


def test_the_deposit_key_in_force_is_chosen():
    later = DepositRecipient(hpke.X25519, hpke.DepositKey.generate(hpke.X25519).public, NOW + 900)
    two = dataclasses.replace(FIRST, deposit=(*FIRST.deposit, later))
    assert two.recipient(NOW) == FIRST.deposit[0]
    assert two.recipient(NOW + 500) == later
    assert code_of(two.recipient, NOW + 900) == Code.TRUST_EXPIRED
    assert code_of(dataclasses.replace(two, kems=(hpke.MLKEM768_X25519,)).recipient, NOW) == Code.TRUST_EXPIRED


def test_pins_and_epochs_are_written_in_order():
    shuffled = dataclasses.replace(FIRST, pins=FIRST.pins[::-1], epochs=FIRST.epochs[::-1])
    assert trust.encode(shuffled, (A, B)) == trust.encode(FIRST, (A, B))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        pytest.param({"server": "http://models.example"}, Code.SHAPE, id="no TLS"),
        pytest.param({"server": "https://models.example/"}, Code.SHAPE, id="a slash"),
        pytest.param({"pins": ()}, Code.SHAPE, id="no pins"),
        pytest.param({"pins": (Pin("models.example", None, ()),)}, Code.SHAPE, id="a host without pins"),
        pytest.param({"pins": (FIRST.pins[0], FIRST.pins[0])}, Code.SHAPE, id="a host twice"),
        pytest.param({"pins": (Pin("Models.example", None, (b"1" * 32,)),)}, Code.SHAPE, id="a host in capitals"),
        pytest.param({"owner": Role(3, FIRST.owner.principals[:2])}, Code.SHAPE, id="threshold out of reach"),
        pytest.param({"owner": Role(1, FIRST.owner.principals[:1] * 2)}, Code.SHAPE, id="an owner twice"),
        pytest.param({"owner": Role(1, (Principal(()),))}, Code.SHAPE, id="an owner without a key"),
        pytest.param({"kems": (0x11,)}, Code.SHAPE, id="unknown kem"),
        pytest.param({"kems": ()}, Code.SHAPE, id="no kems"),
        pytest.param({"suites": ()}, Code.SHAPE, id="no suites"),
        pytest.param({"version": 0}, Code.SHAPE, id="version 0"),
        pytest.param({"epochs": (("digits", 1), ("digits", 2))}, Code.SHAPE, id="a model twice"),
        pytest.param({"deposit": (DepositRecipient(0x20, bytes(32), NOW),)}, Code.PUBLIC_KEY, id="low-order key"),
    ],
)
def test_documents_that_could_not_be_read_are_not_signed(change, code):
    """And a device that is shown one refuses it with the same code."""
    bad = dataclasses.replace(FIRST, **change)
    assert code_of(trust.encode, bad, (A, B)) == code
    signed = trust.join(jws.sign("sr-trust", canonical.encode(bad.to_value()), (A, B)))
    assert code_of(trust.read, signed) == code


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'["a.b.c"]', b'["x"]', b"[1]", b'[ "a.b.c"]', b"null", b"\xff"])
def test_what_is_no_trust_document_is_refused(data):
    with pytest.raises(IntegrityError):
        trust.read(data)


def test_a_document_too_large_to_be_read_is_not_signed():
    """Each signature repeats the payload: with many owners the file outgrows what a device reads."""
    keys = [SigningKey(ED25519, bytes([number]) * 32) for number in range(10, 16)]
    pins = tuple(Pin(f"h{number}.test", "x" * 20_000, (b"1" * 32,)) for number in range(10))
    owners = Role(6, tuple(Principal((key.public,)) for key in keys))
    with pytest.raises(IntegrityError) as caught:
        trust.encode(dataclasses.replace(FIRST, pins=pins, owner=owners), keys)
    assert caught.value.code == Code.JSON_TOO_LARGE


def test_a_huge_file_is_refused_before_it_is_parsed():
    assert code_of(trust.read, b"[" * 2_000_000) == Code.JSON_TOO_LARGE
