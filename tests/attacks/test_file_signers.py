"""Attempts by people who hold a key, but not the right one (R29, R44)."""

import hashlib

import pytest

from strongroom import sealed
from strongroom.errors import IntegrityError
from vectors.sealed_writer import Keys, Plan, b64, chunked, fixed, flipped, make
from vectors.targets import EXPECTED, OWNERS, SUBJECT, network_file, opener, role


def refused(opening) -> str:
    with pytest.raises(IntegrityError) as refusal:
        opening()
    return refusal.value.code


def test_a_licensee_forges_a_segment():
    """A24: whoever holds the model key can make a segment that passes every tag, digests and MAC included."""
    honest, mek, made = network_file()
    forged = b"".join(chunked(made.keys.payload, bytes(24), made.contexts[1], b"\xff" * 50_000))
    spliced = honest[: -len(forged)] + forged
    assert refused(opener(spliced, mek)) == "file-digest"

    def own_digests(manifest: dict) -> dict:
        return {"segments": [manifest["segments"][0], b64(hashlib.sha256(forged).digest())]}

    # The same head with the forged segment's digest and a right MAC, under the honest file's signature.
    bent = make(
        Plan(
            "target",
            [("model", fixed("target", 50_000))],
            bend_manifest=own_digests,
            bend_head=lambda _: made.head,
            bend_stored=lambda segments: [segments[0], forged],
        )
    )
    assert sealed.unlock(
        sealed.read_head(sealed.BytesReadable(bent.data)), mek, sealed.Expected("model", SUBJECT, None)
    ), "the forger's MAC is right"
    assert refused(opener(bent.data, mek)) == "file-signature"


@pytest.mark.parametrize(
    ("signers", "owners"),
    [
        (("stranger",), role("first")),
        ((), role("first")),
        (("first",), role("first", "second", threshold=2)),
        (("first", "stranger"), role("first", "second", "third", threshold=2)),
        (("second",), role("first")),
    ],
    ids=["a stranger", "nobody", "one of two", "one and a stranger", "a key no longer an owner's"],
)
def test_not_signed_by_enough_owners(signers, owners):
    """A22, A23."""
    data, mek, _ = network_file(signers=signers)
    expected = sealed.Expected("model", SUBJECT, owners)
    assert refused(lambda: sealed.open_sealed(sealed.BytesReadable(data), mek, expected)) == "file-signature"
    assert refused(lambda: sealed.verify_sealed(sealed.BytesReadable(data), owners)) == "file-signature"


def test_signatures_need_no_key_and_keys_need_signatures():
    """Step 3 comes before step 4: an unsigned file is refused before its key is tried."""
    data, _, _ = network_file(signers=())
    assert refused(opener(data, sealed.ModelKey(bytes(32)))) == "file-signature"
    signed, _, _ = network_file()
    assert sealed.verify_sealed(sealed.BytesReadable(signed), OWNERS).core.counter == 1


def test_a_thousand_keys_against_one_file():
    """A11: each candidate costs one commitment; at most one is accepted, and all others look alike."""
    data, mek, made = network_file()
    head = sealed.read_head(sealed.BytesReadable(data))
    texts = set()
    for number in range(1000):
        with pytest.raises(IntegrityError) as refusal:
            sealed.unlock(head, sealed.ModelKey(fixed(f"candidate {number}", 32)), sealed.Expected("model", None, None))
        texts.add(str(refusal.value))
    assert len(texts) == 1
    assert sealed.unlock(head, mek, EXPECTED).head.core.file_id == head.core.file_id
    assert Keys.derive(bytes(mek.reveal()), head.core.file_id, 1) == made.keys


def test_verify_finds_an_altered_segment_without_a_key():
    """A02: `verify` reads every segment."""
    data, _, made = network_file(size=40_000)
    for at in (len(made.head_part), -1):
        assert (
            refused(lambda at=at: sealed.verify_sealed(sealed.BytesReadable(flipped(data, at)), OWNERS))
            == "file-digest"
        )
