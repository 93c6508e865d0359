"""trust.json: who may sign what, and where the servers are (docs/spec/protocol.md section 3).

The device starts from one document it was given and follows it step by step: version N+1 needs k of the owners of N
and k of its own. The document stands by itself, so it may be fetched from anywhere, without pins.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from strongroom import canonical
from strongroom.canonical import JsonValue, to_base64url
from strongroom.errors import Code, InputError, IntegrityError, RefusedError
from strongroom.names import MODEL
from strongroom.shapes import Array, Binary, Choice, Integer, Nullable, Object, Text
from strongroom.signing import Role, Signer
from strongroom.wire import hpke, jws
from strongroom.wire.messages import Record

TYP = "sr-trust"
MAX_SIZE = 1_048_576  # bytes of the whole file
MAX_PAYLOAD = 262_144  # bytes of what is signed
MAX_STEPS = 256  # documents followed in one go
FIRST_EPOCH = 1  # of a model the document does not name

_WHERE = "trust.json"
_HOST = r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?|[0-9a-f:]{2,45}"  # name, IPv4, or IPv6 without brackets
_SERVER = r"https://(?:[a-z0-9.-]{1,253}|\[[0-9a-f:]{2,45}\])(?::[0-9]{1,5})?"
_FILE = Array(Text(jws.MAX_TEXT), most=jws.MAX_SIGNERS, least=1)
_SHAPE = Object(
    {
        "version": Integer(1),
        "expires": Integer(1),
        "server": Text(300, _SERVER),
        "pins": Array(
            Object(
                {"host": Text(253, _HOST), "ca": Nullable(Text(32_768)), "spki": Array(Binary(32), most=8, least=1)}
            ),
            most=16,
            least=1,
        ),
        "roles": Object({"owner": Record(Role), "release": Record(Role), "order": Record(Role)}),
        "deposit": Array(
            Object({"kem": Choice(tuple(hpke.KEMS)), "key": Binary(2048, 32), "expires": Integer(1)}), most=8
        ),
        "suites": Array(Integer(1, 255), most=8, least=1),
        "kems": Array(Choice(tuple(hpke.KEMS)), most=8, least=1),
        "epochs": Array(Object({"model": Text(64, MODEL), "epoch": Integer(1)}), most=1024),
    }
)


@dataclass(frozen=True, slots=True)
class Pin:
    """How a host is recognised.

    Attributes:
        host: name or address, without a port; it holds for every port.
        ca: PEM of the only authorities believed for it, or None for the machine's own store.
        spki: SHA-256 of the SPKI of each certificate it may show, the backup's among them.
    """

    host: str
    ca: str | None
    spki: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class DepositRecipient:
    """An HPKE key that publishers seal MEKs to, and until when (Unix seconds)."""

    kem: int
    key: bytes
    expires: int


@dataclass(frozen=True, slots=True)
class Trust:
    """A trust document whose owners' signatures have been checked, or one about to be signed.

    Attributes:
        version: counts from 1 in steps of one.
        expires: Unix seconds; afterwards no new grants are taken, running leases go on.
        server: base URL of the device API.
        pins: how each host is recognised, the server's and the object store's.
        owner: signs files and this document, offline.
        release: signs grants and leases.
        order: signs wipe orders.
        deposit: where publishers seal keys to.
        suites: sealed-file suites allowed.
        kems: HPKE KEMs allowed, the preferred one first.
        epochs: (model, epoch) by model name; a higher epoch outranks every counter of a lower one.
    """

    version: int
    expires: int
    server: str
    pins: tuple[Pin, ...]
    owner: Role
    release: Role
    order: Role
    deposit: tuple[DepositRecipient, ...]
    suites: tuple[int, ...]
    kems: tuple[int, ...]
    epochs: tuple[tuple[str, int], ...] = ()

    def epoch_of(self, model: str) -> int:
        """Return the epoch the owners have set for a model."""
        return dict(self.epochs).get(model, FIRST_EPOCH)

    def recipient(self, at: int) -> DepositRecipient:
        """Return the first deposit key that is still good.

        Raises:
            RefusedError: TRUST_EXPIRED, when there is none.
        """
        for one in self.deposit:
            if at < one.expires and one.kem in self.kems:
                return one
        step = "ask the owners for a newer trust.json"
        raise RefusedError(Code.TRUST_EXPIRED, "no deposit key is in force", where=_WHERE, next_step=step)

    def to_value(self) -> dict[str, JsonValue]:
        pins = sorted(self.pins, key=lambda pin: pin.host)
        return {
            "version": self.version,
            "expires": self.expires,
            "server": self.server,
            "pins": [{"host": pin.host, "ca": pin.ca, "spki": [to_base64url(one) for one in pin.spki]} for pin in pins],
            "roles": {
                "owner": self.owner.to_value(),
                "release": self.release.to_value(),
                "order": self.order.to_value(),
            },
            "deposit": [{"kem": one.kem, "key": to_base64url(one.key), "expires": one.expires} for one in self.deposit],
            "suites": list(self.suites),
            "kems": list(self.kems),
            "epochs": [{"model": model, "epoch": epoch} for model, epoch in sorted(self.epochs)],
        }


def encode(trust: Trust, signers: Iterable[Signer]) -> bytes:
    """Sign a document and return the file; a new version is signed by its own owners and those of the one before.

    Raises:
        IntegrityError: JSON_TOO_LARGE, SHAPE or PUBLIC_KEY, when the document could not be read back.
    """
    payload = canonical.encode(trust.to_value())
    parse(payload)
    data = join(jws.sign(TYP, payload, signers))
    split(data)  # each signature repeats the payload
    return data


def join(signatures: Sequence[str]) -> bytes:
    """Return the file for the JWS of one document, as they stand in a TrustAnswer."""
    return canonical.encode(list(signatures))


def split(data: bytes) -> tuple[str, ...]:
    """Return the JWS of a file, for a TrustAnswer.

    Raises:
        IntegrityError: JSON_TOO_LARGE, JSON_NOT_CANONICAL, SHAPE.
    """
    signatures: tuple[str, ...] = _FILE.check(canonical.decode(data, limit=MAX_SIZE, where=_WHERE), _WHERE)
    return signatures


def read(data: bytes) -> Trust:
    """Read a document that its own owners signed. Whether they are the right owners is decided by whoever gave it.

    Raises:
        IntegrityError: JSON_TOO_LARGE, JSON_NOT_CANONICAL, SHAPE, PUBLIC_KEY, SIGNATURE, TRUST_THRESHOLD.
    """
    signatures = split(data)
    trust = parse(jws.unverified_payload(signatures[0], _WHERE))
    _demand(signatures, trust.owner, "its own owners")
    return trust


def check_fresh(trust: Trust, at: int) -> None:
    """Refuse a document that is over.

    Raises:
        RefusedError: TRUST_EXPIRED.
    """
    if at >= trust.expires:
        step = "connect to fetch a newer trust.json, or ask the owners for one"
        raise RefusedError(Code.TRUST_EXPIRED, "trust.json has expired", where=_WHERE, next_step=step)


def advance(old: Trust, new_data: bytes) -> Trust:
    """Take one step to the next document.

    Raises:
        RefusedError: TRUST_VERSION, when it is not the next version or takes an epoch back.
        IntegrityError: as `read`, and TRUST_THRESHOLD when too few of the old owners signed it.
    """
    new = read(new_data)
    if new.version != old.version + 1:
        what = f"trust.json version {new.version} does not follow version {old.version}"
        raise RefusedError(Code.TRUST_VERSION, what, where=_WHERE)
    _demand(split(new_data), old.owner, "the owners of the version before")
    if any(new.epoch_of(model) < epoch for model, epoch in old.epochs):
        raise RefusedError(Code.TRUST_VERSION, "trust.json takes a model's epoch back", where=_WHERE)
    return new


def follow(old: Trust, documents: Sequence[bytes]) -> Trust:
    """Take every step of a chain, oldest first.

    Raises:
        RefusedError: TRUST_VERSION, also for more than 256 steps.
        IntegrityError: as `advance`.
    """
    if len(documents) > MAX_STEPS:
        raise RefusedError(Code.TRUST_VERSION, f"more than {MAX_STEPS} steps of trust at once", where=_WHERE)
    for data in documents:
        old = advance(old, data)
    return old


def _demand(signatures: Sequence[str], role: Role, whose: str) -> None:
    _, verified = jws.verified_keys(signatures, TYP, role, _WHERE)
    if not role.satisfied(verified):
        what = f"fewer than {role.threshold} of {whose} signed this trust.json"
        raise IntegrityError(Code.TRUST_THRESHOLD, what, where=_WHERE)


def parse(payload: bytes) -> Trust:
    """Read what a document says, whoever signed it.

    Raises:
        IntegrityError: JSON_TOO_LARGE, JSON_NOT_CANONICAL, SHAPE, PUBLIC_KEY.
    """
    fields = _SHAPE.check(canonical.decode(payload, limit=MAX_PAYLOAD, where=_WHERE), _WHERE)
    deposit = tuple(DepositRecipient(**one) for one in fields["deposit"])
    epochs = tuple((one["model"], one["epoch"]) for one in fields["epochs"])
    pins = tuple(Pin(**one) for one in fields["pins"])
    for names in ([model for model, _ in epochs], [pin.host for pin in pins]):
        if names != sorted(set(names)):
            raise IntegrityError(Code.SHAPE, "pins and epochs name each thing once, in order", where=_WHERE)
    for one in deposit:
        _check_recipient(one)
    plain = {name: fields[name] for name in ("version", "expires", "server", "suites", "kems")}
    return Trust(**plain, **fields["roles"], pins=pins, deposit=deposit, epochs=epochs)


def _check_recipient(one: DepositRecipient) -> None:
    try:
        hpke.check_public_key(one.kem, one.key)
    except InputError:
        raise IntegrityError(Code.PUBLIC_KEY, "a deposit key is not a valid key", where=_WHERE) from None
