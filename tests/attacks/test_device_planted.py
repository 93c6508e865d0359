"""Things planted under the names that the device store makes or replaces: links, FIFOs, device nodes, directories."""

import os
import shutil
import socket
import stat
from pathlib import Path

import pytest

from crash import acts
from rooms.edge.memory_office import Device
from strongroom.edge.folder import FRESH, Folder
from strongroom.edge.keystore.file import FileKeystore
from strongroom.edge.store import Store
from strongroom.errors import Code, StoreError, StrongroomError

ACTS = {act.name: act for act in acts.ACTS}
KINDS = ("link", "dangling link", "link to a directory", "hard link", "FIFO", "socket", "directory")
DEVICE = ("device node",) if os.geteuid() == 0 else ()  # only root makes one
PRECIOUS = b"precious, and thirty-two bytes.."


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_bytes(PRECIOUS)
    (outside / "precious").chmod(0o644)
    return outside


def plant(path: Path, kind: str, outside: Path) -> None:
    """Put a thing of this kind in the place of whatever is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    if kind == "link":
        path.symlink_to(outside / "precious")
    elif kind == "dangling link":
        path.symlink_to(outside / "nowhere")
    elif kind == "link to a directory":
        path.symlink_to(outside)
    elif kind == "hard link":
        path.hardlink_to(outside / "precious")
    elif kind == "FIFO":
        os.mkfifo(path, 0o600)
    elif kind == "socket":
        here = Path.cwd()
        os.chdir(path.parent)  # a socket's name has a short limit
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(path.name)
        os.chdir(here)
    elif kind == "device node":
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))
    else:
        path.mkdir(mode=0o700)
        (path / "inner").write_bytes(PRECIOUS)


def check_outside(outside: Path) -> None:
    assert [one.name for one in outside.iterdir()] == ["precious"]
    precious = outside / "precious"
    assert precious.read_bytes() == PRECIOUS
    assert stat.S_IMODE(precious.stat().st_mode) == 0o644


def tried(device: Device) -> None:
    """Do everything that a device does; whatever is refused is refused with a code and a next step."""
    for do in (
        lambda: device.room(token=None).load("digits", offline="only").__enter__().close(),
        lambda: Store.clean(device.room().store),
        lambda: device.room().renew("digits"),
        lambda: device.room().pull("digits"),
        lambda: device.room().pull("digits", fresh=True),
        lambda: acts.wiping.remove(device.room().store, [acts.parse_reference("other")]),
        lambda: device.room().enrol(acts.USER_TOKEN),
    ):
        try:
            do()
        except StrongroomError as error:
            assert error.next_step or error.code in {Code.NOT_ENROLLED, Code.UNREACHABLE}, error  # noqa: PT017 - refused or not, both are right


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*KINDS, *DEVICE])
def test_planted_under_every_name_of_the_store(tmp_path, outside, kind):
    """C14: in turn under each name of a device with models and a download on its way: nothing outside is written."""
    made = acts.scene(ACTS["resume"], tmp_path / "first")
    names = sorted(str(path.relative_to(made.home)) for path in made.home.rglob("*"))
    assert len(names) > 12
    for name in names:
        acts.copy(made, tmp_path / "device")
        device = made.device(tmp_path / "device")
        plant(device.home / name, kind, outside)
        tried(device)
        check_outside(outside)
        if name.startswith(("incoming/", "models/")) and name.count("/") == 2 and kind != "directory":
            device.room().pull("digits")  # of a version, what is foreign is taken away, not followed
            with device.room().load("digits", offline="only") as model:
                assert model.bytes() == acts.LONG
        shutil.rmtree(device.home)


@pytest.mark.parametrize("kind", [*KINDS, *DEVICE])
def test_planted_under_the_name_of_a_temporary_file(tmp_path, monkeypatch, outside, kind):
    """C14: even with the random name guessed: refused, for what is new is never what was there; and no hang."""
    random = os.urandom
    with Folder.open(tmp_path / "home") as home:
        monkeypatch.setattr(os, "urandom", bytes)
        plant(home.path / (FRESH + bytes(8).hex()), kind, outside)
        with pytest.raises(StoreError):
            home.write("state.json", b"ours")
        check_outside(outside)
        monkeypatch.setattr(os, "urandom", random)
        home.write("state.json", b"ours")
        assert home.read("state.json", limit=10) == b"ours"
    check_outside(outside)


@pytest.mark.parametrize("kind", [*KINDS, *DEVICE])
def test_planted_under_the_name_of_what_is_replaced(tmp_path, outside, kind):
    """C14: the name is replaced, not what it leads to; a key that is destroyed is ours alone."""
    with Folder.open(tmp_path / "home") as home:
        plant(home.path / "state.json", kind, outside)
        if kind == "directory":
            with pytest.raises(StoreError):
                home.write("state.json", b"ours")
            assert home.names() == ["state.json"]
        else:
            home.write("state.json", b"ours")
            assert not (home.path / "state.json").is_symlink()
            assert home.read("state.json", limit=10) == b"ours"
        check_outside(outside)
    keys = FileKeystore(tmp_path / "keys")
    keys.put("b" * 32, bytes(32))
    plant(tmp_path / "keys" / ("a" * 32 + ".key"), kind, outside)
    try:
        keys.destroy("a" * 32)
    except StoreError as error:
        assert error.next_step  # noqa: PT017 - refused or taken away, both are right
    check_outside(outside)


@pytest.mark.parametrize("umask", [0o000, 0o077], ids=oct)
@pytest.mark.parametrize("name", ["install", "update", "resume", "renew", "wipe", "remove", "enrol"])
def test_modes_after_every_act(tmp_path, name, umask):
    """C15: 0600 and 0700, whatever the umask."""
    made = acts.scene(ACTS[name], tmp_path / "device")
    before = os.umask(umask)
    try:
        made.act.do(made.device())
    finally:
        os.umask(before)
    found = {path: stat.S_IMODE(path.lstat().st_mode) for path in made.home.rglob("*") if path.name != "trust.json"}
    assert {path for path, mode in found.items() if mode != (0o700 if path.is_dir() else 0o600)} == set()
    assert len(found) > 5
