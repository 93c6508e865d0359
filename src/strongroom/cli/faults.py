"""The one place where a failure becomes text and an exit code.

    error: what happened (where) [code]
    next: what to do

With `--json` the same four fields are one JSON document on stdout. A stack trace is never shown: what nobody
expected is one line with a reference, and the way to get its trace.
"""

import hashlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Sequence

import click

from strongroom.cli.printing import printable, styled
from strongroom.cli.stopping import signal_of
from strongroom.cli.streams import OutputError, silence_output
from strongroom.errors import Code, InternalError, StrongroomError

ENDED = 128  # and the signal's number, as shells report it: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP
BROKEN_PIPE = 141  # 128 + SIGPIPE
COMPLETE = "_STRONGROOM_COMPLETE"
TRACE = "STRONGROOM_TRACE"  # set to anything: the trace of an internal error goes to stderr


# what to do about an error that says nothing better itself
_NEXT = {
    Code.PATH: "check the path; a relative one begins in the current directory",
    Code.FORBIDDEN: "ask an admin for the role: strongroom operator add NAME --role ROLE",
    Code.CONFLICT: "look at what is there with list or show; take another name, or run it again if that was a race",
    Code.LOCKED: "run it again when the other process is done",
    Code.FILE_WRONG_KEY: "name the key that was written when this file was sealed",
    Code.FILE_SUBJECT: "name the model and the version as they were when this file was sealed",
    Code.FILE_DIGEST: "get the file again from where it came: it was altered or damaged on its way",
    Code.FILE_CHECKSUM: "ask who made the file: it was sealed wrongly",
    Code.FILE_TRUNCATED: "get the file again from where it came: a part of it is missing",
}


def run(root: click.Command, args: Sequence[str]) -> int:
    """Run the command line; whatever happens, return an exit code."""
    try:
        return _run(root, args)
    except BrokenPipeError:
        silence_output()
        return BROKEN_PIPE
    except OutputError as error:
        silence_output()  # what is in its buffer cannot be written either
        return _say(error.to_value(), error.exit_code)


def _run(root: click.Command, args: Sequence[str]) -> int:
    if COMPLETE in os.environ:  # a shell asks for the words that could come next: click's own business
        root.main(args=list(args), prog_name="strongroom", complete_var=COMPLETE)
    try:
        code = _invoke(root, args)
        sys.stdout.flush()
    except (KeyboardInterrupt, EOFError, click.Abort) as stop:
        number = signal_of(stop)
        click.echo("interrupted" if number == signal.SIGINT else f"stopped by {signal.Signals(number).name}", err=True)
        for left in getattr(stop, "__notes__", []):
            click.echo(f"{styled('next:', 'cyan')} {printable(left)}", err=True)
        code = ENDED + number
    except (BrokenPipeError, OutputError):
        raise
    except click.UsageError as error:
        code = _usage(error, args)
    except StrongroomError as error:
        internal = isinstance(error, InternalError)
        code = _internal(error, args) if internal else _report(_with_next(error), error.exit_code, args)
    except Exception as error:  # noqa: BLE001 - the last line of defence against a stack trace
        code = _internal(error, args)
    return code


def _invoke(root: click.Command, args: Sequence[str]) -> int:
    """Do what `root.main` does, without its own ideas of what an error or a closed pipe should look like."""
    try:
        with root.make_context("strongroom", list(args)) as ctx:
            result = root.invoke(ctx)
    except click.exceptions.Exit as stop:  # --help and --version
        return stop.exit_code
    return result if isinstance(result, int) else 0


def _report(fields: dict[str, str], exit_code: int, args: Sequence[str]) -> int:
    if _wants_json(args):
        click.echo(json.dumps({"error": fields}, indent=2, sort_keys=True))
        return exit_code
    return _say(fields, exit_code)


def _say(fields: dict[str, str], exit_code: int) -> int:
    where = f" ({printable(fields['where'])})" if fields["where"] else ""
    click.echo(f"{styled('error:', 'red')} {printable(fields['what'])}{where} [{fields['code']}]", err=True)
    if fields["next"]:
        click.echo(f"{styled('next:', 'cyan')} {printable(fields['next'])}", err=True)
    return exit_code


def _with_next(error: StrongroomError) -> dict[str, str]:
    return error.to_value() | {"next": error.next_step or _NEXT.get(error.code, "")}


def _usage(error: click.UsageError, args: Sequence[str]) -> int:
    if (
        error.ctx is not None
        and isinstance(error.ctx.command, click.Group)
        and type(error).__name__ == "NoArgsIsHelpError"
    ):
        click.echo(
            error.ctx.get_help(), err=True
        )  # a noun alone: its verbs are the answer, as click before 8.2 gave it
        return 2
    path = error.ctx.command_path if error.ctx is not None else "strongroom"
    fields = {"code": "usage", "what": error.format_message().rstrip("."), "where": path, "next": f"see: {path} --help"}
    return _report(fields, 2, args)


def _internal(error: Exception, args: Sequence[str]) -> int:
    """Report what should not happen; the same fault has the same reference, so that two reports can be compared."""
    frames = traceback.extract_tb(error.__traceback__)
    places = "".join(f"{os.path.basename(frame.filename)}:{frame.lineno};" for frame in frames)  # noqa: PTH119 - a label
    reference = hashlib.sha256(f"{type(error).__name__};{places}".encode()).hexdigest()[:10]
    if os.environ.get(TRACE):
        click.echo("".join(traceback.format_exception(error)), err=True)
    fields = {
        "code": str(Code.INTERNAL),
        "what": f"strongroom itself failed: {type(error).__name__}, reference {reference}",
        "where": "",
        "next": f"run it again with {TRACE}=1 in the environment and report the trace",
    }
    return _report(fields, 1, args)


def _wants_json(args: Sequence[str]) -> bool:
    """Judged on the raw arguments: a usage error comes before any option is parsed."""
    words = list(args)
    return "--json" in (words[: words.index("--")] if "--" in words else words)
