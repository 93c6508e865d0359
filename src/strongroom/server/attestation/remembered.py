"""What is remembered of an attested key, as a row of the ledger, and a MAC over it.

The MAC is made with a vault key: whoever writes to the database alone puts no key of their own in a device's place.
"""

import dataclasses
import hashlib
import hmac
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from strongroom.attest.claims import Kind, Known, Level, TpmClock
from strongroom.canonical import JsonValue, decode, encode, from_base64url, to_base64url
from strongroom.errors import StrongroomError
from strongroom.server.ports import AttestationRow, KeyVault
from strongroom.wire.tpm.structs import Public

LABEL = b"strongroom/attestation/v1\0"
REFERRING = frozenset({Kind.APP_ATTEST, Kind.TPM})  # evidence that refers to a key attested before
_MAX = 65_536  # bytes of one row's JSON


def first(vault: KeyVault, device: str, known: Known, *, at: int, policy: str, revision: int) -> AttestationRow:
    """Write down a key that has just been attested.

    Args:
        vault: makes the MAC.
        device: its identifier.
        known: what the evidence proved.
        at: Unix seconds.
        policy: digest of the rules, hexadecimal.
        revision: higher than that of any row it takes the place of.
    """
    unique = hardware(known)
    row = AttestationRow(device, str(known.kind), _text(known), revision, at, at, policy, unique, b"")
    return dataclasses.replace(row, mac=_mac(vault, row))


def later(vault: KeyVault, before: AttestationRow, known: Known, *, at: int, policy: str) -> AttestationRow:
    """Write down that evidence by a known key was accepted. Arguments as for `first`."""
    revision = before.revision + 1
    row = dataclasses.replace(before, known=_text(known), revision=revision, verified=at, policy=policy)
    return dataclasses.replace(row, mac=_mac(vault, row))


def hardware(known: Known) -> bytes:
    """Return the SHA-256 of the key that no other phone or chip has, as SPKI.

    Of a TPM it is the endorsement key itself and not its public area: attributes and policy in that are the device's
    own word, and another spelling of them must not be another chip.
    """
    if known.kind != Kind.TPM:
        return hashlib.sha256(known.key).digest()
    key = Public.parse(known.ek).key()
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()


def read(vault: KeyVault, row: AttestationRow) -> Known | None:
    """Return what a row remembers, or None if the vault did not vouch for it."""
    try:
        if not hmac.compare_digest(_mac(vault, row), row.mac):
            return None
        value = decode(row.known.encode("utf-8"), limit=_MAX, where="attested key")
    except StrongroomError:  # also of a number that canonical JSON does not hold: no MAC was ever made over that
        return None
    return _known(value)  # the MAC vouches for its form as well


def _mac(vault: KeyVault, row: AttestationRow) -> bytes:
    fields: list[JsonValue] = [
        row.device, row.kind, row.known, row.revision, row.attested, row.verified, row.policy,
        to_base64url(row.hardware),
    ]  # fmt: skip
    return vault.mac(LABEL + encode(fields))


def _text(known: Known) -> str:
    clock = known.clock
    value: dict[str, JsonValue] = {
        "kind": str(known.kind),
        "key": to_base64url(known.key),
        "ek": to_base64url(known.ek),
        "counter": known.counter,
        # a TPM's clock has 64 bits, and JSON numbers hold 53
        "clock": None if clock is None else [str(clock.clock), clock.reset_count, clock.restart_count, clock.safe],
        "level": str(known.level),
        "environment": known.environment,
        "app_ids": list(known.app_ids),
        "category": known.category,
        "stand_in": known.stand_in,
    }
    return encode(value).decode("ascii")


def _known(value: Any) -> Known:  # noqa: ANN401 - what `_text` wrote, under our MAC
    clock = value["clock"]
    return Known(
        kind=Kind(value["kind"]),
        key=from_base64url(value["key"]),
        ek=from_base64url(value["ek"]),
        counter=value["counter"],
        clock=None if clock is None else TpmClock(int(clock[0]), *clock[1:]),
        level=Level(value["level"]),
        environment=value["environment"],
        app_ids=tuple(value["app_ids"]),
        category=value["category"],
        stand_in=value["stand_in"],
    )
