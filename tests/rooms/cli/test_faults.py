"""Failures become one or two lines and an exit code; never a stack trace."""

import io
import json

import click
import pytest

from strongroom import errors
from strongroom.cli.faults import run
from strongroom.cli.options import confirmed
from strongroom.errors import Code


def command(behaviour):
    return click.Command(
        "strongroom", callback=behaviour, params=[click.Option(["--json"], is_flag=True, expose_value=False)]
    )


def failing(error):
    def behaviour():
        raise error

    return command(behaviour)


@pytest.mark.parametrize(
    ("family", "exit_code"),
    [
        (errors.InputError, 2),
        (errors.SetupError, 1),
        (errors.StoreError, 1),
        (errors.DeniedError, 4),
        (errors.IntegrityError, 5),
        (errors.RefusedError, 6),
        (errors.UnreachableError, 7),
    ],
)
def test_each_family_has_its_exit_code(family, exit_code, capsys):
    error = family(Code.ARGUMENT, "it failed", where="here", next_step="do that")
    assert run(failing(error), []) == exit_code
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "error: it failed (here) [argument]\nnext: do that\n"


def test_json_errors_are_one_document_on_stdout(capsys):
    error = errors.IntegrityError(Code.FILE_DIGEST, "altered", where="segment 3", next_step="fetch it again")
    assert run(failing(error), ["--json"]) == 5
    out, err = capsys.readouterr()
    expected = {"code": "file-digest", "what": "altered", "where": "segment 3", "next": "fetch it again"}
    assert json.loads(out) == {"error": expected}
    assert err == ""


@pytest.mark.parametrize(
    "error",
    [ZeroDivisionError, lambda text: errors.InternalError(Code.INTERNAL, text), RecursionError],
    ids=["foreign", "ours", "deep"],
)
def test_the_unexpected_has_a_reference_and_no_trace(error, capsys, monkeypatch):
    """Attack D10: what an exception carries may be a secret, so its text is not printed."""
    monkeypatch.delenv("STRONGROOM_TRACE", raising=False)

    def behaviour():
        raise error("s3cret")

    assert run(command(behaviour), []) == 1
    first = capsys.readouterr()
    assert run(command(behaviour), []) == 1
    again = capsys.readouterr()
    assert "[internal]" in first.err
    assert "reference" in first.err
    assert "STRONGROOM_TRACE=1" in first.err
    assert "Traceback" not in first.err
    assert "s3cret" not in first.err
    assert first.out == ""
    assert first.err == again.err  # the same fault, the same reference


def test_the_trace_is_there_for_whom_asks(capsys, monkeypatch):
    monkeypatch.setenv("STRONGROOM_TRACE", "1")
    assert run(failing(ZeroDivisionError("x")), []) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort(), EOFError()])
def test_interrupted(error, capsys):
    assert run(failing(error), []) == 130
    assert capsys.readouterr().out == ""


def test_an_interrupt_says_what_it_left(capsys):
    stop = KeyboardInterrupt()
    stop.add_note("digits@1.0 is unfinished")
    assert run(failing(stop), []) == 130
    assert capsys.readouterr().err == "interrupted\nnext: digits@1.0 is unfinished\n"


@pytest.mark.parametrize("code", [Code.PATH, Code.FORBIDDEN, Code.CONFLICT, Code.LOCKED])
def test_common_errors_have_a_next_step(code, capsys):
    assert run(failing(errors.InputError(code, "it failed")), []) == 2
    assert "\nnext: " in capsys.readouterr().err


@pytest.mark.parametrize(
    "args",
    [
        ["model", "list", "--admin-url", ""], ["model", "list", "--trust", ""], ["model", "list", "--config", ""],
        ["model", "publish", "x", "--name", "m", "--version", "1", "--channel", ""],
        ["model", "publish", "x", "--name", "m", "--version", "1", "--sign-with", ""],
        ["model", "publish", "x", "--name", "m", "--version", "1", "--format", ""],
        ["model", "publish", "", "--name", "m", "--version", "1"], ["init", "--host", ""], ["init", ""],
    ],
    ids=" ".join,
)  # fmt: skip
def test_empty_values_are_not_the_default(cli, tmp_path, args):
    outcome = cli(*args)
    assert outcome.code == 2
    assert "[usage]" in outcome.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("answer", "code"), [("n\n", 1), ("\n", 1), ("y\n", 0)])
def test_no_is_an_answer(answer, code, capsys, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr("sys.stdin", Terminal(answer))
    asked = command(lambda: confirmed("Revoke?", yes=False, declined="not revoked"))
    assert run(asked, []) == code
    assert ("not revoked" in capsys.readouterr().err) == (code == 1)


def test_terminal_escapes_from_elsewhere_are_made_visible(capsys):
    """Attack E17: text from another machine steers no terminal."""
    error = errors.DeniedError(Code.NOT_FOUND, "no \x1b[2J\r\nmodel", where="\x9b1m")
    assert run(failing(error), []) == 4
    err = capsys.readouterr().err
    assert "\x1b" not in err
    assert "\x9b" not in err
    assert err.count("\n") == 1


def test_usage_errors_point_at_the_help(cli):
    outcome = cli("model", "publish")
    assert outcome.code == 2
    assert outcome.err.endswith("next: see: strongroom model publish --help\n")
    assert cli("no-such-noun").code == 2
    assert cli("model", "no-such-verb", "--json").json["error"]["code"] == "usage"


def test_double_dash_ends_the_options(cli):
    """A file that is called --json does not turn the output into JSON."""
    outcome = cli("file", "inspect", "--", "--json")
    assert outcome.code == 2
    assert outcome.out == ""
    assert "no such file" in outcome.err
