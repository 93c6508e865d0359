"""Pulling: ask, fetch, make active; the old version stays until the new is whole (docs/spec/protocol.md section 8)."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from strongroom.edge import clock, fetch, request
from strongroom.edge.exchange import Line
from strongroom.edge.fetch import Links, Progress
from strongroom.edge.request import Release
from strongroom.edge.state import Identity, Install, LocalFile, State
from strongroom.edge.store import Store
from strongroom.errors import Code, IntegrityError, RefusedError
from strongroom.names import Reference
from strongroom.wire.trust import Trust


@dataclass(frozen=True, slots=True)
class Installed:
    """A version that is on this device, ready to open.

    Attributes:
        reference: what was asked for.
        model: its name.
        version: its exact version.
        size: bytes on this disk.
        lease_expires: Unix seconds until which it may be opened without asking again.
        fetched: whether bytes were fetched now; False if it was here already.
    """

    reference: str
    model: str
    version: str
    size: int
    lease_expires: int
    fetched: bool


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
    signals: dict[str, str | int] = {"keystore": store.keystore.strength}
    mark = state.mark(wanted.model)
    release = request.ask(line, trust, identity, wanted, have=here, high_water=mark, signals=signals)
    try:
        if release.keys:
            install = _fetched(store, line, trust, identity, release, wanted, progress)
        else:
            install = _renewed(store, release, wanted, here)
    finally:
        release.wipe()
    return Installed(
        reference=str(wanted),
        model=install.model,
        version=install.version,
        size=sum(file.size for file in install.files),
        lease_expires=release.lease.expires,
        fetched=bool(release.keys),
    )


def _held(state: State, wanted: Reference) -> Install | None:
    """Return the whole install for a reference, or another of the model, which may be the very version asked for."""
    exact = state.find(wanted)
    if exact is not None:
        return None if exact.damaged else exact
    found = [one for one in state.installs if one.model == wanted.model and not one.damaged]
    return max(found, key=lambda one: (one.epoch, one.counter), default=None)


def _renewed(store: Store, release: Release, wanted: Reference, here: Install | None) -> Install:
    if here is None:
        raise IntegrityError(Code.GRANT_MISMATCH, "a grant without keys for a model that is not here")
    renewed = replace(here, selectors=(wanted.selector,), lease=release.grant.lease)
    store.update(_accept(store, release, renewed))
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
        store.staging(fetch.size_on_disk(headings)) as staging,
    ):
        subject = fetch.subject_of(grant.model, grant.version)
        files = fetch.fetch(links, headings, staging, store.keystore, subject, progress)
        install = _record(release, staging.name, wanted, files)
        store.activate(staging, _accept(store, release, install))
    return install


def _accept(store: Store, release: Release, install: Install) -> Callable[[State], State]:
    """Return the change that makes a version active and takes the server's time; refuses if a newer one came in."""

    def change(state: State) -> State:
        if (state.mark(install.model) or (0, 0)) > (install.epoch, install.counter):
            what = "a newer version became active meanwhile"
            raise RefusedError(Code.GRANT_ROLLBACK, what, where=f"{install.model}@{install.version}")
        anchor = clock.contact(release.grant.server_time, store.clocks())
        return replace(state.with_install(install), clock=anchor)

    return change


def _record(release: Release, name: str, wanted: Reference, files: tuple[LocalFile, ...]) -> Install:
    grant = release.grant
    return Install(
        id=name,
        model=grant.model,
        version=grant.version,
        selectors=(wanted.selector,),
        epoch=grant.epoch,
        counter=grant.counter,
        files=files,
        lease=grant.lease,
        damaged=False,
    )
