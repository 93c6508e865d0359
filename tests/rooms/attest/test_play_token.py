"""Classic tokens: what joserfc mints is read, and nothing that differs from it in one sign."""

import base64
import json
import os
import random
import string

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.keywrap import aes_key_wrap
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jwe, jws
from joserfc.jwk import ECKey, OctKey

from play_minting import PACKAGE, Google, verdict
from strongroom.attest import play_token
from strongroom.attest.verdict import Refusal, RefusedEvidence, Trail
from strongroom.canonical import from_base64url, to_base64url

GOOGLE = Google()
PAYLOAD = json.dumps(verdict()).encode()
SIGNS = (string.ascii_letters + string.digits + "-_.=").encode()


def _read(token, google=GOOGLE):
    return play_token.read(token, google.keys, Trail())


def _refused(token, google=GOOGLE):
    with pytest.raises(RefusedEvidence) as caught:
        _read(token, google)
    return caught.value.code


def _sealed(header, inner, *, wrapped=None, nonce=None, tag_size=16, google=GOOGLE):
    """Encrypt by hand, so that every part can be wrong."""
    content_key, nonce = os.urandom(32), os.urandom(12) if nonce is None else nonce
    head = to_base64url(header).encode()
    sealed = AESGCM(content_key).encrypt(nonce, inner, head)
    wrapped = aes_key_wrap(google.aes.raw_value, content_key) if wrapped is None else wrapped
    rest = (wrapped, nonce, sealed[:-16], sealed[-16:][:tag_size])
    return b".".join((head, *(to_base64url(part).encode() for part in rest)))


GOOD_HEADER = b'{"alg":"A256KW","enc":"A256GCM"}'


def test_a_token_of_another_library_is_read():
    trail = Trail()
    assert play_token.read(GOOGLE.token(), GOOGLE.keys, trail) == PAYLOAD
    assert trail.steps == ["token encryption", "token signature"]
    assert _read(_sealed(GOOD_HEADER, GOOGLE.sign(PAYLOAD))) == PAYLOAD  # the hand that makes the wrong ones can


def test_header_fields_that_choose_nothing_are_passed_over():
    inner = GOOGLE.sign(PAYLOAD, {"alg": "ES256", "kid": "1", "typ": "JWT"})
    assert _read(GOOGLE.encrypt(inner, {"alg": "A256KW", "enc": "A256GCM", "cty": "JWT", "kid": "2"})) == PAYLOAD


def test_every_changed_character_is_refused():
    """A token altered in one place says nothing, wherever that is: each place once, and 1000 more changes."""
    token, dice = GOOGLE.token(), random.Random(1)  # noqa: S311 - a fixed order, no secret
    places = [*range(len(token)), *(dice.randrange(len(token)) for _ in range(1000))]
    assert len(places) > 1500
    for place in places:
        other = dice.choice([sign for sign in SIGNS if sign != token[place]])
        changed = token[:place] + bytes([other]) + token[place + 1 :]
        assert _refused(changed) in {Refusal.MALFORMED, Refusal.UNSUPPORTED, Refusal.CHAIN}


def test_every_other_length_is_refused():
    token = GOOGLE.token()
    for size in range(len(token)):
        _refused(token[:size])
    for more in (b"=", b"A", b".", b"\n", b" ", b".AAAA", b"\0", "é".encode()):
        assert _refused(token + more) == Refusal.MALFORMED
        assert _refused(more + token) == Refusal.MALFORMED
    assert _read(GOOGLE.token(b"x" * 30_000)) == b"x" * 30_000
    assert len(GOOGLE.token(b"x" * 40_000)) > play_token.MAX_TOKEN
    assert _refused(GOOGLE.token(b"x" * 40_000)) == Refusal.MALFORMED  # genuine, and too large


def test_keys_of_another_app_open_nothing():
    """A token that another app's owner made for his own app."""
    other = Google()
    assert _refused(GOOGLE.token(), other) == Refusal.CHAIN
    other.aes = GOOGLE.aes  # its decryption key became known, its signature key did not
    assert _refused(other.token(), GOOGLE) == Refusal.CHAIN


@pytest.mark.parametrize(
    "header",
    [
        b'{"alg":"A256KW","enc":"A256GCM","zip":"DEF"}',
        b'{"alg":"A256KW","enc":"A256GCM","crit":["exp"],"exp":1}',
        b'{"alg":"A256KW","enc":"A256GCM","crit":[]}',
        b'{"alg":"A256KW","enc":"A128GCM"}',
        b'{"alg":"a256kw","enc":"A256GCM"}',
        b'{"alg":"dir","enc":"A256GCM"}',
        b'{"alg":"none","enc":"none"}',
        b'{"alg":["A256KW"],"enc":"A256GCM"}',
        b'{"alg":"A256KW"}',
        b'{"alg":"A256KW","enc":"A256GCM","jwk":{}}',
        b'{"alg":"A256KW","enc":"A256GCM","p2c":1}',
        b"{}",
    ],
)
def test_a_header_that_asks_for_something_else_is_refused(header):
    """The algorithm is ours to choose; the key and the encryption are right in each of these."""
    assert _refused(_sealed(header, GOOGLE.sign(PAYLOAD))) == Refusal.UNSUPPORTED


@pytest.mark.parametrize(
    "header",
    [
        b'{"alg":"A256KW","alg":"A256KW","enc":"A256GCM"}',
        b"[]",
        b"null",
        b"",
        b"{",
        b"\xff",
        b'{"alg":NaN}',
        b"[" * 999,
    ],
)
def test_a_header_that_is_no_plain_object_is_refused(header):
    assert _refused(_sealed(header, GOOGLE.sign(PAYLOAD))) == Refusal.MALFORMED


def test_tokens_of_other_algorithms_are_refused():
    """Each is a whole, correct token by joserfc, of the right key where the algorithm allows."""
    inner = GOOGLE.sign(PAYLOAD)
    for alg, enc, key in (
        ("A256KW", "A256CBC-HS512", GOOGLE.aes),
        ("A256GCMKW", "A256GCM", GOOGLE.aes),
        ("dir", "A256GCM", GOOGLE.aes),
        ("A128KW", "A256GCM", OctKey.generate_key(128)),
    ):
        header = {"alg": alg, "enc": enc}
        made = jwe.encrypt_compact(header, inner, key, algorithms=[alg, enc]).encode()
        assert _refused(made) == Refusal.UNSUPPORTED


def test_signatures_of_other_algorithms_are_refused():
    """The public key as an HMAC secret, no signature, another curve."""
    pem = GOOGLE.signing.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    secret = OctKey.import_key(base64.b64encode(pem))
    hmac = jws.serialize_compact({"alg": "HS256"}, PAYLOAD, secret, algorithms=["HS256"]).encode()
    p384 = ECKey.import_key(ec.generate_private_key(ec.SECP384R1()))
    other_curve = jws.serialize_compact({"alg": "ES384"}, PAYLOAD, p384, algorithms=["ES384"]).encode()
    body = to_base64url(PAYLOAD).encode()
    unsigned = to_base64url(b'{"alg":"none"}').encode() + b"." + body + b"."
    critical = GOOGLE.sign(PAYLOAD, {"alg": "ES256", "b64": True, "crit": ["b64"]})
    for inner in (hmac, other_curve, unsigned, critical):
        assert _refused(GOOGLE.encrypt(inner)) == Refusal.UNSUPPORTED


def test_a_signature_is_64_bytes_of_the_right_key_over_these_bytes():
    head, body, good = GOOGLE.sign(PAYLOAD).split(b".")
    raw = from_base64url(good.decode())
    der = GOOGLE.signing.sign(head + b"." + body, ec.ECDSA(SHA256()))
    for signature, code in (
        (b"", Refusal.MALFORMED),
        (raw[:63], Refusal.MALFORMED),
        (raw + b"\0", Refusal.MALFORMED),
        (der, Refusal.MALFORMED),
        (bytes(64), Refusal.CHAIN),
        (b"\xff" * 64, Refusal.CHAIN),
        (raw[32:] + raw[:32], Refusal.CHAIN),
        (raw[:63] + bytes([raw[63] ^ 1]), Refusal.CHAIN),
    ):
        inner = b".".join((head, body, to_base64url(signature).encode()))
        assert _refused(GOOGLE.encrypt(inner)) == code
    altered = b".".join((head, to_base64url(PAYLOAD.replace(b"42", b"43")).encode(), good))
    assert _refused(GOOGLE.encrypt(altered)) == Refusal.CHAIN
    assert _refused(GOOGLE.encrypt(PAYLOAD)) == Refusal.MALFORMED  # a verdict that nobody signed


def test_parts_have_their_sizes():
    inner = GOOGLE.sign(PAYLOAD)
    short = aes_key_wrap(GOOGLE.aes.raw_value, os.urandom(16))  # an AES-128 key, rightly wrapped
    for token in (
        _sealed(GOOD_HEADER, inner, wrapped=short),
        _sealed(GOOD_HEADER, inner, wrapped=b""),
        _sealed(GOOD_HEADER, inner, nonce=os.urandom(16)),
        _sealed(GOOD_HEADER, inner, tag_size=12),
        _sealed(GOOD_HEADER, inner, tag_size=0),
    ):
        assert _refused(token) == Refusal.MALFORMED


def test_base64url_has_one_spelling():
    """A second spelling of a seen token must not pass for a new one. Unused bits, padding, other alphabets."""
    head, wrapped, nonce, sealed, tag = GOOGLE.token().split(b".")
    alphabet = (string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_").encode()
    assert len(tag) == 22  # 16 bytes: the last character has four unused bits
    twin = tag[:-1] + bytes([alphabet[alphabet.index(tag[-1]) | 1]])
    assert base64.urlsafe_b64decode(twin + b"==") == base64.urlsafe_b64decode(tag + b"==")
    for spelling in (twin, tag + b"==", tag[:9] + b"\n" + tag[9:], b" " + tag, tag + b"A"):
        assert _refused(b".".join((head, wrapped, nonce, sealed, spelling))) == Refusal.MALFORMED
    standard = b"-" in sealed or b"_" in sealed
    assert standard
    plus = sealed.replace(b"-", b"+").replace(b"_", b"/")
    assert _refused(b".".join((head, wrapped, nonce, plus, tag))) == Refusal.MALFORMED


def test_the_package_is_told_by_the_key_that_opens_the_token():
    keys = {"com.example.other": Google().keys, PACKAGE: GOOGLE.keys}
    assert play_token.package_of(GOOGLE.token(), keys) == PACKAGE
    assert play_token.package_of(Google().token(), keys) is None
    for foreign in (b"", b"standard-token", b"\xff", b"a.b.c.d.e", b"{}", GOOGLE.sign(PAYLOAD)):
        assert play_token.package_of(foreign, keys) is None
