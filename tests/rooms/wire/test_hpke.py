"""HPKE for releases and deposits: sizes, bad keys, one use, and every wrong bit refused with one code."""

import copy
import hashlib
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest

from strongroom.errors import Code, InputError, IntegrityError
from strongroom.wire import hpke

LOW_ORDER = [  # all points of small order on Curve25519, as in every list of them since 2017
    bytes(32),
    b"\1" + bytes(31),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    bytes.fromhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    bytes.fromhex("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    bytes.fromhex("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
]
MEK = b"m" * 32
INFO = b"info"


@pytest.mark.parametrize("kem", hpke.KEMS, ids=hpke.KEMS.values())
@pytest.mark.parametrize("count", [1, 3])
def test_what_is_sealed_opens(kem, count):
    """R36, R41: sizes are those of the specification."""
    key = hpke.EphemeralKey.generate(kem)
    assert len(key.public) == {0x647A: 1216, 0x20: 32, 0x10: 65}[kem]
    sealed = hpke.seal(kem, key.public, INFO, MEK * count)
    assert (
        len(sealed) == {0x647A: 1168, 0x20: 80, 0x10: 113}[kem] + 32 * (count - 1) == hpke.sealed_size(kem, 32 * count)
    )
    assert key.open(sealed, INFO) == MEK * count


def test_the_default_is_hybrid():
    assert hpke.EphemeralKey.generate().kem == 0x647A
    assert hpke.DepositKey.generate().kem == 0x647A


def test_two_requests_have_two_keys():
    """R36, R54."""
    assert hpke.EphemeralKey.generate().public != hpke.EphemeralKey.generate().public


@pytest.mark.parametrize("kem", hpke.KEMS, ids=hpke.KEMS.values())
def test_a_key_opens_once(kem):
    """R37, R45, B23."""
    key = hpke.EphemeralKey.generate(kem)
    sealed = hpke.seal(kem, key.public, INFO, MEK)
    assert not key.used
    key.open(sealed, INFO)
    assert key.used
    with pytest.raises(InputError) as caught:
        key.open(sealed, INFO)
    assert caught.value.code == Code.KEY_REUSED


def test_a_failure_uses_the_key_up():
    key = hpke.EphemeralKey.generate(hpke.X25519)
    sealed = hpke.seal(hpke.X25519, key.public, INFO, MEK)
    with pytest.raises(IntegrityError):
        key.open(sealed, b"other")
    with pytest.raises(InputError):
        key.open(sealed, INFO)


def test_a_destroyed_key_opens_nothing():
    key = hpke.EphemeralKey.generate(hpke.X25519)
    key.destroy()
    with pytest.raises(InputError):
        key.open(hpke.seal(hpke.X25519, key.public, INFO, MEK), INFO)


def test_of_many_threads_one_gets_to_use_the_key():
    key = hpke.EphemeralKey.generate(hpke.X25519)
    sealed = hpke.seal(hpke.X25519, key.public, INFO, MEK)

    def attempt(_: int) -> bool:
        try:
            return key.open(sealed, INFO) == MEK
        except InputError:
            return False

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(64))) == 1


def test_private_keys_are_neither_printed_nor_copied():
    """D10."""
    deposit = hpke.DepositKey.from_seed(hpke.X25519, bytes(range(32)))
    assert "seed" not in repr(deposit)
    assert deposit.seed.hex() not in repr(deposit)
    ephemeral = hpke.EphemeralKey.generate(hpke.X25519)
    assert repr(ephemeral) == "EphemeralKey(X25519, used=False)"
    for way in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(InputError):
            way(ephemeral)


@pytest.mark.parametrize("kem", hpke.KEMS, ids=hpke.KEMS.values())
def test_a_seed_makes_the_same_key_again(kem):
    key = hpke.DepositKey.generate(kem)
    again = hpke.DepositKey.from_seed(kem, key.seed)
    assert again.public == key.public
    assert again.open(hpke.seal(kem, key.public, INFO, MEK), INFO) == MEK


@pytest.mark.parametrize(
    ("kem", "seed"),
    [(hpke.X25519, b"s" * 31), (hpke.MLKEM768_X25519, b""), (hpke.P256, bytes(32)), (hpke.P256, b"\xff" * 32)],
    ids=["short", "empty", "P-256 zero", "P-256 beyond the order"],
)
def test_a_bad_seed_is_refused(kem, seed):
    with pytest.raises(InputError) as caught:
        hpke.DepositKey.from_seed(kem, seed)
    assert caught.value.code == Code.ARGUMENT


def _refusal(kem: int, raw: bytes) -> Code:
    for attempt in (lambda: hpke.check_public_key(kem, raw), lambda: hpke.seal(kem, raw, INFO, MEK)):
        with pytest.raises(InputError) as caught:
            attempt()
    return caught.value.code


@pytest.mark.parametrize("point", LOW_ORDER, ids=lambda point: point.hex()[:8])
def test_low_order_points_are_refused_as_recipients(point):
    """B05: alone and as the curve half of the hybrid."""
    lattice = hpke.EphemeralKey.generate().public[:1184]
    assert _refusal(hpke.X25519, point) == Code.PUBLIC_KEY
    assert _refusal(hpke.MLKEM768_X25519, lattice + point) == Code.PUBLIC_KEY


@pytest.mark.parametrize("point", LOW_ORDER, ids=lambda point: point.hex()[:8])
def test_low_order_points_are_refused_as_senders(point):
    key = hpke.EphemeralKey.generate(hpke.X25519)
    sealed = hpke.seal(hpke.X25519, key.public, INFO, MEK)
    with pytest.raises(IntegrityError) as caught:
        key.open(point + sealed[32:], INFO)
    assert caught.value.code == Code.SEALED_KEY


def test_a_second_spelling_of_a_key_is_refused():
    """B24: the top bit is ignored by X25519, so with it one key could be served twice."""
    public = bytearray(hpke.EphemeralKey.generate(hpke.X25519).public)
    public[31] |= 0x80
    assert _refusal(hpke.X25519, bytes(public)) == Code.PUBLIC_KEY
    beyond = (2**255 - 19 + 9).to_bytes(32, "little")
    assert _refusal(hpke.X25519, beyond) == Code.PUBLIC_KEY


def test_bad_p256_keys_are_refused():
    """B05: off the curve, in another form, at infinity."""
    good = hpke.EphemeralKey.generate(hpke.P256).public
    off = good[:-1] + bytes([good[-1] ^ 1])
    compressed = bytes([2 + (good[64] & 1)]) + good[1:33]
    for bad in (off, compressed, bytes(65), b"\4" + bytes(64), b"\6" + good[1:], b"\0", good + b"\0"):
        assert _refusal(hpke.P256, bad) == Code.PUBLIC_KEY


def test_ml_kem_keys_that_fail_the_modulus_check_are_refused():
    """B05: FIPS 203 section 7.2, a coefficient of 3329 and above."""
    good = hpke.EphemeralKey.generate().public
    for at in (0, 3, 600, 1149):
        bad = bytearray(good)
        bad[at : at + 3] = b"\xff\xff\xff"
        assert _refusal(hpke.MLKEM768_X25519, bytes(bad)) == Code.PUBLIC_KEY
    exactly = bytearray(good)
    exactly[0:2] = bytes([3329 & 0xFF, (exactly[1] & 0xF0) | 3329 >> 8])
    assert _refusal(hpke.MLKEM768_X25519, bytes(exactly)) == Code.PUBLIC_KEY


@pytest.mark.parametrize("kem", hpke.KEMS, ids=hpke.KEMS.values())
def test_keys_of_another_length_are_refused(kem):
    good = hpke.EphemeralKey.generate(kem).public
    for bad in (b"", good[:-1], good + b"\0"):
        assert _refusal(kem, bad) == Code.PUBLIC_KEY


@pytest.mark.parametrize("kem", [0, 0x0011, 0x0041, 0x0042, 0xFFFF, -1, 2**40])
def test_unknown_kems_are_refused(kem):
    """R55."""
    attempts = [
        lambda: hpke.check_public_key(kem, bytes(32)),
        lambda: hpke.seal(kem, bytes(32), INFO, MEK),
        lambda: hpke.EphemeralKey.generate(kem),
        lambda: hpke.DepositKey.generate(kem),
        lambda: hpke.DepositKey.from_seed(kem, bytes(32)),
        lambda: hpke.sealed_size(kem, 32),
    ]
    for attempt in attempts:
        with pytest.raises(InputError) as caught:
            attempt()
        assert caught.value.code == Code.KEM_UNSUPPORTED


def _open(key: hpke.DepositKey, sealed: bytes, info: bytes = INFO) -> Code | None:
    try:
        key.open(sealed, info)
    except IntegrityError as error:
        return error.code
    return None


@pytest.mark.parametrize(
    ("kem", "step"), [(hpke.X25519, 1), (hpke.P256, 1), (hpke.MLKEM768_X25519, 13)], ids=["X25519", "P256", "hybrid"]
)
def test_every_wrong_bit_is_refused_with_one_code(kem, step):
    """B07: all bits (of the hybrid every thirteenth), all truncations, extensions."""
    key = hpke.DepositKey.generate(kem)
    sealed = hpke.seal(kem, key.public, INFO, MEK)
    assert _open(key, sealed) is None
    codes = set()
    for bit in range(0, len(sealed) * 8, step):
        bent = bytearray(sealed)
        bent[bit // 8] ^= 1 << bit % 8
        codes.add(_open(key, bytes(bent)))
    codes |= {_open(key, sealed[:length]) for length in range(0, len(sealed), step)}
    codes |= {_open(key, sealed + b"\0"), _open(key, b"\0" + sealed)}
    assert codes == {Code.SEALED_KEY}


def test_another_info_or_key_is_refused():
    key, other = (hpke.DepositKey.generate(hpke.X25519) for _ in range(2))
    sealed = hpke.seal(key.kem, key.public, INFO, MEK)
    assert _open(key, sealed, INFO + b"\0") == Code.SEALED_KEY
    assert _open(key, sealed, b"") == Code.SEALED_KEY
    assert _open(other, sealed) == Code.SEALED_KEY


def test_both_halves_of_the_hybrid_are_needed():
    """B28: knowing one of the two private keys opens nothing."""
    key = hpke.DepositKey.generate()
    sealed = hpke.seal(key.kem, key.public, INFO, MEK)
    other = hpke.DepositKey.generate()
    mixed_public = [key.public[:1184] + other.public[1184:], other.public[:1184] + key.public[1184:]]
    for public in mixed_public:
        assert _open(key, hpke.seal(key.kem, public, INFO, MEK)) == Code.SEALED_KEY
    assert _open(key, sealed) is None


def test_the_release_info_covers_all_of_the_grant_but_what_is_sealed(exchange):
    grant = exchange.grant()
    digest = hashlib.sha256(exchange.unsealed().to_bytes()).digest()
    assert hpke.release_info(b"b" * 32, grant) == b"strongroom/release/v1\0" + b"b" * 32 + digest


def test_the_deposit_info_is_what_the_specification_writes_out():
    parts = (b"acc", b"pub", b"digits", b"1.2", b"f" * 32, b"h" * 64)
    expected = b"strongroom/deposit/v1\0" + b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    assert hpke.deposit_info("acc", "pub", "digits", "1.2", b"f" * 32, b"h" * 64) == expected
    assert hpke.deposit_info(None, "p", "m", "1", b"", b"") == hpke.deposit_info("", "p", "m", "1", b"", b"")


def test_ephemeral_digests_tell_kems_apart():
    """B24: what the server keeps to refuse a key it has served."""
    assert hpke.ephemeral_digest(0x20, b"k") == hashlib.sha256(b"\x00\x20k").digest()
    assert hpke.ephemeral_digest(0x20, b"k") != hpke.ephemeral_digest(0x10, b"k")
