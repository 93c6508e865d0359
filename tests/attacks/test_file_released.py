"""Ten thousand altered bits, and every byte that came out before each was noticed, counted (R19, R28, R56).

A bit in segment i is noticed in segment i or before anything of it is given out: whoever reads in order has got the
segments before it, whole, and never a byte behind them; whoever reads all at once has got nothing.
"""

import contextlib
from collections.abc import Iterator
from functools import partial

import pytest

from rooms.edge.memory_office import Device, MemoryOffice
from strongroom import sealed
from strongroom.edge import fetch, opening
from strongroom.edge.folder import Folder
from strongroom.edge.incoming import Staging
from strongroom.edge.keystore.file import FileKeystore
from strongroom.edge.memory import PrivateBuffer
from strongroom.errors import IntegrityError
from vectors.sealed_writer import CHUNK, MIB, Keys, chunked, fixed
from vectors.targets import EXPECTED, FORMS, SUBJECT, Target, network_file

FLIPS = 10_000
SMALL, LARGE = CHUNK + 5_000, 2 * MIB + 40_000  # bytes: one segment of two chunks; three segments


def places(name: str, count: int, least: int, most: int) -> Iterator[tuple[int, int]]:
    """Yield byte and bit of `count` places from `least` on and before `most`, the same in every run."""
    drawn = fixed(name, 8 * count)
    for at in range(0, len(drawn), 8):
        bit = int.from_bytes(drawn[at : at + 8], "big") % ((most - least) * 8)
        yield least + bit // 8, 1 << bit % 8


@contextlib.contextmanager
def bit_flipped(data: bytearray, byte: int, mask: int) -> Iterator[None]:
    data[byte] ^= mask
    yield
    data[byte] ^= mask


class Watched:
    """One reader with everything its caller can see: memory it was given, and what came out of it."""

    def __init__(self, target: Target, data: bytearray) -> None:
        self.target, self.data = target, data
        self.memory = bytearray(len(target.plain))  # what `allocate` gave, or what was read into
        self.released = bytearray()  # what the caller took as opened
        self.reached = 0  # bytes of plaintext that `progress` spoke of

    def whole(self, workers: int) -> None:
        """All at once, into memory of the caller that held something else before."""

        def allocate(size: int) -> memoryview:
            self.memory[:] = b"\xff" * size
            return memoryview(self.memory)

        how: dict = {"workers": workers, "allocate": allocate}
        if self.target.form == "network":
            how["progress"] = lambda done: setattr(self, "reached", done)
        self.released += self.target.open(self.data, **how)

    def parts(self) -> None:
        """By position, in steps that end within a segment."""
        with self.target.parts(self.data) as access:
            file = access.open_payload()
            step = min(700_000, len(self.memory))
            view = memoryview(self.memory)[:step]
            view[:] = b"\xff" * step
            while count := file.readinto(view):
                self.released += view[:count]

    def streamed(self) -> None:
        """Segment by segment, as a device does while it fetches."""
        head = self.target.head
        unlocked = sealed.unlock(head, self.target.key, EXPECTED)
        view = memoryview(self.data)
        stored = [view[head.offset(at) : head.offset(at) + head.stored_length(at)] for at in range(head.segment_count)]
        unlocked.read_toc(stored[0])
        for index in range(1, head.segment_count):
            into = memoryview(self.memory)[: head.plain_length(index)]
            unlocked.open_segment(index, stored[index], into)
            self.released += into


def attempt(target: Target, data: bytearray, way: int, byte: int) -> None:
    """Read a file with one altered byte; assert that it is refused, and that no byte too many came out."""
    seen = Watched(target, data)
    ways = [partial(seen.whole, 1), partial(seen.whole, 3), seen.parts]
    ways += [seen.streamed] if target.form == "network" else []
    reading = ways[way % len(ways)]
    with pytest.raises(IntegrityError) as refusal:
        reading()
    assert refusal.value.code == target.broken
    head = target.head
    segment = max(index for index in range(head.segment_count) if head.offset(index) <= byte)
    prefix = max(0, segment - 1) * head.core.segment_size  # authentic: the segments before the altered one
    allowed = 0 if reading in ways[:2] else prefix
    if reading == seen.parts:
        allowed -= allowed % 700_000  # a read that reaches into the altered segment gives nothing at all
    beyond = max(0, len(seen.released) - allowed) + max(0, seen.reached - prefix)
    assert beyond == 0, f"{beyond} bytes beyond the authentic prefix"
    assert seen.released == target.plain[:allowed]
    begun = seen.memory[: head.plain_length(segment)] if reading == seen.streamed else seen.memory
    assert begun.count(0) == len(begun), "something stayed in the caller's memory"


@pytest.mark.slow
@pytest.mark.parametrize(("form", "suite"), FORMS)
def test_flip_a_bit_anywhere(form, suite):
    """A02: 2,500 bits in each form and suite, 10,000 in all, read in all ways: all refused, 0 bytes released."""
    target = Target.of(form, suite, SMALL)
    data = bytearray(target.made.data)
    counted = 0
    for byte, mask in places(f"{form} {suite}", FLIPS // len(FORMS), target.head.offset(0), len(data)):
        with bit_flipped(data, byte, mask):
            attempt(target, data, counted, byte)
        counted += 1
    assert counted * len(FORMS) == FLIPS
    assert target.open(data) == target.plain


@pytest.mark.slow
@pytest.mark.parametrize(("form", "suite"), FORMS)
def test_flip_a_bit_of_several_segments(form, suite):
    """A02: 200 bits in three segments in each form and suite: what came out is exactly the segments before."""
    target = Target.of(form, suite, LARGE)
    data, head, counted = bytearray(target.made.data), target.head, 0
    for index in (1, 2, 3):
        begin, length = head.offset(index), head.stored_length(index)
        for byte, mask in places(f"{form} {suite} {index}", 66, begin, begin + length):
            with bit_flipped(data, byte, mask):
                attempt(target, data, counted, byte)
            counted += 1
    for byte in (head.offset(1) - 1, len(data) - 1):
        with bit_flipped(data, byte, 0x80):
            attempt(target, data, counted, byte)
        counted += 1
    assert counted == 200


class Mirror:
    """A server of ciphertext that somebody altered."""

    def __init__(self, data: bytearray) -> None:
        self.data = data

    def read_range(self, url: str, offset: int, length: int) -> bytes:
        return bytes(self.data[offset : offset + length])


@pytest.mark.parametrize("suite", [1, 2])
def test_what_a_device_has_written_when_it_is_refused(tmp_path, monkeypatch, suite):
    """A02: on the disk lie the segments before the altered one, sealed again; its buffer is zeros. 12 flips."""
    _, key, made = network_file(size=LARGE, suite=suite)
    data, plain = bytearray(made.data), fixed("target", LARGE)
    head = sealed.read_head(sealed.BytesReadable(data))
    keystore = FileKeystore(tmp_path / "keystore")
    buffers: list[memoryview] = []

    class Kept(PrivateBuffer):
        def __init__(self, size: int, **how: bool) -> None:
            super().__init__(size, **how)
            buffers.append(memoryview(self._pages))

    monkeypatch.setattr(fetch, "PrivateBuffer", Kept)
    for number, (share, mask) in enumerate(places("device", 12, 0, 1000)):
        index = number % 4
        byte = head.offset(index) + share * head.stored_length(index) // 1000
        unlocked = sealed.unlock(head, key, EXPECTED)
        links = fetch.Links(Mirror(data), ("https://mirror.test/o/x",), lambda: ())
        heading = fetch.Heading(0, type("File", (), {"size": len(data), "file_id": b"", "head": b""})(), unlocked)
        with Folder.open(tmp_path / f"device {number}") as folder, bit_flipped(data, byte, mask):
            staging = Staging("incoming", folder)
            with pytest.raises(IntegrityError) as refusal:
                fetch.fetch(links, (heading,), staging, keystore, SUBJECT, None)
        assert refusal.value.code == "file-digest"
        assert bytes(buffers[-1]) == bytes(len(buffers[-1]))
        written = (tmp_path / f"device {number}" / "0.srm").read_bytes()
        if index == 0:
            assert written == b""
            continue
        local = sealed.parse_head(written[: sealed.read_preamble(written).head_part_size], file_size=None)
        keys = Keys.derive(bytes(keystore.get(staging.keys[0])), local.core.file_id, suite)
        assert len(written) == local.offset(index), "more was written than was authentic"
        for whole in range(1, index):
            stored = written[local.offset(whole) : local.offset(whole + 1)]
            genuine = plain[(whole - 1) * MIB : whole * MIB]
            context = local.binding.context(whole)
            assert b"".join(chunked(keys.payload, stored[:24], context, genuine, suite)) == stored


def test_an_altered_file_in_a_devices_store_gives_no_model(tmp_path, monkeypatch):
    """A02: private memory of a model that is refused is zeros before it is given back. 9 flips, in each segment."""
    office = MemoryOffice()
    office.publish("digits", "1.0", {"w": fixed("w", LARGE)}, counter=1)
    device = Device(tmp_path / "device", office)
    device.room().pull("digits")
    path = next(device.home.glob("models/*/0.srm"))
    kept: list[memoryview] = []

    class Kept(PrivateBuffer):
        def __init__(self, size: int, **how: bool) -> None:
            super().__init__(size, **how)
            kept.append(memoryview(self._pages))
            kept[-1][:] = b"\xff" * len(kept[-1])

    monkeypatch.setattr(opening, "PrivateBuffer", Kept)
    genuine, state = path.read_bytes(), (device.home / "state.json").read_bytes()
    head = sealed.read_head(sealed.BytesReadable(genuine))
    for number, (share, mask) in enumerate(places("store", 9, 0, 1000)):
        index = 1 + number % 3
        bent = bytearray(genuine)
        bent[head.offset(index) + share * head.stored_length(index) // 1000] ^= mask
        path.write_bytes(bent)
        with pytest.raises(IntegrityError) as refusal, device.room().load("digits", offline="only"):
            pytest.fail("a model came out")
        assert refusal.value.code == "file-segment"
        (device.home / "state.json").write_bytes(state)  # which remembers that the install is damaged
    path.write_bytes(genuine)
    assert len(kept) == 9
    assert all(bytes(one) == bytes(len(one)) for one in kept)
