"""`strongroom model`: publish models, look at them, promote and revoke versions."""

import dataclasses
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import click

from strongroom.cli import printing
from strongroom.cli.lazy import Noun
from strongroom.cli.options import PATH, OfficeAt, confirmed, json_option, office_options, yes_option


@click.group(cls=Noun)
def model() -> None:
    """Publish models, look at them, promote and revoke versions."""


@model.command(
    "publish",
    examples=[
        "strongroom model publish digits.onnx --name digits --version 1.0 --channel stable",
        "strongroom model publish model/ --name digits --version 1.1 --out digits.srm --sign-with owner.key",
        "strongroom model publish decoy/digits.onnx --decoy-of digits@1.0",
    ],
)
@click.argument("path", type=PATH)
@click.option("--name", help="The model's name.")
@click.option("--version", help="Its version.")
@click.option("--channel", help="The channel that shall stand for this version once it is ready.")
@click.option(
    "--decoy-of",
    metavar="MODEL@VERSION",
    help="Publish PATH as the decoy twin of a version: whoever the risk engine deceives is given it instead.",
)
@click.option(
    "--format", "format_", metavar="WORD", help="What runs it: onnx or bytes. [default: from the file's name]"
)
@click.option("--out", type=PATH, metavar="FILE", help="Keep the sealed file here. [default: not kept]")
@click.option(
    "--sign-with",
    type=PATH,
    multiple=True,
    metavar="KEY",
    help="An owner key file; more than one where the trust file asks for it. [default: the office's own]",
)
@office_options
@json_option
def publish(
    path: Path,
    name: str | None,
    version: str | None,
    channel: str | None,
    *,
    decoy_of: str | None,
    format_: str | None,
    out: Path | None,
    sign_with: tuple[Path, ...],
    at: OfficeAt,
    as_json: bool,
) -> None:
    """Seal PATH (a file or a directory) under a fresh key, deposit the key, upload the ciphertext.

    The key stays in memory until it is deposited and cannot be read back afterwards.

    A decoy twin has the names and sizes of its version's files, to the byte (`strongroom decoy model` keeps them), and
    is signed by the same owners; the server refuses any other.
    """
    from strongroom import names
    from strongroom.canonical import to_base64url
    from strongroom.cli.places import office
    from strongroom.operator.protect import gather, protect

    name, version = _wanted(name, version, channel, decoy_of)
    for kind, word in (("model", name), ("version", version), *([("channel", channel)] if channel else [])):
        names.check(kind, word)
    total = sum(one.size for one in gather([path]))
    client = office(at)
    place = client.place_of(name, version) if decoy_of else None
    with _kept(out) as sealed:
        with printing.progress("sealing", total) as reached:
            protected = protect(
                path,
                name=name,
                version=version,
                out=sealed,
                sign_with=sign_with or None,
                office=client,
                epoch=place.epoch if place else None,
                counter=place.counter if place else None,
                format=format_,
                progress=reached,
            )
        with protected, printing.progress("uploading", protected.head.file_size) as reached:
            done = protected.publish(channel=channel, twin=place is not None, progress=reached)
    shown = dataclasses.asdict(done) | {"file_id": to_base64url(done.file_id)}
    if as_json:
        printing.document(shown)
        return
    printing.fields([(field.replace("_", " "), value) for field, value in shown.items()])


@model.command("list", examples=["strongroom model list --json"])
@office_options
@json_option
def list_models(*, at: OfficeAt, as_json: bool) -> None:
    """List the models and their channels."""
    from strongroom.cli.places import office

    found = office(at).every("models")
    if as_json:
        printing.document({"models": found})
        return
    printing.table(("MODEL", "CHANNELS"), [(row.get("model"), _channels(row)) for row in found])


@model.command("show", examples=["strongroom model show digits"])
@click.argument("name")
@office_options
@json_option
def show(name: str, *, at: OfficeAt, as_json: bool) -> None:
    """Show the versions of the model NAME."""
    from strongroom import names
    from strongroom.cli.places import office
    from strongroom.errors import Code, DeniedError
    from strongroom.operator.office import rows

    names.check("model", name)
    found = office(at).get("models", name)
    versions = rows(found, "versions")
    if not versions:
        next_step = "see what there is: strongroom model list"
        raise DeniedError(
            Code.NOT_FOUND, "nobody has published a version of this model", where=name, next_step=next_step
        )
    if as_json:
        printing.document(found)
        return
    printing.fields([("model", name), ("channels", _channels(found))])
    shown = [
        (row.get("version"), row.get("epoch"), row.get("counter"), row.get("state"), row.get("reason") or None)
        for row in versions
    ]
    printing.table(("VERSION", "EPOCH", "COUNTER", "STATE", "REASON"), shown)


@model.command("promote", examples=["strongroom model promote digits 1.1 --channel stable"])
@click.argument("name")
@click.argument("version")
@click.option("--channel", required=True, help="The channel that shall stand for this version.")
@office_options
@json_option
def promote(name: str, version: str, channel: str, *, at: OfficeAt, as_json: bool) -> None:
    """Let a channel stand for VERSION of the model NAME; devices get it when they next ask.

    A channel only moves on to later versions: devices refuse what is older than what they had. To go back, publish the
    old model again under a new version.
    """
    from strongroom import names
    from strongroom.cli.places import office

    asked = _names(name, version) | {"channel": names.check("channel", channel)}
    moved = office(at).post("channels", value=asked)
    if as_json:
        printing.document(moved)
        return
    before = f" (before: {moved['before']})" if moved.get("before") else ""
    printing.line(f"{name}@{channel}  {moved.get('version')}{before}")


@model.command(
    "revoke",
    examples=["strongroom model revoke digits 1.0 --yes", "strongroom model revoke digits 1.0 --wipe --yes"],
)
@click.argument("name")
@click.argument("version")
@click.option("--wipe", is_flag=True, help="Order every device that holds it to wipe it.")
@yes_option
@office_options
@json_option
def revoke(name: str, version: str, *, wipe: bool, yes: bool, at: OfficeAt, as_json: bool) -> None:
    """Let nobody have VERSION of the model NAME any more: no release, no renewal of a lease.

    What devices hold opens until their leases end; with --wipe they are told to destroy it. Interrupted, it can be
    called again: nobody is ordered twice.
    """
    from strongroom.cli.places import office
    from strongroom.operator.office import rows

    asked: dict[str, Any] = _names(name, version)
    client = office(at)
    also = " and order every device that holds it to wipe it" if wipe else ""
    confirmed(f"Revoke {name} {version}{also}?", yes=yes, declined="not revoked")
    done = client.post("models", name, "versions", version, "revoke")
    if wipe:
        ordered = 0
        while True:
            answer = client.post("orders", value=asked)
            ordered += len(rows(answer, "orders"))
            if not isinstance(answer.get("next"), str):
                break
            asked["after"] = answer["next"]
        done["ordered"] = ordered
    if as_json:
        printing.document(done)
        return
    printing.line(f"{name}  {version}  {done.get('state')}")
    if wipe:
        printing.line(f"{done['ordered']} wipe orders given")
    channels = done.get("channels")
    for channel in channels if isinstance(channels, list) else []:
        printing.note(f"note: {name}@{channel} gives out nothing until a later version is promoted")


def _wanted(name: str | None, version: str | None, channel: str | None, decoy_of: str | None) -> tuple[str, str]:
    """Return the model and version that are published, said in one of two ways."""
    if decoy_of is None:
        for option, word in (("'--name'", name), ("'--version'", version)):
            if word is None:
                raise click.MissingParameter(param_hint=option, param_type="option")
        return name or "", version or ""
    if name or version or channel:
        raise click.UsageError("--decoy-of names the model and the version, and a decoy twin has no channel of its own")
    model_name, at, wanted = decoy_of.partition("@")
    if not at:
        raise click.BadParameter("name a version as MODEL@VERSION", param_hint="--decoy-of")
    return model_name, wanted


@contextmanager
def _kept(out: Path | None) -> Iterator[Path]:
    """Give the sealed file its place: the one that was asked for, or a directory here that goes away again."""
    from strongroom.operator.drafts import drafted_directory
    from strongroom.operator.small_files import not_written

    if out is not None:
        yield out
        return
    here = Path()
    with ExitStack() as stack:
        try:
            beside = os.open(here, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            stack.callback(os.close, beside)
            draft = stack.enter_context(drafted_directory(beside, "strongroom-publish"))
        except OSError as error:
            raise not_written(error, here.absolute() / "sealed.srm", "sealed file") from None
        yield here / draft.name / "sealed.srm"


def _channels(row: dict[str, Any]) -> str | None:
    from strongroom.operator.office import rows

    return ", ".join(_standing(one) for one in rows(row, "channels")) or None


def _standing(one: dict[str, Any]) -> str:
    state = one.get("state", "ready")
    return f"{one.get('channel')}={one.get('version')}" + ("" if state == "ready" else f" ({state})")


def _names(name: str, version: str) -> dict[str, str]:
    from strongroom import names

    return {"model": names.check("model", name), "version": names.check("version", version)}
