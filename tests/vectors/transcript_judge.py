"""What this implementation says of a check of a transcript: the code a device or the office really runs, and no other.

Each check takes its inputs as the file has them and returns what comes of it; a refusal is the code's own error.
"""

import copy
import hashlib
from dataclasses import dataclass, field

from strongroom.canonical import JsonValue, decode, from_base64url, to_base64url
from strongroom.edge.clock import Reading
from strongroom.edge.exchange import Line
from strongroom.edge.request import fresh_links
from strongroom.edge.state import Identity
from strongroom.errors import Code, DeniedError, StrongroomError
from strongroom.server.identify import PROOF_LIFE, token_refused
from strongroom.signing import ED25519, PublicKey, SigningKey
from strongroom.wire import dpop, hpke, messages, orders, problems, proofs, renewal
from strongroom.wire import grant as grants
from strongroom.wire import lease as leases
from strongroom.wire import trust as trust_file
from strongroom.wire.binding import Binding
from strongroom.wire.messages import SIGNED, Grant, ReleaseAnswer, ReleaseRequest
from strongroom.wire.orders import ORDERS, Order, ReceiptRequest
from strongroom.wire.renewal import RenewAnswer, RenewRequest
from vectors.transcript_keys import ephemeral, thumbprint

Inputs = dict
REQUESTS = {
    "enrol": messages.EnrolRequest,
    "release": ReleaseRequest,
    "urls": messages.UrlsRequest,
    "renew": RenewRequest,
}
ANSWERS = {
    one.__name__: one for one in (messages.ChallengeAnswer, messages.EnrolAnswer, orders.ReceiptAnswer, ReceiptRequest)
}


def judge(check: str, inputs: Inputs) -> tuple[str, JsonValue]:
    """Return `success` or the code, and what comes of the check."""
    try:
        verdict, gives = CHECKS[check](inputs)
    except StrongroomError as refusal:
        return str(refusal.code), None
    return verdict, gives


def changed(inputs: Inputs, change: dict) -> Inputs:
    """Return the inputs of a twin."""
    twin = copy.deepcopy(inputs)
    if "value" in change:
        twin[change["input"]] = change["value"]
        return twin
    text, end = twin[change["input"]], change["at"] + len(change["was"])
    assert text[change["at"] : end] == change["was"]
    twin[change["input"]] = text[: change["at"]] + change["now"] + text[end:]
    return twin


def _trust(i: Inputs):
    return trust_file.read(i["trust"].encode())


def _key(value: JsonValue) -> PublicKey:
    return PublicKey.from_value(value, "key")


def _device(i: Inputs) -> bytes:
    return thumbprint(_key(i["device_key"]))


def _signed(text: str) -> tuple[str, ...]:
    return SIGNED.check(decode(text.encode(), limit=1_048_576), "signed")


def _sha256(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _trust_check(i: Inputs):
    return "success", {"version": _trust(i).version}


def _follow(i: Inputs):
    answer = messages.TrustAnswer.from_bytes(i["answer"].encode())
    return "success", {"version": trust_file.follow(_trust(i), [trust_file.join(one) for one in answer.trust]).version}


def _message(i: Inputs):
    ANSWERS[i["message"]].from_bytes(i["body"].encode())
    return "success", {}


def _dpop(i: Inputs):
    found = dpop.verify(i["proof"], i["method"], i["url"], i["token"], i["now"], leeway=PROOF_LIFE)
    if found.jti in i["seen"]:
        raise DeniedError(Code.PROOF, "used before")
    if i["jkt"] is not None and dpop.jkt(found.key) != i["jkt"]:
        raise token_refused()
    return "success", {"jti": found.jti, "jkt": dpop.jkt(found.key)}


def _binding(purpose: str, request, i: Inputs, model: str, version: str) -> Binding:
    """Fill a binding: from the request what only it has, the rest from what the checker knows."""
    common = {"challenge": request.challenge, "device_key": _device(i)}
    if purpose == "enrol":
        return Binding.enrol(**common, platform=request.device.platform)
    common |= {"account": i["account"], "device": i["device"], "model": model, "version": version}
    if purpose == "urls":
        return Binding.urls(**common)
    common["platform"] = request.device.platform
    if purpose == "renew":
        return Binding.renew(**common)
    return Binding("release", kem=request.kem, public_key=request.public_key, **common)


def _proof(i: Inputs):
    request = REQUESTS[i["purpose"]].from_bytes(i["body"].encode())
    binding = _binding(i["purpose"], request, i, i["model"], i["version"])
    proofs.verify_proof(
        request.proof,
        _key(i["device_key"]),
        expected_binding=binding,
        expected_method="POST",
        expected_url=i["url"],
        expected_body=proofs.body_without_proof(request),
        expected_token=i["token"],
    )
    return "success", {"binding": to_base64url(binding.digest())}


def _grant(i: Inputs):
    trust = _trust(i)
    request = ReleaseRequest.from_bytes(i["request"].encode())
    key = ephemeral(i["ephemeral"]["kem"], from_base64url(i["ephemeral"]["seed"]))
    grant = grants.read_grant(
        ReleaseAnswer.from_bytes(i["answer"].encode()),
        trust,
        expected_request=_sha256(i["request"]),
        expected_challenge=request.challenge,
        account=i["account"],
        device=i["device"],
        model=request.model,
        selector=request.version,
        at=i["at"],
        high_water=tuple(i["high_water"]) if i["high_water"] else None,
        have=request.have,
    )
    heads = tuple(one.head for one in grant.files)
    asked = {"account": i["account"], "model": grant.model, "version": grant.version, "files": heads, "at": None}
    lease = leases.read_lease(grant.lease, trust, device_key=_device(i), **asked)
    leases.check_open(lease, grant.server_time)
    binding = _binding("release", request, i, request.model, request.version)
    keys = grants.open_grant(grant, key, binding)
    info = hpke.release_info(binding.digest(), grant)
    return "success", {
        "version": grant.version,
        "lease": lease.lease_id,
        "binding": to_base64url(binding.digest()),
        "info": to_base64url(info) if keys else None,
        "meks": [to_base64url(key.reveal()) for key in keys],
    }


@dataclass
class _Answer:
    body: bytes
    status: int = 200
    headers: dict = field(default_factory=dict)


@dataclass
class _Said:
    """An office that has said two things."""

    answers: list[str]

    def request(self, method, path_or_url, *, body=b"", headers=None, limit) -> _Answer:
        return _Answer(self.answers.pop(0).encode())

    def read_range(self, url, offset, length) -> bytes:
        raise NotImplementedError


def _urls(i: Inputs):
    """Run a device's own function with the two answers; what it sends, other checks judge."""
    said = _Said([i["challenge"], i["answer"]])
    line = Line(said, "https://rooms.test:8443", SigningKey(ED25519, bytes(32)), lambda: Reading(0, 0, ""), bytes)
    grant = _unread_grant(i["grant"])
    links = fresh_links(line, Identity(grant.device, grant.account, "a.b.c", 0), grant)
    return "success", {"urls": list(links)}


def _unread_grant(text: str) -> Grant:
    jws = ReleaseAnswer.from_bytes(text.encode()).grant[0]
    return Grant.from_bytes(from_base64url(jws.split(".")[1]))


def _lease(i: Inputs):
    known = {name: i[name] for name in ("account", "model", "version", "at")}
    files = [from_base64url(one) for one in i["files"]]
    lease = leases.read_lease(_signed(i["lease"]), _trust(i), device_key=_device(i), files=files, **known)
    return "success", {"lease": lease.lease_id, "until": leases.offline_until(lease)}


def _renewal(i: Inputs):
    trust = _trust(i)
    held = leases.read_signed(_signed(i["held"]), trust)
    request = RenewRequest.from_bytes(i["request"].encode())
    found, lease = renewal.read_renewal(
        RenewAnswer.from_bytes(i["answer"].encode()),
        trust,
        expected_request=_sha256(i["request"]),
        expected_challenge=request.challenge,
        account=i["account"],
        device=i["device"],
        device_key=_device(i),
        lease=held,
        files=held.files,
        at=i["at"],
    )
    until = leases.offline_until(lease) if lease else None
    return "success", {"until": until, "orders": len(found.orders), "latest": found.latest.version}


def _order(i: Inputs):
    (signed,) = ORDERS.check(decode(f"[{i['order']}]".encode(), limit=1_048_576), "orders")
    order = orders.read_order(signed, _trust(i), device_key=_device(i), at=i["at"])
    return "success", {"order": order.order_id, "digest": to_base64url(orders.digest(order))}


def _receipt(i: Inputs):
    request = ReceiptRequest.from_bytes(i["body"].encode())
    order = Order.from_bytes(i["order"].encode())
    return "success", {"outcome": orders.read_receipt(request.receipt, _key(i["device_key"]), order).outcome}


def _deposit(i: Inputs):
    key = hpke.DepositKey.from_seed(i["deposit"]["kem"], from_base64url(i["deposit"]["seed"]))
    names = (i["account"], i["publisher"], i["model"], i["version"])
    info = hpke.deposit_info(*names, from_base64url(i["file_id"]), from_base64url(i["head"]))
    mek = key.open(from_base64url(i["sealed"]), info)
    return "success", {"info": to_base64url(info), "meks": [to_base64url(mek)]}


def _problem(i: Inputs):
    error = problems.error_of(i["status"], i["body"].encode())
    return str(error.code), {"family": type(error).__name__, "exit": error.exit_code}


CHECKS = {
    "trust": _trust_check,
    "follow": _follow,
    "message": _message,
    "dpop": _dpop,
    "proof": _proof,
    "grant": _grant,
    "urls": _urls,
    "lease": _lease,
    "renewal": _renewal,
    "order": _order,
    "receipt": _receipt,
    "deposit": _deposit,
    "problem": _problem,
}
