"""Attacks on a download that goes on: hostile mirrors, links that are over, answers that are lost, lines that crawl."""

import dataclasses
from pathlib import Path

import pytest

from rooms.edge.cutting_office import CuttingOffice, arriving, size_of
from rooms.edge.memory_office import Device, role, weights
from strongroom.edge import fetch, links
from strongroom.edge.arriving import AHEAD
from strongroom.edge.memory import PrivateBuffer
from strongroom.errors import Code, IntegrityError, RefusedError, UnreachableError
from strongroom.signing import ED25519, SigningKey
from strongroom.wire import trust

MIB = 2**20
CONTENT = weights(5, 4 * MIB + 99)


@pytest.fixture
def office(monkeypatch: pytest.MonkeyPatch) -> CuttingOffice:
    monkeypatch.setattr(links, "PAUSE", 0)
    office = CuttingOffice()
    office.publish("digits", "1.0", {"w": CONTENT}, counter=1)
    return office


@pytest.fixture
def device(tmp_path: Path, office: CuttingOffice) -> Device:
    return Device(tmp_path / "device", office)


def broken_off(device: Device, at: int) -> None:
    office = device.office
    office.cuts, office.outright = [office.fetched + at], lambda _: True
    with pytest.raises(UnreachableError):
        device.room().pull("digits")
    office.down, office.outright = False, lambda _: False


def flipped(offset: int, data: bytes) -> bytes:
    """What a hostile mirror makes of every segment; it leaves the head part alone."""
    return bytes([data[0] ^ 1]) + data[1:] if offset > 10_000 else data


def check_goes_on(device: Device) -> int:
    """No ciphertext of the mirror is left, and from an honest one exactly what was not sealed again is fetched.

    Returns the first segment that was.
    """
    office, asked = device.office, []
    head = office.models["digits"]["1.0"].heads[0]
    (partial,) = device.room().store.need().partials
    assert device.counts() == (0, 1, 1)
    left = arriving(device.home)
    assert [*left] == [f"{partial.id}/0.srm"]
    office.altered = lambda offset, data: asked.append(offset) or data
    begun = office.fetched
    device.room().pull("digits")
    starts = [head.offset(index) for index in range(head.segment_count)]
    first = starts.index(min(offset for offset in asked if offset >= starts[0]))
    kept = starts[first] - starts[0]
    assert office.fetched - begun == size_of(office, "digits", "1.0") + 32 - kept
    assert abs(len(left[f"{partial.id}/0.srm"]) - kept) < 10_000  # beside its own head part nothing else lay there
    with device.room().load("digits", offline="only") as model:
        assert model.bytes() == CONTENT
    assert device.counts() == (1, 1, 0)
    return first


@pytest.mark.parametrize("at", [MIB // 2, 2 * MIB, 3 * MIB + 5, 4 * MIB])
def test_a_mirror_that_alters_the_rest(device, office, monkeypatch, at):
    """C18: the resumed part comes from a hostile mirror: refused by digest, no plaintext of it made.

    What honest ones sent before stays: a mirror cannot undo it, however often it is asked.
    """
    broken_off(device, at)
    opened: list[int] = []
    real = fetch.sealed.Unlocked._open

    def noted(self, index: int, *rest: object) -> None:
        if self.head.core.kind != "local":
            opened.append(index)
        real(self, index, *rest)

    monkeypatch.setattr(fetch.sealed.Unlocked, "_open", noted)
    buffers: list[memoryview] = []

    class Kept(PrivateBuffer):
        def __init__(self, size: int) -> None:
            super().__init__(size)
            buffers.append(memoryview(self._pages))

    monkeypatch.setattr(fetch, "PrivateBuffer", Kept)
    office.altered = flipped
    for _ in range(3):
        with pytest.raises(IntegrityError) as caught:
            device.room().pull("digits")
        assert caught.value.code == Code.FILE_DIGEST
    assert opened == []  # the digest comes before the key
    assert all(bytes(one) == bytes(len(one)) for one in buffers)
    check_goes_on(device)


def test_a_mirror_that_alters_the_rest_within_one_try(device, office):
    """C18: the line breaks inside a segment, and whoever answers next sends other bytes."""
    head = office.models["digits"]["1.0"].heads[0]
    middle = head.offset(2) + 500_000
    office.cuts = [2_600_000]
    office.altered = lambda offset, data: flipped(offset, data) if not office.cuts and offset > middle else data
    with pytest.raises(IntegrityError) as caught:
        device.room().pull("digits")
    assert caught.value.code == Code.FILE_DIGEST
    assert check_goes_on(device) in {2, 3, 4}  # as far as the two that are fetched at once had come, or one of them


def test_a_mirror_that_lied_once_costs_the_segments_that_were_on_their_way(device, office):
    """C18: what it sent waits on the disk, does not fit, and comes again from an honest one."""
    office.altered = flipped
    broken_off(device, MIB // 2)
    office.altered = lambda _, data: data
    begun = office.fetched
    device.room().pull("digits")
    head = office.models["digits"]["1.0"].heads[0]
    assert office.fetched - begun <= size_of(office, "digits", "1.0") + 32 + AHEAD * head.stored_length(1)
    with device.room().load("digits", offline="only") as model:
        assert model.bytes() == CONTENT


def test_another_file_under_the_same_version(device, office):
    """B20, C08: the office grants other heads: nothing of the old download is mixed in, and its keys are destroyed."""
    broken_off(device, 2 * MIB)
    (partial,) = device.room().store.need().partials
    kept = {data for data in arriving(device.home).values() if data}
    secret = (device.home / "keystore" / f"{partial.files[0].key}.key").read_bytes()
    office.publish("digits", "1.0", {"w": CONTENT[::-1]}, counter=1)
    broken_off(device, 1000)
    assert not kept & {*arriving(device.home).values()}
    assert secret not in {one.read_bytes() for one in (device.home / "keystore").iterdir()}
    device.room().pull("digits")
    with device.room().load("digits", offline="only") as model:
        assert model.bytes() == CONTENT[::-1]


def test_a_partial_of_another_download_planted(device, office, tmp_path):
    """C08: whoever writes to the directory puts another device's partial there: its key is not ours."""
    broken_off(device, 3 * MIB)
    other = Device(tmp_path / "other", office)
    broken_off(other, 3 * MIB)
    theirs, mine = (next(one.home.glob("incoming/*/0.srm")) for one in (other, device))
    mine.write_bytes(theirs.read_bytes())
    begun = office.fetched
    device.room().pull("digits")
    assert office.fetched - begun >= size_of(office, "digits", "1.0") - 3 * MIB
    with device.room().load("digits", offline="only") as model:
        assert model.bytes() == CONTENT


def test_old_owners_do_not_sign_the_rest(device, office):
    """A09, C08: the owners changed meanwhile: what was begun under the old ones is judged by the new."""
    broken_off(device, 3 * MIB)
    stranger = SigningKey.generate(ED25519)
    office.trust = dataclasses.replace(office.trust, version=2, owner=role(stranger))
    office.trust_documents.append(trust.encode(office.trust, (office.owner, stranger)))
    with pytest.raises(IntegrityError) as caught:
        device.room().pull("digits")
    assert caught.value.code == Code.FILE_SIGNATURE
    assert device.room().store.need().installs == ()


def test_links_over_again_and_again(device, office, monkeypatch):
    """B14: each link serves one segment and a half; fresh ones are asked for, and no byte comes twice."""
    monkeypatch.setattr("strongroom.edge.arriving.AHEAD", 1)  # of two at once nobody can say which link is over
    size = size_of(office, "digits", "1.0")
    served = []

    def over(offset: int, data: bytes) -> bytes:
        served.append(len(data))
        if sum(served) > 1_500_000:
            served.clear()
            office.over = 1
        return data

    office.altered = over
    office.cuts = [1_600_000, 3_200_000][::-1]
    device.room().pull("digits")
    assert office.renewals >= 2
    assert office.fetched == size + 32


def test_no_fresh_links(device, office):
    """B14: the link is over and the office is silent: refused, and the next pull goes on with fresh ones."""
    broken_off(device, 2 * MIB)
    office.over = 99
    with pytest.raises(RefusedError) as caught:
        device.room().pull("digits")
    assert caught.value.code == Code.URL_EXPIRED
    office.over = 0
    begun = office.fetched
    device.room().pull("digits")
    assert office.fetched - begun < size_of(office, "digits", "1.0") - MIB


def test_an_answer_that_is_lost(device, office, monkeypatch):
    """B21: the release was made and its answer dropped: another challenge, another release, and nothing is locked."""
    broken_off(device, 2 * MIB)
    asked, real = len(office.ephemerals), office._release

    def dropped(*args: object) -> object:
        real(*args)
        raise UnreachableError(Code.UNREACHABLE, "the answer got lost")

    with monkeypatch.context() as patch:
        patch.setattr(office, "_release", dropped)
        with pytest.raises(UnreachableError):
            device.room().pull("digits")
    begun = office.fetched
    device.room().pull("digits")
    assert len(office.ephemerals) - asked == 2
    assert len({*office.ephemerals}) == len(office.ephemerals)
    assert office.fetched - begun < size_of(office, "digits", "1.0") - MIB


def test_a_line_that_crawls(device, office):
    """B22: one byte for each connection is given up after three, and what came stays."""
    broken_off(device, 2 * MIB)
    reads = []

    def crawling(url: str, offset: int, into: memoryview, arrived) -> None:
        if offset < 10_000:
            CuttingOffice.read_range_into(office, url, offset, into, arrived)
            return
        reads.append(offset)
        CuttingOffice.read_range_into(office, url, offset, into[:1], arrived)
        raise UnreachableError(Code.UNREACHABLE, "the connection broke")

    office.read_range_into = crawling
    with pytest.raises(UnreachableError):
        device.room().pull("digits")
    assert len(reads) <= 2 * links.TRIES * 2
    del office.read_range_into
    device.room().pull("digits")
    with device.room().load("digits", offline="only") as model:
        assert model.bytes() == CONTENT
