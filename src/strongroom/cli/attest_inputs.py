"""What a support engineer has in hand beside the evidence, in the form that the judge takes: times, keys, policies.

Evidence itself is unwrapped by `attest_spellings`. What is judged afterwards is what the device sent, by the judge that
the server uses.
"""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strongroom.cli.attest_spellings import unbase64
from strongroom.errors import Code, InputError, SetupError

if TYPE_CHECKING:
    from strongroom.attest.authorities import Authorities, PlayKeys, RevocationList
    from strongroom.attest.claims import Kind, Known
    from strongroom.attest.play import Decoded
    from strongroom.attest.policy import Policy
    from strongroom.attest.policy_file import PolicySet, Sources

MAX_SMALL = 1_048_576  # bytes of a state, key, root or policy file
MAX_LIST = 67_108_864  # bytes of a revocation list; Google's has less than 1 MiB

_POINT = 65  # bytes of a point of P-256, uncompressed
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2})+")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def moment(text: str) -> int:
    """Read a time: RFC 3339, a date (its first second in UTC), or Unix seconds. Raises ValueError."""
    if text.isascii() and text.isdigit():
        seconds = int(text[:20])
        datetime.fromtimestamp(min(seconds, 2**62), UTC)  # no date of any calendar here: refused
        return seconds
    found = datetime.fromisoformat(f"{text}T00:00:00Z" if _DATE.fullmatch(text) else text)
    if found.tzinfo is None:
        raise ValueError("a time without its zone")
    return int(found.timestamp())


def decoded(data: bytes) -> "Decoded | None":
    """Return the verdict of a Play token that Google decoded already, None for a token."""
    from strongroom.attest.play import Decoded

    value = _json(data)
    if not isinstance(value, dict):
        return None
    inner = value.get("tokenPayloadExternal", value)
    details = inner.get("requestDetails") if isinstance(inner, dict) else None
    package = details.get("requestPackageName") if isinstance(details, dict) else None
    return Decoded(str(package), hashlib.sha256(data).digest(), json.dumps(inner).encode())


def state(path: Path) -> "Known":
    """Read what is remembered of an App Attest key: {"key": …, "counter": n}, a public key alone, or what --json said.

    Raises:
        InputError: ARGUMENT.
        StrongroomError: the file cannot be read.
    """
    from strongroom.attest.claims import Kind, Known, Level

    data = _read(path, MAX_SMALL, "state")
    value = _json(data)
    if value is None:
        value = {"key": data.decode("ascii", "replace").strip()}
    if isinstance(value, dict) and isinstance(value.get("claims"), dict):  # what the verdict of the attestation said
        value = value["claims"].get("known")
    if isinstance(value, dict) and value.get("kind") == Kind.APP_ATTEST:
        value = {name: one for name, one in value.items() if name not in {"kind", "ek", "clock", "level"}}
    allowed: dict[str, Callable[[Any], bool]] = {
        "key": lambda one: isinstance(one, str),
        "counter": lambda one: isinstance(one, int) and not isinstance(one, bool) and 0 <= one < 2**32,
        "environment": lambda one: one in {"production", "development"},
        "app_ids": lambda one: isinstance(one, list) and all(isinstance(name, str) for name in one),
        "category": lambda one: one is None or isinstance(one, int),
        "stand_in": lambda one: isinstance(one, bool),
    }
    fits = isinstance(value, dict) and "key" in value and value.keys() <= allowed.keys()
    if not fits or not all(allowed[name](one) for name, one in value.items()):
        step = 'write {"key": "SPKI as hex, base64 or PEM", "counter": 0}; environment, app_ids, category may be added'
        raise InputError(Code.ARGUMENT, "this is no state of an App Attest key", where=str(path), next_step=step)
    return Known(
        Kind.APP_ATTEST,
        _public_key(value["key"], path),
        counter=value.get("counter", 0),
        level=Level.HARDWARE,
        environment=value.get("environment", ""),
        app_ids=tuple(value.get("app_ids", ())),
        category=value.get("category"),
        stand_in=value.get("stand_in", False),
    )


def play_keys(texts: tuple[str, ...]) -> dict[str, "PlayKeys"]:
    """Read the keys of apps from PACKAGE=FILE,FILE: decryption key, then verification key.

    Raises:
        InputError: ARGUMENT.
        StrongroomError: a file cannot be read, or holds no such key.
    """
    from strongroom.attest import authorities_file
    from strongroom.operator.small_files import read_secret

    found = {}
    for text in texts:
        package, _, files = text.partition("=")
        decryption, _, verification = files.partition(",")
        if not package or not decryption or not verification:
            step = "write PACKAGE=DECRYPTION_KEY_FILE,VERIFICATION_KEY_FILE"
            raise InputError(Code.ARGUMENT, "--play-keys names no package with two files", next_step=step)
        secret = read_secret(Path(decryption), limit=MAX_SMALL, what="decryption key")
        public = _read(Path(verification), MAX_SMALL, "verification key")
        found[package] = authorities_file.play_keys(secret, public, text.partition(",")[0])
    return found


def policies(path: Path) -> "PolicySet":
    """Read a policy file.

    Raises:
        SetupError: CONFIG, with file and line.
        StrongroomError: it cannot be read.
    """
    from strongroom.attest import policy_file

    try:
        return policy_file.read(_read(path, MAX_SMALL, "policy").decode("utf-8"), str(path))
    except UnicodeDecodeError:
        step = "is this the right file?"
        raise SetupError(Code.CONFIG, "not UTF-8 text", where=str(path), next_step=step) from None


def authorities(directory: Path, sources: "Sources", kind: "Kind", at: int) -> "Authorities":
    """Return whom to believe about evidence of one kind, by the policy file in `directory`.

    Files for other kinds are not looked at: a support engineer need not have them.

    Raises:
        SetupError: CONFIG, with file and line.
        StrongroomError: a file cannot be read.
    """
    from strongroom.attest import authorities_file
    from strongroom.attest.claims import Kind
    from strongroom.operator.small_files import read_secret

    mine = replace(
        sources,
        tpm_roots=sources.tpm_roots if kind == Kind.TPM else (),
        revocation_list=sources.revocation_list if kind == Kind.ANDROID_KEY else None,
        play=sources.play if kind == Kind.PLAY else {},
        play_service_account=None,
    )
    secrets = {one.decryption for one in mine.play.values()}

    def read(name: str) -> bytes:
        if name in secrets:
            return read_secret(directory / name, limit=MAX_SMALL, what="decryption key")
        return _read(directory / name, MAX_LIST, "file")

    return authorities_file.load(read, lambda name: int((directory / name).stat().st_mtime), mine, at)


def roots(paths: tuple[Path, ...]) -> tuple[Any, ...]:
    """Read the certificates of PEM or DER files.

    Raises:
        SetupError: CONFIG.
        StrongroomError: a file cannot be read.
    """
    from strongroom.attest import authorities_file

    read = ((path, _read(path, MAX_SMALL, "root certificates")) for path in paths)
    return tuple(one for path, data in read for one in authorities_file.certificates(data, str(path)))


def revoked(path: Path) -> "RevocationList":
    """Read a revocation list that a person has named: however old it is, it is the one that was asked for.

    Raises:
        SetupError: CONFIG.
        StrongroomError: it cannot be read.
    """
    from strongroom.attest import authorities_file
    from strongroom.attest.policy_file import Sources

    data = _read(path, MAX_LIST, "revocation list")
    found = authorities_file.revoked(lambda _: data, lambda _: 0, Sources(revocation_list=str(path)), 0)
    if found is None:
        raise InputError(Code.ARGUMENT, "this is no revocation list", where=str(path))
    return replace(found, fetched=0, max_age=2**62)


def no_list(at: int) -> "RevocationList":
    """Return a list that names nobody: its caller says that revocation was not judged."""
    from strongroom.attest.authorities import RevocationList

    return RevocationList({}, at, 0)


def strict(kind: "Kind", app_ids: tuple[str, ...], environments: tuple[str, ...], *, stand_ins: bool) -> "Policy":
    """Return the rules without a policy file: all that needs no word of an owner, as strict as it can be."""
    from strongroom.attest.claims import Kind, Level
    from strongroom.attest.policy import AndroidRules, AppleRules, PlayRules, Policy, TpmRules

    return Policy(
        name="built in",
        version=0,
        digest=b"",
        kinds=frozenset({kind}),
        level=Level.DEVICE if kind == Kind.PLAY else Level.HARDWARE,
        stand_ins=stand_ins,
        apple=AppleRules(app_ids, environments, (1, 2, 3, 4, 5, 6)),  # whom Apple signs for; 7 and above are local code
        android=AndroidRules(app_ids, ()),
        play=PlayRules(app_ids, ()),
        tpm=TpmRules(),
    )


def _json(data: bytes) -> Any:  # noqa: ANN401 - any JSON value
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _public_key(text: str, path: Path) -> bytes:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

    found: bytes | None = None
    if "-----BEGIN" in text:
        try:
            found = load_pem_public_key(text.encode()).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        except ValueError:
            found = None
    else:
        found = bytes.fromhex(text) if _HEX.fullmatch(text) else unbase64(text.encode("ascii", "replace"))
        if found and len(found) == _POINT and found[0] == 4:  # a point alone
            try:
                key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), found)
                found = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            except ValueError:
                found = None
    if not found:
        raise InputError(
            Code.ARGUMENT, "its key is none", where=str(path), next_step="write SPKI as hex, base64 or PEM"
        )
    return found


def _read(path: Path, limit: int, what: str) -> bytes:
    from strongroom.operator.small_files import read_public

    return read_public(path, limit=limit, what=what)
