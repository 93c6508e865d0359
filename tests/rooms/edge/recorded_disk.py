"""A disk that remembers in which order it was written, and what of it a power cut may leave.

What no fsync has made durable may be there or not, each by itself: the content of a file (kept, lost, half, zeros) and
each change of a directory. Changes of one directory by one call are one; a rename between two directories is two.
"""

import errno
import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Image = tuple[tuple[str, "bytes | Image"], ...]


Fails = Callable[[str, str], bool]  # by the call and what it is about


class Cut(BaseException):
    """The process is gone: nothing catches it."""


class File:
    """What a file holds, and what of it is durable."""

    def __init__(self, data: bytes = b"") -> None:
        self.now, self.durable = bytearray(data), data
        self.failed = False

    def sync(self) -> None:
        if not self.failed:
            self.durable = bytes(self.now)

    def fail(self) -> None:
        """What could not be written never is: the system says from then on that there is nothing left to write."""
        self.failed = self.now != self.durable

    def left(self, how: str) -> bytes:
        if how == "lost" or self.now == self.durable:
            return self.durable
        kept = {"kept": len(self.now), "half": len(self.now) // 2, "zeros": 0}[how]
        return bytes(self.now[:kept]) + (bytes(len(self.now)) if how == "zeros" else b"")


class Folder:
    """What a directory names, what of it is durable, and the changes between."""

    def __init__(self) -> None:
        self.now: dict[str, File | Folder] = {}
        self.durable: dict[str, File | Folder] = {}
        self.pending: list[dict[str, File | Folder | None]] = []
        self.failed: list[dict[str, File | Folder | None]] = []  # of these, what no sync makes durable any more

    def change(self, names: dict[str, "File | Folder | None"]) -> None:
        self.pending.append(names)
        _apply(self.now, names)

    def sync(self) -> None:
        kept: list[dict[str, File | Folder | None]] = []
        for names in self.pending:
            if any(names is one for one in self.failed):
                kept.append(names)
                continue
            _apply(self.durable, names)
            for before in kept:  # a name that was changed again since
                for name in names:
                    before.pop(name, None)
        self.pending = kept

    def fail(self) -> None:
        self.failed = list(self.pending)


class Disk:
    """Wraps the functions of `os` for everything below a directory; what lies there at the start is durable."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
        self.images: set[tuple[Image, bool]] = set()  # and whether a directory has two names in it
        self.everything: set[bytes] = set()  # what the files may hold, those without a name included
        self.cut: Fails = lambda call, name: False
        self.breaks: Fails = lambda call, name: False  # of a sync: it fails, and no later one makes good for it
        self.on = False
        self._root, self._top = root, self._read(root)
        self._open: dict[int, File | Folder] = {}
        for name in (
            *("open", "close", "write", "ftruncate", "fsync"),
            *("mkdir", "unlink", "rmdir", "rename", "replace"),
        ):
            monkeypatch.setattr(os, name, self._wrapped(name, getattr(os, name)))

    def start(self) -> None:
        """Forget the images so far."""
        self.images, self.on = {*self._left()}, True

    def now_left(self) -> set[Image]:
        """Return what a power cut now may leave."""
        return {image for image, _ in self._left()}

    def _read(self, path: Path) -> Folder:
        folder = Folder()
        for one in path.iterdir():
            folder.now[one.name] = self._read(one) if one.is_dir() else File(one.read_bytes())
        folder.durable = dict(folder.now)
        return folder

    def _wrapped(self, name: str, real: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            about = str(args[1] if name in {"rename", "replace"} else args[0])
            if self.on and self.cut(name, about):
                raise Cut
            if self.on and name == "fsync" and args[0] in self._open and self.breaks(name, about):
                self._open[args[0]].fail()
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            place = self._place(args[0], kwargs.get("dir_fd", kwargs.get("src_dir_fd")))
            at = os.lseek(args[0], 0, os.SEEK_CUR) if name == "write" and args[0] in self._open else 0
            result = real(*args, **kwargs)
            self._note(name, place, at, result, *args, **kwargs)
            if self.on and name not in {"open", "close"}:
                self.images |= {*self._left()}
            return result

        return call

    def _place(self, path: object, dir_fd: object) -> tuple[Folder, str] | None:
        """Return the directory and the name that a call means."""
        if isinstance(path, int):
            return None
        if dir_fd is not None:
            folder = self._open.get(dir_fd)
            return (folder, str(path)) if isinstance(folder, Folder) else None
        inside = Path(str(path))
        if inside != self._root and self._root not in inside.parents:
            return None
        at = Folder()
        at.now["."] = self._top
        name = "."
        for part in inside.relative_to(self._root).parts:
            below = at.now[name]
            assert isinstance(below, Folder)
            at, name = below, part
        return at, name

    def _note(
        self, call: str, place: tuple[Folder, str] | None, at: int, result: object, *args: object, **kwargs: object
    ) -> None:
        handle = args[0]
        node = self._open.get(handle) if isinstance(handle, int) else None
        if call == "close":
            self._open.pop(handle, None)
        elif call == "fsync" and node is not None:
            node.sync()
        elif call == "write" and isinstance(node, File):
            node.now[at : at + result] = bytes(args[1])[:result]
        elif call == "ftruncate" and isinstance(node, File):
            del node.now[args[1] :]
        elif place is not None:
            self._note_name(call, *place, result, *args, **kwargs)

    def _note_name(self, call: str, folder: Folder, name: str, result: object, *args: object, **kwargs: object) -> None:
        if call == "open":
            if name not in folder.now:
                folder.change({name: File()})
            self._open[result] = folder.now[name]
        elif call == "mkdir":
            folder.change({name: Folder()})
        elif call in {"unlink", "rmdir"}:
            folder.change({name: None})
        else:
            target = self._open[kwargs["dst_dir_fd"]]
            assert isinstance(target, Folder)
            moved, new = folder.now[name], str(args[1])
            if target is folder:
                folder.change({new: moved, name: None})
            else:
                target.change({new: moved})
                folder.change({name: None})

    def _left(self) -> Iterator[tuple[Image, bool]]:
        """Give out what a power cut now may leave."""
        folders, files = list(_walk(self._top)), [*_files(self._top), *self._open.values()]
        waiting = [(folder, index) for folder in folders for index in range(len(folder.pending))]
        dirty = [file for file in files if isinstance(file, File) and file.now != file.durable]
        self.everything |= {file.left(how) for file in dirty for how in ("kept", "lost")}
        chosen: list[set[tuple[int, int]]] = []
        everything = {(id(folder), index) for folder, index in waiting}
        for base in (everything, set()):
            chosen.append(base)
            chosen += [base ^ {one} for one in everything]
        for kept, how in itertools.product(chosen, ("kept", "lost", "half", "zeros") if dirty else ("kept",)):
            seen: list[int] = []
            image = _image(self._top, kept, how, seen)
            yield image, len(set(seen)) != len(seen)


def write_image(image: Image, path: Path) -> None:
    """Lay an image out as a real directory."""
    path.mkdir(mode=0o700)
    for name, content in image:
        if isinstance(content, bytes):
            (path / name).touch(mode=0o600)
            (path / name).write_bytes(content)
        else:
            write_image(content, path / name)


def _apply(entries: dict[str, File | Folder], names: dict[str, File | Folder | None]) -> None:
    for name, node in names.items():
        if node is None:
            entries.pop(name, None)
        else:
            entries[name] = node


def _nodes(folder: Folder) -> list[File | Folder]:
    known = [
        *folder.durable.values(),
        *(node for names in folder.pending for node in names.values() if node is not None),
    ]
    return list({id(node): node for node in known}.values())


def _walk(folder: Folder) -> Iterator[Folder]:
    found = {id(folder): folder}
    todo = [folder]
    while todo:
        for node in _nodes(todo.pop()):
            if isinstance(node, Folder) and id(node) not in found:
                found[id(node)] = node
                todo.append(node)
    yield from found.values()


def _files(top: Folder) -> Iterator[File]:
    for folder in _walk(top):
        yield from (node for node in _nodes(folder) if isinstance(node, File))


def _image(folder: Folder, kept: set[tuple[int, int]], how: str, seen: list[int]) -> Image:
    seen.append(id(folder))
    entries = dict(folder.durable)
    for index, names in enumerate(folder.pending):
        if (id(folder), index) in kept:
            _apply(entries, names)
    return tuple(
        (name, node.left(how) if isinstance(node, File) else _image(node, kept, how, seen))
        for name, node in sorted(entries.items())
    )
