"""Fetching into memory that is used again and again: every segment still ends where it belongs."""

from types import SimpleNamespace

import pytest

from rooms.edge.memory_office import Device, MemoryOffice, weights
from strongroom.edge.links import Arrived, Links
from strongroom.errors import Code, UnreachableError

CONTENT = weights(7, 6 * 2**20 + 77)


def into_memory(office: MemoryOffice) -> list[memoryview]:
    """Let the office fill memory, as the real transport does, breaking off now and then; return what it filled."""
    asked = office.read_range
    used: list[memoryview] = []

    def read_range_into(url: str, offset: int, into: memoryview, arrived: Arrived) -> None:
        used.append(into)
        if len(used) % 4 == 0:
            into[:] = b"\xee" * len(into)
            raise UnreachableError(Code.UNREACHABLE, "the connection broke")
        into[:] = asked(url, offset, len(into))

    office.read_range_into = read_range_into
    return used


def test_many_segments_through_few_buffers(tmp_path):
    """Seven segments and a table of contents, three buffers, and connections that break halfway."""
    office = MemoryOffice()
    office.publish("digits", "1.0", {"w": CONTENT}, counter=1)
    used = into_memory(office)
    room = Device(tmp_path / "device", office).room()
    room.pull("digits")
    segments = office.models["digits"]["1.0"].heads[0].segment_count
    assert segments == 8
    assert len(used) > 2 + segments  # two reads of the head part, each segment, and what broke
    assert len({id(one.obj) for one in used}) == 2 + 3
    with room.load("digits", offline="only") as model:
        assert model.bytes() == CONTENT
    assert [one.error for one in room.verify()] == [None]


def test_an_exchange_that_gives_too_little_is_refused():
    links = Links(SimpleNamespace(read_range=lambda *_: b"abc"), ("url",), lambda: ("fresh",))
    with pytest.raises(UnreachableError) as caught:
        links.read_into(0, 0, memoryview(bytearray(4)))
    assert caught.value.code == Code.ANSWER
