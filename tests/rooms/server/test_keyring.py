"""The keyring and its file."""

import json

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.canonical import decode, encode, from_base64url
from strongroom.errors import Code, IntegrityError, InternalError, SetupError
from strongroom.server.vaults.keyring import MAX_SECRET, Keyring, derive
from strongroom.server.vaults.keyring_file import ARGON2ID, KeyFile, Passphrase, open_keyring, seal_keyring

PHRASE = Passphrase(b"correct horse battery staple")
KEY = KeyFile(bytes(range(32)))
RING = Keyring.generate()
SEALED = seal_keyring(RING, KEY)


def _sealed_error(data, secret):
    with pytest.raises(SetupError) as caught:
        open_keyring(data, secret, where="keys/keyring.json")
    assert caught.value.code == Code.VAULT_SEALED
    assert caught.value.next_step
    assert caught.value.where == "keys/keyring.json"
    return str(caught.value)


@pytest.mark.parametrize("secret", [PHRASE, KEY], ids=["passphrase", "key file"])
def test_a_keyring_survives_its_file(secret):
    found = open_keyring(seal_keyring(RING, secret), secret)
    assert found == RING
    assert found.unwrap(RING.wrap(b"secret", b"x"), b"x") == b"secret"
    assert found.mac(b"row") == RING.mac(b"row")
    assert found.deposit_key.public == RING.deposit_key.public
    assert found.release_signer.public == RING.release_signer.public


def test_the_file_is_canonical_and_says_how_it_is_sealed():
    """R50: parameters are the second recommended ones of RFC 9106."""
    value = decode(seal_keyring(RING, PHRASE), limit=65_536)
    assert value["seal"]["kind"] == "argon2id"
    assert value["seal"]["parameters"] == ARGON2ID == {"passes": 3, "memory": 65_536, "lanes": 4}
    assert sorted(value) == ["ciphertext", "nonce", "seal", "version"]


def test_the_files_construction_is_the_described_one():
    """A second implementation opens it: HKDF-SHA-512, AES-256-GCM, the header as associated data."""
    value = json.loads(SEALED)
    header = {"version": value["version"], "seal": value["seal"]}
    key = derive(KEY.secret, from_base64url(value["seal"]["salt"]), b"strongroom/keyring/key-file/v1\0")
    associated = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    content = AESGCM(key).decrypt(from_base64url(value["nonce"]), from_base64url(value["ciphertext"]), associated)
    assert json.loads(content)["current"]


def test_no_two_files_of_one_keyring_are_alike_and_none_shows_a_secret():
    other = seal_keyring(RING, KEY)
    assert other != SEALED
    for secret in (RING.mac_key, RING.url_key, RING.release_signer.seed, KEY.secret):
        assert secret not in SEALED
        assert secret.hex().encode() not in SEALED


def test_a_wrong_secret_says_what_to_do():
    sealed = seal_keyring(RING, PHRASE)
    assert "passphrase" in _sealed_error(sealed, Passphrase(b"another one"))
    assert "passphrase" in _sealed_error(sealed, KEY)
    assert "key file" in _sealed_error(SEALED, KeyFile(bytes(32)))
    assert "key file" in _sealed_error(SEALED, PHRASE)


def test_a_short_passphrase_is_refused():
    with pytest.raises(SetupError, match="at least 8"):
        seal_keyring(RING, Passphrase(b"1234567"))


@settings(max_examples=150)
@given(index=st.integers(0, len(SEALED) - 1), bit=st.integers(0, 7))
def test_every_changed_bit_of_the_file_is_noticed(index, bit):
    changed = bytearray(SEALED)
    changed[index] ^= 1 << bit
    _sealed_error(bytes(changed), KEY)


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"[]", b"null", b"\xff\xfe", b"{" * 1000, SEALED[:-1], SEALED + b"\n", b" " * 200_000],
    ids=["empty", "no fields", "array", "null", "no text", "deep", "cut", "longer", "too large"],
)
def test_what_is_no_keyring_is_told_so(data):
    _sealed_error(data, KEY)


def test_parameters_that_would_eat_the_machine_are_refused_before_they_are_used():
    value = json.loads(seal_keyring(RING, PHRASE))
    for name, number in (("memory", 2**21), ("passes", 10**6), ("lanes", 0)):
        seal = value["seal"] | {"parameters": value["seal"]["parameters"] | {name: number}}
        _sealed_error(encode(value | {"seal": seal}), PHRASE)


@given(secret=st.binary(max_size=200), context=st.binary(max_size=100))
def test_wrapping_round_trip(secret, context):
    assert RING.unwrap(RING.wrap(secret, context), context) == secret


@given(context=st.binary(max_size=60), other=st.binary(max_size=60), move=st.integers(0, 8))
def test_a_context_is_bound_with_its_boundary(context, other, move):
    """Bytes cannot wander between the blob's header and the context."""
    wrapped = RING.wrap(b"secret", context)
    if other != context:
        with pytest.raises(IntegrityError):
            RING.unwrap(wrapped, other)
    if move:
        with pytest.raises(IntegrityError):
            RING.unwrap(wrapped[move:], wrapped[:move] + context)


def test_an_older_wrapping_key_still_unwraps_and_a_dropped_one_does_not():
    wrapped = RING.wrap(b"secret", b"x")
    new_id = bytes(8)
    args = {name: getattr(RING, name) for name in RING.__slots__}
    rotated = Keyring(**(args | {"current": new_id, "wrapping": {**RING.wrapping, new_id: bytes(32)}}))
    assert rotated.unwrap(wrapped, b"x") == b"secret"
    assert rotated.wrap(b"secret", b"x")[1:9] == new_id
    dropped = Keyring(**(args | {"current": new_id, "wrapping": {new_id: bytes(32)}}))
    with pytest.raises(IntegrityError) as caught:
        dropped.unwrap(wrapped, b"x")
    assert caught.value.code == Code.VAULT_REFUSED


def test_a_vault_is_no_place_for_large_things():
    with pytest.raises(InternalError):
        RING.wrap(bytes(MAX_SECRET + 1), b"")


def test_every_purpose_has_a_key_of_its_own():
    """R50: one secret, one purpose."""
    secrets = [
        *RING.wrapping.values(),
        RING.mac_key,
        RING.url_key,
        RING.release_signer.seed,
        RING.order_signer.seed,
        RING.token_signer.seed,
        RING.deposit_key.seed,
    ]
    assert len(set(secrets)) == 7
    for secret in secrets:
        assert repr(secret)[2:20] not in repr(RING)
