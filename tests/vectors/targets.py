"""Sealed files for the tests that attack them, and how an honest reader opens them."""

import hashlib
import hmac
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from strongroom import sealed
from strongroom.errors import Code, IntegrityError
from strongroom.signing import ED25519, Principal, PublicKey, Role
from vectors.sealed_writer import CHUNK, Made, Plan, b64, dump, fixed, key_id, make, owner

SUBJECT = sealed.Subject("ac_customer", "digits", "1.0", None)
FORMS = [("network", 1), ("network", 2), ("local", 1), ("local", 2)]  # form and suite of every file that is attacked


def role(*names: str, threshold: int = 1) -> Role:
    """Return a role of owners by name."""
    keys = [PublicKey(ED25519, owner(name).public_key().public_bytes_raw()) for name in names]
    return Role(threshold, tuple(Principal((key,)) for key in keys))


OWNERS = role("first")
EXPECTED = sealed.Expected("model", SUBJECT, OWNERS)


def network_file(name: str = "target", size: int = 50_000, **how: object) -> tuple[bytes, sealed.ModelKey, Made]:
    """Return a delivered file, its key, and how it was made."""
    plan = Plan(name, [("model", fixed(name, size))], **how)
    made = make(plan)
    return made.data, sealed.ModelKey(plan.key()), made


def local_made(name: str = "target", size: int = 50_000, **how: object) -> tuple[Made, sealed.ModelKey, bytes]:
    """Return a device's own copy as it was made, its key, and the SHA-512 of its origin's head."""
    origin = make(Plan(name, [("model", fixed(name, size))]))
    digest = hashlib.sha512(origin.head).digest()
    plan = Plan(
        f"{name} local",
        [("model", fixed(name, size))],
        kind="local",
        signers=(),
        toc={"origin": {"blind": b64(origin.keys.blind), "head_part": b64(origin.head_part)}},
        core={"origin": {"file_id": origin.core["file_id"], "head": b64(digest)}},
        **how,
    )
    return make(plan), sealed.ModelKey(plan.key()), digest


def local_file(name: str = "target", size: int = 50_000, **how: object) -> tuple[bytes, sealed.ModelKey, bytes]:
    """Return a device's own copy, its key, and the SHA-512 of its origin's head."""
    made, key, digest = local_made(name, size, **how)
    return made.data, key, digest


def opener(data: bytes, mek: sealed.ModelKey) -> Callable[[], memoryview]:
    """Return a call that opens a delivered file."""
    return lambda: sealed.open_sealed(sealed.BytesReadable(data), mek, EXPECTED, workers=1).payload


def local_opener(data: bytes, key: sealed.ModelKey, digest: bytes) -> Callable[[], memoryview]:
    """Return a call that opens a device's own copy."""
    return lambda: (
        sealed.open_local(
            sealed.BytesReadable(data), key, subject=SUBJECT, owners=OWNERS, origin_head=digest, workers=1
        ).payload
    )


def refused(opening: Callable[[], object]) -> Code:
    """Return the code with which something is refused; that it is refused at all is asserted."""
    with pytest.raises(IntegrityError) as refusal:
        opening()
    return refusal.value.code


@dataclass
class Target:
    """A file to attack, delivered or a device's own copy; opens whatever stands in its place."""

    form: str
    made: Made
    key: sealed.ModelKey
    plain: bytes
    origin_head: bytes | None  # recorded by the device, of a local file
    head: sealed.Head = field(init=False)

    def __post_init__(self) -> None:
        self.head = sealed.read_head(sealed.BytesReadable(self.made.data))

    @classmethod
    def of(cls, form: str, suite: int, size: int, name: str = "target") -> "Target":
        """Make one."""
        if form == "network":
            _, key, made = network_file(name, size, suite=suite)
            return cls(form, made, key, fixed(name, size), None)
        made, key, digest = local_made(name, size, suite=suite)
        return cls(form, made, key, fixed(name, size), digest)

    @property
    def broken(self) -> Code:
        """The code for an altered segment: the manifest finds it, or the cipher where there is no manifest."""
        return Code.FILE_DIGEST if self.form == "network" else Code.FILE_SEGMENT

    def open(self, found: bytes | bytearray | memoryview | sealed.Readable, **how: object) -> memoryview:
        """Open whole what was found in place of the file."""
        readable = found if hasattr(found, "pread") else sealed.BytesReadable(found)
        how = {"workers": 1} | how
        if self.origin_head is None:
            return sealed.open_sealed(readable, self.key, EXPECTED, **how).payload
        asked = {"subject": SUBJECT, "owners": OWNERS, "origin_head": self.origin_head}
        return sealed.open_local(readable, self.key, **asked, **how).payload

    def parts(self, found: bytes | bytearray | memoryview | sealed.Readable) -> sealed.RandomAccess:
        """Open for reading parts what was found in place of the file."""
        readable = found if hasattr(found, "pread") else sealed.BytesReadable(found)
        if self.origin_head is None:
            return sealed.open_random_access(readable, self.key, EXPECTED)
        asked = {"subject": SUBJECT, "owners": OWNERS, "origin_head": self.origin_head}
        return sealed.open_local_random_access(readable, self.key, **asked)

    def code(self, found: bytes | bytearray | memoryview | sealed.Readable, **how: object) -> Code:
        """Return the code with which what was found is refused."""
        return refused(lambda: self.open(found, **how))

    def with_segment(self, index: int, stored: bytes) -> bytes:
        """Return the file with another stored segment in the place of one."""
        begin = self.head.offset(index)
        return self.made.data[:begin] + stored + self.made.data[begin + self.head.stored_length(index) :]


def chunks_of(segment: bytes) -> list[bytes]:
    """Return salt with commitment, and each stored chunk."""
    return [segment[:56], *(segment[at : at + CHUNK + 16] for at in range(56, len(segment), CHUNK + 16))]


def rebuilt(
    made: Made,
    *,
    core: bytes | None = None,
    manifest: bytes | None = None,
    block: bytes | None = None,
    signers: tuple[str, ...] = ("first",),
    segments: list[bytes] | None = None,
) -> bytes:
    """Return a file with some parts replaced as they are, a right MAC, and signatures of whoever is named."""
    lengths = struct.unpack(">II", made.head[12:20])
    core = made.head[20 : 20 + lengths[0]] if core is None else core
    manifest = made.head[20 + lengths[0] :] if manifest is None else manifest
    head = made.head[:12] + struct.pack(">II", len(core), len(manifest)) + core + manifest
    mac = hmac.digest(made.keys.mac, head, "sha512")[:32]
    if block is None:
        message = b"strongroom/v1 file\0" + hashlib.sha512(head).digest()
        keys = [owner(name) for name in signers]
        block = dump([{"alg": "Ed25519", "key": key_id(one), "sig": b64(one.sign(message))} for one in keys])
    body = b"".join(made.segments if segments is None else segments)
    total = 64 + len(core) + len(manifest) + len(block) + len(body)
    return head[:20] + struct.pack(">IQ", len(block), total) + core + manifest + mac + block + body
