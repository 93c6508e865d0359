"""What a support engineer knows of a TPM: the keys that it enrolled, and which key the answer would be sealed to."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strongroom.errors import Code, InputError, IntegrityError

if TYPE_CHECKING:
    from strongroom.attest.claims import Known, TpmClock
    from strongroom.attest.policy import Policy

_ENROLLING = "key binding: an enrolment gives no key out, so the server asks for none; each release is judged by it"
_WRAPPED = "key binding: no quote shows it; the server wraps the keys for the chip with this endorsement key"
_UNKNOWN = "key binding: the state has no ek_public, the endorsement key that the server would wrap the keys for"
_STEP = (
    'write {"ak_public": "TPMT_PUBLIC in hexadecimal", "ek_public": "the same of the endorsement key, if known"}, or '
    "give the evidence of its enrolment, or what --json said of it"
)


def state(path: Path) -> "Known":
    """Read the keys that a TPM enrolled: both as TPMT_PUBLIC, its evidence of then, or what --json said of that.

    Raises:
        InputError: ARGUMENT.
        StrongroomError: the file cannot be read.
    """
    from strongroom.attest.claims import Kind, Known, Level
    from strongroom.cli import attest_spellings

    value = _object(attest_spellings.read(path, Kind.TPM).data)
    claims = value.get("claims")
    said = claims.get("known") if isinstance(claims, dict) else None
    if isinstance(said, dict) and said.get("kind") == Kind.TPM:  # what the verdict of the enrolment said
        value = {"ak_public": said.get("key"), "ek_public": said.get("ek") or None, "clock": said.get("clock")}
        value["stand_in"] = said.get("stand_in") is True
    ak, ek = _public(value.get("ak_public"), path), value.get("ek_public")
    return Known(
        Kind.TPM,
        ak,
        ek=b"" if ek is None else _public(ek, path),
        clock=_clock(value.get("clock"), path),
        level=Level.HARDWARE,
        stand_in=value.get("stand_in") is True,
    )


def rules(policy: "Policy", data: bytes, known: "Known | None") -> tuple["Policy", list[str]]:
    """Return the rules as the server judges a TPM by them, and what they leave to the server.

    No evidence of a TPM shows which key opens the answer: an enrolment asks for no key, and at a release the server
    itself wraps the keys for the chip that it knows.
    """
    from strongroom.attest.claims import HASHED, IN_HARDWARE

    if policy.key_binding != IN_HARDWARE:
        return policy, []
    enrolling = known is None and bool(_object(data).keys() & {"ek_certificates", "ek_cert"})
    if known is None and not enrolling:
        return policy, []  # a quote by nobody's key is refused whatever the rules say
    left = _ENROLLING if enrolling or known is None else _WRAPPED if known.ek else _UNKNOWN
    return replace(policy, key_binding=HASHED), [left]


def without_endorsement(data: bytes, known: "Known | None") -> tuple[bytes, "Known | None"]:
    """Leave out a TPM's endorsement key, and take its attestation key as known: its caller says what was not judged.

    What does not fit together is left as it is, for its judge to refuse.
    """
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    from strongroom.attest import cert
    from strongroom.attest.claims import Kind, Known, Level
    from strongroom.attest.tpm import evidence, keys, quote
    from strongroom.attest.verdict import RefusedEvidence, Trail

    try:
        read = evidence.read(data)
        if read.ek is not None:
            key = read.ek.key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            if key != cert.spki(cert.load_der(read.ek_certificates[0])):
                return data, known
            keys.check_endorsement_key(read.ek, key, Trail())
            if not read.activation:
                quote.check_name(read, read.ek)
    except (IntegrityError, RefusedEvidence):
        return data, known
    if read.ek is None:
        return data, known or Known(Kind.TPM, read.ak.raw, level=Level.HARDWARE)
    if known is not None and known.ek:
        return data, known  # its judge compares both keys with the known ones
    kept = {name: one for name, one in _object(data).items() if name not in evidence.ENROLLING}
    return json.dumps(kept).encode(), known or Known(Kind.TPM, read.ak.raw, level=Level.HARDWARE)


def _object(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _public(value: object, path: Path) -> bytes:
    from strongroom.wire.tpm.structs import Public

    try:
        return Public.parse(bytes.fromhex(value) if isinstance(value, str) else b"").raw
    except (ValueError, IntegrityError):
        what = "this names no attestation key of a TPM"
        raise InputError(Code.ARGUMENT, what, where=str(path), next_step=_STEP) from None


def _clock(value: object, path: Path) -> "TpmClock | None":
    from strongroom.attest.claims import TpmClock

    if value is None:
        return None
    value = value if isinstance(value, dict) else {}
    clock, resets, restarts = (value.get(name) for name in ("clock", "reset_count", "restart_count"))
    if isinstance(clock, int) and isinstance(resets, int) and isinstance(restarts, int):
        return TpmClock(clock, resets, restarts, value.get("safe") is True)
    raise InputError(Code.ARGUMENT, "its clock is none of a TPM", where=str(path), next_step=_STEP)
