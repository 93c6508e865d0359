"""Pulling: ask, fetch, make active; the old version stays until the new is whole (docs/spec/protocol.md section 8)."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace

from strongroom.edge import clock, fetch, request
from strongroom.edge.exchange import Line
from strongroom.edge.fetch import Progress
from strongroom.edge.links import Links
from strongroom.edge.request import Release
from strongroom.edge.state import APP_INSTALL, Identity, Install, LocalFile, State
from strongroom.edge.store import Store
from strongroom.errors import Code, IntegrityError, RefusedError
from strongroom.names import Reference
from strongroom.wire import trust as trust_of
from strongroom.wire.lease import check_open, known, offline_until
from strongroom.wire.messages import Lease
from strongroom.wire.trust import Trust


@dataclass(frozen=True, slots=True)
class Installed:
    """A version that is on this device, ready to open.

    Attributes:
        reference: what was asked for.
        model: its name.
        version: its exact version.
        size: bytes on this disk.
        lease_expires: Unix seconds at which its lease ends.
        fetched: whether bytes were fetched now; False if it was here already.
        offline_until: Unix seconds until which it opens without asking again; never after `lease_expires`.
        reactions: words the server told this device (docs/spec/protocol.md section 18).
    """

    reference: str
    model: str
    version: str
    size: int
    lease_expires: int
    fetched: bool
    offline_until: int
    reactions: tuple[str, ...] = ()


def pull(
    store: Store,
    line: Line,
    trust: Trust,
    identity: Identity,
    wanted: Reference,
    *,
    progress: Progress | None = None,
    fresh: bool = False,
) -> Installed:
    """Ask for a model and make it the active one. The caller holds `Store.pulling`.

    Args:
        store: the device directory.
        line: the way to the office.
        trust: the document in force.
        identity: who this device is.
        wanted: the model and which of its versions.
        progress: called in this thread with the bytes fetched so far and the bytes in all.
        fresh: fetch it even if the newest version is here already.

    Raises:
        StrongroomError: as `Room.pull`.
    """
    state = store.need()
    here = None if fresh else _held(state, wanted)
    said = line.teller.tell(state, store.keystore.strength, model=wanted.model)
    mark = state.mark(wanted.model)
    release = request.ask(line, trust, identity, wanted, have=here, high_water=mark, signals=said)
    try:
        if release.keys:
            install = _fetched(store, line, trust, identity, release, wanted, progress)
        else:
            install = _renewed(store, trust, release, wanted, here)
    finally:
        release.wipe()
    words = release.grant.reactions
    return installed(wanted, install, release.lease, fetched=bool(release.keys), reactions=words)


def installed(
    wanted: Reference, install: Install, lease: Lease, *, fetched: bool, reactions: tuple[str, ...]
) -> Installed:
    """Say what is on this device now, for a reference."""
    return Installed(
        reference=str(wanted),
        model=install.model,
        version=install.version,
        size=sum(file.size for file in install.files),
        lease_expires=lease.expires,
        fetched=fetched,
        offline_until=offline_until(lease),
        reactions=reactions,
    )


def _held(state: State, wanted: Reference) -> Install | None:
    """Return the whole install for a reference, or another of the model, which may be the very version asked for."""
    exact = state.find(wanted)
    if exact is not None:
        return None if exact.damaged else exact
    found = [one for one in state.installs if one.model == wanted.model and not one.damaged]
    return max(found, key=lambda one: (one.epoch, one.counter), default=None)


def _renewed(store: Store, trust: Trust, release: Release, wanted: Reference, here: Install | None) -> Install:
    if here is None:
        raise IntegrityError(Code.GRANT_MISMATCH, "a grant without keys for a model that is not here")
    renewed = replace(here, selectors=(wanted.selector,), lease=known(release.grant.lease, trust))
    store.update(_accept(store, trust, release, renewed))
    return renewed


def _fetched(
    store: Store,
    line: Line,
    trust: Trust,
    identity: Identity,
    release: Release,
    wanted: Reference,
    progress: Progress | None,
) -> Install:
    grant = release.grant
    urls = tuple(file.url for file in grant.files)
    links = Links(line.exchange, urls, lambda: request.fresh_links(line, identity, grant))
    with (
        fetch.read_headings(links, grant, release.keys, trust.owner) as headings,
        store.staging(grant.model, grant.version, fetch.named(grant), fetch.size_on_disk(headings)) as staging,
    ):
        subject = fetch.subject_of(grant.model, grant.version)
        files = fetch.fetch(links, headings, staging, store.keystore, subject, progress)
        install = _record(trust, release, staging.name, wanted, files)
        store.activate(staging, _accept(store, trust, release, install))
    return install


def _accept(store: Store, trust: Trust, release: Release, install: Install) -> Callable[[State], State]:
    """Return the change that makes a version active and takes the server's time.

    It judges again what may have changed since the grant came: the trust in force, the newest version, and the time.
    """

    def change(state: State) -> State:
        if trust_of.read(state.trust_document()) != trust:
            what, step = "trust.json changed while this version was fetched", "pull again: it is judged anew"
            raise RefusedError(Code.TRUST_VERSION, what, where=f"{install.model}@{install.version}", next_step=step)
        if (state.mark(install.model) or (0, 0)) > (install.epoch, install.counter):
            what = "a newer version became active meanwhile"
            raise RefusedError(Code.GRANT_ROLLBACK, what, where=f"{install.model}@{install.version}")
        anchor = clock.contact(release.grant.server_time, release.asked, store.clocks())
        check_open(release.lease, anchor.seen)
        state = state.told(release.runs, os.urandom(APP_INSTALL))
        return replace(state.with_install(install), clock=anchor)

    return change


def _record(trust: Trust, release: Release, name: str, wanted: Reference, files: tuple[LocalFile, ...]) -> Install:
    grant = release.grant
    return Install(
        id=name,
        model=grant.model,
        version=grant.version,
        selectors=(wanted.selector,),
        epoch=grant.epoch,
        counter=grant.counter,
        files=files,
        lease=known(grant.lease, trust),
        damaged=False,
    )
