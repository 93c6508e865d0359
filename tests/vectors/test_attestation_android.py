"""Genuine Android chains that others published (R56): the verdict each must get at its time, and today."""

import base64
import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from strongroom.attest import android, android_description, judge, revocation
from strongroom.attest.authorities import Authorities, RevocationList
from strongroom.attest.claims import Claims, Expected, Kind, Level
from strongroom.attest.policy import AndroidRules, Policy
from strongroom.attest.roots import production
from strongroom.attest.verdict import Refusal, RefusedEvidence, Trail
from strongroom.errors import IntegrityError

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "vectors" / "attestation"
KOTLIN = FOLDER / "android-keyattestation"
JAVA = FOLDER / "google-android-key-attestation" / "src" / "test" / "resources"
LATER = 1_795_000_000  # November 2026
OLD_CHALLENGE = b"abc"

absent = pytest.mark.skipif(not FOLDER.exists(), reason="the vectors are not part of the project")


@dataclass(frozen=True)
class Case:
    """One published chain."""

    name: str
    evidence: bytes
    challenge: bytes
    at: int
    strict: str
    chain_only: str


def published() -> list[Case]:
    path = KOTLIN / "EXPECTED.json"
    return [
        Case(
            one["file"].removeprefix("android-keyattestation/testdata/"),
            (FOLDER / one["file"]).read_bytes(),
            base64.b64decode(one["challenge_b64"], validate=True),
            int(datetime.fromisoformat(one["verify_at"]).timestamp()),
            one["strict_policy"],
            one["chain_only"],
        )
        for one in (json.loads(path.read_text(encoding="utf-8")) if path.exists() else [])
    ]


def older(kind: str, form: str = "der") -> bytes:
    folder = JAVA / form / f"algorithm_{kind}"
    return b"".join(path.read_bytes() for path in sorted(folder.glob("cert?.*")))


CASES = published()


def google(at: int, *serials: str) -> Authorities:
    return production(revoked=RevocationList(dict.fromkeys(serials, "REVOKED"), at, 0))


def genuine(evidence: bytes, challenge: bytes, at: int, authorities: Authorities | None = None) -> Claims:
    known = authorities or google(at)
    return android.verify(evidence, Expected(challenge), at, None, Policy("any", 1, b""), known, Trail())


def refusal(evidence: bytes, challenge: bytes, at: int, authorities: Authorities | None = None) -> Refusal | None:
    try:
        genuine(evidence, challenge, at, authorities)
    except RefusedEvidence as refused:
        return refused.code
    return None


def strictly(case: Case) -> judge.Report:
    """Judge by the default rules; whose application it is, is not judged."""
    policy = Policy("strict", 1, b"", kinds=frozenset({Kind.ANDROID_KEY}), android=AndroidRules((), ()))
    expected = Expected(case.challenge)
    return judge.report(
        Kind.ANDROID_KEY, case.evidence, expected, case.at, None, policy, google(case.at), unnamed_fails=False
    )


@absent
def test_the_published_chains_are_all_here():
    assert len(CASES) == 13


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_chain_gets_its_verdict(case):
    found = refusal(case.evidence, case.challenge, case.at)
    assert found == (None if case.chain_only == "accept" else Refusal.CHAIN)
    codes = {"accept": None, "reject: bootloader unlocked": Refusal.BOOT, "reject: trust anchor": Refusal.CHAIN}
    assert strictly(case).code == codes[case.strict]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_claims_are_what_googles_own_reader_found(case):
    """The JSON beside each chain was written by Google's verifier."""
    path = (KOTLIN / "testdata" / case.name).with_suffix(".json")
    hardware = json.loads(path.read_text(encoding="utf-8"))["hardwareEnforced"]
    if case.chain_only != "accept":
        return
    claims = genuine(case.evidence, case.challenge, case.at)
    root = hardware["rootOfTrust"]
    assert claims.boot_state == root["verifiedBootState"].lower().replace("_", "-")
    assert claims.locked == root["deviceLocked"]
    for name, found in (("osVersion", claims.os_version), ("osPatchLevel", claims.os_patch),
                        ("vendorPatchLevel", claims.vendor_patch), ("bootPatchLevel", claims.boot_patch)):  # fmt: skip
        assert found == (int(hardware[name]) if name in hardware else None)
    assert claims.level == (Level.STRONGBOX if "SB_" in case.name else Level.HARDWARE)
    assert claims.factory == ("akita" not in case.name)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_chain_is_refused_for_another_request_or_when_revoked(case):
    if case.chain_only != "accept":
        return
    assert refusal(case.evidence, case.challenge + b"x", case.at) == Refusal.BINDING
    for one in x509.load_pem_x509_certificates(case.evidence):
        revoked = google(case.at, f"{one.serial_number:x}")
        assert refusal(case.evidence, case.challenge, case.at, revoked) == Refusal.REVOKED
    stale = production(revoked=RevocationList({}, case.at - 1, 0))
    assert refusal(case.evidence, case.challenge, case.at, stale) == Refusal.STALE_REVOCATION_LIST
    assert refusal(case.evidence, case.challenge, case.at, production()) == Refusal.STALE_REVOCATION_LIST


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_today_only_factory_chains_live_on(case):
    if case.chain_only == "accept":
        wanted = Refusal.EXPIRED if "akita" in case.name else None
        assert refusal(case.evidence, case.challenge, LATER) == wanted


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_der_is_the_same_evidence_as_pem(case):
    if case.chain_only == "accept":
        chain = x509.load_pem_x509_certificates(case.evidence)
        evidence = b"".join(one.public_bytes(Encoding.DER) for one in chain)
        assert genuine(evidence, case.challenge, case.at).device_id


@absent
def test_what_googles_reader_cannot_read_is_malformed():
    folder = KOTLIN / "testdata" / "invalid"
    files = sorted(folder.iterdir())
    assert len(files) == 2
    for path in files:
        assert refusal(path.read_bytes(), b"", LATER) == Refusal.MALFORMED


@absent
def test_a_tag_that_once_was_unknown_and_a_set_that_is_not_sorted_are_read():
    leaf = x509.load_pem_x509_certificate((KOTLIN / "testdata" / "allow_while_on_body.pem").read_bytes())
    oid = x509.ObjectIdentifier(android_description.OID)
    said = android_description.read(leaf.extensions.get_extension_for_oid(oid).value.value)
    assert said.hardware.purposes == {2, 3}
    assert said.hardware.root_of_trust is not None
    assert said.hardware.root_of_trust.state == "verified"


@absent
@pytest.mark.parametrize("form", ["der", "pem"])
@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("EC_SecurityLevel_TEE", None),
        ("RSA_SecurityLevel_TEE", None),
        ("EC_SecurityLevel_StrongBox", Refusal.MALFORMED),  # an ECDSA signature with parameters
        ("RSA_SecurityLevel_StrongBox", Refusal.CHAIN),  # another root
    ],
)
def test_older_chains(kind, code, form):
    at = 1_560_000_000  # June 2019
    assert refusal(older(kind, form), OLD_CHALLENGE, at) == code
    if code is None:
        claims = genuine(older(kind, form), OLD_CHALLENGE, at)
        assert (claims.locked, claims.boot_state, claims.factory) == (False, "unverified", True)


@absent
def test_googles_sample_of_a_revocation_list():
    """Four decimal serial numbers are revoked, one hexadecimal is suspended; each stops a chain."""
    listed = revocation.read((JAVA / "status.json").read_bytes(), fetched=LATER, max_age=0)
    revoked = [6681152659205225093, 8350192447815228107, 9408173275444922801, 11244410301401252959]
    for serial in (*revoked, 0xCC66E9A93713B6E643B26C15879786F7):
        with pytest.raises(RefusedEvidence) as caught:
            revocation.check([1, serial], listed, LATER, Trail())
        assert caught.value.code == Refusal.REVOKED
    assert listed.serials["cc66e9a93713b6e643b26c15879786f7"] == "SUSPENDED"
    revocation.check([1, 2], listed, LATER, Trail())
    with pytest.raises(IntegrityError):
        revocation.read((JAVA / "status.json").read_bytes()[:-5], fetched=LATER, max_age=0)


@absent
@pytest.mark.slow
def test_no_altered_bit_of_a_genuine_chain_is_accepted():
    """I04: every single bit of a locked phone's chain, and every seventh of the same in PEM."""
    (case,) = [case for case in CASES if case.strict == "accept"]
    chain = x509.load_pem_x509_certificates(case.evidence)
    forms = ((b"".join(one.public_bytes(Encoding.DER) for one in chain), 1), (case.evidence, 7))
    for evidence, stride in forms:
        for bit in range(0, len(evidence) * 8, stride):
            bent = bytearray(evidence)
            bent[bit // 8] ^= 1 << bit % 8
            assert refusal(bytes(bent), case.challenge, case.at) is not None, bit
