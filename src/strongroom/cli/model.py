"""`strongroom model`: publish models and look at them."""

import dataclasses
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from strongroom.cli import printing
from strongroom.cli.lazy import Noun
from strongroom.cli.options import PATH, OfficeAt, json_option, office_options


@click.group(cls=Noun)
def model() -> None:
    """Publish models and look at them."""


@model.command(
    "publish",
    examples=[
        "strongroom model publish digits.onnx --name digits --version 1.0 --channel stable",
        "strongroom model publish model/ --name digits --version 1.1 --out digits.srm --sign-with owner.key",
    ],
)
@click.argument("path", type=PATH)
@click.option("--name", required=True, help="The model's name.")
@click.option("--version", required=True, help="Its version.")
@click.option("--channel", help="The channel that shall stand for this version once it is ready.")
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
    name: str,
    version: str,
    channel: str | None,
    format_: str | None,
    out: Path | None,
    sign_with: tuple[Path, ...],
    *,
    at: OfficeAt,
    as_json: bool,
) -> None:
    """Seal PATH (a file or a directory) under a fresh key, deposit the key, upload the ciphertext.

    The key stays in memory until it is deposited and cannot be read back afterwards.
    """
    from strongroom import names
    from strongroom.canonical import to_base64url
    from strongroom.cli.places import office
    from strongroom.operator.protect import gather, protect

    for kind, word in (("model", name), ("version", version), *([("channel", channel)] if channel else [])):
        names.check(kind, word)
    total = sum(one.size for one in gather([path]))
    client = office(at)
    with _kept(out) as sealed:
        with printing.progress("sealing", total) as reached:
            protected = protect(
                path,
                name=name,
                version=version,
                out=sealed,
                sign_with=sign_with or None,
                office=client,
                format=format_,
                progress=reached,
            )
        with protected, printing.progress("uploading", protected.head.file_size) as reached:
            done = protected.publish(channel=channel, progress=reached)
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


@contextmanager
def _kept(out: Path | None) -> Iterator[Path]:
    """Give the sealed file its place: the one that was asked for, or a random name here that goes away again."""
    if out is not None:
        yield out
        return
    draft = Path(f".strongroom-{secrets.token_hex(8)}.srm")
    try:
        yield draft
    finally:
        draft.unlink(missing_ok=True)


def _channels(row: dict[str, Any]) -> str | None:
    from strongroom.operator.office import rows

    return ", ".join(f"{one.get('channel')}={one.get('version')}" for one in rows(row, "channels")) or None
