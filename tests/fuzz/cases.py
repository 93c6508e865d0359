"""A whole sealed file with its key as one input: the form of the vectors (docs/spec/sealed-file.md section 14).

`resealed` changes such a file as a holder of the key and of the owners' keys can: it decrypts, changes a value, and
makes everything around it right again, so that mutations reach behind digests, MAC, signatures and tags.
"""

import functools
import hashlib
import hmac
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

from cryptography.exceptions import InvalidTag

from fuzz.mutation import Bytewise, head_bytes, joined_head, json_bytes, spelled, split_head
from strongroom import canonical, sealed
from strongroom.errors import StrongroomError
from strongroom.signing import ED25519, Principal, PublicKey, Role
from vectors.sealed_writer import AEADS, CHUNK, Keys, b64, chunked, expand, fixed, key_id, owner

Allocate = Callable[[int], memoryview]
FIELDS = {"kind", "mek", "owners", "subject", "threshold"}


@functools.cache
def known_owners() -> dict[str, str]:
    """Return the names of the vectors' owners by their raw public keys in base64url."""
    names = ("first", "second", "third", "stranger")
    return {b64(owner(name).public_key().public_bytes_raw()): name for name in names}


@dataclass(frozen=True, slots=True)
class Case:
    """A sealed file, and how to open it."""

    before: bytes  # the lines, as they stand
    fields: dict[str, str]
    data: bytes

    @classmethod
    def read(cls, whole: bytes) -> "Case | None":
        """Read a vector; None if it is none."""
        before, _, data = whole.partition(b"\n\n")
        try:
            fields = dict(line.split(": ", 1) for line in before.decode("ascii").splitlines())
            case = cls(before, fields, data)
            whole = fields.keys() >= FIELDS and case.expected and case.mek and bytes.fromhex(case.origin_head or "00")
        except (ValueError, TypeError, AttributeError, RecursionError, StrongroomError):
            return None
        return case if whole else None

    def whole(self) -> bytes:
        return self.before + b"\n\n" + self.data

    @property
    def origin_head(self) -> str | None:
        """What the device recorded of the origin, if the file opens from a device's store."""
        return self.fields.get("origin-head")

    @property
    def owners(self) -> Role:
        owners = (one.split("+") for one in self.fields["owners"].split())
        principals = tuple(Principal(tuple(key_from(text) for text in keys)) for keys in owners)
        return Role(int(self.fields["threshold"]), principals)

    @property
    def subject(self) -> sealed.Subject:
        return sealed.Subject(*json.loads(self.fields["subject"]))

    @property
    def mek(self) -> sealed.ModelKey:
        return sealed.ModelKey(bytes.fromhex(self.fields["mek"]))

    @property
    def expected(self) -> sealed.Expected:
        return sealed.Expected(self.fields["kind"], self.subject, self.owners)

    def open(self, allocate: Allocate) -> sealed.Opened:
        """Open all of it, every check included."""
        readable = sealed.BytesReadable(self.data)
        if self.origin_head is None:
            return sealed.open_sealed(readable, self.mek, self.expected, allocate=allocate, workers=1)
        return sealed.open_local(
            readable, self.mek, **self._local_expected(), allocate=allocate, workers=1, checksums=True
        )

    def random_access(self) -> sealed.RandomAccess:
        """Open it for reading parts."""
        readable = sealed.BytesReadable(self.data)
        if self.origin_head is None:
            return sealed.open_random_access(readable, self.mek, self.expected)
        return sealed.open_local_random_access(readable, self.mek, **self._local_expected())

    def proved_by_hand(self, toc: bytes) -> bool:
        """Check commitment, MAC, subject, contents and digests with nothing of the reader's."""
        preamble, core_bytes, manifest, mac, block = split_head(self.data)
        core, head = json.loads(core_bytes), preamble[:20] + core_bytes + manifest
        keys = Keys.derive(bytes.fromhex(self.fields["mek"]), _unb64(core["file_id"]), preamble[9])
        found = {
            "commitment": b64(keys.commitment),
            "subject": b64(keys.blinded(b"subject", spelled(json.loads(self.fields["subject"])))),
        }
        right = hmac.digest(keys.mac, head, "sha512")[:32] == mac and all(core[name] == found[name] for name in found)
        if self.origin_head is not None:  # segment 0 has the origin's head part as well, and no digests
            return right and core["origin"]["head"] == b64(bytes.fromhex(self.origin_head))
        stored, at = [], len(preamble + core_bytes + manifest + mac + block)
        for length in self._lengths(core):
            stored.append(b64(hashlib.sha256(self.data[at : at + length]).digest()))
            at += length
        right = right and json.loads(manifest) == {"segments": stored} and at == len(self.data)
        return right and core["content"] == b64(keys.blinded(b"content", toc)) and core["kind"] == self.fields["kind"]

    @staticmethod
    def _lengths(core: dict) -> list[int]:
        step, payload = core["segment_size"], core["payload_length"]
        plain = [core["toc_length"], *(min(step, payload - at) for at in range(0, payload, step))]
        return [56 + size + 16 * (size // CHUNK + 1) for size in plain]

    def _local_expected(self) -> dict[str, object]:
        origin_head = bytes.fromhex(self.origin_head or "")
        asked = {"subject": self.subject, "owners": self.owners, "kind": self.fields["kind"]}
        return asked | {"origin_head": origin_head}


def resealed(random: Random, whole: bytes, raw: Bytewise) -> bytes:
    """Change a vector's file with its keys at hand; the lines before it stay."""
    case = Case.read(whole)
    if case is None:
        return raw(whole)
    parts = split_head(case.data)
    if parts is None:
        return replace(case, data=raw(case.data)).whole()
    stored = case.data[sum(map(len, parts)) :]
    way = random.random()
    if way < 0.1:
        return replace(case, data=raw(case.data)).whole()
    head_only = replace(case, data=head_bytes(random, b"".join(parts), raw) + stored)  # nothing else made right
    if way < 0.3:
        return head_only.whole()
    try:
        return _Resealing(random, case, parts, stored, raw).whole()
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, InvalidTag, struct.error, StrongroomError):
        return head_only.whole()  # what was broken before cannot be made right


class _Resealing:
    """One change, and everything that follows from it; now and then something is left as it was."""

    def __init__(
        self, random: Random, case: Case, parts: tuple[bytes, bytes, bytes, bytes, bytes], stored: bytes, raw: Bytewise
    ) -> None:
        self.random, self.case, self.raw = random, case, raw
        self.preamble, self.core_bytes, self.manifest, self.mac, self.block = parts
        self.core = json.loads(self.core_bytes)
        self.suite = self.preamble[9]
        self.keys = Keys.derive(bytes.fromhex(case.fields["mek"]), _unb64(self.core["file_id"]), self.suite)
        self.begin = self.preamble[:12]
        self.plain = self._opened(stored)
        self.origin_head = case.origin_head

    def whole(self) -> bytes:
        data = self._data()
        before = self.case.before
        if self.origin_head is not None:
            before = before.replace(self.case.fields["origin-head"].encode(), self.origin_head.encode())
        return replace(self.case, before=before, data=data).whole()

    def _data(self) -> bytes:
        random = self.random
        what = random.randrange(6)
        toc = self.plain[0]
        if what <= 2:
            toc = self._toc(toc)
        elif what == 3:
            self.core = _dictionary(json_bytes(random, spelled(self.core), self.raw))
        elif what == 4 and len(self.plain) > 1:
            at = random.randrange(1, len(self.plain))
            self.plain[at] = self.raw(self.plain[at])[: 2 * CHUNK]
            self.core["payload_length"] = sum(map(len, self.plain[1:]))
        else:
            self.core["payload_length"] = self.core["payload_length"] + random.choice((-1, 1, 2**20))
        if random.random() < 0.9:
            self.core |= {"toc_length": len(toc), "content": b64(self.keys.blinded(b"content", toc))}
        self.keys = Keys.derive(bytes.fromhex(self.case.fields["mek"]), _unb64(self.core["file_id"]), self.suite)
        if random.random() < 0.9:
            self.core["commitment"] = b64(self.keys.commitment)
        core = spelled(self.core)
        plain = [toc, *self.plain[1:]]
        binding = b"strongroom/v1 segment" + hashlib.sha512(self.begin + core).digest()
        contexts = [binding + struct.pack(">II", index, len(plain)) for index in range(len(plain))]
        stored = [self._segment(index, *one) for index, one in enumerate(zip(plain, contexts, strict=True))]
        digests = [] if self.core.get("kind") == "local" else [b64(hashlib.sha256(one).digest()) for one in stored]
        manifest = spelled({"segments": digests})
        if random.random() < 0.05:
            manifest = json_bytes(random, manifest, self.raw)
        return self._headed(core, manifest) + b"".join(stored)

    def _headed(self, core: bytes, manifest: bytes) -> bytes:
        """Return the head part, its MAC and signatures made new."""
        head = self.begin + struct.pack(">II", len(core), len(manifest)) + core + manifest
        mac = self.mac if self.random.random() < 0.03 else hmac.digest(self.keys.mac, head, "sha512")[:32]
        block = self.block
        if self.random.random() < 0.97:
            block = signed(head, self.case) if self.core.get("kind") != "local" else b"[]"
        if self.random.random() < 0.05:
            block = json_bytes(self.random, block, self.raw)
        return joined_head(self.preamble, core, manifest, mac, block)

    def _toc(self, toc: bytes) -> bytes:
        """Change the table of contents; in a local file its origin's head part too, signed again by its owners."""
        value = json.loads(toc)
        if self.random.random() < 0.6 and isinstance(value.get("origin"), dict):
            head_part = head_bytes(self.random, _unb64(value["origin"]["head_part"]), self.raw)
            parts = split_head(head_part)
            if parts is not None and self.random.random() < 0.8:
                head_part = joined_head(*parts[:4], b"[]")
                head = head_part[:20] + parts[1] + parts[2]
                head_part = joined_head(*parts[:4], signed(head, self.case))
                self._follow(hashlib.sha512(head), parts[1])
            value["origin"]["head_part"] = b64(head_part)
            return spelled(value)
        return json_bytes(self.random, toc, self.raw)

    def _follow(self, head: "hashlib._Hash", core: bytes) -> None:
        """Let the local file and the device name the origin as it is now."""
        self.origin_head = None if self.origin_head is None else head.hexdigest()
        self.core["origin"] = {"file_id": json.loads(core)["file_id"], "head": b64(head.digest())}

    def _segment(self, index: int, plain: bytes, context: bytes) -> bytes:
        salt = fixed(f"salt {index}", 24)
        stored = b"".join(chunked(self.keys.payload, salt, context, plain, self.suite))
        return self.raw(stored) if self.random.random() < 0.02 else stored

    def _opened(self, stored: bytes) -> list[bytes]:
        """Return the plaintext of every segment, each by the cipher alone."""
        lengths = [self.core["toc_length"]]
        left, step = self.core["payload_length"], self.core["segment_size"]
        if not 0 < step <= 2**26 or not 0 <= left <= 2**21:
            raise ValueError("not of a size that is worked on here")
        while left > 0:
            lengths.append(min(left, step))
            left -= step
        binding = b"strongroom/v1 segment" + hashlib.sha512(self.begin + self.core_bytes).digest()
        plain, at = [], 0
        for index, length in enumerate(lengths):
            size = 56 + length + 16 * (length // CHUNK + 1)
            context = binding + struct.pack(">II", index, len(lengths))
            plain.append(_unchunked(self.keys.payload, context, stored[at : at + size], self.suite))
            at += size
        return plain


def key_from(text: str) -> PublicKey:
    """Read an owner's key as a vector has it."""
    alg, _, raw = text.rpartition(":")
    return PublicKey(alg or ED25519, canonical.from_base64url(raw))


def signed(head: bytes, case: Case) -> bytes:
    """Return a signature block over a head by every owner of the case whose key is known here."""
    message = b"strongroom/v1 file\0" + hashlib.sha512(head).digest()
    names = (known_owners().get(text) for text in case.fields["owners"].replace("+", " ").split())
    owners = [owner(name) for name in names if name is not None]
    return spelled([{"alg": "Ed25519", "key": key_id(one), "sig": b64(one.sign(message))} for one in owners])


def _unchunked(key: bytes, context: bytes, stored: bytes, suite: int) -> bytes:
    name, cipher = AEADS[suite]
    info = b"c2sp.org/chunked-encryption@v1+" + name + b"\x00" + stored[:24] + context
    material = expand(key, info, 44)
    aead, base = cipher(material[:32]), int.from_bytes(material[32:], "big")
    plain = b""
    for number, at in enumerate(range(56, max(len(stored), 57), CHUNK + 16)):
        plain += aead.decrypt((base ^ number).to_bytes(12, "big"), stored[at : at + CHUNK + 16], None)
    return plain


def _unb64(text: str) -> bytes:
    return canonical.from_base64url(text)


def _dictionary(data: bytes) -> dict:
    value = json.loads(data)
    if not isinstance(value, dict):
        raise TypeError("a core header is an object")
    return value
