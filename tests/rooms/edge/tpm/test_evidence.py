"""A device with a real TPM attests itself, and our office's judge believes it; bent in any way, it does not."""

import hashlib
import json
import os

import pytest
from cryptography import x509

from rooms.edge.tpm.needs import extend
from strongroom.attest.authorities import Authorities, Roots
from strongroom.attest.claims import IN_HARDWARE, Expected, Kind, Level
from strongroom.attest.policy import Policy
from strongroom.attest.tpm import activated, make_credential, verify
from strongroom.attest.verdict import Refusal, RefusedEvidence, Trail
from strongroom.edge.evidence import Attestor, Requested, unavailable
from strongroom.edge.evidence.tpm import TpmAttestor
from strongroom.edge.keystore.tpm import TpmKeystore
from strongroom.errors import Code, IntegrityError, SetupError
from strongroom.wire.activation import ActivationRequest
from strongroom.wire.messages import Evidence
from strongroom.wire.tpm.structs import Public

NOW = 1_800_000_000
SECRET = hashlib.sha256(b"what the office drew").digest()
BINDING, LATER = hashlib.sha256(b"enrolment").digest(), hashlib.sha256(b"release").digest()
POLICY = Policy("default", 1, bytes(32), kinds=frozenset({Kind.TPM}))


class Office:
    """Gives credentials as the office does, and judges."""

    def __init__(self, chip):
        issuer = x509.load_pem_x509_certificate(chip.issuer.read_bytes())
        self.authorities = Authorities(tpm=Roots(genuine=(issuer,)))
        self.asked = []

    def activate(self, keys):
        self.asked.append(keys)
        request = ActivationRequest(bytes(32), keys.ek_certificates, keys.ek_public, keys.ak_public)
        assert ActivationRequest.from_bytes(request.to_bytes()) == request  # it fits the wire
        return make_credential(keys.ek_public, Public.read(keys.ak_public).name(), SECRET, os.urandom)

    def judge(self, evidence, binding, known=None, kem=0):
        return verify(evidence.data, Expected(binding, kem=kem), NOW, known, POLICY, self.authorities, Trail())


@pytest.fixture
def office(chip):
    return Office(chip)


@pytest.fixture
def attestor(chip, tmp_path) -> Attestor:
    return TpmAttestor(TpmKeystore(tmp_path / "keystore", chip.address))


def test_a_device_enrols_and_asks(attestor, office):
    (evidence,) = attestor.enrol(BINDING, office.activate)
    assert evidence.kind == attestor.kind == "tpm"
    assert Evidence.from_bytes(evidence.to_bytes()) == evidence
    claims = office.judge(evidence, BINDING)
    assert activated(evidence.data, SECRET)
    assert not activated(evidence.data, bytes(32))
    assert claims.level == Level.HARDWARE
    assert claims.fresh
    assert sorted(claims.pcrs["sha256"]) == list(range(8))
    assert claims.known.key == office.asked[0].ak_public
    assert claims.known.ek == office.asked[0].ek_public

    (quote,) = attestor.request(Requested(LATER))
    assert len(quote.data) < len(evidence.data)
    assert json.loads(quote.data).keys() == {"ak_public", "attest", "signature", "pcrs"}
    later = office.judge(quote, LATER, claims.known, kem=0x0020)
    assert (later.fresh, later.key_binding) == (False, IN_HARDWARE)
    assert later.device_id == claims.device_id


def test_the_key_survives_a_reboot_and_the_clock_rises(attestor, office, chip):
    claims = office.judge(attestor.enrol(BINDING, office.activate)[0], BINDING)
    chip.reboot()
    later = office.judge(attestor.request(Requested(LATER))[0], LATER, claims.known)
    assert later.known.clock.reset_count > claims.known.clock.reset_count


def test_enrolling_again_keeps_the_key(attestor, office):
    first, second = (office.judge(attestor.enrol(BINDING, office.activate)[0], BINDING) for _ in range(2))
    assert first.device_id == second.device_id


def test_a_credential_of_a_grant_opens_here_alone(attestor, office, other_chip, tmp_path):
    attestor.enrol(BINDING, office.activate)
    credential = office.activate(office.asked[0])
    found = attestor.open_credential(credential)
    assert type(found) is bytearray
    assert found == SECRET
    other = TpmAttestor(TpmKeystore(tmp_path / "other", other_chip.address))
    other.enrol(BINDING, office.activate)
    for bent in (credential[:-1] + bytes([credential[-1] ^ 1]), b"", credential + b"\0"):
        with pytest.raises(IntegrityError):
            attestor.open_credential(bent)
    with pytest.raises(IntegrityError) as caught:
        other.open_credential(credential)
    assert caught.value.code == Code.SEALED_KEY


def test_an_office_that_answers_for_another_tpm_gets_no_evidence(attestor, office, other_chip, tmp_path):
    other = TpmAttestor(TpmKeystore(tmp_path / "other", other_chip.address))
    other.enrol(BINDING, office.activate)
    with pytest.raises(IntegrityError) as caught:
        attestor.enrol(BINDING, lambda _: office.activate(office.asked[0]))
    assert caught.value.code == Code.SEALED_KEY


def test_evidence_for_another_request_or_of_another_chip_is_refused(attestor, office, other_chip, tmp_path):
    known = office.judge(attestor.enrol(BINDING, office.activate)[0], BINDING).known
    (quote,) = attestor.request(Requested(LATER))
    with pytest.raises(RefusedEvidence) as caught:
        office.judge(quote, BINDING, known)
    assert caught.value.code == Refusal.BINDING
    other = TpmAttestor(TpmKeystore(tmp_path / "other", other_chip.address))
    other.enrol(BINDING, office.activate)
    with pytest.raises(RefusedEvidence) as caught:
        office.judge(other.request(Requested(LATER))[0], LATER, known)
    assert caught.value.code == Refusal.KEY


def test_registers_are_reported_as_they_are(chip, tmp_path, office):
    attestor = TpmAttestor(TpmKeystore(tmp_path / "keystore", chip.address), registers=(0, 16))
    before = office.judge(attestor.enrol(BINDING, office.activate)[0], BINDING)
    with TpmKeystore(tmp_path / "keystore", chip.address).opened() as tpm:
        extend(tpm, 16, b"a boot kit")
        now = tpm.read_pcrs([0, 16])
    after = office.judge(attestor.request(Requested(LATER))[0], LATER, before.known)
    assert after.pcrs == {"sha256": now}
    assert after.pcrs != before.pcrs


def test_a_device_that_was_not_attested_says_how(attestor):
    for use in (lambda: attestor.request(Requested(LATER)), lambda: attestor.open_credential(b"")):
        with pytest.raises(SetupError) as caught:
            use()
        assert caught.value.code == Code.NOT_ENROLLED
        assert "--tpm" in caught.value.next_step


def test_issuers_go_along_where_the_chip_has_none(chip, tmp_path, office):
    issuer = x509.load_pem_x509_certificate(chip.issuer.read_bytes())
    root = x509.load_pem_x509_certificate(chip.root.read_bytes())
    from cryptography.hazmat.primitives.serialization import Encoding

    office.authorities = Authorities(tpm=Roots(genuine=(root,)))
    keystore = TpmKeystore(tmp_path / "keystore", chip.address)
    with pytest.raises(RefusedEvidence) as caught:
        office.judge(TpmAttestor(keystore).enrol(BINDING, office.activate)[0], BINDING)
    assert caught.value.code == Refusal.CHAIN
    attestor = TpmAttestor(keystore, issuers=[issuer.public_bytes(Encoding.DER)])
    assert office.judge(attestor.enrol(BINDING, office.activate)[0], BINDING).fresh


def test_no_evidence_says_why():
    (one,) = unavailable("Play services are missing" + "!" * 1000)
    assert one.kind == "unavailable"
    assert len(one.data) == 200
    assert Evidence.from_bytes(one.to_bytes()) == one
