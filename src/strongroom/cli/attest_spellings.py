"""The forms that evidence is handed around in, each brought back to the bytes that the device sent.

A log line has base64 or hexadecimal, a ticket has JSON, a test vector has YAML, a terminal has PEM with text around it.
Only the wrapping is forgiven. What cannot be unwrapped is judged as it is, and refused there with its step; the hint
says which form would have been right.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strongroom.errors import Code, InputError

if TYPE_CHECKING:
    from strongroom.attest.claims import Kind

MAX_FILE = 16_777_216  # bytes of an evidence file; what is judged of it is at most 64 KiB
NAMES = frozenset({  # of fields that hold evidence, in small letters and without the name of their encoding
    "attestation", "attestationobject", "assertion", "assertionobject", "evidence", "token", "integritytoken", "data",
    "x5c", "chain", "certificates", "certificatechain",
})  # fmt: skip
FORMS: dict[str, str] = {
    "app-attest": "it must be the CBOR object of attestKey or generateAssertion: bytes, base64, hexadecimal, or the"
    " field attestation or assertion of JSON or YAML",
    "android-key": "it must be the whole certificate chain in one file, leaf first: PEM, DER one behind the other, or"
    " a JSON array of base64",
    "play": "it must be the token, five parts with dots between, or the JSON of the verdict that Google decoded",
    "tpm": "it must be one JSON object with ak_public, attest, signature and pcrs in hexadecimal, and"
    " ek_certificates with ek_public when enrolling",
}

_DEPTH = 8  # of tables in tables that are looked through
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2})+")
_BASE64 = re.compile(rb"(?:[A-Za-z0-9+/\s]+|[A-Za-z0-9_\s-]+)=*\s*")
_ENCODED = re.compile(r"(base64|b64|hex|pem)$")
_YAML = re.compile(
    r"(?m)^[ \t-]*([A-Za-z0-9_-]+):[ \t]*"
    r"(?:[|>][+-]?[ \t]*\n((?:[ \t]+\S+[ \t]*\n?)+)|[\"']?([\w+/=-]{40,})[\"']?[ \t]*$)"
)
_GO_HASHES = {3: "sha1", 5: "sha256", 6: "sha384", 7: "sha512"}  # crypto.Hash of Go


@dataclass(frozen=True, slots=True)
class Given:
    """Evidence as it travels, and what to say of its form should it turn out to be none."""

    data: bytes
    hint: str = ""


def read(path: Path, kind: "Kind", *, assertion: bool = False) -> Given:
    """Read evidence from any of the forms it is handed around in.

    Args:
        path: of the file.
        kind: what it is said to be.
        assertion: whether an assertion is meant rather than an attestation, where a file holds both.

    Raises:
        InputError: ARGUMENT; it is a directory, or holds several pieces of evidence.
        StrongroomError: the file cannot be read.
    """
    from strongroom.operator.small_files import read_public

    if path.is_dir():
        step = "name one file; for a chain in several: cat cert0.pem cert1.pem cert2.pem cert3.pem > chain.pem"
        raise InputError(Code.ARGUMENT, "the evidence is a directory", where=str(path), next_step=step)
    if path.is_file() and not path.stat().st_size:
        return Given(b"", "the file is empty")  # nothing is evidence too: it is refused
    data = read_public(path, limit=MAX_FILE, what="evidence")
    text = _text(data)
    value = _json(text) if text.lstrip()[:1] in {"{", "[", '"'} else None
    if kind == "tpm" and value is None:
        value = _json(_text(unbase64(data) or b""))
    found = _in_tpm(value) if kind == "tpm" else list(_candidates(value, kind))
    if value is None and kind != "tpm" and "-----BEGIN" not in text[:64]:
        found = [(_plain_name(one[1]), one[2] or one[3]) for one in _YAML.finditer(text)]
        found = [(name, inner) for name, inner in found if name in NAMES]
    found = _meant(found, assertion=assertion)
    if len(found) > 1:
        step = "put the piece that you mean into a file of its own"
        what = f"this file holds {len(found)} pieces of evidence"
        raise InputError(Code.ARGUMENT, what, where=str(path), next_step=step)
    if found:
        return _given(found[0][1], data, kind)
    other = _looks_like(data, text, value)
    if other and other != kind:
        return Given(data, f"it looks like evidence of another kind: try --kind {other}")
    if kind == "play":
        return Given(data.strip() if value is not None else b"".join(data.split()))
    if value is not None:
        return Given(data, f"this JSON has no field that holds evidence of this kind: {FORMS[kind]}")
    return _given(text, data, kind) if text else Given(data)


def unbase64(data: bytes) -> bytes | None:
    """Decode base64 of one alphabet, with or without padding and line breaks; None if it is none.

    Bits that mean nothing must be 0: no altered letter leaves the same bytes.
    """
    if not _BASE64.fullmatch(data):
        return None
    text = b"".join(data.split()).translate(bytes.maketrans(b"-_", b"+/")).rstrip(b"=")
    try:
        found = base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        return None
    return found if base64.b64encode(found).rstrip(b"=") == text else None


def _given(value: Any, data: bytes, kind: "Kind") -> Given:  # noqa: ANN401 - any JSON value
    """Return what a field or a whole file holds."""
    if isinstance(value, Mapping):
        return _tpm(value)
    if isinstance(value, list):
        parts = [_unwrapped(one) for one in value]
        return Given(b"".join(part for part in parts if part) if all(parts) else data)
    if kind == "play":
        return Given("".join(value.split()).encode())
    return Given(_unwrapped(value) or (data if "-----" not in value else value.encode()))


def _unwrapped(text: str) -> bytes | None:
    if "-----BEGIN" in text:
        return _pem(text)
    plain = "".join(text.split())
    return bytes.fromhex(plain) if _HEX.fullmatch(plain) else unbase64(text.encode("utf-8", "replace"))


def _pem(text: str) -> bytes:
    """Leave out the lines that tools write around certificates; a line with dashes is never left out."""
    kept, inside = [], False
    for line in text.splitlines(keepends=True):
        inside = inside or line.startswith("-----BEGIN ")
        if inside or "--" in line:
            kept.append(line)
        if line.startswith("-----END "):
            inside = "-----BEGIN " in line  # files without a line's end, one behind the other
    return "".join(kept).encode()


def _candidates(value: Any, kind: "Kind", depth: int = 0) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - any JSON value
    """Yield every field that could hold the evidence: its plain name, and what it holds."""
    if depth == 0 and (isinstance(value, str) or _texts(value)):
        yield "", value
    elif depth < _DEPTH and isinstance(value, list):
        for inner in value:
            yield from _candidates(inner, kind, depth + 1) if isinstance(inner, (dict, list)) else ()
    elif depth < _DEPTH and isinstance(value, dict) and value.get("kind", kind) == kind:
        for name, inner in value.items():
            if _plain_name(name) in NAMES and (isinstance(inner, str) or _texts(inner)):
                yield _plain_name(name), inner
            elif isinstance(inner, (dict, list)):
                yield from _candidates(inner, kind, depth + 1)


def _meant(found: list[tuple[str, Any]], *, assertion: bool) -> list[tuple[str, Any]]:
    """Leave out an attestation where an assertion is meant, and the reverse, if anything is left then."""
    wanted = [one for one in found if one[0].startswith("assertion" if assertion else "attestation")]
    return wanted or found


def _in_tpm(value: Any, depth: int = 0) -> list[tuple[str, Any]]:  # noqa: ANN401 - any JSON value
    """Return every object that is TPM evidence, also where it stands inside another or in base64."""
    if isinstance(value, list) and depth < _DEPTH:
        return [one for inner in value for one in _in_tpm(inner, depth + 1)]
    if not isinstance(value, dict) or value.get("kind", "tpm") != "tpm":
        return []
    if value.keys() & {"attest", "ak_public"} or {"AK", "Quote"} <= value.keys():
        return [("", value)]
    inner = [(name, one) for name, one in value.items() if _plain_name(name) in NAMES]
    texts = ((_plain_name(name), _json(_text(unbase64(one.encode()) or b""))) for name, one in inner if _ascii(one))
    read = [(name, one) for name, one in texts if isinstance(one, dict)]
    return read + [found for _, one in inner if depth < _DEPTH for found in _in_tpm(one, depth + 1)]


def _tpm(value: Mapping[str, Any]) -> Given:
    """Keep what is evidence of an object that says more, its values in small hexadecimal letters."""
    from strongroom.attest.tpm.evidence import FIELDS, NEEDED

    if {"AK", "Quote"} <= value.keys():
        value = _of_go(value)
    kept = {name: _hexadecimal(one) for name, one in value.items() if name in FIELDS}
    lacking = ", ".join(sorted(NEEDED - kept.keys()))
    return Given(json.dumps(kept).encode(), f"it lacks {lacking}: {FORMS['tpm']}" if lacking else "")


def _of_go(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a dump of the Go library's test data under the names that they have here."""
    try:
        pcrs: dict[str, dict[str, str]] = {}
        for one in value["Log"]["PCRs"]:
            pcrs.setdefault(_GO_HASHES[one["DigestAlg"]], {})[str(one["Index"])] = one["Digest"]
        quote = value["Quote"]
        return {
            "ak_public": value["AK"]["Public"],
            "attest": quote["Quote"],
            "signature": quote["Signature"],
            "pcrs": pcrs,
        }
    except (KeyError, TypeError):
        return {}


def _hexadecimal(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, str):
        plain = "".join(value.split()).lower()
        found = None if _HEX.fullmatch(plain) else unbase64(value.encode("utf-8", "replace"))
        return plain if found is None else found.hex()
    if isinstance(value, list):
        return [_hexadecimal(one) for one in value]
    return {name: _hexadecimal(one) for name, one in value.items()} if isinstance(value, dict) else value


def _looks_like(data: bytes, text: str, value: Any) -> str:  # noqa: ANN401 - any JSON value
    """Return the kind that this could be, "" if none is to be seen."""
    inside = data if not text else unbase64(data) or data
    if inside[:1] == b"\xa3" and b"apple-appattest" in inside[:64]:
        return "app-attest"
    if "-----BEGIN CERTIFICATE" in text[:4096] or inside[:2] == b"\x30\x82":
        return "android-key"
    if isinstance(value, dict) and value.keys() & {"tokenPayloadExternal", "requestDetails"}:
        return "play"
    return "tpm" if _in_tpm(value) else ""


def _text(data: bytes) -> str:
    """Return a file's text, "" if it is not text."""
    try:
        text = data.decode("utf-16" if data[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig")
    except UnicodeDecodeError:
        return ""
    return "" if "\0" in text else text


def _json(text: str) -> Any:  # noqa: ANN401 - any JSON value
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _texts(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, str) for one in value)


def _ascii(value: object) -> bool:
    return isinstance(value, str) and value.isascii()


def _plain_name(name: str) -> str:
    return _ENCODED.sub("", name.lower().replace("_", "").replace("-", ""))
