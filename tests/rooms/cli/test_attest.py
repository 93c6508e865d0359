"""`strongroom attest verify`: verdict, code and each step, for evidence of a made-up Apple, Android, Play and TPM."""

import base64
import json
import re
import sys

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from stand_ins import APP_ID, AT, BINDING, PACKAGE, SIGNER, description, kits
from strongroom.attest.authorities import Authorities
from strongroom.attest.verdict import Refusal
from strongroom.cli import attest, attest_inputs, attest_report, attest_spellings

WHEN = "2026-11-23T12:00:00Z"
BINDING_HEX = BINDING.hex()
REJECTED = 6
POLICY = f"""\
version = 4
[authorities]
tpm_roots = ["maker.pem"]
revocation_list = "status.json"
stand_ins = ["test-roots.pem"]
play = {{ "{PACKAGE}" = {{ decryption_key_file = "play.aes", verification_key_file = "play.pem", stand_in = true }} }}
[default]
kinds = ["app-attest", "android-key", "play", "tpm"]
stand_ins = true
[default.apple]
app_ids = ["{APP_ID}"]
[default.android]
packages = ["{PACKAGE}"]
signers = ["{SIGNER.hex()}"]
[default.play]
packages = ["{PACKAGE}"]
signers = ["{SIGNER.hex()}"]
[default.tpm.pcrs.sha256]
7 = "{"00" * 32}"
[models.production]
kinds = ["app-attest"]
apple = {{ app_ids = ["{APP_ID}"] }}
[models.lenient]
kinds = ["android-key"]
stand_ins = true
reactions = {{ boot = "observe" }}
android = {{ packages = ["{PACKAGE}"], signers = ["{SIGNER.hex()}"] }}
"""


@pytest.fixture(scope="module")
def kit():
    return kits()


@pytest.fixture(scope="module")
def evidence(kit):
    return {
        "app-attest": kit.apple.phone(APP_ID, bundle_version="1.2", category=4).attest(BINDING, AT),
        "android-key": kit.android.attest(description(), AT).evidence,
        "play": kit.play.token(kit.play.verdict(BINDING, AT)),
        "tpm": kit.tpm.chip().enrol(BINDING),
    }


@pytest.fixture
def office(kit, tmp_path):
    """A policy with all its files."""
    folder = tmp_path / "office"
    folder.mkdir()
    believed = kit.apple.among(kit.android.among(Authorities()))
    pem = [one.public_bytes(Encoding.PEM) for one in (*believed.apple.stand_ins, *believed.android.stand_ins)]
    (folder / "test-roots.pem").write_bytes(b"".join(pem))
    (folder / "maker.pem").write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in kit.tpm.roots.stand_ins))
    (folder / "status.json").write_text(json.dumps({"entries": {}, "fetched": AT - 86_400}))
    (folder / "play.aes").write_bytes(base64.b64encode(kit.play.keys.decryption))
    (folder / "play.aes").chmod(0o600)
    spki = kit.play.keys.verification.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    (folder / "play.pem").write_bytes(base64.b64encode(spki))
    (folder / "attestation.toml").write_text(POLICY)
    return folder


@pytest.fixture
def verify(cli, tmp_path):
    """Run it over bytes."""

    def call(kind, data, *more, binding=BINDING_HEX, at=WHEN):
        (tmp_path / "evidence").write_bytes(data)
        wanted = ("--kind", kind, "--evidence", tmp_path / "evidence", "--binding", binding, "--at", at)
        return cli("attest", "verify", *wanted, *more)

    return call


KINDS = list(attest.KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_good_evidence_under_a_policy(kind, verify, evidence, office):
    for at in (WHEN, str(AT), "2026-11-23T13:00:00+01:00"):
        done = verify(kind, evidence[kind], "--policy", office / "attestation.toml", "--json", at=at)
        assert (done.code, done.json["verdict"], done.json["code"], done.json["detail"]) == (0, "accept", None, "")
        assert (done.json["kind"], done.json["claims"]["stand_in"]) == (kind, kind != "tpm")
        assert done.json["claims"]["verified_at"] == AT
        assert all(one["passed"] for one in done.json["steps"])
        left = [one.partition(":")[0] for one in done.json["not_judged"]]
        assert left == (["activation"] if kind == "tpm" else [])  # what a credential held, only the server knows
    text = base64.urlsafe_b64encode(evidence[kind])
    if kind != "play":
        assert verify(kind, text, "--policy", office / "attestation.toml").code == 0


@pytest.mark.parametrize("kind", KINDS)
def test_evidence_for_another_request(kind, verify, evidence, office):
    done = verify(kind, evidence[kind], "--policy", office / "attestation.toml", "--json", binding="00" * 32)
    assert (done.code, done.json["code"], done.json["claims"]) == (REJECTED, "binding", None)
    failed = [one["step"] for one in done.json["steps"] if not one["passed"]]
    assert failed == [done.json["steps"][-1]["step"]]


@pytest.mark.parametrize("kind", KINDS)
def test_tampered_and_garbled_evidence(kind, verify, evidence, office):
    for data in (b"", b"\0", b"{}", b"[]", b'{"attestation": 5}', b"-----BEGIN", evidence[kind][:-9], bytes(70_000)):
        done = verify(kind, data, "--policy", office / "attestation.toml", "--json")
        assert (done.code, done.json["verdict"]) == (REJECTED, "reject"), data[:20]
        assert verify(kind, data).code == REJECTED


def test_the_text_for_people(verify, evidence, office):
    done = verify("android-key", evidence["android-key"], "--policy", office / "attestation.toml")
    lines = done.out.splitlines()
    assert (done.code, done.err) == (0, "")
    assert "✓ challenge" in lines
    assert "✓ policy: boot loader" in lines
    assert "✗" not in done.out
    assert any(line.startswith("verdict ") and line.endswith(" accept") for line in lines)
    assert any(line.startswith("app ids ") and line.endswith(f" {PACKAGE}") for line in lines)


def test_the_text_for_people_says_what_failed_and_what_to_do(kit, verify, office):
    bent = kit.android.attest(description(locked=False, boot_state=2), AT).evidence
    done = verify("android-key", bent, "--policy", office / "attestation.toml")
    lines = done.out.splitlines()
    assert done.code == REJECTED
    assert "✗ policy: boot loader: boot loader unlocked" in lines
    assert "✗ policy: boot state: boot state 'unverified'" in lines
    assert "✓ policy: signer" in lines
    assert [line.split()[-1] for line in lines if line.startswith(("verdict ", "code "))] == ["reject", "boot"]
    assert next(line for line in lines if line.startswith("next ")).endswith("install the maker's system")
    lenient = verify("android-key", bent, "--policy", office / "attestation.toml", "--model", "lenient", "--json")
    assert (lenient.code, {one["code"] for one in lenient.json["findings"]}) == (0, {"boot"})


WRAPPINGS = {
    "hexadecimal": lambda data: data.hex().encode(),
    "hexadecimal in lines": lambda data: b"\n".join(data.hex(" ", 16).encode().split()),
    "base64 in small lines": base64.encodebytes,
    "JSON text": lambda data: json.dumps(base64.b64encode(data).decode()).encode(),
    "JSON field": lambda data: json.dumps({"keyId": "AA==", "attestationObject": data.hex()}).encode(),
    "one of a request": lambda data: json.dumps(
        {"evidence": [{"kind": "other", "data": "AAAA"}, {"data": base64.urlsafe_b64encode(data).decode().rstrip("=")}]}
    ).encode(),
    "YAML": lambda data: b"---\nid: 5\nattestationBase64: " + base64.b64encode(data) + b"\ntype: attestation\n",
    "YAML block": lambda data: b"attestation: |\n" + b"".join(
        b"  " + line + b"\n" for line in base64.encodebytes(data).split()
    ),
    "PowerShell": lambda data: base64.b64encode(data).decode().encode("utf-16"),
}  # fmt: skip


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_wrappings_that_evidence_comes_in(wrapping, verify, evidence, office):
    for kind in ("app-attest", "android-key"):
        data = WRAPPINGS[wrapping](evidence[kind])
        done = verify(kind, data, "--policy", office / "attestation.toml")
        assert (done.code, kind) == (0, kind), done.out


def test_a_token_and_a_quote_in_wrappings(verify, evidence, office):
    policy = ("--policy", office / "attestation.toml")
    token = evidence["play"]
    for data in (
        token + b"\n",
        token[:100] + b"\n" + token[100:],
        json.dumps({"integrityToken": token.decode()}).encode(),
    ):
        assert verify("play", data, *policy).code == 0
    fields = json.loads(evidence["tpm"])
    upper = {name: one.upper() if isinstance(one, str) else one for name, one in fields.items()}
    text = {
        name: base64.b64encode(bytes.fromhex(one)).decode() if isinstance(one, str) else one
        for name, one in fields.items()
    }
    sent = {"evidence": [{"kind": "tpm", "data": base64.urlsafe_b64encode(evidence["tpm"]).decode()}]}
    for value in (upper, text, fields | {"comment": "of Monday"}, {"evidence": fields}, sent):
        assert verify("tpm", json.dumps(value).encode(), *policy).code == 0


def test_text_that_tools_write_around_certificates(verify, evidence, office):
    der, blocks, at = evidence["android-key"], [], 0
    while at < len(der):
        size = int.from_bytes(der[at + 2 : at + 4], "big") + 4
        blocks.append(x509.load_der_x509_certificate(der[at : at + size]).public_bytes(Encoding.PEM))
        at += size
    policy = ("--policy", office / "attestation.toml")
    assert verify("android-key", b"".join(blocks), *policy).code == 0
    around = b"".join(b" %d s:CN = x\n   i:CN = y\n%s\n" % (number, one) for number, one in enumerate(blocks))
    assert verify("android-key", around, *policy).code == 0
    assert verify("android-key", b"".join(one.strip() for one in blocks), *policy).code == 0
    assert verify("android-key", b"\xef\xbb\xbf" + b"".join(blocks).replace(b"\n", b"\r\n"), *policy).code == 0
    whole = b"".join(blocks)
    for found in re.finditer(rb"-----(?:BEGIN|END) CERTIFICATE-----", whole):
        for place in range(found.start(), found.end(), 3):
            bent = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
            done = verify("android-key", bent, *policy, "--json")
            assert (done.code, done.json["code"]) == (REJECTED, "malformed")


def test_base64_with_an_altered_letter_is_other_evidence():
    """I04: letters whose last bits nobody reads, and the letters of the other alphabet."""
    assert attest_spellings.unbase64(b"QQ==") == b"A"
    assert attest_spellings.unbase64(b"QR==") is None
    assert attest_spellings.unbase64(b"+/+/") == attest_spellings.unbase64(b"-_-_")
    assert attest_spellings.unbase64(b"+_+_") is None


@pytest.mark.parametrize(
    ("kind", "data", "hint"),
    [
        ("app-attest", b'{"ak_public": "00", "attest": "00"}', "try --kind tpm"),
        ("tpm", b"-----BEGIN CERTIFICATE-----\n", "try --kind android-key"),
        ("tpm", b'{"attest": "00"}', "it lacks ak_public, pcrs, signature"),
        ("android-key", b'{"attestationVersion": "300"}', "leaf first: PEM, DER one behind the other"),
        ("play", b"some words", "five parts with dots between"),
        ("app-attest", b"\xa3\x00", "the CBOR object of attestKey"),
        ("android-key", b"", "the file is empty"),
    ],
)
def test_what_is_none_is_told_its_right_form(kind, data, hint, verify):
    done = verify(kind, data, "--json")
    assert (done.code, done.json["code"], hint in done.json["next"]) == (REJECTED, "malformed", True)
    assert hint in verify(kind, data).out


def test_several_pieces_and_directories_are_no_question(verify, evidence, tmp_path, cli):
    text = base64.b64encode(evidence["app-attest"]).decode()
    done = verify("app-attest", json.dumps([{"attestation": text}, {"attestation": text[:-4]}]).encode(), "--json")
    assert (done.code, done.json["error"]["what"]) == (2, "this file holds 2 pieces of evidence")
    done = cli("attest", "verify", "--kind", "tpm", "--evidence", tmp_path, "--binding", "00", "--at", "1", "--json")
    assert (done.code, done.json["error"]["what"]) == (2, "the evidence is a directory")


def test_the_chain_alone_is_asked_for_no_application_and_no_age(verify, evidence, office):
    roots = ("--roots", office / "test-roots.pem", "--json", "--chain-only")
    done = verify("app-attest", evidence["app-attest"], *roots, "--app-id", "A1B2C3D4E5.com.example.other")
    assert (done.code, done.json["verdict"]) == (0, "accept")
    assert "application: --chain-only asks for no more than genuineness" in done.json["not_judged"]
    keys = ("--play-keys", f"{PACKAGE}={office / 'play.aes'},{office / 'play.pem'}", "--json")
    assert verify("play", evidence["play"], *keys, at=str(AT + 86_400)).json["code"] == "expired"
    done = verify("play", evidence["play"], *keys, "--chain-only", at=str(AT + 86_400))
    assert "time stamp: --chain-only asks for no more than genuineness" in done.json["not_judged"]
    assert done.code == 0


def test_every_code_has_a_next_step():
    assert attest_report._NEXT.keys() == set(Refusal)


def test_a_terminal_without_ticks_gets_words(verify, evidence, monkeypatch):
    class Plain:
        encoding = "ascii"

    monkeypatch.setattr(attest_report, "sys", type("", (), {"stdout": Plain}))
    done = verify("tpm", evidence["tpm"], binding="00")
    assert done.out.startswith("ok  size and kind\n")
    assert "\nbad " in done.out
    assert done.out.isascii()


def test_a_models_own_rules(verify, evidence, office):
    policy = ("--policy", office / "attestation.toml")
    done = verify("app-attest", evidence["app-attest"], *policy, "--model", "production", "--json")
    assert (done.code, done.json["code"]) == (REJECTED, "policy")
    other = verify("app-attest", evidence["app-attest"], *policy, "--model", "another", "--json")
    assert (other.code, "[default] applies" in other.err) == (0, True)
    assert verify("tpm", evidence["tpm"], *policy, "--model", "production", "--json").json["code"] == "policy"


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_policy_test_roots_must_be_named(kind, verify, evidence, office, kit):
    done = verify(kind, evidence[kind], "--json")
    assert done.json["code"] == (None if kind == "tpm" else "chain")
    if kind == "play":
        more = ("--play-keys", f"{PACKAGE}={office / 'play.aes'},{office / 'play.pem'}")
    else:
        more = ("--roots", office / ("maker.pem" if kind == "tpm" else "test-roots.pem"))
    done = verify(kind, evidence[kind], *more, "--json")
    assert (done.code, done.json["verdict"]) == (0, "accept")
    named = {"app-attest": APP_ID, "android-key": PACKAGE, "play": PACKAGE}.get(kind)
    assert any(one.startswith(("application:", "registers:")) for one in done.json["not_judged"])
    if named:
        done = verify(kind, evidence[kind], *more, "--app-id", named, "--json")
        assert (done.code, any("application:" in one for one in done.json["not_judged"])) == (0, False)
        other = "A1B2C3D4E5.com.example.other" if kind == "app-attest" else "com.example.other"
        done = verify(kind, evidence[kind], *more, "--app-id", other, "--json")
        assert (done.code, done.json["code"]) == (REJECTED, "app")


def test_a_tpm_without_a_root_must_still_fit_together(kit, verify):
    """B09: another chip's certificate, or a key with other attributes, is no "not judged"."""
    one, other = (json.loads(kit.tpm.chip().enrol(BINDING)) for _ in range(2))
    assert verify("tpm", json.dumps(one).encode()).code == 0
    ak = bytearray.fromhex(one["ak_public"])
    at = 6 if int.from_bytes(ak[:2], "big") == len(ak) - 2 else 4
    ak[at + 1] ^= 0x04  # noDA
    for change in ({"ek_certificates": other["ek_certificates"]}, {"ak_public": ak.hex()}):
        done = verify("tpm", json.dumps(one | change).encode(), "--json")
        assert (done.code, done.json["code"] in {"chain", "key"}) == (REJECTED, True)


def test_a_tpm_whose_issuer_is_not_pinned_says_what_to_name(verify, evidence, office):
    done = verify("tpm", evidence["tpm"], "--roots", office / "test-roots.pem", "--json")
    assert (done.code, done.json["code"]) == (REJECTED, "chain")
    assert "was not sent along and is not pinned" in done.json["detail"]
    assert "--roots issuer.pem --roots root.pem" in done.json["next"]


def test_the_built_in_rules_are_strict(kit, verify, office):
    roots = ("--roots", office / "test-roots.pem", "--json")
    development = kit.apple.phone(APP_ID, environment="development").attest(BINDING, AT)
    assert verify("app-attest", development, *roots).json["code"] == "environment"
    assert verify("app-attest", development, *roots, "--chain-only").code == 0
    assert verify("app-attest", development, *roots, "--environment", "development").code == 0
    production = kit.apple.phone(APP_ID).attest(BINDING, AT)
    assert verify("app-attest", production, *roots, "--environment", "development").json["code"] == "environment"
    local = kit.apple.phone(APP_ID, bundle_version="1", category=10).attest(BINDING, AT)
    assert verify("app-attest", local, *roots).json["code"] == "environment"
    for bent, code in (({"attestation_level": 0, "key_level": 0}, "device"), ({"locked": False}, "boot")):
        chain = kit.android.attest(description(**bent), AT).evidence
        assert verify("android-key", chain, *roots).json["code"] == code, bent
        assert verify("android-key", chain, *roots, "--chain-only").code == 0
    keys = ("--play-keys", f"{PACKAGE}={office / 'play.aes'},{office / 'play.pem'}", "--json")
    for bent, code in (({"licensing": "UNLICENSED"}, "app"), ({"labels": ("MEETS_BASIC_INTEGRITY",)}, "device")):
        token = kit.play.token(kit.play.verdict(BINDING, AT, **bent))
        assert verify("play", token, *keys).json["code"] == code, bent


def test_a_verdict_that_google_decoded(kit, verify, office):
    verdict = kit.play.verdict(BINDING, AT)
    for value in (verdict, {"tokenPayloadExternal": verdict}):
        done = verify("play", json.dumps(value).encode(), "--json")
        assert done.code == 0
        assert (
            "signature: a verdict that Google decoded carries none; it is taken at its word" in done.json["not_judged"]
        )
    done = verify("play", json.dumps(verdict).encode(), "--json", binding="00")
    assert (done.code, done.json["code"]) == (REJECTED, "binding")


def test_an_assertion_with_its_state(kit, verify, office, tmp_path):
    phone = kit.apple.phone(APP_ID, bundle_version="1.2", category=4)
    roots = ("--roots", office / "test-roots.pem", "--json")
    enrolled = verify("app-attest", phone.attest(BINDING, AT), *roots)
    known = enrolled.json["claims"]["known"]
    state = tmp_path / "state.json"
    names = ("key", "counter", "environment", "app_ids", "category")
    state.write_text(json.dumps({name: known[name] for name in names}))
    first = phone.sign(BINDING)
    done = verify("app-attest", first, "--state", state, "--json")
    assert (done.code, done.json["claims"]["known"]["counter"]) == (0, 1)
    assert not any(one.startswith("environment") for one in done.json["not_judged"])
    state.write_text(enrolled.out)  # all that the verdict of the attestation said, the test authority too
    assert verify("app-attest", first, "--state", state, *roots).code == 0
    assert verify("app-attest", first, "--state", state, "--json").json["code"] == "policy"
    state.write_text(base64.b64encode(bytes.fromhex(known["key"])[-65:]).decode())  # the point alone
    assert verify("app-attest", first, "--state", state, "--json").code == 0
    without = verify("app-attest", first, "--json")
    assert (without.json["code"], "--state" in without.json["next"]) == ("key", True)
    state.write_text(json.dumps({"key": known["key"], "counter": 1}))
    assert verify("app-attest", first, "--state", state, "--json").json["code"] == "replay"
    assert verify("app-attest", phone.sign(BINDING), "--state", state, "--json").code == 0


def test_a_later_quote_with_the_keys_that_were_enrolled(kit, verify, office, tmp_path):
    chip = kit.tpm.chip()
    hardware = tmp_path / "office" / "hardware.toml"
    text = f"""version = 1
[authorities]
tpm_roots = ["maker.pem"]
[default]
kinds = ["tpm"]
key_binding = "hardware"
[default.tpm.pcrs.sha256]
7 = "{"00" * 32}"
"""
    hardware.write_text(text)
    policy = ("--policy", hardware, "--json")
    evidence = chip.enrol(BINDING)
    enrolled = verify("tpm", evidence, *policy)
    assert (enrolled.code, enrolled.json["claims"]["key_binding"]) == (0, "hashed")
    assert any("an enrolment gives no key out" in one for one in enrolled.json["not_judged"])
    quote, state = chip.quote(BINDING), tmp_path / "state.json"
    without = verify("tpm", quote, *policy)
    assert (without.code, without.json["code"], "--state" in without.json["next"]) == (REJECTED, "key", True)
    both = {"ak_public": chip.ak.raw.hex(), "ek_public": chip.ek.raw.hex()}
    for given in (json.dumps(both), enrolled.out, evidence.decode()):
        state.write_text(given)
        done = verify("tpm", quote, "--state", state, *policy)
        assert (done.code, done.json["claims"]["key_binding"]) == (0, "hardware"), given[:40]
        assert any("the server wraps the keys" in one for one in done.json["not_judged"])
        assert verify("tpm", kit.tpm.chip().quote(BINDING), "--state", state, *policy).json["code"] == "key"
    state.write_text(json.dumps({"ak_public": both["ak_public"]}))
    done = verify("tpm", quote, "--state", state, *policy)
    assert (done.code, any("has no ek_public" in one for one in done.json["not_judged"])) == (0, True)
    state.write_text(enrolled.out)
    chip.clock, chip.reset_count = 1, 0
    assert verify("tpm", chip.quote(BINDING), "--state", state, *policy).json["code"] == "replay"


def test_another_chips_keys_are_none_of_this_quote_without_a_policy_too(kit, verify, tmp_path):
    chip, other = kit.tpm.chip(), kit.tpm.chip()
    (tmp_path / "state.json").write_text(json.dumps({"ak_public": other.ak.raw.hex(), "ek_public": other.ek.raw.hex()}))
    for data in (chip.quote(BINDING), chip.enrol(BINDING)):
        assert verify("tpm", data, "--state", tmp_path / "state.json").code == REJECTED


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"ak_public": 5}', '{"ak_public": "00"}', '{"claims": 5}', '{"ak_public": "x", "clock": 1}',
     '{"claims": {"known": {"kind": "app-attest", "key": "00"}}}', "\x00"],
)  # fmt: skip
def test_a_state_of_no_tpm(text, verify, tmp_path):
    (tmp_path / "state.json").write_text(text)
    done = verify("tpm", b"x", "--state", tmp_path / "state.json")
    assert (done.code, "[argument]" in done.err, "ak_public" in done.err) == (2, True, True)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"key": 5}', '{"key": "00", "counter": -1}', '{"key": "", "counter": 1}', '{"key": "é"}',
             '{"key": "00", "count": 1}', '{"key": "-----BEGIN PUBLIC KEY-----"}', '{"key": "00", "app_ids": "x"}'],
)  # fmt: skip
def test_a_state_that_is_none(text, verify, tmp_path):
    (tmp_path / "state.json").write_text(text)
    done = verify("app-attest", b"x", "--state", tmp_path / "state.json")
    assert (done.code, "[argument]" in done.err) == (2, True)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"binding": "0"}, "--binding"),
        ({"binding": "xx"}, "--binding"),
        ({"at": "yesterday"}, "--at"),
        ({"at": "2026-11-23T12:00:00"}, "--at"),
        ({"at": "9" * 30}, "--at"),
        ({"at": "2026-13-01"}, "--at"),
        ({"kind": "safetynet"}, "--kind"),
        ({"more": ("--model", "digits")}, "--model"),
        ({"more": ("--roots", "nowhere.pem")}, "nowhere.pem"),
        ({"more": ("--play-keys", "com.example.app")}, "--play-keys"),
    ],
)
def test_what_is_no_question_is_said(change, named, verify):
    change = {"kind": "tpm", "more": (), **change}
    done = verify(change.pop("kind"), b"x", *change.pop("more"), **change)
    assert (done.code, named in done.err) == (2, True)


def test_app_ids_and_a_policy_exclude_one_another(verify, office):
    done = verify("play", b"x", "--policy", office / "attestation.toml", "--app-id", PACKAGE)
    assert (done.code, "--app-id" in done.err) == (2, True)


def test_environments_and_a_policy_exclude_one_another(verify, office):
    done = verify("app-attest", b"x", "--policy", office / "attestation.toml", "--environment", "development")
    assert (done.code, "--environment" in done.err) == (2, True)


def test_evidence_that_is_not_there(cli):
    done = cli("attest", "verify", "--kind", "tpm", "--evidence", "nowhere", "--binding", "00", "--at", "1")
    assert (done.code, "no such evidence" in done.err) == (2, True)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda office: (office / "attestation.toml").write_text(POLICY.replace("app_ids", "app_idz", 1)), "line 11"),
        (lambda office: (office / "test-roots.pem").unlink(), "line 5"),
        (lambda office: (office / "test-roots.pem").write_text("nothing"), "line 5"),
        (lambda office: (office / "status.json").write_text("{}"), "line 4"),
        (lambda office: (office / "status.json").write_text(json.dumps({"entries": {}, "fetched": 1})), "line 4"),
    ],
    ids=["misspelt field", "no roots", "roots that are none", "a list that is none", "a list that is old"],
)
def test_a_policy_that_cannot_be_used_names_the_line(change, what, verify, evidence, office):
    change(office)
    done = verify("android-key", evidence["android-key"], "--policy", office / "attestation.toml")
    assert (done.code, done.out) == (1, "")
    assert "[config]" in done.err or "[argument]" in done.err
    assert f"attestation.toml {what}" in done.err


def test_a_policys_files_for_other_kinds_are_not_asked_for(verify, evidence, office):
    for name in ("status.json", "play.aes", "maker.pem"):
        (office / name).unlink()
    assert verify("app-attest", evidence["app-attest"], "--policy", office / "attestation.toml").code == 0


def test_a_decryption_key_that_others_may_read_is_not_used(verify, evidence, office):
    (office / "play.aes").chmod(0o644)
    done = verify("play", evidence["play"], "--policy", office / "attestation.toml")
    assert (done.code, "[permissions]" in done.err) == (1, True)


def test_without_the_extra_it_says_how_to_get_it(verify, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("strongroom.attest")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cbor2", None)
    done = verify("tpm", b"x")
    assert (done.code, "[missing-extra]" in done.err) == (1, True)
    assert 'pip install "strongroom[server]"' in done.err


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("1795435200", AT), ("2026-11-23", AT - 43_200), ("2026-11-23T12:00:00.999Z", AT),
     ("2026-11-23T14:00:00+02:00", AT)],
)  # fmt: skip
def test_times(text, seconds):
    assert attest_inputs.moment(text) == seconds
