"""Opening an installed model offline (docs/spec/protocol.md section 13).

Lease, trust and origin are checked each time.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from strongroom import sealed
from strongroom.edge import tombstones
from strongroom.edge.enrol import thumbprint
from strongroom.edge.fetch import subject_of
from strongroom.edge.memory import PrivateBuffer
from strongroom.edge.model import Model
from strongroom.edge.state import Install, State
from strongroom.edge.store import OpenInstall, Store, damaged, not_enrolled, reference_of
from strongroom.edge.watch import BEAT, Watch
from strongroom.errors import Code, IntegrityError, InternalError, RefusedError, SetupError, StoreError, StrongroomError
from strongroom.names import Reference
from strongroom.sealed import FileReadable, Opened
from strongroom.signing import Signer
from strongroom.wire import trust as trust_of
from strongroom.wire.lease import check_open, offline_until, read_lease
from strongroom.wire.messages import Lease


def not_installed(reference: Reference) -> SetupError:
    """Return the error for a model that is not here."""
    step = f"connect and run `strongroom pull {reference}`"
    return SetupError(Code.NOT_INSTALLED, "the model is not on this device", where=str(reference), next_step=step)


def check_usable(store: Store, state: State, install: Install) -> Lease:
    """Check that an install may be opened now: its lease, by the release role of the trust in force.

    Raises:
        RefusedError: LEASE_EXPIRED.
        IntegrityError: SIGNATURE, LEASE_MISMATCH.
        SetupError: NOT_ENROLLED.
        StoreError: STORE_DAMAGED, if the device key is gone.
    """
    lease = lease_of(store, state, install)
    try:
        check_open(lease, state.clock.seen)
    except RefusedError as error:
        step = f"connect and run `strongroom pull {reference_of(install)}`"
        raise RefusedError(Code.LEASE_EXPIRED, error.what, where=install.model, next_step=step) from None
    return lease


def lease_of(store: Store, state: State, install: Install) -> Lease:
    """Return an install's lease, checked but for its end. Raises as `check_usable`."""
    if state.identity is None:
        raise not_enrolled(store.home)
    return read_lease(
        install.lease,
        trust_of.read(state.trust_document()),
        device_key=thumbprint(device_key(store).public),
        account=state.identity.account,
        model=install.model,
        version=install.version,
        files=tuple(file.head for file in install.files),
        at=None,
    )


def device_key(store: Store) -> Signer:
    """Return the device key. Raises StoreError: STORE_DAMAGED if it is gone, or as the keystore."""
    signer = store.keystore.device_key()
    if signer is None:
        step = "move the device directory away and enrol again"
        raise StoreError(Code.STORE_DAMAGED, "the device key is gone", where=str(store.home), next_step=step)
    return signer


@dataclass(slots=True)
class _Chooser:
    """Finds and judges an install under the store's lock, and remembers the lease it found good."""

    store: Store
    reference: Reference
    find: Callable[[State], Install | None]
    lease: Lease | None = None
    install: Install | None = None

    @property
    def found(self) -> Lease:
        """The lease, once an install was chosen."""
        if self.lease is None:
            raise InternalError(Code.INTERNAL, "no install was chosen")
        return self.lease

    def __call__(self, state: State) -> Install:
        install = self.find(state)
        if install is None:
            raise tombstones.wiped(state, self.reference) or not_installed(self.reference)
        if install.damaged:
            raise damaged(install, "an installed file failed a check before")
        self.lease = check_usable(self.store, state, install)
        self.install = install
        return install


def open_installed(
    store: Store, reference: Reference, on_close: Callable[[], None], *, beat: float = BEAT, huge: bool = False
) -> Model:
    """Open an installed model whole into private memory; nothing is sent anywhere.

    Args:
        store: the device directory.
        reference: what to open.
        on_close: called after the model was wiped.
        beat: seconds between two notes of the time while it is open.
        huge: ask for huge pages.

    Raises:
        SetupError: NOT_INSTALLED, NOT_ENROLLED.
        RefusedError: LEASE_EXPIRED, CLOCK, WIPED.
        IntegrityError: FILE_*; the install is then remembered as damaged. SIGNATURE, LEASE_MISMATCH, of its lease.
        StoreError: STORE_DAMAGED (remembered too), LOCKED, STORE_IO, MEMORY.
    """
    choose = _Chooser(store, reference, lambda state: state.find(reference))
    try:
        with store.opened(choose) as found:
            return _open(found, choose.found, on_close, huge=huge, watch=_watcher(store, found, beat))
    except (IntegrityError, StoreError) as error:
        install = choose.install  # what goes wrong before there is one is the lease's trouble, and no file's
        if install is not None and (isinstance(error, IntegrityError) or error.code == Code.STORE_DAMAGED):
            with contextlib.suppress(StrongroomError):  # the error that brought us here counts
                store.mark_damaged(install)
        if isinstance(error, IntegrityError) and not error.next_step:
            error.next_step = f"fetch it anew: `strongroom pull {reference}`"
        raise


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `verify` found of one install: `error` is None if it opens and every byte is what the owners signed."""

    install: Install
    error: StrongroomError | None

    @property
    def damaged(self) -> bool:
        """Whether fetching anew is the cure; any other error is the machine's, or says that it may not be opened."""
        if self.error is None or self.error.code in {Code.SIGNATURE, Code.LEASE_MISMATCH}:
            return False  # of the lease, which the next pull renews without fetching
        return isinstance(self.error, IntegrityError) or self.error.code == Code.STORE_DAMAGED


def verify(store: Store, install: Install) -> Verdict:
    """Open an install, compare every checksum, and write nothing: neither the clock nor what was found.

    Args:
        store: the device directory.
        install: one of `Store.need().installs`.
    """
    reference = Reference(install.model, install.version, None)
    mine = _Chooser(store, reference, lambda state: next((one for one in state.installs if one.id == install.id), None))
    try:
        with store.opened(mine, keep=False) as found, _open(found, mine.found, lambda: None, checksums=True):
            return Verdict(install, None)
    except StrongroomError as error:
        return Verdict(install, error)


def _watcher(store: Store, found: OpenInstall, beat: float) -> Callable[[Lease], Watch]:
    def renewed() -> Lease | None:
        with contextlib.suppress(StrongroomError):
            state = store.need()
            install = next((one for one in state.installs if one.id == found.install.id), None)
            return None if install is None else lease_of(store, state, install)
        return None

    return lambda lease: Watch(store, found.state, lease, renewed, beat=beat)


def _open(
    found: OpenInstall,
    lease: Lease,
    on_close: Callable[[], None],
    *,
    huge: bool = False,
    checksums: bool = False,
    watch: Callable[[Lease], Watch] | None = None,
) -> Model:
    install = found.install
    owners = trust_of.read(found.state.trust_document()).owner
    buffers: list[PrivateBuffer] = []
    parts: list[Opened] = []
    try:
        for file, handle, key in zip(install.files, found.handles, found.keys, strict=True):
            holder = _Holder(huge=huge)
            opened = sealed.open_local(
                FileReadable(handle, file.size, f"{install.model} {install.version}"),
                key,
                subject=subject_of(install.model, install.version),
                owners=owners,
                origin_head=file.head,
                allocate=holder.allocate,
                checksums=checksums,
            )
            buffers.append(holder.buffer or PrivateBuffer(0))
            parts.append(opened)
        _check_paths(install, parts)
    except BaseException:
        for part in parts:
            part.payload.release()
        for buffer in buffers:
            buffer.close()
        raise
    return Model(
        install.model,
        install.version,
        lease.expires,
        tuple(parts),
        tuple(buffers),
        on_close,
        offline_until=offline_until(lease),
        watch=None if watch is None else watch(lease),
    )


def _check_paths(install: Install, parts: list[Opened]) -> None:
    paths = [entry.path for part in parts for entry in part.toc.files]
    if len(set(paths)) != len(paths):
        raise IntegrityError(Code.FILE_CONTENT, "two files of the model have one path", where=install.model)


class _Holder:
    """Gives the reader private memory, and keeps hold of it."""

    def __init__(self, *, huge: bool) -> None:
        self._huge = huge
        self.buffer: PrivateBuffer | None = None

    def allocate(self, size: int) -> memoryview:
        self.buffer = PrivateBuffer(size, huge=self._huge)
        return self.buffer.view
