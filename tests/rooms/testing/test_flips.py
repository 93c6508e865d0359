"""I04: one bit of evidence is changed, any bit: nothing is accepted, and nothing but a verdict comes out."""

from dataclasses import replace

import pytest

from stand_ins import APP_ID, AT, BINDING, EXPECTED, POLICY, description, kits
from strongroom.attest import cborx, judge
from strongroom.attest.verdict import Refusal, Rejection

KITS = kits()
TRUSTED = KITS.authorities


def minted():
    """Yield a name, kind, evidence, and what is known of its device."""
    phone = KITS.apple.phone(APP_ID, bundle_version="1.2", category=4)
    attestation = phone.attest(BINDING, AT)
    yield "attestation", "app-attest", attestation, None
    yield "assertion", "app-attest", phone.sign(BINDING), known("app-attest", attestation)
    yield "factory", "android-key", KITS.android.attest(description(), AT, factory=True).evidence, None
    yield "provisioned", "android-key", KITS.android.attest(description(), AT).evidence, None
    yield "play", "play", KITS.play.token(KITS.play.verdict(BINDING, AT, classic=True)), None
    chip = KITS.tpm.chip()
    enrolment = chip.enrol(BINDING, quoted=(7,))
    yield "enrolment", "tpm", enrolment, None
    yield "quote", "tpm", chip.quote(BINDING, quoted=(7,)), known("tpm", enrolment)


def known(kind, evidence):
    return judge.verify(kind, evidence, EXPECTED, AT, None, POLICY, TRUSTED).claims.known


def flipped(data, bit):
    return data[: bit // 8] + bytes([data[bit // 8] ^ (1 << bit % 8)]) + data[bit // 8 + 1 :]


def unsigned(name, evidence):
    """Return the range of bytes that decides nothing: Apple's receipt, which only makes a signal."""
    if name != "attestation":
        return range(0)
    receipt = cborx.item(evidence)["attStmt"]["receipt"]
    start = evidence.index(receipt)
    return range(start, start + len(receipt))


def judged_flips(name, kind, evidence, before, stride):
    free = unsigned(name, evidence)
    genuine = judge.verify(kind, evidence, EXPECTED, AT, before, POLICY, TRUSTED).claims
    codes = set()
    for bit in range(0, 8 * len(evidence), stride):
        if bit // 8 in free and bit % 61:
            continue  # of a receipt every 61st is enough: it decides nothing
        found = judge.verify(kind, flipped(evidence, bit), EXPECTED, AT, before, POLICY, TRUSTED)
        if bit // 8 not in free:
            assert isinstance(found, Rejection), bit
            codes.add(found.code)
        else:
            assert isinstance(found, Rejection) or same(found.claims, genuine), bit
    return codes


def same(one, other):
    return replace(one, evidence=b"", signals={}) == replace(other, evidence=b"", signals={})


CASES = pytest.mark.parametrize(
    ("name", "kind", "evidence", "before"), list(minted()), ids=[one[0] for one in minted()]
)


@CASES
def test_some_flipped_bits_are_refused(name, kind, evidence, before):
    """I04: every 37th bit: all of a byte's bits, in bytes all over the evidence."""
    assert Refusal.MALFORMED in judged_flips(name, kind, evidence, before, 37)


@pytest.mark.slow
@CASES
def test_every_flipped_bit_is_refused(name, kind, evidence, before):
    """I04: each single one."""
    codes = judged_flips(name, kind, evidence, before, 1)
    assert len(codes) > 1


@CASES
def test_what_is_cut_off_or_longer_is_refused(name, kind, evidence, before):
    """I04: every length but its own."""
    for size in {*range(0, len(evidence), 97), len(evidence) - 1}:
        assert isinstance(judge.verify(kind, evidence[:size], EXPECTED, AT, before, POLICY, TRUSTED), Rejection), size
    for more in (b"\0", b"\xff", b"}", evidence):
        assert isinstance(judge.verify(kind, evidence + more, EXPECTED, AT, before, POLICY, TRUSTED), Rejection), more
