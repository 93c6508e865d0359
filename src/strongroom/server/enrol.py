"""Enrol: a user's installation becomes a device with an identity of its own (docs/spec/protocol.md section 7)."""

from strongroom import canonical
from strongroom.errors import Code, DeniedError, InputError, RefusedError, StrongroomError
from strongroom.server import challenges, enrolled_keys
from strongroom.server.audit import Event, event
from strongroom.server.enrolled_keys import EnrolledKeys
from strongroom.server.identify import ACTIVE, UserCaller, Visit, thumbprint
from strongroom.server.office import Office
from strongroom.server.ports import DeviceRow, Transaction
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
        RefusedError: EVIDENCE or ATTESTATION_NEEDED for evidence that no rules take; FORBIDDEN for a blocked device.
    """
    try:
        await challenges.use(office, caller, request.challenge, challenges.ENROL, visit)
        binding = _check(caller, request, visit)
        keys = await enrolled_keys.judged(office, caller.user.id, request.challenge, request.evidence, binding, visit)
        return await _record(office, caller, request, keys, visit)
    except StrongroomError as error:
        await _refused(office, caller, error, visit)
        raise


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
) -> EnrolAnswer:
    async with office.ledger.begin() as tx:
        known = await tx.device_by_thumbprint(thumbprint(caller.key))
        if known is None:
            device = await _add(office, tx, caller, request, keys, visit)
        else:
            device = await _renew(tx, known, caller, request, keys, visit)
        await keys.keep(tx, office, device, caller.user.id, visit)
    jkt = dpop.jkt(caller.key)
    token, expires = office.tokens.device_token(
        device, jkt, now=visit.now, seconds=office.policy.device_token_seconds, random=office.random
    )
    return EnrolAnswer(device, caller.account.id, token, expires, visit.now)


async def _add(
    office: Office, tx: Transaction, caller: UserCaller, request: EnrolRequest, keys: EnrolledKeys, visit: Visit
) -> str:
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
    return row.id


async def _renew(
    tx: Transaction, known: DeviceRow, caller: UserCaller, request: EnrolRequest, keys: EnrolledKeys, visit: Visit
) -> str:
    if known.user != caller.user.id:
        raise InputError(
            Code.CONFLICT, "this key belongs to a device of another user", next_step="enrol with a fresh key"
        )
    if known.state != ACTIVE:
        raise RefusedError(Code.FORBIDDEN, "this device is blocked", where=known.id)
    await tx.touch_device(known.id, facts=_facts(request), seen=visit.now)
    await tx.add_audit(
        event(Event.DEVICE_RENEWED, at=visit.now, actor=caller.user.id, subject=known.id, **keys.facts())
    )
    return known.id


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
