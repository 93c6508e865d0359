"""Attempts to build one file out of several (R28, R29, R42)."""

from functools import partial

import pytest

from strongroom import sealed
from strongroom.errors import IntegrityError
from vectors.sealed_writer import Plan, b64, fixed, make
from vectors.targets import OWNERS, SUBJECT, network_file, opener

MIB = 2**20


def refused(opening) -> str:
    with pytest.raises(IntegrityError) as refusal:
        opening()
    return refusal.value.code


def test_swap_drop_or_repeat_whole_segments():
    """A07: by the manifest; and where the manifest lists them so and an owner signed it, by their context."""
    data, mek, made = network_file(size=2 * MIB)
    first, second = made.segments[1:]
    begin = data[: -len(first) - len(second)]
    assert refused(opener(begin + second + first, mek)) == "file-digest"
    assert refused(opener(begin + first + first, mek)) == "file-digest"
    assert refused(opener(begin + first, mek)) == "file-truncated"
    assert refused(opener(begin + first + second + second, mek)) == "file-trailing"
    signed, mek, _ = network_file(size=2 * MIB, segment_index=lambda index: [0, 2, 1][index])
    assert refused(opener(signed, mek)) == "file-segment"


def test_splice_a_segment_of_another_version_under_the_same_key():
    """A08: same key, same model, same lengths: the file_id is in every key and in every context."""
    key = fixed("shared", 32)
    other = make(Plan("other version", [("model", fixed("target", 50_000))], mek=key))

    def foreign(index: int, parts: list[bytes]) -> list[bytes]:
        return parts if index == 0 else [other.segments[1]]

    data, mek, _ = network_file(mek=key, bend_segment=foreign)
    assert refused(opener(data, mek)) == "file-segment"
    unsigned, mek, made = network_file(mek=key)
    assert refused(opener(unsigned[: -len(made.segments[1])] + other.segments[1], mek)) == "file-digest"


@pytest.mark.parametrize("key", [None, fixed("shared", 32)], ids=["other key", "same key"])
def test_the_head_of_one_model_with_the_body_of_another(key):
    """A09."""
    head, mek, first = network_file("model x", mek=key)
    _, _, second = network_file("model y", mek=key)
    assert refused(opener(head[: len(first.head_part)] + b"".join(second.segments), mek)) == "file-digest"


def test_the_key_of_another_model():
    """A12; R29: one user's material never opens another's."""
    data, _, _ = network_file("model x")
    _, other, _ = network_file("model y")
    assert refused(opener(data, other)) == "file-wrong-key"


@pytest.mark.parametrize("field", ["account", "model", "version", "user"])
def test_the_right_key_for_another_subject(field):
    """A13: account, model, version, user, each in turn."""
    asked = {"account": "ac_other", "model": "letters", "version": "1.1", "user": "us_anna"}
    values = {name: getattr(SUBJECT, name) for name in asked} | {field: asked[field]}
    data, mek, _ = network_file()
    expected = sealed.Expected("model", sealed.Subject(**values), OWNERS)
    assert refused(lambda: sealed.open_sealed(sealed.BytesReadable(data), mek, expected)) == "file-subject"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("file_id", bytes(32)),
        ("key_id", bytes(16)),
        ("suite", 2),
        ("head", bytes(64)),
        ("epoch", 2),
        ("counter", 2),
        ("size", 1),
    ],
)
def test_a_genuine_file_in_place_of_the_one_granted(field, value):
    """B20: every comparison with what was expected, each alone."""
    data, mek, _ = network_file()
    expected = sealed.Expected("model", SUBJECT, OWNERS, **{field: value})
    assert refused(lambda: sealed.open_sealed(sealed.BytesReadable(data), mek, expected)) == "file-mismatch"
    head = sealed.read_head(sealed.BytesReadable(data))
    core = head.core
    actual = {"file_id": core.file_id, "key_id": core.key_id, "suite": 1, "head": head.digest, "size": len(data)}
    exact = sealed.Expected("model", SUBJECT, OWNERS, epoch=1, counter=1, **actual)
    assert sealed.open_sealed(sealed.BytesReadable(data), mek, exact).head.digest == head.digest


def test_a_local_file_from_the_network_and_the_other_way_round():
    """A local key is nobody's secret to the device's owner: `kind = local` opens from the store only."""
    data, mek, made = network_file()
    with pytest.raises(IntegrityError) as refusal:
        sealed.open_local(sealed.BytesReadable(data), mek, subject=SUBJECT, owners=OWNERS, origin_head=bytes(64))
    assert refusal.value.code == "file-kind"
    link = {"file_id": made.core["file_id"], "head": b64(bytes(64))}
    local, mek, _ = network_file("claims", kind="local", signers=(), core={"origin": link})
    for kind in ("local", "model"):
        expected = sealed.Expected(kind, SUBJECT, OWNERS)
        assert refused(partial(sealed.open_sealed, sealed.BytesReadable(local), mek, expected)) == "file-kind"
    assert refused(lambda: sealed.verify_sealed(sealed.BytesReadable(local), OWNERS)) == "file-kind"
