"""How fast is a model sealed, against Tink and age, and does memory stay the same whatever its size?

File to file, both in memory. strongroom reads its sources twice and hashes three times: the file, the file again while
it is sealed, and the sealed segments, since owners sign those digests (docs/spec/sealed-file.md section 11). Tink and
age hash nothing and nobody signs.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from material import BLOCK, MODEL_KEY, OWNER, OWNERS, PLAIN, SUBJECT, equal, plain_only
from peer_files import age_identity, make_keys, seal_tink, tink_primitive
from rounds import Goal, Question, Row, main
from strongroom import sealed
from window import Work

OUT, PART = "out", "part"


def copying(folder: Path) -> Work:
    """Read and write: what any of them does besides its own work."""

    def run() -> None:
        buffer = memoryview(bytearray(BLOCK))
        with (folder / PLAIN).open("rb", buffering=0) as file, (folder / OUT).open("wb", buffering=0) as sink:
            while count := file.readinto(buffer):
                sink.write(buffer[:count])

    return _fresh(folder, Work(run, lambda _: equal(folder / PLAIN, memoryview((folder / OUT).read_bytes()))))


def sealing(folder: Path, *, workers: int | None = None, name: str = PLAIN) -> Work:
    """What `strongroom.protect` does with the model's files."""
    key = sealed.ModelKey(MODEL_KEY)

    def run() -> None:
        with (folder / OUT).open("w+b", buffering=0) as sink:
            sources = sealed.sources_of(folder / name)
            sealed.seal(sources, sink, mek=key, subject=SUBJECT, signers=[OWNER], workers=workers)

    def opens(_: object) -> bool:
        expected = sealed.Expected(sealed.MODEL, SUBJECT, OWNERS)
        with sealed.FileReadable.open(folder / OUT) as readable:
            return equal(folder / name, sealed.open_sealed(readable, sealed.ModelKey(MODEL_KEY), expected).payload)

    return _fresh(folder, Work(run, opens))


def sealing_a_quarter(folder: Path) -> Work:
    """The same for a quarter of the model, to compare the memory it takes."""
    part = folder / PART
    if not part.exists():
        with (folder / PLAIN).open("rb") as file:
            part.write_bytes(file.read((folder / PLAIN).stat().st_size // 4))
    return sealing(folder, name=PART)


def sealing_tink(folder: Path) -> Work:
    """Tink's streaming AEAD."""
    primitive = tink_primitive(folder)

    def run() -> None:
        with (folder / PLAIN).open("rb", buffering=0) as file, (folder / OUT).open("wb") as sink:
            seal_tink(primitive, file, sink)

    return _fresh(folder, Work(run, partial(_larger, folder)))


def sealing_age(folder: Path) -> Work:
    """Age, by its Rust library, which writes the file itself."""
    import pyrage

    recipient, plain, out = age_identity(folder).to_public(), str(folder / PLAIN), str(folder / OUT)
    run = partial(pyrage.encrypt_file, plain, out, [recipient])
    return _fresh(folder, Work(run, partial(_larger, folder)))


def _larger(folder: Path, _: object) -> bool:
    return (folder / OUT).stat().st_size > (folder / PLAIN).stat().st_size


def _fresh(folder: Path, work: Work) -> Work:
    """Let the output be a new file each time: whoever wrote into old pages would be spared the kernel's work."""
    (folder / OUT).unlink(missing_ok=True)
    return work


@contextmanager
def made(folder: Path, size: int) -> Iterator[None]:
    """Make the model and the peers' keys."""
    with plain_only(folder, size):
        make_keys(folder)
        yield


QUESTION = Question(
    name="seal",
    title="Sealing a model, against Tink and age",
    script="seal.py",
    made=made,
    base="copy",
    rows=(
        Row("copy", "read and write, no cipher", copying),
        Row("seal", "strongroom, as many threads as it takes", sealing),
        Row("seal-1", "strongroom, 1 thread", partial(sealing, workers=1)),
        Row("seal-quarter", "strongroom, a quarter of the size", sealing_a_quarter, size=0.25),
        Row("tink", "Tink AES256_GCM_HKDF_1MB", sealing_tink, "tink"),
        Row("age", "age (pyrage)", sealing_age, "pyrage"),
    ),
    goals=(
        Goal("throughput / Tink's", "seal", "speed", 1.5, "tink", least=True),
        Goal("throughput / age's", "seal", "speed", 1.0, "age", least=True),
        Goal("peak memory, whole / a quarter", "seal", "peak", 1.1, "seal-quarter"),
    ),
)

if __name__ == "__main__":
    main(QUESTION)
