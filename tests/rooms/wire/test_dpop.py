"""DPoP proofs: bound to key, method, URL, token and time, with one spelling (B12, B13)."""

import base64
import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom import canonical
from strongroom.canonical import to_base64url
from strongroom.errors import Code, DeniedError, InputError
from strongroom.signing import ED25519, ES256, ML_DSA_65, PublicKey, SigningKey
from strongroom.wire import dpop

NOW = 1_800_000_000
URL = "https://models.example:8443/v1/releases"
TOKEN = "header.payload.signature"
DEVICE = SigningKey(ES256, b"d" * 32)
JTI = bytes(range(16))


def proof(signer: SigningKey = DEVICE, **changes: object) -> str:
    given = {"method": "POST", "url": URL, "token": TOKEN, "now": NOW, "jti": JTI} | changes
    return dpop.make(signer, **given)


def verify(text: str, **changes: object) -> dpop.DpopProof:
    expected = {"method": "POST", "url": URL, "token": TOKEN, "now": NOW} | changes
    return dpop.verify(text, **expected)


def refused(text: str, **changes: object) -> None:
    with pytest.raises(DeniedError) as caught:
        verify(text, **changes)
    assert caught.value.code == Code.PROOF


def parts(text: str) -> tuple[dict[str, object], dict[str, object]]:
    head, payload, _ = text.split(".")
    return tuple(json.loads(base64.urlsafe_b64decode(part + "==")) for part in (head, payload))


def forge(header: bytes | dict[str, object], payload: bytes | dict[str, object], signer: SigningKey = DEVICE) -> str:
    """Sign any header and payload, properly."""
    raw = [part if isinstance(part, bytes) else canonical.encode(part) for part in (header, payload)]
    signed = f"{to_base64url(raw[0])}.{to_base64url(raw[1])}"
    return f"{signed}.{to_base64url(signer.sign(signed.encode('ascii')))}"


@pytest.mark.parametrize("alg", [ES256, ED25519])
@pytest.mark.parametrize("token", [TOKEN, None])
def test_a_proof_verifies(alg, token):
    signer = SigningKey(alg, b"k" * 32)
    found = verify(proof(signer, token=token), token=token)
    assert found == dpop.DpopProof(signer.public, to_base64url(JTI), NOW)


def test_the_form_is_that_of_rfc_9449():
    header, payload = parts(proof())
    raw = DEVICE.public.raw
    jwk = {"kty": "EC", "crv": "P-256", "x": to_base64url(raw[1:33]), "y": to_base64url(raw[33:])}
    assert header == {"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk}
    ath = to_base64url(hashlib.sha256(TOKEN.encode("ascii")).digest())
    assert payload == {"htm": "POST", "htu": URL, "iat": NOW, "jti": to_base64url(JTI), "ath": ath}


def test_query_and_fragment_are_not_part_of_the_url():
    """RFC 9449 section 4.3, step 9."""
    assert parts(proof(url=URL + "?a=b#c"))[1]["htu"] == URL
    assert verify(proof(), url=URL + "?from=3")


@pytest.mark.parametrize(
    "expected",
    [
        {"method": "GET"},
        {"url": URL + "/"},
        {"url": URL.replace("8443", "8444")},
        {"url": URL.replace("https", "http")},
        {"token": TOKEN + "x"},
        {"token": None},
        {"now": NOW + 61},
        {"now": NOW - 61},
    ],
    ids=lambda expected: f"{next(iter(expected))}={next(iter(expected.values()))}"[:50],
)
def test_a_proof_for_another_request_is_refused(expected):
    refused(proof(), **expected)


def test_a_token_needs_its_hash():
    refused(proof(token=None))


@pytest.mark.parametrize("now", [NOW - 60, NOW + 60])
def test_the_leeway_is_a_minute_both_ways(now):
    assert verify(proof(), now=now)


def _es256() -> tuple[dict[str, object], dict[str, object]]:
    return parts(proof())


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda header: header | {"typ": "jwt"}, id="typ"),
        pytest.param(lambda header: header | {"alg": "none"}, id="alg none"),
        pytest.param(lambda header: header | {"alg": "HS256"}, id="alg HS256"),
        pytest.param(lambda header: header | {"alg": "EdDSA"}, id="alg of another key"),
        pytest.param(lambda header: header | {"jwk": header["jwk"] | {"d": to_base64url(b"d" * 32)}}, id="private key"),
        pytest.param(lambda header: header | {"jwk": header["jwk"] | {"kid": "x"}}, id="jwk with more"),
        pytest.param(lambda header: header | {"jwk": header["jwk"] | {"crv": "P-384"}}, id="another curve"),
        pytest.param(lambda header: header | {"jwk": {"kty": "oct", "k": "AA"}}, id="symmetric key"),
        pytest.param(
            lambda header: header | {"jwk": header["jwk"] | {"x": to_base64url(bytes(32))}}, id="off the curve"
        ),
        pytest.param(lambda header: header | {"jwk": []}, id="jwk no object"),
        pytest.param(lambda header: header | {"kid": "x"}, id="kid"),
        pytest.param(lambda header: header | {"crit": ["x"]}, id="crit"),
        pytest.param(lambda header: {"alg": "ES256", "typ": "dpop+jwt"}, id="no jwk"),
        pytest.param(lambda header: json.dumps(header).encode("ascii"), id="spaces"),
        pytest.param(lambda header: b"[]", id="no object"),
    ],
)
def test_headers_other_than_the_one_are_refused(change):
    header, payload = _es256()
    assert verify(forge(header, payload))
    refused(forge(change(header), payload))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda payload: payload | {"extra": 1}, id="unknown field"),
        pytest.param(lambda payload: payload | {"iat": str(NOW)}, id="iat as text"),
        pytest.param(lambda payload: payload | {"iat": -1}, id="iat negative"),
        pytest.param(lambda payload: payload | {"iat": True}, id="iat true"),
        pytest.param(lambda payload: payload | {"jti": "short"}, id="short jti"),
        pytest.param(lambda payload: payload | {"ath": "AA"}, id="short ath"),
        pytest.param(lambda payload: {name: payload[name] for name in ("ath", "htm", "htu", "iat")}, id="no jti"),
        pytest.param(lambda payload: canonical.encode(payload).replace(b",", b", "), id="spaces"),
        pytest.param(lambda payload: canonical.encode(payload)[:-1] + b',"htm":"POST"}', id="a field twice"),
        pytest.param(lambda payload: b"\xef\xbb\xbf" + canonical.encode(payload), id="byte order mark"),
    ],
)
def test_payloads_of_another_form_are_refused(change):
    header, payload = _es256()
    refused(forge(header, change(payload)))


def test_another_keys_signature_is_refused():
    """B13: whoever stole the token does not have the key."""
    header, payload = _es256()
    refused(forge(header, payload, SigningKey(ES256, b"t" * 32)))
    assert verify(proof(SigningKey(ES256, b"t" * 32))).key != DEVICE.public


def test_every_wrong_character_is_refused():
    good = proof()
    for at, sign in enumerate(good):
        refused(good[:at] + ("A" if sign != "A" else "B") + good[at + 1 :])


@given(st.text(max_size=60) | st.text("abcAZ09-_.", max_size=60))
def test_any_text_is_refused_in_one_way(text):
    refused(text)


def test_a_huge_proof_is_refused_before_it_is_read():
    refused(proof() + "A" * 5000)


def test_other_algorithms_make_no_proof():
    with pytest.raises(InputError):
        proof(SigningKey(ML_DSA_65, b"k" * 32))
    with pytest.raises(InputError):
        dpop.jkt(SigningKey(ML_DSA_65, b"k" * 32).public)


def test_the_thumbprint_is_that_of_rfc_7638():
    """The Ed25519 example of RFC 8037 appendix A.3."""
    raw = canonical.from_base64url("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")
    assert dpop.jkt(PublicKey(ED25519, raw)) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
