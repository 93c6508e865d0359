"""Signed values: exactly one header is legal, and thresholds count distinct principals."""

import hashlib
import hmac

import pytest

from strongroom import canonical
from strongroom.canonical import to_base64url
from strongroom.errors import Code, IntegrityError
from strongroom.signing import ED25519, ES256, ML_DSA_65, Principal, Role, SigningKey
from strongroom.wire import jws

ONE, TWO, THREE, STRANGER = (SigningKey(ED25519, bytes([n]) * 32) for n in range(1, 5))
LATTICE = SigningKey(ML_DSA_65, b"p" * 32)
PAYLOAD = b'{"a":1}'
TYP = "sr-test"


def role(threshold: int, *groups: tuple[SigningKey, ...]) -> Role:
    return Role(threshold, tuple(Principal(tuple(key.public for key in keys)) for keys in groups))


SINGLE = role(1, (ONE,))
TWO_OF_THREE = role(2, (ONE,), (TWO,), (THREE,))
HYBRID = role(1, (ONE, LATTICE))


def compact(header: bytes, payload: bytes, signer: SigningKey = ONE) -> str:
    """Sign any header at all."""
    signed = f"{to_base64url(header)}.{to_base64url(payload)}"
    return f"{signed}.{to_base64url(signer.sign(signed.encode('ascii')))}"


def header(**fields: object) -> bytes:
    return canonical.encode({"alg": ED25519, "kid": ONE.public.key_id, "typ": TYP} | fields)


def refusal(*signatures: str, by: Role = SINGLE) -> Code:
    with pytest.raises(IntegrityError) as caught:
        jws.verify_role(signatures, TYP, by, "test")
    return caught.value.code


@pytest.mark.parametrize("alg", [ED25519, ML_DSA_65, ES256])
def test_what_is_signed_verifies(alg):
    signer = SigningKey(alg, b"k" * 32)
    (signature,) = jws.sign(TYP, PAYLOAD, (signer,))
    assert jws.verify_key(signature, TYP, signer.public) == PAYLOAD
    assert jws.verify_role((signature,), TYP, role(1, (signer,)), "test") == PAYLOAD
    assert jws.unverified_payload(signature, "test") == PAYLOAD


def test_the_form_is_that_of_the_specification():
    (signature,) = jws.sign(TYP, PAYLOAD, (ONE,))
    head, payload, _ = signature.split(".")
    assert canonical.from_base64url(head) == header()
    assert canonical.from_base64url(payload) == PAYLOAD


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(header(alg="none"), id="alg none"),
        pytest.param(header(alg="HS256"), id="a MAC"),
        pytest.param(header(alg=ML_DSA_65), id="another algorithm"),
        pytest.param(header(typ="sr-other"), id="another type"),
        pytest.param(header(kid=TWO.public.key_id), id="another key's id"),
        pytest.param(header(kid="../../etc/passwd"), id="a path for a key id"),
        pytest.param(header(crit=["x"]), id="crit"),
        pytest.param(header(jwk={"kty": "OKP"}), id="jwk"),
        pytest.param(header(jku="https://evil.example"), id="jku"),
        pytest.param(header(x5c=["MII"]), id="x5c"),
        pytest.param(header(b64=False), id="b64"),
        pytest.param(header(extra=1), id="unknown field"),
        pytest.param(canonical.encode({"alg": ED25519, "typ": TYP}), id="no key id"),
        pytest.param(header().replace(b",", b", ", 1), id="spaces"),
        pytest.param(b'{"typ":"sr-test",' + header()[1:-16] + b"}", id="another order"),
        pytest.param(header().replace(b'"alg"', b'"alg":"none","alg"'), id="a field twice"),
        pytest.param(b"[]", id="no object"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xff", id="no text"),
    ],
)
def test_headers_other_than_the_one_are_refused(bad):
    """B12: properly signed, and refused all the same."""
    assert refusal(compact(bad, PAYLOAD)) == Code.SIGNATURE
    with pytest.raises(IntegrityError):
        jws.verify_key(compact(bad, PAYLOAD), TYP, ONE.public)


def test_a_header_that_asks_for_a_mac_with_the_public_key_is_refused():
    """B12: the confusion of HS256 and an asymmetric key."""
    signed = f"{to_base64url(header(alg='HS256'))}.{to_base64url(PAYLOAD)}"
    mac = hmac.digest(ONE.public.raw, signed.encode("ascii"), hashlib.sha256)
    assert refusal(f"{signed}.{to_base64url(mac)}") == Code.SIGNATURE


@pytest.mark.parametrize("bad", ["", ".", "..", "...", "a.b", "a.b.c.d", "a.b.c", "ä.ö.ü"])
def test_what_is_no_jws_is_refused(bad):
    assert refusal(bad) == Code.SIGNATURE


@pytest.mark.parametrize("bad", ["", "a.b", "a.=.b", "a.b.c.d"])
def test_what_is_no_jws_has_no_payload(bad):
    with pytest.raises(IntegrityError):
        jws.unverified_payload(bad, "test")


def test_second_spellings_are_refused():
    head, payload, signature = jws.sign(TYP, PAYLOAD, (ONE,))[0].split(".")
    assert refusal(f"{head}=.{payload}.{signature}") == Code.SIGNATURE
    assert refusal(f"{head}.{payload}.{signature}==") == Code.SIGNATURE
    assert refusal(f"{head}.{payload}.{signature}\n") == Code.SIGNATURE
    last = signature[-1]
    twin = signature[:-1] + chr(ord(last) + 1)  # 64 bytes leave four unused bits in the last character
    assert refusal(f"{head}.{payload}.{twin}") == Code.SIGNATURE


def test_every_wrong_character_is_refused():
    (good,) = jws.sign(TYP, PAYLOAD, (ONE,))
    for at, sign in enumerate(good):
        other = "A" if sign != "A" else "B"
        assert refusal(good[:at] + other + good[at + 1 :]) == Code.SIGNATURE


def test_the_payload_that_is_returned_is_the_one_that_was_signed():
    (good,) = jws.sign(TYP, PAYLOAD, (ONE,))
    (other,) = jws.sign(TYP, b'{"a":2}', (ONE,))
    head, _, signature = good.split(".")
    assert refusal(f"{head}.{other.split('.')[1]}.{signature}") == Code.SIGNATURE


def test_two_of_three_are_enough():
    assert jws.verify_role(jws.sign(TYP, PAYLOAD, (ONE, THREE)), TYP, TWO_OF_THREE, "test") == PAYLOAD
    assert jws.verify_role(jws.sign(TYP, PAYLOAD, (ONE, TWO, THREE)), TYP, TWO_OF_THREE, "test") == PAYLOAD


def test_one_of_three_is_not_enough():
    assert refusal(*jws.sign(TYP, PAYLOAD, (TWO,)), by=TWO_OF_THREE) == Code.SIGNATURE


def test_one_key_twice_is_refused():
    """Distinct principals count, not signatures; ES256 and ML-DSA give a fresh one each time."""
    assert refusal(*jws.sign(TYP, PAYLOAD, (ONE, ONE)), by=TWO_OF_THREE) == Code.SIGNATURE
    lattices = role(2, (LATTICE,), (ONE,))
    assert refusal(*jws.sign(TYP, PAYLOAD, (LATTICE, LATTICE)), by=lattices) == Code.SIGNATURE
    assert refusal(*jws.sign(TYP, PAYLOAD, (ONE, ONE, TWO)), by=TWO_OF_THREE) == Code.SIGNATURE


def test_a_stranger_is_passed_over_and_does_not_count():
    assert jws.verify_role(jws.sign(TYP, PAYLOAD, (STRANGER, ONE)), TYP, SINGLE, "test") == PAYLOAD
    assert refusal(*jws.sign(TYP, PAYLOAD, (STRANGER, ONE)), by=TWO_OF_THREE) == Code.SIGNATURE
    assert refusal(*jws.sign(TYP, PAYLOAD, (STRANGER,))) == Code.SIGNATURE


def test_a_strangers_header_must_be_legal_too():
    odd = compact(header(kid=STRANGER.public.key_id, jku="https://evil.example"), PAYLOAD, STRANGER)
    other = jws.sign("sr-other", PAYLOAD, (STRANGER,))[0]
    for bad in (odd, other):
        assert refusal(bad, *jws.sign(TYP, PAYLOAD, (ONE,))) == Code.SIGNATURE


def test_a_wrong_signature_of_a_known_key_spoils_the_whole():
    good, other = jws.sign(TYP, PAYLOAD, (ONE, TWO))
    head, payload, _ = other.split(".")
    wrong = f"{head}.{payload}.{to_base64url(bytes(64))}"
    assert refusal(good, wrong, *jws.sign(TYP, PAYLOAD, (THREE,)), by=TWO_OF_THREE) == Code.SIGNATURE


def test_different_payloads_are_refused():
    mixed = (*jws.sign(TYP, PAYLOAD, (ONE,)), *jws.sign(TYP, b'{"a":2}', (TWO,)))
    assert refusal(*mixed, by=TWO_OF_THREE) == Code.SIGNATURE
    stranger = (*jws.sign(TYP, PAYLOAD, (ONE,)), *jws.sign(TYP, b'{"a":2}', (STRANGER,)))
    assert refusal(*stranger) == Code.SIGNATURE


def test_a_hybrid_principal_counts_only_with_both_signatures():
    assert jws.verify_role(jws.sign(TYP, PAYLOAD, (ONE, LATTICE)), TYP, HYBRID, "test") == PAYLOAD
    assert refusal(*jws.sign(TYP, PAYLOAD, (ONE,)), by=HYBRID) == Code.SIGNATURE
    assert refusal(*jws.sign(TYP, PAYLOAD, (LATTICE,)), by=HYBRID) == Code.SIGNATURE


def test_no_signature_and_too_many_are_refused():
    assert refusal() == Code.SIGNATURE
    many = jws.sign(TYP, PAYLOAD, (ONE, *(SigningKey(ED25519, bytes([n]) * 32) for n in range(100, 132))))
    assert refusal(*many) == Code.SIGNATURE
    assert refusal("a" * 400_001 + ".b.c") == Code.SIGNATURE


def test_a_role_of_nobody_is_never_satisfied():
    assert refusal(*jws.sign(TYP, PAYLOAD, (ONE,)), by=Role(1, (Principal(()),))) == Code.SIGNATURE
