"""Attempts to build one file out of several (R28, R29, R42)."""

import dataclasses
from functools import partial

import pytest

from strongroom import sealed
from strongroom.errors import IntegrityError
from vectors.sealed_writer import MIB, Plan, b64, dump, fixed, make
from vectors.targets import FORMS, OWNERS, SUBJECT, Target, network_file, opener, rebuilt, refused

BY_HOLDER = sealed.Expected("model", SUBJECT, None)  # asks nobody's signature: what only the key's holders stop


@pytest.mark.parametrize(("form", "suite"), FORMS)
def test_swap_drop_or_repeat_whole_segments(form, suite):
    """A07: behind the manifest: all orders of two segments but the right one, and each of them missing or doubled."""
    target = Target.of(form, suite, 2 * MIB)
    head, data = target.head, target.made.data
    first, second = (data[head.offset(at) : head.offset(at) + head.stored_length(at)] for at in (1, 2))
    begin = data[: head.offset(1)]
    for body in (second + first, first + first, second + second):
        assert target.code(begin + body) == target.broken
    for body in (first, second, b""):
        assert target.code(begin + body) == "file-truncated"
    for body in (first + second + second, first + first + second):
        assert target.code(begin + body) == "file-trailing"
    toc = data[head.offset(0) : head.offset(1)]
    assert target.code(data[: head.offset(0)] + first[: len(toc)] + first + second) == target.broken


@pytest.mark.parametrize("suite", [1, 2])
def test_a_holder_of_the_key_rearranges_whole_segments(suite):
    """A07: manifest and MAC are made right around it: not signed by an owner; and no cipher opens them either."""
    data, mek, made = network_file(size=2 * MIB, suite=suite)
    toc, first, second = made.segments
    digests = sealed.read_head(sealed.BytesReadable(data)).digests
    for order in ((0, 2, 1), (0, 1, 1), (0, 2, 2)):
        manifest = dump({"segments": [b64(digests[at]) for at in order]})
        forged = rebuilt(made, manifest=manifest, signers=("stranger",), segments=[made.segments[at] for at in order])
        assert refused(opener(forged, mek)) == "file-signature"
        unsigned = sealed.BytesReadable(forged)
        assert refused(partial(sealed.open_sealed, unsigned, mek, BY_HOLDER)) == "file-segment"
    # One segment left out altogether, and every number in the head says so: the contexts hold the old numbers.
    fewer = {**made.core, "payload_length": MIB, "segments": 2}
    manifest = dump({"segments": [b64(digests[0]), b64(digests[1])]})
    forged = rebuilt(made, core=dump(fewer), manifest=manifest, signers=("stranger",), segments=[toc, first])
    assert refused(opener(forged, mek)) == "file-signature"
    unsigned = sealed.BytesReadable(forged)
    assert refused(partial(sealed.open_sealed, unsigned, mek, BY_HOLDER)) == "file-segment"
    assert second


@pytest.mark.parametrize("suite", [1, 2])
def test_segments_of_another_place_that_an_owner_signed(suite):
    """A07: where the manifest lists them so and the owner signed it, their context (index, count) refuses them."""
    for places in ([0, 2, 1], [0, 1, 1], [0, 2, 2], [1, 1, 2]):
        signed, mek, _ = network_file(size=2 * MIB, suite=suite, segment_index=places.__getitem__)
        assert refused(opener(signed, mek)) == "file-segment"


@pytest.mark.parametrize("suite", [1, 2])
def test_splice_a_segment_of_another_version_under_the_same_key(suite):
    """A08: same key, same model, same lengths: the file_id is in every key and in every context."""
    key = fixed("shared", 32)
    other = make(Plan("other version", [("model", fixed("target", 50_000))], mek=key, suite=suite))

    def foreign(index: int, parts: list[bytes]) -> list[bytes]:
        return parts if index == 0 else [other.segments[1]]

    data, mek, _ = network_file(mek=key, suite=suite, bend_segment=foreign)
    assert refused(opener(data, mek)) == "file-segment"
    unsigned, mek, made = network_file(mek=key, suite=suite)
    assert refused(opener(unsigned[: -len(made.segments[1])] + other.segments[1], mek)) == "file-digest"
    toc = rebuilt(made, segments=[other.segments[0], made.segments[1]])
    assert refused(opener(toc, mek)) in ("file-digest", "file-truncated", "file-trailing")


@pytest.mark.parametrize("suite", [1, 2])
def test_splice_segments_of_two_local_files(suite):
    """A08: two copies on one device: each has its own key, so neither opens a segment of the other."""
    one, two = (Target.of("local", suite, MIB + 5, name) for name in ("one", "two"))
    for index in (1, 2):
        begin = two.head.offset(index)
        foreign = two.made.data[begin : begin + two.head.stored_length(index)]
        assert one.code(one.with_segment(index, foreign)) == "file-segment"


@pytest.mark.parametrize("suite", [1, 2])
@pytest.mark.parametrize("key", [None, fixed("shared", 32)], ids=["other key", "same key"])
def test_the_head_of_one_model_with_the_body_of_another(key, suite):
    """A09: refused at the first segment, before memory for the payload is asked for."""
    head, mek, first = network_file("model x", mek=key, suite=suite)
    _, other, second = network_file("model y", mek=key, suite=suite)

    def allocate(size: int) -> memoryview:
        pytest.fail(f"{size} bytes were asked for")

    expected = sealed.Expected("model", SUBJECT, OWNERS)
    spliced = sealed.BytesReadable(head[: len(first.head_part)] + b"".join(second.segments))
    assert refused(partial(sealed.open_sealed, spliced, mek, expected, allocate=allocate)) == "file-digest"
    with_toc = sealed.BytesReadable(head[: len(first.head_part)] + first.segments[0] + second.segments[1])
    assert refused(partial(sealed.open_sealed, with_toc, mek, expected)) == "file-digest"
    if key is None:
        assert refused(partial(sealed.open_sealed, spliced, other, expected, allocate=allocate)) == "file-wrong-key"


def test_the_core_header_of_one_model_with_the_manifest_of_another():
    """A09: the owner signed both heads; together they are neither."""
    _, mek, first = network_file("model x")
    _, _, second = network_file("model y")
    manifest = second.head[20 + len(dump(second.core)) :]
    block = first.head_part[44 + len(first.head) :]
    for segments in (first.segments, second.segments):
        spliced = rebuilt(first, manifest=manifest, block=block, segments=segments)
        assert refused(opener(spliced, mek)) == "file-signature"


@pytest.mark.parametrize("field", ["account", "model", "version", "user"])
def test_the_right_key_for_another_subject(field):
    """A13: account, model, version, user, each in turn, asked of a delivered file and of a device's own copy."""
    asked = {"account": "ac_other", "model": "letters", "version": "1.1", "user": "us_anna"}
    other = dataclasses.replace(SUBJECT, **{field: asked[field]})
    for form, suite in FORMS:
        target = Target.of(form, suite, 1000)
        readable = sealed.BytesReadable(target.made.data)
        if form == "network":
            expected = sealed.Expected("model", other, OWNERS)
            assert refused(partial(sealed.open_sealed, readable, target.key, expected)) == "file-subject"
        else:
            how = {"subject": other, "owners": OWNERS, "origin_head": target.origin_head}
            assert refused(partial(sealed.open_local, readable, target.key, **how)) == "file-subject"


def test_no_two_subjects_look_alike():
    """A13: a name that moves to the field beside it, nobody and the word for nobody, are different subjects."""
    blind = bytes(32)
    subjects = [
        *(sealed.Subject(*four) for four in (("a", "b", "c", "d"), ("b", "a", "c", "d"), ("a", "bc", "", "d"))),
        *(sealed.Subject(*four) for four in ((None, "b", "c", "d"), ("null", "b", "c", "d"), ("", "b", "c", "d"))),
        *(sealed.Subject(*four) for four in (("a", "b", "c", None), ("a", "b", "c", ""), ("a", 'b","c', "", "d"))),
    ]
    assert len({sealed.blind_subject(blind, one) for one in subjects}) == len(subjects)


def test_another_devices_copy():
    """A13: a copy carried to a device that has another key, and one that recorded another origin."""
    mine, theirs = (Target.of("local", 1, 1000, name) for name in ("mine", "theirs"))
    assert mine.code(theirs.made.data) == "file-wrong-key"
    recorded = dataclasses.replace(theirs, origin_head=mine.origin_head)
    assert recorded.code(theirs.made.data) == "file-mismatch"


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
    """A09, B20: every comparison with what was expected, each alone."""
    data, mek, _ = network_file()
    expected = sealed.Expected("model", SUBJECT, OWNERS, **{field: value})
    assert refused(lambda: sealed.open_sealed(sealed.BytesReadable(data), mek, expected)) == "file-mismatch"
    head = sealed.read_head(sealed.BytesReadable(data))
    core = head.core
    actual = {"file_id": core.file_id, "key_id": core.key_id, "suite": 1, "head": head.digest, "size": len(data)}
    exact = sealed.Expected("model", SUBJECT, OWNERS, epoch=1, counter=1, **actual)
    assert sealed.open_sealed(sealed.BytesReadable(data), mek, exact).head.digest == head.digest


def test_a_local_file_from_the_network_and_the_other_way_round():
    """A09: a local key is nobody's secret to the device's owner: `kind = local` opens from the store only."""
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
