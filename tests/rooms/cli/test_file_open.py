"""`strongroom file open`: a directory that appears whole or not at all, a stdout that says when to throw it away."""

import os
import resource
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from strongroom import sealed
from strongroom.operator.keys import write_model_key
from strongroom.sealed import PayloadStream
from vectors.sealed_writer import MIB, Plan, fixed, flipped, make

FILES = {
    "a.bin": fixed("a", MIB + 7),
    "deep/er/b.bin": fixed("b", 2 * MIB),
    "deep/er/empty": b"",
    "deep/c": b"c",
    "model.onnx": b"graph",
}


def written(folder: Path, plan: Plan, data: bytes | None = None) -> None:
    (folder / "m.srm").write_bytes(make(plan).data if data is None else data)
    write_model_key(folder / "m.mek", sealed.ModelKey(plan.key()))


def left(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


@pytest.fixture
def model(tmp_path):
    """Four segments of five files in directories."""
    plan = Plan("open", list(FILES.items()))
    written(tmp_path, plan)
    return plan


@pytest.fixture
def meanwhile(monkeypatch):
    """Do something after the draft was made and before the first segment is opened."""

    def set_up(act) -> None:
        genuine = PayloadStream.segments

        def segments(stream):
            act()
            yield from genuine(stream)

        monkeypatch.setattr(PayloadStream, "segments", segments)

    return set_up


OPEN = ("file", "open", "m.srm", "-o", "out", "--mek", "m.mek")
TO_STDOUT = ("file", "open", "m.srm", "-o", "-", "--mek", "m.mek")


def test_a_model_with_directories(cli, tmp_path, model):
    outcome = cli(*OPEN)
    assert outcome.code == 0, outcome.err
    out = tmp_path / "out"
    found = {str(one.relative_to(out)): one for one in out.rglob("*") if one.is_file()}
    assert {name: one.read_bytes() for name, one in found.items()} == FILES
    assert {stat.S_IMODE(one.stat().st_mode) for one in found.values()} == {0o600}
    assert {stat.S_IMODE(one.stat().st_mode) for one in [out, *out.rglob("*")] if one.is_dir()} == {0o700}
    assert left(tmp_path) == ["m.mek", "m.srm", "out"]


def test_a_model_without_a_byte(cli, tmp_path):
    written(tmp_path, Plan("none", [("none", b""), ("d/none", b"")]))
    assert cli(*OPEN).code == 0
    assert (tmp_path / "out" / "d" / "none").read_bytes() == b""


@pytest.mark.parametrize("out", ["out", "-"])
def test_a_model_without_a_byte_is_checked_too(cli, tmp_path, out):
    """Step 9, where there is no segment to hold back."""
    plan = Plan("none", [("none", b"")], toc={"files": [{"path": "none", "sha256": "A" * 43, "size": 0}]})
    written(tmp_path, plan)
    outcome = cli("file", "open", "m.srm", "-o", out, "--mek", "m.mek")
    assert outcome.code == 5
    assert "[file-checksum]" in outcome.err
    assert left(tmp_path) == ["m.mek", "m.srm"]


@pytest.mark.parametrize("segment", [1, 2, 4])
def test_a_failure_in_any_segment_leaves_nothing(cli, tmp_path, model, segment):
    """R28, A10: also when most of the model was written already."""
    made = make(model)
    at = len(made.head_part) + sum(map(len, made.segments[:segment])) + 10
    (tmp_path / "m.srm").write_bytes(flipped(made.data, at))
    outcome = cli(*OPEN, "--json")
    assert (outcome.code, outcome.json["error"]["code"]) == (5, "file-digest")
    assert left(tmp_path) == ["m.mek", "m.srm"]


def test_a_checksum_that_does_not_fit_leaves_nothing(cli, tmp_path):
    """Step 9: every segment is genuine, the last file is not the one that the table of contents names."""
    plan = Plan("checksum", list(FILES.items()), bend_plain=lambda plain: [*plain[:-1], flipped(plain[-1], -1)])
    written(tmp_path, plan)
    outcome = cli(*OPEN)
    assert outcome.code == 5
    assert "[file-checksum]" in outcome.err
    assert left(tmp_path) == ["m.mek", "m.srm"]


def test_a_full_disk_leaves_nothing(cli, tmp_path, model):
    """C04: in the middle of the second file."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (3 * MIB // 2, old[1]))
        outcome = cli(*OPEN)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert outcome.code == 1
    assert "[disk-full]" in outcome.err
    assert left(tmp_path) == ["m.mek", "m.srm"]


@pytest.mark.parametrize("place", ["deep", "deep/er", "model.onnx"])
def test_a_link_planted_in_the_draft_is_not_followed(cli, tmp_path, model, meanwhile, place):
    """A30: no file goes where a link leads, whichever part of its path the link is."""
    (tmp_path / "elsewhere").mkdir()

    def plant() -> None:
        (draft,) = tmp_path.glob(".*.part")
        (draft / place).parent.mkdir(exist_ok=True)
        (draft / place).symlink_to(tmp_path / "elsewhere" / ("" if place.startswith("deep") else "file"))

    meanwhile(plant)
    outcome = cli(*OPEN)
    assert outcome.code == 1
    assert "another process put something into the draft directory" in outcome.err
    assert left(tmp_path) == ["elsewhere", "m.mek", "m.srm"]
    assert left(tmp_path / "elsewhere") == []


@pytest.mark.parametrize(
    ("made", "kind"), [("draft", "link"), ("draft", "directory"), ("deep", "link"), ("er", "link")]
)
def test_a_directory_that_is_exchanged_as_soon_as_it_is_made(cli, tmp_path, model, monkeypatch, made, kind):
    """A30: between making a directory and entering it, another takes its place: nothing is written into that one."""
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    genuine, exchanged = os.mkdir, []

    def make_and_exchange(path, mode=0o777, *, dir_fd=None) -> None:
        genuine(path, mode, dir_fd=dir_fd)
        if path == made or (made == "draft" and path.endswith(".part")):
            exchanged.append(path)
            os.rmdir(path, dir_fd=dir_fd)
            if kind == "link":
                os.symlink(tmp_path / "elsewhere", path, dir_fd=dir_fd)
            else:
                genuine(path, dir_fd=dir_fd)
                os.chmod(path, 0o777, dir_fd=dir_fd)  # noqa: S103 - as an attacker would have it

    monkeypatch.setattr(os, "mkdir", make_and_exchange)
    outcome = cli(*OPEN)
    monkeypatch.undo()
    assert len(exchanged) == 1
    assert outcome.code in {1, 2}
    assert left(tmp_path / "elsewhere") == []
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.rglob("a.bin"))


def test_a_directory_that_took_the_name_of_the_draft_is_not_emptied(cli, tmp_path, model, meanwhile):
    """A30: what is removed after a failure is what we made, not what has its name by now."""

    def exchange() -> None:
        (draft,) = tmp_path.glob(".*.part")
        draft.rename(tmp_path / "moved")
        draft.mkdir()
        (draft / "precious").write_bytes(b"x")

    meanwhile(exchange)
    made = make(model)
    (tmp_path / "m.srm").write_bytes(flipped(made.data, len(made.data) - 1))
    assert cli(*OPEN).code == 5
    (draft,) = tmp_path.glob(".*.part")
    assert left(draft) == ["precious"]
    assert left(tmp_path / "moved") == []


@pytest.mark.parametrize("kind", ["file", "link", "directory", "full directory"])
def test_a_name_that_is_taken_meanwhile(cli, tmp_path, model, meanwhile, kind):
    """Nothing is replaced, also if it was not there when the work began."""

    def take() -> None:
        out = tmp_path / "out"
        if kind == "file":
            out.write_bytes(b"mine")
        elif kind == "link":
            out.symlink_to("nowhere")
        else:
            out.mkdir()
            if kind == "full directory":
                (out / "mine").write_bytes(b"mine")

    meanwhile(take)
    outcome = cli(*OPEN)
    assert outcome.code == 2
    assert "[already-there]" in outcome.err
    assert left(tmp_path) == ["m.mek", "m.srm", "out"]
    assert not (tmp_path / "out" / "a.bin").exists()


def test_stdout_before_a_failure(cli, tmp_path):
    """Every segment before the bad one is genuine; the exit code and a note say that this is no model."""
    text = b"0123456789abcdef" * (MIB // 4)
    plan = Plan("stdout", [("m", text)])
    made = make(plan)
    written(tmp_path, plan, flipped(made.data, len(made.data) - 1))
    outcome = cli(*TO_STDOUT)
    assert outcome.code == 5
    assert outcome.out.encode() == text[: 3 * MIB]
    assert "throw it away" in outcome.err
    assert "[file-digest]" in outcome.err


def test_stdout_keeps_the_last_segment_back(cli, tmp_path):
    """Step 9: all segments are genuine, the file is not; what comes out is not of its length."""
    text = b"0123456789abcdef" * (MIB // 4)
    plan = Plan("back", [("m", text)], bend_plain=lambda plain: [*plain[:1], flipped(plain[1], 0), *plain[2:]])
    written(tmp_path, plan)
    outcome = cli(*TO_STDOUT)
    assert outcome.code == 5
    assert "[file-checksum]" in outcome.err
    assert len(outcome.out) == 3 * MIB
    plan = Plan("short", [("m", b"text")], bend_plain=lambda plain: [plain[0], b"tent"])
    (tmp_path / "m.mek").unlink()
    written(tmp_path, plan)
    outcome = cli(*TO_STDOUT)
    assert (outcome.code, outcome.out) == (5, "")
    assert "throw it away" not in outcome.err


def test_name_and_version_as_they_were_sealed(cli, tmp_path):
    """A23: what the owner bound into the file is compared where the key is; nothing is written for another."""
    (tmp_path / "m.bin").write_bytes(b"weights")
    seal = ("file", "seal", "m.bin", "-o", "m.srm", "--mek", "m.mek", "--name", "digits", "--version", "1.0")
    assert cli(*seal).code == 0
    for name, version in (("letters", "1.0"), ("digits", "1.1"), ("model", "0")):
        for out in ("out", "-"):
            call = ("file", "open", "m.srm", "-o", out, "--mek", "m.mek", "--name", name, "--version", version)
            outcome = cli(*call)
            assert (outcome.code, "[file-subject]" in outcome.err) == (5, True)
            assert (outcome.out, left(tmp_path)) == ("", ["m.bin", "m.mek", "m.srm"])
    for half in (("--name", "digits"), ("--version", "1.0"), ("--name", "../x", "--version", "1")):
        assert cli(*OPEN, *half).code == 2
    assert cli(*OPEN, "--name", "digits", "--version", "1.0").code == 0
    assert (tmp_path / "out" / "m.bin").read_bytes() == b"weights"


def test_stdout_is_for_the_model_alone(cli, tmp_path):
    """With --json an error would end up behind the model's bytes, in one file."""
    text = b"0123456789abcdef" * (MIB // 4)
    plan = Plan("alone", [("m", text)])
    written(tmp_path, plan, flipped(make(plan).data, -1))
    outcome = cli(*TO_STDOUT, "--json")
    assert outcome.code == 2
    assert outcome.json["error"]["code"] == "argument"
    assert left(tmp_path) == ["m.mek", "m.srm"]


def test_an_interrupt_after_the_rename_takes_nothing_away(cli, tmp_path, model, monkeypatch):
    """C01: the directory has its name and is whole: it stays."""
    genuine = os.rename

    def rename(*args, **how):
        genuine(*args, **how)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "rename", rename)
    assert cli(*OPEN).code == 130
    found = (tmp_path / "out").rglob("*")
    assert {str(one.relative_to(tmp_path / "out")): one.read_bytes() for one in found if one.is_file()} == FILES
    assert left(tmp_path) == ["m.mek", "m.srm", "out"]


def test_a_directory_that_is_moved_as_soon_as_it_is_there_stays_whole(cli, tmp_path, model, monkeypatch):
    """Somebody may wait for its name to appear: by then it is theirs."""
    fsync = os.fsync

    def moving(handle):
        if (tmp_path / "out").exists():
            (tmp_path / "out").rename(tmp_path / "taken")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", moving)
    assert cli(*OPEN).code == 0
    assert (tmp_path / "taken" / "a.bin").read_bytes() == FILES["a.bin"]


def test_all_of_it_is_on_the_disk_before_it_has_its_name(cli, tmp_path, model, monkeypatch):
    """C02: every file and every directory is synced before the rename, and after it the directory above."""
    fsync, rename, done = os.fsync, os.rename, []

    def note_sync(handle):
        fsync(handle)
        done.append(os.fstat(handle).st_ino)

    def note_rename(*args, **how):
        rename(*args, **how)
        done.append("renamed")

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(os, "rename", note_rename)
    assert cli(*OPEN).code == 0
    out = tmp_path / "out"
    renamed = done.index("renamed")
    assert {one.stat().st_ino for one in [out, *out.rglob("*")]} <= set(done[:renamed])
    assert tmp_path.stat().st_ino in done[renamed:]


def test_a_name_that_cannot_be_kept_is_said_and_the_model_stays(cli, tmp_path, model, monkeypatch):
    fsync = os.fsync

    def failing(handle):
        if os.path.samestat(os.fstat(handle), tmp_path.stat()):
            raise OSError(5, "Input/output error")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", failing)
    outcome = cli(*OPEN)
    assert (outcome.code, "the model is there, but" in outcome.err) == (1, True)
    assert (tmp_path / "out" / "a.bin").read_bytes() == FILES["a.bin"]


MEASURE = """
import sys
from pathlib import Path
from strongroom.cli import file, places, printing, root, unpacking
from strongroom import sealed
from strongroom.cli.faults import run
from strongroom.operator import keys, small_files

def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) // 1024

Path("/proc/self/clear_refs").write_text("5")
before = peak()
code = run(root, ["file", "open", "m.srm", "-o", sys.argv[1], "--mek", "m.mek"])
print(code, peak() - before, file=sys.stderr)
"""


@pytest.mark.slow
@pytest.mark.parametrize("out", ["out", "-"])
def test_memory_does_not_grow_with_the_model(tmp_path, out):
    """256 MiB in segments of 16 within 64 MiB above the level after imports (R22)."""
    with (tmp_path / "plain").open("wb") as file:
        file.truncate(256 * MIB)
    key = sealed.ModelKey.generate()
    write_model_key(tmp_path / "m.mek", key)
    with (tmp_path / "m.srm").open("w+b") as sink:
        sealed.seal(
            sealed.sources_of(tmp_path / "plain"), sink, mek=key, subject=sealed.Subject(None, "model", "0", None)
        )
    with (tmp_path / "stdout").open("wb") as stdout:
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, out],
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            check=True,
            timeout=300,
        )
    code, above = map(int, done.stderr.splitlines()[-1].split())
    assert code == 0
    assert above <= 64
    result = tmp_path / "out" / "plain" if out == "out" else tmp_path / "stdout"
    assert result.stat().st_size == 256 * MIB
