"""Release: give the keys of one version to one device, for one request (docs/spec/protocol.md section 8).

Cheap before costly. When `release` is called, HTTP has checked sizes and schema and `identify` the token and its
proof; what follows is in this order and no other: challenge used up · proof · no wipe order pending · entitlement ·
evidence · the risk engine · objects there · keys unwrapped · one transaction that looks at orders and entitlement again
and moves the attested key's counter on, with the release row and its audit row · answer.
"""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence

from strongroom import canonical
from strongroom.attest import tpm
from strongroom.canonical import JsonValue
from strongroom.errors import Code, DeniedError, InputError, StoreError, StrongroomError
from strongroom.sealed.keys import ModelKey
from strongroom.sealed.wiping import wipe, wipe_bytes
from strongroom.server import attested, challenges, entitled, limited, wipe_orders
from strongroom.server.attested import Attested
from strongroom.server.audit import Event, event
from strongroom.server.entitled import Entitled
from strongroom.server.identify import DeviceCaller, Visit
from strongroom.server.office import Office
from strongroom.server.ports import AuditEvent, ReleaseRow, StoredFile
from strongroom.server.watching import judging, noticing
from strongroom.server.watching.reacting import Weighed
from strongroom.server.weighing import AttestationRefusedError
from strongroom.wire import grant as grants
from strongroom.wire import hpke, proofs, second_secret
from strongroom.wire import lease as leases
from strongroom.wire.binding import Binding
from strongroom.wire.messages import (
    Device,
    Grant,
    GrantFile,
    Latest,
    Lease,
    ReleaseAnswer,
    ReleaseRequest,
)
from strongroom.wire.tpm.structs import Public
from strongroom.wire.trust import check_fresh


async def release(
    office: Office,
    caller: DeviceCaller,
    request: ReleaseRequest,
    body: bytes,
    visit: Visit,
    *,
    deceived: bool = False,
) -> ReleaseAnswer:
    """Judge one request and answer it with a signed grant.

    Args:
        office: ledger, vault, store, signers, policy.
        caller: the device, its token and key verified.
        request: the message.
        body: its bytes as received; the grant carries their SHA-256.
        visit: time, reference and URL.
        deceived: whether policy wants this device to get a decoy, if there is one (docs/decisions/0027).

    Raises:
        InputError: KEM_UNSUPPORTED or PUBLIC_KEY, before anything is used up.
        DeniedError: CHALLENGE, PROOF, or NOT_FOUND for "not yours" and "not there" alike, and for what no device
            would take; TOKEN for who was barred meanwhile.
        RefusedError: TRUST_EXPIRED, before anything is used up; ORDER_PENDING, EVIDENCE, ATTESTATION_NEEDED,
            KEY_REUSED; RESTRICTED for who is stopped, perhaps by this very request; STEP_UP; RATE_LIMITED, also if the
            account has had its releases of the day.
        IntegrityError: VAULT_REFUSED if a wrapped key was altered or moved.
        StoreError: STORE_IO if the object is not there; DATABASE.
    """
    try:
        check_fresh(office.trust, visit.now)  # no device would take the grant
        _check_key(office, request)
        record = await challenges.use(office, caller, request.challenge, challenges.RELEASE, visit)
        binding = _check_proof(caller, request, record.model, visit)
        found, proven, weighed = await _weighed(office, caller, request, binding, visit)
        found = _chosen(found, deceived=deceived or weighed.deceive)
        await check_objects(office, found.files)
        grant, row = _decide(office, caller, request, body, found, proven, weighed=weighed, visit=visit)
        if not _has_newest(request, found):
            await limited.count_release(office, caller.account.id, visit.reference)
            grant = _seal(office, grant, binding, found, proven)
        await weighed.hold_back(office)  # before the last look: who is stopped while an answer waits does not get it
        async with office.ledger.begin() as tx:
            await wipe_orders.refuse_pending(tx, caller.device.id, request.model, visit.now)  # one may just have come
            await entitled.still(tx, office, caller, found, visit.now, selector=request.version)
            await proven.advance(tx)
            await tx.add_release(row)
            await tx.touch_device(caller.device.id, facts=facts(request.device), seen=visit.now)
            await tx.add_audit(_granted(office, caller, request, found, grant, proven, visit))
    except StrongroomError as error:
        subject, signals = f"{request.model}@{request.version}", request.signals
        await refused(office, Event.RELEASE_REFUSED, caller, subject, error, visit, signals=signals)
        raise
    return grants.issue(grant, office.release_signers)


async def _weighed(
    office: Office, caller: DeviceCaller, request: ReleaseRequest, binding: Binding, visit: Visit
) -> tuple[Entitled, Attested, Weighed]:
    """Find what is asked for, judge the evidence, and let the risk engine weigh both: a refusal moves the score too."""
    notice = noticing.of_device(office, caller, visit, request.device, request.signals, request.model)
    try:
        found = await _find(office, caller, request, visit)
        proven = await attested.judged(office, caller.device.id, request.model, request.evidence, binding, visit)
    except StrongroomError as error:
        (await judging.refused(office, notice, error, judging.KEYS)).check_stopped(request.model)
        raise
    notice = noticing.proven(notice, proven)
    asks = (judging.KEYS,) if _has_newest(request, found) else (judging.KEYS, judging.DOWNLOAD)
    decoy = entitled.twin(found, deceived=True) is not None
    weighed = await judging.judged(office, notice, *asks, deceivable=decoy)
    weighed.check(request.model)
    await weighed.slow(office, notice)
    if weighed.attested:
        await judging.stepped_up(office, notice)
    return found, proven, weighed


def _check_key(office: Office, request: ReleaseRequest) -> None:
    if request.kem not in office.policy.kems:
        raise InputError(Code.KEM_UNSUPPORTED, f"KEM {request.kem:#06x} is not served here", where="kem")
    hpke.check_public_key(request.kem, request.public_key)


def _check_proof(caller: DeviceCaller, request: ReleaseRequest, model: str | None, visit: Visit) -> Binding:
    """Rebuild the binding from our own records wherever we have them, and check that the device signed it."""
    if model != request.model:
        raise DeniedError(Code.CHALLENGE, "the challenge was asked for another model")
    if request.device.id != caller.device.id:
        raise InputError(Code.ARGUMENT, "the device's id is not the one of its token", where="device.id")
    binding = Binding(
        purpose=challenges.RELEASE,
        challenge=request.challenge,
        kem=request.kem,
        public_key=request.public_key,
        account=caller.account.id,
        device=caller.device.id,
        device_key=caller.device.thumbprint,
        platform=request.device.platform,
        model=request.model,
        version=request.version,
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


async def _find(office: Office, caller: DeviceCaller, request: ReleaseRequest, visit: Visit) -> Entitled:
    async with office.ledger.begin() as tx:
        await wipe_orders.refuse_pending(tx, caller.device.id, request.model, visit.now)
        version = await entitled.selected(tx, request.model, request.version)
        seen = await entitled.look_up(tx, caller, request.model, version)
    found = await entitled.judge(office, caller, seen, request.model, visit.now, selector=request.version)
    epoch, wanted = found.version.epoch, office.trust.epoch_of(request.model)
    if epoch != wanted:  # the device would refuse the grant
        raise entitled.not_found(request.model, f": epoch {epoch}, but {wanted} in trust.json")
    return found


def _chosen(found: Entitled, *, deceived: bool) -> Entitled:
    chosen = entitled.twin(found, deceived=deceived)
    if chosen is None:
        raise entitled.not_found(found.version.model, ": to be deceived, but there is no decoy to give")
    return chosen


async def check_objects(office: Office, files: Sequence[StoredFile]) -> None:
    """See that every object is there, whole. Raises StoreError(STORE_IO)."""
    for file in files:
        if await office.store.size(file.object_name) != file.size:
            raise StoreError(Code.STORE_IO, "an object is missing or has another size", where=file.object_name)


def _has_newest(request: ReleaseRequest, found: Entitled) -> bool:
    have = request.have
    if have is None or have.version != found.version.version:
        return False
    return any(have.file_id == file.file_id for file in found.files)


def _decide(
    office: Office,
    caller: DeviceCaller,
    request: ReleaseRequest,
    body: bytes,
    found: Entitled,
    proven: Attested,
    *,
    weighed: Weighed,
    visit: Visit,
) -> tuple[Grant, ReleaseRow]:
    """Write the grant, still without keys, the lease in it, and the row that remembers both."""
    now, policy, version = visit.now, office.policy, found.version
    digest = hashlib.sha256(body).digest()
    lease = Lease(
        lease_id=office.new_id("lse"),
        account=caller.account.id,
        device=caller.device.thumbprint,
        model=version.model,
        version=version.version,
        files=tuple(file.head for file in found.files),
        issued=now,
        expires=now + weighed.lease_seconds(proven.lease_seconds(policy.lease_seconds)),
        max_offline=policy.max_offline,
        request=digest,
        challenge=request.challenge,
    )
    urls_expire = now + policy.url_seconds
    grant = Grant(
        release_id=office.new_id("rel"),
        request=digest,
        challenge=request.challenge,
        account=caller.account.id,
        device=caller.device.id,
        model=version.model,
        version=version.version,
        epoch=version.epoch,
        counter=version.counter,
        files=tuple(_grant_file(office, file, urls_expire) for file in found.files),
        urls_expire=urls_expire,
        latest=Latest(version.version, version.counter, now + policy.latest_seconds),
        lease=leases.issue(lease, office.release_signers),
        reactions=weighed.words(proven.reactions),
        server_time=now,
    )
    row = ReleaseRow(
        id=grant.release_id,
        device=caller.device.id,
        account=caller.account.id,
        version_id=version.id,
        request=digest,
        ephemeral=hpke.ephemeral_digest(request.kem, request.public_key),
        lease_id=lease.lease_id,
        lease_expires=lease.expires,
        created=now,
        twin=found.twin,
    )
    return grant, row


def _grant_file(office: Office, file: StoredFile, expires: int) -> GrantFile:
    return GrantFile(
        file_id=file.file_id,
        key_id=file.key_id,
        kind=file.kind,
        suite=file.suite,
        head=file.head,
        size=file.size,
        url=office.store.signed_url("GET", file.object_name, expires=expires),
    )


def _seal(office: Office, grant: Grant, binding: Binding, found: Entitled, proven: Attested) -> Grant:
    """Unwrap the keys and seal them to this one request, and to the TPM that vouched for it.

    They are wiped before this returns, whatever happens.
    """
    keys: list[ModelKey] = []
    second: bytes | None = None
    try:
        if proven.chip is not None:
            second = office.random(second_secret.SIZE)
            name = Public.parse(proven.chip.key).name()
            credential = tpm.make_credential(proven.chip.ek, name, second, office.random)
            grant = dataclasses.replace(grant, credential=credential)
        for file in found.files:
            version = found.version
            context = wrap_context(file.account, version.model, version.version, file.file_id, twin=file.twin)
            secret = office.vault.unwrap(file.wrapped, context)
            keys.append(ModelKey(secret))
            wipe(secret)
        return grants.seal_keys(grant, binding, keys, second)
    finally:
        for key in keys:
            key.wipe()
        if second is not None:
            wipe_bytes(second)  # drawn for this release alone, so nobody else holds it


def wrap_context(account: str | None, model: str, version: str, file_id: bytes, *, twin: str | None = None) -> bytes:
    """Return the associated data a MEK is wrapped with: what it belongs to, from rows, never from a header.

    A decoy twin's key has the twin in it: nobody makes a decoy the real thing by changing rows.
    """
    fields: list[JsonValue] = [account, model, version, canonical.to_base64url(file_id)]
    return canonical.encode(fields if twin is None else [*fields, twin])


def facts(device: Device) -> str:
    """Return what a device says of itself, as its row keeps it."""
    return canonical.encode(device.to_value()).decode("ascii")


def _granted(
    office: Office,
    caller: DeviceCaller,
    request: ReleaseRequest,
    found: Entitled,
    grant: Grant,
    proven: Attested,
    visit: Visit,
) -> AuditEvent:
    return event(
        Event.RELEASE_GRANTED,
        at=visit.now,
        actor=caller.device.id,
        subject=f"{found.version.model}@{found.version.version}",
        release=grant.release_id,
        account=caller.account.id,
        user=caller.user.id,
        asked=request.version,
        keys=0 if grant.sealed is None else len(found.files),
        **({} if found.twin is None else {"twin": found.twin}),
        kem=request.kem,
        platform=request.device.platform,
        client=request.device.client,
        fingerprint=canonical.to_base64url(request.device.fingerprint),
        reference=visit.reference,
        **honey(office, request.signals),
        **proven.facts(),
    )


def honey(office: Office, signals: Mapping[str, str | int]) -> dict[str, str]:
    """Return what an audit row says of honey fields, for `traps.keeper`: names of our own list, nothing of a caller's.

    As many rows are written with them as without: nothing that can be measured tells a honey field from any other.
    """
    found = office.traps.known.honey(signals)
    return {"honey": ",".join(found)} if found else {}


async def refused(
    office: Office,
    name: Event,
    caller: DeviceCaller,
    subject: str,
    error: StrongroomError,
    visit: Visit,
    *,
    signals: Mapping[str, str | int] | None = None,
) -> None:
    """Write down what was refused and why; the device only learns the code and the reference."""
    async with office.ledger.begin() as tx:
        if isinstance(error, AttestationRefusedError):
            await tx.add_audit(error.event(caller.device.id, subject, visit))
        await tx.add_audit(
            event(
                name,
                at=visit.now,
                actor=caller.device.id,
                subject=subject,
                code=str(error.code),
                account=caller.account.id,
                user=caller.user.id,
                where=error.where,
                reference=visit.reference,
                **honey(office, signals or {}),
            )
        )
