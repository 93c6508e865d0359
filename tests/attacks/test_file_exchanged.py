"""Attempts to exchange a file while it is being read, and to plant something that is no file (R28, R56).

A file is opened once, without following a link, looked at through its descriptor and never again by its path: what was
checked is what is read, or it is refused.
"""

import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from attacks.exchanging import ELSEWHERE, IN_PLACE, PLANTED, directory_replaced, grown, plant, spell
from rooms.edge.memory_office import Device, MemoryOffice
from strongroom import sealed
from strongroom.edge.folder import Folder
from strongroom.errors import InputError, IntegrityError, StoreError
from vectors.sealed_writer import MIB, fixed
from vectors.targets import FORMS, Target

SIZE = MIB + 100
OTHER = "another genuine file"


class Interrupted(sealed.FileReadable):
    """A file to which something happens before one of its reads."""

    reads = 0
    when: int
    act: Callable[[], None]

    def _next(self) -> None:
        if self.reads == self.when:
            self.act()
        self.reads += 1

    def pread(self, offset: int, length: int) -> bytes:
        self._next()
        return super().pread(offset, length)

    def pread_into(self, offset: int, into: memoryview) -> int:
        self._next()
        return super().pread_into(offset, into)


@pytest.mark.parametrize(("form", "suite"), FORMS)
@pytest.mark.parametrize("act", [*ELSEWHERE, *IN_PLACE, grown], ids=spell)
def test_the_file_changes_between_two_reads(tmp_path, form, suite, act):
    """A30: before each read in turn: exchanged under its path it is the file that was opened.

    Changed in place it is refused, and what is added behind its end is no part of it.
    """
    target, other = (Target.of(form, suite, SIZE, name) for name in ("target", OTHER))
    when = 0
    while True:
        path = tmp_path / f"{when}" / "folder" / "f.srm"
        path.parent.mkdir(parents=True)
        path.write_bytes(target.made.data)
        with Interrupted.open(path) as readable:
            readable.when = when
            readable.act = lambda path=path: act(path, other.made.data)
            verdict = verdict_of(lambda readable=readable: target.open(readable))
        if readable.reads <= when:
            break
        if act in IN_PLACE:
            assert verdict in ("file-truncated", "file-format", "file-wrong-key", target.broken), when
        else:
            assert verdict == target.plain, when
        when += 1
    assert verdict == target.plain, "nothing happened this time"
    assert when >= 5, "preamble, head part, table of contents, two segments"


def verdict_of(opening: Callable[[], memoryview]) -> memoryview | str:
    """Return what comes out, or the code of the refusal."""
    try:
        return opening()
    except (IntegrityError, StoreError) as error:
        return str(error.code)


def test_the_head_changes_between_its_two_reads(tmp_path):
    """A30: the first 32 bytes are read again with the head they announce: the second reading is what is judged."""
    target = Target.of("network", 1, 1000)
    path = tmp_path / "f.srm"
    for at in range(8, 32):
        path.write_bytes(target.made.data)
        with Interrupted.open(path) as readable:

            def act(at: int = at) -> None:
                with path.open("r+b") as file:
                    file.seek(at)
                    file.write(bytes([target.made.data[at] ^ 1]))

            readable.when, readable.act = 1, act
            assert target.code(readable)


@pytest.mark.parametrize("what", PLANTED)
def test_what_is_no_file(tmp_path, what):
    """A30: refused at once, a pipe nobody writes to as well; links are not followed, not even to a regular file."""
    plant(tmp_path / "f", what)
    with pytest.raises((InputError, StoreError)) as refusal, sealed.FileReadable.open(tmp_path / "f"):
        pytest.fail("it was opened")
    assert refusal.value.code == "path"
    with pytest.raises((InputError, StoreError)):
        sealed.Source.of_file("f", tmp_path / "f")


@pytest.mark.parametrize("path", ["/dev/null", "/dev/zero", "/dev/tty", "/proc/self/fd/0", "f/inside", "a\0b", ""])
def test_paths_that_lead_to_no_file(tmp_path, monkeypatch, path):
    """A30: device nodes by their own names, a file used as a directory, names no system has."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "f").write_bytes(b"data")
    with pytest.raises((InputError, StoreError)), sealed.FileReadable.open(path):
        pytest.fail("it was opened")


def test_no_descriptor_is_left_open(tmp_path):
    """A30: whatever was planted."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    for what in PLANTED:
        plant(tmp_path / what, what)
        with pytest.raises((InputError, StoreError)), sealed.FileReadable.open(tmp_path / what):
            pass
    assert len(list(Path("/proc/self/fd").iterdir())) == before


# A device's store


class Kept:
    """A device with a model in its store, and the store as it was, to be laid back."""

    def __init__(self, folder: Path) -> None:
        office = MemoryOffice()
        office.publish("digits", "1.0", {"w": fixed("w", SIZE)}, counter=1)
        self.device, self.copy = Device(folder / "device", office), folder / "copy"
        self.device.room().pull("digits")
        shutil.copytree(self.device.home, self.copy)

    def fresh(self) -> Path:
        """Lay the store back; return the path of the installed file."""
        if self.device.home.is_symlink():
            self.device.home.unlink()
        shutil.rmtree(self.device.home, ignore_errors=True)
        shutil.copytree(self.copy, self.device.home)
        return next(self.device.home.glob("models/*/0.srm"))

    def loaded(self) -> bytes | str:
        """Return what comes out, or the code of the refusal."""
        try:
            with self.device.room().load("digits", offline="only") as model:
                return bytes(model.file("w"))
        except (IntegrityError, StoreError) as error:
            return str(error.code)


@pytest.fixture
def store(tmp_path):
    return Kept(tmp_path)


@pytest.mark.parametrize("act", [*ELSEWHERE, *IN_PLACE, grown], ids=spell)
def test_an_installed_file_changes_while_it_is_opened(store, monkeypatch, act):
    """A30: after the store has opened and measured it, before each read of it in turn.

    What has been read by then, on whatever thread, was the genuine file: it is that or nothing.
    """
    when, reads, turn = 0, 0, threading.Lock()
    honest = {name: getattr(sealed.FileReadable, name) for name in ("pread", "pread_into")}

    def reading(name: str) -> Callable:
        def read(self, offset: int, given: int | memoryview) -> bytes | int:
            nonlocal reads
            with turn:
                if reads == when:
                    act(path, bytes(SIZE))
                reads += 1
            return honest[name](self, offset, given)

        return read

    for name in honest:
        monkeypatch.setattr(sealed.FileReadable, name, reading(name))
    while True:
        path, reads = store.fresh(), 0
        came = store.loaded()
        if reads <= when:
            break
        if act in IN_PLACE:
            assert came in ("file-truncated", "file-format", "file-segment") or (when > 2 and came == fixed("w", SIZE))
        else:
            assert came == fixed("w", SIZE), when
        when += 1
    assert came == fixed("w", SIZE), "nothing happened this time"
    assert when >= 5, "preamble, head part, table of contents, two segments"


@pytest.mark.parametrize("what", PLANTED)
def test_something_planted_in_the_store(store, tmp_path, what):
    """A30: in the place of an installed file, of the directory it is in, and of all installed versions."""
    for level in range(3):
        path = store.fresh()
        place = (path, *path.parents)[level]
        place.rename(tmp_path / f"away {level}")
        plant(place, what)
        assert store.loaded() in ("store-damaged", "store-io"), place.name


def test_links_to_genuine_copies_are_not_followed(store, tmp_path):
    """A30: the content would be right; a link is refused all the same, as file, directory, and as the whole store."""
    assert store.loaded() == fixed("w", SIZE)
    for level in range(4):
        path = store.fresh()
        place = (path, *path.parents)[level]
        place.rename(tmp_path / f"away {level}")
        place.symlink_to(tmp_path / f"away {level}")
        assert store.loaded() == "store-damaged", place.name


def test_directories_exchanged_after_they_were_entered(store, tmp_path, monkeypatch):
    """A30: between entering the directory of a version and opening its file, which is reached by descriptor."""
    path, honest, acted = store.fresh(), Folder.open_file, []

    def opening(self, name):
        if name == "0.srm" and not acted:
            acted.append(name)
            directory_replaced(path, b"planted")
            path.parent.parent.rename(tmp_path / "models away")
            path.parent.parent.mkdir(mode=0o700)
        return honest(self, name)

    monkeypatch.setattr(Folder, "open_file", opening)
    assert store.loaded() == fixed("w", SIZE)
    assert acted
