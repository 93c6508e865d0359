"""Renewing a lease: the heartbeat by which a device holds on to a version (docs/spec/protocol.md section 9).

No key comes with it. Orders in the answer are carried out before its lease is kept.
"""

import hashlib
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from strongroom.edge import attesting, clock, facts, tombstones, wiping
from strongroom.edge.clock import Reading
from strongroom.edge.enrol import thumbprint
from strongroom.edge.exchange import Line, Token
from strongroom.edge.opening import not_installed
from strongroom.edge.pull import Installed, installed
from strongroom.edge.signals import runs_in
from strongroom.edge.state import APP_INSTALL, Identity, Install, State
from strongroom.edge.store import Store
from strongroom.errors import Code, RefusedError, StrongroomError, UnreachableError
from strongroom.names import Reference
from strongroom.wire import jws
from strongroom.wire import trust as trust_of
from strongroom.wire.binding import Binding
from strongroom.wire.lease import check_open, known, offline_until
from strongroom.wire.messages import Lease
from strongroom.wire.proofs import prove
from strongroom.wire.renewal import Renewal, RenewAnswer, RenewRequest, read_renewal
from strongroom.wire.trust import Trust

PATH = "/v1/leases/{}/renew"
_log = logging.getLogger(__name__)
ROUNDS = 4  # answers with nothing but orders that are carried out in a row: 64 orders


@dataclass(frozen=True, slots=True)
class Heard:
    """A checked answer, and the clocks before its request was sent: the server's time counts from then."""

    renewal: Renewal
    lease: Lease | None
    asked: Reading
    runs: int  # openings that the request told of


def renew(
    store: Store,
    line: Line,
    trust: Trust,
    identity: Identity,
    wanted: Reference,
    tried: Mapping[str, StrongroomError] | None = None,
) -> Installed:
    """Renew the lease of what is installed for a reference. The caller holds `Store.pulling`.

    Args:
        store: the device directory.
        line: the way to the office.
        trust: the document in force.
        identity: who this device is.
        wanted: the model and which of its versions.
        tried: as `wiping.report` returned it in this contact; None if nothing was reported yet.

    Raises:
        StrongroomError: as `Room.renew`.
    """
    unsent = wiping.report(store, line, identity) if tried is None else dict(tried)
    for _ in range(ROUNDS):
        state = store.need()
        install = _here(state, wanted)
        heard = ask(line, trust, identity, install, wanted, line.teller.tell(state, store.keystore.strength))
        refused: Sequence[StrongroomError] = ()
        if heard.renewal.orders:
            at, orders = heard.renewal.server_time, heard.renewal.orders
            refused = wiping.obey(store, line, orders, server_time=at, asked=heard.asked)
        if heard.lease is not None:
            store.update(_kept(store, trust, heard, heard.lease, install.id))
        unsent = wiping.report(store, line, identity, unsent)
        now = _here(store.need(), wanted)
        for error in refused:
            raise error
        if heard.lease is not None:
            return installed(wanted, now, heard.lease, fetched=False, reactions=heard.renewal.reactions)
        for error in unsent.values():
            raise error
    what, step = "the office gives orders and no lease", "ask the model's operator which wipe orders are pending"
    raise RefusedError(Code.ORDER_PENDING, what, where=str(wanted), next_step=step)


def fetch_orders(
    store: Store,
    line: Line,
    trust: Trust,
    identity: Identity,
    wanted: Reference,
    tried: Mapping[str, StrongroomError],
) -> None:
    """Renew because a release was refused as long as orders are pending, which only a renewal brings.

    Args:
        store: the device directory.
        line: the way to the office.
        trust: the document in force.
        identity: who this device is.
        wanted: the model and which of its versions.
        tried: as `wiping.report` returned it in this contact.

    Raises:
        RefusedError: WIPED, if one of them took what was wanted; ORDER_PENDING, if no lease is here to renew.
        StrongroomError: as `renew`.
    """
    before = store.need()
    mine = [one for one in before.installs if one.model == wanted.model]
    install = before.find(wanted) or next(iter(mine), None)
    if install is None:
        step = "ask the model's operator to take the order back, or wait until it is over"
        what = "a wipe order waits for this device, which holds nothing of the model"
        raise RefusedError(Code.ORDER_PENDING, what, where=str(wanted), next_step=step)
    renew(store, line, trust, identity, Reference(install.model, install.version, None), tried)
    after = store.need()
    gone = before.find(wanted) is not None and after.find(wanted) is None
    refusal = tombstones.wiped(after, wanted) if gone else None
    if refusal is not None:
        raise refusal


def fetch_last_orders(
    store: Store,
    line: Line,
    trust: Trust,
    identity: Identity,
    wanted: Reference,
    tried: Mapping[str, StrongroomError],
    reference: str = "",
) -> None:
    """Renew whatever is here, because the office has stopped this device: what it wants wiped is wiped at once.

    It may have ordered nothing, and answer each renewal as it answered the release; that it is out of reach now keeps
    no order back for ever. So nothing that goes wrong here is told but in the log.

    Args:
        store: the device directory.
        line: the way to the office.
        trust: the document in force.
        identity: who this device is.
        wanted: what was asked for.
        tried: as `wiping.report` returned it in this contact.
        reference: of the refusal, for whoever appeals.

    Raises:
        RefusedError: WIPED, if an order took what was wanted.
        SetupError, StoreError: as `Store.need`.
    """
    before = store.need()
    mine = before.find(wanted)
    models = {one.model: one.version for one in before.installs}  # one answer has all orders for a model
    for model in sorted(models, key=lambda one: (one != wanted.model, one)):
        try:
            renew(store, line, trust, identity, Reference(model, models[model], None), tried)
        except StrongroomError as error:
            _log.warning("a stopped device asked for orders about %s: %s", model, error)
            if isinstance(error, UnreachableError):
                break
    refusal = None if mine is None or store.need().find(wanted) else tombstones.wiped(store.need(), wanted)
    if refusal is not None:
        refusal.reference = reference
        raise refusal


def ask(
    line: Line,
    trust: Trust,
    identity: Identity,
    install: Install,
    wanted: Reference,
    signals: dict[str, str | int],
) -> Heard:
    """Ask the office to renew the lease of an install, and check its answer; nothing is kept yet.

    Raises:
        DeniedError: the lease is not this device's any more, or its right to it is over.
        RefusedError: TRUST_EXPIRED; LEASE_EXPIRED, if the new one is over already; whatever policy refuses.
        IntegrityError: SIGNATURE, GRANT_MISMATCH, LEASE_MISMATCH, SHAPE.
        UnreachableError: no connection, a wrong pin, an answer that is no answer.
    """
    held = _held(install)
    token, key = Token("DPoP", identity.token), thumbprint(line.signer.public)
    challenge = line.challenge("renew", install.model, token)
    at = max(line.clocks().wall, challenge.server_time)  # as for a release: not the store's time
    device = facts.describe(identity.id)
    binding = Binding.renew(
        challenge=challenge.challenge,
        account=identity.account,
        device=identity.id,
        device_key=key,
        platform=device.platform,
        model=install.model,
        version=install.version,
    )
    path = PATH.format(held.lease_id)
    evidence = attesting.of_request(line.attestor, binding)
    unproven = RenewRequest(challenge.challenge, _selector(install, wanted), device, evidence, signals, "")
    body = prove(unproven, line.signer, binding, "POST", line.url(path), identity.token).to_bytes()
    asked = line.clocks()
    answer = RenewAnswer.from_bytes(line.post(path, body, token, limit=RenewAnswer.LIMIT))
    renewal, lease = read_renewal(
        answer,
        trust,
        expected_request=hashlib.sha256(body).digest(),
        expected_challenge=challenge.challenge,
        account=identity.account,
        device=identity.id,
        device_key=key,
        lease=replace(held, model=install.model, version=install.version),
        files=tuple(file.head for file in install.files),
        at=at,
    )
    return Heard(renewal, lease, asked, runs_in(signals))


def due(store: Store, state: State, install: Install) -> bool:
    """Say whether a lease has used up half of the time to its end, and is not over yet.

    Raises:
        IntegrityError: the lease is none. RefusedError: CLOCK. Opening the model says what is wrong.
    """
    lease = _held(install)
    end, now = offline_until(lease), clock.advance(state.clock, store.clocks()).seen
    return lease.issued + (end - lease.issued) // 2 <= now < end


def _held(install: Install) -> Lease:
    """Return the lease that is kept, as the state's MAC vouches for it: its signer may have been replaced since.

    That decides what to ask for, and nothing else: opening verifies it, and what comes back is judged anew.
    """
    return Lease.from_bytes(jws.unverified_payload(install.lease[0], "lease"))


def _here(state: State, wanted: Reference) -> Install:
    install = state.find(wanted)
    if install is None:
        raise tombstones.wiped(state, wanted) or not_installed(wanted)
    return install


def _selector(install: Install, wanted: Reference) -> str:
    known_as = (wanted.selector, *install.selectors, install.version)
    return next((one for one in known_as if one in install.selectors), install.version)


def _kept(store: Store, trust: Trust, heard: Heard, lease: Lease, install_id: str) -> Callable[[State], State]:
    """Return the change that keeps a new lease and takes the server's time, if trust is what it was."""

    def change(state: State) -> State:
        if trust_of.read(state.trust_document()) != trust:
            what, step = "trust.json changed while the lease was renewed", "renew again: it is judged anew"
            raise RefusedError(Code.TRUST_VERSION, what, where=lease.model, next_step=step)
        anchor = clock.contact(heard.renewal.server_time, heard.asked, store.clocks())
        check_open(lease, anchor.seen)
        found = next((one for one in state.installs if one.id == install_id), None)
        state = replace(state.told(heard.runs, os.urandom(APP_INSTALL)), clock=anchor)
        if found is None:  # the orders of this answer took it
            return state
        return state.with_changed(replace(found, lease=known(heard.renewal.lease or (), trust)))

    return change
