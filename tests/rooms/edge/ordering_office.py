"""The office in memory, with leases that can be renewed and orders to wipe (protocol.md sections 9 and 14)."""

import dataclasses
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

from rooms.edge.memory_office import DAY, MemoryOffice, Version, ident, ok, problem, role
from strongroom import signing
from strongroom.canonical import to_base64url
from strongroom.errors import Code, UnreachableError
from strongroom.signing import PublicKey, SigningKey
from strongroom.transport import Response
from strongroom.wire import jws, lease, orders, renewal, trust
from strongroom.wire.binding import Binding
from strongroom.wire.messages import Grant, Latest, Lease, ReleaseRequest
from strongroom.wire.orders import Order, ReceiptAnswer, ReceiptRequest
from strongroom.wire.renewal import Renewal, RenewRequest


@dataclass
class OrderingOffice(MemoryOffice):
    """As the office, and orders pend until their receipts come. `bend_renewal` may change an answer before signing."""

    orderer: SigningKey = field(default_factory=lambda: SigningKey.generate(signing.ED25519))
    pending: list[tuple[Order, tuple[str, ...]]] = field(default_factory=list)
    renewed: list[RenewRequest] = field(default_factory=list)
    receipts: list[orders.Receipt] = field(default_factory=list)
    deaf: bool = False  # takes no receipts: the line breaks
    takes_none: Code | None = None  # with which every receipt is refused
    bend_renewal: Callable[[Renewal], Renewal] = lambda given: given

    def __post_init__(self) -> None:
        super().__post_init__()
        self.trust = dataclasses.replace(self.trust, order=role(self.orderer))
        self.trust_documents = [trust.encode(self.trust, (self.owner,))]
        self.leases: dict[str, tuple[Lease, Version]] = {}
        self.keys: dict[bytes, PublicKey] = {}
        self.ordered: dict[str, Order] = {}

    def order(self, model: str, version: str, *, device: bytes | None = None, **changes: object) -> Order:
        """Order a version wiped, on the only device there is."""
        made = Order(
            order_id=ident("ord"),
            device=device or next(iter(self.devices)),
            lease=ident("lea"),
            model=model,
            version=version,
            file_id=self.models[model][version].heads[0].core.file_id,
            issued=self.now,
            expires=self.now + 90 * DAY,
        )
        made = dataclasses.replace(made, **changes)
        self.give(made, self.orderer)
        return made

    def give(self, order: Order, signer: SigningKey) -> None:
        self.ordered[order.order_id] = order
        self.pending.append((order, orders.issue(order, (signer,))))

    def _answer(self, path: str, body: bytes, key: PublicKey) -> Response:
        self.keys[hashlib.sha256(key.spki()).digest()] = key
        if path.startswith("/v1/leases/"):
            return self._renew(path.split("/")[3], body, key)
        if path.startswith("/v1/orders/"):
            return self._receipt(path.split("/")[3], body, key)
        return super()._answer(path, body, key)

    def _release(self, body: bytes, key: PublicKey) -> Response:
        if self._orders_for(ReleaseRequest.from_bytes(body).model):
            return problem(403, Code.ORDER_PENDING)
        return super()._release(body, key)

    def _grant(self, body: bytes, asked: ReleaseRequest, device: str, thumb: bytes, found: Version) -> Grant:
        given = super()._grant(body, asked, device, thumb, found)
        held = Lease.from_bytes(jws.unverified_payload(given.lease[0], "lease"))
        self.leases[held.lease_id] = held, found
        return given

    def _orders_for(self, model: str) -> list[tuple[str, ...]]:
        return [signed for order, signed in self.pending if order.model == model]

    def _renew(self, lease_id: str, body: bytes, key: PublicKey) -> Response:
        asked = RenewRequest.from_bytes(body)
        if self._used(asked.challenge):
            return problem(401, Code.CHALLENGE)
        held, found = self.leases[lease_id]
        thumb = hashlib.sha256(key.spki()).digest()
        device = self.devices[thumb]
        binding = Binding.renew(
            challenge=asked.challenge,
            account=self.account,
            device=device,
            device_key=thumb,
            platform=asked.device.platform,
            model=held.model,
            version=held.version,
        )
        self._check_proof(asked, key, binding, f"/v1/leases/{lease_id}/renew", self.device_token)
        self.renewed.append(asked)
        commands = self._orders_for(held.model)
        if not commands and not self.entitled:
            return problem(404, Code.NOT_FOUND)
        digest = hashlib.sha256(body).digest()
        new = dataclasses.replace(
            held,
            issued=self.now,
            expires=self.now + self.lease_seconds,
            max_offline=self.max_offline,
            request=digest,
            challenge=asked.challenge,
        )
        answer = Renewal(
            renewal_id=ident("ren"),
            request=digest,
            challenge=asked.challenge,
            account=self.account,
            device=device,
            lease_id=lease_id,
            model=held.model,
            version=held.version,
            latest=Latest(found.version, found.counter, self.now + self.latest_seconds),
            orders=tuple(commands[:16]),
            reactions=(),
            server_time=self.now,
            lease=None if commands else lease.issue(new, (self.release,)),
        )
        return ok(renewal.issue(self.bend_renewal(answer), (self.release,)).to_bytes())

    def _receipt(self, order_id: str, body: bytes, key: PublicKey) -> Response:
        if self.deaf:
            raise UnreachableError(Code.UNREACHABLE, "the connection broke")
        if self.takes_none is not None:
            return problem({Code.NOT_FOUND: 404, Code.RECEIPT: 422}.get(self.takes_none, 401), self.takes_none)
        read = orders.read_receipt(ReceiptRequest.from_bytes(body).receipt, key, self.ordered[order_id])
        self.receipts.append(read)
        self.pending = [one for one in self.pending if one[0].order_id != order_id]
        return ok(ReceiptAnswer(order_id, self.now).to_bytes())


def forged(answer: Renewal) -> Renewal:
    """The same renewal whose first order nobody signed."""
    (head, *rest), *others = answer.orders
    protected, payload, _ = head.split(".")
    changed = f"{protected}.{payload}.{to_base64url(bytes(64))}"
    return dataclasses.replace(answer, orders=((changed, *rest), *others))
