"""Evidence from hostile hands: every bent byte is a refusal, never an acceptance and never another error (R82, B08)."""

import json

import pytest

from paper_tpm import AT, BINDING, Maker, PaperTpm
from strongroom.attest import tpm
from strongroom.attest.authorities import Authorities, Roots
from strongroom.attest.claims import Expected, Known
from strongroom.attest.policy import Policy
from strongroom.attest.tpm.evidence import MOST_BYTES
from strongroom.attest.verdict import Refusal, RefusedEvidence, Trail

POLICY = Policy("default", 1, bytes(32))


@pytest.fixture(scope="module")
def chip() -> PaperTpm:
    return PaperTpm(Maker())


def code(chip: PaperTpm, evidence: bytes, known: Known | None = None) -> Refusal | None:
    """Return why evidence is refused, None if it is accepted; any other error goes through."""
    authorities = Authorities(tpm=Roots((chip.maker.root,)))
    try:
        tpm.verify(evidence, Expected(BINDING), AT, known, POLICY, authorities, Trail())
    except RefusedEvidence as error:
        return error.code
    return None


def bent(evidence: bytes, **fields) -> bytes:
    return json.dumps(json.loads(evidence) | fields).encode()


@pytest.mark.parametrize("enrol", [pytest.param(True, marks=pytest.mark.slow), False])
def test_every_flipped_bit_is_refused(chip, enrol):
    """B08: evidence altered by one bit anywhere."""
    evidence = chip.evidence(enrol=enrol)
    known = None
    if not enrol:
        authorities = Authorities(tpm=Roots((chip.maker.root,)))
        known = tpm.verify(chip.evidence(), Expected(BINDING), AT, None, POLICY, authorities, Trail()).known
    assert code(chip, evidence, known) is None
    taken = []
    for at in range(len(evidence)):
        for bit in range(8):
            flipped = bytearray(evidence)
            flipped[at] ^= 1 << bit
            if code(chip, bytes(flipped), known) is None:
                taken.append((at, bit, evidence[max(0, at - 20) : at + 5]))
    assert taken == []


def test_every_cut_is_refused(chip):
    evidence = chip.evidence()
    for size in range(len(evidence)):
        assert code(chip, evidence[:size]) == Refusal.MALFORMED
    fields = json.loads(evidence)
    for name in ("ak_public", "ek_public", "attest", "signature"):
        for size in range(0, len(fields[name]), 2):
            assert code(chip, bent(evidence, **{name: fields[name][:size]})) == Refusal.MALFORMED
        assert code(chip, bent(evidence, **{name: f"{fields[name]}00"})) == Refusal.MALFORMED


def test_what_is_no_evidence_is_malformed(chip):
    evidence = chip.evidence()
    fields = json.loads(evidence)
    strange = [
        b"", b"[]", b"null", b"{}", b'"text"', b"\xff", b"[" * 30_000, b"1" * 10_000, evidence + b"x", evidence * 2,
        b'{"pcrs": NaN}', evidence[:-1] + b', "pcrs": {}}',
        b" " * (MOST_BYTES - len(evidence) + 1) + evidence,
        bent(evidence, other=""),
        bent(evidence, attest=fields["attest"].upper()),
        bent(evidence, attest=7),
        bent(evidence, attest=f" {fields['attest']}"),
        bent(evidence, attest=f"{fields['attest']}0"),
        bent(evidence, pcrs=[]),
        bent(evidence, pcrs={"sha256": {"00": "00" * 32}}),
        bent(evidence, pcrs={"sha256": {"32": "00" * 32}}),
        bent(evidence, pcrs={"sha256": {"0": "00" * 31}}),
        bent(evidence, pcrs={"sha256": []}),
        bent(evidence, pcrs={"md5": {"0": "00" * 16}}),
        bent(evidence, ek_certificates=[]),
        bent(evidence, ek_certificates=fields["ek_certificates"] * 3),
        bent(evidence, ek_certificates=fields["ek_certificates"][0]),
        bent(evidence, ek_certificates=[f"{fields['ek_certificates'][0]}00"]),
        bent(evidence, ek_cert=fields["ek_certificates"][0]),
        json.dumps({name: value for name, value in fields.items() if name != "ek_public"}).encode(),
        json.dumps({name: value for name, value in fields.items() if name != "ek_certificates"}).encode(),
        bent(chip.evidence(enrol=False), activation="00" * 32),
    ]  # fmt: skip
    for one in strange:
        assert code(chip, one) == Refusal.MALFORMED, one[:80]
