"""Where transcripts are taken down: the real use cases and HTTP apps, fixed keys and randomness, a clock that stands.

A transcript is what went over the wire, then what each side checks of it, each check with all it needs to know.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from attested_offices import unattested
from fakes import FixedClock, MemoryLedger, MemoryStore, MemoryVault
from protocol_client import ADMIN, DEVICES, JSON, Bench, HandDevice, SealedModel
from strongroom import sealed
from strongroom.canonical import JsonValue, encode, to_base64url
from strongroom.server import tokens
from strongroom.server.checking import Background
from strongroom.server.counters.memory import MemoryCounters
from strongroom.server.http.app_admin import create_admin_app
from strongroom.server.http.app_device import create_device_app
from strongroom.server.limits.memory import in_memory
from strongroom.server.office import Office
from strongroom.server.policy import Policy
from strongroom.server.ports import Operator
from strongroom.signing import ED25519, Principal, Role, SigningKey
from strongroom.wire import dpop, hpke
from strongroom.wire import trust as trust_file
from strongroom.wire.trust import DepositRecipient, Pin, Trust
from vectors import sealed_writer
from vectors.sealed_signers import fixed
from vectors.transcript_keys import FixedSigner, sealing, seed_of
from watched_offices import watching

YEAR = 31_622_400
OWNER, RELEASE, ORDER = (FixedSigner(name) for name in ("owner", "release", "order"))
DEPOSIT = hpke.DepositKey.from_seed(hpke.X25519, seed_of(hpke.X25519, "deposit"))
NOW = FixedClock().now
NAMED = {"owner": OWNER, "release": RELEASE, "order": ORDER}


@dataclass
class Transcript:
    """One story, as its file has it."""

    name: str
    comment: str
    keys: list[JsonValue] = field(default_factory=list)
    exchanges: list[JsonValue] = field(default_factory=list)
    checks: dict[str, dict[str, JsonValue]] = field(default_factory=dict)
    twins: list[dict[str, JsonValue]] = field(default_factory=list)

    def check(self, name: str, check: str, by: str, inputs: dict[str, JsonValue], expect: str = "success") -> None:
        """Add what one side checks; what comes of it is filled in by the code that checks."""
        assert name not in self.checks
        self.checks[name] = {"name": name, "check": check, "by": by, "inputs": inputs, "expect": expect}

    def twin(self, of: str, name: str, given: str, value: JsonValue, expect: str, why: str) -> None:
        """Add a twin of a check: one input is another value."""
        before = self.checks[of]["inputs"][given]
        assert before != value, (self.name, of, name)
        change: dict[str, JsonValue] = {"input": given, "value": value}
        if isinstance(before, str) and isinstance(value, str):
            change = {"input": given} | splice(before, value)
        self.twins.append({"name": f"{of}: {name}", "of": of, "change": change, "expect": expect, "why": why})

    def key(self, name: str, alg: str, seed: bytes, public: bytes) -> None:
        """Name a key; the private half as well."""
        known = {"name": name, "alg": alg, "seed": to_base64url(seed), "public": to_base64url(public)}
        if known not in self.keys:
            self.keys.append(known)

    def signer(self, name: str, signer: FixedSigner) -> None:
        """Name a key that signs."""
        self.key(name, signer.alg, signer.seed, signer.public.raw)

    def recipient(self, name: str, kem: int, seed: bytes) -> None:
        """Name an HPKE key."""
        self.key(name, hpke.KEMS[kem], seed, hpke.DepositKey.from_seed(kem, seed).public)

    def sender(self, kem: int, purpose: str = "release") -> None:
        """Name the key that whoever sealed made for this once; of the hybrid KEM only its output is kept."""
        if kem != hpke.MLKEM768_X25519:
            self.recipient("sender", kem, seed_of(kem, f"sender {self.name} {purpose}"))


def splice(before: str, after: str) -> dict[str, JsonValue]:
    """Say how one text becomes another: from where on, what stood there, what stands there now."""
    same = next(
        (n for n, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), min(len(before), len(after))
    )
    tail = 0
    while tail < min(len(before), len(after)) - same and before[-1 - tail] == after[-1 - tail]:
        tail += 1
    return {"at": same, "was": before[same : len(before) - tail], "now": after[same : len(after) - tail]}


class FixedBench(Bench):
    """The bench of `protocol_client`, with nothing left to chance."""

    def __init__(self, transcript: Transcript, documents: tuple[bytes, ...] = ()) -> None:
        self.transcript, self.clock = transcript, FixedClock()
        self._numbers = itertools.count()
        self.owner, self.release_key, self.order_key = OWNER, RELEASE, ORDER
        self.deposit_key = DEPOSIT
        self.document = documents[-1] if documents else trust_file.encode(trust_of(), (OWNER,))
        self.trust = trust_file.read(self.document)
        self.ledger, self.vault = MemoryLedger(), MemoryVault(key=fixed("transcript vault", 32))
        self.store = MemoryStore(DEVICES, key=fixed("transcript urls", 32))
        self.office = Office(
            ledger=self.ledger,
            vault=self.vault,
            store=self.store,
            counters=MemoryCounters(),
            release_signers=(RELEASE,),
            order_signers=(ORDER,),
            deposit_keys=(self.deposit_key,),
            tokens=tokens.TokenIssuer(SigningKey(ED25519, fixed("transcript tokens", 32)), DEVICES),
            trust=self.trust,
            trust_documents=tuple(map(trust_file.split, documents or (self.document,))),
            policy=Policy(),
            attestation=unattested(),
            limits=in_memory(self.clock),
            watch=watching(),
            public_url=DEVICES,
            admin_url=ADMIN,
            now=self.clock,
            random=self.random,
        )
        self.background = Background(self.office)
        device_app, admin_app = create_device_app(self.office), create_admin_app(self.office, self.background)
        self.devices = httpx.AsyncClient(transport=httpx.ASGITransport(device_app), base_url=DEVICES)
        self.desk = httpx.AsyncClient(transport=httpx.ASGITransport(admin_app), base_url=ADMIN)
        self.admin_token = ""
        self.keeps_desk = False
        for name, signer in NAMED.items():
            if not documents:
                transcript.signer(name, signer)

    def random(self, size: int) -> bytes:
        """Return the next of this transcript's bytes."""
        return fixed(f"transcript {self.transcript.name} random {next(self._numbers)}", size)

    async def operator(self, name: str, role: str) -> str:
        token = tokens.operator_token(self.random)
        row = Operator(self.office.new_id("opr"), name, role, tokens.hash_token(token), "active", self.clock())
        async with self.ledger.begin() as tx:
            await tx.add_operator(row)
        return token

    async def ask(self, method: str, path: str, value: Any = None, token: str | None = None) -> httpx.Response:
        if not self.keeps_desk:
            return await super().ask(method, path, value, token)
        headers = {"Authorization": f"Bearer {self.admin_token}"} | ({} if value is None else JSON)
        return await self.recorded(method, ADMIN + path, b"" if value is None else encode(value), headers)

    def seal(self, model: str, version: str, counter: int = 1, epoch: int = 2, signer: Any = None) -> SealedModel:
        core = {"counter": counter, "epoch": epoch}
        plan = sealed_writer.Plan(f"{model} {version}", subject=[None, model, version, None], core=core, sign=_sign)
        made = sealed_writer.make(plan)
        head = sealed.read_head(sealed.BytesReadable(made.data))
        return SealedModel(made.data, head, sealed.ModelKey(plan.key()), model, version)

    async def recorded(self, method: str, url: str, body: bytes, headers: dict[str, str]) -> httpx.Response:
        """Send one request and take it down."""
        client = self.desk if url.startswith(ADMIN) else self.devices
        answer = await client.request(method, url, content=body or None, headers=headers)
        shown = {name.lower(): headers[name] for name in ("Authorization", "DPoP") if name in headers}
        self.transcript.exchanges.append(
            {
                "method": method,
                "url": url,
                "at": self.clock(),
                "body": body.decode("ascii"),
                "status": answer.status_code,
            }
            | {"answer": answer.text, **shown}
        )
        self.clock.advance(1)
        return answer


class FixedDevice(HandDevice):
    """A device of the bench whose every request is taken down."""

    def __init__(self, bench: FixedBench, user_token: str, alg: str) -> None:
        super().__init__(bench, user_token, alg)
        self.key = FixedSigner(f"device {alg}", alg)
        bench.transcript.signer("device", self.key)

    async def send(
        self, path: str, body: bytes, *, scheme: str = "DPoP", token: str | None = None, key: Any = None, url: str = ""
    ) -> httpx.Response:
        token = self.token if token is None else token
        proof = dpop.make(self.key, "POST", DEVICES + path, token, self.bench.clock(), self.bench.random(16))
        return await self.bench.recorded(
            "POST", DEVICES + path, body, JSON | {"Authorization": f"{scheme} {token}", "DPoP": proof}
        )


def trust_of(**changes: Any) -> Trust:
    """Return the document the stories are told under, with other values for some of its fields."""
    role = {name: Role(1, (Principal((signer.public,)),)) for name, signer in NAMED.items()}
    fields: dict[str, Any] = {
        "version": 1,
        "expires": NOW + YEAR,
        "server": DEVICES,
        "pins": (Pin("rooms.test", None, (fixed("pin", 32), fixed("backup pin", 32))),),
        **role,
        "deposit": (DepositRecipient(DEPOSIT.kem, DEPOSIT.public, NOW + YEAR),),
        "suites": (1,),
        "kems": tuple(hpke.KEMS),
        "epochs": (("digits", 2),),
    }
    return Trust(**fields | changes)


def record(name: str, comment: str, story: Callable[[FixedBench], Awaitable[None]], **options: Any) -> Transcript:
    """Tell a story and return what was taken down."""
    transcript = Transcript(name, comment)

    async def told() -> None:
        async with FixedBench(transcript, **options) as bench:
            await story(bench)

    with sealing(name):
        asyncio.run(told())
    return transcript


def _sign(name: str, message: bytes) -> dict:
    key = OWNER.public
    return {"alg": key.alg, "key": key.key_id, "sig": to_base64url(OWNER.sign(message))}
