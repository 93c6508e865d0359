"""`strongroom file`: the format on the command line, with every kind of bad input."""

import hashlib
import importlib
import json
import os
import stat
import subprocess
import sys

import pytest

from strongroom.errors import Code
from strongroom.operator.keys import write_owner_key
from strongroom.signing import ED25519, ML_DSA_65, Principal, Role, SigningKey
from strongroom.wire import hpke, trust
from strongroom.wire.trust import Pin, Trust

MODEL = b"weights " * 50_000


@pytest.fixture(scope="module")
def owner():
    return SigningKey.generate(ED25519), SigningKey.generate(ML_DSA_65)


@pytest.fixture
def trust_file(tmp_path, owner):
    def make(name="trust.json", keys=owner):
        roles = [Role(1, (Principal(tuple(key.public for key in keys)),))]
        roles += [Role(1, (Principal((SigningKey.generate(ED25519).public,)),)) for _ in range(2)]
        pins = (Pin("desk", None, (bytes(32),)),)
        document = Trust(1, 2_000_000_000, "https://desk", pins, *roles, (), (1,), tuple(hpke.KEMS))
        (tmp_path / name).write_bytes(trust.encode(document, keys))
        return tmp_path / name

    return make


@pytest.fixture
def sealed(cli, tmp_path, owner):
    (tmp_path / "m.bin").write_bytes(MODEL)
    write_owner_key(tmp_path / "owner.key", owner)
    outcome = cli("file", "seal", "m.bin", "-o", "m.srm", "--mek", "m.mek", "--sign-with", "owner.key", "--json")
    assert outcome.code == 0, outcome.err
    return tmp_path / "m.srm"


def test_seal_and_open(cli, sealed, tmp_path, trust_file):
    assert stat.S_IMODE((tmp_path / "m.mek").stat().st_mode) == 0o600
    outcome = cli("file", "open", "m.srm", "-o", "out", "--mek", "m.mek", "--trust", trust_file(), "--json")
    assert outcome.code == 0
    assert (tmp_path / "out" / "m.bin").read_bytes() == MODEL
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o700
    assert outcome.json["payload_length"] == len(MODEL)


def test_open_without_trust_says_so(cli, sealed):
    outcome = cli("file", "open", "m.srm", "-o", "out", "--mek", "m.mek")
    assert outcome.code == 0
    assert "nobody's signature" in outcome.err


def test_owners_and_name_are_checked_together(cli, sealed, trust_file):
    how = ("file", "open", "m.srm", "-o", "out", "--mek", "m.mek", "--trust", trust_file(), "--version", "0", "--name")
    outcome = cli(*how, "other")
    assert (outcome.code, "[file-subject]" in outcome.err) == (5, True)
    assert cli(*how, "model").code == 0


def test_open_to_stdout(sealed, tmp_path):

    command = [sys.executable, "-m", "strongroom", "file", "open", "m.srm", "-o", "-", "--mek", "m.mek"]
    done = subprocess.run(command, capture_output=True, cwd=tmp_path, check=True)
    assert done.stdout == MODEL


def test_several_files_and_directories(cli, tmp_path):
    (tmp_path / "d" / "sub").mkdir(parents=True)
    for name in ("d/a", "d/sub/b", "c"):
        (tmp_path / name).write_bytes(name.encode())
    assert cli("file", "seal", "d", "-o", "d.srm", "--mek", "d.mek").code == 0
    assert cli("file", "open", "d.srm", "-o", "od", "--mek", "d.mek").code == 0
    assert (tmp_path / "od" / "sub" / "b").read_bytes() == b"d/sub/b"
    assert cli("file", "seal", "d/a", "c", "-o", "ac.srm", "--mek", "ac.mek").code == 0
    assert cli("file", "open", "ac.srm", "-o", "oac", "--mek", "ac.mek").code == 0
    assert sorted(one.name for one in (tmp_path / "oac").iterdir()) == ["a", "c"]
    outcome = cli("file", "open", "ac.srm", "-o", "-", "--mek", "ac.mek")
    assert (outcome.code, outcome.out) == (2, "")


def test_inspect_and_verify(cli, sealed, trust_file, owner):
    outcome = cli("file", "inspect", "m.srm", "--json")
    assert outcome.code == 0
    assert outcome.json["size"] == sealed.stat().st_size
    assert {one["key"] for one in outcome.json["signatures"]} == {key.public.key_id for key in owner}
    assert cli("file", "verify", "m.srm", "--trust", trust_file()).code == 0
    stranger = (SigningKey.generate(ED25519),)
    outcome = cli("file", "verify", "m.srm", "--trust", trust_file("other.json", stranger), "--json")
    assert outcome.code == 5
    assert outcome.json["error"]["code"] == "file-signature"


def test_a_key_seals_one_file(cli, sealed, tmp_path):
    """A model key that is there already is neither used again nor written over."""
    before = (tmp_path / "m.mek").read_bytes()
    outcome = cli("file", "seal", "m.bin", "-o", "n.srm", "--mek", "m.mek")
    assert outcome.code == 2
    assert "[already-there]" in outcome.err
    assert (tmp_path / "m.mek").read_bytes() == before
    assert not (tmp_path / "n.srm").exists()


def test_a_failed_seal_leaves_neither_file_nor_key(cli, tmp_path):
    (tmp_path / "m.bin").write_bytes(b"x")
    (tmp_path / "n.bin").write_bytes(b"y")
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / "m.bin").write_bytes(b"z")
    for sources in (["missing"], ["m.bin", "e/m.bin"], ["e/none"]):
        assert cli("file", "seal", *sources, "-o", "o.srm", "--mek", "o.mek").code == 2
    assert cli("file", "seal", "m.bin", "-o", "none/o.srm", "--mek", "o.mek").code == 2
    assert cli("file", "seal", "m.bin", "-o", "o.srm", "--mek", "none/o.mek").code == 2
    assert cli("file", "seal", "m.bin", "-o", "o.srm", "--mek", "o.mek", "--name", "../x").code == 2
    assert sorted(one.name for one in tmp_path.iterdir()) == ["e", "m.bin", "n.bin"]


def test_what_is_there_is_not_written_over(cli, sealed, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "link").symlink_to("nowhere")
    for out in ("out", "link", "m.bin"):
        outcome = cli("file", "open", "m.srm", "-o", out, "--mek", "m.mek")
        assert outcome.code == 2
        assert "[already-there]" in outcome.err
    before = hashlib.sha256(sealed.read_bytes()).digest()
    assert cli("file", "seal", "m.bin", "-o", "m.srm", "--mek", "new.mek").code == 2
    assert hashlib.sha256(sealed.read_bytes()).digest() == before
    assert not (tmp_path / "new.mek").exists()
    assert (tmp_path / "m.bin").read_bytes() == MODEL


@pytest.mark.parametrize("place", [0, 9, 40, 1500, -1, -200_000], ids=str)
def test_one_changed_bit_opens_nothing(cli, sealed, trust_file, tmp_path, place):
    """Attack A10, R28: exit code 5 and no plaintext anywhere."""
    trust_file()
    data = bytearray(sealed.read_bytes())
    data[place] ^= 1
    sealed.write_bytes(data)
    outcome = cli("file", "open", "m.srm", "-o", "out", "--mek", "m.mek", "--trust", "trust.json", "--json")
    assert outcome.code == 5
    assert outcome.json["error"]["code"].startswith(("file-", "json-"))
    assert not (tmp_path / "out").exists()
    assert not [name for name in [one.name for one in tmp_path.iterdir()] if name.endswith(".part")]


@pytest.mark.parametrize("length", [0, 1, 31, 32, 100, 5000, -1], ids=str)
def test_a_cut_file_opens_nothing(cli, sealed, tmp_path, length):
    data = sealed.read_bytes()
    sealed.write_bytes(data[:length])
    for command in (["open", "m.srm", "-o", "out", "--mek", "m.mek"], ["inspect", "m.srm"]):
        assert cli("file", *command).code == 5
    assert not (tmp_path / "out").exists()


def test_the_wrong_key(cli, sealed, tmp_path):
    assert cli("file", "seal", "m.bin", "-o", "n.srm", "--mek", "n.mek").code == 0
    outcome = cli("file", "open", "m.srm", "-o", "out", "--mek", "n.mek")
    assert outcome.code == 5
    assert "[file-wrong-key]" in outcome.err


@pytest.mark.parametrize("bad", ["missing", "directory", "empty", "text", "fifo", "link", "binary"])
@pytest.mark.parametrize("role", ["IN", "mek", "trust", "sign-with", "SRC"])
def test_bad_files_in_every_place(cli, sealed, trust_file, tmp_path, bad, role):
    """Missing, a directory, empty, of another kind, a FIFO, a link: a typed error with a code, whatever it was for."""
    trust_file()
    path = tmp_path / "bad"
    if bad == "directory":
        path.mkdir(mode=0o700)
        os.mkfifo(path / "fifo")
    elif bad == "fifo":
        os.mkfifo(path, 0o600)
    elif bad == "link":
        path.symlink_to("nowhere")
    elif bad != "missing":
        path.write_bytes({"empty": b"", "text": b"hello\n", "binary": os.urandom(5000)}[bad])
        path.chmod(0o600)
    command = {
        "IN": ["open", "bad", "-o", "out", "--mek", "m.mek"],
        "mek": ["open", "m.srm", "-o", "out", "--mek", "bad"],
        "trust": ["verify", "m.srm", "--trust", "bad"],
        "sign-with": ["seal", "m.bin", "-o", "out", "--mek", "new", "--sign-with", "bad"],
        "SRC": ["seal", "bad", "-o", "out", "--mek", "new"],
    }[role]
    outcome = cli("file", *command, "--json")
    if role == "SRC" and bad in {"empty", "text", "binary"}:
        assert outcome.code == 0  # any bytes may be sealed
        return
    assert outcome.code in {1, 2, 5}
    assert outcome.json["error"]["code"] in set(map(str, Code))
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "new").exists()


def test_a_key_that_others_may_read_is_refused(cli, sealed, tmp_path):
    (tmp_path / "m.mek").chmod(0o644)
    outcome = cli("file", "open", "m.srm", "-o", "out", "--mek", "m.mek")
    assert outcome.code == 1
    assert outcome.err.splitlines()[1] == "next: run: chmod 600 m.mek"


def test_secrets_stay_out_of_the_output(cli, sealed, tmp_path):
    """R16, D10: neither the key nor a word of the model is printed, whatever happens."""
    key = (tmp_path / "m.mek").read_text().strip()
    for command in (
        ["inspect", "m.srm", "--json"],
        ["inspect", "m.srm"],
        ["open", "m.srm", "-o", "one", "--mek", "m.mek", "--json"],
        ["open", "m.mek", "-o", "two", "--mek", "m.srm"],
        ["open", "m.mek", "-o", "two", "--mek", "m.mek"],
    ):
        outcome = cli("file", *command)
        assert key not in outcome.out + outcome.err
        assert "weights" not in outcome.out + outcome.err


def test_json_output_is_one_document(cli, sealed):
    json.loads(cli("file", "inspect", "m.srm", "--json").out)
    human = cli("file", "inspect", "m.srm").out
    assert "signed by" in human
    assert "\x1b" not in human


@pytest.mark.parametrize(
    ("source", "what", "cure"),
    [
        ("link.onnx", "symbolic links are not followed", "name the file or directory it points to"),
        ("to-directory", "symbolic links are not followed", "name the file or directory it points to"),
        ("pipe", "not a regular file", "name a regular file"),
        ("a:b", "cannot have this path", "rename the file"),
        ("twins", "would be one on some systems", "rename one of them"),
        ("empty", "the directory holds no file", "files in it"),
        ("missing", "no such file", "check the path"),
    ],
)
def test_each_bad_source_has_its_own_cure(cli, tmp_path, source, what, cure):
    """A model from a cache of links, for one: what to do is said, and is not about something else."""
    (tmp_path / "blob").write_bytes(b"x")
    (tmp_path / "link.onnx").symlink_to("blob")
    (tmp_path / "a:b").write_bytes(b"x")
    for name in ("empty", "twins"):
        (tmp_path / name).mkdir()
    for name in ("A", "a"):
        (tmp_path / "twins" / name).write_bytes(b"x")
    (tmp_path / "to-directory").symlink_to("twins")
    os.mkfifo(tmp_path / "pipe")
    outcome = cli("file", "seal", source, "-o", "o.srm", "--mek", "o.mek")
    assert outcome.code == 2
    error, step = outcome.err.splitlines()
    assert what in error
    assert step.startswith("next: ")
    assert cure in step
    assert not list(tmp_path.glob("o.*"))


@pytest.mark.parametrize("mek", ["o.srm", "./o.srm"])
def test_a_file_and_its_key_are_two(cli, tmp_path, mek):
    (tmp_path / "m.bin").write_bytes(b"x")
    outcome = cli("file", "seal", "m.bin", "-o", "o.srm", "--mek", mek)
    assert outcome.code == 2
    assert outcome.err.startswith("error: the sealed file and its key cannot be one file")
    assert [one.name for one in tmp_path.iterdir()] == ["m.bin"]


class Failing:
    """Let a function do its work and fail after it, once."""

    def __init__(self, honest, error, *, calls=1):
        self.honest, self.error, self.calls = honest, error, calls

    def __call__(self, *args, **how):
        self.honest(*args, **how)
        self.calls -= 1
        if not self.calls:
            raise self.error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(5, "Input/output error")], ids=["Ctrl-C", "bad disk"])
def test_the_key_of_a_file_that_is_there_stays(cli, tmp_path, monkeypatch, error):
    """C01, C04: what fails once the file has its name leaves file and key, and says so."""
    from strongroom.operator import small_files

    (tmp_path / "m.bin").write_bytes(MODEL)
    monkeypatch.setattr(small_files, "sync_directory", Failing(small_files.sync_directory, error, calls=2))
    outcome = cli("file", "seal", "m.bin", "-o", "m.srm", "--mek", "m.mek")
    assert outcome.code == (130 if isinstance(error, KeyboardInterrupt) else 1)
    assert "next: m.srm is there and m.mek opens it; to seal again, remove both" in outcome.err
    assert cli("file", "open", "m.srm", "-o", "out", "--mek", "m.mek").code == 0
    assert (tmp_path / "out" / "m.bin").read_bytes() == MODEL
    assert not list(tmp_path.glob(".*"))


def test_the_key_goes_if_the_interrupt_comes_while_it_is_written(cli, tmp_path, monkeypatch):
    """C01: the retry finds its names free."""
    from strongroom.operator import small_files

    (tmp_path / "m.bin").write_bytes(b"x")
    monkeypatch.setattr(small_files, "sync_directory", Failing(small_files.sync_directory, KeyboardInterrupt()))
    assert cli("file", "seal", "m.bin", "-o", "m.srm", "--mek", "m.mek").code == 130
    assert [one.name for one in tmp_path.iterdir()] == ["m.bin"]
    assert cli("file", "seal", "m.bin", "-o", "m.srm", "--mek", "m.mek").code == 0


def test_a_name_that_is_taken_while_sealing_takes_the_key_along(cli, tmp_path, monkeypatch):
    """The file that is there is somebody else's: the key opens nothing and goes."""
    protect = importlib.import_module("strongroom.operator.protect")  # `strongroom.protect` is the function
    (tmp_path / "m.bin").write_bytes(b"x")
    honest = protect.seal

    def seal(*args, **how):
        (tmp_path / "m.srm").write_bytes(b"mine")
        return honest(*args, **how)

    monkeypatch.setattr(protect, "seal", seal)
    outcome = cli("file", "seal", "m.bin", "-o", "m.srm", "--mek", "m.mek")
    assert (outcome.code, "[already-there]" in outcome.err) == (2, True)
    assert (tmp_path / "m.srm").read_bytes() == b"mine"
    assert not (tmp_path / "m.mek").exists()


@pytest.mark.parametrize("code", ["file-wrong-key", "file-subject", "file-digest", "file-truncated"])
def test_what_does_not_open_has_a_next_step(cli, sealed, code):
    data = sealed.read_bytes()
    if code in {"file-digest", "file-truncated"}:
        sealed.write_bytes(data[:-1] + b"?" if code == "file-digest" else data[:-1])
    mek, more = "m.mek", ["--name", "other", "--version", "1"] if code == "file-subject" else []
    if code == "file-wrong-key":
        assert cli("file", "seal", "m.bin", "-o", "n.srm", "--mek", "n.mek").code == 0
        mek = "n.mek"
    outcome = cli("file", "open", "m.srm", "-o", "out", "--mek", mek, *more)
    assert outcome.code == 5
    assert f"[{code}]\nnext: " in outcome.err
