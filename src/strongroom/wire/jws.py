"""Signed values: JWS in compact form over canonical JSON (docs/spec/protocol.md section 2).

The header is never believed. It must equal, byte for byte, the only header the trusted key could have made; so `alg`
comes from the key, and there is no room for `crit`, `jwk`, `jku` or `x5c`. One JWS a key; several carry one payload.
"""

from collections.abc import Iterable, Sequence

from strongroom import canonical
from strongroom.canonical import from_base64url, to_base64url
from strongroom.errors import Code, IntegrityError, StrongroomError
from strongroom.shapes import Object, Text
from strongroom.signing import PublicKey, Role, Signer

MAX_HEADER = 256  # bytes; a legal header has at most 110
MAX_TEXT = 400_000  # characters of one JWS
MAX_SIGNERS = 32  # JWS beside one another: 16 principals of two keys

_HEADER = Object({"alg": Text(20), "kid": Text(43), "typ": Text(40)})


def sign(typ: str, payload: bytes, signers: Iterable[Signer]) -> tuple[str, ...]:
    """Sign canonical payload bytes with every signer; one JWS each."""
    return tuple(_sign_one(typ, payload, signer) for signer in signers)


def verify_role(jwss: Sequence[str], typ: str, role: Role, where: str) -> bytes:
    """Return the payload if k of n principals of the role signed it.

    Raises:
        IntegrityError: SIGNATURE.
    """
    payload, verified = verified_keys(jwss, typ, role, where)
    if not role.satisfied(verified):
        raise _refused(where, f"fewer than {role.threshold} of its signers signed it")
    return payload


def verified_keys(jwss: Sequence[str], typ: str, role: Role, where: str) -> tuple[bytes, frozenset[str]]:
    """Return the payload and which of the role's keys signed it, without judging whether that is enough.

    A key the role does not know is passed over, so that signers can be added before all devices know them. A known
    key whose signature is wrong spoils the whole, as does a key that signs twice.

    Raises:
        IntegrityError: SIGNATURE.
    """
    if not 1 <= len(jwss) <= MAX_SIGNERS:
        raise _refused(where, "it carries no signature, or too many")
    payloads: set[str] = set()
    kids: set[str] = set()
    verified: set[str] = set()
    for jws in jwss:
        header, payload, signature = _split(jws, where)
        kid = _read_header(header, typ, where)
        if kid in kids:
            raise _refused(where, "one key signed it twice")
        kids.add(kid)
        payloads.add(payload)
        key = role.key(kid)
        if key is not None:
            _verify_one(header, payload, signature, typ, key, where)
            verified.add(kid)
    if len(payloads) != 1:
        raise _refused(where, "its signatures cover different contents")
    return _bytes(payloads.pop(), where), frozenset(verified)


def by_role(jwss: Sequence[str], typ: str, role: Role, where: str = "") -> tuple[str, ...]:
    """Return those that name a key of the role; whether they verify is not asked. Raises IntegrityError(SIGNATURE)."""
    return tuple(one for one in jwss if role.key(_read_header(_split(one, where)[0], typ, where)) is not None)


def verify_key(jws: str, typ: str, key: PublicKey, where: str = "") -> bytes:
    """Return the payload if this one key signed it.

    Raises:
        IntegrityError: SIGNATURE.
    """
    header, payload, signature = _split(jws, where or typ)
    _read_header(header, typ, where or typ)
    _verify_one(header, payload, signature, typ, key, where or typ)
    return _bytes(payload, where or typ)


def unverified_payload(jws: str, where: str) -> bytes:
    """Return the payload without any check: only to learn which keys a self-signed document names.

    Raises:
        IntegrityError: SIGNATURE, when it is no JWS.
    """
    return _bytes(_split(jws, where)[1], where)


def _sign_one(typ: str, payload: bytes, signer: Signer) -> str:
    signed = f"{to_base64url(_header(typ, signer.public))}.{to_base64url(payload)}"
    return f"{signed}.{to_base64url(signer.sign(signed.encode('ascii')))}"


def _header(typ: str, key: PublicKey) -> bytes:
    return canonical.encode({"alg": key.alg, "kid": key.key_id, "typ": typ})


def _split(jws: str, where: str) -> tuple[str, str, str]:
    parts = jws.split(".") if len(jws) <= MAX_TEXT else []
    if len(parts) != 3:
        raise _refused(where, "it is no compact JWS")
    for part in parts:
        _bytes(part, where)  # of keys that nobody knows as well
    return parts[0], parts[1], parts[2]


def _read_header(header: str, typ: str, where: str) -> str:
    """Return the key id of a well-formed header of this type; anything beyond the three fields is refused."""
    try:
        fields = _HEADER.check(canonical.decode(_bytes(header, where), limit=MAX_HEADER, where=where), where)
    except StrongroomError:
        raise _refused(where, "its header is not exactly alg, kid and typ") from None
    if fields["typ"] != typ:
        raise _refused(where, f"it is not of type {typ}")
    kid: str = fields["kid"]
    return kid


def _verify_one(header: str, payload: str, signature: str, typ: str, key: PublicKey, where: str) -> None:
    if header != to_base64url(_header(typ, key)):
        raise _refused(where, "its header is not the one its key makes")
    if not key.verify(_bytes(signature, where), f"{header}.{payload}".encode("ascii", "replace")):
        raise _refused(where, "a signature does not verify")


def _bytes(text: str, where: str) -> bytes:
    try:
        return from_base64url(text, where=where)
    except IntegrityError:
        raise _refused(where, "it is not canonical base64url") from None


def _refused(where: str, why: str) -> IntegrityError:
    return IntegrityError(Code.SIGNATURE, f"a signed value is refused: {why}", where=where)
