"""Every message of the device API (docs/spec/protocol.md section 4): frozen values over closed shapes.

Tokens, proofs, links and what is sealed or signed for one device do not print.

Fields are append-only once released: a field is never renamed, re-ordered in meaning or reused. Binary fields are
bytes here and base64url without padding on the wire; times are integer seconds since 1970 UTC.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from strongroom import canonical
from strongroom.canonical import JsonValue
from strongroom.names import CHANNEL, MODEL, VERSION
from strongroom.shapes import Array, Binary, Choice, Free, Integer, Nullable, Object, Text
from strongroom.signing import PublicKey, Role

ID = Text(64, r"[a-z]{2,4}_[A-Za-z0-9_-]{22}")  # opaque identifiers the server makes: prefix, 16 random bytes
JWS = Text(16_384, r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
SIGNED = Array(JWS, most=32, least=1)  # one JWS per key, identical payload bytes
SELECTOR = Text(64, rf"(?:{VERSION})|(?:@{CHANNEL})")
DIGEST32, DIGEST64 = Binary(32), Binary(64)
KIND, TIME = Choice(("model", "overlay", "delta", "local")), Integer()


class Message:
    """A frozen dataclass with a SHAPE of the same field names."""

    SHAPE: ClassVar[Object]
    LIMIT: ClassVar[int] = 65_536  # bytes on the wire, checked before parsing

    __slots__ = ()

    @classmethod
    def from_value(cls, value: JsonValue, where: str = "") -> Self:
        """Check a decoded value. Raises IntegrityError(SHAPE)."""
        return cls(**cls.SHAPE.check(value, where or cls.__name__))

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Check received bytes. Raises IntegrityError(JSON_TOO_LARGE, JSON_NOT_CANONICAL, SHAPE)."""
        return cls.from_value(canonical.decode(data, limit=cls.LIMIT, where=cls.__name__))

    def to_value(self) -> dict[str, JsonValue]:
        """Return JSON terms; absent optional fields are left out."""
        value = {name: getattr(self, name) for name in self.SHAPE.fields}
        return {
            name: _plain(item) for name, item in value.items() if item is not None or name not in self.SHAPE.optional
        }

    def to_bytes(self) -> bytes:
        return canonical.encode(self.to_value())


def _plain(item: Any) -> JsonValue:  # noqa: ANN401 - the field types of all messages
    if isinstance(item, bytes):
        return canonical.to_base64url(item)
    if isinstance(item, (Message, PublicKey)):
        return item.to_value()
    if isinstance(item, (tuple, list)):
        return [_plain(one) for one in item]
    if isinstance(item, dict):
        return {name: _plain(one) for name, one in item.items()}
    plain: JsonValue = item
    return plain


@dataclass(frozen=True, slots=True)
class Record:
    """The shape of a nested message."""

    of: type[Message] | type[PublicKey] | type[Role]

    def check(self, value: JsonValue, where: str) -> Message | PublicKey | Role:
        return self.of.from_value(value, where)

    def schema(self) -> dict[str, Any]:
        return self.of.SHAPE.schema()


@dataclass(frozen=True, slots=True)
class ChallengeRequest(Message):
    """`POST /v1/challenges`: ask for a fresh challenge."""

    purpose: str
    model: str | None = None

    SHAPE = Object(
        {"purpose": Choice(("enrol", "release", "urls", "renew")), "model": Text(64, MODEL)}, frozenset({"model"})
    )
    LIMIT = 1024


@dataclass(frozen=True, slots=True)
class ChallengeAnswer(Message):
    """A challenge that can be used once, by this device, for this purpose, until `expires_at`."""

    challenge: bytes
    expires_at: int
    suites: tuple[int, ...]
    kems: tuple[int, ...]
    server_time: int

    SHAPE = Object(
        {
            "challenge": DIGEST32,
            "expires_at": TIME,
            "suites": Array(Integer(1, 255), most=8, least=1),
            "kems": Array(Integer(1, 65_535), most=8, least=1),
            "server_time": TIME,
        }
    )


@dataclass(frozen=True, slots=True)
class Device(Message):
    """What a device says of itself, for context and audit (R39, R40, R8): nothing that names a person."""

    id: str | None  # null only while enrolling
    platform: str
    os: str
    arch: str
    client: str
    fingerprint: bytes  # SHA-256 over the machine's identifier under our label; never the identifier itself

    SHAPE = Object(
        {
            "id": Nullable(ID),
            "platform": Choice(("linux", "windows", "macos", "android", "ios", "web", "other")),
            "os": Text(120),
            "arch": Text(40),
            "client": Text(60),
            "fingerprint": DIGEST32,
        }
    )


@dataclass(frozen=True, slots=True)
class Evidence(Message):
    """One piece of attestation evidence; what its bytes are depends on `kind`."""

    kind: str
    data: bytes

    SHAPE = Object({"kind": Text(40, r"[a-z][a-z0-9-]*"), "data": Binary(65_536, 0)})


@dataclass(frozen=True, slots=True)
class EnrolRequest(Message):
    """`POST /v1/devices`: once per installation."""

    challenge: bytes
    public_key: PublicKey
    device: Device
    evidence: tuple[Evidence, ...]
    proof: str = field(repr=False)

    SHAPE = Object(
        {
            "challenge": DIGEST32,
            "public_key": Record(PublicKey),
            "device": Record(Device),
            "evidence": Array(Record(Evidence), most=8),
            "proof": JWS,
        }
    )
    LIMIT = 1_048_576


@dataclass(frozen=True, slots=True)
class EnrolAnswer(Message):
    """The device's identity with this server, and a token bound to its key (RFC 9449 section 6)."""

    device_id: str
    account: str
    token: str = field(repr=False)
    token_expires: int
    server_time: int

    SHAPE = Object({"device_id": ID, "account": ID, "token": JWS, "token_expires": TIME, "server_time": TIME})


@dataclass(frozen=True, slots=True)
class Have(Message):
    """The version a device already holds."""

    version: str
    file_id: bytes

    SHAPE = Object({"version": Text(64, VERSION), "file_id": DIGEST32})


@dataclass(frozen=True, slots=True)
class ReleaseRequest(Message):
    """`POST /v1/releases`: ask for the keys of one model, for this one time."""

    model: str
    version: str  # a version, or "@channel"
    challenge: bytes
    kem: int
    public_key: bytes
    device: Device
    evidence: tuple[Evidence, ...]
    signals: dict[str, str | int]
    proof: str = field(repr=False)
    have: Have | None = None

    SHAPE = Object(
        {
            "model": Text(64, MODEL),
            "version": SELECTOR,
            "challenge": DIGEST32,
            "kem": Integer(1, 65_535),
            "public_key": Binary(2048, 32),
            "device": Record(Device),
            "evidence": Array(Record(Evidence), most=8),
            "signals": Free(32, 200),
            "proof": JWS,
            "have": Record(Have),
        },
        frozenset({"have"}),
    )
    LIMIT = 1_048_576


@dataclass(frozen=True, slots=True)
class Proof(Message):
    """Payload of an `sr-proof` by the device key: ties a request to its binding, place, body and token."""

    binding: bytes
    method: str
    url: str
    body: bytes  # SHA-256 of the canonical body without its field `proof`
    token: bytes  # SHA-256 of the access token

    SHAPE = Object(
        {"binding": DIGEST32, "method": Choice(("POST",)), "url": Text(512), "body": DIGEST32, "token": DIGEST32}
    )


@dataclass(frozen=True, slots=True)
class GrantFile(Message):
    """One sealed file of a grant: what its head must say, and where its bytes are."""

    file_id: bytes
    key_id: bytes
    kind: str
    suite: int
    head: bytes  # SHA-512 of the head
    size: int
    url: str = field(repr=False)  # whoever has it may read the object

    SHAPE = Object(
        {
            "file_id": DIGEST32,
            "key_id": Binary(16),
            "kind": KIND,
            "suite": Integer(1, 255),
            "head": DIGEST64,
            "size": Integer(1),
            "url": Text(2048),
        }
    )


@dataclass(frozen=True, slots=True)
class Latest(Message):
    """The newest version the asked-for selector stands for, and until when that may be believed."""

    version: str
    counter: int
    expires: int

    SHAPE = Object({"version": Text(64, VERSION), "counter": Integer(1), "expires": TIME})


@dataclass(frozen=True, slots=True)
class Lease(Message):
    """Payload of an `sr-lease`: how long a device may open a version without asking again."""

    lease_id: str
    account: str
    device: bytes  # SHA-256 of the device key's SPKI
    model: str
    version: str
    files: tuple[bytes, ...]  # SHA-512 of each file's head
    issued: int
    expires: int
    max_offline: int  # seconds
    request: bytes
    challenge: bytes

    SHAPE = Object(
        {
            "lease_id": ID,
            "account": ID,
            "device": DIGEST32,
            "model": Text(64, MODEL),
            "version": Text(64, VERSION),
            "files": Array(DIGEST64, most=16, least=1),
            "issued": TIME,
            "expires": TIME,
            "max_offline": Integer(0, 366 * 86_400),
            "request": DIGEST32,
            "challenge": DIGEST32,
        }
    )


@dataclass(frozen=True, slots=True)
class Grant(Message):
    """Payload of an `sr-grant`: the server's answer to one request. Without `sealed`: you have the newest."""

    release_id: str
    request: bytes  # SHA-256 of the request body
    challenge: bytes
    account: str
    device: str
    model: str
    version: str
    epoch: int
    counter: int
    files: tuple[GrantFile, ...]
    urls_expire: int
    latest: Latest
    lease: tuple[str, ...] = field(repr=False)
    reactions: tuple[str, ...]
    server_time: int
    sealed: bytes | None = field(default=None, repr=False)  # HPKE enc || ct over the MEKs, in the order of `files`
    credential: bytes | None = None  # for one TPM: the secret under which the MEKs are wrapped first (section 17)

    SHAPE = Object(
        {
            "release_id": ID,
            "request": DIGEST32,
            "challenge": DIGEST32,
            "account": ID,
            "device": ID,
            "model": Text(64, MODEL),
            "version": Text(64, VERSION),
            "epoch": Integer(1),
            "counter": Integer(1),
            "files": Array(Record(GrantFile), most=16, least=1),
            "urls_expire": TIME,
            "latest": Record(Latest),
            "lease": SIGNED,
            "reactions": Array(Text(64), most=16),
            "server_time": TIME,
            "sealed": Binary(4096, 32),
            "credential": Binary(1024, 4),
        },
        frozenset({"sealed", "credential"}),
    )
    LIMIT = 262_144

    def unsealed(self) -> Self:
        """The same grant without `sealed`: what the HPKE info covers."""
        return dataclasses.replace(self, sealed=None)


@dataclass(frozen=True, slots=True)
class ReleaseAnswer(Message):
    """The signed grant."""

    grant: tuple[str, ...] = field(repr=False)

    SHAPE = Object({"grant": Array(Text(400_000, r"[A-Za-z0-9_.-]+"), most=8, least=1)})
    LIMIT = 1_048_576


@dataclass(frozen=True, slots=True)
class UrlsRequest(Message):
    """`POST /v1/releases/{id}/urls`: fresh links to the same ciphertext; no key comes with them."""

    challenge: bytes
    proof: str = field(repr=False)
    seconds: int | None = None  # a shorter life than policy allows; a longer one is refused

    SHAPE = Object({"challenge": DIGEST32, "proof": JWS, "seconds": Integer(1, 604_800)}, frozenset({"seconds"}))


@dataclass(frozen=True, slots=True)
class UrlsAnswer(Message):
    """Links in the order of the grant's files."""

    urls: tuple[str, ...] = field(repr=False)
    urls_expire: int

    SHAPE = Object({"urls": Array(Text(2048), most=16, least=1), "urls_expire": TIME})


@dataclass(frozen=True, slots=True)
class TrustAnswer(Message):
    """`GET /v1/trust?from=N`: the signed trust documents after version N, oldest first."""

    trust: tuple[tuple[str, ...], ...]

    SHAPE = Object({"trust": Array(Array(Text(400_000, r"[A-Za-z0-9_.-]+"), most=32, least=1), most=256)})
    LIMIT = 8_388_608
