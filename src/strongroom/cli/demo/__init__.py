"""`strongroom demo`: the whole story on a real model, on this machine, with real processes."""

import shlex
import shutil
import sys
import tempfile
from pathlib import Path

import click

from strongroom.cli import printing
from strongroom.cli.lazy import Command
from strongroom.cli.options import PATH, json_option
from strongroom.errors import Code, InputError, SetupError


@click.command(cls=Command, examples=["strongroom demo", "strongroom demo --keep here", "strongroom demo --json"])
@click.option("--keep", type=PATH, metavar="DIR", help="Leave everything in this new directory. [default: removed]")
@json_option
@click.pass_context
def demo(ctx: click.Context, *, keep: Path | None, as_json: bool) -> None:
    """Protect a real model, publish it, release it to a device, run it there; then attack it.

    A server and a device run as processes of their own, over TLS on loopback. The model's accuracy is measured in
    plaintext and through strongroom; attacks are really made; everything that was written is searched for the model
    and its key. Exits with 1 if anything is not as it must be.
    """
    from strongroom.cli.extras import needs

    with needs("demo"):
        from strongroom.cli.demo.show import Report
        from strongroom.cli.demo.story import tell
    report = Report(quiet=as_json)
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="strongroom-demo-") as place:
            tell(Path(place), report)
    else:
        kept = _fresh(keep)
        tell(kept, report)
        program, root = _program(), shlex.quote(str(kept))
        report.say("look around in what it wrote:")
        report.say(f"  {program} file inspect {root}/desk/*.srm")
        report.say(f"  {program} store list --home {root}/devices/ada")
        report.say(f"  {program} doctor --config {root}/office/strongroom.toml")
    if as_json:
        printing.document(report.to_value())
    for difference in report.differences:
        printing.note(f"not as it must be: {difference}")
    if report.differences:
        ctx.exit(1)


def _program() -> str:
    """Return how this program is called from here, whether or not its environment is active."""
    return (
        "strongroom" if shutil.which("strongroom") else shlex.quote(str(Path(sys.executable).with_name("strongroom")))
    )


def _fresh(keep: Path) -> Path:
    try:
        keep.mkdir(parents=True, exist_ok=True, mode=0o700)
        if any(keep.iterdir()):
            step = "name a new directory; an existing one is never touched"
            raise InputError(Code.ALREADY_THERE, "there is something here already", where=str(keep), next_step=step)
    except OSError as error:
        what = f"the directory cannot be used: {error.strerror}"
        raise SetupError(Code.PERMISSIONS, what, where=str(keep), next_step="name another one") from None
    return keep.resolve()
