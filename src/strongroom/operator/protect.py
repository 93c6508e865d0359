"""Seal a model where it was made, under a key that stays in memory (docs/spec/sealed-file.md section 11).

Beside a trainer: `with protect("m.onnx", name="digits", version="1.0", office=office) as it: it.publish()`.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, cast

from strongroom import names
from strongroom.errors import Code, InputError
from strongroom.operator.drafts import drafted
from strongroom.operator.keys import read_owner_key
from strongroom.operator.office import OfficeClient
from strongroom.operator.publish import Published, publish
from strongroom.operator.small_files import not_taken, not_written, place_new
from strongroom.sealed import Description, Head, ModelKey, Source, Subject, seal, sources_of
from strongroom.signing import Role, Signer

Progress = Callable[[int], None]
Owner = Path | str | Signer  # an owner key file, or something that signs
ONNX = "onnx"
_PAGE = 4096  # bytes; where memory begins, and more than any type asks for


@dataclass(slots=True)
class Protected:
    """A sealed file and, until it is wiped, the only copy of its key.

    Use it as a context manager: the key is wiped when the block ends. After that the file can be opened only by whom
    the server, if it got the key, releases it to. If publishing failed, the file goes with the key: nothing could
    open it, and its name is free for the next try.

    Attributes:
        path: the sealed file.
        head: what the file says of itself.
        name: the model's name.
        version: its version.
    """

    path: Path
    head: Head
    name: str
    version: str
    _key: ModelKey = field(repr=False)
    _office: OfficeClient | None = field(default=None, repr=False)
    _failed: bool = field(default=False, repr=False)

    @property
    def key(self) -> ModelKey:
        """The model key; it is wiped when the block ends."""
        return self._key

    def publish(
        self,
        office: OfficeClient | None = None,
        *,
        channel: str | None = None,
        twin: bool = False,
        progress: Progress | None = None,
    ) -> Published:
        """Deposit the key, upload the file and wait until the server has checked it.

        Args:
            office: the office; by default the one given to `protect`.
            channel: the channel that shall stand for this version once it is ready.
            twin: whether this is the decoy twin of a version that is there, sealed for that version's own place.
            progress: called with the bytes uploaded so far.

        Raises:
            InputError: ARGUMENT without an office; NAME; CONFLICT if the version exists; DEPOSIT.
            RefusedError: TRUST_EXPIRED, if the trust file or every deposit key in it has expired.
            DeniedError, IntegrityError, StoreError, UnreachableError: see `publish`.
        """
        target = office or self._office
        if target is None:
            raise InputError(Code.ARGUMENT, "no office to publish to", next_step="give office= to protect or publish")
        self._failed = True
        done = publish(
            target,
            self.path,
            self.head,
            self._key,
            self.name,
            self.version,
            channel=channel,
            twin=twin,
            progress=progress,
        )
        self._failed = False
        return done

    def wipe(self) -> None:
        """Overwrite the key. Nothing can be published afterwards."""
        self._key.wipe()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wipe()
        if self._failed:
            self.path.unlink(missing_ok=True)


def protect(
    source: str | Path | bytes,
    *,
    name: str,
    version: str,
    out: str | Path | None = None,
    sign_with: Owner | Sequence[Owner] | None = None,
    office: OfficeClient | None = None,
    epoch: int | None = None,
    counter: int | None = None,
    description: Description | None = None,
    format: str | None = None,  # noqa: A002 - the word of the table of contents
    progress: Progress | None = None,
) -> Protected:
    """Seal a model under a fresh key, signed by its owners, into a new file.

    Args:
        source: a file, a directory (regular files only) or the model's bytes.
        name: the model's name.
        version: its version.
        out: the sealed file to write, never replaced; by default it lies beside the source and its name carries the
            version: `digits.onnx` as version 1.1 becomes `digits-1.1.srm`.
        sign_with: owner key files or signers; by default those of the office's directory. With an office, they must
            be owners of its trust file, and enough of them.
        office: asked for the place in the order of versions, and published to.
        epoch: the model's epoch; by default what the office says, else 1.
        counter: the place in the order of versions; by default what the office says, else 1.
        description: format, target runtimes, metadata, licence; without it only the format is said.
        format: what runs it, such as "onnx"; by default from the files' names, else "bytes".
        progress: called with the plaintext bytes sealed so far.

    Raises:
        InputError: NAME, PATH, ARGUMENT, ALREADY_THERE; FILE_SOURCE_CHANGED if the source changed meanwhile.
        SetupError: PERMISSIONS.
        StoreError: DISK_FULL, STORE_IO; no file is left behind.
        DeniedError, UnreachableError: from the office.
    """
    names.check("model", name)
    names.check("version", version)
    target = _target(source, out, version)
    signers = owners(sign_with if sign_with is not None else (office.owner_keys if office is not None else ()))
    if office is not None:
        check_owners(signers, office.trust.owner)
    if office is not None and (epoch is None or counter is None):
        ahead = office.next_place(name)
        epoch, counter = epoch or ahead.epoch, counter or ahead.counter
    sources = sources_of(source)
    kind = description.format if description is not None else format or format_of(sources)
    if kind == ONNX:
        sources = aligned(sources)
    key = ModelKey.generate()
    try:
        head = seal_to_file(
            sources,
            target,
            key=key,
            subject=Subject(None, name, version, None),
            signers=signers,
            epoch=epoch or 1,
            counter=counter or 1,
            description=description or Description(format=kind),
            progress=progress,
        )
    except BaseException:
        key.wipe()
        raise
    return Protected(target, head, name, version, key, office)


def seal_to_file(
    sources: Sequence[Source],
    target: Path,
    *,
    key: ModelKey,
    subject: Subject,
    signers: Sequence[Signer] = (),
    epoch: int = 1,
    counter: int = 1,
    suite: int = 1,
    description: Description | None = None,
    progress: Progress | None = None,
) -> Head:
    """Seal into a new file: all of it is on the disk under its name, or there is no file.

    Only ciphertext is ever written, also to the draft beside the target.

    Raises:
        InputError: ALREADY_THERE, ARGUMENT, PATH, FILE_SOURCE_CHANGED.
        SetupError: PERMISSIONS.
        StoreError: DISK_FULL, STORE_IO.
    """
    not_taken(target, what="sealed file")
    try:
        with drafted(target, 0o644) as (draft, handle):
            with os.fdopen(handle, "w+b", closefd=False) as file:
                head = seal(
                    sources,
                    cast("BinaryIO", file),
                    mek=key,
                    subject=subject,
                    signers=signers,
                    epoch=epoch,
                    counter=counter,
                    suite=suite,
                    description=description or Description(),
                    progress=progress,
                )
                file.flush()
                os.fsync(handle)
            place_new(draft, target, what="sealed file")
    except OSError as error:
        raise not_written(error, target, "sealed file") from None
    return head


def format_of(sources: Sequence[Source]) -> str:
    """Guess a model's format from the names of its files: an `.onnx` file makes it "onnx", else it is "bytes"."""
    return ONNX if any(_is_graph(one) for one in sources) else "bytes"


def aligned(sources: Sequence[Source]) -> list[Source]:
    """Put an ONNX model's files in an order in which a device can compute from its weights where they lie.

    Files lie in memory one after the other, without gaps. So a graph comes after the data, and a file whose size is a
    multiple of more bytes before one of fewer: each begins at a multiple of what sizes before it are multiples of.
    """

    def place(one: Source) -> tuple[bool, int, int, str]:
        multiple = one.size & -one.size  # the largest power of two that divides it; of nothing, all do
        return _is_graph(one), -min(multiple or _PAGE, _PAGE), -one.size, one.path

    return sorted(sources, key=place)


def _is_graph(source: Source) -> bool:
    return source.path.lower().endswith(".onnx")


def owners(given: Owner | Sequence[Owner]) -> tuple[Signer, ...]:
    """Turn owner key files and signers into signers.

    Raises:
        InputError: ARGUMENT.
        SetupError: PERMISSIONS.
        StoreError: STORE_IO.
    """
    several = [given] if isinstance(given, (str, Path)) or not isinstance(given, Sequence) else given
    signers: list[Signer] = []
    for one in several:
        signers.extend(read_owner_key(Path(one)) if isinstance(one, (str, Path)) else [one])
    return tuple(signers)


def check_owners(signers: Sequence[Signer], role: Role) -> None:
    """Ask before the work whether devices and the office will believe these signatures.

    Raises:
        InputError: ARGUMENT for a key that is no owner's, or too few owners.
    """
    for one in signers:
        if role.key(one.public.key_id) is None:
            what = f"this key is not an owner's: {one.public.alg} {one.public.key_id[:12]}"
            next_step = "sign with the keys that `strongroom trust show FILE` lists as owner"
            raise InputError(Code.ARGUMENT, what, where="sign_with", next_step=next_step)
    if not role.satisfied({one.public.key_id for one in signers}):
        what = f"{role.threshold} of {len(role.principals)} owners must sign; the keys given are not enough"
        next_step = "name the owners' key files: sign_with=, or --sign-with FILE"
        raise InputError(Code.ARGUMENT, what, where="sign_with", next_step=next_step)


def _target(source: str | Path | bytes, out: str | Path | None, version: str) -> Path:
    if out is not None:
        return Path(out)
    if isinstance(source, bytes):
        raise InputError(Code.ARGUMENT, "bytes have no path to put the sealed file beside", next_step="give out=")
    path = Path(source)
    path = path if path.name not in {"", ".."} else path.resolve()
    stem = path.name if path.is_dir() else path.stem
    return path.parent / f"{stem or 'model'}-{version}.srm"


def gather(paths: Sequence[Path]) -> tuple[Source, ...]:
    """Turn one file, one directory or several files into what is sealed; several files keep their last names.

    Raises:
        InputError: ARGUMENT, PATH.
        SetupError: PERMISSIONS.
        StoreError: STORE_IO.
    """
    if len(paths) == 1:
        return tuple(sources_of(paths[0]))
    return tuple(Source.of_file(path.name, path) for path in paths)
