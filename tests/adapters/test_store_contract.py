"""What every store that serves its own URLs must do: one suite over the folder and the in-memory fake."""

import asyncio
import os
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import MemoryStore
from strongroom.errors import Code, DeniedError, InputError, RefusedError, StoreError
from strongroom.server.stores.folder import FolderStore, new_name

NAME, OTHER = "0123456789abcdef" * 2, "f" * 32
NOW = 1_800_000_000
KINDS = ("folder", "memory")


def _make(kind, folder):
    base = "https://models.example.com"
    return MemoryStore(base) if kind == "memory" else FolderStore(folder, base, os.urandom(32), keep_free=0)


@pytest.fixture(params=KINDS)
def store(request, tmp_path):
    return _make(request.param, tmp_path)


async def _chunks(*parts):
    for part in parts:
        yield part


def _write(store, name, size, *parts):
    asyncio.run(store.write(name, _chunks(*parts), size=size))


def _query(url):
    return dict(parse_qsl(urlsplit(url).query, strict_parsing=True))


def _code(call, *args):
    with pytest.raises((DeniedError, RefusedError)) as caught:
        call(*args)
    return caught.value.code


def test_what_was_written_can_be_read_in_ranges(store):
    _write(store, NAME, 10, b"01234", b"", b"56789")
    assert asyncio.run(store.size(NAME)) == 10
    assert asyncio.run(store.read(NAME, 0, 10)) == b"0123456789"
    assert asyncio.run(store.read(NAME, 3, 4)) == b"3456"
    assert asyncio.run(store.read(NAME, 10, 0)) == b""


@pytest.mark.parametrize(("offset", "length"), [(0, 11), (10, 1), (100, 1)])
def test_bytes_that_are_not_there_are_an_error(store, offset, length):
    _write(store, NAME, 10, b"0123456789")
    with pytest.raises(StoreError):
        asyncio.run(store.read(NAME, offset, length))
    with pytest.raises(StoreError):
        asyncio.run(store.read(OTHER, 0, 0))


def test_what_is_not_there_has_no_size_and_can_be_deleted(store):
    assert asyncio.run(store.size(NAME)) is None
    asyncio.run(store.delete(NAME))
    _write(store, NAME, 1, b"x")
    asyncio.run(store.delete(NAME))
    assert asyncio.run(store.size(NAME)) is None


@pytest.mark.parametrize(
    ("size", "parts", "code"),
    [
        (5, (b"0123",), Code.DEPOSIT),
        (5, (b"012", b"345"), Code.TOO_LARGE),
        (0, (b"0",), Code.TOO_LARGE),
        (1, (), Code.DEPOSIT),
    ],
    ids=["cut", "too long", "not empty", "empty"],
)
def test_an_upload_of_another_size_leaves_nothing(store, size, parts, code):
    with pytest.raises(InputError) as caught:
        _write(store, NAME, size, *parts)
    assert caught.value.code == code
    assert asyncio.run(store.size(NAME)) is None
    _write(store, NAME, 3, b"abc")
    assert asyncio.run(store.read(NAME, 0, 3)) == b"abc"


def test_a_complete_object_is_never_overwritten(store):
    """A20: an upload URL that is replayed changes nothing."""
    _write(store, NAME, 3, b"abc")
    with pytest.raises(InputError) as caught:
        _write(store, NAME, 3, b"xyz")
    assert caught.value.code == Code.CONFLICT
    assert asyncio.run(store.read(NAME, 0, 3)) == b"abc"


def test_of_two_uploads_at_once_one_is_kept_whole(store):
    async def both():
        jobs = [store.write(NAME, _chunks(part * 2, part * 2), size=4) for part in (b"a", b"b")]
        return await asyncio.gather(*jobs, return_exceptions=True)

    results = asyncio.run(both())
    assert sorted(getattr(result, "code", "done") for result in results) == ["conflict", "done"]
    assert asyncio.run(store.read(NAME, 0, 4)) in {b"aaaa", b"bbbb"}


def test_an_interrupted_upload_leaves_nothing(store):
    async def breaks_off():
        yield b"ab"
        raise ConnectionResetError

    with pytest.raises((ConnectionResetError, StoreError)):
        asyncio.run(store.write(NAME, breaks_off(), size=4))
    assert asyncio.run(store.size(NAME)) is None


def test_a_cancelled_upload_leaves_nothing(store):
    async def cancelled():
        waiting = asyncio.Event()

        async def hangs():
            yield b"ab"
            waiting.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(store.write(NAME, hangs(), size=4))
        await waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return await store.size(NAME)

    assert asyncio.run(cancelled()) is None
    _write(store, NAME, 2, b"ok")


def test_a_url_is_good_for_its_method_its_object_and_its_time(store):
    """R68, R70, R71: 299 seconds is in time, 301 is not; the end itself is not."""
    get = _query(store.signed_url("GET", NAME, expires=NOW + 300))
    assert store.check_url("GET", NAME, get, NOW + 299) is None
    assert store.check_url("HEAD", NAME, get, NOW + 299) is None
    for late in (300, 301, 86_400):
        assert _code(store.check_url, "GET", NAME, get, NOW + late) == Code.URL_EXPIRED
    assert _code(store.check_url, "PUT", NAME, get, NOW) == Code.URL_INVALID
    assert _code(store.check_url, "GET", OTHER, get, NOW) == Code.URL_INVALID
    put = _query(store.signed_url("PUT", NAME, expires=NOW + 300, size=77))
    assert store.check_url("PUT", NAME, put, NOW) == 77
    assert _code(store.check_url, "GET", NAME, put, NOW) == Code.URL_INVALID
    for other in ("76", "78", "770", "077", "0", "-77", ""):
        assert _code(store.check_url, "PUT", NAME, put | {"n": other}, NOW) == Code.URL_INVALID
    for other in (NOW + 299, NOW + 301, NOW + 86_400):
        assert _code(store.check_url, "PUT", NAME, put | {"e": str(other)}, NOW) == Code.URL_INVALID


def test_a_url_leads_to_the_object_and_names_no_key(store):
    url = store.signed_url("GET", NAME, expires=NOW)
    assert url.startswith(f"https://models.example.com/o/{NAME}?m=GET&e={NOW}&s=")


def test_no_signature_no_access(store):
    """R68: anonymous, and credentialed but unsigned."""
    good = _query(store.signed_url("GET", NAME, expires=NOW + 300))
    for query in (
        {},
        {"m": "GET", "e": good["e"]},
        good | {"s": ""},
        good | {"s": good["s"] + "="},
        good | {"extra": "1"},
        good | {"n": "1"},
        good | {"e": str(NOW + 3000)},
        good | {"e": f"0{good['e']}"},
        good | {"e": f"+{good['e']}"},
        good | {"e": "9" * 400},
        good | {"e": "٣"},
        good | {"m": "get"},
    ):
        assert _code(store.check_url, "GET", NAME, query, NOW) == Code.URL_INVALID


@pytest.mark.parametrize("kind", KINDS)
@given(
    method=st.sampled_from(["GET", "PUT"]),
    part=st.sampled_from(["method", "name", "m", "e", "n", "s"]),
    junk=st.text(max_size=40),
)
def test_any_changed_part_is_refused(kind, method, part, junk, tmp_path_factory):
    store = _make(kind, tmp_path_factory.getbasetemp())
    query = _query(store.signed_url(method, NAME, expires=NOW + 300, size=5 if method == "PUT" else None))
    asked = {"method": method, "name": NAME} | query
    if asked.get(part) == junk or (part, junk, method) == ("method", "HEAD", "GET"):
        return
    asked[part] = junk
    changed = {name: value for name, value in asked.items() if name not in {"method", "name"}}
    assert _code(store.check_url, asked["method"], asked["name"], changed, NOW) == Code.URL_INVALID


def test_names_are_random():
    """R18: object names are not guessable and come from nobody's text."""
    names = {new_name() for _ in range(100)}
    assert len(names) == 100
    assert all(len(name) == 32 and set(name) <= set("0123456789abcdef") for name in names)
