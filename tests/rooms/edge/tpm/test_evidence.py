"""A device with a real TPM attests itself, and our office's judge believes it; bent in any way, it does not."""

import contextlib
import hashlib
import json
import os

import pytest
from cryptography import x509

from rooms.edge.tpm.needs import extend
from strongroom.attest.authorities import Authorities, Roots
from strongroom.attest.claims import IN_HARDWARE, Expected, Kind, Level
from strongroom.attest.policy import Policy
from strongroom.attest.tpm import activated, make_credential, read, verify
from strongroom.attest.verdict import Refusal, RefusedEvidence, Trail
from strongroom.edge import attesting
from strongroom.edge import enrol as enrolling
from strongroom.edge.evidence import Attestor, Requested, unavailable
from strongroom.edge.evidence.tpm import TpmAttestor
from strongroom.edge.keystore.tpm import TpmKeystore
from strongroom.edge.tpm.commands import Channel
from strongroom.errors import (
    Code,
    DeniedError,
    InputError,
    IntegrityError,
    RefusedError,
    SetupError,
    StoreError,
    UnreachableError,
)
from strongroom.wire.activation import ActivationAnswer, ActivationRequest
from strongroom.wire.messages import ChallengeAnswer, EnrolAnswer, EnrolRequest, Evidence
from strongroom.wire.tpm.constants import Command
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


def enrol(attestor, office):
    """Enrol at an office that says yes."""
    evidence = attestor.enrol(BINDING, office.activate)
    attestor.enrolled()
    return evidence


def test_a_device_enrols_and_asks(attestor, office):
    (evidence,) = enrol(attestor, office)
    assert evidence.kind == attestor.kind == "tpm"
    assert Evidence.from_bytes(evidence.to_bytes()) == evidence
    claims = office.judge(evidence, BINDING)
    assert activated(read(evidence.data), SECRET)
    assert not activated(read(evidence.data), bytes(32))
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
    claims = office.judge(enrol(attestor, office)[0], BINDING)
    chip.reboot()
    later = office.judge(attestor.request(Requested(LATER))[0], LATER, claims.known)
    assert later.known.clock.reset_count > claims.known.clock.reset_count


def test_enrolling_again_keeps_the_key(attestor, office):
    first, second = (office.judge(enrol(attestor, office)[0], BINDING) for _ in range(2))
    assert first.device_id == second.device_id


def test_a_credential_of_a_grant_opens_here_alone(attestor, office, other_chip, tmp_path):
    enrol(attestor, office)
    credential = office.activate(office.asked[0])
    found = attestor.open_credential(credential)
    assert type(found) is bytearray
    assert found == SECRET
    other = TpmAttestor(TpmKeystore(tmp_path / "other", other_chip.address))
    enrol(other, office)
    for bent in (credential[:-1] + bytes([credential[-1] ^ 1]), b"", credential + b"\0"):
        with pytest.raises(IntegrityError):
            attestor.open_credential(bent)
    with pytest.raises(IntegrityError) as caught:
        other.open_credential(credential)
    assert caught.value.code == Code.SEALED_KEY


def test_an_office_that_answers_for_another_tpm_gets_no_evidence(attestor, office, other_chip, tmp_path):
    other = TpmAttestor(TpmKeystore(tmp_path / "other", other_chip.address))
    enrol(other, office)
    with pytest.raises(IntegrityError) as caught:
        attestor.enrol(BINDING, lambda _: office.activate(office.asked[0]))
    assert caught.value.code == Code.SEALED_KEY


def test_evidence_for_another_request_or_of_another_chip_is_refused(attestor, office, other_chip, tmp_path):
    known = office.judge(enrol(attestor, office)[0], BINDING).known
    (quote,) = attestor.request(Requested(LATER))
    with pytest.raises(RefusedEvidence) as caught:
        office.judge(quote, BINDING, known)
    assert caught.value.code == Refusal.BINDING
    other = TpmAttestor(TpmKeystore(tmp_path / "other", other_chip.address))
    enrol(other, office)
    with pytest.raises(RefusedEvidence) as caught:
        office.judge(other.request(Requested(LATER))[0], LATER, known)
    assert caught.value.code == Refusal.KEY


def test_registers_are_reported_as_they_are(chip, tmp_path, office):
    attestor = TpmAttestor(TpmKeystore(tmp_path / "keystore", chip.address), registers=(0, 16))
    before = office.judge(enrol(attestor, office)[0], BINDING)
    with TpmKeystore(tmp_path / "keystore", chip.address).opened() as tpm:
        extend(tpm, 16, b"a boot kit")
        now = tpm.read_pcrs([0, 16])
    after = office.judge(attestor.request(Requested(LATER))[0], LATER, before.known)
    assert after.pcrs == {"sha256": now}
    assert after.pcrs != before.pcrs


def test_registers_are_remembered_from_enrolling_on(chip, tmp_path, office):
    """Later quotes show what enrolling named, until enrolling names others."""

    def quoted(attestor):
        return sorted(office.judge(attestor.request(Requested(LATER))[0], LATER, known).pcrs["sha256"])

    keystore = TpmKeystore(tmp_path / "keystore", chip.address)
    known = office.judge(enrol(TpmAttestor(keystore), office)[0], BINDING).known
    assert quoted(TpmAttestor(keystore)) == list(range(8))
    for registers in ((4, 0, 2, 7), (7,)):
        attestor = TpmAttestor(keystore, registers)
        (evidence,) = attestor.enrol(BINDING, office.activate)
        assert quoted(TpmAttestor(keystore)) != sorted(registers)  # the office has not said yes
        attestor.enrolled()
        assert office.judge(evidence, BINDING).pcrs["sha256"].keys() == set(registers)
        again = TpmKeystore(tmp_path / "keystore", chip.address)
        assert quoted(TpmAttestor(again)) == sorted(registers)
        assert quoted(TpmAttestor(again, (1,))) == [1]  # for once
    with pytest.raises(StoreError):
        TpmAttestor(keystore, (1,), "sha512").enrol(BINDING, office.activate)  # a bank that this chip has not
    TpmAttestor(keystore).enrolled()
    assert quoted(TpmAttestor(keystore)) == [7]  # neither that nor enrolling without a word changes anything


@pytest.mark.parametrize(("registers", "bank"), [((24,), "sha256"), ((-1,), "sha256"), ((7,), "md5")])
def test_registers_that_no_tpm_has(tmp_path, registers, bank):
    with pytest.raises(InputError) as caught:
        TpmAttestor(TpmKeystore(tmp_path / "keystore", "/dev/none"), registers, bank)
    assert caught.value.code == Code.ARGUMENT


def test_more_certificates_than_an_office_reads(chip, tmp_path, office):
    attestor = TpmAttestor(TpmKeystore(tmp_path / "keystore", chip.address), issuers=[b"1", b"2", b"3", b"4"])
    with pytest.raises(InputError) as caught:
        attestor.enrol(BINDING, office.activate)
    assert caught.value.code == Code.ARGUMENT
    assert not office.asked


def test_a_device_that_was_not_attested_says_how(attestor):
    for use in (lambda: attestor.request(Requested(LATER)), lambda: attestor.open_credential(b"")):
        with pytest.raises(SetupError) as caught:
            use()
        assert caught.value.code == Code.NOT_ENROLLED
        assert "--tpm" in caught.value.next_step


class Desk:
    """A way to an office: what it says to the two calls of an enrolment, one after the other."""

    server = "https://models.example.com"

    def __init__(self, office, chip, keystore, *, activation=None, answer=None):
        self.office, self.activation, self.answer = office, activation, answer
        self.signer, self.asked, self.sent, self.bus = keystore.make_device_key(), [], None, None

    def url(self, path):
        return self.server + path

    def challenge(self, purpose, model, token):
        self.asked.append("challenge")
        return ChallengeAnswer(bytes(32), 2 * NOW, (1,), (0x0020,), NOW)

    def post(self, path, body, token, *, limit):
        self.asked.append(path)
        if path == attesting.ACTIVATIONS:
            if self.activation is not None:
                raise self.activation
            keys = ActivationRequest.from_bytes(body)
            return ActivationAnswer(self.office.activate(keys), NOW).to_bytes()
        self.sent = EnrolRequest.from_bytes(body).evidence
        if self.answer is not None:
            raise self.answer
        return EnrolAnswer(DEVICE, ACCOUNT, "a.b.c", 2 * NOW, NOW).to_bytes()


DEVICE, ACCOUNT = "dev_" + "A" * 22, "acc_" + "A" * 22
NO = RefusedError(Code.EVIDENCE, "attestation refused")
UNHEARD = UnreachableError(Code.UNREACHABLE, "no answer")


def vouched(keystore):
    """Whether the TPM vouches for this device's requests."""
    return attesting.to_ask(keystore, None) is not None


@pytest.mark.parametrize("answer", [NO, DeniedError(Code.TOKEN, "not accepted"), UNHEARD])
def test_a_key_that_no_office_took_vouches_for_nothing(chip, tmp_path, office, answer):
    """B09: refused, or broken off; after the next enrolment that is accepted it does."""
    keystore = TpmKeystore(tmp_path / "keystore", chip.address)
    with pytest.raises(type(answer)):
        enrolling.enrol(Desk(office, chip, keystore, answer=answer), "token", attesting.to_enrol(keystore, None))
    assert not vouched(keystore)
    made = [*tmp_path.glob("keystore/attestation*")]
    assert len(made) == (answer is UNHEARD)  # then the office may have said yes, and knows this very key
    desk = Desk(office, chip, keystore)
    enrolling.enrol(desk, "token", attesting.to_enrol(keystore, None))
    assert vouched(keystore)
    if answer is UNHEARD:
        assert office.asked[0].ak_public == office.asked[1].ak_public
    assert keystore.attestation_key().public == office.asked[-1].ak_public
    assert [path.name for path in tmp_path.glob("keystore/attestation*")] == ["attestation.tpmkey"]


@pytest.mark.parametrize("answer", [NO, UNHEARD])
def test_a_key_that_was_attested_stays(chip, tmp_path, office, answer):
    keystore = TpmKeystore(tmp_path / "keystore", chip.address)
    enrolling.enrol(Desk(office, chip, keystore), "token", attesting.to_enrol(keystore, None))
    key = keystore.attestation_key()
    for more in ({"answer": answer}, {"activation": answer}):
        with contextlib.suppress(RefusedError, UnreachableError):
            enrolling.enrol(Desk(office, chip, keystore, **more), "token", attesting.to_enrol(keystore, None))
        assert keystore.attestation_key() == key


def test_a_crash_while_a_key_is_kept_loses_nothing(chip, tmp_path, office):
    keystore = TpmKeystore(tmp_path / "keystore", chip.address)
    key = keystore.make_attestation_key()
    assert keystore.make_attestation_key() == key
    assert keystore.attestation_key() is None
    keystore.keep_attestation_key()
    file = tmp_path / "keystore" / "attestation.tpmkey"
    (tmp_path / "keystore" / "attestation-new.tpmkey").write_bytes(file.read_bytes())  # died before it was removed
    assert keystore.make_attestation_key() == keystore.attestation_key() == key
    keystore.keep_attestation_key()
    keystore.keep_attestation_key()
    assert keystore.attestation_key() == key
    assert [*tmp_path.glob("keystore/attestation*")] == [file]


@pytest.mark.parametrize("code", [Code.EVIDENCE, Code.NOT_FOUND])
def test_an_office_that_does_not_want_this_tpm_may_take_the_device(chip, tmp_path, office, caplog, code):
    """R94: keys are kept in the chip all the same."""
    keystore = TpmKeystore(tmp_path / "keystore", chip.address)
    error = NO if code == Code.EVIDENCE else DeniedError(code, "no model here asks for a TPM")
    desk = Desk(office, chip, keystore, activation=error)
    assert enrolling.enrol(desk, "token", attesting.to_enrol(keystore, None)).id == DEVICE
    assert desk.sent == ()
    assert not vouched(keystore)
    assert not [*tmp_path.glob("keystore/attestation*")]
    assert "vouches for nothing" in caplog.text


def test_an_activation_that_fails_in_another_way_ends_the_enrolment(chip, tmp_path, office):
    keystore = TpmKeystore(tmp_path / "keystore", chip.address)
    for error in (DeniedError(Code.CHALLENGE, "used up"), UNHEARD):
        desk = Desk(office, chip, keystore, activation=error)
        with pytest.raises(type(error)):
            enrolling.enrol(desk, "token", attesting.to_enrol(keystore, None))
        assert desk.sent is None


def test_what_takes_a_chip_seconds_comes_before_the_challenge(chip, tmp_path, office, monkeypatch):
    """A challenge is good for a minute; making keys on a slow chip takes a good part of it."""
    keystore = TpmKeystore(tmp_path / "keystore", chip.address)
    desk = Desk(office, chip, keystore)
    exchange = Channel._exchange

    def noted(self, command, body, *, sessions):
        desk.asked.append(command)
        return exchange(self, command, body, sessions=sessions)

    monkeypatch.setattr(Channel, "_exchange", noted)
    enrolling.enrol(desk, "token", attesting.to_enrol(keystore, None))
    later = desk.asked[desk.asked.index("challenge") :]
    assert Command.CREATE in desk.asked
    assert Command.CREATE not in later
    until = later[: later.index(attesting.ACTIVATIONS)]
    assert not [one for one in until if isinstance(one, Command)]


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
