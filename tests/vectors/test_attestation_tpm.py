"""Genuine TPM evidence that this project did not make up (R82): quotes of a software TPM, and logs of real machines."""

import base64
import hashlib
import json
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from strongroom.attest import tpm
from strongroom.attest.authorities import Authorities, Roots
from strongroom.attest.claims import Claims, Expected, Level
from strongroom.attest.policy import Policy
from strongroom.attest.tpm.eventlog import parse, replay
from strongroom.attest.verdict import Refusal, RefusedEvidence, Trail
from strongroom.errors import IntegrityError

VECTORS = Path(__file__).resolve().parents[3] / "shared" / "vectors" / "attestation"
SWTPM = VECTORS / "tpm-swtpm"
GO = VECTORS / "go-attestation" / "attest" / "testdata"
POLICY = Policy("default", 1, bytes(32))
AT = 1_795_435_200  # 2026-11-24, a day after the certificates were made
BEFORE = AT - 7 * 86_400
KINDS = ["rsa", "ecc"]


def fields(kind: str) -> dict:
    return json.loads((SWTPM / f"quote_{kind}.json").read_text(encoding="ascii"))


def pem(name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate((SWTPM / name).read_bytes())


def judged(found: dict, *, at: int = AT, binding: bytes | None = None, roots: Roots | None = None) -> Claims:
    evidence = json.dumps({name: value for name, value in found.items() if name in tpm.FIELDS}).encode()
    authorities = Authorities(tpm=Roots((pem("swtpm-localca-rootca-cert.pem"),)) if roots is None else roots)
    expected = Expected(bytes.fromhex(found["qualifying"]) if binding is None else binding)
    return tpm.verify(evidence, expected, at, None, POLICY, authorities, Trail())


def refused(found: dict, **how) -> Refusal:
    with pytest.raises(RefusedEvidence) as caught:
        judged(found, **how)
    return caught.value.code


def with_issuer(kind: str) -> dict:
    found = fields(kind)
    issuer = pem("issuercert.pem").public_bytes(Encoding.DER)
    return found | {"ek_certificates": [found.pop("ek_cert"), issuer.hex()]}


@pytest.mark.skipif(not SWTPM.exists(), reason="the vectors are not part of the project")
@pytest.mark.parametrize("kind", KINDS)
def test_quotes_of_a_software_tpm_are_accepted_at_their_time(kind):
    found = with_issuer(kind)
    claims = judged(found)
    assert (claims.level, claims.fresh, claims.stand_in) == (Level.HARDWARE, True, False)
    assert claims.pcrs == {"sha256": {int(at): bytes.fromhex(value) for at, value in found["pcrs"].items()}}
    assert (claims.signals["model"], claims.firmware) == ("swtpm", 0x2019102300163636)
    assert judged(fields(kind), roots=Roots((pem("issuercert.pem"),))).device_id == claims.device_id


@pytest.mark.skipif(not SWTPM.exists(), reason="the vectors are not part of the project")
@pytest.mark.parametrize("kind", KINDS)
def test_and_refused_for_anything_else(kind):
    found = with_issuer(kind)
    assert refused(found, at=BEFORE) == Refusal.EXPIRED
    assert refused(found, binding=bytes.fromhex(found["challenge"])) == Refusal.BINDING
    assert refused(found, roots=Roots()) == Refusal.CHAIN
    assert refused(fields(kind)) == Refusal.CHAIN  # the issuer is missing
    assert refused(found | {"pcrs": found["pcrs"] | {"7": "11" * 32}}) == Refusal.PCR
    other = with_issuer("rsa" if kind == "ecc" else "ecc")
    mixed = found | {name: other[name] for name in ("ek_certificates", "ek_public")}
    assert judged(mixed).fresh  # one chip has two endorsement keys, and both are certified
    assert refused(found | {"ek_certificates": other["ek_certificates"]}) in {Refusal.CHAIN, Refusal.KEY}
    assert refused(found | {"ak_public": other["ak_public"]}) in {Refusal.KEY, Refusal.CHAIN}
    for name in ("attest", "signature"):
        assert refused(found | {name: found[name][:-2]}) == Refusal.MALFORMED


@pytest.mark.skipif(not GO.exists(), reason="the vectors are not part of the project")
def test_a_quote_signed_with_sha1_is_refused():
    """Google's Windows machine: a real quote that is accepted elsewhere."""
    dump = json.loads((GO / "windows_gcp_shielded_vm.json").read_text(encoding="utf-8"))
    public, quote = base64.b64decode(dump["AK"]["Public"]), dump["Quote"]
    one_day = Roots((pem("swtpm-localca-rootca-cert.pem"),))
    found = with_issuer("rsa") | {
        "ak_public": public.hex(),
        "attest": base64.b64decode(quote["Quote"]).hex(),
        "signature": base64.b64decode(quote["Signature"]).hex(),
        "pcrs": {"sha1": {str(one["Index"]): base64.b64decode(one["Digest"]).hex() for one in dump["Log"]["PCRs"]}},
    }
    assert refused(found, roots=one_day) == Refusal.UNSUPPORTED


@pytest.mark.skipif(not GO.exists(), reason="the vectors are not part of the project")
def test_a_real_log_replays_to_the_registers_of_its_machine():
    dump = json.loads((GO / "windows_gcp_shielded_vm.json").read_text(encoding="utf-8"))
    values = {one["Index"]: base64.b64decode(one["Digest"]) for one in dump["Log"]["PCRs"]}
    replayed = replay(parse(base64.b64decode(dump["Log"]["Raw"])), "sha1")
    assert len(replayed) > 6
    assert {register: values[register] for register in replayed} == replayed


LOGS = {
    "coreos_36_shielded_vm_no_secure_boot_eventlog": {"sha1", "sha256", "sha384"},
    "crypto_agile_eventlog": {"sha256"},
    "ebs_event_missing_eventlog": {"sha1"},
    "option_rom_eventlog": {"sha1"},
    "sb_cert_eventlog": {"sha1", "sha256", "sha384"},
    "ubuntu_2104_shielded_vm_no_secure_boot_eventlog": {"sha1", "sha256", "sha384"},
}


@pytest.mark.skipif(not GO.exists(), reason="the vectors are not part of the project")
@pytest.mark.parametrize("name", sorted(LOGS))
def test_real_logs_are_read_to_their_end(name):
    """Where an event measures its own data, every bank's digest is the digest of that data."""
    events = parse((GO / name).read_bytes())
    assert set().union(*(one.digests for one in events[1:])) == LOGS[name]
    separators = [one for one in events if one.kind == "EV_SEPARATOR"]
    assert separators
    for one in separators:
        for bank, digest in one.digests.items():
            assert hashlib.new(bank, one.data, usedforsecurity=False).digest() == digest
    for bank in LOGS[name]:
        explained = tpm.explain((GO / name).read_bytes(), {bank: replay(events, bank)})
        assert explained
        assert all(one.agrees for one in explained)


@pytest.mark.skipif(not GO.exists(), reason="the vectors are not part of the project")
def test_a_log_of_one_event_that_measures_nothing():
    only = parse((GO / "short_no_action_eventlog").read_bytes())
    assert [one.kind for one in only] == ["EV_NO_ACTION"]
    with pytest.raises(IntegrityError):
        parse((GO / "short_no_action_eventlog").read_bytes()[:-1])
