"""The endorsement key and its certificate, and credentials that only one chip opens: our office against a real TPM."""

import os

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from rooms.edge.tpm.bus import Bus
from rooms.edge.tpm.needs import held
from strongroom.attest.tpm import make_credential
from strongroom.edge.evidence.tpm import TpmAttestor
from strongroom.edge.keystore.tpm import TpmKeystore
from strongroom.edge.tpm import endorsement, templates
from strongroom.edge.tpm.chip import Tpm
from strongroom.edge.tpm.commands import Named
from strongroom.edge.tpm.objects import EMPTY
from strongroom.errors import Code, IntegrityError, StoreError
from strongroom.wire.tpm.constants import Command, Handle
from strongroom.wire.tpm.structs import Public, Writer
from swtpm import running

SECRET = bytes(range(32))
KINDS = {kind.name: kind for kind in templates.ENDORSEMENT_KEYS}


@pytest.fixture
def tpm(chip):
    with Tpm.open(chip.address) as tpm:
        yield tpm


def name_of(key):
    return Public.read(key.public).name()


def public_of(tpm, kind):
    with endorsement.key(tpm._objects, kind) as (_, public):
        return public.raw


def test_the_certificate_is_for_the_key(tpm, chip):
    leaf = x509.load_der_x509_certificate(tpm.ek_certificates()[0])
    leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(chip.issuer.read_bytes()))
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert Public.read(tpm.ek_public()).key().public_bytes(*form) == leaf.public_key().public_bytes(*form)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_credential_opens_in_this_tpm_alone(tpm, kind, other_chip):
    """B09: whoever answers for another machine has not its chip."""
    key = tpm.create_ak()
    credential = make_credential(public_of(tpm, kind), name_of(key), SECRET, os.urandom)
    found = tpm.activate(key, credential)
    assert type(found) is bytearray
    assert found == SECRET
    with pytest.raises(IntegrityError) as caught:
        tpm.activate(tpm.create_ak(), credential)  # another key of the same TPM
    assert caught.value.code == Code.SEALED_KEY
    with Tpm.open(other_chip.address) as other:
        foreign = other.create_ak()
        with pytest.raises(IntegrityError) as caught:
            other.activate(foreign, make_credential(public_of(tpm, kind), name_of(foreign), SECRET, os.urandom))
    assert caught.value.code == Code.SEALED_KEY


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_changed_byte_of_a_credential_is_refused(tpm, kind):
    key = tpm.create_ak()
    credential = make_credential(public_of(tpm, kind), name_of(key), SECRET, os.urandom)
    for index in range(0, len(credential), 5):
        bent = credential[:index] + bytes([credential[index] ^ 1]) + credential[index + 1 :]
        with pytest.raises(IntegrityError) as caught:
            tpm.activate(key, bent)
        assert caught.value.code in {Code.SHAPE, Code.SEALED_KEY}
    for bent in (b"", credential[:-1], credential + b"\0", bytes(4)):
        with pytest.raises(IntegrityError):
            tpm.activate(key, bent)
    assert tpm.activate(key, credential) == SECRET


def test_a_tpm_without_persistent_endorsement_keys(chip):
    """As most machines come: the certificate is in the chip, and its key is made from the seed when it is needed."""
    moved = {}
    with Tpm.open(chip.address) as tpm:
        found = {kind: public_of(tpm, kind) for kind in KINDS.values()}
        for handle in (0x81010001, 0x81010016):
            moved[handle] = tpm._objects.read_public(handle).name()
            evict(tpm, Named(handle, moved[handle]), handle)
    try:
        with Tpm.open(chip.address) as tpm:
            assert {kind: public_of(tpm, kind) for kind in KINDS.values()} == found
            assert Public.read(tpm.ek_public())
            key = tpm.create_ak()
            for kind in KINDS.values():
                assert tpm.activate(key, make_credential(found[kind], name_of(key), SECRET, os.urandom)) == SECRET
            assert len(held(tpm)) == 1
    finally:
        with Tpm.open(chip.address) as tpm:
            for kind in KINDS.values():
                for handle, name in moved.items():
                    with endorsement.key(tpm._objects, kind) as (made, _):
                        if made.name == name and made.handle != handle:
                            evict(tpm, made, handle)


def test_a_certificate_of_another_chip_is_noticed(chip, other_chip):
    """A certificate that was copied into this TPM's memory vouches for nothing in it."""
    with Tpm.open(other_chip.address) as other:
        theirs = Public.read(other.ek_public()).unique
    bus = Bus(chip.address)
    with Tpm(bus, chip.address) as tpm:
        own = Public.read(tpm.ek_public()).unique
        bus.bend = lambda answer: answer.replace(b"\x04" + own, b"\x04" + theirs)  # as it stands in a certificate
        with pytest.raises(StoreError) as caught:
            tpm.ek_public()
    assert caught.value.code == Code.STORE_IO
    assert "not for its endorsement key" in caught.value.what


@pytest.mark.parametrize("oid", ["2a8648ce3e0201", "2a8648ce380401", "2a8648ce3d0202"], ids=["DH", "DSA", "unknown"])
def test_a_certificate_for_a_key_that_no_chip_has_is_not_read(chip, oid):
    """What is on the bus may write any kind of key into it, also one that is slow to read or that nobody reads."""
    bus = Bus(chip.address)
    with Tpm(bus, chip.address) as tpm:
        assert b"".join(tpm.ek_certificates()).count(bytes.fromhex("2a8648ce3d0201")) == 1  # an elliptic curve's
        bus.bend = lambda answer: answer.replace(bytes.fromhex("2a8648ce3d0201"), bytes.fromhex(oid))
        with pytest.raises(StoreError) as caught:
            tpm.ek_public()
    assert "not for its endorsement key" in caught.value.what


def test_a_tpm_that_nobody_certified(tmp_path):
    """Many have no certificate in them: they still keep keys, and cannot vouch for the device."""
    with running(certified=False) as bare:
        with Tpm.open(bare.address) as tpm:
            assert tpm.ek_certificates() == ()
            with pytest.raises(StoreError) as caught:
                tpm.ek_public()
            assert "no certificate" in caught.value.what
        keystore = TpmKeystore(tmp_path / "keystore", bare.address)
        keystore.make_device_key()
        assert TpmAttestor(keystore).enrol(bytes(32), lambda _: pytest.fail("nothing to activate")) == ()
        assert keystore.attestation_key() is None


def evict(tpm, named, handle):
    """Make a key persistent, or a persistent one not."""
    parameters = Writer().u32(handle).bytes()
    tpm._channel.call(Command.EVICT_CONTROL, [Named.plain(Handle.OWNER), named], parameters, [EMPTY])
