"""Classic Play Integrity tokens: a signed JWS inside an encrypted JWE, both compact (RFC 7515 and 7516).

Google makes them with two keys of the app, which the Play Console hands out ("manage and download my response
encryption keys"). Exactly one choice of algorithms is read: A256KW, A256GCM and ES256. Standard tokens cannot be
decrypted by anybody but Google.
"""

import json
import re
from collections.abc import Mapping

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap

from strongroom.attest.authorities import PlayKeys
from strongroom.attest.verdict import Refusal, RefusedEvidence, Trail, malformed
from strongroom.canonical import from_base64url
from strongroom.errors import IntegrityError

MAX_TOKEN = 65_536  # bytes, as for all evidence
MAX_SEALED = 16_384  # bytes of a token that Google is asked about; they have about 1,000
AES_KEY = 32  # bytes, AES-256
WRAPPED_KEY = AES_KEY + 8  # RFC 3394: one block of eight bytes more
GCM_NONCE, GCM_TAG = 12, 16  # bytes (RFC 7518 section 5.3)
ES256_SIGNATURE = 64  # bytes, r and s (RFC 7518 section 3.4)
MAX_CONTAINERS = 200  # objects and lists in a verdict, which has about ten

_JWE = re.compile(rb"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+){4}")
_SAYS_NOTHING = frozenset({"typ", "cty", "kid"})  # header fields that choose nothing here


def package_of(token: bytes, keys: Mapping[str, PlayKeys]) -> str | None:
    """Return the package whose decryption key opens a token, or None: then it is a standard one, foreign or altered.

    The key wrap has an integrity check of 64 bits (RFC 3394), so that a key which is not the right one says so.
    """
    try:
        wrapped, _, _ = _open_head(token)
    except RefusedEvidence:
        return None
    return next((package for package, pair in keys.items() if _unwrap(pair, wrapped) is not None), None)


def check(token: bytes) -> None:
    """Refuse what cannot be a classic token, whoever holds its keys.

    Raises:
        RefusedEvidence: MALFORMED or UNSUPPORTED.
    """
    _open_head(token)


def may_be_sealed(token: bytes) -> bool:
    """Tell whether Google may have made this for itself to open: a compact JWE by its form, with Google's algorithms.

    Asking Google costs time and quota. Whatever else it writes into such a token's header is its own business.
    """
    if len(token) > MAX_SEALED or not _JWE.fullmatch(token):
        return False
    try:
        header = read_object(from_base64url(token.split(b".", 1)[0].decode("ascii")), "the header")
    except (RefusedEvidence, IntegrityError):
        return False
    return (header.get("alg"), header.get("enc")) == ("A256KW", "A256GCM")


def read(token: bytes, keys: PlayKeys, trail: Trail) -> bytes:
    """Return the verdict in a token: decrypted, its signature verified, and nothing else believed.

    Args:
        token: a compact JWE, as the device sent it.
        keys: of the app that it must be for.
        trail: takes the steps.

    Raises:
        RefusedEvidence: MALFORMED, UNSUPPORTED or CHAIN.
    """
    trail.step("token encryption")
    wrapped, nonce, sealed = _open_head(token)
    content_key = _unwrap(keys, wrapped)
    if content_key is None:
        raise RefusedEvidence(Refusal.CHAIN, "the app's decryption key does not open this token")
    try:
        inner = AESGCM(content_key).decrypt(nonce, sealed, token.split(b".", 1)[0])
    except InvalidTag:
        raise RefusedEvidence(Refusal.CHAIN, "the token was altered") from None
    trail.step("token signature")
    head, payload, signature = _parts(inner, 3)
    _header(head, {"alg": "ES256"})
    trail.must(len(signature) == ES256_SIGNATURE, Refusal.MALFORMED, "the signature has not 64 bytes")
    _verify(keys.verification, signature, inner.rpartition(b".")[0])
    return payload


def read_object(data: bytes, what: str) -> dict[str, object]:
    """Read a JSON object that means one thing to every parser: no duplicate names, no NaN, plain UTF-8.

    Raises:
        RefusedEvidence: MALFORMED.
    """
    if len(data) > MAX_TOKEN or data.count(b"{") + data.count(b"[") > MAX_CONTAINERS:  # before the parser recurses
        raise malformed(f"{what} is too large")
    try:
        value: object = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_pairs,
            parse_constant=_refuse,
        )
    except ValueError:  # UnicodeDecodeError and JSONDecodeError are ones
        raise malformed(f"{what} is not plain JSON") from None
    if not isinstance(value, dict):
        raise malformed(f"{what} is no JSON object")
    return value


def _parts(data: bytes, count: int) -> list[bytes]:
    """Decode a compact serialization of exactly this many parts, each in its only spelling (RFC 7515 section 2)."""
    if len(data) > MAX_TOKEN or data.count(b".") != count - 1 or not data.isascii():
        raise malformed(f"not a token of {count} parts")
    try:
        return [from_base64url(part.decode("ascii")) for part in data.split(b".")]
    except IntegrityError:
        raise malformed("a part of the token is not canonical base64url") from None


def _header(data: bytes, expected: Mapping[str, str]) -> None:
    """Compare the algorithms, which are never chosen by the token; `crit`, `zip` and the like are not known here."""
    header = read_object(data, "the header")
    if {name: header.get(name) for name in expected} != expected or header.keys() - expected.keys() - _SAYS_NOTHING:
        wanted = " and ".join(expected.values())
        raise RefusedEvidence(Refusal.UNSUPPORTED, f"the token's header asks for something else than {wanted}")


def _open_head(token: bytes) -> tuple[bytes, bytes, bytes]:
    """Return the wrapped key, the nonce, and the ciphertext with its tag."""
    head, wrapped, nonce, sealed, tag = _parts(token, 5)
    _header(head, {"alg": "A256KW", "enc": "A256GCM"})
    if (len(wrapped), len(nonce), len(tag)) != (WRAPPED_KEY, GCM_NONCE, GCM_TAG):
        raise malformed("wrapped key, nonce and tag have not 40, 12 and 16 bytes")
    return wrapped, nonce, sealed + tag


def _unwrap(keys: PlayKeys, wrapped: bytes) -> bytes | None:
    try:
        return aes_key_unwrap(keys.decryption, wrapped)
    except InvalidUnwrap:
        return None


def _verify(key: ec.EllipticCurvePublicKey, signature: bytes, signed: bytes) -> None:
    half = ES256_SIGNATURE // 2
    r, s = int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big")
    try:
        key.verify(encode_dss_signature(r, s), signed, ec.ECDSA(SHA256()))
    except InvalidSignature:
        raise RefusedEvidence(Refusal.CHAIN, "the token is not signed by Google's key for this app") from None


def _pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("duplicate name")
    return value


def _refuse(text: str) -> object:
    raise ValueError(f"{text} is no JSON")
