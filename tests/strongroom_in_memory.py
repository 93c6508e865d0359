"""A whole strongroom in memory: the real use cases and both real HTTP apps over fakes, real devices, no sockets.

`Street` is one office and everyone who comes to it. Only three things are not the real ones: where rows, objects and
wrapped keys are kept (fakes.py), how bytes travel (a function call), and the clock (it stands still until moved).
"""

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Self

import httpx

from attested_offices import unattested
from fakes import FixedClock, MemoryLedger, MemoryStore, MemoryVault
from strongroom.edge import client
from strongroom.edge.clock import Reading
from strongroom.edge.keystore.file import FileKeystore
from strongroom.operator.office import OfficeClient
from strongroom.server import tokens
from strongroom.server.attestation import Attestation
from strongroom.server.checking import Background
from strongroom.server.counters.memory import MemoryCounters
from strongroom.server.http.app_admin import create_admin_app
from strongroom.server.http.app_device import create_device_app
from strongroom.server.limits.memory import in_memory
from strongroom.server.limits.rates import DEFAULTS
from strongroom.server.office import Office
from strongroom.server.policy import Policy
from strongroom.server.ports import Operator
from strongroom.server.watch import Watch
from strongroom.signing import ED25519, ML_DSA_65, Principal, Role, SigningKey
from strongroom.transport import Response, raise_problem
from strongroom.wire import trust as trust_file
from strongroom.wire.hpke import DEFAULT_KEM, DepositKey
from strongroom.wire.trust import DepositRecipient, Pin, Trust
from watched_offices import calm, patient_rates, watching

DEVICES, ADMIN = "https://rooms.test:8443", "https://rooms.test:8444"
YEAR = 366 * 86_400


class Street:
    """One strongroom, its people and its devices. Use as a context manager."""

    def __init__(
        self,
        folder: Path,
        policy: Policy | None = None,
        attestation: Attestation | None = None,
        watch: Watch | None = None,
        *,
        patient: bool = False,
    ) -> None:
        self.folder = folder
        self.clock = FixedClock()
        self.owners = (SigningKey.generate(ED25519), SigningKey.generate(ML_DSA_65))
        release, order = SigningKey.generate(ED25519), SigningKey.generate(ED25519)
        deposit = DepositKey.generate(DEFAULT_KEM)
        trust = Trust(
            version=1,
            expires=self.clock.now + YEAR,
            server=DEVICES,
            pins=(Pin("rooms.test", None, (bytes(32),)),),
            owner=Role(1, (Principal(tuple(key.public for key in self.owners)),)),
            release=Role(1, (Principal((release.public,)),)),
            order=Role(1, (Principal((order.public,)),)),
            deposit=(DepositRecipient(deposit.kem, deposit.public, self.clock.now + YEAR),),
            suites=(1,),
            kems=(0x647A, 0x0020, 0x0010),
        )
        document = trust_file.encode(trust, self.owners)
        self.trust_path = folder / "trust.json"
        self.trust_path.write_bytes(document)
        self.ledger, self.store, self.vault = MemoryLedger(), MemoryStore(DEVICES), MemoryVault()
        self.office = Office(
            ledger=self.ledger,
            vault=self.vault,
            store=self.store,
            counters=MemoryCounters(),
            release_signers=(release,),
            order_signers=(order,),
            deposit_keys=(deposit,),
            tokens=tokens.TokenIssuer(SigningKey.generate(ED25519), DEVICES),
            trust=trust,
            trust_documents=(trust_file.split(document),),
            policy=policy or Policy(),
            attestation=attestation or unattested(),
            limits=in_memory(self.clock, patient_rates() if patient else DEFAULTS),
            watch=watch or (calm() if patient else watching()),
            public_url=DEVICES,
            admin_url=ADMIN,
            now=self.clock,
            random=os.urandom,
        )
        self.background = Background(self.office)
        apps = {DEVICES: create_device_app(self.office), ADMIN: create_admin_app(self.office, self.background)}
        self._clients = {url: httpx.AsyncClient(transport=httpx.ASGITransport(app)) for url, app in apps.items()}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> Self:
        self._thread.start()
        token = tokens.operator_token(os.urandom)
        admin = Operator(self.office.new_id("opr"), "admin", "admin", tokens.hash_token(token), "active", self.clock())
        self.do(self._add_operator(admin))
        self.admin = self.desk(token)
        return self

    def __exit__(self, *_: object) -> None:
        self.do(self.background.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run a piece of asynchronous work in the office's own loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def desk(self, token: str) -> OfficeClient:
        """Return the admin API as the holder of a token sees it."""
        return OfficeClient(Wire(self, ADMIN), self.office.trust, token)

    def customer(self, name: str, *models: str) -> str:
        """Add an account, entitle it to models, and return a token of its user."""
        self.admin.post("accounts", value={"name": name})
        for model in models:
            self.admin.post("entitlements", value={"account": name, "model": model})
        return str(self.admin.post("tokens", value={"user": name})["token"])

    def device(
        self,
        name: str,
        token: str | None = None,
        wire: "Wire | None" = None,
        attestor: client.Attestor | None = None,
    ) -> client.Room:
        """Open a device of its own; with a token it is enrolled."""
        home = self.folder / name
        return client.open_room(
            home,
            FileKeystore(home / "keystore"),
            url=DEVICES,
            token=token,
            trust=self.trust_path,
            connector=lambda _: wire or Wire(self, DEVICES),
            clocks=lambda: Reading(self.clock(), self.clock(), "boot"),
            attestor=attestor,
        )

    async def send(self, method: str, url: str, body: Any, headers: Mapping[str, str]) -> Response:
        """Carry one request to the app that serves its host and port."""
        app = next(app for base, app in self._clients.items() if url.startswith(base + "/"))
        answer = await app.request(method, url, content=body, headers=dict(headers))
        return Response(answer.status_code, dict(answer.headers), answer.content)

    async def _add_operator(self, row: Operator) -> None:
        async with self.ledger.begin() as tx:
            await tx.add_operator(row)


class Wire:
    """What `transport.Pinned` does, as function calls. A test may listen to it, or bend what passes."""

    def __init__(self, street: Street, base: str, bend: Callable[[str, Response], Response] | None = None) -> None:
        self.street, self.base, self.bend = street, base, bend
        self.sent: list[tuple[str, str, bytes, dict[str, str]]] = []

    def request(
        self, method: str, path_or_url: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None, limit: int
    ) -> Response:
        url = self.base + path_or_url if path_or_url.startswith("/") else path_or_url
        self.sent.append((method, url, body, dict(headers or {})))
        answer = self.street.do(self.street.send(method, url, body, headers or {}))
        assert len(answer.body) <= limit
        return self.bend(url, answer) if self.bend else answer

    def read_range(self, url: str, offset: int, length: int) -> bytes:
        wanted = {"Range": f"bytes={offset}-{offset + length - 1}"}
        answer = self.request("GET", url, headers=wanted, limit=length + 65_536)
        if answer.status != 206:
            raise_problem(answer)
        return answer.body

    def upload(self, url: str, source: BinaryIO, size: int, progress: Callable[[int], None] | None = None) -> None:
        answer = self.request("PUT", url, body=source.read(size), limit=65_536)
        if answer.status != 201:
            raise_problem(answer)
