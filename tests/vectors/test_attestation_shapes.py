"""What the kit mints looks like what devices send: compared with evidence of real ones, field by field.

The genuine evidence is not part of this repository: the tests skip where `../shared/vectors` is not beside it.
"""

import base64
import json
from pathlib import Path

import cbor2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jwe, jws
from joserfc.jwk import ECKey, OctKey

from stand_ins import APP_ID, AT, BINDING, description, kits
from strongroom.attest import ber
from strongroom.testing import KeyDescription
from strongroom.testing.android_description import STRONGBOX, UNVERIFIED
from strongroom.wire.tpm.signed import Attest, Signature
from strongroom.wire.tpm.structs import Public

VECTORS = Path(__file__).parents[2].parent / "shared" / "vectors" / "attestation"
ANDROID = VECTORS / "android-keyattestation" / "testdata"
GENUINE = pytest.mark.skipif(not VECTORS.exists(), reason="the shared vectors are not beside the repository")
KITS = kits()
DESCRIPTION = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.1.17")
IDENTIFIERS = {"2.5.29.14", "2.5.29.35"}  # of keys, for finding an issuer: the kit leaves them out


def extensions(certificate):
    return {
        (one.oid.dotted_string, one.critical)
        for one in certificate.extensions
        if one.oid.dotted_string not in IDENTIFIERS
    }


def usage(certificate):
    return certificate.extensions.get_extension_for_class(x509.KeyUsage).value


def value(certificate, oid):
    return certificate.extensions.get_extension_for_oid(x509.ObjectIdentifier(oid)).value.value


def attributes(name):
    return [one.oid for one in name]


def tags(data):
    """Return the tags of a SEQUENCE, in order."""
    return [one.tag for one in ber.each(ber.only(data, ber.SEQUENCE))]


@GENUINE
def test_an_attestation_is_laid_out_as_apples_sample():
    sample = json.loads((VECTORS / "apple-splitsecure/attestations.json").read_text(encoding="utf-8"))[0]
    theirs = cbor2.loads(base64.b64decode(sample["attestation"]))
    ours = cbor2.loads(KITS.apple.phone(APP_ID).attest(BINDING, AT))
    assert (list(ours), list(ours["attStmt"])) == (list(theirs), list(theirs["attStmt"]))
    one, other = ours["authData"], theirs["authData"]
    assert len(one) == len(other)
    fixed = (*range(32, 55), *range(87, 97), *range(129, 132))  # flags to length of the id; the COSE key's labels
    assert [one[at] for at in fixed] == [other[at] for at in fixed]
    for mine, genuine in zip(map(loaded, ours["attStmt"]["x5c"]), map(loaded, theirs["attStmt"]["x5c"]), strict=True):
        assert extensions(mine) == extensions(genuine)
        assert mine.signature_algorithm_oid == genuine.signature_algorithm_oid
        assert mine.public_key().curve.name == genuine.public_key().curve.name
    leaf, genuine = (loaded(one["attStmt"]["x5c"][0]) for one in (ours, theirs))
    assert usage(leaf) == usage(genuine)
    assert tags(value(leaf, "1.2.840.113635.100.8.5")) == tags(value(genuine, "1.2.840.113635.100.8.5"))
    assert value(leaf, "1.2.840.113635.100.8.2")[:6] == value(genuine, "1.2.840.113635.100.8.2")[:6]


def loaded(data):
    return x509.load_der_x509_certificate(data)


def skeleton(data, depth=5):
    """Return the tags of a value and of what is in it, as deep as it goes."""
    if not depth:
        return []
    return [(one.tag, skeleton(one.body, depth - 1) if one.tag[0] & 0x20 else None) for one in ber.each(data)]


@GENUINE
def test_a_receipt_is_laid_out_as_apples():
    sample = json.loads((VECTORS / "apple-splitsecure/attestations.json").read_text(encoding="utf-8"))[0]
    theirs = cbor2.loads(base64.b64decode(sample["attestation"]))["attStmt"]["receipt"]
    ours = cbor2.loads(KITS.apple.phone(APP_ID).attest(BINDING, AT))["attStmt"]["receipt"]
    assert ours[:58] == theirs[:58]  # of indefinite length, down to the first piece of 1000 bytes
    assert skeleton(ours) == skeleton(theirs)


@GENUINE
def test_an_assertion_is_laid_out_as_a_real_one():
    sample = json.loads((VECTORS / "apple-uebelack/assertion.json").read_text(encoding="utf-8"))["assertion"]
    theirs, ours = cbor2.loads(base64.b64decode(sample)), cbor2.loads(KITS.apple.phone(APP_ID).sign(BINDING))
    assert list(ours) == list(theirs)
    assert ours["authenticatorData"][32:] == theirs["authenticatorData"][32:]  # flags, and the first counter


@GENUINE
def test_a_description_is_written_byte_for_byte_as_a_phone_does():
    said = KeyDescription(
        challenge=b"challenge",
        packages=(("com.google.wireless.android.security.attestationverifier.collector", 0),),
        signers=(base64.b64decode("EDk47kU35Z6O55L2VFBPuDRvxrNG0LvEQV/DOfz8jsE="),),
        boot_state=UNVERIFIED,
        locked=False,
        boot_key=bytes(32),
        boot_hash=base64.b64decode("iCWIV2R1rsyzkpgv4vvF9ixpyfyEunPmxTzAUqEWFYY="),
        os_version=140000,
        os_patch=202408,
        vendor_patch=20240805,
        boot_patch=20240805,
        created=1727389885586,
        digests=(),
    )
    genuine = chain_of(ANDROID / "akita/sdk34/TEE_EC_NONE.pem")[0]
    assert said.encode() == genuine.extensions.get_extension_for_oid(DESCRIPTION).value.value


def chain_of(path):
    return x509.load_pem_x509_certificates(path.read_bytes())


@GENUINE
@pytest.mark.parametrize(
    ("path", "factory", "strongbox"),
    [
        ("akita/sdk34/TEE_EC_NONE.pem", False, False),
        ("akita/sdk34/SB_RSA_NONE.pem", False, True),
        ("blueline/sdk28/TEE_EC_NONE.pem", True, False),
        ("blueline/sdk28/SB_RSA_NONE.pem", True, True),
    ],
)
def test_a_chain_is_ordered_and_named_as_a_real_one(path, factory, strongbox):
    genuine = chain_of(ANDROID / path)
    said = description(attestation_level=STRONGBOX, key_level=STRONGBOX) if strongbox else description()
    ours = KITS.android.attest(said, AT, factory=factory).certificates
    assert len(ours) == len(genuine)
    for mine, theirs in zip(ours[:-1], genuine[:-1], strict=True):  # the root may be named anything: its key is pinned
        assert {one.oid for one in mine.subject} == {one.oid for one in theirs.subject}
        own = {oid for oid, _ in extensions(mine)} - {"2.5.29.31"}
        assert own == {oid for oid, _ in extensions(theirs)} - {"2.5.29.31"}  # distribution points of older chains
    place = {one.value for name in (ours[1].subject, genuine[1].subject) for one in name if one.value in PLACES}
    assert place == {"StrongBox" if strongbox else "TEE"}
    assert ours[0].subject == genuine[0].subject
    if not factory:
        assert [one.subject for one in ours[2:4]] == [one.subject for one in genuine[2:4]]


PLACES = {"StrongBox", "TEE"}


def test_joserfc_opens_a_classic_token():
    """Another implementation of the same RFCs reads the token with the two keys that the Play Console shows."""
    play = KITS.play
    verdict = play.verdict(BINDING, AT, classic=True)
    opened = jwe.decrypt_compact(
        play.token(verdict), OctKey.import_key(play.keys.decryption), algorithms=["A256KW", "A256GCM"]
    )
    pem = play.keys.verification.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    inner = jws.deserialize_compact(opened.plaintext, ECKey.import_key(pem), algorithms=["ES256"])
    assert json.loads(inner.payload) == verdict


@GENUINE
@pytest.mark.parametrize(("name", "use_rsa"), [("quote_ecc", False), ("quote_rsa", True)])
def test_a_chip_speaks_as_a_tpm_does(name, use_rsa):
    genuine = json.loads((VECTORS / f"tpm-swtpm/{name}.json").read_text(encoding="utf-8"))
    registers = [int(one) for one in genuine["pcrs"]]
    chip = KITS.tpm.chip(use_rsa=use_rsa)
    ours = json.loads(chip.quote(BINDING, quoted=registers))
    theirs = Attest.parse(bytes.fromhex(genuine["attest"]))
    mine = Attest.parse(bytes.fromhex(ours["attest"]))
    assert len(mine.raw) == len(theirs.raw)
    assert (mine.type, mine.selections, len(mine.signer)) == (theirs.type, theirs.selections, len(theirs.signer))
    assert set(ours["pcrs"]["sha256"]) == set(genuine["pcrs"])
    ek = loaded(chip.ek_certificates[0])
    their_ek = loaded(bytes.fromhex(genuine["ek_cert"]))
    assert extensions(ek) == extensions(their_ek)
    assert ek.not_valid_after_utc == their_ek.not_valid_after_utc
    if not use_rsa:  # of the other the attestation key is RSA, and the kit's is always ECC
        theirs = Public.parse(bytes.fromhex(genuine["ak_public"]))
        assert public_area(chip.ak) == public_area(theirs)
        signature = Signature.parse(bytes.fromhex(genuine["signature"]))
        assert Signature.parse(bytes.fromhex(ours["signature"])).scheme == signature.scheme
    else:
        theirs = Public.parse(bytes.fromhex(genuine["ek_public"]))
        assert public_area(chip.ek) == public_area(theirs)


def public_area(public):
    fields = (
        "type",
        "name_alg",
        "attributes",
        "auth_policy",
        "symmetric",
        "scheme",
        "kdf",
        "bits",
        "exponent",
        "curve",
    )
    return {name: getattr(public, name) for name in fields}
