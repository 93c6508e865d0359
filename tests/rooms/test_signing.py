"""Keys that sign, their identifiers, and roles of k of n (docs/spec/protocol.md section 2)."""

import hashlib

import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

from strongroom import signing
from strongroom.canonical import to_base64url
from strongroom.errors import Code, InputError, IntegrityError
from strongroom.signing import ED25519, ES256, ML_DSA_65, Principal, PublicKey, Role, SigningKey

ALGORITHMS = (ED25519, ES256, ML_DSA_65)
ONE, TWO, THREE = (SigningKey(ED25519, bytes([n]) * 32).public for n in range(1, 4))
LATTICE = SigningKey(ML_DSA_65, b"p" * 32).public


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_what_is_signed_verifies_and_nothing_else(alg):
    key = SigningKey.generate(alg)
    signature = key.sign(b"data")
    assert len(signature) == signing.SIGNATURE_SIZES[alg]
    assert key.public.verify(signature, b"data")
    assert not key.public.verify(signature, b"Data")
    assert not SigningKey.generate(alg).public.verify(signature, b"data")
    for at in range(0, len(signature), max(1, len(signature) // 64)):
        assert not key.public.verify(signature[:at] + bytes([signature[at] ^ 1]) + signature[at + 1 :], b"data")


@pytest.mark.parametrize("alg", ALGORITHMS)
@given(signature=st.binary(max_size=80))
def test_any_bytes_are_no_signature(alg, signature):
    key = SigningKey(alg, b"k" * 32).public
    assert not key.verify(signature, b"data")
    assert not key.verify(signature.ljust(signing.SIGNATURE_SIZES[alg], b"\0")[: signing.SIGNATURE_SIZES[alg]], b"data")


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_keys_come_back_from_their_seed(alg):
    key = SigningKey.generate(alg)
    again = SigningKey(alg, key.seed)
    assert again.public == key.public
    assert key.public.verify(again.sign(b"x"), b"x")
    assert len(key.public.raw) == signing.PUBLIC_SIZES[alg]


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_signing_key_does_not_print_its_seed(alg):
    key = SigningKey(alg, b"secret seed secret seed secret s")
    assert "secret" not in repr(key)
    assert key.seed.hex() not in repr(key)


@pytest.mark.parametrize("seed", [b"", b"x" * 31, b"x" * 33], ids=len)
def test_a_seed_has_32_bytes(seed):
    with pytest.raises(InputError):
        SigningKey(ED25519, seed)


@pytest.mark.parametrize("seed", [bytes(32), b"\xff" * 32], ids=["zero", "beyond the order"])
def test_a_scalar_that_is_no_key_is_refused(seed):
    with pytest.raises(InputError) as caught:
        SigningKey(ES256, seed).sign(b"x")
    assert caught.value.code == Code.ARGUMENT


def test_unknown_algorithms_are_refused():
    """R55."""
    with pytest.raises(InputError):
        SigningKey("RS256", bytes(32))
    with pytest.raises(IntegrityError):
        PublicKey("none", b"")


def test_the_key_id_is_that_of_the_specification():
    expected = to_base64url(hashlib.sha256(b"Ed25519\0" + ONE.raw).digest())
    assert ONE.key_id == expected
    assert PublicKey(ED25519, ONE.raw).key_id == expected


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_the_spki_is_that_of_rfc_5280(alg):
    key = SigningKey(alg, b"k" * 32).public
    loaded = serialization.load_der_public_key(key.spki())
    assert key.raw in key.spki()
    assert (
        loaded.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo) == key.spki()
    )


def test_a_point_off_the_curve_has_no_spki_and_verifies_nothing():
    key = PublicKey(ES256, b"\4" + bytes(64))
    assert not key.verify(bytes(64), b"")
    with pytest.raises(IntegrityError) as caught:
        key.spki()
    assert caught.value.code == Code.PUBLIC_KEY


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_public_keys_travel(alg):
    key = SigningKey(alg, b"k" * 32).public
    assert PublicKey.from_value(key.to_value(), "key") == key
    for bad in ({"alg": alg}, {"alg": alg, "key": "AA"}, {"alg": "none", "key": key.to_value()["key"]}, None, []):
        with pytest.raises(IntegrityError):
            PublicKey.from_value(bad, "key")


def role(threshold: int, *groups: tuple[PublicKey, ...]) -> Role:
    return Role(threshold, tuple(map(Principal, groups)))


def test_thresholds_count_principals():
    two = role(2, (ONE,), (TWO,), (THREE,))
    assert two.satisfied({ONE.key_id, THREE.key_id})
    assert not two.satisfied({ONE.key_id})
    assert not two.satisfied({ONE.key_id, LATTICE.key_id})
    assert not two.satisfied(set())


def test_a_hybrid_principal_counts_with_both_keys_only():
    hybrid = role(1, (ONE, LATTICE))
    assert hybrid.satisfied({ONE.key_id, LATTICE.key_id})
    assert not hybrid.satisfied({ONE.key_id})
    assert not hybrid.satisfied({LATTICE.key_id})
    assert not role(2, (ONE, LATTICE), (TWO,)).satisfied({ONE.key_id, LATTICE.key_id})


def test_a_principal_without_keys_never_counts():
    assert not Role(1, (Principal(()),)).satisfied({ONE.key_id})


def test_roles_travel():
    whole = role(2, (ONE, LATTICE), (TWO,))
    assert Role.from_value(whole.to_value(), "role") == whole
    assert whole.key(LATTICE.key_id) == LATTICE
    assert whole.key(THREE.key_id) is None


@pytest.mark.parametrize(
    "bad",
    [
        role(2, (ONE,)),
        role(1, (ONE,), (ONE,)),
        role(1, (ONE, TWO)),
        role(1, (ONE, LATTICE), (LATTICE,)),
        role(0, (ONE,)),
        role(1),
        role(1, ()),
        role(1, (ONE, LATTICE, TWO)),
    ],
    ids=[
        "out of reach",
        "a key twice",
        "a pair of one algorithm",
        "a key in two",
        "none needed",
        "nobody",
        "no key",
        "three keys",
    ],
)
def test_roles_that_make_no_sense_are_refused(bad):
    with pytest.raises(IntegrityError) as caught:
        Role.from_value(bad.to_value(), "role")
    assert caught.value.code == Code.SHAPE
