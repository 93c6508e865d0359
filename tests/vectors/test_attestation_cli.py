"""Genuine evidence through `strongroom attest verify` (R56, R94): the verdict a support engineer gets.

The vectors are not part of this repository: the tests skip where `../shared/vectors` is not beside it.
"""

import base64
import json
import re
from pathlib import Path

import pytest

from strongroom.cli import root
from strongroom.cli.faults import run
from vectors import test_attestation_android as androids
from vectors import test_attestation_apple as apples
from vectors import test_attestation_tpm as tpms

HERE = apples.FOLDER.exists()
pytestmark = pytest.mark.skipif(not HERE, reason="the vectors are not part of the project")
ATTESTATIONS = apples.attestations() if HERE else []
ASSERTIONS = apples.assertions() if HERE else []
NOW = "2026-11-23T12:00:00Z"
REJECTED = 6


@pytest.fixture
def verify(capsys, tmp_path, monkeypatch):
    """Run `strongroom attest verify --json` over some bytes; return the exit code and the document."""
    monkeypatch.chdir(tmp_path)

    def call(kind, evidence, binding, at, *more):
        path = tmp_path / "evidence"
        path.write_bytes(evidence)
        capsys.readouterr()
        wanted = ["--kind", kind, "--evidence", str(path), "--binding", binding.hex(), "--at", str(at), "--json"]
        code = run(root, ["attest", "verify", *wanted, *map(str, more)])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        found = json.loads(out)
        assert code == {"accept": 0, "reject": REJECTED}[found["verdict"]]
        assert (found["code"] is None) == (code == 0)
        assert all(one["passed"] for one in found["steps"]) == (code == 0)
        return found

    return call


def spellings(evidence):
    """The ways in which the same evidence is handed around."""
    text = base64.b64encode(evidence)
    wrapped = b"\n".join(re.findall(rb".{1,64}", text)) + b"\n"
    return {
        "raw": evidence,
        "base64": text,
        "wrapped base64": wrapped,
        "base64url": base64.urlsafe_b64encode(evidence).rstrip(b"="),
        "JSON": json.dumps({"attestation": text.decode(), "keyId": "AA=="}).encode(),
    }


@pytest.mark.parametrize("case", ATTESTATIONS, ids=lambda case: case.name)
def test_app_attest_attestations(case, verify):
    for name, data in spellings(case.evidence).items():
        found = verify("app-attest", data, case.binding, case.at)
        expected = None if case.environment == "production" else "environment"
        assert found["code"] == expected, name
        assert found["claims"]["environment"] == case.environment
        genuine = verify("app-attest", data, case.binding, case.at, "--chain-only")
        assert (genuine["verdict"], genuine["claims"]) == ("accept", found["claims"])
    assert verify("app-attest", case.evidence, case.binding, NOW)["code"] == "expired"
    assert verify("app-attest", case.evidence, case.binding + b"x", case.at)["code"] == "binding"


@pytest.mark.parametrize("case", [one for one in ATTESTATIONS if one.app_id], ids=lambda case: case.name)
def test_app_attest_under_a_policy(case, verify, tmp_path):
    text = f"""version = 1
[default]
kinds = ["app-attest"]
[default.apple]
app_ids = ["{case.app_id}"]
environments = ["{case.environment}"]
[models.other]
kinds = ["app-attest"]
apple = {{ app_ids = ["A1B2C3D4E5.com.example.other"] }}
"""
    policy = tmp_path / "attestation.toml"
    policy.write_text(text)
    found = verify("app-attest", case.evidence, case.binding, case.at, "--policy", policy)
    assert (found["verdict"], found["not_judged"]) == ("accept", [])
    other = verify("app-attest", case.evidence, case.binding, case.at, "--policy", policy, "--model", "other")
    assert other["code"] == "app"


@pytest.mark.parametrize("case", ASSERTIONS, ids=lambda case: case.name)
def test_app_attest_assertions(case, verify, tmp_path):
    state = tmp_path / "state.json"
    pem = f"-----BEGIN PUBLIC KEY-----\n{base64.b64encode(case.key).decode()}\n-----END PUBLIC KEY-----\n"
    for key in (case.key.hex(), base64.b64encode(case.key).decode(), pem):
        state.write_text(json.dumps({"key": key, "counter": case.counter - 1}))
        found = verify("app-attest", case.evidence, case.binding, case.at, "--state", state)
        assert found["verdict"] == "accept"
        assert found["claims"]["known"]["counter"] == case.counter
        assert "environment: the state does not say what the key was attested in" in found["not_judged"]
    state.write_text(json.dumps({"key": case.key.hex(), "counter": case.counter}))
    assert verify("app-attest", case.evidence, case.binding, case.at, "--state", state)["code"] == "replay"
    assert verify("app-attest", case.evidence, case.binding, case.at)["code"] == "key"


@pytest.mark.parametrize("case", androids.CASES, ids=lambda case: case.name)
def test_android_chains(case, verify):
    code = {"accept": None, "reject: bootloader unlocked": "boot", "reject: trust anchor": "chain"}
    found = verify("android-key", case.evidence, case.challenge, case.at)
    assert found["code"] == code[case.strict]
    assert "revocation: no list was given (--revoked)" in found["not_judged"]
    genuine = verify("android-key", case.evidence, case.challenge, case.at, "--chain-only")
    assert genuine["verdict"] == case.chain_only.partition(":")[0]
    assert verify("android-key", case.evidence, case.challenge[:-1], case.at)["verdict"] == "reject"


def test_android_chains_in_other_spellings_and_a_list(verify, tmp_path):
    case = next(one for one in androids.CASES if one.strict == "accept")
    blocks = re.findall(rb"-----BEGIN CERTIFICATE-----([^-]*)-----END", case.evidence)
    der = b"".join(base64.b64decode(block) for block in blocks)
    array = json.dumps([base64.b64encode(base64.b64decode(block)).decode() for block in blocks]).encode()
    for data in (der, base64.b64encode(der), array):
        assert verify("android-key", data, case.challenge, case.at)["verdict"] == "accept"
    status = androids.JAVA / "status.json"
    found = verify("android-key", der, case.challenge, case.at, "--revoked", status)
    assert (found["verdict"], "revocation" in str(found["not_judged"])) == ("accept", False)
    from cryptography import x509

    serial = f"{x509.load_pem_x509_certificates(case.evidence)[1].serial_number:x}"
    listed = tmp_path / "status.json"
    listed.write_text(json.dumps({"entries": {serial: {"status": "SUSPENDED"}}}))
    assert verify("android-key", der, case.challenge, case.at, "--revoked", listed)["code"] == "revoked"


@pytest.mark.parametrize("name", ["malformed_rot_device_locked", "tags_not_in_ascending_order"])
def test_descriptions_that_break_their_grammar(name, verify):
    path = androids.KOTLIN / "testdata" / "invalid" / f"{name}.pem"
    assert verify("android-key", path.read_bytes(), b"challenge", NOW)["verdict"] == "reject"


@pytest.mark.parametrize("kind", ["EC_SecurityLevel_StrongBox", "EC_SecurityLevel_TEE", "RSA_SecurityLevel_TEE"])
def test_older_android_chains(kind, verify):
    found = verify("android-key", androids.older(kind), androids.OLD_CHALLENGE, "2019-01-01")
    assert found["code"] == ("malformed" if kind == "EC_SecurityLevel_StrongBox" else "boot")
    in_pem = verify("android-key", androids.older(kind, "pem"), androids.OLD_CHALLENGE, "2019-01-01")
    assert in_pem["code"] == found["code"]


@pytest.mark.parametrize("kind", tpms.KINDS)
def test_tpm_quotes(kind, verify):
    path = tpms.SWTPM / f"quote_{kind}.json"
    fields = json.loads(path.read_bytes())
    binding, roots = bytes.fromhex(fields["qualifying"]), ("--roots", tpms.SWTPM / "issuercert.pem")
    found = verify("tpm", path.read_bytes(), binding, NOW, *roots)
    assert (found["verdict"], found["claims"]["fresh"]) == ("accept", True)
    assert found["claims"]["pcrs"] == {"sha256": fields["pcrs"]}
    assert verify("tpm", base64.b64encode(path.read_bytes()), binding, NOW, *roots)["verdict"] == "accept"
    upper = json.dumps(fields | {"attest": fields["attest"].upper()}).encode()
    assert verify("tpm", upper, binding, NOW, *roots)["verdict"] == "accept"
    assert verify("tpm", path.read_bytes(), binding, "2026-11-01", *roots)["code"] == "expired"
    assert verify("tpm", path.read_bytes(), binding[:-1], NOW, *roots)["code"] == "binding"
    other = tpms.KINDS[tpms.KINDS.index(kind) - 1]
    stranger = json.loads((tpms.SWTPM / f"quote_{other}.json").read_bytes())
    swapped = json.dumps(fields | {"ek_cert": stranger["ek_cert"]}).encode()
    assert verify("tpm", swapped, binding, NOW, *roots)["code"] == "chain"  # for another kind of key
    assert verify("tpm", swapped, binding, NOW)["code"] == "chain"


@pytest.mark.parametrize("kind", tpms.KINDS)
def test_a_tpm_without_a_root_is_said_to_be_anybodys(kind, verify):
    path = tpms.SWTPM / f"quote_{kind}.json"
    binding = bytes.fromhex(json.loads(path.read_bytes())["qualifying"])
    found = verify("tpm", path.read_bytes(), binding, NOW)
    assert found["verdict"] == "accept"
    assert any("so anybody could have made these keys" in one for one in found["not_judged"])


def test_a_quote_of_a_key_that_signs_with_sha_1(verify):
    """Google's own test accepts it."""
    data = (tpms.GO / "windows_gcp_shielded_vm.json").read_bytes()
    found = verify("tpm", data, b"\0", NOW)
    assert (found["code"], found["detail"]) == ("unsupported", "the attestation key signs with SHA-1")


@pytest.mark.parametrize("kind", tpms.KINDS)
def test_a_chip_whose_issuer_is_missing(kind, verify):
    data = (tpms.SWTPM / f"quote_{kind}.json").read_bytes()
    binding = bytes.fromhex(json.loads(data)["qualifying"])
    root = ("--roots", tpms.SWTPM / "swtpm-localca-rootca-cert.pem")
    found = verify("tpm", data, binding, NOW, *root)
    assert (found["code"], found["steps"][-1]["step"]) == ("chain", "endorsement certificate chain")
    assert "its issuer 'CN=swtpm-localca' was not sent along and is not pinned" in found["detail"]
    assert "--roots issuer.pem --roots root.pem" in found["next"]
    assert verify("tpm", data, binding, NOW, *root, "--roots", tpms.SWTPM / "issuercert.pem")["verdict"] == "accept"


@pytest.mark.parametrize("kind", tpms.KINDS)
def test_an_altered_endorsement_key_is_told_without_a_root_too(kind, verify):
    """B09: attributes and policy of a key that is no endorsement key."""
    fields = json.loads((tpms.SWTPM / f"quote_{kind}.json").read_bytes())
    for at in range(0, len(fields["ek_public"]), 14):
        bent = (
            fields["ek_public"][:at] + format(int(fields["ek_public"][at], 16) ^ 1, "x") + fields["ek_public"][at + 1 :]
        )
        altered = json.dumps(fields | {"ek_public": bent}).encode()
        assert verify("tpm", altered, bytes.fromhex(fields["qualifying"]), NOW)["verdict"] == "reject", at


@pytest.mark.parametrize("path", sorted(apples.FOLDER.rglob("*.yaml")) if HERE else [], ids=lambda path: path.stem)
def test_yaml_as_it_lies(path, verify, tmp_path):
    """It holds an attestation, an assertion and receipts: --state says that the assertion is meant."""
    mine = [one for one in ATTESTATIONS + ASSERTIONS if one.evidence in wanted_of(path)]
    assert len(mine) == 2
    for case in mine:
        state = tmp_path / "state.json"
        state.write_text(json.dumps({"key": case.key.hex(), "counter": case.counter - 1}) if case.counter else "")
        more = ("--state", state) if case.counter else ()
        found = verify("app-attest", path.read_bytes(), case.binding, case.at, "--chain-only", *more)
        assert (found["verdict"], found["claims"]["fresh"]) == ("accept", not case.counter)


def wanted_of(path):
    return [
        base64.b64decode(one) for one in re.findall(r"(?m)^(?:attestation|assertion)Base64: (\S+)$", path.read_text())
    ]


def cut_and_bent(evidence):
    """A few of the ways in which evidence is tampered with."""
    middle = len(evidence) // 2
    yield evidence[:-1]
    yield evidence[:middle]
    yield b""
    yield evidence + b"\0"
    for at in range(40, len(evidence), max(len(evidence) // 25, 1)):
        yield evidence[:at] + bytes([evidence[at] ^ 1]) + evidence[at + 1 :]


@pytest.mark.parametrize("case", ATTESTATIONS[:1], ids=lambda case: case.name)
def test_tampered_attestations(case, verify):
    """I04: cut, longer, or one bit changed, in the receipt too."""
    for data in cut_and_bent(case.evidence):
        assert verify("app-attest", data, case.binding, case.at)["verdict"] == "reject"


@pytest.mark.parametrize("case", ATTESTATIONS, ids=lambda case: case.name)
def test_an_altered_receipt_is_told(case, verify):
    """I04: a release does not ask for it; a person wants to know that somebody altered what a genuine phone sent."""
    start, end = case.evidence.find(b"greceipt") + 16, case.evidence.find(b"hauthData")
    for at in range(start, end, 151):
        bent = case.evidence[:at] + bytes([case.evidence[at] ^ 4]) + case.evidence[at + 1 :]
        found = verify("app-attest", bent, case.binding, case.at, "--chain-only")
        assert (found["verdict"], found["steps"][-1]) == ("reject", {"step": "receipt", "passed": False})


def test_tampered_chains(verify):
    """I04."""
    case = next(one for one in androids.CASES if one.strict == "accept")
    blocks = re.findall(rb"-----BEGIN CERTIFICATE-----([^-]*)-----END", case.evidence)
    der = b"".join(base64.b64decode(block) for block in blocks[:-1])  # its root is known here: only its key counts
    for data in cut_and_bent(der):
        tampered = data + base64.b64decode(blocks[-1]) if len(data) == len(der) else data
        assert verify("android-key", tampered, case.challenge, case.at)["verdict"] == "reject"


def test_the_pages_of_the_vectors_are_all_tried():
    assert (len(ATTESTATIONS), len(ASSERTIONS), len(androids.CASES)) == (8, 5, 13)
    assert isinstance(tpms.SWTPM, Path)
