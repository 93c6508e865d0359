"""`strongroom decoy`: what looks like the real thing and that nobody honest touches."""

from pathlib import Path
from typing import Any

import click

from strongroom.canonical import JsonValue
from strongroom.cli import printing
from strongroom.cli.decoy_model import mark, model
from strongroom.cli.lazy import Noun
from strongroom.cli.options import PATH, OfficeAt, json_option, office_options

KINDS = ("endpoint", "token", "key", "model", "canary", "field")
SORTS = ("device", "user", "operator")
LANGUAGES = ("python", "javascript", "kotlin", "java", "swift")
STALE = 30 * 86_400  # seconds after which a decoy that was not tested is one to doubt

Values = dict[str, JsonValue]

_language = click.option(
    "--language", type=click.Choice(LANGUAGES), help="Also write source code to plant: unused, in this language."
)
_output = click.option(
    "-o", "--output", type=PATH, metavar="FILE", help="Write what is to be planted to a new file, mode 0600."
)


@click.group(cls=Noun, commands={"model": model, "mark": mark})
def decoy() -> None:
    """Decoys: whoever touches one is stopped, and you hear of it."""


@decoy.command(
    "add",
    examples=[
        "strongroom decoy add endpoint /v2/models/{model}/raw --note old-client",
        "strongroom decoy add token ci --sort operator --language python -o support.py",
        "strongroom decoy add canary datasheet --note model-card",
    ],
)
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("name")
@click.option("--note", metavar="WHERE", help="Where you plant it; alerts say so.")
@click.option("--sort", type=click.Choice(SORTS), help="What a token is. [default: device]")
@_language
@_output
@office_options
@json_option
def add(
    kind: str,
    name: str,
    note: str | None,
    sort: str | None,
    language: str | None,
    output: Path | None,
    *,
    at: OfficeAt,
    as_json: bool,
) -> None:
    """Add the decoy NAME of a KIND, and show what to plant.

    NAME is a route ("/path/{name}" for POST, "GET /path"), a model's name, a field of `signals`, or for the other
    kinds a label.
    """
    from strongroom.cli.places import office

    asked: Values = {"kind": kind, "name": name, "note": note or ""}
    if kind == "token":
        asked["sort"] = sort or "device"
    elif sort is not None:
        raise click.UsageError("--sort is for tokens")
    made = office(at).post("decoys", value=asked)
    _give(made, language, output, as_json=as_json)


@decoy.command("show", examples=["strongroom decoy show dcy_hXlJ0c2Q9mJb8mXoW2yH1A --language kotlin -o Recovery.kt"])
@click.argument("decoy_id", metavar="ID")
@_language
@_output
@office_options
@json_option
def show(decoy_id: str, language: str | None, output: Path | None, *, at: OfficeAt, as_json: bool) -> None:
    """Show again what to plant of a decoy; a token is issued anew."""
    from strongroom.cli.places import office

    _give(office(at).get("decoys", decoy_id), language, output, as_json=as_json)


@decoy.command("list", examples=["strongroom decoy list", "strongroom decoy list --json"])
@office_options
@json_option
def list_decoys(*, at: OfficeAt, as_json: bool) -> None:
    """List the decoys, their hits, and when each was last seen to fire."""
    from strongroom.cli.places import office
    from strongroom.operator.office import rows

    found = office(at).get("decoys")
    if as_json:
        printing.document(found)
        return
    listed = rows(found, "decoys")
    heads = ("ID", "KIND", "NAME", "NOTE", "CREATED", "HITS", "LAST HIT", "LAST TEST")
    printing.table(heads, [_line(row) for row in listed])
    _warn(listed)


@decoy.command("test", examples=["strongroom decoy test", "strongroom decoy test dcy_hXlJ0c2Q9mJb8mXoW2yH1A"])
@click.argument("decoy_id", metavar="[ID]", required=False)
@office_options
@json_option
def test(decoy_id: str | None, *, at: OfficeAt, as_json: bool) -> None:
    """Touch every decoy, or one, from outside, and see that it fires. Nobody is stopped, no alert is sent.

    It goes to the device API as devices do, so both ports must be in reach. Exit code 1 if one does not fire.
    """
    from strongroom.cli.decoy_exercise import exercise
    from strongroom.cli.places import office

    fired = exercise(office(at), decoy_id)
    if as_json:
        tried: list[JsonValue] = [{**row, "fired": fires} for row, fires in fired]
        printing.document({"decoys": tried})
    else:
        lines = [(row.get("id"), row.get("kind"), row.get("name"), "fires" if ok else "DEAD") for row, ok in fired]
        printing.table(("ID", "KIND", "NAME", "TEST"), lines)
    if not all(ok for _, ok in fired):
        raise click.exceptions.Exit(1)


@decoy.command("remove", examples=["strongroom decoy remove dcy_hXlJ0c2Q9mJb8mXoW2yH1A"])
@click.argument("decoy_id", metavar="ID")
@office_options
@json_option
def remove(decoy_id: str, *, at: OfficeAt, as_json: bool) -> None:
    """Take a decoy out of force; who touches what was planted of it is refused, and nobody hears of it."""
    from strongroom.cli.places import office

    gone = office(at).post("decoys", decoy_id, "remove")
    if as_json:
        printing.document(gone)
        return
    printing.line(f"{gone.get('id')}  removed")


def _give(made: Values, language: str | None, output: Path | None, *, as_json: bool) -> None:
    """Print a decoy and what it shows; what is to be planted goes to a file if one is named."""
    from strongroom import canonical
    from strongroom.operator.small_files import write_secret
    from strongroom.operator.snippets import snippet

    shows = made.get("shows")
    texts = {name: str(value) for name, value in shows.items()} if isinstance(shows, dict) else {}
    code = None if language is None else snippet(language, str(made["kind"]), str(made["name"]), texts)
    if output is not None:
        planted = code.encode() if code is not None else canonical.encode(dict(texts)) + b"\n"
        write_secret(output, planted, what="decoy")
        printing.note(f"what to plant is in {output}")
    if as_json:
        printing.document(made | ({} if code is None else {"code": code}))
        return
    printing.fields([("id", made.get("id")), ("kind", made.get("kind")), ("name", made.get("name")), *texts.items()])
    if code is not None and output is None:
        printing.line("")
        for line in code.splitlines():
            printing.line(line)
    printing.note("plant it where nothing calls it, then: strongroom decoy test")


def _line(row: Values) -> tuple[Any, ...]:
    times = ("-" if row.get(name) is None else printing.moment(row[name]) for name in ("hit", "tested"))
    created = printing.moment(row["created"]) if row.get("created") else "shipped"
    return (row.get("id"), row.get("kind"), row.get("name"), row.get("note"), created, row.get("hits"), *times)


def _warn(listed: list[Values]) -> None:
    """Say which decoys nobody has seen to fire: such a one is worse than none."""
    import time

    now = int(time.time())  # noqa: TID251 - the rim
    never = sum(row.get("tested") is None for row in listed)
    tested = [row["tested"] for row in listed]
    stale = sum(isinstance(one, int) and one < now - STALE for one in tested)
    if never:
        printing.note(f"{never} never tested: run strongroom decoy test")
    if stale:
        printing.note(f"{stale} not seen to fire for 30 days: run strongroom decoy test")
