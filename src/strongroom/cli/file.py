"""`strongroom file`: the sealed format alone, without a server (docs/spec/sealed-file.md)."""

import os
import secrets
import shutil
import stat
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import click

from strongroom.cli import printing
from strongroom.cli.lazy import Noun
from strongroom.cli.options import PATH, json_option
from strongroom.errors import Code, InputError

if TYPE_CHECKING:
    from strongroom.canonical import JsonValue
    from strongroom.sealed import Head, Opened
    from strongroom.signing import Signer


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
    from strongroom import names
    from strongroom.operator.keys import write_model_key
    from strongroom.operator.protect import gather, owners, seal_to_file
    from strongroom.operator.small_files import not_taken
    from strongroom.sealed import ModelKey, Subject

    subject = Subject(None, names.check("model", name), names.check("version", version), None)
    not_taken(out, what="sealed file")
    signers = owners(sign_with)
    found = gather(sources)
    key = ModelKey.generate()
    try:
        write_model_key(mek, key)  # first: a sealed file without its key is lost
        try:
            with printing.progress("sealing", sum(one.size for one in found)) as reached:
                head = seal_to_file(
                    found, out, key=key, subject=subject, signers=signers, suite=int(suite), progress=reached
                )
        except BaseException:
            with suppress(OSError):
                mek.unlink()
            raise
    finally:
        key.wipe()
    _show(head, as_json=as_json)


@file.command(
    "open",
    examples=["strongroom file open digits.srm -o digits/ --mek digits.mek --trust trust.json"],
)
@click.argument("sealed", metavar="IN", type=PATH)
@click.option("-o", "--out", required=True, metavar="DIR|-", help="A new directory, or - for stdout (a single file).")
@click.option("--mek", type=PATH, required=True, metavar="FILE", help="The model key.")
@click.option("--trust", "trust_file", type=PATH, metavar="FILE", help="Require the signatures of these owners.")
@json_option
def open_(sealed: Path, out: str, mek: Path, trust_file: Path | None, *, as_json: bool) -> None:
    """Open a sealed file; nothing is written unless all of it is genuine."""
    from strongroom.cli.places import read_trust
    from strongroom.operator.keys import read_model_key
    from strongroom.sealed import Expected, FileReadable, open_sealed

    target = None if out == "-" else Path(out)
    if target is not None and (target.is_symlink() or target.exists()):
        next_step = "choose a name that is free"
        raise InputError(Code.ALREADY_THERE, "there is something here already", where=out, next_step=next_step)
    trusted = None if trust_file is None else read_trust(trust_file)
    expected = Expected("model", None, None)
    if trusted is not None:
        expected = Expected("model", None, trusted.owner, suites=trusted.suites)
    key = read_model_key(mek)
    try:
        with FileReadable.open(sealed) as readable, printing.progress("opening", readable.size) as reached:
            opened = open_sealed(readable, key, expected, progress=reached)
    finally:
        key.wipe()
    if trusted is None:
        printing.note("note: nobody's signature was asked for; say --trust FILE to know who made this file")
    if target is None:
        _write_stdout(opened)
    else:
        _write_directory(opened, target)
        _show(opened.head, as_json=as_json)


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
    """Check the owners' signatures and every segment; needs no key."""
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
    from strongroom.operator.protect import owners

    _show(_replace_signed(sealed, owners(sign_with)), as_json=as_json)


def _replace_signed(path: Path, signers: "Sequence[Signer]") -> "Head":
    """Write the signed file beside the old one and give it the old one's name."""
    from strongroom.operator.small_files import not_written
    from strongroom.sealed import FileReadable, copy_signed

    draft = path.parent / f".{secrets.token_hex(8)}.part"
    try:
        with FileReadable.open(path) as readable, printing.progress("signing", readable.size) as reached:
            before = path.lstat()
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(draft, flags, 0o600), "w+b") as out:
                head = copy_signed(readable, cast("BinaryIO", out), *signers, progress=reached)
                os.fchmod(out.fileno(), stat.S_IMODE(before.st_mode))
                out.flush()
                os.fsync(out.fileno())
        now = path.lstat()
        if (now.st_ino, now.st_size, now.st_mtime_ns) != (before.st_ino, before.st_size, before.st_mtime_ns):
            # Another owner may be signing too: the second to finish must not take the first one's signature away.
            what = "the file changed while it was being signed"
            raise InputError(Code.FILE_SOURCE_CHANGED, what, where=str(path), next_step="sign again")
        draft.replace(path)
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise not_written(error, path, "sealed file") from None
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
    return head


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


def _write_stdout(opened: "Opened") -> None:
    if len(opened.toc.files) != 1:
        next_step = "say -o DIR"
        raise InputError(
            Code.ARGUMENT, f"stdout takes one file; this model has {len(opened.toc.files)}", next_step=next_step
        )
    sys.stdout.buffer.write(opened.file(opened.toc.files[0].path))


def _write_directory(opened: "Opened", target: Path) -> None:
    """Write below a draft name and rename: the directory appears whole or not at all.

    The paths come from a table of contents that was checked: relative, no "..", no name that a system treats specially.
    """
    from strongroom.operator.small_files import not_written

    draft = target.parent / f".{secrets.token_hex(8)}.part"
    try:
        draft.mkdir(mode=0o700)
        try:
            for entry in opened.toc.files:
                place = draft / entry.path
                place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                with os.fdopen(
                    os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb"
                ) as out:
                    out.write(opened.file(entry.path))
            draft.rename(target)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    except OSError as error:
        raise not_written(error, target, "model") from None
