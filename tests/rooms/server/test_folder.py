"""The folder store: what lies on the disk, and what hostile names and full disks do."""

import asyncio
import os
import stat

import pytest

from strongroom.errors import Code, DeniedError, InputError, InternalError, StoreError
from strongroom.server.stores.folder import UNFINISHED_SECONDS, FolderStore

NAME = "0123456789abcdef" * 2
KEY = bytes(32)
NOW = 1_800_000_000


async def _chunks(*parts):
    for part in parts:
        yield part


def _store(folder, **options):
    return FolderStore(folder, "https://h", KEY, **({"keep_free": 0} | options))


def test_an_object_is_one_private_file_whatever_the_umask(tmp_path):
    for mask, name in ((0, NAME), (0o777, "f" * 32)):
        before = os.umask(mask)
        try:
            asyncio.run(_store(tmp_path).write(name, _chunks(b"x"), size=1))
        finally:
            os.umask(before)
    assert sorted(path.name for path in tmp_path.iterdir()) == [NAME, "f" * 32]
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in tmp_path.iterdir())


def test_the_url_is_the_described_one():
    """A second implementation makes the same signature (docs/spec/protocol.md section 11)."""
    import hashlib
    import hmac
    from base64 import urlsafe_b64encode
    from pathlib import Path

    url = _store(Path()).signed_url("PUT", NAME, expires=1000, size=5)
    text = f'["PUT","{NAME}",1000,5]'.encode()
    mac = hmac.new(KEY, b"strongroom/url/v1\0" + text, hashlib.sha512).digest()[:32]
    assert url == f"https://h/o/{NAME}?m=PUT&e=1000&n=5&s={urlsafe_b64encode(mac).decode().rstrip('=')}"


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../secret",
        "/etc/passwd",
        "a/b",
        "\0",
        NAME + "\n",
        NAME.upper(),
        NAME + ".part",
        "é" * 32,
        "x" * 5000,
    ],
)
def test_a_hostile_name_reaches_no_file(tmp_path, name):
    """R18, A20: no file name is built from a caller's text."""
    folder = tmp_path / "objects"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(b"secret")
    store = _store(folder)
    query = {"m": "GET", "e": "9999999999", "s": "A" * 43}
    with pytest.raises(DeniedError) as caught:
        store.check_url("GET", name, query, 0)
    assert caught.value.code == Code.URL_INVALID
    for work in (
        store.size(name),
        store.read(name, 0, 1),
        store.delete(name),
        store.write(name, _chunks(b"x"), size=1),
    ):
        with pytest.raises(InternalError):
            asyncio.run(work)
    with pytest.raises(InternalError):
        store.signed_url("GET", name, expires=1)
    assert list(folder.iterdir()) == []
    assert (tmp_path / "secret").read_bytes() == b"secret"


def test_a_link_in_the_folder_is_not_followed(tmp_path):
    (tmp_path / "secret").write_bytes(b"secret")
    folder = tmp_path / "objects"
    folder.mkdir()
    (folder / NAME).symlink_to(tmp_path / "secret")
    for work in (_store(folder).read(NAME, 0, 6), _store(folder).size(NAME)):
        with pytest.raises(StoreError):
            asyncio.run(work)


@pytest.mark.parametrize(("method", "size"), [("GET", 1), ("PUT", None), ("DELETE", None), ("POST", 1), ("HEAD", None)])
def test_only_get_and_a_put_of_one_size_can_be_signed(tmp_path, method, size):
    """R72: no URL lists or deletes."""
    with pytest.raises(InternalError):
        _store(tmp_path).signed_url(method, NAME, expires=1, size=size)


def test_a_full_disk_refuses_before_the_first_byte(tmp_path):
    started = []

    async def chunks():
        started.append(True)
        yield b"x"

    with pytest.raises(StoreError) as caught:
        asyncio.run(_store(tmp_path, keep_free=2**60).write(NAME, chunks(), size=1))
    assert caught.value.code == Code.STORE_IO
    assert caught.value.next_step
    assert not started
    assert list(tmp_path.iterdir()) == []


def test_leftovers_of_a_crash_are_swept_and_objects_stay(tmp_path):
    store = _store(tmp_path)
    asyncio.run(store.write(NAME, _chunks(b"x"), size=1))
    left = tmp_path / f"{'f' * 32}.abcd.part"
    left.write_bytes(b"half")
    os.utime(left, (NOW - UNFINISHED_SECONDS, NOW - UNFINISHED_SECONDS))
    os.utime(tmp_path / NAME, (0, 0))
    assert asyncio.run(store.size("f" * 32)) is None
    assert _store(tmp_path, now=lambda: NOW - 1).drop_unfinished() == 0
    assert _store(tmp_path, now=lambda: NOW).drop_unfinished() == 1
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_an_upload_in_another_process_is_not_swept(tmp_path):
    """A second `serve` on the same folder starts while an upload runs in the first: the upload ends well."""

    async def story():
        store = _store(tmp_path)

        async def chunks():
            yield b"ab"
            assert _store(tmp_path).drop_unfinished() == 0
            yield b"cd"

        await store.write(NAME, chunks(), size=4)
        return await store.read(NAME, 0, 4)

    assert asyncio.run(story()) == b"abcd"


def test_a_pipe_in_place_of_an_object_holds_nobody_up(tmp_path):
    """B puts a FIFO at an object's name: an honest open would wait for a writer, for ever, one thread each time."""
    os.mkfifo(tmp_path / NAME)
    store = _store(tmp_path)
    for work in (store.read(NAME, 0, 1), store.size(NAME), store.write(NAME, _chunks(b"x"), size=1)):
        with pytest.raises(StoreError) as caught:
            asyncio.run(asyncio.wait_for(work, 5))
        assert caught.value.code == Code.STORE_IO
    (tmp_path / NAME).unlink()
    (tmp_path / NAME).mkdir()
    with pytest.raises(StoreError):
        asyncio.run(store.size(NAME))


def test_a_folder_that_is_gone_is_a_store_error(tmp_path):
    store = _store(tmp_path / "gone")
    assert asyncio.run(store.size(NAME)) is None
    for work in (store.read(NAME, 0, 1), store.write(NAME, _chunks(b"x"), size=1)):
        with pytest.raises(StoreError) as caught:
            asyncio.run(work)
        assert str(tmp_path) not in str(caught.value)


def test_whatever_breaks_an_upload_no_part_stays(tmp_path):
    async def breaks():
        yield b"ab"
        raise asyncio.CancelledError

    store = _store(tmp_path)
    for chunks, error in (
        (breaks(), asyncio.CancelledError),
        (_chunks(b"abc"), InputError),
        (_chunks(b"a"), InputError),
    ):
        with pytest.raises(error):
            asyncio.run(store.write(NAME, chunks, size=2))
        assert list(tmp_path.iterdir()) == []
