"""What the writer refuses, and that it never leaves something that looks whole (R53, R56)."""

import io
import os
import tempfile
import threading
from pathlib import Path

import pytest

from strongroom import sealed
from strongroom.errors import Code, InputError, IntegrityError, StoreError, StrongroomError
from strongroom.sealed.pool import Buffers, in_order
from strongroom.sealed.segments import PIECE_BUFFER
from strongroom.signing import ED25519, ES256, SigningKey
from vectors.sealed_writer import fixed

SUBJECT = sealed.Subject("ac_customer", "digits", "1.0", None)
MIB = 2**20


def attempt(sources, sink=None, **how) -> bytes:
    sink = io.BytesIO() if sink is None else sink
    how = {"mek": sealed.ModelKey.generate(), "subject": SUBJECT, "segment_size": MIB} | how
    sealed.seal(sources, sink, **how)
    return sink.getvalue()


def one(data: bytes = b"x", path: str = "m") -> list[sealed.Source]:
    return [sealed.Source.of_bytes(path, data)]


def refused(*args, **how) -> StrongroomError:
    with pytest.raises(StrongroomError) as refusal:
        attempt(*args, **how)
    return refusal.value


@pytest.mark.parametrize(
    "how",
    [
        {"kind": "local"},
        {"kind": "pickle"},
        {"kind": "overlay"},
        {"base": sealed.FileLink(bytes(32), bytes(64))},
        {"suite": 9},
        {"key_id": bytes(15)},
        {"epoch": 0},
        {"counter": 2**53},
        {"segment_size": MIB - 1},
        {"segment_size": MIB // 2},
        {"segment_size": 2**27},
        {"workers": 0},
        {"signers": [SigningKey(ES256, fixed("es256", 32))]},
        {"signers": [SigningKey(ED25519, fixed("twice", 32))] * 2},
        {"description": sealed.Description(format="Not A Format")},
        {"description": sealed.Description(metadata={"Not A Key": 1})},
        {"description": sealed.Description(metadata={"a": "x" * 1025})},
        {"description": sealed.Description(metadata={"a": 1.5})},
        {"description": sealed.Description(runtimes=7)},
        {"description": sealed.Description(licence="")},
    ],
    ids=ascii,
)
def test_arguments_that_make_no_file(how):
    assert refused(one(), **how).code == "argument"


def test_a_model_has_a_file():
    assert refused([]).code == "argument"


def test_more_segments_than_a_file_may_have():
    big = sealed.Source("m", 16_384 * MIB, lambda: pytest.fail("opened for nothing"))
    refusal = refused([big])
    assert refusal.code == "file-limit"
    assert refusal.next_step


def test_more_contents_than_a_file_may_have():
    tensors = tuple(f"{number:0>200}" for number in range(20_000))
    refusal = refused(one(), description=sealed.Description(overlayable=tensors))
    assert (type(refusal), refusal.code) == (InputError, "file-limit")


class Changing:
    """Gives other bytes each time it is opened."""

    def __init__(self, *versions: bytes) -> None:
        self._versions = list(versions)

    def __call__(self) -> io.BytesIO:
        return io.BytesIO(self._versions.pop(0))


@pytest.mark.parametrize(
    "versions",
    [(b"shorter", b"sh"), (b"sh", b"shorter"), (b"before.", b"after.."), (b"sh",), (b"shorter.",)],
    ids=["cut", "grown", "same length", "shorter than said", "longer than said"],
)
def test_a_source_that_changes_while_it_is_sealed(versions):
    """What is sealed is what was hashed, or nothing is."""
    size = 7 if len(versions) == 1 else len(versions[0])
    sink = io.BytesIO()
    refusal = refused([sealed.Source("m", size, Changing(*versions))], sink)
    assert (type(refusal), refusal.code) == (InputError, "file-source-changed")
    assert sink.getvalue()[:8] in (b"", bytes(8)), "a head was written"


def test_an_empty_source_that_grows():
    refusal = refused([*one(), sealed.Source("empty", 0, Changing(b"", b"now not"))])
    assert refusal.code == "file-source-changed"


class Full(io.BytesIO):
    """A disk with little room."""

    def write(self, data) -> int:
        if self.tell() + len(data) > 3 * MIB:
            raise OSError(28, "No space left on device")
        return super().write(data)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_disk_that_fills_up(workers):
    """C04: a typed error, no head, no thread left."""
    sink = Full()
    refusal = refused(one(bytes(5 * MIB)), sink, workers=workers)
    assert (type(refusal), refusal.code) == (StoreError, "disk-full")
    assert sink.getvalue()[:8] == bytes(8)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("strongroom-segment")]
    with pytest.raises(IntegrityError):
        sealed.read_head(sealed.BytesReadable(sink.getvalue()))


def test_a_sink_that_takes_a_little_at_a_time():
    class Small(io.BytesIO):
        def write(self, data) -> int:
            return super().write(memoryview(data)[:5000])

    mek = sealed.ModelKey.generate()
    data = attempt(one(fixed("small", 40_000)), Small(), mek=mek)
    opened = sealed.open_sealed(sealed.BytesReadable(data), mek, sealed.Expected("model", SUBJECT, None))
    assert opened.payload == fixed("small", 40_000)


def test_a_sink_that_cannot_seek():
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb", buffering=0) as pipe:
        assert refused(one(), pipe).code == "argument"


def test_nothing_in_the_clear_touches_a_disk(tmp_path, monkeypatch):
    """R53: no temporary file, whatever the size."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    monkeypatch.chdir(tmp_path)
    needle = fixed("needle", 4096)
    with (tmp_path / "out.srm").open("w+b") as sink:
        mek = sealed.ModelKey.generate()
        sealed.seal(one(needle * 600), sink, mek=mek, subject=SUBJECT, segment_size=MIB)
    assert [path.name for path in tmp_path.iterdir()] == ["out.srm"]
    assert needle[:64] not in (tmp_path / "out.srm").read_bytes()
    assert bytes(mek.reveal()) not in (tmp_path / "out.srm").read_bytes()


def test_files_and_directories_as_sources(tmp_path):
    (tmp_path / "model" / "weights").mkdir(parents=True)
    (tmp_path / "model" / "weights" / "b.bin").write_bytes(b"bb")
    (tmp_path / "model" / "a.json").write_bytes(b"a")
    (tmp_path / "model" / "weights.txt").write_bytes(b"t")
    sources = sealed.sources_of(tmp_path / "model")
    assert [(one.path, one.size) for one in sources] == [("a.json", 1), ("weights.txt", 1), ("weights/b.bin", 2)]
    assert [one.path for one in sealed.sources_of(tmp_path / "model" / "a.json")] == ["a.json"]
    assert [one.path for one in sealed.sources_of(b"bytes")] == ["model"]
    mek = sealed.ModelKey.generate()
    opened = sealed.open_sealed(
        sealed.BytesReadable(attempt(sources, mek=mek)), mek, sealed.Expected("model", SUBJECT, None)
    )
    assert opened.file("weights/b.bin") == b"bb"
    with pytest.raises(InputError) as refusal:
        opened.file("weights")
    assert refusal.value.code == "path"


def test_sources_that_are_no_regular_files(tmp_path):
    """A30, F10: links, pipes and what is not there."""
    (tmp_path / "real").write_bytes(b"x")
    (tmp_path / "with-link").mkdir()
    (tmp_path / "with-link" / "link").symlink_to(tmp_path / "real")
    (tmp_path / "with-pipe").mkdir()
    os.mkfifo(tmp_path / "with-pipe" / "pipe")
    (tmp_path / "empty").mkdir()
    (tmp_path / "dirlink").symlink_to(tmp_path / "with-pipe")
    for name in (
        "with-link",
        "with-link/link",
        "with-pipe",
        "with-pipe/pipe",
        "empty",
        "dirlink",
        "absent",
        "real/x",
        "a\0b",
    ):
        with pytest.raises(InputError) as refusal:
            sealed.sources_of(tmp_path / name)
        assert refusal.value.code == "path", name


def test_a_source_replaced_by_a_link_before_it_is_opened(tmp_path):
    """A30: each opening looks again."""
    (tmp_path / "m").write_bytes(b"x")
    sources = sealed.sources_of(tmp_path / "m")
    (tmp_path / "m").unlink()
    (tmp_path / "m").symlink_to("/etc/hostname")
    assert refused(sources).code == "path"


def exchanged(model: Path, private: Path) -> None:
    """Put a link in the place of the directory `sub`."""
    if not (model / "sub").is_symlink():
        (model / "sub").rename(model.parent / "moved")
        (model / "sub").symlink_to(private)


@pytest.mark.parametrize("when", ["while listing", "before sealing"])
def test_a_subdirectory_exchanged_for_a_link(tmp_path, monkeypatch, when):
    """A30, F10: whoever may write in a model's directory cannot have files of another directory sealed."""
    model, private = tmp_path / "model", tmp_path / "private"
    for directory in (model / "sub", private):
        directory.mkdir(parents=True)
        (directory / "f").write_bytes(directory.name.encode())
    scandir, calls = os.scandir, []

    def scan_and_exchange(where):
        calls.append(where)
        if len(calls) == 2:  # `sub` was seen to be a directory, and is looked into now
            exchanged(model, private)
        return scandir(where)

    if when == "while listing":
        monkeypatch.setattr(os, "scandir", scan_and_exchange)
        with pytest.raises(InputError) as refusal:
            sealed.sources_of(model)
        refused_with = refusal.value
    else:
        sources = sealed.sources_of(model)
        exchanged(model, private)
        refused_with = refused(sources)
    assert refused_with.code == "path"
    assert "sub" in refused_with.where
    assert refused_with.next_step


@pytest.mark.parametrize(("name", "step"), [("link", "points to"), ("pipe", "regular file"), ("empty", "files in it")])
def test_what_is_no_source_says_what_to_do(tmp_path, name, step):
    (tmp_path / "link").symlink_to(__file__)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError) as refusal:
        sealed.sources_of(tmp_path / name)
    assert (refusal.value.code, step in refusal.value.next_step) == ("path", True)


@pytest.mark.parametrize("workers", [1, 2])
def test_keys_and_plaintext_buffers_are_overwritten(monkeypatch, workers):
    """R53: also when the writing fails."""
    kept: list = []

    class Recorded(Buffers):
        def __init__(self, size: int, most: int) -> None:
            super().__init__(size, most)
            if size != PIECE_BUFFER:  # those hold ciphertext
                kept.append(self)

    def recorded(*args) -> sealed.FileKeys:
        kept.append(sealed.derive(*args))
        return kept[-1]

    monkeypatch.setattr("strongroom.sealed.writer.Buffers", Recorded)
    monkeypatch.setattr("strongroom.sealed.plain.Buffers", Recorded)
    monkeypatch.setattr("strongroom.sealed.writer.derive", recorded)
    attempt(one(fixed("plain", 2 * MIB)), workers=workers)
    refused(one(fixed("plain", 5 * MIB)), Full(), workers=workers)
    keys = [one for one in kept if isinstance(one, sealed.FileKeys)]
    buffers = [made for one in kept if isinstance(one, Buffers) for made in one._made]
    assert len(keys) == 2
    assert {len(buffer) for buffer in buffers} == {MIB}
    assert not any(any(secret) for one in keys for secret in (one.mac, one.payload, one.blind))
    assert not any(any(buffer) for buffer in buffers)


def test_no_thread_works_on_when_one_has_failed():
    """Buffers are wiped then: a thread still at work would fill them again."""
    running, never, finished = threading.Event(), threading.Event(), []

    def work(item: int) -> None:
        if item == 0:
            running.wait(10)
            raise InputError(Code.ARGUMENT, "failed")
        running.set()
        never.wait(0.3)
        finished.append(item)

    with pytest.raises(InputError):
        list(in_order(work, range(2), 2))
    assert finished == [1]
