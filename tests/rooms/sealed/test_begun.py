"""Going on with a local file that was begun: what is whole opens, what is sealed anew fits, the rest is refused."""

import io

import pytest

from rooms.sealed.test_local import MIB, OWNER, delivered, local_copy, opened
from strongroom import sealed
from strongroom.errors import Code, InputError, IntegrityError
from strongroom.sealed import BytesReadable, Expected, ModelKey, Subject
from strongroom.signing import ED25519, SigningKey
from vectors.sealed_writer import fixed
from vectors.targets import SUBJECT

FILES = {"model": fixed("begun", 2 * MIB + 7), "labels.txt": b"cat"}
PLAIN = FILES["model"] + FILES["labels.txt"]


class Begun:
    """An origin and its local copy, whole; a test takes away of it what it likes."""

    def __init__(self, **how) -> None:
        self.mek, self.key = ModelKey.generate(), ModelKey.generate()
        self.network = delivered(FILES, self.mek, segment_size=MIB, **how)
        self.local, self.head = local_copy(self.network, self.mek, self.key)

    def unlocked(self) -> sealed.Unlocked:
        return sealed.unlock(sealed.read_head(BytesReadable(self.network)), self.mek, Expected("model", SUBJECT, None))

    def layout(self) -> sealed.Head:
        size = sealed.read_preamble(self.local).head_part_size
        return sealed.parse_head(self.local[:size], file_size=None)


def refused(*how: object) -> Code:
    with pytest.raises(IntegrityError) as caught:
        sealed.go_on_local(*how)
    return caught.value.code


@pytest.fixture(scope="module")
def begun() -> Begun:
    return Begun()


@pytest.mark.parametrize("whole", [0, 1, 2, 3])
def test_what_is_whole_opens_and_the_rest_is_sealed_anew(begun, whole):
    """C17: the file that comes of it opens like one made at once."""
    layout, origin = begun.layout(), begun.unlocked()
    start = layout.offset(whole) + layout.stored_length(whole)
    data = bytearray(begun.local[:start])
    with sealed.go_on_local(BytesReadable(data + b"torn"), origin, begun.key, SUBJECT) as gone_on:
        assert gone_on.toc.origin is None
        for index in range(1, layout.segment_count):
            plain = PLAIN[(index - 1) * MIB : index * MIB]
            buffer = memoryview(bytearray(len(plain)))
            if index <= whole:
                gone_on.open_segment(index, buffer)
                assert buffer == plain
            else:
                data += gone_on.writer.seal_segment(index, plain)
    model = opened(bytes(data), begun.key, begun.head.digest, checksums=True)
    assert {path: bytes(model.file(path)) for path in FILES} == FILES


def test_a_torn_segment_is_refused_and_leaves_zeros(begun):
    layout = begun.layout()
    for at in (layout.offset(1) + 100, layout.offset(2) - 1):
        data = bytearray(begun.local)
        data[at] ^= 1
        with sealed.go_on_local(BytesReadable(data), begun.unlocked(), begun.key, SUBJECT) as gone_on:
            buffer = memoryview(bytearray(b"\xee" * MIB))
            with pytest.raises(IntegrityError) as caught:
                gone_on.open_segment(1, buffer)
            assert caught.value.code == Code.FILE_SEGMENT
            assert bytes(buffer) == bytes(MIB)
            assert len(gone_on.writer.seal_segment(1, PLAIN[:MIB])) == layout.stored_length(1)


def test_every_cut_before_the_first_segment_is_refused(begun):
    """C02: whatever is left of its head and its table of contents."""
    end = begun.layout().offset(1)
    for at in [*range(0, end, 97), end - 1]:
        assert refused(BytesReadable(begun.local[:at]), begun.unlocked(), begun.key, SUBJECT) in {
            Code.FILE_TRUNCATED,
            Code.FILE_FORMAT,
        }


def test_it_belongs_to_one_origin_one_key_one_subject(begun):
    """C08: the same content sealed again, another key, another subject, other signatures: begun for something else."""
    whole, other = BytesReadable(begun.local), Begun()
    assert refused(whole, other.unlocked(), begun.key, SUBJECT) == Code.FILE_MISMATCH
    assert refused(whole, begun.unlocked(), other.key, SUBJECT) == Code.FILE_WRONG_KEY
    assert refused(whole, begun.unlocked(), begun.key, Subject(None, "x", "1.0", None)) == Code.FILE_SUBJECT
    signer, sink = SigningKey(ED25519, fixed("another signer", 32)), io.BytesIO()
    sealed.copy_signed(BytesReadable(begun.network), sink, signer)
    head = sealed.read_head(BytesReadable(sink.getvalue()))
    assert head.digest == begun.head.digest
    cosigned = sealed.unlock(head, begun.mek, Expected("model", SUBJECT, None))
    assert refused(whole, cosigned, begun.key, SUBJECT) == Code.FILE_MISMATCH
    assert refused(BytesReadable(begun.network), begun.unlocked(), begun.mek, SUBJECT) == Code.FILE_KIND
    assert OWNER.public.key_id in {one.key for one in head.signatures}


def test_other_orders_are_refused():
    """B17: a copy that was begun from an older version of the same file."""
    old, new = Begun(epoch=1, counter=1), Begun(epoch=1, counter=2)
    assert refused(BytesReadable(old.local), new.unlocked(), old.key, SUBJECT) == Code.FILE_MISMATCH


def test_nothing_after_closing(begun):
    gone_on = sealed.go_on_local(BytesReadable(begun.local), begun.unlocked(), begun.key, SUBJECT)
    gone_on.close()
    with pytest.raises(IntegrityError) as caught:
        gone_on.open_segment(1, memoryview(bytearray(MIB)))
    assert caught.value.code == Code.FILE_REFUSED
    with pytest.raises(InputError):
        gone_on.writer.seal_segment(0, b"")
