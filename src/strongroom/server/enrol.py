"""Enrol: a user's installation becomes a device with an identity of its own (docs/spec/protocol.md section 7)."""

from dataclasses import replace

from strongroom import canonical
from strongroom.errors import Code, DeniedError, InputError, RefusedError, StrongroomError
from strongroom.server import challenges, enrolled_keys
from strongroom.server.audit import Event, event
from strongroom.server.enrolled_keys import EnrolledKeys
from strongroom.server.identify import ACTIVE, STOPPED, UserCaller, Visit, stopped, thumbprint
from strongroom.server.office import Office
from strongroom.server.ports import DeviceRow, Transaction
from strongroom.server.watching import judging, noticing
from strongroom.server.watching.noticing import Notice
from strongroom.server.weighing import AttestationRefusedError
from strongroom.signing import ED25519, ES256
from strongroom.wire import dpop, proofs
from strongroom.wire.binding import Binding
from strongroom.wire.messages import EnrolAnswer, EnrolRequest

DEVICE_KEYS = (ES256, ED25519)


async def enrol(office: Office, caller: UserCaller, request: EnrolRequest, visit: Visit) -> EnrolAnswer:
    """Record the device and give it a token bound to its key.

    The same key enrolling again for the same user gets the same device id and a fresh token: an installation that
    lost the answer, or whose token ran out, loses nothing.

    Raises:
        DeniedError: CHALLENGE or PROOF.
        InputError: ARGUMENT if the request contradicts its proof; CONFLICT if the key is another user's device.
        RefusedError: EVIDENCE or ATTESTATION_NEEDED for evidence that no rules take; FORBIDDEN for a blocked device,
            RESTRICTED for a stopped one; STEP_UP for a token from before the user had to sign in again.
    """
    try:
        await challenges.use(office, caller, request.challenge, challenges.ENROL, visit)
        binding = _check(caller, request, visit)
        notice = noticing.of_enrolment(office, caller, visit, request.device)
        keys = await _judged(office, caller, request, binding, notice, visit)
        try:
            device, new = await _record(office, caller, request, keys, visit)
        except InputError:  # another user's key is refused, and that it wants to serve many is seen all the same
            await judging.judged(office, noticing.proven(notice, keys), judging.LOGIN)
            raise
        await _weighed(office, noticing.proven(replace(notice, device=device), keys), new=new)
    except StrongroomError as error:
        await _refused(office, caller, error, visit)
        raise
    jkt, seconds = dpop.jkt(caller.key), office.policy.device_token_seconds
    token, expires = office.tokens.device_token(device.id, jkt, now=visit.now, seconds=seconds, random=office.random)
    return EnrolAnswer(device.id, caller.account.id, token, expires, visit.now)


async def _judged(
    office: Office, caller: UserCaller, request: EnrolRequest, binding: Binding, notice: Notice, visit: Visit
) -> EnrolledKeys:
    user = caller.user.id
    try:
        return await enrolled_keys.judged(office, user, request.challenge, request.evidence, binding, visit)
    except StrongroomError as error:
        await judging.refused(office, notice, error)
        raise


async def _weighed(office: Office, notice: Notice, *, new: bool) -> None:
    """Let the risk engine weigh an enrolment. The same key again, by a fresh token of the user's, is a step-up passed.

    Raises:
        RefusedError: RESTRICTED; STEP_UP for a token from before there was a reason to sign in again.
    """
    weighed = await judging.judged(office, notice, judging.LOGIN)
    weighed.check("" if notice.device is None else notice.device.id)
    if not new:
        await judging.stepped_up(office, notice)


def _check(caller: UserCaller, request: EnrolRequest, visit: Visit) -> Binding:
    if request.public_key != caller.key or caller.key.alg not in DEVICE_KEYS:
        raise InputError(
            Code.ARGUMENT, "the key to enrol must be the key of the proof, ES256 or Ed25519", where="public_key"
        )
    if request.device.id is not None:
        raise InputError(Code.ARGUMENT, "a device has no id before it is enrolled", where="device.id")
    binding = Binding.enrol(
        challenge=request.challenge, device_key=thumbprint(caller.key), platform=request.device.platform
    )
    proofs.verify_proof(
        request.proof,
        caller.key,
        expected_binding=binding,
        expected_method=visit.method,
        expected_url=visit.url,
        expected_body=proofs.body_without_proof(request),
        expected_token=caller.token,
    )
    return binding


async def _record(
    office: Office, caller: UserCaller, request: EnrolRequest, keys: EnrolledKeys, visit: Visit
) -> tuple[DeviceRow, bool]:
    """Write the device down, and say whether it is new."""
    async with office.ledger.begin() as tx:
        known = await tx.device_by_thumbprint(thumbprint(caller.key))
        if known is None:
            device = await _add(office, tx, caller, request, keys, visit)
        else:
            device = await _renew(tx, known, caller, request, keys, visit)
        await keys.keep(tx, office, device.id, caller.user.id, visit)
    return device, known is None


async def _add(
    office: Office, tx: Transaction, caller: UserCaller, request: EnrolRequest, keys: EnrolledKeys, visit: Visit
) -> DeviceRow:
    row = DeviceRow(
        id=office.new_id("dev"),
        account=caller.account.id,
        user=caller.user.id,
        thumbprint=thumbprint(caller.key),
        jkt=dpop.jkt(caller.key),
        alg=caller.key.alg,
        public_key=caller.key.raw,
        facts=_facts(request),
        state=ACTIVE,
        created=visit.now,
        seen=visit.now,
    )
    await tx.add_device(row)
    await tx.add_audit(
        event(
            Event.DEVICE_ENROLLED,
            at=visit.now,
            actor=caller.user.id,
            subject=row.id,
            platform=request.device.platform,
            **keys.facts(),
        )
    )
    return row


async def _renew(
    tx: Transaction, known: DeviceRow, caller: UserCaller, request: EnrolRequest, keys: EnrolledKeys, visit: Visit
) -> DeviceRow:
    if known.user != caller.user.id:
        raise InputError(
            Code.CONFLICT, "this key belongs to a device of another user", next_step="enrol with a fresh key"
        )
    if known.state == STOPPED:
        raise stopped(known.id)
    if known.state != ACTIVE:
        raise RefusedError(Code.FORBIDDEN, "this device is blocked", where=known.id)
    await tx.touch_device(known.id, facts=_facts(request), seen=visit.now)
    await tx.add_audit(
        event(Event.DEVICE_RENEWED, at=visit.now, actor=caller.user.id, subject=known.id, **keys.facts())
    )
    return known


def _facts(request: EnrolRequest) -> str:
    return canonical.encode(request.device.to_value()).decode("ascii")


async def _refused(office: Office, caller: UserCaller, error: StrongroomError, visit: Visit) -> None:
    name = (
        Event.CHALLENGE_REFUSED
        if isinstance(error, DeniedError) and error.code == Code.CHALLENGE
        else Event.DEVICE_REFUSED
    )
    async with office.ledger.begin() as tx:
        if isinstance(error, AttestationRefusedError):
            await tx.add_audit(error.event(caller.user.id, caller.account.id, visit))
        await tx.add_audit(
            event(
                name,
                at=visit.now,
                actor=caller.user.id,
                subject=caller.account.id,
                code=str(error.code),
                where=error.where,
                reference=visit.reference,
            )
        )
