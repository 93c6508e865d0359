"""The same on the command line: `strongroom file open | verify | inspect | sign` on a file that is exchanged."""

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from attacks.exchanging import (
    ELSEWHERE,
    IN_PLACE,
    PLANTED,
    cut,
    directory_replaced,
    emptied,
    last_byte_altered,
    made_a_link,
    plant,
    removed,
    replaced,
    rewritten,
    spell,
)
from strongroom import sealed
from strongroom.cli import root
from strongroom.cli.faults import run
from strongroom.operator.keys import write_model_key, write_owner_key
from strongroom.signing import ED25519, Principal, Role, SigningKey
from strongroom.wire import hpke, trust
from strongroom.wire.trust import Pin, Trust
from vectors.sealed_writer import MIB, fixed
from vectors.targets import network_file

SIZE = MIB + 100
GENUINE, MEK, MADE = network_file(size=SIZE)
OTHER, _, _ = network_file("another genuine file", size=SIZE)
OWNER, SECOND = (SigningKey(ED25519, fixed(f"owner {name}", 32)) for name in ("first", "second"))


class Desk:
    """A directory with a sealed file, its key, who may sign it, and a key to sign with."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capsys = folder, capsys
        self.path = folder / "in" / "f.srm"
        write_model_key(folder / "mek", MEK)
        write_owner_key(folder / "second.key", (SECOND,))
        online = Role(1, (Principal((SigningKey.generate(ED25519).public,)),))
        pins = (Pin("desk", None, (bytes(32),)),)
        owners = Role(1, (Principal((OWNER.public,)), Principal((SECOND.public,))))
        document = Trust(1, 2_000_000_000, "https://desk", pins, owners, online, online, (), (1,), tuple(hpke.KEMS))
        (folder / "trust.json").write_bytes(trust.encode(document, (OWNER,)))
        self.lay()

    def lay(self) -> None:
        """Put the genuine file where it belongs, and nothing else."""
        for place in self.folder.iterdir():
            if place.is_symlink() or place.is_fifo():
                place.unlink()
            elif place.is_dir():
                shutil.rmtree(place)
        self.path.parent.mkdir()
        self.path.write_bytes(GENUINE)

    def run(self, command: str) -> tuple[int, str]:
        """Run a command on the file; return its exit code and the error code it names."""
        how = {
            "open": ["-o", self.folder / "out", "--mek", self.folder / "mek", "--trust", self.folder / "trust.json"],
            "verify": ["--trust", self.folder / "trust.json"],
            "inspect": [],
            "sign": ["--sign-with", self.folder / "second.key"],
        }
        self.capsys.readouterr()
        code = run(root, ["file", command, str(self.path), *map(str, how[command])])
        out, err = self.capsys.readouterr()
        assert "Traceback" not in out + err
        assert "internal" not in err
        return code, err

    def left_over(self) -> list[Path]:
        """Return what no command may leave behind: drafts, and output of a command that failed."""
        return [*self.folder.rglob("*.part"), *self.folder.glob("out")]


@pytest.fixture
def desk(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Desk(tmp_path, capsys)


def at_read(monkeypatch: pytest.MonkeyPatch, when: Callable[[int], bool], act: Callable[[], None]) -> list[int]:
    """Let something happen before the first read from a position; return the list of all reads."""
    reads: list[int] = []
    done: list[bool] = []
    turn = threading.Lock()  # no other thread has read further by then: what was read before is judged as it was
    for name in ("pread", "pread_into"):
        honest = getattr(sealed.FileReadable, name)

        def read(self, offset, given, honest=honest):
            with turn:
                if when(offset) and not done:
                    done.append(True)
                    act()
            reads.append(offset)
            return honest(self, offset, given)

        monkeypatch.setattr(sealed.FileReadable, name, read)
    return reads


FIRST_SEGMENT = len(MADE.head_part)


@pytest.mark.parametrize("act", [*ELSEWHERE, *IN_PLACE], ids=spell)
@pytest.mark.parametrize("command", ["open", "verify"])
def test_exchanged_between_head_and_segments(desk, monkeypatch, command, act):
    """A30: under its path: the file that was opened is what comes out; in place: exit code 5 and nothing written."""
    reads = at_read(monkeypatch, lambda offset: offset >= FIRST_SEGMENT, lambda: act(desk.path, OTHER))
    code, err = desk.run(command)
    assert reads
    if act in IN_PLACE:
        assert code == 5, err
        assert any(one in err for one in ("file-truncated", "file-digest"))
        assert desk.left_over() == []
    else:
        assert code == 0, err
        if command == "open":
            assert (desk.folder / "out" / "model").read_bytes() == fixed("target", SIZE)


@pytest.mark.parametrize("act", [cut, emptied, rewritten], ids=spell)
def test_exchanged_between_the_two_reads_of_a_head(desk, monkeypatch, act):
    """A30: `inspect` draws one file or none, never the preamble of one with the fields of another."""
    seen = []

    def on_the_second() -> None:
        act(desk.path, OTHER[:-1] + b"\0")

    at_read(monkeypatch, lambda offset: seen.append(offset) or len(seen) == 2, on_the_second)
    code, err = desk.run("inspect")
    if act is rewritten:  # same lengths: what is drawn is the other file, whole
        assert code == 0
    elif act is emptied:
        assert (code, "file-truncated" in err) == (5, True)
    else:  # the head is still there, and all that is drawn
        assert code == 0


@pytest.mark.parametrize("act", [replaced, made_a_link, removed, directory_replaced], ids=spell)
@pytest.mark.parametrize("moment", ["before the first read", "before the segments"])
def test_signing_writes_over_nothing_but_what_was_signed(desk, monkeypatch, act, moment):
    """A30: what lies under the path by then is somebody else's: it stays as it is, and the owner signs again."""
    start = 0 if moment == "before the first read" else FIRST_SEGMENT
    at_read(monkeypatch, lambda offset: offset >= start, lambda: act(desk.path, OTHER))
    code, err = desk.run("sign")
    assert code != 0, "the signature went somewhere"
    if act is removed:
        assert not desk.path.exists()
    else:
        assert "file-source-changed" in err
        assert desk.path.read_bytes() == OTHER
        assert desk.path.is_symlink() == (act is made_a_link)
    if act is not directory_replaced:  # where the draft went with its directory, it is ciphertext that opens nowhere
        assert desk.left_over() == []


def test_signing_what_was_exchanged_right_after_it_was_opened(desk, monkeypatch):
    """A30: the file is known by its descriptor: what is exchanged before anything is read is noticed at the end."""
    honest = sealed.FileReadable.open

    def opening(path):
        class Late:
            def __enter__(self):
                self.inner = honest(path)
                readable = self.inner.__enter__()
                replaced(desk.path, OTHER)
                return readable

            def __exit__(self, *how):
                return self.inner.__exit__(*how)

        return Late()

    monkeypatch.setattr(sealed.FileReadable, "open", opening)
    code, err = desk.run("sign")
    assert (code, "file-source-changed" in err) == (2, True)
    assert desk.path.read_bytes() == OTHER
    assert desk.left_over() == []


@pytest.mark.parametrize("act", [cut, emptied, last_byte_altered, rewritten], ids=spell)
def test_signing_what_changes_in_place(desk, monkeypatch, act):
    """A30: nobody's signature gets on it: exit code 5, and what lies there is what the other one wrote."""
    at_read(monkeypatch, lambda offset: offset >= FIRST_SEGMENT, lambda: act(desk.path, OTHER))
    code, err = desk.run("sign")
    assert code == 5, err
    assert desk.left_over() == []
    head = (desk.path.read_bytes() + bytes(FIRST_SEGMENT))[:FIRST_SEGMENT]
    assert SECOND.public.key_id.encode() not in head


@pytest.mark.parametrize("what", PLANTED)
@pytest.mark.parametrize("command", ["open", "verify", "inspect", "sign"])
def test_what_is_no_file(desk, command, what):
    """A30: links, pipes, devices and directories in the place of a file: refused at once, nothing written."""
    desk.path.unlink()
    plant(desk.path, what)
    before = sorted(one.name for one in desk.folder.rglob("*"))
    code, err = desk.run(command)
    assert (code, "[path]" in err) == (2, True), err
    assert sorted(one.name for one in desk.folder.rglob("*")) == before


@pytest.mark.parametrize("what", ["link", "dangling link", "pipe", "directory"])
def test_where_the_output_should_go(desk, what):
    """A30: `open` writes over nothing and through no link."""
    out = desk.folder / "out"
    plant(out, what)
    before = os.lstat(out)
    code, err = desk.run("open")
    assert (code, "already-there" in err) == (2, True)
    assert os.lstat(out).st_ino == before.st_ino
    assert not list(desk.folder.rglob("*.part"))
