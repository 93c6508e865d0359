"""An owner signs later, without the model key (section 7; R56)."""

import hashlib
import io

import pytest

from strongroom import sealed
from strongroom.errors import InputError, IntegrityError, StoreError
from strongroom.signing import ED25519, ES256, ML_DSA_65, Principal, Role, SigningKey
from vectors.sealed_writer import Plan, b64, fixed, flipped, key_id, make, owner
from vectors.targets import EXPECTED, SUBJECT, local_file, network_file, role

MIB = 2**20
FIRST, SECOND, THIRD = (SigningKey(ED25519, fixed(f"owner {name}", 32)) for name in ("first", "second", "third"))
PQ = SigningKey(ML_DSA_65, fixed("post-quantum", 32))


def again(data: bytes, *signers, **how) -> bytes:
    sink = io.BytesIO()
    head = sealed.copy_signed(sealed.BytesReadable(data), sink, *signers, **how)
    assert sink.getvalue().startswith(head.head_part)
    return sink.getvalue()


def verdict(data: bytes, owners: Role) -> str:
    try:
        sealed.verify_sealed(sealed.BytesReadable(data), owners)
    except IntegrityError as error:
        return error.code
    return "success"


def test_a_threshold_is_reached_signature_by_signature():
    """A22: one of three is not enough, the second makes it two, and the model key is never asked for."""
    data, mek, made = network_file(size=2 * MIB + 5, signers=())
    owners = role("first", "second", "third", threshold=2)
    assert verdict(data, owners) == "file-signature"
    one = again(data, FIRST)
    assert (verdict(one, role("first")), verdict(one, owners)) == ("success", "file-signature")
    two = again(one, THIRD)
    assert verdict(two, owners) == verdict(two, role("first")) == verdict(two, role("third")) == "success"
    assert verdict(two, role("first", "second", "third", threshold=3)) == "file-signature"
    opened = sealed.open_sealed(sealed.BytesReadable(two), mek, sealed.Expected("model", SUBJECT, owners))
    assert opened.payload == fixed("target", 2 * MIB + 5)
    assert opened.head.digest == hashlib.sha512(made.head).digest()
    assert two.endswith(b"".join(made.segments))


def test_what_is_signed_later_is_what_would_have_been_signed_at_once():
    """The second writer, which signed with both from the start, has made the same bytes."""
    later = again(make(Plan("both", signers=("first",))).data, SECOND)
    assert later == make(Plan("both", signers=("first", "second"))).data


def test_the_new_head_part_alone():
    data, _, _ = network_file()
    head = sealed.add_signature(sealed.BytesReadable(data), SECOND, PQ)
    old = sealed.read_head(sealed.BytesReadable(data))
    assert (head.digest, head.mac, head.core, head.digests) == (old.digest, old.mac, old.core, old.digests)
    assert head.signatures[0] == old.signatures[0]
    assert [one.alg for one in head.signatures] == [ED25519, ED25519, ML_DSA_65]
    assert head.file_size - old.file_size == len(head.head_part) - len(old.head_part)
    assert sealed.verify_sealed(sealed.BytesReadable(head.head_part + data[old.offset(0) :]), role("second"))


def test_a_hybrid_owner_signs_with_both_keys():
    """A22: the two signatures count together, also when they come one after the other."""
    hybrid = Role(1, (Principal((SECOND.public, PQ.public)),))
    data, _, _ = network_file()
    assert verdict(again(data, SECOND, PQ), hybrid) == "success"
    half = again(data, PQ)
    assert verdict(half, hybrid) == "file-signature"
    assert verdict(again(half, SECOND), hybrid) == "success"


def test_a_strangers_signature_neither_helps_nor_harms():
    data, _, _ = network_file()
    stranger = SigningKey(ED25519, fixed("stranger", 32))
    assert verdict(again(data, stranger), role("first")) == "success"
    assert verdict(again(data, stranger), role("first", "second", threshold=2)) == "file-signature"


def refused(data: bytes, *signers) -> str:
    sink = io.BytesIO()
    for attempt in (
        lambda: sealed.add_signature(sealed.BytesReadable(data), *signers),
        lambda: sealed.copy_signed(sealed.BytesReadable(data), sink, *signers),
    ):
        with pytest.raises((InputError, IntegrityError)) as refusal:
            attempt()
    assert sink.getvalue() == b""
    return refusal.value.code


class Wrong:
    """A signer that returns something else than its signature."""

    public = SECOND.public

    def sign(self, data: bytes) -> bytes:
        return bytes(64)


def test_who_cannot_sign():
    data, _, _ = network_file()
    assert refused(data) == "argument"
    assert refused(data, FIRST) == "argument"  # signed already
    assert refused(data, SECOND, SECOND) == "argument"
    assert refused(data, SigningKey(ES256, fixed("es256", 32))) == "argument"
    with pytest.raises(InputError) as refusal:
        sealed.add_signature(sealed.BytesReadable(data), Wrong())
    assert refusal.value.code == "argument"
    local, _, _ = local_file()
    assert refused(local, SECOND) == "file-kind"


def test_no_more_signatures_than_fit():
    data, _, _ = network_file()
    keys = [SigningKey(ED25519, fixed(f"many {number}", 32)) for number in range(63)]
    full = again(data, *keys)
    assert len(sealed.read_head(sealed.BytesReadable(full)).signatures) == 64
    assert refused(full, SECOND) == "file-limit"
    assert refused(data, *(SigningKey(ML_DSA_65, fixed(f"many {number}", 32)) for number in range(15))) == "file-limit"


@pytest.mark.parametrize(("at", "code"), [(-1, "file-digest"), (10, "file-format"), (24, "file-trailing")])
def test_a_broken_file_is_not_signed(at, code):
    """Nobody puts a name under segments that are not the ones the manifest lists; no head is written."""
    data, _, _ = network_file()
    sink, asked = io.BytesIO(), []

    class Asked:
        public = SECOND.public

        def sign(self, message: bytes) -> bytes:
            asked.append(message)
            return SECOND.sign(message)

    broken = flipped(data, at) if at != 24 else data + b"\0"
    with pytest.raises(IntegrityError) as refusal:
        sealed.copy_signed(sealed.BytesReadable(broken), sink, Asked())
    assert refusal.value.code == code
    assert asked == []
    assert not sink.getvalue().startswith(b"\x89SRM")


def test_a_signature_does_not_move_to_another_file():
    """B20: the signature of one head in the block of another counts nothing."""
    data, _, _ = network_file()
    entry = {
        "alg": ED25519,
        "key": key_id(owner("second")),
        "sig": b64(SECOND.sign(sealed.read_head(sealed.BytesReadable(data)).signed_bytes)),
    }
    other = make(Plan("other", bend_signatures=lambda all_: [*all_, entry])).data
    assert verdict(other, role("first")) == "success"
    assert verdict(other, role("second")) == "file-signature"


def test_progress_and_a_place_in_the_sink():
    data, mek, _ = network_file(size=2 * MIB)
    sink, seen = io.BytesIO(b"before"), []
    sink.seek(6)
    sealed.copy_signed(sealed.BytesReadable(data), sink, SECOND, progress=seen.append)
    assert sink.getvalue()[:6] == b"before"
    assert sealed.open_sealed(sealed.BytesReadable(sink.getvalue()[6:]), mek, EXPECTED).toc.payload_length == 2 * MIB
    head = sealed.read_head(sealed.BytesReadable(data))
    assert seen[-1] == len(data) - len(head.head_part)


def test_a_full_disk():
    class Full(io.BytesIO):
        def write(self, data) -> int:
            raise OSError(28, "No space left on device")

    data, _, _ = network_file()
    with pytest.raises(StoreError) as refusal:
        sealed.copy_signed(sealed.BytesReadable(data), Full(), SECOND)
    assert refusal.value.code == "disk-full"
