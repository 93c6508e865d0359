"""The next trust document on its way from owner to owner: nothing counts that was not signed, and nothing is lost."""

from dataclasses import replace

import pytest

from strongroom import canonical
from strongroom.errors import Code, StrongroomError
from strongroom.signing import ED25519, ML_DSA_65, Principal, Role, SigningKey
from strongroom.wire import succession, trust

OWNER, OWNER_PQ, SECOND, THIRD = (
    SigningKey(alg, bytes([n]) * 32) for n, alg in enumerate((ED25519, ML_DSA_65, ED25519, ED25519), 1)
)


def role(threshold, *groups):
    return Role(threshold, tuple(Principal(tuple(key.public for key in keys)) for keys in groups))


@pytest.fixture
def old(exchange):
    return replace(exchange.trust, owner=role(1, (OWNER, OWNER_PQ)))


@pytest.fixture
def document(old):
    """The next one: two of three owners are needed, the hybrid one among them."""
    return succession.draft(
        replace(old, version=old.version + 1, owner=role(2, (OWNER, OWNER_PQ), (SECOND,), (THIRD,)))
    )


def refusal(call, *args):
    with pytest.raises(StrongroomError) as caught:
        call(*args)
    return caught.value.code


def test_a_draft_is_read_as_it_was_written(document):
    assert succession.read(document.encode()) == document
    assert document.signatures == ()


def test_signatures_are_added_one_owner_at_a_time_until_devices_follow(old, document):
    first = succession.sign(document, [OWNER, OWNER_PQ], old)
    assert succession.read(first.encode()) == first
    assert succession.standing(first, old.owner).enough
    assert succession.standing(first, first.trust.owner).signed == (True, False, False)
    assert refusal(trust.advance, old, first.encode()) == Code.TRUST_THRESHOLD
    second = succession.sign(first, [THIRD], old)
    assert succession.standing(second, second.trust.owner).enough
    assert trust.advance(old, second.encode()) == document.trust


def test_half_a_hybrid_owner_does_not_count(old, document):
    half = succession.sign(document, [OWNER], old)
    assert succession.standing(half, old.owner).signed == (False,)
    whole = succession.sign(half, [OWNER_PQ], old)
    assert succession.standing(whole, old.owner).signed == (True,)


def test_a_stranger_and_a_second_time_are_refused(old, document):
    stranger = SigningKey(ED25519, b"x" * 32)
    assert refusal(succession.sign, document, [stranger], old) == Code.ARGUMENT
    once = succession.sign(document, [SECOND], old)
    assert refusal(succession.sign, once, [SECOND], old) == Code.ARGUMENT


def test_who_leaves_signs_only_where_the_document_before_is_known(old):
    without = succession.draft(replace(old, version=old.version + 1, owner=role(1, (SECOND,))))
    assert refusal(succession.sign, without, [OWNER], None) == Code.ARGUMENT
    signed = succession.sign(without, [OWNER, OWNER_PQ], old)
    assert succession.standing(signed, old.owner).enough
    assert not succession.standing(signed, without.trust.owner).enough


def test_nobody_adds_to_a_document_with_a_false_signature(old, document):
    signed = succession.sign(document, [SECOND], old)
    head, payload, signature = signed.signatures[0].split(".")
    false = replace(signed, signatures=(f"{head}.{payload}.{'A' * len(signature)}",))
    assert refusal(succession.sign, false, [THIRD], old) == Code.SIGNATURE


def test_two_contents_in_one_file_are_refused(old, document):
    other = succession.draft(replace(document.trust, expires=document.trust.expires + 1))
    mixed = trust.join(
        (*succession.sign(document, [SECOND], old).signatures, *succession.sign(other, [THIRD], old).signatures)
    )
    assert refusal(succession.read, mixed) == Code.SIGNATURE


@pytest.mark.parametrize(
    "data", [b"", b"{", b"{}", b"[]", b'["x"]', b" {}", b"[" * 5000, b"{" + b" " * 300_000, b'{"version":1}']
)
def test_other_bytes_are_refused_with_a_code(data):
    assert refusal(succession.read, data) in {
        Code.JSON_NOT_CANONICAL, Code.JSON_TOO_LARGE, Code.SHAPE, Code.SIGNATURE,
    }  # fmt: skip


def test_a_document_that_could_not_be_read_back_is_no_draft(old):
    assert refusal(succession.draft, replace(old, suites=())) == Code.SHAPE
    unsorted = replace(old, epochs=(("digits", 1), ("digits", 2)))
    assert refusal(succession.draft, unsorted) == Code.SHAPE


def test_what_is_signed_is_what_was_drafted(old, document):
    signed = succession.sign(document, [SECOND], old)
    payload = canonical.from_base64url(signed.signatures[0].split(".")[1])
    assert payload == document.encode()
