"""How a genuine value becomes a wrong one: JWS bent in every part, messages signed again with one field changed."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from strongroom.canonical import decode, encode, from_base64url, to_base64url
from strongroom.signing import ED25519
from vectors.transcript_keys import FixedSigner

OTHER = FixedSigner("somebody else")


class Bent(NamedTuple):
    """A wrong value, its name, the code it must come to, and why."""

    name: str
    value: Any
    expect: str
    why: str


def other(text: str) -> str:
    """Return base64url with its first letter changed: still the same number of bytes, spelled as it must be."""
    return ("B" if text[0] == "A" else "A") + text[1:]


def another(name: str) -> str:
    """Return a name or an identifier with its last letter changed."""
    return name[:-1] + ("A" if name[-1] == "Q" else "Q")


def payload_of(jws: str) -> dict:
    """Return what a JWS says."""
    return decode(from_base64url(jws.split(".")[1]), limit=1_048_576)


def sign(typ: str, payload: bytes, signer: FixedSigner, **header: Any) -> str:
    """Sign any bytes under any header."""
    fields = {"alg": signer.public.alg, "kid": signer.public.key_id, "typ": typ} | header
    return sign_raw(encode(fields), payload, signer)


def sign_raw(header: bytes, payload: bytes, signer: FixedSigner) -> str:
    """Sign any bytes under any bytes."""
    signed = f"{to_base64url(header)}.{to_base64url(payload)}"
    return f"{signed}.{to_base64url(signer.sign(signed.encode()))}"


def one_jws(jws: str, typ: str, signer: FixedSigner, code: str = "signature") -> Iterator[Bent]:
    """Return every way in which one JWS by a known key can be wrong as a JWS."""
    header, payload, signature = jws.split(".")
    raw, wrong_alg = from_base64url(payload), "ES256" if signer.alg == ED25519 else ED25519
    plain = {"alg": signer.public.alg, "kid": signer.public.key_id, "typ": typ}
    last = signature[-1]
    spelled_twice = signature[:-1] + chr(ord(last) + 1)  # A, Q, g and w are the only legal last letters
    for name, value, why in (
        ("signature one letter", f"{header}.{payload}.{other(signature)}", "the signature does not verify"),
        ("payload one letter", f"{header}.{payload[:40]}{other(payload[40:])}.{signature}", "signed were other bytes"),
        ("header one letter", f"{other(header)}.{payload}.{signature}", "the header is no JSON"),
        (
            "alg in header",
            sign(typ, raw, signer, alg=wrong_alg),
            "signed as it stands, but the key has another algorithm",
        ),
        ("alg none", sign(typ, raw, signer, alg="none"), "the algorithm comes from the key"),
        ("key id swapped", sign(typ, raw, signer, kid=OTHER.public.key_id), "named is a key that does not sign here"),
        ("typ", sign("sr-other", raw, signer), "a value of another type, signed by the right key"),
        ("extra header field", sign(typ, raw, signer, crit=["exp"]), "the header has exactly three fields"),
        ("header in another order", sign_raw(_disordered(plain), raw, signer), "the header has one spelling"),
        ("two parts", f"{header}.{payload}", "not a compact JWS"),
        ("four parts", f"{jws}.AA", "not a compact JWS"),
        ("signature spelled twice", f"{header}.{payload}.{spelled_twice}", "the same bytes in a second base64url"),
        ("signature cut", f"{header}.{payload}.{signature[:-2]}", "one byte short"),
        ("another key", sign(typ, raw, OTHER), "signed by a key that has no such role"),
    ):
        yield Bent(name, value, code, why)


def several_jws(jws: str, typ: str, signer: FixedSigner) -> Iterator[Bent]:
    """Return what can be wrong of JWS that stand beside one another."""
    raw = from_base64url(jws.split(".")[1])
    changed = raw[:-1] + b" }"
    unknown = sign(typ, raw, OTHER)
    misspelled_one = unknown[:-1] + chr(ord(unknown[-1]) + 1)
    why = "a key that nobody knows, but not canonical base64url"
    typed = sign("sr-other", raw, OTHER)
    yield Bent("unknown signer, another type", [jws, typed], "signature", "every one of them is of the type asked for")
    yield Bent("unknown signer spelled twice", [jws, misspelled_one], "signature", why)
    yield Bent("duplicate signer", [jws, jws], "signature", "one key signs once")
    yield Bent(
        "second payload",
        [jws, sign(typ, changed, OTHER)],
        "signature",
        "the payloads differ, though nobody knows that key",
    )


def spelled(text: str) -> Iterator[Bent]:
    """Return a body in other spellings, and with other fields."""
    value = decode(text.encode(), limit=1_048_576)
    first = min(value)
    code = "json-not-canonical"
    yield Bent("space", text.replace(":", ": ", 1), code, "a space that means nothing")
    yield Bent("line end behind", text + "\n", code, "a byte behind the value")
    doubled = text[:1] + text[1 : text.index(":") + 1] + "0," + text[1:]
    yield Bent("field twice", doubled, code, "a field twice: readers would not agree which counts")
    yield Bent("unknown field", encode(value | {"zzz": 1}).decode(), "shape", "a field version 1 does not have")
    missing = encode({name: item for name, item in value.items() if name != first}).decode()
    yield Bent("missing field", missing, "shape", f"{first} is missing")


def resigned(jws: str, typ: str, signer: FixedSigner, changes: dict[str, tuple[dict, str, str]]) -> Iterator[Bent]:
    """Return a payload signed again with fields changed; a value of ... removes one."""
    payload = payload_of(jws)
    for name, (fields, expect, why) in changes.items():
        value = {key: item for key, item in (payload | fields).items() if item is not ...}
        yield Bent(f"signed again, {name}", sign(typ, encode(value), signer), expect, why)


def misspelled(jws: str, typ: str, signer: FixedSigner) -> Bent:
    """Return a payload signed in another spelling."""
    spelling = encode(payload_of(jws)).replace(b":", b": ", 1)
    return Bent("signed again, a space", sign(typ, spelling, signer), "json-not-canonical", "signed, and misspelled")


def within(wrap: Callable[[Any], str], bent: Iterator[Bent]) -> Iterator[Bent]:
    """Put wrong values into the body that carries them."""
    return (one._replace(value=wrap(one.value)) for one in bent)


def _disordered(fields: dict[str, str]) -> bytes:
    return ("{" + ",".join(f'"{name}":"{fields[name]}"' for name in ("typ", "kid", "alg")) + "}").encode()
