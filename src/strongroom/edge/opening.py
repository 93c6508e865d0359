"""Opening an installed model offline (docs/spec/protocol.md section 13).

Lease, trust and origin are checked each time.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from strongroom import sealed
from strongroom.edge.enrol import thumbprint
from strongroom.edge.fetch import subject_of
from strongroom.edge.memory import PrivateBuffer
from strongroom.edge.model import Model
from strongroom.edge.state import Install, State
from strongroom.edge.store import OpenInstall, Store, damaged, not_enrolled, reference_of
from strongroom.errors import Code, IntegrityError, RefusedError, SetupError, StoreError, StrongroomError
from strongroom.names import Reference
from strongroom.sealed import FileReadable, Opened
from strongroom.wire import trust as trust_of
from strongroom.wire.lease import check_open, read_lease
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
    signer = store.keystore.device_key()
    if state.identity is None:
        raise not_enrolled(store.home)
    if signer is None:
        step = "move the device directory away and enrol again"
        raise StoreError(Code.STORE_DAMAGED, "the device key is gone", where=str(store.home), next_step=step)
    lease = read_lease(
        install.lease,
        trust_of.read(state.trust_document()),
        device_key=thumbprint(signer.public),
        account=state.identity.account,
        model=install.model,
        version=install.version,
        files=tuple(file.head for file in install.files),
        at=None,
    )
    try:
        check_open(lease, state.clock.seen)
    except RefusedError as error:
        step = f"connect and run `strongroom pull {reference_of(install)}`"
        raise RefusedError(Code.LEASE_EXPIRED, error.what, where=install.model, next_step=step) from None
    return lease


@dataclass(slots=True)
class _Chooser:
    """Finds and judges an install under the store's lock, and remembers the lease it found good."""

    store: Store
    reference: Reference
    lease: Lease | None = None

    def __call__(self, state: State) -> Install:
        install = state.find(self.reference)
        if install is None:
            raise not_installed(self.reference)
        if install.damaged:
            raise damaged(install, "an installed file failed a check before")
        self.lease = check_usable(self.store, state, install)
        return install


def open_installed(store: Store, reference: Reference, on_close: Callable[[], None]) -> Model:
    """Open an installed model whole into private memory; nothing is sent anywhere.

    Args:
        store: the device directory.
        reference: what to open.
        on_close: called after the model was wiped.

    Raises:
        SetupError: NOT_INSTALLED, NOT_ENROLLED.
        RefusedError: LEASE_EXPIRED, CLOCK.
        IntegrityError: FILE_*, SIGNATURE, LEASE_MISMATCH; the install is then remembered as damaged.
        StoreError: STORE_DAMAGED (remembered too), LOCKED, STORE_IO, MEMORY.
    """
    choose = _Chooser(store, reference)
    try:
        with store.opened(choose) as found:
            return _open(found, choose.lease, on_close)
    except (IntegrityError, StoreError) as error:
        if isinstance(error, IntegrityError) or error.code == Code.STORE_DAMAGED:
            _remember(store, reference)
        if isinstance(error, IntegrityError) and not error.next_step:
            error.next_step = f"fetch it anew: `strongroom pull {reference}`"
        raise


def _remember(store: Store, reference: Reference) -> None:
    with contextlib.suppress(StrongroomError):  # the error that brought us here counts
        state = store.read()
        install = None if state is None else state.find(reference)
        if install is not None and not install.damaged:
            store.mark_damaged(install)


def _open(found: OpenInstall, lease: Lease | None, on_close: Callable[[], None]) -> Model:
    install = found.install
    owners = trust_of.read(found.state.trust_document()).owner
    buffers: list[PrivateBuffer] = []
    parts: list[Opened] = []
    try:
        for file, handle, key in zip(install.files, found.handles, found.keys, strict=True):
            holder = _Holder()
            opened = sealed.open_local(
                FileReadable(handle, file.size, f"{install.model} {install.version}"),
                key,
                subject=subject_of(install.model, install.version),
                owners=owners,
                origin_head=file.head,
                allocate=holder.allocate,
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
    return Model(install.model, install.version, lease.expires if lease else 0, tuple(parts), tuple(buffers), on_close)


def _check_paths(install: Install, parts: list[Opened]) -> None:
    paths = [entry.path for part in parts for entry in part.toc.files]
    if len(set(paths)) != len(paths):
        raise IntegrityError(Code.FILE_CONTENT, "two files of the model have one path", where=install.model)


class _Holder:
    """Gives the reader private memory, and keeps hold of it."""

    def __init__(self) -> None:
        self.buffer: PrivateBuffer | None = None

    def allocate(self, size: int) -> memoryview:
        self.buffer = PrivateBuffer(size)
        return self.buffer.view
