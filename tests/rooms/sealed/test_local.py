"""A device's own copy: what comes out, and that its origin is verified at every open (R47, section 12)."""

import hashlib
import io

import pytest

from strongroom import sealed
from strongroom.errors import InputError, IntegrityError
from strongroom.signing import ED25519, Principal, Role, SigningKey
from vectors.sealed_writer import Plan, b64, fixed, make
from vectors.targets import EXPECTED, OWNERS, SUBJECT, local_file, network_file, role

MIB = 2**20
OWNER = SigningKey(ED25519, fixed("own writer", 32))


def delivered(files: dict[str, bytes], mek: sealed.ModelKey, **how) -> bytes:
    sink = io.BytesIO()
    sources = [sealed.Source.of_bytes(path, data) for path, data in files.items()]
    sealed.seal(sources, sink, mek=mek, subject=SUBJECT, signers=[OWNER], **how)
    return sink.getvalue()


def local_copy(data: bytes, mek: sealed.ModelKey, key: sealed.ModelKey) -> tuple[bytes, sealed.Head]:
    head = sealed.read_head(sealed.BytesReadable(data))
    unlocked = sealed.unlock(head, mek, sealed.Expected("model", SUBJECT, None))

    def stored(index: int) -> bytes:
        return data[head.offset(index) : head.offset(index) + head.stored_length(index)]

    toc = unlocked.read_toc(stored(0))
    writer = sealed.start_local(unlocked, toc, toc.encode(), key, SUBJECT)
    parts = [writer.head_part, writer.first]
    for index in range(1, head.segment_count):
        plain = memoryview(bytearray(head.plain_length(index)))
        unlocked.open_segment(index, stored(index), plain)
        parts.append(writer.seal_segment(index, plain))
    unlocked.close()
    writer.close()
    return b"".join(parts), head


def opened(local: bytes, key: sealed.ModelKey, origin_head: bytes, **how) -> sealed.Opened:
    how = {"subject": SUBJECT, "owners": Role(1, (Principal((OWNER.public,)),))} | how
    return sealed.open_local(sealed.BytesReadable(local), key, origin_head=origin_head, **how)


@pytest.mark.parametrize("size", [0, 5, MIB, 2 * MIB + 7])
def test_a_device_keeps_its_own_copy(size):
    """R47: sealed again under a random local key; its bytes differ from what was delivered, its files do not."""
    mek, key = sealed.ModelKey.generate(), sealed.ModelKey.generate()
    files = {"model": fixed("model", size), "labels.txt": b"cat"}
    network = delivered(files, mek, segment_size=MIB)
    local, origin = local_copy(network, mek, key)
    model = opened(local, key, origin.digest, checksums=True)
    assert {path: bytes(model.file(path)) for path in files} == files
    assert model.head.core.file_id != origin.core.file_id
    assert (model.head.core.epoch, model.head.core.counter) == (origin.core.epoch, origin.core.counter)
    assert model.toc.origin is None
    assert bytes(mek.reveal()) not in local
    assert network[origin.offset(0) :][:56] not in local


def test_the_model_key_does_not_open_the_copy_nor_the_local_key_the_delivery():
    """R47, R54: two keys, two files."""
    mek, key = sealed.ModelKey.generate(), sealed.ModelKey.generate()
    network = delivered({"m": b"x"}, mek)
    local, origin = local_copy(network, mek, key)
    with pytest.raises(IntegrityError) as refusal:
        opened(local, mek, origin.digest)
    assert refusal.value.code == "file-wrong-key"
    with pytest.raises(IntegrityError) as refusal:
        sealed.open_sealed(sealed.BytesReadable(network), key, sealed.Expected("model", SUBJECT, None))
    assert refusal.value.code == "file-wrong-key"


def test_the_largest_contents_fit_into_a_local_copy():
    """A table of contents at its cap still makes a local file."""
    mek, key = sealed.ModelKey.generate(), sealed.ModelKey.generate()
    tensors = tuple(f"{number:0>256}" for number in range(16_000))
    network = delivered({"m": b"x"}, mek, description=sealed.Description(overlayable=tensors))
    local, origin = local_copy(network, mek, key)
    assert origin.core.toc_length > 4_000_000
    assert opened(local, key, origin.digest).toc.overlayable == tensors


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ({"owners": role("second")}, "file-signature"),
        ({"subject": sealed.Subject("ac_customer", "digits", "1.0", "us_anna")}, "file-subject"),
        ({"origin_head": bytes(64)}, "file-mismatch"),
    ],
    ids=["owner removed from trust", "another user", "another origin recorded"],
)
def test_what_no_longer_fits_is_refused_at_the_next_open(how, code):
    """A22: also a file that opened yesterday."""
    data, key, digest = local_file()
    with pytest.raises(IntegrityError) as refusal:
        opened(data, key, **({"origin_head": digest, "owners": OWNERS} | how))
    assert refusal.value.code == code


def test_an_origin_that_is_local_itself():
    """A chain of local files would let a device vouch for itself."""
    link = {"file_id": b64(bytes(32)), "head": b64(bytes(64))}
    source = make(Plan("inner", kind="local", signers=(), core={"origin": link}))
    digest = hashlib.sha512(source.head).digest()
    plan = Plan(
        "outer",
        kind="local",
        signers=(),
        toc={"origin": {"blind": b64(source.keys.blind), "head_part": b64(source.head_part)}},
        core={"origin": {"file_id": source.core["file_id"], "head": b64(digest)}},
    )
    with pytest.raises(IntegrityError) as refusal:
        opened(make(plan).data, sealed.ModelKey(plan.key()), digest, owners=OWNERS)
    assert refusal.value.code == "file-kind"


def test_checksums_can_be_asked_for():
    """`store verify`: a local file made of other bytes than its table of contents says."""
    data, key, digest = local_file(bend_toc=lambda toc: toc)
    opened(data, key, digest, owners=OWNERS, checksums=True)
    wrong = make(
        Plan("wrong", [("model", b"right")], toc={"files": [{"path": "model", "sha256": b64(bytes(32)), "size": 5}]})
    )
    unlocked = sealed.unlock(
        sealed.parse_head(wrong.head_part, file_size=None),
        sealed.ModelKey(Plan("wrong").key()),
        EXPECTED,
    )
    toc = unlocked.read_toc(wrong.segments[0])
    own = sealed.ModelKey.generate()
    writer = sealed.start_local(unlocked, toc, toc.encode(), own, SUBJECT)
    local = writer.head_part + writer.first + writer.seal_segment(1, b"right")
    how = {"owners": OWNERS, "origin_head": unlocked.head.digest}
    assert opened(local, own, **how).payload == b"right"
    with pytest.raises(IntegrityError) as refusal:
        opened(local, own, **how, checksums=True)
    assert refusal.value.code == "file-checksum"


def test_start_local_refuses_parts_that_do_not_belong_together():
    data, mek, made = network_file(size=1)
    unlocked = sealed.unlock(sealed.read_head(sealed.BytesReadable(data)), mek, EXPECTED)
    toc = unlocked.read_toc(made.segments[0])
    other = sealed.TableOfContents((sealed.FileEntry("n", 1, bytes(32)),))
    key = sealed.ModelKey.generate()
    for parts in (
        (other, other.encode(), key, SUBJECT),
        (toc, other.encode(), key, SUBJECT),
        (toc, toc.encode(), key, sealed.Subject(None, "m", "1", None)),
    ):
        with pytest.raises(InputError) as refusal:
            sealed.start_local(unlocked, *parts)
        assert refusal.value.code == "argument"
    writer = sealed.start_local(unlocked, toc, toc.encode(), key, SUBJECT)
    for index, plain in ((0, b"x"), (2, b"x"), (1, b"xx")):
        with pytest.raises(InputError):
            writer.seal_segment(index, plain)
