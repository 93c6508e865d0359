"""Our judge and a real TPM understand one another: credentials, quotes and clocks (R82, R94, B09)."""

import json
import os
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from strongroom.attest import tpm as judge
from strongroom.attest.authorities import Authorities, Roots
from strongroom.attest.claims import Expected, Level
from strongroom.attest.policy import Policy
from strongroom.attest.verdict import Refusal, RefusedEvidence, Trail
from strongroom.edge.tpm import endorsement, templates
from strongroom.edge.tpm.chip import Tpm
from strongroom.errors import Code, IntegrityError, StoreError
from strongroom.wire.tpm.structs import Public

SECRET = bytes(range(100, 132))
BINDING = bytes(range(32))
KINDS = templates.ENDORSEMENT_KEYS
POLICY = Policy("default", 1, bytes(32))


@pytest.fixture
def tpm(chip):
    with Tpm.open(chip.address) as tpm:
        yield tpm


def ek_of(tpm: Tpm, kind: templates.EndorsementKey) -> bytes:
    with endorsement.key(tpm._objects, kind) as (_, public):
        return public.raw


def evidence(chip, tpm: Tpm, key, *, enrol: bool, **more) -> bytes:
    quote = tpm.quote(key, BINDING, [0, 7, 16])
    fields = {
        "ak_public": key.public.hex(),
        "attest": quote.attest.hex(),
        "signature": quote.signature.hex(),
        "pcrs": {quote.bank: {str(one): value.hex() for one, value in quote.pcrs.items()}},
    }
    if enrol:
        issuer = x509.load_pem_x509_certificate(chip.issuer.read_bytes()).public_bytes(Encoding.DER)
        fields["ek_certificates"] = [tpm.ek_certificates()[0].hex(), issuer.hex()]
        fields["ek_public"] = tpm.ek_public().hex()
    return json.dumps(fields | more).encode()


def judged(chip, found: bytes, known=None):
    authorities = Authorities(tpm=Roots((x509.load_pem_x509_certificate(chip.root.read_bytes()),)))
    return judge.verify(found, Expected(BINDING, kem=0x20), int(time.time()) + 60, known, POLICY, authorities, Trail())


@pytest.mark.parametrize("kind", KINDS, ids=[one.name for one in KINDS])
def test_a_chip_opens_our_credential_and_no_other_chip_or_key_does(tpm, other_chip, kind):
    """B09: the secret of a release opens in the TPM that it is for, beside the attestation key that it is for."""
    key = tpm.create_ak()
    credential = judge.make_credential(ek_of(tpm, kind), Public.read(key.public).name(), SECRET, os.urandom)
    assert tpm.activate(key, credential) == SECRET
    with pytest.raises(IntegrityError) as caught:
        tpm.activate(tpm.create_ak(), credential)
    assert caught.value.code == Code.SEALED_KEY
    bent = credential[:40] + bytes([credential[40] ^ 1]) + credential[41:]
    with pytest.raises(IntegrityError):
        tpm.activate(key, bent)
    # a software TPM calls an RSA secret for another key its own failure, and goes on all the same
    with Tpm.open(other_chip.address) as other, pytest.raises((IntegrityError, StoreError)):
        other.activate(other.create_ak(), credential)


def test_a_real_chip_enrols_and_quotes(chip, tpm):
    key = tpm.create_ak()
    name = Public.read(key.public).name()
    secret = tpm.activate(key, judge.make_credential(tpm.ek_public(), name, SECRET, os.urandom))
    enrolled = evidence(chip, tpm, key, enrol=True, activation=secret.hex())
    claims = judged(chip, enrolled)
    assert judge.activated(judge.read(enrolled), SECRET)
    assert (claims.fresh, claims.level, claims.device_id) == (True, Level.HARDWARE, name[2:])
    assert claims.signals["model"] == "swtpm"
    assert claims.firmware is None  # the TPM hides it from a key that lies under its owner's
    later = judged(chip, evidence(chip, tpm, key, enrol=False), claims.known)
    assert later.known.clock.clock >= claims.known.clock.clock
    assert later.pcrs["sha256"].keys() == {0, 7, 16}


def test_a_key_of_another_chip_is_refused(chip, tpm, other_chip):
    """B09: a device that is known quotes with a key of another TPM of the same maker."""
    key = tpm.create_ak()
    known = judged(chip, evidence(chip, tpm, key, enrol=True, activation="00" * 32)).known
    with Tpm.open(other_chip.address) as other:
        foreign = evidence(other_chip, other, other.create_ak(), enrol=False)
    with pytest.raises(RefusedEvidence) as caught:
        judged(chip, foreign, known)
    assert caught.value.code == Refusal.KEY


def test_the_clock_goes_on_over_a_reboot(other_chip):
    """I04: counts and clock of a chip that was really switched off and on; the older quote is refused then."""
    with Tpm.open(other_chip.address) as tpm:
        key = tpm.create_ak()
        first = judged(other_chip, evidence(other_chip, tpm, key, enrol=True, activation="00" * 32)).known
        older = evidence(other_chip, tpm, key, enrol=False)
    other_chip.reboot()
    with Tpm.open(other_chip.address) as tpm:
        after = judged(other_chip, evidence(other_chip, tpm, key, enrol=False), first).known
    assert after.clock.reset_count > first.clock.reset_count
    with pytest.raises(RefusedEvidence) as caught:
        judged(other_chip, older, after)
    assert caught.value.code == Refusal.REPLAY
