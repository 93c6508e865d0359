"""DPoP: proof that whoever shows a token holds the device key (RFC 9449; docs/spec/protocol.md section 2).

Header and payload are canonical JSON with a closed set of fields, so a proof has one spelling. The algorithms are
ES256 and Ed25519 (RFC 9864); nothing else is known here, in particular not `none` and no MAC.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

from strongroom import canonical
from strongroom.canonical import JsonValue, from_base64url, to_base64url
from strongroom.errors import Code, DeniedError, InputError, IntegrityError
from strongroom.shapes import Binary, Choice, Integer, Object, Text
from strongroom.signing import ED25519, ES256, PublicKey, Signer

TYP = "dpop+jwt"
LEEWAY = 60  # seconds, both ways
MAX_PROOF = 4096  # characters

_EC = Object({"crv": Choice(("P-256",)), "kty": Choice(("EC",)), "x": Binary(32), "y": Binary(32)})
_OKP = Object({"crv": Choice(("Ed25519",)), "kty": Choice(("OKP",)), "x": Binary(32)})
_PAYLOAD = Object(
    {
        "ath": Binary(32),
        "htm": Text(16, r"[A-Z]+"),
        "htu": Text(2048),
        "iat": Integer(),
        "jti": Text(86, r"[A-Za-z0-9_-]{22,86}"),
    },
    frozenset({"ath"}),
)


@dataclass(frozen=True, slots=True)
class DpopProof:
    """A verified proof.

    Attributes:
        key: the device key that made it.
        jti: its identifier; a server that wants each proof once keeps it for twice the leeway.
        iat: when the device says it was made, Unix seconds.
    """

    key: PublicKey
    jti: str
    iat: int


def make(signer: Signer, method: str, url: str, token: str | None, now: int, jti: bytes) -> str:
    """Make a proof for one request.

    Args:
        signer: the device key, ES256 or Ed25519.
        method: HTTP method in capitals.
        url: where the request goes; query and fragment are left out (RFC 9449 section 4.2).
        token: the access token the request carries, or None.
        now: Unix seconds.
        jti: 16 to 64 random bytes, fresh for each proof.

    Raises:
        InputError: ARGUMENT, when the key is of another algorithm.
    """
    payload: dict[str, JsonValue] = {"htm": method, "htu": _bare(url), "iat": now, "jti": to_base64url(jti)}
    if token is not None:
        payload["ath"] = to_base64url(_token_hash(token))
    header: JsonValue = {"alg": signer.public.alg, "jwk": _jwk(signer.public), "typ": TYP}
    signed = f"{to_base64url(canonical.encode(header))}.{to_base64url(canonical.encode(payload))}"
    return f"{signed}.{to_base64url(signer.sign(signed.encode('ascii')))}"


def verify(proof: str, method: str, url: str, token: str | None, now: int, leeway: int = LEEWAY) -> DpopProof:
    """Check a proof against the request it came with. That the token is bound to `key` is the caller's to check.

    Raises:
        DeniedError: PROOF.
    """
    try:
        key, fields = _read(proof)
    except (IntegrityError, InputError):
        raise _denied("it is not a well-formed proof") from None
    if fields["htm"] != method or fields["htu"] != _bare(url):
        raise _denied("it was made for another request")
    if abs(now - fields["iat"]) > leeway:
        raise _denied("it is too old or from the future", next_step="check this device's clock")
    if fields["ath"] != (None if token is None else _token_hash(token)):
        raise _denied("it was made for another token")
    return DpopProof(key, fields["jti"], fields["iat"])


def jkt(key: PublicKey) -> str:
    """Return the JWK thumbprint that tokens carry in `cnf` (RFC 7638).

    Raises:
        InputError: ARGUMENT, when the key is neither ES256 nor Ed25519.
    """
    return to_base64url(hashlib.sha256(canonical.encode(_jwk(key))).digest())


def _read(proof: str) -> tuple[PublicKey, dict[str, Any]]:
    parts = proof.split(".") if len(proof) <= MAX_PROOF else []
    if len(parts) != 3:
        raise _malformed()
    header, payload, signature = (from_base64url(part) for part in parts)
    key = _key_of(canonical.decode(header, limit=MAX_PROOF))
    fields = _PAYLOAD.check(canonical.decode(payload, limit=MAX_PROOF), "DPoP")
    if not key.verify(signature, f"{parts[0]}.{parts[1]}".encode("ascii")):
        raise _malformed()
    return key, fields


def _key_of(header: JsonValue) -> PublicKey:
    """Rebuild the key from a header that must be exactly what `make` writes for it."""
    jwk = header.get("jwk") if isinstance(header, dict) else None
    if isinstance(jwk, dict) and jwk.get("kty") == "EC":
        point = _EC.check(jwk, "DPoP")
        key = PublicKey(ES256, b"\x04" + point["x"] + point["y"])
    else:
        key = PublicKey(ED25519, _OKP.check(jwk, "DPoP")["x"])
    if header != {"alg": key.alg, "jwk": _jwk(key), "typ": TYP}:
        raise _malformed()
    return key


def _jwk(key: PublicKey) -> JsonValue:
    if key.alg == ES256:
        return {"crv": "P-256", "kty": "EC", "x": to_base64url(key.raw[1:33]), "y": to_base64url(key.raw[33:])}
    if key.alg == ED25519:
        return {"crv": "Ed25519", "kty": "OKP", "x": to_base64url(key.raw)}
    raise InputError(Code.ARGUMENT, f"a device key is {ES256} or {ED25519}, not {key.alg}")


def _bare(url: str) -> str:
    return url.partition("#")[0].partition("?")[0]


def _token_hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8")).digest()


def _malformed() -> IntegrityError:
    return IntegrityError(Code.SIGNATURE, "not a DPoP proof")


def _denied(why: str, *, next_step: str = "") -> DeniedError:
    return DeniedError(Code.PROOF, f"a DPoP proof is refused: {why}", next_step=next_step)
