"""Deposit the key, upload the file, wait until the office has checked it (docs/spec/protocol.md section 10).

The key travels encrypted to a deposit key that the owners named in the trust file; TLS is not relied upon for it, and
the publisher can never read it back (R13).
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from strongroom import names
from strongroom.canonical import JsonValue, to_base64url
from strongroom.errors import Code, InputError, StoreError, StrongroomError, UnreachableError
from strongroom.operator.office import OfficeClient, rows, text
from strongroom.sealed import Head, ModelKey
from strongroom.sealed.readable import open_regular
from strongroom.wire import hpke
from strongroom.wire.trust import check_fresh

READY_SECONDS = 600.0  # how long the office's check may take
POLL_SECONDS = 0.25
_AGAIN = "run the same again: it replaces what is unfinished"


@dataclass(frozen=True, slots=True)
class Published:
    """A version that devices can now request."""

    model: str
    version: str
    epoch: int
    counter: int
    channel: str | None
    version_id: str
    file_id: bytes
    size: int


def publish(
    office: OfficeClient,
    path: Path,
    head: Head,
    key: ModelKey,
    model: str,
    version: str,
    *,
    channel: str | None = None,
    twin: bool = False,
    progress: Callable[[int], None] | None = None,
    now: Callable[[], float] = time.time,  # noqa: TID251 - the rim: trust is judged by this machine's clock
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    ready_seconds: float = READY_SECONDS,
) -> Published:
    """Publish a sealed file.

    Args:
        office: the office, authenticated as a publisher.
        path: the sealed file.
        head: its head; the file must still begin with it.
        key: its model key.
        model: the model's name, as sealed into the file.
        version: its version, as sealed into the file.
        channel: the channel that shall stand for this version once it is ready.
        twin: whether this is the decoy twin of a version that is there, and not a version.
        progress: called with the bytes uploaded so far.
        now: Unix seconds.
        monotonic: seconds that only go forward, for the deadline.
        sleep: waits.
        ready_seconds: how long to wait for the office's check.

    Raises:
        InputError: NAME; CONFLICT if the version exists; DEPOSIT if the office refuses the file, with its reason;
            FILE_SOURCE_CHANGED if the file on the disk is not the one that was sealed.
        RefusedError: TRUST_EXPIRED, if the trust file or every deposit key in it has expired.
        DeniedError: UNAUTHENTICATED, FORBIDDEN.
        StoreError: STORE_IO.
        UnreachableError: UNREACHABLE, PIN_MISMATCH, ANSWER; also if the check takes longer than `ready_seconds`.
            What fails after the deposit says in its next step, an interrupt in its notes, what is left unfinished.
    """
    if channel is not None:
        names.check("channel", channel)
    at = int(now())
    check_fresh(office.trust, at)
    recipient = office.trust.recipient(at)
    publisher = text(office.get("deposit-context"), "publisher")
    info = hpke.deposit_info("", publisher, model, version, head.core.file_id, head.digest)
    deposit: dict[str, JsonValue] = {
        "model": model,
        "version": version,
        "epoch": head.core.epoch,
        "counter": head.core.counter,
        "files": [
            {
                "head_part": to_base64url(head.head_part),
                "size": head.file_size,
                "sealed": to_base64url(hpke.seal(recipient.kem, recipient.key, info, key.reveal())),
                "kem": recipient.kem,
            }
        ],
    }
    if channel is not None:
        deposit["channel"] = channel
    with _opened(path, head) as source:
        with _interruptible(f"{model}@{version} may be unfinished; {_AGAIN}"):
            answer = office.post("twins" if twin else "deposits", value=deposit)
        with _said(f"{model}@{version} is unfinished and no device gets it; {_AGAIN}"):
            version_id = text(answer, "version_id")
            for upload in rows(answer, "uploads"):
                office.transport.upload(text(upload, "url"), source, head.file_size, progress)
    about = ("models", model, "versions", version, *(["twin"] if twin else []))
    doubt = (
        "unless the office says CONFLICT"
        if twin
        else f"if `strongroom model show {model}` does not call {version} ready"
    )
    with _said(f"{doubt}, {_AGAIN}"):
        office.post(*about, "complete")
        _wait_ready(office, about, f"{model}@{version}", monotonic=monotonic, sleep=sleep, seconds=ready_seconds)
    core = head.core
    return Published(model, version, core.epoch, core.counter, channel, version_id, core.file_id, head.file_size)


@contextmanager
def _interruptible(left: str) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as stop:
        stop.add_note(left)
        raise


@contextmanager
def _said(left: str) -> Iterator[None]:
    """Whatever ends this block early says what it leaves behind, and what to do about it."""
    with _interruptible(left):
        try:
            yield
        except StrongroomError as error:
            if left not in error.next_step:
                error.next_step = f"{error.next_step}; {left}" if error.next_step else left
            raise


@contextmanager
def _opened(path: Path, head: Head) -> Iterator[BinaryIO]:
    """Open the sealed file once, and see that it still is the file that was sealed."""
    descriptor, size = open_regular(path)
    try:
        with os.fdopen(descriptor, "rb") as source:
            if size != head.file_size or source.read(len(head.head_part)) != head.head_part:
                raise InputError(Code.FILE_SOURCE_CHANGED, "this is not the file that was sealed", where=str(path))
            source.seek(0)
            yield source
    except OSError as error:
        raise StoreError(Code.STORE_IO, f"reading failed: {error.strerror}", where=str(path)) from None


def _wait_ready(
    office: OfficeClient,
    about: Sequence[str],
    where: str,
    *,
    monotonic: Callable[[], float],
    sleep: Callable[[float], None],
    seconds: float,
) -> None:
    deadline = monotonic() + seconds
    while True:
        answer = office.get(*about)
        state = text(answer, "state")
        if state == "ready":
            return
        if state not in {"uploading", "checking"}:
            reason = answer.get("reason")
            what = f"the office did not accept the file: {reason or state}"
            raise InputError(Code.DEPOSIT, what, where=where)
        if monotonic() >= deadline:
            next_step = f"look later: strongroom model show {about[1]}"
            what = f"the office is still checking the file after {seconds:.0f} s"
            raise UnreachableError(Code.ANSWER, what, where=where, next_step=next_step)
        sleep(POLL_SECONDS)
