"""The second secret: RFC 3394 under RFC 5869, and a grant that needs both (R94, B09)."""

import dataclasses

import pytest
from cryptography.hazmat.primitives import hashes, hmac

from strongroom.errors import Code, IntegrityError, InternalError
from strongroom.wire import grant as grants
from strongroom.wire import hpke, second_secret

SECRET, BINDING, KEYS = bytes(range(32)), bytes(range(100, 132)), b"k" * 64
CREDENTIAL = b"\0\2id\0\2es"
# RFC 3394 section 4.6: 256 bits of key data with a 256-bit KEK
KEK = bytes(range(32))
KEY_DATA = bytes.fromhex("00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f")
WRAPPED = bytes.fromhex("28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21")


def hkdf_by_hand(secret: bytes, salt: bytes) -> bytes:
    """RFC 5869 with SHA-256 for one block, in two lines."""

    def mac(key: bytes, data: bytes) -> bytes:
        state = hmac.HMAC(key, hashes.SHA256())
        state.update(data)
        return state.finalize()

    return mac(mac(salt, secret), second_secret.INFO + b"\1")


def test_the_published_vector(monkeypatch):
    """RFC 3394 section 4.6."""
    monkeypatch.setattr(second_secret, "_kek", lambda *_: bytes(memoryview(KEK)))  # it is wiped
    assert second_secret.wrap(SECRET, BINDING, KEY_DATA) == WRAPPED
    assert second_secret.unwrap(SECRET, BINDING, WRAPPED) == KEY_DATA


def test_the_key_is_hkdf_of_secret_and_binding():
    """RFC 5869: the binding is the salt, the label the info."""
    assert second_secret._kek(SECRET, BINDING) == hkdf_by_hand(SECRET, BINDING)


def test_only_the_same_secret_and_binding_unwrap():
    wrapped = second_secret.wrap(SECRET, BINDING, KEYS)
    assert len(wrapped) == len(KEYS) + second_secret.OVERHEAD
    assert second_secret.unwrap(SECRET, BINDING, wrapped) == KEYS
    flipped = [wrapped[:at] + bytes([wrapped[at] ^ 1]) + wrapped[at + 1 :] for at in range(len(wrapped))]
    tries = [(SECRET[::-1], BINDING, wrapped), (SECRET, BINDING[::-1], wrapped), (SECRET, BINDING, b"")]
    for secret, binding, data in [
        *tries,
        (SECRET, BINDING, wrapped[:-8]),
        *((SECRET, BINDING, one) for one in flipped),
    ]:
        with pytest.raises(IntegrityError) as caught:
            second_secret.unwrap(secret, binding, data)
        assert caught.value.code == Code.SEALED_KEY


@pytest.mark.parametrize(("secret", "keys"), [(SECRET[:31], KEYS), (SECRET, KEYS[:40]), (SECRET, b"")])
def test_whole_keys_under_a_whole_secret(secret, keys):
    with pytest.raises(InternalError):
        second_secret.wrap(secret, BINDING, keys)


def test_nothing_of_keys_and_secrets_is_left(monkeypatch):
    """D06, D13: what the library is given and gives back is bytes, and is overwritten; what the caller gave is not."""
    held = []

    def watched(name):
        function = getattr(second_secret, name)

        def call(key, data):
            found = function(key, data)
            held.extend((key, found if name == "aes_key_unwrap" else data))
            return found

        monkeypatch.setattr(second_secret, name, call)

    watched("aes_key_wrap")
    watched("aes_key_unwrap")
    for given in (bytes, bytearray):
        secret, keys = given(SECRET), given(KEYS)
        wrapped = second_secret.wrap(secret, BINDING, keys)
        assert second_secret.unwrap(secret, BINDING, wrapped) == KEYS
        assert (secret, keys) == (SECRET, KEYS)
    with pytest.raises(IntegrityError):
        second_secret.unwrap(SECRET[::-1], BINDING, wrapped)
    assert len(held) == 8
    assert not any(map(any, held))


def sealed(exchange, second: bytes | None = SECRET):
    grant = dataclasses.replace(exchange.grant(), credential=CREDENTIAL)
    return grants.seal_keys(grant, exchange.binding, exchange.keys, second)


def test_a_grant_for_a_tpm_opens_with_what_the_tpm_says(exchange):
    """R94: HPKE and the chip, both."""
    given: list[bytes] = []

    def activate(credential: bytes) -> bytearray:
        given.append(credential)
        return bytearray(SECRET)

    assert grants.open_grant(sealed(exchange), exchange.ephemeral, exchange.binding, activate) == exchange.keys
    assert given == [CREDENTIAL]


def test_the_private_key_alone_opens_nothing(exchange):
    """B09: whoever was relayed the request and has the ephemeral key still lacks the chip."""
    for activate in (None, lambda _: bytearray(32)):
        whole = type(exchange)()
        with pytest.raises(IntegrityError) as caught:
            grants.open_grant(sealed(whole), whole.ephemeral, whole.binding, activate)
        assert caught.value.code == Code.SEALED_KEY
        assert whole.ephemeral.used


def test_a_credential_cannot_be_taken_off_or_exchanged(exchange):
    """G06: HPKE covers the grant, so the wrap cannot be stripped from it."""
    for credential in (None, CREDENTIAL + b"\0"):
        whole = type(exchange)()
        with pytest.raises(IntegrityError):
            grants.open_grant(
                dataclasses.replace(sealed(whole), credential=credential),
                whole.ephemeral,
                whole.binding,
                lambda _: bytearray(SECRET),
            )


def test_secret_and_credential_go_together(exchange):
    with pytest.raises(InternalError):
        sealed(exchange, None)
    with pytest.raises(InternalError):
        grants.seal_keys(exchange.grant(), exchange.binding, exchange.keys, SECRET)


def test_whatever_the_chip_makes_of_a_credential_leaves_no_keys(exchange, monkeypatch):
    """D06: bytes are as good as a bytearray, and the plaintext goes on every path."""
    opened, answers = [], []
    take = hpke.EphemeralKey.open
    monkeypatch.setattr(hpke.EphemeralKey, "open", lambda *args: opened.append(take(*args)) or opened[-1])

    def no_credential(_):
        raise IntegrityError(Code.SHAPE, "structure ends too early")

    def broken(_):
        raise OSError

    def of_bytes(_):
        return bytes(memoryview(SECRET))

    def of_bytearray(_):
        answers.append(bytearray(SECRET))
        return answers[0]

    for activate, expected in (
        (of_bytes, None),
        (of_bytearray, None),
        (no_credential, IntegrityError),
        (broken, OSError),
    ):
        whole = type(exchange)()
        if expected is None:
            assert grants.open_grant(sealed(whole), whole.ephemeral, whole.binding, activate) == whole.keys
        else:
            with pytest.raises(expected) as caught:
                grants.open_grant(sealed(whole), whole.ephemeral, whole.binding, activate)
            assert expected is OSError or caught.value.code == Code.SEALED_KEY
        assert whole.ephemeral.used
    assert len(opened) == 4
    assert not any(map(any, (*opened, *answers)))
