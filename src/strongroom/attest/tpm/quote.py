"""A quote: what a TPM's registers hold, signed for this request, and a clock that never goes back."""

import hmac
from typing import Final

from strongroom.attest.claims import TpmClock
from strongroom.attest.tpm.evidence import Pcrs, TpmEvidence
from strongroom.attest.verdict import Refusal, RefusedEvidence, Trail
from strongroom.errors import IntegrityError
from strongroom.wire.tpm.constants import HASH_NAMES, Alg, Handle, Tag
from strongroom.wire.tpm.structs import Public, digest

# What a clock may have lost when power failed: TPMs write it down at least this often (Part 1, section 36.3.2).
LOST_AT_MOST: Final = 2**22  # milliseconds
_HALF: Final = 2**31  # of the circle of a count


def check_quote(evidence: TpmEvidence, ak: Public, binding: bytes, trail: Trail) -> Pcrs:
    """Check a quote and return the registers that it proves, of every bank but SHA-1.

    Args:
        evidence: as the device sent it.
        ak: the attestation key that must have signed; `ekcert.check_attestation_key` took it.
        binding: what it must have been made for.
        trail: takes the steps.

    Raises:
        RefusedEvidence: chain, unsupported, malformed, binding or pcr.
    """
    quote = evidence.attest
    trail.step("quote signature")
    trail.must(
        evidence.signature.scheme == ak.scheme, Refusal.KEY, "the quote is signed with another scheme than its key has"
    )
    try:
        evidence.signature.verify(ak.key(), quote.raw)
    except IntegrityError as error:
        raise RefusedEvidence(Refusal.CHAIN, f"the quote: {error.what}") from None
    trail.step("quote type")
    trail.must(quote.type == Tag.ATTEST_QUOTE, Refusal.UNSUPPORTED, f"the key signed no quote but {quote.type:#06x}")
    trail.step("binding")
    trail.must(
        binding and hmac.compare_digest(quote.extra, binding), Refusal.BINDING, "the quote was made for another request"
    )
    trail.step("registers")
    return _registers(evidence, ak.scheme.hash, trail)


def _registers(evidence: TpmEvidence, alg: int, trail: Trail) -> Pcrs:
    quote, reported = evidence.attest, evidence.pcrs
    quoted = {HASH_NAMES[one.hash]: set(one.registers) for one in quote.selections}
    trail.must(
        {bank: set(registers) for bank, registers in reported.items() if registers}
        == {bank: registers for bank, registers in quoted.items() if registers},
        Refusal.PCR,
        "the reported registers are not those that were quoted",
    )
    values = b"".join(
        reported[HASH_NAMES[one.hash]][register] for one in quote.selections for register in one.registers
    )
    trail.must(
        hmac.compare_digest(digest(alg, values), quote.digest), Refusal.PCR, "the registers are not what was quoted"
    )
    strong = {
        bank: dict(registers) for bank, registers in reported.items() if registers and bank != HASH_NAMES[Alg.SHA1]
    }
    trail.must(strong or not any(quoted.values()), Refusal.UNSUPPORTED, "a quote of SHA-1 registers alone")
    return strong


def hierarchy(evidence: TpmEvidence, ek: Public | None) -> Handle | None:
    """Return the hierarchy that a key lies in, as far as its quote shows; None where nobody here can tell.

    A quote carries its key's qualified name: hashes over the names from the hierarchy down to it (Part 1, section 26).
    Names of a chip's keys other than the endorsement key are not known here, so a key under one of them is not found.
    """
    own, signer = evidence.ak, evidence.attest.signer
    above = {one: one.to_bytes(4, "big") for one in (Handle.OWNER, Handle.ENDORSEMENT, Handle.PLATFORM)}
    found = next((one for one, name in above.items() if hmac.compare_digest(_qualified(own, name), signer)), None)
    if found is None and ek is not None:
        under = _qualified(own, _qualified(ek, above[Handle.ENDORSEMENT]))
        found = Handle.ENDORSEMENT if hmac.compare_digest(under, signer) else None
    return found


def check_name(evidence: TpmEvidence, ek: Public) -> None:
    """Refuse public areas that are not those of the key in the chip, where no credential tells: attributes and all.

    Raises:
        RefusedEvidence: key; also for a key that lies elsewhere than right under a hierarchy or the endorsement key.
    """
    if hierarchy(evidence, ek) is None:
        raise RefusedEvidence(
            Refusal.KEY, "neither a credential nor the quote shows that the attestation key has these attributes"
        )


def firmware_of(evidence: TpmEvidence, ek: Public | None) -> int | None:
    """Return the version of the TPM's firmware, None where the number in the quote says nothing of it.

    A TPM adds a secret number to it for a key outside the endorsement and platform hierarchies (Part 3, attestation
    commands): another one for each key, so whoever makes keys enough gets any version.
    """
    true = hierarchy(evidence, ek) in {Handle.ENDORSEMENT, Handle.PLATFORM}
    return evidence.attest.firmware if true else None


def _qualified(public: Public, above: bytes) -> bytes:
    return public.name_alg.to_bytes(2, "big") + digest(public.name_alg, above + public.name())


def clock_of(evidence: TpmEvidence) -> TpmClock:
    """Return the TPM's clock at the time of the quote."""
    info = evidence.attest.clock
    return TpmClock(info.clock, info.reset_count, info.restart_count, info.safe)


def check_clock(before: TpmClock, now: TpmClock) -> None:
    """Refuse a clock that went back: an old quote, or an old copy of a software TPM's state.

    Counts of a key outside the endorsement hierarchy are shifted by the TPM, each by a number that is always the same
    for that key (Part 2, 10.11.1), so they rise all the same, and may begin anew at 0 while they do: of two counts the
    later is the one that is less than half the circle ahead. The time may fall only over a reset after which the TPM
    itself says that it is not safe, and only by what may have been lost.

    Raises:
        RefusedEvidence: replay.
    """
    resets, restarts = _ahead(before.reset_count, now.reset_count), _ahead(before.restart_count, now.restart_count)
    if resets < 0 or (resets == 0 and restarts < 0):
        raise RefusedEvidence(Refusal.REPLAY, "the TPM counts fewer resets or restarts than before")
    restarted = resets > 0 or restarts > 0
    allowed = LOST_AT_MOST if restarted and not now.safe else 0
    if now.clock + allowed < before.clock:
        raise RefusedEvidence(Refusal.REPLAY, "the TPM's clock went back")


def _ahead(before: int, now: int) -> int:
    """Return how far a count of 32 bits went on, negative if it went back (RFC 1982)."""
    return (now - before + _HALF) % (2 * _HALF) - _HALF
