"""The protocol spoken by hand: an office over fakes, its two APIs, and devices that can lie in any field.

Unlike `strongroom_in_memory`, nothing of `edge` or `operator` is used: what a test sends is what it says.
"""

import asyncio
import dataclasses
import hashlib
import io
import json
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

import httpx

from attested_offices import unattested
from fakes import FixedClock, MemoryLedger, MemoryStore, MemoryVault
from strongroom import sealed
from strongroom.canonical import encode, from_base64url, to_base64url
from strongroom.sealed.readable import BytesReadable
from strongroom.server import tokens
from strongroom.server.attestation import Attestation
from strongroom.server.checking import Background
from strongroom.server.counters.memory import MemoryCounters
from strongroom.server.http.app_admin import create_admin_app
from strongroom.server.http.app_device import create_device_app
from strongroom.server.identify import thumbprint
from strongroom.server.limits.memory import in_memory
from strongroom.server.limits.rates import DEFAULTS
from strongroom.server.office import Office
from strongroom.server.policy import Policy
from strongroom.server.ports import Operator
from strongroom.server.watch import Watch
from strongroom.signing import ED25519, ES256, Principal, Role, SigningKey
from strongroom.wire import dpop, hpke, orders, proofs, renewal
from strongroom.wire import grant as grants
from strongroom.wire import lease as leases
from strongroom.wire import trust as trust_file
from strongroom.wire.binding import Binding
from strongroom.wire.messages import (
    ChallengeAnswer,
    Device,
    EnrolAnswer,
    EnrolRequest,
    Grant,
    Have,
    Lease,
    ReleaseAnswer,
    ReleaseRequest,
    UrlsRequest,
)
from strongroom.wire.orders import Order, Receipt, ReceiptRequest
from strongroom.wire.renewal import Renewal, RenewAnswer, RenewRequest
from strongroom.wire.trust import DepositRecipient, Pin, Trust
from watched_offices import calm, patient_rates, watching

DEVICES, ADMIN = "https://rooms.test:8443", "https://rooms.test:8444"
JSON = {"Content-Type": "application/json"}
PLAIN = b"a model's weights, seventy bytes of them, so that there is something to lose" * 3

Result = TypeVar("Result")


def run(work: Callable[["Bench"], Awaitable[Result]], **options: Any) -> Result:
    """Run a test's story against a fresh office."""

    async def story() -> Result:
        async with Bench(**options) as bench:
            return await work(bench)

    return asyncio.run(story())


@dataclass
class SealedModel:
    """A sealed file and its key."""

    data: bytes = field(repr=False)
    head: sealed.Head
    key: sealed.ModelKey
    model: str
    version: str


class Bench:
    """One office over fakes, and clients of both its APIs."""

    def __init__(
        self,
        policy: Policy | None = None,
        ledger: Any = None,
        store: Any = None,
        vault: Any = None,
        attestation: Attestation | None = None,
        watch: Watch | None = None,
        *,
        patient: bool = False,
    ) -> None:
        self.clock = FixedClock()
        self.owner, self.release_key = SigningKey.generate(ED25519), SigningKey.generate(ED25519)
        self.order_key = SigningKey.generate(ED25519)
        self.deposit_key = hpke.DepositKey.generate()
        self.trust = Trust(
            version=1,
            expires=self.clock.now + 31_622_400,
            server=DEVICES,
            pins=(Pin("rooms.test", None, (bytes(32),)),),
            owner=Role(1, (Principal((self.owner.public,)),)),
            release=Role(1, (Principal((self.release_key.public,)),)),
            order=Role(1, (Principal((self.order_key.public,)),)),
            deposit=(DepositRecipient(self.deposit_key.kem, self.deposit_key.public, self.clock.now + 31_622_400),),
            suites=(1,),
            kems=(0x647A, 0x0020, 0x0010),
        )
        self.ledger = ledger or MemoryLedger()
        self.store = store or MemoryStore(DEVICES)
        self.vault = vault or MemoryVault()
        self.office = Office(
            ledger=self.ledger,
            vault=self.vault,
            store=self.store,
            counters=MemoryCounters(),
            release_signers=(self.release_key,),
            order_signers=(self.order_key,),
            deposit_keys=(self.deposit_key,),
            tokens=tokens.TokenIssuer(SigningKey.generate(ED25519), DEVICES),
            trust=self.trust,
            trust_documents=(trust_file.split(trust_file.encode(self.trust, (self.owner,))),),
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
        self.devices = httpx.AsyncClient(
            transport=httpx.ASGITransport(create_device_app(self.office)), base_url=DEVICES
        )
        self.desk = httpx.AsyncClient(
            transport=httpx.ASGITransport(create_admin_app(self.office, self.background)), base_url=ADMIN
        )
        self.admin_token = ""

    async def __aenter__(self) -> Self:
        self.admin_token = await self.operator("admin", "admin")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.background.stop()
        await self.devices.aclose()
        await self.desk.aclose()
        await self.ledger.close()

    async def operator(self, name: str, role: str) -> str:
        """Add an operator straight to the ledger and return its token."""
        token = tokens.operator_token(os.urandom)
        row = Operator(self.office.new_id("opr"), name, role, tokens.hash_token(token), "active", self.clock())
        async with self.ledger.begin() as tx:
            await tx.add_operator(row)
        return token

    async def ask(self, method: str, path: str, value: Any = None, token: str | None = None) -> httpx.Response:
        """Send one request to the admin API, as the admin unless told otherwise."""
        headers = {"Authorization": f"Bearer {self.admin_token if token is None else token}"}
        if value is None:
            return await self.desk.request(method, path, headers=headers)
        return await self.desk.request(method, path, headers=headers | JSON, content=json.dumps(value))

    async def customer(self, name: str, *models: str, channel: str | None = None) -> str:
        """Add an account with rights, and return a user token."""
        assert (await self.ask("POST", "/v1/accounts", {"name": name})).status_code == 201
        for model in models:
            right = {"account": name, "model": model, "channel": channel}
            assert (await self.ask("POST", "/v1/entitlements", right)).status_code == 201
        answer = await self.ask("POST", "/v1/tokens", {"user": name})
        return str(answer.json()["token"])

    async def device(self, name: str = "ada", *models: str) -> "HandDevice":
        """Add an account with rights and a device of it."""
        device = HandDevice(self, await self.customer(name, *models))
        await device.enrol()
        return device

    def seal(self, model: str, version: str, counter: int = 1, epoch: int = 1, signer: Any = None) -> SealedModel:
        """Seal a small model as its owner would."""
        key, sink = sealed.ModelKey.generate(), io.BytesIO()
        head = sealed.seal(
            [sealed.Source.of_bytes("model.bin", PLAIN)],
            sink,
            mek=key,
            subject=sealed.Subject(None, model, version, None),
            signers=(signer or self.owner,),
            epoch=epoch,
            counter=counter,
            segment_size=2**20,
        )
        return SealedModel(sink.getvalue(), head, key, model, version)

    async def deposit_of(self, made: SealedModel, token: str | None = None, **changes: Any) -> dict[str, Any]:
        """Write the body of a deposit."""
        publisher = (await self.ask("GET", "/v1/deposit-context", token=token)).json()["publisher"]
        core = made.head.core
        info = hpke.deposit_info(None, publisher, made.model, made.version, core.file_id, made.head.digest)
        sealed_key = hpke.seal(self.deposit_key.kem, self.deposit_key.public, info, made.key.reveal())
        return {
            "model": made.model,
            "version": made.version,
            "epoch": core.epoch,
            "counter": core.counter,
            "channel": "stable",
            "files": [
                {
                    "head_part": to_base64url(made.head.head_part),
                    "size": len(made.data),
                    "sealed": to_base64url(sealed_key),
                    "kem": self.deposit_key.kem,
                }
            ],
        } | changes

    async def publish(
        self, model: str = "digits", version: str = "1.0", counter: int = 1, **changes: Any
    ) -> SealedModel:
        """Publish a small model the whole way, until it is ready."""
        made = self.seal(model, version, counter)
        answer = await self.ask("POST", "/v1/deposits", await self.deposit_of(made, **changes))
        assert answer.status_code == 201, answer.text
        for upload in answer.json()["uploads"]:
            assert (await self.devices.put(upload["url"], content=made.data)).status_code == 201
        path = f"/v1/models/{model}/versions/{version}"
        assert (await self.ask("POST", f"{path}/complete")).status_code == 202
        await self.background.drain()
        assert (await self.ask("GET", path)).json()["state"] == "ready"
        return made

    async def wipe(self, device: "HandDevice", **asked: Any) -> list[dict[str, Any]]:
        """Order a device to wipe something, and return the orders."""
        answer = await self.ask("POST", "/v1/orders", {"device": device.id} | asked)
        assert answer.status_code == 201, answer.text
        found: list[dict[str, Any]] = answer.json()["orders"]
        return found

    async def events(self, name: str) -> list[Any]:
        """Return the audit events of one name."""
        async with self.ledger.begin() as tx:
            return [event for _, event in await tx.audit(limit=10_000) if event.event == name]


class HandDevice:
    """A device that speaks the protocol by hand; every step can be bent."""

    def __init__(self, bench: Bench, user_token: str, alg: str = ES256) -> None:
        self.bench = bench
        self.key = SigningKey.generate(alg)
        self.user_token = user_token
        self.token = ""
        self.account = ""
        self.id: str | None = None

    async def send(
        self, path: str, body: bytes, *, scheme: str = "DPoP", token: str | None = None, key: Any = None, url: str = ""
    ) -> httpx.Response:
        """Send a body with a fresh DPoP proof."""
        token = self.token if token is None else token
        proof = dpop.make(key or self.key, "POST", url or DEVICES + path, token, self.bench.clock(), os.urandom(16))
        headers = JSON | {"Authorization": f"{scheme} {token}", "DPoP": proof}
        return await self.bench.devices.post(path, content=body, headers=headers)

    async def challenge(self, purpose: str = "release", model: str | None = "digits") -> bytes:
        """Fetch a challenge."""
        value = {"purpose": purpose} | ({} if model is None else {"model": model})
        scheme, token = ("Bearer", self.user_token) if purpose == "enrol" else ("DPoP", self.token)
        answer = await self.send("/v1/challenges", encode(value), scheme=scheme, token=token)
        assert answer.status_code == 200, answer.text
        return ChallengeAnswer.from_bytes(answer.content).challenge

    def facts(self, **changes: Any) -> Device:
        """What this device says of itself."""
        return dataclasses.replace(Device(self.id, "linux", "Debian 12", "x86_64", "test/1", bytes(32)), **changes)

    async def enrol_request(self, **changes: Any) -> EnrolRequest:
        """Write a proven enrolment request; changes are made before the proof."""
        challenge = await self.challenge("enrol", None)
        request = EnrolRequest(challenge, self.key.public, self.facts(), (), "a.b.c")
        request = dataclasses.replace(request, **changes)
        binding = Binding.enrol(
            challenge=challenge, device_key=thumbprint(self.key.public), platform=request.device.platform
        )
        return proofs.prove(request, self.key, binding, "POST", f"{DEVICES}/v1/devices", self.user_token)

    async def try_enrol(self, request: EnrolRequest | None = None) -> httpx.Response:
        """Send an enrolment."""
        request = request or await self.enrol_request()
        return await self.send("/v1/devices", request.to_bytes(), scheme="Bearer", token=self.user_token)

    async def enrol(self) -> EnrolAnswer:
        """Enrol and remember the identity."""
        response = await self.try_enrol()
        assert response.status_code == 201, response.text
        answer = EnrolAnswer.from_bytes(response.content)
        self.id, self.account, self.token = answer.device_id, answer.account, answer.token
        return answer

    def binding(self, request: ReleaseRequest) -> Binding:
        """The binding of a release request."""
        return Binding(
            "release",
            request.challenge,
            request.kem,
            request.public_key,
            self.account,
            self.id or "",
            thumbprint(self.key.public),
            request.device.platform,
            request.model,
            request.version,
        )

    async def release_request(
        self, model: str = "digits", version: str = "@stable", ephemeral: Any = None, **changes: Any
    ) -> tuple[ReleaseRequest, hpke.EphemeralKey]:
        """Write a proven release request; changes are made before the proof."""
        ephemeral = ephemeral or hpke.EphemeralKey.generate(hpke.X25519)
        challenge = changes.pop("challenge", None) or await self.challenge("release", model)
        request = ReleaseRequest(
            model, version, challenge, ephemeral.kem, ephemeral.public, self.facts(), (), {}, "a.b.c"
        )
        request = dataclasses.replace(request, **changes)
        return self.proven(request), ephemeral

    def proven(self, request: ReleaseRequest) -> ReleaseRequest:
        """Sign a release request as it stands."""
        return proofs.prove(request, self.key, self.binding(request), "POST", f"{DEVICES}/v1/releases", self.token)

    async def try_release(self, request: ReleaseRequest | None = None, **changes: Any) -> httpx.Response:
        """Send a release request."""
        request = request or (await self.release_request(**changes))[0]
        return await self.send("/v1/releases", request.to_bytes())

    async def release(self, **changes: Any) -> tuple[Grant, tuple[sealed.ModelKey, ...]]:
        """Get a release and open what is sealed in it."""
        request, ephemeral = await self.release_request(**changes)
        response = await self.try_release(request)
        assert response.status_code == 200, response.text
        grant = self.read(response, request)
        keys = grants.open_grant(grant, ephemeral, self.binding(request)) if grant.sealed else ()
        return grant, keys

    def read(self, response: httpx.Response, request: ReleaseRequest) -> Grant:
        """Verify the answer to a request as a device does."""
        return grants.read_grant(
            ReleaseAnswer.from_bytes(response.content),
            self.bench.trust,
            expected_request=hashlib.sha256(request.to_bytes()).digest(),
            expected_challenge=request.challenge,
            account=self.account,
            device=self.id or "",
            model=request.model,
            selector=request.version,
            at=self.bench.clock(),
            high_water=None,
            have=request.have,
        )

    async def leased(self, **changes: Any) -> Lease:
        """Get a release and return its lease."""
        grant, _ = await self.release(**changes)
        return leases.read_signed(grant.lease, self.bench.trust)

    async def renew_request(self, lease: Lease, **changes: Any) -> RenewRequest:
        """Write a proven request to renew; changes are made before the proof."""
        challenge = changes.pop("challenge", None) or await self.challenge("renew", lease.model)
        request = RenewRequest(challenge, "@stable", self.facts(), (), {}, "a.b.c")
        return self.proven_renewal(dataclasses.replace(request, **changes), lease)

    def proven_renewal(self, request: RenewRequest, lease: Lease) -> RenewRequest:
        """Sign a request to renew as it stands."""
        binding = Binding.renew(
            challenge=request.challenge,
            account=self.account,
            device=self.id or "",
            device_key=thumbprint(self.key.public),
            platform=request.device.platform,
            model=lease.model,
            version=lease.version,
        )
        url = f"{DEVICES}/v1/leases/{lease.lease_id}/renew"
        return proofs.prove(request, self.key, binding, "POST", url, self.token)

    async def try_renew(self, lease: Lease, request: RenewRequest | None = None, **changes: Any) -> httpx.Response:
        """Send a request to renew."""
        request = request or await self.renew_request(lease, **changes)
        return await self.send(f"/v1/leases/{lease.lease_id}/renew", request.to_bytes())

    async def renew(self, lease: Lease, **changes: Any) -> tuple[Renewal, Lease | None]:
        """Renew, and verify the answer as a device does."""
        request = await self.renew_request(lease, **changes)
        response = await self.try_renew(lease, request)
        assert response.status_code == 200, response.text
        return renewal.read_renewal(
            RenewAnswer.from_bytes(response.content),
            self.bench.trust,
            expected_request=hashlib.sha256(request.to_bytes()).digest(),
            expected_challenge=request.challenge,
            account=self.account,
            device=self.id or "",
            device_key=thumbprint(self.key.public),
            lease=lease,
            files=lease.files,
            at=self.bench.clock(),
        )

    async def ordered(self, lease: Lease) -> list[Order]:
        """Renew, and return the orders that came instead of a lease, verified as a device does."""
        answer, new = await self.renew(lease)
        assert new is None
        return [
            orders.read_order(one, self.bench.trust, device_key=thumbprint(self.key.public), at=answer.server_time)
            for one in answer.orders
        ]

    def receipt(self, order: Order, outcome: str = orders.WIPED, /, **changes: Any) -> str:
        """Sign a receipt; changes are made before the signature."""
        mine = Receipt(order.order_id, orders.digest(order), order.device, outcome, self.bench.clock())
        return orders.sign_receipt(dataclasses.replace(mine, **changes), self.key)

    async def try_receipt(self, order_id: str, receipt: str) -> httpx.Response:
        """Hand in a receipt."""
        return await self.send(f"/v1/orders/{order_id}/receipt", ReceiptRequest(receipt).to_bytes())

    async def try_urls(
        self, release_id: str, *, version: str = "1.0", model: str = "digits", seconds: int | None = None
    ) -> httpx.Response:
        """Ask for fresh links."""
        challenge = await self.challenge("urls", None)
        path = f"/v1/releases/{release_id}/urls"
        binding = Binding.urls(
            challenge=challenge,
            account=self.account,
            device=self.id or "",
            device_key=thumbprint(self.key.public),
            model=model,
            version=version,
        )
        request = UrlsRequest(challenge, "a.b.c", seconds)
        request = proofs.prove(request, self.key, binding, "POST", DEVICES + path, self.token)
        return await self.send(path, request.to_bytes())


def have(grant: Grant) -> Have:
    """What a device says it has after a release."""
    return Have(grant.version, grant.files[0].file_id)


def open_model(data: bytes, key: sealed.ModelKey, bench: Bench, made: SealedModel) -> bytes:
    """Open a downloaded file."""
    expected = sealed.Expected("model", sealed.Subject(None, made.model, made.version, None), bench.trust.owner)
    opened = sealed.open_sealed(BytesReadable(data), key, expected)
    return bytes(opened.file("model.bin"))


def problem(response: httpx.Response) -> dict[str, Any]:
    """Return a problem body after checking that it is one, and nothing more."""
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert set(body) - {"detail", "where", "next"} == {"type", "title", "status", "code", "instance"}
    assert body["status"] == response.status_code
    assert "Traceback" not in response.text
    return body


def decoded(text: str) -> bytes:
    """Decode base64url."""
    return from_base64url(text)
