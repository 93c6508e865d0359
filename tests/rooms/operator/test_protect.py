"""Protect: a sealed file or nothing, and a key that is only in memory."""

import fcntl
import os
import pickle
from pathlib import Path

import pytest

import strongroom
from strongroom.errors import Code, InputError, StrongroomError
from strongroom.operator.keys import write_owner_key
from strongroom.sealed import Expected, FileReadable, Source, Subject, open_sealed, verify_sealed
from strongroom.signing import ED25519, SigningKey

MODEL = os.urandom(3_000_000)  # three segments' worth would be slow; the format's own tests do that


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "digits.onnx"
    path.write_bytes(MODEL)
    return path


def opened(protected, office=None):
    subject = Subject(None, protected.name, protected.version, None)
    owners = office.trust.owner if office else None
    with FileReadable.open(protected.path) as readable:
        return open_sealed(readable, protected.key, Expected("model", subject, owners))


def test_three_lines_beside_a_trainer(model, office, desk, owner):
    """R53: sealed where it was made; the office gets the key, and the file opens with it."""
    desk.place = (2, 7)
    with strongroom.protect(model, name="digits", version="1.0", office=office, sign_with=owner) as protected:
        done = protected.publish(channel="stable")
        whole = opened(protected, office)
    assert protected.path == model.with_name("digits-1.0.srm")
    assert bytes(whole.payload) == MODEL
    assert (whole.head.core.epoch, whole.head.core.counter) == (2, 7) == (done.epoch, done.counter)
    assert whole.toc.format == "onnx"
    assert desk.uploaded["https://desk/o/x"] == protected.path.read_bytes()


def test_the_key_is_wiped_when_the_block_ends(model):
    with strongroom.protect(model, name="digits", version="1.0") as protected:
        secret = protected.key.reveal()
        assert bytes(secret) != bytes(32)
    assert bytes(secret) == bytes(32)
    with pytest.raises(InputError) as caught:
        protected.key.reveal()
    assert caught.value.code == Code.CLOSED


def test_the_key_shows_nowhere(model, tmp_path):
    """R34, attack D10: not in repr, not in a file, not in a pickle."""
    with strongroom.protect(model, name="digits", version="1.0") as protected:
        key = bytes(protected.key.reveal())
        assert key.hex() not in repr(protected)
        assert "ModelKey" not in repr(protected)
        with pytest.raises((StrongroomError, pickle.PicklingError, TypeError)):
            pickle.dumps(protected)
        for path in tmp_path.iterdir():
            assert key not in path.read_bytes()


def test_two_seals_of_one_model_share_nothing(model, tmp_path):
    """R33, R54."""
    with (
        strongroom.protect(model, name="digits", version="1.0", out=tmp_path / "a") as a,
        strongroom.protect(model, name="digits", version="1.0", out=tmp_path / "b") as b,
    ):
        assert a.key != b.key
        assert a.head.core.file_id != b.head.core.file_id
        assert a.head.core.commitment != b.head.core.commitment
    blocks = [(tmp_path / name).read_bytes()[-2_000_000:] for name in "ab"]
    assert blocks[0] != blocks[1]


@pytest.mark.parametrize("kind", ["bytes", "file", "directory"])
def test_every_kind_of_source(kind, tmp_path):
    directory = tmp_path / "model"
    (directory / "sub").mkdir(parents=True)
    (directory / "a.bin").write_bytes(b"one")
    (directory / "sub" / "b.bin").write_bytes(b"two")
    source = {"bytes": b"one", "file": directory / "a.bin", "directory": str(directory)}[kind]
    with strongroom.protect(source, name="digits", version="1.0", out=tmp_path / "out.srm") as protected:
        whole = opened(protected)
    assert {entry.path for entry in whole.toc.files} == {
        "bytes": {"model"},
        "file": {"a.bin"},
        "directory": {"a.bin", "sub/b.bin"},
    }[kind]
    assert whole.toc.format == "bytes"


def test_owner_keys_sign(model, tmp_path, owner, office):
    write_owner_key(tmp_path / "owner.key", owner)
    with (
        strongroom.protect(model, name="digits", version="1.0", sign_with=tmp_path / "owner.key") as protected,
        FileReadable.open(protected.path) as readable,
    ):
        assert verify_sealed(readable, office.trust.owner).digest == protected.head.digest


def test_without_owner_keys_nobody_signed(model, office):
    with (
        strongroom.protect(model, name="digits", version="1.0") as protected,
        FileReadable.open(protected.path) as readable,
        pytest.raises(StrongroomError) as caught,
    ):
        verify_sealed(readable, office.trust.owner)
    assert caught.value.code == Code.FILE_SIGNATURE


def listing(directory):
    return sorted(path.name for path in directory.iterdir())


def test_an_existing_file_is_never_replaced(model, tmp_path):
    out = tmp_path / "out.srm"
    out.write_bytes(b"precious")
    (tmp_path / "dangling.srm").symlink_to(tmp_path / "elsewhere")
    before = listing(tmp_path)
    for path in (out, tmp_path / "dangling.srm", tmp_path):
        with pytest.raises(InputError) as caught:
            strongroom.protect(model, name="digits", version="1.0", out=path)
        assert caught.value.code == Code.ALREADY_THERE
    assert out.read_bytes() == b"precious"
    assert listing(tmp_path) == before


def test_a_failure_leaves_nothing(model, tmp_path, monkeypatch):
    """Nothing half-written: an interrupt in the middle of sealing leaves the directory as it was."""
    before = listing(tmp_path)

    def interrupt(_done):
        assert any(name.endswith(".part") for name in listing(tmp_path))  # the draft is there, under a name of its own
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        strongroom.protect(model, name="digits", version="1.0", progress=interrupt)
    assert listing(tmp_path) == before


def test_only_ciphertext_is_ever_on_the_disk(tmp_path):
    """R53: the draft holds no plaintext either."""
    seen = []
    needle = b"a needle in the model that encryption must hide"

    def look(_done):
        seen.extend(needle in path.read_bytes() for path in tmp_path.iterdir())

    strongroom.protect(needle * 1000, name="digits", version="1.0", out=tmp_path / "o.srm", progress=look).wipe()
    assert seen
    assert not any(seen)
    assert needle not in (tmp_path / "o.srm").read_bytes()


def test_a_source_that_changes_is_refused(tmp_path):
    data = [b"first", b"other"]
    changing = Source("m", 5, lambda: __import__("io").BytesIO(data.pop(0)))
    from strongroom.operator.protect import seal_to_file
    from strongroom.sealed import ModelKey

    with pytest.raises(InputError) as caught:
        seal_to_file([changing], tmp_path / "o.srm", key=ModelKey.generate(), subject=Subject(None, "m", "1", None))
    assert caught.value.code == Code.FILE_SOURCE_CHANGED
    assert listing(tmp_path) == []


@pytest.mark.parametrize(
    ("source", "arguments", "code"),
    [
        ("missing", {}, Code.PATH),
        ("empty-directory", {}, Code.PATH),
        ("link", {}, Code.PATH),
        ("fifo", {}, Code.PATH),
        ("file", {"name": "Digits"}, Code.NAME),
        ("file", {"name": "../digits"}, Code.NAME),
        ("file", {"version": "stable"}, Code.NAME),
        ("file", {"out": "none/out.srm"}, Code.ARGUMENT),
        ("file", {"out": "file/out.srm"}, Code.ARGUMENT),
        ("file", {"sign_with": "missing"}, Code.ARGUMENT),
        ("file", {"sign_with": "file"}, Code.PERMISSIONS),
        ("file", {"counter": 0, "epoch": -1}, Code.ARGUMENT),
    ],
    ids=[
        "missing", "empty directory", "link", "FIFO", "capitals", "path as name", "version without digit",
        "no directory", "below a file", "no key", "open key", "no place",
    ],
)  # fmt: skip
def test_bad_input(source, arguments, code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("file").write_bytes(b"x")
    Path("file").chmod(0o644)
    Path("empty-directory").mkdir()
    Path("link").symlink_to("file")
    os.mkfifo("fifo")
    before = listing(tmp_path)
    with pytest.raises(StrongroomError) as caught:
        strongroom.protect(Path(source), **({"name": "digits", "version": "1.0"} | arguments))
    assert caught.value.code == code
    assert listing(tmp_path) == before


def test_each_version_has_a_file_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "a.v2.bin").write_bytes(b"x")
    made = [strongroom.protect("weights/a.v2.bin", name="m", version=version).path for version in ("1.0", "1.1")]
    assert made == [Path("weights/a.v2-1.0.srm"), Path("weights/a.v2-1.1.srm")]
    assert strongroom.protect(Path("weights"), name="m", version="1.0").path == Path("weights-1.0.srm")
    monkeypatch.chdir(tmp_path / "weights")
    assert strongroom.protect(".", name="m", version="2.0").path == tmp_path / "weights-2.0.srm"


def test_keys_that_are_no_owners_are_refused_before_sealing(model, tmp_path, office, owner, desk):
    """Attack F09: said by whom it concerns, before the work; the office and every device refuse it anyway."""
    stranger = SigningKey.generate(ED25519)
    before = listing(tmp_path)
    for signers, word in ((stranger, "not an owner's"), ((*owner, stranger), "not an owner's"), (owner[:1], "1 of 1")):
        with pytest.raises(InputError) as caught:
            strongroom.protect(model, name="digits", version="1.0", office=office, sign_with=signers)
        assert word in caught.value.what
        assert caught.value.next_step
    with pytest.raises(InputError):  # nobody at all
        strongroom.protect(model, name="digits", version="1.0", office=office)
    assert listing(tmp_path) == before
    assert desk.requests == []


def test_a_file_whose_publishing_failed_goes_with_its_key(model, tmp_path, office, owner, desk):
    """The next try finds its name free."""
    desk.states, desk.reason = ["failed"], "file-digest"
    before = listing(tmp_path)
    for _ in range(2):
        with (
            pytest.raises(InputError) as caught,
            strongroom.protect(model, name="digits", version="1.0", office=office, sign_with=owner) as protected,
        ):
            protected.publish()
        assert caught.value.code == Code.DEPOSIT
        assert listing(tmp_path) == before


def test_drafts_that_a_killed_process_left_are_removed(model, tmp_path):
    """And those of a process that still writes are not: it holds their lock."""
    out = tmp_path / "out.srm"
    stale, alive = tmp_path / f".out.srm.{'0' * 16}.part", tmp_path / f".out.srm.{'1' * 16}.part"
    other = tmp_path / f".other.srm.{'0' * 16}.part"
    for path in (stale, alive, other):
        path.write_bytes(b"half")
    with alive.open("rb") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        strongroom.protect(model, name="digits", version="1.0", out=out).wipe()
    assert listing(tmp_path) == sorted([alive.name, other.name, "digits.onnx", "out.srm"])


def test_bytes_need_a_place():
    with pytest.raises(InputError) as caught:
        strongroom.protect(b"x", name="digits", version="1.0")
    assert "out=" in caught.value.next_step


def test_publishing_needs_an_office(model):
    with strongroom.protect(model, name="digits", version="1.0") as protected, pytest.raises(InputError):
        protected.publish()


ODD = {  # a graph, its weights, and what lies about; sizes are what their order depends on
    "decoder/model.onnx": 101,
    "decoder/model.onnx.data": 8192,
    "decoder/scales.bin": 9002,
    ".hidden/.settings.json": 3,
    "encoder.onnx": 4096,
    "labels.txt": 0,
    "w/a.bin": 64,
    "w/b.bin": 192,
}


def directory_of(tmp_path, sizes):
    top = tmp_path / "model"
    for path, size in sizes.items():
        (top / path).parent.mkdir(parents=True, exist_ok=True)
        (top / path).write_bytes(path.encode()[:1] * size)
    (top / "nothing in it").mkdir()
    return top


def test_a_directory_is_sealed_whole_in_an_order_that_keeps_weights_aligned(tmp_path):
    """R32: hidden files too, no empty directory, always in one order; each file begins where its type may lie."""
    top = directory_of(tmp_path, ODD)
    tocs = []
    for version in ("1.0", "1.1"):
        with strongroom.protect(top, name="digits", version=version) as protected:
            tocs.append(opened(protected).toc)
    assert tocs[0].files == tocs[1].files
    assert tocs[0].format == "onnx"
    paths = [entry.path for entry in tocs[0].files]
    assert set(paths) == set(ODD)
    assert [path for path in paths if path.endswith(".onnx")] == paths[-2:]  # graphs last: their sizes are odd
    for path, size in ODD.items():
        if not path.endswith(".onnx"):
            assert tocs[0].range_of(path)[0] % max(size & -size, 1) == 0, path
    assert tocs[0].range_of("decoder/model.onnx.data")[0] == 0


def test_other_directories_keep_the_order_of_their_paths(tmp_path):
    top = directory_of(tmp_path, {"b.bin": 1, "a/z.bin": 4096, "a.txt": 3})
    with strongroom.protect(top, name="digits", version="1.0") as protected:
        toc = opened(protected).toc
    assert [entry.path for entry in toc.files] == ["a.txt", "a/z.bin", "b.bin"]
    assert toc.format == "bytes"


@pytest.mark.parametrize("what", ["file", "directory", "pipe"])
def test_a_directory_with_a_link_or_a_pipe_is_refused(what, tmp_path):
    """F03: nothing is sealed that lies elsewhere, and nothing is left behind."""
    top = directory_of(tmp_path, ODD)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "secret").write_bytes(b"secret")
    if what == "pipe":
        os.mkfifo(top / "w" / "odd")
    else:
        (top / "w" / "odd").symlink_to(tmp_path / ("secret" if what == "file" else "elsewhere"))
    with pytest.raises(InputError) as caught:
        strongroom.protect(top, name="digits", version="1.0")
    assert caught.value.code == Code.PATH
    assert "odd" in caught.value.where
    assert list(tmp_path.glob("*.srm")) == []
