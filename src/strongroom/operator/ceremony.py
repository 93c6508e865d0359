"""The key ceremony: the next trust document, and how it differs from the one in force (protocol.md section 3).

Owners do this where their keys are, away from the server. Every change is named by its role and its key, so that what
is about to be signed can be read aloud.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from strongroom import canonical
from strongroom.errors import Code, InputError, StrongroomError
from strongroom.operator.small_files import read_public
from strongroom.shapes import Array, Binary, Integer, Object
from strongroom.signing import Principal, PublicKey, Role
from strongroom.wire.messages import Record
from strongroom.wire.trust import DepositRecipient, Pin, Trust

ROLES = ("owner", "release", "order")
LIMIT = 16_384  # bytes of a file of public keys; two keys need about 3,000
MIN_NAMED = 8  # characters of a key id that name a key

_Key = TypeVar("_Key")
_SHAPE = Object({"keys": Array(Record(PublicKey), most=2, least=1)})
_DEPOSIT = Object({"kem": Integer(1, 65_535), "key": Binary(2048, 32)})


@dataclass(frozen=True, slots=True)
class Changes:
    """What is to be different in the next document; what is not named stays.

    Attributes:
        lifetime: seconds until it expires.
        add: (role, keys of one principal) to add.
        drop: (role, beginning of a key id): the principal with this key goes.
        threshold: by role, how many of it are needed.
        deposit: the recipients, the preferred one first, or None to keep them.
        pins: by host, digests of keys it may show, or () to unpin it.
        server: the base URL, or None to keep it.
        epochs: by model; only upwards.
        suites: allowed suites of files, or None to keep them.
        kems: allowed KEMs, the preferred one first, or None to keep them.
    """

    lifetime: int
    add: tuple[tuple[str, tuple[PublicKey, ...]], ...] = ()
    drop: tuple[tuple[str, str], ...] = ()
    threshold: Mapping[str, int] | None = None
    deposit: tuple[DepositRecipient, ...] | None = None
    pins: Mapping[str, tuple[bytes, ...]] | None = None
    server: str | None = None
    epochs: Mapping[str, int] | None = None
    suites: tuple[int, ...] | None = None
    kems: tuple[int, ...] | None = None


def next_document(current: Trust, changes: Changes, *, now: int) -> Trust:
    """Return the document that follows the one in force. Nobody has signed it.

    Args:
        current: the document in force.
        changes: what is to be different.
        now: Unix seconds.

    Raises:
        InputError: ARGUMENT, for a change that cannot be made: an unknown or ambiguous key, an empty role, a threshold
            that cannot be reached, an epoch that goes back.
    """
    if changes.lifetime <= 0:
        raise InputError(Code.ARGUMENT, "a trust file that has expired when it is made")
    roles = {name: _role(name, getattr(current, name), changes) for name in ROLES}
    epochs = dict(current.epochs)
    for model, epoch in (changes.epochs or {}).items():
        if epoch <= current.epoch_of(model):
            what = f"{model} has epoch {current.epoch_of(model)} already; an epoch only goes up"
            raise InputError(Code.ARGUMENT, what)
        epochs[model] = epoch
    deposit = current.deposit if changes.deposit is None else changes.deposit
    return replace(
        current,
        version=current.version + 1,
        expires=now + changes.lifetime,
        server=changes.server or current.server,
        pins=_pins(current.pins, changes.pins or {}),
        deposit=tuple(one for one in deposit if one.expires > now),
        suites=changes.suites or current.suites,
        kems=changes.kems or current.kems,
        epochs=tuple(sorted(epochs.items())),
        **roles,
    )


def differences(old: Trust, new: Trust) -> tuple[str, ...]:
    """Say in words what the new document changes, one line a change; keys by the first characters of their ids."""
    lines: list[str] = []
    plain: tuple[tuple[str, Callable[[Trust], object]], ...] = (
        ("server", lambda one: one.server),
        ("suites", lambda one: ", ".join(map(str, one.suites))),
        ("kems", lambda one: ", ".join(f"{kem:#06x}" for kem in one.kems)),
    )
    lines += [f"{name}: {get(old)} -> {get(new)}" for name, get in plain if get(old) != get(new)]
    for name in ROLES:
        lines += _role_differences(name, getattr(old, name), getattr(new, name))
    lines += _sets(
        "deposit key",
        {one.key: _short(one.key) for one in old.deposit},
        {one.key: _short(one.key) for one in new.deposit},
    )
    pins = [
        {(pin.host, spki): f"{pin.host} {_short(spki)}" for pin in one.pins for spki in pin.spki} for one in (old, new)
    ]
    lines += _sets("pin", *pins)
    authorities = [{pin.host: pin.ca for pin in one.pins} for one in (old, new)]
    lines += [
        f"pin {host}: other authorities"
        for host in authorities[0]
        if host in authorities[1] and authorities[0][host] != authorities[1][host]
    ]
    models = sorted({model for one in (old, new) for model, _ in one.epochs})
    lines += [
        f"epoch of {model}: {old.epoch_of(model)} -> {new.epoch_of(model)}"
        for model in models
        if old.epoch_of(model) != new.epoch_of(model)
    ]
    return tuple(lines)


def read_public_keys(path: Path) -> tuple[PublicKey, ...]:
    """Read the public keys of one principal.

    Raises:
        InputError: ARGUMENT if the file is missing, or holds no public keys.
        SetupError: PERMISSIONS.
        StoreError: STORE_IO.
    """
    data = read_public(path, limit=LIMIT, what="file of public keys")
    try:
        fields = _SHAPE.check(canonical.decode(data.rstrip(b"\n"), limit=LIMIT), "public keys")
    except StrongroomError:
        step = "such a file is written by `strongroom trust key` and `strongroom key rotate`"
        what = "this file does not hold public keys"
        raise InputError(Code.ARGUMENT, what, where=str(path), next_step=step) from None
    keys: tuple[PublicKey, ...] = fields["keys"]
    return keys


def read_deposit_key(path: Path, expires: int) -> DepositRecipient:
    """Read the public half of a deposit key.

    Raises:
        InputError: ARGUMENT if the file is missing, or holds no deposit key.
        SetupError: PERMISSIONS.
        StoreError: STORE_IO.
    """
    data = read_public(path, limit=LIMIT, what="file of a deposit key")
    try:
        fields = _DEPOSIT.check(canonical.decode(data.rstrip(b"\n"), limit=LIMIT), "deposit key")
    except StrongroomError:
        step = "such a file is written by `strongroom key rotate deposit`"
        raise InputError(
            Code.ARGUMENT, "this file does not hold a deposit key", where=str(path), next_step=step
        ) from None
    return DepositRecipient(fields["kem"], fields["key"], expires)


def encode_public_keys(keys: Sequence[PublicKey]) -> bytes:
    """Return the bytes of a file of one principal's public keys."""
    return canonical.encode({"keys": [key.to_value() for key in keys]}) + b"\n"


def encode_key(key: PublicKey | DepositRecipient) -> bytes:
    """Return the bytes of a file of one public key of a server, as `--add` reads it."""
    if isinstance(key, PublicKey):
        return encode_public_keys([key])
    return canonical.encode({"kem": key.kem, "key": canonical.to_base64url(key.key)}) + b"\n"


def _role(name: str, role: Role, changes: Changes) -> Role:
    principals = list(role.principals)
    for named, prefix in changes.drop:
        if named == name:
            principals.remove(_principal(name, role, prefix))
    for added, keys in changes.add:
        if added == name:
            known = {key.key_id for one in principals for key in one.keys}
            if any(key.key_id in known for key in keys):
                raise InputError(Code.ARGUMENT, f"this key is one of {name} already")
            principals.append(Principal(keys))
    threshold = (changes.threshold or {}).get(name, role.threshold)
    if not 1 <= threshold <= len(principals):
        step = f"say --threshold {name}=K, or add a key"
        what = f"{name} would need {threshold} of {len(principals)}"
        raise InputError(Code.ARGUMENT, what, next_step=step)
    return Role(threshold, tuple(principals))


def _principal(name: str, role: Role, prefix: str) -> Principal:
    found = [one for one in role.principals if any(key.key_id.startswith(prefix) for key in one.keys)]
    if len(prefix) < MIN_NAMED or len(found) != 1:
        step = f"give at least {MIN_NAMED} characters of its id, as `strongroom trust show --json` prints it"
        raise InputError(Code.ARGUMENT, f"{prefix[:50]!a} does not name one key of {name}", next_step=step)
    return found[0]


def _pins(pins: tuple[Pin, ...], changed: Mapping[str, tuple[bytes, ...]]) -> tuple[Pin, ...]:
    by_host = {pin.host: pin for pin in pins}
    for host, spki in changed.items():
        if not spki:
            by_host.pop(host, None)
        else:
            by_host[host] = replace(by_host[host], spki=spki) if host in by_host else Pin(host, None, spki)
    return tuple(by_host[host] for host in sorted(by_host))


def _role_differences(name: str, old: Role, new: Role) -> list[str]:
    named = [
        {key.key_id: f"{key.alg} {key.key_id[:12]}" for one in role.principals for key in one.keys}
        for role in (old, new)
    ]
    lines = _sets(f"{name} key", *named)
    needed = [f"{role.threshold} of {len(role.principals)}" for role in (old, new)]
    return lines if needed[0] == needed[1] else [*lines, f"{name}: {needed[0]} -> {needed[1]}"]


def _sets(what: str, old: Mapping[_Key, str], new: Mapping[_Key, str]) -> list[str]:
    gone = [f"{what} removed: {text}" for one, text in old.items() if one not in new]
    return gone + [f"{what} added: {text}" for one, text in new.items() if one not in old]


def _short(data: bytes) -> str:
    return canonical.to_base64url(data)[:12]
