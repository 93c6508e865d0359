"""The token issuer: one spelling, one key, one audience, one lifetime (B12, B13)."""

import base64
import json
import os

import pytest
from joserfc import jwt

from strongroom.errors import Code, DeniedError, SetupError
from strongroom.server.tokens import LEEWAY, TokenIssuer, hash_token, operator_token
from strongroom.signing import ED25519, ML_DSA_65, SigningKey

NOW = 1_800_000_000
ISSUER = TokenIssuer(SigningKey.generate(ED25519), "https://rooms.test")


def issued(issuer: TokenIssuer = ISSUER, now: int = NOW) -> str:
    """A device token."""
    return issuer.device_token("dev_x", "A" * 43, now=now, seconds=100, random=os.urandom)[0]


def part(value: object) -> str:
    """One part of a JWT."""
    return base64.urlsafe_b64encode(json.dumps(value, separators=(",", ":")).encode()).rstrip(b"=").decode()


def test_what_was_issued_is_read() -> None:
    claims = ISSUER.read(issued(), now=NOW)
    assert (claims.scope, claims.subject, claims.jkt, claims.expires) == ("device", "dev_x", "A" * 43, NOW + 100)
    token, expires = ISSUER.user_token("usr_x", now=NOW, seconds=50, random=os.urandom)
    claims = ISSUER.read(token, now=NOW)
    assert (claims.scope, claims.subject, claims.jkt, claims.expires) == ("enrol", "usr_x", None, expires)


def test_the_end_is_the_end_and_the_beginning_has_leeway() -> None:
    """E23: another server's clock may be a little ahead; nobody's token lives longer."""
    token = issued()
    assert ISSUER.read(token, now=NOW + 99)
    assert ISSUER.read(token, now=NOW - LEEWAY)
    for now in (NOW + 100, NOW + 10**6, NOW - LEEWAY - 1, 0):
        with pytest.raises(DeniedError):
            ISSUER.read(token, now=now)


def forged() -> dict[str, str]:
    """Tokens that must be refused, by what was tried."""
    header, payload, signature = issued().split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    kid = ISSUER.key.public.key_id
    elsewhere = TokenIssuer(ISSUER.key, "https://other.test")
    return {
        "alg none": f"{part({'typ': 'at+jwt', 'alg': 'none', 'kid': kid})}.{payload}.",
        "alg HS256": f"{part({'typ': 'at+jwt', 'alg': 'HS256', 'kid': kid})}.{payload}.{signature}",
        "alg EdDSA": f"{part({'typ': 'at+jwt', 'alg': 'EdDSA', 'kid': kid})}.{payload}.{signature}",
        "kid is a path": f"{part({'typ': 'at+jwt', 'alg': ED25519, 'kid': '../../dev/null'})}.{payload}.{signature}",
        "our key, another header": jwt.encode(
            {"typ": "at+jwt", "alg": ED25519, "kid": "../../dev/null"}, claims, ISSUER._jwk, algorithms=[ED25519]
        ),
        "own jwk": f"{part({'typ': 'at+jwt', 'alg': ED25519, 'kid': kid, 'jwk': {}})}.{payload}.{signature}",
        "another's key": issued(TokenIssuer(SigningKey.generate(ED25519), "https://rooms.test")),
        "another audience": issued(elsewhere),
        "longer life": f"{header}.{part(claims | {'exp': NOW + 10**6})}.{signature}",
        "another subject": f"{header}.{part(claims | {'sub': 'dev_y'})}.{signature}",
        "no signature": f"{header}.{payload}.",
        "cut": issued()[:-2],
        "longer": issued() + "A",
        "four parts": issued() + ".A",
        "padded": issued() + "=",
        "empty": "",
        "dots": "..",
        "not ascii": "é" * 20,
        "huge": f"{header}." + "A" * 10**5,
    }


@pytest.mark.parametrize("tried", sorted(forged()))
def test_a_forged_token_is_refused(tried: str) -> None:
    """B12: one answer for everything that can be wrong."""
    with pytest.raises(DeniedError) as caught:
        ISSUER.read(forged()[tried], now=NOW)
    assert caught.value.code is Code.TOKEN


def test_every_changed_character_is_refused() -> None:
    token = issued()
    for index in range(len(token)):
        other = token[:index] + ("A" if token[index] != "A" else "B") + token[index + 1 :]
        with pytest.raises(DeniedError):
            ISSUER.read(other, now=NOW)


def test_scope_and_binding_belong_together() -> None:
    """A device token without a key, or a user token with one, was never issued and is not read."""
    for scope, jkt in (("device", None), ("enrol", "A" * 43), ("admin", None)):
        token, _ = ISSUER._issue(scope, "x", jkt, NOW, 100, os.urandom)
        with pytest.raises(DeniedError):
            ISSUER.read(token, now=NOW)


def test_secrets_do_not_print() -> None:
    assert ISSUER.key.seed.hex() not in repr(ISSUER)
    assert "key" not in repr(ISSUER)


def test_only_an_ed25519_key_issues() -> None:
    with pytest.raises(SetupError):
        TokenIssuer(SigningKey.generate(ML_DSA_65), "https://rooms.test")


def test_operator_tokens_are_random_and_kept_as_hashes() -> None:
    one, two = operator_token(os.urandom), operator_token(os.urandom)
    assert one != two
    assert len(one) == 4 + 43
    assert hash_token(one) != hash_token(two)
    assert len(hash_token("\udcff")) == 32  # hostile text has a hash too
