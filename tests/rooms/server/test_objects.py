"""Objects by signed URL: one method, one object, one size, one time (R68, R71, R72)."""

from collections.abc import AsyncIterator

import pytest

from protocol_client import DEVICES, Bench, problem, run
from strongroom.server.ports import StoredFile, Version

NAME, OTHER = "ab" * 16, "cd" * 16
DATA = bytes(range(256)) * 8192  # two pieces of 1 MiB


def url(bench: Bench, method: str = "GET", name: str = NAME, size: int | None = None, seconds: int = 300) -> str:
    """A signed URL of the bench's store."""
    return bench.store.signed_url(method, name, expires=bench.clock() + seconds, size=size)


async def awaited(bench: Bench, name: str = NAME) -> None:
    """Let a version wait for an object."""
    version = Version(bench.office.new_id("ver"), "digits", "1.0", 1, 1, None, "uploading", "", "opr_x", 1)
    head = (b"k" * 16, "model", 1, b"h" * 64, b"c" * 32, b"part", 8)
    async with bench.ledger.begin() as tx:
        await tx.add_version(version, [StoredFile(b"f" * 32, version.id, None, 0, *head, name, b"wrapped", 1)])


def test_whole_and_in_parts() -> None:
    async def story(bench: Bench) -> None:
        bench.store.objects[NAME] = DATA
        whole = await bench.devices.get(url(bench))
        assert (whole.status_code, whole.content) == (200, DATA)
        assert whole.headers["content-length"] == str(len(DATA))
        for asked, start, end in (("0-0", 0, 1), ("5-9", 5, 10), ("1048570-1048590", 1048570, 1048591)):
            part = await bench.devices.get(url(bench), headers={"Range": f"bytes={asked}"})
            assert (part.status_code, part.content) == (206, DATA[start:end])
            assert part.headers["content-range"] == f"bytes {start}-{end - 1}/{len(DATA)}"
        tail = await bench.devices.get(url(bench), headers={"Range": f"bytes={len(DATA) - 3}-"})
        assert tail.content == DATA[-3:]
        long = await bench.devices.get(url(bench), headers={"Range": "bytes=10-999999999"})
        assert long.content == DATA[10:]

    run(story)


def test_head_tells_the_size_only() -> None:
    async def story(bench: Bench) -> None:
        bench.store.objects[NAME] = DATA
        head = await bench.devices.head(url(bench))
        assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(DATA)))

    run(story)


@pytest.mark.parametrize(
    "asked", ["bytes=9-5", "bytes=-5", "bytes=0-1,3-4", "bytes=9999999-", "lines=1-2", "bytes=a-b", ""]
)
def test_a_range_that_is_none_is_refused(asked: str) -> None:
    """B16: a range outside the object."""

    async def story(bench: Bench) -> None:
        bench.store.objects[NAME] = DATA
        response = await bench.devices.get(url(bench), headers={"Range": asked})
        assert (response.status_code, problem(response)["code"]) == (416, "range")

    run(story)


def test_without_a_signature_there_is_nothing() -> None:
    """R68: anonymous, and with every credential but the signed URL."""

    async def story(bench: Bench) -> None:
        bench.store.objects[NAME] = DATA
        device = await bench.device("ada")
        for path in (f"/o/{NAME}", f"/o/{OTHER}", f"/o/{NAME}?m=GET", "/o/..%2f..%2fetc%2fpasswd"):
            for headers in ({}, {"Authorization": f"DPoP {device.token}"}):
                for method in ("GET", "HEAD", "PUT"):
                    response = await bench.devices.request(method, path, headers=headers)
                    assert response.status_code in {403, 404}, (method, path)

    run(story)


def test_a_changed_url_is_refused() -> None:
    """B16: another object, another verb, a later end, a doubled or an added parameter."""

    async def story(bench: Bench) -> None:
        bench.store.objects |= {NAME: DATA, OTHER: DATA}
        good = url(bench)
        end = bench.clock() + 300
        bent = [
            ("GET", good.replace(NAME, OTHER)),
            ("GET", good.replace(f"e={end}", f"e={end + 1}")),
            ("GET", good.replace("m=GET", "m=PUT")),
            ("GET", good[:-1] + ("A" if good[-1] != "A" else "B")),
            ("GET", good + "&e=9999999999"),
            ("GET", good + "&x=1"),
            ("GET", good + "&s=x"),
            ("PUT", good),
            ("GET", url(bench, "PUT", OTHER, size=4)),
        ]
        for method, address in bent:
            response = await bench.devices.request(method, address, content=b"data" if method == "PUT" else None)
            assert (response.status_code, problem(response)["code"]) == (403, "url-invalid"), address
        for method in ("DELETE", "POST", "PATCH"):
            assert (await bench.devices.request(method, good)).status_code == 405
        assert bench.store.objects == {NAME: DATA, OTHER: DATA}

    run(story)


@pytest.mark.parametrize(("seconds", "status"), [(299, 200), (300, 403), (301, 403)])
def test_five_minutes_are_five_minutes(seconds: int, status: int) -> None:
    """B14, R71: 4 min 59 s works, 5 min 1 s does not."""

    async def story(bench: Bench) -> None:
        bench.store.objects[NAME] = DATA
        address = url(bench)
        bench.clock.advance(seconds)
        assert (await bench.devices.get(address)).status_code == status

    run(story)


def test_an_upload_is_exactly_its_size_and_happens_once() -> None:
    """E13: more is cut off, less is refused, twice is a conflict; nothing half is left."""

    async def story(bench: Bench) -> None:
        await awaited(bench)
        address = url(bench, "PUT", size=8)

        async def endless() -> AsyncIterator[bytes]:
            while True:
                yield b"1234"

        async def short() -> AsyncIterator[bytes]:
            yield b"1234"

        for body, code in (
            (b"123456789", "too-large"),
            (endless(), "too-large"),
            (short(), "deposit"),
            (b"1", "too-large"),
        ):
            response = await bench.devices.put(address, content=body)
            assert problem(response)["code"] == code
            assert bench.store.objects == {}
        assert (await bench.devices.put(address, content=b"12345678")).status_code == 201
        again = await bench.devices.put(address, content=b"abcdefgh")
        assert (again.status_code, problem(again)["code"]) == (409, "conflict")
        assert bench.store.objects[NAME] == b"12345678"

    run(story)


def test_an_object_that_went_away() -> None:
    async def story(bench: Bench) -> None:
        response = await bench.devices.get(url(bench))
        assert (response.status_code, problem(response)["code"]) == (404, "not-found")

    run(story)


def test_there_is_no_listing() -> None:
    """R72."""

    async def story(bench: Bench) -> None:
        for path in ("/o", "/o/", "/objects"):
            assert (await bench.devices.get(DEVICES + path)).status_code == 404

    run(story)
