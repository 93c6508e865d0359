"""An office in memory that speaks the device API's messages, and that a test can bend at any point."""

import dataclasses
import email.utils
import hashlib
import io
import json
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from strongroom import sealed, signing
from strongroom.canonical import to_base64url
from strongroom.edge import client
from strongroom.edge.clock import Reading
from strongroom.edge.exchange import accepted
from strongroom.edge.keystore.file import FileKeystore
from strongroom.errors import Code, DeniedError, UnreachableError
from strongroom.sealed import Description, ModelKey, Source, Subject
from strongroom.signing import Principal, PublicKey, Role, SigningKey
from strongroom.transport import Response
from strongroom.wire import dpop, grant, hpke, lease, proofs, trust
from strongroom.wire.binding import Binding
from strongroom.wire.messages import (
    ChallengeAnswer,
    ChallengeRequest,
    EnrolAnswer,
    EnrolRequest,
    Grant,
    GrantFile,
    Latest,
    Lease,
    ReleaseRequest,
    TrustAnswer,
    UrlsAnswer,
    UrlsRequest,
)
from strongroom.wire.trust import Pin, Trust

SERVER = "https://office.test:8443"
USER_TOKEN = "user.token.text"
DAY = 86_400
START = 1_800_000_000


def weights(seed: int, size: int = 2 * 2**20 + 12_345) -> bytes:
    """Bytes that look random and are the same each time."""
    return hashlib.shake_256(bytes([seed])).digest(size)


def ident(prefix: str) -> str:
    return f"{prefix}_{to_base64url(os.urandom(16))}"


def role(*keys: SigningKey) -> Role:
    return Role(1, tuple(Principal((key.public,)) for key in keys))


@dataclass
class Version:
    """A published version: one sealed file or several, their keys, and where it stands in the order."""

    version: str
    counter: int
    epoch: int
    keys: list[ModelKey]
    heads: list[sealed.Head]
    objects: list[str]


@dataclass
class MemoryOffice:
    """The office. `now` is its clock; `down` cuts the line; `bend` may change a grant before it is signed."""

    now: int = START
    down: bool = False
    owner: SigningKey = field(default_factory=lambda: SigningKey.generate(signing.ED25519))
    release: SigningKey = field(default_factory=lambda: SigningKey.generate(signing.ED25519))
    objects: dict[str, bytearray] = field(default_factory=dict)
    models: dict[str, dict[str, Version]] = field(default_factory=dict)
    channels: dict[tuple[str, str], str] = field(default_factory=dict)
    lease_seconds: int = 7 * DAY
    max_offline: int = 3 * DAY
    latest_seconds: int = DAY
    bend: Callable[[Grant], Grant] = lambda given: given
    rebind: Callable[[Binding], Binding] = lambda given: given
    entitled: bool = True
    link_reads: int | None = None  # how often a link serves before it is over
    bodies: list[bytes] = field(default_factory=list)
    ephemerals: list[bytes] = field(default_factory=list)
    ranges: list[tuple[str, int, int]] = field(default_factory=list)
    broken_reads: int = 0  # how many of the next reads fail as a network does
    renewals: int = 0
    trust_expires: int = START + 365 * DAY

    def __post_init__(self) -> None:
        self.account = ident("acc")
        self.device_token = "device.token.text"
        self.devices: dict[bytes, str] = {}
        self.challenges: set[bytes] = set()
        self.links: dict[str, int] = {}
        self.granted: dict[str, Grant] = {}
        self.lock = threading.Lock()
        self.trust = Trust(
            version=1,
            expires=self.trust_expires,
            server=SERVER,
            pins=(Pin("office.test", None, (b"\1" * 32,)),),
            owner=role(self.owner),
            release=role(self.release),
            order=role(self.release),
            deposit=(),
            suites=(1,),
            kems=(hpke.MLKEM768_X25519, hpke.X25519, hpke.P256),
        )
        self.trust_documents = [trust.encode(self.trust, (self.owner,))]

    # what a test does to it

    def publish(
        self,
        model: str,
        version: str,
        *contents: Mapping[str, bytes],
        counter: int,
        epoch: int = 1,
        format_: str | None = None,
        channel: str = "stable",
        owner: SigningKey | None = None,
        segment_size: int = 2**20,
    ) -> Version:
        keys, heads, names = [], [], []
        for content in contents:
            key, sink = ModelKey.generate(), io.BytesIO()
            head = sealed.seal(
                [Source.of_bytes(path, data) for path, data in content.items()],
                sink,
                mek=key,
                subject=Subject(None, model, version, None),
                signers=(owner or self.owner,),
                epoch=epoch,
                counter=counter,
                description=Description(format=format_),
                segment_size=segment_size,
                workers=1,
            )
            name = os.urandom(8).hex()
            self.objects[name] = bytearray(sink.getvalue())
            keys.append(key)
            heads.append(head)
            names.append(name)
        made = Version(version, counter, epoch, keys, heads, names)
        self.models.setdefault(model, {})[version] = made
        self.channels[model, channel] = version
        return made

    def new_trust(self, **changes: object) -> None:
        self.trust = dataclasses.replace(self.trust, version=self.trust.version + 1, **changes)
        self.trust_documents.append(trust.encode(self.trust, (self.owner,)))

    # what a device sees: Exchange

    def request(
        self,
        method: str,
        path_or_url: str,
        *,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        limit: int,
    ) -> Response:
        if self.down:
            raise UnreachableError(Code.UNREACHABLE, "the office is down")
        path, _, query = path_or_url.partition("?")
        if method == "GET" and path == "/v1/trust":
            after = int(query.removeprefix("from="))
            return ok(TrustAnswer(tuple(trust.split(one) for one in self.trust_documents[after:])).to_bytes())
        assert method == "POST"
        scheme, _, token = (headers or {})["Authorization"].partition(" ")
        try:
            key = dpop.verify((headers or {})["DPoP"], "POST", SERVER + path, token, self.now).key
        except DeniedError:
            refused = problem(401, Code.PROOF)
            return Response(refused.status, {"date": email.utils.formatdate(self.now, usegmt=True)}, refused.body)
        self.bodies.append(body)
        if (scheme, token) not in {("Bearer", USER_TOKEN), ("DPoP", self.device_token)}:
            return problem(401, Code.TOKEN)
        return self._answer(path, body, key)

    def _answer(self, path: str, body: bytes, key: PublicKey) -> Response:
        if path == "/v1/challenges":
            ChallengeRequest.from_bytes(body)
            challenge = os.urandom(32)
            self.challenges.add(challenge)
            kems = tuple(hpke.KEMS)
            return ok(ChallengeAnswer(challenge, self.now + 60, (1,), kems, self.now).to_bytes())
        if path == "/v1/devices":
            return self._enrol(EnrolRequest.from_bytes(body), key)
        if path == "/v1/releases":
            return self._release(body, key)
        return self._urls(path.split("/")[3], UrlsRequest.from_bytes(body), key)

    def read_range(self, url: str, offset: int, length: int) -> bytes:
        if self.down:
            raise UnreachableError(Code.UNREACHABLE, "the office is down")
        with self.lock:
            if self.broken_reads:
                self.broken_reads -= 1
                raise UnreachableError(Code.UNREACHABLE, "the connection broke")
            if self.link_reads is not None:
                self.links[url] = self.links.get(url, 0) + 1
                if self.links[url] > self.link_reads:
                    accepted(problem(403, Code.URL_EXPIRED))
            name = url.rsplit("/", 1)[1].partition("?")[0]
            self.ranges.append((name, offset, length))
            return bytes(self.objects[name][offset : offset + length])

    def _used(self, challenge: bytes) -> bool:
        fresh = challenge in self.challenges
        self.challenges.discard(challenge)
        return not fresh

    def _enrol(self, asked: EnrolRequest, key: PublicKey) -> Response:
        if self._used(asked.challenge):
            return problem(401, Code.CHALLENGE)
        thumb = hashlib.sha256(key.spki()).digest()
        binding = Binding.enrol(challenge=asked.challenge, device_key=thumb, platform=asked.device.platform)
        self._check_proof(asked, key, binding, "/v1/devices", USER_TOKEN)
        device = self.devices.setdefault(thumb, ident("dev"))
        return ok(EnrolAnswer(device, self.account, self.device_token, self.now + DAY, self.now).to_bytes(), 201)

    def _release(self, body: bytes, key: PublicKey) -> Response:
        asked = ReleaseRequest.from_bytes(body)
        if self._used(asked.challenge):
            return problem(401, Code.CHALLENGE)
        thumb = hashlib.sha256(key.spki()).digest()
        device = self.devices[thumb]
        binding = Binding(
            "release",
            asked.challenge,
            asked.kem,
            asked.public_key,
            self.account,
            device,
            thumb,
            asked.device.platform,
            asked.model,
            asked.version,
        )
        self._check_proof(asked, key, binding, "/v1/releases", self.device_token)
        assert asked.public_key not in self.ephemerals
        self.ephemerals.append(asked.public_key)
        channel = asked.version.removeprefix("@")
        name = self.channels.get((asked.model, channel)) if asked.version.startswith("@") else asked.version
        found = self.models.get(asked.model, {}).get(name or "")
        if found is None or not self.entitled:
            return problem(404, Code.NOT_FOUND)
        answered = self._grant(body, asked, device, thumb, found)
        bent = self.bend(answered)
        newest = asked.have is not None and asked.have.file_id == found.heads[0].core.file_id
        if not newest and bent.sealed is None:
            bent = grant.seal_keys(bent, self.rebind(binding), found.keys[: len(bent.files)])
        self.granted[bent.release_id] = bent
        return ok(grant.issue(bent, (self.release,)).to_bytes())

    def _grant(self, body: bytes, asked: ReleaseRequest, device: str, thumb: bytes, found: Version) -> Grant:
        digest = hashlib.sha256(body).digest()
        held = Lease(
            lease_id=ident("lea"),
            account=self.account,
            device=thumb,
            model=asked.model,
            version=found.version,
            files=tuple(head.digest for head in found.heads),
            issued=self.now,
            expires=self.now + self.lease_seconds,
            max_offline=self.max_offline,
            request=digest,
            challenge=asked.challenge,
        )
        files = tuple(
            GrantFile(
                head.core.file_id,
                head.core.key_id,
                head.core.kind,
                head.suite,
                head.digest,
                head.file_size,
                self._url(name),
            )
            for head, name in zip(found.heads, found.objects, strict=True)
        )
        return Grant(
            release_id=ident("rel"),
            request=digest,
            challenge=asked.challenge,
            account=self.account,
            device=device,
            model=asked.model,
            version=found.version,
            epoch=found.epoch,
            counter=found.counter,
            files=files,
            urls_expire=self.now + 300,
            latest=Latest(found.version, found.counter, self.now + self.latest_seconds),
            lease=lease.issue(held, (self.release,)),
            reactions=(),
            server_time=self.now,
        )

    def _url(self, name: str) -> str:
        return f"{SERVER}/o/{name}?s={os.urandom(6).hex()}"

    def _urls(self, release: str, asked: UrlsRequest, key: PublicKey) -> Response:
        given = self.granted[release]
        if self._used(asked.challenge):
            return problem(401, Code.CHALLENGE)
        thumb = hashlib.sha256(key.spki()).digest()
        binding = Binding.urls(
            challenge=asked.challenge,
            account=self.account,
            device=self.devices[thumb],
            device_key=thumb,
            model=given.model,
            version=given.version,
        )
        self._check_proof(asked, key, binding, f"/v1/releases/{release}/urls", self.device_token)
        self.renewals += 1
        names = [file.url.rsplit("/", 1)[1].partition("?")[0] for file in given.files]
        return ok(UrlsAnswer(tuple(map(self._url, names)), self.now + 300).to_bytes())

    def _check_proof(
        self,
        asked: EnrolRequest | ReleaseRequest | UrlsRequest,
        key: PublicKey,
        binding: Binding,
        path: str,
        token: str,
    ) -> None:
        proofs.verify_proof(
            asked.proof,
            key,
            expected_binding=binding,
            expected_method="POST",
            expected_url=SERVER + path,
            expected_body=proofs.body_without_proof(asked),
            expected_token=token,
        )


def ok(body: bytes, status: int = 200) -> Response:
    return Response(status, {"content-type": "application/json"}, body)


def problem(status: int, code: Code) -> Response:
    body = json.dumps({"type": f"urn:strongroom:problem:{code}", "title": "no", "status": status, "code": str(code)})
    return Response(status, {"content-type": "application/problem+json"}, body.encode())


@dataclass
class Device:
    """A device directory beside an office, with clocks a test can turn."""

    home: Path
    office: MemoryOffice
    boot_id: str = "boot-1"
    boot: int = 1000
    wall_ahead: int = 0  # seconds this machine's wall clock is ahead of the office's

    def clocks(self) -> Reading:
        return Reading(self.office.now + self.wall_ahead, self.boot, self.boot_id)

    def room(self, *, token: str | None = USER_TOKEN, url: str | None = SERVER) -> client.Room:
        self.home.mkdir(mode=0o700, exist_ok=True)
        if not (self.home / "state.json").exists():
            (self.home / "trust.json").write_bytes(self.office.trust_documents[0])
        return client.open_room(
            self.home,
            FileKeystore(self.home / "keystore"),
            url=url,
            token=token,
            trust=None,
            connector=lambda _: self.office,
            clocks=self.clocks,
        )

    def counts(self) -> tuple[int, int, int]:
        """How many installed versions, local keys, and versions on their way in lie in the directory."""
        keys = [one for one in (self.home / "keystore").glob("*") if one.name not in {"device.key", "state.key"}]
        return len([*self.home.glob("models/*")]), len(keys), len([*self.home.glob("incoming/*")])

    def later(self, seconds: int) -> None:
        """Let time pass for everybody."""
        self.office.now += seconds
        self.boot += seconds
