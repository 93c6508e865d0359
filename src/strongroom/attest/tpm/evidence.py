"""TPM evidence as it travels: one JSON object of hexadecimal values (docs/spec/protocol.md section 17)."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from strongroom.attest.verdict import malformed
from strongroom.errors import IntegrityError
from strongroom.wire.tpm.constants import DIGEST_SIZES, HASH_NAMES
from strongroom.wire.tpm.signed import Attest, PcrSelection, Signature
from strongroom.wire.tpm.structs import Public

MOST_BYTES: Final = 65_536
MOST_CERTIFICATES: Final = 5
NEEDED: Final = frozenset({"ak_public", "attest", "signature", "pcrs"})
ENROLLING: Final = frozenset({"ek_public", "ek_cert", "ek_certificates", "activation"})
FIELDS: Final = (
    NEEDED | ENROLLING | {"event_log"}
)  # a tool that reads other people's files keeps these and drops others

_HEX = re.compile(r"(?:[0-9a-f]{2})+")
_REGISTER = re.compile(r"[0-9]|[12][0-9]|3[01]")
_SIZES = {name: DIGEST_SIZES[number] for number, name in HASH_NAMES.items()}
Pcrs = Mapping[str, Mapping[int, bytes]]
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class TpmEvidence:
    """What a device sent, read and not yet judged.

    Attributes:
        ak: attestation key.
        attest: the quote.
        signature: over `attest.raw`.
        pcrs: bank to register number to digest, as the device reports them.
        ek_certificates: DER, leaf first; () in a later quote.
        ek: endorsement key; None in a later quote.
        activation: what the device found in its credential, b"" if it sent nothing. `activated` compares it.
        event_log: of the firmware, b"" if it sent none.
    """

    ak: Public
    attest: Attest
    signature: Signature
    pcrs: Pcrs
    ek_certificates: tuple[bytes, ...]
    ek: Public | None
    activation: bytes = field(repr=False)
    event_log: bytes


def read(data: bytes) -> TpmEvidence:
    """Read evidence.

    Raises:
        RefusedEvidence: malformed.
    """
    if len(data) > MOST_BYTES:
        raise malformed(f"evidence of {len(data)} bytes, at most {MOST_BYTES} are read")
    try:
        fields = json.loads(data.decode("utf-8"), object_pairs_hook=_pairs, parse_float=_refuse, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise malformed("evidence that is not one JSON object") from None
    if not isinstance(fields, dict):
        raise malformed("evidence that is not one JSON object")
    if fields.keys() - FIELDS or NEEDED - fields.keys():
        raise malformed("evidence with unknown or missing fields")
    certificates = _certificates(fields)
    if bool(certificates) != ("ek_public" in fields) or ("activation" in fields and not certificates):
        raise malformed("an endorsement key without its certificate, or the reverse")
    attest = _structure("attest", Attest.parse, _hex(fields, "attest"))
    return TpmEvidence(
        ak=_structure("ak_public", Public.parse, _hex(fields, "ak_public")),
        attest=attest,
        signature=_structure("signature", Signature.parse, _hex(fields, "signature")),
        pcrs=_pcrs(fields["pcrs"], attest.selections),
        ek_certificates=certificates,
        ek=_structure("ek_public", Public.parse, _hex(fields, "ek_public")) if certificates else None,
        activation=_hex(fields, "activation") if "activation" in fields else b"",
        event_log=_hex(fields, "event_log") if "event_log" in fields else b"",
    )


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError
    return found


def _refuse(text: str) -> float:
    raise ValueError(text)


def _structure(name: str, parse: Callable[[bytes], _T], data: bytes) -> _T:
    try:
        return parse(data)
    except IntegrityError as error:
        raise malformed(f"{name}: {error.what}") from None


def _hex(fields: Mapping[str, Any], name: str) -> bytes:
    return _bytes(fields[name], name)


def _bytes(value: object, name: str) -> bytes:
    if not isinstance(value, str) or not _HEX.fullmatch(value):
        raise malformed(f"{name} is not lower-case hexadecimal")
    return bytes.fromhex(value)


def _certificates(fields: Mapping[str, Any]) -> tuple[bytes, ...]:
    if "ek_cert" in fields and "ek_certificates" in fields:
        raise malformed("both ek_cert and ek_certificates")
    if "ek_cert" in fields:
        return (_hex(fields, "ek_cert"),)
    if "ek_certificates" not in fields:
        return ()
    several = fields["ek_certificates"]
    if not isinstance(several, list) or not 1 <= len(several) <= MOST_CERTIFICATES:
        raise malformed(f"ek_certificates is not a list of 1 to {MOST_CERTIFICATES}")
    return tuple(_bytes(one, "ek_certificates") for one in several)


def _pcrs(value: object, selections: tuple[PcrSelection, ...]) -> Pcrs:
    """Read {bank: {register: digest}}, or {register: digest} of the only bank that was quoted."""
    if not isinstance(value, dict):
        raise malformed("pcrs is not an object")
    if value and not any(isinstance(inner, dict) for inner in value.values()):
        if len(selections) != 1:
            raise malformed("registers without their bank")
        return {HASH_NAMES[selections[0].hash]: _bank(HASH_NAMES[selections[0].hash], value)}
    return {bank: _bank(bank, registers) for bank, registers in value.items()}


def _bank(bank: str, registers: object) -> dict[int, bytes]:
    if bank not in _SIZES or not isinstance(registers, dict):
        raise malformed("an unknown bank of registers")
    found: dict[int, bytes] = {}
    for number, value in registers.items():
        if not _REGISTER.fullmatch(number):
            raise malformed("a register without a number")
        found[int(number)] = _bytes(value, "a register")
        if len(found[int(number)]) != _SIZES[bank]:
            raise malformed(f"register {number} has not the size of bank {bank}")
    return found
