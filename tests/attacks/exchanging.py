"""What somebody else may do to a file while it is being read, and what he may plant in its place."""

import os
import stat
from collections.abc import Callable
from pathlib import Path


def removed(path: Path, _: bytes) -> None:
    path.unlink()


def replaced(path: Path, other: bytes) -> None:
    beside = path.with_name("beside")
    beside.write_bytes(other)
    beside.replace(path)


def made_a_link(path: Path, other: bytes) -> None:
    path.with_name("elsewhere").write_bytes(other)
    path.unlink()
    path.symlink_to("elsewhere")


def made_a_pipe(path: Path, _: bytes) -> None:
    path.unlink()
    os.mkfifo(path)


def directory_replaced(path: Path, other: bytes) -> None:
    path.parent.rename(path.parent.with_name("moved away"))
    (path.parent.with_name("planted")).mkdir()
    (path.parent.with_name("planted") / path.name).write_bytes(other)
    path.parent.symlink_to("planted")


def cut(path: Path, _: bytes) -> None:
    os.truncate(path, path.stat().st_size - 1)


def emptied(path: Path, _: bytes) -> None:
    os.truncate(path, 0)


def rewritten(path: Path, other: bytes) -> None:
    with path.open("r+b") as file:
        file.write(other)


def grown(path: Path, _: bytes) -> None:
    with path.open("ab") as file:
        file.write(bytes(100_000))


def last_byte_altered(path: Path, _: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)[0]
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last ^ 1]))


ELSEWHERE = [removed, replaced, made_a_link, made_a_pipe, directory_replaced]  # the file that was opened stays as it is
IN_PLACE = [cut, emptied, rewritten, last_byte_altered]


def spell(name: Callable) -> str:
    return name.__name__.replace("_", " ")


def plant(path: Path, what: str) -> None:
    """Put something in the place of a file."""
    if what == "link":
        path.with_name("real").write_bytes(b"data")
        path.symlink_to("real")
    elif what == "dangling link":
        path.symlink_to("nowhere")
    elif what == "link to itself":
        path.symlink_to(path.name)
    elif what == "pipe":
        os.mkfifo(path)
    elif what == "directory":
        path.mkdir()
    elif what == "socket":
        os.mknod(path, stat.S_IFSOCK | 0o600)
    elif what == "endless device":
        path.symlink_to("/dev/zero")
    elif what == "nothing":
        path.unlink(missing_ok=True)


PLANTED = ["link", "dangling link", "link to itself", "pipe", "directory", "socket", "endless device", "nothing"]
