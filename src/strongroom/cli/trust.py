"""`strongroom trust`: who may sign what, and which server and pins a device believes."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from strongroom.cli import printing
from strongroom.cli.lazy import Noun
from strongroom.cli.options import PATH, config_option, confirmed, json_option, yes_option
from strongroom.cli.unlocking import passphrase, passphrase_option

if TYPE_CHECKING:
    from strongroom.signing import Role
    from strongroom.wire.succession import Unfinished
    from strongroom.wire.trust import Trust


FIRST = 1  # the only version that follows no other


@click.group(cls=Noun)
def trust() -> None:
    """Trust files: look at one, make the next, sign it, put it into force."""


_FROM = click.option(
    "--from", "before", type=PATH, metavar="FILE", help="The trust file in force, whose owners sign the next one too."
)


@trust.command(
    "show",
    examples=["strongroom trust show strongroom/trust.json", "strongroom trust show next.json --from trust.json"],
)
@click.argument("path", metavar="FILE", type=PATH)
@_FROM
@json_option
def show(path: Path, *, before: Path | None, as_json: bool) -> None:
    """Check FILE and show what it says; of one that is not signed by enough owners, who is missing.

    With --from also what it changes, and whether devices that trust that file will follow.
    """
    from strongroom.cli.places import read_trust
    from strongroom.operator import ceremony

    unfinished = _read(path)
    old = None if before is None else read_trust(before)
    document = unfinished.trust
    standing = _standing(unfinished, old)
    changes = None if old is None else ceremony.differences(old, document)
    if as_json:
        printing.document(_value(document) | {"signatures": standing, "changes": changes})
        return
    _print(document)
    for whose, one in standing.items():
        printing.fields([(f"signed by {whose}", f"{one['signed']} of {one['needed']} needed")])
    for line in changes or ():
        printing.fields([("changes", line)])
    if not all(one["enough"] for one in standing.values()):
        printing.note("not in force: too few owners have signed; next: strongroom trust sign")


@trust.command(
    "key", examples=["strongroom trust key second-owner.key", "strongroom trust key third-owner.key --public third.pub"]
)
@click.argument("path", metavar="FILE", type=PATH)
@click.option("--public", type=PATH, metavar="FILE", help="Where its public half goes. [default: FILE with .pub]")
@json_option
def key(path: Path, *, public: Path | None, as_json: bool) -> None:
    """Make an owner's keys, Ed25519 with ML-DSA-65, in a new FILE that belongs to a place that is not connected."""
    from strongroom.operator import ceremony
    from strongroom.operator.keys import write_owner_key
    from strongroom.operator.small_files import reserved
    from strongroom.signing import ED25519, ML_DSA_65, SigningKey

    half = path.with_suffix(".pub") if public is None else public
    keys = tuple(SigningKey.generate(alg) for alg in (ED25519, ML_DSA_65))
    with reserved(half, what="public key") as place:
        write_owner_key(path, keys)
        place.write(ceremony.encode_public_keys([one.public for one in keys]))
    if as_json:
        printing.document({"key": str(path), "public": str(half), "ids": [one.public.key_id for one in keys]})
        return
    printing.fields([("key", path), ("public", half)])
    printing.note(f"next: strongroom trust new --from trust.json --add owner={half}")


@trust.command(
    "new",
    examples=[
        "strongroom trust new --from trust.json -o next.json --expires-in 365",
        "strongroom trust new --from trust.json -o next.json --add release=release.pub --drop release=Jx3kQ0pV",
        "strongroom trust new --from trust.json -o next.json --add owner=second.pub",
        "strongroom trust new --from trust.json -o next.json --epoch digits=2",
    ],
)
@click.option(
    "--from",
    "before",
    type=PATH,
    metavar="FILE",
    required=True,
    help="The trust file in force; the new one follows it.",
)
@click.option("-o", "--output", type=PATH, metavar="FILE", required=True, help="The new file; nothing is overwritten.")
@click.option(
    "--expires-in", "days", type=click.IntRange(1, 3660), default=365, show_default=True, help="Days until it expires."
)
@click.option("--add", multiple=True, metavar="ROLE=FILE", help="Add a key to owner, release, order or deposit.")
@click.option("--drop", multiple=True, metavar="ROLE=KEY", help="Remove the key whose id begins with KEY.")
@click.option("--threshold", multiple=True, metavar="ROLE=K", help="How many of a role are needed.")
@click.option("--epoch", multiple=True, metavar="MODEL=N", help="Raise a model's epoch: outranks every counter before.")
@click.option("--pin", multiple=True, metavar="HOST=FILE", help="Believe this certificate's key (PEM) for HOST too.")
@click.option("--unpin", multiple=True, metavar="HOST=FILE", help="Believe this certificate's key for HOST no more.")
@click.option("--server", metavar="URL", help="Where devices reach the server from now on.")
@json_option
def new(
    *,
    before: Path,
    output: Path,
    days: int,
    add: tuple[str, ...],
    drop: tuple[str, ...],
    threshold: tuple[str, ...],
    epoch: tuple[str, ...],
    pin: tuple[str, ...],
    unpin: tuple[str, ...],
    server: str | None,
    as_json: bool,
) -> None:
    """Make the next trust file, unsigned: it says what the one in force says, but for what is named here."""
    from strongroom.cli import trust_changes
    from strongroom.cli.places import read_trust
    from strongroom.operator import ceremony
    from strongroom.operator.small_files import reserved
    from strongroom.wire import succession

    old = read_trust(before)
    now = int(time.time())  # noqa: TID251 - the rim
    wanted = trust_changes.Wanted(days, add, drop, threshold, epoch, pin, unpin, server)
    document = succession.draft(ceremony.next_document(old, trust_changes.read(wanted, old, now), now=now))
    with reserved(output, what="trust file") as place:
        place.write(document.encode())
    _report(output, document, old, as_json=as_json)
    printing.note(f"next: strongroom trust sign {output} --from {before} --sign-with OWNER.key")


@trust.command(
    "sign",
    examples=[
        "strongroom trust sign next.json --from trust.json --sign-with owner.key",
        "strongroom trust sign next.json --from trust.json --sign-with second.key --yes",
    ],
)
@click.argument("path", metavar="FILE", type=PATH)
@click.option("--sign-with", "owner_key", type=PATH, metavar="FILE", required=True, help="An owner's key.")
@_FROM
@yes_option
@json_option
def sign(path: Path, *, owner_key: Path, before: Path | None, yes: bool, as_json: bool) -> None:
    """Add an owner's signature to FILE, after showing what changes. Owners who leave sign too: they are in --from."""
    from strongroom.cli.places import read_trust
    from strongroom.operator import ceremony
    from strongroom.operator.keys import read_owner_key
    from strongroom.operator.small_files import replace_file
    from strongroom.wire import succession

    document = _read(path)
    if before is None and document.trust.version != FIRST:
        raise click.UsageError("say --from FILE, the trust file in force: whoever signs sees what changes")
    old = None if before is None else read_trust(before)
    signed = succession.sign(document, read_owner_key(owner_key), old)
    for line in () if old is None else ceremony.differences(old, document.trust):
        printing.note(line)
    confirmed(
        f"Sign version {document.trust.version} of trust.json?",
        yes=yes,
        declined="not signed",
        unasked="whoever signs looks first: say --yes after `strongroom trust show FILE --from FILE`",
    )
    replace_file(path, signed.encode(), what="trust file")
    _report(path, signed, old, as_json=as_json)


@trust.command(
    "rotate",
    examples=[
        "strongroom trust rotate next.json --config strongroom/strongroom.toml",
        "strongroom trust rotate trust.2.json trust.3.json --config strongroom/strongroom.toml",
    ],
)
@click.argument("paths", metavar="FILE...", type=PATH, nargs=-1, required=True)
@click.option("--strand", is_flag=True, help="Do it though published versions would not open any more.")
@passphrase_option
@config_option
@json_option
def rotate(
    paths: tuple[Path, ...], *, strand: bool, passphrase_file: Path | None, config_file: Path | None, as_json: bool
) -> None:
    """Put FILE into force on this server, from its next start on; devices follow at their next contact.

    Several FILEs are several steps, the oldest first: after a restore the server catches up with its devices.
    """
    from strongroom.cli.db import explained, load_settings
    from strongroom.cli.extras import needs
    from strongroom.cli.places import TRUST_LIMIT
    from strongroom.operator import ceremony
    from strongroom.operator.small_files import read_public

    with needs("server"):
        from strongroom.server import succession
    settings = load_settings(config_file)
    now = int(time.time())  # noqa: TID251 - the rim
    with explained(settings):
        old, document = succession.install(
            settings,
            *(read_public(path, limit=TRUST_LIMIT, what="trust file") for path in paths),
            now=now,
            names=[str(path) for path in paths],
            passphrase=passphrase(settings, passphrase_file),
            strand=strand,
        )
    changes = ceremony.differences(old, document)
    if as_json:
        printing.document({"version": document.version, "expires": document.expires, "changes": changes})
        return
    printing.fields([("version", document.version), ("expires", printing.moment(document.expires))])
    for line in changes:
        printing.fields([("changes", line)])
    printing.note("next: start the server anew; devices that are offline go on until their leases end")


def _read(path: Path) -> "Unfinished":
    from strongroom.cli.places import TRUST_LIMIT
    from strongroom.errors import IntegrityError
    from strongroom.operator.small_files import read_public
    from strongroom.wire import succession

    data = read_public(path, limit=TRUST_LIMIT, what="trust file")
    try:
        return succession.read(data)
    except IntegrityError as error:
        error.where = str(path)
        raise


def _report(path: Path, document: "Unfinished", old: "Trust | None", *, as_json: bool) -> None:
    standing = _standing(document, old)
    if as_json:
        printing.document({"path": str(path), "version": document.trust.version, "signatures": standing})
        return
    printing.fields([("file", path), ("version", document.trust.version)])
    for whose, one in standing.items():
        printing.fields([(f"signed by {whose}", f"{one['signed']} of {one['needed']} needed")])


def _standing(document: "Unfinished", old: "Trust | None") -> dict[str, dict[str, int | bool]]:
    """Say how far the owners are: its own, and those of the document before."""
    from strongroom.wire import succession

    roles = {"its owners": document.trust.owner} | ({} if old is None else {"the owners before": old.owner})
    found = {whose: succession.standing(document, role) for whose, role in roles.items()}
    return {
        whose: {"needed": one.threshold, "signed": sum(one.signed), "enough": one.enough}
        for whose, one in found.items()
    }


def _value(document: "Trust") -> dict[str, object]:
    from strongroom.canonical import to_base64url

    roles = {"owner": document.owner, "release": document.release, "order": document.order}
    return {
        "version": document.version,
        "expires": document.expires,
        "server": document.server,
        "hosts": [pin.host for pin in document.pins],
        "pins": {pin.host: [to_base64url(spki) for spki in pin.spki] for pin in document.pins},
        "roles": {name: {"threshold": role.threshold, "keys": _keys(role)} for name, role in roles.items()},
        "deposit": [
            {"kem": one.kem, "key": to_base64url(one.key[:32]), "expires": one.expires} for one in document.deposit
        ],
        "suites": list(document.suites),
        "kems": list(document.kems),
        "epochs": dict(document.epochs),
    }


def _print(document: "Trust") -> None:
    roles = {"owner": document.owner, "release": document.release, "order": document.order}
    printing.fields(
        [
            ("version", document.version),
            ("expires", printing.moment(document.expires)),
            ("server", document.server),
            ("hosts", ", ".join(pin.host for pin in document.pins)),
            *((name, _short(role)) for name, role in roles.items()),
            ("deposit", ", ".join(f"{one.kem:#06x} until {printing.moment(one.expires)}" for one in document.deposit)),
            ("suites", ", ".join(map(str, document.suites))),
            ("kems", ", ".join(f"{kem:#06x}" for kem in document.kems)),
            *(("epoch", f"{model} {epoch}") for model, epoch in document.epochs),
        ]
    )


def _keys(role: "Role") -> list[list[dict[str, str]]]:
    return [[{"alg": key.alg, "key": key.key_id} for key in one.keys] for one in role.principals]


def _short(role: "Role") -> str:
    signers = ["+".join(f"{key['alg']} {key['key'][:12]}" for key in one) for one in _keys(role)]
    return f"{role.threshold} of {len(role.principals)}: {', '.join(signers)}"
