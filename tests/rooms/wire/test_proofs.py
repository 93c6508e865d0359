"""`sr-proof`: whatever of the request is changed, the device has not signed it (B03, B09, B10)."""

import dataclasses
import hashlib

import pytest

from strongroom import canonical
from strongroom.errors import Code, DeniedError
from strongroom.signing import ES256, SigningKey
from strongroom.wire import jws, proofs
from strongroom.wire.binding import Binding
from strongroom.wire.messages import Device, EnrolRequest, Have, ReleaseRequest, UrlsRequest

SIGNER, OTHER = SigningKey(ES256, b"d" * 32), SigningKey(ES256, b"e" * 32)
URL, TOKEN = "https://models.example/v1/releases", "a.b.c"
DEVICE = Device("dev_" + "d" * 22, "linux", "Debian 12", "x86_64", "strongroom/0.1.0", b"f" * 32)
BINDING = Binding("release", b"c" * 32, 0x20, b"p" * 32, "acc", "dev", b"k" * 32, "linux", "digits", "@stable")
REQUEST = ReleaseRequest("digits", "@stable", b"c" * 32, 0x20, b"p" * 32, DEVICE, (), {"uptime": 5}, "")


def proved(request: ReleaseRequest = REQUEST) -> ReleaseRequest:
    return proofs.prove(request, SIGNER, BINDING, "POST", URL, TOKEN)


def verify(proof: str, **changes: object) -> None:
    expected = {
        "key": SIGNER.public,
        "expected_binding": BINDING,
        "expected_method": "POST",
        "expected_url": URL,
        "expected_body": proofs.body_without_proof(REQUEST),
        "expected_token": TOKEN,
    }
    proofs.verify_proof(proof, **(expected | changes))


def refused(proof: str, **changes: object) -> None:
    with pytest.raises(DeniedError) as caught:
        verify(proof, **changes)
    assert caught.value.code == Code.PROOF


def test_a_proved_request_verifies_and_reads_back():
    request = proved()
    assert ReleaseRequest.from_bytes(request.to_bytes()) == request
    verify(request.proof)


def test_the_body_is_the_message_without_its_proof():
    value = canonical.decode(proved().to_bytes(), limit=100_000)
    del value["proof"]
    assert proofs.body_without_proof(proved()) == canonical.encode(value)
    assert proofs.body_hash_without_proof(proved()) == hashlib.sha256(canonical.encode(value)).digest()


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Binding)])
def test_another_binding_is_refused(name):
    value = getattr(BINDING, name)
    other = value ^ 1 if isinstance(value, int) else value[:-1] + (b"\0" if isinstance(value, bytes) else "?")
    refused(proved().proof, expected_binding=dataclasses.replace(BINDING, **{name: other}))


@pytest.mark.parametrize(
    "change",
    [
        {"key": OTHER.public},
        {"expected_method": "GET"},
        {"expected_url": URL + "?x"},
        {"expected_token": TOKEN + "x"},
        {"expected_body": proofs.body_without_proof(REQUEST) + b" "},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_request_is_refused(change):
    refused(proved().proof, **change)


@pytest.mark.parametrize(
    "change",
    [
        {"model": "letters"},
        {"version": "1.2"},
        {"challenge": b"x" * 32},
        {"kem": 0x10},
        {"public_key": b"x" * 32},
        {"device": dataclasses.replace(DEVICE, platform="macos")},
        {"signals": {"uptime": 6}},
        {"have": Have("1.1", b"f" * 32)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_field_of_the_body_is_covered(change):
    changed = dataclasses.replace(proved(), **change)
    refused(changed.proof, expected_body=proofs.body_without_proof(changed))


def test_another_type_of_signed_value_is_no_proof():
    payload = jws.unverified_payload(proved().proof, "test")
    refused(jws.sign("sr-receipt", payload, (SIGNER,))[0])
    verify(jws.sign("sr-proof", payload, (SIGNER,))[0])


@pytest.mark.parametrize("text", ["", "a.b.c", "x" * 500_000])
def test_what_is_no_proof_is_refused(text):
    refused(text)


def test_the_other_requests_can_be_proved_too():
    enrol = EnrolRequest(b"c" * 32, SIGNER.public, dataclasses.replace(DEVICE, id=None), (), "")
    urls = UrlsRequest(b"c" * 32, "", 60)
    for request in (enrol, urls):
        signed = proofs.prove(request, SIGNER, BINDING, "POST", URL, TOKEN)
        verify(signed.proof, expected_body=proofs.body_without_proof(request))
        assert type(request).from_bytes(signed.to_bytes()) == signed
