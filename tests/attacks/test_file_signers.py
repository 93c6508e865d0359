"""Attempts by people who may not sign, or who signed something else (R44)."""

import hashlib
import io
from functools import partial

import pytest
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey

from strongroom import sealed
from strongroom.errors import IntegrityError
from strongroom.signing import ED25519, ML_DSA_65, Principal, PublicKey, Role, SigningKey
from vectors.sealed_writer import b64, dump, fixed, flipped, key_id, owner
from vectors.targets import EXPECTED, OWNERS, SUBJECT, network_file, rebuilt, refused, role

ORDER = 2**252 + 27742317777372353535851937790883648493  # of the group of Ed25519
THREE = role("first", "second", "third", threshold=2)


def with_owners(data: bytes, mek: sealed.ModelKey, owners: Role) -> str:
    """Return the code with which a file is refused to someone who trusts these owners, with the key and without."""
    readable = sealed.BytesReadable(data)
    expected = sealed.Expected("model", SUBJECT, owners)
    codes = {
        refused(partial(sealed.open_sealed, readable, mek, expected)),
        refused(partial(sealed.open_random_access, readable, mek, expected)),
        refused(partial(sealed.verify_sealed, readable, owners)),
    }
    assert len(codes) == 1
    return codes.pop()


@pytest.mark.parametrize(
    ("signers", "owners"),
    [
        (("stranger",), role("first")),
        ((), role("first")),
        (("first",), THREE),
        (("first", "stranger"), THREE),
        (("stranger", "another"), THREE),
        (("second",), role("first")),
        (("first", "second"), role("first", "second", "third", threshold=3)),
    ],
    ids=["a stranger", "nobody", "one of two", "one and a stranger", "strangers", "a revoked key", "two of three"],
)
def test_not_signed_by_enough_owners(signers, owners):
    """A22: another's key, a key that is not trusted or no longer, one of two; A23: signatures stripped."""
    data, mek, _ = network_file(signers=signers)
    assert with_owners(data, mek, owners) == "file-signature"


def test_two_of_three():
    """A22: the counterpart: any two of the three, in any order, beside strangers; a role of nobody admits nobody."""
    for signers in (("first", "second"), ("third", "first"), ("stranger", "second", "another", "third")):
        data, mek, _ = network_file(signers=signers)
        expected = sealed.Expected("model", SUBJECT, THREE)
        assert sealed.open_sealed(sealed.BytesReadable(data), mek, expected).payload == fixed("target", 50_000)
        assert with_owners(data, mek, Role(1, ())) == "file-signature"
        assert with_owners(data, mek, Role(1, (Principal(()),))) == "file-signature"


def test_one_owner_counted_twice():
    """A22: two signatures by one key are no two owners, nor is one key named twice in a role."""
    data, mek, made = network_file()
    message = b"strongroom/v1 file\0" + hashlib.sha512(made.head).digest()
    entry = {"alg": "Ed25519", "key": key_id(owner("first")), "sig": b64(owner("first").sign(message))}
    for block in ([entry, entry], [entry, entry | {"sig": b64(owner("first").sign(b"another"))}]):
        assert with_owners(rebuilt(made, block=dump(block)), mek, THREE) == "file-format"
    key = PublicKey(ED25519, owner("first").public_key().public_bytes_raw())
    for principals in ([[key], [key]], [[key, key]]):
        value = {"threshold": 1, "principals": [[one.to_value() for one in keys] for keys in principals]}
        with pytest.raises(IntegrityError) as refusal:
            Role.from_value(value, "role")
        assert refusal.value.code == "shape"
    assert with_owners(data, mek, THREE) == "file-signature"


def test_one_owners_signature_under_another_name():
    """A22: the identifier is of the key: with another's it verifies under neither, and a third adds nothing."""
    _, mek, made = network_file()
    message = b"strongroom/v1 file\0" + hashlib.sha512(made.head).digest()
    mine = b64(owner("first").sign(message))
    block = [{"alg": "Ed25519", "key": key_id(owner(name)), "sig": mine} for name in ("second", "third")]
    assert with_owners(rebuilt(made, block=dump(block)), mek, role("first", "second", "third")) == "file-signature"


def test_signed_over_another_head():
    """A23: over the head of another file, of an earlier version of this one, over the digest alone, over nothing."""
    _, mek, made = network_file()
    _, _, other = network_file("other")
    digest = hashlib.sha512(made.head).digest()
    messages = [
        b"strongroom/v1 file\0" + hashlib.sha512(other.head).digest(),
        b"strongroom/v1 file\0" + hashlib.sha512(flipped(made.head, -9)).digest(),
        digest,
        b"strongroom/v1 file" + digest,
        b"strongroom/v1 trust\0" + digest,
        b"strongroom/v1 file\0" + hashlib.sha256(made.head).digest(),
        b"",
    ]
    for message in messages:
        entry = {"alg": "Ed25519", "key": key_id(owner("first")), "sig": b64(owner("first").sign(message))}
        assert with_owners(rebuilt(made, block=dump([entry])), mek, OWNERS) == "file-signature"
    assert len(messages) == 7


def test_a_second_spelling_of_a_signature():
    """A23: Ed25519: a scalar not below the group's order, and every small multiple that still fits in 32 bytes."""
    _, mek, made = network_file()
    message = b"strongroom/v1 file\0" + hashlib.sha512(made.head).digest()
    raw, counted = owner("first").sign(message), 0
    scalar = int.from_bytes(raw[32:], "little")
    while (scalar := scalar + ORDER) < 2**256:
        sig = raw[:32] + scalar.to_bytes(32, "little")
        block = dump([{"alg": "Ed25519", "key": key_id(owner("first")), "sig": b64(sig)}])
        assert with_owners(rebuilt(made, block=block), mek, OWNERS) == "file-signature"
        counted += 1
    assert counted == 15
    for sig in (bytes(64), b"\1" + bytes(63), raw[:32] + bytes(32), bytes(32) + raw[32:]):
        block = dump([{"alg": "Ed25519", "key": key_id(owner("first")), "sig": b64(sig)}])
        assert with_owners(rebuilt(made, block=block), mek, OWNERS) == "file-signature"


def test_a_post_quantum_signature_with_a_context():
    """A23: ML-DSA-65 with a context, over other bytes, and cut: the context is empty, and the size is fixed."""
    key = MLDSA65PrivateKey.from_seed_bytes(fixed("post-quantum", 32))
    public = PublicKey(ML_DSA_65, key.public_key().public_bytes_raw())
    owners = Role(1, (Principal((public,)),))
    _, mek, made = network_file()
    message = b"strongroom/v1 file\0" + hashlib.sha512(made.head).digest()

    def signed(sig: bytes) -> bytes:
        return rebuilt(made, block=dump([{"alg": ML_DSA_65, "key": public.key_id, "sig": b64(sig)}]))

    expected = sealed.Expected("model", SUBJECT, owners)
    assert sealed.open_sealed(sealed.BytesReadable(signed(key.sign(message))), mek, expected).head.suite == 1
    for sig in (key.sign(message, b"strongroom"), key.sign(message, b"\0"), key.sign(message[:-1]), bytes(3309)):
        assert with_owners(signed(sig), mek, owners) == "file-signature"
    assert with_owners(signed(key.sign(message)[:-1]), mek, owners) == "file-format"


def test_a_signature_under_another_algorithm():
    """A23: the algorithm is the key's own, never what the file says of it."""
    _, mek, made = network_file()
    message = b"strongroom/v1 file\0" + hashlib.sha512(made.head).digest()
    sig = owner("first").sign(message)
    for alg, raw, code in (
        (ML_DSA_65, sig, "file-format"),
        (ML_DSA_65, sig + bytes(3245), "file-signature"),
        ("ES256", sig, "file-format"),
        ("none", sig, "file-format"),
        ("ed25519", sig, "file-format"),
    ):
        block = dump([{"alg": alg, "key": key_id(owner("first")), "sig": b64(raw)}])
        assert with_owners(rebuilt(made, block=block), mek, OWNERS) == code


def test_half_of_a_hybrid_owner():
    """A22: an owner with two keys signs with both; each alone, and both of different owners, are not enough."""
    pairs = [(SigningKey(ED25519, fixed(f"ed {n}", 32)), SigningKey(ML_DSA_65, fixed(f"ml {n}", 32))) for n in "12"]
    owners = Role(1, tuple(Principal(tuple(one.public for one in pair)) for pair in pairs))
    mek, source = sealed.ModelKey.generate(), sealed.Source.of_bytes("m", b"x")

    def made(*signers: SigningKey) -> bytes:
        sink = io.BytesIO()
        sealed.seal([source], sink, mek=mek, subject=SUBJECT, signers=signers)
        return sink.getvalue()

    for signers in ([pairs[0][0]], [pairs[0][1]], [pairs[0][0], pairs[1][1]]):
        assert with_owners(made(*signers), mek, owners) == "file-signature"
    expected = sealed.Expected("model", SUBJECT, owners)
    assert sealed.open_sealed(sealed.BytesReadable(made(*pairs[1])), mek, expected).payload == b"x"


def test_signatures_need_no_key_and_keys_need_signatures():
    """A23: step 3 comes before step 4: an unsigned file is refused before its key is tried."""
    data, _, _ = network_file(signers=())
    wrong = partial(sealed.open_sealed, sealed.BytesReadable(data), sealed.ModelKey(bytes(32)), EXPECTED)
    assert refused(wrong) == "file-signature"
    signed, _, _ = network_file()
    assert sealed.verify_sealed(sealed.BytesReadable(signed), OWNERS).core.counter == 1
