"""Genuine App Attest evidence that others published (R56): accepted at its time, refused at any other."""

import base64
import hashlib
import json
import re
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from strongroom.attest import apple, apple_receipt, cborx
from strongroom.attest.claims import Claims, Expected, Kind, Known, Level
from strongroom.attest.policy import AppleRules, Policy
from strongroom.attest.roots import production
from strongroom.attest.verdict import Refusal, RefusedEvidence, Trail

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "vectors" / "attestation"
UEBELACK = "V8H6LQ9448.io.uebelacker.AppAttestExample"
LATER = 1_795_000_000  # November 2026: every leaf has expired
AUTHORITIES = production()

absent = pytest.mark.skipif(not FOLDER.exists(), reason="the vectors are not part of the project")


@dataclass(frozen=True)
class Case:
    """One published object; `app_id` is empty where only its hash was published."""

    name: str
    evidence: bytes
    binding: bytes
    at: int
    app_id: str
    environment: str
    key: bytes = b""  # SHA-256 of the point, as the device named it; SPKI for an assertion
    counter: int = 0


def unix(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


def b64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def documents(kind: str) -> list[dict[str, str]]:
    """Return the YAML documents of one type: flat names and values, but for the key and a receipt's properties."""
    found = []
    for path in sorted((FOLDER / "apple-veehaitch").rglob("*.yaml")):
        for text in re.split(r"(?m)^---\n", path.read_text(encoding="utf-8")):
            if re.search(rf"(?m)^type: {kind}$", text):
                fields = {name: value.strip("'") for name, value in re.findall(r"(?m)^ *(\w+): ([^|\s].*)$", text)}
                pem = re.search(r"(?s)-----BEGIN PUBLIC KEY-----.*END PUBLIC KEY-----", text)[0].replace("  ", "")
                found.append({"file": path.stem, "pem": pem, **fields})
    return found


def spki(pem: str) -> bytes:
    return load_pem_public_key(pem.encode("ascii")).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def app_id(one: dict[str, str]) -> str:
    return f"{one['teamIdentifier']}.{one['bundleIdentifier']}"


def attestations() -> list[Case]:
    found = []
    for one in json.loads((FOLDER / "apple-splitsecure" / "attestations.json").read_text(encoding="utf-8")):
        # Apple's own sample gives the text of its challenge where a digest is usual
        raw = one.get("client_data_hash")
        binding = b64(raw) if raw else digest(b64(one["client_data"]))
        evidence, key, at = b64(one["attestation"]), b64(one["key_id"]), unix(one["verify_at"])
        found.append(Case(one["name"], evidence, binding, at, one.get("app_id", ""), one["environment"], key))
    for environment in ("production", "development"):
        path = FOLDER / "apple-uebelack" / "test" / "fixtures" / f"attestation-{environment}.json"
        one = json.loads(path.read_text(encoding="utf-8"))
        evidence, key, at = b64(one["attestation"]), b64(one["keyId"]), unix("2024-02-10T00:00:00Z")
        found.append(Case(environment, evidence, digest(b64(one["challenge"])), at, UEBELACK, environment, key))
    for one in documents("attestation"):
        evidence, key, at = b64(one["attestationBase64"]), b64(one["keyIdBase64"]), unix(one["timestamp"])
        binding = b64(one["clientDataHashSha256Base64"])
        found.append(Case(one["file"], evidence, binding, at, app_id(one), one["environment"], key))
    return found


def assertions() -> list[Case]:
    one = json.loads((FOLDER / "apple-uebelack" / "assertion.json").read_text(encoding="utf-8"))
    evidence, binding, key = b64(one["assertion"]), digest(one["client_data"].encode()), spki(one["public_key_pem"])
    found = [Case("uebelack", evidence, binding, LATER, one["app_id"], "production", key, 1)]
    for one in documents("assertion"):
        evidence, key, at = b64(one["assertionBase64"]), spki(one["pem"]), unix(one["timestamp"])
        binding, counter = b64(one["clientDataHashSha256Base64"]), int(one["counter"])
        found.append(Case(one["file"], evidence, binding, at, app_id(one), one["environment"], key, counter))
    return found


def policy(*app_ids: str) -> Policy:
    return Policy("default", 1, b"", apple=AppleRules(app_ids) if app_ids else None)


def judged(case: Case, known: Known | None = None, app_ids: tuple[str, ...] = ()) -> Claims | Refusal:
    rules = policy(*app_ids)
    try:
        return apple.verify(case.evidence, Expected(case.binding), case.at, known, rules, AUTHORITIES, Trail())
    except RefusedEvidence as refused:
        return refused.code


def flipped(data: bytes, bit: int) -> bytes:
    return data[: bit // 8] + bytes([data[bit // 8] ^ (1 << bit % 8)]) + data[bit // 8 + 1 :]


def known_of(case: Case, counter: int) -> Known:
    return Known(
        Kind.APP_ATTEST,
        case.key,
        counter=counter,
        level=Level.HARDWARE,
        environment="production",
        app_ids=(case.app_id,),
    )


@absent
def test_every_attestation_is_accepted_at_its_time_with_the_claims_it_was_published_with():
    tried = 0
    for case in attestations():
        claims = judged(case, app_ids=(case.app_id,) if case.app_id else ())
        assert isinstance(claims, Claims), (case.name, claims)
        assert claims.environment == case.environment, case.name
        assert digest(claims.known.key[-65:]) == case.key, case.name  # the identifier that the device gave
        assert claims.device_id == digest(claims.known.key)
        assert (claims.level, claims.fresh, claims.stand_in, claims.known.counter) == (Level.HARDWARE, True, False, 0)
        assert case.app_id in {"", *claims.app_ids}
        tried += 1
    assert tried == 8


@absent
def test_every_attestation_is_refused_for_any_other_time_binding_app_or_authority():
    others = {Refusal.EXPIRED: 0, Refusal.BINDING: 0, Refusal.APP: 0, Refusal.CHAIN: 0}
    for case in attestations():
        assert judged(replace(case, at=LATER)) == Refusal.EXPIRED, case.name
        assert judged(replace(case, at=case.at - 366 * 86_400)) == Refusal.EXPIRED, case.name
        assert judged(replace(case, binding=case.binding + b"x")) == Refusal.BINDING, case.name
        assert judged(replace(case, binding=b"")) == Refusal.BINDING, case.name
        assert judged(case, app_ids=("0123456789.com.example.other",)) == Refusal.APP, case.name
        swapped = replace(AUTHORITIES, apple=AUTHORITIES.apple_receipts)
        with pytest.raises(RefusedEvidence) as refused:
            apple.verify(case.evidence, Expected(case.binding), case.at, None, policy(), swapped, Trail())
        others[refused.value.code] += 1
    assert others[Refusal.CHAIN] == 8


@absent
def test_applications_are_named_without_a_policy_by_what_the_hash_proves():
    names = {case.name: judged(case).app_ids for case in attestations()}
    assert all(case.app_id in {"", *names[case.name]} for case in attestations())
    assert all(len(found) == 1 for found in names.values())


@absent
def test_every_assertion_is_accepted_above_its_counter_and_refused_at_it():
    tried = 0
    for case in assertions():
        claims = judged(case, known_of(case, case.counter - 1), (case.app_id,))
        assert isinstance(claims, Claims), (case.name, claims)
        assert (claims.known.counter, claims.fresh, claims.app_ids) == (case.counter, False, (case.app_id,))
        assert judged(case, claims.known) == Refusal.REPLAY, case.name
        assert judged(case, known_of(case, case.counter)) == Refusal.REPLAY, case.name
        assert judged(replace(case, binding=digest(b"another")), known_of(case, 0)) == Refusal.BINDING, case.name
        assert judged(case, replace(known_of(case, 0), app_ids=("0123456789.com.example.other",))) == Refusal.APP
        assert judged(case, known_of(case, 0), ("0123456789.com.example.other",)) == Refusal.APP, case.name
        assert judged(case) == Refusal.KEY, case.name
        tried += 1
    assert tried == 5


@absent
def test_an_attestation_enrols_the_key_that_the_device_then_asserts_with():
    keys = {case.name: judged(case).known for case in attestations() if case.name.startswith("ios-")}
    joined = 0
    for case in assertions():
        if case.name not in keys:
            continue
        claims = judged(case, keys[case.name], (case.app_id,))
        assert isinstance(claims, Claims), (case.name, claims)
        assert claims.device_id == digest(keys[case.name].key)
        assert claims.environment == "development"
        others = [known for name, known in keys.items() if known.key != keys[case.name].key]
        assert {judged(case, known, (case.app_id,)) for known in others} == {Refusal.BINDING}
        joined += 1
    assert joined == 4


@absent
def test_no_flipped_bit_outside_the_receipt_is_accepted():
    """A17, I04: every 61st bit of Apple's own attestation, and every bit of an assertion."""
    case = attestations()[0]
    receipt = cborx.item(case.evidence)["attStmt"]["receipt"]
    start = case.evidence.index(receipt)
    bits = [bit for bit in range(0, 8 * len(case.evidence), 61) if not start <= bit // 8 < start + len(receipt)]
    assert len(bits) > 200
    for bit in bits:
        assert isinstance(judged(replace(case, evidence=flipped(case.evidence, bit))), Refusal), bit
    case = assertions()[0]
    for bit in range(8 * len(case.evidence)):
        assert isinstance(judged(replace(case, evidence=flipped(case.evidence, bit)), known_of(case, 0)), Refusal), bit


@absent
def test_every_published_receipt_is_genuine_and_says_what_was_published():
    tried = 0
    for one in documents("receipt"):
        receipt = apple_receipt.verify(b64(one["receiptBase64"]), AUTHORITIES.apple_receipts, unix(one["timestamp"]))
        said = (receipt.app_id, receipt.key, receipt.type, receipt.environment)
        assert said == (app_id(one), spki(one["pem"]), one["type"], "sandbox"), one["file"]
        assert (receipt.created, receipt.expires) == (unix(one["creationTime"]), unix(one["expirationTime"]))
        assert receipt.client_hash == b64(one["clientHashBase64"])
        assert receipt.risk == (int(one["riskMetric"]) if "riskMetric" in one else None)
        assert receipt.not_before == (unix(one["notBefore"]) if "notBefore" in one else None)
        tried += 1
    assert tried == 12


@absent
def test_receipts_are_refused_at_other_times_under_other_roots_and_when_they_were_touched():
    one = documents("receipt")[0]
    data, at = b64(one["receiptBase64"]), unix(one["timestamp"])
    cases = [
        (data, AUTHORITIES.apple_receipts, LATER, {Refusal.EXPIRED}),
        (data, AUTHORITIES.apple_receipts, at - 3600, {Refusal.EXPIRED}),
        (data, AUTHORITIES.apple, at, {Refusal.CHAIN}),
        (data + b"\0", AUTHORITIES.apple_receipts, at, {Refusal.MALFORMED}),
        *((flipped(data, bit), AUTHORITIES.apple_receipts, at, set(Refusal)) for bit in range(3, 8 * 1200, 101)),
    ]
    for number, (touched, roots, moment, codes) in enumerate(cases):
        with pytest.raises(RefusedEvidence) as refused:
            apple_receipt.verify(touched, roots, moment)
        assert refused.value.code in codes, number
