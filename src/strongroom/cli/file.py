"""`strongroom file`: the sealed format alone, without a server (docs/spec/sealed-file.md)."""

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from strongroom.cli import printing
from strongroom.cli.lazy import Noun
from strongroom.cli.options import PATH, json_option
from strongroom.errors import Code, InputError, StrongroomError

if TYPE_CHECKING:
    from strongroom.canonical import JsonValue
    from strongroom.sealed import Head, ModelKey, Subject


_SUITE = "The cipher suite: 1 is AES-256-GCM, 2 ChaCha20-Poly1305."


@click.group(cls=Noun)
def file() -> None:
    """Seal, open, inspect and verify sealed files."""


@file.command(
    "seal",
    examples=[
        "strongroom file seal digits.onnx -o digits.srm --mek digits.mek",
        "strongroom file seal model/ -o model.srm --mek model.mek --sign-with owner.key",
    ],
)
@click.argument("sources", metavar="SRC...", nargs=-1, required=True, type=PATH)
@click.option("-o", "--out", type=PATH, required=True, metavar="OUT", help="The sealed file to write.")
@click.option("--mek", type=PATH, required=True, metavar="FILE", help="Where to write the fresh model key, mode 0600.")
@click.option("--suite", type=click.Choice(["1", "2"]), default="1", show_default=True, help=_SUITE)
@click.option("--sign-with", type=PATH, multiple=True, metavar="KEY", help="An owner key file; may be repeated.")
@click.option("--name", default="model", show_default=True, help="The model's name, hidden in the file.")
@click.option("--version", default="0", show_default=True, help="Its version, hidden in the file.")
@json_option
def seal(
    sources: tuple[Path, ...],
    out: Path,
    mek: Path,
    suite: str,
    sign_with: tuple[Path, ...],
    *,
    name: str,
    version: str,
    as_json: bool,
) -> None:
    """Seal files or a directory under a fresh model key.

    A key seals one file and never two, so both files must be new.
    """
    from strongroom.operator.keys import write_model_key
    from strongroom.operator.protect import gather, owners, seal_to_file
    from strongroom.operator.small_files import not_taken
    from strongroom.sealed import ModelKey

    subject = _subject(name, version)
    if os.path.abspath(out) == os.path.abspath(mek):  # noqa: PTH100 - only spelling: neither of them is there yet
        what = "the sealed file and its key cannot be one file"
        raise InputError(Code.ARGUMENT, what, where=str(mek), next_step="give --mek another name than -o")
    not_taken(out, what="sealed file")
    signers = owners(sign_with)
    found = gather(sources)
    key = ModelKey.generate()
    try:
        try:
            write_model_key(mek, key)  # first: a sealed file without its key is lost
            with printing.progress("sealing", sum(one.size for one in found)) as reached:
                head = seal_to_file(
                    found, out, key=key, subject=subject, signers=signers, suite=int(suite), progress=reached
                )
        except BaseException as error:
            _drop_useless(mek, key, out, error)
            raise
    finally:
        key.wipe()
    _show(head, as_json=as_json)


def _drop_useless(mek: Path, key: "ModelKey", out: Path, error: BaseException) -> None:
    """Remove the key of a file that never came to be; say so where the file is there in spite of an error."""
    from strongroom.operator.keys import read_model_key

    try:
        held = read_model_key(mek)
    except StrongroomError:
        return  # no key there, or something else
    ours = held == key
    held.wipe()
    if not ours:
        return  # another file's key: that was the error
    taken = isinstance(error, InputError) and error.code == Code.ALREADY_THERE  # then it is somebody else's file
    if taken or not os.path.lexists(out):
        with suppress(OSError):
            mek.unlink()
        return
    left = f"{out} is there and {mek} opens it; to seal again, remove both"
    if isinstance(error, StrongroomError):
        error.next_step = left
    else:
        error.add_note(left)


def _subject(name: str, version: str) -> "Subject":
    from strongroom import names
    from strongroom.sealed import Subject

    return Subject(None, names.check("model", name), names.check("version", version), None)


@file.command(
    "open",
    examples=[
        "strongroom file open digits.srm -o digits/ --mek digits.mek --trust trust.json",
        "strongroom file open digits.srm -o digits/ --mek digits.mek --name digits --version 1.0",
    ],
)
@click.argument("sealed", metavar="IN", type=PATH)
@click.option("-o", "--out", required=True, metavar="DIR|-", help="A new directory, or - for stdout (a single file).")
@click.option("--mek", type=PATH, required=True, metavar="FILE", help="The model key.")
@click.option("--trust", "trust_file", type=PATH, metavar="FILE", help="Require the signatures of these owners.")
@click.option("--name", help="Require that it was sealed as this model; with --version.")
@click.option("--version", help="Require that it was sealed as this version; with --name.")
@json_option
def open_(
    sealed: Path,
    out: str,
    mek: Path,
    trust_file: Path | None,
    *,
    name: str | None,
    version: str | None,
    as_json: bool,
) -> None:
    """Open a sealed file.

    The directory appears once all of it is genuine, or not at all. To stdout, each segment goes as soon as it is
    genuine and the last one as soon as the whole file is: throw the output away if the exit code is not 0.
    """
    from strongroom.cli import unpacking
    from strongroom.cli.places import read_trust
    from strongroom.operator.keys import read_model_key
    from strongroom.sealed import Expected, FileReadable, open_stream

    target = None if out == "-" else Path(out)
    if target is None and as_json:
        what = "stdout takes the model or a JSON document, not both"
        raise InputError(Code.ARGUMENT, what, where="--json", next_step="leave out --json, or say -o DIR")
    if (name is None) != (version is None):
        what = "the name and the version are sealed together and checked together"
        raise InputError(Code.ARGUMENT, what, where="--name, --version", next_step="give both or neither")
    subject = None if name is None or version is None else _subject(name, version)
    if target is not None:
        unpacking.not_there(target)
    trusted = None if trust_file is None else read_trust(trust_file)
    expected = Expected("model", subject, None)
    if trusted is not None:
        expected = Expected("model", subject, trusted.owner, suites=trusted.suites)
    key = read_model_key(mek)
    try:
        with FileReadable.open(sealed) as readable, open_stream(readable, key, expected) as stream:
            if target is None:
                unpacking.into_stdout(stream)
            else:
                unpacking.into_directory(stream, target)
    finally:
        key.wipe()
    if trusted is None:
        printing.note("note: nobody's signature was asked for; say --trust FILE to know who made this file")
    if target is not None:
        _show(stream.head, as_json=as_json)


@file.command("inspect", examples=["strongroom file inspect digits.srm", "strongroom file inspect digits.srm --json"])
@click.argument("sealed", metavar="IN", type=PATH)
@json_option
def inspect(sealed: Path, *, as_json: bool) -> None:
    """Draw a sealed file: its parts, their sizes, who signed; proves nothing about who made it."""
    from strongroom.cli.drawing import draw
    from strongroom.sealed import FileReadable, read_head

    with FileReadable.open(sealed) as readable:
        head = read_head(readable)
    if as_json:
        _show(head, as_json=True)
        return
    for line in draw(head):
        printing.line(line)


@file.command("verify", examples=["strongroom file verify digits.srm --trust trust.json"])
@click.argument("sealed", metavar="IN", type=PATH)
@click.option("--trust", "trust_file", type=PATH, required=True, metavar="FILE", help="Who the owners are.")
@json_option
def verify(sealed: Path, trust_file: Path, *, as_json: bool) -> None:
    """Check the owners' signatures and every segment; needs no key.

    The model's name and version are hidden in the file: only `file open`, with the key, can check those.
    """
    from strongroom.cli.places import read_trust
    from strongroom.sealed import FileReadable, verify_sealed

    trusted = read_trust(trust_file)
    with FileReadable.open(sealed) as readable, printing.progress("verifying", readable.size) as reached:
        head = verify_sealed(readable, trusted.owner, reached, suites=trusted.suites)
    printing.note("genuine: signed by the owners, every segment as signed")
    _show(head, as_json=as_json)


@file.command("sign", examples=["strongroom file sign digits.srm --sign-with second-owner.key"])
@click.argument("sealed", metavar="IN", type=PATH)
@click.option(
    "--sign-with", type=PATH, multiple=True, required=True, metavar="KEY", help="An owner key file; may be repeated."
)
@json_option
def sign(sealed: Path, sign_with: tuple[Path, ...], *, as_json: bool) -> None:
    """Add an owner's signature to a sealed file; needs no model key.

    Every segment is compared with the file's own manifest first. The file is replaced as a whole, or stays as it was.
    """
    from strongroom.cli.replacing import replace_signed
    from strongroom.operator.protect import owners

    _show(replace_signed(sealed, owners(sign_with)), as_json=as_json)


def _show(head: "Head", *, as_json: bool) -> None:
    from strongroom.canonical import to_base64url

    core = head.core
    signatures = [{"key": one.key, "alg": one.alg} for one in head.signatures]
    if as_json:
        known = core.to_value() | {"suite": head.suite, "size": head.file_size, "head": to_base64url(head.digest)}
        stored: list[JsonValue] = [head.stored_length(index) for index in range(head.segment_count)]
        known |= {"head_part_length": len(head.head_part), "stored_lengths": stored}
        printing.document(known | {"signatures": signatures})
        return
    printing.fields(
        [
            ("file id", to_base64url(core.file_id)),
            ("kind", core.kind),
            ("suite", head.suite),
            ("size", printing.size(head.file_size)),
            ("payload", f"{printing.size(core.payload_length)} in {core.segments - 1} segment(s)"),
            ("place", f"epoch {core.epoch}, counter {core.counter}"),
            ("signed by", ", ".join(f"{one['alg']} {one['key'][:12]}" for one in signatures) or "nobody"),
        ]
    )
