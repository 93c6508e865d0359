"""TPM 2.0: two keys of one certified chip at enrolment, and a quote of its registers for every request.

See docs/spec/protocol.md section 17. Two things are left to the caller, who alone can do them: to compare what the
device found in its credential (`activated`; no device is enrolled without), and to judge the registers by a policy.
"""

import hashlib
import hmac
from dataclasses import replace

from strongroom.attest.authorities import Authorities
from strongroom.attest.claims import (
    AFFIRMING,
    HASHED,
    IN_HARDWARE,
    NO_CLAIM,
    VECTOR,
    Claims,
    Expected,
    Kind,
    Known,
    Level,
)
from strongroom.attest.policy import Policy
from strongroom.attest.tpm.credential import make_credential
from strongroom.attest.tpm.ekcert import Chip, check_keys
from strongroom.attest.tpm.eventlog import explain
from strongroom.attest.tpm.evidence import FIELDS, Pcrs, TpmEvidence, read
from strongroom.attest.tpm.keys import check_attestation_key
from strongroom.attest.tpm.quote import check_clock, check_name, check_quote, clock_of, firmware_of
from strongroom.attest.verdict import Refusal, RefusedEvidence, Trail
from strongroom.errors import IntegrityError
from strongroom.wire.tpm.structs import Public

__all__ = ["FIELDS", "activated", "check_keys", "explain", "make_credential", "read", "verify"]


def verify(
    evidence: bytes,
    expected: Expected,
    at: int,
    known: Known | None,
    policy: Policy,  # noqa: ARG001 - every kind of evidence is judged through one signature; its registers are `judging`'s
    authorities: Authorities,
    trail: Trail,
) -> Claims:
    """Return what a quote proves: with certificates those of a new device, without them those of `known`.

    A device that is known keeps its keys: new ones are enrolled, never slipped in.

    Raises:
        RefusedEvidence: see `check_keys` and `check_quote`; key: another TPM; replay: its clock went back.
    """
    trail.step("format")
    found = read(evidence)
    chip = Chip("", "", "", known.stand_in) if known is not None else None
    if found.ek is not None:
        chip = check_keys(found.ek_certificates, found.ek.raw, found.ak.raw, at, authorities.tpm, trail)
    else:
        trail.step("attestation key")
        check_attestation_key(found.ak, trail)
    trail.step("known keys")
    if known is not None:
        _same(found, known)
    if chip is None:
        raise RefusedEvidence(Refusal.KEY, "nobody enrolled this attestation key")
    pcrs = check_quote(found, found.ak, expected.binding, trail)
    if found.ek is not None and known is None and not found.activation:
        trail.step("attestation key's name")
        check_name(found, found.ek)
    trail.step("clock")
    clock = clock_of(found)
    if known is not None and known.clock is not None:
        check_clock(known.clock, clock)
    if known is None or found.ek is not None:
        ek = found.ek.raw if found.ek is not None else b""
        remembered = Known(Kind.TPM, found.ak.raw, ek=ek, clock=clock, level=Level.HARDWARE, stand_in=chip.stand_in)
    else:
        remembered = replace(known, clock=clock)
    return Claims(
        kind=Kind.TPM,
        device_id=hashlib.sha256(found.ak.raw).digest(),
        level=remembered.level,
        # keys for a device whose chip is known are given out in a credential for that chip and in no other way
        key_binding=IN_HARDWARE if known is not None and known.ek and expected.kem else HASHED,
        evidence=hashlib.sha256(evidence).digest(),
        verified_at=at,
        known=remembered,
        fresh=found.ek is not None,
        pcrs=pcrs,
        firmware=firmware_of(found, Public.read(remembered.ek) if remembered.ek else None),
        signals=_signals(found, chip, pcrs),
        trust=dict.fromkeys(VECTOR, NO_CLAIM) | {"instance-identity": AFFIRMING, "hardware": AFFIRMING},
        stand_in=remembered.stand_in,
    )


def activated(evidence: TpmEvidence, secret: bytes) -> bool:
    """Whether the evidence carries the secret that a credential held; without it the two keys may be of two chips."""
    return bool(secret) and hmac.compare_digest(evidence.activation, secret)


def _same(found: TpmEvidence, known: Known) -> None:
    if known.kind is not Kind.TPM or not hmac.compare_digest(known.key, found.ak.raw):
        raise RefusedEvidence(Refusal.KEY, "the quote is by another attestation key than this device enrolled")
    if found.ek is not None and not hmac.compare_digest(known.ek, found.ek.raw):
        raise RefusedEvidence(Refusal.KEY, "the certificate is of another TPM than this device enrolled")


def _signals(found: TpmEvidence, chip: Chip, pcrs: Pcrs) -> dict[str, str | int]:
    signals: dict[str, str | int] = {"resets": found.attest.clock.reset_count}
    if found.ek is not None:
        signals |= {"manufacturer": chip.manufacturer, "model": chip.model, "version": chip.version}
        signals["activation"] = "for the caller to compare" if found.activation else "none"
    if found.event_log:
        signals["event-log"] = _explained(found.event_log, pcrs)
    return signals


def _explained(event_log: bytes, pcrs: Pcrs) -> str:
    """Say in one short line whether the log accounts for the registers; it never decides anything."""
    try:
        others = [f"{one.bank}:{one.register}" for one in explain(event_log, pcrs) if not one.agrees]
    except IntegrityError:
        return "unreadable"
    return f"differs at {', '.join(others)}"[:200] if others else "agrees"
