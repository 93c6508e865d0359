"""A second writer of sealed files, written from docs/spec/sealed-file.md alone.

It shares no line with strongroom, takes the salts that the library draws at random from a label, so that a file is the
same on every machine, and can break any one rule while it keeps all others.
"""

import copy
import hashlib
import hmac
import struct
from collections.abc import Callable
from dataclasses import dataclass, field, fields

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from vectors.sealed_signers import (
    Sign,
    b64,
    dump,
    fixed,
    key_id,  # noqa: F401 - the tests take it from here, with the writer
    owner,  # noqa: F401 - as above
    owner_line,
    signed,
)

ABSENT = object()
MAGIC = b"\x89SRM\r\n\x1a\n"
CHUNK, MIB = 16_384, 2**20
AEADS = {1: (b"AEAD_AES_256_GCM", AESGCM), 2: (b"AEAD_CHACHA20_POLY1305", ChaCha20Poly1305)}
SUBJECT = ["ac_customer", "digits", "1.0", None]


def expand(prk: bytes, info: bytes, size: int) -> bytes:
    """HKDF-Expand with SHA-512."""
    return HKDFExpand(hashes.SHA512(), size, info).derive(prk)


def chunked(key: bytes, salt: bytes, context: bytes, plain: bytes, suite: int = 1) -> list[bytes]:
    """Encrypt as C2SP chunked encryption with a suite's AEAD; return salt, commitment, and each chunk."""
    name, cipher = AEADS[suite]
    info = b"c2sp.org/chunked-encryption@v1+" + name + b"\x00" + salt + context
    material = expand(key, info, 32 + 12 + 32)
    aead, base, commitment = cipher(material[:32]), int.from_bytes(material[32:44], "big"), material[44:]
    chunks = []
    for number in range(len(plain) // CHUNK + 1):
        nonce = (base ^ number).to_bytes(12, "big")
        chunks.append(aead.encrypt(nonce, plain[number * CHUNK : (number + 1) * CHUNK], None))
    return [salt, commitment, *chunks]


@dataclass
class Keys:
    """The key schedule of section 6, step by step."""

    prk: bytes
    commitment: bytes
    mac: bytes
    payload: bytes
    blind: bytes

    @classmethod
    def derive(cls, mek: bytes, file_id: bytes, suite: int) -> "Keys":
        """Derive all of them."""
        prk = hmac.digest(file_id, mek, "sha512")
        labels = (b"commit", b"header", b"payload", b"blind")
        return cls(prk, *(expand(prk, b"strongroom/v1 " + label + bytes([suite]), 32) for label in labels))

    def blinded(self, label: bytes, data: bytes) -> bytes:
        """Return a keyed hash."""
        return hmac.digest(self.blind, label + b"\0" + data, "sha512")[:32]


def leave(value: object) -> object:
    """Change nothing."""
    return value


@dataclass
class Plan:
    """A file to be made. Each `bend_…` may break one thing; what is made after it is made right again around it."""

    name: str
    files: list[tuple[str, bytes]] = field(default_factory=lambda: [("model.onnx", fixed("small model", 1000))])
    mek: bytes | None = None
    subject: list = field(default_factory=lambda: list(SUBJECT))
    kind: str = "model"
    segment_size: int = MIB
    toc: dict = field(default_factory=dict)  # fields that replace those of the table of contents
    core: dict = field(default_factory=dict)  # fields that replace those of the core header; a value of ... removes one
    suite: int = 1
    signers: tuple[str, ...] = ("first",)
    sign: Sign = signed  # how a signer signs
    bend_plain: Callable[[list[bytes]], list[bytes]] = leave  # what the segments hold, the table of contents first
    bend_toc: Callable[[bytes], bytes] = leave  # bytes of the table of contents; the head fits the result
    bend_content: Callable[[bytes], bytes] = leave  # `content`
    bend_core: Callable[[bytes], bytes] = leave  # bytes of the core header
    bend_segment: Callable[[int, list[bytes]], list[bytes]] = lambda _, parts: parts  # before digests and signatures
    segment_index: Callable[[int], int] = leave  # the place a segment is sealed for
    bend_manifest: Callable[[dict], dict] = leave
    bend_manifest_bytes: Callable[[bytes], bytes] = leave
    bend_mac: Callable[[bytes], bytes] = leave
    bend_head: Callable[[bytes], bytes] = leave  # what the owners sign
    bend_signatures: Callable[[list], object] = leave
    bend_block: Callable[[bytes], bytes] = leave  # bytes of the signature block
    bend_stored: Callable[[list[bytes]], list[bytes]] = leave  # the segments, after signing
    bend_file: Callable[[bytes], bytes] = leave  # the whole file

    def key(self) -> bytes:
        """Return the model key."""
        return self.mek if self.mek is not None else fixed(f"mek {self.name}", 32)


@dataclass
class Made:
    """A file, and what was needed to make it."""

    data: bytes
    keys: Keys
    core: dict
    toc: bytes
    head: bytes
    head_part: bytes
    segments: list[bytes]
    contexts: list[bytes]


def make(plan: Plan) -> Made:
    """Make a file as planned."""
    payload = b"".join(data for _, data in plan.files)
    toc_value = {
        "files": [
            {"path": path, "sha256": b64(hashlib.sha256(data).digest()), "size": len(data)} for path, data in plan.files
        ],
        "format": None,
        "licence": None,
        "metadata": {},
        "origin": None,
        "overlayable": [],
        "runtimes": [],
    }
    toc = plan.bend_toc(dump(toc_value | plan.toc))
    plain = plan.bend_plain(
        [toc, *(payload[at : at + plan.segment_size] for at in range(0, len(payload), plan.segment_size))]
    )
    file_id = fixed(f"file_id {plan.name}", 32)
    keys = Keys.derive(plan.key(), file_id, plan.suite)
    core = {
        "base": None,
        "commitment": b64(keys.commitment),
        "content": b64(plan.bend_content(keys.blinded(b"content", toc))),
        "counter": 1,
        "critical": [],
        "epoch": 1,
        "file_id": b64(file_id),
        "key_id": b64(fixed(f"key_id {plan.name}", 16)),
        "kind": plan.kind,
        "origin": None,
        "payload_length": len(payload),
        "segment_size": plan.segment_size,
        "segments": len(plain),
        "subject": b64(keys.blinded(b"subject", dump(plan.subject))),
        "toc_length": len(toc),
    } | plan.core
    core = {name: value for name, value in core.items() if value is not ...}
    core_bytes = plan.bend_core(dump(core))
    begin = MAGIC + bytes([1, plan.suite, 0, 0])
    binding = b"strongroom/v1 segment" + hashlib.sha512(begin + core_bytes).digest()
    contexts = [binding + struct.pack(">II", plan.segment_index(index), len(plain)) for index in range(len(plain))]
    parts = [
        chunked(keys.payload, fixed(f"salt {plan.name} {index}", 24), context, data, plan.suite)
        for index, (data, context) in enumerate(zip(plain, contexts, strict=True))
    ]
    segments = [b"".join(plan.bend_segment(index, one)) for index, one in enumerate(parts)]
    digests = [] if plan.kind == "local" else [b64(hashlib.sha256(stored).digest()) for stored in segments]
    manifest = plan.bend_manifest_bytes(dump(plan.bend_manifest({"segments": digests})))
    head = begin + struct.pack(">II", len(core_bytes), len(manifest)) + core_bytes + manifest
    mac = plan.bend_mac(hmac.digest(keys.mac, head, "sha512")[:32])
    message = b"strongroom/v1 file\0" + hashlib.sha512(plan.bend_head(head)).digest()
    signatures = [plan.sign(name, message) for name in plan.signers]
    block = plan.bend_block(dump(plan.bend_signatures(copy.deepcopy(signatures))))
    stored = b"".join(plan.bend_stored(list(segments)))
    total = 64 + len(core_bytes) + len(manifest) + len(block) + sum(map(len, segments))
    head_part = head[:20] + struct.pack(">IQ", len(block), total) + core_bytes + manifest + mac + block
    return Made(plan.bend_file(head_part + stored), keys, core, toc, head, head_part, segments, contexts)


@dataclass
class Case:
    """One vector: a file, how to open it, and what must come of it."""

    plan: Plan
    expect: str
    comment: str
    released: bytes = b""  # what may be given out before the failure; the payload where `expect` is success
    mek: bytes | None = None  # the key to try, if another than the file's
    subject: list | None = None
    kind: str = "model"
    owners: tuple[str, ...] = ("first",)  # a hybrid owner is two names joined by "+"
    threshold: int = 1
    origin_head: bytes | None = None  # opens from the store of a device
    sound: Plan | None = None  # of a case that fails: the plan without its defect, where it is not simply unbent
    sound_ask: dict = field(default_factory=dict)  # of a case whose defect is what is asked for: what to ask instead

    def text(self) -> bytes:
        """Return the bytes of the vector's file."""
        lines = {
            "expect": self.expect,
            "comment": self.comment,
            "payload": hashlib.sha256(self.released).hexdigest(),
            "released": str(len(self.released)),
            "segments": str(-(-len(self.released) // self.plan.segment_size)),
            "mek": (self.mek if self.mek is not None else self.plan.key()).hex(),
            "kind": self.kind,
            "subject": dump(self.subject if self.subject is not None else self.plan.subject).decode(),
            "owners": " ".join(owner_line(name) for name in self.owners),
            "threshold": str(self.threshold),
        }
        if self.origin_head is not None:
            lines["origin-head"] = self.origin_head.hex()
        return "".join(f"{name}: {value}\n" for name, value in lines.items()).encode() + b"\n" + make(self.plan).data

    def mended(self) -> "Case":
        """Return the case that opens and that this one differs from in its one defect."""
        unbent = Plan(self.plan.name, self.plan.files, suite=self.plan.suite, segment_size=self.plan.segment_size)
        sound = self.sound if self.sound is not None else unbent
        ask = {"owners": self.owners, "threshold": self.threshold, "origin_head": self.origin_head} | self.sound_ask
        return success(sound, self.comment, **({"kind": self.kind if ask["origin_head"] else sound.kind} | ask))

    def defects(self) -> list[str]:
        """Name everything in which this case differs from the one that opens."""
        sound, found = self.mended(), []
        for one in fields(Plan):
            bent, unbent = getattr(self.plan, one.name), getattr(sound.plan, one.name)
            if isinstance(bent, dict):
                found += [
                    f"{one.name}.{key}"
                    for key in bent.keys() | unbent.keys()
                    if bent.get(key, ABSENT) != unbent.get(key, ABSENT)
                ]
            elif bent != unbent:
                found.append(one.name)
        subject = self.subject if self.subject is not None else self.plan.subject
        asked = {"mek": self.mek is not None, "subject": subject != self.plan.subject, "kind": self.kind != sound.kind}
        asked |= {"threshold": self.threshold != sound.threshold, "owners": self.owners != sound.owners}
        asked["origin-head"] = self.origin_head != sound.origin_head
        return sorted([*found, *(name for name, differs in asked.items() if differs and name not in found)])


def success(plan: Plan, comment: str, **how: object) -> Case:
    """Return a vector that opens."""
    return Case(plan, "success", comment, b"".join(data for _, data in plan.files), **how)


def flipped(data: bytes, at: int, mask: int = 1) -> bytes:
    """Return the bytes with one bit, or the bits of a mask, changed."""
    changed = bytearray(data)
    changed[at] ^= mask
    return bytes(changed)
