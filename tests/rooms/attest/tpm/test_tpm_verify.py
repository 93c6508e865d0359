"""TPM evidence: enrolment, later quotes, and everything that must be refused (R82, B08, B09, I04)."""

import dataclasses
import hashlib
import json

import pytest

from paper_tpm import AT, BINDING, PCRS, YEAR, Maker, PaperTpm
from strongroom.attest import tpm
from strongroom.attest.authorities import Authorities, Roots
from strongroom.attest.claims import HASHED, IN_HARDWARE, Claims, Expected, Kind, Known, Level, TpmClock
from strongroom.attest.policy import Policy
from strongroom.attest.verdict import Refusal, RefusedEvidence, Trail

POLICY = Policy("default", 1, bytes(32))
MAKER = Maker()
POLICY_B = bytes.fromhex("ca3d0a99a2b93906f7a3342414efcfb3a385d44cd1fd459089d19b5071c0b7a0")  # of high templates
TRUSTED = Authorities(tpm=Roots((MAKER.root,)))


def judged(evidence: bytes, *, known: Known | None = None, binding: bytes = BINDING, at: int = AT, kem: int = 0,
           authorities: Authorities = TRUSTED) -> Claims:  # fmt: skip
    return tpm.verify(evidence, Expected(binding, kem=kem), at, known, POLICY, authorities, Trail())


def refused(evidence: bytes, **how) -> Refusal:
    with pytest.raises(RefusedEvidence) as caught:
        judged(evidence, **how)
    return caught.value.code


def bent(evidence: bytes, **fields) -> bytes:
    """Replace fields; None takes one away."""
    changed = json.loads(evidence) | fields
    return json.dumps({name: value for name, value in changed.items() if value is not None}).encode()


@pytest.fixture(scope="module")
def chip() -> PaperTpm:
    return PaperTpm(MAKER)


def test_a_new_device_is_claimed_with_its_chip_and_registers(chip):
    trail = Trail()
    claims = tpm.verify(chip.evidence(), Expected(BINDING), AT, None, POLICY, TRUSTED, trail)
    assert (claims.kind, claims.level, claims.fresh, claims.stand_in) == (Kind.TPM, Level.HARDWARE, True, False)
    assert claims.device_id == chip.ak_name[2:]
    assert claims.pcrs == {"sha256": PCRS}
    assert claims.firmware == int.from_bytes(bytes(range(8)), "big")
    assert claims.known == Known(
        Kind.TPM, chip.ak_public, ek=chip.ek_public, clock=TpmClock(5_000_000, 3, 1, safe=True), level=Level.HARDWARE
    )
    assert claims.signals["manufacturer"] == "id:53545200"
    assert claims.signals["activation"] == "none"
    assert trail.steps == [
        "format", "endorsement certificate", "endorsement certificate chain", "endorsement certificate profile",
        "endorsement key", "attestation key", "known keys", "quote signature", "quote type", "binding", "registers",
        "attestation key's name", "clock",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "how",
    [
        {"ek": "rsa", "ak": "rsa"},
        {"ek": "rsa", "ak": "pss"},
        {"ek": "p384", "ek_hash": "sha384", "ak": "p384", "ak_hash": "sha384", "ak_name_hash": "sha384"},
        {"leaf": {"purposes": ()}},
        {"ek_attributes": 0x000300F2, "ek_policy": POLICY_B},
    ],
)
def test_every_usual_kind_of_key_is_taken(how):
    assert judged(PaperTpm(MAKER, **how).evidence()).fresh


def test_a_later_quote_is_judged_by_what_is_known(chip):
    known = judged(chip.evidence()).known
    later = judged(chip.evidence(enrol=False, clock=(6_000_000, 3, 1, True)), known=known)
    assert not later.fresh
    assert later.known == dataclasses.replace(known, clock=TpmClock(6_000_000, 3, 1, safe=True))


def test_keys_in_the_answer_are_bound_to_a_chip_that_is_known(chip):
    known = judged(chip.evidence(), kem=0x20)
    assert known.key_binding == HASHED
    assert judged(chip.evidence(enrol=False), known=known.known).key_binding == HASHED
    assert judged(chip.evidence(enrol=False), known=known.known, kem=0x20).key_binding == IN_HARDWARE


def test_a_quote_of_another_tpm_is_refused(chip):
    """B09: a state directory that was carried to another TPM."""
    known = judged(chip.evidence()).known
    other = PaperTpm(MAKER)
    assert refused(other.evidence(enrol=False), known=known) == Refusal.KEY
    assert refused(other.evidence(), known=known) == Refusal.KEY
    assert refused(chip.evidence(enrol=False), known=None) == Refusal.KEY
    assert refused(chip.evidence(enrol=False), known=dataclasses.replace(known, kind=Kind.APP_ATTEST)) == Refusal.KEY
    assert refused(chip.evidence(), known=dataclasses.replace(known, ek=other.ek_public)) == Refusal.KEY


def test_a_quote_for_another_request_is_refused(chip):
    """B08: a genuine quote that was made for another challenge, key or model."""
    assert refused(chip.evidence(bytes(32))) == Refusal.BINDING
    assert refused(chip.evidence(BINDING[:-1])) == Refusal.BINDING
    assert refused(chip.evidence(BINDING + b"\0")) == Refusal.BINDING
    assert refused(chip.evidence(b""), binding=b"") == Refusal.BINDING


@pytest.mark.parametrize(
    ("clock", "accepted"),
    [
        ((5_000_000, 3, 1, True), True),
        ((4_999_999, 3, 1, True), False),
        ((4_999_999, 3, 1, False), False),
        ((9_000_000, 2, 1, True), False),
        ((9_000_000, 3, 0, True), False),
        ((5_000_001, 4, 0, True), True),
        ((4_999_999, 4, 0, True), False),
        ((5_000_000 - 2**22, 4, 0, False), True),
        ((5_000_000 - 2**22 - 1, 4, 0, False), False),
        ((5_000_000 - 2**22, 3, 2, False), True),
    ],
)
def test_clock_and_counts_never_go_back(chip, clock, accepted):
    """I04: an old quote, or a software TPM whose state was copied and put back."""
    known = judged(chip.evidence()).known
    later = chip.evidence(enrol=False, clock=clock)
    if accepted:
        assert judged(later, known=known).known.clock == TpmClock(*clock)
    else:
        assert refused(later, known=known) == Refusal.REPLAY


@pytest.mark.parametrize(
    ("before", "now", "accepted"),
    [
        ((2**32 - 1, 7), (0, 0), True),  # the counts of most keys are shifted, and begin anew in the midst of a life
        ((0, 0), (2**32 - 1, 7), False),
        ((5, 2**32 - 1), (5, 0), True),
        ((5, 0), (5, 2**32 - 1), False),
        ((5, 0), (5 + 2**31, 0), False),
        ((5, 0), (5 + 2**31 - 1, 0), True),
    ],
)
def test_counts_go_on_over_their_end(chip, before, now, accepted):
    known = judged(chip.evidence(clock=(9, *before, True))).known
    later = chip.evidence(enrol=False, clock=(9, *now, True))
    if accepted:
        assert judged(later, known=known).known.clock == TpmClock(9, *now, safe=True)
    else:
        assert refused(later, known=known) == Refusal.REPLAY


def test_firmware_is_claimed_where_the_tpm_tells_it(chip):
    """I04: a TPM hides its version from an owner's keys, each time with another number; keys are made until it fits."""
    told = int.from_bytes(bytes(range(8)), "big")
    ek_name = b"\0\x0b" + hashlib.sha256(chip.ek_public).digest()
    under_ek = b"\0\x0b" + hashlib.sha256(bytes.fromhex("4000000b") + ek_name).digest()
    owner, endorsement, platform = (bytes.fromhex(f"400000{last}") for last in ("01", "0b", "0c"))
    known = judged(chip.evidence()).known
    for above, firmware in {endorsement: told, platform: told, under_ek: told, owner: None, bytes(34): None}.items():
        assert judged(bent(chip.evidence(above=above), activation="ab" * 32)).firmware == firmware
        assert judged(chip.evidence(enrol=False, above=above), known=known).firmware == firmware
    nobody_knows = dataclasses.replace(known, ek=b"")
    assert judged(chip.evidence(enrol=False, above=under_ek), known=nobody_knows).firmware is None


def test_registers_are_exactly_those_that_were_quoted(chip):
    honest = chip.evidence()
    lied = {"sha256": {str(index): value.hex() for index, value in (PCRS | {7: bytes(32)}).items()}}
    fewer = {"sha256": {"0": PCRS[0].hex(), "7": PCRS[7].hex()}}
    more = {"sha256": {str(index): value.hex() for index, value in (PCRS | {8: bytes(32)}).items()}}
    other = {"sha384": {str(index): bytes(48).hex() for index in PCRS}}
    for pcrs in (lied, fewer, more, other, {}):
        assert refused(bent(honest, pcrs=pcrs)) == Refusal.PCR
    assert judged(bent(honest, pcrs=json.loads(honest)["pcrs"]["sha256"])).pcrs == {"sha256": PCRS}


def test_several_banks_are_quoted_and_sha1_is_never_claimed(chip):
    banks = {"sha1": {0: bytes(20)}, "sha256": {0: bytes(32)}, "sha384": {4: b"\4" * 48}}
    found = judged(chip.evidence(banks=banks)).pcrs
    assert found == {"sha256": {0: bytes(32)}, "sha384": {4: b"\4" * 48}}
    assert refused(chip.evidence(banks={"sha1": {0: bytes(20)}})) == Refusal.UNSUPPORTED
    flat = bent(chip.evidence(banks=banks), pcrs={"0": bytes(32).hex()})
    assert refused(flat) == Refusal.MALFORMED


def test_a_quote_of_no_register_claims_none(chip):
    assert judged(chip.evidence(pcrs={})).pcrs == {}
    assert judged(chip.evidence(banks={})).pcrs == {}


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ({"magic": 0xFF544346}, Refusal.MALFORMED),  # signed data that only looks like a quote
        ({"kind": 0x8017}, Refusal.UNSUPPORTED),
        ({"tail": b"\0"}, Refusal.MALFORMED),
    ],
)
def test_what_is_no_quote_is_refused(chip, how, code):
    assert refused(chip.evidence(**how)) == code


def test_a_forged_signature_is_refused(chip):
    other = PaperTpm(MAKER)
    attest = bytes.fromhex(json.loads(chip.evidence())["attest"])
    assert refused(bent(chip.evidence(), signature=other.sign(attest).hex())) == Refusal.CHAIN
    assert refused(bent(chip.evidence(), signature=PaperTpm(MAKER, ak="rsa").sign(attest).hex())) == Refusal.KEY


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ({"ak_attributes": 0x00050472 & ~0x00010000}, Refusal.KEY),  # unrestricted: it signs whatever it is given
        ({"ak_attributes": 0x00050472 & ~0x2}, Refusal.KEY),  # not fixed to its TPM
        ({"ak_attributes": 0x00050472 & ~0x10}, Refusal.KEY),
        ({"ak_attributes": 0x00050472 & ~0x20}, Refusal.KEY),  # brought from outside
        ({"ak_attributes": 0x00050472 & ~0x00040000}, Refusal.KEY),
        ({"ak_attributes": 0x00050472 | 0x00020000}, Refusal.KEY),
        ({"ak_scheme": 0x10}, Refusal.KEY),
        ({"ak_hash": "sha1"}, Refusal.UNSUPPORTED),
        ({"ak_name_hash": "sha1"}, Refusal.UNSUPPORTED),
        ({"ak": "rsa", "ak_bits": 1024}, Refusal.KEY),
        ({"ek_attributes": 0x000300B2 & ~0x2}, Refusal.KEY),
        ({"ek_attributes": 0x000300B2 & ~0x00010000}, Refusal.KEY),
        ({"ek_attributes": 0x000300B2 & ~0x00020000}, Refusal.KEY),
        ({"ek_attributes": 0x000300B2 | 0x00040000}, Refusal.KEY),
        ({"ek_attributes": 0x000300B2 | 0x40}, Refusal.KEY),  # a password instead of the hierarchy's policy
        ({"ek_policy": b""}, Refusal.KEY),
        ({"ek_policy": bytes(32)}, Refusal.KEY),
        ({"ek_hash": "sha1"}, Refusal.UNSUPPORTED),
    ],
)
def test_keys_that_may_do_too_much_or_prove_too_little_are_refused(how, code):
    chip = PaperTpm(MAKER, **how)
    evidence = chip.evidence() if how.get("ak_scheme") != 0x10 else bent(
        chip.evidence(), signature=PaperTpm(MAKER).evidence() and PaperTpm(MAKER).sign(b"").hex()
    )  # fmt: skip
    assert refused(evidence) == code


@pytest.mark.parametrize(
    ("leaf", "code"),
    [
        ({"ca": True, "usage": "key_cert_sign"}, Refusal.CHAIN),
        ({"usage": "digital_signature"}, Refusal.CHAIN),
        ({"usage": "key_encipherment"}, Refusal.CHAIN),  # an ECC key agrees on keys
        ({"purposes": ("1.3.6.1.5.5.7.3.1",)}, Refusal.CHAIN),
        ({"words": None}, Refusal.CHAIN),
        ({"words": {1: "id:53545200", 2: "PAPER"}}, Refusal.CHAIN),
        ({"end": AT - 1}, Refusal.EXPIRED),
        ({"start": AT + 1}, Refusal.EXPIRED),
    ],
)
def test_certificates_of_something_else_are_refused(leaf, code):
    assert refused(PaperTpm(MAKER, leaf=leaf).evidence()) == code


@pytest.mark.parametrize(
    ("issuer", "code"),
    [
        ({"ca": False}, Refusal.CHAIN),
        ({"usage": "digital_signature"}, Refusal.CHAIN),
        ({"end": AT - 1}, Refusal.EXPIRED),
    ],
)
def test_an_issuer_that_may_not_issue_is_refused(issuer, code):
    maker = Maker(issuer=issuer)
    assert refused(PaperTpm(maker).evidence(), authorities=Authorities(tpm=Roots((maker.root,)))) == code


def test_only_pinned_makers_are_believed(chip):
    """I04: a software TPM with a certificate chain of its own."""
    stranger = PaperTpm(Maker())  # the same names, other keys
    assert refused(stranger.evidence()) == Refusal.CHAIN
    assert refused(chip.evidence(), authorities=Authorities()) == Refusal.CHAIN
    assert refused(bent(chip.evidence(), ek_certificates=[chip.chain[0].hex()])) == Refusal.CHAIN
    assert refused(chip.evidence(), at=AT + YEAR + 1) == Refusal.EXPIRED
    pinned = Authorities(tpm=Roots((MAKER.issuer,)))
    assert judged(bent(chip.evidence(), ek_certificates=None, ek_cert=chip.chain[0].hex()), authorities=pinned).fresh


def test_a_stand_in_is_said_to_be_one(chip):
    stand_in = Authorities(tpm=Roots(stand_ins=(MAKER.root,)))
    claims = judged(chip.evidence(), authorities=stand_in)
    assert claims.stand_in
    assert claims.known.stand_in
    assert judged(chip.evidence(enrol=False), known=claims.known).stand_in


def test_the_certified_key_is_the_endorsement_key(chip):
    other = PaperTpm(MAKER)
    assert refused(bent(chip.evidence(), ek_public=other.ek_public.hex())) == Refusal.KEY


def test_without_a_credential_the_quote_must_show_the_keys_name(chip):
    ek_name = b"\0\x0b" + hashlib.sha256(chip.ek_public).digest()
    under_ek = b"\0\x0b" + hashlib.sha256(bytes.fromhex("4000000b") + ek_name).digest()
    for above in (bytes.fromhex("40000001"), under_ek):
        assert judged(chip.evidence(above=above)).fresh
    under_a_storage_key = chip.evidence(above=bytes(34))
    assert refused(under_a_storage_key) == Refusal.KEY
    assert judged(bent(under_a_storage_key, activation="ab" * 32)).fresh  # the caller compares that
    told = f"{chip.ak_public.hex()[:8]}00050072{chip.ak_public.hex()[16:]}"  # without noDA
    assert refused(bent(chip.evidence(), ak_public=told)) == Refusal.KEY


@pytest.mark.parametrize(
    ("usual", "other"),
    [
        ("0006008000430010", "0006010000430010"),  # AES-256 under a SHA-256 name
        ("0006008000430010", "0006008000400010"),  # counter mode
        ("0006008000430010", "0006008000430016000b"),  # RSAPSS
        ("0006008000430010", "00100010"),  # no cipher
        ("00030010", "00030020000b"),  # a key derivation of its own
    ],
)
def test_an_endorsement_key_of_no_template_is_refused(chip, usual, other):
    public = chip.ek_public.hex()
    assert public.count(usual) == 1
    assert refused(bent(chip.evidence(), ek_public=public.replace(usual, other))) == Refusal.UNSUPPORTED


def test_activation_is_compared_whole(chip):
    with_secret = bent(chip.evidence(), activation=("ab" * 32))
    assert judged(with_secret).signals["activation"] == "for the caller to compare"
    assert tpm.activated(tpm.read(with_secret), b"\xab" * 32)
    assert not tpm.activated(tpm.read(with_secret), b"\xab" * 31)
    assert not tpm.activated(tpm.read(chip.evidence()), b"\xab" * 32)
    assert not tpm.activated(tpm.read(chip.evidence()), b"")  # a secret of nobody's is nothing that was found
    assert str(b"\xab" * 32) not in repr(tpm.read(with_secret))


def test_an_event_log_explains_and_never_decides(chip):
    for log in (b"\0" * 40, b"rubbish"):
        claims = judged(bent(chip.evidence(), event_log=log.hex()))
        assert claims.pcrs == {"sha256": PCRS}
    assert claims.signals["event-log"] == "unreadable"


def test_public_areas_may_carry_their_size(chip):
    fields = json.loads(chip.evidence())
    with_sizes = {name: f"{len(fields[name]) // 2:04x}{fields[name]}" for name in ("ak_public", "ek_public")}
    assert judged(bent(chip.evidence(), **with_sizes)).known == judged(chip.evidence()).known
