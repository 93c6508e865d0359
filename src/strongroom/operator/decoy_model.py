"""Decoy models: made from a real model, of the same files, names, shapes and sizes, that run and are worth little.

What a decoy answers lies between the model's answers and noise, as the share of damaged numbers says; try it before it
is planted. What is not damaged is the model's own: whoever has data of the kind can repair a small share by training.
"""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from mmap import ACCESS_READ, ACCESS_WRITE, mmap
from pathlib import Path, PurePosixPath

from strongroom import canonical
from strongroom.errors import Code, InputError, StoreError, StrongroomError
from strongroom.operator import decoy_mark, weights
from strongroom.operator.decoy_mark import KEY_SIZE, LEAST_DAMAGE, Mark
from strongroom.operator.drafts import drafted, drafted_directory
from strongroom.operator.small_files import (
    already_there,
    not_taken,
    not_written,
    place_new,
    read_secret,
    sync_directory,
    write_secret,
)
from strongroom.sealed import Source, sources_of

DAMAGE = 0.3  # of the numbers of each tensor, where nothing else is said
SMALL = 1_048_576  # bytes of a file without known weights that is copied as it is: labels, settings, vocabularies
_DECOY, _KEY = "decoy model", "decoy key"
_KEY_LIMIT = 64  # bytes; one line of 43 characters
_OTHER_WEIGHTS = {".bin", ".ckpt", ".gguf", ".h5", ".keras", ".mlmodel", ".pb", ".pkl", ".pt", ".pth", ".tflite"}


@dataclass(frozen=True, slots=True)
class Made:
    """A decoy: how many numbers its tensors have, how many of them were damaged, and which files were only copied."""

    path: Path
    tensors: int
    numbers: int
    damaged: int
    copied: tuple[str, ...]


def make_decoy(source: Path, out: Path, key: bytes, *, share: float = DAMAGE, as_is: Sequence[str] = ()) -> Made:
    """Make a decoy from a model: a file, or a directory with all its files. Nothing is written over.

    Args:
        source: the real model.
        out: what to make.
        key: KEY_SIZE secret bytes. The same model, share and key make the same decoy.
        share: of the numbers of each tensor that are damaged, LEAST_DAMAGE to 1.
        as_is: paths inside the model that are copied although they are large or look like weights.

    Raises:
        InputError: ARGUMENT for a share, a file that cannot be read, or one that would be copied with its weights;
            PATH; ALREADY_THERE.
        SetupError: PERMISSIONS.
        StoreError: DISK_FULL, STORE_IO; nothing is left behind.
    """
    if not LEAST_DAMAGE <= share <= 1:
        what = f"a decoy has from {LEAST_DAMAGE} to 1 of its numbers damaged, not {share}"
        raise InputError(Code.ARGUMENT, what, where="damage")
    not_taken(out, what=_DECOY)
    sources = sources_of(source)
    try:
        if source.is_dir():
            return _make_directory(sources, out, key, share, as_is)
        with drafted(out, 0o644) as (draft, _):
            made = _make(sources, {sources[0].path: draft}, out, key, share, as_is)
            place_new(draft, out, what=_DECOY)
            return made
    except OSError as error:
        raise not_written(error, out, _DECOY) from None


def marked(model: Path | str | bytes | bytearray | memoryview, key: bytes) -> Mark:
    """Say how well a model fits a decoy's key: `found` accuses one of 10^11 models that are not its decoys.

    Args:
        model: a model as it was found: a file, a directory, or the bytes of a file, whose name is guessed.
        key: the decoy's.

    Raises:
        InputError: ARGUMENT if it cannot be read; PATH.
        SetupError: PERMISSIONS.
        StoreError: STORE_IO.
    """
    if isinstance(model, (bytes, bytearray, memoryview)):
        view = memoryview(model).cast("B")
        files = {f"model{_suffix_of(view)}": view}
        return decoy_mark.read(files, weights.find(files), key)
    top = Path(model)
    paths = {one.path: top / one.path if top.is_dir() else top for one in sources_of(top)}
    try:
        with _mapped(paths, ACCESS_READ) as files:
            return decoy_mark.read(files, weights.find(files), key)
    except OSError as error:
        raise StoreError(Code.STORE_IO, f"reading failed: {error.strerror}", where=str(top)) from None


def decoy_key(path: Path, random: bytes) -> tuple[bytes, bool]:
    """Read a decoy's key, or make its file of mode 0600 if there is none; tell whether it is new.

    Args:
        path: the key's file: one line of 43 base64url characters.
        random: KEY_SIZE fresh random bytes.

    Raises:
        InputError: ARGUMENT if the file is no key; ALREADY_THERE, if somebody makes it at the same time.
        SetupError: PERMISSIONS.
        StoreError: DISK_FULL, STORE_IO.
    """
    if os.path.lexists(path):
        return read_decoy_key(path), False
    write_secret(path, canonical.to_base64url(random).encode("ascii") + b"\n", what=_KEY)
    return random, True


def read_decoy_key(path: Path) -> bytes:
    """Read a decoy's key.

    Raises:
        InputError: ARGUMENT if the file is missing, no regular file or no key.
        SetupError: PERMISSIONS.
        StoreError: STORE_IO.
    """
    data = read_secret(path, limit=_KEY_LIMIT, what=_KEY)
    try:
        key = canonical.from_base64url(data.removesuffix(b"\n").decode("ascii"))
    except (StrongroomError, UnicodeDecodeError):
        key = b""
    if len(key) != KEY_SIZE:
        step = "a decoy key is one line of 43 characters: A-Z a-z 0-9 - _"
        raise InputError(Code.ARGUMENT, "this file is not a decoy key", where=str(path), next_step=step)
    return key


def _make_directory(sources: Sequence[Source], out: Path, key: bytes, share: float, as_is: Sequence[str]) -> Made:
    beside = os.open(out.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with drafted_directory(beside, out.name) as draft:
            top = out.parent / draft.name
            paths = {one.path: top / one.path for one in sources}
            for path in paths.values():
                path.parent.mkdir(parents=True, exist_ok=True)
            made = _make(sources, paths, out, key, share, as_is)
            if os.path.lexists(out):
                raise already_there(out, _DECOY)
            top.rename(out)
            draft.placed = True
        sync_directory(out.parent)
    finally:
        os.close(beside)
    return made


def _make(
    sources: Sequence[Source], paths: Mapping[str, Path], out: Path, key: bytes, share: float, as_is: Sequence[str]
) -> Made:
    for one in sources:
        with one.open() as real, paths[one.path].open("wb") as file:
            shutil.copyfileobj(real, file)
    with _mapped(paths, ACCESS_WRITE) as files:
        runs = weights.find(files)
        touched = {run.path for run in runs}
        copied = tuple(sorted(one.path for one in sources if one.path not in touched))
        _check_copied({one.path: one.size for one in sources if one.path in copied}, as_is)
        if not runs:
            what = f"no weights were found; they are looked for in {', '.join(weights.READ)}"
            raise InputError(Code.ARGUMENT, what, where=sources[0].path)
        damaged = decoy_mark.damage(files, runs, key, share)
        for path in sorted(touched):
            weights.reseal(path, files[path])
    for place in paths.values():
        with place.open("rb") as file:
            os.fsync(file.fileno())
    return Made(out, len(runs), sum(run.count for run in runs), damaged, copied)


def _check_copied(sizes: Mapping[str, int], as_is: Sequence[str]) -> None:
    """Refuse to copy what may be weights in a format that is not read: they would leak with the decoy."""
    for path, size in sizes.items():
        suffix = PurePosixPath(path).suffix.lower()
        if path not in as_is and (size > SMALL or suffix in _OTHER_WEIGHTS):
            what = f"no weights were found in this file of {size} bytes; a copy of it would be the real thing"
            step = f"leave it out of the directory, or say --as-is {path} if it may leak"
            raise InputError(Code.ARGUMENT, what, where=path, next_step=step)


@contextmanager
def _mapped(paths: Mapping[str, Path], access: int) -> Iterator[dict[str, memoryview]]:
    """Map files into memory, so that models larger than it are read and changed where they lie."""
    with ExitStack() as stack:
        files: dict[str, memoryview] = {}
        for name, path in paths.items():
            with path.open("rb" if access == ACCESS_READ else "r+b") as file:
                size = os.fstat(file.fileno()).st_size
                whole = mmap(file.fileno(), 0, access=access) if size else bytearray()
            if isinstance(whole, mmap):
                stack.callback(_unmap, whole)
            files[name] = memoryview(whole)
            stack.callback(_unmap, files[name])
        yield files


def _unmap(one: mmap | memoryview) -> None:
    with suppress(BufferError):  # the frames of an error still hold a part: it goes when they do
        one.close() if isinstance(one, mmap) else one.release()


def _suffix_of(view: memoryview) -> str:
    begin = bytes(view[:9])
    if begin.startswith(b"\x93NUMPY"):
        return ".npy"
    if begin.startswith(b"PK\x03\x04"):
        return ".npz"
    return ".safetensors" if begin[8:] == b"{" else ".onnx"
