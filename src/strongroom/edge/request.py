"""Asking for keys: challenge, fresh key pair, proof, signed grant (docs/spec/protocol.md section 8, steps 1 to 5).

The key pair is made for one request, never written down, and destroyed before this function returns, whatever happens.
"""

import hashlib
from dataclasses import dataclass, field

from strongroom.edge import attesting, facts
from strongroom.edge.clock import Reading
from strongroom.edge.enrol import thumbprint
from strongroom.edge.exchange import Line, Token
from strongroom.edge.signals import runs_in
from strongroom.edge.state import Identity, Install
from strongroom.errors import Code, IntegrityError, RefusedError
from strongroom.names import Reference
from strongroom.sealed import ModelKey
from strongroom.wire import hpke
from strongroom.wire.binding import Binding
from strongroom.wire.grant import open_grant, read_grant
from strongroom.wire.lease import check_open, read_lease
from strongroom.wire.messages import Grant, Have, Lease, ReleaseAnswer, ReleaseRequest, UrlsAnswer, UrlsRequest
from strongroom.wire.proofs import prove
from strongroom.wire.trust import Trust

PATH = "/v1/releases"


@dataclass(frozen=True, slots=True)
class Release:
    """What the office gave: a checked grant, and a key for each file, or none if the newest is already here."""

    grant: Grant
    lease: Lease
    asked: Reading  # the clocks before the request was sent: the server's time counts from then
    keys: tuple[ModelKey, ...] = field(repr=False)
    runs: int = 0  # openings that the request told of

    def wipe(self) -> None:
        """Overwrite the keys."""
        for key in self.keys:
            key.wipe()


def ask(
    line: Line,
    trust: Trust,
    identity: Identity,
    reference: Reference,
    *,
    have: Install | None,
    high_water: tuple[int, int] | None,
    signals: dict[str, str | int],
) -> Release:
    """Ask the office for the keys of one model; the caller wipes them.

    Args:
        line: the way to the office.
        trust: the document in force.
        identity: who this device is.
        reference: what is wanted.
        have: the version already here, whole.
        high_water: newest (epoch, counter) of this model ever accepted.
        signals: short facts for the office's judgement.

    Raises:
        DeniedError: the account or device may not have it, or it does not exist: one answer for both.
        RefusedError: TRUST_EXPIRED, GRANT_ROLLBACK, GRANT_FROZEN, LEASE_EXPIRED; EVIDENCE, ATTESTATION_NEEDED.
        IntegrityError: SIGNATURE, GRANT_MISMATCH, LEASE_MISMATCH, SEALED_KEY, SHAPE.
        SetupError, StoreError: of what vouches for this device.
        UnreachableError: no connection, a wrong pin, an answer that is no answer.
    """
    token = Token("DPoP", identity.token)
    challenge = line.challenge("release", reference.model, token)
    # Not the store's time: after a jump forward it could never be healed. The wall clock and the pinned server
    # would both have to lie for an expired document to pass.
    at = max(line.clocks().wall, challenge.server_time)
    device = facts.describe(identity.id)
    key = thumbprint(line.signer.public)
    kem = choose_kem(trust.kems, challenge.kems)
    held = None if have is None else Have(have.version, have.files[0].file_id)
    ephemeral = hpke.EphemeralKey.generate(kem)
    try:
        binding = Binding(
            purpose="release",
            challenge=challenge.challenge,
            kem=kem,
            public_key=ephemeral.public,
            account=identity.account,
            device=identity.id,
            device_key=key,
            platform=device.platform,
            model=reference.model,
            version=reference.selector,
        )
        unproven = ReleaseRequest(
            model=reference.model,
            version=reference.selector,
            challenge=challenge.challenge,
            kem=kem,
            public_key=ephemeral.public,
            device=device,
            evidence=attesting.of_request(line.attestor, binding),
            signals=signals,
            proof="",
            have=held,
        )
        body = prove(unproven, line.signer, binding, "POST", line.url(PATH), identity.token).to_bytes()
        asked = line.clocks()
        answer = ReleaseAnswer.from_bytes(line.post(PATH, body, token, limit=ReleaseAnswer.LIMIT))
        grant = read_grant(
            answer,
            trust,
            expected_request=hashlib.sha256(body).digest(),
            expected_challenge=challenge.challenge,
            account=identity.account,
            device=identity.id,
            model=reference.model,
            selector=reference.selector,
            at=at,
            high_water=high_water,
            have=held,
        )
        lease = _checked_lease(grant, trust, identity, key)
        if grant.sealed is None and have is not None and not _is_whole(grant, have):
            raise IntegrityError(Code.GRANT_MISMATCH, "a grant without keys names other files than are here")
        activate = None if line.attestor is None else line.attestor.open_credential
        keys = open_grant(grant, ephemeral, binding, activate)
        return Release(grant, lease, asked, keys, runs_in(signals))
    finally:
        ephemeral.destroy()


def fresh_links(line: Line, identity: Identity, grant: Grant) -> tuple[str, ...]:
    """Ask for new links to the files of a grant, in its order; no key comes with them.

    Raises:
        DeniedError: the release is not this device's, or its right to it is over.
        IntegrityError: GRANT_MISMATCH or SHAPE, if the answer does not fit the grant.
        UnreachableError: no connection, a wrong pin, an answer that is no answer.
    """
    token = Token("DPoP", identity.token)
    challenge = line.challenge("urls", grant.model, token).challenge
    binding = Binding.urls(
        challenge=challenge,
        account=identity.account,
        device=identity.id,
        device_key=thumbprint(line.signer.public),
        model=grant.model,
        version=grant.version,
    )
    path = f"{PATH}/{grant.release_id}/urls"
    request = prove(UrlsRequest(challenge, ""), line.signer, binding, "POST", line.url(path), identity.token)
    answer = UrlsAnswer.from_bytes(line.post(path, request.to_bytes(), token, limit=UrlsAnswer.LIMIT))
    if len(answer.urls) != len(grant.files):
        raise IntegrityError(Code.GRANT_MISMATCH, "fresh links are not for the files of the grant", where=grant.model)
    return answer.urls


def choose_kem(allowed: tuple[int, ...], offered: tuple[int, ...]) -> int:
    """Return the first KEM of trust.json that the office offers and this device has.

    The order is the owners', not the office's. An office that was taken over may still offer the weakest of them and
    nothing else, so owners who want none weaker than the first name no other.

    Raises:
        RefusedError: KEM_UNSUPPORTED.
    """
    for kem in allowed:
        if kem in offered and kem in hpke.KEMS:
            return kem
    what = "the office offers no KEM that trust.json allows"
    raise RefusedError(Code.KEM_UNSUPPORTED, what, next_step="update strongroom")


def _checked_lease(grant: Grant, trust: Trust, identity: Identity, key: bytes) -> Lease:
    lease = read_lease(
        grant.lease,
        trust,
        device_key=key,
        account=identity.account,
        model=grant.model,
        version=grant.version,
        files=tuple(file.head for file in grant.files),
        at=None,
    )
    check_open(lease, grant.server_time)
    return lease


def _is_whole(grant: Grant, have: Install) -> bool:
    here = tuple((file.file_id, file.head) for file in have.files)
    return (grant.version, tuple((file.file_id, file.head) for file in grant.files)) == (have.version, here)
