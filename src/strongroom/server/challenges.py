"""Challenges: 32 random bytes that make one request fresh, for one key and one purpose.

See docs/spec/protocol.md section 8.
"""

import hashlib

from strongroom.errors import Code, DeniedError, InputError
from strongroom.server.identify import Caller, DeviceCaller, Visit, thumbprint
from strongroom.server.office import Office
from strongroom.server.ports import ChallengeRow
from strongroom.wire.messages import ChallengeAnswer, ChallengeRequest

ENROL, RELEASE, URLS, RENEW = "enrol", "release", "urls", "renew"


async def issue(office: Office, caller: Caller, request: ChallengeRequest, visit: Visit) -> ChallengeAnswer:
    """Make a challenge for this caller, remember its hash, and forget old ones.

    Nothing is looked up for `model`: asking for a challenge tells nobody which models there are.

    Raises:
        InputError: ARGUMENT, if a release or renewal names no model, or the purpose does not fit the caller.
    """
    if isinstance(caller, DeviceCaller) == (request.purpose == ENROL):
        raise InputError(Code.ARGUMENT, "this purpose does not go with this kind of token", where="purpose")
    if request.purpose in (RELEASE, RENEW) and request.model is None:
        raise InputError(Code.ARGUMENT, f"a challenge to {request.purpose} names the model", where="model")
    challenge = office.random(32)
    expires = visit.now + office.policy.challenge_seconds
    row = ChallengeRow(
        hash=_hash(challenge),
        user=caller.user.id,
        device=thumbprint(caller.key),
        purpose=request.purpose,
        model=request.model,
        expires=expires,
    )
    async with office.ledger.begin() as tx:
        await tx.drop_challenges(before=visit.now)
        await tx.add_challenge(row)
    return ChallengeAnswer(challenge, expires, office.policy.suites, office.policy.kems, visit.now)


async def use(office: Office, caller: Caller, challenge: bytes, purpose: str, visit: Visit) -> ChallengeRow:
    """Use a challenge up, in a transaction of its own: whatever happens next, it is gone.

    One atomic update decides, so that of any number of copies of one request one wins.

    Raises:
        DeniedError: CHALLENGE, if it is unknown, used, expired, another's or for something else.
    """
    async with office.ledger.begin() as tx:
        row = await tx.use_challenge(
            _hash(challenge), user=caller.user.id, device=thumbprint(caller.key), purpose=purpose, now=visit.now
        )
    if row is None:
        raise _refused()
    return row


async def look(office: Office, caller: Caller, challenge: bytes, purpose: str, visit: Visit) -> None:
    """See that a challenge is outstanding, without using it up.

    Raises:
        DeniedError: CHALLENGE, as `use`.
    """
    async with office.ledger.begin() as tx:
        row = await tx.challenge(
            _hash(challenge), user=caller.user.id, device=thumbprint(caller.key), purpose=purpose, now=visit.now
        )
    if row is None:
        raise _refused()


def _refused() -> DeniedError:
    return DeniedError(
        Code.CHALLENGE,
        "the challenge is unknown, used or too old",
        next_step="ask for a new challenge and try again",
    )


def _hash(challenge: bytes) -> bytes:
    return hashlib.sha256(challenge).digest()
