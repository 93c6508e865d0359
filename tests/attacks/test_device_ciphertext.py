"""Ciphertext altered on its way: refused at the segment it is in, the old version stays, nothing is left over."""

import dataclasses
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rooms.edge.memory_office import Device, MemoryOffice, weights
from strongroom import sealed
from strongroom.edge import arriving, fetch
from strongroom.edge.memory import PrivateBuffer
from strongroom.errors import Code, IntegrityError, StrongroomError, UnreachableError

OLD, NEW = weights(1, 5000), weights(2, 2**20 + 5000)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Device, MemoryOffice]:
    office = MemoryOffice()
    office.publish("digits", "1.0", {"w": OLD}, counter=1)
    device = Device(tmp_path_factory.mktemp("pair") / "device", office)
    device.room().pull("digits")
    office.publish("digits", "1.1", {"w": NEW}, counter=2)
    return device, office


def check_old(device: Device, *, begun: int = 0) -> None:
    assert device.counts() == (1, 1 + begun, begun)
    assert len(device.room().store.need().partials) == begun
    with device.room().load("digits", offline="only") as model:
        assert model.bytes() == OLD


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_bit_of_the_ciphertext(pair, data):
    """A02, A24, C18, R28: one bit anywhere, head or segment, and the old version stays active."""
    device, office = pair
    stored = office.objects[office.models["digits"]["1.1"].objects[0]]
    at = data.draw(st.one_of(st.integers(0, 4000), st.integers(0, len(stored) - 1)))
    bit = 1 << data.draw(st.integers(0, 7))
    stored[at] ^= bit
    try:
        with pytest.raises(StrongroomError) as caught:
            device.room().pull("digits")
        assert isinstance(caught.value, IntegrityError | UnreachableError)
    finally:
        stored[at] ^= bit
    check_old(device, begun=len(device.room().store.need().partials))  # what came before the bad segment stays
    forget(device)


def forget(device: Device) -> None:
    """Forget what was begun, so that every byte is asked for again."""
    store = device.room().store
    store.update(lambda state: dataclasses.replace(state, partials=()))
    store.clean()
    check_old(device)


def test_segments_exchanged_and_files_cut(pair):
    """A07, A08: reordered, truncated and extended files."""
    device, office = pair
    name = office.models["digits"]["1.1"].objects[0]
    whole = bytes(office.objects[name])
    for other in (whole[:-1], whole[:5000], whole[:31], b"", whole[: len(whole) // 2] * 2):
        office.objects[name] = bytearray(other)
        with pytest.raises(StrongroomError):
            device.room().pull("digits")
        check_old(device, begun=len(device.room().store.need().partials))  # a cut file passes for a broken line
    office.objects[name] = bytearray(whole)
    forget(device)


def test_the_bytes_that_were_checked_are_the_bytes_that_are_used(pair, monkeypatch):
    """A30: every stored segment is read exactly once, so that nothing can be exchanged after the check."""
    device, office = pair
    office.ranges.clear()
    reads = []
    monkeypatch.setattr(arriving, "AHEAD", 1)
    device.room().pull("digits", lambda done, _: reads.append(done))
    head = office.models["digits"]["1.1"].heads[0]
    segments = [(offset, size) for _, offset, size in office.ranges if offset >= len(head.head_part)]
    assert sorted(segments) == [(head.offset(one), head.stored_length(one)) for one in range(head.segment_count)]


def test_plaintext_only_in_the_wiped_buffer(tmp_path, monkeypatch):
    """D01, R49: the buffer a segment was decrypted into is zeros afterwards, also when the next segment is bad."""
    office = MemoryOffice()
    office.publish("digits", "1.0", {"w": NEW}, counter=1)
    device = Device(tmp_path / "device", office)
    kept = []

    class Watched(PrivateBuffer):
        def __init__(self, size: int) -> None:
            super().__init__(size)
            kept.append(memoryview(self._pages))

    monkeypatch.setattr(fetch, "PrivateBuffer", Watched)
    device.room().pull("digits")
    office.objects[office.models["digits"]["1.0"].objects[0]][-1] ^= 1
    with pytest.raises(IntegrityError) as caught:
        device.room().pull("digits", fresh=True)
    assert caught.value.code == Code.FILE_DIGEST
    assert len(kept) == 2
    assert all(one.tobytes() == bytes(len(one)) for one in kept)


def test_a_file_whose_checksum_is_wrong_never_becomes_active(tmp_path, monkeypatch):
    """A24, step 9: only after every file's SHA-256 was compared does a version become active."""
    office = MemoryOffice()
    office.publish("digits", "1.0", {"w": OLD}, counter=1)
    device = Device(tmp_path / "device", office)
    device.room().pull("digits")

    class Refusing(sealed.FileChecker):
        def finish(self) -> None:
            super().finish()
            raise IntegrityError(Code.FILE_CHECKSUM, "wrong")

    monkeypatch.setattr(sealed, "FileChecker", Refusing)
    with pytest.raises(IntegrityError) as caught:
        device.room().pull("digits", fresh=True)
    assert caught.value.code == Code.FILE_CHECKSUM
    check_old(device)


def test_a_second_copy_is_sealed_differently(pair, tmp_path):
    """R47: the local ciphertext is under a fresh random key each time, and nothing like what was delivered."""
    device, office = pair
    delivered = bytes(office.objects[office.models["digits"]["1.1"].objects[0]])
    seen = []
    for _ in range(2):
        device.room().pull("digits", fresh=True)
        path: Path = next(device.home.glob("models/*/0.srm"))
        seen.append(path.read_bytes())
    assert seen[0] != seen[1]
    for start in range(0, len(delivered) - 64, 4096):
        piece = delivered[start : start + 64]
        if start > len(office.models["digits"]["1.1"].heads[0].head_part):
            assert piece not in seen[0]
