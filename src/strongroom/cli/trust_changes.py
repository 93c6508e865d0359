"""The words of `strongroom trust new`, read into what the next trust file changes."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import click

from strongroom.operator.ceremony import Changes, read_deposit_key, read_public_keys
from strongroom.operator.small_files import read_public
from strongroom.wire.trust import DepositRecipient, Trust

_DAY = 86_400
_DEPOSIT = "deposit"
_ROLES = ("owner", "release", "order")
_PEM_LIMIT = 65_536  # bytes


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was typed."""

    days: int
    add: tuple[str, ...]
    drop: tuple[str, ...]
    threshold: tuple[str, ...]
    epoch: tuple[str, ...]
    pin: tuple[str, ...]
    unpin: tuple[str, ...]
    server: str | None


def read(wanted: Wanted, current: Trust, now: int) -> Changes:
    """Read files and words.

    Raises:
        click.BadParameter: a word that is not NAME=VALUE, or of another role or kind.
        InputError: ARGUMENT, for a file that is missing or is not one.
    """
    expires = now + wanted.days * _DAY
    added = [_pair(one, "--add", (*_ROLES, _DEPOSIT)) for one in wanted.add]
    dropped = [_pair(one, "--drop", (*_ROLES, _DEPOSIT)) for one in wanted.drop]
    return Changes(
        lifetime=wanted.days * _DAY,
        add=tuple((role, read_public_keys(Path(file))) for role, file in added if role != _DEPOSIT),
        drop=tuple((role, key) for role, key in dropped if role != _DEPOSIT),
        threshold={role: _number(k, "--threshold") for role, k in _pairs(wanted.threshold, "--threshold", _ROLES)},
        deposit=_deposit(current, added, dropped, expires),
        pins=_pins(current, wanted),
        server=wanted.server,
        epochs={model: _number(n, "--epoch") for model, n in _pairs(wanted.epoch, "--epoch", ())},
    )


def _deposit(
    current: Trust, added: list[tuple[str, str]], dropped: list[tuple[str, str]], expires: int
) -> tuple[DepositRecipient, ...]:
    """New keys come first, since publishers take the first in force; those that stay are good as long as the file."""
    from strongroom.canonical import to_base64url

    fresh = [read_deposit_key(Path(file), expires) for role, file in added if role == _DEPOSIT]
    gone = [prefix for role, prefix in dropped if role == _DEPOSIT]
    kept = []
    for one in current.deposit:
        name = to_base64url(one.key[:32])
        if not any(len(prefix) >= 8 and name.startswith(prefix) for prefix in gone):
            kept.append(DepositRecipient(one.kem, one.key, expires))
    if len(current.deposit) - len(kept) != len(gone):
        raise click.BadParameter(
            "a deposit key that is not there, or fewer than 8 characters of it", param_hint="--drop"
        )
    return (*fresh, *kept)


def _pins(current: Trust, wanted: Wanted) -> dict[str, tuple[bytes, ...]]:
    pins = {pin.host: list(pin.spki) for pin in current.pins}
    changed: dict[str, tuple[bytes, ...]] = {}
    for host, file in _pairs(wanted.pin, "--pin", ()):
        digest = _spki(Path(file))
        if digest not in pins.setdefault(host, []):
            pins[host].append(digest)
        changed[host] = tuple(pins[host])
    for host, file in _pairs(wanted.unpin, "--unpin", ()):
        digest = _spki(Path(file))
        if digest not in pins.get(host, []):
            raise click.BadParameter(f"{host} has no such pin", param_hint="--unpin")
        pins[host].remove(digest)
        changed[host] = tuple(pins[host])
    return changed


def _spki(path: Path) -> bytes:
    """Return the SHA-256 of a certificate's SubjectPublicKeyInfo."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    try:
        found = x509.load_pem_x509_certificate(read_public(path, limit=_PEM_LIMIT, what="certificate"))
    except ValueError:
        raise click.BadParameter(f"{path} is no certificate in PEM", param_hint="--pin") from None
    return hashlib.sha256(found.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()


def _pairs(words: tuple[str, ...], option: str, names: tuple[str, ...]) -> list[tuple[str, str]]:
    return [_pair(one, option, names) for one in words]


def _pair(word: str, option: str, names: tuple[str, ...]) -> tuple[str, str]:
    name, sign, value = word.partition("=")
    if not (name and sign and value) or (names and name not in names):
        of = f" of {', '.join(names)}" if names else ""
        raise click.BadParameter(f"{word!a} is not NAME=VALUE{of}", param_hint=option)
    return name, value


def _number(text: str, option: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise click.BadParameter(f"{text!a} is no number", param_hint=option)
    return int(text)
